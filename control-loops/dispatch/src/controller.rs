//! The fleet controller and its step.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use control_loops_fleet::{Distances, Graph, Heading, Node, Planner, Traffic, Vehicle};
use hal_units::Instant;

use crate::book::Book;
use crate::event::{Event, Events};
use crate::matching::Matching;
use crate::order::{OrderId, OrderState};
use crate::places::{Place, PlaceKind};
use crate::setup::{Setup, SetupError, VehicleSetup};
use crate::vehicle::{Cart, Duty, Standing};

/// Most chargers and parking places.
const PLACES_MAX: usize = 256;
/// Distances kept beyond those of the places and of the orders that are looked at together.
const DISTANCES_SPARE: usize = 16;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// Orders, vehicles and their ways. See the crate's head.
#[derive(Debug, Clone)]
pub struct FleetController {
    pub(crate) setup: Setup,
    pub(crate) fixed: Box<[VehicleSetup]>,
    pub(crate) carts: Box<[Cart]>,
    pub(crate) book: Book,
    pub(crate) places: Box<[Place]>,
    pub(crate) traffic: Traffic,
    /// To where orders begin, and to chargers and parking places.
    pub(crate) distances: Distances,
    pub(crate) matching: Matching,
    pub(crate) events: Events,
    pub(crate) clock: Clock,
    pub(crate) steps: u64,
}

/// The controller's own clock: it goes on where another controller's stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Nanoseconds on this clock at a point of the local one.
    pub(crate) nanos: u64,
    pub(crate) at: Option<Instant>,
}

impl Clock {
    pub(crate) fn advance(&mut self, now: Instant) {
        let passed = self.at.map_or(0, |at| now.as_nanos().saturating_sub(at.as_nanos()));
        self.nanos = self.nanos.saturating_add(passed);
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
    }

    /// Milliseconds now.
    pub(crate) fn millis(&self) -> u64 {
        self.nanos / NANOS_PER_MILLI
    }

    /// A local time on this clock, in milliseconds. What is before the clock's beginning is 0.
    pub(crate) fn millis_at(&self, local: Instant) -> u64 {
        let at = self.at.unwrap_or(local);
        let ahead = local.as_nanos().saturating_sub(at.as_nanos());
        let behind = at.as_nanos().saturating_sub(local.as_nanos());
        self.nanos.saturating_add(ahead).saturating_sub(behind) / NANOS_PER_MILLI
    }
}

