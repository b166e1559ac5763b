//! Decides what received bytes are, before the protocol library sees any of them.
//!
//! # Problem
//!
//! tokio-modbus checks an answer's length and a write's echo only in debug builds. On a serial line it
//! drops bytes until something has a valid check sum, and any frame of the right unit and function is
//! the answer, whichever request it belongs to. So nothing is handed to it but one whole frame that is
//! the answer to the request in flight.
//!
//! # Model
//!
//! Pure functions over the bytes received so far. Modbus TCP (Modbus Messaging on TCP/IP Implementation
//! Guide V1.0b, section 3.1.3): transaction id, protocol id 0, length, unit, PDU. Modbus RTU (Modbus over
//! Serial Line V1.02, section 2.5.1): unit, PDU, check sum; frames carry no number, so an answer is
//! known only by its unit and [`Shape`]. Answers to earlier requests that may still come are known as
//! [`Stale`]; they are taken off the front by name.

use crate::fault::Fault;
use crate::query::{EXCEPTION_LEN, PduMatch, Shape};

/// The longest RTU frame, and longer than the longest TCP frame but for 4 bytes.
pub(crate) const FRAME_MAX: usize = 260;

/// The request in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) unit: u8,
    pub(crate) shape: Shape,
}

/// An answer that may still come although nobody waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stale {
    pub(crate) unit: u8,
    pub(crate) shape: Shape,
    /// Modbus TCP only.
    pub(crate) id: u16,
    /// Whether the request had been answered: then this is a copy, else it is late.
    pub(crate) answered: bool,
}

impl Stale {
    pub(crate) const fn fault(&self) -> Fault {
        if self.answered { Fault::DuplicateReply } else { Fault::LateReply }
    }
}

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Examined {
    /// Fits so far; more bytes are to come.
    More,
    /// Fits nothing that is expected, and is not a whole frame either: decided by silence.
    Suspect,
    /// The first `len` bytes are the answer.
    Answer { len: usize },
    /// The first `len` bytes are an exception to the request.
    Exception { len: usize, code: u8 },
    /// The first `len` bytes are the stale answer at `index` of the list.
    Stale { len: usize, index: usize },
    /// Not the answer.
    Bad(Fault),
}

const MBAP_LEN: usize = 7;

/// Examines bytes from a TCP stream. `expected` comes with the number of its transaction.
pub(crate) fn examine_tcp(bytes: &[u8], expected: Option<(u16, Expected)>, stale: &[Stale]) -> Examined {
    let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let (Some(id), Some(protocol)) = (word(0), word(2)) else { return Examined::More };
    if protocol != 0 {
        return Examined::Bad(Fault::Garbage);
    }
    let Some(length) = word(4).map(usize::from) else { return Examined::More };
    if !(1 + EXCEPTION_LEN..=254).contains(&length) {
        return Examined::Bad(Fault::WrongLength);
    }
    let len = 6 + length;
    let Some((_, expected)) = expected.filter(|(expected_id, _)| *expected_id == id) else {
        return match stale.iter().position(|stale| stale.id == id) {
            Some(index) if bytes.len() >= len => Examined::Stale { len, index },
            Some(_) => Examined::More,
            None => Examined::Bad(Fault::WrongTransactionId),
        };
    };
    let (Some(&unit), Some(pdu)) = (bytes.get(MBAP_LEN - 1), bytes.get(MBAP_LEN..)) else {
        return Examined::More;
    };
    if unit != expected.unit {
        return Examined::Bad(Fault::WrongUnit);
    }
    let pdu = pdu.get(..length - 1).unwrap_or(pdu);
    match expected.shape.matches(pdu) {
        PduMatch::Mismatch(fault) => Examined::Bad(fault),
        PduMatch::Exception { code } if length == 1 + EXCEPTION_LEN => Examined::Exception { len, code },
        PduMatch::Answer { .. } if length == 1 + expected.shape.pdu_len() => Examined::Answer { len },
        PduMatch::Exception { .. } | PduMatch::Answer { .. } => Examined::Bad(Fault::WrongLength),
        PduMatch::Partial => {
            let exception = pdu.first().is_some_and(|function| function & 0x80 != 0);
            let due = if exception { EXCEPTION_LEN } else { expected.shape.pdu_len() };
            // The header already tells that the answer will not fit.
            if pdu.is_empty() || length == 1 + due {
                Examined::More
            } else {
                Examined::Bad(Fault::WrongLength)
            }
        }
    }
}

