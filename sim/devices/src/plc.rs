//! The turbine's own controller: registers in front, the plant behind.
//!
//! # Model
//!
//! Every [`SCAN`] the PLC turns the command registers into the plant's actuation, moves the plant
//! forward under its wind, and puts what the sensors show into the measurement registers.
//!
//! Its *watchdog* is fed when the value of the watchdog register changes. Before the first time the
//! PLC waits, at whatever it was given to start with. From then on:
//!
//! | starved for | state | what it does |
//! |---|---|---|
//! | less than `hold_after` | [`PlcState::Normal`] | what is commanded |
//! | `hold_after` | [`PlcState::Hold`] | the last command still |
//! | `safe_after` | [`PlcState::Safe`] | no torque, generator off, blades to feather, no yaw; the brake once the rotor is slow |
//!
//! Feeding it again leads back to normal from both. In the safe state the command registers are
//! overwritten with the safe commands, so that a master which only feeds the watchdog does not bring
//! back commands from before.
//!
//! A write is applied whole or refused whole: by its *epoch*, or for a number that no command can be.
//! Epochs are a fence. The highest that was written stands, also when it was written alone, without an
//! output. From then on, whatever the order in which two masters' packets arrive:
//!
//! | a write with | is |
//! |---|---|
//! | both epoch registers, at least the highest seen | applied |
//! | both epoch registers, below it | refused |
//! | one of the two | refused, always: half a number is another number |
//! | neither | refused once an epoch was seen: a writer that names no term of office has none |
//!
//! Until an epoch was seen (it begins at 0) everybody may write, so that a lone master without epochs
//! works. **A PLC that restarts begins at 0 again, and so does its [arbiter](crate::Arbiter)**: until the
//! new term's next write nothing is fenced. Whoever commands it must not take its zeros for a first start.

mod asked;
mod state;

use hal_units::{Duration, Instant, NewtonMeters, Radians, RadiansPerSecond};
use sim_plants::{Actuation, Measurements, Sensors, Turbine, Wind};

use crate::arbiter::Arbiter;
use crate::modbus::{Exception, Registers};
use crate::registers::{
    self, COMMANDS_COUNT, COMMANDS_START, CommandWords, MEASUREMENTS_COUNT, MEASUREMENTS_START,
    MeasurementWords,
};
use crate::write_log::{Verdict, WriteRecord};
use asked::Asked;
pub use state::{PlcConfig, PlcState, Truth, fault};

/// One scan, and one sub-step of the plant.
pub const SCAN: Duration = Duration::from_millis(5);
/// The most scans of one [`TurbinePlc::advance_to`], so that requests that wait are heard between: a
/// simulator that did not get to run must not find its watchdog starved by its own fault.
const SCANS_AT_ONCE_MAX: u32 = 20;
/// Being behind by more than this, the PLC gives up making up.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// A turbine with its PLC.
#[derive(Debug, Clone)]
pub struct TurbinePlc {
    config: PlcConfig,
    turbine: Turbine,
    sensors: Sensors,
    wind: Wind,
    state: PlcState,
    measured: MeasurementWords,
    commands: CommandWords,
    epoch: u32,
    arbiter: Option<Arbiter>,
    last_write: Option<WriteRecord>,
    /// The measurement registers stand still.
    frozen: bool,
    /// When the watchdog last changed; `None` before the first time.
    fed_at: Option<Instant>,
    /// When the next scan is due.
    due: Instant,
    truth: Truth,
}

impl TurbinePlc {
    /// A PLC around a turbine, whose last actuation it holds until a master comes. Its time begins at
    /// [`Instant::ZERO`], and so does its wind.
    #[must_use]
    pub fn new(turbine: Turbine, wind: Wind, config: PlcConfig) -> Self {
        let mut plc = Self {
            sensors: Sensors::new(config.noise, config.seed),
            commands: commands_of(turbine.actuation()),
            measured: [0; MEASUREMENTS_COUNT],
            state: PlcState::Normal,
            epoch: 0,
            arbiter: config.arbiter.then(Arbiter::default),
            last_write: None,
            frozen: false,
            fed_at: None,
            due: Instant::ZERO + SCAN,
            truth: Truth::default(),
            config,
            turbine,
            wind,
        };
        plc.measure();
        plc
    }

