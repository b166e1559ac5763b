//! Why a vehicle is where it is.

use control_loops_fleet::{Cause, Node, Pin, Vehicle};

use crate::controller::FleetController;
use crate::order::{OrderId, OrderState};
use crate::vehicle::{Duty, Standing};

/// What a vehicle does, for whom, and why it does not get on if it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// Whether it takes part.
    pub standing: Standing,
    /// What it does.
    pub duty: Duty,
    /// The order that it has, and how far that is.
    pub order: Option<(OrderId, OrderState)>,
    /// Where it has to go.
    pub goal: Option<Node>,
    /// Why it is where it is; [`FleetController::why`] goes on from here.
    pub why: Why,
}

/// Why a vehicle is where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is not on the layout.
    Absent,
    /// It waits until nobody holds the node where it enters, or comes there.
    Enters {
        /// The node.
        node: Node,
        /// Who holds it or comes there.
        by: Option<Vehicle>,
    },
    /// Nothing was heard of it for a while.
    Silent,
    /// It has failed.
    Failed,
    /// A person drives it.
    ByHand,
    /// Its load is held until a person says what becomes of it.
    Held,
    /// It may drive on: its base ends at this node.
    Drives {
        /// The end of its base.
        to: Node,
    },
    /// It takes or puts down a load, or does what is to be done.
    Works,
    /// It charges.
    Charges,
    /// It waits at its parking place for an order.
    Parked,
    /// Its next node is not granted yet: others, who pass it before by plan, have not left it.
    Follows {
        /// The node.
        node: Node,
        /// Who is there or comes there first.
        by: Option<Vehicle>,
    },
    /// It has done all that is planned so far, and the plan is made for all together.
    Plan(Cause),
}

impl Why {
    /// On whom it depends.
    #[must_use]
    pub const fn depends_on(self) -> Option<Vehicle> {
        match self {
            Self::Enters { by, .. } | Self::Follows { by, .. } => by,
            Self::Plan(cause) => cause.depends_on(),
            Self::Absent
            | Self::Silent
            | Self::Failed
            | Self::ByHand
            | Self::Held
            | Self::Drives { .. }
            | Self::Works
            | Self::Charges
            | Self::Parked => None,
        }
    }
}

impl FleetController {
    /// What a vehicle does and why it is where it is; `None` if there is no such vehicle.
    #[must_use]
    pub fn explain(&self, vehicle: Vehicle) -> Option<Explanation> {
        let cart = self.cart(vehicle)?;
        let record = cart.duty.order().and_then(|slot| self.book.at(slot));
        Some(Explanation {
            standing: cart.standing,
            duty: cart.duty,
            order: record.map(|record| (record.id, record.state)),
            goal: self.goal_of(cart.duty),
            why: self.reason(vehicle),
        })
    }

    /// Why a vehicle is where it is; then why the one is on whom it depends, until one depends on nobody or on
    /// one that was named before.
    pub fn why(&self, vehicle: Vehicle) -> impl Iterator<Item = (Vehicle, Why)> + '_ {
        let mut next = self.cart(vehicle).map(|_| vehicle);
        // A chain that closes is as long as the fleet at most; the check keeps it from going round.
        let mut left = self.carts.len();
        core::iter::from_fn(move || {
            let now = next?;
            let why = self.reason(now);
            left -= 1;
            next = why.depends_on().filter(|other| *other != vehicle && left > 0);
            Some((now, why))
        })
    }

    fn reason(&self, vehicle: Vehicle) -> Why {
        let cart = self.look(vehicle);
        let release = self.traffic.release();
        match cart.standing {
            Standing::Absent => return Why::Absent,
            Standing::Entering(node, _) => return Why::Enters { node, by: release.holder(node) },
            Standing::Silent => return Why::Silent,
            Standing::Failed => return Why::Failed,
            Standing::ByHand => return Why::ByHand,
            Standing::Driving => {}
        }
        match cart.duty {
            Duty::Held(_) => return Why::Held,
            Duty::AtPick(_) | Duty::AtDrop(_) => return Why::Works,
            Duty::Charging(_) => return Why::Charges,
            Duty::Parked(_) => return Why::Parked,
            Duty::Idle | Duty::ToPark(_) | Duty::ToCharge(_) | Duty::ToPick(_) | Duty::ToDrop(_) => {}
        }
        if let Some((to, _)) = self.base_nodes(vehicle).last() {
            return Why::Drives { to };
        }
        match release.waits_for(vehicle) {
            Some(node) => Why::Follows { node, by: release.holder(node).filter(|by| *by != vehicle) },
            None => Why::Plan(self.plan_cause(vehicle)),
        }
    }

    /// The planner's cause; a pin that is only about being late means that others come first.
    fn plan_cause(&self, vehicle: Vehicle) -> Cause {
        debug_assert!(!self.traffic.has_pin(vehicle, Pin::Out), "a vehicle that drives is not out");
        self.traffic.planner().cause(vehicle)
    }
}
