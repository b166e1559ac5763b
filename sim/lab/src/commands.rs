//! Commands that are sent all the time while the office moves, and what became of each.
//!
//! # Terms
//!
//! - lost: answered `accepted`, and never `executed`.
//! - duplicated: `executed` under two different identities (term of office and cycle). The same answer
//!   twice is one execution: the broker may deliver it twice.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde::Serialize;
use serde_json::json;

use crate::commander::{Answer, Commander, CommanderError};
use crate::namespace::enter;

const INTERVAL: Duration = Duration::from_millis(50);
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// Answers to what was sent last.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// A node remembers so many of an issuer until they have expired, and refuses more: a short life leaves room.
const LIFETIME: SignedDuration = SignedDuration::from_secs(10);

/// Why commands are not sent.
#[derive(Debug, thiserror::Error)]
pub enum CommandsError {
    /// The broker.
    #[error("{0}")]
    Broker(#[from] CommanderError),
    /// The sending thread.
    #[error("commands: {why}")]
    Thread {
        /// What happened.
        why: String,
    },
}

/// What became of the commands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Handed to the broker.
    pub sent: u64,
    /// Answered: a node has taken it.
    pub accepted: u64,
    /// A cycle has carried it out.
    pub executed: u64,
    /// Answered: no node will carry it out.
    pub refused: u64,
    /// Why, in a word, and how often.
    pub refused_by_reason: BTreeMap<String, u64>,
    /// Sent, and neither accepted nor refused: the broker or a dying node had it. No promise was made.
    pub unanswered: u64,
    /// See the module's head.
    pub lost: u64,
    /// See the module's head.
    pub duplicated: u64,
    /// The first that were lost or duplicated.
    pub examples: Vec<String>,
}

/// The fate of each command.
#[derive(Debug, Default)]
struct Ledger {
    sent: HashSet<String>,
    accepted: HashSet<String>,
    refused: HashSet<String>,
    reasons: BTreeMap<String, u64>,
    executed: HashMap<String, HashSet<Identity>>,
}

/// The term of office and the cycle that executed a command.
type Identity = (Option<u32>, Option<u64>);

impl Ledger {
    fn take(&mut self, answer: Answer) {
        let Some(id) = answer.id.filter(|id| self.sent.contains(id)) else { return };
        match answer.status.as_str() {
            "accepted" => drop(self.accepted.insert(id)),
            "refused" => {
                *self.reasons.entry(answer.reason.unwrap_or_default()).or_default() += 1;
                self.refused.insert(id);
            }
            "executed" => drop(self.executed.entry(id).or_default().insert((answer.epoch, answer.cycle))),
            // `failed` and `expired` are not executed: if it was accepted before, it is lost.
            _ => {}
        }
    }

    /// A duplicated command with those who executed it.
    fn twice(&self, id: &str) -> String {
        let mut by: Vec<_> = self.executed.get(id).into_iter().flatten().collect();
        by.sort_unstable();
        let by = by.iter().map(|(term, cycle)| format!("term {} cycle {}", shown(*term), shown(*cycle)));
        format!("{id}: {}", by.collect::<Vec<_>>().join(", "))
    }

    /// Commands that were accepted and not yet executed.
    fn open(&self) -> impl Iterator<Item = &String> {
        self.accepted.iter().filter(|id| !self.executed.contains_key(*id))
    }

    fn tally(&self) -> Tally {
        let count = |count: usize| count as u64;
        let duplicated = || self.executed.iter().filter(|(_, by)| by.len() > 1).map(|(id, _)| id);
        let known = |id: &&String| {
            self.accepted.contains(*id) || self.refused.contains(*id) || self.executed.contains_key(*id)
        };
        Tally {
            sent: count(self.sent.len()),
            accepted: count(self.accepted.len()),
            executed: count(self.executed.len()),
            refused: count(self.refused.len()),
            refused_by_reason: self.reasons.clone(),
            unanswered: count(self.sent.len() - self.sent.iter().filter(known).count()),
            lost: count(self.open().count()),
            duplicated: count(duplicated().count()),
            examples: self.open().cloned().chain(duplicated().map(|id| self.twice(id))).take(10).collect(),
        }
    }
}

