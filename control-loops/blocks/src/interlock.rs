//! Trips that wait for their cause to persist, and that stay until somebody resets them.

use hal_units::Duration;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// On when its input has been on without a break for a delay; off at once with the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
pub struct OnDelay {
    on_for: Duration,
    /// How long the input has been away, where that is no break.
    away_for: Duration,
    on: bool,
}

impl OnDelay {
    /// Off, with the delay yet to pass.
    pub const OFF: Self = Self { on_for: Duration::ZERO, away_for: Duration::ZERO, on: false };

    /// Whether the input has persisted.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// Takes the input that held during the last `dt`. A delay of zero lets the input through.
    pub fn step(&mut self, input: bool, delay: Duration, dt: Duration) -> bool {
        self.step_bridged(input, delay, Duration::ZERO, dt)
    }

    /// Likewise, but the input may be away for up to `bridge` at a time without that being a break; that time
    /// counts, too, once the input is back.
    pub fn step_bridged(&mut self, input: bool, delay: Duration, bridge: Duration, dt: Duration) -> bool {
        if input {
            self.on_for = self.on_for.saturating_add(self.away_for).saturating_add(dt);
            self.away_for = Duration::ZERO;
        } else if self.on_for > Duration::ZERO {
            self.away_for = self.away_for.saturating_add(dt);
            if self.away_for > bridge {
                (self.on_for, self.away_for) = (Duration::ZERO, Duration::ZERO);
            }
        }
        self.on = input && self.on_for >= delay;
        self.on
    }
}

/// A latched trip.
///
/// - It trips when its cause has persisted for the delay.
/// - It stays tripped when the cause is gone.
/// - A reset takes effect only on its rising edge (a reset button that is stuck, or a reset command
///   that is repeated, releases nothing) and only when the cause is absent (a reset cannot override).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
pub struct Interlock {
    cause: OnDelay,
    tripped: bool,
    reset_before: bool,
}

impl Interlock {
    /// Released, with the whole delay ahead.
    pub const RELEASED: Self = Self { cause: OnDelay::OFF, tripped: false, reset_before: false };

    /// Whether the interlock is tripped.
    #[must_use]
    pub const fn is_tripped(&self) -> bool {
        self.tripped
    }

    /// Takes the cause that held during the last `dt` and the position of the reset button; returns
    /// whether the interlock is tripped.
    pub fn step(&mut self, cause: bool, reset: bool, delay: Duration, dt: Duration) -> bool {
        self.step_bridged(cause, reset, (delay, Duration::ZERO), dt)
    }

    /// Likewise, for a cause that comes and goes: it persists through gaps of up to `bridge`, see
    /// [`OnDelay::step_bridged`].
    pub fn step_bridged(
        &mut self,
        cause: bool,
        reset: bool,
        (delay, bridge): (Duration, Duration),
        dt: Duration,
    ) -> bool {
        let reset_pressed = reset && !self.reset_before;
        self.reset_before = reset;
        if self.cause.step_bridged(cause, delay, bridge, dt) {
            self.tripped = true;
        } else if reset_pressed && !cause {
            self.tripped = false;
        }
        self.tripped
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_millis(10);
    const DELAY: Duration = Duration::from_millis(30);

    fn tripped_after(causes_and_resets: &[(bool, bool)]) -> bool {
        let mut interlock = Interlock::RELEASED;
        for (cause, reset) in causes_and_resets {
            interlock.step(*cause, *reset, DELAY, TICK);
        }
        interlock.is_tripped()
    }

    const CAUSE: (bool, bool) = (true, false);
    const QUIET: (bool, bool) = (false, false);
    const RESET: (bool, bool) = (false, true);

    #[test]
    fn a_cause_shorter_than_the_delay_does_not_trip() {
        assert!(!tripped_after(&[CAUSE, CAUSE, QUIET, CAUSE, CAUSE]));
    }

    #[test]
    fn a_cause_that_persists_trips_and_stays_when_it_is_gone() {
        assert!(tripped_after(&[CAUSE, CAUSE, CAUSE]));
        assert!(tripped_after(&[CAUSE, CAUSE, CAUSE, QUIET, QUIET]));
    }

    #[test]
    fn a_reset_releases_once_the_cause_is_gone() {
        assert!(!tripped_after(&[CAUSE, CAUSE, CAUSE, QUIET, RESET]));
    }

    #[test]
    fn a_reset_during_the_cause_releases_nothing() {
        assert!(tripped_after(&[CAUSE, CAUSE, CAUSE, (true, true)]));
    }

    #[test]
    fn a_reset_that_is_held_while_the_cause_goes_releases_nothing() {
        assert!(tripped_after(&[CAUSE, CAUSE, CAUSE, (true, true), RESET, RESET]));
        assert!(!tripped_after(&[CAUSE, CAUSE, CAUSE, (true, true), RESET, QUIET, RESET]));
    }

    #[test]
    fn a_cause_that_comes_and_goes_persists_through_gaps_that_are_bridged_and_through_no_longer_ones() {
        let bridged = |history: &[bool]| {
            let mut delay = OnDelay::OFF;
            history.iter().any(|input| delay.step_bridged(*input, DELAY, TICK * 2, TICK))
        };
        assert!(bridged(&[true, false, false, true]));
        assert!(!bridged(&[true, false, false, false, true, true]));
        assert!(!bridged(&[true, true, false, false, false]), "it is away");
    }

    proptest! {
        /// The rule said in one sentence per line over the whole history, without a state.
        #[test]
        fn the_interlock_agrees_with_its_rule_over_any_history(
            history in proptest::collection::vec((any::<bool>(), any::<bool>()), 1..60), delay_ticks in 0_u32..5,
        ) {
            let delay = TICK * delay_ticks;
            let mut interlock = Interlock::RELEASED;
            for now in 0..history.len() {
                let (cause, reset) = history[now];
                let tripped = interlock.step(cause, reset, delay, TICK);
                let persisted_at = |t: usize| {
                    let needed = (delay_ticks as usize).max(1);
                    t + 1 >= needed && history[t + 1 - needed..=t].iter().all(|(cause, _)| *cause)
                };
                let released_at = |t: usize| {
                    let (cause, reset) = history[t];
                    reset && !cause && (t == 0 || !history[t - 1].1)
                };
                let last_trip = (0..=now).rev().find(|t| persisted_at(*t));
                let last_release = (0..=now).rev().find(|t| released_at(*t));
                let expected = match (last_trip, last_release) {
                    (Some(trip), Some(release)) => trip > release,
                    (trip, None) => trip.is_some(),
                    (None, Some(_)) => false,
                };
                prop_assert_eq!(tripped, expected, "at {}", now);
            }
        }
    }
}
