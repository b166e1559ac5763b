//! What a simulated vehicle does: it drives what is released, does what is asked, and says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hal_units::Duration;
use hal_vda5050::{
    ActionStatus, Command, Event, Header, Level, Limits, OperatingMode, State, Topic, Value, Version, Zone,
    ZoneRule, ZoneSet,
};
use proptest::prelude::*;
use sim_vehicles::{Drive, Happening, Setup};
use support::{BOTH, Scene, Talk, action, leg, node, order, setup, wall};

#[test]
fn an_order_is_driven_to_its_end_and_its_actions_are_done() {
    for version in BOTH {
        let mut talk = Talk::new(version);
        let mut legs = vec![leg("b", [4.0, 0.0]), leg("c", [4.0, 3.0])];
        legs[1].1.actions.push(action("pick", "p1"));
        talk.begin("t", node("a", [0.0, 0.0]), legs, 2);
        talk.runs(15.0);
        assert_eq!(talk.events.last(), Some(&Event::Done), "{:?}", talk.events);
        let truth = talk.scene.vehicle.truth();
        assert!(truth.distance_to([4.0, 3.0]) < 1e-9 && truth.speed == 0.0, "{truth:?}");
        let tally = talk.scene.vehicle.tally();
        assert_eq!((tally.orders, tally.done, tally.nodes, tally.actions), (1, 1, 2, 1));
        assert!((tally.meters - 7.0).abs() < 1e-6 && tally.rejected == 0, "{tally:?}");
    }
}

#[test]
fn it_takes_the_time_that_its_kinematics_say() {
    let mut scene = Scene::new(Version::V2);
    let mut order = order(&["a", "b"], 0, 1);
    order.nodes[1].position.as_mut().unwrap().x = 12.0;
    scene.hears_order(&order);
    // 1.5 s and 1.125 m each to gain and lose 1.5 m/s at 1 m/s^2, and 9.75 m at 1.5 m/s: 9.5 s.
    scene.runs(9.3);
    assert!(scene.state().driving);
    scene.runs(0.4);
    assert_eq!((scene.state().driving, scene.state().last_node_id.as_str()), (false, "b"));
}

#[test]
fn it_stops_where_its_base_ends_asks_for_more_and_goes_on() {
    for version in BOTH {
        let mut scene = Scene::new(version);
        scene.hears_order(&order(&["a", "b", "c"], 0, 1));
        scene.runs(10.0);
        let state = scene.state();
        assert_eq!((state.last_node_id.as_str(), state.driving, state.new_base_request), ("b", false, true));
        assert_eq!(state.nodes, [("c".to_owned(), 4, false)]);
        assert_eq!(scene.vehicle.tally().stops, 1);
        let mut update = order(&["a", "b", "c"], 1, 2);
        update.nodes.remove(0);
        update.edges.remove(0);
        scene.hears_order(&update);
        scene.runs(10.0);
        let state = scene.state();
        assert_eq!((state.last_node_id.as_str(), state.order_update_id, state.nodes.len()), ("c", 1, 0));
    }
}

#[test]
fn a_base_that_is_carried_on_in_time_is_driven_without_a_stop() {
    let mut scene = Scene::new(Version::V3);
    scene.hears_order(&order(&["a", "b", "c"], 0, 1));
    scene.runs(0.5);
    let mut update = order(&["a", "b", "c"], 1, 2);
    update.nodes.remove(0);
    update.edges.remove(0);
    scene.hears_order(&update);
    scene.runs(10.0);
    assert_eq!((scene.vehicle.tally().stops, scene.state().last_node_id), (0, "c".to_owned()));
}

