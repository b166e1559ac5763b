//! What to do with plans: which one to offer, and what to say of the node.
//!
//! # Model
//!
//! Pure: what was seen of clusters and agent comes in, a decision comes out. Of all plans for this node that may be
//! offered now, the one with the highest epoch is. It is offered until the agent says what became of it; what the
//! agent has, has given up or has refused for good is never offered again, so a cluster that comes back after days
//! changes nothing. That a plan, or a whole cluster, is gone is no reason to do anything. A plan that is refused, or
//! waits, holds up no other one: nobody has verified it yet, and anybody can write a high epoch.
//!
//! A plan that names a canary is offered elsewhere only when it is the last known good one there; but to the canary's peer
//! in a pair at once. When it has failed on
//! more nodes than it allows it is offered nowhere any more, and given up where it is still on trial.

use std::collections::BTreeMap;

use std::sync::Arc;

use agent_plan::document::UtcTime;
use agent_plan::wire::{FleetStatus, PlanStatus, Stage, Verdict};
use agent_plan::{PlanId, Reason, Refusal};
use k8s_crd::{Condition, ConditionType, ControlNodeStatus, PlanSync, Truth};

use crate::shelf::Head;

/// Who this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The site.
    pub(crate) site: String,
    /// The node.
    pub(crate) node: String,
}

/// What is seen at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// Plans in all clusters that were ever reached.
    pub(crate) plans: Vec<Arc<Head>>,
    /// What other nodes last said of their plans, by their names.
    pub(crate) others: BTreeMap<String, PlanStatus>,
    /// What the agent says; none if it does not answer.
    pub(crate) agent: Option<PlanStatus>,
    /// What it says of its fleet, if it leads one.
    pub(crate) fleet: Option<FleetStatus>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Offer this plan.
    pub(crate) offer: Option<PlanId>,
    /// Have the agent give up the plan with this epoch: it is on trial here, and has failed on too many other nodes.
    pub(crate) rollback: Option<u32>,
    /// Why no plan is offered, or what is waited for.
    pub(crate) waits: Wait,
}

/// What the newest plan for this node waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wait {
    /// There is none, or the agent has it.
    Nothing,
    /// The agent does not answer.
    Agent,
    /// The canary has not kept it yet.
    Canary(String),
    /// It has failed on too many nodes.
    Failures(usize),
    /// The agent has refused it for good.
    Refused(Refusal),
    /// It is being offered.
    Offered,
}

impl core::fmt::Display for Wait {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Agent => f.write_str("waits for the agent, which does not answer"),
            Self::Canary(canary) => write!(f, "waits for the canary {canary}, which has not kept it yet"),
            Self::Failures(count) => write!(f, "given up: it failed on {count} nodes"),
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Offered => f.write_str("is on its way, or being offered"),
        }
    }
}

/// Remembers what was refused for good, and since when conditions hold.
#[derive(Debug, Clone)]
pub(crate) struct Sidecar {
    place: Place,
    refused: BTreeMap<PlanId, Refusal>,
    conditions: Vec<Condition>,
}

/// Refused plans that are remembered.
const REFUSED_MAX: usize = 64;

impl Sidecar {
    /// One that knows nothing yet.
    #[must_use]
    pub(crate) const fn new(place: Place) -> Self {
        Self { place, refused: BTreeMap::new(), conditions: Vec::new() }
    }

    /// Decides.
    #[must_use]
    pub(crate) fn step(&self, view: &View) -> Decision {
        let mut decision = Decision { offer: None, rollback: None, waits: Wait::Nothing };
        let plans = self.for_here(view);
        let Some(agent) = &view.agent else {
            if !plans.is_empty() {
                decision.waits = Wait::Agent;
            }
            return decision;
        };
        let is_stopped =
            |head: &&&Head| is_on_trial(agent, head.id) && failures(view, head.id) > head.failures_max;
        decision.rollback = plans.iter().find(is_stopped).map(|head| head.id.epoch);
        let news = plans
            .iter()
            .take_while(|head| head.id.epoch >= agent.highest_epoch)
            .filter(|head| !is_known(agent, head.id));
        for (at, head) in news.enumerate() {
            let wait = self.wait(view, head);
            let is_offered = wait == Wait::Offered;
            // What is told is how it is with the newest.
            if at == 0 {
                decision.waits = wait;
            }
            if is_offered {
                decision.offer = Some(head.id);
                break;
            }
        }
        decision
    }

