//! The safety interlock: apart from the controller, and always winning.
//!
//! It sees the same inputs and demand as the controller, knows nothing of modes, and gives one answer:
//! the set of latched causes. As long as that is not empty the turbine is in emergency stop.
//!
//! A signal that was never there is not lost: a channel that watches for a loss is armed by the first
//! good value. Until then the supervisor does not start the turbine, so that nothing is unprotected;
//! and an agent that boots before its device does not wait for a reset.

use hal_units::{Duration, Radians};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::io::usable;
use super::latches::{Latches, Timing};
use super::pitch_watch::PitchWatch;
use super::{RunRequest, SafetyParameters, Trip, TripSet, TurbineDemand, TurbineInputs};

/// Latched trips, see the table in [`SafetyInterlock::step`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct SafetyInterlock {
    latches: Latches,
    armed: Armed,
    pitch_watch: PitchWatch,
    /// One for each blade, if they are led one by one.
    blade_watches: Option<[PitchWatch; 3]>,
}

/// What has been good at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
struct Armed {
    acknowledged: bool,
    device: bool,
    speed: bool,
    pitch: bool,
    vibration: bool,
    grid: bool,
    grid_signal: bool,
}

/// The inputs as the interlock sees them, speeds at the generator.
struct Seen {
    generator_radps: Option<f64>,
    rotor_radps: Option<f64>,
    pitch: bool,
    blade_astray: bool,
    acceleration_mps2: Option<f64>,
    grid: Option<f64>,
    plc: Option<f64>,
    unacknowledged: bool,
    emergency_stop: bool,
}

impl Seen {
    /// The higher of the two speeds; NaN-free, 0 if both are unknown.
    fn speed_radps(&self) -> f64 {
        let generator = self.generator_radps.map_or(0.0, f64::abs);
        generator.max(self.rotor_radps.map_or(0.0, f64::abs))
    }
}

impl SafetyInterlock {
    /// Nothing tripped, nothing armed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The latched causes.
    #[must_use]
    pub const fn trips(&self) -> TripSet {
        self.latches.latched()
    }

    /// Takes the device's safe state for a trip from now on, though its normal state has not been seen.
    pub(super) const fn expect_normal_device(&mut self) {
        self.armed.device = true;
    }

    /// Takes the next pitch command as the first: somebody else has moved the blades until now.
    pub(super) fn follow_pitch_from_here(&mut self) {
        self.pitch_watch = PitchWatch::default();
        self.blade_watches = None;
    }

    /// One step, with the inputs, the demand and the last pitch commands; returns the latched causes.
    ///
    /// | trip | cause | delay | armed by |
    /// |---|---|---|---|
    /// | overspeed | the higher speed above 125 % | 0.1 s | - |
    /// | overspeed_hard | the higher speed above 130 % | 0.02 s | - |
    /// | vibration | tower acceleration beyond 3 m/s2 | 0.2 s | - |
    /// | grid_loss | grid signal says no | 0.15 s | a yes |
    /// | lost_commands | no write acknowledged for 1 s | - | an acknowledged write |
    /// | device_safe_state | the device says so | - | a normal state, or operation by a predecessor |
    /// | speed_sensors | both speeds bad | 0.5 s | a good speed |
    /// | speed_mismatch | both good, apart by 12 rad/s | 1 s | - |
    /// | pitch_sensor | pitch bad | 0.5 s | a good pitch |
    /// | vibration_sensor | tower acceleration bad | 0.5 s | a good value |
    /// | grid_sensor | grid signal bad | 0.5 s | a good value |
    /// | emergency_stop_command | commanded | - | - |
    /// | pitch_deviation | a blade 3 deg from where a drive that follows can be | 1 s | - |
    ///
    /// The causes from `speed_sensors` to `grid_sensor` and `pitch_deviation` persist through gaps of up to 0.2 s: a
    /// register whose words are swapped shows by turns nonsense, no number, and what might be true. `speed_mismatch` persists
    /// through gaps of up to 1 s while one of the speeds is bad: two that were apart have not agreed by that.
    ///
    /// The numbers are those of [`SafetyParameters::NREL_5MW`]. A reset releases, on its rising edge, the
    /// causes that are gone. Blades are not held against commands that the device does not carry out.
    pub fn step(
        &mut self,
        p: &SafetyParameters,
        gearbox_ratio: f64,
        (inputs, demand, told): (&TurbineInputs, &TurbineDemand, PitchCommand),
        dt: Duration,
    ) -> TripSet {
        let plc = usable(&inputs.plc_state);
        // In its own hold and safe state the device carries nothing out, and in service people move the blades.
        let moved_by_others = plc.is_some_and(|state| state >= 0.5) || demand.request == RunRequest::Service;
        let blade_astray = self.watch_blades(p, inputs, told, moved_by_others, dt);
        let seen = Seen {
            generator_radps: usable(&inputs.generator_speed),
            rotor_radps: usable(&inputs.rotor_speed).map(|rotor| rotor * gearbox_ratio),
            pitch: usable(&inputs.pitch()).is_some(),
            blade_astray,
            acceleration_mps2: usable(&inputs.tower_acceleration),
            grid: usable(&inputs.grid_ok),
            plc,
            unacknowledged: inputs.outputs_unacknowledged_for > p.unacknowledged_max,
            emergency_stop: demand.emergency_stop,
        };
        self.armed.by(&seen);
        let causes = self.armed.causes(&seen, p);
        let one_speed = seen.generator_radps.is_some() != seen.rotor_radps.is_some();
        let timing = |trip| Timing { delay: delay(trip, p), bridge: bridge(trip, one_speed) };
        self.latches.step(causes, demand.reset, timing, dt)
    }

