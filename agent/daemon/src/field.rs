//! The thread that talks to the field: one task for each bus, and a pacer for each loop group.
//!
//! # Model
//!
//! The pacer lives on the same grid as the group's real-time thread. The requests for inputs leave
//! `lead` before a grid point, so that the answers are there when the cycle begins; the outputs leave
//! when the cycle's budget is over. The lead follows the measured round trips: their 99.9th percentile
//! and a margin. Nobody wakes anybody: both threads keep the same time.

use std::sync::{Arc, mpsc};

use agent_cycle::Grid;
use hal_linux_rt::clock::now;
use hal_linux_rt::thread::{self, Priority, Realtime, RtThread, SpawnError, ThreadReport, ThreadSpec};
use hal_modbus::{DeviceCounters, DevicePort, LineConfig, Office, Phase, Stop, Ticker, run_line};
use hal_units::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::alarm::Alarm;
use crate::config::IoConfig;
use crate::setup::drop_capabilities;

/// The least time by which the requests leave before the grid point.
const LEAD_MIN: Duration = Duration::from_micros(500);
/// Added to the measured round trip.
const LEAD_MARGIN: Duration = Duration::from_micros(300);
/// Cycles between two looks at the round trips.
const LEAD_REVIEW_CYCLES: u64 = 100;

/// A loop group as the field thread sees it.
#[derive(Debug)]
pub struct GroupField {
    /// The grid point from which the group's cycles count.
    pub origin: Instant,
    /// Period.
    pub period: Duration,
    /// The outputs leave this long after a grid point.
    pub budget: Duration,
    /// The group's buses.
    pub lines: Vec<(LineConfig, Vec<DevicePort>)>,
}

/// The running field thread.
#[derive(Debug)]
pub struct FieldThread {
    begin: mpsc::Sender<()>,
    stop: watch::Sender<Stop>,
    thread: RtThread<()>,
}

impl FieldThread {
    /// Starts the thread with the ordinary policy, or with SCHED_FIFO where the configuration says so. It
    /// opens no connection before [`FieldThread::begin`], and writes only while `office` is this node's.
    ///
    /// # Errors
    /// If the thread cannot be created, or not with the policy that is required.
    pub fn start(
        io: IoConfig,
        groups: Vec<GroupField>,
        office: Office,
        realtime: Realtime,
    ) -> Result<Self, SpawnError> {
        let (stop, stopped) = watch::channel(Stop::Run);
        let spec = ThreadSpec {
            name: "takt-field".to_owned(),
            core: io.core.map(usize::from),
            priority: io.priority.and_then(Priority::new),
            stack_bytes: 512 << 10,
            stack_prefault_bytes: 256 << 10,
            realtime,
        };
        let (begin, begun) = mpsc::channel();
        let thread = thread::spawn(spec, move |_| {
            drop_capabilities();
            if begun.recv().is_ok() {
                run(groups, &office, &stopped);
            }
        })?;
        Ok(Self { begin, stop, thread })
    }

    /// Lets the thread talk to the field. Without it the thread ends when this is dropped.
    pub fn begin(&self) {
        if self.begin.send(()).is_err() {
            tracing::error!("the field thread ended before it began");
        }
    }

    /// The thread's settings as read back.
    #[must_use]
    pub fn report(&self) -> &ThreadReport {
        &self.thread.report
    }

    /// Leads every device through its safe action, at most until `deadline`, and ends the thread.
    pub fn stop(self, deadline: Instant) {
        let _ = self.stop.send(Stop::Safe { deadline });
        if self.thread.join().is_err() {
            tracing::error!("the field thread panicked");
        }
    }
}

fn run(groups: Vec<GroupField>, office: &Office, stop: &watch::Receiver<Stop>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the field thread has no runtime");
            return;
        }
    };
    let local = LocalSet::new();
    let mut lines = Vec::new();
    for group in groups {
        let counters: Vec<Arc<DeviceCounters>> = group
            .lines
            .iter()
            .flat_map(|(_, devices)| devices.iter().map(|device| Arc::clone(&device.counters)))
            .collect();
        let (ticker, _first) = Ticker::new();
        for (config, devices) in group.lines {
            let (ticks, stop) = (ticker.subscribe(), stop.clone());
            lines.push(local.spawn_local(run_line(config, devices, office.clone(), ticks, now, stop)));
        }
        let pacer =
            Pacer { ticker, counters, origin: group.origin, period: group.period, budget: group.budget };
        local.spawn_local(pacer.run());
    }
    local.block_on(&runtime, async {
        for line in lines {
            if let Err(error) = line.await {
                tracing::error!(%error, "a bus task ended badly");
            }
        }
    });
}

struct Pacer {
    ticker: Ticker,
    counters: Vec<Arc<DeviceCounters>>,
    origin: Instant,
    period: Duration,
    budget: Duration,
}

impl Pacer {
    async fn run(self) {
        let alarm = match Alarm::new() {
            Ok(alarm) => alarm,
            Err(error) => {
                tracing::error!(%error, "no timer: the buses stand still");
                return;
            }
        };
        let mut grid = Grid::new(self.origin, self.period);
        let mut lead = self.lead();
        loop {
            let (cycle, point, _) = grid.advance(now() + lead);
            // The lines count from 1.
            let number = cycle + 1;
            let next_acquire_at = point + self.period - lead;
            if alarm.wait(point - lead).await.is_err() {
                return;
            }
            self.ticker.announce(Phase::Acquire, number, point + self.budget);
            if alarm.wait(point + self.budget).await.is_err() {
                return;
            }
            self.ticker.announce(Phase::Apply, number, next_acquire_at);
            if number % LEAD_REVIEW_CYCLES == 0 {
                lead = self.lead();
            }
        }
    }

    /// 99.9th percentile of the round trips and a margin, at most two fifths of the period.
    fn lead(&self) -> Duration {
        let slowest = self
            .counters
            .iter()
            .map(|counters| counters.round_trip.snapshot().quantile(0.999))
            .max()
            .unwrap_or_default();
        (slowest + LEAD_MARGIN).max(LEAD_MIN).min(self.period * 2 / 5)
    }
}