impl FleetController {
    /// A controller for this layout and fleet, with chargers and parking places. All memory is taken here.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(
        graph: Graph,
        vehicles: &[VehicleSetup],
        chargers: &[Node],
        parking: &[Node],
        setup: Setup,
    ) -> Result<Self, SetupError> {
        if setup.orders_max == 0 || setup.ahead < 2 || setup.window_orders == 0 {
            return Err(SetupError::Empty);
        }
        let battery = setup.battery;
        if battery.critical > battery.low || battery.low > battery.enough || battery.enough > battery.full {
            return Err(SetupError::Battery);
        }
        let places = Self::places(&graph, chargers, parking)?;
        let starts: Vec<Option<(Node, Heading)>> = vehicles.iter().map(|vehicle| vehicle.start).collect();
        let traffic_setup = control_loops_fleet::Setup { rings: false, ..setup.traffic };
        let planner = Planner::with_absent(graph, &starts, traffic_setup).map_err(SetupError::Planner)?;
        let window = setup.window_orders.min(setup.orders_max);
        let distances = Distances::new(&planner, 2 * window + places.len() + DISTANCES_SPARE);
        Ok(Self {
            setup,
            fixed: vehicles.into(),
            carts: vehicles.iter().map(|vehicle| Cart::new(vehicle.start.is_some())).collect(),
            book: Book::new(setup.orders_max),
            places,
            distances,
            matching: Matching::new(2 * window, vehicles.len()),
            traffic: Traffic::new(planner, setup.ahead, setup.patience, setup.stall_after),
            events: Events::new(4 * vehicles.len() + 2 * setup.orders_max),
            clock: Clock { nanos: 0, at: None },
            steps: 0,
        })
    }

    fn places(graph: &Graph, chargers: &[Node], parking: &[Node]) -> Result<Box<[Place]>, SetupError> {
        let chargers = chargers.iter().map(|node| Place { node: *node, kind: PlaceKind::Charger });
        let parking = parking.iter().map(|node| Place { node: *node, kind: PlaceKind::Parking });
        let places: Box<[Place]> = chargers.chain(parking).collect();
        if places.len() > PLACES_MAX {
            return Err(SetupError::Places);
        }
        let mut taken = vec![false; graph.nodes()];
        for place in &places {
            match taken.get_mut(place.node.0 as usize) {
                Some(taken) if !*taken => *taken = true,
                Some(_) | None => return Err(SetupError::Place(place.node)),
            }
        }
        Ok(places)
    }

    /// One step: takes in what was reported, gives out orders, plans, and grants.
    ///
    /// To be called in a regular rhythm, several times in the time of an action. Work is bounded by the
    /// traffic control's effort and by the matching: orders looked at, squared, times vehicles.
    pub fn step(&mut self, now: Instant) {
        self.clock.advance(now);
        self.steps += 1;
        self.watch_silence();
        self.let_enter();
        self.take_in_results();
        // All that vehicles have closed and opened since the last step counts from here on.
        self.traffic.renew_fields();
        self.watch_orders();
        self.watch_batteries();
        self.assign();
        self.send_to_places();
        self.traffic.step();
        self.grant_all();
    }

    /// How many vehicles the fleet has, on the layout or not.
    #[must_use]
    pub fn vehicles(&self) -> u16 {
        self.carts.len() as u16
    }

    /// The layout.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        self.traffic.planner().graph()
    }

    /// Steps done, over all controllers that have handed on their state.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How far an order is; `None` if it is not known, or was over long ago.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<OrderState> {
        let known = self.book.find(id).and_then(|slot| self.book.at(slot)).map(|record| record.state);
        known.or_else(|| self.book.ended(id).map(OrderState::Over))
    }

    /// All orders in the book, with their states.
    pub fn orders(&self) -> impl Iterator<Item = (OrderId, OrderState)> + '_ {
        self.book.iter().map(|(_, record)| (record.id, record.state))
    }

    /// What a vehicle does.
    #[must_use]
    pub fn duty(&self, vehicle: Vehicle) -> Option<Duty> {
        self.cart(vehicle).map(|cart| cart.duty)
    }

    /// The order that a vehicle has.
    #[must_use]
    pub fn order_of(&self, vehicle: Vehicle) -> Option<OrderId> {
        let slot = self.cart(vehicle)?.duty.order()?;
        self.book.at(slot).map(|record| record.id)
    }

    /// Whether a vehicle takes part.
    #[must_use]
    pub fn standing(&self, vehicle: Vehicle) -> Option<Standing> {
        self.cart(vehicle).map(|cart| cart.standing)
    }

    /// Plan and release, to look at.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The oldest event that was not taken yet.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// How many events were lost because nobody took them.
    #[must_use]
    pub fn events_lost(&self) -> u64 {
        self.events.lost()
    }

    pub(crate) fn cart(&self, vehicle: Vehicle) -> Option<&Cart> {
        self.carts.get(usize::from(vehicle.0))
    }

    pub(crate) fn cart_mut(&mut self, vehicle: Vehicle) -> Option<&mut Cart> {
        self.carts.get_mut(usize::from(vehicle.0))
    }

    /// A copy of what is kept of a vehicle; of one that does not exist, an absent one.
    pub(crate) fn look(&self, vehicle: Vehicle) -> Cart {
        self.cart(vehicle).copied().unwrap_or(Cart::new(false))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Vehicle> + use<> {
        (0..self.carts.len() as u16).map(Vehicle)
    }
}
