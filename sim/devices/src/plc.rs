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
//! A write is applied whole or refused whole: with a lower *epoch* than the highest seen, or with a
//! number that no command can be.

use hal_units::{Duration, Instant, NewtonMeters, Radians, RadiansPerSecond, Watts};
use sim_plants::{Actuation, Measurements, NoiseLevels, Sensors, Turbine, Wind};

use crate::modbus::{Exception, Registers};
use crate::registers::{
    self, COMMANDS_COUNT, COMMANDS_START, CommandWords, MEASUREMENTS_COUNT, MEASUREMENTS_START,
    MeasurementWords,
};

/// One scan, and one sub-step of the plant.
pub const SCAN: Duration = Duration::from_millis(5);
/// The most scans of one [`TurbinePlc::advance_to`], so that requests that wait are heard between: a
/// simulator that did not get to run must not find its watchdog starved by its own fault.
const SCANS_AT_ONCE_MAX: u32 = 20;
/// Being behind by more than this, the PLC gives up making up.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// Bits of the fault word.
pub mod fault {
    /// The watchdog starved: the PLC is in its safe state.
    pub const WATCHDOG: u16 = 1;
    /// The grid is lost.
    pub const GRID: u16 = 1 << 1;
    /// The blades are more than 2 degrees apart.
    pub const BLADES_APART: u16 = 1 << 2;
}

/// How a PLC is set up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlcConfig {
    /// From so long without the watchdog changing the PLC shows that it holds.
    pub hold_after: Duration,
    /// From so long the PLC brings the turbine to its safe state. Longer than `hold_after`.
    pub safe_after: Duration,
    /// In the safe state the brake falls once the generator is slower than this.
    pub brake_below: RadiansPerSecond,
    /// Noise of the sensors.
    pub noise: NoiseLevels,
    /// Seed of the noise.
    pub seed: u64,
}

impl Default for PlcConfig {
    /// Hold after 0.2 s, safe after 1 s, brake below a tenth of the reference turbine's rated speed,
    /// usual sensors.
    fn default() -> Self {
        Self {
            hold_after: Duration::from_millis(200),
            safe_after: Duration::from_secs(1),
            brake_below: RadiansPerSecond(12.3),
            noise: NoiseLevels::USUAL,
            seed: 0,
        }
    }
}

/// Who decides what the turbine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlcState {
    /// The master.
    Normal,
    /// The master's last command.
    Hold,
    /// The PLC.
    Safe {
        /// Whether the rotor was slow enough for the brake; once applied it stays.
        braking: bool,
    },
}

impl PlcState {
    /// The number in the register.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Normal => 0,
            Self::Hold => 1,
            Self::Safe { .. } => 2,
        }
    }

    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Hold => "hold",
            Self::Safe { .. } => "safe",
        }
    }
}

/// What happened in and around the plant since the start.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Truth {
    /// Time that the plant ran.
    pub ran_for: Duration,
    /// Electrical energy, J.
    pub energy_j: f64,
    /// Fastest rotor.
    pub rotor_speed_max: RadiansPerSecond,
    /// Scans.
    pub scans: u64,
    /// Scans that were skipped because the process did not get to run.
    pub scans_skipped: u64,
    /// Requests that read registers, with or without a write.
    pub reads: u64,
    /// Writes that were carried out.
    pub writes_applied: u64,
    /// Writes that were refused because of a lower epoch.
    pub writes_refused_by_epoch: u64,
    /// Writes that were refused because of an address or a value.
    pub writes_refused_by_content: u64,
    /// How often the watchdog starved into hold.
    pub watchdog_holds: u64,
    /// How often the watchdog starved into the safe state.
    pub watchdog_starvations: u64,
}

