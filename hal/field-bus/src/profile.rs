//! A device profile, checked and compiled into blocks.

use hal_process_image::{DeviceOutputs, TagIndex};
use hal_units::Duration;

use crate::register::{Register, RegisterTable};

/// The most registers that one read request fetches (Modbus Application Protocol V1.1b3, 6.3).
pub(crate) const READ_WORDS_MAX: u32 = 125;
/// The most registers that one write request carries: the limit of function code 23, which is below
/// that of function code 16 (Modbus Application Protocol V1.1b3, 6.12 and 6.17).
pub(crate) const WRITE_WORDS_MAX: u32 = 121;

/// How inputs and outputs of a device travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exchange {
    /// Inputs are read just before the cycle, outputs are written right after it: freshest values.
    #[default]
    Split,
    /// One request with function code 23 after the cycle writes the outputs and reads the inputs of
    /// the next cycle: half the transactions, inputs one period old.
    Combined,
}

/// With what a master that has just started begins to command a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// With the safe action: the device may still move on a command from before.
    #[default]
    Safe,
    /// With the controller's first outputs, which follow from what it has read back: a plant that is
    /// running goes on without a jolt. The safe action follows if they fail to come.
    ReadBack,
}

/// What an output does when nobody may or can command it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SafeAction {
    /// Stay at the last acknowledged value.
    Hold,
    /// Go to zero at once.
    Zero,
    /// Go to a value at once; SI unit of the tag.
    Value(f64),
    /// Go to a value at a limited rate; SI unit of the tag, and per second.
    Ramp {
        /// Target, SI.
        to: f64,
        /// Rate, SI unit per second, above zero.
        per_second: f64,
    },
}

impl SafeAction {
    /// The value after `elapsed` in the safe action, from the `last` acknowledged one.
    #[must_use]
    pub fn value_after(&self, last: f64, elapsed: Duration) -> f64 {
        match *self {
            Self::Hold => last,
            Self::Zero => 0.0,
            Self::Value(value) => value,
            Self::Ramp { to, per_second } => {
                let step = per_second * elapsed.as_secs_f64();
                if (to - last).abs() <= step { to } else { last + step.copysign(to - last) }
            }
        }
    }
}

/// An input tag.
#[derive(Debug, Clone, PartialEq)]
pub struct InputTag {
    /// Name, unique among the device's inputs.
    pub name: String,
    /// Where its value lies.
    pub register: Register,
    /// Only this bit of the register, 0 the lowest.
    pub bit: Option<u8>,
    /// SI value = raw * factor + offset.
    pub factor: f64,
    /// See `factor`; SI.
    pub offset: f64,
    /// Plausible range, SI, inclusive: outside it the quality is bad.
    pub range: (f64, f64),
    /// Older than this, the quality is bad.
    pub age_max: Duration,
    /// The unit as the profile gives it, for people.
    pub unit: String,
}

/// An output tag.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputTag {
    /// Name, unique among the device's outputs.
    pub name: String,
    /// Where its value lies; always the holding table.
    pub register: Register,
    /// raw = (SI value - offset) / factor.
    pub factor: f64,
    /// See `factor`; SI.
    pub offset: f64,
    /// Permitted range, SI, inclusive: a value outside is held at its end.
    pub limits: (f64, f64),
    /// What to do when nobody commands it.
    pub safe: SafeAction,
    /// The value to assume before the device acknowledged one; SI.
    pub initial: f64,
    /// The unit as the profile gives it, for people.
    pub unit: String,
}

/// Registers that one request reads or writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Table.
    pub table: RegisterTable,
    /// First address.
    pub start: u16,
    /// Registers.
    pub count: u16,
    /// Positions of the tags in the block, in the profile's list.
    pub(crate) tags: Vec<TagIndex>,
}

impl Block {
    /// The tags whose registers lie in this block.
    #[must_use]
    pub fn tags(&self) -> &[TagIndex] {
        &self.tags
    }
}

