//! Replies that are wrong in one way, and the name under which the master must count each.

use hal_modbus::Fault;

use super::truth::word;
use super::{Framing, Request, Rng, frame, is_rtu_frame};

/// What the peer does instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inject {
    Late,
    Silent,
    WrongId,
    WrongUnit,
    WrongFunction,
    WrongLength,
    WrongEcho,
    Cut,
    Close,
    Drip,
    Garbage,
    Exception,
    DuplicateAtOnce,
    DuplicateLater,
}

pub const TCP_FAULTS: [Inject; 14] = [
    Inject::Late,
    Inject::Silent,
    Inject::WrongId,
    Inject::WrongUnit,
    Inject::WrongFunction,
    Inject::WrongLength,
    Inject::WrongEcho,
    Inject::Cut,
    Inject::Close,
    Inject::Drip,
    Inject::Garbage,
    Inject::Exception,
    Inject::DuplicateAtOnce,
    Inject::DuplicateLater,
];
pub const RTU_FAULTS: [Inject; 12] = [
    Inject::Late,
    Inject::Silent,
    Inject::WrongUnit,
    Inject::WrongFunction,
    Inject::WrongLength,
    Inject::WrongEcho,
    Inject::Cut,
    Inject::Drip,
    Inject::Garbage,
    Inject::Exception,
    Inject::DuplicateAtOnce,
    Inject::DuplicateLater,
];

impl Inject {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Silent => "silent",
            Self::WrongId => "wrong transaction id",
            Self::WrongUnit => "wrong unit",
            Self::WrongFunction => "wrong function",
            Self::WrongLength => "wrong length",
            Self::WrongEcho => "wrong echo",
            Self::Cut => "cut mid-frame",
            Self::Close => "closed without answer",
            Self::Drip => "slow drip",
            Self::Garbage => "garbage",
            Self::Exception => "exception",
            Self::DuplicateAtOnce | Self::DuplicateLater => "duplicate",
        }
    }
}

/// A reply that is wrong in one way, and the name of it.
pub fn forge(
    framing: Framing,
    inject: Inject,
    request: &Request,
    stamp: u32,
    rng: &mut Rng,
) -> (Vec<u8>, Fault) {
    let mut pdu_now = pdu(request, stamp, request.count);
    let (id, unit) = (request.id, request.unit);
    match inject {
        Inject::WrongId => {
            // Not that of the request before: that would be its copy.
            let other = id.wrapping_add(1 + rng.below(0xfff0) as u16);
            (frame(framing, other, unit, &pdu_now), Fault::WrongTransactionId)
        }
        Inject::WrongUnit => (frame(framing, id, unit ^ 0x40, &pdu_now), Fault::WrongUnit),
        Inject::WrongFunction => {
            pdu_now[0] = rng.pick(&[1, 2, 5, 6, 20]);
            (frame(framing, id, unit, &pdu_now), Fault::WrongFunction)
        }
        Inject::WrongLength => (wrong_length(framing, request, stamp, rng), Fault::WrongLength),
        Inject::WrongEcho => {
            let at = rng.pick(&[1, 2, 3, 4]);
            pdu_now[at] ^= 1 << rng.below(7);
            (frame(framing, id, unit, &pdu_now), Fault::WrongEcho)
        }
        _ if framing == Framing::Tcp => {
            let mut bytes: Vec<u8> = (0..8 + rng.below(40)).map(|_| rng.next() as u8).collect();
            bytes[2] |= 1;
            (bytes, Fault::Garbage)
        }
        _ => (line_noise(frame(framing, id, unit, &pdu_now), rng), Fault::BadCrc),
    }
}

fn wrong_length(framing: Framing, request: &Request, stamp: u32, rng: &mut Rng) -> Vec<u8> {
    let (id, unit, count) = (request.id, request.unit, request.count);
    if request.function == 16 {
        let mut pdu_now = pdu(request, stamp, count);
        match framing {
            Framing::Tcp if rng.percent(50) => pdu_now.push(0),
            // On a serial line the length of an acknowledgement is known: longer is a bad check sum.
            _ => pdu_now.truncate(4),
        }
        return frame(framing, id, unit, &pdu_now);
    }
    // More registers, consistently. On a serial line fewer could be the answer to a probe.
    let more = count + 9 + rng.below(9) as u16;
    let fewer = count - 1;
    match rng.below(3) {
        0 => frame(framing, id, unit, &pdu(request, stamp, more)),
        1 if framing == Framing::Tcp => frame(framing, id, unit, &pdu(request, stamp, fewer)),
        // Fewer registers than its own byte count says.
        _ => {
            let mut pdu_now = pdu(request, stamp, count);
            pdu_now.truncate(pdu_now.len() - 2);
            frame(framing, id, unit, &pdu_now)
        }
    }
}

/// The PDU of an answer with `count` registers, or the echo of a write.
pub fn pdu(request: &Request, stamp: u32, count: u16) -> Vec<u8> {
    let mut pdu = vec![request.function];
    if request.function == 16 {
        pdu.extend(request.start.to_be_bytes());
        pdu.extend(count.to_be_bytes());
        return pdu;
    }
    pdu.push((2 * count) as u8);
    for offset in 0..count {
        let address = request.start + offset;
        pdu.extend(word(stamp, request.function, address).to_be_bytes());
    }
    pdu
}

/// Errors as a line makes them: a burst of up to 16 bits in a frame, which the check sum always finds,
/// or bytes from nowhere.
fn line_noise(mut frame: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    let (unit, head) = (frame[0], [frame[1], frame[2]]);
    if rng.percent(70) {
        let burst = 1 + rng.below(0xffff) as u32;
        let shift = rng.below(frame.len() as u64 * 8 - 16) as usize;
        for bit in 0..16 {
            if burst >> bit & 1 == 1 {
                frame[(shift + bit) / 8] ^= 1 << ((shift + bit) % 8);
            }
        }
        // Once in a great many this is the beginning of the answer to another request.
        let other = head != [frame[1], frame[2]] && [3, 4, 16, 23].contains(&frame[1]);
        if frame[0] != unit || !other {
            return frame;
        }
    }
    loop {
        let bytes: Vec<u8> = (0..1 + rng.below(40)).map(|_| rng.next() as u8).collect();
        if bytes[0] != unit && !is_rtu_frame(&bytes) {
            return bytes;
        }
    }
}
