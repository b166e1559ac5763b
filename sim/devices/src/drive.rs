//! A vehicle whose drives hang on Modbus: registers in front, wheels and localisation behind.
//!
//! # Model
//!
//! Every [`SCAN`] the device turns its command registers into wheel commands, moves the vehicle, and puts wheels,
//! localisation, battery and status into the measurement registers. Two register maps are served, those of
//! `profiles/differential-drive.toml` and `profiles/tricycle-drive.toml`: integers in millimetres with the high
//! word first, and floating-point numbers with the low word first.
//!
//! The *watchdog* is fed when the value of its register changes. Starved for [`WATCHDOG`] the device takes the power
//! from the drives, and gives it back with the next feeding, **at whatever speed the registers hold**, as many
//! drives do: a master that does not write zero first is punished.
//!
//! A *handling* begins when another number is commanded with a kind, takes its time, and is then told as over under
//! that number. Charging is over as soon as it has begun, and goes on until another handling, or none, is
//! commanded.

use hal_units::{Duration, Instant, Meters, MetersPerSecond, Radians};
use sim_plants::VehiclePlant;
use sim_plants::vehicle::{Place, WheelCommand, Wheels};

use crate::modbus::{Exception, Registers};

/// One scan, and one step of the vehicle.
pub const SCAN: Duration = Duration::from_millis(5);
/// Starved for so long, the drives lose their power.
pub const WATCHDOG: Duration = Duration::from_millis(200);
/// Scans of one [`DriveDevice::advance_to`] at most; being behind by more than a second is not made up for.
const SCANS_AT_ONCE_MAX: u32 = 20;
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// Charging: full in half an hour. Driving and standing: empty after ten kilometres, or eight hours.
const CHARGED_PER_SECOND: f64 = 1.0 / 1800.0;
const USED_PER_METER: f64 = 1.0 / 10_000.0;
const USED_PER_SECOND: f64 = 1.0 / 28_800.0;
/// Handling kind: charging.
const CHARGE: u16 = 3;

/// Which registers a device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveMap {
    /// Two driven wheels, integers, high word first.
    Differential,
    /// A front wheel that drives and steers, floating-point numbers, low word first.
    Tricycle,
}

impl DriveMap {
    const fn measurements(self) -> (u16, usize) {
        match self {
            Self::Differential => (0, 14),
            Self::Tricycle => (1000, 16),
        }
    }

    const fn commands(self) -> (u16, usize) {
        match self {
            Self::Differential => (100, 7),
            Self::Tricycle => (2000, 9),
        }
    }

    /// Wheels that stand.
    #[must_use]
    pub const fn wheels(self) -> Wheels {
        match self {
            Self::Differential => {
                Wheels::Differential { track: Meters(0.6), speeds: [MetersPerSecond(0.0); 2] }
            }
            Self::Tricycle => {
                Wheels::Tricycle { wheelbase: Meters(0.9), speed: MetersPerSecond(0.0), steer: Radians(0.0) }
            }
        }
    }
}

/// What may befall a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DriveTrouble {
    /// Its safety controller holds it.
    pub protective_stop: bool,
    /// A person drives it.
    pub manual: bool,
    /// The drives' fault code.
    pub fault: u16,
}

/// What happened to a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DriveTruth {
    /// Time that it ran.
    pub ran_for: Duration,
    /// Scans that were skipped because the process did not get to run.
    pub scans_skipped: u64,
    /// Requests that read, and writes that were carried out.
    pub reads: u64,
    /// Writes that were carried out.
    pub writes: u64,
    /// Writes that were refused because of an address or a value.
    pub refused: u64,
    /// How often the watchdog starved.
    pub watchdog_starvations: u64,
    /// How often power came back to wheels that were commanded to move: a restart by itself.
    pub self_restarts: u64,
    /// Handlings that were done.
    pub handlings: u64,
}

/// A vehicle with its drives.
#[derive(Debug, Clone)]
pub struct DriveDevice {
    map: DriveMap,
    plant: VehiclePlant,
    handling_time: Duration,
    trouble: DriveTrouble,
    command: Command,
    battery: f64,
    /// The handling that is under way, and when it is over.
    handling: Option<(u32, Instant)>,
    handled: u32,
    fed_at: Option<Instant>,
    starved: bool,
    due: Instant,
    truth: DriveTruth,
}

/// What the command registers say.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Command {
    wheels: WheelCommand,
    enable: bool,
    handling_kind: u16,
    handling_number: u32,
    watchdog: u16,
}

