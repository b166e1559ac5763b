//! A turbine in the middle of its work.

use hal_units::{MetersPerSecond, NewtonMeters, Radians};

use super::oscillator::Motion;
use super::pitch::PitchDrive;
use super::shaft::Shaft;
use super::{Actuation, Turbine, WIND_MIN};

/// The tip-speed ratio of best power, nearly the same for all three-bladed rotors.
const RATIO_BEST: f64 = 7.5;
/// The slowest rotor over its rated speed: 6.9 rpm of 12.1 for the reference turbine.
const SLOWEST: f64 = 0.57;

impl Turbine {
    /// The turbine in steady operation at this wind, straight into it: at the best tip-speed ratio and
    /// with the torque that holds it below rated wind, at rated speed and power with the blade angle
    /// that holds it above. Within the wind speeds of operation (3 to 25 m/s for the reference turbine)
    /// nothing moves until a controller acts; in less wind the rotor coasts down from its slowest speed.
    #[must_use]
    pub fn in_operation(mut self, wind: MetersPerSecond) -> Self {
        self.settle(wind);
        self
    }

    /// See [`Turbine::in_operation`].
    pub fn settle(&mut self, wind: MetersPerSecond) {
        let p = self.parameters;
        self.wind = if wind.is_finite() { wind.max(MetersPerSecond::ZERO) } else { MetersPerSecond::ZERO };
        self.nacelle_yaw = self.wind_direction;
        self.tower = Motion::default();
        let rated = p.rated_rotor_speed.get();
        let best = RATIO_BEST * self.wind.max(WIND_MIN).get() / p.rotor_radius.get();
        let speed = best.max(SLOWEST * rated).min(rated);
        self.shaft = Shaft { mean_speed: speed, twist: Motion::default() };
        let torque_max = p.rated_power.get() / p.generator_efficiency / rated;
        let pitch = self.pitch_for(torque_max);
        self.set_all_blades(pitch);
        self.loads = self.rotor_loads();
        let torque = self.loads.torque.limit(NewtonMeters::ZERO, NewtonMeters(torque_max));
        self.shaft = Shaft::settled(&p, speed, torque);
        self.generator_torque = torque / p.gearbox_ratio;
        self.brake_torque = NewtonMeters::ZERO;
        self.tower.position = self.loads.thrust.get() / p.tower_stiffness_npm();
        self.actuation = Actuation {
            generator_torque: self.generator_torque,
            pitch: [pitch; 3],
            generator_connected: true,
            ..Actuation::FEATHERED
        };
    }

    /// The smallest blade angle at which the air's torque is at most `torque_max`, at the present
    /// speed and wind.
    fn pitch_for(&mut self, torque_max: f64) -> Radians {
        let (low, high) = self.parameters.pitch_range;
        let mut excess = |pitch: Radians| {
            self.set_all_blades(pitch);
            self.rotor_loads().torque.get() > torque_max
        };
        if !excess(low) {
            return low;
        }
        let (mut low, mut high) = (low, high);
        for _ in 0..50 {
            let middle = (low + high) / 2.0;
            if excess(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    fn set_all_blades(&mut self, pitch: Radians) {
        self.pitch = [PitchDrive::at_rest(pitch); 3];
    }
}
