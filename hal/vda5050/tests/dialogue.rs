//! The conversation with a vehicle: what is lost is sent again, what contradicts is not believed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hal_units::Duration;
use hal_vda5050::{
    Command, Connection, ConnectionState, Dialogue, Event, Grant, Header, InstantActions, Limits, Malformed,
    Memory, OverLimit, Refusal, Response, State, StateFault, Value, Version, Zone, ZoneFault, ZoneRule,
    ZoneSet,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use support::{Vehicle, action, address, at, conversation, leg, node, order, wall};

const BOTH: [Version; 2] = [Version::V2, Version::V3];

fn begin(dialogue: &mut Dialogue) -> hal_vda5050::Outgoing {
    let legs = vec![leg("a", "b"), leg("b", "c")];
    dialogue.begin(at(0), wall(), "transport-1", node("a"), legs, 1).unwrap()
}

#[test]
fn an_order_is_taken_carried_on_and_done() {
    for version in BOTH {
        let (mut dialogue, mut vehicle) = conversation(version, "a");
        vehicle.hears(&begin(&mut dialogue));
        let reached = |node_id: &str, sequence_id| Event::Reached { node_id: node_id.into(), sequence_id };
        assert_eq!(dialogue.on_state(&vehicle.state()).unwrap(), [Event::Took(0), reached("a", 0)]);
        vehicle.drives();
        vehicle.drives();
        let events = dialogue.on_state(&vehicle.state()).unwrap();
        assert_eq!(events, [reached("b", 2), Event::Arrived], "the horizon is no way");
        vehicle.hears(&dialogue.extend(at(10), wall(), vec![leg("b", "d")], 1).unwrap());
        assert_eq!(dialogue.on_state(&vehicle.state()).unwrap(), [Event::Took(1)]);
        vehicle.drives();
        assert_eq!(dialogue.on_state(&vehicle.state()).unwrap(), [reached("d", 4), Event::Done]);
        assert_eq!(dialogue.order(), None);
        assert!(vehicle.rejections.is_empty());
    }
}

#[test]
fn what_is_not_echoed_is_sent_again_unchanged_but_for_the_header() {
    let (mut dialogue, mut vehicle) = conversation(Version::V2, "a");
    let first = begin(&mut dialogue);
    assert!(dialogue.due(at(249), wall()).is_empty());
    let again = dialogue.due(at(250), wall());
    let fields = |text: &str| {
        let mut json: Json = serde_json::from_str(text).unwrap();
        let header = json["headerId"].take();
        (header, json)
    };
    let (first, again) = (fields(&first.text), fields(&again[0].text));
    assert_eq!((first.0, again.0), (json!(0), json!(1)));
    assert_eq!(first.1, again.1);
    vehicle.hears(&dialogue.due(at(1_000), wall())[0]);
    dialogue.on_state(&vehicle.state()).unwrap();
    assert!(dialogue.due(at(9_000), wall()).is_empty());
}

#[test]
fn an_update_waits_for_the_echo_of_what_it_carries_on() {
    let (mut dialogue, _) = conversation(Version::V2, "a");
    begin(&mut dialogue);
    assert_eq!(dialogue.extend(at(1), wall(), vec![leg("b", "d")], 1), Err(Refusal::NotEchoed));
}

#[test]
fn a_cancelled_order_is_over_when_the_vehicle_says_so_and_its_name_stays() {
    for version in BOTH {
        let (mut dialogue, mut vehicle) = conversation(version, "a");
        vehicle.hears(&begin(&mut dialogue));
        dialogue.on_state(&vehicle.state()).unwrap();
        let cancel = dialogue.cancel(at(5), wall()).unwrap();
        assert_eq!(dialogue.cancel(at(5), wall()), Err(Refusal::Cancelling));
        assert_eq!(dialogue.extend(at(5), wall(), vec![leg("b", "d")], 1), Err(Refusal::Cancelling));
        assert_eq!(dialogue.due(at(505), wall()).len(), 1, "the cancel was lost");
        vehicle.hears(&cancel);
        let events = dialogue.on_state(&vehicle.state()).unwrap();
        assert!(events.contains(&Event::Cancelled), "{events:?}");
        assert_eq!(vehicle.state().order_id, "transport-1");
        let next = dialogue.begin(at(600), wall(), "transport-2", node("a"), vec![leg("a", "b")], 1).unwrap();
        vehicle.hears(&next);
        assert!(vehicle.rejections.is_empty());
        assert_eq!(dialogue.on_state(&vehicle.state()).unwrap()[0], Event::Took(0));
    }
}

#[test]
fn a_node_that_is_reached_in_the_word_that_ends_a_cancelled_order_counts() {
    for version in BOTH {
        let (mut dialogue, mut vehicle) = conversation(version, "a");
        vehicle.hears(&begin(&mut dialogue));
        dialogue.on_state(&vehicle.state()).unwrap();
        let cancel = dialogue.cancel(at(5), wall()).unwrap();
        vehicle.drives();
        vehicle.hears(&cancel);
        let events = dialogue.on_state(&vehicle.state()).unwrap();
        let place = |wanted: Event| events.iter().position(|event| *event == wanted);
        let reached = place(Event::Reached { node_id: "b".into(), sequence_id: 2 });
        assert!(reached.is_some() && reached < place(Event::Cancelled), "{events:?}");
    }
}

#[test]
fn a_rejected_order_ends_and_says_why() {
    for (version, word) in [(Version::V2, "orderError"), (Version::V3, "INVALID_ORDER_ACTION")] {
        let (mut dialogue, mut vehicle) = conversation(version, "a");
        let mut start = node("a");
        start.actions.push(action("fly", "f1"));
        vehicle.hears(&dialogue.begin(at(0), wall(), "t", start, vec![leg("a", "b")], 1).unwrap());
        let events = dialogue.on_state(&vehicle.state()).unwrap();
        assert_eq!(events, [Event::Rejected { error_type: word.into() }]);
        assert_eq!(dialogue.order(), None);
    }
}

#[test]
fn nothing_is_sent_to_a_vehicle_that_is_gone_by_hand_or_elsewhere() {
    let (mut dialogue, mut vehicle) = conversation(Version::V2, "a");
    let begin = |dialogue: &mut Dialogue| {
        dialogue.begin(at(0), wall(), "t", node("a"), vec![leg("a", "b")], 1).map(|_| ())
    };
    vehicle.mode = "MANUAL";
    dialogue.on_state(&vehicle.state()).unwrap();
    assert_eq!(begin(&mut dialogue), Err(Refusal::NotAutomatic));
    vehicle.mode = "AUTOMATIC";
    vehicle.at.0 = "z".into();
    dialogue.on_state(&vehicle.state()).unwrap();
    assert_eq!(begin(&mut dialogue), Err(Refusal::Elsewhere));
    let header = Header::new(&address(Version::V2), 1, wall());
    dialogue.on_connection(&Connection { header, state: ConnectionState::Broken });
    assert_eq!(begin(&mut dialogue), Err(Refusal::NotConnected));
}

#[test]
fn what_is_more_than_the_factsheet_allows_is_not_sent() {
    let factsheet = json!({
        "headerId": 1, "timestamp": "2026-03-01T12:00:00Z", "version": "2.1.0", "manufacturer": "KIT",
        "serialNumber": "0001",
        "protocolLimits": {
            "maxStringLens": {"idLen": 8},
            "maxArrayLens": {"order.nodes": 2, "order.edges": 0},
            "timing": {"minOrderInterval": 1.0, "minStateInterval": 1.0},
        },
    });
    let (_, limits) = Limits::from_factsheet(&factsheet.to_string()).unwrap();
    assert_eq!((limits.id_chars, limits.nodes, limits.edges), (8, 2, 0));
    let mut dialogue = Dialogue::new(address(Version::V2), limits, support::RESEND);
    dialogue.on_state(&Vehicle::on(Version::V2, "a").state()).unwrap();
    let mut begin = |id: &str, legs| dialogue.begin(at(0), wall(), id, node("a"), legs, 1).map(|_| ());
    assert_eq!(begin("t", vec![leg("a", "b"), leg("b", "c")]), Err(Refusal::Over(OverLimit::Nodes)));
    assert_eq!(begin("too-long-a-name", vec![leg("a", "b")]), Err(Refusal::Over(OverLimit::Id)));
    assert_eq!(begin("t", vec![leg("a", "b")]), Ok(()));
}

/// What a state says, changed by somebody.
fn refused(change: impl Fn(&mut Json)) -> StateFault {
    let (mut dialogue, mut vehicle) = conversation(Version::V2, "a");
    vehicle.hears(&begin(&mut dialogue));
    dialogue.on_state(&vehicle.state()).unwrap();
    vehicle.drives();
    dialogue.on_state(&vehicle.state()).unwrap();
    let mut report = vehicle.report();
    change(&mut report);
    let before = dialogue.order().cloned();
    let fault = dialogue.on_state(&State::from_json(&report.to_string()).unwrap()).unwrap_err();
    assert_eq!(dialogue.order().cloned(), before, "a refused state changes nothing");
    assert_eq!(dialogue.on_state(&vehicle.state()), Ok(Vec::new()), "and the next one is believed");
    fault
}

#[test]
fn a_state_of_another_vehicle_or_version_is_not_believed() {
    assert_eq!(refused(|state| state["serialNumber"] = "2".into()), StateFault::Foreign);
    assert_eq!(refused(|state| state["version"] = "3.0.0".into()), StateFault::Version);
}

#[test]
fn an_old_state_is_not_believed() {
    assert_eq!(refused(|state| state["headerId"] = 1.into()), StateFault::Stale);
}

#[test]
fn a_state_that_contradicts_what_was_sent_is_not_believed() {
    assert_eq!(refused(|state| state["orderId"] = "other".into()), StateFault::UnknownOrder);
    assert_eq!(refused(|state| state["orderUpdateId"] = 7.into()), StateFault::FutureUpdate);
    assert_eq!(refused(|state| state["lastNodeSequenceId"] = 0.into()), StateFault::Backwards(0));
    assert_eq!(refused(|state| state["lastNodeSequenceId"] = 40.into()), StateFault::UnknownNode(40));
    let horizon = |state: &mut Json| state["nodeStates"][0]["released"] = true.into();
    assert_eq!(refused(horizon), StateFault::NotReleased(4));
    assert_eq!(refused(|state| state["nodeStates"][0]["nodeId"] = "x".into()), StateFault::UnknownNode(4));
}

#[test]
fn a_state_that_contradicts_itself_is_not_believed() {
    let swapped = |state: &mut Json| {
        let twice = state["nodeStates"][0].clone();
        state["nodeStates"].as_array_mut().unwrap().push(twice);
    };
    assert_eq!(refused(swapped), StateFault::Order(4));
    let later = |state: &mut Json| {
        let more = json!({"edgeId": "e", "sequenceId": 5, "released": true});
        state["edgeStates"].as_array_mut().unwrap().push(more);
    };
    assert_eq!(refused(later), StateFault::Order(5), "base behind a horizon");
    assert_eq!(refused(|state| state["orderId"] = "".into()), StateFault::NoOrder);
    assert_eq!(refused(|state| state["lastNodeId"] = "".into()), StateFault::NoNode);
    let twice =
        json!([{"actionId": "x", "actionStatus": "RUNNING"}, {"actionId": "x", "actionStatus": "FAILED"}]);
    assert_eq!(refused(move |state| state["actionStates"] = twice.clone()), StateFault::DoubledAction);
}

#[test]
fn number_0_of_the_last_node_says_nothing_before_the_first_node_is_named() {
    let (mut dialogue, mut vehicle) = conversation(Version::V3, "a");
    vehicle.hears(&begin(&mut dialogue));
    let mut report = vehicle.report();
    report["lastNodeId"] = "".into();
    let events = dialogue.on_state(&State::from_json(&report.to_string()).unwrap());
    assert_eq!(events, Ok(vec![Event::Took(0)]), "0 is also what a vehicle says that has passed none");
    let reached = Event::Reached { node_id: "a".into(), sequence_id: 0 };
    assert_eq!(dialogue.on_state(&vehicle.state()), Ok(vec![reached]));
}

#[test]
fn a_last_will_counts_although_its_time_and_number_are_those_of_the_connection() {
    let (mut dialogue, _) = conversation(Version::V3, "a");
    let old = "2020-01-01T00:00:00Z".parse().unwrap();
    let header = Header::new(&address(Version::V3), 0, old);
    dialogue.on_connection(&Connection { header, state: ConnectionState::Broken });
    assert!(!dialogue.is_connected());
}

#[test]
fn a_version_has_the_commands_that_it_has() {
    let (mut old, _) = conversation(Version::V2, "a");
    assert_eq!(old.command(at(0), wall(), Command::Trigger), Err(Refusal::Version));
    let sent = old.command(at(0), wall(), Command::StartPause).unwrap();
    let other = old.command(at(0), wall(), Command::StopPause).unwrap();
    let id = |outgoing: &hal_vda5050::Outgoing| {
        serde_json::from_str::<Json>(&outgoing.text).unwrap()["actions"][0]["actionId"].clone()
    };
    assert_ne!(id(&sent), id(&other));
}

#[test]
fn what_no_vehicle_could_take_as_zones_is_not_sent() {
    let zone = |zone_id: &str| Zone {
        zone_id: zone_id.to_owned(),
        vertices: vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]],
        rule: ZoneRule::Blocked,
    };
    let set = |zones| ZoneSet { zone_set_id: "night".to_owned(), map_id: "hall".to_owned(), zones };
    let (mut old, _) = conversation(Version::V2, "a");
    assert_eq!(old.publish_zone_set(at(0), wall(), set(vec![zone("z")])), Err(Refusal::Version));
    let (mut new, _) = conversation(Version::V3, "a");
    let doubled = set(vec![zone("z"), zone("z")]);
    assert_eq!(new.publish_zone_set(at(0), wall(), doubled), Err(Refusal::Zones(ZoneFault::Doubled(1))));
    new.set_limits(Limits { zones: 1, ..Limits::default() });
    let two = set(vec![zone("y"), zone("z")]);
    assert_eq!(new.publish_zone_set(at(0), wall(), two), Err(Refusal::Over(OverLimit::Zones)));
}

