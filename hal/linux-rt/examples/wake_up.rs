//! How late does a real-time thread wake up? Prints a histogram and what the kernel says of the thread.
//!
//! ```text
//! cargo run --release -p hal-linux-rt --example wake_up -- [SECONDS [CORE [PRIORITY [PERIOD_US]]]]
//! ```
//!
//! Default: 10 seconds on the last core at priority 80 with a period of 1000 microseconds. Needs
//! permission for `SCHED_FIFO`; without it the thread runs degraded, and the output says so.

#![allow(clippy::expect_used, reason = "an example: a failure ends it with its reason")]

use std::env;
use std::time::Duration;

use hal_linux_rt::clock::{AbsoluteWait, now};
use hal_linux_rt::counters::{self, ThreadCounters};
use hal_linux_rt::doctor::default_core;
use hal_linux_rt::memory::{self, MemoryPlan};
use hal_linux_rt::thread::{Priority, Realtime, ThreadSpec, spawn};
use hdrhistogram::Histogram;

struct Run {
    delays_ns: Histogram<u64>,
    missed: u64,
    used: ThreadCounters,
}

fn main() {
    let mut numbers = env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let seconds = numbers.next().unwrap_or(10);
    let core = numbers.next().map_or_else(default_core, |core| usize::try_from(core).unwrap_or(usize::MAX));
    let level = numbers.next().and_then(|level| u8::try_from(level).ok()).unwrap_or(80);
    let period = Duration::from_micros(numbers.next().unwrap_or(1000).max(50));
    let priority = Priority::new(level).expect("a priority from 1 to 99");
    let cycles = Duration::from_secs(seconds).as_nanos() / period.as_nanos();

    match memory::lock(&MemoryPlan::default()) {
        Ok(report) => println!("memory: {} KiB locked", report.locked_bytes / 1024),
        Err(error) => println!("memory: not locked: {error}"),
    }
    let spec = ThreadSpec::fifo("wake-up", core, priority, Realtime::Preferred);
    let thread = spawn(spec, move |_| run(cycles, period)).expect("a thread");
    let found = &thread.report.found;
    println!("thread: {} at {}, cores {}", found.policy, found.priority, found.cores);
    for shortfall in &thread.report.shortfalls {
        println!("degraded: {shortfall}");
    }
    let result = thread.join().expect("the thread must not panic");
    print(&result);
}

/// Everything that it needs is there before the first cycle: the histogram has all of its buckets.
fn run(cycles: u128, period: Duration) -> Run {
    let mut delays_ns = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds");
    delays_ns.saturating_record(1);
    delays_ns.reset();
    let mut missed = 0;
    let mut due = now() + period;
    let before = counters::of_current_thread().expect("counters");
    for _ in 0..cycles {
        let delay = AbsoluteWait::until(due).expect("a wait").since(due);
        delays_ns.saturating_record(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX));
        let late = u32::try_from(delay.as_nanos() / period.as_nanos()).unwrap_or(u32::MAX - 1);
        missed += u64::from(late);
        due = due + period * (late + 1);
    }
    let used = counters::of_current_thread().expect("counters").since(&before);
    Run { delays_ns, missed, used }
}

fn print(run: &Run) {
    let delays = &run.delays_ns;
    let us = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64() * 1e6;
    println!("wake-ups: {}, grid points missed: {}", delays.len(), run.missed);
    println!(
        "late by us: min {:.1}, p50 {:.1}, p90 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1}",
        us(delays.min()),
        us(delays.value_at_quantile(0.5)),
        us(delays.value_at_quantile(0.9)),
        us(delays.value_at_quantile(0.99)),
        us(delays.value_at_quantile(0.999)),
        us(delays.max()),
    );
    println!(
        "page faults: {}; context switches: {} voluntary, {} involuntary",
        run.used.faults_minor + run.used.faults_major,
        run.used.switches_voluntary,
        run.used.switches_involuntary,
    );
    for bucket in delays.iter_log(2000, 2.0).filter(|bucket| bucket.count_since_last_iteration() > 0) {
        let count = bucket.count_since_last_iteration();
        let share = usize::try_from(count * 50 / delays.len().max(1)).unwrap_or(0);
        println!("  up to {:>9.1} us {count:>8} {}", us(bucket.value_iterated_to()), "#".repeat(share));
    }
}
