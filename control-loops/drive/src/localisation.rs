//! Where the vehicle is: old fixes, carried on by fresh odometry.
//!
//! # Model
//!
//! A localisation tells a pose now and then, and how old it is. Between fixes the estimate moves with the measured
//! twist. A fix is first carried on by its own age, then pulls the estimate towards itself by a fixed share, so
//! that its noise is averaged and the drift of the odometry stays small (a complementary filter). A fix that is
//! further away than the vehicle can have got is not averaged in: it says that one of the two is wrong.

use core::f64::consts::{PI, TAU};

use hal_units::{Duration, Meters, Radians};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::chassis::Twist;

/// Position and heading of the reference point on the floor.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct Pose {
    /// Metres.
    pub x: Meters,
    /// Metres.
    pub y: Meters,
    /// From x, counterclockwise, from -pi to pi.
    pub heading: Radians,
}

impl Pose {
    /// The pose after so long at a twist. Exact for constant twists.
    #[must_use]
    pub fn moved(&self, twist: Twist, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        let (driven, turned) = (twist.speed.get() * seconds, twist.turn_rate.get() * seconds);
        // The chord of the arc: its direction is the mean one, its length that of the arc times sinc.
        let middle = self.heading.get() + turned / 2.0;
        let half = turned / 2.0;
        let chord = if half.abs() < 1e-6 { driven } else { driven * libm::sin(half) / half };
        Self {
            x: self.x + Meters(chord * libm::cos(middle)),
            y: self.y + Meters(chord * libm::sin(middle)),
            heading: wrapped(self.heading + Radians(turned)),
        }
    }

    /// Whether all of it are numbers.
    #[must_use]
    pub const fn is_finite(&self) -> bool {
        self.x.is_finite() && self.y.is_finite() && self.heading.is_finite()
    }

    /// Straight-line distance between two.
    #[must_use]
    pub fn distance(&self, other: &Self) -> Meters {
        Meters(libm::hypot((self.x - other.x).get(), (self.y - other.y).get()))
    }
}

/// An angle from -pi to pi.
#[must_use]
pub fn wrapped(angle: Radians) -> Radians {
    let turned = libm::fmod(angle.get() + PI, TAU);
    Radians(if turned < 0.0 { turned + PI } else { turned - PI })
}

/// What a localisation says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fix {
    /// Where it was.
    pub pose: Pose,
    /// How long ago.
    pub age: Duration,
    /// Another number says that it is another fix.
    pub number: u32,
}

/// Share by which a fix pulls the estimate.
const PULL: f64 = 0.2;
/// A fix that is further off than this, in metres or in heading, contradicts the odometry.
const JUMP: (Meters, Radians) = (Meters(0.3), Radians(0.35));

/// The estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct Localisation {
    pose: Option<Pose>,
    /// How old the newest fix is by now.
    age: Duration,
    /// Number of the newest fix.
    number: u32,
    /// The next fix is taken as it is, wherever that is.
    believe: bool,
}

/// What a fix did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// There was none, or none that is new.
    Nothing,
    /// The estimate follows it.
    Followed,
    /// It contradicts the odometry and was not followed.
    Jumped,
}

impl Localisation {
    /// Nothing is known.
    pub const NONE: Self = Self { pose: None, age: Duration::ZERO, number: 0, believe: true };

    /// Where the vehicle is; none before the first fix.
    #[must_use]
    pub const fn pose(&self) -> Option<Pose> {
        self.pose
    }

    /// How old the newest fix is by now.
    #[must_use]
    pub const fn age(&self) -> Duration {
        self.age
    }

    /// Believes the next fix, wherever that is: somebody has moved the vehicle, or has looked at a jump.
    pub const fn believe_next(&mut self) {
        self.believe = true;
    }

    /// Moves the estimate on by `dt` at the measured twist, and takes a fix in.
    pub fn step(&mut self, twist: Twist, fix: Option<Fix>, dt: Duration) -> Taken {
        self.pose = self.pose.map(|pose| pose.moved(twist, dt));
        self.age = self.age.saturating_add(dt);
        let Some(fix) = fix.filter(|fix| self.believe || fix.number != self.number) else {
            return Taken::Nothing;
        };
        let now = fix.pose.moved(twist, fix.age);
        (self.age, self.number) = (fix.age, fix.number);
        let Some(pose) = self.pose.filter(|_| !self.believe) else {
            (self.pose, self.believe) = (Some(now), false);
            return Taken::Followed;
        };
        let turn = wrapped(now.heading - pose.heading);
        if pose.distance(&now) > JUMP.0 || turn.abs() > JUMP.1 {
            return Taken::Jumped;
        }
        self.pose = Some(Pose {
            x: pose.x + (now.x - pose.x) * PULL,
            y: pose.y + (now.y - pose.y) * PULL,
            heading: wrapped(pose.heading + turn * PULL),
        });
        Taken::Followed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_units::{MetersPerSecond, RadiansPerSecond};

    const TICK: Duration = Duration::from_millis(20);

    fn fix(x: f64, number: u32) -> Fix {
        Fix { pose: Pose { x: Meters(x), ..Pose::default() }, age: Duration::ZERO, number }
    }

    #[test]
    fn an_old_fix_is_carried_on_to_now() {
        let mut localisation = Localisation::NONE;
        let forward = Twist { speed: MetersPerSecond(1.0), ..Twist::REST };
        let old = Fix { age: Duration::from_millis(100), ..fix(2.0, 1) };
        localisation.step(forward, Some(old), TICK);
        assert!((localisation.pose().unwrap_or_default().x.get() - 2.1).abs() < 1e-9);
        assert_eq!(localisation.age(), Duration::from_millis(100));
    }

    #[test]
    fn a_quarter_circle_ends_where_it_should() {
        let twist = Twist { speed: MetersPerSecond(1.0), turn_rate: RadiansPerSecond(PI / 2.0) };
        let end = Pose::default().moved(twist, Duration::from_secs(1));
        let radius = 2.0 / PI;
        assert!((end.x.get() - radius).abs() < 1e-9 && (end.y.get() - radius).abs() < 1e-9);
    }

    #[test]
    fn a_fix_that_jumps_is_not_followed() {
        let mut localisation = Localisation::NONE;
        localisation.step(Twist::REST, Some(fix(0.0, 1)), TICK);
        assert_eq!(localisation.step(Twist::REST, Some(fix(2.0, 2)), TICK), Taken::Jumped);
        assert_eq!(localisation.pose().unwrap_or_default().x, Meters(0.0));
    }

    #[test]
    fn the_same_fix_pulls_once() {
        let mut localisation = Localisation::NONE;
        localisation.step(Twist::REST, Some(fix(0.0, 1)), TICK);
        assert_eq!(localisation.step(Twist::REST, Some(fix(0.1, 2)), TICK), Taken::Followed);
        assert_eq!(localisation.step(Twist::REST, Some(fix(0.1, 2)), TICK), Taken::Nothing);
        assert!((localisation.pose().unwrap_or_default().x.get() - 0.02).abs() < 1e-9);
    }

    #[test]
    fn angles_wrap_at_half_a_turn() {
        assert!((wrapped(Radians(3.5)).get() - (3.5 - TAU)).abs() < 1e-12);
        assert!((wrapped(Radians(-3.5)).get() - (TAU - 3.5)).abs() < 1e-12);
    }
}
