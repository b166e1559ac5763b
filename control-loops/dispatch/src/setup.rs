//! What a fleet controller is built for.

use core::time::Duration;

use control_loops_fleet::{Heading, Motion, Node, PlannerError};

use crate::order::Class;

/// What is fixed about a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// The traffic control. Closed rings are never planned.
    pub traffic: control_loops_fleet::Setup,
    /// Actions (moves, quarter turns) that a vehicle may be behind the plan; at least 2. The base is no longer.
    pub ahead: usize,
    /// When more than a few vehicles have no room for one more action, the plan waits for so many steps.
    pub patience: u32,
    /// Who does not get on for so many steps although it may, is driven round until it does.
    pub stall_after: u32,
    /// Nodes of the horizon.
    pub horizon: usize,
    /// What an action takes, for estimates.
    pub action_time: Duration,
    /// Most orders under way.
    pub orders_max: usize,
    /// Most orders that are looked at together when they are given to vehicles.
    pub window_orders: usize,
    /// What a level of priority is worth: so much way more is driven for it.
    pub priority_worth: Duration,
    /// An order that has waited for so long goes before all younger ones, whatever their priority: from then
    /// on only orders that are as late and older are given to a vehicle that could do it.
    pub overdue_after: Duration,
    /// An order changes its vehicle only if its load is reached sooner by so much.
    pub reassign_gain: Duration,
    /// After so long without a report a vehicle is silent: nobody plans to come where it may be.
    pub silent_after: Duration,
    /// After so long without a report its orders are given back or held.
    pub lost_after: Duration,
    /// When vehicles charge.
    pub battery: Battery,
}

impl Setup {
    /// What has been found to work well for a way of moving, for vehicles that need a second for an action.
    #[must_use]
    pub const fn usual(motion: Motion) -> Self {
        Self {
            traffic: control_loops_fleet::Setup::usual(motion),
            ahead: match motion {
                Motion::Pebble => 3,
                Motion::Turning => 4,
            },
            patience: 8,
            stall_after: 24,
            horizon: 8,
            action_time: Duration::from_secs(1),
            orders_max: 1_000,
            window_orders: 48,
            priority_worth: Duration::from_secs(30),
            overdue_after: Duration::from_secs(600),
            reassign_gain: Duration::from_secs(5),
            silent_after: Duration::from_secs(3),
            lost_after: Duration::from_secs(30),
            battery: Battery::USUAL,
        }
    }
}

/// Charges at which something changes, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Battery {
    /// Below this a vehicle gets no order that it has not begun, goes to a charger whatever else, and shows as
    /// degraded.
    pub critical: u16,
    /// Below this it gets no new order and goes to a charger.
    pub low: u16,
    /// From this on charging may be interrupted for an order.
    pub enough: u16,
    /// From this on it is full.
    pub full: u16,
    /// An idle vehicle below this charges if a charger is free.
    pub top_up: u16,
}

impl Battery {
    /// Lithium-ion traction batteries: above a tenth, most of the time between 30 and 90 percent.
    pub const USUAL: Self = Self { critical: 100, low: 250, enough: 500, full: 900, top_up: 600 };
}

/// What is fixed about one vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VehicleSetup {
    /// Its kind.
    pub class: Class,
    /// What it carries, in kilograms.
    pub capacity_kg: u32,
    /// Where it stands at the beginning; `None` if it is not on the layout.
    pub start: Option<(Node, Heading)>,
}

/// Why a fleet cannot be controlled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupError {
    /// See [`PlannerError`].
    Planner(PlannerError),
    /// A charger or parking place is on no node of the layout, or on the same as another one.
    Place(Node),
    /// More chargers and parking places than 256.
    Places,
    /// No orders, no actions ahead, or a window of none.
    Empty,
    /// The charges are not in ascending order: critical, low, enough, full.
    Battery,
}
