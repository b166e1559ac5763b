//! One device of a line: its scans and its writes.
//!
//! Reads and writes whole: a scan is published when all its blocks are in, a write is acknowledged when
//! all its blocks are. What is to be written is decided in [`crate::outputs`].

use std::sync::Arc;

use hal_field_bus::{DeviceProfile, Exchange};
use hal_process_image::{DeviceInputs, DeviceOutputs};
use hal_units::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::{Clock, DevicePort, LineConfig};
use crate::connection::Connection;
use crate::counters::DeviceCounters;
use crate::fault::Fault;
use crate::office::Office;
use crate::outputs::{Command, OutputState};
use crate::query::Query;

/// The most registers of a write block.
const WRITE_WORDS_MAX: usize = 123;
/// The most registers of an epoch: a u16 or a u32.
const EPOCH_WORDS_MAX: usize = 2;

/// A stream under a line.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug + 'static> Stream for S {}

/// Timing that all devices of a line share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeviceTiming {
    pub(crate) outputs_missing_after: Duration,
    pub(crate) safe_write_interval: Duration,
    /// Silence to wait for when bytes stand on the line that nobody asked for.
    pub(crate) quiet: Duration,
    pub(crate) duplicate_guard: bool,
}

impl DeviceTiming {
    pub(crate) fn new(config: &LineConfig, alone: bool) -> Self {
        Self {
            outputs_missing_after: config.outputs_missing_after,
            safe_write_interval: config.safe_write_interval,
            // With others on the line one cannot wait that long; there, late answers are known by unit.
            quiet: if alone { config.late_window } else { Duration::ZERO },
            duplicate_guard: config.duplicate_guard,
        }
    }
}

/// Why a write did not end in an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteError {
    Fault(Fault),
    /// The outputs expired before all of them had left.
    Expired,
}

impl From<Fault> for WriteError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Time left for a request, where it may not take as long as the device's response timeout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(pub(crate) Option<Instant>);

impl Limit {
    pub(crate) const NONE: Self = Self(None);

    /// How long to wait for an answer that may take `timeout`, and `wire_time` on the wire besides.
    fn of(self, timeout: Duration, wire_time: Duration, now: Instant) -> Duration {
        self.0.map_or(timeout, |until| timeout.min(until.since(now).saturating_sub(wire_time)))
    }
}

pub(crate) struct Device {
    pub(crate) port: DevicePort,
    pub(crate) profile: Arc<DeviceProfile>,
    pub(crate) counters: Arc<DeviceCounters>,
    timing: DeviceTiming,
    published: DeviceInputs,
    outputs: OutputState,
    /// Sequence of the last outputs that were counted as expired.
    dropped: u32,
    /// It answered since it started afresh.
    answered: bool,
    /// It was scanned since then: what it says of itself holds.
    scanned: bool,
    office: Office,
    /// The epoch that writes carry; `None` that of the outputs.
    epoch: Option<u32>,
}

impl Device {
    pub(crate) fn new(port: DevicePort, timing: DeviceTiming, office: Office, now: Instant) -> Self {
        let profile = Arc::clone(&port.profile);
        let counters = Arc::clone(&port.counters);
        let outputs = OutputState::new(
            Arc::clone(&profile),
            timing.outputs_missing_after,
            timing.safe_write_interval,
            now,
        );
        let published = DeviceInputs::NEVER;
        Self {
            port,
            profile,
            counters,
            timing,
            published,
            outputs,
            dropped: 0,
            answered: false,
            scanned: false,
            office,
            epoch: None,
        }
    }

    /// Another node may be writing: nothing is written from now on.
    pub(crate) fn observe(&mut self) {
        self.outputs.observe();
    }

    /// Takes over from another node: the outputs go on as the controllers command them.
    pub(crate) fn take_over(&mut self, epoch: Option<u32>, now: Instant) {
        self.epoch = epoch;
        self.outputs.take_over(self.port.outputs.latest(), now);
    }

    /// Whether the safe value must be written before anything else.
    pub(crate) fn begins_safe(&self) -> bool {
        self.outputs.begins_safe()
    }

    /// Whether somebody at the device has it in hand, or may have.
    pub(crate) fn is_in_hand(&self) -> bool {
        self.profile.local.is_some_and(|tag| {
            let said = self.published.sample(tag);
            !(self.scanned && said.quality.is_usable() && said.value == 0.0)
        })
    }

    /// Raises the epoch at the device and changes nothing else, so that it refuses the predecessor.
    pub(crate) async fn fence<S: Stream>(
        &mut self,
        link: &mut Connection<S>,
        clock: &impl Clock,
        epoch: u32,
    ) -> Result<(), Fault> {
        let profile = Arc::clone(&self.profile);
        let Some(tag) = profile.epoch.and_then(|tag| profile.outputs.get(usize::from(tag.0))) else {
            return Ok(());
        };
        let mut buffer = [0; EPOCH_WORDS_MAX];
        let words = buffer.get_mut(..usize::from(tag.register.kind.words())).unwrap_or_default();
        tag.register.encode(f64::from(epoch), words);
        let query = Query::Write { start: tag.register.address, words };
        self.prepare(link, clock, &query, Limit::NONE).await?;
        self.transact(link, clock, &query, Limit::NONE).await.map(|_| ())
    }