fn shown(number: Option<impl std::fmt::Display>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

/// Where commands go.
pub struct Destination {
    /// `mqtt://HOST:PORT`.
    pub broker: String,
    /// The site's name.
    pub site: String,
    /// In turn each of these gets a command.
    pub units: Vec<String>,
    /// Who sends them.
    pub issuer: &'static str,
    /// The network namespace from which the broker is reached; `None` for this one.
    pub namespace: Option<PathBuf>,
}

/// A thread that sends commands until it is ended.
pub struct Load {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Result<Tally, CommandsError>>,
}

impl Load {
    /// Begins to send.
    ///
    /// # Errors
    /// If there is no thread. What fails later is told by [`Load::end`].
    pub fn start(destination: Destination) -> Result<Self, CommandsError> {
        let end = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&end);
        let thread = std::thread::Builder::new()
            .name("takt-commands".to_owned())
            .spawn(move || run(&destination, &until))
            .map_err(|error| CommandsError::Thread { why: error.to_string() })?;
        Ok(Self { end, thread })
    }

    /// Stops sending, waits for what is open, and says what became of all.
    ///
    /// # Errors
    /// If the broker's network or the broker could not be reached.
    pub fn end(self) -> Result<Tally, CommandsError> {
        self.end.store(true, Ordering::Relaxed);
        let died = CommandsError::Thread { why: "the thread died".to_owned() };
        self.thread.join().unwrap_or(Err(died))
    }
}

fn run(destination: &Destination, end: &AtomicBool) -> Result<Tally, CommandsError> {
    if let Some(path) = &destination.namespace {
        enter(path).map_err(|error| CommandsError::Thread {
            why: format!("cannot enter {}: {error}", path.display()),
        })?;
    }
    let commander =
        Commander::connect(&destination.broker, &destination.site, destination.issuer, CONNECTED_WITHIN)?;
    let mut ledger = Ledger::default();
    let mut next = Instant::now();
    for (unit, at) in destination.units.iter().cycle().zip(0_u64..) {
        if end.load(Ordering::Relaxed) {
            break;
        }
        // Near the rated power, so that a command is executed and hardly moves an output.
        let limit_kw = 4990 + at % 2 * 10;
        let body = json!({ "power_limit_kw": limit_kw });
        if let Ok(id) = commander.send(unit, "derate", &body, LIFETIME) {
            ledger.sent.insert(id);
        }
        next += INTERVAL;
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            commander.answer(left).into_iter().for_each(|answer| ledger.take(answer));
        }
    }
    let deadline = Instant::now() + LAST_ANSWERS_WITHIN;
    // A little longer than needed: the last may still be accepted.
    let quiet = Instant::now() + Duration::from_secs(1);
    while Instant::now() < deadline && (ledger.open().next().is_some() || Instant::now() < quiet) {
        commander.answer(INTERVAL).into_iter().for_each(|answer| ledger.take(answer));
    }
    Ok(ledger.tally())
}

#[cfg(test)]
mod tests {
    use super::*;

    type GivenAnswer = (&'static str, &'static str, Option<(u32, u64)>);

    fn ledger(answers: &[GivenAnswer]) -> Tally {
        let mut ledger = Ledger::default();
        ledger.sent.extend(["one", "two"].map(str::to_owned));
        for &(id, status, by) in answers {
            ledger.take(Answer {
                id: Some(id.to_owned()),
                status: status.to_owned(),
                reason: None,
                text: None,
                epoch: by.map(|(epoch, _)| epoch),
                cycle: by.map(|(_, cycle)| cycle),
            });
        }
        ledger.tally()
    }

    #[test]
    fn a_command_that_was_accepted_and_never_executed_is_lost() {
        let tally = ledger(&[("one", "accepted", None), ("two", "accepted", None), ("two", "expired", None)]);
        assert_eq!((tally.lost, tally.duplicated, tally.unanswered), (2, 0, 0));
        let tally = ledger(&[("one", "accepted", None), ("one", "executed", Some((1, 2)))]);
        assert_eq!((tally.lost, tally.unanswered, tally.executed), (0, 1, 1));
    }

    #[test]
    fn executed_under_two_identities_is_twice_and_the_same_answer_again_is_not() {
        let again = ledger(&[("one", "executed", Some((1, 2))), ("one", "executed", Some((1, 2)))]);
        assert_eq!(again.duplicated, 0);
        let twice = ledger(&[("one", "executed", Some((1, 2))), ("one", "executed", Some((2, 3)))]);
        assert_eq!((twice.duplicated, twice.executed), (1, 1));
    }

    #[test]
    fn answers_to_somebody_else_do_not_count() {
        assert_eq!(ledger(&[("three", "accepted", None)]).accepted, 0);
    }
}
