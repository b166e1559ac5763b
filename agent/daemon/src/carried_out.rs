//! Commands that were carried out lately, by either node of a pair.
//!
//! A node that was away receives their commands from the broker when it comes back, and would carry them out
//! again in its next term if nobody told it. The states that it follows name only the last few.

use std::collections::VecDeque;

use agent_cycle::Executed;
use hal_units::{Duration, Instant};

/// How many are remembered: far fewer than a client keeps for commands that it has not seen yet.
const REMEMBERED_MAX: usize = 1024;
const _: () = assert!(2 * REMEMBERED_MAX <= hal_mqtt::client::MARKS_MAX);
/// How long: a command that lives longer is refused by the gate.
const REMEMBERED_FOR: Duration = Duration::from_secs(660);

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct CarriedOut {
    known: VecDeque<(Instant, Executed)>,
}

impl CarriedOut {
    /// Remembers one more.
    pub(crate) fn note(&mut self, now: Instant, executed: Executed) {
        while self.known.front().is_some_and(|(at, _)| now.since(*at) > REMEMBERED_FOR) {
            self.known.pop_front();
        }
        if self.known.iter().rev().any(|(_, known)| known.token == executed.token) {
            return;
        }
        if self.known.len() >= REMEMBERED_MAX {
            self.known.pop_front();
        }
        self.known.push_back((now, executed));
    }

    /// All, oldest first.
    pub(crate) fn all(&self) -> Vec<Executed> {
        self.known.iter().map(|(_, executed)| *executed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executed(token: u64) -> Executed {
        Executed { token, epoch: 1, cycle: token }
    }

    fn at_s(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn tokens(known: &CarriedOut) -> Vec<u64> {
        known.all().iter().map(|executed| executed.token).collect()
    }

    #[test]
    fn each_is_remembered_once_and_in_order() {
        let mut known = CarriedOut::default();
        [3, 1, 3].into_iter().for_each(|token| known.note(at_s(0), executed(token)));
        assert_eq!(tokens(&known), [3, 1]);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_their_commands_have_expired() {
        let mut known = CarriedOut::default();
        (1..=REMEMBERED_MAX as u64 + 1).for_each(|token| known.note(at_s(0), executed(token)));
        assert_eq!(tokens(&known).first(), Some(&2));
        known.note(at_s(661), executed(5000));
        assert_eq!(tokens(&known), [5000]);
    }
}