impl Truth {
    /// Mean electrical power; zero before the plant ran.
    #[must_use]
    pub fn power_mean(&self) -> Watts {
        let seconds = self.ran_for.as_secs_f64();
        if seconds > 0.0 { Watts(self.energy_j / seconds) } else { Watts::ZERO }
    }
}

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
        Actuation { pitch: feather, brake, ..Actuation::FEATHERED }
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

    /// The words from `address` on, if they lie in one of the tables.
    fn words(&self, address: u16, count: usize) -> Option<&[u16]> {
        let from = |start: u16| address.checked_sub(start).map(usize::from);
        let measured = from(MEASUREMENTS_START).and_then(|from| self.measured.get(from..from + count));
        measured.or_else(|| from(COMMANDS_START).and_then(|from| self.commands.get(from..from + count)))
    }

    fn write(&mut self, now: Instant, address: u16, words: &[u16]) -> Result<(), Exception> {
        let accepted = self.accept(address, words);
        match accepted {
            Ok(commands) => {
                if registers::WATCHDOG.u16(&commands) != registers::WATCHDOG.u16(&self.commands) {
                    self.fed_at = Some(now);
                }
                self.epoch = registers::EPOCH_CMD.u32(&commands);
                self.commands = commands;
                self.truth.writes_applied += 1;
                Ok(())
            }
            Err(Refusal::Epoch) => {
                self.truth.writes_refused_by_epoch += 1;
                Err(Exception::IllegalDataValue)
            }
            Err(Refusal::Content(exception)) => {
                self.truth.writes_refused_by_content += 1;
                Err(exception)
            }
        }
    }

    /// The command registers after a write, if it may be carried out.
    fn accept(&self, address: u16, words: &[u16]) -> Result<CommandWords, Refusal> {
        let mut commands = self.commands;
        let place = address
            .checked_sub(COMMANDS_START)
            .and_then(|from| commands.get_mut(usize::from(from)..usize::from(from) + words.len()))
            .ok_or(Refusal::Content(Exception::IllegalDataAddress))?;
        place.copy_from_slice(words);
        if registers::EPOCH_CMD.u32(&commands) < self.epoch {
            return Err(Refusal::Epoch);
        }
        if !self.can_be_commanded(&commands) {
            return Err(Refusal::Content(Exception::IllegalDataValue));
        }
        Ok(commands)
    }

    /// Whether the numbers are such as commands can be, a little beyond the actuators' limits.
    fn can_be_commanded(&self, commands: &CommandWords) -> bool {
        let p = self.turbine.parameters();
        let margin = 1e-3;
        let torque = registers::GENERATOR_TORQUE_CMD.f32(commands);
        let pitch = registers::PITCH_CMD.f32(commands);
        let yaw = registers::YAW_RATE_CMD.f32(commands);
        (0.0..=1.1 * p.generator_torque_max.get()).contains(&torque)
            && (p.pitch_range.0.get() - margin..=p.pitch_range.1.get() + margin).contains(&pitch)
            && yaw.abs() <= p.yaw_rate_max.get() + margin
            && registers::BRAKE_CMD.u16(commands) <= 1
            && registers::GENERATOR_CONNECT.u16(commands) <= 1
    }
}

enum Refusal {
    Epoch,
    Content(Exception),
}

/// A PLC at the time of a request.
#[derive(Debug)]
pub struct PlcAtTime<'a> {
    plc: &'a mut TurbinePlc,
    now: Instant,
}

impl Registers for PlcAtTime<'_> {
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
    registers::PITCH_CMD.set_f32(&mut words, actuation.pitch.get());
    registers::YAW_RATE_CMD.set_f32(&mut words, actuation.yaw_rate.get());
    registers::BRAKE_CMD.set_u16(&mut words, u16::from(actuation.brake));
    registers::GENERATOR_CONNECT.set_u16(&mut words, u16::from(actuation.generator_connected));
    words
}