/// A device type: its registers, what they mean, and what is safe.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceProfile {
    /// Name of the type.
    pub name: String,
    /// How long to wait for an answer.
    pub response_timeout: Duration,
    /// How many connections the device accepts at a time.
    pub connections_max: u16,
    /// How inputs and outputs travel.
    pub exchange: Exchange,
    /// How a master begins that has just started. Every later connection begins with the safe action.
    pub start: Start,
    /// Input tags; their position is their [`TagIndex`].
    pub inputs: Vec<InputTag>,
    /// Output tags; their position is their [`TagIndex`].
    pub outputs: Vec<OutputTag>,
    /// The output that every live cycle changes, so that the device notices when none does.
    pub watchdog: Option<TagIndex>,
    /// The output that carries the term of office, so that the device refuses a deposed owner.
    pub epoch: Option<TagIndex>,
    /// The input that a live device changes: values count as read when it last changed, so that those of a
    /// device that goes on answering with what it held grow old.
    pub heartbeat: Option<TagIndex>,
    /// The input that is not 0 while somebody at the device has it in hand: nothing is written then, nor before
    /// it was read.
    pub local: Option<TagIndex>,
    /// What one scan reads, in order of address.
    pub reads: Vec<Block>,
    /// What one write carries, in order of address.
    pub writes: Vec<Block>,
}

impl DeviceProfile {
    /// Position of the input with this name.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<TagIndex> {
        index(self.inputs.iter().position(|tag| tag.name == name)?)
    }

    /// Position of the output with this name.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<TagIndex> {
        index(self.outputs.iter().position(|tag| tag.name == name)?)
    }

    /// Outputs `elapsed` after the safe action began, from the `last` acknowledged ones. Carries the
    /// sequence and expiry of `last`: it feeds no watchdog, because it changes none.
    #[must_use]
    pub fn safe_outputs(&self, last: &DeviceOutputs, elapsed: Duration) -> DeviceOutputs {
        let mut safe = *last;
        for (at, tag) in self.outputs.iter().enumerate() {
            let Some(tag_index) = index(at) else { continue };
            if Some(tag_index) == self.watchdog || Some(tag_index) == self.epoch {
                continue;
            }
            let from = last.value(tag_index).unwrap_or(tag.initial);
            safe.set(tag_index, tag.safe.value_after(from, elapsed));
        }
        safe
    }

    /// Outputs to assume before the device acknowledged any.
    #[must_use]
    pub fn initial_outputs(&self) -> DeviceOutputs {
        let mut outputs = DeviceOutputs::NEVER;
        for (at, tag) in self.outputs.iter().enumerate() {
            if let Some(tag_index) = index(at) {
                outputs.set(tag_index, tag.initial);
            }
        }
        outputs
    }
}

pub(crate) fn index(at: usize) -> Option<TagIndex> {
    u16::try_from(at).ok().map(TagIndex)
}

/// Groups registers into blocks: neighbours in one table whose gap is at most `gap_max` words and whose
/// block stays within `words_max`. `registers` come with their tag's position.
pub(crate) fn blocks(registers: &[(TagIndex, Register)], gap_max: u32, words_max: u32) -> Vec<Block> {
    let mut sorted = registers.to_vec();
    sorted.sort_by_key(|(_, register)| (register.table, register.address));
    let mut blocks: Vec<Block> = Vec::new();
    for (tag, register) in sorted {
        if let Some(last) = blocks.last_mut() {
            let end = u32::from(last.start) + u32::from(last.count);
            let grown = register.end().max(end) - u32::from(last.start);
            let near = u32::from(register.address) <= end + gap_max;
            if last.table == register.table && near && grown <= words_max {
                last.count = grown as u16;
                last.tags.push(tag);
                continue;
            }
        }
        blocks.push(Block {
            table: register.table,
            start: register.address,
            count: register.kind.words(),
            tags: vec![tag],
        });
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_ends_at_its_target() {
        let ramp = SafeAction::Ramp { to: 0.0, per_second: 10.0 };
        assert_eq!(ramp.value_after(5.0, Duration::from_millis(100)), 4.0);
        assert_eq!(ramp.value_after(5.0, Duration::from_secs(9)), 0.0);
        assert_eq!(ramp.value_after(-5.0, Duration::from_millis(100)), -4.0);
    }
}
