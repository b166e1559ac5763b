//! The conversation with one vehicle: orders out, states in, and what was lost is sent again.
//!
//! # Model
//!
//! At most one order is under way, and at most one message of it waits for its echo: an update is only sent
//! when the vehicle has taken what it goes on from. Instant actions wait for their action to appear in a
//! state. What waits too long is sent again with a new header and otherwise unchanged, which a vehicle that
//! has it already passes over.
//!
//! What a vehicle says is checked against what was sent. A state that contradicts it is refused as a whole
//! and changes nothing.

use hal_units::{Duration, Instant};
use jiff::Timestamp;

use crate::address::{Address, Topic, Version};
use crate::command::Command;
use crate::header::Header;
use crate::limits::Limits;
use crate::order::{Action, Blocking, Edge, Node, Order, OrderFault, Response, Value};
use crate::said::{Event, Outgoing, Refusal, StateFault};
use crate::sending::{Sent, chained};
use crate::state::{Connection, ConnectionState, State};
use crate::zone::ZoneSet;

/// Most zone sets that wait until the vehicle holds them.
const ZONE_SETS_MAX: usize = 4;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Course {
    /// The last message of the order.
    pub(crate) order: Order,
    /// All nodes from the last one passed on, with those that the last message left out.
    pub(crate) nodes: Vec<(String, u32, bool)>,
    pub(crate) sent: Sent,
    pub(crate) echoed: Option<u32>,
    pub(crate) reached: Option<u32>,
    /// Whether its base is known to be done.
    pub(crate) arrived: bool,
}

impl Course {
    /// Whether its last message waits for its echo.
    pub(crate) fn waits(&self) -> bool {
        self.echoed != Some(self.order.order_update_id)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) action: Action,
    pub(crate) sent: Sent,
    pub(crate) seen: bool,
    pub(crate) cancels: bool,
}

/// A zone set that waits until the vehicle holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unheld {
    pub(crate) zone_set: ZoneSet,
    pub(crate) sent: Sent,
}

/// The conversation with one vehicle.
#[derive(Debug, Clone)]
pub struct Dialogue {
    pub(crate) address: Address,
    pub(crate) limits: Limits,
    pub(crate) resend_after: Duration,
    pub(crate) header_ids: [u32; 4],
    pub(crate) course: Option<Course>,
    pub(crate) instant: Vec<Waiting>,
    pub(crate) zone_sets: Vec<Unheld>,
    pub(crate) last_header: Option<u32>,
    pub(crate) connected: bool,
    pub(crate) takes_orders: bool,
    pub(crate) stands_on: String,
    pub(crate) actions_named: u64,
    /// The order is another master's, and no update of it is ours yet.
    pub(crate) unsealed: bool,
}

impl Dialogue {
    /// A conversation that has not begun. What is not echoed after `resend_after` is sent again.
    #[must_use]
    pub fn new(address: Address, limits: Limits, resend_after: Duration) -> Self {
        Self {
            address,
            limits,
            resend_after,
            header_ids: [0; 4],
            course: None,
            instant: Vec::new(),
            zone_sets: Vec::new(),
            last_header: None,
            connected: false,
            takes_orders: false,
            stands_on: String::new(),
            actions_named: 0,
            unsealed: false,
        }
    }

    /// The vehicle.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// What the vehicle can take, from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether the vehicle is there.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether the vehicle is there and takes orders.
    #[must_use]
    pub const fn takes_orders(&self) -> bool {
        self.connected && self.takes_orders
    }

    /// The node that the vehicle passed last; empty if it has not said it yet.
    #[must_use]
    pub fn stands_on(&self) -> &str {
        &self.stands_on
    }

    /// Whether the vehicle has the last message of the order under way.
    #[must_use]
    pub fn is_echoed(&self) -> bool {
        self.course.as_ref().is_some_and(|course| !course.waits())
    }

