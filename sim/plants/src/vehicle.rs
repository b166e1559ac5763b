//! A vehicle on wheels: what its drives are told into where it goes.
//!
//! # Model
//!
//! Wheels follow their commands with limited acceleration, a steered wheel with limited rate; nothing slips. The
//! reference point lies on the unsteered axle (Siegwart, Nourbakhsh and Scaramuzza, *Introduction to Autonomous
//! Mobile Robots*, chapter 3). Its localisation tells a pose every [`FIX_INTERVAL`], with noise, and says how old it
//! is.

use hal_units::{Duration, Meters, MetersPerSecond, Radians};

use crate::noise::Random;

/// How often the localisation tells a pose.
pub const FIX_INTERVAL: Duration = Duration::from_millis(50);
/// How long it takes to find it.
const FIX_DELAY: Duration = Duration::from_millis(30);
/// Wheels gain and lose speed at most so fast, in m/s^2.
const WHEEL_ACCELERATION: f64 = 3.0;
/// A steered wheel turns at most so fast, in rad/s.
const STEER_RATE: f64 = 2.0;

/// What drives the vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wheels {
    /// Two driven wheels on one axle.
    Differential {
        /// Between their middles.
        track: Meters,
        /// Speeds, left and right.
        speeds: [MetersPerSecond; 2],
    },
    /// A front wheel that drives and steers.
    Tricycle {
        /// From it to the rear axle.
        wheelbase: Meters,
        /// Its speed.
        speed: MetersPerSecond,
        /// Its angle, to the left.
        steer: Radians,
    },
}

/// What the drives are told: two wheel speeds in m/s, or one in m/s and an angle in rad.
pub type WheelCommand = [f64; 2];

/// Where a vehicle is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// In metres.
    pub x: f64,
    /// In metres.
    pub y: f64,
    /// In radians, from x, counterclockwise.
    pub heading: f64,
}

/// A vehicle.
#[derive(Debug, Clone)]
pub struct VehiclePlant {
    wheels: Wheels,
    place: Place,
    odometer_m: f64,
    noise: (f64, f64),
    random: Random,
    ran_for: Duration,
    /// Where it was when the localisation last looked, and when that was.
    looked: (Place, Duration),
    fix: (Place, Duration),
}

impl VehiclePlant {
    /// A vehicle that stands at a place; `noise` is the deviation of its localisation in metres and radians.
    #[must_use]
    pub fn new(wheels: Wheels, place: Place, noise: (f64, f64), seed: u64) -> Self {
        let start = (place, Duration::ZERO);
        Self {
            wheels,
            place,
            odometer_m: 0.0,
            noise,
            random: Random::new(seed),
            ran_for: Duration::ZERO,
            looked: start,
            fix: start,
        }
    }

    /// Lets time pass. Without power the wheels brake.
    pub fn step(&mut self, command: WheelCommand, powered: bool, dt: Duration) {
        let seconds = dt.as_secs_f64();
        let [first, second] = command;
        let toward =
            |now: f64, wanted: f64, rate: f64| now + (wanted - now).clamp(-rate * seconds, rate * seconds);
        let speed_of = |now: MetersPerSecond, wanted: f64| {
            MetersPerSecond(toward(now.get(), if powered { wanted } else { 0.0 }, WHEEL_ACCELERATION))
        };
        match &mut self.wheels {
            Wheels::Differential { speeds: [left, right], .. } => {
                (*left, *right) = (speed_of(*left, first), speed_of(*right, second));
            }
            Wheels::Tricycle { speed, steer, .. } => {
                *speed = speed_of(*speed, first);
                if powered {
                    *steer = Radians(toward(steer.get(), second, STEER_RATE));
                }
            }
        }
        let (forward, turning) = self.motion();
        let middle = self.place.heading + turning * seconds / 2.0;
        self.place.x += forward * seconds * middle.cos();
        self.place.y += forward * seconds * middle.sin();
        self.place.heading += turning * seconds;
        self.odometer_m += forward.abs() * seconds;
        self.ran_for += dt;
        self.localise();
    }

    fn localise(&mut self) {
        if self.ran_for.saturating_sub(self.looked.1) >= FIX_INTERVAL {
            self.looked = (self.place, self.ran_for);
        }
        let (place, at) = self.looked;
        if self.fix.1 != at && self.ran_for.saturating_sub(at) >= FIX_DELAY {
            let (position, heading) = self.noise;
            self.fix = (
                Place {
                    x: place.x + position * self.random.normal(),
                    y: place.y + position * self.random.normal(),
                    heading: place.heading + heading * self.random.normal(),
                },
                at,
            );
        }
    }

    /// Forward speed in m/s and rate of turn in rad/s.
    #[must_use]
    pub fn motion(&self) -> (f64, f64) {
        match self.wheels {
            Wheels::Differential { track, speeds: [left, right] } => {
                ((left + right).get() / 2.0, (right - left).get() / track.get())
            }
            Wheels::Tricycle { wheelbase, speed, steer } => {
                (speed.get() * steer.get().cos(), speed.get() * steer.get().sin() / wheelbase.get())
            }
        }
    }

    /// What the wheels do, as they are commanded.
    #[must_use]
    pub const fn measured(&self) -> WheelCommand {
        match self.wheels {
            Wheels::Differential { speeds: [left, right], .. } => [left.get(), right.get()],
            Wheels::Tricycle { speed, steer, .. } => [speed.get(), steer.get()],
        }
    }

    /// Where it truly is.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// What the localisation tells, and how old it is.
    #[must_use]
    pub const fn fix(&self) -> (Place, Duration) {
        (self.fix.0, self.ran_for.saturating_sub(self.fix.1))
    }

    /// Metres driven.
    #[must_use]
    pub const fn odometer_m(&self) -> f64 {
        self.odometer_m
    }

    /// Somebody carries it elsewhere.
    pub const fn put(&mut self, place: Place) {
        self.place = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(5);

    fn differential() -> VehiclePlant {
        let wheels = Wheels::Differential { track: Meters(0.6), speeds: [MetersPerSecond(0.0); 2] };
        VehiclePlant::new(wheels, Place { x: 0.0, y: 0.0, heading: 0.0 }, (0.0, 0.0), 0)
    }

    #[test]
    fn equal_wheels_drive_straight_on_and_opposite_ones_turn() {
        let mut straight = differential();
        (0..400).for_each(|_| straight.step([1.0, 1.0], true, TICK));
        assert!(straight.place().x > 1.8 && straight.place().y.abs() < 1e-9);
        let mut turning = differential();
        (0..400).for_each(|_| turning.step([-0.3, 0.3], true, TICK));
        assert!(turning.place().x.abs() < 1e-9 && turning.place().heading > 1.8);
    }

    #[test]
    fn without_power_it_brakes() {
        let mut plant = differential();
        (0..400).for_each(|_| plant.step([1.0, 1.0], true, TICK));
        (0..100).for_each(|_| plant.step([1.0, 1.0], false, TICK));
        assert_eq!(plant.measured(), [0.0, 0.0]);
    }

    #[test]
    fn a_fix_is_old_by_its_delay_at_least_and_its_interval_at_most() {
        let mut plant = differential();
        for _ in 0..1000 {
            plant.step([1.0, 1.0], true, TICK);
            let (place, age) = plant.fix();
            assert!(age <= FIX_DELAY + FIX_INTERVAL + TICK);
            let (forward, _) = plant.motion();
            assert!((place.x + forward * age.as_secs_f64() - plant.place().x).abs() < 0.1);
        }
    }
}
