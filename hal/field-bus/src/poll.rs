//! Which devices of a line are served, and when one that does not answer is tried again.
//!
//! # Model
//!
//! Each device of a line has a [`Standing`]. A *live* one is polled in every cycle, in the order of the
//! list. One that fails is *quarantined*: out of the poll list, tried again after a wait that doubles
//! with each failure, and on a line with other live devices only in *slack*, the time that a cycle
//! leaves over. So a dead or slow device costs the others one response timeout when it fails, and
//! nothing from then on. A device that comes back and fails again at once (flapping) goes on doubling
//! its wait: only a device that stayed live for the longest wait has its record cleared.
//!
//! The one exception is *joining*: at the start, and after the line itself was lost, every device is
//! asked once without regard to slack, since it may well be alive.
//!
//! No clock is read here: time comes in.

use core::time::Duration;

use hal_units::Instant;

/// Where a device stands with its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// To be asked now; nothing is known against it.
    Joining,
    /// Polled in every cycle.
    Live {
        /// When it came live.
        since: Instant,
    },
    /// Out of the poll list.
    Quarantined {
        /// Not tried before this.
        retry_at: Instant,
    },
}

/// How long to wait between two attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Wait after the first failure.
    pub wait_min: Duration,
    /// The longest wait.
    pub wait_max: Duration,
    /// The least slack in which an attempt is made.
    pub slack_min: Duration,
}

impl RetryPolicy {
    /// The wait after `failures` in a row, at least 1: doubles from the shortest to the longest.
    #[must_use]
    pub fn wait(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.wait_min.saturating_mul(1 << doublings).min(self.wait_max.max(self.wait_min))
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    standing: Standing,
    failures: u32,
}

/// The poll order of one line.
#[derive(Debug, Clone)]
pub struct PollOrder {
    entries: Vec<Entry>,
    policy: RetryPolicy,
}

/// A device to try again, and the time that the attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Position of the device in the line's list.
    pub device: usize,
    /// The attempt must be over after this; `None` if it delays nobody.
    pub limit: Option<Duration>,
}

impl PollOrder {
    /// All `devices` joining.
    #[must_use]
    pub fn new(devices: usize, policy: RetryPolicy) -> Self {
        Self { entries: vec![Entry { standing: Standing::Joining, failures: 0 }; devices], policy }
    }

    /// Where a device stands; `None` outside the list.
    #[must_use]
    pub fn standing(&self, device: usize) -> Option<Standing> {
        self.entries.get(device).map(|entry| entry.standing)
    }

    /// Whether a device is polled.
    #[must_use]
    pub fn is_live(&self, device: usize) -> bool {
        matches!(self.standing(device), Some(Standing::Live { .. }))
    }

    /// The next device to be asked outside the poll list: any that joins, else the one that has waited
    /// longest beyond its time, if its attempt fits into `slack`.
    #[must_use]
    pub fn attempt(&self, now: Instant, slack: Duration) -> Option<Attempt> {
        let joining = |entry: &Entry| entry.standing == Standing::Joining;
        if let Some(device) = self.entries.iter().position(joining) {
            return Some(Attempt { device, limit: None });
        }
        let (device, _) = self.overdue(now)?;
        if !self.anyone_live() {
            return Some(Attempt { device, limit: None });
        }
        (slack >= self.policy.slack_min && !slack.is_zero()).then_some(Attempt { device, limit: Some(slack) })
    }

    /// When an attempt is next due; `None` if no device waits for one.
    #[must_use]
    pub fn attempt_at(&self) -> Option<Instant> {
        let due = |entry: &Entry| match entry.standing {
            Standing::Joining => Some(Instant::ZERO),
            Standing::Live { .. } => None,
            Standing::Quarantined { retry_at } => Some(retry_at),
        };
        self.entries.iter().filter_map(due).min()
    }

    /// The device answered as it should and took its safe outputs, if it has any.
    pub fn joined(&mut self, device: usize, now: Instant) {
        if let Some(entry) = self.entries.get_mut(device)
            && !matches!(entry.standing, Standing::Live { .. })
        {
            entry.standing = Standing::Live { since: now };
        }
    }

    /// The device failed. It is tried again no earlier than `wait_min` from `now`, and later the more
    /// often it failed; in any case not before `quiet` has passed.
    pub fn failed(&mut self, device: usize, now: Instant, quiet: Duration) {
        let alone = self.entries.len() == 1;
        let policy = self.policy;
        let Some(entry) = self.entries.get_mut(device) else { return };
        if let Standing::Live { since } = entry.standing {
            // Alone on its line a device delays nobody by flapping.
            let proven = if alone { policy.wait_min } else { policy.wait_max };
            if now.since(since) >= proven {
                entry.failures = 0;
            }
        }
        entry.failures = entry.failures.saturating_add(1);
        let wait = policy.wait(entry.failures).max(quiet);
        entry.standing = Standing::Quarantined { retry_at: now + wait };
    }

    /// The line itself was lost: who was live joins anew; who was quarantined stays so.
    pub fn line_lost(&mut self) {
        for entry in &mut self.entries {
            if let Standing::Live { .. } = entry.standing {
                entry.standing = Standing::Joining;
            }
        }
    }

