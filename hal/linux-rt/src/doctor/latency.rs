//! A spot check of wake-ups: how late a thread is that waits as a control loop does.

use hal_units::{Duration, Instant};

use super::{Check, Finding, Patient};
use crate::clock::{self, AbsoluteWait};
use crate::errno::CallError;
use crate::thread::{Policy, Priority, Realtime, SpawnError, ThreadReport, ThreadSpec, spawn};

/// The grid of the measurement.
const PERIOD: Duration = Duration::from_millis(1);
/// Longest measurement, in grid points: an hour.
const SAMPLES_MAX: usize = 3_600_000;
/// The period of a usual control loop, against which a delay is judged.
const LOOP_PERIOD: Duration = Duration::from_millis(10);

/// How late a thread woke up on a grid of 1 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WakeUps {
    /// The policy it had, read back.
    pub policy: Policy,
    /// Number of wake-ups.
    pub count: usize,
    /// Grid points that were over before it woke up.
    pub missed: u64,
    /// Half of the wake-ups were at most that late.
    pub p50: Duration,
    /// 99 of 100 were at most that late.
    pub p99: Duration,
    /// The latest one.
    pub max: Duration,
}

/// Wakes a thread on a grid of 1 ms for `measure_for`, at most an hour. The thread runs degraded where
/// real time is refused; the policy found tells.
///
/// # Errors
/// If the thread cannot be started.
pub fn measure_wake_ups(
    core: usize,
    priority: Priority,
    measure_for: Duration,
) -> Result<WakeUps, SpawnError> {
    let wanted = measure_for.as_nanos() / PERIOD.as_nanos();
    let count = usize::try_from(wanted).unwrap_or(SAMPLES_MAX).clamp(1, SAMPLES_MAX);
    let spec = ThreadSpec::fifo("takt-wake", core, priority, Realtime::Preferred);
    let body = move |report: &ThreadReport| {
        let mut delays = Vec::with_capacity(count);
        delays.resize(count, Duration::ZERO);
        let missed = sample(&mut delays);
        (report.found.policy, delays, missed)
    };
    let thread = spawn(spec, body)?;
    let ended = |_| SpawnError::Create { name: "takt-wake".to_owned(), error: "it panicked".to_owned() };
    let (policy, mut delays, missed) = thread.join().map_err(ended)?;
    let missed = missed
        .map_err(|error| SpawnError::Create { name: "takt-wake".to_owned(), error: error.to_string() })?;
    delays.sort_unstable();
    Ok(WakeUps {
        policy,
        count: delays.len(),
        missed,
        p50: percentile(&delays, 50),
        p99: percentile(&delays, 99),
        max: percentile(&delays, 100),
    })
}

/// Fills in one delay per wake-up; returns the grid points that were missed.
fn sample(delays: &mut [Duration]) -> Result<u64, CallError> {
    let mut missed = 0;
    let mut due: Instant = clock::now() + PERIOD;
    for delay in delays {
        *delay = AbsoluteWait::until(due)?.since(due);
        let late = delay.as_nanos() / PERIOD.as_nanos();
        missed += u64::try_from(late).unwrap_or(0);
        due = due + PERIOD * u32::try_from(late + 1).unwrap_or(1);
    }
    Ok(missed)
}

/// The nearest-rank percentile of sorted values; zero if there is none.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(Duration::ZERO)
}

pub(super) fn check(patient: &Patient) -> Finding {
    const CHECK: Check = Check::WakeUps;
    match measure_wake_ups(patient.core, patient.priority, patient.measure_for) {
        Ok(wake_ups) => judge(CHECK, &wake_ups),
        Err(error) => Finding::skipped(CHECK, error.to_string()),
    }
}

/// Late by at most 1 % of a loop's period in 99 of 100 cases, and 10 % in all, is fine; beyond 10 % in 1
/// of 100 cases control suffers.
fn judge(check: Check, wake_ups: &WakeUps) -> Finding {
    let us = |delay: Duration| delay.as_micros();
    let found = format!(
        "p50 {} us, p99 {} us, max {} us over {} wake-ups ({}), {} missed",
        us(wake_ups.p50),
        us(wake_ups.p99),
        us(wake_ups.max),
        wake_ups.count,
        wake_ups.policy,
        wake_ups.missed,
    );
    let remedy = "see the warnings above: kernel, isolation, interrupts, idle states, hypervisor";
    if wake_ups.p99 > LOOP_PERIOD / 10 {
        let meaning = "loops of 10 ms start late by more than a tenth of their period again and again";
        return Finding::failure(check, found, meaning, remedy);
    }
    if wake_ups.p99 > LOOP_PERIOD / 100 || wake_ups.max > LOOP_PERIOD / 10 {
        let meaning = "loops of 10 ms start late now and then; shorter ones miss their deadlines";
        return Finding::warning(check, found, meaning, remedy);
    }
    Finding::ok(check, found)
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    fn status(p99_us: u64, max_us: u64) -> Status {
        let (p99, max) = (Duration::from_micros(p99_us), Duration::from_micros(max_us));
        let (policy, p50) = (Policy::Fifo, Duration::ZERO);
        judge(Check::WakeUps, &WakeUps { policy, count: 1, missed: 0, p50, p99, max }).status
    }

    #[test]
    fn a_delay_is_judged_by_its_part_of_a_loop() {
        assert_eq!(status(100, 1000), Status::Ok);
        assert_eq!(status(101, 1000), Status::Warning);
        assert_eq!(status(100, 1001), Status::Warning);
        assert_eq!(status(1001, 1001), Status::Failure);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&sorted, 50), Duration::from_micros(100));
        assert_eq!(percentile(&sorted, 99), Duration::from_micros(198));
        assert_eq!(percentile(&sorted, 100), Duration::from_micros(200));
        assert_eq!(percentile(&[Duration::MAX], 50), Duration::MAX);
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn a_measurement_has_as_many_wake_ups_as_it_has_grid_points() {
        let wake_ups = measure_wake_ups(0, Priority::MIN, Duration::from_millis(20)).unwrap();
        assert_eq!(wake_ups.count, 20);
        assert!(wake_ups.p50 <= wake_ups.p99 && wake_ups.p99 <= wake_ups.max);
        assert!(wake_ups.max > Duration::ZERO, "nothing wakes up without delay");
    }
}
