//! What becomes of plans: staged, activated on an agreed cycle, on trial, last known good, or rolled back.
//!
//! # Problem
//!
//! Plans arrive twice, late, in the wrong order, and between any two steps the process may die. Each plan must
//! be activated once or not at all, on both nodes of a pair on the same cycle, and whatever goes wrong, a plan
//! that has proved itself must be there to go back to.
//!
//! # Model
//!
//! A pure state machine: [`Inbox::step`] takes the time and an [`Input`], and says what is to be done
//! ([`Output`]). It never sees a plan's content: an [`Offer`] is made of a plan that was verified and admitted.
//!
//! ```text
//!             offered     stored              agreed cycle            soak over
//!  (nothing) ---------> (store) ----> Staged --------------> Soaking -----------> LastKnownGood
//!                          |             |                      |
//!                    not stored:   expired, missed,       failed, asked,
//!                     Refused      asked: Dropped     interrupted: RolledBack
//! ```
//!
//! A newer plan supersedes an older one that is staged or soaking. Only the node that writes decides: it picks
//! the cycle, ends the soak and rolls back. The standby stages the same plan, and its cycles change over where
//! the writing node's did; what the writing node says of itself ([`PeerWord`]) tells it the rest. If the peer
//! is there but does not hold the plan, the activation waits for it a little, and then goes without. A standby
//! that lacks what the other node leads by says so ([`Inbox::wanted`]), and [`crate::fetch`] brings it.
//!
//! A process that ends during a soak starts with the last known good plan and gives the other one up, unless
//! the other node goes on with it.

mod recovery;
mod turns;

use hal_units::{Duration, Instant};
use serde::{Deserialize, Serialize};

use crate::document::UtcTime;
use crate::refusal::{Reason, Refusal};
use crate::wire::Stage;
use crate::{CheckedActivation, CheckedPlan, PlanId};

pub use recovery::Recovered;

/// How long an activation waits for the other node to hold the plan too.
pub const PEER_HOLDS_WITHIN: Duration = Duration::from_secs(2);
/// From the decision to the earliest cycle of an activation: longer than the way to the other node takes.
pub const AHEAD: Duration = Duration::from_millis(25);
/// A plan with a time is armed so long before it, so that its very first cycle is met.
pub const ARMED_BEFORE: Duration = Duration::from_millis(500);
/// The cycles should have changed over so long after the agreed time; then they are told again.
pub const TAKEN_WITHIN: Duration = Duration::from_secs(1);

/// The time, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Monotonic.
    pub now: Instant,
    /// Wall clock.
    pub wall: UtcTime,
}

/// A plan that was verified and admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The plan.
    pub id: PlanId,
    /// When it takes effect.
    pub activation: CheckedActivation,
    /// After this it must not be activated.
    pub expires_at: Option<UtcTime>,
    /// How long its trial is.
    pub soak: Duration,
}

impl From<&CheckedPlan> for Offer {
    fn from(plan: &CheckedPlan) -> Self {
        Self { id: plan.id, activation: plan.activation, expires_at: plan.expires_at, soak: plan.soak }
    }
}

/// What this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not one of a pair.
    Alone,
    /// It writes.
    Active,
    /// It follows, or does not know yet.
    Standby,
}

impl Standing {
    const fn decides(self) -> bool {
        match self {
            Self::Alone | Self::Active => true,
            Self::Standby => false,
        }
    }
}

/// What a node says of its plans to the other one, whole, whenever something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PeerWord {
    /// Its cycles run this.
    pub in_force: PlanId,
    /// This is on its disk and waits.
    pub staged: Option<PlanId>,
    /// It falls back to this.
    pub good: PlanId,
    /// The highest plan that it ever took.
    pub highest: PlanId,
}

impl PeerWord {
    /// Whether the plan runs, waits or is kept there.
    #[must_use]
    pub fn has(&self, id: PlanId) -> bool {
        self.in_force == id || self.good == id || self.staged == Some(id)
    }

