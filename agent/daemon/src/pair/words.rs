//! What the pair thread and the others say to each other.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use agent_cycle::Executed;
use agent_fleet::handover::Mark;
use crossbeam_channel::Sender;
use failover_protocol::{Alarm as PairAlarm, Epoch, Role, TakeOver};
use tokio::sync::mpsc;

use super::state::Learned;

/// What the main thread has to know.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// This node is something else now.
    Role {
        /// What.
        role: Role,
        /// The highest epoch that it knows; its own while it is active.
        epoch: Epoch,
    },
    /// The node that writes has done something that outlives it.
    Learned(Learned),
    /// Another run of the peer follows this node.
    PeerBegan,
    /// For people.
    Alarm(PairAlarm),
    /// How the term began.
    TakeOver(TakeOver),
}

/// What the main thread asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Hand over to the peer.
    Switchover,
    /// Tell the peer of commands that were carried out, oldest first.
    Tell(Vec<Executed>),
    /// Give up the office: the process ends.
    Resign,
}

/// What the fleet thread hears of the peer.
#[derive(Debug)]
pub(crate) enum FleetNews {
    /// The state of the peer's fleet after a step. To be held, and then to be said to be held.
    State {
        /// Of which step.
        mark: Mark,
        /// The state, encoded, with its echo.
        bytes: Vec<u8>,
    },
    /// The peer holds this node's state after a step.
    Held {
        /// Of which step.
        mark: Mark,
    },
}

/// What the fleet thread asks.
#[derive(Debug)]
pub(crate) enum FleetWord {
    /// Send this node's state after a step.
    State {
        /// Of which step.
        mark: Mark,
        /// The state, encoded, with its echo.
        bytes: Vec<u8>,
    },
    /// The peer's state after a step is held here.
    Held {
        /// Of which step.
        mark: Mark,
    },
}

/// The fleet thread, as the pair thread sees it.
pub(crate) struct FleetSide {
    pub(crate) schema: u64,
    pub(crate) words: mpsc::Receiver<FleetWord>,
    pub(crate) news: Sender<FleetNews>,
    /// Whether a peer is heard.
    pub(crate) peer_near: Arc<AtomicBool>,
}
