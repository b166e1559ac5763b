//! Ways that are blocked for a while.
//!
//! While ways are closed the promise of `guard.rs` holds as far as the open layout allows: collisions
//! stay impossible, and an errand whose goal cannot be reached keeps nobody else waiting.

use crate::field::{CLOSED, UNREACHABLE};
use crate::graph::{Node, Vehicle};
use crate::planner::Planner;
use crate::window::Path;

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
}

impl Planner {
    /// Closes the way from one node to the other, or opens it again; the opposite way is one of its own.
    ///
    /// All plans begin anew from where everybody is; who is on the way to the other node by now gets there.
    ///
    /// # Errors
    /// If there is no such way.
    pub fn set_closed(&mut self, from: Node, to: Node, closed: bool) -> Result<Closed, CloseError> {
        let inside = (from.0 as usize) < self.graph.nodes();
        let links = if inside { self.graph.out_of(from.0) } else { &[] };
        let arc =
            links.iter().find(|link| link.node == to.0).map(|link| link.arc).ok_or(CloseError::NoArc)?;
        let cost = if closed { CLOSED } else { self.graph.cost(arc) };
        self.arc_cost.put(arc as usize, cost);
        self.stop_all();
        let mut cut_off = 0;
        for vehicle in (0..self.vehicles).map(Vehicle) {
            if let Some(goal) = self.goal(vehicle) {
                self.compute_field(vehicle, goal);
                cut_off += u16::from(self.is_cut_off(vehicle.0));
            }
        }
        Ok(Closed { cut_off })
    }

    /// Whether a vehicle's goal cannot be reached from where it is.
    pub(crate) fn is_cut_off(&self, vehicle: u16) -> bool {
        self.fields.at(vehicle, self.window.state(vehicle, 0)) == UNREACHABLE
    }

    /// Everybody's plan is to stay: that is always free of conflicts.
    pub(crate) fn stop_all(&mut self) {
        for vehicle in 0..self.vehicles {
            self.lift(vehicle);
        }
        for vehicle in 0..self.vehicles {
            let path = Path::resting(self.window.state(vehicle, 0));
            self.lay(vehicle, &path);
        }
        self.guard.left = 0;
        self.held.fill(false);
    }
}