fn actuation_of(words: &CommandWords) -> Actuation {
    Actuation {
        generator_torque: NewtonMeters(registers::GENERATOR_TORQUE_CMD.f32(words)),
        pitch: Radians(registers::PITCH_CMD.f32(words)),
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
mod tests {
    use super::*;
    use hal_units::MetersPerSecond;
    use sim_plants::{RotorSurface, TurbinePlantParameters};

    /// A PLC at full load with a master that writes whole command blocks.
    struct Site {
        plc: TurbinePlc,
        now: Instant,
        watchdog: u16,
    }

    impl Site {
        fn new() -> Self {
            let wind = MetersPerSecond(14.0);
            let turbine = Turbine::new(TurbinePlantParameters::NREL_5MW, RotorSurface::nrel_5mw());
            let config = PlcConfig { noise: NoiseLevels::NONE, ..PlcConfig::default() };
            let plc = TurbinePlc::new(turbine.in_operation(wind), Wind::constant(wind), config);
            Self { plc, now: Instant::ZERO, watchdog: 0 }
        }

        fn pass(&mut self, span: Duration) -> &mut Self {
            let until = self.now + span;
            while self.now < until {
                self.now = self.now + SCAN;
                self.plc.advance_to(self.now);
            }
            self
        }

        fn write(&mut self, commands: &CommandWords) -> Result<(), Exception> {
            self.plc.at(self.now).write(COMMANDS_START, commands)
        }

        /// The command block as it stands, with the watchdog changed.
        fn feed(&mut self) -> Result<(), Exception> {
            self.watchdog += 1;
            let mut commands = *self.plc.commands();
            registers::WATCHDOG.set_u16(&mut commands, self.watchdog);
            self.write(&commands)
        }

        fn write_changed(&mut self, change: impl FnOnce(&mut CommandWords)) -> Result<(), Exception> {
            let mut commands = *self.plc.commands();
            change(&mut commands);
            self.write(&commands)
        }

        fn rpm(&mut self) -> f64 {
            self.plc.turbine_mut().measurements().rotor_speed.as_rpm()
        }
    }

    #[test]
    fn before_a_master_comes_the_turbine_stays_as_it_is() {
        let mut site = Site::new();
        site.pass(Duration::from_secs(5));
        assert_eq!(site.plc.state(), PlcState::Normal);
        assert!((site.plc.truth().power_mean().as_kilowatts() - 5000.0).abs() < 5.0);
    }

    #[test]
    fn a_starving_watchdog_leads_to_hold_and_then_to_safe() {
        let mut site = Site::new();
        site.feed().unwrap();
        let mut states = Vec::new();
        for _ in 0..14 {
            site.pass(Duration::from_millis(100));
            states.push(site.plc.state().code());
        }
        assert_eq!(states, [0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
        let truth = site.plc.truth();
        assert_eq!((truth.watchdog_holds, truth.watchdog_starvations), (1, 1));
    }

    #[test]
    fn a_write_that_leaves_the_watchdog_alone_does_not_feed_it() {
        let mut site = Site::new();
        site.feed().unwrap();
        for _ in 0..3 {
            site.pass(Duration::from_millis(100));
            site.write_changed(|_| ()).unwrap();
        }
        assert_eq!(site.plc.state(), PlcState::Hold);
    }

    #[test]
    fn in_the_safe_state_the_rotor_stops_and_only_then_the_brake_falls() {
        let mut site = Site::new();
        site.feed().unwrap();
        site.pass(Duration::from_secs(3));
        assert_eq!(site.plc.state(), PlcState::Safe { braking: false });
        assert_eq!(registers::GENERATOR_TORQUE.f32(site.plc.measured()), 0.0);
        assert!(site.rpm() > 5.0, "the brake does not stop a fast rotor");
        site.pass(Duration::from_secs(120));
        assert_eq!(site.plc.state(), PlcState::Safe { braking: true });
        assert!(site.rpm().abs() < 0.01, "{}", site.rpm());
        assert_eq!(registers::FAULT_WORD.u16(site.plc.measured()), fault::WATCHDOG);
        assert_eq!(registers::BRAKE_APPLIED.u16(site.plc.measured()), 1);
    }

    #[test]
    fn a_master_that_comes_back_does_not_bring_back_old_commands() {
        let mut site = Site::new();
        site.feed().unwrap();
        site.pass(Duration::from_secs(3));
        let fed = site.plc.at(site.now).write(registers::WATCHDOG.address, &[77]);
        assert_eq!(fed, Ok(()));
        site.pass(Duration::from_millis(50));
        assert_eq!(site.plc.state(), PlcState::Normal);
        assert_eq!(registers::GENERATOR_TORQUE_CMD.f32(site.plc.commands()), 0.0);
        assert!(registers::PITCH_CMD.f32(site.plc.commands()) > 1.57);
    }

    #[test]
    fn a_lower_epoch_is_refused_whole_and_feeds_nothing() {
        let mut site = Site::new();
        site.write_changed(|words| {
            registers::EPOCH_CMD.set_u32(words, 70_000);
            registers::WATCHDOG.set_u16(words, 1);
        })
        .unwrap();
        site.pass(Duration::from_millis(500));
        let refused = site.write_changed(|words| {
            registers::EPOCH_CMD.set_u32(words, 69_999);
            registers::WATCHDOG.set_u16(words, 2);
            registers::PITCH_CMD.set_f32(words, 1.0);
        });
        assert_eq!(refused, Err(Exception::IllegalDataValue));
        site.pass(Duration::from_millis(5));
        assert_eq!(registers::WATCHDOG_ECHO.u16(site.plc.measured()), 1);
        assert_eq!(registers::EPOCH.u32(site.plc.measured()), 70_000);
        assert_eq!(site.plc.state(), PlcState::Hold);
        assert_eq!(site.plc.truth().writes_refused_by_epoch, 1);
        assert!(site.write_changed(|words| registers::EPOCH_CMD.set_u32(words, 70_000)).is_ok());
    }

    #[test]
    fn what_no_command_can_be_is_refused() {
        let mut site = Site::new();
        let refused = [
            site.write_changed(|w| registers::PITCH_CMD.set_f32(w, f64::NAN)),
            site.write_changed(|w| registers::PITCH_CMD.set_f32(w, 2.0)),
            site.write_changed(|w| registers::GENERATOR_TORQUE_CMD.set_f32(w, -1.0)),
            site.write_changed(|w| registers::GENERATOR_TORQUE_CMD.set_f32(w, 60e3)),
            site.write_changed(|w| registers::YAW_RATE_CMD.set_f32(w, 0.1)),
            site.write_changed(|w| registers::BRAKE_CMD.set_u16(w, 2)),
            site.write_changed(|w| registers::GENERATOR_CONNECT.set_u16(w, 2)),
        ];
        assert!(refused.iter().all(|answer| *answer == Err(Exception::IllegalDataValue)), "{refused:?}");
        let nowhere = [0_u16, 30, 99, 111].map(|address| site.plc.at(site.now).write(address, &[0]));
        assert!(nowhere.iter().all(|answer| *answer == Err(Exception::IllegalDataAddress)), "{nowhere:?}");
        assert_eq!(site.plc.truth().writes_refused_by_content, 11);
        assert_eq!(site.plc.truth().writes_applied, 0);
    }

    #[test]
    fn the_two_tables_can_be_read_and_nothing_else() {
        let mut site = Site::new();
        let mut read =
            |address: u16, count: usize| site.plc.at(site.now).read(address, &mut vec![0; count]).is_ok();
        assert!(read(0, 30) && read(29, 1) && read(100, 11) && read(110, 1));
        assert!(!read(0, 31) && !read(30, 1) && !read(99, 2) && !read(110, 2) && !read(65535, 2));
    }

    #[test]
    fn a_command_moves_the_plant() {
        let mut site = Site::new();
        site.write_changed(|words| registers::PITCH_CMD.set_f32(words, 0.5)).unwrap();
        site.pass(Duration::from_secs(5));
        assert!((registers::PITCH_2.f32(site.plc.measured()) - 0.5).abs() < 1e-3);
    }

    #[test]
    fn a_lost_grid_and_blades_apart_show_in_the_fault_word() {
        let mut site = Site::new();
        site.plc.turbine_mut().set_grid_present(false);
        site.plc.turbine_mut().set_pitch_drive_jammed(0, true);
        site.write_changed(|words| registers::PITCH_CMD.set_f32(words, 1.0)).unwrap();
        site.pass(Duration::from_secs(2));
        assert_eq!(registers::FAULT_WORD.u16(site.plc.measured()), fault::GRID | fault::BLADES_APART);
        assert_eq!(registers::GRID_OK.u16(site.plc.measured()), 0);
    }

    #[test]
    fn a_plc_that_did_not_get_to_run_makes_up_and_does_not_blame_the_master() {
        let mut site = Site::new();
        site.feed().unwrap();
        site.now = site.now + Duration::from_millis(600);
        site.plc.advance_to(site.now);
        site.feed().unwrap();
        for _ in 0..10 {
            site.plc.advance_to(site.now);
        }
        assert_eq!((site.plc.truth().scans, site.plc.truth().watchdog_holds), (120, 0));
        site.now = site.now + Duration::from_secs(30);
        site.plc.advance_to(site.now);
        assert_eq!(site.plc.state(), PlcState::Normal);
        assert_eq!(site.plc.truth().scans_skipped, 5999);
    }
}