    /// What a plan waits for that the agent has not had.
    fn wait(&self, view: &View, head: &Head) -> Wait {
        let id = head.id;
        if let Some(refusal) = self.refused.get(&id) {
            return Wait::Refused(refusal.clone());
        }
        let failures = failures(view, id);
        if failures > head.failures_max {
            return Wait::Failures(failures);
        }
        // Both nodes of a pair run the same plan, and the one that writes decides: a canary that is the standby tries
        // it with its peer, or not at all.
        let peer = view.agent.as_ref().and_then(|agent| agent.peer.as_ref());
        let is_tried_with = peer.is_some_and(|peer| peer.staged == Some(id) || peer.in_force == Some(id));
        match head.canary.as_ref().filter(|canary| **canary != self.place.node && !is_tried_with) {
            Some(canary) if !view.others.get(canary).is_some_and(|other| is_kept(other, id)) => {
                Wait::Canary(canary.clone())
            }
            Some(_) | None => Wait::Offered,
        }
    }

    /// The plans for this node, those with higher epochs first.
    fn for_here<'a>(&self, view: &'a View) -> Vec<&'a Head> {
        let is_for_here = |head: &&Head| {
            let target = &head.target;
            target.site == self.place.site
                && (target.nodes.is_empty() || target.nodes.contains(&self.place.node))
        };
        let mut plans: Vec<_> = view.plans.iter().map(AsRef::as_ref).filter(is_for_here).collect();
        plans.sort_by_key(|head| core::cmp::Reverse(head.id));
        plans
    }

    /// Takes in what the agent said to an offer. What may change by itself is offered again.
    pub(crate) fn heard(&mut self, id: PlanId, verdict: &Verdict) {
        let Verdict::Refused { refusal } = verdict else { return };
        match refusal.reason {
            Reason::Busy | Reason::ReplayedEpoch | Reason::NotStored => {}
            _ => {
                while self.refused.len() >= REFUSED_MAX {
                    self.refused.pop_first();
                }
                self.refused.insert(id, refusal.clone());
            }
        }
    }

    /// The node's status; a condition that did not change keeps its time.
    pub(crate) fn status(
        &mut self,
        view: &View,
        waits: &Wait,
        sync: &PlanSync,
        now: UtcTime,
    ) -> ControlNodeStatus {
        let agent = view.agent.as_ref();
        let admitted = match waits {
            Wait::Refused(refusal) => (Truth::False, "Refused", refusal.to_string()),
            Wait::Failures(count) => (Truth::False, "TooManyFailures", format!("it failed on {count} nodes")),
            Wait::Canary(canary) => {
                (Truth::Unknown, "WaitsForCanary", format!("{canary} has not kept it yet"))
            }
            Wait::Agent => (Truth::Unknown, "AgentSilent", String::new()),
            Wait::Offered => (Truth::Unknown, "Offered", String::new()),
            Wait::Nothing => (Truth::True, "Taken", String::new()),
        };
        let in_force = agent.map(|agent| agent.in_force.clone()).unwrap_or_default();
        let given_up = agent.and_then(|agent| agent.given_up.as_ref());
        let why =
            given_up.and_then(|plan| plan.refusal.as_ref()).map(ToString::to_string).unwrap_or_default();
        let mut degraded = agent.map(|agent| agent.degraded.clone()).unwrap_or_default();
        // How much so is in its numbers, which have dead bands.
        degraded.extend(
            view.fleet.filter(|fleet| fleet.degraded > 0).map(|_| "the fleet is degraded".to_owned()),
        );
        let degraded = degraded.join("; ");
        let facts = [
            (
                ConditionType::Ready,
                agent.is_some().into(),
                if agent.is_some() { "Answers" } else { "Silent" },
                String::new(),
            ),
            (ConditionType::Admitted, admitted.0, admitted.1, admitted.2),
            (
                ConditionType::Staged,
                agent.is_some_and(|agent| agent.staged.is_some()).into(),
                if agent.is_some_and(|agent| agent.staged.is_some()) { "Waits" } else { "None" },
                String::new(),
            ),
            (
                ConditionType::Activated,
                agent.map_or(Truth::Unknown, |_| Truth::True),
                match in_force.stage {
                    Stage::Soaking => "Soaking",
                    Stage::LastKnownGood => "Kept",
                    Stage::Staged | Stage::RolledBack | Stage::Dropped | Stage::Superseded => "Runs",
                },
                format!("{}, epoch {}", in_force.name, in_force.epoch),
            ),
            (
                ConditionType::RolledBack,
                given_up.is_some().into(),
                if given_up.is_some() { "GivenUp" } else { "None" },
                why,
            ),
            (
                ConditionType::Healthy,
                agent.map_or(Truth::Unknown, |_| degraded.is_empty().into()),
                if degraded.is_empty() { "Whole" } else { "Degraded" },
                degraded,
            ),
            incremental(sync),
        ];
        let before = std::mem::take(&mut self.conditions);
        self.conditions = facts
            .into_iter()
            .map(|(kind, status, reason, message)| {
                let same = before.iter().find(|old| old.kind == kind && old.status == status);
                Condition {
                    kind,
                    status,
                    reason: reason.to_owned(),
                    message,
                    last_transition_time: same.map_or(now, |old| old.last_transition_time),
                }
            })
            .collect();
        ControlNodeStatus {
            plans: view.agent.clone(),
            fleet: view.fleet,
            sync: Some(sync.clone()),
            conditions: self.conditions.clone(),
        }
    }
}