impl DriveDevice {
    /// A vehicle that stands at a place.
    #[must_use]
    pub fn new(map: DriveMap, place: Place, handling_time: Duration, noise: (f64, f64), seed: u64) -> Self {
        Self {
            map,
            plant: VehiclePlant::new(map.wheels(), place, noise, seed),
            handling_time,
            trouble: DriveTrouble::default(),
            command: Command::default(),
            battery: 0.9,
            handling: None,
            handled: 0,
            fed_at: None,
            starved: true,
            due: Instant::ZERO + SCAN,
            truth: DriveTruth::default(),
        }
    }

    /// Makes the scans that are due at `now`; what lies more than a second back is skipped and counted.
    pub fn advance_to(&mut self, now: Instant) {
        let behind = now.since(self.due);
        if behind > BEHIND_MAX {
            let scans = u32::try_from(behind.as_nanos() / SCAN.as_nanos()).unwrap_or(u32::MAX);
            let skipped = SCAN.saturating_mul(scans);
            self.truth.scans_skipped += u64::from(scans);
            self.due = self.due + skipped;
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

    fn scan(&mut self) {
        let starved = self.fed_at.is_none_or(|fed_at| self.due.since(fed_at) > WATCHDOG);
        self.truth.watchdog_starvations += u64::from(starved && !self.starved);
        let moves = self.command.enable && self.moves();
        self.truth.self_restarts += u64::from(self.starved && !starved && moves);
        self.starved = starved;
        let DriveTrouble { protective_stop, manual, fault } = self.trouble;
        let powered = self.command.enable && !starved && !protective_stop && !manual && fault == 0;
        let before = self.plant.odometer_m();
        self.plant.step(self.command.wheels, powered, SCAN);
        self.truth.ran_for += SCAN;
        let seconds = SCAN.as_secs_f64();
        let used = (self.plant.odometer_m() - before) * USED_PER_METER + seconds * USED_PER_SECOND;
        let charges = self.command.handling_kind == CHARGE && self.handled == self.command.handling_number;
        let gained = if charges { seconds * CHARGED_PER_SECOND } else { 0.0 };
        self.battery = (self.battery - used + gained).clamp(0.0, 1.0);
        self.handle();
    }

    fn moves(&self) -> bool {
        let [first, second] = self.command.wheels;
        match self.map {
            DriveMap::Differential => first != 0.0 || second != 0.0,
            DriveMap::Tricycle => first != 0.0,
        }
    }

    fn handle(&mut self) {
        let Command { handling_kind, handling_number, .. } = self.command;
        if handling_kind == 0 || handling_number == 0 || handling_number == self.handled {
            self.handling = None;
            return;
        }
        match self.handling {
            Some((number, until)) if number == handling_number => {
                if self.due >= until {
                    (self.handling, self.handled) = (None, handling_number);
                    self.truth.handlings += 1;
                }
            }
            Some(_) | None => {
                let time = if handling_kind == CHARGE { Duration::ZERO } else { self.handling_time };
                self.handling = Some((handling_number, self.due + time));
            }
        }
    }

    /// Where it truly is, its speed in m/s and its rate of turn in rad/s.
    #[must_use]
    pub fn whereabouts(&self) -> (Place, (f64, f64)) {
        (self.plant.place(), self.plant.motion())
    }

    /// What happened so far.
    #[must_use]
    pub const fn truth(&self) -> &DriveTruth {
        &self.truth
    }

    /// Metres driven.
    #[must_use]
    pub const fn odometer_m(&self) -> f64 {
        self.plant.odometer_m()
    }

    /// What befalls it from now on.
    pub const fn trouble_mut(&mut self) -> &mut DriveTrouble {
        &mut self.trouble
    }

    /// The registers as a master meets them at `now`.
    pub const fn at(&mut self, now: Instant) -> DriveAtTime<'_> {
        DriveAtTime { device: self, now }
    }

    /// Status bits: automatic, protective stop.
    fn status(&self) -> u16 {
        u16::from(!self.trouble.manual) | u16::from(self.trouble.protective_stop) << 1
    }

    fn measured(&self) -> Words {
        let (place, age) = self.plant.fix();
        let [first, second] = self.plant.measured();
        let heading = wrapped(place.heading);
        let age_ms = u16::try_from(age.as_millis()).unwrap_or(u16::MAX);
        let result = u16::from(self.handled != 0);
        let mut words = Words::default();
        match self.map {
            DriveMap::Differential => {
                words.i32(place.x * 1e3).i32(place.y * 1e3).i16(heading * 1e4).u16(age_ms);
                words.i16(first * 1e3).i16(second * 1e3);
                words.u16((self.battery * 1e3) as u16).u16(self.status()).u16(self.trouble.fault);
                words.u32(self.handled, true).u16(result);
            }
            DriveMap::Tricycle => {
                words.f32(place.x).f32(place.y).f32(heading.to_degrees()).f32(first).f32(second.to_degrees());
                words.u16(age_ms).u16((self.battery * 100.0) as u16);
                words.u16(self.status() | (self.trouble.fault & 0xff) << 8);
                words.u32(self.handled, false).u16(result);
            }
        }
        words
    }

    fn commanded(&self, command: &Command) -> Words {
        let [first, second] = command.wheels;
        let mut words = Words::default();
        match self.map {
            DriveMap::Differential => {
                words.i16(first * 1e3).i16(second * 1e3).u16(command.enable.into());
                words.u16(command.handling_kind).u32(command.handling_number, true).u16(command.watchdog);
            }
            DriveMap::Tricycle => {
                words.f32(first).f32(second.to_degrees()).u16(command.enable.into());
                words.u16(command.handling_kind).u32(command.handling_number, false).u16(command.watchdog);
            }
        }
        words
    }

    /// The commands in words of the command table; none if they cannot be.
    fn understood(&self, words: &[u16]) -> Option<Command> {
        let mut words = words.iter().copied();
        let mut word = || words.next();
        let command = match self.map {
            DriveMap::Differential => Command {
                wheels: [f64::from(word()? as i16) / 1e3, f64::from(word()? as i16) / 1e3],
                enable: word()? == 1,
                handling_kind: word()?,
                handling_number: u32::from(word()?) << 16 | u32::from(word()?),
                watchdog: word()?,
            },
            DriveMap::Tricycle => {
                let mut low_first = || Some(u32::from(word()?) | u32::from(word()?) << 16);
                let wheels = [
                    f64::from(f32::from_bits(low_first()?)),
                    f64::from(f32::from_bits(low_first()?)).to_radians(),
                ];
                let (enable, handling_kind) = (word()? == 1, word()?);
                let handling_number = u32::from(word()?) | u32::from(word()?) << 16;
                Command { wheels, enable, handling_kind, handling_number, watchdog: word()? }
            }
        };
        let [first, second] = command.wheels;
        let fits = first.abs() <= 3.0 && second.abs() <= 3.0 && command.handling_kind <= 4;
        fits.then_some(command)
    }

    fn write(&mut self, now: Instant, address: u16, words: &[u16]) -> Result<(), Exception> {
        let (start, count) = self.map.commands();
        let mut all = self.commanded(&self.command).0;
        let from = address.checked_sub(start).map(usize::from);
        let place = from
            .filter(|from| from + words.len() <= count)
            .and_then(|from| all.get_mut(from..from + words.len()));
        let Some(place) = place else {
            self.truth.refused += 1;
            return Err(Exception::IllegalDataAddress);
        };
        place.copy_from_slice(words);
        let Some(command) = self.understood(&all) else {
            self.truth.refused += 1;
            return Err(Exception::IllegalDataValue);
        };
        if command.watchdog != self.command.watchdog {
            self.fed_at = Some(now);
        }
        self.command = command;
        self.truth.writes += 1;
        Ok(())
    }

    fn words(&self, address: u16, count: usize) -> Option<Vec<u16>> {
        let tables = [
            (self.map.measurements().0, self.measured()),
            (self.map.commands().0, self.commanded(&self.command)),
        ];
        tables.iter().find_map(|(start, words)| {
            let from = usize::from(address.checked_sub(*start)?);
            words.0.get(from..from + count).map(<[u16]>::to_vec)
        })
    }
}

/// A device at the time of a request.
#[derive(Debug)]
pub struct DriveAtTime<'a> {
    device: &'a mut DriveDevice,
    now: Instant,
}