/// Examines bytes from a serial line.
pub(crate) fn examine_rtu(bytes: &[u8], expected: Option<Expected>, stale: &[Stale]) -> Examined {
    let mut named = Fault::Garbage;
    if let Some(expected) = expected {
        match rtu_match(bytes, expected.unit, expected.shape) {
            RtuMatch::Partial => return Examined::More,
            RtuMatch::Answer { len } => return Examined::Answer { len },
            RtuMatch::Exception { len, code } => return Examined::Exception { len, code },
            RtuMatch::BadCrc => return Examined::Bad(Fault::BadCrc),
            RtuMatch::Mismatch(fault) => named = fault,
        }
    }
    let mut partial = false;
    for (index, stale) in stale.iter().enumerate() {
        match rtu_match(bytes, stale.unit, stale.shape) {
            RtuMatch::Answer { len } | RtuMatch::Exception { len, .. } => {
                return Examined::Stale { len, index };
            }
            RtuMatch::Partial => partial = true,
            RtuMatch::BadCrc | RtuMatch::Mismatch(_) => {}
        }
    }
    if is_rtu_frame(bytes) {
        let whole_len = expected.map_or(0, |expected| 1 + expected.shape.pdu_len() + 2);
        let cut_short = named == Fault::WrongEcho && bytes.len() < whole_len;
        Examined::Bad(if cut_short { Fault::WrongLength } else { named })
    } else if bytes.len() >= FRAME_MAX {
        Examined::Bad(Fault::BadCrc)
    } else if partial {
        Examined::More
    } else {
        Examined::Suspect
    }
}

/// Names what stands in the buffer when nothing more comes. `broken_off`: it has not grown for longer
/// than the frame gap.
pub(crate) fn name_rest(
    serial: bool,
    bytes: &[u8],
    expected: Expected,
    stale: &[Stale],
    broken_off: bool,
) -> Fault {
    let fits = !serial || matches!(rtu_match(bytes, expected.unit, expected.shape), RtuMatch::Partial);
    match (bytes.is_empty(), fits) {
        (true, _) => Fault::Timeout,
        // A late answer has begun, the one waited for has not.
        (false, false) if examine_rtu(bytes, None, stale) == Examined::More => Fault::Timeout,
        (false, false) => Fault::BadCrc,
        // A frame with a good check sum that is shorter than its own byte count.
        (false, true) if serial && is_rtu_frame(bytes) => Fault::WrongLength,
        (false, true) if broken_off => Fault::CutFrame,
        (false, true) => Fault::SlowReply,
    }
}

enum RtuMatch {
    Partial,
    Answer { len: usize },
    Exception { len: usize, code: u8 },
    BadCrc,
    Mismatch(Fault),
}

fn rtu_match(bytes: &[u8], unit: u8, shape: Shape) -> RtuMatch {
    let Some((&got, pdu)) = bytes.split_first() else { return RtuMatch::Partial };
    if got != unit {
        return RtuMatch::Mismatch(Fault::WrongUnit);
    }
    let (len, code) = match shape.matches(pdu) {
        PduMatch::Partial => return RtuMatch::Partial,
        PduMatch::Mismatch(fault) => return RtuMatch::Mismatch(fault),
        PduMatch::Answer { len } => (1 + len + 2, None),
        PduMatch::Exception { code } => (1 + EXCEPTION_LEN + 2, Some(code)),
    };
    match (bytes.get(..len), code) {
        (None, _) => RtuMatch::Partial,
        (Some(frame), _) if !is_rtu_frame(frame) => RtuMatch::BadCrc,
        (Some(_), None) => RtuMatch::Answer { len },
        (Some(_), Some(code)) => RtuMatch::Exception { len, code },
    }
}