#[test]
fn every_limit_of_a_factsheet_is_kept() {
    let mut way = order(&["a", "b", "c"], 0, 0, 1);
    way.nodes[1].actions = vec![action("pick", "p1"), action("drop", "d1")];
    way.edges[0].actions = vec![action("beep", "b1")];
    way.nodes[1].actions[0].parameters = vec![("height".to_owned(), Value::Number(1.0))];
    let header = Header::new(&address(Version::V2), 1, wall());
    let check = |limits: Limits| limits.check(&way, &header, Version::V2);
    let usual = Limits::default;
    assert_eq!(check(usual()), Ok(()));
    assert_eq!(check(Limits { nodes: 2, ..usual() }), Err(OverLimit::Nodes));
    assert_eq!(check(Limits { edges: 1, ..usual() }), Err(OverLimit::Edges));
    assert_eq!(check(Limits { base_nodes: 1, ..usual() }), Err(OverLimit::BaseNodes));
    assert_eq!(check(Limits { node_actions: 1, ..usual() }), Err(OverLimit::NodeActions));
    assert_eq!(check(Limits { word_chars: 3, ..usual() }), Err(OverLimit::Word));
    assert_eq!(check(Limits { id_chars: 5, ..usual() }), Err(OverLimit::Id));
    assert_eq!(check(Limits { id_numerical_only: true, ..usual() }), Err(OverLimit::Id));
    assert_eq!(check(Limits { serial_chars: 3, ..usual() }), Err(OverLimit::Serial));
    assert_eq!(check(Limits { message_bytes: 100, ..usual() }), Err(OverLimit::Message));
    let more = InstantActions { actions: way.nodes[1].actions.clone() };
    assert_eq!(Limits { instant_actions: 1, ..usual() }.check_instant(&more), Err(OverLimit::InstantActions));
}

