//! The thread: steps, links and the other node.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use agent_cycle::Executed;
use agent_fleet::handover::{Following, Leading, Mark, with_echo};
use agent_fleet::{Fault, NotRestored, Resolution, SiteFleet, Step};
use agent_status::Fleet;
use crossbeam_channel::{Receiver, Select, Sender, TryRecvError, bounded, never};
use hal_linux_rt::clock::{boot_now, now};
use hal_linux_rt::thread::ORDINARY_STACK_BYTES;
use hal_modbus::{Office, Term};
use hal_mqtt::command::{CommandKey, FoundLoad, Transport};
use hal_mqtt::plain::{PlainEvent, PlainLink};
use hal_units::{Duration, Instant};
use hal_vda5050::Outgoing;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::drives::Drives;
use super::keeper::{Keeper, Kept};
use super::requests::{FleetAnswer, FleetRequest, PlannedOrders, REQUESTS_MAX};
use crate::pair::{FleetNews, FleetWord};
use crate::setup::drop_capabilities;

/// A step is made at once when orders have come, but not more often than this.
const STEP_PAUSE: Duration = Duration::from_millis(5);
/// How often the state is kept on disk when nothing new was accepted.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A write to the disk that takes longer is told of.
const SLOW_DISK: Duration = Duration::from_secs(1);
/// How often vehicles on the field bus are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How often the report for people is renewed.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// The other node's ends.
pub(crate) struct PairEnds {
    pub(crate) words: mpsc::Sender<FleetWord>,
    pub(crate) news: Receiver<FleetNews>,
    pub(crate) peer_near: Arc<AtomicBool>,
}

/// What the thread is made of.
pub(crate) struct Wiring {
    pub(crate) fleet: SiteFleet,
    pub(crate) link: PlainLink,
    pub(crate) interface: String,
    pub(crate) layout: String,
    pub(crate) step: Duration,
    pub(crate) office: Office,
    pub(crate) epoch: u32,
    pub(crate) pair: Option<PairEnds>,
    /// The file that outlives this process.
    pub(crate) keep: PathBuf,
    /// Vehicles on the field bus.
    pub(crate) drives: Drives,
}

/// The running thread.
pub(crate) struct FleetThread {
    requests: Sender<FleetRequest>,
    pub(crate) answers: Receiver<FleetAnswer>,
    report: Arc<Mutex<Fleet>>,
    thread: JoinHandle<()>,
}

impl FleetThread {
    pub(crate) fn start(wiring: Wiring) -> std::io::Result<Self> {
        let (requests, requests_out) = bounded(REQUESTS_MAX);
        let (answers_in, answers) = bounded(REQUESTS_MAX);
        let report = Arc::new(Mutex::new(wiring.fleet.report(&wiring.layout, false)));
        let shown = Arc::clone(&report);
        let builder = std::thread::Builder::new().name("takt-fleet".to_owned());
        let keeper = Keeper::start(wiring.keep.clone())?;
        let thread = builder.stack_size(ORDINARY_STACK_BYTES).spawn(move || {
            drop_capabilities();
            FleetLoop::new(wiring, keeper, requests_out, answers_in, shown).run();
        })?;
        Ok(Self { requests, answers, report, thread })
    }

    /// Whether a request can be taken now.
    pub(crate) fn has_room(&self) -> bool {
        self.requests.len() + self.answers.len() < REQUESTS_MAX / 2
    }

    /// Passes a request on; false if the thread takes none.
    pub(crate) fn ask(&self, request: FleetRequest) -> bool {
        self.requests.try_send(request).is_ok()
    }

    /// Where the orders of plans go.
    pub(crate) fn planned_orders(&self) -> PlannedOrders {
        PlannedOrders::to(self.requests.clone())
    }

