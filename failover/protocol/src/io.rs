//! What goes into a pair and what comes out.

use hal_units::Instant;

use crate::message::{ArbiterImage, ArbiterOp, Epoch, FieldHealth, Message, Role};

/// One of the two links between the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// The first.
    One,
    /// The second.
    Two,
}

impl Link {
    /// Both.
    pub const ALL: [Self; 2] = [Self::One, Self::Two];
}

/// Something that happened.
///
/// The time that comes with it must have been read after it happened: a heartbeat that arrives while a
/// process is stopped must not be dated back to before the stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Nothing but time passed.
    Tick,
    /// An authentic, fresh message from the peer.
    Received {
        /// Over which link.
        link: Link,
        /// What it says.
        message: Message,
    },
    /// The answer to the one outstanding transaction.
    ///
    /// Assumed of whoever carries out the transactions: those of a node reach the device in their order. One
    /// that failed may have been carried out all the same, and may yet be, but not after the next one.
    Arbiter(Result<ArbiterImage, ArbiterFault>),
    /// The number of the last cycle that the control thread finished. To be given before each tick; one that
    /// stands still means that the control thread does.
    Cycle {
        /// Starts at 1.
        cycle: u64,
    },
    /// What this node reaches of the field.
    Field(FieldHealth),
    /// The newest replicated state that this node holds whole from its peer.
    Replica {
        /// The cycle after which it was taken; not 0.
        cycle: u64,
        /// Its hash.
        hash: u64,
    },
    /// Whether this node could continue from the replicated state: same schema, same plan. True at first.
    Promotable(bool),
    /// An operator asks this node to hand over.
    Switchover,
    /// The executive has written and replicated the agreed last cycle, and writes nothing more.
    HandedOver {
        /// Which cycle that was.
        cycle: u64,
        /// Hash of all replicated state after it.
        hash: u64,
    },
    /// This node is about to stop, or a supervisor wants it to write no more.
    ResignRequested,
}

/// Why a transaction with the arbiter has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArbiterFault {
    /// No answer in time, or no connection.
    NoAnswer,
    /// The device refused, or answered nonsense.
    Refused,
}

/// Something to be done. The outputs of a step are to be done in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Shut the gate now, drop what waits to be written.
    Shut,
    /// Open the gate until the deadline, or extend it.
    Lease {
        /// The term.
        epoch: Epoch,
        /// Until when this node may write, on its own clock.
        deadline: Instant,
    },
    /// Send to the peer on both links.
    Send(Message),
    /// Carry out a transaction with the arbiter and answer with [`Input::Arbiter`]: always, once.
    Arbiter(ArbiterOp),
    /// The role has changed.
    Role {
        /// What this node is now.
        role: Role,
        /// The highest epoch that it knows; its own if it is Claimed or Active.
        epoch: Epoch,
    },
    /// This node has become Active; the gate is opened by the next output. How the executive goes on:
    TakeOver(TakeOver),
    /// Write cycle `cycle` as the last one, replicate it, write nothing after it, and say
    /// [`Input::HandedOver`].
    HandOverAt {
        /// The last cycle to be written.
        cycle: u64,
    },
    /// The handover is off: go on writing.
    HandOverOff,
    /// For people.
    Alarm(Alarm),
}

/// How an Active begins its term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TakeOver {
    /// Planned: cycle `cycle` was the last of the old term, and this node holds exactly its state.
    Planned {
        /// The last cycle of the old term.
        cycle: u64,
    },
    /// From the last whole replica: reseed from read-back and limit the first outputs.
    FromReplica {
        /// The cycle of the replica.
        cycle: u64,
    },
    /// Without a state to go on from: start from what the devices say.
    Cold,
}

/// What people should know of. Each is raised once when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alarm {
    /// Nothing comes over one link.
    LinkSilent(Link),
    /// Something comes over the link again.
    LinkBack(Link),
    /// The arbiter does not answer.
    ArbiterLost,
    /// The arbiter answers again.
    ArbiterBack,
    /// The arbiter did not take over what was written to the own slot.
    ArbiterForgot,
    /// The lease ended without a renewal: outputs hold until the arbiter renews it.
    LeaseLapsed,
    /// The arbiter has renewed a lease that had lapsed.
    LeaseRevived,
    /// The control thread stands still.
    CycleStalled,
    /// This node has lost its term to a higher epoch.
    Deposed {
        /// The term that ended.
        epoch: Epoch,
    },
    /// The term was given up, voluntarily or for a fault of this node.
    Resigned {
        /// The term that ended.
        epoch: Epoch,
        /// Why.
        reason: ResignReason,
    },
    /// A claim was lost.
    ClaimLost {
        /// The epoch that was claimed.
        epoch: Epoch,
    },
    /// The state that was handed over is not the one that this node holds.
    HandoverDiffers {
        /// The last cycle of the old term.
        cycle: u64,
    },
    /// The peer's replicated state has another layout: neither can continue the other's work.
    SchemaDiffers,
    /// A switchover was asked for and will not be done.
    SwitchoverRefused(Refusal),
    /// A handover began and did not come to its end.
    HandoverAborted,
    /// There is no epoch after this one: clear the arbiter and the devices, and start anew.
    EpochsExhausted,
}

/// Why a node gave up its term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResignReason {
    /// It was asked to.
    Requested,
    /// The peer reaches more critical devices.
    Field,
    /// Its control thread stands still.
    Stalled,
    /// A planned handover.
    HandedOver,
}

/// Why a voluntary switchover is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// This node is not Active, or its lease has lapsed.
    NotActive,
    /// One is under way.
    UnderWay,
    /// The peer is silent or not a standby.
    NoStandby,
    /// The peer holds no state that it could continue from.
    NotPromotable,
    /// Too many switchovers in too short a time.
    Flapping,
}

/// The most outputs of one step.
const OUTPUTS_MAX: usize = 24;

/// What a step wants done, in this order, and when the next step is due.
#[derive(Debug, Clone)]
pub struct Outputs {
    list: heapless::Vec<Output, OUTPUTS_MAX>,
    next: Instant,
}

impl Outputs {
    pub(crate) const fn new() -> Self {
        Self { list: heapless::Vec::new(), next: Instant::ZERO }
    }

    /// A step makes fewer outputs than there is room for; if not, the least harmful loss is an alarm's.
    pub(crate) fn push(&mut self, output: Output) {
        debug_assert!(!self.list.is_full(), "{output:?} finds no room");
        if self.list.push(output).is_err()
            && let Some(place) = self.list.iter_mut().find(|o| matches!(o, Output::Alarm(_)))
        {
            *place = output;
        }
    }

    pub(crate) fn alarm(&mut self, alarm: Alarm) {
        self.push(Output::Alarm(alarm));
    }

    pub(crate) fn due(&mut self, next: Instant) {
        self.next = next;
    }

    /// When the next [`Input::Tick`] is due at the latest.
    #[must_use]
    pub const fn next(&self) -> Instant {
        self.next
    }

    /// The outputs in the order in which they are to be done.
    pub fn iter(&self) -> core::slice::Iter<'_, Output> {
        self.list.iter()
    }
}

impl<'a> IntoIterator for &'a Outputs {
    type Item = &'a Output;
    type IntoIter = core::slice::Iter<'a, Output>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