#[test]
fn a_cancel_stops_it_between_nodes_and_its_order_keeps_its_name() {
    for version in BOTH {
        let mut talk = Talk::new(version);
        talk.begin("t", node("a", [0.0, 0.0]), vec![leg("b", [20.0, 0.0])], 1);
        talk.runs(4.0);
        let (now, wall) = (talk.scene.now, wall(talk.scene.now));
        let cancel = talk.dialogue.cancel(now, wall).unwrap();
        talk.send(&cancel);
        talk.runs(0.5);
        assert!(!talk.events.contains(&Event::Cancelled), "it brakes");
        talk.runs(3.0);
        assert!(talk.events.contains(&Event::Cancelled), "{:?}", talk.events);
        assert_eq!(talk.scene.vehicle.truth().speed, 0.0);
        assert!(talk.scene.vehicle.truth().x < 8.0);
        talk.scene.runs(1.1);
        assert_eq!(talk.scene.state().order_id, "t");
        // From where it stands to elsewhere: the first node's tolerance is made to hold it.
        let mut start = node("a", [0.0, 0.0]);
        start.position.as_mut().unwrap().deviation = Some(10.0);
        talk.hear();
        talk.begin("t2", start, vec![leg("c", [5.0, 5.0])], 1);
        talk.runs(20.0);
        assert_eq!(talk.events.last(), Some(&Event::Done));
    }
}

#[test]
fn a_pause_holds_it_and_it_goes_on_after_that() {
    for version in BOTH {
        let mut scene = Scene::new(version);
        scene.hears_order(&order(&["a", "b", "c"], 0, 2));
        scene.runs(1.0);
        scene.hears_instant(action("startPause", "i1"));
        scene.runs(3.0);
        let state = scene.state();
        assert_eq!((state.paused, state.driving), (true, false));
        scene.hears_instant(action("stopPause", "i2"));
        scene.runs(10.0);
        assert_eq!(scene.state().last_node_id, "c");
        let said = scene.state();
        let instant = if version == Version::V2 { said.actions } else { said.instant_actions };
        assert!(instant.iter().all(|action| action.status == ActionStatus::Finished) && instant.len() == 2);
    }
}

#[test]
fn somebody_in_its_field_stops_it_until_he_is_gone() {
    let mut scene = Scene::new(Version::V3);
    scene.hears_order(&order(&["a", "b"], 0, 1));
    scene.runs(0.5);
    scene.vehicle.happen(Happening::FieldViolation(true));
    scene.runs(2.0);
    assert!(scene.state().field_violation && !scene.state().driving);
    scene.vehicle.happen(Happening::FieldViolation(false));
    scene.runs(5.0);
    assert_eq!(scene.state().last_node_id, "b");
}

#[test]
fn in_the_hands_of_a_person_it_gives_up_its_order_and_takes_none() {
    for (version, word) in [(Version::V2, "orderError"), (Version::V3, "MOBILE_ROBOT_NOT_AVAILABLE")] {
        let mut scene = Scene::new(version);
        scene.hears_order(&order(&["a", "b"], 0, 1));
        scene.runs(0.5);
        scene.vehicle.happen(Happening::Mode(OperatingMode::Manual));
        scene.runs(3.0);
        let state = scene.state();
        assert_eq!((state.operating_mode, state.nodes.len()), (OperatingMode::Manual, 0));
        let mut other = order(&["a", "b"], 0, 1);
        other.order_id = "transport-2".to_owned();
        scene.hears_order(&other);
        assert_eq!(scene.error_types(), [word]);
        scene.vehicle.happen(Happening::Mode(OperatingMode::Automatic));
        scene.runs(1.0);
        assert!(scene.error_types().is_empty(), "reported until orders are allowed again");
    }
}

#[test]
fn what_it_does_not_take_is_reported_until_it_takes_an_order() {
    for (version, word) in [(Version::V2, "noRouteError"), (Version::V3, "START_NODE_OUT_OF_RANGE")] {
        let mut scene = Scene::new(version);
        let mut far = order(&["a", "b"], 0, 1);
        far.nodes[0].position.as_mut().unwrap().x = 9.0;
        scene.hears_order(&far);
        let error = &scene.state().errors[0];
        assert_eq!((error.error_type.as_str(), error.reference("orderUpdateId")), (word, Some("0")));
        scene.runs(5.0);
        assert_eq!(scene.error_types(), [word]);
        scene.hears_order(&order(&["a", "b"], 0, 1));
        assert!(scene.error_types().is_empty());
    }
}

