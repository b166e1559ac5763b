//! The plans of one cluster as far as they are known here, and which of them has to come next, and how.
//!
//! # Problem
//!
//! The way to a cluster may be long and thin, and this program stays small: neither all plans of a cluster nor one plan
//! twice can be here.
//!
//! # Model
//!
//! Of each object its brief is known ([`k8s_crd::Brief`]), if it has one. What to do with a plan is decided by its head,
//! which is small and stays; the plan itself comes when its head is needed or it is to be offered, and goes when the
//! agent has it. It comes from where it is cheapest: from the agent, if that has it; as the change of a plan that the
//! agent has; as a whole. Pure: what comes, and from where, is said here and done elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_plan::PlanId;
use agent_plan::canonical::Digest;
use agent_plan::delta::PlanDelta;
use agent_plan::document::{SignedPlan, Target};
use agent_plan::wire::{PlanEntry, PlanStatus};
use k8s_crd::Brief;

use crate::step::{Place, id_of, is_known, is_on_trial};

/// Plans that are here in full at the same time, each at most a megabyte.
const BODIES_MAX: usize = 4;

/// What is decided by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Epoch and digest.
    pub(crate) id: PlanId,
    /// Site and nodes that it is for.
    pub(crate) target: Target,
    /// The node that tries it.
    pub(crate) canary: Option<String>,
    /// Nodes on which it may fail.
    pub(crate) failures_max: usize,
}

impl From<&SignedPlan> for Head {
    fn from(signed: &SignedPlan) -> Self {
        let rollout = &signed.plan.rollout;
        Self {
            id: signed.id(),
            target: signed.plan.target.clone(),
            canary: rollout.canary.clone(),
            failures_max: usize::try_from(rollout.max_failures).unwrap_or(usize::MAX),
        }
    }
}

/// A plan's object.
#[derive(Debug, Clone, Default)]
struct Object {
    uid: String,
    /// When it was made, as its server writes it: the order of those that say nothing else.
    made: String,
    brief: Option<Brief>,
    head: Option<Arc<Head>>,
    /// Signed JSON.
    body: Option<Arc<[u8]>>,
    /// What its changes come to is not the plan.
    whole_only: bool,
    /// It holds no plan.
    unusable: bool,
}

impl Object {
    fn id(&self) -> Option<PlanId> {
        self.head.as_ref().map(|head| head.id).or(self.brief.as_ref().map(|brief| brief.id))
    }
}

/// How a plan comes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Way {
    /// The agent has it.
    Agent(PlanId),
    /// As the change of a plan that the agent has.
    Delta(PlanId, PlanDelta),
    /// As a whole; a change would have needed a plan that is not here.
    Whole {
        /// One that would have done.
        base_missing: Option<Digest>,
    },
}

/// What has to come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Want {
    /// The object.
    pub(crate) name: String,
    /// How.
    pub(crate) way: Way,
}

/// The plans of a cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf(BTreeMap<String, Object>);

impl Shelf {
    /// An object is there, or its annotations have changed.
    pub(crate) fn note(&mut self, name: &str, uid: &str, made: &str, brief: Option<Brief>) {
        let object = self.0.entry(name.to_owned()).or_default();
        if object.uid != uid {
            *object = Object { uid: uid.to_owned(), made: made.to_owned(), ..Object::default() };
        }
        if object.brief != brief {
            (object.brief, object.whole_only) = (brief, false);
        }
    }

    /// An object is gone.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Forgets plans below an epoch: no agent that keeps a newer one ever takes them, and a cluster may hold thousands.
    pub(crate) fn forget_below(&mut self, epoch: u32) {
        self.0.retain(|_, object| object.id().is_none_or(|id| id.epoch >= epoch));
    }

