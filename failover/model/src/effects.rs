//! What comes of a node's outputs, and the invariants.

use failover_protocol::{Epoch, Input, Message, Node, Output, Role};

use crate::clock::NOW;
use crate::mail::{Loss, Mail};
use crate::space::{Next, Setup};
use crate::world::{Flight, Gate, Machine, Registers, World};

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Violation {
    /// Both gates are open.
    TwoWriters,
    /// A write of an old term can arrive after one of a newer.
    OldAfterNew,
    /// A term begins with an epoch that a fencing device refuses.
    EpochBelowFence,
    /// Two nodes have won the same epoch.
    EpochTwice,
    /// A gate that had shut was opened again without the arbiter.
    RevivedWithoutArbiter,
    /// A node promised before it knew the epoch.
    PromisedInIgnorance,
    /// A node promised to a term below the highest that it knows.
    PromisedToOldTerm,
    /// A node promised after it had won a claim.
    PromisedAgainstClaim,
}

impl Violation {
    /// All invariants, in words.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::TwoWriters, "never can two nodes write at one instant"),
        (Self::OldAfterNew, "no write of an old epoch arrives after one of a newer (plain device)"),
        (Self::EpochBelowFence, "every term has a higher epoch than all that wrote before (fencing device)"),
        (Self::EpochTwice, "no epoch is won by both nodes"),
        (Self::RevivedWithoutArbiter, "a lease that ended is revived by the arbiter only"),
        (Self::PromisedInIgnorance, "a node promises nothing before it knows the epoch"),
        (Self::PromisedToOldTerm, "a node promises to the newest term only"),
        (Self::PromisedAgainstClaim, "a node that has won a claim promises nothing"),
    ];

    /// The invariant in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        Self::ALL.iter().find(|(one, _)| *one == self).map_or("", |(_, words)| words)
    }
}

/// The step that an output comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cause {
    pub(crate) before: Role,
    pub(crate) after: Role,
    pub(crate) known: Epoch,
    pub(crate) input: Input,
}

/// Does what a node wants done.
pub(crate) fn carry_out(
    setup: Setup,
    next: &mut Next,
    node: Node,
    cause: Cause,
    output: Output,
    loss: Loss,
) -> Result<(), Violation> {
    let short = |epoch: Epoch| u8::try_from(epoch.0).unwrap_or(u8::MAX);
    let world = &mut next.world;
    match output {
        Output::Shut => world.machine_mut(node).shut(),
        Output::Lease { epoch, deadline } => {
            let epoch = short(epoch);
            let left = u8::try_from(deadline.since(NOW).as_nanos()).unwrap_or(u8::MAX);
            let machine = world.machine_mut(node);
            let reopened = !machine.gate.is_open() && machine.held == epoch;
            if left > 0 && reopened && !matches!(cause.input, Input::Arbiter(_)) {
                return Err(Violation::RevivedWithoutArbiter);
            }
            machine.held = epoch;
            if machine.gate.is_open() && machine.gate.epoch != epoch {
                machine.trail();
            }
            machine.gate = if left > 0 { Gate { epoch, left } } else { Gate::default() };
        }
        Output::Send(message) => {
            if let Message::Ack { epoch, .. } = message {
                if cause.before == Role::Init {
                    return Err(Violation::PromisedInIgnorance);
                }
                if epoch < cause.known {
                    return Err(Violation::PromisedToOldTerm);
                }
                if matches!(cause.after, Role::Claimed | Role::Active) {
                    return Err(Violation::PromisedAgainstClaim);
                }
            }
            if let Some(mail) = Mail::pack(&message).filter(|mail| matters(world, mail)) {
                next.crowded |= world.machine_mut(node.peer()).inbox.post(mail, setup.places, loss);
            }
        }
        Output::Arbiter(op) => {
            let write = op.write.map(|(epoch, counter)| Registers {
                slot: short(epoch),
                counter: u8::try_from(counter).unwrap_or(u8::MAX),
            });
            let machine = world.machine_mut(node);
            machine.orphan = None;
            machine.flight = Some(Flight::Sent { write });
        }
        Output::Role { role: Role::Claimed | Role::Active, epoch } => {
            if !world.owns(node, short(epoch)) {
                return Err(Violation::EpochTwice);
            }
        }
        Output::HandOverAt { cycle } => {
            world.machine_mut(node).ending = u8::try_from(cycle).unwrap_or(u8::MAX);
        }
        Output::HandOverOff => world.machine_mut(node).ending = 0,
        Output::Role { role: Role::Init | Role::Standby | Role::Fenced, .. }
        | Output::TakeOver(_)
        | Output::Alarm(_) => {}
    }
    Ok(())
}

/// Whether a planned handover may begin or is under way.
pub(crate) fn is_planned(world: &World) -> bool {
    world.budget.commands > 0 || world.machines.iter().any(|machine| machine.ending != 0)
}

/// Heartbeats of a standby are only heeded for a planned handover: without one they may as well get lost.
fn matters(world: &World, mail: &Mail) -> bool {
    let holder = matches!(mail, Mail::Beat { role: Role::Claimed | Role::Active, .. });
    holder || is_planned(world) || !matches!(mail, Mail::Beat { .. })
}

/// The invariants of a state; the adversary writes wherever a gate is open.
pub(crate) fn judge(world: &mut World) -> Result<(), Violation> {
    let [a, b] = world.machines;
    if a.gate.is_open() && b.gate.is_open() {
        return Err(Violation::TwoWriters);
    }
    let open = if a.gate.is_open() { a.gate } else { b.gate };
    if !open.is_open() {
        return Ok(());
    }
    let late = |machine: &Machine| machine.under_way.ticks > 0 && machine.under_way.epoch < open.epoch;
    if late(&a) || late(&b) {
        return Err(Violation::OldAfterNew);
    }
    if open.epoch < world.fenced {
        return Err(Violation::EpochBelowFence);
    }
    world.fenced = open.epoch;
    Ok(())
}
