//! The pair thread: the protocol with its senses and its hands.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use agent_cycle::{Executed, Grid};
use agent_status::{Pair as PairReport, PairLink};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use failover_protocol::{
    Alarm as PairAlarm, CheckedConfig, Epoch, FieldHealth, Input, Message, Node, Output, Pair, Role, TakeOver,
};
use hal_linux_rt::clock::{boot_now, from_boot, now};
use hal_linux_rt::lease_gate::{LeaseCell, NEEDED_TO_MARK};
use hal_linux_rt::thread::{self, Priority, Realtime, RtThread, SpawnError, ThreadReport, ThreadSpec};
use hal_modbus::{Office, OfficeHolder};
use hal_units::{Duration, Instant};
use tokio::sync::mpsc;

use super::plan::FENCED;
use super::reach::Reach;
use super::state::{self, Follower, GroupSide, Learned};
use super::wire::{Arrival, Wire, WireSpec};
use crate::alarm::Alarm;
use crate::plans::{PlanNews, PlanSide, PlanWord};
use crate::setup::drop_capabilities_but;

/// News that may wait for the main thread.
const NEWS_MAX: usize = 1024;
/// Orders that may wait for the pair thread.
const ORDERS_MAX: usize = 16;
/// How long the outputs of the last cycle of a term may take to their devices.
const LAST_WRITES_WITHIN: Duration = Duration::from_millis(6);
/// A peer that is silent for so long does not follow.
const PEER_GONE_AFTER: Duration = Duration::from_millis(50);
/// A peer that holds no state for so long, though it is there, cannot: it has another version.
const HELD_WITHIN: Duration = Duration::from_secs(2);
/// How often the report for people is renewed.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

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
        /// The step.
        step: u64,
        /// The state, encoded.
        bytes: Vec<u8>,
    },
    /// The peer holds this node's state after a step.
    Held {
        /// The step.
        step: u64,
    },
}