    /// The order under way: the last message of it.
    #[must_use]
    pub fn order(&self) -> Option<&Order> {
        self.course.as_ref().map(|course| &course.order)
    }

    /// Goes on with an order that another master has begun and this one knows from it.
    ///
    /// It is sent again at once: a vehicle that has it passes over it, one that has a newer update refuses it.
    ///
    /// # Errors
    /// If the order is none, or one is under way.
    pub fn adopt(&mut self, now: Instant, wall: Timestamp, order: Order) -> Result<Outgoing, Refusal> {
        order.check().map_err(Refusal::Fault)?;
        if self.course.is_some() {
            return Err(Refusal::Busy);
        }
        // Once it is echoed, an update of our own makes the vehicle refuse whatever the other one sends late.
        self.unsealed = true;
        Ok(self.send_order(now, wall, order, Vec::new()))
    }

    /// Begins an order: from a node over legs, of which the first `released` are the base.
    ///
    /// Numbers and releases of nodes and edges are given here.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn begin(
        &mut self,
        now: Instant,
        wall: Timestamp,
        order_id: &str,
        start: Node,
        legs: Vec<(Edge, Node)>,
        released: usize,
    ) -> Result<Outgoing, Refusal> {
        self.may_send()?;
        if self.course.is_some() {
            return Err(Refusal::Busy);
        }
        if self.stands_on != start.node_id {
            return Err(Refusal::Elsewhere);
        }
        let start = Node { sequence_id: 0, ..start };
        let order = chained(order_id, 0, start, legs, released);
        self.check(&order, wall)?;
        Ok(self.send_order(now, wall, order, Vec::new()))
    }

    /// Carries the order on from the end of its base; the horizon is replaced.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn extend(
        &mut self,
        now: Instant,
        wall: Timestamp,
        legs: Vec<(Edge, Node)>,
        released: usize,
    ) -> Result<Outgoing, Refusal> {
        self.may_send()?;
        let course = self.course.as_ref().ok_or(Refusal::NoOrder)?;
        if self.instant.iter().any(|waiting| waiting.cancels) {
            return Err(Refusal::Cancelling);
        }
        if course.waits() {
            return Err(Refusal::NotEchoed);
        }
        let stitch = course.order.last_released().ok_or(Refusal::Fault(OrderFault::NoNodes))?;
        // The vehicle has its actions already; an update repeats the node without beginning them anew.
        let update = course.order.order_update_id.checked_add(1).ok_or(Refusal::Fault(OrderFault::Number))?;
        let order = chained(&course.order.order_id, update, stitch.clone(), legs, released);
        let kept: Vec<_> =
            course.nodes.iter().filter(|(_, number, _)| *number < stitch.sequence_id).cloned().collect();
        self.check(&order, wall)?;
        self.unsealed = false;
        Ok(self.send_order(now, wall, order, kept))
    }

    /// Cancels the order. It is over when [`Event::Cancelled`] says so.
    ///
    /// # Errors
    /// If there is no order, or it is being cancelled.
    pub fn cancel(&mut self, now: Instant, wall: Timestamp) -> Result<Outgoing, Refusal> {
        let course = self.course.as_ref().ok_or(Refusal::NoOrder)?;
        if self.instant.iter().any(|waiting| waiting.cancels) {
            return Err(Refusal::Cancelling);
        }
        self.actions_named += 1;
        let action = Action {
            action_type: "cancelOrder".to_owned(),
            action_id: format!("cancel-{}-{}", wall.as_millisecond(), self.actions_named),
            blocking: Blocking::None,
            // What comes too late, of a master of before, cancels no other order.
            parameters: match self.address.version() {
                Version::V2 => Vec::new(),
                Version::V3 => vec![("orderId".to_owned(), Value::Text(course.order.order_id.clone()))],
            },
        };
        self.send_instant(now, wall, action, true)
    }

    /// Sends an instant action, until it appears in a state.
    ///
    /// # Errors
    /// If too many wait, or it is more than the vehicle can take.
    pub fn instant(&mut self, now: Instant, wall: Timestamp, action: Action) -> Result<Outgoing, Refusal> {
        self.send_instant(now, wall, action, false)
    }

    /// Asks for something now, under a name that it draws, until that appears in a state.
    ///
    /// # Errors
    /// As [`Dialogue::instant`], or if the vehicle's version has no such action.
    pub fn command(&mut self, now: Instant, wall: Timestamp, command: Command) -> Result<Outgoing, Refusal> {
        let action_id = format!("now-{}-{}", wall.as_millisecond(), self.actions_named + 1);
        let action = command.into_action(action_id, self.address.version()).ok_or(Refusal::Version)?;
        let outgoing = self.send_instant(now, wall, action, false)?;
        self.actions_named += 1;
        Ok(outgoing)
    }

    /// Sends a zone set until the vehicle holds it, or says that it does not take it; only in 3.0.
    ///
    /// It does not use it before [`Command::EnableZoneSet`]. A set that it holds cannot be sent anew: other
    /// zones need another name.
    ///
    /// # Errors
    /// If the vehicle is not there or speaks 2.1, the set is none or more than it can take, or too many wait.
    pub fn publish_zone_set(
        &mut self,
        now: Instant,
        wall: Timestamp,
        zone_set: ZoneSet,
    ) -> Result<Outgoing, Refusal> {
        if self.address.version() == Version::V2 {
            return Err(Refusal::Version);
        }
        if !self.connected {
            return Err(Refusal::NotConnected);
        }
        if self.zone_sets.len() >= ZONE_SETS_MAX {
            return Err(Refusal::TooMany);
        }
        zone_set.check().map_err(Refusal::Zones)?;
        let largest = Header::new(&self.address, u32::MAX, wall);
        self.limits.check_zones(&zone_set, &largest).map_err(Refusal::Over)?;
        let outgoing = self.zone_set_message(wall, &zone_set);
        self.zone_sets.retain(|other| other.zone_set.zone_set_id != zone_set.zone_set_id);
        self.zone_sets.push(Unheld { zone_set, sent: Sent { at: now, times: 1 } });
        Ok(outgoing)
    }

    /// Answers a vehicle's requests; only in 3.0.
    ///
    /// # Errors
    /// If the vehicle speaks 2.1.
    pub fn respond(&mut self, wall: Timestamp, responses: &[Response]) -> Result<Outgoing, Refusal> {
        match self.address.version() {
            Version::V2 => Err(Refusal::Version),
            Version::V3 => {
                let header = self.header(2, wall);
                let text = Response::to_json(responses, &header);
                Ok(Outgoing { topic: self.address.topic(Topic::Responses), text })
            }
        }
    }

    /// Takes in whether the vehicle is there.
    pub fn on_connection(&mut self, connection: &Connection) {
        if !connection.header.is_from(&self.address) {
            return;
        }
        match connection.state {
            ConnectionState::Online => {
                // After a restart a vehicle counts its headers from 0.
                self.last_header = None;
                self.connected = true;
            }
            ConnectionState::Offline | ConnectionState::Hibernating | ConnectionState::Broken => {
                self.connected = false;
            }
        }
    }

    /// Takes in a state.
    ///
    /// # Errors
    /// If it cannot be believed; see [`StateFault`].
    pub fn on_state(&mut self, state: &State) -> Result<Vec<Event>, StateFault> {
        self.believe(state)?;
        self.last_header = Some(state.header.header_id);
        self.connected = true;
        self.takes_orders = state.operating_mode.takes_orders();
        self.stands_on.clone_from(&state.last_node_id);
        let mut events = Vec::new();
        self.see_instant_actions(state, &mut events);
        self.see_zone_sets(state, &mut events);
        self.see_order(state, &mut events);
        if !state.requests.is_empty() {
            events.push(Event::Requests(state.requests.clone()));
        }
        Ok(events)
    }
}
