//! Commands: who may order what, and what becomes of it.
//!
//! # Model
//!
//! A command is a message on `takt/v1/{site}/{unit}/cmd/{name}` with the JSON object
//! `{"id", "seq", "issuer", "issuedAt", "expiresAt", "body"}`:
//!
//! | field | meaning |
//! |---|---|
//! | `issuer` | who orders; 1 to 64 printable ASCII characters |
//! | `id` | names the command among those of its issuer; 1 to 64 printable ASCII characters |
//! | `seq` | whole number that grows with every command of the issuer to this unit |
//! | `issuedAt`, `expiresAt` | RFC 3339 times; after the second the command must not take effect |
//! | `body` | what the command needs: [`Command`] |
//!
//! It passes the [`CommandGate`] (pure: is it well formed, fresh, new, in order, within limits?), then the
//! [`Journal`](crate::journal::Journal) (on disk before it is answered as accepted), then goes to the
//! agent. [`CommandDesk`] joins the three. Each command is answered on the response topic of the request
//! with its correlation data, or on `.../cmd/{name}/ack`, by the JSON of [`Answer`].
//!
//! # Promises
//!
//! - A refused command changes nothing.
//! - An accepted command survives a restart and is handed out until it is concluded; a concluded one is never
//!   handed out again. If its time has passed by the restart, it is concluded as [`Outcome::Expired`] instead:
//!   nobody wants yesterday's `start`.
//! - The same command again (same issuer and id) is answered with what became of the first.
//! - Memory is bounded; forgetting never lets a command pass twice: see [`CommandGate`].

mod answer;
mod desk;
mod envelope;
mod gate;
mod refusal;
mod time;

use bytes::Bytes;
use hal_units::Watts;
use jiff::Timestamp;
use serde::Deserialize;

pub use answer::{Answer, Status};
pub use desk::{Arrival, CommandDesk, ConcludeError, Reaction, Verdict};
pub use gate::{CommandGate, GateLimits, Judgement, Memory, UnitKind};
pub use refusal::Refusal;

use crate::topic::Name;

/// What a unit can be told.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `derate {"power_limit_kw": number}`: electrical power at most this, 0 up to rated.
    Derate {
        /// The limit.
        power_limit: Watts,
    },
    /// `start {}`.
    Start,
    /// `stop {}`: normal stop.
    Stop,
    /// `emergency-stop {}`.
    EmergencyStop,
    /// `reset {}`: acknowledge faults.
    Reset,
    /// `transport {"from": station, "to": station}`: fetch a load and bring it; optionally `"priority"`, a
    /// whole number from 0 to 9, 9 the most urgent (4 if it is left out), and `"due"`, an RFC 3339 time. The
    /// order bears the id of its command.
    Transport(Box<Transport>),
    /// `cancel {"order": id}`: a transport order of the same issuer.
    Cancel {
        /// The id of the command that gave it.
        order: String,
    },
    /// `resolve {"vehicle": name, "load": "delivered" | "removed" | "on-board"}`: what a person has found at a vehicle
    /// that holds a load.
    Resolve {
        /// The vehicle's name.
        vehicle: Name,
        /// Where its load is.
        load: FoundLoad,
    },
}

/// Where a person has found the load of a vehicle that does not go on with it by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FoundLoad {
    /// Where it belongs: its order is done.
    Delivered,
    /// Off the vehicle, and not where it belongs: its order has failed.
    Removed,
    /// On the vehicle, which goes on with it.
    OnBoard,
}

/// What is to be brought where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// Where the load is.
    pub from: Name,
    /// Where it is to be.
    pub to: Name,
    /// From 0 to [`PRIORITY_MAX`].
    pub priority: u8,
    /// When it should be there.
    pub due: Option<Timestamp>,
}

/// The most urgent priority of a transport order.
pub const PRIORITY_MAX: u8 = 9;
/// The priority of an order that names none.
const PRIORITY_USUAL: u8 = 4;

impl Command {
    /// The name in the topic.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Derate { .. } => "derate",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::EmergencyStop => "emergency-stop",
            Self::Reset => "reset",
            Self::Transport(_) => "transport",
            Self::Cancel { .. } => "cancel",
            Self::Resolve { .. } => "resolve",
        }
    }

    /// All names, in the order of the variants.
    pub const NAMES: [&'static str; 8] =
        ["derate", "start", "stop", "emergency-stop", "reset", "transport", "cancel", "resolve"];
}

