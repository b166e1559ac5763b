//! A plan on its way from the node that leads by it to one that lacks it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use agent_plan::PlanId;
use agent_plan::document::SIGNED_BYTES_MAX;
use agent_plan::fetch::{
    ANSWER_WITHIN, FIRST_PAUSE, Fetch, PARTS_PER_ASK, PAUSE_MAX, PlanAsk, PlanPart, Taken, parts,
};
use hal_units::{Duration, Instant};
use proptest::prelude::*;
use support::rig::{MS, id};

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn json(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

/// Asks until the plan is whole; how many asks it took.
fn fetched(fetch: &mut Fetch, plan: PlanId, json: &[u8]) -> (Vec<u8>, usize) {
    let mut ask = fetch.step(at(0), &[plan]).unwrap();
    for asks in 1.. {
        let answer: Vec<PlanPart> = parts(ask, json).collect();
        assert!(answer.len() <= PARTS_PER_ASK);
        for part in answer {
            match fetch.take(at(0), &part) {
                Taken::Nothing => {}
                Taken::Ask(next) => ask = next,
                Taken::Whole(whole) => return (whole, asks),
            }
        }
    }
    unreachable!()
}

#[test]
fn a_plan_of_any_size_comes_over_a_few_parts_at_a_time() {
    for bytes in [1, 899, 900, 901, 3599, 3600, 3601, SIGNED_BYTES_MAX] {
        let (whole, asks) = fetched(&mut Fetch::default(), id(7), &json(bytes));
        assert!(whole == json(bytes), "{bytes} bytes");
        assert_eq!(asks, bytes.div_ceil(3600), "{bytes} bytes");
    }
}

#[test]
fn a_part_fits_into_a_record_of_the_link() {
    let whole = json(SIGNED_BYTES_MAX);
    let last = PlanAsk { id: PlanId { epoch: u32::MAX, ..id(7) }, from: (SIGNED_BYTES_MAX - 3000) as u32 };
    for part in parts(last, &whole) {
        // The number of the message and those of the fields in their longest form, the digest in hexadecimal
        // digits with its length, and the length of the bytes.
        assert!(1 + 5 + 65 + 5 + 5 + 2 + part.bytes.len() <= 1024);
    }
}

#[test]
fn what_is_not_answered_is_asked_for_again_more_and_more_seldom() {
    let mut fetch = Fetch::default();
    let (mut asked, mut now) = (Vec::new(), at(0));
    while now < at(600_000) {
        if fetch.step(now, &[id(7)]).is_some() {
            asked.push(now);
        }
        now = now + 50 * MS;
    }
    assert_eq!(asked[1].since(asked[0]), ANSWER_WITHIN + FIRST_PAUSE);
    assert_eq!(asked[2].since(asked[1]), ANSWER_WITHIN + 2 * FIRST_PAUSE);
    let last = asked.windows(2).last().unwrap();
    assert_eq!(last[1].since(last[0]), ANSWER_WITHIN + PAUSE_MAX);
}

#[test]
fn a_plan_that_the_other_node_cannot_give_keeps_no_other_one_back() {
    let mut fetch = Fetch::default();
    assert_eq!(fetch.step(at(0), &[id(7), id(8)]), Some(PlanAsk { id: id(7), from: 0 }));
    assert_eq!(fetch.take(at(1), &PlanPart::none(id(7))), Taken::Nothing);
    assert_eq!(fetch.step(at(2), &[id(7), id(8)]), Some(PlanAsk { id: id(8), from: 0 }));
}

#[test]
fn a_plan_that_was_of_no_use_is_asked_for_again_at_once_when_something_has_changed() {
    let mut fetch = Fetch::default();
    fetched(&mut fetch, id(7), &json(10));
    assert_eq!(fetch.step(at(1), &[id(7)]), None, "still wanted: it was refused here");
    fetch.forget();
    assert!(fetch.step(at(1), &[id(7)]).is_some());
}

#[test]
fn whoever_says_that_a_plan_is_longer_than_a_plan_is_not_believed() {
    let mut fetch = Fetch::default();
    fetch.step(at(0), &[id(7)]).unwrap();
    let part = PlanPart { id: id(7), total: SIGNED_BYTES_MAX as u32 + 1, at: 0, bytes: vec![0; 900] };
    assert_eq!(fetch.take(at(0), &part), Taken::Nothing);
    assert_eq!(fetch.step(at(1), &[id(7)]), None, "it pauses");
}

/// What happens between a standby and the node that it asks.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Everything under way arrives, or is lost with the session.
    Arrives(bool),
    Passes(u64),
    /// Another plan is wanted.
    Wants(u32),
    /// A part of another time comes again.
    Stray {
        plan: u32,
        from: u32,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        12 => (0_u8..10).prop_map(|luck| Event::Arrives(luck > 0)),
        6 => (1_u64..2_000).prop_map(Event::Passes),
        1 => (1_u32..4).prop_map(Event::Wants),
        2 => (1_u32..4, 0_u32..9_000).prop_map(|(plan, from)| Event::Stray { plan, from }),
    ];
    proptest::collection::vec(event, 1..200)
}

/// Plan `epoch` has so many thousand bytes.
fn plan_json(epoch: u32) -> Vec<u8> {
    json(epoch as usize * 3_500).into_iter().map(|byte| byte ^ epoch as u8).collect()
}

proptest! {
    #[test]
    fn whatever_is_lost_or_comes_astray_a_whole_plan_is_the_one_that_was_asked_for(events in events()) {
        let (mut fetch, mut wanted, mut now) = (Fetch::default(), 1, at(0));
        let mut under_way: Vec<PlanAsk> = Vec::new();
        let mut whole = 0;
        for event in events {
            let mut came: Vec<PlanPart> = Vec::new();
            match event {
                Event::Arrives(true) => {
                    came = under_way.drain(..).flat_map(|ask| parts(ask, &plan_json(ask.id.epoch)).collect::<Vec<_>>()).collect();
                }
                Event::Arrives(false) => under_way.clear(),
                Event::Passes(millis) => now = now + Duration::from_millis(millis),
                Event::Wants(epoch) => wanted = epoch,
                Event::Stray { plan, from } => {
                    came = parts(PlanAsk { id: id(plan), from }, &plan_json(plan)).collect();
                }
            }
            for part in came {
                match fetch.take(now, &part) {
                    Taken::Nothing => {}
                    Taken::Ask(ask) => under_way.push(ask),
                    Taken::Whole(json) => {
                        prop_assert!(json == plan_json(part.id.epoch));
                        whole += 1;
                    }
                }
            }
            under_way.extend(fetch.step(now, &[id(wanted)]));
            prop_assert!(under_way.len() <= 8, "asks have a bound");
        }
        // Nothing is lost any more.
        fetch.forget();
        let before = whole;
        under_way = fetch.step(now, &[id(wanted)]).into_iter().collect();
        while let Some(ask) = under_way.pop() {
            for part in parts(ask, &plan_json(wanted)).collect::<Vec<_>>() {
                match fetch.take(now, &part) {
                    Taken::Nothing => {}
                    Taken::Ask(ask) => under_way.push(ask),
                    Taken::Whole(_) => whole += 1,
                }
            }
        }
        prop_assert_eq!(whole, before + 1);
    }
}
