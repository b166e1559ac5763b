//! A plant with a controller of its own behind a SunSpec interface.
//!
//! # Model
//!
//! The models of `profiles/sunspec-der.toml`, after the published SunSpec definitions: 1 (common), 701, 704 and 715
//! from register 40000 on. What the plant has not is served as SunSpec's *not implemented*.
//!
//! - Power follows the lesser of limit and available power, as a plant controller's does: first order.
//! - Each write of WMaxLimPctEna begins the reversion timer anew, if WMaxLimPctRvrtTms is not 0. When it has run out
//!   WMaxLimPct and WMaxLimPctEna become what WMaxLimPctRvrt and WMaxLimPctEnaRvrt say.
//! - A controller whose heartbeat has been heard and stands still for [`DerConfig::controller_timeout`] is lost: the
//!   plant reverts at once, latches an alarm and stays at the limit to revert to until AlarmReset is written while
//!   the heartbeat moves.
//! - In local control writes are refused and counted: whoever turned the switch is at the machine.

use hal_units::{Duration, Instant, Watts};

use crate::farm::FieldDevice;
use crate::modbus::{self, Exception, Header, Registers};
use crate::sunspec::{FIRST, Map};

/// One scan.
pub const SCAN: Duration = Duration::from_millis(50);
const MEASUREMENT: u16 = FIRST;
const CONTROLS: u16 = MEASUREMENT + 155;
const CONTROL: u16 = CONTROLS + 67;

const ST: u16 = MEASUREMENT + 3;
const ALRM: u16 = MEASUREMENT + 6;
const W: u16 = MEASUREMENT + 10;
const W_SF: u16 = MEASUREMENT + 116;
/// 704 WMaxLimPctEna; the others follow.
pub const LIMIT_ENABLE: u16 = CONTROLS + 14;
/// 704 WMaxLimPct, hundredths of a percent.
pub const LIMIT: u16 = CONTROLS + 15;
const REVERT_LIMIT: u16 = CONTROLS + 16;
const REVERT_ENABLE: u16 = CONTROLS + 17;
const REVERT_AFTER: u16 = CONTROLS + 18;
const REVERT_REMAINING: u16 = CONTROLS + 20;
const LIMIT_SF: u16 = CONTROLS + 54;
const LOCAL: u16 = CONTROL + 2;
const HEARTBEAT: u16 = CONTROL + 3;
/// 715 ControllerHb, two words.
pub const CONTROLLER_HEARTBEAT: u16 = CONTROL + 5;
const ALARM_RESET: u16 = CONTROL + 7;
/// 715 OpCtl: 1 stop, 2 start.
pub const OPERATION: u16 = CONTROL + 8;

/// 701 Alrm: MANUFACTURER_ALRM.
const CONTROLLER_LOST: u32 = 1 << 16;
/// Hundredths of a percent.
const WHOLE: f64 = 10_000.0;
/// How fast power follows.
const LAG: Duration = Duration::from_secs(1);

/// How a plant is set up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DerConfig {
    /// Rated power.
    pub rated: Watts,
    /// What it could give.
    pub available: Watts,
    /// From so long without a heartbeat the controller is lost.
    pub controller_timeout: Duration,
}