impl Registers for DriveAtTime<'_> {
    fn knows_exchange(&self) -> bool {
        match self.device.map {
            DriveMap::Differential => true,
            DriveMap::Tricycle => false,
        }
    }

    fn can_read(&self, address: u16, count: u16) -> bool {
        self.device.words(address, count.into()).is_some()
    }

    fn read(&mut self, address: u16, out: &mut [u16]) -> Result<(), Exception> {
        let words = self.device.words(address, out.len()).ok_or(Exception::IllegalDataAddress)?;
        out.copy_from_slice(&words);
        self.device.truth.reads += 1;
        Ok(())
    }

    fn write(&mut self, address: u16, words: &[u16]) -> Result<(), Exception> {
        self.device.write(self.now, address, words)
    }
}

/// Words of a table, put one after the other.
#[derive(Debug, Default)]
struct Words(Vec<u16>);

impl Words {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.0.push(value);
        self
    }

    fn i16(&mut self, value: f64) -> &mut Self {
        self.u16((value.round() as i16) as u16)
    }

    fn u32(&mut self, value: u32, high_first: bool) -> &mut Self {
        let (high, low) = ((value >> 16) as u16, value as u16);
        if high_first { self.u16(high).u16(low) } else { self.u16(low).u16(high) }
    }

    fn i32(&mut self, value: f64) -> &mut Self {
        self.u32((value.round() as i32) as u32, true)
    }

    fn f32(&mut self, value: f64) -> &mut Self {
        self.u32((value as f32).to_bits(), false)
    }
}

