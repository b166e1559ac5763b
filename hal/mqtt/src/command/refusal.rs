//! Why a command is refused, in a word for programs and a sentence for people.

use jiff::{SignedDuration, Timestamp};

use crate::command::PRIORITY_MAX;
use crate::topic::{NAME_BYTES_MAX, TopicError};

/// Why a command was refused. It changed nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The topic is not one of a command of this site.
    #[error("the topic is not takt/v1/{{site}}/{{unit}}/cmd/{{name}} of this site")]
    NotACommand,
    /// There is no such unit here.
    #[error("there is no unit {unit:?} here")]
    UnknownUnit {
        /// The unit in the topic.
        unit: String,
    },
    /// There is no such command.
    #[error("there is no command {name:?} for this unit; there are {}", known.join(", "))]
    UnknownCommand {
        /// The name in the topic.
        name: String,
        /// What the unit can be told.
        known: &'static [&'static str],
    },
    /// There is no such station.
    #[error("there is no station {station:?} in the layout; {field} must name one")]
    UnknownStation {
        /// `from` or `to`.
        field: &'static str,
        /// The name.
        station: String,
    },
    /// The priority is none.
    #[error("priority {priority} is above {PRIORITY_MAX}, the most urgent")]
    PriorityOutOfRange {
        /// What was asked for.
        priority: u8,
    },
    /// It was sent as a retained message and would come again with each subscription.
    #[error(
        "commands must not be retained; send it again without the retain flag, and clear the retained one"
    )]
    Retained,
    /// The payload is too large.
    #[error("a payload of {bytes} bytes; at most {bytes_max} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The payload, or its body, is not the JSON that it should be.
    #[error("{part} cannot be read: {what}")]
    Malformed {
        /// The payload or its body.
        part: &'static str,
        /// What is wrong, with the place.
        what: String,
    },
    /// A Sparkplug write that says neither which command it is nor until when it holds.
    #[error(
        "a plain write to {metric:?} has no id, seq and expiry; write the JSON of a command as text to Command/{{name}}"
    )]
    BareWrite {
        /// What was to be written.
        metric: String,
    },
    /// An id, an issuer or a station is none.
    #[error("{field} must be 1 to {NAME_BYTES_MAX} printable ASCII characters without spaces")]
    BadName {
        /// Which one.
        field: &'static str,
    },
    /// A time is none.
    #[error("{field} must be an RFC 3339 time such as 2026-05-17T09:30:00Z")]
    BadTime {
        /// `issuedAt`, `expiresAt` or `due`.
        field: &'static str,
    },
    /// It expires before it was issued.
    #[error("expiresAt is not after issuedAt")]
    ExpiresBeforeIssued,
    /// It could be replayed for too long.
    #[error("it lives for {} s from issuedAt to expiresAt; at most {} s are allowed", lifetime.as_secs(), lifetime_max.as_secs())]
    LifetimeTooLong {
        /// From issued to expired.
        lifetime: SignedDuration,
        /// The limit.
        lifetime_max: SignedDuration,
    },
    /// It comes from the future: a clock is wrong.
    #[error("it was issued {} ms after the present time here; compare the clocks", ahead.as_millis())]
    FromTheFuture {
        /// By how much.
        ahead: SignedDuration,
    },
    /// Its time has passed.
    #[error("it expired at {expired_at}, {} ms ago; issue it anew", late.as_millis())]
    Expired {
        /// When.
        expired_at: Timestamp,
        /// By how much.
        late: SignedDuration,
    },
    /// An issuer whose memory was given up must not use times before that.
    #[error(
        "it expires at {expires_at}, not after {forgotten_until} until when commands are forgotten; issue it anew"
    )]
    Forgotten {
        /// When it would expire.
        expires_at: Timestamp,
        /// Commands that expired until then may be forgotten.
        forgotten_until: Timestamp,
    },
    /// Its sequence does not grow.
    #[error("seq {seq} is not above {last}, the last one accepted from this issuer for this unit")]
    OutOfOrder {
        /// Its sequence.
        seq: u64,
        /// The last accepted one.
        last: u64,
    },
    /// The id was used for another command.
    #[error("this id was used for another command of this issuer; take a new one")]
    IdReused,
    /// The power limit is out of range.
    #[error("power_limit_kw {power_limit_kw} is outside 0 to {rated_kw}, the rated power of this unit")]
    PowerOutOfRange {
        /// What was asked for.
        power_limit_kw: f64,
        /// Rated power.
        rated_kw: f64,
    },
    /// Too many issuers are remembered.
    #[error("commands of {issuers_max} issuers are remembered and none has expired yet; try again later")]
    TooManyIssuers {
        /// The limit.
        issuers_max: usize,
    },
    /// Too many commands of this issuer are remembered.
    #[error(
        "{commands_max} commands of this issuer are remembered and not yet both concluded and expired; try again later"
    )]
    TooManyCommands {
        /// The limit.
        commands_max: usize,
    },
    /// The response topic cannot be answered to.
    #[error("the response topic cannot be used: {what}")]
    BadResponseTopic {
        /// Why.
        what: ResponseTopicError,
    },
    /// The correlation data is too long.
    #[error("correlation data of {bytes} bytes; at most {bytes_max} are possible")]
    CorrelationTooLong {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The agent does not take commands fast enough.
    #[error("the agent is busy with earlier commands; try again")]
    Busy,
    /// The journal cannot be written, so the command could not be remembered.
    #[error("the command journal cannot be written; look at the agent's log")]
    Storage,
}

/// Why a response topic cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseTopicError {
    /// It is no topic.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// It would let an answer pass for something else.
    #[error("topics under takt/ are the agent's own")]
    Reserved,
}

impl Refusal {
    /// The word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotACommand => "not-a-command",
            Self::UnknownUnit { .. } => "unknown-unit",
            Self::UnknownCommand { .. } => "unknown-command",
            Self::UnknownStation { .. } => "unknown-station",
            Self::PriorityOutOfRange { .. } => "priority-out-of-range",
            Self::Retained => "retained",
            Self::TooLarge { .. } => "too-large",
            Self::Malformed { .. } => "malformed",
            Self::BareWrite { .. } => "bare-write",
            Self::BadName { .. } => "bad-name",
            Self::BadTime { .. } => "bad-time",
            Self::ExpiresBeforeIssued => "expires-before-issued",
            Self::LifetimeTooLong { .. } => "lifetime-too-long",
            Self::FromTheFuture { .. } => "from-the-future",
            Self::Expired { .. } => "expired",
            Self::Forgotten { .. } => "forgotten",
            Self::OutOfOrder { .. } => "out-of-order",
            Self::IdReused => "id-reused",
            Self::PowerOutOfRange { .. } => "out-of-limits",
            Self::TooManyIssuers { .. } => "too-many-issuers",
            Self::TooManyCommands { .. } => "too-many-commands",
            Self::BadResponseTopic { .. } => "bad-response-topic",
            Self::CorrelationTooLong { .. } => "correlation-too-long",
            Self::Busy => "busy",
            Self::Storage => "storage",
        }
    }
}