    /// Whether the plan, or a newer one, came there before, and it is of no use there any more.
    fn is_past(&self, id: PlanId) -> bool {
        id.epoch <= self.highest.epoch && !self.has(id)
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A plan was offered.
    Offered(Offer),
    /// What was to be stored is on disk, or cannot be.
    Stored {
        /// The plan.
        id: PlanId,
        /// Whether it is on disk.
        done: bool,
    },
    /// The cycles run this plan from now on.
    Activated {
        /// The plan.
        id: PlanId,
    },
    /// A plan of the node's own plan file is in force, by its operator's word.
    Local {
        /// The plan.
        id: PlanId,
    },
    /// This node is something else now.
    Standing(Standing),
    /// The other node said something; `None`: it is not there.
    Peer(Option<PeerWord>),
    /// The plant does not do well under the plan in force.
    Failing {
        /// Why, for people.
        why: String,
    },
    /// Somebody asks to give up the plan with this epoch.
    GiveUp {
        /// The epoch.
        epoch: u32,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The answer to an offer or to [`Input::GiveUp`].
    Answer(Result<(PlanId, Stage), Refusal>),
    /// Put the plan that was offered on disk, then say [`Input::Stored`].
    Store(PlanId),
    /// Note on disk that this plan, which is staged, is about to be tried: it must not be taken for an untried one
    /// should the process end now. May come twice.
    NoteTrial(PlanId),
    /// Note on disk that this plan is on trial; one that was before has made room for it.
    BeginTrial(PlanId),
    /// Make this plan the last known good one on disk.
    Promote(PlanId),
    /// Note on disk that this plan was given up, and remove it.
    Forget(GivenUp),
    /// Lay this plan ready for the cycles, to change over to it.
    Ready(PlanId),
    /// Lay this plan ready for the cycles, to go back to it.
    ReadyBack(PlanId),
    /// Change over to this plan at the first boundary at or after this time.
    ChangeOver {
        /// The plan.
        id: PlanId,
        /// Not before.
        at: Instant,
        /// On which boundary.
        boundary: crate::document::Boundary,
    },
    /// Give the fleet the orders of this plan.
    GiveOrders(PlanId),
    /// Tell the other node how things stand here.
    Tell(PeerWord),
}

/// A plan that waits for its activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    offer: Offer,
    /// On disk since.
    since: Instant,
    /// The other node leads by it, so it was activated in time.
    is_led: bool,
    /// The cycles were told to change over at this time.
    told: Option<Instant>,
}

/// A plan on trial.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trial {
    id: PlanId,
    until: Instant,
    /// Why it is given up; the cycles were told to go back at this time.
    back: Option<(Refusal, Instant)>,
}

/// A plan that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GivenUp {
    /// The plan.
    pub id: PlanId,
    /// Dropped, rolled back or superseded.
    pub stage: Stage,
    /// Why.
    pub refusal: Refusal,
}

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbox {
    standing: Standing,
    in_force: PlanId,
    good: PlanId,
    /// The highest epoch that was ever taken, with its digest.
    highest: PlanId,
    storing: Option<Offer>,
    staged: Option<Waiting>,
    /// Was on trial when the process before this one ended.
    interrupted: Option<Offer>,
    trial: Option<Trial>,
    /// The cycles were told at this time to go back to the last known good plan from one that is not on trial:
    /// another node led them there that did not have it.
    returning: Option<Instant>,
    given_up: Option<GivenUp>,
    peer: Option<PeerWord>,
    activations: u64,
    rollbacks: u64,
    told: PeerWord,
}

