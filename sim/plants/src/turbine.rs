//! A wind turbine from the wind to the grid.
//!
//! # Model
//!
//! | part | model |
//! |---|---|
//! | rotor | [`RotorSurface`], quasi-steady; the wind it sees is across the yawed disc, less the tower's own speed |
//! | blades | each a third of the rotor in its own wind: shear, tilt, yaw error; root moments, see `blades` |
//! | drivetrain | two masses on a spring and a damper, see `shaft` |
//! | generator | first-order lag from torque command to torque; constant efficiency |
//! | pitch | three second-order drives with limits of rate and range, see `pitch` |
//! | tower | fore-aft: one mass on a spring and a damper, pushed by the thrust |
//! | yaw | commanded rate, limited; needs the grid; twists the cables |
//! | brake | dry friction on the high-speed shaft, applied with a lag |
//!
//! Every linear part is advanced by its exact solution for an input that is constant over a sub-step
//! (see `oscillator`), so that none of them is unstable at any step; the rotor's slow coupling is
//! explicit. Sub-steps are [`SUBSTEP_MAX`] long at most. Not modelled: blade and tower side-to-side
//! bending, inflow dynamics, tower shadow, drives that wear or warm up.
//!
//! # Terms
//!
//! Torques and speeds are those of the high-speed shaft if they say "generator", of the low-speed
//! shaft if they say "rotor". Power is electrical.

mod blades;
mod oscillator;
mod parameters;
mod pitch;
mod settle;
mod shaft;

use hal_units::{
    Duration, Meters, MetersPerSecond, MetersPerSecond2, NewtonMeters, Newtons, Radians, RadiansPerSecond,
    Watts,
};

use crate::rotor::RotorSurface;
pub use blades::Inflow;
use oscillator::{Motion, Oscillator};
pub use parameters::TurbinePlantParameters;
use pitch::PitchDrive;
use shaft::{Shaft, ShaftLoads};

/// The longest sub-step of the plant.
pub const SUBSTEP_MAX: Duration = Duration::from_millis(5);
/// The most sub-steps of one [`Turbine::step`]: a longer call takes longer sub-steps.
const SUBSTEPS_MAX: u32 = 2000;
/// Slower wind is treated as this, so that the tip-speed ratio stays finite.
const WIND_MIN: MetersPerSecond = MetersPerSecond(0.1);

/// What the controller commands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Actuation {
    /// Generator torque; held within 0 and the generator's largest.
    pub generator_torque: NewtonMeters,
    /// Angle of each blade; held within the drives' range.
    pub pitch: [Radians; 3],
    /// Rate of the nacelle, clockwise seen from above; held within the drive's rate.
    pub yaw_rate: RadiansPerSecond,
    /// Whether the high-speed shaft's brake is applied.
    pub brake: bool,
    /// Whether the generator is connected to the converter; without, there is no torque.
    pub generator_connected: bool,
}

impl Actuation {
    /// Feathered, no torque, no yaw, brake off, generator off.
    pub const FEATHERED: Self = Self {
        generator_torque: NewtonMeters::ZERO,
        pitch: [Radians::from_degrees(90.0); 3],
        yaw_rate: RadiansPerSecond::ZERO,
        brake: false,
        generator_connected: false,
    };
}

/// What is true of the turbine right now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurements {
    /// Speed of the high-speed shaft.
    pub generator_speed: RadiansPerSecond,
    /// Speed of the low-speed shaft.
    pub rotor_speed: RadiansPerSecond,
    /// Angle of each blade.
    pub pitch: [Radians; 3],
    /// Air-gap torque.
    pub generator_torque: NewtonMeters,
    /// Electrical power.
    pub power: Watts,
    /// Free wind at hub height.
    pub wind_speed: MetersPerSecond,
    /// Aerodynamic thrust.
    pub thrust: Newtons,
    /// Aerodynamic torque on the low-speed shaft.
    pub rotor_torque: NewtonMeters,
    /// Where the nacelle looks, from north clockwise, within -pi to pi.
    pub nacelle_yaw: Radians,
    /// How far the nacelle is from where its cables hang straight, clockwise positive, turns counted.
    pub cable_twist: Radians,
    /// Wind direction less nacelle yaw, within -pi to pi.
    pub yaw_error: Radians,
    /// Fore-aft acceleration of the tower top, with the wind positive.
    pub tower_acceleration: MetersPerSecond2,
    /// Fore-aft deflection of the tower top.
    pub tower_deflection: Meters,
    /// Of the first blade, within -pi to pi; 0 upright.
    pub azimuth: Radians,
    /// Out-of-plane moment at each blade's root, with the wind positive.
    pub root_moments: [NewtonMeters; 3],
    /// Whether the grid is there.
    pub grid_ok: bool,
    /// Whether the brake is commanded on.
    pub brake_applied: bool,
}

