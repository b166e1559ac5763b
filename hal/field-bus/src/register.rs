//! Registers: where a value lies in a device and how its words are to be read.

use serde::Deserialize;

/// Which of a device's two register tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegisterTable {
    /// Read and write: function codes 3, 6, 16, 23.
    #[default]
    Holding,
    /// Read only: function code 4.
    Input,
}

/// How the bits of a value are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegisterType {
    /// 16 bits, unsigned.
    U16,
    /// 16 bits, two's complement.
    I16,
    /// 32 bits, unsigned.
    U32,
    /// 32 bits, two's complement.
    I32,
    /// 32 bits, IEEE 754.
    F32,
    /// 64 bits, IEEE 754.
    F64,
}

impl RegisterType {
    /// 16-bit registers that a value takes.
    #[must_use]
    pub const fn words(self) -> u16 {
        match self {
            Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::F64 => 4,
        }
    }

    /// The smallest and the largest raw number that fits.
    #[must_use]
    pub const fn raw_range(self) -> (f64, f64) {
        match self {
            Self::U16 => (0.0, u16::MAX as f64),
            Self::I16 => (i16::MIN as f64, i16::MAX as f64),
            Self::U32 => (0.0, u32::MAX as f64),
            Self::I32 => (i32::MIN as f64, i32::MAX as f64),
            Self::F32 => (f32::MIN as f64, f32::MAX as f64),
            Self::F64 => (f64::MIN, f64::MAX),
        }
    }
}

/// Order of the words of a value that takes more than one register. Bytes within a word are always
/// big-endian, as the Modbus specification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WordOrder {
    /// The most significant word lies at the lowest address.
    #[default]
    HighFirst,
    /// The least significant word lies at the lowest address.
    LowFirst,
}

/// Where a value lies and how it is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Register {
    /// Table.
    pub table: RegisterTable,
    /// Address of the first word, from 0, as on the wire.
    pub address: u16,
    /// Type.
    pub kind: RegisterType,
    /// Word order.
    pub word_order: WordOrder,
}

impl Register {
    /// The address after the last word.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.address as u32 + self.kind.words() as u32
    }

    /// The raw number in `words`, which start at this register; `None` if there are too few.
    #[must_use]
    pub fn decode(&self, words: &[u16]) -> Option<f64> {
        let mut bits: u64 = 0;
        let words = words.get(..usize::from(self.kind.words()))?;
        let push = |bits: u64, word: &u16| (bits << 16) | u64::from(*word);
        match self.word_order {
            WordOrder::HighFirst => bits = words.iter().fold(bits, push),
            WordOrder::LowFirst => bits = words.iter().rev().fold(bits, push),
        }
        Some(match self.kind {
            RegisterType::U16 | RegisterType::U32 => bits as f64,
            RegisterType::I16 => f64::from(bits as u16 as i16),
            RegisterType::I32 => f64::from(bits as u32 as i32),
            RegisterType::F32 => f64::from(f32::from_bits(bits as u32)),
            RegisterType::F64 => f64::from_bits(bits),
        })
    }

    /// Writes a raw number into `words`, which start at this register. Integers are rounded to the
    /// nearest and held within the type's range; words that are missing are left out.
    pub fn encode(&self, raw: f64, words: &mut [u16]) {
        let (low, high) = self.kind.raw_range();
        let held = if raw.is_nan() { raw } else { raw.max(low).min(high) };
        let bits: u64 = match self.kind {
            RegisterType::U16 | RegisterType::U32 => held.round() as u64,
            RegisterType::I16 => u64::from(held.round() as i16 as u16),
            RegisterType::I32 => u64::from(held.round() as i32 as u32),
            RegisterType::F32 => u64::from((held as f32).to_bits()),
            RegisterType::F64 => held.to_bits(),
        };
        let count = usize::from(self.kind.words());
        for (at, word) in words.iter_mut().take(count).enumerate() {
            let significance = match self.word_order {
                WordOrder::HighFirst => count - 1 - at,
                WordOrder::LowFirst => at,
            };
            *word = (bits >> (16 * significance)) as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn register(kind: RegisterType, word_order: WordOrder) -> Register {
        Register { table: RegisterTable::Holding, address: 0, kind, word_order }
    }

    #[test]
    fn the_high_word_lies_where_the_order_says() {
        let mut words = [0; 2];
        register(RegisterType::F32, WordOrder::HighFirst).encode(1.0, &mut words);
        assert_eq!(words, [0x3f80, 0]);
        register(RegisterType::F32, WordOrder::LowFirst).encode(1.0, &mut words);
        assert_eq!(words, [0, 0x3f80]);
    }

    #[test]
    fn negative_integers_keep_their_sign() {
        assert_eq!(register(RegisterType::I16, WordOrder::HighFirst).decode(&[0xffff]), Some(-1.0));
        assert_eq!(register(RegisterType::I32, WordOrder::LowFirst).decode(&[0xfffe, 0xffff]), Some(-2.0));
    }

    #[test]
    fn an_integer_out_of_range_is_held_at_its_end() {
        let mut words = [0; 1];
        register(RegisterType::U16, WordOrder::HighFirst).encode(-3.0, &mut words);
        assert_eq!(words, [0]);
        register(RegisterType::U16, WordOrder::HighFirst).encode(1e9, &mut words);
        assert_eq!(words, [u16::MAX]);
    }

    #[test]
    fn too_few_words_decode_to_nothing() {
        assert_eq!(register(RegisterType::F64, WordOrder::HighFirst).decode(&[0; 3]), None);
    }

    proptest! {
        #[test]
        fn every_value_survives_the_wire(value in any::<i32>(), low_first in any::<bool>()) {
            let order = if low_first { WordOrder::LowFirst } else { WordOrder::HighFirst };
            for kind in [RegisterType::I32, RegisterType::F64] {
                let mut words = [0; 4];
                register(kind, order).encode(f64::from(value), &mut words);
                prop_assert_eq!(register(kind, order).decode(&words), Some(f64::from(value)));
            }
        }
    }
}
