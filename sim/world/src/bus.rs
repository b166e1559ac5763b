//! The way of a command from the controller to the drives: late, or never.
//!
//! # Model
//!
//! Each write takes the same time and arrives whole; a share of them is lost, drawn from a seed. The drives
//! hold what arrived last. A write counts as acknowledged when it arrives.

use std::collections::VecDeque;

use hal_units::Duration;
use sim_plants::{Actuation, Random};

/// How bad the way is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BusTrouble {
    /// From the controller's step until the drives have the command.
    pub delay: Duration,
    /// Share of the writes that never arrive, 0 to 1.
    pub lost: f64,
}

/// Commands under way.
#[derive(Debug, Clone)]
pub(crate) struct Bus {
    trouble: BusTrouble,
    random: Random,
    cut: bool,
    under_way: VecDeque<(Duration, Actuation)>,
    arrived: Actuation,
    acknowledged_at: Duration,
}

/// At most this many commands are under way: 10 s at 100 Hz. Older ones are dropped.
const UNDER_WAY_MAX: usize = 1000;

impl Bus {
    /// The drives hold `arrived` until the first write is there.
    pub(crate) fn new(trouble: BusTrouble, seed: u64, arrived: Actuation) -> Self {
        Self {
            trouble,
            random: Random::new(seed),
            cut: false,
            under_way: VecDeque::new(),
            arrived,
            acknowledged_at: Duration::ZERO,
        }
    }

    /// From now on nothing arrives, or again.
    pub(crate) const fn set_cut(&mut self, cut: bool) {
        self.cut = cut;
    }

    pub(crate) fn send(&mut self, now: Duration, command: Actuation) {
        let lost = self.trouble.lost > 0.0 && self.random.uniform() < self.trouble.lost;
        if lost || self.cut {
            return;
        }
        if self.under_way.len() == UNDER_WAY_MAX {
            self.under_way.pop_front();
        }
        self.under_way.push_back((now + self.trouble.delay, command));
    }

    /// What the drives follow at `now`.
    pub(crate) fn at(&mut self, now: Duration) -> &Actuation {
        while self.under_way.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((due, command)) = self.under_way.pop_front() {
                self.arrived = command;
                self.acknowledged_at = due;
            }
        }
        &self.arrived
    }

    /// Since the last write that arrived. Nothing was due before the first could have arrived.
    pub(crate) fn unacknowledged_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.acknowledged_at.max(self.trouble.delay.min(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_units::NewtonMeters;

    const TICK: Duration = Duration::from_millis(20);

    fn torque(nm: f64) -> Actuation {
        Actuation { generator_torque: NewtonMeters(nm), ..Actuation::FEATHERED }
    }

    fn bus(trouble: BusTrouble) -> Bus {
        Bus::new(trouble, 1, torque(0.0))
    }

    #[test]
    fn a_command_arrives_after_the_delay_and_not_before() {
        let mut bus = bus(BusTrouble { delay: 5 * TICK, lost: 0.0 });
        bus.send(Duration::ZERO, torque(1.0));
        assert_eq!(bus.at(4 * TICK).generator_torque.get(), 0.0);
        assert_eq!(bus.at(5 * TICK).generator_torque.get(), 1.0);
    }

    #[test]
    fn half_the_writes_arrive_if_half_are_lost() {
        let mut bus = bus(BusTrouble { delay: Duration::ZERO, lost: 0.5 });
        let arrived = (1..=10_000_u32).filter(|&k| {
            bus.send(TICK * k, torque(f64::from(k)));
            bus.at(TICK * k).generator_torque.get() == f64::from(k)
        });
        let arrived = arrived.count();
        assert!((4_800..5_200).contains(&arrived), "{arrived}");
    }

    #[test]
    fn a_cut_bus_leaves_the_drives_where_they_were_and_counts_the_silence() {
        let mut bus = bus(BusTrouble::default());
        bus.send(TICK, torque(7.0));
        bus.at(TICK);
        bus.set_cut(true);
        bus.send(2 * TICK, torque(8.0));
        assert_eq!(bus.at(10 * TICK).generator_torque.get(), 7.0);
        assert_eq!(bus.unacknowledged_for(10 * TICK), 9 * TICK);
    }
}