/// A turbine.
#[derive(Debug, Clone)]
pub struct Turbine {
    parameters: TurbinePlantParameters,
    rotor: RotorSurface,
    shaft: Shaft,
    pitch: [PitchDrive; 3],
    azimuth: Radians,
    generator_torque: NewtonMeters,
    brake_torque: NewtonMeters,
    tower: Motion,
    nacelle_yaw: Radians,
    cable_twist: Radians,
    grid_present: bool,
    actuation: Actuation,
    wind: MetersPerSecond,
    wind_direction: Radians,
    loads: RotorLoads,
    tower_acceleration: MetersPerSecond2,
    advance: Advance,
}

/// What the air does to the rotor.
#[derive(Debug, Clone, Copy, Default)]
struct RotorLoads {
    torque: NewtonMeters,
    thrust: Newtons,
}

/// The exact solutions of the linear parts for one length of sub-step.
#[derive(Debug, Clone, Copy)]
struct Advance {
    substep_s: f64,
    shaft: Oscillator,
    tower: Oscillator,
    pitch: Oscillator,
    generator: f64,
    brake: f64,
}

impl Advance {
    fn over(substep_s: f64, parameters: &TurbinePlantParameters) -> Self {
        let p = parameters;
        Self {
            substep_s,
            shaft: Shaft::oscillator(p, substep_s),
            tower: Oscillator::over(substep_s, p.tower_frequency_hz, p.tower_damping),
            pitch: Oscillator::over(substep_s, p.pitch_frequency_hz, p.pitch_damping),
            generator: 1.0 - (-substep_s * core::f64::consts::TAU * p.generator_lag_hz).exp(),
            brake: 1.0 - (-substep_s / p.brake_time_constant_s).exp(),
        }
    }
}

impl Turbine {
    /// A turbine at standstill, feathered, in still air, with the grid there.
    #[must_use]
    pub fn new(parameters: TurbinePlantParameters, rotor: RotorSurface) -> Self {
        Self {
            advance: Advance::over(SUBSTEP_MAX.as_secs_f64(), &parameters),
            rotor,
            shaft: Shaft::default(),
            pitch: [PitchDrive::at_rest(Radians::from_degrees(90.0)); 3],
            azimuth: Radians::ZERO,
            generator_torque: NewtonMeters::ZERO,
            brake_torque: NewtonMeters::ZERO,
            tower: Motion::default(),
            nacelle_yaw: Radians::ZERO,
            cable_twist: Radians::ZERO,
            grid_present: true,
            actuation: Actuation::FEATHERED,
            wind: MetersPerSecond::ZERO,
            wind_direction: Radians::ZERO,
            loads: RotorLoads::default(),
            tower_acceleration: MetersPerSecond2::ZERO,
            parameters,
        }
    }

    /// Advances the turbine by `dt` under constant wind and actuation.
    ///
    /// `wind_direction` is where the wind comes from, from north clockwise. A wind or a command that
    /// is not a number counts as zero, and a blade angle that is not a number as "stay".
    pub fn step(
        &mut self,
        wind: MetersPerSecond,
        wind_direction: Radians,
        actuation: &Actuation,
        dt: Duration,
    ) {
        self.wind = if wind.is_finite() { wind.max(MetersPerSecond::ZERO) } else { MetersPerSecond::ZERO };
        self.wind_direction = if wind_direction.is_finite() { wind_direction } else { Radians::ZERO };
        self.actuation = *actuation;
        if dt.is_zero() {
            return;
        }
        let substeps = dt.as_nanos().div_ceil(SUBSTEP_MAX.as_nanos()).min(u128::from(SUBSTEPS_MAX));
        let substep_s = dt.as_secs_f64() / substeps as f64;
        if substep_s.to_bits() != self.advance.substep_s.to_bits() {
            self.advance = Advance::over(substep_s, &self.parameters);
        }
        for _ in 0..substeps {
            self.substep();
        }
    }

    /// The whole plant, once.
    fn substep(&mut self) {
        self.step_pitch();
        self.step_generator();
        self.step_yaw();
        self.loads = self.rotor_loads();
        self.step_drivetrain();
        self.step_azimuth();
        self.step_tower();
    }

    fn step_pitch(&mut self) {
        let p = &self.parameters;
        for (drive, command) in self.pitch.iter_mut().zip(self.actuation.pitch) {
            drive.step(command, p, &self.advance.pitch, self.advance.substep_s);
        }
    }

    fn step_generator(&mut self) {
        if !(self.actuation.generator_connected && self.grid_present) {
            // An open contactor carries no torque, and opens within a sub-step.
            self.generator_torque = NewtonMeters::ZERO;
            return;
        }
        let largest = self.parameters.generator_torque_max;
        let command = self.actuation.generator_torque.limit(NewtonMeters::ZERO, largest);
        self.generator_torque += (command - self.generator_torque) * self.advance.generator;
    }

