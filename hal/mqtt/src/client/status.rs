//! What a client says about itself.

use std::collections::BTreeMap;

use hal_units::Instant;

/// Whether there is a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// No broker.
    Disconnected {
        /// Since when.
        since: Instant,
        /// Attempts that failed since.
        failures: u32,
        /// Why the last connection, or attempt, ended.
        reason: String,
    },
    /// The broker took the connection, what was sent again, and the subscriptions: commands arrive.
    Connected {
        /// Since when.
        since: Instant,
        /// Whether the broker still had the session.
        resumed: bool,
        /// Filters that the broker refused to subscribe to, most likely by its access control.
        filters_refused: usize,
    },
}

/// Whether what must survive can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageState {
    /// It can.
    Good,
    /// It cannot: messages are taken and held in memory, none is sent, commands are refused.
    Failing {
        /// Since when.
        since: Instant,
        /// Why.
        reason: String,
    },
}

/// Counts since the start of this client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MqttCounters {
    /// Messages of the outbox sent for the first time.
    pub published: u64,
    /// Messages of the outbox sent again, marked as such.
    pub resent: u64,
    /// Messages of the outbox that the broker acknowledged.
    pub acknowledged: u64,
    /// Messages of the outbox that the broker will never take (not authorised, too large, malformed). They are
    /// gone, and each is in the log.
    pub rejected: u64,
    /// Latest values sent.
    pub latest_sent: u64,
    /// Latest values that were replaced before they were sent.
    pub latest_coalesced: u64,
    /// Connections that the broker took.
    pub connects: u64,
    /// Of these, with the session resumed.
    pub resumed: u64,
    /// Connections that ended.
    pub disconnects: u64,
    /// Messages that came for us.
    pub commands_received: u64,
    /// Of these, accepted.
    pub commands_accepted: u64,
    /// Of these, repetitions of an accepted one.
    pub commands_repeated: u64,
    /// Of these, refused, by [`Refusal::code`](crate::command::Refusal::code).
    pub commands_refused: BTreeMap<&'static str, u64>,
    /// Commands that were concluded.
    pub commands_concluded: u64,
    /// Answers that found the outbox full. The issuer gets them by sending the command again.
    pub answers_dropped: u64,
    /// Writes to outbox or journal that failed.
    pub storage_errors: u64,
}

/// A client's state at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttStatus {
    /// The connection.
    pub connection: ConnectionState,
    /// The disk.
    pub storage: StorageState,
    /// Counts.
    pub counters: MqttCounters,
    /// Messages in the outbox.
    pub outbox_entries: usize,
    /// Their bytes.
    pub outbox_bytes: u64,
}
