//! What the pair thread does: the protocol with its senses and its hands.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use agent_cycle::Grid;
use agent_status::{Pair as PairReport, PairLink};
use crossbeam_channel::{Sender, TrySendError};
use failover_protocol::{Epoch, FieldHealth, Input, Message, Output, Pair, Role};
use hal_linux_rt::clock::{boot_now, from_boot, now};
use hal_linux_rt::lease_gate::LeaseCell;
use hal_modbus::OfficeHolder;
use hal_units::{Duration, Instant};
use tokio::sync::mpsc;

use super::plan::FENCED;
use super::reach::Reach;
use super::state::{self, Follower, GroupSide, Learned};
use super::thread::{Shared, Wiring};
use super::wire::{Arrival, Wire};
use super::words::{FleetNews, FleetSide, FleetWord, News, Order};
use crate::alarm::Alarm;
use crate::next::next_or_never;
use crate::plans::{PlanNews, PlanSide, PlanWord};

/// How long the outputs of the last cycle of a term may take to their devices.
const LAST_WRITES_WITHIN: Duration = Duration::from_millis(6);
/// A peer that is silent for so long does not follow.
const PEER_GONE_AFTER: Duration = Duration::from_millis(50);
/// How often the report for people is renewed.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// A handover that is under way.
#[derive(Debug, Clone, Copy)]
struct LastCycle {
    cycle: u64,
    /// When its outputs must have left at the latest; set once the cycle has ended.
    written_by: Option<Instant>,
}

/// See the head of the module above.
pub(super) struct NodeLoop {
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
    pub(super) fn new(wiring: Wiring, news: Sender<News>, shared: Arc<Shared>) -> Self {
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

    /// Until the thread is told to end.
    pub(super) async fn run(mut self, alarm: Alarm, mut orders: mpsc::Receiver<Order>) {
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
                word = next_or_never(self.fleet.as_mut().map(|fleet| &mut fleet.words)) => self.fleet_says(word),
                word = next_or_never(self.plans.as_mut().map(|plans| &mut plans.words)) => self.plans_say(word),
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
            Arrival::Fleet { mark } => {
                let bytes = self.wire.state().to_vec();
                self.tell_fleet(FleetNews::State { mark, bytes });
            }
            Arrival::FleetHeld { mark } => self.tell_fleet(FleetNews::Held { mark }),
            Arrival::CarriedOut(executed) => self.tell(News::Learned(Learned::CarriedOut(executed))),
            Arrival::Arbiter(answer) => self.step(Input::Arbiter(answer)),
            Arrival::Nothing => {}
        }
    }

    fn fleet_says(&mut self, word: FleetWord) {
        match word {
            FleetWord::State { mark, bytes } if self.term.is_some() => self.wire.send_fleet(mark, &bytes),
            // A term that is over says nothing more.
            FleetWord::State { .. } => {}
            FleetWord::Held { mark } => self.wire.hold_fleet(mark),
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
