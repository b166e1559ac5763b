//! A quick hash of 128 bits: the exploration remembers fingerprints, not states.
//!
//! Two lanes of multiply-and-fold, as in wyhash. Not for anything that an attacker chooses.

use std::hash::{BuildHasher, Hash, Hasher};

const K1: u64 = 0xa076_1d64_78bd_642f;
const K2: u64 = 0xe703_7ed1_a0b4_28db;

/// Both lanes.
#[derive(Debug, Clone, Copy)]
pub struct Lanes {
    one: u64,
    two: u64,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { one: 0x8ebc_6af0_9c88_c6e3, two: 0x5899_65cc_7537_4cc3 }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of the product are folded")]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product as u64) ^ (product >> 64) as u64
}

impl Lanes {
    const fn take(&mut self, word: u64) {
        self.one = fold(self.one ^ word, K1 ^ word.rotate_left(32));
        self.two = fold(self.two ^ word.rotate_left(17), K2) ^ self.one.rotate_left(29);
    }
}

impl Hasher for Lanes {
    fn finish(&self) -> u64 {
        fold(self.one ^ K2, self.two ^ K1)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.take(u64::from_le_bytes(word) ^ ((chunk.len() as u64) << 56));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.take(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.take(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.take(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.take(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.take(value as u64);
    }
}

/// The fingerprint of a value.
#[must_use]
pub fn fingerprint(value: &impl Hash) -> u128 {
    let mut lanes = Lanes::default();
    value.hash(&mut lanes);
    (u128::from(lanes.finish()) << 64) | u128::from(lanes.one.wrapping_add(lanes.two.rotate_left(11)))
}

/// Makes hashers for tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fast;

impl BuildHasher for Fast {
    type Hasher = Lanes;

    fn build_hasher(&self) -> Lanes {
        Lanes::default()
    }
}

/// Makes hashers for tables whose keys are fingerprints.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlreadyHashed;

impl BuildHasher for AlreadyHashed {
    type Hasher = Last;

    fn build_hasher(&self) -> Last {
        Last(0)
    }
}

/// Takes a fingerprint as it is.
#[derive(Debug, Clone, Copy)]
pub struct Last(u64);

impl Hasher for Last {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a fingerprint is enough for a table")]
    fn write_u128(&mut self, value: u128) {
        self.0 = (value >> 64) as u64;
    }
}