    /// The connection, or the trust in the device, is new from `now` on.
    pub(crate) fn start_afresh(&mut self, now: Instant) {
        self.answered = false;
        self.scanned = false;
        self.outputs.start_afresh(now);
    }

    /// Begins the safe action, whatever outputs may still come.
    pub(crate) fn lead_to_safe(&mut self, now: Instant) {
        self.outputs.lead_to_safe(now);
    }

    /// Whether nothing is left to be done for safety.
    pub(crate) fn is_safe(&self) -> bool {
        self.is_in_hand() || self.outputs.is_safe()
    }

    /// When the next safe write is due. `commanded`: outputs may still come.
    pub(crate) fn safe_write_at(&mut self, commanded: bool) -> Option<Instant> {
        let newest = commanded.then(|| self.port.outputs.latest());
        self.outputs.safe_write_at(newest)
    }

    /// Writes the safe outputs of this moment.
    pub(crate) async fn write_safe<S: Stream>(
        &mut self,
        link: &mut Connection<S>,
        clock: &impl Clock,
        limit: Limit,
    ) -> Result<(), Fault> {
        let safe = self.outputs.safe_outputs(clock.now());
        match self.write_words(link, clock, &safe, false, limit).await {
            Ok(()) => {}
            // The lease is over: the device's own watchdog takes care of it, or the node that has it. Or somebody
            // at the device does.
            Err(WriteError::Expired) => return Ok(()),
            Err(WriteError::Fault(fault)) => return Err(fault),
        }
        self.counters.safe_writes.one();
        self.outputs.safe_acknowledged(&safe);
        Ok(())
    }

    /// The acquire phase: reads all blocks and publishes them, or nothing.
    pub(crate) async fn acquire<S: Stream>(
        &mut self,
        link: &mut Connection<S>,
        clock: &impl Clock,
    ) -> Result<(), Fault> {
        match self.profile.exchange {
            Exchange::Split => self.scan(link, clock, Limit::NONE).await,
            Exchange::Combined => Ok(()),
        }
    }

    /// The apply phase: writes the newest outputs if they are current and new. A combined exchange reads
    /// along in any case.
    pub(crate) async fn apply<S: Stream>(
        &mut self,
        link: &mut Connection<S>,
        clock: &impl Clock,
    ) -> Result<(), Fault> {
        let outputs = *self.port.outputs.latest();
        match self.outputs.command(&outputs, clock.now()) {
            Command::Write if self.is_in_hand() => {}
            Command::Write => {
                self.outputs.command_leaves();
                match self.write_words(link, clock, &outputs, true, Limit::NONE).await {
                    Ok(()) => self.acknowledged(&outputs),
                    Err(WriteError::Expired) => self.drop_expired(outputs.sequence),
                    Err(WriteError::Fault(fault)) => return Err(fault),
                }
                return Ok(());
            }
            Command::Expired { sequence } => self.drop_expired(sequence),
            Command::Nothing => {}
        }
        match self.profile.exchange {
            Exchange::Combined => self.scan(link, clock, Limit::NONE).await,
            Exchange::Split => Ok(()),
        }
    }

    fn drop_expired(&mut self, sequence: u32) {
        if self.dropped != sequence {
            self.dropped = sequence;
            self.counters.expired_outputs.one();
        }
    }

    fn acknowledged(&mut self, outputs: &DeviceOutputs) {
        self.counters.writes.one();
        self.outputs.command_acknowledged(outputs);
    }

    /// Reads all blocks of the device and publishes them as one.
    async fn scan<S: Stream>(
        &mut self,
        link: &mut Connection<S>,
        clock: &impl Clock,
        limit: Limit,
    ) -> Result<(), Fault> {
        let profile = Arc::clone(&self.profile);
        if profile.reads.is_empty() {
            return Ok(());
        }
        let mut image = self.published;
        for (at, block) in profile.reads.iter().enumerate() {
            let query = Query::Read { table: block.table, start: block.start, count: block.count };
            self.prepare(link, clock, &query, limit).await?;
            let (words, sent_at) = self.transact(link, clock, &query, limit).await?;
            if at == 0 {
                image.acquired_at = sent_at;
            }
            profile.decode(block, &words, &mut image);
        }
        self.publish(image);
        Ok(())
    }

    fn publish(&mut self, mut image: DeviceInputs) {
        image.sequence = match self.published.sequence.wrapping_add(1) {
            0 => 1,
            next => next,
        };
        image.outputs_acknowledged = self.outputs.acknowledged_sequence();
        self.scanned = true;
        if self.published.sequence != 0 {
            if self.stands_still(&image) {
                image.acquired_at = self.published.acquired_at;
            }
            self.counters.input_interval.record(image.acquired_at.since(self.published.acquired_at));
        }
        self.published = image;
        if self.is_in_hand() {
            self.outputs.in_hand(image.acquired_at);
        }
        self.port.inputs.publish(&image);
        self.counters.scans.one();
    }