    /// Whether a blade is where no drive that follows its own commands can be.
    fn watch_blades(
        &mut self,
        p: &SafetyParameters,
        inputs: &TurbineInputs,
        told: PitchCommand,
        moved_by_others: bool,
        dt: Duration,
    ) -> bool {
        let blade_of = |sample| usable(sample).map(Radians);
        match told {
            PitchCommand::All(command) => {
                self.blade_watches = None;
                self.pitch_watch.follow(command, p, dt);
                if moved_by_others {
                    inputs.blades.iter().filter_map(blade_of).for_each(|blade| self.pitch_watch.allow(blade));
                }
                inputs.blades.iter().filter_map(blade_of).any(|blade| self.pitch_watch.is_astray(blade, p))
            }
            PitchCommand::Each(commands) => {
                let watches = self.blade_watches.get_or_insert([self.pitch_watch; 3]);
                let mut astray = false;
                for ((watch, command), sample) in watches.iter_mut().zip(commands).zip(&inputs.blades) {
                    watch.follow(command, p, dt);
                    let blade = blade_of(sample);
                    blade.into_iter().filter(|_| moved_by_others).for_each(|blade| watch.allow(blade));
                    astray |= blade.is_some_and(|blade| watch.is_astray(blade, p));
                }
                astray
            }
        }
    }
}

/// What the blades were told last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PitchCommand {
    /// One angle for all.
    All(Radians),
    /// Each its own.
    Each([Radians; 3]),
}

impl Armed {
    fn by(&mut self, seen: &Seen) {
        self.acknowledged |= !seen.unacknowledged;
        self.device |= seen.plc.is_some_and(|state| state < 0.5);
        self.speed |= seen.generator_radps.is_some() || seen.rotor_radps.is_some();
        self.pitch |= seen.pitch;
        self.vibration |= seen.acceleration_mps2.is_some();
        self.grid |= seen.grid.is_some_and(|grid| grid >= 0.5);
        self.grid_signal |= seen.grid.is_some();
    }

    /// The causes that are there now. No loop and no branch for each: this is what a step costs while all is well.
    fn causes(&self, seen: &Seen, p: &SafetyParameters) -> TripSet {
        let speed_radps = seen.speed_radps();
        let apart_radps = match (seen.generator_radps, seen.rotor_radps) {
            (Some(generator), Some(rotor)) => (generator - rotor).abs(),
            (Some(_) | None, None) | (None, Some(_)) => 0.0,
        };
        let no_speed = seen.generator_radps.is_none() && seen.rotor_radps.is_none();
        let no_acceleration = seen.acceleration_mps2.is_none();
        let shaken = seen.acceleration_mps2.is_some_and(|a| a.abs() > p.vibration.get());
        let grid_off = seen.grid.is_some_and(|grid| grid < 0.5);
        let device_safe = seen.plc.is_some_and(|state| state > 1.5);
        let mut causes = TripSet::NONE;
        causes.set(Trip::Overspeed, speed_radps > p.overspeed.get());
        causes.set(Trip::OverspeedHard, speed_radps > p.overspeed_hard.get());
        causes.set(Trip::Vibration, shaken);
        causes.set(Trip::GridLoss, self.grid && grid_off);
        causes.set(Trip::LostCommands, self.acknowledged && seen.unacknowledged);
        causes.set(Trip::DeviceSafeState, self.device && device_safe);
        causes.set(Trip::SpeedSensors, self.speed && no_speed);
        causes.set(Trip::SpeedMismatch, apart_radps > p.speed_mismatch.get());
        causes.set(Trip::PitchSensor, self.pitch && !seen.pitch);
        causes.set(Trip::VibrationSensor, self.vibration && no_acceleration);
        causes.set(Trip::GridSensor, self.grid_signal && seen.grid.is_none());
        causes.set(Trip::EmergencyStopCommand, seen.emergency_stop);
        causes.set(Trip::PitchDeviation, seen.blade_astray);
        causes
    }
}

/// What a sensor that cannot be trusted shows may look true for so long.
const FLAPPING: Duration = Duration::from_millis(200);
/// One that shows nothing agrees with nobody for so long.
const SILENT: Duration = Duration::from_secs(1);

/// The gaps through which a cause persists, `one_speed`: one of the two speeds is good.
const fn bridge(trip: Trip, one_speed: bool) -> Duration {
    match trip {
        Trip::SpeedMismatch if one_speed => SILENT,
        Trip::SpeedSensors
        | Trip::SpeedMismatch
        | Trip::PitchSensor
        | Trip::VibrationSensor
        | Trip::GridSensor
        | Trip::PitchDeviation => FLAPPING,
        Trip::Overspeed
        | Trip::OverspeedHard
        | Trip::Vibration
        | Trip::GridLoss
        | Trip::LostCommands
        | Trip::DeviceSafeState
        | Trip::EmergencyStopCommand => Duration::ZERO,
    }
}

const fn delay(trip: Trip, p: &SafetyParameters) -> Duration {
    match trip {
        Trip::Overspeed => p.overspeed_delay,
        Trip::OverspeedHard => p.overspeed_hard_delay,
        Trip::Vibration => p.vibration_delay,
        Trip::GridLoss => p.grid_delay,
        Trip::SpeedMismatch => p.speed_mismatch_delay,
        Trip::PitchDeviation => p.pitch_deviation_delay,
        Trip::SpeedSensors | Trip::PitchSensor | Trip::VibrationSensor | Trip::GridSensor => p.sensor_delay,
        // The time without an acknowledgement comes in measured; the other two are decisions.
        Trip::LostCommands | Trip::DeviceSafeState | Trip::EmergencyStopCommand => Duration::ZERO,
    }
}
