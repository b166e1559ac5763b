//! What the issuer is told.

use jiff::Timestamp;
use serde::Serialize;

use super::{CommandRecord, Outcome, Refusal, Reply};
use crate::outbox::Message;

/// Where a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is on disk and will be carried out.
    Accepted,
    /// It was carried out.
    Executed,
    /// It could not be carried out.
    Failed,
    /// Its time passed before it could be carried out.
    Expired,
    /// It was not taken, and changed nothing.
    Refused,
}

/// An answer, in JSON: `{"id", "unit", "command", "status", "at"}`, and where they apply `"reason"` (a word),
/// `"text"` (a sentence), `"repeated"`: true if the command had been received before, and `"epoch"` and `"cycle"`
/// of its execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer<'a> {
    /// Of the command, if it could be read.
    pub id: Option<&'a str>,
    /// From the topic.
    pub unit: &'a str,
    /// From the topic.
    pub command: &'a str,
    /// Where it stands.
    pub status: Status,
    /// A word for programs: [`Refusal::code`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// A sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether the command had been received before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Term of office in which it was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// Control cycle in which it was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycle: Option<u64>,
    /// When this was answered, RFC 3339.
    pub at: String,
}

impl<'a> Answer<'a> {
    /// An accepted command, with its outcome if it is known.
    #[must_use]
    pub fn of_accepted(
        record: &'a CommandRecord,
        outcome: Option<&Outcome>,
        repeated: bool,
        now: Timestamp,
    ) -> Self {
        let (status, text) = match outcome {
            None => (Status::Accepted, None),
            Some(Outcome::Executed(_)) => (Status::Executed, None),
            Some(Outcome::Failed { text }) => (Status::Failed, Some(text.clone())),
            Some(Outcome::Expired) => (Status::Expired, None),
        };
        let execution = match outcome {
            Some(Outcome::Executed(execution)) => *execution,
            Some(Outcome::Failed { .. } | Outcome::Expired) | None => None,
        };
        Self {
            id: Some(&record.id),
            unit: record.unit.as_str(),
            command: record.command.name(),
            status,
            reason: None,
            text,
            repeated,
            epoch: execution.map(|execution| execution.epoch),
            cycle: execution.map(|execution| execution.cycle),
            at: now.to_string(),
        }
    }

    /// A refused command.
    #[must_use]
    pub fn of_refused(
        id: Option<&'a str>,
        unit: &'a str,
        command: &'a str,
        refusal: &Refusal,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            unit,
            command,
            status: Status::Refused,
            reason: Some(refusal.code()),
            text: Some(refusal.to_string()),
            repeated: false,
            epoch: None,
            cycle: None,
            at: now.to_string(),
        }
    }

    /// The message that carries it.
    #[must_use]
    pub fn message(&self, reply: Reply) -> Message {
        // A struct of texts always serialises; an empty payload would still tell that there was an answer.
        let payload = serde_json::to_vec(self).unwrap_or_default();
        Message { correlation: reply.correlation, ..Message::new(reply.topic, payload) }
    }
}