#[test]
fn text_that_is_no_order_is_a_validation_error() {
    for (version, word) in [(Version::V2, "validationError"), (Version::V3, "VALIDATION_FAILURE")] {
        let mut scene = Scene::new(version);
        scene.hears(Topic::Order, "{\"headerId\": 1,");
        assert_eq!(scene.error_types(), [word]);
        scene.hears(Topic::InstantActions, "[]");
        assert!(scene.vehicle.is_idle());
    }
}

#[test]
fn what_it_cannot_do_at_once_fails_and_is_reported_until_it_can() {
    for (version, word) in [(Version::V2, "instantActionError"), (Version::V3, "INVALID_INSTANT_ACTION")] {
        let mut scene = Scene::new(version);
        scene.hears_instant(action("fly", "i1"));
        assert_eq!(scene.error_types(), [word]);
        assert_eq!(scene.state().errors[0].reference("actionId"), Some("i1"));
        scene.hears_instant(action("stateRequest", "i2"));
        assert!(scene.error_types().is_empty());
    }
}

#[test]
fn there_is_nothing_to_cancel_when_it_is_idle_or_another_order_is_meant() {
    for (version, word) in [(Version::V2, "noOrderToCancel"), (Version::V3, "NO_ORDER_TO_CANCEL")] {
        let mut scene = Scene::new(version);
        scene.hears_instant(action("cancelOrder", "c1"));
        assert_eq!(scene.error_types(), [word]);
        scene.hears_order(&order(&["a", "b"], 0, 1));
        let mut other = action("cancelOrder", "c2");
        other.parameters.push(("orderId".to_owned(), Value::Text("another".to_owned())));
        scene.hears_instant(other);
        assert_eq!(scene.error_types(), [word]);
        scene.runs(10.0);
        assert_eq!(scene.state().last_node_id, "b", "it went on");
    }
}

#[test]
fn its_battery_empties_on_the_way_and_fills_at_a_charger() {
    let battery = sim_vehicles::Battery { drive_percent_per_meter: 1.0, ..sim_vehicles::Battery::CARRIER };
    let mut scene = Scene::with(Setup { battery, ..setup(Version::V3) });
    let mut charge = order(&["a", "b"], 0, 1);
    charge.nodes[1].actions.push(action("startCharging", "c1"));
    scene.hears_order(&charge);
    scene.runs(5.0);
    let state = scene.state();
    assert!(state.charging && state.charge_percent < 88.5, "{}", state.charge_percent);
    scene.runs(300.0);
    assert!(scene.state().charge_percent > 99.0);
}

#[test]
fn the_same_instant_action_is_done_once() {
    let mut scene = Scene::new(Version::V3);
    scene.hears_instant(action("startPause", "i1"));
    scene.hears_instant(action("stopPause", "i2"));
    scene.hears_instant(action("startPause", "i1"));
    assert!(!scene.state().paused);
}

#[test]
fn a_position_is_set_when_it_is_idle() {
    for (version, word) in [(Version::V2, "initPosition"), (Version::V3, "initializePosition")] {
        let mut scene = Scene::new(version);
        scene.vehicle.happen(Happening::Lost(true));
        scene.runs(0.1);
        assert!(!scene.state().pose.unwrap().localized);
        let mut set = action(word, "i1");
        let number = |key: &str, value: f64| (key.to_owned(), Value::Number(value));
        let text = |key: &str, value: &str| (key.to_owned(), Value::Text(value.to_owned()));
        set.parameters = vec![
            number("x", 7.0),
            number("y", 8.0),
            number("theta", 0.5),
            text("mapId", "hall"),
            text("lastNodeId", "z"),
        ];
        scene.hears_instant(set);
        let state = scene.state();
        let pose = state.pose.unwrap();
        assert!(pose.localized && (pose.x - 7.0).abs() < 0.1 && (pose.y - 8.0).abs() < 0.1);
        assert_eq!((state.last_node_id.as_str(), state.errors.len()), ("z", 0));
    }
}