    /// Whether any device is polled.
    #[must_use]
    pub fn anyone_live(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.standing, Standing::Live { .. }))
    }

    fn overdue(&self, now: Instant) -> Option<(usize, Instant)> {
        let due = |(at, entry): (usize, &Entry)| match entry.standing {
            Standing::Quarantined { retry_at } if retry_at <= now => Some((at, retry_at)),
            Standing::Quarantined { .. } | Standing::Joining | Standing::Live { .. } => None,
        };
        self.entries.iter().enumerate().filter_map(due).min_by_key(|(_, retry_at)| *retry_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: RetryPolicy = RetryPolicy {
        wait_min: Duration::from_millis(20),
        wait_max: Duration::from_secs(2),
        slack_min: Duration::from_millis(3),
    };

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn line_of_two_live() -> PollOrder {
        let mut order = PollOrder::new(2, POLICY);
        order.joined(0, at(0));
        order.joined(1, at(0));
        order
    }

    #[test]
    fn a_failed_device_waits_for_its_time_and_for_slack() {
        let mut order = line_of_two_live();
        order.failed(1, at(5_000), Duration::ZERO);
        let slack = Duration::from_millis(4);
        assert_eq!(order.attempt(at(5_019), slack), None);
        assert_eq!(order.attempt(at(5_020), Duration::from_millis(2)), None);
        assert_eq!(order.attempt(at(5_020), slack), Some(Attempt { device: 1, limit: Some(slack) }));
        assert!(order.is_live(0) && !order.is_live(1));
    }

    #[test]
    fn alone_on_its_line_a_device_needs_no_slack() {
        let mut order = PollOrder::new(1, POLICY);
        order.failed(0, at(0), Duration::ZERO);
        assert_eq!(order.attempt(at(20), Duration::ZERO), Some(Attempt { device: 0, limit: None }));
    }

    #[test]
    fn a_flapping_device_waits_longer_and_longer() {
        let mut order = line_of_two_live();
        let mut now = at(5_000);
        let mut waits = Vec::new();
        for _ in 0..9 {
            order.failed(1, now, Duration::ZERO);
            let retry_at = order.attempt_at().unwrap();
            waits.push(retry_at.since(now).as_millis());
            now = retry_at;
            order.joined(1, now);
        }
        assert_eq!(waits, [20, 40, 80, 160, 320, 640, 1280, 2000, 2000]);
    }

    #[test]
    fn a_device_that_stayed_live_starts_again_with_the_shortest_wait() {
        let mut order = line_of_two_live();
        for _ in 0..5 {
            order.failed(1, at(5_000), Duration::ZERO);
        }
        order.joined(1, at(10_000));
        order.failed(1, at(12_000), Duration::ZERO);
        assert_eq!(order.attempt_at(), Some(at(12_020)));
    }

    #[test]
    fn after_the_line_was_lost_who_was_live_joins_without_slack() {
        let mut order = line_of_two_live();
        order.failed(0, at(0), Duration::ZERO);
        order.line_lost();
        assert_eq!(order.attempt(at(1), Duration::ZERO), Some(Attempt { device: 1, limit: None }));
        assert!(matches!(order.standing(0), Some(Standing::Quarantined { .. })));
    }

    #[derive(Debug, Clone, Copy)]
    enum Event {
        Fail(usize),
        Join(usize),
        Attempt { slack_ms: u64 },
        LineLost,
        Wait { ms: u64 },
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0..4_usize).prop_map(Event::Fail),
            (0..4_usize).prop_map(Event::Join),
            (0..8_u64).prop_map(|slack_ms| Event::Attempt { slack_ms }),
            Just(Event::LineLost),
            (0..500_u64).prop_map(|ms| Event::Wait { ms }),
        ]
    }

    proptest! {
        #[test]
        fn an_attempt_never_exceeds_the_slack_while_another_device_is_live(
            events in proptest::collection::vec(event(), 1..200),
        ) {
            let mut order = PollOrder::new(4, POLICY);
            let mut now = at(0);
            let mut failed_at = [at(0); 4];
            for event in events {
                match event {
                    Event::Fail(device) => {
                        order.failed(device, now, Duration::ZERO);
                        failed_at[device] = now;
                    }
                    Event::Join(device) => order.joined(device, now),
                    Event::LineLost => order.line_lost(),
                    Event::Wait { ms } => now = now + Duration::from_millis(ms),
                    Event::Attempt { slack_ms } => {
                        let slack = Duration::from_millis(slack_ms);
                        let Some(attempt) = order.attempt(now, slack) else { continue };
                        let standing = order.standing(attempt.device).unwrap();
                        prop_assert!(!order.is_live(attempt.device));
                        if let Standing::Quarantined { .. } = standing {
                            prop_assert!(now >= failed_at[attempt.device] + POLICY.wait_min);
                            if (0..4).any(|device| order.is_live(device)) {
                                prop_assert_eq!(attempt.limit, Some(slack));
                                prop_assert!(slack >= POLICY.slack_min);
                            }
                        }
                    }
                }
            }
        }

        #[test]
        fn with_slack_enough_every_dead_device_is_tried_again_within_the_longest_wait(
            failures in proptest::collection::vec(1_usize..4, 1..40),
        ) {
            let mut order = PollOrder::new(4, POLICY);
            (0..4).for_each(|device| order.joined(device, at(0)));
            let now = at(1);
            failures.iter().for_each(|device| order.failed(*device, now, Duration::ZERO));
            let later = now + POLICY.wait_max;
            let mut tried = Vec::new();
            while let Some(attempt) = order.attempt(later, Duration::from_millis(5)) {
                tried.push(attempt.device);
                order.failed(attempt.device, later, Duration::ZERO);
            }
            tried.sort_unstable();
            let mut expected = failures.clone();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(tried, expected);
        }
    }
}
