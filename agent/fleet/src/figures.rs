//! What a fleet has done, in numbers.

use std::collections::{BTreeMap, VecDeque};

use agent_status::Distribution;
use hal_units::Duration;

/// Values of a distribution that are kept: the last ones.
const KEPT_MAX: usize = 4096;

/// The last values of a quantity, and the largest of all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    last: VecDeque<Duration>,
    max: Duration,
    count: u64,
}

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        if self.last.len() >= KEPT_MAX {
            self.last.pop_front();
        }
        self.last.push_back(time);
        self.max = self.max.max(time);
        self.count += 1;
    }

    /// Quantiles of the last values, by nearest rank; the largest of all.
    pub(crate) fn distribution(&self) -> Distribution {
        let mut sorted: Vec<Duration> = self.last.iter().copied().collect();
        sorted.sort_unstable();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let at = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.max(1) - 1).copied().map_or(0.0, micros)
        };
        Distribution {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: micros(self.max),
            samples: self.count,
        }
    }
}

/// Counters and distributions since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) dispatch: Times,
    /// The two parts of a dispatch: until a vehicle was found, and from then on.
    pub(crate) assignment_wait: Times,
    pub(crate) echo: Times,
    pub(crate) step: Times,
    pub(crate) release: Times,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    /// Messages from vehicles that were refused, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Vehicle steps, and those of them in which a vehicle worked on an order.
    pub(crate) vehicle_steps: u64,
    pub(crate) working_steps: u64,
}

impl Figures {
    pub(crate) fn refuse(&mut self, reason: String) {
        *self.refused.entry(reason).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let mut times = Times::default();
        (1..=100).for_each(|ms| times.add(Duration::from_millis(ms)));
        let found = times.distribution();
        assert_eq!((found.p50_us, found.p99_us, found.max_us, found.samples), (5e4, 9.9e4, 1e5, 100));
        assert_eq!(Times::default().distribution(), Distribution::default());
    }
}
