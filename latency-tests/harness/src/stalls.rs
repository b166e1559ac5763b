//! Stalls of the host: times in which it ran nothing on a core, however urgent.
//!
//! # Model
//!
//! On each core a thread at a real-time priority above the agents' sleeps a millisecond at a time. Waking
//! more than a millisecond late, it was not kept waiting by any program here, for none is above it: the
//! core itself stood still. Without the permission for real time it cannot tell the host's stalls from
//! the load of this machine; then nothing is attributed to the host.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hal_linux_rt::clock::{AbsoluteWait, now};
use hal_linux_rt::thread::{Priority, Realtime, RtThread, ThreadSpec, spawn};
use hal_units::Duration;

const INTERVAL: Duration = Duration::from_millis(1);
const STALL_FROM: Duration = Duration::from_millis(1);
/// Above the agents' threads and the hog of `starve`, below the kernel's own.
const PRIORITY: u8 = 98;
/// Stalls that are kept until they are asked for.
const STALLS_MAX: usize = 10_000;

/// A time, in nanoseconds of the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Beginning.
    pub from_ns: u64,
    /// End.
    pub to_ns: u64,
}

/// The probes of all cores; dropped, they end.
#[derive(Debug)]
pub struct HostProbe {
    end: Arc<AtomicBool>,
    stalls: Arc<Mutex<Vec<Span>>>,
    threads: Vec<RtThread<()>>,
    /// Why nothing can be attributed to the host, if so.
    pub blind: Option<String>,
}

impl HostProbe {
    /// Starts a probe on each of the first `cores` cores.
    #[must_use]
    pub fn start(cores: usize) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let stalls = Arc::new(Mutex::new(Vec::new()));
        let mut probe =
            Self { end: Arc::clone(&end), stalls: Arc::clone(&stalls), threads: Vec::new(), blind: None };
        let Some(priority) = Priority::new(PRIORITY) else { return probe };
        for core in 0..cores {
            let spec = ThreadSpec::fifo("takt-host-probe", core, priority, Realtime::Required);
            let (end, stalls) = (Arc::clone(&end), Arc::clone(&stalls));
            match spawn(spec, move |_| watch(&end, &stalls)) {
                Ok(thread) => probe.threads.push(thread),
                Err(error) => probe.blind = Some(error.to_string()),
            }
        }
        probe
    }

    /// Takes the stalls since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Span> {
        std::mem::take(&mut *self.stalls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for HostProbe {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn watch(end: &AtomicBool, stalls: &Mutex<Vec<Span>>) {
    while !end.load(Ordering::Relaxed) {
        let due = now() + INTERVAL;
        let Ok(woke) = AbsoluteWait::until(due) else { return };
        if woke.since(due) > STALL_FROM {
            let mut stalls = stalls.lock().unwrap_or_else(PoisonError::into_inner);
            if stalls.len() < STALLS_MAX {
                stalls.push(Span { from_ns: due.as_nanos(), to_ns: woke.as_nanos() });
            }
        }
    }
}

/// Milliseconds of `within` that are covered by at least one of the spans.
#[must_use]
pub fn covered_ms(spans: &[Span], within: Span) -> f64 {
    let mut inside: Vec<Span> = spans
        .iter()
        .map(|span| Span { from_ns: span.from_ns.max(within.from_ns), to_ns: span.to_ns.min(within.to_ns) })
        .filter(|span| span.from_ns < span.to_ns)
        .collect();
    inside.sort_by_key(|span| span.from_ns);
    let (mut covered_ns, mut until_ns) = (0, 0);
    for span in inside {
        covered_ns += span.to_ns.saturating_sub(span.from_ns.max(until_ns));
        until_ns = until_ns.max(span.to_ns);
    }
    covered_ns as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from_ms: u64, to_ms: u64) -> Span {
        Span { from_ns: from_ms * 1_000_000, to_ns: to_ms * 1_000_000 }
    }

    #[test]
    fn stalls_of_two_cores_at_once_count_once_and_only_within_the_takeover() {
        let stalls = [span(0, 5), span(12, 16), span(14, 18), span(13, 14), span(28, 40)];
        assert_eq!(covered_ms(&stalls, span(10, 30)), 6.0 + 2.0);
        assert_eq!(covered_ms(&stalls, span(6, 11)), 0.0);
        assert_eq!(covered_ms(&[span(0, 100)], span(10, 30)), 20.0);
    }
}
