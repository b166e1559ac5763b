//! What one node of a pair hands the other after each step, and how that goes on from it.

use control_loops_dispatch::{FleetState, RestoreError};
use hal_units::Instant;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::bystanders::Bystander;
use crate::site::SiteFleet;
use crate::talk::{Talk, TalkState};

/// All that the other node of a pair has to know of a fleet that is led.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub(crate) struct SiteState {
    /// Number of the step after which it was so.
    pub(crate) steps: u64,
    pub(crate) controller: FleetState,
    pub(crate) talks: Vec<TalkState>,
    /// Vehicles that take no part, and where they are in the way.
    pub(crate) bystanders: Vec<Bystander>,
    /// The last words of persons that were heeded.
    pub(crate) heeded: Vec<u64>,
}

/// All that the other node of a pair has to know.
#[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
pub(crate) struct Handed {
    /// Of which site.
    pub(crate) site: u32,
    pub(crate) now: SiteState,
    /// How the fleet was when it was led last, while it begins anew.
    pub(crate) before: Option<SiteState>,
}

/// The same, to be written.
#[derive(Serialize)]
struct HandedOn<'a> {
    site: u32,
    now: &'a SiteState,
    before: Option<&'a SiteState>,
}

/// Why a state is not gone on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRestored {
    /// It cannot be read.
    Unreadable,
    /// It is of another fleet.
    OtherFleet(RestoreError),
    /// The fleet had only begun anew itself: nobody knew yet what vehicles were doing. See [`SiteFleet::begin`].
    Beginning,
}

impl SiteFleet {
    /// All that the other node has to know, encoded.
    #[must_use]
    pub fn state(&mut self) -> Vec<u8> {
        let mut controller = self.scratch.take().unwrap_or_else(|| self.controller.state());
        self.controller.save(&mut controller);
        let talks = self.talks.iter().map(Talk::state).collect();
        let (bystanders, heeded) = (self.bystanders.clone(), self.heeded.clone());
        let now = SiteState { steps: self.steps, controller, talks, bystanders, heeded };
        // A vector grows as it must: nothing here can fail.
        let handed = HandedOn { site: self.site, now: &now, before: self.before.as_ref() };
        let bytes = postcard::to_allocvec(&handed).unwrap_or_default();
        self.scratch = Some(now.controller);
        bytes
    }

    /// A hash of what a state is made of: two nodes of different ones cannot go on for each other.
    #[must_use]
    pub fn schema() -> u64 {
        u64::from_le_bytes(postcard_schema::key::Key::for_path::<Handed>("takt/fleet-state").to_bytes())
    }

    /// Goes on from the state of the other node. Vehicles are told again what they were told last.
    ///
    /// # Errors
    /// See [`NotRestored`]; nothing changes then.
    pub fn restore(&mut self, now: Instant, bytes: &[u8]) -> Result<(), NotRestored> {
        let handed: Handed = postcard::from_bytes(bytes).map_err(|_| NotRestored::Unreadable)?;
        if handed.before.is_some() {
            return Err(NotRestored::Beginning);
        }
        let state = handed.now;
        let same = handed.site == self.site
            && state.talks.len() == self.talks.len()
            && self.talks.iter().zip(&state.talks).all(|(talk, state)| talk.is_of_kind(state));
        if !same {
            return Err(NotRestored::OtherFleet(RestoreError::Foreign));
        }
        self.controller.restore(&state.controller, now).map_err(NotRestored::OtherFleet)?;
        for (at, (talk, last)) in self.talks.iter_mut().zip(&state.talks).enumerate() {
            if state.bystanders.iter().any(|bystander| usize::from(bystander.vehicle) == at) {
                // Whatever it may have been told, it has to give that up first.
                talk.begin_after(last);
            } else {
                talk.restore(last);
            }
        }
        (self.bystanders, self.heeded) = (state.bystanders, state.heeded);
        (self.leads, self.settling, self.before) = (true, None, None);
        self.steps = state.steps;
        self.timed.clear();
        Ok(())
    }
}
