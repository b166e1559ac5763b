//! What the instruments show of the truth: noise, and faults that a test or a demo sets.
//!
//! # Model
//!
//! Each numeric signal carries white noise of its own level from one seed, and at most one
//! [`SensorFault`]. The truth stays what it is: faults are laid over a copy.

use hal_units::{
    Duration, MetersPerSecond, MetersPerSecond2, NewtonMeters, Radians, RadiansPerSecond, Watts,
};

use crate::noise::Random;
use crate::turbine::Measurements;

/// A signal that can be noisy or faulty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Speed of the high-speed shaft.
    GeneratorSpeed,
    /// Speed of the low-speed shaft.
    RotorSpeed,
    /// Angle of the first blade.
    Pitch1,
    /// Angle of the second blade.
    Pitch2,
    /// Angle of the third blade.
    Pitch3,
    /// Generator torque.
    GeneratorTorque,
    /// Electrical power.
    Power,
    /// Wind speed.
    WindSpeed,
    /// Wind direction less nacelle yaw.
    YawError,
    /// Nacelle yaw.
    NacelleYaw,
    /// Twist of the cables.
    CableTwist,
    /// Fore-aft acceleration of the tower top.
    TowerAcceleration,
    /// Azimuth of the first blade.
    Azimuth,
    /// Out-of-plane moment at the first blade's root.
    RootMoment1,
    /// At the second one's.
    RootMoment2,
    /// At the third one's.
    RootMoment3,
}

impl Signal {
    /// All signals.
    pub const ALL: [Self; 16] = [
        Self::GeneratorSpeed,
        Self::RotorSpeed,
        Self::Pitch1,
        Self::Pitch2,
        Self::Pitch3,
        Self::GeneratorTorque,
        Self::Power,
        Self::WindSpeed,
        Self::YawError,
        Self::NacelleYaw,
        Self::CableTwist,
        Self::TowerAcceleration,
        Self::Azimuth,
        Self::RootMoment1,
        Self::RootMoment2,
        Self::RootMoment3,
    ];

    /// The signal's place among the measurements, as a bare number in SI units.
    const fn of(self, measured: &mut Measurements) -> &mut f64 {
        let Measurements {
            pitch: [pitch_1, pitch_2, pitch_3], root_moments: [root_1, root_2, root_3], ..
        } = measured;
        match self {
            Self::GeneratorSpeed => &mut measured.generator_speed.0,
            Self::RotorSpeed => &mut measured.rotor_speed.0,
            Self::Pitch1 => &mut pitch_1.0,
            Self::Pitch2 => &mut pitch_2.0,
            Self::Pitch3 => &mut pitch_3.0,
            Self::GeneratorTorque => &mut measured.generator_torque.0,
            Self::Power => &mut measured.power.0,
            Self::WindSpeed => &mut measured.wind_speed.0,
            Self::YawError => &mut measured.yaw_error.0,
            Self::NacelleYaw => &mut measured.nacelle_yaw.0,
            Self::CableTwist => &mut measured.cable_twist.0,
            Self::TowerAcceleration => &mut measured.tower_acceleration.0,
            Self::Azimuth => &mut measured.azimuth.0,
            Self::RootMoment1 => &mut root_1.0,
            Self::RootMoment2 => &mut root_2.0,
            Self::RootMoment3 => &mut root_3.0,
        }
    }
}

/// What is wrong with a sensor. Bare numbers are in the signal's SI unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SensorFault {
    /// Shows this value, whatever is true.
    Stuck(f64),
    /// Shows what it showed when the fault began, noise and all.
    Frozen,
    /// Shows too much by a constant.
    Offset(f64),
    /// Shows more and more too much: by this per second since the fault began.
    Drift {
        /// SI unit of the signal per second.
        per_second: f64,
    },
    /// Shows no number.
    NotANumber,
    /// Shows its two 16-bit words in the wrong order, as a 32-bit register read with a wrong word order.
    WordSwapped,
}

