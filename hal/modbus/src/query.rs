//! Requests, and what their answers must look like.

use std::borrow::Cow;

use hal_field_bus::{RegisterTable, TransactionBytes, exchange_bytes, read_bytes, write_bytes};
use tokio_modbus::Request;

use crate::fault::Fault;

/// One request to one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query<'a> {
    /// Read registers: function code 3, or 4 for the input table.
    Read {
        /// Table.
        table: RegisterTable,
        /// First address.
        start: u16,
        /// Registers, 1 to 125.
        count: u16,
    },
    /// Write registers: function code 16.
    Write {
        /// First address.
        start: u16,
        /// Their values, 1 to 123.
        words: &'a [u16],
    },
    /// Write one register: function code 6.
    WriteSingle {
        /// Its address.
        address: u16,
        /// Its value.
        word: u16,
    },
    /// Write, then read, in one transaction: function code 23.
    Exchange {
        /// First address to read.
        read_start: u16,
        /// Registers to read, 1 to 125.
        read_count: u16,
        /// First address to write.
        write_start: u16,
        /// Values to write, 1 to 121.
        words: &'a [u16],
    },
}

impl<'a> Query<'a> {
    /// Size of the request and of its answer on a serial line.
    #[must_use]
    pub fn bytes(&self) -> TransactionBytes {
        match *self {
            Self::Read { count, .. } => read_bytes(count),
            Self::Write { words, .. } => write_bytes(quantity(words)),
            // Unit, function, address, value, check sum; the answer repeats the request.
            Self::WriteSingle { .. } => TransactionBytes { request: 8, answer: 8 },
            Self::Exchange { read_count, words, .. } => exchange_bytes(read_count, quantity(words)),
        }
    }

    pub(crate) fn request(&self) -> Request<'a> {
        match *self {
            Self::Read { table: RegisterTable::Holding, start, count } => {
                Request::ReadHoldingRegisters(start, count)
            }
            Self::Read { table: RegisterTable::Input, start, count } => {
                Request::ReadInputRegisters(start, count)
            }
            Self::Write { start, words } => Request::WriteMultipleRegisters(start, Cow::Borrowed(words)),
            Self::WriteSingle { address, word } => Request::WriteSingleRegister(address, word),
            Self::Exchange { read_start, read_count, write_start, words } => {
                Request::ReadWriteMultipleRegisters(read_start, read_count, write_start, Cow::Borrowed(words))
            }
        }
    }

    pub(crate) fn shape(&self) -> Shape {
        match *self {
            Self::Read { table, count, .. } => Shape::Registers { function: read_function(table), count },
            Self::Write { start, words } => {
                Shape::Echo { function: 0x10, address: start, quantity: quantity(words) }
            }
            Self::WriteSingle { address, word } => Shape::Echo { function: 0x06, address, quantity: word },
            Self::Exchange { read_count, .. } => Shape::Registers { function: 0x17, count: read_count },
        }
    }
}

fn quantity(words: &[u16]) -> u16 {
    u16::try_from(words.len()).unwrap_or(u16::MAX)
}

const fn read_function(table: RegisterTable) -> u8 {
    match table {
        RegisterTable::Holding => 0x03,
        RegisterTable::Input => 0x04,
    }
}

/// Everything about an answer that is known before it comes. Two answers of one unit and one shape
/// cannot be told apart on a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// Function, byte count, registers.
    Registers { function: u8, count: u16 },
    /// Function, and address and quantity of the request; the value for a single register.
    Echo { function: u8, address: u16, quantity: u16 },
}

/// How the beginning of a PDU fits a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PduMatch {
    /// Fits so far; more bytes are to come.
    Partial,
    /// The first `len` bytes are the answer.
    Answer { len: usize },
    /// The first two bytes are an exception to the request.
    Exception { code: u8 },
    /// Cannot become the answer.
    Mismatch(Fault),
}

