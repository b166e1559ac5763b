//! The plan thread: the inbox with its senses and its hands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use agent_cycle::{LastSeen, PlanMessage, PlanPorts, PlanTable};
use agent_plan::document::{Boundary, SignedPlan};
use agent_plan::inbox::{Clock, Inbox, Input, Output, PeerWord};
use agent_plan::store::PlanStore;
use agent_plan::wire::{FleetStatus, Node, PlanStatus, Stage, Verdict};
use agent_plan::{PlanId, Refusal, SiteFacts, TrustedKeys};
use agent_status::Fleet;
use hal_linux_rt::thread::ORDINARY_STACK_BYTES;
use hal_units::{Duration, Instant};
use tokio::sync::mpsc;

use super::asks::Patient;
use super::cycles::Cycles;
use super::disk::DiskFolder;
use super::keys;
use super::peer::{Peer, PlanEnds};
use super::setup::{PlansError, clock, read_local};
use super::socket::{self, Asked};
use super::status::in_brief;
use super::tables::{KnownPlan, Timing};
use crate::config::SiteConfig;
use crate::fleet::PlannedOrders;
use crate::next::next_or_never;
use crate::setup::drop_capabilities;

/// Questions that may wait.
const ASKS_MAX: usize = 16;
/// Orders of the main thread that may wait.
const ORDERS_MAX: usize = 16;
/// How often the thread looks around while a plan is on its way,
const BUSY_INTERVAL: Duration = Duration::from_millis(2);
/// and otherwise.
const CALM_INTERVAL: Duration = Duration::from_millis(50);
/// What the disk did not take is tried again so often.
const DISK_INTERVAL: Duration = Duration::from_secs(1);
/// A wall clock that was set by more than this moves the points of schedules.
const CLOCK_STEP_MS: u64 = 500;

/// How the plant does, as the main thread sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// What is not well, in words: a plan on trial is given up for what was not so when it began.
    pub(crate) troubles: BTreeSet<String>,
    /// Rules that apply, one bit each.
    pub(crate) rules: u8,
}

/// What the main thread asks.
#[derive(Debug)]
enum Order {
    Reload,
    Health(Health),
    Fleet(FleetStatus),
}

/// Plans as the report shows them.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlansReport {
    pub(crate) status: PlanStatus,
    /// Why the last reading of the plan file was refused, if it was.
    pub(crate) local_refused: Option<String>,
}

/// What the thread is made of.
pub(super) struct Wiring {
    pub(super) site: SiteConfig,
    pub(super) facts: SiteFacts,
    pub(super) keys: TrustedKeys,
    pub(super) inbox: Inbox,
    pub(super) outputs: Vec<Output>,
    pub(super) first: KnownPlan,
    pub(super) candidate: Option<(KnownPlan, SignedPlan)>,
    pub(super) store: Option<PlanStore<DiskFolder>>,
    pub(super) faults: Vec<String>,
    pub(super) ports: Vec<PlanPorts>,
    pub(super) timing: Timing,
    pub(super) seen: Arc<LastSeen>,
    pub(super) orders: Option<PlannedOrders>,
    pub(super) pair: Option<PlanEnds>,
}

/// The running thread, as the main thread holds it.
pub(crate) struct PlanThread {
    orders: mpsc::Sender<Order>,
    health: Health,
    fleet: Option<FleetStatus>,
    report: Arc<Mutex<PlansReport>>,
    thread: JoinHandle<()>,
}