/// What the fleet thread asks.
#[derive(Debug)]
pub(crate) enum FleetWord {
    /// Send this node's state after a step.
    State {
        /// The step.
        step: u64,
        /// The state, encoded.
        bytes: Vec<u8>,
    },
    /// The peer's state after a step is held here.
    Held {
        /// The step.
        step: u64,
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

/// What the thread is made of.
pub(crate) struct Wiring {
    pub(crate) node: Node,
    pub(crate) config: CheckedConfig,
    pub(crate) wire: WireSpec,
    /// The first group leads: the pair counts its cycles.
    pub(crate) groups: Vec<GroupSide>,
    pub(crate) origin: Instant,
    pub(crate) period: Duration,
    /// From the grid point until the state of a cycle is there and its outputs leave.
    pub(crate) budget: Duration,
    pub(crate) office: OfficeHolder,
    pub(crate) lease: LeaseCell,
    /// `fenced`, or `unfenced` and why.
    pub(crate) profile: String,
    pub(crate) reach: Reach,
    /// If the site has a fleet.
    pub(crate) fleet: Option<FleetSide>,
    pub(crate) plans: Option<PlanSide>,
    pub(crate) core: Option<u16>,
    pub(crate) priority: Option<u8>,
}

/// The running thread, as the main thread holds it.
pub(crate) struct PairThread {
    pub(crate) news: Receiver<News>,
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
    office: Office,
    thread: RtThread<()>,
}

/// What both threads look at.
#[derive(Debug, Default)]
struct Shared {
    report: Mutex<PairReport>,
    /// The newest cycle whose state the peer holds.
    peer_holds: AtomicU64,
    /// Whether a peer is heard: one that follows, will follow, or is about to take over.
    peer_near: AtomicBool,
}

impl PairThread {
    /// Starts the thread. It sends nothing before the control thread has made a cycle.
    ///
    /// # Errors
    /// If the thread cannot be created, or not with the policy that is required.
    pub(crate) fn start(wiring: Wiring, office: Office, realtime: Realtime) -> Result<Self, SpawnError> {
        let (news_in, news) = bounded(NEWS_MAX);
        let (orders, orders_out) = mpsc::channel(ORDERS_MAX);
        let shared = Arc::new(Shared::default());
        let spec = ThreadSpec {
            name: "takt-pair".to_owned(),
            core: wiring.core.map(usize::from),
            priority: wiring.priority.and_then(Priority::new),
            stack_bytes: 512 << 10,
            stack_prefault_bytes: 128 << 10,
            realtime,
        };
        let seen = Arc::clone(&shared);
        let thread = thread::spawn(spec, move |_| {
            // Each new socket to the arbiter is marked.
            drop_capabilities_but(&[NEEDED_TO_MARK]);
            run(wiring, news_in, orders_out, seen);
        })?;
        Ok(Self { news, orders, shared, office, thread })
    }

    /// The thread's settings as read back.
    pub(crate) fn settings(&self) -> &ThreadReport {
        &self.thread.report
    }

    /// The pair as this node sees it, at most a tenth of a second old.
    pub(crate) fn report(&self) -> PairReport {
        self.shared.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether what was done in the cycle of this number, and is known since then, outlives this node: the
    /// peer holds the state after it, or there is no peer that could, and nobody else can have taken over.
    pub(crate) fn outlives(&self, cycle: u64, since: Instant) -> bool {
        if self.shared.peer_holds.load(Ordering::Relaxed) > cycle {
            return true;
        }
        // In this order: a node that was stopped finds the word of before, but no lease.
        let near = self.shared.peer_near.load(Ordering::Acquire);
        let at = now();
        (!near || at.since(since) > HELD_WITHIN) && self.office.may_write(at)
    }

    /// Passes an order on; says why not if the thread does not take it.
    pub(crate) fn order(&self, order: Order) -> Result<(), String> {
        ask(&self.orders, order)
    }

    /// What the admin interface calls to ask for a switchover.
    pub(crate) fn switchover(&self) -> crate::admin::AskSwitchover {
        let (orders, shared) = (self.orders.clone(), Arc::clone(&self.shared));
        Arc::new(move || {
            let role = shared.report.lock().unwrap_or_else(PoisonError::into_inner).role.clone();
            if role != Role::Active.as_str() {
                return Err(format!("this node is {role}: ask at the active one"));
            }
            ask(&orders, Order::Switchover)
        })
    }

    /// Waits for the end of the thread after [`Order::Resign`].
    pub(crate) fn stop(self) {
        drop(self.orders);
        if self.thread.join().is_err() {
            tracing::error!("the pair thread panicked");
        }
    }
}

fn ask(orders: &mpsc::Sender<Order>, order: Order) -> Result<(), String> {
    orders.try_send(order).map_err(|_| "the pair thread takes no orders now; try again".to_owned())
}

fn run(wiring: Wiring, news: Sender<News>, orders: mpsc::Receiver<Order>, shared: Arc<Shared>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the pair thread has no runtime: this node stays silent");
            return;
        }
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        match Alarm::new() {
            Ok(alarm) => NodeLoop::new(wiring, news, shared).run(alarm, orders).await,
            Err(error) => tracing::error!(%error, "the pair thread has no timer: this node stays silent"),
        }
    });
}

