//! What can happen next, and what comes of it.

use failover_protocol::{
    ArbiterFault, ArbiterImage, CheckedConfig, Epoch, Frozen, Input, Link, Node, Pair, Role,
};
use hal_units::Duration;
use indexmap::IndexSet;

use crate::clock::{HORIZON, NOW};
use crate::effects::{Cause, Violation, carry_out, is_planned, judge};
use crate::hash::Fast;
use crate::mail::{HASH, Loss, Mail};
use crate::world::{CoreId, Flight, Gate, NODES, Registers, World};

/// A stored node has done cycle 1 at most, so that this one is always new.
const NEXT_CYCLE: u64 = 2;

/// How a device carries out a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArbiterKind {
    /// Write and read at one instant: function code 23.
    Atomic,
    /// First the write, then the read; anything may come between.
    WriteThenRead,
    /// First the read, then the write: wrong.
    ReadThenWrite,
}

/// What the exploration is about.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// The times and rules of both nodes.
    pub config: CheckedConfig,
    /// The arbiter.
    pub arbiter: ArbiterKind,
    /// Whether the kernel shuts the gate at the deadline.
    pub gated: bool,
    /// Whether the supervisor shuts the gate of a dead process before it resigns for it.
    pub supervised: bool,
    /// How many messages of a kind can be under way to a node.
    pub places: usize,
    /// No claims above this epoch are looked at.
    pub epoch_max: u8,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A tick of time.
    Advance,
    /// The node gets its tick.
    Tick(Node, Loss),
    /// A message is delivered.
    Deliver(Node, Mail, Loss),
    /// The device carries out the next part of a transaction.
    Execute(Node),
    /// The device carries out a write that the node has given up.
    ExecuteOrphan(Node),
    /// The answer reaches the node.
    Answer(Node, Loss),
    /// The node gives the transaction up.
    GiveUp(Node, Loss),
    /// The process dies; the supervisor shuts the gate and resigns for it.
    Kill(Node),
    /// The machine dies: nobody says so, and its gate stays as it was.
    PowerLoss(Node),
    /// A process starts.
    Start(Node),
    /// An operator wants a switchover.
    Switchover(Node, Loss),
    /// The node is asked to resign.
    Resign(Node, Loss),
    /// The executive has done the agreed last cycle.
    HandOver(Node, Loss),
    /// The node gets a whole replica.
    Sync(Node, Loss),
}

impl Action {
    /// Whether it takes from the budget of faults and commands.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        match self {
            Self::GiveUp(..)
            | Self::Kill(_)
            | Self::PowerLoss(_)
            | Self::Switchover(..)
            | Self::Resign(..) => true,
            Self::Advance
            | Self::Tick(..)
            | Self::Deliver(..)
            | Self::Execute(_)
            | Self::ExecuteOrphan(_)
            | Self::Answer(..)
            | Self::Start(_)
            | Self::HandOver(..)
            | Self::Sync(..) => false,
        }
    }
}

/// The states and what leads from one to the next.
#[derive(Debug)]
pub struct Space {
    /// What it is about.
    pub setup: Setup,
    cores: IndexSet<Frozen, Fast>,
}

/// What an action led to.
#[derive(Debug, Clone, Copy)]
pub struct Next {
    /// The state.
    pub world: World,
    /// Whether a message found no place: another choice of what is lost leads elsewhere.
    pub crowded: bool,
}