impl PlanThread {
    pub(super) fn start(wiring: Wiring) -> Result<Self, PlansError> {
        let listener = match &wiring.site.plans {
            Some(config) => {
                let failed = |error| PlansError::Socket { path: config.socket.clone(), error };
                Some(socket::open(&config.socket).map_err(failed)?)
            }
            None => None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, orders_out) = mpsc::channel(ORDERS_MAX);
        let (asks, asks_out) = mpsc::channel(ASKS_MAX);
        let mut plans = PlanLoop::new(wiring);
        let report = Arc::new(Mutex::new(plans.report(clock())));
        plans.shown = Some(Arc::clone(&report));
        let builder = std::thread::Builder::new().name("takt-plans".to_owned());
        let thread = builder.stack_size(ORDINARY_STACK_BYTES).spawn(move || {
            drop_capabilities();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                if let Some(listener) = listener {
                    tokio::task::spawn_local(socket::serve(listener, asks));
                }
                plans.run(asks_out, orders_out).await;
            });
        })?;
        Ok(Self { orders, health: Health::default(), fleet: None, report, thread })
    }

    /// Reads the plan file again.
    pub(crate) fn reload(&self) {
        if self.orders.try_send(Order::Reload).is_err() {
            tracing::error!("the plan thread takes no orders now; send the signal again");
        }
    }

    /// Says how the plant does.
    pub(crate) fn note_health(&mut self, health: Health) {
        // A thread that is behind hears of it in the next round.
        if health != self.health && self.orders.try_send(Order::Health(health.clone())).is_ok() {
            self.health = health;
        }
    }

    /// Says how the fleet is, for whoever asks at the plans' socket.
    pub(crate) fn note_fleet(&mut self, fleet: &Fleet) {
        let fleet = in_brief(fleet);
        if self.fleet != Some(fleet) && self.orders.try_send(Order::Fleet(fleet)).is_ok() {
            self.fleet = Some(fleet);
        }
    }

    /// The plans as they stand, at most a twentieth of a second old.
    pub(crate) fn report(&self) -> PlansReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the thread. The cycles go on with what they run.
    pub(crate) fn stop(self) {
        drop(self.orders);
        if self.thread.join().is_err() {
            tracing::error!("the plan thread panicked");
        }
    }
}

pub(super) struct PlanLoop {
    pub(super) site: SiteConfig,
    pub(super) facts: SiteFacts,
    pub(super) keys: TrustedKeys,
    pub(super) inbox: Inbox,
    /// All plans that the inbox may speak of.
    pub(super) known: Vec<KnownPlan>,
    /// Since when each plan is in its stage, and the cycle of its activation.
    pub(super) since: BTreeMap<PlanId, (Stage, Clock)>,
    pub(super) first_cycles: BTreeMap<PlanId, u64>,
    pub(super) store: Option<PlanStore<DiskFolder>>,
    pub(super) offered: Option<SignedPlan>,
    pub(super) faults: Vec<String>,
    pub(super) cycles: Cycles,
    pub(super) seen: Arc<LastSeen>,
    pub(super) orders: Option<PlannedOrders>,
    pub(super) pair: Option<PlanEnds>,
    pub(super) peer: Peer,
    pub(super) role: Node,
    pub(super) health: Health,
    pub(super) fleet: Option<FleetStatus>,
    /// What was not well when the plan on trial began.
    pub(super) before: BTreeSet<String>,
    pub(super) answer: Option<Verdict>,
    pub(super) patient: VecDeque<Patient>,
    /// A promotion that the disk did not take, and when it is tried again.
    pub(super) unpromoted: Option<(PlanId, Instant)>,
    /// A word that the pair thread did not take.
    pub(super) untold: Option<PeerWord>,
    /// Both clocks when points of schedules were laid on the monotonic one last.
    pub(super) laid: Clock,
    pub(super) last_refusal: Option<Refusal>,
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) local_refused: Option<String>,
    pub(super) shown: Option<Arc<Mutex<PlansReport>>>,
}

impl PlanLoop {
    fn new(wiring: Wiring) -> Self {
        let Wiring {
            site,
            facts,
            keys,
            inbox,
            outputs,
            first,
            candidate,
            store,
            faults,
            ports,
            timing,
            seen,
            orders,
            pair,
        } = wiring;
        let role = if pair.is_some() { Node::Standby } else { Node::Alone };
        let known = std::iter::once(first).chain(candidate.map(|(known, _)| known)).collect();
        let mut plans = Self {
            site,
            facts,
            keys,
            inbox,
            known,
            since: BTreeMap::new(),
            first_cycles: BTreeMap::new(),
            cycles: Cycles::new(ports, timing),
            store,
            offered: None,
            faults,
            seen,
            orders,
            pair,
            peer: Peer::default(),
            role,
            health: Health::default(),
            fleet: None,
            before: BTreeSet::new(),
            answer: None,
            patient: VecDeque::new(),
            unpromoted: None,
            untold: None,
            laid: clock(),
            last_refusal: None,
            refused: BTreeMap::new(),
            local_refused: None,
            shown: None,
        };
        for fault in &plans.faults {
            tracing::warn!("{fault}");
        }
        let at = clock();
        plans.carry_out(at, outputs);
        plans
    }

