//! The site and what can be done to it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use failover_protocol::{
    ArbiterImage, ArbiterOp, CheckedConfig, Epoch, FieldHealth, Message, Node, Pair, PairConfig, Role,
};
use hal_units::{Duration, Instant};

use crate::space::ArbiterKind;
use crate::world::NODES;

pub(super) const MS: u64 = 1_000_000;

/// How long a write that passed a gate travels at most: with the drift of 10 % this is what the
/// `resign_guard` of 2 ms covers.
pub(super) const TRAVEL_MAX: u64 = 18 * MS / 10;

/// When a transaction with the arbiter is given up.
const ARBITER_TIMEOUT: u64 = 10 * MS;

/// What a site is like.
#[derive(Debug, Clone, Copy)]
pub struct SiteConfig {
    /// The protocol.
    pub pair: CheckedConfig,
    /// How the arbiter carries out transactions.
    pub arbiter: ArbiterKind,
    /// By how many parts per thousand the clocks of A and B run fast.
    pub drift_permille: [i64; 2],
    /// What everything random comes from.
    pub seed: u64,
}

impl SiteConfig {
    /// The start values, an atomic arbiter, true clocks.
    ///
    /// # Errors
    /// If the start values do not fit together.
    pub fn new(seed: u64) -> Result<Self, failover_protocol::ConfigError> {
        let pair = PairConfig::default().checked()?;
        Ok(Self { pair, arbiter: ArbiterKind::Atomic, drift_permille: [0, 0], seed })
    }
}

/// An invariant that was broken, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// What.
    pub what: &'static str,
    /// When, in true time.
    pub at: Instant,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Events of all kinds.
    pub events: u64,
    /// Faults that were injected.
    pub faults: u64,
    /// Terms that began.
    pub terms: u64,
    /// Writes that a device applied.
    pub writes: u64,
    /// Writes that a gate stopped.
    pub gated: u64,
    /// Writes of an old epoch that the fencing device refused.
    pub refused: u64,
}

/// What goes over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet {
    Word(Message),
    Replica { cycle: u64, hash: u64 },
}

/// What happens at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Wake(Node),
    /// Of this run of the process.
    Cycle(Node, u64),
    Arrive {
        to: Node,
        link: usize,
        packet: Packet,
    },
    /// The device's part of a transaction: first the write if it is not atomic, then the read.
    Execute {
        node: Node,
        id: u64,
        op: ArbiterOp,
        read: bool,
    },
    Answer {
        node: Node,
        id: u64,
        image: Option<ArbiterImage>,
    },
    /// A write of a term reaches both devices.
    Write {
        epoch: Epoch,
    },
    /// The kernel tries once more what a process that is gone has left.
    Leftover {
        node: Node,
    },
    Start(Node),
    SeeField(Node),
}

/// One node's process, kernel and clock.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) pair: Option<Pair>,
    pub(super) gate: Option<(Epoch, Instant)>,
    /// The clock at `since`, and how fast it runs from there, in parts per thousand.
    pub(super) clock: (Instant, u64, u64),
    pub(super) cycle: u64,
    /// The cycle that is to be the last, while one is.
    pub(super) last_cycle: Option<u64>,
    pub(super) wake_at: u64,
    pub(super) paused_until: u64,
    pub(super) hung_until: u64,
    pub(super) field_cut_until: u64,
    /// The number of the last transaction that was begun, and whether its answer is awaited.
    pub(super) transaction: u64,
    pub(super) waiting: bool,
    /// Which run of the process this is.
    pub(super) run: u64,
}

/// What the network and the arbiter suffer from, until when.
#[derive(Debug, Default)]
pub(super) struct Weather {
    /// Per link and direction (to A, to B).
    pub(super) cut_until: [[u64; 2]; 2],
    pub(super) loss: (u8, u64),
    pub(super) delay: (u64, u64),
    pub(super) double_until: u64,
    pub(super) arbiter_lost_until: u64,
    pub(super) arbiter_slow: (u64, u64),
}

/// The whole.
#[derive(Debug)]
pub struct Site {
    pub(super) config: SiteConfig,
    pub(super) now: u64,
    pub(super) hosts: [Host; 2],
    pub(super) weather: Weather,
    /// Slot and counter of A and B.
    pub(super) registers: [(Epoch, u16); 2],
    /// The highest epoch that each device has applied: the plain one, the fencing one.
    pub(super) applied: [Epoch; 2],
    pub(super) owners: std::collections::HashMap<u16, Node>,
    pub(super) random: fastrand::Rng,
    pub(super) broken: Option<Broken>,
    pub(super) tally: Tally,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    bodies: std::collections::HashMap<u64, Event, crate::hash::Fast>,
    serial: u64,
    /// When each node began its last term.
    pub(super) began: [Option<u64>; 2],
    pub(super) alarms: Vec<(Node, failover_protocol::Alarm)>,
}

