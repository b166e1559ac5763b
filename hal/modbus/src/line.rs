//! The task that owns a line.
//!
//! # Model
//!
//! One loop: serve the phases of the cycle as they are announced; write safe outputs where they are due;
//! use the slack for devices that are out of the cycle; sleep until the next of these. A line that is
//! down does nothing but open its wire again, with a wait that doubles while it brings no answers.

use hal_field_bus::{Attempt, PollOrder, RetryPolicy, SerialTiming, Standing};
use hal_units::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::config::{Clock, DevicePort, LineConfig, Transport};
use crate::connect::{Connect, SerialConnector, TcpConnector, connect_fault};
use crate::connection::{Connection, ConnectionTiming};
use crate::counters::DeviceState;
use crate::device::{Device, DeviceTiming, Limit};
use crate::fault::{Fault, GATEWAY_EXCEPTIONS};
use crate::office::{Office, Term};
use crate::tick::{BusTick, DuePhase, Phase, PhaseLog, Stop};

/// Without a beat for this long beyond its time, nobody is delayed by anything.
const BEAT_LOST_AFTER: Duration = Duration::from_millis(50);
/// Left free before the next phase when slack is used.
const SLACK_MARGIN: Duration = Duration::from_micros(500);
/// The longest rest with nothing to do.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The deadline of a stop that nobody gave, because the line's owner is gone.
const ORPHAN_STOP: Duration = Duration::from_secs(5);

/// How a device was left when its line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceEnd {
    /// It acknowledged the end of its safe action, or has no outputs.
    Safe,
    /// It did not within the time given: its own watchdog must make it safe.
    NotReached,
}

/// Runs a line, writing while `office` is this node's, until `stop` asks for its end and every device has acknowledged the end of its safe
/// action, or the deadline has come. Returns how each device was left, in the order of `devices`.
///
/// A closed `stop` counts as a stop within 5 s; closed `ticks` as outputs that are missing.
pub async fn run_line(
    config: LineConfig,
    devices: Vec<DevicePort>,
    office: Office,
    ticks: watch::Receiver<BusTick>,
    clock: impl Clock,
    stop: watch::Receiver<Stop>,
) -> Vec<DeviceEnd> {
    match config.transport.clone() {
        Transport::Tcp { address } => {
            run_line_on(TcpConnector { address }, config, devices, office, ticks, clock, stop).await
        }
        Transport::Rtu { path, timing, parity } => {
            let connector = SerialConnector { path, baud_rate: timing.baud_rate(), parity };
            run_line_on(connector, config, devices, office, ticks, clock, stop).await
        }
    }
}

/// Like [`run_line`], over wires that `connector` opens instead of those that the configuration names.
pub async fn run_line_on<C: Connect>(
    connector: C,
    config: LineConfig,
    devices: Vec<DevicePort>,
    office: Office,
    ticks: watch::Receiver<BusTick>,
    clock: impl Clock,
    stop: watch::Receiver<Stop>,
) -> Vec<DeviceEnd> {
    Line::new(connector, config, devices, office, clock).run(ticks, stop).await
}

enum Link<S> {
    Down { retry_at: Instant },
    Up { connection: Connection<S>, since: Instant },
}

struct Line<C: Connect, K> {
    connector: C,
    config: LineConfig,
    serial: Option<SerialTiming>,
    policy: RetryPolicy,
    devices: Vec<Device>,
    order: PollOrder,
    link: Link<C::Stream>,
    /// Attempts to connect since one that brought an answer.
    link_failures: u32,
    phases: PhaseLog,
    stopping: Option<Instant>,
    office: Office,
    /// The term that the devices were told of.
    term: Term,
    clock: K,
}

impl<C: Connect, K: Clock> Line<C, K> {
    fn new(connector: C, config: LineConfig, devices: Vec<DevicePort>, office: Office, clock: K) -> Self {
        let now = clock.now();
        office.join_fence();
        let timing = DeviceTiming::new(&config, devices.len() == 1);
        let policy = RetryPolicy {
            wait_min: config.reconnect_backoff_min,
            wait_max: config.reconnect_backoff_max,
            slack_min: config.retry_slack_min,
        };
        let serial = match config.transport {
            Transport::Tcp { .. } => None,
            Transport::Rtu { timing, .. } => Some(timing),
        };
        let term = office.term();
        let mut devices: Vec<_> =
            devices.into_iter().map(|port| Device::new(port, timing, office.clone(), now)).collect();
        match term {
            Term::Observe => devices.iter_mut().for_each(Device::observe),
            Term::Write { .. } => {}
        }
        Self {
            order: PollOrder::new(devices.len(), policy),
            devices,
            connector,
            config,
            serial,
            policy,
            link: Link::Down { retry_at: now },
            link_failures: 0,
            phases: PhaseLog::default(),
            stopping: None,
            office,
            term,
            clock,
        }
    }

