//! Where one vehicle wants to be now, and what it still costs from a state.

use crate::field::{Field, UNREACHABLE};
use crate::graph::{Node, UNIT};
use crate::search::Scene;
use crate::yard::Yard;

/// A vehicle's goal; for one in a dead end that is not its own, the way out; for an idle one, anywhere.
pub(crate) struct Aim<'a> {
    field: Field<'a>,
    yard: &'a Yard,
    goal: Option<Node>,
    leaves: bool,
    headings: u32,
}

impl<'a> Aim<'a> {
    /// The aim of a vehicle that stands on `node` now.
    pub(crate) fn new(scene: &Scene<'a>, vehicle: u16, node: u32, goal: Option<Node>) -> Self {
        let leaves = scene.yard.has_to_leave(vehicle, node);
        let field = scene.fields.of(vehicle);
        Self { field, yard: scene.yard, goal, leaves, headings: scene.headings }
    }

    #[inline]
    pub(crate) fn reached(&self, state: u32) -> bool {
        let node = state / self.headings;
        if self.leaves {
            return !self.yard.in_branch(node);
        }
        self.goal.is_none_or(|goal| goal.0 == node)
    }

    /// `None` if the goal cannot be reached from there.
    #[inline]
    pub(crate) fn to_go(&self, state: u32) -> Option<u32> {
        if self.leaves {
            return Some(u32::from(self.yard.depth(state / self.headings)) * u32::from(UNIT));
        }
        if self.goal.is_none() {
            return Some(0);
        }
        let cost = self.field.at(state);
        (cost != UNREACHABLE).then_some(u32::from(cost))
    }
}
