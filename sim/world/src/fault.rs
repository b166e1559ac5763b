//! Faults by name and time, as people ask for them: `grid-loss@60`, `generator-speed-frozen@30`.

use core::fmt;
use core::str::FromStr;

use hal_units::{Duration, Radians};
use sim_plants::{SensorFault, Signal};

use crate::TurbineLoop;

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// The grid is gone.
    GridLoss,
    /// One blade stays where it is. Blades count from 0.
    BladeStuck(usize),
    /// No command arrives any more.
    CommandsLost,
    /// A sensor shows something else.
    Sensor(Signal, SensorFault),
}

/// A fault and when it begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimedFault {
    /// What breaks.
    pub fault: Fault,
    /// When, since the start.
    pub at: Duration,
}

/// What may be written, for help texts and remedies.
pub const FAULT_FORMS: &str = "NAME@SECONDS with NAME one of grid-loss, blade-1-stuck, blade-2-stuck, \
     blade-3-stuck, commands-lost, or a signal (generator-speed, rotor-speed, pitch, wind-speed, power, \
     generator-torque, yaw-error, cable-twist, tower-acceleration, azimuth, root-moment) and -frozen, -drift, -nan or -word-swapped";

/// The latest time of a fault, s.
const AT_S_MAX: f64 = 86_400.0;

/// Why a text is no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultError {
    /// What was written, shortened.
    text: String,
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no fault\n  remedy: give {FAULT_FORMS}", self.text)
    }
}

impl std::error::Error for FaultError {}

const SIGNALS: [(&str, Signal); 11] = [
    ("generator-speed", Signal::GeneratorSpeed),
    ("rotor-speed", Signal::RotorSpeed),
    // The mean of the blades is what the controller reads: a third of the first blade's error.
    ("pitch", Signal::Pitch1),
    ("wind-speed", Signal::WindSpeed),
    ("power", Signal::Power),
    ("generator-torque", Signal::GeneratorTorque),
    ("yaw-error", Signal::YawError),
    ("cable-twist", Signal::CableTwist),
    ("tower-acceleration", Signal::TowerAcceleration),
    ("azimuth", Signal::Azimuth),
    ("root-moment", Signal::RootMoment1),
];

impl FromStr for TimedFault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let refused = || FaultError { text: text.chars().take(60).collect() };
        let (name, at) = text.split_once('@').ok_or_else(refused)?;
        let fault = by_name(name).ok_or_else(refused)?;
        let at_s: f64 = at.trim().parse().map_err(|_| refused())?;
        if !(0.0..=AT_S_MAX).contains(&at_s) {
            return Err(refused());
        }
        Ok(Self { fault, at: Duration::from_secs_f64(at_s) })
    }
}

fn by_name(name: &str) -> Option<Fault> {
    match name {
        "grid-loss" => return Some(Fault::GridLoss),
        "blade-1-stuck" => return Some(Fault::BladeStuck(0)),
        "blade-2-stuck" => return Some(Fault::BladeStuck(1)),
        "blade-3-stuck" => return Some(Fault::BladeStuck(2)),
        "commands-lost" => return Some(Fault::CommandsLost),
        _ => (),
    }
    SIGNALS.iter().find_map(|&(signal_name, signal)| {
        let fault = match name.strip_prefix(signal_name)? {
            "-frozen" => SensorFault::Frozen,
            "-drift" => SensorFault::Drift { per_second: drift_per_second(signal) },
            "-nan" => SensorFault::NotANumber,
            "-word-swapped" => SensorFault::WordSwapped,
            _ => return None,
        };
        Some(Fault::Sensor(signal, fault))
    })
}

/// A drift that matters within a minute: a thousandth of the reference turbine's usual value per second.
const fn drift_per_second(signal: Signal) -> f64 {
    match signal {
        Signal::GeneratorSpeed => 0.25,
        Signal::RotorSpeed => 0.002_6,
        Signal::Pitch1 | Signal::Pitch2 | Signal::Pitch3 => Radians::from_degrees(0.05).get(),
        Signal::GeneratorTorque => 43.0,
        Signal::Power => 5e3,
        Signal::WindSpeed => 0.05,
        Signal::YawError | Signal::NacelleYaw | Signal::CableTwist => Radians::from_degrees(0.2).get(),
        Signal::TowerAcceleration => 0.01,
        Signal::Azimuth => 0.01,
        Signal::RootMoment1 | Signal::RootMoment2 | Signal::RootMoment3 => 8e3,
    }
}

impl Fault {
    /// Breaks it.
    pub fn strike(self, site: &mut TurbineLoop) {
        match self {
            Self::GridLoss => site.plant.set_grid_present(false),
            Self::BladeStuck(blade) => site.plant.set_pitch_drive_jammed(blade, true),
            Self::CommandsLost => site.cut_bus(true),
            Self::Sensor(signal, fault) => site.sensors.set_fault(signal, Some(fault)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> TimedFault {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_of_the_help_is_read() {
        assert_eq!(fault("grid-loss@60"), TimedFault { fault: Fault::GridLoss, at: Duration::from_secs(60) });
        assert_eq!(fault("blade-3-stuck@0.5").fault, Fault::BladeStuck(2));
        assert_eq!(fault("commands-lost@1").fault, Fault::CommandsLost);
        for (name, signal) in SIGNALS {
            assert!(FAULT_FORMS.contains(name), "{name}");
            for (suffix, fault_of) in
                [("frozen", SensorFault::Frozen), ("word-swapped", SensorFault::WordSwapped)]
            {
                let found = fault(&format!("{name}-{suffix}@3")).fault;
                assert_eq!(found, Fault::Sensor(signal, fault_of));
            }
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_may_be_written() {
        for text in [
            "grid-loss",
            "grid-loss@-1",
            "grid-loss@never",
            "blade-4-stuck@1",
            "pitch-tired@1",
            "@1",
            "grid-loss@1e9",
        ] {
            let complaint = text.parse::<TimedFault>().unwrap_err().to_string();
            assert!(complaint.contains("grid-loss, blade-1-stuck"), "{complaint}");
        }
    }
}