#[test]
fn a_vehicle_for_the_protocol_alone_hops_from_node_to_node() {
    let mut scene = Scene::with(Setup { drive: Drive::Hops(Duration::from_secs(1)), ..setup(Version::V2) });
    scene.hears_order(&order(&["a", "b", "c"], 0, 2));
    scene.runs(1.2);
    assert_eq!(scene.state().last_node_id, "b");
    scene.runs(1.0);
    assert_eq!((scene.state().last_node_id.as_str(), scene.vehicle.is_idle()), ("c", true));
}

#[test]
fn equal_seeds_say_the_same() {
    let run = || {
        let mut scene = Scene::new(Version::V3);
        scene.hears_order(&order(&["a", "b", "c"], 0, 2));
        scene.runs(10.0);
        scene.said
    };
    assert_eq!(run(), run());
}

#[test]
fn an_order_with_fields_that_it_cannot_use_is_refused_by_name() {
    for (version, word) in [(Version::V2, "orderError"), (Version::V3, "UNSUPPORTED_PARAMETER")] {
        let mut scene = Scene::new(version);
        let header = Header::new(scene.vehicle.address(), 0, wall(scene.now));
        let text = order(&["a", "b"], 0, 1).to_json(&header, version);
        let text = text.replace("\"edgeId\"", "\"trajectory\":{\"controlPoints\":[]},\"edgeId\"");
        scene.hears(Topic::Order, &text);
        let error = &scene.state().errors[0];
        assert_eq!((error.error_type.as_str(), error.reference("parameter")), (word, Some("trajectory")));
        assert_eq!(error.level == Level::Critical, version == Version::V3);
        assert!(scene.vehicle.is_idle());
    }
}

