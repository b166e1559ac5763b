//! A Modbus peer that lies in every known way, and a judge who knows the truth.
//!
//! - [`truth`]: what the peer's registers honestly held and when, and whether the master believed
//!   anything else.
//! - [`peer`]: serves one connection, with faults drawn from a seed; [`forge`]: its forged replies.
//! - [`fleet`]: many lines to prompt devices over real sockets, for measurements.
//! - [`rig`]: a line with several devices of declared behaviour, in virtual time.
//! - [`campaign`]: a whole line against such a peer, in virtual or in real time.

#![allow(dead_code, unreachable_pub)] // each user takes its part

pub mod campaign;
pub mod fleet;
pub mod forge;
pub mod peer;
pub mod rig;
pub mod truth;

use hal_units::{Duration, Instant};

/// A small generator of pseudo-random numbers: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True once in so many percent.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The runtime's clock, real or virtual, counted from its first use in this process.
pub fn clock_from(origin: tokio::time::Instant) -> impl Fn() -> Instant + Send + Sync + Clone + 'static {
    move || Instant::from_nanos(1_000_000_000 + origin.elapsed().as_nanos() as u64)
}

/// How frames are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Tcp,
    Rtu,
}

/// Check sum of the serial line, written from the specification independently of the code under test.
pub fn crc(bytes: &[u8]) -> [u8; 2] {
    let mut crc = 0xffff_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 };
        }
    }
    crc.to_le_bytes()
}

pub fn is_rtu_frame(bytes: &[u8]) -> bool {
    bytes.len() >= 4 && crc(&bytes[..bytes.len() - 2]) == bytes[bytes.len() - 2..]
}

/// A PDU in its frame.
pub fn frame(framing: Framing, id: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    match framing {
        Framing::Tcp => {
            let mut bytes = id.to_be_bytes().to_vec();
            bytes.extend([0, 0]);
            bytes.extend((pdu.len() as u16 + 1).to_be_bytes());
            bytes.push(unit);
            bytes.extend(pdu);
            bytes
        }
        Framing::Rtu => {
            let mut bytes = vec![unit];
            bytes.extend(pdu);
            bytes.extend(crc(&bytes));
            bytes
        }
    }
}

/// A request as the peer understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub id: u16,
    pub unit: u8,
    pub function: u8,
    pub start: u16,
    pub count: u16,
    /// Start and words of a write.
    pub write: Option<(u16, Vec<u16>)>,
    pub wire_len: usize,
}

/// The first request in `bytes`; `None` while it is incomplete.
pub fn parse_request(framing: Framing, bytes: &[u8]) -> Option<Request> {
    let (id, unit, pdu, header, trailer) = match framing {
        Framing::Tcp if bytes.len() < 8 => return None,
        Framing::Tcp => {
            let length = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
            let pdu = bytes.get(7..6 + length)?;
            (u16::from_be_bytes([bytes[0], bytes[1]]), bytes[6], pdu, 7, 0)
        }
        Framing::Rtu if bytes.len() < 4 => return None,
        Framing::Rtu => (0, bytes[0], &bytes[1..], 1, 2),
    };
    let word = |at: usize| Some(u16::from_be_bytes([*pdu.get(at)?, *pdu.get(at + 1)?]));
    let words = |at: usize, count: u16| {
        (0..usize::from(count)).map(|i| word(at + 2 * i)).collect::<Option<Vec<u16>>>()
    };
    let function = *pdu.first()?;
    let (start, count) = (word(1)?, word(3)?);
    let (pdu_len, write) = match function {
        3 | 4 => (5, None),
        16 => (6 + 2 * usize::from(count), Some((start, words(6, count)?))),
        23 => {
            let (write_start, write_count) = (word(5)?, word(7)?);
            (10 + 2 * usize::from(write_count), Some((write_start, words(10, write_count)?)))
        }
        other => panic!("the master sent function {other}"),
    };
    let wire_len = header + pdu_len + trailer;
    let whole = bytes.get(..wire_len)?;
    if framing == Framing::Rtu {
        assert!(is_rtu_frame(whole), "the master sent a bad check sum: {whole:x?}");
    }
    Some(Request { id, unit, function, start, count, write, wire_len })
}
