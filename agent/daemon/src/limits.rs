//! What the control groups of the agent keep from it while it runs.
//!
//! A processor quota does not stop real-time threads, but it stops the threads that talk to devices, brokers and
//! the peer, for tens of milliseconds: inputs age, and nothing else says why. So the kernel's counters are
//! watched, and a group that stops the agent is a reason of degradation.

use hal_linux_rt::cgroup::{CpuLevel, Facts};
use hal_linux_rt::counters::Throttling;
use hal_units::{Duration, Instant};

/// A group that stopped the agent is told of for so long after the last time.
const TOLD_FOR: Duration = Duration::from_secs(10);

/// The groups that count how often they stopped the agent.
#[derive(Debug)]
pub(crate) struct GroupWatch {
    levels: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    level: CpuLevel,
    at_start: Throttling,
    seen: Throttling,
    told_until: Instant,
}

impl GroupWatch {
    /// Counts from what `groups` say.
    pub(crate) fn new(groups: Facts) -> Self {
        let watched = |level: CpuLevel| {
            let at_start = level.throttling?;
            Some(Watched { level, at_start, seen: at_start, told_until: Instant::ZERO })
        };
        Self { levels: groups.cpu.into_iter().filter_map(watched).collect() }
    }

    /// Reads the counters; in words which groups stop the agent, or did within the last ten seconds.
    pub(crate) fn look(&mut self, now: Instant) -> Vec<String> {
        self.levels.iter_mut().filter_map(|watched| watched.look(now)).collect()
    }
}

impl Watched {
    fn look(&mut self, now: Instant) -> Option<String> {
        if let Some(found) = self.level.throttling_now() {
            if found.throttled > self.seen.throttled {
                self.told_until = now + TOLD_FOR;
            }
            self.seen = found;
        }
        (now < self.told_until).then(|| {
            format!(
                "control group {} stops the threads for devices and brokers: its processor quota ran out in {} \
                 of {} periods, {} ms in all, since the agent started; raise or remove the quota",
                self.level.directory.display(),
                self.seen.throttled.saturating_sub(self.at_start.throttled),
                self.seen.periods.saturating_sub(self.at_start.periods),
                self.seen.time.saturating_sub(self.at_start.time).as_millis(),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_linux_rt::cgroup::Kind;
    use std::fs;

    const SECOND: Duration = Duration::from_secs(1);

    /// A group whose counter a test sets.
    struct Group(tempfile::TempDir);

    impl Group {
        fn throttled(count: u64) -> Self {
            let group = Self(tempfile::tempdir().unwrap());
            group.set(count);
            group
        }

        fn set(&self, throttled: u64) {
            let text = format!("nr_periods 50\nnr_throttled {throttled}\nthrottled_usec {throttled}000\n");
            fs::write(self.0.path().join("cpu.stat"), text).unwrap();
        }

        fn watch(&self) -> GroupWatch {
            let level = CpuLevel {
                directory: self.0.path().to_owned(),
                quota: None,
                rt_budget: None,
                throttling: None,
            };
            let level = CpuLevel { throttling: level.throttling_now(), ..level };
            GroupWatch::new(Facts { kind: Kind::V2, cpu: vec![level], cpuset: None, memory_bytes_max: None })
        }
    }

    fn at(seconds: u32) -> Instant {
        Instant::ZERO + SECOND * seconds
    }

    #[test]
    fn what_a_group_did_before_the_agent_started_is_no_reason() {
        assert_eq!(Group::throttled(7).watch().look(at(1)), [""; 0]);
    }

    #[test]
    fn a_group_that_stops_the_agent_is_named_until_it_has_not_for_a_while() {
        let group = Group::throttled(7);
        let mut watch = group.watch();
        group.set(9);
        let told = watch.look(at(1)).remove(0);
        assert!(told.contains("2 of 0 periods, 2 ms in all"), "{told}");
        assert!(told.contains(&*group.0.path().to_string_lossy()), "{told}");
        assert_eq!(watch.look(at(10)).len(), 1);
        assert_eq!(watch.look(at(11)), [""; 0]);
    }

    #[test]
    fn a_group_that_is_gone_is_no_reason() {
        let group = Group::throttled(7);
        let mut watch = group.watch();
        fs::remove_file(group.0.path().join("cpu.stat")).unwrap();
        assert_eq!(watch.look(at(1)), [""; 0]);
    }
}
