//! What a vehicle's state tells of its order, and whether it can be believed.

use crate::address::Version;
use crate::dialogue::{Course, Dialogue};
use crate::judge::Rejection;
use crate::order::Order;
use crate::said::{Event, StateFault};
use crate::state::{ActionStatus, State, VehicleError};

impl Dialogue {
    pub(crate) fn believe(&self, state: &State) -> Result<(), StateFault> {
        if !state.header.is_from(&self.address) {
            return Err(StateFault::Foreign);
        }
        if !self.address.version().understands(&state.header.version) {
            return Err(StateFault::Version);
        }
        // Headers count up and begin again at 0 after the largest.
        let newer = |last: u32| (state.header.header_id.wrapping_sub(last) as i32) > 0;
        if self.last_header.is_some_and(|last| !newer(last)) {
            return Err(StateFault::Stale);
        }
        let finite = |number: Option<f64>| number.is_none_or(f64::is_finite);
        let pose =
            state.pose.as_ref().is_none_or(|p| p.x.is_finite() && p.y.is_finite() && p.theta.is_finite());
        if !pose || !finite(state.distance_since_last_node) || !(0.0..=100.0).contains(&state.charge_percent)
        {
            return Err(StateFault::Number);
        }
        let Some(course) = &self.course else { return Ok(()) };
        if state.order_id != course.order.order_id {
            // Until the echo it still has what it had before.
            return if course.echoed.is_some() { Err(StateFault::UnknownOrder) } else { Ok(()) };
        }
        self.believe_course(course, state)
    }

    fn believe_course(&self, course: &Course, state: &State) -> Result<(), StateFault> {
        if state.order_update_id > course.order.order_update_id {
            return Err(StateFault::FutureUpdate);
        }
        if course.echoed.is_some_and(|echoed| state.order_update_id < echoed) {
            return Err(StateFault::LostUpdate);
        }
        if state.order_update_id < course.order.order_update_id {
            // It still drives by the update before: what it expects was checked against that one.
            return Ok(());
        }
        for (node_id, number, released) in &state.nodes {
            match course.nodes.iter().find(|(_, known, _)| known == number) {
                None => return Err(StateFault::UnknownNode(*number)),
                Some((known, _, _)) if known != node_id => return Err(StateFault::UnknownNode(*number)),
                Some((_, _, base)) if *released && !base => return Err(StateFault::NotReleased(*number)),
                Some(_) => {}
            }
        }
        let passed = state.last_node_sequence_id;
        let known = course
            .nodes
            .iter()
            .any(|(node_id, number, _)| *number == passed && *node_id == state.last_node_id);
        match course.reached {
            Some(reached) if passed < reached => Err(StateFault::Backwards(passed)),
            Some(reached) if passed > reached && !known => Err(StateFault::UnknownNode(passed)),
            // 0 is also what a vehicle says that has passed no node of the order yet.
            None if passed != 0 && !known => Err(StateFault::UnknownNode(passed)),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn see_instant_actions(&mut self, state: &State, events: &mut Vec<Event>) {
        let mut cancelled = false;
        self.instant.retain_mut(|waiting| {
            let mut reported = state.instant_actions.iter().chain(&state.actions);
            let Some(found) = reported.find(|action| action.action_id == waiting.action.action_id) else {
                return true;
            };
            waiting.seen = true;
            if found.status.is_over() {
                let done = found.status == ActionStatus::Finished;
                cancelled |= waiting.cancels && done;
                events.push(Event::InstantOver { action_id: found.action_id.clone(), done });
            }
            !found.status.is_over()
        });
        if cancelled {
            self.course = None;
            events.push(Event::Cancelled);
        }
    }

    pub(crate) fn see_order(&mut self, state: &State, events: &mut Vec<Event>) {
        let version = self.address.version();
        let Some(course) = self.course.as_mut() else { return };
        let update = course.order.order_update_id;
        if state.order_id != course.order.order_id || state.order_update_id != update {
            if let Some(error_type) = rejection(state, &course.order, version) {
                events.push(Event::Rejected { error_type });
                self.course = None;
            }
            return;
        }
        if course.echoed != Some(update) {
            course.echoed = Some(update);
            events.push(Event::Took(update));
        }
        let passed = state.last_node_sequence_id;
        let ahead = |number: u32| state.nodes.iter().any(|(_, expected, _)| *expected == number);
        for (node_id, number, released) in &course.nodes {
            let new = course.reached.is_none_or(|reached| *number > reached);
            let begun = *number > 0 || state.last_node_id == *node_id;
            if new && begun && *released && *number <= passed && !ahead(*number) {
                events.push(Event::Reached { node_id: node_id.clone(), sequence_id: *number });
                course.reached = Some(*number);
            }
        }
        let reached = course.reached;
        course.nodes.retain(|(_, number, _)| reached.is_none_or(|reached| *number >= reached));
        if state.new_base_request {
            events.push(Event::NeedsBase);
        }
        let all_released = course.order.nodes.iter().all(|node| node.released);
        let actions = |id: &str| state.actions.iter().find(|action| action.action_id == id);
        let over = |id: &str| actions(id).is_some_and(|action| action.status.is_over());
        let at_end =
            state.nodes.is_empty() && state.edges.is_empty() && reached == last_number(&course.order);
        if all_released && at_end && course.order.actions().all(|action| over(&action.action_id)) {
            events.push(Event::Done);
            self.course = None;
        }
    }
}

fn last_number(order: &Order) -> Option<u32> {
    order.nodes.last().map(|node| node.sequence_id)
}

/// An error in a state that says that the last message of this order was not taken.
fn rejection(state: &State, order: &Order, version: Version) -> Option<String> {
    let update = order.order_update_id.to_string();
    let about = |key: &str, value: &str, error: &VehicleError| {
        error.reference(key).is_some_and(|reference| reference == value)
    };
    let rejects = state.errors.iter().find(|error| {
        Rejection::is_of_order(&error.error_type, version)
            && about("orderId", &order.order_id, error)
            && (about("orderUpdateId", &update, error) || error.reference("orderUpdateId").is_none())
    });
    rejects.map(|error| error.error_type.clone())
}