    /// Makes the scans that are due at `now`: some of them, if it is far behind, and the rest when it
    /// is called again. What lies more than a second back is skipped and counted.
    pub fn advance_to(&mut self, now: Instant) {
        let behind = now.since(self.due);
        if behind > BEHIND_MAX {
            let scans = u32::try_from(behind.as_nanos() / SCAN.as_nanos()).unwrap_or(u32::MAX);
            let skipped = SCAN.saturating_mul(scans);
            self.truth.scans_skipped += u64::from(scans);
            self.due = self.due + skipped;
            // A PLC that stood still hears no master: its watchdog stood still too.
            self.fed_at = self.fed_at.map(|fed_at| fed_at + skipped);
        }
        for _ in 0..SCANS_AT_ONCE_MAX {
            if self.due > now {
                return;
            }
            self.scan();
            self.due = self.due + SCAN;
        }
    }

    /// The whole PLC, once.
    fn scan(&mut self) {
        self.decide();
        let actuation = self.actuation();
        let t = self.truth.ran_for;
        self.turbine.step(self.wind.speed_at(t), self.wind.direction_at(t), &actuation, SCAN);
        self.truth.ran_for += SCAN;
        self.truth.scans += 1;
        let true_now = self.measure();
        self.truth.energy_j += true_now.power.get() * SCAN.as_secs_f64();
        self.truth.rotor_speed_max = self.truth.rotor_speed_max.max(true_now.rotor_speed);
    }

    /// The watchdog's table of the module's head; the only place where the state changes.
    fn decide(&mut self) {
        let starved_for = self.fed_at.map_or(Duration::ZERO, |fed_at| self.due.since(fed_at));
        let slow = self.turbine.measurements().generator_speed.abs() < self.config.brake_below;
        let next = if starved_for >= self.config.safe_after {
            let braking = matches!(self.state, PlcState::Safe { braking: true });
            PlcState::Safe { braking: braking || slow }
        } else if starved_for >= self.config.hold_after {
            PlcState::Hold
        } else {
            PlcState::Normal
        };
        match (self.state, next) {
            (PlcState::Normal | PlcState::Hold, PlcState::Safe { .. }) => {
                self.truth.watchdog_starvations += 1;
                self.forget_commands();
            }
            (PlcState::Normal, PlcState::Hold) => self.truth.watchdog_holds += 1,
            (PlcState::Normal, PlcState::Normal)
            | (PlcState::Hold | PlcState::Safe { .. }, PlcState::Hold | PlcState::Normal)
            | (PlcState::Safe { .. }, PlcState::Safe { .. }) => {}
        }
        self.state = next;
    }

    fn forget_commands(&mut self) {
        let safe = commands_of(&self.safe_actuation(false));
        let keep = (registers::EPOCH_CMD.u32(&self.commands), registers::WATCHDOG.u16(&self.commands));
        self.commands = safe;
        registers::EPOCH_CMD.set_u32(&mut self.commands, keep.0);
        registers::WATCHDOG.set_u16(&mut self.commands, keep.1);
    }

    fn safe_actuation(&self, brake: bool) -> Actuation {
        let feather = self.turbine.parameters().pitch_range.1;
        Actuation { pitch: [feather; 3], brake, ..Actuation::FEATHERED }
    }

    fn actuation(&self) -> Actuation {
        match self.state {
            PlcState::Normal | PlcState::Hold => actuation_of(&self.commands),
            PlcState::Safe { braking } => self.safe_actuation(braking),
        }
    }

    /// Puts what the sensors show into the registers, and gives back what is true.
    fn measure(&mut self) -> Measurements {
        let true_now = self.turbine.measurements();
        let shown = self.sensors.read(&true_now, SCAN);
        if self.frozen {
            return true_now;
        }
        let words = &mut self.measured;
        registers::GENERATOR_SPEED.set_f32(words, shown.generator_speed.get());
        registers::ROTOR_SPEED.set_f32(words, shown.rotor_speed.get());
        let [pitch_1, pitch_2, pitch_3] = shown.pitch;
        registers::PITCH_1.set_f32(words, pitch_1.get());
        registers::PITCH_2.set_f32(words, pitch_2.get());
        registers::PITCH_3.set_f32(words, pitch_3.get());
        registers::GENERATOR_TORQUE.set_f32(words, shown.generator_torque.get());
        registers::POWER.set_f32(words, shown.power.get());
        registers::WIND_SPEED.set_f32(words, shown.wind_speed.get());
        registers::YAW_ERROR.set_f32(words, shown.yaw_error.get());
        registers::NACELLE_YAW.set_f32(words, shown.nacelle_yaw.get());
        registers::TOWER_ACCELERATION.set_f32(words, shown.tower_acceleration.get());
        registers::GRID_OK.set_u16(words, u16::from(shown.grid_ok));
        registers::BRAKE_APPLIED.set_u16(words, u16::from(shown.brake_applied));
        registers::PLC_STATE.set_u16(words, self.state.code());
        registers::WATCHDOG_ECHO.set_u16(words, registers::WATCHDOG.u16(&self.commands));
        registers::EPOCH.set_u32(words, self.epoch);
        registers::FAULT_WORD.set_u16(words, fault_word(self.state, &true_now));
        registers::SCAN_COUNTER.set_u16(words, self.truth.scans as u16);
        registers::CABLE_TWIST.set_f32(words, shown.cable_twist.get());
        registers::AZIMUTH.set_f32(words, shown.azimuth.get());
        let roots = [registers::ROOT_MOMENT_1, registers::ROOT_MOMENT_2, registers::ROOT_MOMENT_3];
        for (register, moment) in roots.into_iter().zip(shown.root_moments) {
            register.set_f32(words, moment.get());
        }
        true_now
    }

