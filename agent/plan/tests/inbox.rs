//! What becomes of plans at one node and at a pair: staged, activated once, on trial, kept or given up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use agent_plan::canonical::Digest;
use agent_plan::document::{Boundary, IfMissed, UtcTime};
use agent_plan::inbox::{
    AHEAD, Clock, GivenUp, Inbox, Input, Offer, Output, PEER_HOLDS_WITHIN, PeerWord, Recovered, Standing,
    TAKEN_WITHIN,
};
use agent_plan::wire::Stage;
use agent_plan::{CheckedActivation, PlanId, Reason, Refusal};
use hal_units::{Duration, Instant};
use proptest::prelude::*;
use support::{NOON, time};

const SOAK: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);

fn id(epoch: u32) -> PlanId {
    PlanId { epoch, digest: Digest::of_bytes(&epoch.to_be_bytes()) }
}

/// Another plan with the same epoch.
fn rival(epoch: u32) -> PlanId {
    PlanId { epoch, digest: Digest::of_bytes(&[epoch as u8, 0xff]) }
}

fn offer(id: PlanId) -> Offer {
    let activation = CheckedActivation {
        not_before: None,
        boundary: Boundary::Cycle,
        if_missed: IfMissed::Skip,
        grace: Duration::from_secs(10),
    };
    Offer { id, activation, expires_at: None, soak: SOAK }
}

/// What is on a node's disk.
#[derive(Debug, Clone, Default)]
struct Disk {
    good: PlanId,
    staged: Option<Offer>,
    trying: Option<PlanId>,
    trial: Option<Offer>,
    highest: PlanId,
    given_up: Option<GivenUp>,
}

/// A node with a disk that works and cycles that change over when they are told.
struct Rig {
    inbox: Inbox,
    disk: Disk,
    now: Instant,
    start: UtcTime,
    disk_works: bool,
    offered: Vec<Offer>,
    /// What lies ready for the cycles: to go to, and to go back to.
    shelf: [Option<PlanId>; 2],
    due: Option<(PlanId, Instant)>,
    answers: Vec<Result<(PlanId, Stage), Refusal>>,
    activated: Vec<PlanId>,
    orders: Vec<PlanId>,
    told: Option<PeerWord>,
}

impl Rig {
    fn new(standing: Standing) -> Self {
        Self::boot(
            standing,
            Disk { good: id(1), highest: id(1), ..Disk::default() },
            Instant::ZERO,
            time(NOON),
        )
    }

    fn boot(standing: Standing, disk: Disk, now: Instant, start: UtcTime) -> Self {
        let found = Recovered {
            good: disk.good,
            candidate: disk.staged.or(disk.trial),
            on_trial: disk.staged.is_none_or(|offer| disk.trying == Some(offer.id)),
            highest: disk.highest,
            given_up: disk.given_up.clone(),
        };
        let (inbox, first) = Inbox::recover(now, standing, found);
        let mut rig = Self {
            inbox,
            now,
            start,
            disk_works: true,
            offered: [disk.staged, disk.trial].into_iter().flatten().collect(),
            disk,
            shelf: [None; 2],
            due: None,
            answers: Vec::new(),
            activated: Vec::new(),
            orders: Vec::new(),
            told: None,
        };
        rig.carry_out(first);
        rig
    }

    fn clock(&self) -> Clock {
        let millis =
            self.start.unix_millis() + u64::try_from(self.now.since(Instant::ZERO).as_millis()).unwrap();
        Clock { now: self.now, wall: UtcTime::from_unix_millis(millis) }
    }

    fn step(&mut self, input: Input) {
        let out = self.inbox.step(self.clock(), input);
        self.carry_out(out);
    }

