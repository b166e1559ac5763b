//! The times of the protocol, and the proof obligation between them.
//!
//! # Model
//!
//! A promise (an Ack) leaves the standby after the heartbeat that it answers left the Active, so the lease
//! that rests on it ends at most `lease * (1 + rho)` of true time after the promise, on the slowest clock.
//! What passed the gate just before may travel for `guard`. The standby measures `takeover_after` on the
//! fastest clock, `takeover_after * (1 - rho)` of true time, and its timer may be early by `quantum`:
//!
//! `P >= L(1 + rho) + rho P + G + quantum`

use hal_units::Duration;

use crate::rules::Rules;

/// The most that two clocks may drift apart for this protocol, in percent. `CLOCK_BOOTTIME` slewed by NTP
/// stays below 0.1 %.
const DRIFT_PERCENT_MAX: u8 = 50;

/// The times and limits of a pair. Both nodes must have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PairConfig {
    /// Period of the control cycle.
    pub cycle: Duration,
    /// How often each node says that it is alive.
    pub heartbeat: Duration,
    /// C: silence of the holder, on both links and at the arbiter, after which the standby claims.
    pub claim_after: Duration,
    /// When in that silence the standby looks at the arbiter, so that it knows whether the holder renews
    /// there before it claims.
    pub probe_after: Duration,
    /// An answer to that look that took longer says little: the arbiter itself was slow, and the holder's renewal
    /// may wait there too. Then it is looked at once more.
    pub probe_prompt: Duration,
    /// L: how long a lease lasts, from the sending of what renewed it.
    pub lease: Duration,
    /// Age of a lease after which an Active without Acks renews at the arbiter.
    pub renew_after: Duration,
    /// G: how long a write that passed the gate may still travel, errors of gate and timers included.
    pub guard: Duration,
    /// How long a write that passed the gate may still travel, drift included, when the gate is known to have
    /// been shut before the word of it was sent. Devices that refuse an old epoch need none of it.
    pub resign_guard: Duration,
    /// P: how long after its last promise a standby with a won claim becomes Active.
    pub takeover_after: Duration,
    /// rho: the most by which the rate of a clock is wrong, in percent.
    pub drift_percent: u8,
    /// By how much a timer may be early or coarse.
    pub quantum: Duration,
    /// A cycle counter that stands still for so long stops heartbeats, Acks, claims and renewals.
    pub cycle_stall_max: Duration,
    /// An Active whose counter stands still for so long resigns if its peer can take over.
    pub cycle_stall_resign: Duration,
    /// How often both look at the arbiter while nothing happens.
    pub arbiter_poll: Duration,
    /// Pause after a transaction with the arbiter that failed.
    pub arbiter_retry: Duration,
    /// How much longer node B waits after each claim that it lost, so that both do not claim for ever.
    pub claim_stagger: Duration,
    /// How long a resignation for want of field devices waits: the peer must reach more for so long, because this
    /// node has lost half of them or more.
    pub field_hold: Duration,
    /// The same where it has lost fewer, or the peer has got some back, which this node is about to, too.
    pub field_part_hold: Duration,
    /// Voluntary switchovers of a node within `flap_window`; 0 forbids them.
    pub flap_max: u8,
    /// See `flap_max`.
    pub flap_window: Duration,
    /// How long the executive may take to write and replicate the agreed last cycle.
    pub handover_max: Duration,
    /// Hash of the layout of the replicated state.
    pub schema: u64,
}

impl Default for PairConfig {
    /// For a cycle of 10 ms. A takeover comes at P after the last promise, however soon before it was claimed:
    /// so C is long, for a stall of either node costs no office, and leaves a claim 10 ms to be won.
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            cycle: ms(10),
            heartbeat: ms(5),
            claim_after: ms(30),
            probe_after: ms(25),
            probe_prompt: ms(3),
            lease: ms(25),
            renew_after: ms(10),
            guard: ms(5),
            resign_guard: ms(2),
            takeover_after: ms(40),
            drift_percent: 10,
            quantum: ms(1),
            cycle_stall_max: ms(16),
            cycle_stall_resign: ms(20),
            arbiter_poll: ms(100),
            arbiter_retry: ms(2),
            claim_stagger: ms(10),
            field_hold: ms(10),
            field_part_hold: ms(1_000),
            flap_max: 3,
            flap_window: Duration::from_secs(60),
            handover_max: ms(60),
            schema: 0,
        }
    }
}

impl PairConfig {
    /// Checks that the times fit together.
    ///
    /// # Errors
    /// If a takeover could come before the old lease has ended, or the parts cannot work together.
    pub fn checked(self) -> Result<CheckedConfig, ConfigError> {
        self.all_positive()?;
        if self.drift_percent > DRIFT_PERCENT_MAX {
            return Err(ConfigError::Drift { percent: self.drift_percent, max: DRIFT_PERCENT_MAX });
        }
        let needed = self.takeover_needed();
        if self.takeover_after < needed {
            return Err(ConfigError::TakeoverTooEarly { takeover_after: self.takeover_after, needed });
        }
        self.in_order()?;
        Ok(CheckedConfig { times: self, rules: Rules::ALL })
    }

    /// The least `takeover_after`: `(L(1 + rho) + G + quantum) / (1 - rho)`, rounded up to a nanosecond.
    #[must_use]
    pub fn takeover_needed(&self) -> Duration {
        let rho = u128::from(self.drift_percent.min(DRIFT_PERCENT_MAX));
        let hundredths = self.lease.as_nanos() * (100 + rho) + (self.guard + self.quantum).as_nanos() * 100;
        Duration::from_nanos(u64::try_from(hundredths.div_ceil(100 - rho)).unwrap_or(u64::MAX))
    }

