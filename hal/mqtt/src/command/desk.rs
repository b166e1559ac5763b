//! The desk where commands arrive: gate, journal and answers in one place.

use jiff::Timestamp;

use super::gate::{CommandGate, Judgement};
use super::refusal::ResponseTopicError;
use super::{
    Answer, CommandKey, CommandNumber, IncomingCommand, OUTCOME_TEXT_CHARS_MAX, Outcome, Refusal, Reply,
    envelope,
};
use crate::journal::Journal;
use crate::log::{LogError, Storage};
use crate::outbox::{CORRELATION_BYTES_MAX, Message};
use crate::sparkplug::{self, SparkplugTopics};
use crate::topic::{Topics, check_topic, cut, default_answer_topic};

/// A message as it came from the broker.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Its topic.
    pub topic: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
    /// Whether the broker kept it from earlier.
    pub retain: bool,
    /// Where the issuer wants the answer.
    pub response_topic: Option<&'a str>,
    /// What the answer is to carry.
    pub correlation: Option<&'a [u8]>,
}

/// What became of an arrival.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is in the journal and goes to the agent.
    Accepted(IncomingCommand),
    /// It had been accepted before; the agent does not see it again.
    Repeated,
    /// It changed nothing.
    Refused(Refusal),
}

/// What is to be done about an arrival.
#[derive(Debug, Clone, PartialEq)]
pub struct Reaction {
    /// What became of it.
    pub verdict: Verdict,
    /// What to tell the issuer.
    pub answer: Option<Message>,
}

/// Why a command could not be concluded.
#[derive(Debug, thiserror::Error)]
pub enum ConcludeError {
    /// No command of this number waits to be concluded.
    #[error("no command {} waits to be concluded", .0.0)]
    Unknown(CommandNumber),
    /// The journal failed. The outcome is kept in memory, and told once the journal is mended.
    #[error("the journal cannot be written: {0}")]
    Journal(#[from] LogError),
}

/// See the module's description.
#[derive(Debug)]
pub struct CommandDesk<S> {
    topics: Topics,
    sparkplug: Option<SparkplugTopics>,
    gate: CommandGate,
    journal: Journal<S>,
    /// Concluded in memory only; told as soon as the journal is mended. At most as many as the gate remembers.
    untold: Vec<CommandNumber>,
}

impl<S: Storage> CommandDesk<S> {
    /// A desk that remembers what the journal says.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn open(topics: Topics, mut gate: CommandGate, storage: S) -> Result<Self, LogError> {
        let journal = Journal::open(storage, &mut gate)?;
        Ok(Self { topics, sparkplug: None, gate, journal, untold: Vec::new() })
    }

    /// Takes commands that come as Sparkplug's, too.
    #[must_use]
    pub fn with_sparkplug(self, topics: SparkplugTopics) -> Self {
        Self { sparkplug: Some(topics), ..self }
    }

    /// After a start: the commands that were accepted and not concluded, oldest first, and answers for those
    /// whose time has passed meanwhile, which are concluded as [`Outcome::Expired`].
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn recover(&mut self, now: Timestamp) -> Result<(Vec<IncomingCommand>, Vec<Message>), LogError> {
        let (lapsed, alive): (Vec<_>, Vec<_>) =
            self.gate.pending().cloned().partition(|known| known.record.expires_at <= now);
        let mut answers = Vec::new();
        for known in lapsed {
            match self.conclude(now, known.number, Outcome::Expired) {
                Ok(answer) => answers.push(answer),
                Err(ConcludeError::Journal(error)) => return Err(error),
                Err(ConcludeError::Unknown(_)) => {}
            }
        }
        let commands =
            alive.iter().map(|known| IncomingCommand::new(known.number, &known.record, true)).collect();
        Ok((commands, answers))
    }