/// Standard deviations of the sensors' white noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseLevels {
    /// Of the generator speed.
    pub generator_speed: RadiansPerSecond,
    /// Of the rotor speed.
    pub rotor_speed: RadiansPerSecond,
    /// Of each blade's angle.
    pub pitch: Radians,
    /// Of the generator torque.
    pub generator_torque: NewtonMeters,
    /// Of the electrical power.
    pub power: Watts,
    /// Of the wind speed.
    pub wind_speed: MetersPerSecond,
    /// Of yaw error, nacelle yaw and twist of the cables.
    pub yaw: Radians,
    /// Of the tower's acceleration.
    pub tower_acceleration: MetersPerSecond2,
    /// Of the azimuth.
    pub azimuth: Radians,
    /// Of each root moment.
    pub root_moment: NewtonMeters,
}

impl NoiseLevels {
    /// Perfect sensors.
    pub const NONE: Self = Self {
        generator_speed: RadiansPerSecond::ZERO,
        rotor_speed: RadiansPerSecond::ZERO,
        pitch: Radians::ZERO,
        generator_torque: NewtonMeters::ZERO,
        power: Watts::ZERO,
        wind_speed: MetersPerSecond::ZERO,
        yaw: Radians::ZERO,
        tower_acceleration: MetersPerSecond2::ZERO,
        azimuth: Radians::ZERO,
        root_moment: NewtonMeters::ZERO,
    };

    /// Sensors of the usual industrial kind: our own estimate, of the order of a thousandth of the
    /// range, and 0.5 m/s for an anemometer behind the rotor.
    pub const USUAL: Self = Self {
        generator_speed: RadiansPerSecond(0.05),
        rotor_speed: RadiansPerSecond(0.002),
        pitch: Radians::from_degrees(0.02),
        generator_torque: NewtonMeters(50.0),
        power: Watts(5e3),
        wind_speed: MetersPerSecond(0.5),
        yaw: Radians::from_degrees(1.0),
        tower_acceleration: MetersPerSecond2(0.01),
        azimuth: Radians::from_degrees(0.2),
        root_moment: NewtonMeters(2e4),
    };

    const fn of(&self, signal: Signal) -> f64 {
        match signal {
            Signal::GeneratorSpeed => self.generator_speed.get(),
            Signal::RotorSpeed => self.rotor_speed.get(),
            Signal::Pitch1 | Signal::Pitch2 | Signal::Pitch3 => self.pitch.get(),
            Signal::GeneratorTorque => self.generator_torque.get(),
            Signal::Power => self.power.get(),
            Signal::WindSpeed => self.wind_speed.get(),
            Signal::YawError | Signal::NacelleYaw | Signal::CableTwist => self.yaw.get(),
            Signal::TowerAcceleration => self.tower_acceleration.get(),
            Signal::Azimuth => self.azimuth.get(),
            Signal::RootMoment1 | Signal::RootMoment2 | Signal::RootMoment3 => self.root_moment.get(),
        }
    }
}

/// The sensors of one turbine.
#[derive(Debug, Clone)]
pub struct Sensors {
    noise: NoiseLevels,
    random: Random,
    /// The blades' own sensors draw from a sequence of their own.
    blade_random: Random,
    channels: [Channel; Signal::ALL.len()],
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    signal: Signal,
    fault: Option<SensorFault>,
    /// How long the fault has lasted.
    faulty_for: Duration,
    shown: f64,
}

impl Sensors {
    /// Healthy sensors with this noise.
    #[must_use]
    pub fn new(noise: NoiseLevels, seed: u64) -> Self {
        let healthy = |signal| Channel { signal, fault: None, faulty_for: Duration::ZERO, shown: 0.0 };
        Self {
            noise,
            random: Random::new(seed),
            blade_random: Random::new(!seed),
            channels: Signal::ALL.map(healthy),
        }
    }

    /// Sets a sensor's fault from the next reading on; `None` heals it.
    pub fn set_fault(&mut self, signal: Signal, fault: Option<SensorFault>) {
        for channel in self.channels.iter_mut().filter(|channel| channel.signal == signal) {
            channel.fault = fault;
            channel.faulty_for = Duration::ZERO;
        }
    }