#[test]
fn a_state_with_an_impossible_charge_is_not_believed() {
    assert_eq!(refused(|state| state["batteryState"]["batteryCharge"] = 120.into()), StateFault::Number);
}

#[test]
fn a_state_that_is_malformed_is_refused_with_its_place() {
    let Malformed { what, position } = State::from_json("{\"headerId\": 1").unwrap_err();
    assert!(position.0 == 1 && !what.is_empty());
    let mut report = Vehicle::on(Version::V3, "a").report();
    report["operatingMode"] = "DREAMING".into();
    assert!(State::from_json(&report.to_string()).unwrap_err().what.contains("DREAMING"));
}

#[test]
fn headers_may_begin_again_after_the_largest_and_after_a_restart() {
    let (mut dialogue, mut vehicle) = conversation(Version::V3, "a");
    let mut with = |dialogue: &mut Dialogue, header_id: u32| {
        let mut report = vehicle.report();
        report["headerId"] = header_id.into();
        dialogue.on_state(&State::from_json(&report.to_string()).unwrap())
    };
    assert_eq!(with(&mut dialogue, 2_000_000_000), Ok(Vec::new()));
    assert_eq!(with(&mut dialogue, 4_000_000_000), Ok(Vec::new()));
    assert_eq!(with(&mut dialogue, u32::MAX), Ok(Vec::new()));
    assert_eq!(with(&mut dialogue, 0), Ok(Vec::new()), "after the largest");
    assert_eq!(with(&mut dialogue, u32::MAX), Err(StateFault::Stale));
    let header = Header::new(&address(Version::V3), 9, wall());
    dialogue.on_connection(&Connection { header, state: ConnectionState::Online });
    assert_eq!(with(&mut dialogue, 0), Ok(Vec::new()), "after a restart");
}