    fn all_positive(&self) -> Result<(), ConfigError> {
        let times = [
            ("cycle", self.cycle),
            ("heartbeat", self.heartbeat),
            ("claim_after", self.claim_after),
            ("probe_after", self.probe_after),
            ("probe_prompt", self.probe_prompt),
            ("lease", self.lease),
            ("renew_after", self.renew_after),
            ("cycle_stall_max", self.cycle_stall_max),
            ("arbiter_poll", self.arbiter_poll),
            ("arbiter_retry", self.arbiter_retry),
            ("claim_stagger", self.claim_stagger),
            ("handover_max", self.handover_max),
        ];
        match times.into_iter().find(|(_, time)| time.is_zero()) {
            Some((name, _)) => Err(ConfigError::Zero { name }),
            None => Ok(()),
        }
    }

    /// Pairs of times of which the first must be below the second.
    fn in_order(&self) -> Result<(), ConfigError> {
        let orders = [
            ("claim_after", self.claim_after, "takeover_after", self.takeover_after),
            ("probe_after", self.probe_after, "claim_after", self.claim_after),
            // The incumbent must have moved its counter before the standby looks at it.
            ("renew_after", self.renew_after, "probe_after", self.probe_after),
            ("renew_after", self.renew_after, "lease", self.lease),
            ("heartbeat", self.heartbeat, "renew_after", self.renew_after),
            ("cycle", self.cycle, "cycle_stall_max", self.cycle_stall_max),
        ];
        for (name, time, above, limit) in orders {
            if time >= limit {
                return Err(ConfigError::Order { name, time, above, limit });
            }
        }
        let bounds = [
            ("resign_guard", self.resign_guard, "takeover_after", self.takeover_after),
            ("cycle_stall_max", self.cycle_stall_max, "cycle_stall_resign", self.cycle_stall_resign),
        ];
        for (name, time, above, limit) in bounds {
            if time > limit {
                return Err(ConfigError::Order { name, time, above, limit });
            }
        }
        Ok(())
    }
}

/// A configuration whose times were found to fit together: the only kind that a pair takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CheckedConfig {
    pub(crate) times: PairConfig,
    pub(crate) rules: Rules,
}

impl CheckedConfig {
    /// The times.
    #[must_use]
    pub const fn times(&self) -> &PairConfig {
        &self.times
    }

    /// A pair that breaks the given rules, with times that nobody has checked: a mutant.
    #[cfg(feature = "model")]
    #[must_use]
    pub const fn mutant(times: PairConfig, broken: &[crate::rules::Rule]) -> Self {
        Self { times, rules: Rules::without(broken) }
    }
}

/// Why the times do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigError {
    /// A time is zero.
    Zero {
        /// Which.
        name: &'static str,
    },
    /// The drift is beyond what this protocol can bear.
    Drift {
        /// What was asked for.
        percent: u8,
        /// The most.
        max: u8,
    },
    /// P is below `L(1 + rho) + rho P + G + quantum`: two nodes could write at once.
    TakeoverTooEarly {
        /// What was asked for.
        takeover_after: Duration,
        /// The least that is safe.
        needed: Duration,
    },
    /// A time is too long beside another.
    Order {
        /// Which.
        name: &'static str,
        /// Its value.
        time: Duration,
        /// What it must be below (`resign_guard` and `cycle_stall_max`: at most).
        above: &'static str,
        /// The value of that.
        limit: Duration,
    },
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Zero { name } => write!(f, "{name} is 0: give it a time"),
            Self::Drift { percent, max } => {
                write!(f, "drift_percent is {percent}: a clock that wrong cannot hold a lease, at most {max}")
            }
            Self::TakeoverTooEarly { takeover_after, needed } => write!(
                f,
                "takeover_after is {takeover_after:?}, but the old lease may last until {needed:?} after the \
                 last promise (L(1 + rho) + rho P + G + quantum): raise takeover_after or lower lease"
            ),
            Self::Order { name, time, above, limit } => {
                write!(f, "{name} is {time:?}, which is too long for {above} of {limit:?}")
            }
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn check(change: impl FnOnce(&mut PairConfig)) -> Result<(), ConfigError> {
        let mut config = PairConfig::default();
        change(&mut config);
        config.checked().map(|_| ())
    }

    #[test]
    fn the_start_values_fit_together() {
        assert_eq!(check(|_| ()), Ok(()));
    }

    #[test]
    fn a_takeover_needs_the_longest_lease_and_the_guard_behind_it() {
        // (25 * 1.1 + 5 + 1) / 0.9 = 37.22 ms
        assert_eq!(PairConfig::default().takeover_needed(), Duration::from_nanos(37_222_223));
        assert_eq!(check(|c| c.takeover_after = c.takeover_needed()), Ok(()));
        let short = check(|c| c.takeover_after = c.takeover_needed() - Duration::from_nanos(1));
        assert!(matches!(short, Err(ConfigError::TakeoverTooEarly { .. })), "{short:?}");
    }

    #[test]
    fn the_incumbent_renews_before_the_standby_looks() {
        let late = check(|c| c.renew_after = MS(25));
        assert!(matches!(late, Err(ConfigError::Order { name: "renew_after", .. })), "{late:?}");
    }

    #[test]
    fn no_time_is_zero_and_no_clock_is_wild() {
        assert_eq!(check(|c| c.heartbeat = Duration::ZERO), Err(ConfigError::Zero { name: "heartbeat" }));
        assert_eq!(check(|c| c.drift_percent = 51), Err(ConfigError::Drift { percent: 51, max: 50 }));
    }
}