    /// The fleet as this node sees it, at most a fifth of a second old.
    pub(crate) fn report(&self) -> Fleet {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the thread. Vehicles stop where their granted way ends.
    pub(crate) fn stop(self) {
        drop(self.requests);
        if self.thread.join().is_err() {
            tracing::error!("the fleet's thread panicked");
        }
    }
}

/// What a step has brought about and nobody was told yet.
struct Pending {
    mark: Mark,
    since: Instant,
    said: Step,
}

/// Answers to requests whose effect is in the state under this mark.
struct Unanswered {
    mark: Mark,
    since: Instant,
    answers: Vec<FleetAnswer>,
}

struct FleetLoop {
    fleet: SiteFleet,
    link: PlainLink,
    interface: String,
    layout: String,
    rhythm: Duration,
    office: Office,
    epoch: u32,
    pair: Option<PairEnds>,
    requests: Receiver<FleetRequest>,
    answers: Sender<FleetAnswer>,
    report: Arc<Mutex<Fleet>>,
    /// The epoch under which this node leads the fleet.
    term: Option<u32>,
    /// What the other node holds of this node's states.
    leading: Leading,
    /// What this node holds of the other one's.
    following: Following,
    keep: PathBuf,
    keeper: Keeper,
    keep_at: Instant,
    /// The newest state that is on the disk, or that could not be put there.
    kept: Option<Mark>,
    /// Why the last one could not.
    not_kept: Option<String>,
    drives: Drives,
    pending: VecDeque<Pending>,
    unanswered: VecDeque<Unanswered>,
    /// Answers to requests that no step was made since.
    fresh: Vec<FleetAnswer>,
    stepped: Instant,
    next_step: Instant,
    /// When something may have to be said again, as after the last step.
    resend_at: Option<Instant>,
    next_report: Instant,
    gone: bool,
}

impl FleetLoop {
    fn new(
        wiring: Wiring,
        keeper: Keeper,
        requests: Receiver<FleetRequest>,
        answers: Sender<FleetAnswer>,
        report: Arc<Mutex<Fleet>>,
    ) -> Self {
        let Wiring { fleet, link, interface, layout, step, office, epoch, pair, keep, drives } = wiring;
        Self {
            fleet,
            link,
            interface,
            layout,
            rhythm: step,
            office,
            epoch,
            pair,
            requests,
            answers,
            report,
            term: None,
            leading: Leading::default(),
            following: Following::default(),
            keep,
            keeper,
            keep_at: Instant::ZERO,
            kept: None,
            not_kept: None,
            drives,
            pending: VecDeque::new(),
            unanswered: VecDeque::new(),
            fresh: Vec::new(),
            stepped: Instant::ZERO,
            resend_at: None,
            next_step: Instant::ZERO,
            next_report: Instant::ZERO,
            gone: false,
        }
    }

    fn run(mut self) {
        while !self.gone {
            self.wait();
            let at = now();
            self.take_news();
            self.look_at_office(at);
            while let Some(event) = self.link.next(now()) {
                self.take(event);
            }
            self.drives.look(now(), &mut self.fleet);
            self.take_requests();
            self.take_kept();
            if self.term.is_some() {
                self.lead();
            }
            self.show(now());
        }
        self.link.end();
        self.keeper.end();
    }

    /// Until something comes or is due.
    fn wait(&self) {
        let at = now();
        let next = if self.term.is_some() { self.next_step } else { at + STEP_PAUSE };
        let wanted = if self.is_asked() { next.min(self.stepped + STEP_PAUSE) } else { next };
        let wanted = self.next_resend(at).map_or(wanted, |resend| wanted.min(resend));
        let wanted = if self.drives.is_empty() { wanted } else { wanted.min(at + LOOK_INTERVAL) };
        let mut ready = Select::new();
        ready.recv(&self.requests);
        ready.recv(self.link.ready());
        ready.recv(&self.keeper.kept);
        if let Some(pair) = &self.pair {
            ready.recv(&pair.news);
        }
        let _ = ready.ready_timeout(wanted.since(at));
    }

    fn take_news(&mut self) {
        let Some(pair) = &self.pair else { return };
        for news in pair.news.try_iter() {
            match news {
                FleetNews::Held { mark } => self.leading.heard(now(), mark),
                FleetNews::State { mark, bytes } => {
                    if self.following.take(boot_now(), mark, bytes) {
                        let _ = pair.words.try_send(FleetWord::Held { mark });
                    }
                }
            }
        }
    }

    /// Whether this node leads the fleet.
    fn look_at_office(&mut self, at: Instant) {
        let term = match self.office.term() {
            Term::Observe => None,
            Term::Write { epoch } => Some(epoch.unwrap_or(self.epoch)),
        };
        if term == self.term {
            return;
        }
        self.pending.clear();
        self.unanswered.clear();
        self.drives.forget();
        self.fresh.clear();
        self.resend_at = None;
        self.term = term;
        match term {
            Some(epoch) => {
                self.leading.begin(mark_epoch(epoch));
                self.begin_term(at);
            }
            None => self.fleet.follow(),
        }
        self.link.set_open(at, term.is_some());
        self.next_step = at;
    }

    /// Goes on from the peer's state if it is surely the last one that vehicles know of; otherwise anew.
    fn begin_term(&mut self, at: Instant) {
        let peer = self.following.newest(boot_now());
        if let Some((bytes, true)) = &peer {
            match self.fleet.restore(at, bytes) {
                Ok(()) => {
                    tracing::info!(step = self.fleet.steps(), "the fleet goes on here");
                    return;
                }
                Err(NotRestored::Beginning) => {}
                Err(error) => tracing::error!(?error, "the fleet's state cannot be continued"),
            }
        }
        if let Err(error) = self.fleet.forget() {
            tracing::error!(?error, "the fleet cannot begin anew");
        }
        let kept = peer.map(|(bytes, _)| bytes).or_else(|| std::fs::read(&self.keep).ok());
        self.fleet.begin(at, kept.as_deref());
        tracing::warn!("the fleet begins anew: vehicles are asked to give up what they were told");
    }

