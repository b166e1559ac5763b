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
    let plan = json!({ "name": "night", "epoch": epoch, "target": { "site": "north" }, "rollout": rollout });
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
    sidecar
        .heard(view.plans[1].id, &Verdict::Refused { refusal: Reason::UnknownKey.because("a stranger's") });
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
    let status = sidecar.status(&view, &decision.waits, &PlanSync::default(), UtcTime::from_unix_millis(5));
    let ready = status.conditions.iter().find(|condition| condition.kind == ConditionType::Ready).unwrap();
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
    let first = sidecar.status(&view, &Wait::Nothing, &PlanSync::default(), UtcTime::from_unix_millis(1000));
    let second = sidecar.status(&view, &Wait::Nothing, &PlanSync::default(), UtcTime::from_unix_millis(2000));
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