impl Default for DerConfig {
    /// 5 MW, all of it available, ten seconds.
    fn default() -> Self {
        let rated = Watts(5e6);
        Self { rated, available: rated, controller_timeout: Duration::from_secs(10) }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DerTruth {
    /// Electrical power.
    pub power: Watts,
    /// Writes that were carried out.
    pub writes: u64,
    /// When the last one was.
    pub last_write_at: Option<Instant>,
    /// Writes that came while the plant was in local control.
    pub writes_in_local: u64,
    /// How often the timer ran out.
    pub timer_reversions: u64,
    /// When it last did.
    pub reverted_at: Option<Instant>,
    /// How often the controller was lost.
    pub controllers_lost: u64,
    /// When that was last noticed.
    pub lost_at: Option<Instant>,
    /// How often it was started after it had been stopped.
    pub starts: u64,
}

/// A plant behind a SunSpec interface.
#[derive(Debug, Clone)]
pub struct DerDevice {
    config: DerConfig,
    map: Map,
    truth: DerTruth,
    running: bool,
    reverts_at: Option<Instant>,
    /// When the controller's heartbeat last changed.
    heard_at: Option<Instant>,
    due: Instant,
}

impl DerDevice {
    /// A plant that runs at will, in remote control.
    #[must_use]
    pub fn new(config: DerConfig) -> Self {
        let mut device = Self {
            map: Map::of(&[(701, 153), (704, 65), (715, 7)]),
            truth: DerTruth { power: config.available, ..DerTruth::default() },
            config,
            running: true,
            reverts_at: None,
            heard_at: None,
            due: Instant::ZERO + SCAN,
        };
        let fixed = [
            (W_SF, 3),
            (LIMIT_ENABLE, 0),
            (LIMIT, WHOLE as u16),
            (REVERT_LIMIT, WHOLE as u16),
            (REVERT_ENABLE, 0),
            (LIMIT_SF, -2_i16 as u16),
            (LOCAL, 0),
            (ALARM_RESET, 0),
            (OPERATION, 2),
        ];
        fixed.into_iter().for_each(|(address, word)| device.map.set(address, word));
        for address in [ALRM, REVERT_AFTER, REVERT_REMAINING, HEARTBEAT, CONTROLLER_HEARTBEAT] {
            device.map.set_u32(address, 0);
        }
        device.measure();
        device
    }

    /// Somebody turns the switch at the machine.
    pub fn set_local(&mut self, local: bool) {
        self.map.set(LOCAL, local.into());
    }

    /// What happened so far.
    #[must_use]
    pub const fn truth(&self) -> &DerTruth {
        &self.truth
    }

    /// The word at this address.
    #[must_use]
    pub fn word(&self, address: u16) -> u16 {
        self.map.word(address)
    }

    /// Whether it holds an alarm.
    #[must_use]
    pub fn is_alarmed(&self) -> bool {
        self.map.word_u32(ALRM) != 0
    }

    /// The registers as a master meets them at `now`.
    pub const fn at(&mut self, now: Instant) -> DerAtTime<'_> {
        DerAtTime { device: self, now }
    }

    fn scan(&mut self) {
        let now = self.due;
        self.map.set_u32(HEARTBEAT, now.since(Instant::ZERO).as_secs() as u32);
        if self.reverts_at.is_some_and(|at| now >= at) {
            self.truth.timer_reversions += 1;
            self.revert(now);
        }
        let silent = self.heard_at.is_some_and(|at| now.since(at) > self.config.controller_timeout);
        if silent && !self.is_alarmed() {
            self.truth.controllers_lost += 1;
            self.truth.lost_at = Some(now);
            self.map.set_u32(ALRM, CONTROLLER_LOST);
            self.revert(now);
        }
        let whole = if self.is_alarmed() {
            f64::from(self.word(REVERT_LIMIT))
        } else if self.word(LIMIT_ENABLE) == 1 {
            f64::from(self.word(LIMIT))
        } else {
            WHOLE
        };
        let may = (self.config.rated * (whole / WHOLE)).min(self.config.available);
        let wanted = if self.running { may } else { Watts::ZERO };
        let share = SCAN.as_secs_f64() / LAG.as_secs_f64();
        self.truth.power = self.truth.power + (wanted - self.truth.power) * share;
        let remaining = self.reverts_at.map_or(0, |at| at.since(now).as_secs() as u32);
        self.map.set_u32(REVERT_REMAINING, remaining);
        self.measure();
    }

    fn revert(&mut self, now: Instant) {
        self.truth.reverted_at = Some(now);
        self.reverts_at = None;
        self.map.set(LIMIT, self.word(REVERT_LIMIT));
        self.map.set(LIMIT_ENABLE, self.word(REVERT_ENABLE));
    }

    fn measure(&mut self) {
        self.map.set(ST, if self.running { 2 } else { 1 });
        self.map.set(W, (self.truth.power.as_kilowatts().round() as i16) as u16);
    }

    fn write(&mut self, now: Instant, address: u16, words: &[u16]) -> Result<(), Exception> {
        let end = usize::from(address) + words.len();
        let controls = address >= LIMIT_ENABLE && end <= usize::from(REVERT_REMAINING);
        let control = address >= CONTROLLER_HEARTBEAT && end <= usize::from(OPERATION) + 1;
        if !controls && !control {
            return Err(Exception::IllegalDataAddress);
        }
        if self.word(LOCAL) != 0 {
            self.truth.writes_in_local += 1;
            return Err(Exception::IllegalDataValue);
        }
        let before = self.clone();
        for (at, word) in (address..).zip(words) {
            self.map.set(at, *word);
        }
        let percent = [LIMIT, REVERT_LIMIT].iter().all(|at| f64::from(self.word(*at)) <= WHOLE);
        let flags = [LIMIT_ENABLE, REVERT_ENABLE, ALARM_RESET].iter().all(|at| self.word(*at) <= 1);
        if !percent || !flags || !(1..=4).contains(&self.word(OPERATION)) {
            *self = before;
            return Err(Exception::IllegalDataValue);
        }
        self.truth.writes += 1;
        self.truth.last_write_at = Some(now);
        if controls && (address..).zip(words).any(|(at, word)| at == LIMIT_ENABLE && *word == 1) {
            let after = self.map.word_u32(REVERT_AFTER);
            self.reverts_at = (after > 0).then(|| now + Duration::from_secs(u64::from(after)));
        }
        if self.map.word_u32(CONTROLLER_HEARTBEAT) != before.map.word_u32(CONTROLLER_HEARTBEAT) {
            self.heard_at = Some(now);
        }
        if self.word(ALARM_RESET) == 1 && now.since(self.heard_at.unwrap_or(Instant::ZERO)) < SCAN * 40 {
            self.map.set_u32(ALRM, 0);
        }
        let runs = self.word(OPERATION) == 2;
        self.truth.starts += u64::from(runs && !self.running);
        self.running = runs;
        Ok(())
    }
}

impl FieldDevice for DerDevice {
    const SCAN: Duration = SCAN;