    async fn run(mut self, mut asks: mpsc::Receiver<Asked>, mut orders: mpsc::Receiver<Order>) {
        loop {
            let busy = self.inbox.is_busy(clock().wall) || !self.patient.is_empty();
            let pause = if busy { BUSY_INTERVAL } else { CALM_INTERVAL };
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Reload) => self.reload(),
                    Some(Order::Health(health)) => self.feel(health),
                    Some(Order::Fleet(fleet)) => self.fleet = Some(fleet),
                    None => return,
                },
                news = next_or_never(self.pair.as_mut().map(|pair| &mut pair.news)) => self.hear(news),
                Some((ask, reply)) = asks.recv() => self.asked(ask, reply),
                () = tokio::time::sleep(pause) => {}
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.look_at_cycles();
        self.step(Input::Tick);
        self.try_patient();
        let at = clock();
        self.promote(at.now);
        self.heed_the_clock(at);
        if let Some(word) = self.untold.take() {
            self.tell(word);
        }
        self.fetch(at.now);
        if let Some(orders) = &mut self.orders {
            orders.pass_on();
        }
        self.show();
    }

    pub(super) fn step(&mut self, input: Input) {
        let at = clock();
        let outputs = self.inbox.step(at, input);
        self.carry_out(at, outputs);
    }

    fn carry_out(&mut self, at: Clock, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Answer(answer) => self.note_answer(answer),
                Output::Store(id) => {
                    let done = self.on_disk("staged", |store, offered| match offered {
                        Some(plan) => store.stage(&plan),
                        None => Err(std::io::ErrorKind::NotFound.into()),
                    });
                    self.step(Input::Stored { id, done });
                }
                Output::NoteTrial(id) => {
                    self.on_disk("noted as about to be tried", |store, _| store.note_trial(id));
                }
                Output::BeginTrial(id) => {
                    self.on_disk("put on trial", |store, _| store.begin_trial(id));
                }
                Output::Promote(id) => {
                    tracing::info!(plan = %id, "plan: last known good");
                    self.unpromoted = Some((id, at.now));
                    self.promote(at.now);
                }
                Output::Forget(given_up) => {
                    tracing::warn!(plan = %given_up.id, why = %given_up.refusal, "plan: given up");
                    self.on_disk("given up", |store, _| store.forget(&given_up));
                }
                Output::Ready(id) => self.lay_ready(at, id, PlanMessage::Ready),
                Output::ReadyBack(id) => self.lay_ready(at, id, PlanMessage::ReadyBack),
                Output::ChangeOver { id, at, boundary } => self.change_over(id, at, boundary),
                Output::GiveOrders(id) => self.give_orders(id),
                Output::Tell(word) => self.tell(word),
            }
        }
        self.forget_unused();
    }

    /// Does something with the disk; says whether it worked.
    fn on_disk(
        &mut self,
        what: &str,
        act: impl FnOnce(&mut PlanStore<DiskFolder>, Option<SignedPlan>) -> std::io::Result<()>,
    ) -> bool {
        let offered = self.offered.take();
        let Some(store) = &mut self.store else { return false };
        match act(store, offered) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "a plan could not be {what} on disk");
                false
            }
        }
    }

    /// Makes the last known good plan that on disk, too; again, if the disk did not take it.
    fn promote(&mut self, now: Instant) {
        let Some((id, _)) = self.unpromoted.take_if(|(_, at)| *at <= now) else { return };
        let Some(store) = &mut self.store else { return };
        match store.promote(id) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let fault =
                    format!("plans: the last known good plan {id} is not on disk: publish a newer one");
                tracing::error!("{fault}");
                self.faults.push(fault);
            }
            Err(error) => {
                tracing::error!(%error, "a plan could not be kept as the last known good one on disk");
                self.unpromoted = Some((id, now + DISK_INTERVAL));
            }
        }
    }

    /// Lays schedules anew when the wall clock was set.
    fn heed_the_clock(&mut self, at: Clock) {
        let passed = u64::try_from(at.now.since(self.laid.now).as_millis()).unwrap_or(u64::MAX);
        let expected = self.laid.wall.unix_millis().saturating_add(passed);
        if at.wall.unix_millis().abs_diff(expected) < CLOCK_STEP_MS {
            return;
        }
        tracing::warn!(now = %at.wall, "the clock was set: schedules are laid anew");
        self.laid = at;
        let scheduled = |plan: &&KnownPlan| plan.as_signed().is_some_and(|plan| !plan.schedules.is_empty());
        let (in_force, good, staged) = (self.inbox.in_force(), self.inbox.good(), self.inbox.staged());
        if self.plan(in_force).filter(scheduled).is_some() {
            self.lay_ready(at, in_force, PlanMessage::Replace);
        }
        if in_force != good && self.plan(good).filter(scheduled).is_some() {
            self.lay_ready(at, good, PlanMessage::ReadyBack);
        }
        if let Some(staged) = staged.filter(|id| self.plan(*id).filter(scheduled).is_some()) {
            self.lay_ready(at, staged, PlanMessage::Ready);
        }
    }

    pub(super) fn plan(&self, id: PlanId) -> Option<&KnownPlan> {
        self.known.iter().find(|plan| plan.id == id)
    }

    /// Lays a plan ready for the cycles.
    fn lay_ready(&mut self, at: Clock, id: PlanId, message: fn(Box<PlanTable>) -> PlanMessage) {
        if let Some(plan) = self.known.iter().find(|plan| plan.id == id) {
            let site = &self.site;
            self.cycles.hand(|group| plan.table(site, group, at), message);
        }
    }

    fn change_over(&mut self, id: PlanId, at: Instant, boundary: Boundary) {
        let Some(key) = self.plan(id).map(KnownPlan::key) else { return };
        let at = at.max(clock().now + self.cycles.ahead());
        let cycle = self.cycles.change_over(key, at, boundary);
        tracing::info!(plan = %id, cycle, "plan: the cycles change over");
        if self.cycles.is_empty() {
            self.step(Input::Activated { id });
        }
    }

    /// What the cycles have changed over to.
    fn look_at_cycles(&mut self) {
        let Some((key, cycle)) = self.cycles.look(clock().now) else { return };
        let Some(id) = self.known.iter().find(|plan| plan.key() == key).map(|plan| plan.id) else { return };
        self.first_cycles.insert(id, cycle);
        self.before = self.health.troubles.clone();
        tracing::info!(plan = %id, cycle, "plan: in force");
        self.step(Input::Activated { id });
    }

    fn give_orders(&mut self, id: PlanId) {
        let transports = self.plan(id).and_then(KnownPlan::as_signed).map(|plan| plan.transports.clone());
        if let (Some(orders), Some(transports)) = (&mut self.orders, transports) {
            orders.give(&transports);
        }
    }

    fn feel(&mut self, health: Health) {
        self.health = health;
        let new: Vec<String> = self.health.troubles.difference(&self.before).cloned().collect();
        self.before.retain(|trouble| self.health.troubles.contains(trouble));
        if !new.is_empty() {
            self.step(Input::Failing { why: new.join("; ") });
        }
    }

    /// Reads the trusted keys and the plan file again; what is refused changes nothing.
    fn reload(&mut self) {
        match self.site.plans.as_ref().map(|config| keys::read(&config.keys)).transpose() {
            Ok(keys) => {
                self.keys = keys.unwrap_or_default();
                self.peer.fetch.forget();
            }
            Err(error) => {
                tracing::error!("the trusted keys stay as they were: {error}");
                self.local_refused = Some(error.to_string());
                return;
            }
        }
        let in_force = self.inbox.in_force();
        let plan = match read_local(&self.site) {
            Err(error) => Err(error.to_string()),
            Ok(plan) if plan.id.epoch < in_force.epoch => Err(format!(
                "epoch {} is below {}, the one in force; give the new plan a higher epoch",
                plan.id.epoch, in_force.epoch
            )),
            Ok(plan) => Ok(plan),
        };
        let plan = match plan {
            Ok(plan) => plan,
            Err(why) => {
                tracing::error!("the plan is refused, the old one stays: {why}");
                self.local_refused = Some(why);
                return;
            }
        };
        let at = clock();
        let site = &self.site;
        self.cycles.hand(|group| plan.table(site, group, at), PlanMessage::Replace);
        self.local_refused = None;
        tracing::info!(plan = %plan.name(), epoch = plan.id.epoch, "new plan");
        let id = plan.id;
        self.known.push(plan);
        self.step(Input::Local { id });
    }

    /// Plans that nobody speaks of any more.
    fn forget_unused(&mut self) {
        let inbox = &self.inbox;
        let speaks_of =
            |id: PlanId| inbox.in_force() == id || inbox.good() == id || inbox.stage_of(id).is_some();
        let patient = &self.patient;
        let offered = self.offered.as_ref().map(SignedPlan::id);
        self.known.retain(|plan| {
            speaks_of(plan.id)
                || offered == Some(plan.id)
                || patient.iter().any(|patient| patient.offer.id == plan.id)
        });
        self.since.retain(|id, _| speaks_of(*id));
        self.first_cycles.retain(|id, _| speaks_of(*id));
    }

    fn show(&mut self) {
        let report = self.report(clock());
        if let Some(shown) = &self.shown {
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = report;
        }
    }
}
