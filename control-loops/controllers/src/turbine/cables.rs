//! How far the cables in the tower are twisted, and when they have to be untwisted.
//!
//! # Problem
//!
//! The cables from the nacelle hang down the tower, and each turn of the nacelle twists them. A wind that keeps turning
//! the same way would tear them. So a counter at the yaw drive says how far the nacelle is from where the cables hang
//! straight; but a counter that stands still, or has lost its place, would have them torn, too.
//!
//! # Model
//!
//! Twisted beyond the soft limit the cables are untwisted when little is lost by it, in idle without wind; beyond the hard
//! limit the turbine stops for it. An untwisting goes on until the cables are nearly straight, and until then the turbine
//! does not start.
//!
//! The counter is held against an observer, which turns with the commanded rate and, while it turns, is drawn slowly towards
//! what the counter says. While it stands it is not: many short turns would hide a counter that stands still. A counter that
//! is too far away for too long has lost its place, and is not believed again before a reset. In service people turn the
//! nacelle, and the observer follows the counter.

use hal_process_image::Sample;
use hal_units::{Duration, Radians, RadiansPerSecond};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::YawParameters;
use super::io::usable;

/// What may be done as far as the cables are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cables {
    /// The device does not say; then it looks after them itself.
    Unwatched,
    /// The twist is not known: the nacelle must not turn.
    Unknown,
    /// Far enough from both limits, or not yet to be untwisted.
    Free,
    /// To be untwisted, by a positive rate or a negative one.
    Due {
        /// Which way.
        positive: bool,
    },
}

/// What is remembered of the cables. Plain data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct CableWatch {
    /// Where the counter should be; `None` before its first value.
    expected: Option<Radians>,
    /// For how long it has been elsewhere.
    doubted_for: Duration,
    /// It has lost its place; until a reset.
    lost: bool,
    /// The cables have to be untwisted.
    due: bool,
    /// The reset was there in the last step.
    reset: bool,
}

/// What the watch looks at besides the counter.
#[derive(Debug, Clone, Copy)]
pub(super) struct CableSight {
    /// Commanded in the last step.
    pub(super) rate: RadiansPerSecond,
    /// An untwisting would cost no power: the soft limit counts.
    pub(super) spare_time: bool,
    /// People may turn the nacelle by hand.
    pub(super) by_hand: bool,
    /// A person says that the counter is right.
    pub(super) reset: bool,
}

impl CableWatch {
    /// Has seen nothing.
    pub const NEW: Self =
        Self { expected: None, doubted_for: Duration::ZERO, lost: false, due: false, reset: false };

    /// Whether the counter has lost its place: it is not believed before a reset.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// A predecessor has found that the counter had lost its place, and nobody has looked at it since.
    pub(super) const fn resume_lost(&mut self) {
        self.lost = true;
    }

    /// Whether the turbine has to stand until the cables are untwisted.
    pub(super) const fn is_due(&self) -> bool {
        self.due
    }

    /// Takes the counter's next value as the right one: somebody else has turned the nacelle until now. What is lost or
    /// due stays so.
    pub(super) const fn follow_from_here(&mut self) {
        self.expected = None;
        self.doubted_for = Duration::ZERO;
    }

    /// Takes the twist (rad, positive after positive rates; `None` if the device does not say).
    pub(super) fn step(
        &mut self,
        twist: Option<&Sample>,
        sight: CableSight,
        p: &YawParameters,
        dt: Duration,
    ) -> Cables {
        let Some(sample) = twist else {
            return Cables::Unwatched;
        };
        let pressed = sight.reset && !self.reset;
        self.reset = sight.reset;
        let Some(twist) = usable(sample).map(Radians) else {
            return Cables::Unknown;
        };
        self.lost &= !pressed;
        if pressed || sight.by_hand {
            self.follow_from_here();
        }
        if !self.believes(twist, sight.rate, p, dt) {
            return Cables::Unknown;
        }
        let from_straight = twist.abs();
        if from_straight >= p.twist_hard || sight.spare_time && from_straight >= p.twist_soft {
            self.due = true;
        } else if from_straight <= p.untwisted {
            self.due = false;
        }
        if self.due { Cables::Due { positive: twist < Radians::ZERO } } else { Cables::Free }
    }

