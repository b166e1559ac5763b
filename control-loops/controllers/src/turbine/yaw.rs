//! Turning the nacelle into the wind.

use control_loops_blocks::OnePole;
use hal_units::{Duration, RadiansPerSecond};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::YawParameters;

/// Dead-band yaw: waits until the filtered error leaves the dead band, then turns by that error.
///
/// The turn is measured in time at the drive's fixed rate, not by watching the error: while the nacelle
/// turns, the filtered error lags, and stopping on it would overshoot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub enum YawDrive {
    /// Standing, with the filtered error, rad.
    Holding(OnePole),
    /// Turning.
    Turning {
        /// Which way: positive reduces a positive error.
        positive: bool,
        /// How much longer.
        remaining: Duration,
    },
}

impl YawDrive {
    /// Standing, aligned.
    pub const ALIGNED: Self = Self::Holding(OnePole::new(0.0));

    /// Takes the yaw error (rad; `None` if unknown) and gives the rate. Stops where it is while yawing
    /// is not allowed or the error is unknown.
    pub(super) fn step(
        &mut self,
        error_rad: Option<f64>,
        allowed: bool,
        p: &YawParameters,
        dt: Duration,
    ) -> RadiansPerSecond {
        let (Some(error_rad), true) = (error_rad, allowed) else {
            *self = Self::ALIGNED;
            return RadiansPerSecond::ZERO;
        };
        *self = match *self {
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
                Some(_) | None => Self::ALIGNED,
            },
        };
        match *self {
            Self::Holding(_) => RadiansPerSecond::ZERO,
            Self::Turning { positive: true, .. } => p.rate,
            Self::Turning { positive: false, .. } => -p.rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_units::Radians;

    const TICK: Duration = Duration::from_millis(100);

    /// Lets the drive work against a wind that stands `degrees` off, for 20 minutes; the final error.
    fn error_after_20_minutes_deg(degrees: f64, allowed: bool) -> f64 {
        let p = YawParameters::NREL_5MW;
        let (mut drive, mut error) = (YawDrive::ALIGNED, Radians::from_degrees(degrees));
        for _ in 0..12_000 {
            let rate = drive.step(Some(error.get()), allowed, &p, TICK);
            assert!(rate.abs() <= p.rate);
            error -= Radians(rate.get() * TICK.as_secs_f64());
        }
        error.as_degrees()
    }

    #[test]
    fn an_error_beyond_the_dead_band_is_worked_off() {
        for degrees in [9.0, -9.0, 30.0, -90.0, 170.0] {
            let left = error_after_20_minutes_deg(degrees, true);
            assert!(left.abs() < 8.0, "{degrees} leaves {left}");
        }
    }

    #[test]
    fn an_error_within_the_dead_band_is_left_alone() {
        assert!((error_after_20_minutes_deg(7.5, true) - 7.5).abs() < 1e-9);
    }

    #[test]
    fn nothing_turns_while_it_is_not_allowed() {
        assert!((error_after_20_minutes_deg(45.0, false) - 45.0).abs() < 1e-9);
    }

    #[test]
    fn a_turn_ends_when_the_wind_vane_is_lost() {
        let p = YawParameters::NREL_5MW;
        let mut drive = YawDrive::Turning { positive: true, remaining: Duration::from_secs(60) };
        assert_eq!(drive.step(Some(0.5), true, &p, TICK), p.rate);
        assert_eq!(drive.step(None, true, &p, TICK), RadiansPerSecond::ZERO);
        assert_eq!(drive, YawDrive::ALIGNED);
    }
}
