//! The air between vehicles and their access point: delay and loss.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hal_units::{Duration, Instant};
use sim_plants::Random;

/// How bad the air is, each way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AirConfig {
    /// How long a message takes.
    pub delay: Duration,
    /// The probability that one with QoS 0 is lost, from 0 to 1.
    pub loss: f64,
    /// Of the losses.
    pub seed: u64,
}

impl AirConfig {
    /// No delay, no loss.
    pub const CLEAR: Self = Self { delay: Duration::ZERO, loss: 0.0, seed: 0 };
}

/// Messages in the air.
#[derive(Debug)]
pub(crate) struct Air<T> {
    config: AirConfig,
    random: Random,
    flying: BinaryHeap<Reverse<Flight<T>>>,
    number: u64,
    pub(crate) lost: u64,
}

#[derive(Debug)]
struct Flight<T> {
    lands: (Instant, u64),
    message: T,
}

impl<T> PartialEq for Flight<T> {
    fn eq(&self, other: &Self) -> bool {
        self.lands == other.lands
    }
}

impl<T> Eq for Flight<T> {}

impl<T> PartialOrd for Flight<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Flight<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.lands.cmp(&other.lands)
    }
}

impl<T> Air<T> {
    pub(crate) fn new(config: AirConfig) -> Self {
        let random = Random::new(config.seed);
        Self { config, random, flying: BinaryHeap::new(), number: 0, lost: 0 }
    }

    /// Sends a message on its way; it may get lost only if `may_get_lost`.
    pub(crate) fn send(&mut self, now: Instant, may_get_lost: bool, message: T) {
        if may_get_lost && self.config.loss > 0.0 && self.random.uniform() < self.config.loss {
            self.lost += 1;
            return;
        }
        self.number += 1;
        self.flying.push(Reverse(Flight { lands: (now + self.config.delay, self.number), message }));
    }

    /// Something that is not in the air, but is to be thought of at a time.
    pub(crate) fn remember(&mut self, at: Instant, message: T) {
        self.number += 1;
        self.flying.push(Reverse(Flight { lands: (at, self.number), message }));
    }

    /// The next message that has arrived.
    pub(crate) fn land(&mut self, now: Instant) -> Option<T> {
        let lands = self.flying.peek().is_some_and(|Reverse(flight)| flight.lands.0 <= now);
        if lands { self.flying.pop().map(|Reverse(flight)| flight.message) } else { None }
    }

    /// When the next message arrives.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.flying.peek().map(|Reverse(flight)| flight.lands.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn messages_arrive_in_order_after_the_delay() {
        let mut air = Air::new(AirConfig { delay: Duration::from_millis(20), ..AirConfig::CLEAR });
        for (ms, message) in [(0, 'a'), (0, 'b'), (5, 'c')] {
            air.send(at(ms), true, message);
        }
        assert_eq!((air.land(at(19)), air.next()), (None, Some(at(20))));
        let landed: Vec<char> = std::iter::from_fn(|| air.land(at(25))).collect();
        assert_eq!(landed, ['a', 'b', 'c']);
    }

    #[test]
    fn one_in_twenty_is_lost_but_none_that_tcp_sends_again() {
        let mut air = Air::new(AirConfig { loss: 0.05, seed: 1, ..AirConfig::CLEAR });
        for _ in 0..20_000 {
            air.send(at(0), true, ());
        }
        assert!((900..1100).contains(&air.lost), "{}", air.lost);
        let before = air.lost;
        (0..1000).for_each(|_| air.send(at(0), false, ()));
        assert_eq!(air.lost, before);
    }
}