    async fn run(
        mut self,
        mut ticks: watch::Receiver<BusTick>,
        mut stop: watch::Receiver<Stop>,
    ) -> Vec<DeviceEnd> {
        loop {
            let now = self.clock.now();
            self.heed_term().await;
            self.heed_stop(&mut stop, now);
            if let Some(deadline) = self.stopping
                && (now >= deadline || self.devices.iter().all(Device::is_safe))
            {
                return self.close();
            }
            let tick = *ticks.borrow_and_update();
            let wake_at = match &self.link {
                Link::Down { retry_at } if now >= *retry_at => {
                    self.connect(&mut stop).await;
                    self.phases.catch_up(*ticks.borrow_and_update());
                    continue;
                }
                Link::Down { retry_at } => Some(*retry_at),
                Link::Up { .. } => {
                    let anyone_live = self.order.anyone_live();
                    if self.work(tick, now).await {
                        if !anyone_live {
                            self.phases.catch_up(*ticks.borrow_and_update());
                        }
                        continue;
                    }
                    self.wake_at(tick, now)
                }
            };
            let wake_at = [wake_at, self.stopping].into_iter().flatten().min();
            let pause = wake_at.map_or(PAUSE_MAX, |at| at.since(self.clock.now()));
            rest(pause, &mut ticks, &mut self.office, self.stopping.is_none().then_some(&mut stop)).await;
        }
    }

    /// Does one thing that is due, if any.
    async fn work(&mut self, tick: BusTick, now: Instant) -> bool {
        // Before the phases: a line that cannot keep up with them must still make its devices safe.
        if let Some(device) = self.safe_write_due(now) {
            self.write_safe(device).await;
            return true;
        }
        if self.stopping.is_none()
            && let Some(due) = self.phases.next(tick)
        {
            self.serve(due).await;
            return true;
        }
        let attempt = self.order.attempt(now, self.slack(tick, now));
        if let Some(attempt) = attempt {
            self.bring_in(attempt).await;
        }
        attempt.is_some()
    }

    /// Begins or ends to write when the office says so.
    async fn heed_term(&mut self) {
        let term = self.office.term();
        if term == self.term {
            return;
        }
        self.term = term;
        match term {
            Term::Observe => self.devices.iter_mut().for_each(Device::observe),
            Term::Write { epoch } => self.take_over(epoch).await,
        }
    }

    /// Fences the devices, waits until the other lines have done so, and goes on with the outputs that
    /// the controllers have made meanwhile, without waiting for the next cycle.
    async fn take_over(&mut self, epoch: Option<u32>) {
        let now = self.clock.now();
        let usable = matches!(self.link, Link::Up { .. });
        for (at, device) in self.devices.iter_mut().enumerate() {
            device.take_over(epoch, now);
            if !usable || !self.order.is_live(at) {
                device.start_afresh(now);
            }
        }
        if let Some(epoch) = epoch {
            for at in 0..self.devices.len() {
                let (true, Some(device), Link::Up { connection: link, .. }) =
                    (self.order.is_live(at), self.devices.get_mut(at), &mut self.link)
                else {
                    continue;
                };
                let result = device.fence(link, &self.clock, epoch).await;
                self.settle(at, result.err());
            }
        }
        self.office.fenced(epoch).await;
        for at in 0..self.devices.len() {
            let (true, Some(device), Link::Up { connection: link, .. }) =
                (self.order.is_live(at), self.devices.get_mut(at), &mut self.link)
            else {
                continue;
            };
            let result = device.apply(link, &self.clock).await;
            self.settle(at, result.err());
        }
    }

    fn heed_stop(&mut self, stop: &mut watch::Receiver<Stop>, now: Instant) {
        let asked = *stop.borrow_and_update();
        let asked = match (asked, stop.has_changed()) {
            (Stop::Safe { deadline }, _) => deadline,
            (Stop::Run, Ok(_)) => return,
            (Stop::Run, Err(_)) => now + ORPHAN_STOP,
        };
        if self.stopping.is_none() {
            self.stopping = Some(asked);
            self.devices.iter_mut().for_each(|device| device.lead_to_safe(now));
        }
    }