    fn step_yaw(&mut self) {
        if !self.grid_present || !self.actuation.yaw_rate.is_finite() {
            return;
        }
        let fastest = self.parameters.yaw_rate_max;
        let rate = self.actuation.yaw_rate.limit(-fastest, fastest);
        let turned = Radians(rate.get() * self.advance.substep_s);
        self.nacelle_yaw = wrapped(self.nacelle_yaw + turned);
        self.cable_twist += turned;
    }

    fn rotor_loads(&self) -> RotorLoads {
        if let Some(loads) = self.loads_of_blades() {
            return loads;
        }
        let p = &self.parameters;
        let yaw_error = self.wind_direction - self.nacelle_yaw;
        let wind = self.wind * yaw_error.get().cos() - MetersPerSecond(self.tower.velocity);
        let wind = wind.max(WIND_MIN).get();
        let ratio = self.shaft.rotor_speed(p) * p.rotor_radius.get() / wind;
        let pitch = self.pitch.iter().fold(Radians::ZERO, |sum, drive| sum + drive.angle()) / 3.0;
        let coefficients = self.rotor.coefficients(ratio, pitch);
        let push = 0.5 * p.air_density_kgpm3 * p.rotor_area_m2() * wind * wind;
        RotorLoads {
            torque: NewtonMeters(push * p.rotor_radius.get() * coefficients.torque * p.rotor_power_factor),
            thrust: Newtons(push * coefficients.thrust),
        }
    }

    fn step_drivetrain(&mut self) {
        let brake = if self.actuation.brake { self.parameters.brake_torque_max } else { NewtonMeters::ZERO };
        self.brake_torque += (brake - self.brake_torque) * self.advance.brake;
        let loads = ShaftLoads {
            rotor: self.loads.torque,
            generator: self.generator_torque,
            brake: self.brake_torque,
        };
        self.shaft.step(loads, &self.parameters, &self.advance.shaft, self.advance.substep_s);
    }

    fn step_tower(&mut self) {
        let rest = self.loads.thrust.get() / self.parameters.tower_stiffness_npm();
        let tower = self.advance.tower.advance(self.tower, rest);
        self.tower_acceleration =
            MetersPerSecond2((tower.velocity - self.tower.velocity) / self.advance.substep_s);
        self.tower = tower;
    }

    /// What is true right now.
    #[must_use]
    pub fn measurements(&self) -> Measurements {
        let generator_speed = self.shaft.generator_speed(&self.parameters);
        Measurements {
            generator_speed,
            rotor_speed: RadiansPerSecond(self.shaft.rotor_speed(&self.parameters)),
            pitch: self.pitch.map(|drive| drive.angle()),
            generator_torque: self.generator_torque,
            power: self.generator_torque * generator_speed * self.parameters.generator_efficiency,
            wind_speed: self.wind,
            thrust: self.loads.thrust,
            rotor_torque: self.loads.torque,
            nacelle_yaw: self.nacelle_yaw,
            cable_twist: self.cable_twist,
            yaw_error: wrapped(self.wind_direction - self.nacelle_yaw),
            tower_acceleration: self.tower_acceleration,
            tower_deflection: Meters(self.tower.position),
            azimuth: self.azimuth,
            root_moments: self.root_moments(),
            grid_ok: self.grid_present,
            brake_applied: self.actuation.brake,
        }
    }

    /// The parameters the turbine was made with.
    #[must_use]
    pub const fn parameters(&self) -> &TurbinePlantParameters {
        &self.parameters
    }

    /// The rotor the turbine was made with.
    #[must_use]
    pub const fn rotor(&self) -> &RotorSurface {
        &self.rotor
    }

    /// The last actuation.
    #[must_use]
    pub const fn actuation(&self) -> &Actuation {
        &self.actuation
    }

    /// Takes the grid away or brings it back. Without it the generator carries no torque and the
    /// nacelle cannot turn; the blades' drives and the brake have stores of their own.
    pub const fn set_grid_present(&mut self, present: bool) {
        self.grid_present = present;
    }

    /// Twists the cables without turning the nacelle: the turns of a time before.
    pub const fn set_cable_twist(&mut self, twist: Radians) {
        self.cable_twist = twist;
    }

    /// Makes one blade's drive deaf to commands, or heals it. Blades count from 0; others are ignored.
    pub fn set_pitch_drive_jammed(&mut self, blade: usize, jammed: bool) {
        if let Some(drive) = self.pitch.get_mut(blade) {
            drive.jammed = jammed;
        }
    }
}

/// The angle within -pi to pi.
fn wrapped(angle: Radians) -> Radians {
    let turn = core::f64::consts::TAU;
    Radians(angle.get() - turn * (angle.get() / turn).round())
}
