//! A meter where a park meets the grid.
//!
//! # Model
//!
//! The models of `profiles/sunspec-meter.toml`: SunSpec's 1 (common) and 213 (three-phase meter in floating point) from
//! register 40000 on. It shows what it is told at once; what it does not measure is served as no number.

use hal_units::{Duration, Instant, Watts};

use crate::farm::FieldDevice;
use crate::modbus::{self, Exception, Header, Registers};
use crate::sunspec::{FIRST, Map};

const METER: u16 = FIRST;
const LENGTH: u16 = 124;
/// 213 Hz, 32 bits of floating point.
pub const FREQUENCY: u16 = METER + 26;
/// 213 W, likewise.
pub const POWER: u16 = METER + 28;

/// A meter.
#[derive(Debug, Clone)]
pub struct MeterDevice {
    map: Map,
}

impl Default for MeterDevice {
    fn default() -> Self {
        Self::new()
    }
}

impl MeterDevice {
    /// A meter at a grid of 50 Hz into which nobody feeds.
    #[must_use]
    pub fn new() -> Self {
        let mut device = Self { map: Map::of(&[(213, LENGTH)]) };
        for at in (METER + 2..METER + 2 + LENGTH).step_by(2) {
            device.map.set_u32(at, f32::NAN.to_bits());
        }
        device.show(Watts::ZERO, 50.0);
        device
    }

    /// Shows this power that is fed in, and this frequency in Hz.
    pub fn show(&mut self, power: Watts, frequency_hz: f64) {
        self.map.set_u32(POWER, (power.get() as f32).to_bits());
        self.map.set_u32(FREQUENCY, (frequency_hz as f32).to_bits());
    }
}

impl FieldDevice for MeterDevice {
    const SCAN: Duration = Duration::from_millis(100);

    fn advance_to(&mut self, _: Instant) {}

    fn serve(&mut self, _: Instant, header: Header, pdu: &[u8], answer: &mut Vec<u8>) {
        modbus::serve(header, pdu, self, answer);
    }
}

impl Registers for MeterDevice {
    fn can_read(&self, address: u16, count: u16) -> bool {
        self.map.can_read(address, count)
    }

    fn read(&mut self, address: u16, out: &mut [u16]) -> Result<(), Exception> {
        self.map.read(address, out)
    }

    fn write(&mut self, _: u16, _: &[u16]) -> Result<(), Exception> {
        Err(Exception::IllegalDataAddress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_power_and_frequency_and_takes_no_writes() {
        let mut device = MeterDevice::new();
        device.show(Watts(-1.5e6), 49.75);
        let mut words = [0; 4];
        device.read(FREQUENCY, &mut words).unwrap();
        let value = |high: u16, low: u16| f32::from_bits(u32::from(high) << 16 | u32::from(low));
        assert_eq!((value(words[0], words[1]), value(words[2], words[3])), (49.75, -1.5e6));
        assert_eq!(device.write(POWER, &[0]), Err(Exception::IllegalDataAddress));
    }
}
