//! The worker: one turn takes what came, makes it durable with one disk write, and sends what there is room for.

use std::collections::VecDeque;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError};
use hal_units::{Duration, Instant};
use rumqttc::v5::mqttbytes::v5::Publish;

use super::backoff::Backoff;
use super::ledger::Ticket;
use super::network::{Network, Numbered};
use super::options::{Clock, MqttOptions, Voice};
use super::session::{NetEvent, Session, SessionOptions, Stock};
use super::status::{ConnectionState, MqttCounters, MqttStatus, StorageState};
use super::succession::Succession;
use super::{Shared, lock};
use crate::command::{
    Arrival, CommandDesk, CommandNumber, ConcludeError, ExecutionMark, IncomingCommand, Outcome, Verdict,
};
use crate::log::{LogError, Storage};
use crate::outbox::{Message, Outbox};

/// What the callers ask for.
#[derive(Debug)]
pub(super) enum Request {
    Publish(Message),
    Conclude(CommandNumber, Outcome),
    Voice(Voice),
    Executed(ExecutionMark),
    Stop(Duration),
}

/// Where the worker hears from others.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) requests: Receiver<Request>,
    pub(super) wake: Receiver<()>,
    pub(super) events: Receiver<Numbered>,
}

/// Requests, and events, that one turn takes at most: bounds the time until the others are heard.
const BATCH: usize = 512;
/// A turn happens at least this often.
const IDLE_MAX: Duration = Duration::from_millis(500);
/// Pause between attempts to write again after the storage failed.
const MEND_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Worker<O, J> {
    outbox: Outbox<O>,
    desk: Option<CommandDesk<J>>,
    clock: Clock,
    session: Session,
    network: Network,
    shared: Arc<Shared>,
    commands: Sender<IncomingCommand>,
    /// Recovered commands that did not fit into the queue; at most as many as the gate remembers.
    waiting: VecDeque<IncomingCommand>,
    /// Messages taken from the queue since the start.
    taken: Ticket,
    storage: StorageState,
    mend_at: Instant,
    /// What the desk counts; the session counts the rest.
    counters: MqttCounters,
    stop_until: Option<Instant>,
    succession: Succession,
    /// There is another node that must judge as this one does.
    in_pair: bool,
}

pub(super) fn first_status<S: Storage>(outbox: &Outbox<S>, clock: Clock) -> MqttStatus {
    let reason = "not yet connected".to_owned();
    MqttStatus {
        connection: ConnectionState::Disconnected { since: (clock.monotonic)(), failures: 0, reason },
        storage: StorageState::Good,
        counters: MqttCounters::default(),
        outbox_entries: outbox.len(),
        outbox_bytes: outbox.bytes(),
    }
}

impl<O: Storage, J: Storage> Worker<O, J> {
    pub(super) fn new(
        options: &MqttOptions,
        outbox: Outbox<O>,
        desk: Option<CommandDesk<J>>,
        clock: Clock,
        network: Network,
        shared: Arc<Shared>,
        commands: Sender<IncomingCommand>,
    ) -> Self {
        let now = (clock.monotonic)();
        let session_options = SessionOptions {
            window: options.window,
            filters: desk.as_ref().map(CommandDesk::filters).unwrap_or_default(),
            presence_topic: options.presence_topic.clone(),
            connect_timeout: options.connect_timeout,
            ack_timeout: options.ack_timeout,
            backoff_max: options.backoff_max,
        };
        let backoff = Backoff::new(options.backoff_min, options.backoff_max, outbox.id().0 ^ now.as_nanos());
        Self {
            session: Session::new(now, session_options, backoff),
            outbox,
            desk,
            clock,
            network,
            shared,
            commands,
            waiting: VecDeque::new(),
            taken: Ticket(0),
            storage: StorageState::Good,
            mend_at: now,
            counters: MqttCounters::default(),
            stop_until: None,
            succession: Succession::new(options.voice),
            in_pair: options.voice == Voice::Silent,
        }
    }

    /// Takes up the commands that were accepted before the start and not concluded.
    pub(super) fn recover(&mut self) -> Result<(), LogError> {
        if !self.succession.speaks() {
            return Ok(());
        }
        let Some(desk) = &mut self.desk else { return Ok(()) };
        let (commands, answers) = desk.recover((self.clock.wall)())?;
        self.waiting.extend(commands);
        answers.into_iter().for_each(|answer| self.answer(answer));
        self.hand_out();
        Ok(())
    }

    /// Turns until it is stopped, or the handle is gone.
    pub(super) fn run(mut self, inbox: Inbox) {
        while !self.session.is_stopped() {
            self.turn(&inbox);
            self.wait(&inbox);
        }
        // A last time, for what was taken or settled in the last turn.
        self.write();
        self.report();
        // The network thread may wait for room in the queue of events.
        drop(inbox);
        self.network.end();
    }

