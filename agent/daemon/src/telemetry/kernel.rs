//! What the kernel counts for a real-time thread and its core.

use std::fs::read_to_string;

use hal_units::Duration;

/// Of a tick in `/proc/stat`: USER_HZ is 100 on every architecture that we know (proc(5)).
const TICK: Duration = Duration::from_millis(10);

/// Counts since the start of the thread, or between two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Time that it was ready and another ran on its core.
    pub(super) run_queue: Duration,
    /// Times that it was taken off its core.
    pub(super) switches_involuntary: u64,
    /// Page faults that needed no disk.
    pub(super) faults_minor: u64,
    /// Page faults that did.
    pub(super) faults_major: u64,
    /// Time that the host gave its core to somebody else.
    pub(super) stolen: Duration,
    /// Time that its core was in interrupts.
    pub(super) interrupts: Duration,
}

impl Counts {
    /// What a thread of this process, pinned to `core`, has by now. Zero where the kernel does not tell.
    pub(super) fn now(thread_id: i32, core: Option<usize>) -> Self {
        let task = |file: &str| read_to_string(format!("/proc/self/task/{thread_id}/{file}")).ok();
        let (faults_minor, faults_major) = task("stat").and_then(|text| faults(&text)).unwrap_or_default();
        let taken = core.and_then(|core| taken(&read_to_string("/proc/stat").ok()?, core));
        let (interrupts, stolen) = taken.unwrap_or_default();
        Self {
            run_queue: task("schedstat").and_then(|text| run_queue(&text)).unwrap_or(Duration::ZERO),
            switches_involuntary: task("status").and_then(|text| switches(&text)).unwrap_or(0),
            faults_minor,
            faults_major,
            stolen,
            interrupts,
        }
    }

    /// What has come since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            run_queue: self.run_queue.saturating_sub(before.run_queue),
            switches_involuntary: self.switches_involuntary.saturating_sub(before.switches_involuntary),
            faults_minor: self.faults_minor.saturating_sub(before.faults_minor),
            faults_major: self.faults_major.saturating_sub(before.faults_major),
            stolen: self.stolen.saturating_sub(before.stolen),
            interrupts: self.interrupts.saturating_sub(before.interrupts),
        }
    }

    /// Both together.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self {
            run_queue: self.run_queue.saturating_add(other.run_queue),
            switches_involuntary: self.switches_involuntary + other.switches_involuntary,
            faults_minor: self.faults_minor + other.faults_minor,
            faults_major: self.faults_major + other.faults_major,
            stolen: self.stolen.saturating_add(other.stolen),
            interrupts: self.interrupts.saturating_add(other.interrupts),
        }
    }
}

/// `/proc/PID/task/TID/schedstat`: time on the core, time ready without it, slices.
fn run_queue(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

fn switches(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// Fields 10 and 12 of `stat`; the name in field 2 may hold anything, but ends with the last bracket.
fn faults(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(7);
    let minor = fields.next()?.parse().ok()?;
    let major = fields.nth(1)?.parse().ok()?;
    Some((minor, major))
}

/// In interrupts, hard and soft, and stolen: the sixth to the eighth number of a core's line in `/proc/stat`.
fn taken(stat: &str, core: usize) -> Option<(Duration, Duration)> {
    let name = format!("cpu{core}");
    let line = stat.lines().find(|line| line.split_whitespace().next() == Some(name.as_str()))?;
    let mut ticks = line.split_whitespace().skip(6).map(|ticks| ticks.parse::<u32>().ok());
    let (hard, soft, stolen) = (ticks.next()??, ticks.next()??, ticks.next()??);
    Some((TICK * hard.saturating_add(soft), TICK * stolen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_manual() {
        let stat = "71 (takt (rt) x) S 1 71 71 0 -1 4194560 130 0 7 0 33 44 0 0 -51 0 5 0 12345";
        assert_eq!(faults(stat), Some((130, 7)));
        assert_eq!(run_queue("123456 7890 42"), Some(Duration::from_nanos(7890)));
        assert_eq!(
            switches("Name:\tx\nvoluntary_ctxt_switches:\t9\nnonvoluntary_ctxt_switches:\t4\n"),
            Some(4)
        );
        let cores = "cpu  9 9 9 9 9 9 9 90 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu1 1 2 3 4 5 6 7 21 0 0\n";
        assert_eq!(taken(cores, 1), Some((Duration::from_millis(130), Duration::from_millis(210))));
        assert_eq!(taken(cores, 7), None);
    }

    #[test]
    fn a_thread_that_runs_faults_and_is_counted() {
        let this_thread = std::fs::read_link("/proc/thread-self").unwrap();
        let thread_id = this_thread.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let before = Counts::now(thread_id, Some(0));
        let pages = vec![1_u8; 4 << 20];
        std::hint::black_box(&pages);
        let since = Counts::now(thread_id, Some(0)).since(&before);
        assert!(since.faults_minor > 0, "{since:?}");
    }
}