#[test]
fn an_order_that_somebody_else_has_ended_is_known_to_be_over() {
    for version in BOTH {
        let (mut dialogue, mut vehicle) = conversation(version, "a");
        vehicle.hears(&begin(&mut dialogue));
        dialogue.on_state(&vehicle.state()).unwrap();
        vehicle.ahead.clear();
        assert_eq!(dialogue.on_state(&vehicle.state()), Ok(vec![Event::Dropped]));
        assert_eq!(dialogue.order(), None);
    }
}

#[test]
fn what_is_passed_before_the_echo_of_an_update_is_known_at_once() {
    let (mut dialogue, mut vehicle) = conversation(Version::V3, "a");
    vehicle.hears(&begin(&mut dialogue));
    dialogue.on_state(&vehicle.state()).unwrap();
    dialogue.extend(at(10), wall(), vec![leg("b", "d")], 1).unwrap();
    vehicle.drives();
    let reached = Event::Reached { node_id: "b".into(), sequence_id: 2 };
    assert_eq!(dialogue.on_state(&vehicle.state()), Ok(vec![reached]));
}

#[test]
fn somebody_who_does_not_hear_is_not_shouted_at() {
    let (mut dialogue, _) = conversation(Version::V2, "a");
    begin(&mut dialogue);
    let sent: Vec<u64> = (0..60_000).filter(|ms| !dialogue.due(at(*ms), wall()).is_empty()).collect();
    assert_eq!(sent, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 48_000]);
}