impl Site {
    /// A site in which nothing runs yet.
    #[must_use]
    pub fn new(config: SiteConfig) -> Self {
        let mut random = fastrand::Rng::with_seed(config.seed);
        let [a, b] = config.drift_permille;
        let hosts = [a, b].map(|drift| Host::new(random.u64(1..1000) * MS, drift));
        Self {
            config,
            now: 0,
            hosts,
            weather: Weather::default(),
            registers: [(Epoch::NONE, 0); 2],
            applied: [Epoch::NONE; 2],
            owners: std::collections::HashMap::new(),
            random,
            broken: None,
            tally: Tally::default(),
            events: BinaryHeap::new(),
            bodies: std::collections::HashMap::default(),
            serial: 0,
            began: [None; 2],
            alarms: Vec::new(),
        }
    }

    /// A site with both nodes started and settled.
    #[must_use]
    pub fn running(config: SiteConfig) -> Self {
        let mut site = Self::new(config);
        site.start(Node::A);
        site.run_for(Duration::from_millis(100));
        site.start(Node::B);
        site.run_for(Duration::from_millis(200));
        site
    }

    /// Starts a node's process now.
    pub fn start(&mut self, node: Node) {
        self.after(0, Event::Start(node));
    }

    /// Lets true time pass, or less if an invariant is broken.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        while self.broken.is_none() {
            let Some(&Reverse((at, serial))) = self.events.peek() else { break };
            if at > end {
                break;
            }
            self.events.pop();
            let Some(event) = self.bodies.remove(&serial) else { continue };
            self.now = at;
            self.tally.events += 1;
            self.happen(event);
        }
        self.now = end;
    }

    /// What was broken first, if anything.
    #[must_use]
    pub const fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// What was counted.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// True time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    /// A node's role; `None` while it does not run.
    #[must_use]
    pub fn role(&self, node: Node) -> Option<Role> {
        self.host(node).pair.map(|pair| pair.role())
    }

    /// The node that may write at this instant.
    #[must_use]
    pub fn writer(&self) -> Option<Node> {
        NODES.into_iter().find(|node| self.gate_is_open(*node))
    }

    /// When the node began its last term.
    #[must_use]
    pub fn began(&self, node: Node) -> Option<Instant> {
        let [a, b] = self.began;
        let began = if node == Node::A { a } else { b };
        began.map(Instant::from_nanos)
    }

    /// Alarms so far.
    #[must_use]
    pub fn alarms(&self) -> &[(Node, failover_protocol::Alarm)] {
        &self.alarms
    }

    pub(super) fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.events.push(Reverse((at, self.serial)));
        self.bodies.insert(self.serial, event);
    }

    pub(super) const fn host(&self, node: Node) -> &Host {
        let [a, b] = &self.hosts;
        match node {
            Node::A => a,
            Node::B => b,
        }
    }

    pub(super) const fn host_mut(&mut self, node: Node) -> &mut Host {
        let [a, b] = &mut self.hosts;
        match node {
            Node::A => a,
            Node::B => b,
        }
    }

    pub(super) fn gate_is_open(&self, node: Node) -> bool {
        let host = self.host(node);
        host.gate.is_some_and(|(_, deadline)| host.reads(self.now) < deadline)
    }

    pub(super) fn breaks(&mut self, what: &'static str) {
        if self.broken.is_none() {
            self.broken = Some(Broken { what, at: self.now() });
        }
    }

    pub(super) const fn arbiter_timeout() -> u64 {
        ARBITER_TIMEOUT
    }
}

impl Host {
    fn new(origin: u64, drift_permille: i64) -> Self {
        Self {
            pair: None,
            gate: None,
            clock: (Instant::from_nanos(origin), 0, rate(drift_permille)),
            cycle: 0,
            last_cycle: None,
            wake_at: 0,
            paused_until: 0,
            hung_until: 0,
            field_cut_until: 0,
            transaction: 0,
            waiting: false,
            run: 0,
        }
    }

    /// What the clock reads at a true time not before the last change of its rate.
    pub(super) fn reads(&self, now: u64) -> Instant {
        let (at, since, permille) = self.clock;
        at + Duration::from_nanos((now - since) / 1000 * permille + (now - since) % 1000 * permille / 1000)
    }

    /// When the clock will read `local`, rounded up.
    pub(super) fn when(&self, local: Instant, now: u64) -> u64 {
        let left = u64::try_from(local.since(self.reads(now)).as_nanos()).unwrap_or(u64::MAX / 2000);
        now + (left * 1000).div_ceil(self.clock.2) + 1
    }

    pub(super) fn set_drift(&mut self, now: u64, drift_permille: i64) {
        self.clock = (self.reads(now), now, rate(drift_permille));
    }

    pub(super) fn field(&self, now: u64) -> FieldHealth {
        let reached = if now < self.field_cut_until { 0 } else { 2 };
        FieldHealth { reachable: reached, critical_reachable: reached }
    }
}

/// One unit of the fastest clock lasts `1 - rho` of true time, of the slowest `1 + rho`.
fn rate(drift_permille: i64) -> u64 {
    u64::try_from(1_000_000 / (1000 - drift_permille.clamp(-100, 100))).unwrap_or(1000)
}