    /// What is known well enough to decide by.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &Arc<Head>> {
        self.0.values().filter_map(|object| object.head.as_ref())
    }

    /// A plan in full, if it is here.
    pub(crate) fn body(&self, id: PlanId) -> Option<Arc<[u8]>> {
        self.0.values().filter(|object| object.id() == Some(id)).find_map(|object| object.body.clone())
    }

    /// Whether the cluster has it.
    pub(crate) fn holds(&self, id: PlanId) -> bool {
        self.0.values().any(|object| object.id() == Some(id))
    }

    /// Objects.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What has to come next: what is to be offered, then what may have to be decided on, the newest first.
    pub(crate) fn want(&self, place: &Place, agent: &PlanStatus, offer: Option<PlanId>) -> Option<Want> {
        let lacks_body = |object: &&Object| offer.is_some() && object.id() == offer && object.body.is_none();
        let lacks_head = |object: &&Object| object.head.is_none() && matters(object, place, agent);
        let newest = |object: &Object| (object.id().map(|id| id.epoch), object.made.clone());
        let usable = || self.0.iter().filter(|(_, object)| !object.unusable);
        let (name, object) = usable()
            .find(|(_, object)| lacks_body(object))
            .or_else(|| usable().filter(|(_, object)| lacks_head(object)).max_by_key(|(_, o)| newest(o)))?;
        Some(Want { name: name.clone(), way: way(object, agent) })
    }

    /// A plan has come. Only so many are kept in full; one that is to be offered is.
    pub(crate) fn take(&mut self, name: &str, signed: &SignedPlan, offer: Option<PlanId>) {
        let is_offered = offer == Some(signed.id());
        if is_offered && self.bodies() >= BODIES_MAX {
            self.0.values_mut().for_each(|object| object.body = None);
        }
        let has_room = self.bodies() < BODIES_MAX;
        let Some(object) = self.0.get_mut(name) else { return };
        object.head = Some(Arc::new(Head::from(signed)));
        object.body = (is_offered || has_room).then(|| signed.to_json().into());
    }

    fn bodies(&self) -> usize {
        self.0.values().filter(|object| object.body.is_some()).count()
    }

    /// The changes of this object are of no use: it has to come as a whole.
    pub(crate) fn distrust(&mut self, name: &str) {
        if let Some(object) = self.0.get_mut(name) {
            (object.head, object.body, object.whole_only) = (None, None, true);
        }
    }

    /// This object holds no plan.
    pub(crate) fn give_up(&mut self, name: &str) {
        if let Some(object) = self.0.get_mut(name) {
            object.unusable = true;
        }
    }

    /// A plan is not needed in full any more.
    pub(crate) fn drop_body(&mut self, id: PlanId) {
        self.0.values_mut().filter(|object| object.id() == Some(id)).for_each(|object| object.body = None);
    }
}

/// Whether anything may have to be decided on this plan. What an object does not say has to be looked up.
fn matters(object: &Object, place: &Place, agent: &PlanStatus) -> bool {
    let Some(brief) = &object.brief else { return true };
    let is_news = brief.id.epoch >= agent.highest_epoch && !is_known(agent, brief.id);
    brief.site == place.site && (is_news || is_on_trial(agent, brief.id))
}

fn way(object: &Object, agent: &PlanStatus) -> Way {
    let Some(brief) = object.brief.as_ref().filter(|_| !object.whole_only) else {
        return Way::Whole { base_missing: None };
    };
    let here: Vec<PlanId> = on_disk(agent).filter_map(id_of).collect();
    if here.contains(&brief.id) {
        return Way::Agent(brief.id);
    }
    let base_of = |delta: &PlanDelta| here.iter().find(|id| id.digest == delta.base).copied();
    match brief.deltas.iter().find_map(|delta| Some((base_of(delta)?, delta))) {
        Some((base, delta)) => Way::Delta(base, delta.clone()),
        None => Way::Whole { base_missing: brief.deltas.first().map(|delta| delta.base) },
    }
}

