//! The program that judges each packet on its way to a device.
//!
//! # Model
//!
//! ```text
//! marked by the arbiter's client                        -> pass
//! not TCP, or not to a device                           -> pass
//! a fragment, or behind headers not read here, to the
//!   address of a device                                 -> as a payload that is no read
//! no payload (handshake, acknowledgement, end)          -> pass
//! on a socket that lost a packet here before            -> drop
//! boot time before the deadline                         -> pass
//! payload is one whole read request                     -> pass
//! anything else                                         -> drop, and condemn the socket
//! ```
//!
//! A socket is *condemned* because the kernel keeps what was dropped and sends it again. Without that, a
//! write of an old term would leave the queue when the same node comes to power once more. So nothing but
//! bare segments ever leaves a condemned socket; its owner sees a timeout and connects anew.

use std::net::{IpAddr, SocketAddr};

use super::assembler::{Arithmetic, Comparison, Helper, Mistake, Register, Step, Width, assemble};

/// Places in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Version4,
    Version6,
    Opaque,
    Tcp,
    OpaqueToDevice,
    Judge,
    Shut,
    Condemn,
    Count,
    Pass,
    Drop,
}

/// Bytes of a key of the devices' map: family, port, two bytes of nothing, address.
pub(super) const KEY_BYTES: usize = 24;
/// Bytes of its value, which says nothing.
pub(super) const VALUE_BYTES: usize = 4;
/// Port of a key that stands for all ports of a device's address.
const PORT_ANY: u16 = 0;

/// Words of the lease page.
pub(super) const DEADLINE_WORD: usize = 0;
pub(super) const EPOCH_WORD: usize = 1;
pub(super) const DROPPED_WORD: usize = 2;
pub(super) const CONDEMNED_WORD: usize = 3;

/// The keys under which a device is found: its endpoint, and its address for what shows no port.
pub(super) fn keys(device: SocketAddr) -> [[u8; KEY_BYTES]; 2] {
    [key(device.ip(), device.port()), key(device.ip(), PORT_ANY)]
}

fn key(address: IpAddr, port: u16) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    // An address of version 4 in the clothes of version 6 travels as version 4.
    let (family, bytes) = match address.to_canonical() {
        IpAddr::V4(address) => (4_u32, address.octets().to_vec()),
        IpAddr::V6(address) => (6_u32, address.octets().to_vec()),
    };
    let fields = family.to_ne_bytes().into_iter().chain(port.to_be_bytes()).chain([0, 0]).chain(bytes);
    key.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    key
}

/// Descriptors of the maps that the program uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maps {
    pub(super) lease: i32,
    pub(super) devices: i32,
    pub(super) condemned: i32,
}

// Fields of `struct __sk_buff` (linux/bpf.h).
const SKB_LEN: i16 = 0;
const SKB_MARK: i16 = 8;
const SKB_PROTOCOL: i16 = 16;

// Places on the stack, from its end.
const KEY: i16 = -24;
const KEY_PORT: i16 = KEY + 4;
const KEY_ADDRESS: i16 = KEY + 8;
/// A header, or a request: 40 bytes.
const HEADER: i16 = -64;
const COOKIE: i16 = -72;
const ZERO: i16 = -76;

const TCP: i32 = 6;
const UDP: i32 = 17;
const ICMP_V6: i32 = 58;

/// The program's instructions.
pub(super) fn program(maps: Maps, exempt_mark: u32) -> Result<Vec<u64>, Mistake> {
    let mut steps = Vec::with_capacity(160);
    classify(&mut steps, exempt_mark);
    read_version_4(&mut steps);
    read_version_6(&mut steps);
    find_device(&mut steps, maps);
    judge(&mut steps, maps);
    verdicts(&mut steps, maps);
    assemble(&steps)
}

use Arithmetic::{Add, And, Move, ShiftLeft, ShiftRight, Subtract};
use Comparison::{Above, Below, Differs, Equal, Negative};
use Register::{Frame, R0, R1, R2, R3, R4, R6, R7, R8, R9};
use Step::{
    AddAtomically, At, Call, Compute, ComputeWith, Exit, FromNetworkHalf, Jump, JumpIf, JumpIfWith, Load,
    LoadMap, Store, StoreValue,
};

