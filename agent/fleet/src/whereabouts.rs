//! Where a vehicle says that it is.

use control_loops_dispatch::{Heading, Node};
use hal_vda5050::State;

use crate::places::Places;

/// A vehicle that names no node is where it is if it is as near as this to a place, in metres.
pub(crate) const ON_NODE_METERS: f64 = 0.3;

/// The place that a vehicle is on, and how it stands.
pub(crate) fn node_of(state: &State, places: &Places) -> Option<(Node, Heading)> {
    let pose = state.pose.as_ref();
    let heading = pose.map_or(Heading::East, |pose| heading(pose.theta));
    if let Some(node) = places.hall.node(&state.last_node_id) {
        return Some((node, heading));
    }
    let pose = pose?;
    let (node, meters) = places.hall.nearest([pose.x, pose.y])?;
    (meters <= ON_NODE_METERS).then_some((node, heading))
}

/// How far a position is from a place, in metres.
pub(crate) fn meters_off(places: &Places, node: Node, [x, y]: [f64; 2]) -> Option<f64> {
    places.hall.position(node).map(|[there_x, there_y]| (x - there_x).hypot(y - there_y))
}

/// The nearest quarter. In a hall y grows to the left of x.
pub(crate) fn heading(theta: f64) -> Heading {
    let quarter = (theta / std::f64::consts::FRAC_PI_2).round().rem_euclid(4.0);
    match quarter as u8 {
        0 | 4 => Heading::East,
        1 => Heading::North,
        2 => Heading::West,
        _ => Heading::South,
    }
}
