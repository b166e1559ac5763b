//! How far it is to some nodes from everywhere, kept for a few of them at a time.

use crate::field::{Fields, UNREACHABLE};
use crate::graph::{Node, UNIT, Vehicle};
use crate::planner::Planner;
use crate::store::Store;

#[derive(Debug, Clone, Copy)]
struct Slot {
    to: Option<Node>,
    /// The planner's version of what is closed.
    closings: u32,
    used: u32,
}

/// Distances to nodes over the open ways of a planner, without the other vehicles. Not more than what was
/// asked for last is kept, and all of it follows from the layout and from what is closed.
#[derive(Debug, Clone)]
pub struct Distances {
    /// One for each slot, and a last one for questions beyond what is closed because of vehicles.
    fields: Fields,
    slots: Store<Slot>,
    /// Where the distances to each node are if they are there.
    slot_of: Store<u16>,
    clock: u32,
}

impl Distances {
    /// Memory for the distances to so many nodes at a time, at least one.
    #[must_use]
    pub fn new(planner: &Planner, count: usize) -> Self {
        let empty = Slot { to: None, closings: 0, used: 0 };
        let count = count.clamp(1, u16::MAX as usize - 1);
        let fields = Fields::new(&planner.graph, planner.setup.motion, count + 1);
        let slot_of = Store::new(planner.graph.nodes(), 0);
        Self { fields, slots: Store::new(count, empty), slot_of, clock: 0 }
    }

    /// Steps from where a vehicle will be at the end of its released way to a node; `None` if no way leads
    /// there.
    pub fn from_vehicle(&mut self, planner: &Planner, vehicle: Vehicle, to: Node) -> Option<u32> {
        let slot = self.slot(planner, to)?;
        let state = planner.window.state(vehicle.0, 0);
        self.steps(slot, state)
    }

    /// Steps from a node, however one stands on it at first, to another; `None` if no way leads there.
    pub fn between(&mut self, planner: &Planner, from: Node, to: Node) -> Option<u32> {
        if from.0 as usize >= planner.graph.nodes() {
            return None;
        }
        let slot = self.slot(planner, to)?;
        let first = from.0 * planner.headings;
        (first..first + planner.headings).filter_map(|state| self.steps(slot, state)).min()
    }

    /// Whether a way leads to a node from any of these, over all that is not closed by name: what is closed
    /// because of a vehicle opens again.
    pub fn is_reached(&mut self, planner: &Planner, to: Node, mut from: impl Iterator<Item = Node>) -> bool {
        if to.0 as usize >= planner.graph.nodes() {
            return false;
        }
        let open = self.slots.len() as u16;
        self.fields.compute(&planner.graph, open, to, |arc, end| planner.cost_without_vehicles(arc, end));
        from.any(|from| {
            let first = from.0 * planner.headings;
            let inside = (from.0 as usize) < planner.graph.nodes();
            inside
                && (first..first + planner.headings).any(|state| self.fields.at(open, state) != UNREACHABLE)
        })
    }

    fn steps(&self, slot: u16, state: u32) -> Option<u32> {
        let cost = self.fields.at(slot, state);
        (cost != UNREACHABLE).then(|| u32::from(cost) / u32::from(UNIT))
    }

    /// Where the distances to a node are; computed if they are not there, in place of the least used ones.
    fn slot(&mut self, planner: &Planner, to: Node) -> Option<u16> {
        if to.0 as usize >= planner.graph.nodes() {
            return None;
        }
        self.clock = self.clock.wrapping_add(1);
        let known = usize::from(self.slot_of.at(to.0 as usize));
        let known = Some(known).filter(|slot| self.slots.at(*slot).to == Some(to));
        let age = |slot: &usize| {
            let kept = self.slots.at(*slot);
            (kept.to.is_none(), self.clock.wrapping_sub(kept.used))
        };
        let slot = known.or_else(|| (0..self.slots.len()).max_by_key(age))?;
        let fresh = known.is_some() && self.slots.at(slot).closings == planner.closings;
        if !fresh {
            self.fields.compute(&planner.graph, slot as u16, to, |arc, _| planner.arc_cost.at(arc as usize));
        }
        self.slot_of.put(to.0 as usize, slot as u16);
        self.slots.put(slot, Slot { to: Some(to), closings: planner.closings, used: self.clock });
        Some(slot as u16)
    }
}