    fn take(&mut self, event: PlainEvent) {
        match event {
            PlainEvent::Connected => tracing::info!("the vehicles' broker is connected"),
            PlainEvent::Lost { reason } => tracing::warn!(%reason, "the vehicles' broker is lost"),
            PlainEvent::Arrived { topic, payload } => {
                self.fleet.hear(now(), &self.interface, &topic, &payload);
            }
        }
    }

    fn take_requests(&mut self) {
        loop {
            match self.requests.try_recv() {
                // Whoever has the office now carries it out.
                Ok(_) if self.term.is_none() => {}
                Ok(request) => {
                    let answer = self.carry_out(request);
                    self.fresh.extend(answer);
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }

    fn carry_out(&mut self, request: FleetRequest) -> Option<FleetAnswer> {
        let (number, key, result) = match request {
            FleetRequest::Submit { number, key, transport } => (number, key, self.submit(key, &transport)),
            FleetRequest::Planned { key, transport } => {
                if let Err(why) = self.submit(key, &transport) {
                    tracing::error!(from = %transport.from, to = %transport.to, %why, "an order of the plan");
                }
                return None;
            }
            FleetRequest::Cancel { number, key, order } => {
                (number, key, self.fleet.cancel(order.0).map(|_| ()))
            }
            FleetRequest::Resolve { number, key, vehicle, load } => {
                let resolution = match load {
                    FoundLoad::Delivered => Resolution::Done,
                    FoundLoad::Removed => Resolution::Failed,
                    FoundLoad::OnBoard => Resolution::GoOn,
                };
                (number, key, self.fleet.resolve(key.0, vehicle.as_str(), resolution))
            }
        };
        Some(match result {
            Ok(()) => {
                let epoch = self.term.unwrap_or(self.epoch);
                let executed = Executed { token: key.0, epoch, cycle: self.fleet.steps() + 1 };
                FleetAnswer::Done { number, executed }
            }
            Err(why) => FleetAnswer::Impossible { number, why },
        })
    }

    fn submit(&mut self, key: CommandKey, transport: &Transport) -> Result<(), String> {
        // What the other node has taken before it died is in the state that this one went on from.
        if self.fleet.knows(key.0) {
            return Ok(());
        }
        let Transport { from, to, priority, due } = transport;
        let due_in = due.map(|due| {
            let left = due.duration_since(Timestamp::now());
            Duration::from_nanos(u64::try_from(left.as_nanos()).unwrap_or(0))
        });
        self.fleet.submit(now(), key.0, (from.as_str(), to.as_str()), *priority, due_in)
    }

    fn lead(&mut self) {
        let at = now();
        let asked = self.is_asked() && at.since(self.stepped) >= STEP_PAUSE;
        if at >= self.next_step || asked {
            self.step(at);
        }
        self.release();
        self.resend();
    }

    /// Whether somebody waits for a step.
    fn is_asked(&self) -> bool {
        !self.fresh.is_empty() || self.fleet.is_step_wanted()
    }

    /// When something may have to be said again. What a step has brought about goes first.
    fn next_resend(&self, at: Instant) -> Option<Instant> {
        self.resend_at.filter(|_| self.pending.is_empty() && self.office.may_write(at))
    }

    /// Says again what the air has lost, when it is time and not at the next step only.
    fn resend(&mut self) {
        let at = now();
        if self.next_resend(at).is_none_or(|due| at < due) {
            return;
        }
        for Outgoing { topic, text } in self.fleet.resend(at, Timestamp::now()) {
            self.link.send(&topic, text);
        }
        self.resend_at = self.fleet.next_resend();
    }

    fn step(&mut self, at: Instant) {
        self.stepped = at;
        self.next_step = at + self.rhythm;
        let said = self.fleet.step(at, Timestamp::now());
        self.resend_at = self.fleet.next_resend();
        for (order, fault) in self.fleet.take_lost() {
            match fault {
                Fault::Lost => tracing::error!(order, "its load is somewhere on its way: look for it"),
                fault => {
                    tracing::error!(order, ?fault, "it is given up: no vehicle or no way is left to do it")
                }
            }
        }
        let mark = Mark::new(mark_epoch(self.term.unwrap_or(self.epoch)), self.fleet.steps());
        let answers = std::mem::take(&mut self.fresh);
        let keeps = !answers.is_empty() || (said.moves_loads && !self.is_followed()) || at >= self.keep_at;
        if self.pair.is_some() || keeps {
            let bytes = self.fleet.state();
            if keeps && self.keeper.keep(mark, bytes.clone()) {
                self.keep_at = at + KEEP_INTERVAL;
            }
            if let Some(pair) = &self.pair {
                // A pair thread that is behind gets the next state.
                let bytes = with_echo(bytes, self.leading.echo());
                let _ = pair.words.try_send(FleetWord::State { mark, bytes });
            }
        }
        self.fleet.note_times(Some(now().since(at)), None);
        if !said.is_empty() {
            self.pending.push_back(Pending { mark, since: at, said });
        }
        if !answers.is_empty() {
            self.unanswered.push_back(Unanswered { mark, since: at, answers });
        }
    }

    /// What has got to the disk.
    fn take_kept(&mut self) {
        let ended = loop {
            let Kept { mark, result } = match self.keeper.kept.try_recv() {
                Ok(kept) => kept,
                Err(error) => break error == TryRecvError::Disconnected,
            };
            self.kept = Some(mark);
            if let Err(error) = &result {
                tracing::error!(file = %self.keep.display(), %error, "the fleet's state cannot be kept");
            }
            self.not_kept = result.err().map(|error| error.to_string());
        };
        if ended {
            // Otherwise the wait would return at once for ever.
            self.keeper.kept = never();
            self.not_kept = Some("the thread that writes it has ended; start the agent again".to_owned());
        }
    }

    /// Lets out what outlives this node.
    fn release(&mut self) {
        while let Some(first) = self.pending.front() {
            let at = now();
            let outlives = self.outlives(first.mark, first.since, at) && !self.waits_for_disk(first);
            if !(self.office.may_write(at) && outlives) {
                break;
            }
            let Some(Pending { since, said, .. }) = self.pending.pop_front() else { break };
            self.drives.tell(&said);
            for Outgoing { topic, text } in said.messages {
                self.link.send(&topic, text);
            }
            self.fleet.note_times(None, Some(at.since(since)));
        }
        self.answer();
    }

    /// Answers requests whose effect outlives this node and this process.
    fn answer(&mut self) {
        while let Some(first) = self.unanswered.front() {
            let at = now();
            if !(self.is_kept(first.mark)
                && self.office.may_write(at)
                && self.outlives(first.mark, first.since, at))
            {
                return;
            }
            let Some(Unanswered { answers, .. }) = self.unanswered.pop_front() else { return };
            for answer in answers {
                if self.answers.try_send(answer).is_err() {
                    tracing::error!(
                        "the main thread takes no answers; the command is concluded by a repetition"
                    );
                }
            }
        }
    }

    /// Whether the other node goes on from the state under this mark, or nobody does.
    fn outlives(&self, mark: Mark, since: Instant, at: Instant) -> bool {
        let Some(pair) = &self.pair else { return true };
        let near = pair.peer_near.load(Ordering::Acquire);
        self.leading.may_leave(at, mark, since, near)
    }

    /// Whether the other node holds this node's states.
    fn is_followed(&self) -> bool {
        self.pair.as_ref().is_some_and(|pair| pair.peer_near.load(Ordering::Acquire))
            && self.leading.echo().is_some()
    }

    /// Whether the state under this mark is on the disk, or cannot be put there, which is shown.
    fn is_kept(&self, mark: Mark) -> bool {
        self.kept.is_some_and(|kept| kept >= mark)
    }

    /// A node that nobody follows finds loads again from what is on its disk: no vehicle takes one or puts one down that
    /// is not told of there.
    fn waits_for_disk(&self, pending: &Pending) -> bool {
        pending.said.moves_loads && !self.leading.is_held(pending.mark) && !self.is_kept(pending.mark)
    }

    fn show(&mut self, at: Instant) {
        if at < self.next_report {
            return;
        }
        self.next_report = at + REPORT_INTERVAL;
        let mut report = self.fleet.report(&self.layout, self.link.is_connected());
        if self.term.is_some() && !self.link.is_connected() {
            report.degraded.push("fleet: no connection to the vehicles' broker".to_owned());
        }
        if let Some(why) = &self.not_kept {
            report
                .degraded
                .push(format!("fleet: its state cannot be kept in {}: {why}", self.keep.display()));
        }
        let waiting = self.pending.front().filter(|first| self.waits_for_disk(first));
        if waiting.is_some_and(|first| at.since(first.since) > SLOW_DISK) {
            report.degraded.push(format!(
                "fleet: vehicles wait until {} is written, which takes long",
                self.keep.display()
            ));
        }
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }
}

/// Epochs of a pair have 16 bits; an agent without a peer shows its marks to nobody.
const fn mark_epoch(epoch: u32) -> u16 {
    epoch as u16
}
