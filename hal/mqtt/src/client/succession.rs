//! How commands outlive the node that took them.
//!
//! # Model
//!
//! Both nodes of a pair subscribe to the commands, each with a session of its own, so each command reaches
//! both. The *speaking* one answers commands and has them carried out; the *silent* one judges and remembers
//! them in the same way and learns from [`ExecutionMark`]s which of them were carried out. When it begins to
//! speak, it hands out what nobody has carried out.
//!
//! # Why each command is carried out once
//!
//! A command is carried out in a cycle, and the state after that cycle travels to the other node together
//! with the mark. If both arrive, the mark keeps the successor from carrying it out again. If neither does,
//! the state in which it was carried out died with the node: in the history that goes on, the successor
//! carries it out for the first time. The outcome is told only once the mark has arrived, so that nobody
//! hears of an execution that is not part of that history. An answer may come twice; it names its execution.
//!
//! # What remains
//!
//! Both nodes must judge alike: their clocks must agree within the gate's tolerance. A refusal for want of
//! disk is the one verdict that is a node's own.

use std::collections::VecDeque;

use hal_units::{Duration, Instant};

use super::options::Voice;
use crate::command::{CommandKey, CommandNumber, Execution, ExecutionMark};

/// Marks that are kept for commands that have not arrived yet. A node that comes back is told of many that it
/// will never see; those that it will see must not be pushed out by them.
pub const MARKS_MAX: usize = 4096;
/// Executions of the other node that are remembered to be told again.
const CONCLUDED_MAX: usize = 1024;
/// Executions of the other node are told again if it fell silent so soon after them.
const TOLD_AGAIN_FOR: Duration = Duration::from_secs(10);

/// What the worker remembers of the other node's doings.
#[derive(Debug)]
pub(super) struct Succession {
    voice: Voice,
    /// Of commands that have not arrived yet, oldest first.
    marks: VecDeque<ExecutionMark>,
    /// Carried out by the other node, and when that became known here.
    concluded: VecDeque<(Instant, CommandNumber)>,
}

impl Succession {
    pub(super) const fn new(voice: Voice) -> Self {
        Self { voice, marks: VecDeque::new(), concluded: VecDeque::new() }
    }

    pub(super) fn speaks(&self) -> bool {
        self.voice == Voice::Speaking
    }

    /// Whether something has changed by it.
    pub(super) fn set_voice(&mut self, voice: Voice) -> bool {
        std::mem::replace(&mut self.voice, voice) != voice
    }

    /// Keeps a mark whose command has not arrived.
    pub(super) fn keep(&mut self, mark: ExecutionMark) {
        if self.marks.iter().any(|kept| kept.key == mark.key) {
            return;
        }
        if self.marks.len() >= MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back(mark);
    }

    /// Takes the mark of a command that has arrived.
    pub(super) fn take(&mut self, key: CommandKey) -> Option<Execution> {
        let at = self.marks.iter().position(|mark| mark.key == key)?;
        self.marks.remove(at).map(|mark| mark.execution)
    }

    /// Notes that a command was carried out by the other node.
    pub(super) fn concluded(&mut self, now: Instant, number: CommandNumber) {
        self.forget(now);
        if self.concluded.len() >= CONCLUDED_MAX {
            self.concluded.pop_front();
        }
        self.concluded.push_back((now, number));
    }

    /// Commands whose outcome the other node may have kept to itself.
    pub(super) fn take_untold(&mut self, now: Instant) -> Vec<CommandNumber> {
        self.forget(now);
        self.concluded.drain(..).map(|(_, number)| number).collect()
    }

    fn forget(&mut self, now: Instant) {
        while self.concluded.front().is_some_and(|(at, _)| now.since(*at) > TOLD_AGAIN_FOR) {
            self.concluded.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(id: u64) -> ExecutionMark {
        ExecutionMark { key: CommandKey(id), execution: Execution { epoch: 3, cycle: id } }
    }

    fn at_s(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_mark_waits_for_its_command_and_serves_it_once() {
        let mut succession = Succession::new(Voice::Silent);
        succession.keep(mark(7));
        succession.keep(mark(7));
        assert_eq!(succession.take(CommandKey(8)), None);
        assert_eq!(succession.take(CommandKey(7)), Some(Execution { epoch: 3, cycle: 7 }));
        assert_eq!(succession.take(CommandKey(7)), None);
    }

    #[test]
    fn the_oldest_marks_go_first() {
        let mut succession = Succession::new(Voice::Silent);
        (1..=MARKS_MAX as u64 + 1).for_each(|id| succession.keep(mark(id)));
        assert_eq!(succession.take(CommandKey(1)), None);
        assert!(succession.take(CommandKey(2)).is_some());
    }

    #[test]
    fn what_a_node_is_told_of_the_past_does_not_push_out_what_it_has_still_to_see() {
        let mut succession = Succession::new(Voice::Silent);
        // The states of the other node name its last executions first, then comes the whole history.
        (2001..=2032).for_each(|id| succession.keep(mark(id)));
        (1001..=2032).for_each(|id| succession.keep(mark(id)));
        (2033..=2100).for_each(|id| succession.keep(mark(id)));
        assert!((2001..=2100).all(|id| succession.take(CommandKey(id)).is_some()));
    }

    #[test]
    fn only_what_was_carried_out_lately_is_told_again() {
        let mut succession = Succession::new(Voice::Silent);
        succession.concluded(at_s(0), CommandNumber(1));
        succession.concluded(at_s(15), CommandNumber(2));
        assert_eq!(succession.take_untold(at_s(20)), [CommandNumber(2)]);
    }
}
