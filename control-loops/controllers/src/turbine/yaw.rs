//! Turning the nacelle into the wind, and back for the sake of the cables.
//!
//! Which of both, or neither, is one table over mode, wind and cables: [`YawTask::of`]. In strong wind a feathered turbine keeps
//! facing the wind, so nothing is untwisted then: that would turn it across the wind several times.

use control_loops_blocks::OnePole;
use hal_units::{Duration, RadiansPerSecond};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::cables::Cables;
use super::{ModeName, WindBand, YawParameters};

/// What the nacelle has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum YawTask {
    /// Stay.
    Stand,
    /// Follow the wind.
    Follow,
    /// Untwist the cables.
    Untwist {
        /// By a positive rate.
        positive: bool,
    },
}

impl YawTask {
    /// The one table.
    ///
    /// | cables | idle | start-up, run, derated | stopping, parked, service |
    /// |---|---|---|---|
    /// | unwatched, free | follow, unless calm | follow, unless calm | stand |
    /// | due | untwist, unless storm | stand | stand |
    /// | unknown | stand | stand | stand |
    pub(super) const fn of(mode: ModeName, wind: WindBand, cables: Cables) -> Self {
        match (mode, cables) {
            (
                ModeName::NormalStop | ModeName::EmergencyStop | ModeName::Parked | ModeName::Service,
                Cables::Unwatched | Cables::Free | Cables::Due { .. } | Cables::Unknown,
            )
            | (ModeName::Idle | ModeName::StartUp | ModeName::Run | ModeName::Derated, Cables::Unknown)
            | (ModeName::StartUp | ModeName::Run | ModeName::Derated, Cables::Due { .. }) => Self::Stand,
            (ModeName::Idle, Cables::Due { positive }) => match wind {
                WindBand::Calm | WindBand::Weak | WindBand::Operating => Self::Untwist { positive },
                WindBand::Storm => Self::Stand,
            },
            (
                ModeName::Idle | ModeName::StartUp | ModeName::Run | ModeName::Derated,
                Cables::Unwatched | Cables::Free,
            ) => match wind {
                // A vane without wind points anywhere.
                WindBand::Calm => Self::Stand,
                WindBand::Weak | WindBand::Operating | WindBand::Storm => Self::Follow,
            },
        }
    }
}

/// What the yaw drive does, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum YawStatus {
    /// It stands.
    #[default]
    Standing,
    /// It turns the nacelle into the wind.
    Turning,
    /// It untwists the cables.
    Untwisting,
    /// The cables have to be untwisted: the turbine comes to rest for it, or waits for a storm to pass.
    UntwistDue,
    /// The twist of the cables is not known, or not believed: the nacelle stays where it is.
    TwistUnknown,
}

impl YawStatus {
    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standing => "standing",
            Self::Turning => "turning",
            Self::Untwisting => "untwisting",
            Self::UntwistDue => "untwist_due",
            Self::TwistUnknown => "twist_unknown",
        }
    }

    pub(super) const fn of(drive: &YawDrive, cables: Cables) -> Self {
        match (drive, cables) {
            (_, Cables::Unknown) => Self::TwistUnknown,
            (YawDrive::Untwisting { .. }, Cables::Unwatched | Cables::Free | Cables::Due { .. }) => {
                Self::Untwisting
            }
            (YawDrive::Holding(_) | YawDrive::Turning { .. } | YawDrive::Resting(_), Cables::Due { .. }) => {
                Self::UntwistDue
            }
            (YawDrive::Turning { .. }, Cables::Unwatched | Cables::Free) => Self::Turning,
            (YawDrive::Holding(_) | YawDrive::Resting(_), Cables::Unwatched | Cables::Free) => Self::Standing,
        }
    }
}

/// Dead-band yaw: waits until the filtered error leaves the dead band, then turns by that error.
///
/// The turn is measured in time at the drive's fixed rate, not by watching the error: while the nacelle
/// turns, the filtered error lags, and stopping on it would overshoot. An untwisting ends when the task does. After
/// each turn the drive rests before the next.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub enum YawDrive {
    /// Standing, with the filtered error, rad.
    Holding(OnePole),
    /// Turning into the wind.
    Turning {
        /// Which way: positive reduces a positive error.
        positive: bool,
        /// How much longer.
        remaining: Duration,
    },
    /// Untwisting the cables.
    Untwisting {
        /// Which way.
        positive: bool,
    },
    /// Coming to rest after a turn, for so much longer.
    Resting(Duration),
}

