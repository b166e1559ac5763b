//! What happens at each event.

use failover_protocol::{
    ArbiterFault, ArbiterImage, ArbiterOp, Epoch, Input, Link, Message, Node, Output, Pair, Role,
};
use hal_units::Instant;

use super::site::{Event, MS, Packet, Site, TRAVEL_MAX};
use crate::space::ArbiterKind;

impl Site {
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(node) => self.wake(node),
            Event::Cycle(node, run) => self.cycle(node, run),
            Event::Arrive { to, link, packet } => self.arrive(to, link, packet),
            Event::Execute { node, id, op, read } => self.execute(node, id, op, read),
            Event::Answer { node, id, image } => {
                let host = self.host(node);
                if host.waiting && host.transaction == id && !self.put_off(node, event) {
                    self.host_mut(node).waiting = false;
                    self.step(node, Input::Arbiter(image.ok_or(ArbiterFault::NoAnswer)));
                }
            }
            Event::Write { epoch } => self.write(epoch),
            Event::Leftover { node } => self.try_write(node),
            Event::Start(node) => self.boot(node),
            Event::SeeField(node) => {
                let field = self.host(node).field(self.now);
                self.step(node, Input::Field(field));
            }
        }
    }

    /// A paused process takes nothing in: the event comes again when it goes on.
    fn put_off(&mut self, node: Node, event: Event) -> bool {
        let until = self.host(node).paused_until;
        if self.now < until {
            self.at(until, event);
        }
        self.now < until
    }

    fn boot(&mut self, node: Node) {
        if self.host(node).pair.is_some() {
            return;
        }
        let now = self.now;
        let config = self.config.pair;
        let host = self.host_mut(node);
        host.pair = Some(Pair::new(config, node, host.reads(now)));
        (host.cycle, host.last_cycle, host.paused_until, host.hung_until) = (0, None, 0, 0);
        host.waiting = false;
        host.run += 1;
        let run = host.run;
        self.after(MS, Event::Cycle(node, run));
        self.after(0, Event::SeeField(node));
        self.step(node, Input::Tick);
    }

    fn wake(&mut self, node: Node) {
        if self.host(node).wake_at != self.now {
            return;
        }
        if self.put_off(node, Event::Wake(node)) {
            let host = self.host_mut(node);
            host.wake_at = host.paused_until;
            return;
        }
        let cycle = self.host(node).cycle;
        self.step(node, if cycle == 0 { Input::Tick } else { Input::Cycle { cycle } });
    }

    /// The control thread's cycle: read, step, write, replicate.
    fn cycle(&mut self, node: Node, run: u64) {
        let hung = self.host(node).hung_until;
        let gone = self.host(node).pair.is_none() || self.host(node).run != run;
        if gone || self.put_off(node, Event::Cycle(node, run)) {
            return;
        }
        if self.now < hung {
            self.at(hung, Event::Cycle(node, run));
            return;
        }
        let role = self.role(node);
        let host = self.host_mut(node);
        host.cycle += 1;
        let (cycle, last) = (host.cycle, host.last_cycle);
        if role == Some(Role::Active) && last.is_none_or(|last| cycle <= last) {
            self.try_write(node);
            let packet = Packet::Replica { cycle, hash: hash(cycle) };
            self.send(node, packet);
        }
        if last == Some(cycle) {
            self.step(node, Input::HandedOver { cycle, hash: hash(cycle) });
        }
        let jitter = self.random.u64(0..MS / 5);
        self.after(10 * MS - MS / 10 + jitter, Event::Cycle(node, run));
    }

    /// A write is tried: the gate judges it, and the field may be cut.
    fn try_write(&mut self, node: Node) {
        if !self.gate_is_open(node) {
            self.tally.gated += 1;
            return;
        }
        let host = self.host(node);
        if self.now < host.field_cut_until {
            return;
        }
        if let Some((epoch, _)) = host.gate {
            let travel = self.random.u64(0..TRAVEL_MAX);
            self.after(travel, Event::Write { epoch });
        }
    }

    /// A write reaches the devices.
    fn write(&mut self, epoch: Epoch) {
        let [plain, fencing] = self.applied;
        self.tally.writes += 1;
        if epoch < plain {
            self.breaks("a write of an old epoch arrived after one of a newer");
        }
        if epoch < fencing {
            self.tally.refused += 1;
        }
        self.applied = [plain.max(epoch), fencing.max(epoch)];
    }

    fn arrive(&mut self, to: Node, link: usize, packet: Packet) {
        if self.host(to).pair.is_none() || self.put_off(to, Event::Arrive { to, link, packet }) {
            return;
        }
        match packet {
            Packet::Word(message) => {
                let link = if link == 0 { Link::One } else { Link::Two };
                self.step(to, Input::Received { link, message });
            }
            Packet::Replica { cycle, hash } => {
                if matches!(self.role(to), Some(Role::Standby | Role::Fenced)) {
                    self.step(to, Input::Replica { cycle, hash });
                }
            }
        }
    }

    fn execute(&mut self, node: Node, id: u64, op: ArbiterOp, read: bool) {
        // A later transaction of the node has begun: this one comes no more.
        if self.host(node).transaction != id {
            return;
        }
        let [a, b] = &mut self.registers;
        let (own, peer) = if node == Node::A { (a, b) } else { (b, a) };
        let atomic = self.config.arbiter == ArbiterKind::Atomic;
        if (atomic || !read)
            && let Some(write) = op.write
        {
            *own = write;
        }
        if !atomic && !read {
            let between = self.random.u64(MS / 10..2 * MS);
            self.after(between, Event::Execute { node, id, op, read: true });
            return;
        }
        let image =
            ArbiterImage { own_slot: own.0, own_counter: own.1, peer_slot: peer.0, peer_counter: peer.1 };
        let back = self.random.u64(MS / 10..MS);
        self.after(back, Event::Answer { node, id, image: Some(image) });
    }

    /// Gives a node an input and does what it wants done.
    pub(super) fn step(&mut self, node: Node, input: Input) {
        let now = self.now;
        let Some(mut pair) = self.host(node).pair else { return };
        let local = self.host(node).reads(now);
        let outputs = pair.step(local, input);
        self.host_mut(node).pair = Some(pair);
        for output in &outputs {
            self.carry_out(node, *output);
        }
        let wake = self.host(node).when(outputs.next(), now);
        self.host_mut(node).wake_at = wake;
        self.at(wake, Event::Wake(node));
    }

    fn carry_out(&mut self, node: Node, output: Output) {
        match output {
            Output::Shut => self.host_mut(node).gate = None,
            Output::Lease { epoch, deadline } => self.open(node, epoch, deadline),
            Output::Send(message) => self.send(node, Packet::Word(message)),
            Output::Arbiter(op) => self.ask(node, op),
            Output::Role { role, epoch } => {
                if matches!(role, Role::Claimed | Role::Active)
                    && *self.owners.entry(epoch.0).or_insert(node) != node
                {
                    self.breaks("an epoch was won by both nodes");
                }
                if role != Role::Active {
                    self.host_mut(node).last_cycle = None;
                }
            }
            Output::TakeOver(_) => {
                self.tally.terms += 1;
                let now = self.now;
                let [a, b] = &mut self.began;
                *(if node == Node::A { a } else { b }) = Some(now);
            }
            Output::HandOverAt { cycle } => self.host_mut(node).last_cycle = Some(cycle),
            Output::HandOverOff => self.host_mut(node).last_cycle = None,
            Output::Alarm(alarm) => {
                if self.alarms.len() < 10_000 {
                    self.alarms.push((node, alarm));
                }
            }
        }
    }

    fn open(&mut self, node: Node, epoch: Epoch, deadline: Instant) {
        self.host_mut(node).gate = Some((epoch, deadline));
        if !self.gate_is_open(node) {
            return;
        }
        if self.gate_is_open(node.peer()) {
            self.breaks("two nodes could write at one instant");
        }
        let [_, fencing] = self.applied;
        if epoch < fencing {
            self.breaks("a term began below the epoch of a fencing device");
        }
    }

    fn ask(&mut self, node: Node, op: ArbiterOp) {
        let now = self.now;
        let host = self.host_mut(node);
        host.transaction += 1;
        host.waiting = true;
        let id = host.transaction;
        let lost = now < self.weather.arbiter_lost_until || now < self.host(node).field_cut_until;
        let (slow, slow_until) = self.weather.arbiter_slow;
        let extra = if now < slow_until { slow } else { 0 };
        let out = self.random.u64(MS / 10..MS) + self.random.u64(0..=extra);
        // Without an answer it may have been carried out all the same.
        if !lost || self.random.u8(..) < 64 {
            self.after(
                out,
                Event::Execute { node, id, op, read: self.config.arbiter == ArbiterKind::Atomic },
            );
        }
        self.after(Self::arbiter_timeout(), Event::Answer { node, id, image: None });
    }

    /// Sends over both links, as the weather lets it.
    pub(super) fn send(&mut self, from: Node, packet: Packet) {
        for link in [0, 1] {
            self.send_over(from, link, packet);
        }
    }

    fn send_over(&mut self, from: Node, link: usize, packet: Packet) {
        let now = self.now;
        let to = from.peer();
        let [one, two] = &self.weather.cut_until;
        let [to_a, to_b] = if link == 0 { one } else { two };
        let cut = if to == Node::A { *to_a } else { *to_b };
        let (loss, loss_until) = self.weather.loss;
        let lossy = now < loss_until && self.random.u8(..) < loss;
        if now < cut || lossy {
            return;
        }
        let (delay, delay_until) = self.weather.delay;
        let copies = if now < self.weather.double_until { 2 } else { 1 };
        for _ in 0..copies {
            let extra = if now < delay_until { self.random.u64(0..=delay) } else { 0 };
            let travel = self.random.u64(MS / 20..MS / 2) + extra;
            self.after(travel, Event::Arrive { to, link, packet });
        }
    }

    /// The process is gone. What it left in the kernel may still be sent while the gate lets it.
    pub(super) fn down(&mut self, node: Node) {
        let left = self.random.u64(0..30 * MS);
        let host = self.host_mut(node);
        host.pair = None;
        host.paused_until = 0;
        self.after(left, Event::Leftover { node });
    }

    /// The process dies; its supervisor shuts the gate and says so for it.
    pub(super) fn killed(&mut self, node: Node) {
        let epoch = self.host(node).gate.map(|(epoch, _)| epoch);
        self.host_mut(node).gate = None;
        self.down(node);
        if let Some(epoch) = epoch {
            for _ in 0..3 {
                self.send(node, Packet::Word(Message::Resign { epoch }));
            }
        }
    }
}

/// The hash of the state after a cycle.
const fn hash(cycle: u64) -> u64 {
    cycle.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