/// What the fleet thread asks next; never if there is none.
async fn next_word(fleet: &mut Option<FleetSide>) -> FleetWord {
    match fleet {
        Some(fleet) => match fleet.words.recv().await {
            Some(word) => word,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// What the plan thread says next; never if there is none.
async fn next_plan_word(plans: &mut Option<PlanSide>) -> PlanWord {
    match plans {
        Some(plans) => match plans.words.recv().await {
            Some(word) => word,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// A handover that is under way.
#[derive(Debug, Clone, Copy)]
struct LastCycle {
    cycle: u64,
    /// When its outputs must have left at the latest; set once the cycle has ended.
    written_by: Option<Instant>,
}

struct NodeLoop {
    pair: Pair,
    wire: Wire,
    groups: Vec<GroupSide>,
    follower: Follower,
    grid: Grid,
    budget: Duration,
    /// The grid point after which the next state is due.
    state_due: Instant,
    office: OfficeHolder,
    /// The epoch under which the field thread writes.
    term: Option<Epoch>,
    lease: LeaseCell,
    profile: String,
    reach: Reach,
    health: FieldHealth,
    last_cycle: Option<LastCycle>,
    fleet: Option<FleetSide>,
    plans: Option<PlanSide>,
    /// Whether a peer was heard when the plan thread was told last.
    was_near: bool,
    news: Sender<News>,
    news_lost: u64,
    shared: Arc<Shared>,
    report_due: Instant,
    state_bytes: Vec<u8>,
    /// The protocol wants to be called by then, on the boot clock.
    due: Instant,
}

impl NodeLoop {
    fn new(wiring: Wiring, news: Sender<News>, shared: Arc<Shared>) -> Self {
        let Wiring {
            node,
            config,
            wire,
            groups,
            origin,
            period,
            budget,
            office,
            lease,
            profile,
            reach,
            fleet,
            plans,
            core: _,
            priority: _,
        } = wiring;
        let mut grid = Grid::new(origin, period);
        let (_, state_due, _) = grid.advance(now());
        Self {
            pair: Pair::new(config, node, boot_now()),
            wire: Wire::new(wire, fleet.as_ref().map_or(0, |fleet| fleet.schema)),
            groups,
            follower: Follower::default(),
            grid,
            budget,
            state_due,
            office,
            term: None,
            lease,
            profile,
            reach,
            health: FieldHealth::default(),
            last_cycle: None,
            fleet,
            plans,
            was_near: false,
            news,
            news_lost: 0,
            shared,
            report_due: Instant::ZERO,
            state_bytes: Vec::new(),
            due: boot_now(),
        }
    }

    async fn run(mut self, alarm: Alarm, mut orders: mpsc::Receiver<Order>) {
        let mut ends = false;
        while !ends || self.pair.role() == Role::Active {
            let wake = from_boot(self.due).min(self.state_due + self.budget);
            let wake = wake.min(self.wire.poll_at().max(now()));
            let wake = self.last_cycle.and_then(|last| last.written_by).map_or(wake, |at| wake.min(at));
            tokio::select! {
                biased;
                arrival = self.wire.arrival() => self.arrived(arrival),
                order = orders.recv(), if !ends => match order {
                    Some(Order::Switchover) => self.step(Input::Switchover),
                    Some(Order::Tell(executed)) => self.wire.tell_carried_out(&executed),
                    Some(Order::Resign) | None => {
                        self.step(Input::ResignRequested);
                        ends = true;
                    }
                },
                word = next_word(&mut self.fleet) => self.fleet_says(word),
                word = next_plan_word(&mut self.plans) => self.plans_say(word),
                waited = alarm.wait(wake) => if waited.is_err() { return },
            }
            while let Some(arrival) = self.wire.next() {
                self.arrived(arrival);
            }
            self.look();
            self.step(Input::Tick);
            self.wire.poll(now());
            self.report_if_due();
        }
    }

    /// What the control and field threads have done.
    fn look(&mut self) {
        // All groups, or the number stands still: a node whose second group hangs is no better.
        let at = now();
        if self.groups.iter_mut().all(|group| group.is_alive(at)) {
            self.step(Input::Cycle { cycle: self.cycle() });
        }
        let status = self.pair.status(boot_now());
        let near = status.peer_silence.is_some_and(|silence| silence < PEER_GONE_AFTER);
        self.shared.peer_near.store(near, Ordering::Release);
        if let Some(fleet) = &self.fleet {
            fleet.peer_near.store(near, Ordering::Release);
        }
        if near != self.was_near {
            self.was_near = near;
            self.tell_plans(PlanNews::Near(near));
        }
        let health = self.reach.look(at);
        if health != self.health {
            self.health = health;
            self.step(Input::Field(health));
        }
        let at = now();
        if at >= self.state_due + self.budget {
            self.state_due = self.grid.advance(at).1;
            if self.term.is_some() {
                self.send_state();
            }
        }
        self.hand_over_if_done(at);
    }

    /// The first group's newest cycle.
    fn cycle(&self) -> u64 {
        self.groups.first().map_or(0, |group| group.control.beat())
    }

    fn send_state(&mut self) -> (u64, u64) {
        let cycle = state::encode(&mut self.groups, &mut self.state_bytes);
        self.wire.send_state(cycle, &self.state_bytes);
        (cycle, state::hash(&self.state_bytes))
    }

    /// After the last cycle of a term: when its outputs are at the devices, or the time for that is over.
    fn hand_over_if_done(&mut self, at: Instant) {
        let Some(last) = &mut self.last_cycle else { return };
        let beat = self.groups.first().map_or(0, |group| group.control.beat());
        if beat < last.cycle {
            return;
        }
        let written_by = *last.written_by.get_or_insert(self.state_due + self.budget + LAST_WRITES_WITHIN);
        let applied = self.reach.applied();
        if applied < beat && at < written_by {
            return;
        }
        self.last_cycle = None;
        self.shut();
        let (cycle, hash) = self.send_state();
        self.step(Input::HandedOver { cycle, hash });
    }

    fn arrived(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Message { link, message } => {
                if let Message::Heartbeat { replica_cycle, .. } = message {
                    self.shared.peer_holds.store(replica_cycle, Ordering::Relaxed);
                }
                self.step(Input::Received { link, message });
            }
            Arrival::State => self.take_state(),
            Arrival::Begun => {
                self.follower.forget();
                self.tell(News::PeerBegan);
                self.tell_plans(PlanNews::Began);
            }
            Arrival::Plans(word) => self.tell_plans(PlanNews::Word(word)),
            Arrival::PlanAsk(ask) => self.tell_plans(PlanNews::Asked(ask)),
            Arrival::PlanPart(part) => self.tell_plans(PlanNews::Part(part)),
            Arrival::Fleet { step } => {
                let bytes = self.wire.state().to_vec();
                self.tell_fleet(FleetNews::State { step, bytes });
            }
            Arrival::FleetHeld { step } => self.tell_fleet(FleetNews::Held { step }),
            Arrival::CarriedOut(executed) => self.tell(News::Learned(Learned::CarriedOut(executed))),
            Arrival::Arbiter(answer) => self.step(Input::Arbiter(answer)),
            Arrival::Nothing => {}
        }
    }

    fn fleet_says(&mut self, word: FleetWord) {
        match word {
            FleetWord::State { step, bytes } if self.term.is_some() => self.wire.send_fleet(step, &bytes),
            // A term that is over says nothing more.
            FleetWord::State { .. } => {}
            FleetWord::Held { step } => self.wire.hold_fleet(step),
        }
    }

    fn plans_say(&mut self, word: PlanWord) {
        match word {
            PlanWord::Stand(word) => self.wire.tell_plans(word),
            PlanWord::Ask(ask) => self.wire.ask_plan(ask),
            PlanWord::Part(part) => self.wire.give_plan(part),
        }
    }

    fn tell_plans(&self, news: PlanNews) {
        if let Some(plans) = &self.plans
            && let Err(error) = plans.news.try_send(news)
        {
            tracing::error!(%error, "the plan thread does not take news");
        }
    }

    /// A fleet thread that is behind takes the next state.
    fn tell_fleet(&self, news: FleetNews) {
        if let Some(fleet) = &self.fleet {
            let _ = fleet.news.try_send(news);
        }
    }

    fn take_state(&mut self) {
        if self.term.is_some() {
            return;
        }
        let hash = state::hash(self.wire.state());
        match self.follower.take(self.wire.state(), &mut self.groups) {
            Ok((cycle, learned)) => {
                for learned in learned {
                    self.tell(News::Learned(learned));
                }
                if self.follower.diverged == 1 {
                    tracing::error!("the peer's controllers do not compute what these do");
                }
                self.step(Input::Replica { cycle, hash });
            }
            Err(refused) => {
                tracing::error!(?refused, "the peer's state cannot be continued here");
                self.step(Input::Promotable(false));
            }
        }
    }

    fn step(&mut self, input: Input) {
        let outputs = self.pair.step(boot_now(), input);
        self.due = outputs.next();
        for output in &outputs {
            self.carry_out(*output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Shut => self.shut(),
            Output::Lease { epoch, deadline } => self.open(epoch, deadline),
            Output::Send(message) => self.wire.send(&message),
            Output::Arbiter(op) => self.wire.ask_arbiter(op),
            Output::Role { role, epoch } => {
                tracing::info!(role = role.as_str(), epoch = epoch.0, "pair");
                self.report_due = Instant::ZERO;
                self.tell(News::Role { role, epoch });
                self.tell_plans(PlanNews::Role(role));
            }
            Output::TakeOver(how) => self.tell(News::TakeOver(how)),
            Output::HandOverAt { cycle } => self.last_cycle = Some(LastCycle { cycle, written_by: None }),
            Output::HandOverOff => self.last_cycle = None,
            Output::Alarm(alarm) => self.tell(News::Alarm(alarm)),
        }
    }

    fn open(&mut self, epoch: Epoch, deadline: Instant) {
        let until = from_boot(deadline);
        if self.term == Some(epoch) {
            self.lease.renew(deadline);
            self.office.renew(until);
            return;
        }
        self.term = Some(epoch);
        self.follower.forget();
        self.lease.set_epoch(u64::from(epoch.0));
        self.lease.renew(deadline);
        self.office.begin(u32::from(epoch.0), until);
        for group in &self.groups {
            group.control.set_office(Some(u32::from(epoch.0)));
        }
    }

    /// The kernel first: it holds also for what the other threads are doing at this moment.
    fn shut(&mut self) {
        self.lease.shut();
        self.office.end();
        self.term = None;
        self.last_cycle = None;
        for group in &self.groups {
            group.control.set_office(None);
        }
    }

    fn tell(&mut self, news: News) {
        match self.news.try_send(news) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(news)) => {
                self.news_lost += 1;
                tracing::error!(?news, "the main thread does not take news");
            }
        }
    }

    fn report_if_due(&mut self) {
        let at = now();
        if at < self.report_due {
            return;
        }
        self.report_due = at + REPORT_INTERVAL;
        let report = self.report();
        *self.shared.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    fn report(&self) -> PairReport {
        let status = self.pair.status(boot_now());
        let wire = self.wire.report();
        let silent =
            |at: usize| status.links.get(at).is_none_or(|link| link.silent || link.heard_at.is_none());
        let links: Vec<_> = wire
            .links
            .into_iter()
            .enumerate()
            .map(|(at, link)| PairLink { heard: !silent(at), ..link })
            .collect();
        let peer_heard = links.iter().any(|link| link.heard);
        let worst_gap = status.links.iter().map(|link| link.worst_gap).max().unwrap_or_default();
        let mut degraded = Vec::new();
        if !peer_heard {
            degraded.push("pair: the peer is not heard".to_owned());
        }
        for link in links.iter().filter(|link| peer_heard && !link.heard) {
            degraded.push(format!("pair: link {} is silent", link.addresses));
        }
        if status.arbiter.lost {
            degraded.push("pair: the arbiter does not answer".to_owned());
        }
        if self.profile != FENCED {
            degraded.push(format!("pair: {}", self.profile));
        }
        if self.follower.diverged > 0 {
            degraded.push("pair: the peer's controllers compute something else".to_owned());
        }
        if self.news_lost > 0 {
            degraded.push(format!("pair: {} news were lost", self.news_lost));
        }
        PairReport {
            node: status.node.as_str().to_owned(),
            role: status.role.as_str().to_owned(),
            epoch: u32::from(status.epoch.0),
            profile: self.profile.clone(),
            peer_heard,
            peer_role: status.peer_role.map(|role| role.as_str().to_owned()),
            links,
            arbiter_reached: !status.arbiter.lost && status.arbiter.answered > 0,
            heartbeat_gap_max_us: worst_gap.as_secs_f64() * 1e6,
            replica_cycle: self.follower.cycle(),
            states_verified: self.follower.verified,
            states_diverged: self.follower.diverged,
            takeovers: u64::from(status.takeovers),
            degraded,
            refused: wire.refused,
        }
    }
}