    /// What the sensors show of the truth, `dt` after the last reading.
    pub fn read(&mut self, truth: &Measurements, dt: Duration) -> Measurements {
        let mut shown = *truth;
        for channel in &mut self.channels {
            let value = channel.signal.of(&mut shown);
            let deviation = self.noise.of(channel.signal);
            if deviation > 0.0 {
                let random = match channel.signal {
                    Signal::Azimuth | Signal::RootMoment1 | Signal::RootMoment2 | Signal::RootMoment3 => {
                        &mut self.blade_random
                    }
                    _ => &mut self.random,
                };
                *value += deviation * random.normal();
            }
            *value = channel.show(*value, dt);
        }
        shown
    }
}

impl Channel {
    fn show(&mut self, value: f64, dt: Duration) -> f64 {
        let Some(fault) = self.fault else {
            self.shown = value;
            return value;
        };
        self.faulty_for = self.faulty_for.saturating_add(dt);
        match fault {
            SensorFault::Stuck(at) => at,
            SensorFault::Frozen => self.shown,
            SensorFault::Offset(by) => value + by,
            SensorFault::Drift { per_second } => value + per_second * self.faulty_for.as_secs_f64(),
            SensorFault::NotANumber => f64::NAN,
            SensorFault::WordSwapped => f32::from_bits((value as f32).to_bits().rotate_left(16)).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RotorSurface, Turbine, TurbinePlantParameters};

    const DT: Duration = Duration::from_millis(10);

    fn truth(wind_mps: f64) -> Measurements {
        Turbine::new(TurbinePlantParameters::NREL_5MW, RotorSurface::nrel_5mw())
            .in_operation(MetersPerSecond(wind_mps))
            .measurements()
    }

    fn wind_shown_under(fault: SensorFault, readings: u32) -> f64 {
        let mut sensors = Sensors::new(NoiseLevels::NONE, 1);
        sensors.read(&truth(8.0), DT);
        sensors.set_fault(Signal::WindSpeed, Some(fault));
        (0..readings).map(|_| sensors.read(&truth(9.0), DT).wind_speed.get()).last().unwrap()
    }

    #[test]
    fn each_fault_shows_what_it_says() {
        assert_eq!(wind_shown_under(SensorFault::Stuck(3.0), 5), 3.0);
        assert_eq!(wind_shown_under(SensorFault::Frozen, 5), 8.0);
        assert_eq!(wind_shown_under(SensorFault::Offset(-2.0), 5), 7.0);
        assert!((wind_shown_under(SensorFault::Drift { per_second: 1.0 }, 100) - 10.0).abs() < 1e-9);
        assert!(wind_shown_under(SensorFault::NotANumber, 1).is_nan());
        // 9.0 is 0x4110_0000: swapped 0x0000_4110, a denormal.
        assert_eq!(wind_shown_under(SensorFault::WordSwapped, 1), f64::from(f32::from_bits(0x4110)));
    }

    #[test]
    fn a_fault_touches_its_own_signal_only_and_heals() {
        let mut sensors = Sensors::new(NoiseLevels::NONE, 1);
        sensors.set_fault(Signal::Pitch2, Some(SensorFault::Stuck(1.0)));
        let mut expected = truth(12.0);
        expected.pitch[1] = Radians(1.0);
        assert_eq!(sensors.read(&truth(12.0), DT), expected);
        sensors.set_fault(Signal::Pitch2, None);
        assert_eq!(sensors.read(&truth(12.0), DT), truth(12.0));
    }

    #[test]
    fn noise_has_its_level_and_a_seed_repeats_it() {
        let readings = |seed| -> Vec<f64> {
            let mut sensors = Sensors::new(NoiseLevels::USUAL, seed);
            (0..5_000).map(|_| sensors.read(&truth(12.0), DT).wind_speed.get() - 12.0).collect()
        };
        let deviation = (readings(5).iter().map(|e| e * e).sum::<f64>() / 5_000.0).sqrt();
        assert!((deviation - 0.5).abs() < 0.02, "{deviation}");
        assert_eq!(readings(5), readings(5));
        assert_ne!(readings(5), readings(6));
    }
}
