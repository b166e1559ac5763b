//! Messages to a vehicle: first ones, and again what was not echoed.

use hal_units::{Duration, Instant};
use jiff::Timestamp;

use crate::address::Topic;
use crate::dialogue::{Course, Dialogue, Waiting};
use crate::header::Header;
use crate::order::{Action, Edge, InstantActions, Node, Order};
use crate::said::{Outgoing, Refusal};
use crate::zone::ZoneSet;

/// Most instant actions that wait for their echo.
const INSTANT_MAX: usize = 16;
/// A message is sent again for the first two times after this part of the interval: where a round trip takes longer, so that it
/// is under way twice and one of the two may be lost.
const FIRST_RESEND_DIVISOR: u32 = 2;
/// From so many times on the interval doubles.
const EVEN_RESENDS: u32 = 3;
/// Doublings of the interval, at most.
const DOUBLINGS_MAX: u32 = 5;

/// How soon a message is sent again.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// For the first two times.
    first: Duration,
    /// After that.
    then: Duration,
}

/// When a message was sent last, and how often it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) times: u32,
}

impl Sent {
    /// Another master has sent it, or nobody: it is due.
    pub(crate) const NOT_BY_US: Self = Self { at: Instant::ZERO, times: 0 };

    /// When it has waited too long for its echo.
    fn late_at(self, pace: Pace) -> Instant {
        match self.times {
            0 => self.at,
            1 | 2 => self.at + pace.first,
            times => self.at + pace.then * (1 << times.saturating_sub(EVEN_RESENDS).min(DOUBLINGS_MAX)),
        }
    }

    /// Whether it has waited too long for its echo.
    fn is_late(self, now: Instant, pace: Pace) -> bool {
        now >= self.late_at(pace)
    }

    fn again(&mut self, now: Instant) {
        *self = Self { at: now, times: self.times.saturating_add(1) };
    }
}

impl Dialogue {
    /// What has waited too long for its echo, to be sent again, and what seals a takeover.
    pub fn due(&mut self, now: Instant, wall: Timestamp) -> Vec<Outgoing> {
        self.seal(now, wall).into_iter().chain(self.resend(now, wall)).collect()
    }

    /// When [`Dialogue::resend`] has something to say, if nothing comes before.
    #[must_use]
    pub fn next_resend(&self) -> Option<Instant> {
        if !self.connected {
            return None;
        }
        let (pace, order_pace) = (self.pace(), self.order_pace());
        let course = self.course.as_ref().filter(|course| course.waits());
        let order = course.map(|course| course.sent.late_at(order_pace));
        let actions = self.instant.iter().filter(|waiting| !waiting.seen).map(|waiting| waiting.sent);
        let sets = self.zone_sets.iter().map(|unheld| unheld.sent);
        order.into_iter().chain(actions.chain(sets).map(|sent| sent.late_at(pace))).min()
    }

    /// What has waited too long for its echo, to be sent again with a new header; nothing else of the conversation
    /// changes.
    ///
    /// It is sent again twice after half an interval, then after a whole one and after longer and longer ones, up to 32 times as long:
    /// somebody who does not hear is not shouted at.
    pub fn resend(&mut self, now: Instant, wall: Timestamp) -> Vec<Outgoing> {
        let mut due = Vec::new();
        if !self.connected {
            return due;
        }
        let (pace, order_pace) = (self.pace(), self.order_pace());
        let late = |course: &&mut Course| course.waits() && course.sent.is_late(now, order_pace);
        if let Some(course) = self.course.as_mut().filter(late) {
            course.sent.again(now);
            let order = course.order.clone();
            due.push(self.order_message(wall, &order));
        }
        let mut actions = Vec::new();
        for waiting in
            self.instant.iter_mut().filter(|waiting| !waiting.seen && waiting.sent.is_late(now, pace))
        {
            waiting.sent.again(now);
            actions.push(waiting.action.clone());
        }
        for action in actions {
            due.push(self.instant_message(wall, action));
        }
        let mut sets = Vec::new();
        for unheld in self.zone_sets.iter_mut().filter(|unheld| unheld.sent.is_late(now, pace)) {
            unheld.sent.again(now);
            sets.push(unheld.zone_set.clone());
        }
        for zone_set in sets {
            due.push(self.zone_set_message(wall, &zone_set));
        }
        due
    }

