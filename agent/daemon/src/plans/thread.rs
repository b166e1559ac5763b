//! The plan thread: the inbox with its senses and its hands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use agent_cycle::{LastSeen, NextPlan, PlanMessage, PlanPorts, Source};
use agent_plan::document::{Boundary, SignedPlan};
use agent_plan::inbox::{Clock, Inbox, Input, Offer, Output, PeerWord, Standing};
use agent_plan::store::PlanStore;
use agent_plan::wire::{Answer, Ask, Node, PeerPlans, PlanEntry, PlanStatus, Stage, Verdict};
use agent_plan::{CheckedPlan, PlanId, Reason, Refusal, SiteFacts, TrustedKeys};
use failover_protocol::Role;
use hal_units::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

use super::disk::DiskFolder;
use super::setup::{PlansError, clock, read_local};
use super::socket::{self, Asked};
use super::tables::{KnownPlan, Timing};
use crate::config::SiteConfig;
use crate::fleet::PlannedOrders;
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
/// Groups that have not all changed over after so long do not run.
const ALL_WITHIN: Duration = Duration::from_secs(1);
/// A wall clock that was set by more than this moves the points of schedules.
const CLOCK_STEP_MS: u64 = 500;
/// How long an offer waits for an activation that is under way.
const OFFER_PATIENCE: Duration = Duration::from_secs(3);

/// What the pair thread has to tell.
#[derive(Debug)]
pub(crate) enum PlanNews {
    /// This node is something else now.
    Role(Role),
    /// Whether the peer is heard.
    Near(bool),
    /// What the peer says of its plans.
    Word(PeerWord),
    /// Another run of the peer: it knows nothing of this node's plans.
    Began,
}

/// The pair thread's ends.
pub(crate) struct PlanSide {
    pub(crate) words: mpsc::Receiver<PeerWord>,
    pub(crate) news: mpsc::Sender<PlanNews>,
}

/// This thread's ends.
pub(super) struct PlanEnds {
    pub(super) words: mpsc::Sender<PeerWord>,
    pub(super) news: mpsc::Receiver<PlanNews>,
}

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
        let thread = std::thread::Builder::new().name("takt-plans".to_owned()).spawn(move || {
            drop_capabilities();
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                if let Some(listener) = listener {
                    tokio::task::spawn_local(socket::serve(listener, asks));
                }
                plans.run(asks_out, orders_out).await;
            });
        })?;
        Ok(Self { orders, health: Health::default(), report, thread })
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

/// An offer that waits until another activation is over.
struct Patient {
    offer: Offer,
    plan: KnownPlan,
    signed: SignedPlan,
    reply: oneshot::Sender<Answer>,
    until: Instant,
}

