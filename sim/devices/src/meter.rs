//! A meter where a park meets the grid.
//!
//! # Model
//!
//! The models of `profiles/sunspec-meter.toml`: SunSpec's 1 (common) and 213 (three-phase meter in floating point) from
//! register 40000 on. It shows what it is told at once; what it does not measure is served as no number.

use hal_units::{Duration, Instant, Watts};

use crate::farm::FieldDevice;
use crate::modbus::{self, Exception, Header, Registers};

/// First register.
const START: u16 = 40000;
const COMMON: u16 = 40002;
const METER: u16 = 40070;
const END: u16 = 40196;
const COUNT: usize = 198;
/// 213 Hz, 32 bits of floating point.
pub const FREQUENCY: u16 = METER + 26;
/// 213 W, likewise.
pub const POWER: u16 = METER + 28;

/// A meter.
#[derive(Debug, Clone)]
pub struct MeterDevice {
    words: Vec<u16>,
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
        let mut device = Self { words: vec![0; COUNT] };
        for at in (METER + 2..END).step_by(2) {
            device.set_f32(at, f32::NAN);
        }
        let fixed = [
            (START, 0x5375),
            (START + 1, 0x6e53),
            (COMMON, 1),
            (COMMON + 1, 66),
            (METER, 213),
            (METER + 1, 124),
            (END, 0xffff),
            (END + 1, 0),
        ];
        fixed.into_iter().for_each(|(address, word)| device.set(address, word));
        device.show(Watts::ZERO, 50.0);
        device
    }

    /// Shows this power that is fed in, and this frequency in Hz.
    pub fn show(&mut self, power: Watts, frequency_hz: f64) {
        self.set_f32(POWER, power.get() as f32);
        self.set_f32(FREQUENCY, frequency_hz as f32);
    }

    fn set(&mut self, address: u16, word: u16) {
        if let Some(place) = self.words.get_mut(usize::from(address - START)) {
            *place = word;
        }
    }

    fn set_f32(&mut self, address: u16, value: f32) {
        self.set(address, (value.to_bits() >> 16) as u16);
        self.set(address + 1, value.to_bits() as u16);
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
        address >= START && usize::from(address - START) + usize::from(count) <= COUNT
    }

    fn read(&mut self, address: u16, out: &mut [u16]) -> Result<(), Exception> {
        let from = address.checked_sub(START).map(usize::from).ok_or(Exception::IllegalDataAddress)?;
        let words = self.words.get(from..from + out.len()).ok_or(Exception::IllegalDataAddress)?;
        out.copy_from_slice(words);
        Ok(())
    }

    fn write(&mut self, _: u16, _: &[u16]) -> Result<(), Exception> {
        Err(Exception::IllegalDataAddress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(device: &mut MeterDevice, address: u16) -> u16 {
        let mut word = [0];
        device.read(address, &mut word).unwrap();
        word[0]
    }

    #[test]
    fn models_follow_each_other_as_their_lengths_say() {
        let mut device = MeterDevice::new();
        let (mut address, mut models) = (COMMON, Vec::new());
        while word(&mut device, address) != 0xffff {
            models.push(word(&mut device, address));
            address += 2 + word(&mut device, address + 1);
        }
        assert_eq!((models, address), (vec![1, 213], END));
    }

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