impl Inbox {
    /// Takes one input and says what is to be done.
    pub fn step(&mut self, clock: Clock, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Offered(offer) => self.offered(clock, offer, &mut out),
            Input::Stored { id, done } => self.stored(clock, id, done, &mut out),
            Input::Activated { id } => self.activated(clock, id, &mut out),
            Input::Local { id } => self.local(id, &mut out),
            Input::Standing(standing) => self.stands(standing),
            Input::Peer(word) => self.peer = word,
            Input::Failing { why } => self.go_back(clock, Reason::FailedSoak.because(why), &mut out),
            Input::GiveUp { epoch } => self.give_up(clock, epoch, &mut out),
            Input::Tick => {}
        }
        self.turn(clock, &mut out);
        let word = self.word();
        if word != self.told {
            self.told = word;
            out.push(Output::Tell(word));
        }
        out
    }

    /// What the other node is told.
    #[must_use]
    pub fn word(&self) -> PeerWord {
        PeerWord {
            in_force: self.in_force,
            staged: self.staged.map(|waiting| waiting.offer.id),
            good: self.good,
            highest: self.highest,
        }
    }

    /// How far a plan has come; `None` for one that is not known.
    #[must_use]
    pub fn stage_of(&self, id: PlanId) -> Option<Stage> {
        if self.staged.is_some_and(|waiting| waiting.offer.id == id) {
            Some(Stage::Staged)
        } else if let Some(trial) = self.trial.as_ref().filter(|trial| trial.id == id) {
            Some(if trial.back.is_none() { Stage::Soaking } else { Stage::RolledBack })
        } else if self.good == id {
            Some(Stage::LastKnownGood)
        } else if self.in_force == id {
            Some(Stage::Superseded)
        } else if self.interrupted.is_some_and(|offer| offer.id == id) {
            Some(Stage::Soaking)
        } else {
            self.given_up.as_ref().filter(|given_up| given_up.id == id).map(|given_up| given_up.stage)
        }
    }

    /// The plan that the cycles run.
    #[must_use]
    pub fn in_force(&self) -> PlanId {
        self.in_force
    }

    /// The plan that this node falls back to.
    #[must_use]
    pub fn good(&self) -> PlanId {
        self.good
    }

    /// The plan that waits for its activation.
    #[must_use]
    pub fn staged(&self) -> Option<PlanId> {
        self.staged.map(|waiting| waiting.offer.id)
    }

    /// The highest plan that was ever taken: plans with lower epochs are refused.
    #[must_use]
    pub fn highest(&self) -> PlanId {
        self.highest
    }

    /// The plan that was given up last.
    #[must_use]
    pub fn given_up(&self) -> Option<&GivenUp> {
        self.given_up.as_ref()
    }

    /// Plans to be had from the other node, which leads by them or is about to, and that are not on disk here. The one
    /// that its cycles run comes first: one that waits would take its place on disk.
    #[must_use]
    pub fn wanted(&self) -> Vec<PlanId> {
        let Some(peer) = self.leader().filter(|_| self.storing.is_none()) else { return Vec::new() };
        let lacks = |id: &PlanId| self.lacks(*id);
        let in_force = Some(peer.in_force).filter(lacks);
        let comes = in_force.is_none() && peer.in_force != self.in_force;
        let staged = peer.staged.filter(|id| !comes && Some(*id) != in_force && lacks(id));
        in_force.into_iter().chain(staged).collect()
    }

    /// What the other node said last; `None` if it is not there.
    #[must_use]
    pub fn peer(&self) -> Option<PeerWord> {
        self.peer
    }

    /// Activations and rollbacks since the start.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.activations, self.rollbacks)
    }

    /// Whether something is under way that is decided within milliseconds: then it wants to be called often.
    #[must_use]
    pub fn is_busy(&self, wall: UtcTime) -> bool {
        let soon = |at: UtcTime| Duration::from_millis(at.millis_since(wall)) <= 2 * ARMED_BEFORE;
        self.staged.is_some_and(|waiting| waiting.offer.activation.not_before.is_none_or(soon))
            || self.trial.as_ref().is_some_and(|trial| trial.back.is_some())
    }

    /// What keeps the plans from being what they should be, in words.
    #[must_use]
    pub fn degraded(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.trial.is_none() && self.in_force != self.good {
            reasons.push(format!("plans: this node keeps plan {}, the active one does not", self.good));
        }
        if let Some(peer) = self.peer {
            if self.standing == Standing::Active && !peer.has(self.in_force) {
                reasons.push(format!("plans: the standby does not hold plan {}", self.in_force));
            }
            if self.standing == Standing::Standby && peer.in_force != self.in_force {
                reasons.push(format!(
                    "plans: the active node runs plan {}, not {}",
                    peer.in_force, self.in_force
                ));
            }
        }
        reasons
    }
}
