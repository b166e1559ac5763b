//! What a vehicle's state tells of its order, and whether it can be believed.

use std::collections::HashSet;

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
        consistent(state)?;
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
        let newest = state.order_update_id == course.order.order_update_id;
        // Of an order that was taken over only the last message is known, and the vehicle may not have got there yet.
        let first = course.order.nodes.first().map_or(0, |node| node.sequence_id);
        let is_before = |number: u32| number < first && course.reached.is_none();
        // By the update before it still drives: what it expects was checked against that one.
        for (node_id, number, released) in state.nodes.iter().filter(|_| newest) {
            match course.nodes.iter().find(|(_, known, _)| known == number) {
                None if is_before(*number) => {}
                None => return Err(StateFault::UnknownNode(*number)),
                Some((known, _, _)) if known != node_id => return Err(StateFault::UnknownNode(*number)),
                Some((_, _, base)) if *released && !base => return Err(StateFault::NotReleased(*number)),
                Some(_) => {}
            }
        }
        let passed = state.last_node_sequence_id;
        let last = if newest { u32::MAX } else { first };
        let known = course.nodes.iter().any(|(node_id, number, released)| {
            *number == passed && *node_id == state.last_node_id && *released && passed <= last
        });
        match course.reached {
            Some(reached) if passed < reached => Err(StateFault::Backwards(passed)),
            Some(reached) if passed > reached && !known => Err(StateFault::UnknownNode(passed)),
            // 0 is also what a vehicle says that has passed no node of the order yet.
            None if passed != 0 && !known && !is_before(passed) => Err(StateFault::UnknownNode(passed)),
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
            // How far it has come with the order counts, also in the word that says its end.
            if let Some(mut course) = self.course.take().filter(|course| course.is_echoed_by(state)) {
                course.see_progress(state, events);
            }
            events.push(Event::Cancelled);
        }
    }

    pub(crate) fn see_zone_sets(&mut self, state: &State, events: &mut Vec<Event>) {
        self.zone_sets.retain(|unheld| {
            let id = &unheld.zone_set.zone_set_id;
            if state.zone_sets.iter().any(|(held, ..)| held == id) {
                events.push(Event::ZoneSetHeld(id.clone()));
                return false;
            }
            let about = |error: &&VehicleError| error.reference("zoneSetId").is_some_and(|about| about == id);
            let refused = state.errors.iter().find(about);
            if let Some(error) = refused {
                let (zone_set_id, error_type) = (id.clone(), error.error_type.clone());
                events.push(Event::ZoneSetRefused { zone_set_id, error_type });
            }
            refused.is_none()
        });
    }

    pub(crate) fn see_order(&mut self, state: &State, events: &mut Vec<Event>) {
        let version = self.address.version();
        let cancels = self.instant.iter().any(|waiting| waiting.cancels);
        let Some(course) = self.course.as_mut() else { return };
        let update = course.order.order_update_id;
        let has_it = state.order_id == course.order.order_id && state.order_update_id == update;
        if has_it && course.echoed != Some(update) {
            course.echoed = Some(update);
            events.push(Event::Took(update));
        }
        if course.is_echoed_by(state) {
            course.see_progress(state, events);
        }
        if !has_it {
            if let Some(error_type) = rejection(state, &course.order, version) {
                events.push(Event::Rejected { error_type });
                self.course = None;
            }
            return;
        }
        if state.new_base_request {
            events.push(Event::NeedsBase);
        }
        let way_left = !state.nodes.is_empty() || !state.edges.is_empty();
        let over = course.order.nodes.iter().filter(|node| node.released).flat_map(|node| &node.actions);
        let edges = course.order.edges.iter().filter(|edge| edge.released).flat_map(|edge| &edge.actions);
        let over = over.chain(edges).all(|action| is_over(state, &action.action_id));
        let at_end = course.reached == course.order.last_released().map(|node| node.sequence_id);
        let horizon = course.order.nodes.last().is_some_and(|node| !node.released);
        if at_end && over && !horizon && !way_left {
            events.push(Event::Done);
            self.course = None;
        } else if !way_left && (horizon || !at_end) && !cancels {
            // It has cleared the order: a person's doing, or a cancel by somebody else.
            events.push(Event::Dropped);
            self.course = None;
        } else if at_end && over && horizon && !course.arrived {
            course.arrived = true;
            events.push(Event::Arrived);
        }
    }
}

/// Whether a state agrees with itself, whatever was sent.
fn consistent(state: &State) -> Result<(), StateFault> {
    let idle = state.nodes.is_empty() && state.edges.is_empty();
    if state.order_id.is_empty() && (state.order_update_id != 0 || !idle) {
        return Err(StateFault::NoOrder);
    }
    if state.last_node_id.is_empty() && state.last_node_sequence_id != 0 {
        return Err(StateFault::NoNode);
    }
    for list in [&state.nodes, &state.edges] {
        for ((_, before, base), (_, after, released)) in list.iter().zip(list.iter().skip(1)) {
            if after <= before || (*released && !base) {
                return Err(StateFault::Order(*after));
            }
        }
    }
    let mut names = HashSet::new();
    let mut actions = state.actions.iter().chain(&state.instant_actions);
    if actions.any(|action| !names.insert(action.action_id.as_str())) {
        return Err(StateFault::DoubledAction);
    }
    Ok(())
}

impl Course {
    /// Whether a state speaks of what the vehicle was known to have taken.
    fn is_echoed_by(&self, state: &State) -> bool {
        state.order_id == self.order.order_id && self.echoed == Some(state.order_update_id)
    }

    /// Nodes of the base that it has passed.
    fn see_progress(&mut self, state: &State, events: &mut Vec<Event>) {
        let passed = state.last_node_sequence_id;
        let ahead = |number: u32| state.nodes.iter().any(|(_, expected, _)| *expected == number);
        for (node_id, number, released) in &self.nodes {
            let new = self.reached.is_none_or(|reached| *number > reached);
            let begun = *number > 0 || state.last_node_id == *node_id;
            if new && begun && *released && *number <= passed && !ahead(*number) {
                events.push(Event::Reached { node_id: node_id.clone(), sequence_id: *number });
                self.reached = Some(*number);
            }
        }
        let reached = self.reached;
        self.nodes.retain(|(_, number, _)| reached.is_none_or(|reached| *number >= reached));
    }
}

fn is_over(state: &State, action_id: &str) -> bool {
    state.actions.iter().any(|action| action.action_id == action_id && action.status.is_over())
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
