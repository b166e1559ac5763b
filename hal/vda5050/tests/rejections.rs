//! Each reason for which a vehicle does not take an order, with the standard's error type.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hal_vda5050::{Header, Held, Level, Order, OrderFault, Position, Rejection, Taken, Version, judge};
use support::{action, order};

/// A vehicle before it hears an order.
struct Case {
    last: Option<Order>,
    active: bool,
    cancelled: bool,
    available: bool,
    heard: Order,
}

impl Case {
    fn idle_hears(heard: Order) -> Self {
        Self { last: None, active: false, cancelled: false, available: true, heard }
    }

    fn driving_hears(heard: Order) -> Self {
        Self { last: Some(order(&["a", "b", "c"], 0, 1, 1)), active: true, ..Self::idle_hears(heard) }
    }

    fn outcome(&self, version: Version) -> Result<Taken, Rejection> {
        let held = Held {
            last: self.last.as_ref(),
            active: self.active,
            cancelled: self.cancelled,
            available: self.available,
            stands_on: &|node| node.node_id == "a",
            knows_map: &|map| map == "hall",
            can_do: &|action| action == "pick",
            can_reach: &|node| node.node_id != "island",
        };
        judge(&held, &self.heard, version)
    }

    fn is_rejected(&self, in_2: &str, in_3: &str) {
        for (version, expected) in [(Version::V2, in_2), (Version::V3, in_3)] {
            let rejection = self.outcome(version).unwrap_err();
            assert_eq!(rejection.error_type(version), expected, "{rejection:?}");
            assert!(Rejection::is_of_order(expected, version));
        }
    }
}

#[test]
fn a_sound_order_is_taken_by_an_idle_vehicle_that_stands_on_its_first_node() {
    let case = Case::idle_hears(order(&["a", "b"], 0, 0, 1));
    assert_eq!(case.outcome(Version::V2), Ok(Taken::New));
    assert_eq!(case.outcome(Version::V3), Ok(Taken::New));
}

#[test]
fn an_update_is_taken_where_the_base_ends() {
    let case = Case::driving_hears(order(&["b", "d"], 2, 2, 1));
    assert_eq!(case.outcome(Version::V2), Ok(Taken::Update));
}

#[test]
fn an_order_without_nodes_is_rejected_although_the_schema_allows_it() {
    let mut empty = order(&["a"], 0, 0, 0);
    empty.nodes.clear();
    Case::idle_hears(empty).is_rejected("validationError", "VALIDATION_FAILURE");
}

#[test]
fn an_order_with_a_wrong_number_of_edges_is_rejected() {
    let mut bad = order(&["a", "b", "c"], 0, 0, 2);
    bad.edges.pop();
    assert_eq!(bad.check(), Err(OrderFault::EdgeCount));
    Case::idle_hears(bad).is_rejected("validationError", "VALIDATION_FAILURE");
}

#[test]
fn an_order_with_a_gap_in_its_numbers_is_rejected() {
    let mut bad = order(&["a", "b", "c"], 0, 0, 2);
    bad.nodes[2].sequence_id = 6;
    assert_eq!(bad.check(), Err(OrderFault::Sequence(6)));
    Case::idle_hears(bad).is_rejected("validationError", "VALIDATION_FAILURE");
}

#[test]
fn an_order_with_an_edge_to_elsewhere_is_rejected() {
    let mut bad = order(&["a", "b"], 0, 0, 1);
    bad.edges[0].end_node_id = "c".into();
    assert_eq!(bad.check(), Err(OrderFault::Ends(1)));
    Case::idle_hears(bad).is_rejected("validationError", "VALIDATION_FAILURE");
}

#[test]
fn an_order_whose_horizon_comes_before_its_base_is_rejected() {
    let mut bad = order(&["a", "b", "c"], 0, 0, 2);
    (bad.nodes[1].released, bad.edges[0].released) = (false, false);
    assert_eq!(bad.check(), Err(OrderFault::Released(3)));
    Case::idle_hears(bad).is_rejected("validationError", "VALIDATION_FAILURE");
}

