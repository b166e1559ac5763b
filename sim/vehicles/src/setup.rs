//! What a simulated vehicle is like.

use std::collections::HashMap;
use std::sync::Arc;

use hal_units::{Duration, Meters, MetersPerSecond, MetersPerSecond2, Radians, RadiansPerSecond};
use hal_vda5050::Address;

/// Where nodes are, in metres, for orders that do not say it.
pub type Places = Arc<HashMap<String, [f64; 2]>>;

/// What a vehicle is like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Its version and names.
    pub address: Address,
    /// Where it is in the beginning.
    pub start: Start,
    /// How it gets on.
    pub drive: Drive,
    /// What it knows of the layout.
    pub places: Places,
    /// Its battery.
    pub battery: Battery,
    /// What its localisation is off by.
    pub noise: Noise,
    /// A state is sent at least this often.
    pub state_interval: Duration,
    /// There is at least this long between two states.
    pub state_pause: Duration,
    /// How long it takes to pick or drop a load.
    pub handling: Duration,
    /// Of its noise.
    pub seed: u64,
}

impl Setup {
    /// A vehicle of the usual kind: a small carrier at walking speed.
    #[must_use]
    pub fn usual(address: Address, start: Start) -> Self {
        Self {
            address,
            start,
            drive: Drive::Wheels(Kinematics::CARRIER),
            places: Places::default(),
            battery: Battery::CARRIER,
            noise: Noise::USUAL,
            state_interval: Duration::from_secs(1),
            state_pause: Duration::from_millis(5),
            handling: Duration::from_secs(3),
            seed: 0,
        }
    }
}

/// Where a vehicle is in the beginning: on a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The node.
    pub node_id: String,
    /// The map that it is on; the only one that the vehicle knows.
    pub map_id: String,
    /// In metres.
    pub at: [f64; 2],
    /// From x, counterclockwise.
    pub heading: Radians,
}

/// How a vehicle gets from node to node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Drive {
    /// It turns and drives in straight lines.
    Wheels(Kinematics),
    /// It is on the next node after this time: enough for the protocol, and cheap.
    Hops(Duration),
}

/// How a vehicle with two driven wheels moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kinematics {
    /// Forward.
    pub speed_max: MetersPerSecond,
    /// Gaining speed.
    pub acceleration: MetersPerSecond2,
    /// Losing it.
    pub deceleration: MetersPerSecond2,
    /// On the spot.
    pub turn_speed: RadiansPerSecond,
}

impl Kinematics {
    /// A small carrier, as for shelves: the order of size of what makers of such vehicles publish.
    pub const CARRIER: Self = Self {
        speed_max: MetersPerSecond(1.5),
        acceleration: MetersPerSecond2(1.0),
        deceleration: MetersPerSecond2(1.0),
        turn_speed: RadiansPerSecond(1.6),
    };
}

/// How charge goes and comes, in percent of the whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Battery {
    /// In the beginning.
    pub charge_percent: f64,
    /// Used in a second, whatever the vehicle does.
    pub idle_percent_per_second: f64,
    /// Used for a metre.
    pub drive_percent_per_meter: f64,
    /// Gained in a second at a charger.
    pub charging_percent_per_second: f64,
}

impl Battery {
    /// Eight hours of rest, or ten kilometres; full again in half an hour.
    pub const CARRIER: Self = Self {
        charge_percent: 90.0,
        idle_percent_per_second: 100.0 / (8.0 * 3600.0),
        drive_percent_per_meter: 100.0 / 10_000.0,
        charging_percent_per_second: 100.0 / 1800.0,
    };
}

/// Deviations of the reported pose from the true one: normal, without bias, new in each state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Of x and y each.
    pub position: Meters,
    /// Of the heading.
    pub heading: Radians,
}

impl Noise {
    /// A centimetre and a third of a degree, as of a laser scanner among walls.
    pub const USUAL: Self = Self { position: Meters(0.01), heading: Radians(0.006) };
    /// None.
    pub const NONE: Self = Self { position: Meters(0.0), heading: Radians(0.0) };
}