    fn advance_to(&mut self, now: Instant) {
        while self.due <= now {
            self.scan();
            self.due = self.due + SCAN;
        }
    }

    fn serve(&mut self, now: Instant, header: Header, pdu: &[u8], answer: &mut Vec<u8>) {
        modbus::serve(header, pdu, &mut self.at(now), answer);
    }
}

/// A plant at the time of a request.
#[derive(Debug)]
pub struct DerAtTime<'a> {
    device: &'a mut DerDevice,
    now: Instant,
}

impl Registers for DerAtTime<'_> {
    fn can_read(&self, address: u16, count: u16) -> bool {
        self.device.map.can_read(address, count)
    }

    fn read(&mut self, address: u16, out: &mut [u16]) -> Result<(), Exception> {
        self.device.map.read(address, out)
    }

    fn write(&mut self, address: u16, words: &[u16]) -> Result<(), Exception> {
        self.device.write(self.now, address, words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    /// Limited to 30 %, reverting to 60 % after 20 s.
    fn limited() -> DerDevice {
        let mut device = DerDevice::new(DerConfig::default());
        device.at(at(0)).write(LIMIT_ENABLE, &[1, 3000, 6000, 1, 0, 20]).unwrap();
        device
    }

    #[test]
    fn a_limit_that_nobody_repeats_is_reverted_when_its_time_is_over() {
        let mut device = limited();
        device.advance_to(at(15));
        assert!((device.truth().power.get() - 1.5e6).abs() < 1e4);
        assert_eq!(device.map.word_u32(REVERT_REMAINING), 5);
        device.at(at(15)).write(LIMIT_ENABLE, &[1]).unwrap();
        device.advance_to(at(34));
        assert_eq!((device.word(LIMIT), device.truth().timer_reversions), (3000, 0));
        device.advance_to(at(45));
        assert_eq!((device.word(LIMIT), device.truth().timer_reversions), (6000, 1));
        assert!((device.truth().power.get() - 3e6).abs() < 1e4);
    }

    #[test]
    fn a_controller_that_falls_silent_is_an_alarm_until_a_reset_and_a_new_heartbeat() {
        let mut device = limited();
        device.at(at(0)).write(CONTROLLER_HEARTBEAT, &[0, 1]).unwrap();
        device.advance_to(at(9));
        assert!(!device.is_alarmed());
        device.advance_to(at(11));
        assert!(device.is_alarmed());
        device.at(at(12)).write(LIMIT_ENABLE, &[1, 10_000]).unwrap();
        device.at(at(12)).write(ALARM_RESET, &[1]).unwrap();
        device.advance_to(at(16));
        assert!(device.is_alarmed() && (device.truth().power.get() - 3e6).abs() < 1e5);
        device.at(at(16)).write(CONTROLLER_HEARTBEAT, &[0, 2, 1]).unwrap();
        assert!(!device.is_alarmed());
    }

    #[test]
    fn in_local_control_writes_change_nothing_and_are_counted() {
        let mut device = limited();
        device.set_local(true);
        assert_eq!(device.at(at(1)).write(LIMIT, &[9000]), Err(Exception::IllegalDataValue));
        assert_eq!((device.word(LIMIT), device.truth().writes_in_local), (3000, 1));
    }
}
