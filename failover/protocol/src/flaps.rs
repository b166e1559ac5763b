//! A limit on voluntary switchovers: two nodes that each find the other better would hand over for ever.

use hal_units::Instant;

use crate::config::PairConfig;

/// The most switchovers that are remembered, and so the highest limit.
const REMEMBERED: usize = 4;

/// When this node last gave up its term voluntarily.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Flaps {
    at: [Option<Instant>; REMEMBERED],
}

impl Flaps {
    /// Whether one more now would be too many.
    pub(crate) fn too_many(&self, now: Instant, config: &PairConfig) -> bool {
        let recent = |at: &&Option<Instant>| at.is_some_and(|at| now.since(at) < config.flap_window);
        self.at.iter().filter(recent).count() >= usize::from(config.flap_max).min(REMEMBERED)
    }

    pub(crate) fn count(&mut self, now: Instant) {
        self.at.rotate_right(1);
        if let Some(newest) = self.at.first_mut() {
            *newest = Some(now);
        }
    }

    #[cfg(feature = "model")]
    pub(crate) fn map(&mut self, change: impl Fn(Instant) -> Instant) {
        for at in self.at.iter_mut().flatten() {
            *at = change(*at);
        }
    }
}