/// Bytes of an exception's PDU.
pub(crate) const EXCEPTION_LEN: usize = 2;

impl Shape {
    pub(crate) const fn function(self) -> u8 {
        match self {
            Self::Registers { function, .. } | Self::Echo { function, .. } => function,
        }
    }

    /// Bytes of the answer's PDU.
    pub(crate) const fn pdu_len(self) -> usize {
        match self {
            Self::Registers { count, .. } => 2 + 2 * count as usize,
            Self::Echo { .. } => 5,
        }
    }

    /// Compares as many bytes as there are.
    pub(crate) fn matches(self, pdu: &[u8]) -> PduMatch {
        let Some((&function, rest)) = pdu.split_first() else { return PduMatch::Partial };
        if function == self.function() | 0x80 {
            return rest.first().map_or(PduMatch::Partial, |&code| PduMatch::Exception { code });
        }
        if function != self.function() {
            return PduMatch::Mismatch(Fault::WrongFunction);
        }
        match self {
            Self::Registers { count, .. } => {
                if rest.first().is_some_and(|&bytes| u32::from(bytes) != 2 * u32::from(count)) {
                    return PduMatch::Mismatch(Fault::WrongLength);
                }
            }
            Self::Echo { address, quantity, .. } => {
                let [a, b] = address.to_be_bytes();
                let [c, d] = quantity.to_be_bytes();
                if rest.iter().zip([a, b, c, d]).any(|(got, expected)| *got != expected) {
                    return PduMatch::Mismatch(Fault::WrongEcho);
                }
            }
        }
        if pdu.len() < self.pdu_len() { PduMatch::Partial } else { PduMatch::Answer { len: self.pdu_len() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Shape = Shape::Registers { function: 3, count: 2 };
    const WRITE: Shape = Shape::Echo { function: 16, address: 0x0102, quantity: 3 };

    #[test]
    fn every_prefix_of_the_answer_fits() {
        let answer = [3, 4, 0, 1, 0, 2];
        for len in 0..answer.len() {
            assert_eq!(READ.matches(&answer[..len]), PduMatch::Partial, "{len}");
        }
        assert_eq!(READ.matches(&answer), PduMatch::Answer { len: 6 });
    }

    #[test]
    fn an_exception_fits_its_request_only() {
        assert_eq!(READ.matches(&[0x83, 6]), PduMatch::Exception { code: 6 });
        assert_eq!(READ.matches(&[0x90, 6]), PduMatch::Mismatch(Fault::WrongFunction));
    }

    #[test]
    fn the_echo_of_a_single_register_repeats_its_value() {
        let shape = Query::WriteSingle { address: 0x0102, word: 0x0304 }.shape();
        assert_eq!(shape.matches(&[6, 1, 2, 3, 4]), PduMatch::Answer { len: 5 });
        assert_eq!(shape.matches(&[6, 1, 2, 3]), PduMatch::Partial);
        assert_eq!(shape.matches(&[6, 1, 2, 3, 5]), PduMatch::Mismatch(Fault::WrongEcho));
        assert_eq!(shape.matches(&[16, 1, 2, 3, 4]), PduMatch::Mismatch(Fault::WrongFunction));
        assert_eq!(shape.matches(&[0x86, 2]), PduMatch::Exception { code: 2 });
    }

    #[test]
    fn a_mismatch_is_named() {
        assert_eq!(READ.matches(&[4]), PduMatch::Mismatch(Fault::WrongFunction));
        assert_eq!(READ.matches(&[3, 6]), PduMatch::Mismatch(Fault::WrongLength));
        assert_eq!(WRITE.matches(&[16, 1, 3]), PduMatch::Mismatch(Fault::WrongEcho));
        assert_eq!(WRITE.matches(&[16, 1, 2, 0, 2]), PduMatch::Mismatch(Fault::WrongEcho));
        assert_eq!(WRITE.matches(&[16, 1, 2, 0, 3]), PduMatch::Answer { len: 5 });
    }
}