    /// The registers as a master meets them at `now`.
    pub const fn at(&mut self, now: Instant) -> PlcAtTime<'_> {
        PlcAtTime { plc: self, now }
    }

    /// What happened so far.
    #[must_use]
    pub const fn truth(&self) -> &Truth {
        &self.truth
    }

    /// Who decides.
    #[must_use]
    pub const fn state(&self) -> PlcState {
        self.state
    }

    /// The highest epoch that was written.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The plant itself, to look at or to break.
    pub const fn turbine_mut(&mut self) -> &mut Turbine {
        &mut self.turbine
    }

    /// Lets the measurement registers stand still, the scan counter with them, while requests are answered as
    /// before: a PLC whose processor has stopped behind its communication module.
    pub const fn freeze_image(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// The sensors, to break.
    pub const fn sensors_mut(&mut self) -> &mut Sensors {
        &mut self.sensors
    }

    /// The measurement registers.
    #[must_use]
    pub const fn measured(&self) -> &MeasurementWords {
        &self.measured
    }

    /// The command registers.
    #[must_use]
    pub const fn commands(&self) -> &CommandWords {
        &self.commands
    }

    /// The arbiter, if this PLC carries one.
    #[must_use]
    pub const fn arbiter(&self) -> Option<&Arbiter> {
        self.arbiter.as_ref()
    }

    /// The last write of commands since this was last asked, applied or refused.
    pub const fn take_write(&mut self) -> Option<WriteRecord> {
        self.last_write.take()
    }

    /// The words from `address` on, if they lie in one of the tables.
    fn words(&self, address: u16, count: usize) -> Option<&[u16]> {
        let from = |start: u16| address.checked_sub(start).map(usize::from);
        let measured = from(MEASUREMENTS_START).and_then(|from| self.measured.get(from..from + count));
        let commands = || from(COMMANDS_START).and_then(|from| self.commands.get(from..from + count));
        let arbiter = || self.arbiter.as_ref().and_then(|arbiter| arbiter.words(address, count));
        measured.or_else(commands).or_else(arbiter)
    }

    fn write(&mut self, now: Instant, address: u16, words: &[u16]) -> Result<(), Exception> {
        if let Some(written) = self.arbiter.as_mut().and_then(|arbiter| arbiter.write(address, words)) {
            match written {
                Ok(()) => self.truth.arbiter_writes += 1,
                Err(_) => self.truth.writes_refused_by_content += 1,
            }
            return written;
        }
        let Some(asked) = Asked::new(&self.commands, address, words) else {
            self.truth.writes_refused_by_content += 1;
            return Err(Exception::IllegalDataAddress);
        };
        let verdict = self.judge(&asked);
        self.last_write = Some(WriteRecord::new(now, &asked.commands, asked.epoch, verdict));
        match verdict {
            Verdict::Applied | Verdict::Fenced => {
                if registers::WATCHDOG.u16(&asked.commands) != registers::WATCHDOG.u16(&self.commands) {
                    self.fed_at = Some(now);
                }
                self.epoch = registers::EPOCH_CMD.u32(&asked.commands);
                self.commands = asked.commands;
                self.truth.writes_applied += 1;
                return Ok(());
            }
            Verdict::LowerEpoch | Verdict::NoEpoch => self.truth.writes_refused_by_epoch += 1,
            Verdict::IllegalValue => self.truth.writes_refused_by_content += 1,
        }
        Err(Exception::IllegalDataValue)
    }

    /// The fence's table of the module's head, and then the values.
    fn judge(&self, asked: &Asked) -> Verdict {
        match asked.epoch_words {
            0 if self.epoch > 0 => Verdict::NoEpoch,
            1 => Verdict::NoEpoch,
            _ if registers::EPOCH_CMD.u32(&asked.commands) < self.epoch => Verdict::LowerEpoch,
            _ if !self.can_be_commanded(&asked.commands) => Verdict::IllegalValue,
            _ if asked.epoch_alone => Verdict::Fenced,
            _ => Verdict::Applied,
        }
    }

    /// Whether the numbers are such as commands can be, a little beyond the actuators' limits.
    fn can_be_commanded(&self, commands: &CommandWords) -> bool {
        let p = self.turbine.parameters();
        let margin = 1e-3;
        let torque = registers::GENERATOR_TORQUE_CMD.f32(commands);
        let pitches =
            [registers::PITCH_CMD, registers::PITCH_1_CMD, registers::PITCH_2_CMD, registers::PITCH_3_CMD];
        let range = p.pitch_range.0.get() - margin..=p.pitch_range.1.get() + margin;
        let yaw = registers::YAW_RATE_CMD.f32(commands);
        (0.0..=1.1 * p.generator_torque_max.get()).contains(&torque)
            && pitches.iter().all(|pitch| range.contains(&pitch.f32(commands)))
            && registers::PITCH_INDIVIDUAL.u16(commands) <= 1
            && yaw.abs() <= p.yaw_rate_max.get() + margin
            && registers::BRAKE_CMD.u16(commands) <= 1
            && registers::GENERATOR_CONNECT.u16(commands) <= 1
    }
}

