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
use crate::header::Header;
use crate::limits::Limits;
use crate::order::{Action, Blocking, Edge, InstantActions, Node, Order, OrderFault, Response};
use crate::said::{Event, Outgoing, Refusal, StateFault};
use crate::state::{Connection, ConnectionState, State};

/// Most instant actions that wait for their echo.
const INSTANT_MAX: usize = 16;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Course {
    /// The last message of the order.
    pub(crate) order: Order,
    /// All nodes from the last one passed on, with those that the last message left out.
    pub(crate) nodes: Vec<(String, u32, bool)>,
    pub(crate) sent: Instant,
    pub(crate) echoed: Option<u32>,
    pub(crate) reached: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) action: Action,
    pub(crate) sent: Instant,
    pub(crate) seen: bool,
    pub(crate) cancels: bool,
}

/// The conversation with one vehicle.
#[derive(Debug, Clone)]
pub struct Dialogue {
    pub(crate) address: Address,
    limits: Limits,
    resend_after: Duration,
    header_ids: [u32; 3],
    pub(crate) course: Option<Course>,
    pub(crate) instant: Vec<Waiting>,
    pub(crate) last_header: Option<u32>,
    connected: bool,
    takes_orders: bool,
    stands_on: String,
    actions_named: u64,
}

impl Dialogue {
    /// A conversation that has not begun. What is not echoed after `resend_after` is sent again.
    #[must_use]
    pub fn new(address: Address, limits: Limits, resend_after: Duration) -> Self {
        Self {
            address,
            limits,
            resend_after,
            header_ids: [0; 3],
            course: None,
            instant: Vec::new(),
            last_header: None,
            connected: false,
            takes_orders: false,
            stands_on: String::new(),
            actions_named: 0,
        }
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
        if course.echoed != Some(course.order.order_update_id) {
            return Err(Refusal::NotEchoed);
        }
        let stitch = course.order.last_released().ok_or(Refusal::Fault(OrderFault::NoNodes))?;
        // The vehicle has its actions already; an update repeats the node without beginning them anew.
        let update = course.order.order_update_id.checked_add(1).ok_or(Refusal::Fault(OrderFault::Number))?;
        let order = chained(&course.order.order_id, update, stitch.clone(), legs, released);
        let kept: Vec<_> =
            course.nodes.iter().filter(|(_, number, _)| *number < stitch.sequence_id).cloned().collect();
        self.check(&order, wall)?;
        Ok(self.send_order(now, wall, order, kept))
    }

