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
mod tests {
    use super::*;
    use agent_plan::canonical::Digest;
    use agent_plan::document::SignedPlan;
    use agent_plan::wire::{Node, PeerPlans, PlanEntry};
    use serde_json::json;

    /// An agent that takes what it is offered, and keeps or gives up what it has tried for a minute.
    struct FakeAgent {
        status: PlanStatus,
        soaks_since: Option<u64>,
        fails: bool,
        offers: u32,
    }

    const SOAK_S: u64 = 60;

    fn spec(epoch: u32, rollout: serde_json::Value) -> Arc<Head> {
        let plan =
            json!({ "name": "night", "epoch": epoch, "target": { "site": "north" }, "rollout": rollout });
        let digest = format!("{epoch:064x}");
        let signed: SignedPlan = serde_json::from_value(json!({ "plan": plan, "digest": digest })).unwrap();
        Arc::new(Head::from(&signed))
    }

    impl FakeAgent {
        fn new(fails: bool) -> Self {
            Self { status: PlanStatus::default(), soaks_since: None, fails, offers: 0 }
        }

        fn offer(&mut self, id: PlanId, now_s: u64) -> Verdict {
            self.offers += 1;
            let entry = PlanEntry {
                epoch: id.epoch,
                digest: Some(id.digest),
                stage: Stage::Soaking,
                ..PlanEntry::default()
            };
            (self.status.in_force, self.status.highest_epoch) = (entry, id.epoch);
            self.soaks_since = Some(now_s);
            Verdict::Taken { id, stage: Stage::Staged }
        }

        fn pass(&mut self, now_s: u64) {
            let Some(_) = self.soaks_since.filter(|since| now_s >= since + SOAK_S) else { return };
            if self.fails {
                self.give_up(Reason::FailedSoak);
            } else {
                self.soaks_since = None;
                self.status.in_force.stage = Stage::LastKnownGood;
                self.status.last_known_good = self.status.in_force.clone();
            }
        }
    }

    impl FakeAgent {
        fn give_up(&mut self, reason: Reason) {
            self.soaks_since = None;
            let refusal = Some(reason.because("in a test"));
            let given_up = PlanEntry { refusal, stage: Stage::RolledBack, ..self.status.in_force.clone() };
            self.status.given_up = Some(given_up);
            self.status.in_force = self.status.last_known_good.clone();
        }
    }

    /// Nodes `a`, `b` and so on of one site.
    struct Fleet {
        nodes: Vec<(String, Sidecar, FakeAgent)>,
        plans: Vec<Arc<Head>>,
        now_s: u64,
    }

    impl Fleet {
        fn of(fails: &[bool]) -> Self {
            let node = |(at, fails): (usize, &bool)| {
                let name = char::from(b'a' + at as u8).to_string();
                let place = Place { site: "north".to_owned(), node: name.clone() };
                (name, Sidecar::new(place), FakeAgent::new(*fails))
            };
            Self { nodes: fails.iter().enumerate().map(node).collect(), plans: Vec::new(), now_s: 0 }
        }

        fn run(&mut self, seconds: u64, step_s: u64) {
            let end = self.now_s + seconds;
            while self.now_s < end {
                self.now_s += step_s;
                let said: BTreeMap<String, PlanStatus> =
                    self.nodes.iter().map(|(name, _, agent)| (name.clone(), agent.status.clone())).collect();
                for (name, sidecar, agent) in &mut self.nodes {
                    let mut others = said.clone();
                    others.remove(name);
                    let view = View {
                        plans: self.plans.clone(),
                        others,
                        agent: Some(agent.status.clone()),
                        fleet: None,
                    };
                    let decision = sidecar.step(&view);
                    if decision.rollback.is_some_and(|epoch| epoch == agent.status.in_force.epoch) {
                        agent.give_up(Reason::Asked);
                    }
                    if let Some(id) = decision.offer {
                        let verdict = agent.offer(id, self.now_s);
                        sidecar.heard(id, &verdict);
                    }
                    agent.pass(self.now_s);
                }
            }
        }

        fn offers(&self) -> Vec<u32> {
            self.nodes.iter().map(|(_, _, agent)| agent.offers).collect()
        }
    }