    fn carry_out(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Answer(answer) => self.answers.push(answer),
                Output::Store(id) => {
                    if self.disk_works {
                        self.disk.staged = self.offered.iter().copied().find(|offer| offer.id == id);
                    }
                    let done = self.disk_works;
                    self.step(Input::Stored { id, done });
                }
                Output::NoteTrial(id) => self.disk.trying = Some(id),
                Output::BeginTrial(id) => {
                    if let Some(offer) = self.disk.staged.take_if(|offer| offer.id == id) {
                        self.disk.trial = Some(offer);
                    }
                }
                Output::Promote(id) => {
                    assert_eq!(
                        self.disk.trial.take().map(|offer| offer.id),
                        Some(id),
                        "what is kept is on disk"
                    );
                    self.disk.good = id;
                }
                Output::Forget(given_up) => {
                    let id = given_up.id;
                    self.disk.given_up = Some(given_up);
                    self.disk.highest = self.disk.highest.max(id);
                    self.disk.staged.take_if(|offer| offer.id == id);
                    self.disk.trial.take_if(|offer| offer.id == id);
                }
                Output::Ready(id) => self.shelf[0] = Some(id),
                Output::ReadyBack(id) => self.shelf[1] = Some(id),
                Output::ChangeOver { id, at, .. } => self.due = Some((id, at)),
                Output::GiveOrders(id) => self.orders.push(id),
                Output::Tell(word) => self.told = Some(word),
            }
        }
    }

    fn offer(&mut self, offer: Offer) -> Result<Stage, Reason> {
        self.offered.push(offer);
        self.step(Input::Offered(offer));
        self.answers.pop().unwrap().map(|(_, stage)| stage).map_err(|refusal| refusal.reason)
    }

    /// The cycles run a plan from now on, if it lies ready.
    fn change_over(&mut self, id: PlanId) {
        let slot = self.shelf.iter_mut().find(|slot| **slot == Some(id));
        if slot.and_then(Option::take).is_some() {
            self.activated.push(id);
            self.step(Input::Activated { id });
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = (self.now + 10 * MS).min(end);
            if let Some((id, _)) = self.due.take_if(|(_, at)| *at <= self.now) {
                self.change_over(id);
            }
            self.step(Input::Tick);
        }
    }

    fn stage(&self, epoch: u32) -> Option<Stage> {
        self.inbox.stage_of(id(epoch))
    }
}

#[test]
fn a_plan_is_staged_activated_on_trial_and_then_the_last_known_good_one() {
    let mut rig = Rig::new(Standing::Alone);
    assert_eq!(rig.offer(offer(id(2))), Ok(Stage::Staged));
    rig.pass(AHEAD * 2);
    assert_eq!((rig.stage(2), rig.inbox.in_force()), (Some(Stage::Soaking), id(2)));
    rig.pass(SOAK);
    assert_eq!((rig.stage(2), rig.disk.good), (Some(Stage::LastKnownGood), id(2)));
    assert_eq!(rig.orders, [id(2)], "its transport orders are given once");
}

#[test]
fn a_plan_is_accepted_only_when_it_is_on_disk() {
    let mut rig = Rig::new(Standing::Alone);
    rig.disk_works = false;
    assert_eq!(rig.offer(offer(id(2))), Err(Reason::NotStored));
    rig.pass(SOAK);
    assert_eq!(rig.activated, []);
    rig.disk_works = true;
    assert_eq!(rig.offer(offer(id(2))), Ok(Stage::Staged), "it may come again");
}

#[test]
fn a_replayed_epoch_is_refused_and_a_repeated_plan_answered_with_what_became_of_it() {
    let mut rig = Rig::new(Standing::Alone);
    rig.offer(offer(id(5))).unwrap();
    rig.pass(SOAK + AHEAD * 2);
    assert_eq!(rig.offer(offer(id(4))), Err(Reason::ReplayedEpoch));
    assert_eq!(rig.offer(offer(rival(5))), Err(Reason::ConflictingEpoch));
    assert_eq!(rig.offer(offer(id(5))), Ok(Stage::LastKnownGood));
    rig.pass(SOAK);
    assert_eq!(rig.activated, [id(5)]);
}