    fn pace(&self) -> Pace {
        Pace { first: self.resend_after / FIRST_RESEND_DIVISOR, then: self.resend_after }
    }

    /// No vehicle is sent orders faster than it says.
    fn order_pace(&self) -> Pace {
        let Pace { first, then } = self.pace();
        let least = self.limits.order_interval;
        Pace { first: first.max(least), then: then.max(least) }
    }

    /// The first update under a new master, if it has none of its own yet: it changes nothing but the number.
    pub fn seal(&mut self, now: Instant, wall: Timestamp) -> Option<Outgoing> {
        let is_due = self.unsealed && self.takes_orders();
        let course = self.course.as_ref().filter(|course| is_due && !course.waits())?;
        if self.instant.iter().any(|waiting| waiting.cancels) {
            return None;
        }
        let base = course.order.nodes.iter().filter(|node| node.released).count();
        let horizon =
            course.order.edges.iter().zip(course.order.nodes.iter().skip(1)).skip(base.saturating_sub(1));
        let legs: Vec<(Edge, Node)> = horizon.map(|(edge, node)| (edge.clone(), node.clone())).collect();
        self.extend(now, wall, legs, 0).ok()
    }

    pub(crate) fn may_send(&self) -> Result<(), Refusal> {
        if !self.connected {
            return Err(Refusal::NotConnected);
        }
        if self.takes_orders { Ok(()) } else { Err(Refusal::NotAutomatic) }
    }

    pub(crate) fn check(&self, order: &Order, wall: Timestamp) -> Result<(), Refusal> {
        order.check().map_err(Refusal::Fault)?;
        let header = Header::new(&self.address, u32::MAX, wall);
        self.limits.check(order, &header, self.address.version()).map_err(Refusal::Over)
    }

    pub(crate) fn send_order(
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
        let sent = Sent { at: now, times: 1 };
        self.course = Some(Course { order, nodes, sent, echoed, reached, arrived: false });
        outgoing
    }

    pub(crate) fn send_instant(
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
        let sent = Sent { at: now, times: 1 };
        self.instant.push(Waiting { action: action.clone(), sent, seen: false, cancels });
        Ok(self.instant_message(wall, action))
    }

    pub(crate) fn order_message(&mut self, wall: Timestamp, order: &Order) -> Outgoing {
        let header = self.header(0, wall);
        let text = order.to_json(&header, self.address.version());
        Outgoing { topic: self.address.topic(Topic::Order), text }
    }

    pub(crate) fn instant_message(&mut self, wall: Timestamp, action: Action) -> Outgoing {
        let header = self.header(1, wall);
        let text = InstantActions { actions: vec![action] }.to_json(&header, self.address.version());
        Outgoing { topic: self.address.topic(Topic::InstantActions), text }
    }

    pub(crate) fn zone_set_message(&mut self, wall: Timestamp, zone_set: &ZoneSet) -> Outgoing {
        let header = self.header(3, wall);
        Outgoing { topic: self.address.topic(Topic::ZoneSet), text: zone_set.to_json(&header) }
    }

    /// The next header of a topic; headers count per topic.
    pub(crate) fn header(&mut self, topic: usize, wall: Timestamp) -> Header {
        let next = self.header_ids.get_mut(topic);
        let header_id = next.map_or(0, |next| std::mem::replace(next, next.wrapping_add(1)));
        Header::new(&self.address, header_id, wall)
    }
}

/// An order from a node with its number on, with numbers and releases filled in.
pub(crate) fn chained(
    order_id: &str,
    update: u32,
    start: Node,
    legs: Vec<(Edge, Node)>,
    released: usize,
) -> Order {
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
