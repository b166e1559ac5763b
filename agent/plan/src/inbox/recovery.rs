//! How an inbox begins.

use hal_units::Instant;

use super::{GivenUp, Inbox, Offer, Output, PeerWord, Standing, Waiting};
use crate::PlanId;

/// What is known of plans at the start of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The last known good plan: the cycles begin with it.
    pub good: PlanId,
    /// The plan that is on disk beside it.
    pub candidate: Option<Offer>,
    /// Whether that one was on trial.
    pub on_trial: bool,
    /// The highest epoch that was ever taken.
    pub highest: PlanId,
    /// The plan that was given up last.
    pub given_up: Option<GivenUp>,
}

impl Inbox {
    /// An inbox after a start, and what is to be done first. In a pair a node begins as standby.
    #[must_use]
    pub fn recover(now: Instant, standing: Standing, found: Recovered) -> (Self, Vec<Output>) {
        let Recovered { good, candidate, on_trial, highest, given_up } = found;
        let candidate = candidate.filter(|offer| offer.id != good);
        let waiting = |offer| Waiting { offer, since: now, is_led: false, told: None };
        let mut inbox = Self {
            standing,
            in_force: good,
            good,
            highest: highest.max(good),
            storing: None,
            staged: candidate.filter(|_| !on_trial).map(waiting),
            interrupted: candidate.filter(|_| on_trial),
            trial: None,
            returning: None,
            given_up,
            peer: None,
            activations: 0,
            rollbacks: 0,
            told: PeerWord::default(),
        };
        inbox.highest = candidate.map_or(inbox.highest, |offer| inbox.highest.max(offer.id));
        let out = candidate.map(|offer| Output::Ready(offer.id)).into_iter().collect();
        (inbox, out)
    }
}