/// Whether the newest plan came as a change.
fn incremental(sync: &PlanSync) -> (ConditionType, Truth, &'static str, String) {
    let (truth, reason, message) = match (&sync.last_refusal, sync.base_missing) {
        (Some(refusal), _) => (Truth::False, "BadDelta", refusal.to_string()),
        (None, Some(base)) => (Truth::False, "OtherBase", format!("the plan {base} is not here")),
        (None, None) if sync.delta > 0 => (Truth::True, "Delta", String::new()),
        (None, None) => (Truth::Unknown, "NoDelta", String::new()),
    };
    (ConditionType::Incremental, truth, reason, message)
}

pub(crate) fn id_of(entry: &agent_plan::wire::PlanEntry) -> Option<PlanId> {
    Some(PlanId { epoch: entry.epoch, digest: entry.digest? })
}

/// Whether the agent has it, or had it.
pub(crate) fn is_known(agent: &PlanStatus, id: PlanId) -> bool {
    let entries = [Some(&agent.in_force), agent.staged.as_ref(), agent.given_up.as_ref()];
    entries.into_iter().flatten().any(|entry| id_of(entry) == Some(id))
}

fn is_kept(agent: &PlanStatus, id: PlanId) -> bool {
    id_of(&agent.last_known_good) == Some(id)
}

/// On how many other nodes a plan has failed. One that made way for a newer plan has not.
fn failures(view: &View, id: PlanId) -> usize {
    let has_failed = |other: &&PlanStatus| {
        other.given_up.as_ref().is_some_and(|entry| {
            id_of(entry) == Some(id) && matches!(entry.stage, Stage::RolledBack | Stage::Dropped)
        })
    };
    view.others.values().filter(has_failed).count()
}

/// Whether the agent could still give it up.
pub(crate) fn is_on_trial(agent: &PlanStatus, id: PlanId) -> bool {
    let soaking = Some(&agent.in_force).filter(|entry| entry.stage == Stage::Soaking);
    [soaking, agent.staged.as_ref()].into_iter().flatten().any(|entry| id_of(entry) == Some(id))
}

#[cfg(test)]
mod tests;