    #[test]
    fn a_plan_reaches_every_node_once() {
        let mut fleet = Fleet::of(&[false, false, false]);
        fleet.plans = vec![spec(3, json!({})), spec(7, json!({})), spec(5, json!({}))];
        fleet.run(600, 1);
        assert_eq!(fleet.offers(), [1, 1, 1]);
        assert!(fleet.nodes.iter().all(|(_, _, agent)| agent.status.last_known_good.epoch == 7));
    }

    #[test]
    fn a_cluster_that_is_gone_for_three_days_and_comes_back_changes_nothing() {
        let mut fleet = Fleet::of(&[false]);
        fleet.plans = vec![spec(7, json!({}))];
        fleet.run(300, 1);
        let plans = std::mem::take(&mut fleet.plans);
        fleet.run(72 * 3600, 10);
        fleet.plans = plans;
        fleet.run(3600, 1);
        assert_eq!(fleet.offers(), [1]);
        assert_eq!(fleet.nodes[0].2.status.in_force.epoch, 7);
    }

    #[test]
    fn a_bad_plan_reaches_the_canary_alone_and_is_gone_within_one_soak() {
        let mut fleet = Fleet::of(&[true, false, false]);
        fleet.plans = vec![spec(7, json!({ "canary": "a" }))];
        fleet.run(SOAK_S + 5, 1);
        assert_eq!(fleet.nodes[0].2.status.in_force.epoch, 0, "rolled back");
        fleet.run(3600, 1);
        assert_eq!(fleet.offers(), [1, 0, 0]);
    }

    #[test]
    fn a_good_plan_follows_its_canary() {
        let mut fleet = Fleet::of(&[false, false, false]);
        fleet.plans = vec![spec(7, json!({ "canary": "b" }))];
        fleet.run(SOAK_S - 5, 1);
        assert_eq!(fleet.offers(), [0, 1, 0]);
        fleet.run(30, 1);
        assert_eq!(fleet.offers(), [1, 1, 1]);
    }

    #[test]
    fn a_plan_may_fail_as_often_as_it_allows() {
        let mut fleet = Fleet::of(&[true, true, false]);
        fleet.plans = vec![spec(7, json!({ "maxFailures": 2 }))];
        fleet.run(600, 1);
        assert_eq!(fleet.offers(), [1, 1, 1]);
        assert_eq!(fleet.nodes[2].2.status.in_force.epoch, 7);
    }

    #[test]
    fn a_plan_that_fails_too_often_is_given_up_where_it_is_still_on_trial() {
        let mut fleet = Fleet::of(&[true, false, false]);
        fleet.plans = vec![spec(7, json!({}))];
        fleet.run(10, 1);
        fleet.nodes[0].2.give_up(Reason::FailedSoak);
        fleet.run(5, 1);
        let in_force = |fleet: &Fleet| -> Vec<u32> {
            fleet.nodes.iter().map(|(_, _, agent)| agent.status.in_force.epoch).collect()
        };
        assert_eq!(in_force(&fleet), [0, 0, 0]);
        fleet.run(3600, 1);
        assert_eq!((fleet.offers(), in_force(&fleet)), (vec![1, 1, 1], vec![0, 0, 0]), "and stays so");
    }

    #[test]
    fn a_plan_that_is_refused_or_waits_holds_up_no_other_one() {
        let (mut sidecar, mut view) = lone();
        view.plans.extend([spec(900, json!({})), spec(901, json!({ "canary": "nobody" }))]);
        sidecar.heard(
            view.plans[1].id,
            &Verdict::Refused { refusal: Reason::UnknownKey.because("a stranger's") },
        );
        let decision = sidecar.step(&view);
        assert_eq!(decision.offer.map(|id| id.epoch), Some(7));
        assert_eq!(decision.waits, Wait::Canary("nobody".to_owned()), "the newest is what is told of");
    }

    fn lone() -> (Sidecar, View) {
        let sidecar = Sidecar::new(Place { site: "north".to_owned(), node: "a".to_owned() });
        let view =
            View { plans: vec![spec(7, json!({}))], agent: Some(PlanStatus::default()), ..View::default() };
        (sidecar, view)
    }

