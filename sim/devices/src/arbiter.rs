//! Registers in which two masters of one site settle who of them commands.
//!
//! # Model
//!
//! | register | holds |
//! |---|---|
//! | 200 | slot of node A: the epoch that it claimed last |
//! | 201 | counter of node A: moves while it lives |
//! | 202 | slot of node B |
//! | 203 | counter of node B |
//!
//! All are plain 16-bit holding registers, as any PLC can offer: they are read with function codes 3 and
//! 4, written with 6, 16 and 23, and mean nothing to the PLC itself. A write touches one node's pair
//! alone. With function code 23 a node writes its own pair and reads the other's in one transaction, with
//! no other request between: of two claims that write before they read, at most one reads the other's
//! slot empty.
//!
//! A PLC that restarts begins with zeros: a slot of 0 says nothing about whether a claim was ever made.

use crate::modbus::Exception;
use crate::registers::{ARBITER_COUNT, ARBITER_START};

/// Registers of one node.
const PAIR: usize = 2;

/// The arbiter's registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arbiter {
    words: [u16; ARBITER_COUNT],
}

impl Arbiter {
    /// Slot and counter of node A, slot and counter of node B.
    #[must_use]
    pub const fn registers(&self) -> [u16; ARBITER_COUNT] {
        self.words
    }

    /// The words from `address` on, if they all lie here.
    pub(crate) fn words(&self, address: u16, count: usize) -> Option<&[u16]> {
        let from = usize::from(address.checked_sub(ARBITER_START)?);
        self.words.get(from..from + count)
    }

    /// Writes to one node's pair; `None` if the write does not begin here.
    pub(crate) fn write(&mut self, address: u16, words: &[u16]) -> Option<Result<(), Exception>> {
        let from = usize::from(address.checked_sub(ARBITER_START)?);
        if from >= ARBITER_COUNT {
            return None;
        }
        let pair_ends = (from / PAIR + 1) * PAIR;
        let place = self.words.get_mut(from..from + words.len()).filter(|_| from + words.len() <= pair_ends);
        Some(match place {
            Some(place) => {
                place.copy_from_slice(words);
                Ok(())
            }
            None => Err(Exception::IllegalDataAddress),
        })
    }
}