/// An angle from -pi to pi.
fn wrapped(angle: f64) -> f64 {
    use std::f64::consts::{PI, TAU};
    (angle + PI).rem_euclid(TAU) - PI
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: [DriveMap; 2] = [DriveMap::Differential, DriveMap::Tricycle];

    fn device(map: DriveMap) -> DriveDevice {
        DriveDevice::new(map, Place { x: 1.5, y: -2.0, heading: 0.5 }, Duration::from_secs(1), (0.0, 0.0), 0)
    }

    /// Lets `millis` pass, and writes the same commands every 20 ms with a watchdog that counts.
    fn drive(device: &mut DriveDevice, command: Command, millis: u64) {
        let start = device.due;
        for at in (0..millis).step_by(20) {
            let now = start + Duration::from_millis(at);
            device.advance_to(now);
            let watchdog = device.command.watchdog.wrapping_add(1);
            let words = device.commanded(&Command { watchdog, ..command });
            let (address, _) = device.map.commands();
            device.at(now).write(address, &words.0).unwrap();
        }
    }

    const FORWARD: Command =
        Command { wheels: [0.5, 0.5], enable: true, handling_kind: 0, handling_number: 0, watchdog: 0 };
    const AHEAD: Command = Command { wheels: [0.5, 0.0], ..FORWARD };

    #[test]
    fn the_tables_are_as_long_as_they_say() {
        for map in MAPS {
            let device = device(map);
            assert_eq!(device.measured().0.len(), map.measurements().1);
            assert_eq!(device.commanded(&Command::default()).0.len(), map.commands().1);
        }
    }

    #[test]
    fn commands_are_understood_as_they_were_meant() {
        for map in MAPS {
            let command = Command {
                wheels: [0.25, -0.5],
                handling_kind: 2,
                handling_number: 70_000,
                watchdog: 9,
                ..FORWARD
            };
            let device = device(map);
            let understood = device.understood(&device.commanded(&command).0).unwrap();
            assert!((understood.wheels[1] - command.wheels[1]).abs() < 1e-3);
            assert_eq!(Command { wheels: command.wheels, ..understood }, command);
        }
    }

    #[test]
    fn a_commanded_vehicle_drives_and_a_starved_one_stops() {
        for (map, command) in [(DriveMap::Differential, FORWARD), (DriveMap::Tricycle, AHEAD)] {
            let mut device = device(map);
            drive(&mut device, command, 2000);
            assert!(device.whereabouts().1.0 > 0.4);
            let end = device.due + Duration::from_millis(800);
            (0..10).for_each(|_| device.advance_to(end));
            assert_eq!(device.whereabouts().1.0, 0.0);
            assert_eq!(device.truth().watchdog_starvations, 1);
        }
    }

    #[test]
    fn a_master_that_does_not_write_zero_first_is_found_out() {
        let mut device = device(DriveMap::Differential);
        drive(&mut device, FORWARD, 500);
        let end = device.due + Duration::from_millis(800);
        (0..10).for_each(|_| device.advance_to(end));
        let restarts = device.truth().self_restarts;
        drive(&mut device, FORWARD, 500);
        assert_eq!(device.truth().self_restarts, restarts + 1);
    }

    #[test]
    fn a_handling_takes_its_time_and_is_done_once() {
        let mut device = device(DriveMap::Tricycle);
        let pick = Command { handling_kind: 1, handling_number: 4, wheels: [0.0, 0.0], ..FORWARD };
        drive(&mut device, pick, 900);
        assert_eq!(device.handled, 0);
        drive(&mut device, pick, 900);
        assert_eq!((device.handled, device.truth().handlings), (4, 1));
    }

    #[test]
    fn charging_fills_the_battery() {
        let mut device = device(DriveMap::Differential);
        let charge = Command { handling_kind: CHARGE, handling_number: 1, wheels: [0.0, 0.0], ..FORWARD };
        let before = device.battery;
        drive(&mut device, charge, 10_000);
        assert!(device.battery > before + 0.004);
    }
}