/// A PLC at the time of a request.
#[derive(Debug)]
pub struct PlcAtTime<'a> {
    plc: &'a mut TurbinePlc,
    now: Instant,
}

impl Registers for PlcAtTime<'_> {
    fn knows_exchange(&self) -> bool {
        self.plc.config.exchange
    }

    fn can_read(&self, address: u16, count: u16) -> bool {
        self.plc.words(address, count.into()).is_some()
    }

    fn read(&mut self, address: u16, out: &mut [u16]) -> Result<(), Exception> {
        let words = self.plc.words(address, out.len()).ok_or(Exception::IllegalDataAddress)?;
        out.copy_from_slice(words);
        self.plc.truth.reads += 1;
        Ok(())
    }

    fn write(&mut self, address: u16, words: &[u16]) -> Result<(), Exception> {
        self.plc.write(self.now, address, words)
    }
}

fn commands_of(actuation: &Actuation) -> CommandWords {
    let mut words = [0; COMMANDS_COUNT];
    registers::GENERATOR_TORQUE_CMD.set_f32(&mut words, actuation.generator_torque.get());
    let [one, two, three] = actuation.pitch.map(Radians::get);
    registers::PITCH_CMD.set_f32(&mut words, (one + two + three) / 3.0);
    registers::PITCH_1_CMD.set_f32(&mut words, one);
    registers::PITCH_2_CMD.set_f32(&mut words, two);
    registers::PITCH_3_CMD.set_f32(&mut words, three);
    registers::YAW_RATE_CMD.set_f32(&mut words, actuation.yaw_rate.get());
    registers::BRAKE_CMD.set_u16(&mut words, u16::from(actuation.brake));
    registers::GENERATOR_CONNECT.set_u16(&mut words, u16::from(actuation.generator_connected));
    words
}

fn actuation_of(words: &CommandWords) -> Actuation {
    let pitches = match registers::PITCH_INDIVIDUAL.u16(words) {
        1 => [registers::PITCH_1_CMD, registers::PITCH_2_CMD, registers::PITCH_3_CMD],
        _ => [registers::PITCH_CMD; 3],
    };
    Actuation {
        generator_torque: NewtonMeters(registers::GENERATOR_TORQUE_CMD.f32(words)),
        pitch: pitches.map(|register| Radians(register.f32(words))),
        yaw_rate: RadiansPerSecond(registers::YAW_RATE_CMD.f32(words)),
        brake: registers::BRAKE_CMD.u16(words) == 1,
        generator_connected: registers::GENERATOR_CONNECT.u16(words) == 1,
    }
}

fn fault_word(state: PlcState, true_now: &Measurements) -> u16 {
    let mut word = 0;
    if let PlcState::Safe { .. } = state {
        word |= fault::WATCHDOG;
    }
    if !true_now.grid_ok {
        word |= fault::GRID;
    }
    let [a, b, c] = true_now.pitch;
    if (a.max(b).max(c) - a.min(b).min(c)).as_degrees() > 2.0 {
        word |= fault::BLADES_APART;
    }
    word
}

#[cfg(test)]
mod tests;