/// Whether all of `bytes` are one frame with a good check sum.
pub(crate) fn is_rtu_frame(bytes: &[u8]) -> bool {
    let Some((body, &[low, high])) = bytes.split_last_chunk::<2>() else { return false };
    body.len() >= 2 && crc16(body) == u16::from_le_bytes([low, high])
}

/// Check sum of an RTU frame: CRC-16 with polynomial 0xA001 (reflected), initially 0xFFFF (Modbus over
/// Serial Line V1.02, section 6.2.2).
pub(crate) fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0xffff_u16;
    for &byte in bytes {
        let at = usize::from((crc ^ u16::from(byte)) & 0xff);
        crc = (crc >> 8) ^ CRC_TABLE.get(at).copied().unwrap_or(0);
    }
    crc
}

const CRC_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 };
            bit += 1;
        }
        #[allow(clippy::indexing_slicing)] // evaluated by the compiler
        {
            table[byte] = crc;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const READ: Expected = Expected { unit: 7, shape: Shape::Registers { function: 3, count: 2 } };
    const LATE_WRITE: Stale = Stale {
        unit: 7,
        shape: Shape::Echo { function: 16, address: 9, quantity: 1 },
        id: 41,
        answered: false,
    };

    fn rtu(body: &[u8]) -> Vec<u8> {
        let mut frame = body.to_vec();
        frame.extend(crc16(body).to_le_bytes());
        frame
    }

    fn tcp(id: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
        let mut frame = id.to_be_bytes().to_vec();
        frame.extend([0, 0]);
        frame.extend((pdu.len() as u16 + 1).to_be_bytes());
        frame.push(unit);
        frame.extend(pdu);
        frame
    }

    fn tcp_answer() -> Vec<u8> {
        tcp(42, 7, &[3, 4, 1, 2, 3, 4])
    }

    fn examine(frame: &[u8]) -> Examined {
        examine_tcp(frame, Some((42, READ)), &[LATE_WRITE])
    }

    #[test]
    fn the_check_sum_of_a_known_frame_is_right() {
        // Modbus over Serial Line V1.02, section 6.2.2: 02 07 has the check sum 0x1241.
        assert_eq!(crc16(&[0x02, 0x07]), 0x1241);
    }

    #[test]
    fn a_tcp_answer_is_taken_when_its_last_byte_is_in() {
        let frame = tcp_answer();
        for len in 0..frame.len() {
            assert_eq!(examine(&frame[..len]), Examined::More, "{len}");
        }
        assert_eq!(examine(&frame), Examined::Answer { len: frame.len() });
    }

    #[test]
    fn tcp_faults_are_named() {
        let bad = |frame: Vec<u8>, fault| assert_eq!(examine(&frame), Examined::Bad(fault), "{frame:?}");
        bad(tcp(43, 7, &[3, 4, 1, 2, 3, 4]), Fault::WrongTransactionId);
        bad(tcp(42, 8, &[3, 4, 1, 2, 3, 4]), Fault::WrongUnit);
        bad(tcp(42, 7, &[4, 4, 1, 2, 3, 4]), Fault::WrongFunction);
        bad(tcp(42, 7, &[3, 2, 1, 2]), Fault::WrongLength);
        bad(tcp(42, 7, &[3, 4, 1, 2, 3, 4, 5]), Fault::WrongLength);
        bad(tcp(42, 7, &[3, 4, 1, 2]), Fault::WrongLength);
        bad(tcp(42, 7, &[0x83, 2, 2]), Fault::WrongLength);
        let mut garbage = tcp_answer();
        garbage[2] = 9;
        bad(garbage, Fault::Garbage);
    }

    #[test]
    fn a_late_answer_is_known_by_its_number() {
        let late = tcp(41, 7, &[16, 0, 9, 0, 1]);
        assert_eq!(examine(&late), Examined::Stale { len: late.len(), index: 0 });
        assert_eq!(examine(&late[..8]), Examined::More);
    }

    #[test]
    fn a_late_rtu_answer_is_known_by_its_shape() {
        let mut bytes = rtu(&[7, 16, 0, 9, 0, 1]);
        assert_eq!(examine_rtu(&bytes[..3], Some(READ), &[LATE_WRITE]), Examined::More);
        bytes.extend(rtu(&[7, 3, 4, 1, 2, 3, 4]));
        assert_eq!(examine_rtu(&bytes, Some(READ), &[LATE_WRITE]), Examined::Stale { len: 8, index: 0 });
        assert_eq!(examine_rtu(&bytes[8..], Some(READ), &[LATE_WRITE]), Examined::Answer { len: 9 });
    }

    #[test]
    fn rtu_faults_are_named() {
        let bad = |frame: Vec<u8>, fault| {
            assert_eq!(examine_rtu(&frame, Some(READ), &[]), Examined::Bad(fault), "{frame:?}");
        };
        bad(rtu(&[8, 3, 4, 1, 2, 3, 4]), Fault::WrongUnit);
        bad(rtu(&[7, 4, 4, 1, 2, 3, 4]), Fault::WrongFunction);
        bad(rtu(&[7, 3, 2, 1, 2]), Fault::WrongLength);
        bad(vec![7, 3, 4, 1, 2, 3, 4, 0, 0], Fault::BadCrc);
        assert_eq!(examine_rtu(&[9, 9, 9], Some(READ), &[]), Examined::Suspect);
        assert_eq!(name_rest(true, &[9, 9, 9], READ, &[], true), Fault::BadCrc);
        assert_eq!(name_rest(true, &rtu(&[7, 3, 4, 1, 2]), READ, &[], true), Fault::WrongLength);
        assert_eq!(name_rest(true, &[7, 3, 4], READ, &[], true), Fault::CutFrame);
        assert_eq!(name_rest(true, &[7, 3, 4], READ, &[], false), Fault::SlowReply);
        assert_eq!(name_rest(false, &[], READ, &[], false), Fault::Timeout);
    }

    proptest! {
        #[test]
        fn whatever_comes_over_tcp_only_the_answer_is_taken(
            bytes in proptest::collection::vec(any::<u8>(), 0..40), cut in 0_usize..16, mutate in any::<bool>(),
        ) {
            // Near misses: the answer with some of its bytes replaced.
            let mut frame = tcp_answer();
            if mutate {
                frame.truncate(cut);
                frame.extend(&bytes);
            } else {
                frame = bytes;
            }
            if let Examined::Answer { len } = examine(&frame) {
                prop_assert_eq!(len, 13);
                prop_assert_eq!(&frame[..9], &tcp_answer()[..9]);
            }
        }

        #[test]
        fn a_burst_of_up_to_sixteen_bits_never_passes_on_a_serial_line(
            at in 0_usize..64, burst in 1_u16.., values in any::<[u8; 4]>(),
        ) {
            let mut frame = rtu(&[&[7, 3, 4][..], &values].concat());
            let whole = frame.clone();
            let shift = at.min(frame.len() * 8 - 16);
            for bit in 0..16 {
                if burst >> bit & 1 == 1 {
                    let at = shift + bit;
                    frame[at / 8] ^= 1 << (at % 8);
                }
            }
            prop_assert_ne!(&frame, &whole);
            let examined = examine_rtu(&frame, Some(READ), &[]);
            prop_assert!(!matches!(examined, Examined::Answer { .. }), "{examined:?}");
        }

        #[test]
        fn nothing_that_comes_makes_the_examination_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), count in any::<u16>(),
        ) {
            let expected = Expected { unit: 7, shape: Shape::Registers { function: 3, count } };
            let _ = examine_tcp(&bytes, Some((42, expected)), &[LATE_WRITE]);
            let _ = examine_rtu(&bytes, Some(expected), &[LATE_WRITE]);
            let _ = examine_rtu(&bytes, None, &[LATE_WRITE]);
            let _ = name_rest(true, &bytes, expected, &[], false);
        }
    }
}