    /// Takes what arrived. `has_room`: whether the agent can take a command now.
    pub fn receive(&mut self, now: Timestamp, arrival: &Arrival<'_>, has_room: bool) -> Reaction {
        let topic = std::str::from_utf8(arrival.topic).unwrap_or_default();
        let device = self.sparkplug.as_ref().and_then(|topics| topics.parse_device_command(topic));
        if let Some(device) = device {
            return self.receive_sparkplug(now, device, arrival, has_room);
        }
        let Some((unit, name)) = self.topics.parse_command(topic) else {
            return Reaction { verdict: Verdict::Refused(Refusal::NotACommand), answer: None };
        };
        let (reply, bad_reply) = reply_to(topic, arrival);
        let judged = match bad_reply {
            Some(refusal) => Err(refusal),
            None if arrival.retain => Err(Refusal::Retained),
            None => self.gate.judge(now, unit, name, arrival.payload, reply.clone()),
        };
        match judged.and_then(|judgement| self.settle(now, judgement, has_room, &reply)) {
            Ok(reaction) => reaction,
            Err(refusal) => {
                let id = envelope::id_of(arrival.payload, self.gate.limits().payload_bytes_max);
                let (unit, name) = (cut(unit), cut(name));
                let answer = Answer::of_refused(id.as_deref(), &unit, &name, &refusal, now);
                // The default answer topic repeats the command's, which may be no topic to publish to.
                let answer = check_topic(&reply.topic).is_ok().then(|| answer.message(reply));
                Reaction { verdict: Verdict::Refused(refusal), answer }
            }
        }
    }

    /// A command in Sparkplug's clothes: the same as ours once it is taken out.
    fn receive_sparkplug(
        &mut self,
        now: Timestamp,
        device: &str,
        arrival: &Arrival<'_>,
        has_room: bool,
    ) -> Reaction {
        match sparkplug::command_in(arrival.payload, self.gate.limits().payload_bytes_max) {
            Ok((name, json)) => {
                let topic =
                    format!("{}{}/{device}/cmd/{name}", crate::topic::TOPIC_PREFIX, self.topics.site());
                let ours = Arrival { topic: topic.as_bytes(), payload: json.as_bytes(), ..*arrival };
                self.receive(now, &ours, has_room)
            }
            Err(refusal) => Reaction { verdict: Verdict::Refused(refusal), answer: None },
        }
    }

    fn settle(
        &mut self,
        now: Timestamp,
        judgement: Judgement,
        has_room: bool,
        reply: &Reply,
    ) -> Result<Reaction, Refusal> {
        match judgement {
            Judgement::Repeated(known) => {
                // What is not on disk yet is not told.
                let is_told = !self.untold.contains(&known.number);
                let outcome = known.outcome.as_ref().filter(|_| is_told);
                let answer = Answer::of_accepted(&known.record, outcome, true, now).message(reply.clone());
                Ok(Reaction { verdict: Verdict::Repeated, answer: Some(answer) })
            }
            Judgement::Admissible(_) if !has_room => Err(Refusal::Busy),
            Judgement::Admissible(record) => {
                let number = self.gate.next_number();
                if let Err(error) = self.journal.accept(number, &record, &self.gate) {
                    tracing::error!(%error, "a command is refused because the journal cannot be written");
                    return Err(Refusal::Storage);
                }
                let answer = Answer::of_accepted(&record, None, false, now).message(reply.clone());
                let command = IncomingCommand::new(number, &record, false);
                self.gate.admit(record);
                Ok(Reaction { verdict: Verdict::Accepted(command), answer: Some(answer) })
            }
        }
    }

    /// Notes what became of a command, on disk, and gives the answer for its issuer.
    ///
    /// # Errors
    /// If there is no such command, or the journal cannot be written.
    pub fn conclude(
        &mut self,
        now: Timestamp,
        number: CommandNumber,
        outcome: Outcome,
    ) -> Result<Message, ConcludeError> {
        let outcome = shortened(outcome);
        if self.gate.conclude(number, outcome.clone()).is_none() {
            return Err(ConcludeError::Unknown(number));
        }
        if let Err(error) = self.journal.conclude(number, &outcome, &self.gate) {
            self.untold.push(number);
            return Err(ConcludeError::Journal(error));
        }
        self.answer_of(now, number).ok_or(ConcludeError::Unknown(number))
    }