    /// Whether the device's heartbeat is what it was: what it shows is as old as the scan before.
    fn stands_still(&self, image: &DeviceInputs) -> bool {
        self.profile.heartbeat.is_some_and(|tag| {
            let (before, now) = (self.published.sample(tag), image.sample(tag));
            before.quality.is_usable() && now.quality.is_usable() && before.value == now.value
        })
    }

    /// Writes all blocks. Outputs that were commanded leave only while they are current, and none of any kind while
    /// somebody at the device has it in hand.
    async fn write_words<S: Stream>(
        &mut self,
        link: &mut Connection<S>,
        clock: &impl Clock,
        outputs: &DeviceOutputs,
        commanded: bool,
        limit: Limit,
    ) -> Result<(), WriteError> {
        let profile = Arc::clone(&self.profile);
        let mut outputs = *outputs;
        if let (Some(tag), Some(epoch)) = (profile.epoch, self.epoch) {
            outputs.set(tag, f64::from(epoch));
        }
        let outputs = &outputs;
        let mut buffer = [0; WRITE_WORDS_MAX];
        for block in &profile.writes {
            let words = buffer.get_mut(..usize::from(block.count)).unwrap_or_default();
            words.fill(0);
            profile.encode(block, outputs, words);
            let (query, read) = match (profile.exchange, profile.reads.first()) {
                (Exchange::Combined, Some(read)) => {
                    let (read_start, read_count) = (read.start, read.count);
                    (Query::Exchange { read_start, read_count, write_start: block.start, words }, Some(read))
                }
                (Exchange::Combined | Exchange::Split, _) => {
                    (Query::Write { start: block.start, words }, None)
                }
            };
            self.prepare(link, clock, &query, limit).await?;
            // The last moment before the request leaves.
            let leaves_at = clock.now();
            let may_write = self.office.may_write(leaves_at) && !self.is_in_hand();
            if !may_write || (commanded && !outputs.is_current(leaves_at)) {
                return Err(WriteError::Expired);
            }
            let (read_words, sent_at) = self.transact(link, clock, &query, limit).await?;
            if let Some(read) = read {
                if commanded {
                    // What was read along was read after the write.
                    self.outputs.command_acknowledged(outputs);
                }
                let mut image = self.published;
                image.acquired_at = sent_at;
                profile.decode(read, &read_words, &mut image);
                self.publish(image);
            }
        }
        Ok(())
    }

    /// Shows that answers match requests again: by a probe, or on TCP, where they always do, by any
    /// request at all.
    pub(crate) async fn probe<S: Stream>(
        &mut self,
        link: &mut Connection<S>,
        clock: &impl Clock,
        limit: Limit,
    ) -> Result<(), Fault> {
        let Some(probe) = link.probe(self.port.unit_id, &self.profile) else {
            return Err(Fault::LineBusy);
        };
        self.counters.probes.one();
        match self.transact(link, clock, &probe, limit).await {
            Ok(_) | Err(Fault::Exception(_)) if link.in_step(self.port.unit_id) => Ok(()),
            Ok(_) => Err(Fault::LateReply),
            Err(fault) => Err(fault),
        }
    }

    /// Makes the way free for a request: waits until the line is, and puts a probe in front if the answer
    /// could be confused with an earlier one.
    async fn prepare<S: Stream>(
        &mut self,
        link: &mut Connection<S>,
        clock: &impl Clock,
        query: &Query<'_>,
        limit: Limit,
    ) -> Result<(), Fault> {
        if self.timing.duplicate_guard && link.is_ambiguous(self.port.unit_id, query) {
            self.probe(link, clock, limit).await?;
        }
        link.ready(self.port.unit_id, self.timing.quiet).await.map_err(|fault| self.count(fault))
    }

    /// One request. Returns also when it left, at the earliest.
    async fn transact<S: Stream>(
        &mut self,
        link: &mut Connection<S>,
        clock: &impl Clock,
        query: &Query<'_>,
        limit: Limit,
    ) -> Result<(Vec<u16>, Instant), Fault> {
        let sent_at = clock.now();
        let timeout = limit.of(self.profile.response_timeout, link.wire_time(query), sent_at);
        let result = link.call(self.port.unit_id, query, timeout, self.timing.quiet).await;
        self.counters.transactions.one();
        match result {
            Ok(words) => {
                self.counters.round_trip.record(clock.now().since(sent_at));
                self.answered = true;
                Ok((words, sent_at))
            }
            Err(fault) => Err(self.count(fault)),
        }
    }

    /// Counts a fault under the name that it has for this device.
    fn count(&mut self, fault: Fault) -> Fault {
        let named = match fault {
            Fault::Timeout if !self.answered => Fault::HalfOpen,
            other => other,
        };
        self.answered |= matches!(named, Fault::Exception(_));
        self.counters.count_fault(named);
        named
    }
}