    fn close(self) -> Vec<DeviceEnd> {
        let end = |device: &Device| {
            device.counters.set_state(DeviceState::Closed);
            if device.is_safe() { DeviceEnd::Safe } else { DeviceEnd::NotReached }
        };
        self.devices.iter().map(end).collect()
    }

    async fn serve(&mut self, due: DuePhase) {
        for at in 0..self.devices.len() {
            if !self.order.is_live(at) {
                continue;
            }
            let (Some(device), Link::Up { connection: link, .. }) =
                (self.devices.get_mut(at), &mut self.link)
            else {
                break;
            };
            device.counters.skipped_phases.add(due.skipped);
            let result = match due.phase {
                Phase::Acquire => device.acquire(link, &self.clock).await,
                Phase::Apply => device.apply(link, &self.clock).await,
            };
            self.settle(at, result.err());
        }
        for device in &self.devices {
            match due.phase {
                Phase::Acquire => device.counters.acquire_served.set(due.cycle),
                Phase::Apply => device.counters.apply_served.set(due.cycle),
            }
        }
    }

    fn safe_write_due(&mut self, now: Instant) -> Option<usize> {
        let (order, commanded) = (&self.order, self.stopping.is_none());
        let due = |(at, device): (usize, &mut Device)| {
            order.is_live(at) && device.safe_write_at(commanded).is_some_and(|due| due <= now)
        };
        self.devices.iter_mut().enumerate().position(due)
    }

    async fn write_safe(&mut self, at: usize) {
        let (Some(device), Link::Up { connection: link, .. }) = (self.devices.get_mut(at), &mut self.link)
        else {
            return;
        };
        let result = device.write_safe(link, &self.clock, Limit::NONE).await;
        self.settle(at, result.err());
    }

    /// Asks a device that is out of the cycle, and takes it in if it answers.
    async fn bring_in(&mut self, attempt: Attempt) {
        let at = attempt.device;
        let (Some(device), Link::Up { connection: link, .. }) = (self.devices.get_mut(at), &mut self.link)
        else {
            return;
        };
        let now = self.clock.now();
        let mut limit = Limit(attempt.limit.map(|limit| now + limit));
        let mut result = Ok(());
        if self.serial.is_some() || !device.begins_safe() || device.is_in_hand() {
            result = device.probe(link, &self.clock, limit).await;
            // It is alive: from here on it takes time of its own.
            limit = Limit::NONE;
        }
        if result.is_ok() && device.begins_safe() {
            result = match device.write_safe(link, &self.clock, limit).await {
                // It is there, but takes no outputs: its inputs are still worth having.
                Err(Fault::Exception(code)) if !GATEWAY_EXCEPTIONS.contains(&code) => Ok(()),
                other => other,
            };
        }
        if result.is_ok() {
            device.counters.connects.one();
            device.counters.set_state(DeviceState::Online);
            tracing::info!(line = %self.config.name, device = %device.port.name, "online");
            self.order.joined(at, self.clock.now());
        }
        self.settle(at, result.err());
    }

    /// Draws the consequences of what happened to a device.
    fn settle(&mut self, at: usize, fault: Option<Fault>) {
        let now = self.clock.now();
        let Link::Up { connection: link, .. } = &mut self.link else { return };
        for (unit, event) in link.take_events() {
            if let Some(device) = self.devices.iter().find(|device| device.port.unit_id == unit) {
                device.counters.count_fault(event);
            }
        }
        let Some(fault) = fault else { return };
        let quiet = if self.serial.is_some() { self.config.late_window } else { Duration::ZERO };
        let usable = link.is_usable();
        match fault {
            Fault::Exception(code) if !GATEWAY_EXCEPTIONS.contains(&code) && self.order.is_live(at) => (),
            _ if usable => self.quarantine(at, fault, now, quiet),
            _ => self.drop_link(at, fault, now),
        }
    }

    fn quarantine(&mut self, at: usize, fault: Fault, now: Instant, quiet: Duration) {
        let Some(device) = self.devices.get_mut(at) else { return };
        if self.order.is_live(at) {
            tracing::warn!(line = %self.config.name, device = %device.port.name, %fault, "quarantined");
        }
        device.start_afresh(now);
        device.counters.set_state(DeviceState::Quarantined);
        self.order.failed(at, now, quiet);
    }