#[test]
fn a_plan_that_expired_is_refused_and_one_that_expires_while_it_waits_is_dropped() {
    let mut rig = Rig::new(Standing::Alone);
    let expires = |text| Some(time(text));
    assert_eq!(
        rig.offer(Offer { expires_at: expires("2026-11-25T11:59:59Z"), ..offer(id(2)) }),
        Err(Reason::Expired)
    );
    let mut late = Offer { expires_at: expires("2026-11-25T12:00:05Z"), ..offer(id(3)) };
    late.activation.not_before = Some(time("2026-11-25T12:00:10Z"));
    rig.offer(late).unwrap();
    rig.pass(SOAK * 2);
    assert_eq!((rig.stage(3), rig.activated.len(), rig.disk.staged), (Some(Stage::Dropped), 0, None));
    assert_eq!(rig.inbox.given_up().unwrap().refusal.reason, Reason::Expired);
}

#[test]
fn a_plan_waits_for_its_time_and_takes_effect_at_it() {
    let mut rig = Rig::new(Standing::Alone);
    let mut later = offer(id(2));
    later.activation.not_before = Some(time("2026-11-25T12:01:00Z"));
    rig.offer(later).unwrap();
    rig.pass(Duration::from_secs(59) + 990 * MS);
    assert_eq!(rig.inbox.in_force(), id(1));
    rig.pass(10 * MS);
    assert_eq!(rig.inbox.in_force(), id(2));
}

#[test]
fn a_plan_that_missed_its_time_is_skipped_or_activated_at_once_as_it_says() {
    let mut missed = offer(id(2));
    missed.activation.not_before = Some(time("2026-11-25T11:59:00Z"));
    let mut rig = Rig::new(Standing::Alone);
    rig.offer(missed).unwrap();
    rig.pass(SOAK);
    assert_eq!((rig.activated.len(), rig.inbox.given_up().unwrap().refusal.reason), (0, Reason::Missed));

    missed.activation.if_missed = IfMissed::AtOnce;
    let mut rig = Rig::new(Standing::Alone);
    rig.offer(missed).unwrap();
    rig.pass(AHEAD * 2);
    assert_eq!(rig.activated, [id(2)]);
}

#[test]
fn a_plan_that_fails_on_trial_is_rolled_back_and_never_comes_again() {
    let mut rig = Rig::new(Standing::Alone);
    rig.offer(offer(id(2))).unwrap();
    rig.pass(SOAK / 2);
    rig.step(Input::Failing { why: "group fast is in its safe state".to_owned() });
    rig.pass(AHEAD * 2);
    assert_eq!((rig.stage(2), rig.inbox.in_force()), (Some(Stage::RolledBack), id(1)));
    assert_eq!(rig.inbox.given_up().unwrap().refusal.reason, Reason::FailedSoak);
    assert_eq!(rig.offer(offer(id(2))), Ok(Stage::RolledBack));
    rig.pass(SOAK * 2);
    assert_eq!(rig.activated, [id(2), id(1)]);
    assert_eq!((rig.disk.good, rig.disk.trial), (id(1), None));
    assert_eq!(rig.inbox.counts(), (1, 1));
}

#[test]
fn a_failure_after_the_soak_does_not_roll_back() {
    let mut rig = Rig::new(Standing::Alone);
    rig.offer(offer(id(2))).unwrap();
    rig.pass(SOAK + AHEAD * 2);
    rig.step(Input::Failing { why: "wind".to_owned() });
    rig.pass(SOAK);
    assert_eq!(rig.inbox.in_force(), id(2));
}

