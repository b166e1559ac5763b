//! Ways that are blocked for a while.
//!
//! While ways are closed the promise of `guard.rs` holds as far as the open layout allows: collisions
//! stay impossible, and an errand whose goal cannot be reached keeps nobody else waiting.
//!
//! Only those whom it concerns plan anew, and once for all that has changed since the last plan: many vehicles may fail at
//! once, and each closes its nodes. A field stays what it was if no state's cost to go rests on what is
//! closed alone, or gets less by what is opened: looking at the ends of the arcs suffices, because costs are
//! positive, so the nearest state that changes is always at such an end.

use crate::field::{CLOSED, UNREACHABLE};
use crate::graph::{Link, Node, UNIT, Vehicle};
use crate::planner::Planner;

/// What has become of the fleet's errands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// How many vehicles have a goal that they cannot reach now.
    pub cut_off: u16,
}

/// Why a way cannot be closed or opened; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseError {
    /// No arc leads from the one node to the other.
    NoArc,
    /// No such node.
    NoNode,
    /// The node is open already.
    Open,
}

impl Planner {
    /// Closes the way from one node to the other, or opens it again; the opposite way is one of its own.
    ///
    /// Who is on the way to the other node by now gets there.
    ///
    /// # Errors
    /// If there is no such way.
    pub fn set_closed(&mut self, from: Node, to: Node, closed: bool) -> Result<Closed, CloseError> {
        let arc = self.arc_between(from, to).ok_or(CloseError::NoArc)?;
        self.shut.put(arc as usize, closed);
        self.refresh(to.0);
        self.renew_fields();
        Ok(self.count_cut_off())
    }

    /// Closes a node for whoever is not on it, or takes one closing back; several add up.
    ///
    /// # Errors
    /// If there is no such node, or it is not closed.
    pub fn set_node_closed(&mut self, node: Node, closed: bool) -> Result<Closed, CloseError> {
        if node.0 as usize >= self.graph.nodes() {
            return Err(CloseError::NoNode);
        }
        let after = counted(self.node_shut.at(node.0 as usize), closed)?;
        self.node_shut.put(node.0 as usize, after);
        self.refresh(node.0);
        self.renew_fields();
        Ok(self.count_cut_off())
    }

    /// As [`Planner::set_node_closed`], but because of a vehicle: it will open again by itself. What others still have to go
    /// follows from it with [`Planner::renew_fields`], at the latest with the next plan.
    ///
    /// # Errors
    /// If there is no such node, or it is not closed.
    pub fn set_node_barred(&mut self, node: Node, barred: bool) -> Result<(), CloseError> {
        if node.0 as usize >= self.graph.nodes() {
            return Err(CloseError::NoNode);
        }
        let after = counted(self.node_barred.at(node.0 as usize), barred)?;
        self.node_barred.put(node.0 as usize, after);
        self.refresh(node.0);
        Ok(())
    }

    /// Whether a way is closed now, by itself or with its end.
    #[must_use]
    pub fn is_closed(&self, from: Node, to: Node) -> bool {
        self.arc_between(from, to).is_some_and(|arc| self.arc_cost.at(arc as usize) == CLOSED)
    }

    pub(crate) fn arc_between(&self, from: Node, to: Node) -> Option<u32> {
        let inside = (from.0 as usize) < self.graph.nodes();
        let links = if inside { self.graph.out_of(from.0) } else { &[] };
        links.iter().find(|link| link.node == to.0).map(|link| link.arc)
    }

    /// Computes anew what vehicles have to go where something was closed or opened on their ways; for how many.
    pub fn renew_fields(&mut self) -> u16 {
        let mut renewed = 0;
        for vehicle in (0..self.vehicles).map(Vehicle) {
            if let Some(goal) = self.goal(vehicle).filter(|_| self.stale.at(usize::from(vehicle.0))) {
                self.compute_field(vehicle, goal);
                renewed += 1;
            }
        }
        renewed
    }

