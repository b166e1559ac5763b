use super::*;
use crate::order::{Edge, Node};

const AFTER: Duration = Duration::from_millis(60);

fn wall() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn address(index: usize) -> Address {
    Address::new("uagv", Version::V3, "KIT", &format!("v{index}")).unwrap()
}

fn state(index: usize, header_id: u32, order_id: &str) -> String {
    format!(
        r#"{{"headerId":{header_id},"timestamp":"2026-03-01T12:00:00Z","version":"3.0.0","manufacturer":"KIT",
        "serialNumber":"v{index}","orderId":"{order_id}","orderUpdateId":0,"lastNodeId":"a",
        "lastNodeSequenceId":0,"nodeStates":[],"edgeStates":[],"driving":false,"operatingMode":"AUTOMATIC",
        "actionStates":[],"instantActionStates":[],"errors":[],
        "powerSupply":{{"stateOfCharge":80.0,"charging":false}},
        "safetyState":{{"activeEmergencyStop":"NONE","fieldViolation":false}}}}"#
    )
}

fn with(count: usize) -> Conversations {
    let mut all = Conversations::new("uagv");
    for index in 0..count {
        all.add(Dialogue::new(address(index), Limits::default(), AFTER)).unwrap();
        let heard = all.hear(&address(index).topic(Topic::State), state(index, 0, "").as_bytes());
        assert!(matches!(heard, Heard::State(..)), "{heard:?}");
    }
    all
}

fn begin(all: &mut Conversations, vehicle: usize) {
    let node = |name: &str| Node {
        node_id: name.to_owned(),
        sequence_id: 0,
        released: false,
        position: None,
        actions: Vec::new(),
    };
    let edge = Edge {
        edge_id: "e".to_owned(),
        sequence_id: 0,
        released: false,
        start_node_id: String::new(),
        end_node_id: String::new(),
        max_speed: None,
        length: None,
        actions: Vec::new(),
    };
    let order =
        |dialogue: &mut Dialogue| dialogue.begin(at(0), wall(), "t", node("a"), vec![(edge, node("b"))], 1);
    all.say(VehicleId(vehicle), order).unwrap();
}

fn leaving(all: &mut Conversations, held: u64) -> usize {
    std::iter::from_fn(|| all.leave(held)).count()
}

#[test]
fn a_message_leaves_only_when_the_other_node_holds_it() {
    let mut all = with(2);
    let before = all.revision();
    begin(&mut all, 1);
    assert_eq!(leaving(&mut all, before), 0);
    let changed: Vec<_> = all.changed_since(before).map(|(vehicle, _)| vehicle).collect();
    assert_eq!(changed, [VehicleId(1)]);
    let now = all.revision();
    assert_eq!(leaving(&mut all, now), 1);
}

#[test]
fn what_waits_for_the_other_node_is_not_queued_again() {
    let mut all = with(1);
    begin(&mut all, 0);
    all.resend(at(500), wall());
    assert_eq!(leaving(&mut all, u64::MAX), 1);
    all.resend(at(500), wall());
    assert_eq!(leaving(&mut all, u64::MAX), 1, "it has left and was not echoed");
}

#[test]
fn a_takeover_of_all_does_not_send_all_at_once() {
    let mut all = with(200);
    (0..200).for_each(|vehicle| begin(&mut all, vehicle));
    assert_eq!(leaving(&mut all, u64::MAX), 200);
    for (ms, expected) in [(100, 64), (100, 0), (101, 1), (131, 30), (900, 64), (941, 41), (942, 1)] {
        all.resend(at(ms), wall());
        assert_eq!(leaving(&mut all, u64::MAX), expected, "at {ms} ms");
    }
}

#[test]
fn messages_reach_their_vehicle_and_nobody_else() {
    let mut all = with(3);
    let topic = |index| address(index).topic(Topic::State);
    let heard = all.hear(&topic(2), state(2, 5, "").as_bytes());
    assert!(matches!(heard, Heard::State(VehicleId(2), ..)));
    let foreign = all.hear(&topic(2), state(1, 6, "").as_bytes());
    assert_eq!(foreign, Heard::Unbelieved(VehicleId(2), StateFault::Foreign));
    assert!(matches!(all.hear(&topic(9), b"{}"), Heard::Stranger(..)));
    assert!(matches!(all.hear(&topic(0), b"\xff"), Heard::Malformed(VehicleId(0), _)));
    assert_eq!(all.hear("weather/today", b"{}"), Heard::Nothing);
    let counters = all.counters();
    assert_eq!((counters.states, counters.unbelieved, counters.malformed), (4, 1, 1));
}

#[test]
fn a_vehicle_is_added_once() {
    let mut all = with(1);
    assert_eq!(all.add(Dialogue::new(address(0), Limits::default(), AFTER)), Err(AddError::Known));
}
