//! What distinguishes one turbine from another.

use super::Inflow;
use hal_units::{Meters, NewtonMeters, Radians, RadiansPerSecond, Watts};

/// Parameters of a turbine's plant. All are above zero, and dampings below one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurbinePlantParameters {
    /// How the wind differs over the rotor.
    pub inflow: Inflow,
    /// Blade tip to axis.
    pub rotor_radius: Meters,
    /// Density of the air, kg/m3.
    pub air_density_kgpm3: f64,
    /// The rotor's power over that of its performance surface: 1, or less with dirty blades. Scales the
    /// torque, not the thrust.
    pub rotor_power_factor: f64,
    /// Generator speed over rotor speed.
    pub gearbox_ratio: f64,
    /// Inertia of hub and blades about the low-speed shaft, kg m2.
    pub rotor_inertia_kgm2: f64,
    /// Inertia of the generator about the high-speed shaft, kg m2.
    pub generator_inertia_kgm2: f64,
    /// Stiffness of the drivetrain at the low-speed shaft, N m/rad.
    pub shaft_stiffness_nmprad: f64,
    /// Damping of the drivetrain at the low-speed shaft, N m s/rad.
    pub shaft_damping_nmsprad: f64,
    /// Electrical over mechanical power.
    pub generator_efficiency: f64,
    /// Corner frequency of the torque lag, Hz.
    pub generator_lag_hz: f64,
    /// Largest torque.
    pub generator_torque_max: NewtonMeters,
    /// Rated electrical power.
    pub rated_power: Watts,
    /// Rated rotor speed.
    pub rated_rotor_speed: RadiansPerSecond,
    /// Natural frequency of the blade drives, Hz.
    pub pitch_frequency_hz: f64,
    /// Damping of the blade drives over critical.
    pub pitch_damping: f64,
    /// Fastest blade.
    pub pitch_rate_max: RadiansPerSecond,
    /// Range of the blade angle.
    pub pitch_range: (Radians, Radians),
    /// First fore-aft frequency of the tower, Hz.
    pub tower_frequency_hz: f64,
    /// Structural damping of the tower over critical.
    pub tower_damping: f64,
    /// Mass that moves with the tower top, kg.
    pub tower_mass_kg: f64,
    /// Fastest nacelle.
    pub yaw_rate_max: RadiansPerSecond,
    /// Torque of the brake on the high-speed shaft, fully applied.
    pub brake_torque_max: NewtonMeters,
    /// Time constant of the brake, s.
    pub brake_time_constant_s: f64,
}

impl TurbinePlantParameters {
    /// The NREL 5-MW reference turbine: Jonkman et al. 2009, NREL/TP-500-38060; brake from its
    /// drivetrain table. The tower is one mass at the first fore-aft frequency with the top's stiffness
    /// of 1.79e6 N/m, with the report's structural damping of 1 %.
    pub const NREL_5MW: Self = Self {
        inflow: Inflow::UNIFORM,
        rotor_radius: Meters(63.0),
        air_density_kgpm3: 1.225,
        rotor_power_factor: 1.0,
        gearbox_ratio: 97.0,
        rotor_inertia_kgm2: 38_677_040.6,
        generator_inertia_kgm2: 534.116,
        shaft_stiffness_nmprad: 8.67637e8,
        shaft_damping_nmsprad: 6.215e6,
        generator_efficiency: 0.944,
        generator_lag_hz: 20.0,
        generator_torque_max: NewtonMeters(47_402.91),
        rated_power: Watts(5e6),
        rated_rotor_speed: RadiansPerSecond::from_rpm(12.1),
        pitch_frequency_hz: 1.0,
        pitch_damping: 0.7,
        pitch_rate_max: RadiansPerSecond::from_rpm(8.0 / 6.0),
        pitch_range: (Radians::ZERO, Radians::from_degrees(90.0)),
        tower_frequency_hz: 0.32,
        tower_damping: 0.01,
        tower_mass_kg: 442e3,
        yaw_rate_max: RadiansPerSecond::from_rpm(0.3 / 6.0),
        brake_torque_max: NewtonMeters(28_116.2),
        brake_time_constant_s: 0.6,
    };

    /// Area that the rotor sweeps, m2.
    #[must_use]
    pub fn rotor_area_m2(&self) -> f64 {
        core::f64::consts::PI * self.rotor_radius.get() * self.rotor_radius.get()
    }

    /// Rotor and generator about the low-speed shaft, kg m2.
    #[must_use]
    pub fn total_inertia_kgm2(&self) -> f64 {
        self.rotor_inertia_kgm2 + self.referred_generator_inertia_kgm2()
    }

    /// The generator about the low-speed shaft, kg m2.
    #[must_use]
    pub fn referred_generator_inertia_kgm2(&self) -> f64 {
        self.generator_inertia_kgm2 * self.gearbox_ratio * self.gearbox_ratio
    }

    /// Stiffness of the tower top, N/m.
    #[must_use]
    pub fn tower_stiffness_npm(&self) -> f64 {
        self.tower_mass_kg * (core::f64::consts::TAU * self.tower_frequency_hz).powi(2)
    }
}

impl Default for TurbinePlantParameters {
    fn default() -> Self {
        Self::NREL_5MW
    }
}
