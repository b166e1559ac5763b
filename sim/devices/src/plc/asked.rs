//! What a write of commands asks for, before it is judged.

use crate::registers::{self, COMMANDS_START, CommandWords};

/// The command registers as a write would leave them.
pub(super) struct Asked {
    pub(super) commands: CommandWords,
    /// The epoch that it names.
    pub(super) epoch: Option<u32>,
    /// How many of the epoch's two words it touches.
    pub(super) epoch_words: usize,
    /// Whether it touches these alone.
    pub(super) epoch_alone: bool,
}

impl Asked {
    /// `None` if the write reaches beyond the command registers.
    pub(super) fn new(standing: &CommandWords, address: u16, words: &[u16]) -> Option<Self> {
        let from = usize::from(address.checked_sub(COMMANDS_START)?);
        let mut commands = *standing;
        commands.get_mut(from..from + words.len())?.copy_from_slice(words);
        let first = usize::from(registers::EPOCH_CMD.address - COMMANDS_START);
        let epoch_words = (first..first + 2).filter(|word| (from..from + words.len()).contains(word)).count();
        let epoch = (epoch_words == 2).then(|| registers::EPOCH_CMD.u32(&commands));
        Some(Self { commands, epoch, epoch_words, epoch_alone: epoch_words == words.len() })
    }
}