#[test]
fn a_conversation_says_when_it_will_have_to_repeat_itself() {
    let (mut dialogue, mut vehicle) = conversation(Version::V2, "a");
    assert_eq!(dialogue.next_resend(), None);
    let order = begin(&mut dialogue);
    for due in [250, 500, 1_000, 2_000] {
        assert_eq!(dialogue.next_resend(), Some(at(due)));
        assert!(dialogue.resend(at(due - 1), wall()).is_empty());
        assert_eq!(dialogue.resend(at(due), wall()).len(), 1);
    }
    vehicle.hears(&order);
    dialogue.on_state(&vehicle.state()).unwrap();
    assert_eq!(dialogue.next_resend(), None);
    dialogue.cancel(at(3_000), wall()).unwrap();
    assert_eq!(dialogue.next_resend(), Some(at(3_250)));
}

#[test]
fn a_vehicle_is_not_sent_orders_faster_than_its_factsheet_says() {
    let limits = Limits { order_interval: Duration::from_secs(2), ..Limits::default() };
    let mut dialogue = Dialogue::new(address(Version::V2), limits, support::RESEND);
    dialogue.on_state(&Vehicle::on(Version::V2, "a").state()).unwrap();
    begin(&mut dialogue);
    let first = (0..9_000).find(|ms| !dialogue.due(at(*ms), wall()).is_empty());
    assert_eq!(first, Some(2_000));
}

