//! What becomes of plans at the two nodes of a pair.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use agent_plan::PlanId;
use agent_plan::inbox::{AHEAD, Input, Offer, PEER_HOLDS_WITHIN, Standing};
use agent_plan::wire::Stage;
use hal_units::Duration;
use proptest::prelude::*;
use support::rig::{MS, Rig, SOAK, id, offer};
use support::{NOON, time};

/// Two nodes; the standby's cycles change over where the active node's did, if they have the plan.
struct PairRig {
    active: Rig,
    standby: Rig,
    linked: bool,
}

impl PairRig {
    fn new() -> Self {
        let mut pair =
            Self { active: Rig::new(Standing::Standby), standby: Rig::new(Standing::Standby), linked: true };
        pair.active.step(Input::Standing(Standing::Active));
        pair.exchange();
        pair
    }

    fn exchange(&mut self) {
        if self.linked {
            let (a, b) = (self.active.inbox.word(), self.standby.inbox.word());
            self.active.step(Input::Peer(Some(b)));
            self.standby.step(Input::Peer(Some(a)));
            let runs = self.active.inbox.in_force();
            if self.standby.inbox.in_force() != runs {
                self.standby.change_over(runs);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let steps = time.as_millis() / 10;
        for _ in 0..steps {
            self.active.pass(10 * MS);
            self.standby.pass(10 * MS);
            self.exchange();
        }
    }

    fn fail_over(&mut self) {
        self.linked = false;
        self.standby.step(Input::Peer(None));
        self.standby.step(Input::Standing(Standing::Active));
    }
}

#[test]
fn both_nodes_of_a_pair_activate_and_keep_a_plan() {
    let mut pair = PairRig::new();
    pair.active.offer(offer(id(2))).unwrap();
    pair.standby.offer(offer(id(2))).unwrap();
    pair.pass(AHEAD * 3);
    assert_eq!((pair.active.stage(2), pair.standby.stage(2)), (Some(Stage::Soaking), Some(Stage::Soaking)));
    pair.pass(SOAK);
    assert_eq!((pair.active.disk.good, pair.standby.disk.good), (id(2), id(2)));
    assert_eq!((pair.active.orders.len(), pair.standby.orders.len()), (1, 0), "one of them gives the orders");
}

#[test]
fn an_activation_waits_for_the_standby_but_not_forever() {
    let mut pair = PairRig::new();
    pair.active.offer(offer(id(2))).unwrap();
    pair.pass(PEER_HOLDS_WITHIN / 2);
    assert_eq!(pair.active.inbox.in_force(), id(1));
    pair.pass(PEER_HOLDS_WITHIN);
    assert_eq!(pair.active.inbox.in_force(), id(2));
    assert_eq!(pair.active.inbox.degraded().len(), 1, "the standby lacks the plan");
    assert_eq!(pair.standby.offer(offer(id(2))), Ok(Stage::Staged));
    pair.pass(AHEAD * 2);
    assert_eq!((pair.standby.inbox.in_force(), pair.active.inbox.degraded().len()), (id(2), 0));
}

#[test]
fn a_rollback_reaches_the_standby() {
    let mut pair = PairRig::new();
    pair.active.offer(offer(id(2))).unwrap();
    pair.standby.offer(offer(id(2))).unwrap();
    pair.pass(SOAK / 2);
    pair.active.step(Input::Failing { why: "trip".to_owned() });
    pair.pass(AHEAD * 3);
    assert_eq!((pair.active.inbox.in_force(), pair.standby.inbox.in_force()), (id(1), id(1)));
    assert_eq!(pair.standby.stage(2), Some(Stage::RolledBack));
    pair.pass(SOAK * 2);
    assert_eq!(pair.standby.disk.good, id(1));
}

#[test]
fn a_standby_that_takes_over_during_the_soak_ends_it() {
    let mut pair = PairRig::new();
    pair.active.offer(offer(id(2))).unwrap();
    pair.standby.offer(offer(id(2))).unwrap();
    pair.pass(SOAK / 2);
    pair.fail_over();
    pair.standby.pass(SOAK);
    assert_eq!((pair.standby.disk.good, pair.standby.activated.len()), (id(2), 1));
}

#[test]
fn a_standby_that_takes_over_before_the_cycle_activates_the_plan_itself() {
    let mut pair = PairRig::new();
    pair.active.offer(offer(id(2))).unwrap();
    pair.standby.offer(offer(id(2))).unwrap();
    pair.exchange();
    pair.fail_over();
    pair.standby.pass(AHEAD * 2);
    assert_eq!(pair.standby.activated, [id(2)]);
}

#[test]
fn a_node_that_died_on_trial_follows_its_peer_back_into_the_plan() {
    let mut pair = PairRig::new();
    pair.active.offer(offer(id(2))).unwrap();
    pair.standby.offer(offer(id(2))).unwrap();
    pair.pass(SOAK / 2);
    pair.fail_over();
    let reborn = Rig::boot(Standing::Standby, pair.active.disk.clone(), pair.active.now, time(NOON));
    pair.active = std::mem::replace(&mut pair.standby, reborn);
    pair.linked = true;
    assert_eq!(pair.standby.inbox.in_force(), id(1));
    pair.pass(SOAK);
    assert_eq!((pair.standby.inbox.in_force(), pair.standby.disk.good), (id(2), id(2)));
}

/// A pair of which the second node was away while the first one got a plan and kept it.
fn back_after_an_outage(offer: Offer) -> Couple {
    let mut couple = Couple::new();
    couple.whole = false;
    couple.nodes[0].step(Input::Peer(None));
    couple.nodes[0].offer(offer).unwrap();
    couple.pass(2_000);
    assert_eq!(couple.nodes[0].inbox.good(), offer.id);
    couple.whole = true;
    couple
}

#[test]
fn a_node_that_was_away_gets_the_plan_from_the_other_one() {
    let mut couple = back_after_an_outage(offer(id(2)));
    couple.pass(10);
    let back = &couple.nodes[1];
    assert_eq!((back.inbox.in_force(), back.inbox.good(), back.disk.good), (id(2), id(2), id(2)));
    assert_eq!(back.inbox.degraded(), Vec::<String>::new());
}

#[test]
fn a_plan_that_was_activated_in_time_comes_to_the_other_node_after_it_has_expired() {
    let expires_at = Some(time("2026-11-25T12:00:10Z"));
    let mut couple = back_after_an_outage(Offer { expires_at, ..offer(id(2)) });
    couple.pass(10);
    assert_eq!(couple.nodes[1].disk.good, id(2));
}

#[test]
fn a_node_that_takes_over_just_after_it_got_a_plan_whose_time_is_past_goes_on_with_it() {
    let mut late = offer(id(2));
    late.activation.not_before = Some(time("2026-11-25T12:00:01Z"));
    late.activation.grace = Duration::ZERO;
    let mut couple = back_after_an_outage(late);
    couple.exchange();
    let wanted = couple.nodes[1].inbox.wanted();
    assert_eq!(wanted, [id(2)]);
    assert_eq!(couple.nodes[1].offer(late), Ok(Stage::Staged));
    couple.whole = false;
    couple.hand_over_to(1);
    couple.pass(10);
    assert_eq!(couple.nodes[1].inbox.in_force(), id(2));
}

#[test]
fn a_node_that_writes_wants_nothing_of_the_other_one() {
    let couple = back_after_an_outage(offer(id(2)));
    assert_eq!(couple.nodes[0].inbox.wanted(), []);
}

/// What happens to a pair.
#[derive(Debug, Clone, Copy)]
enum PairEvent {
    /// A plan comes to one node.
    Deliver {
        to: usize,
        epoch: u32,
    },
    Pass {
        cycles: u32,
    },
    /// The links are cut or whole again.
    Links {
        whole: bool,
    },
    /// The node that writes hands over.
    Switch,
    /// A node dies, and comes back at once; the other one writes.
    Crash {
        node: usize,
    },
    Fail,
}

fn pair_events() -> impl Strategy<Value = Vec<PairEvent>> {
    let event = prop_oneof![
        30 => (0_usize..2, 2_u32..9).prop_map(|(to, epoch)| PairEvent::Deliver { to, epoch }),
        30 => (1_u32..200).prop_map(|cycles| PairEvent::Pass { cycles }),
        3 => any::<bool>().prop_map(|whole| PairEvent::Links { whole }),
        3 => Just(PairEvent::Switch),
        3 => (0_usize..2).prop_map(|node| PairEvent::Crash { node }),
        2 => Just(PairEvent::Fail),
    ];
    proptest::collection::vec(event, 60)
}

/// Two nodes of which either may write.
struct Couple {
    nodes: [Rig; 2],
    writes: usize,
    whole: bool,
}

impl Couple {
    fn new() -> Self {
        let nodes = [Rig::new(Standing::Standby), Rig::new(Standing::Standby)];
        let mut couple = Self { nodes, writes: 0, whole: true };
        couple.hand_over_to(0);
        couple
    }

    fn hand_over_to(&mut self, node: usize) {
        self.nodes[1 - node].due = None;
        self.nodes[1 - node].step(Input::Standing(Standing::Standby));
        self.nodes[node].step(Input::Standing(Standing::Active));
        self.writes = node;
    }

    fn exchange(&mut self) {
        let words = [0, 1].map(|node| Some(self.nodes[node].inbox.word()).filter(|_| self.whole));
        self.nodes[0].step(Input::Peer(words[1]));
        self.nodes[1].step(Input::Peer(words[0]));
        let runs = self.nodes[self.writes].inbox.in_force();
        let standby = &mut self.nodes[1 - self.writes];
        if self.whole && standby.inbox.in_force() != runs {
            standby.change_over(runs);
        }
    }

    /// The standby takes from the other one's disk what it wants, as the fetch brings it.
    fn fetch(&mut self) {
        for wanted in self.nodes[1 - self.writes].inbox.wanted() {
            let given = self.nodes[self.writes].stored(wanted).filter(|_| self.whole);
            if let Some(offer) = given {
                let _ = self.nodes[1 - self.writes].offer(offer);
                break;
            }
        }
    }

    fn pass(&mut self, cycles: u32) {
        for cycle in 0..cycles {
            self.nodes[0].pass(10 * MS);
            self.nodes[1].pass(10 * MS);
            self.exchange();
            if cycle % 3 == 0 {
                self.fetch();
            }
        }
    }

    fn crash(&mut self, node: usize) {
        let dead = &self.nodes[node];
        let reborn = Rig::boot(Standing::Standby, dead.disk.clone(), dead.now, time(NOON));
        // What plans say of themselves is on disk with them.
        let offered = dead.offered.clone();
        self.nodes[node] = Rig { offered, ..reborn };
        self.hand_over_to(1 - node);
    }

    fn take(&mut self, event: PairEvent) {
        match event {
            PairEvent::Deliver { to, epoch } => {
                let short = Offer { soak: Duration::from_secs(1), ..offer(id(epoch)) };
                let _ = self.nodes[to].offer(short);
            }
            PairEvent::Pass { cycles } => self.pass(cycles),
            PairEvent::Links { whole } => self.whole = whole,
            PairEvent::Switch => self.hand_over_to(1 - self.writes),
            PairEvent::Crash { node } => self.crash(node),
            PairEvent::Fail => {
                self.nodes[self.writes].step(Input::Failing { why: "trip".to_owned() });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happened_to_a_pair_its_nodes_come_together_without_anybody_else(events in pair_events()) {
        let mut couple = Couple::new();
        for event in events {
            couple.take(event);
        }
        couple.whole = true;
        // Two trials and more.
        couple.pass(1_000);
        let [leader, follower] = [&couple.nodes[couple.writes], &couple.nodes[1 - couple.writes]];
        prop_assert_eq!((leader.inbox.in_force(), leader.inbox.staged()), (leader.inbox.good(), None));
        // One that came to the standby alone waits there for the day when it comes to the other node.
        let newer = |id: &PlanId| id.epoch > leader.inbox.highest().epoch;
        prop_assert!(follower.inbox.staged().iter().all(newer), "{:?}", follower.inbox);
        // The first plan is that of a node's own file, which nobody has signed.
        if leader.inbox.good() != id(1) {
            prop_assert_eq!(follower.inbox.in_force(), leader.inbox.in_force(), "{:?}", follower.inbox);
            prop_assert_eq!((follower.inbox.good(), follower.disk.good), (leader.inbox.good(), leader.disk.good));
            prop_assert_eq!((leader.inbox.degraded(), follower.inbox.degraded()), (Vec::new(), Vec::new()));
        }
    }

    #[test]
    fn whatever_happened_to_a_pair_a_newer_plan_brings_its_nodes_together(events in pair_events()) {
        let mut couple = Couple::new();
        for event in events {
            couple.take(event);
            for rig in &couple.nodes {
                prop_assert_eq!(rig.inbox.good(), rig.disk.good, "what is gone back to is on disk");
            }
        }
        couple.whole = true;
        // Its source offers it to the node that writes, and again.
        for _ in 0..3 {
            couple.take(PairEvent::Deliver { to: couple.writes, epoch: 9 });
            couple.pass(300);
        }
        for rig in &couple.nodes {
            let (in_force, good) = (rig.inbox.in_force(), rig.inbox.good());
            prop_assert_eq!((in_force, good, rig.disk.good), (id(9), id(9), id(9)), "{:?}", rig.inbox);
            prop_assert_eq!((rig.inbox.staged(), rig.disk.staged, rig.disk.trial), (None, None, None));
            prop_assert_eq!(rig.inbox.degraded(), Vec::<String>::new());
        }
    }
}