    /// Cancels the order. It is over when [`Event::Cancelled`] says so.
    ///
    /// # Errors
    /// If there is no order, or it is being cancelled.
    pub fn cancel(&mut self, now: Instant, wall: Timestamp) -> Result<Outgoing, Refusal> {
        if self.course.is_none() {
            return Err(Refusal::NoOrder);
        }
        if self.instant.iter().any(|waiting| waiting.cancels) {
            return Err(Refusal::Cancelling);
        }
        self.actions_named += 1;
        let action = Action {
            action_type: "cancelOrder".to_owned(),
            action_id: format!("cancel-{}-{}", wall.as_millisecond(), self.actions_named),
            blocking: Blocking::Hard,
            parameters: Vec::new(),
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

    /// What has waited too long for its echo, to be sent again.
    pub fn due(&mut self, now: Instant, wall: Timestamp) -> Vec<Outgoing> {
        let mut due = Vec::new();
        if !self.connected {
            return due;
        }
        let late = |sent: Instant, after: Duration| now.since(sent) >= after;
        let after = self.resend_after;
        let again = self
            .course
            .as_mut()
            .filter(|course| course.echoed != Some(course.order.order_update_id) && late(course.sent, after));
        if let Some(course) = again {
            course.sent = now;
            let order = course.order.clone();
            due.push(self.order_message(wall, &order));
        }
        let mut actions = Vec::new();
        for waiting in self.instant.iter_mut().filter(|waiting| !waiting.seen && late(waiting.sent, after)) {
            waiting.sent = now;
            actions.push(waiting.action.clone());
        }
        for action in actions {
            due.push(self.instant_message(wall, action));
        }
        due
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
        self.see_order(state, &mut events);
        if !state.requests.is_empty() {
            events.push(Event::Requests(state.requests.clone()));
        }
        Ok(events)
    }

    fn may_send(&self) -> Result<(), Refusal> {
        if !self.connected {
            return Err(Refusal::NotConnected);
        }
        if self.takes_orders { Ok(()) } else { Err(Refusal::NotAutomatic) }
    }

    fn check(&self, order: &Order, wall: Timestamp) -> Result<(), Refusal> {
        order.check().map_err(Refusal::Fault)?;
        let header = Header::new(&self.address, u32::MAX, wall);
        self.limits.check(order, &header, self.address.version()).map_err(Refusal::Over)
    }

    fn send_order(
        &mut self,
        now: Instant,
        wall: Timestamp,
        order: Order,
        mut nodes: Vec<(String, u32, bool)>,
    ) -> Outgoing {
        nodes.extend(order.nodes.iter().map(|n| (n.node_id.clone(), n.sequence_id, n.released)));
        let outgoing = self.order_message(wall, &order);
        let (echoed, reached) =
            self.course.take().map_or((None, None), |course| (course.echoed, course.reached));
        self.course = Some(Course { order, nodes, sent: now, echoed, reached });
        outgoing
    }

    fn send_instant(
        &mut self,
        now: Instant,
        wall: Timestamp,
        action: Action,
        cancels: bool,
    ) -> Result<Outgoing, Refusal> {
        if !self.connected {
            return Err(Refusal::NotConnected);
        }
        if self.instant.len() >= INSTANT_MAX {
            return Err(Refusal::TooMany);
        }
        let actions = InstantActions { actions: vec![action.clone()] };
        self.limits.check_instant(&actions).map_err(Refusal::Over)?;
        self.instant.push(Waiting { action: action.clone(), sent: now, seen: false, cancels });
        Ok(self.instant_message(wall, action))
    }

    fn order_message(&mut self, wall: Timestamp, order: &Order) -> Outgoing {
        let header = self.header(0, wall);
        let text = order.to_json(&header, self.address.version());
        Outgoing { topic: self.address.topic(Topic::Order), text }
    }

    fn instant_message(&mut self, wall: Timestamp, action: Action) -> Outgoing {
        let header = self.header(1, wall);
        let text = InstantActions { actions: vec![action] }.to_json(&header, self.address.version());
        Outgoing { topic: self.address.topic(Topic::InstantActions), text }
    }

    /// The next header of a topic; headers count per topic.
    fn header(&mut self, topic: usize, wall: Timestamp) -> Header {
        let next = self.header_ids.get_mut(topic);
        let header_id = next.map_or(0, |next| std::mem::replace(next, next.wrapping_add(1)));
        Header::new(&self.address, header_id, wall)
    }
}

/// An order from a node with its number on, with numbers and releases filled in.
fn chained(order_id: &str, update: u32, start: Node, legs: Vec<(Edge, Node)>, released: usize) -> Order {
    let mut sequence_id = start.sequence_id;
    let mut nodes = vec![Node { released: true, ..start }];
    let mut edges = Vec::with_capacity(legs.len());
    for (index, (edge, node)) in legs.into_iter().enumerate() {
        let released = index < released;
        let start_node_id = nodes.last().map_or(String::new(), |node| node.node_id.clone());
        let end_node_id = node.node_id.clone();
        sequence_id = sequence_id.saturating_add(1);
        edges.push(Edge { sequence_id, released, start_node_id, end_node_id, ..edge });
        sequence_id = sequence_id.saturating_add(1);
        nodes.push(Node { sequence_id, released, ..node });
    }
    Order { order_id: order_id.to_owned(), order_update_id: update, nodes, edges }
}