/// Number of an accepted command in its journal, from 1, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandNumber(pub u64);

/// What a command is called on both nodes of a pair: a hash of its issuer and its id. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommandKey(pub u64);

impl CommandKey {
    /// FNV-1a, 64 bits (Fowler, Noll, Vo), over issuer, a zero byte, and id.
    #[must_use]
    pub fn of(issuer: &str, id: &str) -> Self {
        let bytes = issuer.bytes().chain([0]).chain(id.bytes());
        let mix = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, mix).max(1))
    }
}

/// Which execution of a command it was: the term of office and the cycle. Two answers that name the same
/// tell of one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// Term of office of the node that carried it out.
    pub epoch: u32,
    /// Its control cycle.
    pub cycle: u64,
}

/// That a command was carried out by the other node of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionMark {
    /// Which command.
    pub key: CommandKey,
    /// By which execution.
    pub execution: Execution,
}

/// Where a command is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The topic.
    pub topic: String,
    /// Correlation data of the request.
    pub correlation: Option<Bytes>,
}

/// A command that passed the gate, and all there is to remember of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRecord {
    /// Who ordered it.
    pub issuer: String,
    /// Its name among those of the issuer.
    pub id: String,
    /// Its place among those of the issuer.
    pub seq: u64,
    /// Whom it concerns.
    pub unit: Name,
    /// What to do.
    pub command: Command,
    /// When it was ordered.
    pub issued_at: Timestamp,
    /// After this it must not take effect.
    pub expires_at: Timestamp,
    /// Where its answers go.
    pub reply: Reply,
}

impl CommandRecord {
    /// What it is called on both nodes of a pair.
    #[must_use]
    pub fn key(&self) -> CommandKey {
        CommandKey::of(&self.issuer, &self.id)
    }

    /// Whether two are the same order, wherever they are answered.
    fn is_same_order(&self, other: &Self) -> bool {
        let Self { issuer, id, seq, unit, command, issued_at, expires_at, reply: _ } = self;
        *issuer == other.issuer
            && *id == other.id
            && *seq == other.seq
            && *unit == other.unit
            && *command == other.command
            && *issued_at == other.issued_at
            && *expires_at == other.expires_at
    }
}

/// What became of an accepted command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect, in this execution if that is known.
    Executed(Option<Execution>),
    /// It could not take effect.
    Failed {
        /// Why, for the issuer; cut to [`OUTCOME_TEXT_CHARS_MAX`].
        text: String,
    },
    /// Its time passed before it could take effect.
    Expired,
}

/// The longest text of an outcome, in characters.
pub const OUTCOME_TEXT_CHARS_MAX: usize = 200;

/// An accepted command with what is known of its fate: the journal's unit of memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Remembered {
    /// Its number.
    pub number: CommandNumber,
    /// The command.
    pub record: CommandRecord,
    /// What became of it, if it is known.
    pub outcome: Option<Outcome>,
}

/// A command for the agent to carry out; it is to be concluded under its number.
#[derive(Debug, Clone, PartialEq)]
pub struct IncomingCommand {
    /// To conclude it by.
    pub number: CommandNumber,
    /// What it is called on both nodes of a pair.
    pub key: CommandKey,
    /// Who ordered it.
    pub issuer: String,
    /// Its name among those of the issuer.
    pub id: String,
    /// Whom it concerns.
    pub unit: Name,
    /// What to do.
    pub command: Command,
    /// After this it must not take effect.
    pub expires_at: Timestamp,
    /// Whether it was accepted before a restart. If the agent died between carrying it out and concluding
    /// it, it is carried out a second time: all commands set a state, so that this does no harm.
    pub redelivered: bool,
}

impl IncomingCommand {
    fn new(number: CommandNumber, record: &CommandRecord, redelivered: bool) -> Self {
        Self {
            number,
            key: record.key(),
            issuer: record.issuer.clone(),
            id: record.id.clone(),
            unit: record.unit.clone(),
            command: record.command.clone(),
            expires_at: record.expires_at,
            redelivered,
        }
    }
}

#[cfg(test)]
pub(crate) mod fixtures;