#[test]
fn what_is_staged_or_on_trial_is_given_up_when_somebody_asks() {
    let mut rig = Rig::new(Standing::Alone);
    let mut later = offer(id(2));
    later.activation.not_before = Some(time("2026-11-25T13:00:00Z"));
    rig.offer(later).unwrap();
    rig.step(Input::GiveUp { epoch: 2 });
    assert_eq!(rig.stage(2), Some(Stage::Dropped));
    rig.offer(offer(id(3))).unwrap();
    rig.pass(AHEAD * 2);
    rig.step(Input::GiveUp { epoch: 3 });
    rig.pass(AHEAD * 2);
    assert_eq!((rig.stage(3), rig.inbox.in_force()), (Some(Stage::RolledBack), id(1)));
    rig.answers.clear();
    rig.step(Input::GiveUp { epoch: 1 });
    assert_eq!(
        rig.answers.pop().unwrap().unwrap_err().reason,
        Reason::Unsupported,
        "the last known good one stays"
    );
    rig.step(Input::GiveUp { epoch: 9 });
    assert_eq!(rig.answers.pop().unwrap().unwrap_err().reason, Reason::UnknownName);
}

#[test]
fn a_newer_plan_supersedes_one_on_trial_and_a_failure_goes_back_to_the_one_that_proved_itself() {
    let mut rig = Rig::new(Standing::Alone);
    rig.offer(offer(id(2))).unwrap();
    rig.pass(SOAK / 2);
    rig.offer(offer(id(3))).unwrap();
    rig.pass(AHEAD * 2);
    assert_eq!(rig.stage(2), Some(Stage::Superseded));
    rig.step(Input::Failing { why: "trip".to_owned() });
    rig.pass(AHEAD * 2);
    assert_eq!(rig.inbox.in_force(), id(1));
}

#[test]
fn while_the_cycles_change_over_a_newer_plan_is_asked_to_come_again() {
    let mut rig = Rig::new(Standing::Alone);
    rig.offer(offer(id(2))).unwrap();
    rig.step(Input::Tick);
    assert_eq!(rig.offer(offer(id(3))), Err(Reason::Busy));
    rig.pass(AHEAD * 2);
    assert_eq!(rig.offer(offer(id(3))), Ok(Stage::Staged));
}

#[test]
fn cycles_that_did_not_change_over_are_told_again() {
    let mut rig = Rig::new(Standing::Alone);
    rig.offer(offer(id(2))).unwrap();
    rig.due = None;
    rig.pass(TAKEN_WITHIN + AHEAD * 4);
    assert_eq!(rig.inbox.in_force(), id(2));
}

#[test]
fn after_a_crash_on_trial_the_last_known_good_plan_runs_and_the_other_is_given_up() {
    let mut rig = Rig::new(Standing::Alone);
    rig.offer(offer(id(2))).unwrap();
    rig.pass(SOAK / 2);
    let mut again = Rig::boot(Standing::Alone, rig.disk.clone(), rig.now, time(NOON));
    assert_eq!(again.inbox.in_force(), id(1));
    again.pass(SOAK * 2);
    assert_eq!((again.activated.len(), again.stage(2)), (0, Some(Stage::RolledBack)));
    assert_eq!(again.offer(offer(id(2))), Ok(Stage::RolledBack));
    let mut later = Rig::boot(Standing::Alone, again.disk.clone(), again.now, time(NOON));
    assert_eq!(later.offer(offer(id(2))), Ok(Stage::RolledBack), "what became of it is not forgotten");
    assert_eq!(later.offer(offer(rival(2))), Err(Reason::ConflictingEpoch));
}

#[test]
fn after_a_crash_a_plan_that_was_only_staged_is_activated() {
    let mut rig = Rig::new(Standing::Alone);
    let mut later = offer(id(2));
    later.activation.not_before = Some(time("2026-11-25T12:01:00Z"));
    rig.offer(later).unwrap();
    let mut again = Rig::boot(Standing::Alone, rig.disk.clone(), rig.now, time(NOON));
    again.pass(Duration::from_secs(61));
    assert_eq!(again.activated, [id(2)]);
}

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

/// What happens to a node: mostly deliveries.
#[derive(Debug, Clone, Copy)]
enum Event {
    Deliver { epoch: u32, rival: bool },
    Pass { cycles: u32 },
    Fail,
    Crash,
}