impl Space {
    /// An empty table.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self { setup, cores: IndexSet::default() }
    }

    /// The same table for another setup: states found under one can be gone on from under the other.
    #[must_use]
    pub fn with_setup(self, setup: Setup) -> Self {
        Self { setup, ..self }
    }

    /// How many different state machines were met.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.cores.len()
    }

    /// The state machine of a node, if it runs.
    #[must_use]
    pub fn pair(&self, world: &World, node: Node) -> Option<Pair> {
        let id = world.machine(node).core?;
        let frozen = self.cores.get_index(usize::try_from(id).ok()?)?;
        Some(frozen.thaw(self.setup.config, node))
    }

    pub(crate) fn keep(&mut self, pair: &Pair) -> Option<CoreId> {
        let (index, _) = self.cores.insert_full(pair.freeze());
        CoreId::try_from(index).ok()
    }

    /// Everything that can happen.
    pub fn actions(&self, world: &World, into: &mut Vec<Action>) {
        into.clear();
        into.push(Action::Advance);
        for node in NODES {
            let machine = world.machine(node);
            match machine.flight {
                Some(Flight::Sent { .. } | Flight::Half { .. }) => into.push(Action::Execute(node)),
                Some(Flight::Done { .. }) => into.push(Action::Answer(node, Loss::Sent)),
                None => {}
            }
            if machine.orphan.is_some() {
                into.push(Action::ExecuteOrphan(node));
            }
            let Some(pair) = self.pair(world, node) else {
                into.push(Action::Start(node));
                continue;
            };
            if !machine.ticked {
                into.push(Action::Tick(node, Loss::Sent));
                into.extend(machine.inbox.iter().map(|mail| Action::Deliver(node, mail, Loss::Sent)));
            }
            if machine.flight.is_some() && world.budget.faults > 0 {
                into.push(Action::GiveUp(node, Loss::Sent));
            }
            if machine.ending != 0 {
                into.push(Action::HandOver(node, Loss::Sent));
            }
            let planned = is_planned(world) && pair.role() == Role::Standby;
            if planned || pair.role() == Role::Fenced {
                into.push(Action::Sync(node, Loss::Sent));
            }
            if world.budget.crashes > 0 {
                into.push(Action::Kill(node));
                into.push(Action::PowerLoss(node));
            }
            if world.budget.commands > 0 && pair.role() == Role::Active {
                into.push(Action::Switchover(node, Loss::Sent));
                into.push(Action::Resign(node, Loss::Sent));
            }
        }
    }

    /// What comes of an action.
    ///
    /// # Errors
    /// The invariant that it breaks.
    pub fn apply(&mut self, world: &World, action: Action) -> Result<Next, Violation> {
        let mut next = Next { world: *world, crowded: false };
        match action {
            Action::Advance => self.advance(&mut next.world),
            Action::Tick(node, loss) => {
                next.world.machine_mut(node).ticked = true;
                self.step(&mut next, node, Input::Cycle { cycle: NEXT_CYCLE }, loss)?;
            }
            Action::Deliver(node, mail, loss) => {
                let input = Input::Received { link: Link::One, message: mail.unpack() };
                self.step(&mut next, node, input, loss)?;
            }
            Action::Execute(node) => self.execute(&mut next.world, node),
            Action::ExecuteOrphan(node) => {
                if let Some(write) = next.world.machine_mut(node).orphan.take() {
                    *next.world.registers_mut(node) = write;
                }
            }
            Action::Answer(node, loss) => {
                if let Some(Flight::Done { read: [a, b] }) = next.world.machine_mut(node).flight.take() {
                    let (own, peer) = if node == Node::A { (a, b) } else { (b, a) };
                    let image = ArbiterImage {
                        own_slot: Epoch(own.slot.into()),
                        own_counter: own.counter.into(),
                        peer_slot: Epoch(peer.slot.into()),
                        peer_counter: peer.counter.into(),
                    };
                    self.step(&mut next, node, Input::Arbiter(Ok(image)), loss)?;
                }
            }
            Action::GiveUp(node, loss) => {
                next.world.budget.faults = next.world.budget.faults.saturating_sub(1);
                abandon(&mut next.world, node);
                self.step(&mut next, node, Input::Arbiter(Err(ArbiterFault::NoAnswer)), loss)?;
            }
            Action::Kill(node) => self.kill(&mut next, node),
            Action::PowerLoss(node) => {
                next.world.budget.crashes = next.world.budget.crashes.saturating_sub(1);
                self.down(&mut next.world, node);
            }
            Action::Start(node) => {
                let pair = Pair::new(self.setup.config, node, NOW);
                let machine = next.world.machine_mut(node);
                (machine.held, machine.ending) = (0, 0);
                self.store(&mut next.world, node, &pair);
            }
            Action::Switchover(node, loss) => {
                next.world.budget.commands = next.world.budget.commands.saturating_sub(1);
                self.step(&mut next, node, Input::Switchover, loss)?;
            }
            Action::Resign(node, loss) => {
                next.world.budget.commands = next.world.budget.commands.saturating_sub(1);
                self.step(&mut next, node, Input::ResignRequested, loss)?;
            }
            Action::HandOver(node, loss) => {
                let cycle = core::mem::take(&mut next.world.machine_mut(node).ending).into();
                self.step(&mut next, node, Input::HandedOver { cycle, hash: HASH }, loss)?;
            }
            Action::Sync(node, loss) => {
                let cycle = u64::from(world.machine(node.peer()).ending.max(1));
                self.step(&mut next, node, Input::Replica { cycle, hash: HASH }, loss)?;
            }
        }
        judge(&mut next.world)?;
        self.rename_counters(&mut next.world);
        Ok(next)
    }

    /// Whether the state is beyond the epochs that are looked at.
    #[must_use]
    pub fn is_beyond(&self, world: &World) -> bool {
        world.arbiter.iter().any(|registers| registers.slot > self.setup.epoch_max)
    }

    fn step(&mut self, next: &mut Next, node: Node, input: Input, loss: Loss) -> Result<(), Violation> {
        let Some(mut pair) = self.pair(&next.world, node) else { return Ok(()) };
        let before = pair.role();
        let outputs = pair.step(NOW, input);
        let cause = Cause { before, after: pair.role(), known: pair.epoch(), input };
        for output in &outputs {
            carry_out(self.setup, next, node, cause, *output, loss)?;
        }
        self.store(&mut next.world, node, &pair);
        Ok(())
    }

    fn store(&mut self, world: &mut World, node: Node, pair: &Pair) {
        let mut canonical = pair.canonical(NOW, NOW);
        if !is_planned(world) {
            canonical = canonical.without_replica();
        }
        world.machine_mut(node).core = self.keep(&canonical);
    }

    fn advance(&mut self, world: &mut World) {
        for node in NODES {
            let (own, peers) = (world.rate(node), world.rate(node.peer()));
            if let Some(pair) = self.pair(world, node) {
                let later = |rate: u8| NOW + Duration::from_nanos(rate.into());
                let pair = pair.canonical(later(own), NOW);
                let pair = pair.with_peer_clock(later(peers), NOW, HORIZON);
                world.machine_mut(node).core = self.keep(&pair);
            }
            let gated = self.setup.gated;
            let machine = world.machine_mut(node);
            machine.ticked = false;
            machine.inbox.age(peers, own);
            machine.under_way.ticks = machine.under_way.ticks.saturating_sub(1);
            if machine.under_way.ticks == 0 {
                machine.under_way.epoch = 0;
            }
            if machine.gate.is_open() && gated {
                // It may have shut at the very end of the tick: what passed it travels from there.
                machine.gate.left = machine.gate.left.saturating_sub(own);
                if !machine.gate.is_open() {
                    machine.trail();
                    machine.gate = Gate::default();
                }
            }
        }
    }

    fn execute(&self, world: &mut World, node: Node) {
        let now = world.arbiter;
        let flight = world.machine(node).flight;
        let mut put = |write: Option<Registers>| {
            if let Some(write) = write {
                *world.registers_mut(node) = write;
            }
            world.arbiter
        };
        let then = match (flight, self.setup.arbiter) {
            (Some(Flight::Sent { write }), ArbiterKind::Atomic) => Flight::Done { read: put(write) },
            (Some(Flight::Sent { write }), ArbiterKind::WriteThenRead) => {
                put(write);
                Flight::Half { write, read: None }
            }
            (Some(Flight::Sent { write }), ArbiterKind::ReadThenWrite) => {
                Flight::Half { write, read: Some(now) }
            }
            (Some(Flight::Half { read: None, .. }), _) => Flight::Done { read: now },
            (Some(Flight::Half { write, read: Some([a, b]) }), _) => {
                put(write);
                // The device answers with what it wrote itself, and with the old value of the other.
                let own = write.unwrap_or(if node == Node::A { a } else { b });
                Flight::Done { read: if node == Node::A { [own, b] } else { [a, own] } }
            }
            (Some(Flight::Done { .. }) | None, _) => return,
        };
        world.machine_mut(node).flight = Some(then);
    }

    fn kill(&self, next: &mut Next, node: Node) {
        next.world.budget.crashes = next.world.budget.crashes.saturating_sub(1);
        let supervised = self.setup.supervised;
        let machine = next.world.machine_mut(node);
        let held = machine.held;
        if supervised {
            machine.shut();
        }
        self.down(&mut next.world, node);
        if held != 0 {
            let end = Mail::End { epoch: held, handed: None };
            next.world.machine_mut(node.peer()).inbox.post(end, self.setup.places, Loss::Oldest);
        }
    }

    fn down(&self, world: &mut World, node: Node) {
        abandon(world, node);
        let machine = world.machine_mut(node);
        machine.core = None;
        machine.ticked = false;
        machine.ending = 0;
    }
}

/// The node is no longer waiting for its transaction; the device may not have begun it.
fn abandon(world: &mut World, node: Node) {
    let machine = world.machine_mut(node);
    if let Some(Flight::Sent { write: Some(write) } | Flight::Half { write: Some(write), read: Some(_) }) =
        machine.flight.take()
    {
        machine.orphan = Some(write);
    }
}
