//! An assembler for the kernel's packet machine, just large enough for the gate.
//!
//! # Model
//!
//! A program is a list of [`Step`]s. Jumps name a label; [`assemble`] counts the distances. An instruction
//! is 8 bytes: operation, registers, offset, immediate (RFC 9669, section 3); the wide one takes 16.

use super::program::Label;

/// A register. `R0` takes results, `R1` to `R4` arguments, `R6` to `R9` survive a call, `Frame` is the end
/// of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Register {
    R0 = 0,
    R1 = 1,
    R2 = 2,
    R3 = 3,
    R4 = 4,
    R6 = 6,
    R7 = 7,
    R8 = 8,
    R9 = 9,
    Frame = 10,
}

/// How much of memory an access takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Byte = 0x10,
    Half = 0x08,
    Word = 0x00,
    Double = 0x18,
}

/// Arithmetic on 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add = 0x00,
    Subtract = 0x10,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Move = 0xb0,
}

/// Comparison of unsigned 64-bit values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal = 0x10,
    Above = 0x20,
    Differs = 0x50,
    Below = 0xa0,
    /// Signed.
    Negative = 0xc0,
}

/// A function of the kernel, by its number (`linux/bpf.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Helper {
    MapLookup = 1,
    MapUpdate = 2,
    LoadBytes = 26,
    SocketCookie = 46,
    BootTime = 125,
}

/// One step of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The place that jumps to the label go to.
    At(Label),
    /// `register op= value`.
    Compute(Arithmetic, Register, i32),
    /// `register op= other`.
    ComputeWith(Arithmetic, Register, Register),
    /// `register = *(base + offset)`.
    Load(Width, Register, Register, i16),
    /// `*(base + offset) = register`.
    Store(Width, Register, i16, Register),
    /// `*(base + offset) = value`.
    StoreValue(Width, Register, i16, i32),
    /// Adds a register to a double word in memory, atomically.
    AddAtomically(Register, i16, Register),
    /// Turns the 16 bits of the network's order into those of the machine.
    FromNetworkHalf(Register),
    /// The register refers to the map with this descriptor.
    LoadMap(Register, i32),
    /// Calls the kernel.
    Call(Helper),
    /// Goes on at the label.
    Jump(Label),
    /// Goes on at the label if the comparison with a value holds.
    JumpIf(Register, Comparison, i32, Label),
    /// Goes on at the label if the comparison with another register holds.
    JumpIfWith(Register, Comparison, Register, Label),
    /// Ends the program; the result is in `R0`.
    Exit,
}

/// Why a program cannot be assembled: a mistake in the program, found by its tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    /// Nobody set the label, or a jump goes back or too far.
    Jump(Label),
}

impl Step {
    const fn words(self) -> usize {
        match self {
            Self::At(_) => 0,
            Self::LoadMap(..) => 2,
            Self::Compute(..)
            | Self::ComputeWith(..)
            | Self::Load(..)
            | Self::Store(..)
            | Self::StoreValue(..)
            | Self::AddAtomically(..)
            | Self::FromNetworkHalf(_)
            | Self::Call(_)
            | Self::Jump(_)
            | Self::JumpIf(..)
            | Self::JumpIfWith(..)
            | Self::Exit => 1,
        }
    }
}

const fn instruction(operation: u8, to: u8, from: u8, offset: i16, immediate: i32) -> u64 {
    let [o0, o1] = offset.to_ne_bytes();
    let [i0, i1, i2, i3] = immediate.to_ne_bytes();
    let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
    u64::from_ne_bytes([operation, registers, o0, o1, i0, i1, i2, i3])
}

/// The instructions of a program. Jumps go forward only, so every program ends.
pub(super) fn assemble(steps: &[Step]) -> Result<Vec<u64>, Mistake> {
    let mut words = Vec::with_capacity(steps.len() + 8);
    for (at, step) in steps.iter().enumerate() {
        let rest = steps.get(at + 1..).unwrap_or_default();
        encode(*step, rest, &mut words)?;
    }
    Ok(words)
}