    /// Brings costs and plans into agreement with what is closed at the end of these arcs, and finds out whose fields do not
    /// agree any more.
    fn refresh(&mut self, to: u32) {
        let (mut shuts, mut opens) = (false, false);
        for index in 0..self.graph.links_to(to).len() {
            let Some(link) = self.graph.links_to(to).get(index).copied() else { break };
            let (before, now) = (self.arc_cost.at(link.arc as usize), self.cost_now(link.arc, to));
            self.arc_cost.put(link.arc as usize, now);
            shuts |= before != CLOSED && now == CLOSED;
            opens |= before == CLOSED && now != CLOSED;
        }
        if !shuts && !opens {
            return;
        }
        self.closings = self.closings.wrapping_add(1);
        for vehicle in 0..self.vehicles {
            let heads_somewhere = self.goal(Vehicle(vehicle)).is_some();
            if heads_somewhere && !self.stale.at(usize::from(vehicle)) {
                self.stale.put(usize::from(vehicle), self.is_touched(vehicle, to));
            }
        }
        if shuts {
            self.rest(|planner, vehicle| planner.takes_closed(vehicle, to));
        }
    }

    /// What an arc to this node costs now.
    pub(crate) fn cost_now(&self, arc: u32, to: u32) -> u16 {
        if self.node_barred.at(to as usize) > 0 { CLOSED } else { self.cost_without_vehicles(arc, to) }
    }

    /// What it costs as far as ways are closed by name.
    pub(crate) fn cost_without_vehicles(&self, arc: u32, to: u32) -> u16 {
        let shut = self.shut.at(arc as usize) || self.node_shut.at(to as usize) > 0;
        if shut { CLOSED } else { self.graph.cost(arc) }
    }

    /// Whether a field has to be computed anew after arcs to this node have changed.
    fn is_touched(&self, vehicle: u16, to: u32) -> bool {
        self.graph.links_to(to).iter().any(|link| {
            let heading = if self.headings > 1 { u32::from(link.heading) } else { 0 };
            let state = link.node * self.headings + heading;
            let value = self.fields.at(vehicle, state);
            value != 0 && value != self.best_step(vehicle, state)
        })
    }

    /// What is to go from a state by its neighbours' values.
    fn best_step(&self, vehicle: u16, state: u32) -> u16 {
        let (node, heading) = (state / self.headings, state % self.headings);
        let after = |state: u32, price: u16| {
            let value = self.fields.at(vehicle, state);
            if value == UNREACHABLE { UNREACHABLE } else { value.saturating_add(price).min(UNREACHABLE - 1) }
        };
        let turns = [(heading + 1) % 4, (heading + 3) % 4].into_iter().filter(|_| self.headings > 1);
        let turned = turns.map(|turned| after(node * self.headings + turned, UNIT)).min();
        let ahead = |link: &&Link| self.headings == 1 || u32::from(link.heading) == heading;
        let driven = self.graph.out_of(node).iter().filter(ahead).filter_map(|link| {
            let price = self.arc_cost.at(link.arc as usize);
            (price != CLOSED).then(|| after(link.node * self.headings + heading, price))
        });
        driven.chain(turned).min().unwrap_or(UNREACHABLE)
    }

    /// Whether a vehicle's plan enters this node over an arc that is closed.
    fn takes_closed(&self, vehicle: u16, to: u32) -> bool {
        (1..=self.window.steps()).any(|step| {
            let (from, at) = (self.window.node(vehicle, step - 1), self.window.node(vehicle, step));
            at == to && from != to && self.is_closed(Node(from), Node(at))
        })
    }

    fn count_cut_off(&self) -> Closed {
        let cut = |vehicle: &u16| self.goal(Vehicle(*vehicle)).is_some() && self.is_cut_off(*vehicle);
        Closed { cut_off: (0..self.vehicles).filter(cut).count() as u16 }
    }

    /// Whether a vehicle's goal cannot be reached from where it is.
    pub(crate) fn is_cut_off(&self, vehicle: u16) -> bool {
        self.fields.at(vehicle, self.window.state(vehicle, 0)) == UNREACHABLE
    }
}

/// One closing more or less.
fn counted(count: u16, closed: bool) -> Result<u16, CloseError> {
    let after = if closed { count.checked_add(1) } else { count.checked_sub(1) };
    after.ok_or(CloseError::Open)
}