fn events(count: usize) -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        200 => (2_u32..12, prop::bool::weighted(0.1)).prop_map(|(epoch, rival)| Event::Deliver { epoch, rival }),
        10 => (1_u32..60).prop_map(|cycles| Event::Pass { cycles }),
        1 => Just(Event::Fail),
        1 => Just(Event::Crash),
    ];
    proptest::collection::vec(event, count)
}

/// Runs the events; returns what the cycles changed over to for the first time, over all crashes.
fn run(events: &[Event]) -> (Rig, Vec<PlanId>) {
    let mut rig = Rig::new(Standing::Alone);
    let mut history = Vec::new();
    for event in events {
        match *event {
            Event::Deliver { epoch, rival: false } => drop(rig.offer(offer(id(epoch)))),
            Event::Deliver { epoch, rival: true } => drop(rig.offer(offer(rival(epoch)))),
            Event::Pass { cycles } => rig.pass(cycles * 10 * MS),
            Event::Fail => rig.step(Input::Failing { why: "trip".to_owned() }),
            Event::Crash => {
                history.append(&mut rig.activated);
                rig = Rig::boot(Standing::Alone, rig.disk.clone(), rig.now, time(NOON));
            }
        }
        rig.offered.truncate(64);
    }
    rig.pass(SOAK * 2);
    history.extend(rig.activated.iter().copied());
    (rig, history)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_in_whatever_order_an_epoch_is_activated_once_at_most(events in events(400)) {
        let (_, history) = run(&events);
        let mut seen = std::collections::BTreeMap::new();
        let mut entered = Vec::new();
        for id in history {
            // To go back to a plan that proved itself is no new activation of it.
            if *seen.entry(id.epoch).or_insert(id) == id && !entered.contains(&id) {
                entered.push(id);
            }
            prop_assert_eq!(seen[&id.epoch], id, "two plans of one epoch ran");
        }
        prop_assert!(entered.iter().skip(1).zip(&entered).all(|(later, before)| later.epoch > before.epoch
            || before.epoch == 1 || later.epoch == 1), "{:?}", entered);
    }
}

/// Each plan comes thousands of times, in any order, the older ones again after the newer ones.
#[test]
fn a_hundred_thousand_repeated_and_reordered_deliveries_activate_each_plan_once() {
    const PLANS: u32 = 50;
    let mut rig = Rig::new(Standing::Alone);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut delivered = 0;
    for newest in 2..2 + PLANS {
        for _ in 0..2_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let epoch = 2 + (seed >> 33) as u32 % (newest - 1);
            rig.offered.clear();
            let _ = rig.offer(offer(id(epoch)));
            delivered += 1;
            if seed >> 60 == 0 {
                rig.pass(10 * MS);
            }
        }
        rig.offered.clear();
        let _ = rig.offer(offer(id(newest)));
        rig.pass(AHEAD * 2);
    }
    assert_eq!(delivered, 100_000);
    assert_eq!(rig.activated, (2..2 + PLANS).map(id).collect::<Vec<_>>());
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

    fn pass(&mut self, cycles: u32) {
        for _ in 0..cycles {
            self.nodes[0].pass(10 * MS);
            self.nodes[1].pass(10 * MS);
            self.exchange();
        }
    }

    fn crash(&mut self, node: usize) {
        let dead = &self.nodes[node];
        self.nodes[node] = Rig::boot(Standing::Standby, dead.disk.clone(), dead.now, time(NOON));
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
    fn whatever_happened_to_a_pair_a_newer_plan_brings_its_nodes_together(events in pair_events()) {
        let mut couple = Couple::new();
        for event in events {
            couple.take(event);
            for rig in &couple.nodes {
                prop_assert_eq!(rig.inbox.good(), rig.disk.good, "what is gone back to is on disk");
            }
        }
        couple.whole = true;
        // Its source offers it to both, and again.
        for _ in 0..3 {
            for node in 0..2 {
                couple.take(PairEvent::Deliver { to: node, epoch: 9 });
            }
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