    fn turn(&mut self, inbox: &Inbox) {
        self.take_requests(inbox);
        self.write();
        self.take_events(inbox);
        let now = (self.clock.monotonic)();
        let mut latest = lock(&self.shared.latest);
        let mut stock = Stock { outbox: &mut self.outbox, latest: &mut latest };
        self.session.step(now, &mut stock, &mut self.network);
        drop(latest);
        self.write();
        self.mend_if_due(now);
        self.hand_out();
        self.report();
    }

    /// Until something comes or is due.
    fn wait(&mut self, inbox: &Inbox) {
        let now = (self.clock.monotonic)();
        let idle = self.session.deadline().map_or(IDLE_MAX, |deadline| deadline.since(now).min(IDLE_MAX));
        let mut ready = Select::new();
        let requests = ready.recv(&inbox.requests);
        ready.recv(&inbox.events);
        ready.recv(&inbox.wake);
        let woken_by = ready.ready_timeout(idle);
        let handle_is_gone = inbox.wake.try_recv() == Err(TryRecvError::Disconnected);
        // A closed queue is always ready; the stop is on its way then, or nobody is left to ask for it.
        if woken_by == Ok(requests)
            && inbox.requests.is_empty()
            && handle_is_gone
            && self.stop_until.is_none()
        {
            self.stop(now + Duration::from_millis(200));
        }
    }

    fn take_requests(&mut self, inbox: &Inbox) {
        for request in inbox.requests.try_iter().take(BATCH) {
            match request {
                Request::Publish(message) => {
                    self.taken = Ticket(self.taken.0 + 1);
                    // The caller checked the message and reserved its room.
                    if let Err(error) = self.outbox.append(message) {
                        tracing::error!(%error, "a message that was taken does not fit");
                    }
                }
                Request::Conclude(number, outcome) => self.conclude(number, outcome),
                Request::Voice(voice) => self.set_voice(voice),
                Request::Executed(mark) => self.note_executed(mark),
                Request::Stop(patience) => {
                    let until = (self.clock.monotonic)() + patience;
                    self.stop(until);
                }
            }
        }
    }

    fn stop(&mut self, until: Instant) {
        self.write();
        self.stop_until = Some(until);
        self.session.stop((self.clock.monotonic)(), until, &mut self.network);
    }

    fn take_events(&mut self, inbox: &Inbox) {
        for (number, event) in inbox.events.try_iter().take(BATCH) {
            if number != self.network.number() {
                continue;
            }
            if let NetEvent::Arrived(publish) = &event {
                self.receive(publish);
            }
            let now = (self.clock.monotonic)();
            let mut latest = lock(&self.shared.latest);
            let mut stock = Stock { outbox: &mut self.outbox, latest: &mut latest };
            self.session.handle(now, event, &mut stock, &mut self.network);
        }
    }

    /// Makes durable what was taken and marks what was settled.
    fn write(&mut self) {
        let result = if self.outbox.has_uncommitted() { self.outbox.commit() } else { self.outbox.flush() };
        match result {
            Ok(()) => lock(&self.shared.ledger).set_durable(self.taken),
            Err(error) => self.storage_failed(&error),
        }
    }

    fn storage_failed(&mut self, error: &LogError) {
        let now = (self.clock.monotonic)();
        if let StorageState::Good = self.storage {
            tracing::error!(%error, "outbox or journal cannot be written");
            self.counters.storage_errors += 1;
            self.mend_at = now;
            self.storage = StorageState::Failing { since: now, reason: error.to_string() };
        }
    }

    fn mend_if_due(&mut self, now: Instant) {
        if self.storage == StorageState::Good || now < self.mend_at {
            return;
        }
        self.mend_at = now + MEND_PAUSE;
        match self.mend() {
            Ok(()) => {
                tracing::info!("outbox and journal can be written again");
                self.storage = StorageState::Good;
                lock(&self.shared.ledger).set_durable(self.taken);
            }
            Err(error) => {
                self.counters.storage_errors += 1;
                tracing::warn!(%error, "outbox or journal still cannot be written");
            }
        }
    }

    fn mend(&mut self) -> Result<(), LogError> {
        if let Some(desk) = self.desk.as_mut().filter(|desk| desk.is_broken()) {
            let answers = desk.mend((self.clock.wall)())?;
            answers.into_iter().for_each(|answer| self.answer(answer));
        }
        if self.outbox.is_broken() { self.outbox.mend() } else { Ok(()) }
    }