#[test]
fn an_order_with_one_name_for_two_actions_is_rejected() {
    let mut bad = order(&["a", "b"], 0, 0, 1);
    bad.nodes[0].actions.push(action("pick", "p1"));
    bad.nodes[1].actions.push(action("pick", "p1"));
    Case::idle_hears(bad).is_rejected("validationError", "VALIDATION_FAILURE");
}

#[test]
fn an_order_with_a_number_that_is_none_is_rejected() {
    let mut bad = order(&["a", "b"], 0, 0, 1);
    bad.edges[0].max_speed = Some(f64::NAN);
    Case::idle_hears(bad).is_rejected("validationError", "VALIDATION_FAILURE");
}

#[test]
fn an_order_with_an_action_that_the_vehicle_cannot_do_is_rejected() {
    let mut bad = order(&["a", "b"], 0, 0, 1);
    bad.nodes[1].actions.push(action("fly", "f1"));
    Case::idle_hears(bad).is_rejected("orderError", "INVALID_ORDER_ACTION");
}

#[test]
fn an_order_on_a_map_that_the_vehicle_does_not_know_is_rejected() {
    let mut bad = order(&["a", "b"], 0, 0, 1);
    bad.nodes[1].position =
        Some(Position { map_id: "attic".into(), x: 1.0, y: 2.0, theta: None, deviation: None });
    Case::idle_hears(bad).is_rejected("orderError", "UNKNOWN_MAP_ID");
}

#[test]
fn an_order_that_begins_elsewhere_is_rejected() {
    Case::idle_hears(order(&["x", "b"], 0, 0, 1)).is_rejected("noRouteError", "START_NODE_OUT_OF_RANGE");
}

#[test]
fn an_order_to_a_vehicle_in_the_hands_of_a_person_is_rejected() {
    let case = Case { available: false, ..Case::idle_hears(order(&["a", "b"], 0, 0, 1)) };
    case.is_rejected("orderError", "MOBILE_ROBOT_NOT_AVAILABLE");
}

#[test]
fn a_new_order_while_another_one_is_not_done_is_rejected() {
    let other = Order { order_id: "transport-2".into(), ..order(&["a", "b"], 0, 0, 1) };
    Case::driving_hears(other).is_rejected("orderUpdateError", "OTHER_ORDER_ACTIVE");
}

#[test]
fn an_older_update_is_rejected() {
    Case::driving_hears(order(&["a", "b"], 0, 0, 1)).is_rejected("orderUpdateError", "OUTDATED_ORDER_UPDATE");
}

#[test]
fn the_same_update_again_is_passed_over() {
    let case = Case::driving_hears(order(&["a", "b", "c"], 0, 1, 1));
    assert_eq!(case.outcome(Version::V2), Ok(Taken::Repeated));
    assert_eq!(case.outcome(Version::V3), Ok(Taken::Repeated));
}

#[test]
fn the_same_update_with_other_contents_is_rejected_in_3_0_and_passed_over_in_2_1() {
    let case = Case::driving_hears(order(&["a", "b", "x"], 0, 1, 1));
    assert_eq!(case.outcome(Version::V2), Ok(Taken::Repeated));
    assert_eq!(case.outcome(Version::V3).unwrap_err().error_type(Version::V3), "SAME_ORDER_UPDATE_ID");
}

#[test]
fn an_update_after_a_cancel_is_rejected() {
    let case = Case { cancelled: true, ..Case::driving_hears(order(&["b", "d"], 2, 2, 1)) };
    case.is_rejected("orderUpdateError", "ORDER_UPDATE_FOLLOWING_CANCEL");
}

#[test]
fn an_update_that_does_not_begin_where_the_base_ends_is_rejected() {
    let by_node = Case::driving_hears(order(&["c", "d"], 2, 2, 1));
    by_node.is_rejected("orderUpdateError", "VALIDATION_FAILURE");
    let by_number = Case::driving_hears(order(&["b", "d"], 4, 2, 1));
    by_number.is_rejected("orderUpdateError", "VALIDATION_FAILURE");
}

#[test]
fn an_order_to_a_node_without_a_way_is_rejected() {
    Case::idle_hears(order(&["a", "island"], 0, 0, 1)).is_rejected("noRouteError", "NO_ROUTE_TO_TARGET");
}

