//! What of a step may leave, and what of it the other node may go on from.
//!
//! # Problem
//!
//! Vehicles drive on what they were told. Whoever takes the fleet over has to know all of it, or two vehicles
//! are sent to one place. But a node that is alone must go on too, and neither can tell a peer that is gone from one
//! that is slow.
//!
//! # Model
//!
//! Each state goes to the other node under a [`Mark`], and what it brought about leaves when the other node has said
//! that it holds it. Each state also carries the newest mark that the other node was heard to hold, its echo. The
//! node in office lets nothing out by itself before it has heard nothing for [`ALONE_AFTER`]; so the other one
//! may go on from what it holds for a shorter time, counted from *its own* word that was echoed, however long the
//! word and the echo were under way. A state of a term without an echo is never gone on from: nobody has promised
//! anything yet.

use std::collections::VecDeque;

use hal_units::{Duration, Instant};

/// Nothing leaves that the peer does not hold until it has held nothing for so long.
pub const ALONE_AFTER: Duration = Duration::from_secs(2);
/// How long after a word that was echoed its speaker may go on: shorter than [`ALONE_AFTER`], with room for
/// clocks that do not run alike.
pub const GO_ON_WITHIN: Duration = Duration::from_millis(1500);
/// Words whose echo has not come: at a step each 5 ms, as many as are said in [`ALONE_AFTER`].
const WORDS_MAX: usize = 400;
/// Bits of a mark that count steps: 44,000 years at 200 a second.
const STEP_BITS: u32 = 48;

/// A step of a term: of two, the one of the newer term is the newer, whatever its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u64);

impl Mark {
    /// Of the step with this number in the term of this epoch.
    #[must_use]
    pub const fn new(epoch: u16, step: u64) -> Self {
        Self(((epoch as u64) << STEP_BITS) | (step & ((1 << STEP_BITS) - 1)))
    }

    /// From one number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// As one number, that grows from step to step and from term to term.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The term's epoch.
    #[must_use]
    pub const fn epoch(self) -> u16 {
        (self.0 >> STEP_BITS) as u16
    }
}

/// The side of the node in office.
#[derive(Debug, Clone, Default)]
pub struct Leading {
    epoch: u16,
    /// The newest mark of this term that the peer holds, and when it was heard to.
    held: Option<(Instant, Mark)>,
}

impl Leading {
    /// A term begins. Words about states of an earlier one do not count.
    pub fn begin(&mut self, epoch: u16) {
        *self = Self { epoch, held: None };
    }

    /// The peer holds the state under this mark.
    pub fn heard(&mut self, now: Instant, mark: Mark) {
        if mark.epoch() == self.epoch {
            let newest = self.held.map_or(mark, |(_, held)| held.max(mark));
            self.held = Some((now, newest));
        }
    }

    /// Whether the peer holds the state under this mark, or a newer one.
    #[must_use]
    pub fn is_held(&self, mark: Mark) -> bool {
        self.held.is_some_and(|(_, held)| held >= mark)
    }

    /// What the next state has to carry.
    #[must_use]
    pub fn echo(&self) -> Option<Mark> {
        self.held.map(|(_, mark)| mark)
    }

    /// Whether what the step under this mark brought about at `since` may leave now.
    #[must_use]
    pub fn may_leave(&self, now: Instant, mark: Mark, since: Instant, peer_near: bool) -> bool {
        match self.held {
            Some((when, held)) => held >= mark || now.since(when) > ALONE_AFTER,
            // The peer goes on from nothing of this term before it has read an echo.
            None => !peer_near || now.since(since) > ALONE_AFTER,
        }
    }
}

/// The side of the other node.
#[derive(Debug, Clone, Default)]
pub struct Following {
    /// The newest state.
    state: Option<(Mark, Vec<u8>)>,
    /// Words that were said and not echoed yet, oldest first.
    said: VecDeque<(Instant, Mark)>,
    /// When the newest word was said whose echo has come.
    promised: Option<Instant>,
}

impl Following {
    /// Takes a state; true if it is the newest, and is to be said to be held. `now` is from a clock that does
    /// not stand still while the machine sleeps.
    pub fn take(&mut self, now: Instant, mark: Mark, bytes: Vec<u8>) -> bool {
        let newest = self.state.as_ref().map(|(newest, _)| *newest);
        if newest.is_some_and(|newest| newest >= mark) {
            return false;
        }
        let Some((echo, state)) = split(bytes) else { return false };
        if newest.is_none_or(|newest| newest.epoch() != mark.epoch()) {
            self.said.clear();
            self.promised = None;
        }
        if let Some(echo) = echo {
            while let Some(&(when, said)) = self.said.front()
                && said <= echo
            {
                self.said.pop_front();
                if said == echo {
                    self.promised = self.promised.max(Some(when));
                }
            }
        }
        if self.said.len() == WORDS_MAX {
            self.said.pop_front();
        }
        self.said.push_back((now, mark));
        self.state = Some((mark, state));
        true
    }

    /// The newest state, with whether it is surely the last one that vehicles know of.
    #[must_use]
    pub fn newest(&mut self, now: Instant) -> Option<(Vec<u8>, bool)> {
        let (_, bytes) = self.state.take()?;
        let sure = self.promised.take().is_some_and(|when| now.since(when) < GO_ON_WITHIN);
        self.said.clear();
        Some((bytes, sure))
    }
}

/// Puts the echo behind a state.
#[must_use]
pub fn with_echo(mut state: Vec<u8>, echo: Option<Mark>) -> Vec<u8> {
    // No term has the epoch 0.
    state.extend_from_slice(&echo.map_or(0, Mark::number).to_le_bytes());
    state
}

fn split(mut bytes: Vec<u8>) -> Option<(Option<Mark>, Vec<u8>)> {
    let at = bytes.len().checked_sub(size_of::<u64>())?;
    let number = u64::from_le_bytes(bytes.get(at..)?.try_into().ok()?);
    bytes.truncate(at);
    Some(((number != 0).then_some(Mark(number)), bytes))
}