/// `R6` is the packet throughout; the key on the stack is empty.
fn classify(steps: &mut Vec<Step>, exempt_mark: u32) {
    steps.extend([
        ComputeWith(Move, R6, R1),
        Load(Width::Word, R0, R6, SKB_MARK),
        JumpIf(R0, Equal, exempt_mark.cast_signed(), Label::Pass),
        StoreValue(Width::Double, Frame, KEY, 0),
        StoreValue(Width::Double, Frame, KEY + 8, 0),
        StoreValue(Width::Double, Frame, KEY + 16, 0),
        StoreValue(Width::Word, Frame, ZERO, 0),
        // The ether type, in the network's order.
        Load(Width::Word, R7, R6, SKB_PROTOCOL),
        FromNetworkHalf(R7),
        JumpIf(R7, Equal, 0x0800, Label::Version4),
        JumpIf(R7, Equal, 0x86dd, Label::Version6),
        Jump(Label::Pass),
    ]);
}

/// Reads `bytes` of the packet from the place in `R2` on; what cannot be read goes nowhere.
fn load_bytes(bytes: i32, otherwise: Label) -> [Step; 6] {
    [
        ComputeWith(Move, R1, R6),
        ComputeWith(Move, R3, Frame),
        Compute(Add, R3, HEADER as i32),
        Compute(Move, R4, bytes),
        Call(Helper::LoadBytes),
        JumpIf(R0, Differs, 0, otherwise),
    ]
}

/// RFC 791, section 3.1. Leaves the length of the header in `R8`.
fn read_version_4(steps: &mut Vec<Step>) {
    steps.extend([At(Label::Version4), Compute(Move, R2, 0)]);
    steps.extend(load_bytes(20, Label::Drop));
    steps.extend([
        StoreValue(Width::Word, Frame, KEY, 4),
        Load(Width::Word, R1, Frame, HEADER + 16),
        Store(Width::Word, Frame, KEY_ADDRESS, R1),
        Load(Width::Byte, R1, Frame, HEADER + 9),
        JumpIf(R1, Differs, TCP, Label::Pass),
        Load(Width::Byte, R8, Frame, HEADER),
        Compute(And, R8, 0x0f),
        Compute(ShiftLeft, R8, 2),
        // More fragments, or an offset.
        Load(Width::Half, R1, Frame, HEADER + 6),
        FromNetworkHalf(R1),
        Compute(And, R1, 0x3fff),
        JumpIf(R1, Differs, 0, Label::Opaque),
        Jump(Label::Tcp),
    ]);
}

/// RFC 8200, section 3. Extension headers are not read: they make a packet opaque.
fn read_version_6(steps: &mut Vec<Step>) {
    steps.extend([At(Label::Version6), Compute(Move, R2, 0)]);
    steps.extend(load_bytes(40, Label::Drop));
    steps.extend([
        StoreValue(Width::Word, Frame, KEY, 6),
        Load(Width::Double, R1, Frame, HEADER + 24),
        Store(Width::Double, Frame, KEY_ADDRESS, R1),
        Load(Width::Double, R1, Frame, HEADER + 32),
        Store(Width::Double, Frame, KEY_ADDRESS + 8, R1),
        Compute(Move, R8, 40),
        Load(Width::Byte, R1, Frame, HEADER + 6),
        JumpIf(R1, Equal, TCP, Label::Tcp),
        JumpIf(R1, Equal, UDP, Label::Pass),
        JumpIf(R1, Equal, ICMP_V6, Label::Pass),
    ]);
}

/// Looks the key up; `R0` is zero if it is unknown.
fn look_up(map: i32, key: i16) -> [Step; 4] {
    [LoadMap(R1, map), ComputeWith(Move, R2, Frame), Compute(Add, R2, key as i32), Call(Helper::MapLookup)]
}