struct PlanLoop {
    site: SiteConfig,
    facts: SiteFacts,
    keys: TrustedKeys,
    inbox: Inbox,
    /// All plans that the inbox may speak of.
    known: Vec<KnownPlan>,
    /// Since when each plan is in its stage, and the cycle of its activation.
    since: BTreeMap<PlanId, (Stage, Clock)>,
    cycles: BTreeMap<PlanId, u64>,
    store: Option<PlanStore<DiskFolder>>,
    offered: Option<SignedPlan>,
    faults: Vec<String>,
    ports: Vec<PlanPorts>,
    /// Messages that did not fit into the ring of their group.
    waiting: Vec<VecDeque<PlanMessage>>,
    /// What each group has changed over to, and on which cycle, until all have.
    changed: Vec<Option<((u32, u64), u64)>>,
    timing: Timing,
    seen: Arc<LastSeen>,
    orders: Option<PlannedOrders>,
    pair: Option<PlanEnds>,
    near: bool,
    word: Option<PeerWord>,
    role: Node,
    health: Health,
    /// What was not well when the plan on trial began.
    before: BTreeSet<String>,
    answer: Option<Verdict>,
    patient: VecDeque<Patient>,
    /// A promotion that the disk did not take, and when it is tried again.
    unpromoted: Option<(PlanId, Instant)>,
    /// A word that the pair thread did not take.
    untold: Option<PeerWord>,
    /// Since when some groups have changed over and others have not.
    partly_since: Option<Instant>,
    /// Both clocks when points of schedules were laid on the monotonic one last.
    laid: Clock,
    last_refusal: Option<Refusal>,
    refused: BTreeMap<String, u64>,
    local_refused: Option<String>,
    shown: Option<Arc<Mutex<PlansReport>>>,
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
        let groups = ports.len();
        let known = std::iter::once(first).chain(candidate.map(|(known, _)| known)).collect();
        let mut plans = Self {
            site,
            facts,
            keys,
            inbox,
            known,
            since: BTreeMap::new(),
            cycles: BTreeMap::new(),
            store,
            offered: None,
            faults,
            ports,
            waiting: (0..groups).map(|_| VecDeque::new()).collect(),
            changed: vec![None; groups],
            timing,
            seen,
            orders,
            pair,
            near: false,
            word: None,
            role,
            health: Health::default(),
            before: BTreeSet::new(),
            answer: None,
            patient: VecDeque::new(),
            unpromoted: None,
            untold: None,
            partly_since: None,
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
                    None => return,
                },
                news = next_news(&mut self.pair) => self.hear(news),
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
        if let Some(orders) = &mut self.orders {
            orders.pass_on();
        }
        self.show();
    }

    fn step(&mut self, input: Input) {
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
                    self.on_disk("noted as being on trial", |store, _| store.note_trial(id));
                }
                Output::Promote(id) => {
                    tracing::info!(plan = %id, "plan: last known good");
                    self.unpromoted = Some((id, at.now));
                    self.promote(at.now);
                }
                Output::Forget(id) => {
                    tracing::warn!(plan = %id, "plan: given up");
                    self.on_disk("given up", |store, _| store.forget(id));
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

    fn plan(&self, id: PlanId) -> Option<&KnownPlan> {
        self.known.iter().find(|plan| plan.id == id)
    }

    fn lay_ready(&mut self, at: Clock, id: PlanId, message: fn(Box<agent_cycle::PlanTable>) -> PlanMessage) {
        let Some(plan) = self.plan(id) else { return };
        let tables: Vec<_> = (0..self.ports.len()).map(|group| plan.table(&self.site, group, at)).collect();
        for (waiting, table) in self.waiting.iter_mut().zip(tables) {
            waiting.push_back(message(table));
        }
        self.pass_on();
    }

    fn change_over(&mut self, id: PlanId, at: Instant, boundary: Boundary) {
        let Some((epoch, digest)) = self.plan(id).map(KnownPlan::key) else { return };
        // The other node must hear of it before the cycle comes.
        let at = at.max(clock().now + 3 * self.timing.longest_period());
        let cycles = self.timing.cycles_from(at, boundary);
        tracing::info!(plan = %id, cycle = cycles.first(), "plan: the cycles change over");
        for (waiting, cycle) in self.waiting.iter_mut().zip(cycles) {
            waiting.push_back(PlanMessage::ChangeOver(NextPlan { epoch, digest, cycle }));
        }
        self.pass_on();
        if self.ports.is_empty() {
            self.step(Input::Activated { id });
        }
    }

    /// Hands over what the rings take.
    fn pass_on(&mut self) {
        for (ports, waiting) in self.ports.iter_mut().zip(&mut self.waiting) {
            while ports.messages.ready()
                && let Some(message) = waiting.pop_front()
            {
                if ports.messages.enqueue(message).is_err() {
                    tracing::error!("readiness was checked, and this thread alone fills the ring");
                }
            }
        }
    }

    /// What the cycles have changed over to, and what they need no more.
    fn look_at_cycles(&mut self) {
        self.pass_on();
        for (ports, changed) in self.ports.iter_mut().zip(&mut self.changed) {
            while ports.retired.dequeue().is_some() {}
            while let Some(activated) = ports.activated.dequeue() {
                *changed = Some(((activated.epoch, activated.digest), activated.cycle));
            }
        }
        // A plan is in force when all groups run it.
        let Some((key, cycle)) = self.changed.iter().flatten().next().copied() else { return };
        let all = self.changed.iter().all(|changed| changed.is_some_and(|(other, _)| other == key));
        let some = self.changed.iter().any(Option::is_some);
        self.partly_since = (some && !all).then(|| self.partly_since.unwrap_or_else(|| clock().now));
        if !all {
            return;
        }
        self.changed.fill(None);
        let Some(id) = self.known.iter().find(|plan| plan.key() == key).map(|plan| plan.id) else { return };
        self.cycles.insert(id, cycle);
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

    fn tell(&mut self, word: PeerWord) {
        // A pair thread that is behind gets the newest word later.
        if let Some(pair) = &self.pair
            && pair.words.try_send(word).is_err()
        {
            self.untold = Some(word);
        }
    }

    fn hear(&mut self, news: PlanNews) {
        match news {
            PlanNews::Role(role) => {
                let active = role == Role::Active;
                self.role = if active { Node::Active } else { Node::Standby };
                self.step(Input::Standing(if active { Standing::Active } else { Standing::Standby }));
                return;
            }
            PlanNews::Near(near) => self.near = near,
            PlanNews::Word(word) => self.word = Some(word),
            PlanNews::Began => {
                self.word = None;
                let word = self.inbox.word();
                self.tell(word);
            }
        }
        self.step(Input::Peer(self.word.filter(|_| self.near)));
    }

    fn feel(&mut self, health: Health) {
        self.health = health;
        let new: Vec<String> = self.health.troubles.difference(&self.before).cloned().collect();
        self.before.retain(|trouble| self.health.troubles.contains(trouble));
        if !new.is_empty() {
            self.step(Input::Failing { why: new.join("; ") });
        }
    }

    fn reload(&mut self) {
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
        for (group, waiting) in self.waiting.iter_mut().enumerate() {
            waiting.push_back(PlanMessage::Replace(plan.table(&self.site, group, at)));
        }
        self.pass_on();
        self.local_refused = None;
        tracing::info!(plan = %plan.name(), epoch = plan.id.epoch, "new plan");
        let id = plan.id;
        self.known.push(plan);
        self.step(Input::Local { id });
    }

    fn asked(&mut self, ask: Ask, reply: oneshot::Sender<Answer>) {
        let answer = match ask {
            Ask::Status => Answer::Status(Box::new(self.status(clock()))),
            Ask::CentreSeen => {
                self.seen.note(Source::Centre, clock().now);
                Answer::Done
            }
            Ask::Rollback(ask) => {
                self.step(Input::GiveUp { epoch: ask.epoch });
                self.taken_answer()
            }
            Ask::Offer(json) => match self.admit(&json) {
                Ok((signed, plan, offer)) => {
                    let until = clock().now + OFFER_PATIENCE;
                    self.offer(Patient { offer, plan, signed, reply, until });
                    return;
                }
                Err(refusal) => {
                    self.count(&refusal);
                    Answer::Verdict(Verdict::Refused { refusal })
                }
            },
        };
        // Whoever asked may have left.
        let _ = reply.send(answer);
    }

    /// Verifies a plan and checks it against the site.
    fn admit(&self, json: &[u8]) -> Result<(SignedPlan, KnownPlan, Offer), Refusal> {
        let signed = SignedPlan::from_json(json)?;
        self.keys.verify(&signed)?;
        let plan = CheckedPlan::of(&signed.plan)?;
        plan.fit(&self.facts)?;
        let offer = Offer::from(&plan);
        Ok((signed, KnownPlan::signed(plan), offer))
    }

    fn offer(&mut self, patient: Patient) {
        let Patient { offer, plan, signed, reply, until } = patient;
        if self.plan(offer.id).is_none() {
            self.known.push(plan.clone());
        }
        self.offered = Some(signed.clone());
        self.step(Input::Offered(offer));
        self.offered = None;
        let is_busy =
            matches!(&self.answer, Some(Verdict::Refused { refusal }) if refusal.reason == Reason::Busy);
        if is_busy && clock().now < until && self.patient.len() < ASKS_MAX {
            self.answer = None;
            self.patient.push_back(Patient { offer, plan, signed, reply, until });
            return;
        }
        let answer = self.taken_answer();
        let _ = reply.send(answer);
    }

    fn try_patient(&mut self) {
        for _ in 0..self.patient.len() {
            if let Some(patient) = self.patient.pop_front() {
                self.offer(patient);
            }
        }
    }

    fn note_answer(&mut self, answer: Result<(PlanId, Stage), Refusal>) {
        self.answer = Some(match answer {
            Ok((id, stage)) => Verdict::Taken { id, stage },
            Err(refusal) => Verdict::Refused { refusal },
        });
    }

    /// The answer to what was asked just now.
    fn taken_answer(&mut self) -> Answer {
        let verdict = self.answer.take().unwrap_or(Verdict::Refused {
            refusal: Reason::NotStored.because("the agent has no answer; please report this"),
        });
        if let Verdict::Refused { refusal } = &verdict {
            let refusal = refusal.clone();
            self.count(&refusal);
        }
        Answer::Verdict(verdict)
    }

    fn count(&mut self, refusal: &Refusal) {
        tracing::warn!(%refusal, "a plan was refused");
        *self.refused.entry(refusal.reason.as_str().to_owned()).or_insert(0) += 1;
        self.last_refusal = Some(refusal.clone());
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
        self.cycles.retain(|id, _| speaks_of(*id));
    }

    fn show(&mut self) {
        let report = self.report(clock());
        if let Some(shown) = &self.shown {
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = report;
        }
    }

    fn report(&mut self, at: Clock) -> PlansReport {
        PlansReport { status: self.status(at), local_refused: self.local_refused.clone() }
    }

    fn entry(&mut self, id: PlanId, stage: Stage, at: Clock) -> PlanEntry {
        let since = self.since.entry(id).or_insert((stage, at));
        if since.0 != stage {
            *since = (stage, at);
        }
        let since = since.1.wall;
        let refusal = self.inbox.given_up().filter(|given_up| given_up.id == id);
        PlanEntry {
            name: self.plan(id).map(|plan| plan.name().to_owned()).unwrap_or_default(),
            epoch: id.epoch,
            digest: Some(id.digest),
            stage,
            since,
            cycle: self.cycles.get(&id).copied(),
            refusal: refusal.map(|given_up| given_up.refusal.clone()),
        }
    }

    fn status(&mut self, at: Clock) -> PlanStatus {
        let in_force = self.inbox.in_force();
        let stage = self.inbox.stage_of(in_force).unwrap_or(Stage::LastKnownGood);
        let (activations, rollbacks) = self.inbox.counts();
        let rules = self
            .plan(in_force)
            .and_then(KnownPlan::as_signed)
            .map(|plan| plan.rules.iter().map(|rule| rule.name.clone()).collect::<Vec<_>>())
            .unwrap_or_default();
        let applies = |at: &usize| self.health.rules & 1_u8.checked_shl(*at as u32).unwrap_or(0) != 0;
        let rules =
            rules.into_iter().enumerate().filter(|(at, _)| applies(at)).map(|(_, name)| name).collect();
        let mut degraded = self.inbox.degraded();
        degraded.extend(self.faults.iter().cloned());
        if self.unpromoted.is_some() {
            degraded.push("plans: the disk does not take the last known good plan".to_owned());
        }
        if self.partly_since.is_some_and(|since| at.now.since(since) > ALL_WITHIN) {
            degraded.push("plans: some loop groups did not change over".to_owned());
        }
        let peer =
            self.inbox.peer().map(|word| PeerPlans { in_force: Some(word.in_force), staged: word.staged });
        let (good, staged) = (self.inbox.good(), self.inbox.staged());
        let given_up = self.inbox.given_up().map(|given_up| (given_up.id, given_up.stage));
        PlanStatus {
            site: self.site.name.clone(),
            node: self.facts.node.clone(),
            role: self.role,
            in_force: self.entry(in_force, stage, at),
            last_known_good: self.entry(good, Stage::LastKnownGood, at),
            staged: staged.map(|id| self.entry(id, Stage::Staged, at)),
            given_up: given_up.map(|(id, stage)| self.entry(id, stage, at)),
            peer,
            last_refusal: self.last_refusal.clone(),
            refused: self.refused.clone(),
            activations,
            rollbacks,
            rules,
            trusted_keys: self.keys.ids().map(str::to_owned).collect(),
            degraded,
        }
    }
}

/// What the pair thread has to tell next; never without one.
async fn next_news(pair: &mut Option<PlanEnds>) -> PlanNews {
    match pair {
        Some(pair) => match pair.news.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