#[test]
fn an_order_without_a_name_is_rejected() {
    let nameless = Order { order_id: String::new(), ..order(&["a", "b"], 0, 0, 1) };
    assert_eq!(nameless.check(), Err(OrderFault::NoName));
    Case::idle_hears(nameless).is_rejected("validationError", "VALIDATION_FAILURE");
}

#[test]
fn an_order_whose_first_node_is_not_released_is_rejected() {
    let mut bad = order(&["a", "b"], 0, 0, 0);
    bad.nodes[0].released = false;
    assert_eq!(bad.check(), Err(OrderFault::Released(0)));
    Case::idle_hears(bad).is_rejected("validationError", "VALIDATION_FAILURE");
}

#[test]
fn a_new_order_while_a_horizon_waits_for_an_update_is_rejected() {
    // The base is done; the horizon keeps the order open.
    let other = Order { order_id: "transport-2".into(), ..order(&["a", "b"], 0, 0, 1) };
    let waiting = Case { last: Some(order(&["a", "b"], 0, 1, 0)), ..Case::driving_hears(other) };
    waiting.is_rejected("orderUpdateError", "OTHER_ORDER_ACTIVE");
}

#[test]
fn an_update_of_an_order_that_is_done_is_taken_where_it_ended_and_nowhere_else() {
    let done =
        |heard| Case { last: Some(order(&["a", "b"], 0, 1, 1)), active: false, ..Case::idle_hears(heard) };
    assert_eq!(done(order(&["b", "c"], 2, 2, 1)).outcome(Version::V2), Ok(Taken::Update));
    done(order(&["a", "c"], 0, 2, 1)).is_rejected("orderUpdateError", "VALIDATION_FAILURE");
}

#[test]
fn a_new_order_after_a_cancel_is_taken() {
    let other = Order { order_id: "transport-2".into(), ..order(&["a", "b"], 0, 0, 1) };
    let case = Case { cancelled: true, active: false, ..Case::driving_hears(other) };
    assert_eq!(case.outcome(Version::V2), Ok(Taken::New));
    assert_eq!(case.outcome(Version::V3), Ok(Taken::New));
}

#[test]
fn an_order_that_is_cancelled_is_not_begun_again_by_an_old_message_of_it() {
    let case = |update| Case {
        cancelled: true,
        active: false,
        ..Case::driving_hears(order(&["a", "b"], 0, update, 1))
    };
    case(0).is_rejected("orderUpdateError", "OUTDATED_ORDER_UPDATE");
    assert_eq!(case(1).outcome(Version::V2), Ok(Taken::Repeated));
}

#[test]
fn an_order_with_a_field_that_a_vehicle_may_not_be_able_to_use_says_so() {
    let header = Header::new(&support::address(Version::V3), 1, support::wall());
    let text = order(&["a", "b"], 0, 0, 1).to_json(&header, Version::V3);
    assert_eq!(Order::unread_fields(&text).unwrap(), Vec::<&str>::new());
    let text = text.replace("\"edgeId\"", "\"corridor\":{\"leftWidth\":1,\"rightWidth\":1},\"edgeId\"");
    assert_eq!(Order::unread_fields(&text).unwrap(), ["corridor"]);
    let words = [Version::V2, Version::V3].map(|version| Rejection::UnsupportedParameter.error_type(version));
    assert_eq!(words, ["orderError", "UNSUPPORTED_PARAMETER"]);
    assert_eq!(Rejection::UnsupportedParameter.level(Version::V3), Level::Critical);
}

#[test]
fn a_cancel_without_an_order_and_an_unknown_instant_action_have_their_words() {
    let words =
        |rejection: Rejection| [Version::V2, Version::V3].map(|version| rejection.error_type(version));
    assert_eq!(words(Rejection::NoOrderToCancel), ["noOrderToCancel", "NO_ORDER_TO_CANCEL"]);
    assert_eq!(words(Rejection::InvalidInstantAction), ["instantActionError", "INVALID_INSTANT_ACTION"]);
    for rejection in [Rejection::NoOrderToCancel, Rejection::InvalidInstantAction] {
        assert!(
            words(rejection)
                .iter()
                .zip([Version::V2, Version::V3])
                .all(|(w, v)| !Rejection::is_of_order(w, v))
        );
    }
}
