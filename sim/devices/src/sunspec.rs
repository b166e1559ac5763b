//! The registers of a SunSpec device: models one after the other from register 40000 on, as their lengths say.

use crate::modbus::Exception;

/// First register.
pub(crate) const START: u16 = 40000;
/// The common model, which stands first.
pub(crate) const COMMON: u16 = START + 2;
const COMMON_LENGTH: u16 = 66;
/// The first model after that.
pub(crate) const FIRST: u16 = COMMON + 2 + COMMON_LENGTH;
/// What stands for a value that a device has not, and for the model after the last one.
pub(crate) const NOT_IMPLEMENTED: u16 = 0xffff;

/// A device's words.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    words: Vec<u16>,
}

impl Map {
    /// Models of these numbers and lengths, of which nothing is implemented yet.
    pub(crate) fn of(models: &[(u16, u16)]) -> Self {
        let mut map = Self { words: Vec::new() };
        map.words.extend([0x5375, 0x6e53]);
        for (number, length) in [(1, COMMON_LENGTH)].iter().chain(models) {
            map.words.extend([*number, *length]);
            map.words.extend((0..*length).map(|_| NOT_IMPLEMENTED));
        }
        map.words.extend([NOT_IMPLEMENTED, 0]);
        map
    }

    /// The word at this address.
    pub(crate) fn word(&self, address: u16) -> u16 {
        self.words.get(usize::from(address - START)).copied().unwrap_or(NOT_IMPLEMENTED)
    }

    /// Two words as one number.
    pub(crate) fn word_u32(&self, address: u16) -> u32 {
        u32::from(self.word(address)) << 16 | u32::from(self.word(address + 1))
    }

    pub(crate) fn set(&mut self, address: u16, word: u16) {
        if let Some(place) = self.words.get_mut(usize::from(address - START)) {
            *place = word;
        }
    }

    pub(crate) fn set_u32(&mut self, address: u16, value: u32) {
        self.set(address, (value >> 16) as u16);
        self.set(address + 1, value as u16);
    }

    pub(crate) fn can_read(&self, address: u16, count: u16) -> bool {
        address >= START && usize::from(address - START) + usize::from(count) <= self.words.len()
    }

    pub(crate) fn read(&self, address: u16, out: &mut [u16]) -> Result<(), Exception> {
        let from = address.checked_sub(START).map(usize::from).ok_or(Exception::IllegalDataAddress)?;
        let words = self.words.get(from..from + out.len()).ok_or(Exception::IllegalDataAddress)?;
        out.copy_from_slice(words);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_follow_each_other_as_their_lengths_say() {
        let map = Map::of(&[(701, 153), (213, 124)]);
        assert_eq!((map.word(START), map.word(START + 1)), (0x5375, 0x6e53));
        let (mut address, mut models) = (COMMON, Vec::new());
        while map.word(address) != NOT_IMPLEMENTED {
            models.push((address, map.word(address)));
            address += 2 + map.word(address + 1);
        }
        assert_eq!(models, [(COMMON, 1), (FIRST, 701), (FIRST + 155, 213)]);
        assert!(map.can_read(address, 2) && !map.can_read(address, 3) && !map.can_read(START - 1, 1));
    }
}