/// What the agent has in full.
fn on_disk(agent: &PlanStatus) -> impl Iterator<Item = &PlanEntry> {
    [Some(&agent.in_force), Some(&agent.last_known_good), agent.staged.as_ref()].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_plan::PlanKey;
    use serde_json::json;

    fn plan(epoch: u32) -> SignedPlan {
        let units: Vec<_> =
            (0..40).map(|at| json!({ "unit": format!("WT{at:02}"), "request": "run" })).collect();
        let plan =
            json!({ "name": "night", "epoch": epoch, "target": { "site": "north" }, "demands": units });
        PlanKey::from_seed(&[7; 32]).sign(serde_json::from_value(plan).unwrap())
    }

    fn brief(epoch: u32, bases: &[u32]) -> Option<Brief> {
        let bases: Vec<_> = bases.iter().map(|epoch| plan(*epoch)).collect();
        Some(Brief::new(&plan(epoch), &bases).unwrap())
    }

    fn place() -> Place {
        Place { site: "north".to_owned(), node: "a".to_owned() }
    }

    /// An agent that runs and keeps a plan.
    fn agent(epoch: u32) -> PlanStatus {
        let in_force = PlanEntry { epoch, digest: Some(plan(epoch).digest), ..PlanEntry::default() };
        let last_known_good = in_force.clone();
        PlanStatus { in_force, last_known_good, highest_epoch: epoch, ..PlanStatus::default() }
    }

    fn shelf(objects: &[(&str, Option<Brief>)]) -> Shelf {
        let mut shelf = Shelf::default();
        for (made, (name, brief)) in objects.iter().enumerate() {
            shelf.note(name, &format!("uid-{name}"), &made.to_string(), brief.clone());
        }
        shelf
    }

    #[test]
    fn a_plan_comes_as_the_change_of_what_the_agent_has() {
        let want = shelf(&[("seven", brief(7, &[5, 6]))]).want(&place(), &agent(6), None).unwrap();
        assert!(
            matches!(&want.way, Way::Delta(base, delta) if *base == plan(6).id() && delta.base == base.digest)
        );
    }

    #[test]
    fn with_another_base_a_plan_comes_as_a_whole_and_what_is_missing_is_told() {
        let want = shelf(&[("seven", brief(7, &[6]))]).want(&place(), &agent(5), None).unwrap();
        assert_eq!(want.way, Way::Whole { base_missing: Some(plan(6).digest) });
        let want = shelf(&[("bare", None)]).want(&place(), &agent(5), None).unwrap();
        assert_eq!(want.way, Way::Whole { base_missing: None });
    }

    #[test]
    fn what_is_old_or_for_others_does_not_come_at_all() {
        let mut foreign = brief(9, &[]);
        foreign.as_mut().unwrap().site = "south".to_owned();
        let shelf = shelf(&[("old", brief(4, &[])), ("kept", brief(6, &[])), ("foreign", foreign)]);
        assert_eq!(shelf.want(&place(), &agent(6), None), None);
    }

    #[test]
    fn the_newest_comes_first_and_those_that_say_nothing_last() {
        let mut shelf = shelf(&[("bare", None), ("eight", brief(8, &[])), ("nine", brief(9, &[]))]);
        let mut order = Vec::new();
        while let Some(want) = shelf.want(&place(), &agent(6), None) {
            shelf.take(&want.name, &plan(7), None);
            order.push(want.name);
        }
        assert_eq!(order, ["nine", "eight", "bare"]);
    }

    #[test]
    fn a_plan_on_trial_that_is_on_the_agents_disk_comes_from_there() {
        let mut agent = agent(7);
        agent.in_force.stage = agent_plan::wire::Stage::Soaking;
        let want = shelf(&[("seven", brief(7, &[6]))]).want(&place(), &agent, None).unwrap();
        assert_eq!(want.way, Way::Agent(plan(7).id()));
    }

    #[test]
    fn after_a_wrong_change_the_plan_comes_as_a_whole() {
        let mut shelf = shelf(&[("seven", brief(7, &[6]))]);
        shelf.distrust("seven");
        assert_eq!(shelf.want(&place(), &agent(6), None).unwrap().way, Way::Whole { base_missing: None });
    }

    #[test]
    fn only_so_many_plans_are_here_in_full_and_one_that_is_to_be_offered_is() {
        let names: Vec<String> = (10..20).map(|epoch| epoch.to_string()).collect();
        let objects: Vec<_> =
            names.iter().zip(10..).map(|(name, e)| (name.as_str(), brief(e, &[]))).collect();
        let mut shelf = shelf(&objects);
        for epoch in 10..20 {
            shelf.take(&epoch.to_string(), &plan(epoch), None);
        }
        assert_eq!((shelf.bodies(), shelf.heads().count()), (BODIES_MAX, 10));
        let last = Some(plan(19).id());
        assert_eq!(shelf.want(&place(), &agent(6), last).unwrap().name, "19");
        shelf.take("19", &plan(19), last);
        assert!(shelf.body(plan(19).id()).is_some());
    }

    #[test]
    fn another_object_of_the_same_name_is_another_plan() {
        let mut shelf = shelf(&[("plan", brief(7, &[]))]);
        shelf.take("plan", &plan(7), None);
        shelf.note("plan", "another", "1", brief(8, &[]));
        assert_eq!((shelf.heads().count(), shelf.holds(plan(8).id())), (0, true));
    }
}
