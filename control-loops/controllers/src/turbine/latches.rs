//! Trips that wait for their causes to persist, and that stay until somebody resets them.
//!
//! # Model
//!
//! - A trip latches when its cause has persisted for its delay. A cause that comes and goes persists through gaps that
//!   are bridged: such a gap is no break, and counts, too, once the cause is back.
//! - It stays latched when the cause is gone.
//! - A reset takes effect only on its rising edge (a reset button that is stuck, or a reset command that is
//!   repeated, releases nothing) and only for causes that are absent (a reset cannot override).
//!
//! Causes are a set of bits, and time is kept for those alone that are there, or were within their gap: while all is
//! well a step looks at two sets and finds them empty.

use hal_units::Duration;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::{Trip, TripSet};

/// Latched trips, and the causes on their way there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
pub(super) struct Latches {
    latched: TripSet,
    /// Causes whose time is kept.
    pending: TripSet,
    persistence: [Persistence; Trip::COUNT],
    reset_before: bool,
}

/// For how long a cause has persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
struct Persistence {
    on_for: Duration,
    /// How long it has been away, where that is no break.
    away_for: Duration,
}

/// What a cause needs to trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing {
    /// For so long it has to persist; zero lets it through.
    pub(super) delay: Duration,
    /// Through gaps of up to so long it does.
    pub(super) bridge: Duration,
}

impl Latches {
    /// What is latched.
    pub(super) const fn latched(&self) -> TripSet {
        self.latched
    }

    /// Takes the causes that held during the last `dt` and the position of the reset button; returns what is latched.
    pub(super) fn step(
        &mut self,
        causes: TripSet,
        reset: bool,
        timing: impl Fn(Trip) -> Timing,
        dt: Duration,
    ) -> TripSet {
        if reset && !self.reset_before {
            self.latched = self.latched.intersection(causes);
        }
        self.reset_before = reset;
        for trip in causes.union(self.pending).iter() {
            let Some(persistence) = self.persistence.get_mut(trip as usize) else { continue };
            let cause = causes.contains(trip);
            let Timing { delay, bridge } = timing(trip);
            persistence.step(cause, bridge, dt);
            if cause && persistence.on_for >= delay {
                self.latched.insert(trip);
            }
            self.pending.set(trip, persistence.on_for > Duration::ZERO);
        }
        self.latched
    }
}

impl Persistence {
    fn step(&mut self, cause: bool, bridge: Duration, dt: Duration) {
        if cause {
            self.on_for = self.on_for.saturating_add(self.away_for).saturating_add(dt);
            self.away_for = Duration::ZERO;
        } else {
            self.away_for = self.away_for.saturating_add(dt);
            if self.away_for > bridge {
                *self = Self::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_millis(10);
    const DELAY: Duration = Duration::from_millis(30);
    const TRIP: Trip = Trip::Vibration;

    fn latched_after(bridge: Duration, causes_and_resets: &[(bool, bool)]) -> bool {
        let mut latches = Latches::default();
        for (cause, reset) in causes_and_resets {
            let mut causes = TripSet::NONE;
            causes.set(TRIP, *cause);
            latches.step(causes, *reset, |_| Timing { delay: DELAY, bridge }, TICK);
        }
        latches.latched().contains(TRIP)
    }

    fn tripped_after(causes_and_resets: &[(bool, bool)]) -> bool {
        latched_after(Duration::ZERO, causes_and_resets)
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
        let bridged = |history: &[(bool, bool)]| latched_after(TICK * 2, history);
        assert!(bridged(&[CAUSE, QUIET, QUIET, CAUSE]));
        assert!(!bridged(&[CAUSE, QUIET, QUIET, QUIET, CAUSE, CAUSE]));
        assert!(!bridged(&[CAUSE, CAUSE, QUIET, QUIET, QUIET]), "it is away");
    }

    /// What a trip needs, in ticks.
    fn any_timing() -> impl Strategy<Value = (usize, usize)> {
        (0..5_usize, 0..3_usize)
    }

    proptest! {
        /// The rule for each trip alone, over the whole history and without a state.
        #[test]
        fn each_trip_agrees_with_its_rule_over_any_history_of_all_of_them(
            history in prop::collection::vec((any::<[bool; Trip::COUNT]>(), any::<bool>()), 1..60),
            timings in prop::collection::vec(any_timing(), Trip::COUNT),
        ) {
            let ticks = |count: usize| TICK * count as u32;
            let timing = |trip: Trip| {
                let (delay, bridge) = timings[trip as usize];
                Timing { delay: ticks(delay), bridge: ticks(bridge) }
            };
            let mut latches = Latches::default();
            for now in 0..history.len() {
                let (there, reset) = history[now];
                let causes = Trip::ALL.into_iter().filter(|trip| there[*trip as usize]).collect();
                let latched = latches.step(causes, reset, timing, TICK);
                for trip in Trip::ALL {
                    let cause = |t: usize| history[t].0[trip as usize];
                    let (delay, bridge) = timings[trip as usize];
                    let persisted_at = |t: usize| {
                        let unbroken = |from: usize| {
                            history[from..=t].windows(bridge + 1).all(|gap| gap.iter().any(|(there, _)| there[trip as usize]))
                        };
                        cause(t) && (0..=t).any(|from| cause(from) && t + 1 - from >= delay && unbroken(from))
                    };
                    let released_at = |t: usize| history[t].1 && !cause(t) && (t == 0 || !history[t - 1].1);
                    let last_trip = (0..=now).rev().find(|t| persisted_at(*t));
                    let last_release = (0..=now).rev().find(|t| released_at(*t));
                    let expected = last_trip.is_some() && last_trip > last_release;
                    prop_assert_eq!(latched.contains(trip), expected, "{:?} at {}", trip, now);
                }
            }
        }
    }
}