    fn believes(&mut self, twist: Radians, rate: RadiansPerSecond, p: &YawParameters, dt: Duration) -> bool {
        let turned = Radians(rate.get() * dt.as_secs_f64());
        let expected = self.expected.unwrap_or(twist) + turned;
        let apart = twist - expected;
        if apart.abs() > p.twist_deviation {
            self.expected = Some(expected);
            self.doubted_for = self.doubted_for.saturating_add(dt);
            self.lost |= self.doubted_for >= p.twist_doubt_max;
            return false;
        }
        self.expected = Some(expected + apart * (turned.abs() / p.twist_observer_way).min(1.0));
        self.doubted_for = Duration::ZERO;
        !self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_process_image::Quality;
    use hal_units::Instant;

    const TICK: Duration = Duration::from_millis(100);
    const P: YawParameters = YawParameters::NREL_5MW;
    const STANDING: CableSight =
        CableSight { rate: RadiansPerSecond::ZERO, spare_time: false, by_hand: false, reset: false };

    fn good(degrees: f64) -> Sample {
        let value = Radians::from_degrees(degrees).get();
        Sample { value, quality: Quality::Good, acquired_at: Instant::ZERO, sequence: 1 }
    }

    /// Standing at a twist.
    fn watch_at(degrees: f64) -> CableWatch {
        let mut watch = CableWatch::NEW;
        for _ in 0..10 {
            watch.step(Some(&good(degrees)), STANDING, &P, TICK);
        }
        watch
    }

    fn seen(watch: &mut CableWatch, degrees: f64, sight: CableSight, seconds: u32) -> Cables {
        let mut last = Cables::Unknown;
        for _ in 0..seconds * 10 {
            last = watch.step(Some(&good(degrees)), sight, &P, TICK);
        }
        last
    }

    /// Turns by command, at a speed and in a direction of the drive's own; the first time at which nothing is believed.
    fn doubted_after_s(real_per_commanded: f64) -> Option<u32> {
        let (mut watch, mut degrees) = (watch_at(0.0), 0.0);
        let turning = CableSight { rate: P.rate, ..STANDING };
        (0..2000).find(|_| {
            degrees += 0.3 * real_per_commanded;
            seen(&mut watch, degrees, turning, 1) == Cables::Unknown
        })
    }

    #[test]
    fn the_soft_limit_counts_with_time_to_spare_alone_and_the_hard_one_always() {
        let spare = CableSight { spare_time: true, ..STANDING };
        for (degrees, positive) in [(730.0, false), (-730.0, true)] {
            assert_eq!(seen(&mut watch_at(degrees), degrees, STANDING, 1), Cables::Free);
            assert_eq!(seen(&mut watch_at(degrees), degrees, spare, 1), Cables::Due { positive });
        }
        for (degrees, positive) in [(1081.0, false), (-1081.0, true)] {
            assert_eq!(seen(&mut watch_at(degrees), degrees, STANDING, 1), Cables::Due { positive });
        }
    }

    #[test]
    fn what_is_due_stays_so_until_the_cables_are_nearly_straight() {
        let mut watch = watch_at(1090.0);
        let back = CableSight { rate: -P.rate, ..STANDING };
        let mut degrees = 1090.0;
        while degrees > 20.0 {
            assert_eq!(seen(&mut watch, degrees, back, 1), Cables::Due { positive: false }, "{degrees}");
            degrees -= 0.3;
        }
        assert_eq!(seen(&mut watch, degrees, back, 1), Cables::Free);
    }

    #[test]
    fn a_counter_that_follows_a_drive_20_percent_too_slow_or_too_fast_is_believed() {
        assert_eq!([0.8, 1.0, 1.2].map(doubted_after_s), [None; 3]);
    }

    #[test]
    fn a_counter_that_stands_still_or_counts_backwards_is_found_out_within_a_minute() {
        assert!(doubted_after_s(0.0).is_some_and(|s| s < 60));
        assert!(doubted_after_s(-1.0).is_some_and(|s| s < 30));
    }

    #[test]
    fn a_counter_that_stands_still_is_found_out_over_many_short_turns_too() {
        let mut watch = watch_at(0.0);
        let turning = CableSight { rate: P.rate, ..STANDING };
        let found_out = (0..10).find(|_| {
            seen(&mut watch, 0.0, STANDING, 600);
            seen(&mut watch, 0.0, turning, 10) == Cables::Unknown
        });
        assert_eq!(found_out, Some(4));
    }

    #[test]
    fn what_people_turn_in_service_needs_no_reset_and_what_turns_by_itself_does() {
        let by_hand = CableSight { by_hand: true, ..STANDING };
        let mut watch = watch_at(0.0);
        assert_eq!(seen(&mut watch, 300.0, by_hand, 2), Cables::Free);
        assert_eq!(seen(&mut watch, 300.0, STANDING, 2), Cables::Free);
        assert_eq!(seen(&mut watch, 311.0, STANDING, 2), Cables::Unknown);
        assert_eq!(seen(&mut watch, 311.0, by_hand, 2), Cables::Unknown);
    }

    #[test]
    fn a_counter_that_jumps_is_not_believed_until_a_reset_even_if_it_jumps_back() {
        let mut watch = watch_at(500.0);
        assert_eq!(seen(&mut watch, 0.0, STANDING, 2), Cables::Unknown);
        assert_eq!(seen(&mut watch, 500.0, STANDING, 600), Cables::Unknown);
        let reset = CableSight { reset: true, ..STANDING };
        assert_eq!(seen(&mut watch, 500.0, reset, 1), Cables::Free);
        // A reset that is held is one.
        assert_eq!(seen(&mut watch, 0.0, reset, 2), Cables::Unknown);
    }

    #[test]
    fn a_counter_that_comes_back_without_power_at_another_place_has_lost_it() {
        let mut watch = watch_at(500.0);
        for _ in 0..100 {
            assert_eq!(watch.step(Some(&Sample::NEVER), STANDING, &P, TICK), Cables::Unknown);
        }
        assert_eq!(seen(&mut watch, 500.0, STANDING, 1), Cables::Free);
        watch.step(Some(&Sample::NEVER), STANDING, &P, TICK);
        assert_eq!(seen(&mut watch, 0.0, STANDING, 2), Cables::Unknown);
    }

    #[test]
    fn one_wild_sample_holds_the_nacelle_for_that_sample_alone() {
        let mut watch = watch_at(500.0);
        assert_eq!(watch.step(Some(&good(2000.0)), STANDING, &P, TICK), Cables::Unknown);
        assert_eq!(watch.step(Some(&good(500.0)), STANDING, &P, TICK), Cables::Free);
    }
}