fn encode(step: Step, rest: &[Step], words: &mut Vec<u64>) -> Result<(), Mistake> {
    // Classes and modes of RFC 9669, section 3 and 5.
    const LOAD_WIDE: u8 = 0x18;
    const MEMORY_LOAD: u8 = 0x61;
    const MEMORY_STORE: u8 = 0x63;
    const MEMORY_STORE_VALUE: u8 = 0x62;
    const ATOMIC_ADD: u8 = 0xdb;
    const ALU64: u8 = 0x07;
    const TO_BIG_ENDIAN: u8 = 0xdc;
    const JUMP: u8 = 0x05;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    const WITH_REGISTER: u8 = 0x08;
    const MAP_DESCRIPTOR: u8 = 1;
    let word = match step {
        Step::At(_) => return Ok(()),
        Step::Compute(op, to, value) => instruction(ALU64 | op as u8, to as u8, 0, 0, value),
        Step::ComputeWith(op, to, from) => {
            instruction(ALU64 | WITH_REGISTER | op as u8, to as u8, from as u8, 0, 0)
        }
        Step::Load(width, to, base, offset) => {
            instruction(MEMORY_LOAD | width as u8, to as u8, base as u8, offset, 0)
        }
        Step::Store(width, base, offset, from) => {
            instruction(MEMORY_STORE | width as u8, base as u8, from as u8, offset, 0)
        }
        Step::StoreValue(width, base, offset, value) => {
            instruction(MEMORY_STORE_VALUE | width as u8, base as u8, 0, offset, value)
        }
        Step::AddAtomically(base, offset, from) => instruction(ATOMIC_ADD, base as u8, from as u8, offset, 0),
        Step::FromNetworkHalf(register) => instruction(TO_BIG_ENDIAN, register as u8, 0, 0, 16),
        Step::LoadMap(to, descriptor) => {
            words.push(instruction(LOAD_WIDE, to as u8, MAP_DESCRIPTOR, 0, descriptor));
            0
        }
        Step::Call(helper) => instruction(CALL, 0, 0, 0, helper as i32),
        Step::Jump(label) => instruction(JUMP, 0, 0, distance(rest, label)?, 0),
        Step::JumpIf(register, comparison, value, label) => {
            instruction(JUMP | comparison as u8, register as u8, 0, distance(rest, label)?, value)
        }
        Step::JumpIfWith(register, comparison, with, label) => {
            let operation = JUMP | WITH_REGISTER | comparison as u8;
            instruction(operation, register as u8, with as u8, distance(rest, label)?, 0)
        }
        Step::Exit => instruction(EXIT, 0, 0, 0, 0),
    };
    words.push(word);
    Ok(())
}

/// Instructions between a jump and its label.
fn distance(rest: &[Step], label: Label) -> Result<i16, Mistake> {
    let mistake = Mistake::Jump(label);
    let place = rest.iter().position(|step| *step == Step::At(label)).ok_or(mistake)?;
    let words: usize = rest.iter().take(place).map(|step| step.words()).sum();
    i16::try_from(words).map_err(|_| mistake)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(step: Step) -> [u8; 8] {
        assemble(&[step]).unwrap()[0].to_ne_bytes()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn instructions_are_those_that_other_assemblers_make() {
        // As shown by `llvm-objdump -d` for the same mnemonics.
        assert_eq!(
            bytes(Step::ComputeWith(Arithmetic::Move, Register::R6, Register::R1)),
            *b"\xbf\x16\0\0\0\0\0\0"
        );
        assert_eq!(bytes(Step::Compute(Arithmetic::Move, Register::R0, 1)), *b"\xb7\0\0\0\x01\0\0\0");
        assert_eq!(bytes(Step::Load(Width::Word, Register::R0, Register::R6, 8)), *b"\x61\x60\x08\0\0\0\0\0");
        assert_eq!(bytes(Step::Load(Width::Double, Register::R1, Register::R9, 0)), *b"\x79\x91\0\0\0\0\0\0");
        assert_eq!(
            bytes(Step::Store(Width::Half, Register::Frame, -20, Register::R1)),
            *b"\x6b\x1a\xec\xff\0\0\0\0"
        );
        assert_eq!(
            bytes(Step::StoreValue(Width::Word, Register::Frame, -24, 4)),
            *b"\x62\x0a\xe8\xff\x04\0\0\0"
        );
        assert_eq!(bytes(Step::AddAtomically(Register::R9, 16, Register::R1)), *b"\xdb\x19\x10\0\0\0\0\0");
        assert_eq!(bytes(Step::Call(Helper::BootTime)), *b"\x85\0\0\0\x7d\0\0\0");
        assert_eq!(bytes(Step::Exit), *b"\x95\0\0\0\0\0\0\0");
    }

    #[test]
    fn a_jump_skips_what_lies_between_with_a_wide_instruction_as_two() {
        let steps = [
            Step::Jump(Label::Drop),
            Step::LoadMap(Register::R1, 9),
            Step::Exit,
            Step::At(Label::Drop),
            Step::Exit,
        ];
        assert_eq!(assemble(&steps).unwrap()[0], instruction(0x05, 0, 0, 3, 0));
    }

    #[test]
    fn a_jump_back_or_to_nowhere_is_a_mistake() {
        let back = [Step::At(Label::Pass), Step::Jump(Label::Pass)];
        assert_eq!(assemble(&back), Err(Mistake::Jump(Label::Pass)));
    }
}