    /// Deals with a message for us, and acknowledges it afterwards: what was accepted is in the journal by then.
    fn receive(&mut self, publish: &Publish) {
        let Some(desk) = &mut self.desk else { return };
        self.counters.commands_received += 1;
        let properties = publish.properties.as_ref();
        let arrival = Arrival {
            topic: &publish.topic,
            payload: &publish.payload,
            retain: publish.retain,
            response_topic: properties.and_then(|properties| properties.response_topic.as_deref()),
            correlation: properties.and_then(|properties| properties.correlation_data.as_deref()),
        };
        // This thread is the only one that fills the queue. In a pair both nodes must take the same.
        let has_room = self.in_pair || (self.waiting.is_empty() && !self.commands.is_full());
        let reaction = desk.receive((self.clock.wall)(), &arrival, has_room);
        let journal_is_broken = desk.is_broken();
        let mut carried_out = None;
        match reaction.verdict {
            Verdict::Accepted(command) => {
                self.counters.commands_accepted += 1;
                carried_out = self.succession.take(command.key).map(|execution| (command.number, execution));
                if carried_out.is_none() && self.succession.speaks() {
                    self.waiting.push_back(command);
                    self.hand_out();
                }
            }
            Verdict::Repeated => self.counters.commands_repeated += 1,
            Verdict::Refused(refusal) => {
                tracing::info!(code = refusal.code(), %refusal, "a command is refused");
                *self.counters.commands_refused.entry(refusal.code()).or_default() += 1;
            }
        }
        if let Some(answer) = reaction.answer.filter(|_| self.succession.speaks()) {
            self.answer(answer);
        }
        if let Some((number, execution)) = carried_out {
            self.conclude(number, Outcome::Executed(Some(execution)));
        }
        if journal_is_broken {
            self.storage_failed(&LogError::Broken);
        }
        if !self.network.acknowledge(publish) {
            tracing::warn!("an arrival could not be acknowledged; it will come again");
        }
    }

    fn conclude(&mut self, number: CommandNumber, outcome: Outcome) {
        let Some(desk) = &mut self.desk else { return };
        match desk.conclude((self.clock.wall)(), number, outcome) {
            Ok(answer) => {
                self.counters.commands_concluded += 1;
                if self.succession.speaks() {
                    self.answer(answer);
                } else {
                    self.succession.concluded((self.clock.monotonic)(), number);
                }
            }
            Err(ConcludeError::Journal(error)) => {
                self.counters.commands_concluded += 1;
                self.storage_failed(&error);
            }
            Err(error @ ConcludeError::Unknown(_)) => tracing::warn!(%error, "an outcome is ignored"),
        }
    }

    fn note_executed(&mut self, mark: ExecutionMark) {
        let pending = self.desk.as_ref().and_then(|desk| desk.pending(mark.key));
        match pending {
            Some(number) => self.conclude(number, Outcome::Executed(Some(mark.execution))),
            None if self.desk.as_ref().is_some_and(|desk| desk.remembers(mark.key)) => {}
            None => self.succession.keep(mark),
        }
    }

    /// From silence to speech everything is taken up that nobody has carried out; the other way round it is
    /// left to the other node.
    fn set_voice(&mut self, voice: Voice) {
        if !self.succession.set_voice(voice) {
            return;
        }
        match voice {
            Voice::Silent => {
                self.waiting.clear();
                lock(&self.shared.latest).clear();
            }
            Voice::Speaking => {
                let (now, wall) = ((self.clock.monotonic)(), (self.clock.wall)());
                let taken_up = self.desk.as_ref().map(CommandDesk::all_pending).unwrap_or_default();
                if let Err(error) = self.recover() {
                    self.storage_failed(&error);
                }
                let told = self.succession.take_untold(now);
                let numbers = taken_up.iter().chain(&told);
                let answers: Vec<_> = match &self.desk {
                    Some(desk) => numbers.filter_map(|number| desk.answer_of(wall, *number)).collect(),
                    None => Vec::new(),
                };
                answers.into_iter().for_each(|answer| self.answer(answer));
            }
        }
    }

    fn answer(&mut self, answer: Message) {
        let bytes = answer.outbox_bytes();
        match self.outbox.append(answer) {
            Ok(_) => lock(&self.shared.ledger).add_answer(bytes),
            Err(error) => {
                self.counters.answers_dropped += 1;
                tracing::warn!(%error, "an answer to a command is dropped");
            }
        }
    }

    fn hand_out(&mut self) {
        let mut any = false;
        while let Some(command) = self.waiting.pop_front() {
            if let Err(error) = self.commands.try_send(command) {
                self.waiting.push_front(error.into_inner());
                break;
            }
            any = true;
        }
        if any && let Some(event) = self.shared.command_event.get() {
            // A counter at its limit is readable as well.
            let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
        }
    }

    fn report(&mut self) {
        lock(&self.shared.ledger).release(self.session.take_released());
        let coalesced = lock(&self.shared.latest).coalesced();
        let counters =
            MqttCounters { latest_coalesced: coalesced, ..merged(&self.session.counters, &self.counters) };
        *lock(&self.shared.status) = MqttStatus {
            connection: self.session.connection().clone(),
            storage: self.storage.clone(),
            counters,
            outbox_entries: self.outbox.len(),
            outbox_bytes: self.outbox.bytes(),
        };
    }
}

/// The session counts what concerns the broker, the worker what concerns commands and storage.
fn merged(session: &MqttCounters, worker: &MqttCounters) -> MqttCounters {
    let MqttCounters {
        commands_received,
        commands_accepted,
        commands_repeated,
        commands_refused,
        commands_concluded,
        answers_dropped,
        storage_errors,
        ..
    } = worker.clone();
    MqttCounters {
        commands_received,
        commands_accepted,
        commands_repeated,
        commands_refused,
        commands_concluded,
        answers_dropped,
        storage_errors,
        ..session.clone()
    }
}