#[test]
fn a_master_that_takes_over_sends_again_what_waited_and_then_one_update_of_its_own() {
    for version in BOTH {
        let (mut old, mut vehicle) = conversation(version, "a");
        let first = begin(&mut old);
        let memory = serde_json::to_string(&old.state()).unwrap();
        let memory: Memory = serde_json::from_str(&memory).unwrap();
        assert_eq!(memory, old.state());
        let mut new = Dialogue::restore(address(version), Limits::default(), support::RESEND, memory);
        assert!(!new.is_sealed() && new.due(at(0), wall()).is_empty(), "nothing before the vehicle is there");
        new.on_state(&vehicle.state()).unwrap();
        let again = new.due(at(0), wall());
        assert_eq!((again.len(), again[0].topic.as_str()), (1, first.topic.as_str()));
        vehicle.hears(&again[0]);
        new.on_state(&vehicle.state()).unwrap();
        let seal = new.due(at(1), wall());
        vehicle.hears(&seal[0]);
        assert!(!new.is_sealed());
        new.on_state(&vehicle.state()).unwrap();
        assert!(new.is_sealed() && new.due(at(2), wall()).is_empty());
        let way = |vehicle: &Vehicle| vehicle.ahead.iter().map(|n| (n.node_id.clone(), n.released)).collect();
        let way: Vec<(String, bool)> = way(&vehicle);
        assert_eq!(way, [("b".to_owned(), true), ("c".to_owned(), false)], "the way is as it was");
        vehicle.hears(&first);
        let outdated = vehicle.rejections[0].0.error_type(version);
        assert!(["orderUpdateError", "OUTDATED_ORDER_UPDATE"].contains(&outdated));
    }
}

#[test]
fn a_master_that_takes_over_goes_on_with_the_order_and_is_fenced_by_its_number() {
    let (mut old, mut vehicle) = conversation(Version::V3, "a");
    vehicle.hears(&begin(&mut old));
    old.on_state(&vehicle.state()).unwrap();
    let (mut new, _) = conversation(Version::V3, "a");
    let again = new.adopt(at(0), wall(), old.order().unwrap().clone()).unwrap();
    vehicle.hears(&again);
    assert!(vehicle.rejections.is_empty(), "a repetition is passed over");
    new.on_state(&vehicle.state()).unwrap();
    vehicle.hears(&new.extend(at(1), wall(), vec![leg("b", "d")], 1).unwrap());
    // The old one still sends what it had: the vehicle refuses it.
    vehicle.hears(&old.due(at(9_000), wall()).first().cloned().unwrap_or(again));
    assert_eq!(vehicle.rejections[0].0.error_type(Version::V3), "OUTDATED_ORDER_UPDATE");
    assert_eq!(vehicle.last.as_ref().unwrap().order_update_id, 1);
}