impl YawDrive {
    /// Standing, aligned.
    pub const ALIGNED: Self = Self::Holding(OnePole::new(0.0));

    /// The rate that is commanded.
    pub(super) fn rate(&self, p: &YawParameters) -> RadiansPerSecond {
        match *self {
            Self::Holding(_) | Self::Resting(_) => RadiansPerSecond::ZERO,
            Self::Turning { positive: true, .. } | Self::Untwisting { positive: true } => p.rate,
            Self::Turning { positive: false, .. } | Self::Untwisting { positive: false } => -p.rate,
        }
    }

    /// Takes the yaw error (rad; `None` if unknown) and gives the rate. Stops where it is if there is nothing to do, or
    /// while it follows and the error is unknown.
    pub(super) fn step(
        &mut self,
        error_rad: Option<f64>,
        task: YawTask,
        p: &YawParameters,
        dt: Duration,
    ) -> RadiansPerSecond {
        *self = match (task, error_rad) {
            (YawTask::Stand, _) | (YawTask::Follow, None) => self.standing(p, dt),
            (YawTask::Untwist { positive }, _) => self.untwisting(positive, p, dt),
            (YawTask::Follow, Some(error_rad)) => self.following(error_rad, p, dt),
        };
        self.rate(p)
    }

    fn standing(self, p: &YawParameters, dt: Duration) -> Self {
        match self {
            Self::Holding(_) => Self::ALIGNED,
            Self::Turning { .. } | Self::Untwisting { .. } => Self::Resting(p.rest),
            Self::Resting(remaining) => rested(remaining, dt),
        }
    }

    fn untwisting(self, positive: bool, p: &YawParameters, dt: Duration) -> Self {
        match self {
            Self::Holding(_) => Self::Untwisting { positive },
            Self::Untwisting { positive: already } if already == positive => self,
            Self::Turning { .. } | Self::Untwisting { .. } => Self::Resting(p.rest),
            Self::Resting(remaining) => rested(remaining, dt),
        }
    }

    fn following(self, error_rad: f64, p: &YawParameters, dt: Duration) -> Self {
        match self {
            Self::Holding(mut filter) => {
                let filtered = filter.step(error_rad, p.filter_corner, dt);
                let turn_s = filtered.abs().min(core::f64::consts::PI) / p.rate.get();
                if filtered.abs() > p.dead_band.get() && turn_s.is_finite() {
                    // At most half a turn at 0.3 deg/s: ten minutes.
                    let remaining = Duration::try_from_secs_f64(turn_s).unwrap_or(Duration::ZERO);
                    Self::Turning { positive: filtered > 0.0, remaining }
                } else {
                    Self::Holding(filter)
                }
            }
            Self::Turning { positive, remaining } => match remaining.checked_sub(dt) {
                Some(remaining) if !remaining.is_zero() => Self::Turning { positive, remaining },
                Some(_) | None => Self::Resting(p.rest),
            },
            Self::Untwisting { .. } => Self::Resting(p.rest),
            Self::Resting(remaining) => rested(remaining, dt),
        }
    }
}

