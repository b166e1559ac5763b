//! The file of `--write-log`: every write of commands as the devices met it, and the times in which this
//! process did not get to run, on one clock.
//!
//! # Model
//!
//! Two threads beside the devices. The *keeper* drains the devices' queue every 20 ms, and flushes. The
//! *probe* sleeps a millisecond at a time; waking more than a millisecond late, it notes a stall: in that
//! time the devices may have stood still too, whatever their masters did.
//!
//! # Format
//!
//! Lines of comma-separated fields, whose first says what the line is. Times are nanoseconds on the
//! simulator's clock, whose zero the first line gives on CLOCK_MONOTONIC, so that other processes of the
//! same machine can place what they did.
//!
//! | line | meaning |
//! |---|---|
//! | `takt-write-log,1,ZERO_NS` | version, and the clock's zero |
//! | `w,NS,DEVICE,EPOCH,WATCHDOG,VERDICT,TORQUE_NM,PITCH_RAD,YAW_RAD_S,BRAKE,CONNECT` | a write; devices count from 1, the epoch is empty if none was named |
//! | `s,FROM_NS,TO_NS` | the probe should have run at FROM and ran at TO |
//! | `t,NS` | what happened before is above, but for what a stall held back |
//! | `d,COUNT` | so many writes since the start did not fit the queue and are missing |

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant as Clock;

use hal_units::Duration;
use rustix::time::{ClockId, clock_gettime};
use sim_devices::{WriteLog, WriteRecord};

use crate::failure::Failure;

/// Writes that can wait: 13 s of 50 devices at 100 Hz.
const WAITING_MAX: usize = 1 << 16;
const FLUSH_INTERVAL: Duration = Duration::from_millis(20);
const PROBE_INTERVAL: Duration = Duration::from_millis(1);
/// Later than this is a stall. The kernel's timer slack is 0.05 ms.
const STALL_FROM: Duration = Duration::from_millis(1);
/// Stalls that can wait for the keeper, which a stall holds up too.
const STALLS_MAX: usize = 1024;

/// A log that is being kept.
pub(crate) struct KeptLog {
    path: PathBuf,
    end: Arc<AtomicBool>,
    keeper: JoinHandle<io::Result<()>>,
    probe: JoinHandle<()>,
}

/// A queue for the devices' writes.
pub(crate) fn queue() -> Arc<WriteLog> {
    Arc::new(WriteLog::with_capacity(WAITING_MAX))
}

impl KeptLog {
    /// Begins to keep what comes through `log` in the file at `path`; `zero` is the zero of its times.
    pub(crate) fn start(path: &Path, log: Arc<WriteLog>, zero: Clock) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::unwritable(path, &error);
        let mut out = BufWriter::with_capacity(1 << 16, File::create(path).map_err(failed)?);
        writeln!(out, "takt-write-log,1,{}", monotonic_nanos_at(zero)).map_err(failed)?;
        let end = Arc::new(AtomicBool::new(false));
        let (stalls_in, stalls) = sync_channel(STALLS_MAX);
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let until = Arc::clone(&end);
        let probe = named("takt-probe").spawn(move || probe(zero, &until, &stalls_in)).map_err(failed)?;
        let until = Arc::clone(&end);
        let keeper = named("takt-keeper")
            .spawn(move || Keeper { out, log, stalls, zero }.keep(&until))
            .map_err(failed)?;
        Ok(Self { path: path.to_owned(), end, keeper, probe })
    }

    /// Writes what still waits and closes the file.
    pub(crate) fn end(self) -> Result<(), Failure> {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.probe.join();
        match self.keeper.join() {
            Ok(kept) => kept.map_err(|error| Failure::unwritable(&self.path, &error)),
            Err(_) => Err(Failure::unwritable(&self.path, &io::Error::other("the keeper's thread died"))),
        }
    }
}

/// `at` on CLOCK_MONOTONIC, which is what the standard library measures with on Linux.
fn monotonic_nanos_at(at: Clock) -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    let since = i64::try_from(at.elapsed().as_nanos()).unwrap_or(i64::MAX);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec).saturating_sub(since)
}

/// Notes when it was not given the processor.
fn probe(zero: Clock, end: &AtomicBool, stalls: &SyncSender<(Duration, Duration)>) {
    while !end.load(Ordering::Relaxed) {
        let due = zero.elapsed() + PROBE_INTERVAL;
        std::thread::sleep(PROBE_INTERVAL);
        let woke = zero.elapsed();
        if woke.saturating_sub(due) > STALL_FROM {
            let _ = stalls.try_send((due, woke));
        }
    }
}

struct Keeper {
    out: BufWriter<File>,
    log: Arc<WriteLog>,
    stalls: Receiver<(Duration, Duration)>,
    zero: Clock,
}

impl Keeper {
    fn keep(mut self, end: &AtomicBool) -> io::Result<()> {
        let mut records = Vec::with_capacity(WAITING_MAX);
        let mut missing = 0;
        loop {
            let last = end.load(Ordering::Relaxed);
            let now = self.zero.elapsed();
            let dropped = self.log.drain(&mut records);
            for (device, record) in records.drain(..) {
                put(&mut self.out, device, &record)?;
            }
            for (from, to) in self.stalls.try_iter() {
                writeln!(self.out, "s,{},{}", from.as_nanos(), to.as_nanos())?;
            }
            if dropped > missing {
                missing = dropped;
                writeln!(self.out, "d,{dropped}")?;
            }
            writeln!(self.out, "t,{}", now.as_nanos())?;
            self.out.flush()?;
            if last {
                return Ok(());
            }
            std::thread::sleep(FLUSH_INTERVAL);
        }
    }
}

fn put(out: &mut impl Write, device: u16, record: &WriteRecord) -> io::Result<()> {
    write!(out, "w,{},{},", record.at.as_nanos(), device + 1)?;
    if let Some(epoch) = record.epoch {
        write!(out, "{epoch}")?;
    }
    writeln!(
        out,
        ",{},{},{},{},{},{},{}",
        record.watchdog,
        record.verdict.as_str(),
        record.torque_nm,
        record.pitch_rad,
        record.yaw_rad_per_s,
        u8::from(record.brake),
        u8::from(record.connect)
    )
}
