//! What can happen next, and what comes of it.

use failover_protocol::{
    ArbiterFault, ArbiterImage, CheckedConfig, Epoch, Frozen, Input, Link, Message, Node, Output, Pair, Role,
};
use hal_units::Duration;
use indexmap::IndexSet;

use crate::clock::{HORIZON, NOW};
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

    fn keep(&mut self, pair: &Pair) -> Option<CoreId> {
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

    /// Gives the arbiter's counters the smallest names that keep their order: only that matters of them.
    fn rename_counters(&mut self, world: &mut World) {
        for owner in NODES {
            let mut values: heapless_list::List = heapless_list::List::default();
            self.each_counter(world, owner, &mut |value| {
                values.insert(value);
                value
            });
            if values.is_dense() {
                continue;
            }
            self.each_counter(world, owner, &mut |value| values.rank(value));
        }
    }

    /// Passes every place that holds a counter of `owner` through `name`.
    fn each_counter(&mut self, world: &mut World, owner: Node, name: &mut impl FnMut(u8) -> u8) {
        let rename_one = |registers: &mut Registers, name: &mut dyn FnMut(u8) -> u8| {
            registers.counter = name(registers.counter);
        };
        rename_one(world.registers_mut(owner), name);
        for node in NODES {
            let machine = world.machine_mut(node);
            if node == owner
                && let Some(orphan) = &mut machine.orphan
            {
                rename_one(orphan, name);
            }
            match &mut machine.flight {
                Some(Flight::Sent { write: Some(write) }) if node == owner => rename_one(write, name),
                Some(Flight::Half { write, read }) => {
                    if node == owner
                        && let Some(write) = write
                    {
                        rename_one(write, name);
                    }
                    if let Some([a, b]) = read {
                        rename_one(if owner == Node::A { a } else { b }, name);
                    }
                }
                Some(Flight::Done { read: [a, b] }) => rename_one(if owner == Node::A { a } else { b }, name),
                Some(Flight::Sent { .. }) | None => {}
            }
        }
        for node in NODES {
            let Some(mut pair) = self.pair(world, node) else { continue };
            let (own, peer) = pair.counters();
            let short = |value: u16| u8::try_from(value).unwrap_or(u8::MAX);
            if node == owner {
                let new = name(short(own)).into();
                if new != own {
                    pair.rename_counters(|_| new, |peer| peer);
                    world.machine_mut(node).core = self.keep(&pair);
                }
            } else if let Some(peer) = peer {
                let new = name(short(peer)).into();
                if new != peer {
                    pair.rename_counters(|own| own, |_| new);
                    world.machine_mut(node).core = self.keep(&pair);
                }
            }
        }
    }
}

/// A small sorted set of counters.
mod heapless_list {
    /// The most places that hold a counter of one node.
    const PLACES: usize = 12;

    #[derive(Debug, Default)]
    pub(super) struct List {
        values: [u8; PLACES],
        len: usize,
    }

    impl List {
        fn used(&self) -> &[u8] {
            self.values.get(..self.len).unwrap_or(&[])
        }

        pub(super) fn insert(&mut self, value: u8) {
            if self.used().contains(&value) {
                return;
            }
            if let Some(place) = self.values.get_mut(self.len) {
                *place = value;
                self.len += 1;
            }
        }

        pub(super) fn rank(&self, value: u8) -> u8 {
            u8::try_from(self.used().iter().filter(|other| **other < value).count()).unwrap_or(u8::MAX)
        }

        /// Whether the values are 0, 1, 2 and so on already.
        pub(super) fn is_dense(&self) -> bool {
            self.used().iter().all(|value| usize::from(*value) < self.len)
        }
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

/// The step that an output comes from.
#[derive(Debug, Clone, Copy)]
struct Cause {
    before: Role,
    after: Role,
    known: Epoch,
    input: Input,
}

/// Does what a node wants done.
fn carry_out(
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
fn is_planned(world: &World) -> bool {
    world.budget.commands > 0 || world.machines.iter().any(|machine| machine.ending != 0)
}

/// Heartbeats of a standby are only heeded for a planned handover: without one they may as well get lost.
fn matters(world: &World, mail: &Mail) -> bool {
    let holder = matches!(mail, Mail::Beat { role: Role::Claimed | Role::Active, .. });
    holder || is_planned(world) || !matches!(mail, Mail::Beat { .. })
}

/// The invariants of a state; the adversary writes wherever a gate is open.
fn judge(world: &mut World) -> Result<(), Violation> {
    let [a, b] = world.machines;
    if a.gate.is_open() && b.gate.is_open() {
        return Err(Violation::TwoWriters);
    }
    let open = if a.gate.is_open() { a.gate } else { b.gate };
    if !open.is_open() {
        return Ok(());
    }
    let late =
        |machine: &crate::world::Machine| machine.under_way.ticks > 0 && machine.under_way.epoch < open.epoch;
    if late(&a) || late(&b) {
        return Err(Violation::OldAfterNew);
    }
    if open.epoch < world.fenced {
        return Err(Violation::EpochBelowFence);
    }
    world.fenced = open.epoch;
    Ok(())
}