fn rested(remaining: Duration, dt: Duration) -> YawDrive {
    match remaining.checked_sub(dt) {
        Some(remaining) if !remaining.is_zero() => YawDrive::Resting(remaining),
        Some(_) | None => YawDrive::ALIGNED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_units::Radians;

    const TICK: Duration = Duration::from_millis(100);

    /// The table once more, as the rules that it has to keep.
    #[test]
    fn the_table_of_tasks_keeps_every_rule_for_every_mode_wind_and_cable() {
        let winds = [WindBand::Calm, WindBand::Weak, WindBand::Operating, WindBand::Storm];
        let due = [true, false].map(|positive| Cables::Due { positive });
        let cables = [Cables::Unwatched, Cables::Unknown, Cables::Free, due[0], due[1]];
        for mode in ModeName::ALL {
            let moves =
                matches!(mode, ModeName::Idle | ModeName::StartUp | ModeName::Run | ModeName::Derated);
            for (wind, cable) in winds.iter().flat_map(|wind| cables.iter().map(move |cable| (*wind, *cable)))
            {
                let task = YawTask::of(mode, wind, cable);
                let free = matches!(cable, Cables::Unwatched | Cables::Free);
                let follows = moves && free && wind != WindBand::Calm;
                let untwists = mode == ModeName::Idle && wind != WindBand::Storm;
                let expected = match cable {
                    Cables::Due { positive } if untwists => YawTask::Untwist { positive },
                    _ if follows => YawTask::Follow,
                    _ => YawTask::Stand,
                };
                assert_eq!(task, expected, "{mode:?} {wind:?} {cable:?}");
            }
        }
    }

    /// Lets the drive work against a wind that stands `degrees` off, for 20 minutes; the final error.
    fn error_after_20_minutes_deg(degrees: f64, task: YawTask) -> f64 {
        let p = YawParameters::NREL_5MW;
        let (mut drive, mut error) = (YawDrive::ALIGNED, Radians::from_degrees(degrees));
        for _ in 0..12_000 {
            let rate = drive.step(Some(error.get()), task, &p, TICK);
            assert!(rate.abs() <= p.rate);
            error -= Radians(rate.get() * TICK.as_secs_f64());
        }
        error.as_degrees()
    }

    #[test]
    fn an_error_beyond_the_dead_band_is_worked_off() {
        for degrees in [9.0, -9.0, 30.0, -90.0, 170.0] {
            let left = error_after_20_minutes_deg(degrees, YawTask::Follow);
            assert!(left.abs() < 8.0, "{degrees} leaves {left}");
        }
    }

    #[test]
    fn an_error_within_the_dead_band_is_left_alone() {
        assert!((error_after_20_minutes_deg(7.5, YawTask::Follow) - 7.5).abs() < 1e-9);
    }

    #[test]
    fn nothing_turns_while_it_is_not_allowed() {
        assert!((error_after_20_minutes_deg(45.0, YawTask::Stand) - 45.0).abs() < 1e-9);
    }

    #[test]
    fn a_turn_ends_when_the_wind_vane_is_lost() {
        let p = YawParameters::NREL_5MW;
        let mut drive = YawDrive::Turning { positive: true, remaining: Duration::from_secs(60) };
        assert_eq!(drive.step(Some(0.5), YawTask::Follow, &p, TICK), p.rate);
        assert_eq!(drive.step(None, YawTask::Follow, &p, TICK), RadiansPerSecond::ZERO);
        assert_eq!(drive, YawDrive::Resting(p.rest));
    }

    /// Each state under each task: what it becomes, and that nothing turns the other way without a rest.
    #[test]
    fn the_table_of_states_holds_for_every_state_and_task() {
        let p = YawParameters::NREL_5MW;
        let long = Duration::from_secs(60);
        let turning = |positive| YawDrive::Turning { positive, remaining: long };
        let untwisting = |positive| YawDrive::Untwisting { positive };
        let states = [
            YawDrive::ALIGNED,
            YawDrive::Resting(long),
            YawDrive::Resting(TICK),
            turning(true),
            turning(false),
            untwisting(true),
            untwisting(false),
        ];
        let tasks = [YawTask::Stand, YawTask::Follow]
            .into_iter()
            .chain([true, false].map(|positive| YawTask::Untwist { positive }));
        for (task, before) in tasks.flat_map(|task| states.map(|state| (task, state))) {
            let mut after = before;
            let rate = after.step(Some(0.0), task, &p, TICK);
            let expected = match (before, task) {
                (YawDrive::Holding(_), YawTask::Untwist { positive }) => untwisting(positive),
                (YawDrive::Untwisting { positive: is }, YawTask::Untwist { positive }) if is == positive => {
                    before
                }
                (YawDrive::Turning { positive, .. }, YawTask::Follow) => {
                    YawDrive::Turning { positive, remaining: long - TICK }
                }
                (YawDrive::Turning { .. } | YawDrive::Untwisting { .. }, _) => YawDrive::Resting(p.rest),
                (YawDrive::Resting(remaining), _) if remaining > TICK => YawDrive::Resting(remaining - TICK),
                (YawDrive::Holding(_) | YawDrive::Resting(_), _) => YawDrive::ALIGNED,
            };
            assert_eq!(after, expected, "{before:?} {task:?}");
            assert!(before.rate(&p).get() * rate.get() >= 0.0, "{before:?} {task:?}");
        }
    }
}