    #[test]
    fn a_plan_whose_canary_is_the_standby_is_tried_by_both_nodes_of_its_pair() {
        let (sidecar, mut view) = lone();
        view.plans = vec![spec(7, json!({ "canary": "b" }))];
        let peer_that_has = |staged| {
            let peer = Some(PeerPlans { in_force: None, staged });
            Some(PlanStatus { role: Node::Active, peer, ..PlanStatus::default() })
        };
        view.agent = peer_that_has(None);
        assert_eq!(sidecar.step(&view).waits, Wait::Canary("b".to_owned()), "the canary comes first");
        let id = view.plans[0].id;
        view.agent = peer_that_has(Some(id));
        assert_eq!(sidecar.step(&view).offer, Some(id));
        view.agent = peer_that_has(Some(PlanId { epoch: 6, ..id }));
        assert_eq!(sidecar.step(&view).offer, None, "another plan says nothing of this one");
    }

    #[test]
    fn what_was_refused_for_good_is_not_offered_again_and_what_may_pass_is() {
        let (mut sidecar, view) = lone();
        let id = view.plans[0].id;
        sidecar.heard(id, &Verdict::Refused { refusal: Reason::Busy.because("") });
        assert!(sidecar.step(&view).offer.is_some());
        sidecar.heard(id, &Verdict::Refused { refusal: Reason::Expired.because("since noon") });
        assert!(matches!(sidecar.step(&view), Decision { offer: None, waits: Wait::Refused(_), .. }));
    }

    #[test]
    fn a_plan_for_others_is_nobodys_here() {
        let (sidecar, mut view) = lone();
        Arc::make_mut(&mut view.plans[0]).target.nodes = vec!["b".to_owned()];
        assert_eq!(sidecar.step(&view).waits, Wait::Nothing);
        let head = Arc::make_mut(&mut view.plans[0]);
        head.target.nodes.clear();
        head.target.site = "south".to_owned();
        assert_eq!(sidecar.step(&view).waits, Wait::Nothing);
    }

    #[test]
    fn a_silent_agent_is_offered_nothing_and_shows_in_the_status() {
        let (mut sidecar, mut view) = lone();
        view.agent = None;
        let decision = sidecar.step(&view);
        assert_eq!(decision, Decision { offer: None, rollback: None, waits: Wait::Agent });
        let status =
            sidecar.status(&view, &decision.waits, &PlanSync::default(), UtcTime::from_unix_millis(5));
        let ready =
            status.conditions.iter().find(|condition| condition.kind == ConditionType::Ready).unwrap();
        assert_eq!((ready.status, ready.reason.as_str()), (Truth::False, "Silent"));
    }

    #[test]
    fn a_fleet_that_is_degraded_is_not_healthy() {
        let (mut sidecar, mut view) = lone();
        view.fleet = Some(FleetStatus { vehicles: 4, degraded: 2, ..FleetStatus::default() });
        let status = sidecar.status(&view, &Wait::Nothing, &PlanSync::default(), UtcTime::default());
        let healthy = status.conditions.iter().find(|one| one.kind == ConditionType::Healthy).unwrap();
        assert_eq!((healthy.status, healthy.message.as_str()), (Truth::False, "the fleet is degraded"));
        assert_eq!(status.fleet, view.fleet);
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_last_change() {
        let (mut sidecar, view) = lone();
        let time = |status: &ControlNodeStatus| status.conditions[0].last_transition_time;
        let first =
            sidecar.status(&view, &Wait::Nothing, &PlanSync::default(), UtcTime::from_unix_millis(1000));
        let second =
            sidecar.status(&view, &Wait::Nothing, &PlanSync::default(), UtcTime::from_unix_millis(2000));
        assert_eq!(time(&first), time(&second));
        let third = sidecar.status(
            &View { agent: None, ..view },
            &Wait::Nothing,
            &PlanSync::default(),
            UtcTime::from_unix_millis(3000),
        );
        assert_eq!(time(&third), UtcTime::from_unix_millis(3000));
    }

    #[test]
    fn a_digest_is_part_of_what_a_plan_is() {
        let (sidecar, mut view) = lone();
        let other = PlanEntry { epoch: 7, digest: Some(Digest::default()), ..PlanEntry::default() };
        view.agent = Some(PlanStatus { in_force: other, highest_epoch: 7, ..PlanStatus::default() });
        assert!(sidecar.step(&view).offer.is_some(), "the agent is to say that it conflicts");
    }
}