#[test]
fn a_vehicle_that_has_not_got_to_what_a_new_master_knows_of_its_order_is_believed() {
    for version in BOTH {
        let (mut old, mut vehicle) = conversation(version, "a");
        vehicle.hears(&begin(&mut old));
        for (from, to) in [("b", "d"), ("d", "e")] {
            old.on_state(&vehicle.state()).unwrap();
            vehicle.hears(&old.extend(at(1), wall(), vec![leg(from, to)], 1).unwrap());
        }
        vehicle.drives();
        let (mut new, _) = conversation(version, "a");
        vehicle.hears(&new.adopt(at(2), wall(), old.order().unwrap().clone()).unwrap());
        assert_eq!(new.on_state(&vehicle.state()), Ok(vec![Event::Took(2)]), "it is on b");
        vehicle.drives();
        let reached = Event::Reached { node_id: "d".into(), sequence_id: 4 };
        assert_eq!(new.on_state(&vehicle.state()), Ok(vec![reached]));
    }
}

#[test]
fn only_3_0_has_responses() {
    let responses = [Response { request_id: "r1".into(), grant: Grant::Queued }];
    let (mut old, _) = conversation(Version::V2, "a");
    assert_eq!(old.respond(wall(), &responses), Err(Refusal::Version));
    let (mut new, _) = conversation(Version::V3, "a");
    assert!(new.respond(wall(), &responses).unwrap().topic.ends_with("/responses"));
}

#[test]
fn an_order_survives_writing_and_reading_in_either_version() {
    for version in BOTH {
        let order = order(&["a", "b", "c"], 0, 3, 1);
        let text = order.to_json(&Header::new(&address(version), 1, wall()), version);
        assert_eq!(hal_vda5050::Order::from_json(&text).unwrap().1, order);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Messages and states get lost and doubled, yet the vehicle drives the whole way and never objects.
    #[test]
    fn over_a_bad_link_every_order_is_done_in_the_end(
        in_3 in any::<bool>(),
        losses in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 200),
    ) {
        let version = if in_3 { Version::V3 } else { Version::V2 };
        let (mut dialogue, mut vehicle) = conversation(version, "n0");
        let legs: Vec<_> = (0..12).map(|each| leg(&format!("n{each}"), &format!("n{}", each + 1))).collect();
        let mut released = 2;
        let first = dialogue.begin(at(0), wall(), "transport-1", node("n0"), legs.clone(), released).unwrap();
        let mut out = vec![first];
        let mut reached = Vec::new();
        let mut done = false;
        let good = (0..200).map(|_| (false, false, false));
        for (round, (lost, lost_state, doubled)) in (1_u64..).zip(losses.into_iter().chain(good)) {
            for outgoing in out.drain(..).filter(|_| !lost) {
                vehicle.hears(&outgoing);
                if doubled {
                    vehicle.hears(&outgoing);
                }
            }
            vehicle.drives();
            let state = vehicle.state();
            if !lost_state {
                for event in dialogue.on_state(&state).unwrap() {
                    match event {
                        Event::Reached { sequence_id, .. } => reached.push(sequence_id),
                        Event::Done => done = true,
                        Event::Took(_) | Event::Arrived => {}
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
            }
            if done {
                break;
            }
            if released < legs.len() {
                let next = dialogue.extend(at(round * 100), wall(), legs[released..].to_vec(), 1);
                released += usize::from(next.is_ok());
                out.extend(next);
            }
            out.extend(dialogue.due(at(round * 100), wall()));
        }
        prop_assert!(done && vehicle.rejections.is_empty());
        prop_assert_eq!(reached.last(), Some(&24));
        prop_assert!(reached.is_sorted());
    }
}
