//! Following a route leg by leg: turn on the spot to where the leg leads, drive along it, stop where it must.
//!
//! # Model
//!
//! Along a leg, the rate of turn per metre is `-K_Y offset + K_H sin(heading error)` (Kanayama, Kimura, Miyazaki
//! and Noguchi 1990, *A stable tracking control method for an autonomous mobile robot*, for a straight
//! reference): over the way driven that is an oscillator with the natural frequency `sqrt(K_Y)` per metre, so the
//! vehicle returns to its way within a length, however fast it goes.

use hal_units::{Duration, Meters, MetersPerSecond, Radians, RadiansPerSecond};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::chassis::Twist;
use crate::localisation::{Pose, wrapped};
use crate::motion::Motion;
use crate::parameters::DriveParameters;
use crate::route::Waypoint;

/// Per m^2: 2.4 rad/m.
const K_Y: f64 = 6.0;
/// Per m: damping 0.9.
const K_H: f64 = 4.4;
/// A bend of less is driven without a stop.
pub const BEND_MAX: Radians = Radians(0.1);
/// Turning on the spot ends as near as this to the wanted heading.
const TURNED: Radians = Radians(0.02);
/// A waypoint where the vehicle stops is reached as near as this.
pub const ARRIVED: Meters = Meters(0.02);

/// A leg, as far as it concerns now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leg {
    /// Where it begins.
    pub from: Waypoint,
    /// Where it ends.
    pub to: Waypoint,
    /// The way after its end that can be driven without a stop; `None` if the vehicle stops at its end.
    pub beyond: Option<Meters>,
}

/// Direction from one place to another; none if they are the same.
#[must_use]
pub fn direction(from: Waypoint, to: Waypoint) -> Option<Radians> {
    let (x, y) = ((to.x - from.x).get(), (to.y - from.y).get());
    (libm::hypot(x, y) > 1e-3).then(|| Radians(libm::atan2(y, x)))
}

/// Straight-line distance between two places.
#[must_use]
pub fn distance(from: Waypoint, to: Waypoint) -> Meters {
    Meters(libm::hypot((to.x - from.x).get(), (to.y - from.y).get()))
}

/// What is being driven, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct Steering {
    linear: Motion,
    angular: Motion,
    /// Turning on the spot counterclockwise.
    left: bool,
    /// On a leg, after turning to it.
    driving: bool,
}

/// What a step along a leg gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steered {
    /// What the vehicle shall do.
    pub twist: Twist,
    /// The end of the leg is reached.
    pub reached: bool,
    /// How far the vehicle is beside the leg, or beyond its end.
    pub off: Meters,
}

impl Steering {
    /// Standing still.
    pub const REST: Self = Self { linear: Motion::REST, angular: Motion::REST, left: false, driving: false };

    /// Whether nothing is commanded to move.
    #[must_use]
    pub fn is_rest(&self) -> bool {
        self.linear.is_rest() && self.angular.is_rest()
    }

    /// Whether it is on a leg, rather than at its beginning.
    #[must_use]
    pub const fn is_driving(&self) -> bool {
        self.driving
    }

    /// Whether it turns on the spot.
    #[must_use]
    pub fn is_turning(&self) -> bool {
        !self.angular.is_rest()
    }

    /// The way until rest.
    #[must_use]
    pub fn stopping_distance(&self, parameters: &DriveParameters) -> Meters {
        Meters(self.linear.stopping_distance(&parameters.linear))
    }

    /// Stands still at once.
    pub const fn rest(&mut self) {
        (self.linear, self.angular) = (Motion::REST, Motion::REST);
    }

    /// Forgets the leg: the next one begins with turning to it.
    pub const fn begin_leg(&mut self) {
        self.driving = false;
    }

    /// Whether it has turned to its leg already.
    pub const fn keep_leg(&mut self, driving: bool) {
        self.driving = driving;
    }

    /// One step along a leg; `None` brakes where it is.
    pub fn step(
        &mut self,
        pose: &Pose,
        leg: Option<&Leg>,
        parameters: &DriveParameters,
        dt: Duration,
    ) -> Steered {
        match leg {
            Some(leg) => self.follow(pose, leg, parameters, dt),
            None => self.brake(parameters, dt),
        }
    }

    /// Brakes as the limits allow, straight on.
    fn brake(&mut self, parameters: &DriveParameters, dt: Duration) -> Steered {
        self.linear = self.linear.next(&parameters.linear, 0.0, dt);
        self.angular = self.angular.next(&parameters.angular, 0.0, dt);
        Steered { twist: self.twist(0.0), reached: false, off: Meters(0.0) }
    }

    /// Brakes harder than the limits allow.
    pub fn halt(&mut self, parameters: &DriveParameters, dt: Duration) -> Twist {
        let deceleration = parameters.stop_deceleration.get();
        self.linear = self.linear.halted(deceleration, dt);
        self.angular = self.angular.halted(deceleration.max(parameters.angular.acceleration), dt);
        self.twist(0.0)
    }

    /// The twist, with so much turn for each metre.
    fn twist(&self, turn_per_meter: f64) -> Twist {
        let spot = if self.left { self.angular.speed } else { -self.angular.speed };
        Twist {
            speed: MetersPerSecond(self.linear.speed),
            turn_rate: RadiansPerSecond(spot + turn_per_meter * self.linear.speed),
        }
    }

    fn follow(&mut self, pose: &Pose, leg: &Leg, parameters: &DriveParameters, dt: Duration) -> Steered {
        let Some(direction) = direction(leg.from, leg.to) else {
            let braked = self.brake(parameters, dt);
            return Steered { reached: self.is_rest(), ..braked };
        };
        let (sin, cos) = (libm::sin(direction.get()), libm::cos(direction.get()));
        let (ahead_x, ahead_y) = ((leg.to.x - pose.x).get(), (leg.to.y - pose.y).get());
        let along = ahead_x * cos + ahead_y * sin;
        // Positive: the vehicle is left of its way.
        let offset = ahead_x * sin - ahead_y * cos;
        let error = wrapped(direction - pose.heading);
        // Whoever goes on beyond its end is not past it.
        let past = if leg.beyond.is_some() { 0.0 } else { -along };
        let off = Meters(offset.abs().max(past));

        if !self.driving && self.linear.is_rest() {
            if self.angular.is_rest() {
                self.left = error.get() > 0.0;
                self.driving = error.abs() <= TURNED;
            }
            if !self.driving {
                let remaining = if self.left { error.get() } else { -error.get() };
                self.angular = self.angular.next(&parameters.angular, remaining, dt);
                return Steered { twist: self.twist(0.0), reached: false, off };
            }
        }
        // Legs that go on without a stop come here in motion.
        self.driving = true;
        let before = self.linear;
        let remaining = along + leg.beyond.unwrap_or_default().get();
        self.linear = before.next(&parameters.linear, remaining, dt);
        let reached = match leg.beyond {
            Some(_) => along <= self.linear.speed * dt.as_secs_f64(),
            None => before.is_rest() && self.linear.is_rest() && along <= ARRIVED.get(),
        };
        let turn_per_meter = K_H * libm::sin(error.get()) - K_Y * offset;
        let twist = self.twist(turn_per_meter);
        let most = parameters.angular.speed;
        let turn_rate = RadiansPerSecond(twist.turn_rate.get().clamp(-most, most));
        Steered { twist: Twist { turn_rate, ..twist }, reached, off }
    }
}