    /// Gives the connection up. The device at fault is quarantined, unless it is alone: then the line's
    /// own wait does.
    fn drop_link(&mut self, at: usize, fault: Fault, now: Instant) {
        let alone = self.devices.len() == 1;
        let (productive, lived) = match &self.link {
            Link::Up { connection, since } => (connection.answers() > 0, now.since(*since)),
            Link::Down { .. } => (false, Duration::ZERO),
        };
        self.link_failures = if productive { 1 } else { self.link_failures.saturating_add(1) };
        let mut wait = self.policy.wait(self.link_failures);
        if productive && !alone {
            // Those who share the line are not to blame and come back at once, unless it fails at once.
            wait = wait.saturating_sub(lived);
        }
        self.link = Link::Down { retry_at: now + wait };
        if self.link_failures == 1 {
            tracing::warn!(line = %self.config.name, %fault, "connection given up");
        }
        self.order.line_lost();
        if !alone {
            self.order.failed(at, now, Duration::ZERO);
        }
        for (at, device) in self.devices.iter_mut().enumerate() {
            device.start_afresh(now);
            device.counters.set_state(match self.order.standing(at) {
                Some(Standing::Quarantined { .. }) => DeviceState::Quarantined,
                _ if self.link_failures > 1 => DeviceState::Quarantined,
                _ => DeviceState::Connecting,
            });
        }
    }

    async fn connect(&mut self, stop: &mut watch::Receiver<Stop>) {
        let connecting = timeout(self.config.connect_timeout, self.connector.connect());
        let opened = tokio::select! {
            opened = connecting => opened,
            // Look at the request first; the wire can be opened afterwards.
            Ok(()) = stop.changed() => return,
        };
        let fault = match opened {
            Ok(Ok(stream)) => {
                let timing = ConnectionTiming {
                    serial: self.serial,
                    frame_gap: self.config.frame_gap,
                    timeouts_max: if self.devices.len() == 1 { 1 } else { 2 },
                };
                let connection = Connection::new(stream, timing);
                self.link = Link::Up { connection, since: self.clock.now() };
                return;
            }
            Ok(Err(error)) => connect_fault(&error),
            Err(_elapsed) => Fault::ConnectTimeout,
        };
        self.devices.iter().for_each(|device| device.counters.count_fault(fault));
        self.link_failures = self.link_failures.saturating_add(1);
        let wait = self.policy.wait(self.link_failures);
        if self.link_failures == 1 {
            tracing::warn!(line = %self.config.name, %fault, "no connection");
        }
        self.link = Link::Down { retry_at: self.clock.now() + wait };
        if self.link_failures > 1 {
            self.devices.iter().for_each(|device| device.counters.set_state(DeviceState::Quarantined));
        }
    }

    /// Time until the next phase that nobody else needs.
    fn slack(&self, tick: BusTick, now: Instant) -> Duration {
        if self.stopping.is_some() || now >= tick.next_acquire_at + BEAT_LOST_AFTER {
            return Duration::MAX;
        }
        tick.next_acquire_at.since(now).saturating_sub(SLACK_MARGIN)
    }

    fn wake_at(&mut self, tick: BusTick, now: Instant) -> Option<Instant> {
        let commanded = self.stopping.is_none();
        let order = &self.order;
        let safe = self
            .devices
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| order.is_live(*at))
            .filter_map(|(_, device)| device.safe_write_at(commanded))
            .min();
        // One that is overdue waits for slack, which comes with a tick, or when ticks fail to come.
        let attempt = self
            .order
            .attempt_at()
            .map(|due| if due <= now { tick.next_acquire_at + BEAT_LOST_AFTER } else { due });
        [safe, attempt].into_iter().flatten().min()
    }
}

/// Sleeps for `pause`, or until a tick or a stop comes. `stop` is not looked at any more once heeded.
async fn rest(
    pause: Duration,
    ticks: &mut watch::Receiver<BusTick>,
    office: &mut Office,
    stop: Option<&mut watch::Receiver<Stop>>,
) {
    let Some(stop) = stop else { return sleep(pause).await };
    let ticking = ticks.has_changed().is_ok();
    tokio::select! {
        biased;
        _ = stop.changed() => {}
        () = office.changed() => {}
        _ = ticks.changed(), if ticking => {}
        () = sleep(pause) => {}
    }
}
