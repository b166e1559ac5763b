//! What becomes of plans at one node: staged, activated once, on trial, kept or given up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use agent_plan::document::IfMissed;
use agent_plan::inbox::{AHEAD, Input, Offer, Standing, TAKEN_WITHIN};
use agent_plan::wire::Stage;
use agent_plan::{PlanId, Reason};
use hal_units::Duration;
use proptest::prelude::*;
use support::rig::{MS, Rig, SOAK, id, offer, rival};
use support::{NOON, time};

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
    (rig.due, rig.shelf) = (None, [None; 2]);
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
