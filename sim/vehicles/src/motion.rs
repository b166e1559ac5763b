//! A vehicle on its way: it turns on the spot and drives in straight lines from node to node.
//!
//! Speed rises and falls with constant acceleration (v^2 = 2 a s) and is such that the vehicle can stop where
//! it must: at the end of the base, where it has to turn, and where something is to be done.

use std::f64::consts::{PI, TAU};

use crate::setup::Kinematics;

/// A change of direction up to this, in radians, is driven without a stop.
const BEND_MAX: f64 = 0.1;
/// Nearer than this, in metres, is there.
const THERE: f64 = 1e-6;
/// Time is cut into pieces of at most this, in seconds.
const PIECE_MAX: f64 = 0.02;

/// Where a vehicle truly is, and how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// In metres.
    pub x: f64,
    /// In metres.
    pub y: f64,
    /// In radians from x, counterclockwise, from -pi to pi.
    pub heading: f64,
    /// Forward, in metres a second.
    pub speed: f64,
    /// Counterclockwise, in radians a second.
    pub turning: f64,
}

/// A straight way to a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) to: [f64; 2],
    /// In metres a second, if the edge limits it.
    pub(crate) speed_max: Option<f64>,
    /// Whether the vehicle has to stop there.
    pub(crate) stop: bool,
    /// The heading that it has to take there.
    pub(crate) heading: Option<f64>,
}

impl Truth {
    pub(crate) const fn at([x, y]: [f64; 2], heading: f64) -> Self {
        Self { x, y, heading, speed: 0.0, turning: 0.0 }
    }

    pub(crate) fn is_still(&self) -> bool {
        self.speed == 0.0 && self.turning == 0.0
    }

    /// How far it is to a point, in metres.
    #[must_use]
    pub fn distance_to(&self, [x, y]: [f64; 2]) -> f64 {
        (x - self.x).hypot(y - self.y)
    }

    /// Drives for `seconds` along the stretches that are released; `halt` brakes at once. Returns how many of
    /// them were driven to their end, and how many metres that were.
    pub(crate) fn drive(
        &mut self,
        seconds: f64,
        kinematics: &Kinematics,
        stretches: &[Stretch],
        halt: bool,
    ) -> (usize, f64) {
        let pieces = (seconds / PIECE_MAX).ceil().clamp(1.0, 1000.0);
        let (mut done, mut meters) = (0, 0.0);
        for _ in 0..pieces as usize {
            let left = stretches.get(done..).unwrap_or_default();
            let (passed, driven) = self.piece(seconds / pieces, kinematics, left, halt);
            done += passed;
            meters += driven;
            // What is to be done at a node comes before the way on.
            if passed > 0 && stretches.get(done - 1).is_some_and(|stretch| stretch.stop) {
                break;
            }
        }
        (done, meters)
    }

    fn piece(&mut self, dt: f64, kinematics: &Kinematics, left: &[Stretch], halt: bool) -> (usize, f64) {
        self.turning = 0.0;
        let (gain, loss) = (kinematics.acceleration.get() * dt, kinematics.deceleration.get() * dt);
        let Some(stretch) = left.first() else {
            self.speed = (self.speed - loss).max(0.0);
            return (0, self.forward(self.speed * dt));
        };
        let distance = self.distance_to(stretch.to);
        let direction = if distance > THERE {
            (stretch.to[1] - self.y).atan2(stretch.to[0] - self.x)
        } else {
            stretch.heading.unwrap_or(self.heading)
        };
        let off = wrapped(direction - self.heading);
        if self.speed == 0.0 {
            if halt {
                return (0, 0.0);
            }
            let small = if distance > THERE { BEND_MAX / 10.0 } else { 1e-9 };
            if off.abs() > small {
                self.turn(off, kinematics.turn_speed.get(), dt);
                return (0, 0.0);
            }
            if distance <= THERE {
                return (1, 0.0);
            }
        }
        // Small bends are driven, as by a wide curve.
        self.heading = direction;
        let allowed = if halt { 0.0 } else { self.allowed(kinematics, left) };
        self.speed = allowed.clamp(self.speed - loss, self.speed + gain).max(0.0);
        let step = self.speed * dt;
        // The last bit of a braking distance never ends by itself.
        let ends = step + 1e-4 >= distance && !(halt && self.speed == 0.0);
        if !ends {
            return (0, self.forward(step));
        }
        let to_turn = stretch.heading.is_some_and(|heading| wrapped(heading - self.heading).abs() > 1e-9);
        [self.x, self.y] = stretch.to;
        if stretch.stop || to_turn || left.len() == 1 || self.must_turn(left) {
            self.speed = 0.0;
        }
        (usize::from(!to_turn), distance)
    }

    fn turn(&mut self, off: f64, turn_speed: f64, dt: f64) {
        let step = off.clamp(-turn_speed * dt, turn_speed * dt);
        self.turning = step / dt;
        self.heading = wrapped(self.heading + step);
    }

    fn forward(&mut self, step: f64) -> f64 {
        self.x += step * self.heading.cos();
        self.y += step * self.heading.sin();
        step
    }

    /// Whether the way bends too much at the end of the first stretch to drive on.
    fn must_turn(&self, left: &[Stretch]) -> bool {
        let (Some(first), Some(second)) = (left.first(), left.get(1)) else { return false };
        let onward = (second.to[1] - first.to[1]).atan2(second.to[0] - first.to[0]);
        wrapped(onward - self.heading).abs() > BEND_MAX
    }

    /// The speed from which everything ahead can still be done, in metres a second.
    fn allowed(&self, kinematics: &Kinematics, left: &[Stretch]) -> f64 {
        let deceleration = kinematics.deceleration.get();
        let capped = |stretch: &Stretch| stretch.speed_max.unwrap_or(f64::INFINITY).max(0.01);
        let mut allowed = kinematics.speed_max.get();
        let (mut from, mut heading) = ([self.x, self.y], self.heading);
        let mut distance = 0.0;
        for (index, stretch) in left.iter().enumerate() {
            let [dx, dy] = [stretch.to[0] - from[0], stretch.to[1] - from[1]];
            let direction = if dx.hypot(dy) > THERE { dy.atan2(dx) } else { heading };
            let bend = index > 0 && wrapped(direction - heading).abs() > BEND_MAX;
            let entry = if bend { 0.0 } else { capped(stretch) };
            allowed = allowed.min((entry.powi(2) + 2.0 * deceleration * distance).sqrt());
            if bend {
                return allowed;
            }
            distance += dx.hypot(dy);
            heading = direction;
            from = stretch.to;
            if stretch.stop || stretch.heading.is_some() {
                break;
            }
            if 2.0 * deceleration * distance > allowed.powi(2) {
                return allowed;
            }
        }
        allowed.min((2.0 * deceleration * distance).sqrt())
    }
}

/// An angle from -pi to pi.
pub(crate) fn wrapped(angle: f64) -> f64 {
    let turned = (angle + PI).rem_euclid(TAU) - PI;
    if turned == -PI { PI } else { turned }
}