#[test]
fn a_zone_set_is_sent_until_it_is_held_and_used_when_it_is_enabled() {
    let mut talk = Talk::new(Version::V3);
    let zone = Zone {
        zone_id: "dock".to_owned(),
        vertices: vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]],
        rule: ZoneRule::SpeedLimit(0.3),
    };
    let mut set = ZoneSet { zone_set_id: "night".to_owned(), map_id: "hall".to_owned(), zones: vec![zone] };
    let clock = |talk: &Talk| (talk.scene.now, wall(talk.scene.now));
    let (now, time) = clock(&talk);
    let lost = talk.dialogue.publish_zone_set(now, time, set.clone()).unwrap();
    assert!(lost.topic.ends_with("/zoneSet"));
    talk.runs(0.2);
    let (now, time) = clock(&talk);
    let again = talk.dialogue.due(now, time);
    assert_eq!(again.len(), 1);
    talk.scene.hears(Topic::ZoneSet, &again[0].text);
    talk.hear();
    assert_eq!(talk.events, [Event::ZoneSetHeld("night".to_owned())]);
    let (now, time) = clock(&talk);
    let enable = talk.dialogue.command(now, time, Command::EnableZoneSet("night".to_owned())).unwrap();
    talk.send(&enable);
    assert_eq!(talk.scene.state().zone_sets, [("night".to_owned(), "hall".to_owned(), true)]);
    // Other zones under the same name are no update.
    set.zones[0].rule = ZoneRule::Blocked;
    let (now, time) = clock(&talk);
    let other = talk.dialogue.publish_zone_set(now, time, set).unwrap();
    talk.scene.hears(Topic::ZoneSet, &other.text);
    assert_eq!(talk.scene.error_types(), ["DUPLICATE_ZONE_SET"]);
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn everything_it_says_is_what_the_official_schemas_say() {
    let folder = std::env::var("TAKT_DATA").unwrap();
    for version in BOTH {
        let validator = |topic: Topic| {
            let path = format!("{folder}/vda5050/{}/{}.schema", version.as_str(), topic.as_str());
            let schema = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
        };
        let topics = [Topic::State, Topic::Connection, Topic::Factsheet];
        let validators = topics.map(|topic| (topic, validator(topic)));
        let mut scene = Scene::new(version);
        let mut way = order(&["a", "b", "c"], 0, 1);
        way.nodes[1].actions.push(action("pick", "p1"));
        scene.hears_order(&way);
        for (index, kind) in ["startPause", "stopPause", "factsheetRequest", "fly"].iter().enumerate() {
            scene.runs(1.0);
            scene.hears_instant(action(kind, &index.to_string()));
        }
        scene.vehicle.happen(Happening::Lost(true));
        scene.runs(8.0);
        scene.vehicle.happen(Happening::Lost(false));
        for mode in [OperatingMode::TeachIn, OperatingMode::Intervened, OperatingMode::Startup] {
            scene.vehicle.happen(Happening::Mode(mode));
            scene.runs(0.5);
        }
        let (will, goodbye) =
            (scene.vehicle.last_will(wall(scene.now)), scene.vehicle.disconnects(wall(scene.now)));
        scene.said.extend([will, goodbye]);
        for topic in topics {
            assert!(scene.said.iter().any(|said| said.topic == topic), "{topic:?}");
        }
        for said in &scene.said {
            let (_, validator) = validators.iter().find(|(topic, _)| *topic == said.topic).unwrap();
            let json = serde_json::from_str(&said.text).unwrap();
            if let Err(error) = validator.validate(&json) {
                panic!("{}\n{error}", said.text);
            }
            match said.topic {
                Topic::State => drop(State::from_json(&said.text).unwrap()),
                Topic::Factsheet => assert_eq!(Limits::from_factsheet(&said.text).unwrap().1.nodes, 100),
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the base is released, the vehicle is never beyond it and never faster than it may be.
    #[test]
    fn it_never_leaves_its_base(
        steps in proptest::collection::vec((0.05_f64..3.0, 0.05_f64..2.0), 8),
        slow in proptest::option::of(0.1_f64..1.0),
    ) {
        let names: Vec<String> = (0..9).map(|index| format!("n{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut x = 0.0;
        let mut places = vec![0.0];
        for (length, _) in &steps {
            x += length;
            places.push(x);
        }
        let at = |update: u32, released: usize| {
            let mut order = order(&names, update, released);
            for (node, x) in order.nodes.iter_mut().zip(&places) {
                node.position.as_mut().unwrap().x = *x;
            }
            for edge in &mut order.edges {
                edge.max_speed = slow;
            }
            order
        };
        let mut scene = Scene::new(Version::V3);
        scene.hears_order(&at(0, 0));
        for released in 1..=8 {
            let mut update = at(released as u32, released);
            update.nodes.drain(..released - 1);
            update.edges.drain(..released - 1);
            scene.hears_order(&update);
            prop_assert!(scene.error_types().is_empty(), "{:?}", scene.state().errors);
            let end = scene.now + Duration::from_secs_f64(steps[released - 1].1);
            while scene.now < end {
                scene.runs(0.02);
                let truth = scene.vehicle.truth();
                prop_assert!(truth.x <= places[released] + 1e-9 && truth.y.abs() < 1e-9);
                prop_assert!(truth.speed <= slow.unwrap_or(1.5) + 1e-9, "{}", truth.speed);
            }
        }
        scene.runs(60.0 + x / slow.unwrap_or(1.5));
        prop_assert_eq!(scene.state().last_node_id, "n8");
        prop_assert!(scene.vehicle.is_idle());
    }
}