    /// All commands that wait to be concluded, oldest first.
    #[must_use]
    pub fn all_pending(&self) -> Vec<CommandNumber> {
        self.gate.pending().map(|known| known.number).collect()
    }

    /// The command of this key that waits to be concluded.
    #[must_use]
    pub fn pending(&self, key: CommandKey) -> Option<CommandNumber> {
        self.gate.pending().find(|known| known.record.key() == key).map(|known| known.number)
    }

    /// Whether a command of this key is remembered, concluded or not.
    #[must_use]
    pub fn remembers(&self, key: CommandKey) -> bool {
        self.gate.remembered().any(|known| known.record.key() == key)
    }

    /// The answer for a command as it stands now; `None` if it is not remembered.
    #[must_use]
    pub fn answer_of(&self, now: Timestamp, number: CommandNumber) -> Option<Message> {
        let known = self.gate.get(number)?;
        let answer = Answer::of_accepted(&known.record, known.outcome.as_ref(), false, now);
        Some(answer.message(known.record.reply.clone()))
    }

    /// Whether the journal failed and [`mend`](Self::mend) is due.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.journal.is_broken()
    }

    /// Writes the journal anew, and gives the answers that waited for it.
    ///
    /// # Errors
    /// If the journal still cannot be written.
    pub fn mend(&mut self, now: Timestamp) -> Result<Vec<Message>, LogError> {
        self.journal.mend(&self.gate)?;
        let untold = std::mem::take(&mut self.untold);
        Ok(untold.into_iter().filter_map(|number| self.answer_of(now, number)).collect())
    }

    /// Filters to subscribe to.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        let ours = self.gate.units().map(|unit| self.topics.commands(unit));
        let sparkplug = self.sparkplug.iter();
        let theirs = sparkplug.flat_map(|topics| self.gate.units().map(|unit| topics.device_commands(unit)));
        ours.chain(theirs).collect()
    }
}

fn shortened(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed { text } => {
            Outcome::Failed { text: text.chars().take(OUTCOME_TEXT_CHARS_MAX).collect() }
        }
        Outcome::Executed(_) | Outcome::Expired => outcome,
    }
}

/// Where to answer, and why the wanted place cannot be used if it cannot.
fn reply_to(topic: &str, arrival: &Arrival<'_>) -> (Reply, Option<Refusal>) {
    let correlation_bytes = arrival.correlation.map_or(0, <[u8]>::len);
    if correlation_bytes > CORRELATION_BYTES_MAX {
        let refusal =
            Refusal::CorrelationTooLong { bytes: correlation_bytes, bytes_max: CORRELATION_BYTES_MAX };
        return (Reply { topic: default_answer_topic(topic), correlation: None }, Some(refusal));
    }
    let correlation = arrival.correlation.map(bytes::Bytes::copy_from_slice);
    let wanted = match arrival.response_topic {
        None => return (Reply { topic: default_answer_topic(topic), correlation }, None),
        Some(wanted) => wanted,
    };
    let problem = match check_topic(wanted) {
        Err(error) => Some(ResponseTopicError::Topic(error)),
        Ok(()) if wanted.starts_with("takt/") && wanted != default_answer_topic(topic) => {
            Some(ResponseTopicError::Reserved)
        }
        Ok(()) => None,
    };
    match problem {
        None => (Reply { topic: wanted.to_owned(), correlation }, None),
        Some(what) => {
            let reply = Reply { topic: default_answer_topic(topic), correlation };
            (reply, Some(Refusal::BadResponseTopic { what }))
        }
    }
}

#[cfg(test)]
mod tests;