/// Leaves the length of the payload in `R7` and its place in `R8`.
fn find_device(steps: &mut Vec<Step>, maps: Maps) {
    steps.push(At(Label::Opaque));
    steps.extend(look_up(maps.devices, KEY));
    steps.extend([JumpIf(R0, Equal, 0, Label::Pass), Jump(Label::OpaqueToDevice)]);

    // RFC 9293, section 3.1.
    steps.extend([At(Label::Tcp), ComputeWith(Move, R2, R8)]);
    steps.extend(load_bytes(20, Label::Drop));
    steps.extend([Load(Width::Half, R1, Frame, HEADER + 2), Store(Width::Half, Frame, KEY_PORT, R1)]);
    steps.extend(look_up(maps.devices, KEY));
    steps.extend([
        JumpIf(R0, Equal, 0, Label::Pass),
        Load(Width::Byte, R1, Frame, HEADER + 12),
        Compute(ShiftRight, R1, 4),
        Compute(ShiftLeft, R1, 2),
        ComputeWith(Add, R8, R1),
        // The whole packet's length, also if the card will cut it into segments later.
        Load(Width::Word, R7, R6, SKB_LEN),
        ComputeWith(Subtract, R7, R8),
        JumpIf(R7, Equal, 0, Label::Pass),
        JumpIf(R7, Negative, 0, Label::Drop),
        Jump(Label::Judge),
        // Of unknown length: more than a read.
        At(Label::OpaqueToDevice),
        Compute(Move, R7, 0x7fff),
    ]);
}

/// `R9` is the lease page, zero if there is none.
fn judge(steps: &mut Vec<Step>, maps: Maps) {
    steps.push(At(Label::Judge));
    steps.extend(look_up(maps.lease, ZERO));
    steps.extend([
        JumpIf(R0, Equal, 0, Label::Drop),
        ComputeWith(Move, R9, R0),
        ComputeWith(Move, R1, R6),
        Call(Helper::SocketCookie),
        Store(Width::Double, Frame, COOKIE, R0),
    ]);
    steps.extend(look_up(maps.condemned, COOKIE));
    steps.extend([
        JumpIf(R0, Differs, 0, Label::Count),
        Call(Helper::BootTime),
        Load(Width::Double, R1, R9, (DEADLINE_WORD * 8) as i16),
        JumpIfWith(R0, Below, R1, Label::Pass),
        // One read request: Modbus Application Protocol V1.1b3, section 6.1 to 6.4, behind the header of
        // Messaging on TCP/IP V1.0b, section 3.1.3.
        At(Label::Shut),
        JumpIf(R7, Differs, 12, Label::Condemn),
        ComputeWith(Move, R2, R8),
    ]);
    steps.extend(load_bytes(12, Label::Condemn));
    steps.extend([
        // Protocol 0, then a length of 6.
        Load(Width::Half, R1, Frame, HEADER + 2),
        JumpIf(R1, Differs, 0, Label::Condemn),
        Load(Width::Half, R1, Frame, HEADER + 4),
        FromNetworkHalf(R1),
        JumpIf(R1, Differs, 6, Label::Condemn),
        // Read coils, discrete inputs, holding registers, input registers.
        Load(Width::Byte, R1, Frame, HEADER + 7),
        JumpIf(R1, Equal, 0, Label::Condemn),
        JumpIf(R1, Above, 4, Label::Condemn),
        Jump(Label::Pass),
    ]);
}

fn verdicts(steps: &mut Vec<Step>, maps: Maps) {
    steps.extend([
        At(Label::Condemn),
        LoadMap(R1, maps.condemned),
        ComputeWith(Move, R2, Frame),
        Compute(Add, R2, COOKIE as i32),
        ComputeWith(Move, R3, Frame),
        Compute(Add, R3, ZERO as i32),
        Compute(Move, R4, 0),
        Call(Helper::MapUpdate),
        Compute(Move, R1, 1),
        AddAtomically(R9, (CONDEMNED_WORD * 8) as i16, R1),
        At(Label::Count),
        Compute(Move, R1, 1),
        AddAtomically(R9, (DROPPED_WORD * 8) as i16, R1),
        Jump(Label::Drop),
        At(Label::Pass),
        Compute(Move, R0, 1),
        Exit,
        At(Label::Drop),
        Compute(Move, R0, 0),
        Exit,
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_assembles() {
        let words = program(Maps { lease: 3, devices: 4, condemned: 5 }, 7).unwrap();
        assert!((100..200).contains(&words.len()), "{}", words.len());
    }

    #[test]
    fn a_mapped_address_has_the_key_of_the_real_one() {
        let plain: SocketAddr = "10.0.0.7:502".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:10.0.0.7]:502".parse().unwrap();
        assert_eq!(keys(plain), keys(mapped));
        assert_eq!(keys(plain)[0][4..12], [1, 0xf6, 0, 0, 10, 0, 0, 7]);
    }
}
