//! What a vehicle that speaks VDA 5050 is told: its granted way as orders, and what else it is asked.

use control_loops_dispatch::Node;
use hal_units::Instant;
use hal_vda5050::{Order, Outgoing, Refusal};
use jiff::Timestamp;

use super::{Begin, Conversation};
use crate::orders::{OrderParts, action, legs};
use crate::places::Places;
use crate::underway::Underway;
use crate::way::Way;

/// What a vehicle's own idea of its position may differ from ours when it is sent on from there, in metres.
const START_MARGIN_METERS: f64 = 0.2;

impl Conversation {
    /// Sends a vehicle that stands between two places on to the next one.
    pub(crate) fn send_on(
        &mut self,
        now: Instant,
        wall: Timestamp,
        next: Node,
        places: &Places,
    ) -> Option<Outgoing> {
        let (last, _) = self.node.filter(|_| now >= self.rejected.1)?;
        let id = self.next_name(wall);
        let nodes = [last.0, next.0];
        let parts = OrderParts {
            id,
            update: 0,
            nodes: &nodes,
            sequence: 0,
            released: 2,
            task: None,
            ends_charging: false,
        };
        let mut order = places.order(&parts, &self.address);
        self.start_from_here(&mut order);
        let legs = legs(&order);
        let start = order.nodes.into_iter().next()?;
        let outgoing = self.dialogue.begin(now, wall, &order.order_id, start, legs, 1).ok()?;
        self.state.begun += 1;
        Some(outgoing)
    }

    /// Makes the name of the next order.
    fn next_name(&mut self, wall: Timestamp) -> u64 {
        if std::mem::take(&mut self.begin_names) {
            let time = u64::try_from(wall.as_millisecond()).unwrap_or(0);
            self.state.begun = self.state.begun.max(time);
        }
        self.state.begun
    }

    /// What follows from the granted way: at most one message, to be sent when the other node knows.
    pub(crate) fn tell(
        &mut self,
        now: Instant,
        wall: Timestamp,
        way: &Way,
        places: &Places,
    ) -> Option<Outgoing> {
        if self.adopt {
            return self.adopt_order(now, wall, places);
        }
        self.follow_seal();
        if self.gave_up.is_some_and(|course| course != way.course) {
            self.gave_up = None;
        }
        let outgoing = match self.state.underway.clone() {
            Some(underway) if way.recalled || underway.course != way.course => self.cancel(now, wall),
            Some(underway) => self.carry_on(now, wall, way, underway, places),
            None if self.gave_up == Some(way.course) => None,
            None if way.recalled => {
                // It has nothing that it could give up, but while it stands between two places it needs both.
                self.gave_up = (!self.said.driving && self.is_at_place()).then_some(way.course);
                None
            }
            None => self.begin(now, wall, way, places),
        };
        if outgoing.is_some() {
            self.sent = Some((now, way.order));
        }
        outgoing
    }

    /// Asks a vehicle that moves for somebody unknown to give that up.
    pub(crate) fn settle(&mut self, now: Instant, wall: Timestamp) -> Option<Outgoing> {
        if self.begin != Begin::Unknown || self.said.heard.is_none() {
            return None;
        }
        let id = format!("settle-{}", wall.as_millisecond());
        let asked = self.dialogue.instant(now, wall, action("cancelOrder", id)).ok()?;
        self.begin = Begin::Asked;
        Some(asked)
    }

    /// An update that changed nothing but the number has gone out: see [`hal_vda5050::Dialogue::adopt`].
    fn follow_seal(&mut self) {
        let (Some(underway), Some(order)) = (self.state.underway.as_mut(), self.dialogue.order()) else {
            return;
        };
        let Some(first) = order.nodes.first() else { return };
        if order.order_update_id <= underway.update {
            return;
        }
        underway.follow(order.order_update_id, first.sequence_id);
    }

    /// What makes the vehicle refuse another master.
    pub(crate) fn seal(&mut self, now: Instant, wall: Timestamp) -> Option<Outgoing> {
        self.dialogue.seal(now, wall)
    }

    /// When [`Conversation::resend`] has something to say.
    pub(crate) fn next_resend(&self) -> Option<Instant> {
        self.dialogue.next_resend()
    }

    /// What has waited too long for its echo, and changes nothing that another node would have to know.
    pub(crate) fn resend(&mut self, now: Instant, wall: Timestamp) -> Vec<Outgoing> {
        self.dialogue.resend(now, wall)
    }

    fn cancel(&mut self, now: Instant, wall: Timestamp) -> Option<Outgoing> {
        let underway = self.state.underway.as_mut().filter(|underway| !underway.cancels)?;
        let outgoing = self.dialogue.cancel(now, wall).ok()?;
        underway.cancels = true;
        Some(outgoing)
    }

    fn begin(&mut self, now: Instant, wall: Timestamp, way: &Way, places: &Places) -> Option<Outgoing> {
        let task = way.new_task(self.state.task_sent);
        // Where a transport will lead is said before the first step of it is granted.
        let announces = way.order.is_some() && !way.horizon.is_empty();
        if (way.base.is_empty() && task.is_none() && !announces) || now < self.rejected.1 {
            return None;
        }
        let ends_charging = std::mem::take(&mut self.state.charges);
        let underway = Underway {
            id: self.next_name(wall),
            update: 0,
            course: way.course,
            first: way.at.0,
            nodes: std::iter::once(way.at.1)
                .chain(way.base.iter().map(|(_, node)| *node))
                .chain(way.horizon.iter().copied())
                .collect(),
            sequence: 0,
            released: 1 + way.base.len() as u32,
            order: way.order,
            task,
            ends_charging,
            cancels: false,
        };
        let mut order = places.order(&underway.parts(), &self.address);
        self.start_from_here(&mut order);
        let legs = legs(&order);
        let start = order.nodes.into_iter().next()?;
        let released = way.base.len();
        match self.dialogue.begin(now, wall, &order.order_id, start, legs, released) {
            Ok(outgoing) => {
                self.state.begun += 1;
                self.note_sent(underway);
                Some(outgoing)
            }
            Err(refusal) => {
                self.state.charges = ends_charging;
                self.note_refusal(refusal)
            }
        }
    }

    /// An order begins at the place that the vehicle has reached last; one that stands beyond it is to take that for
    /// near enough, and goes on to the next.
    fn start_from_here(&self, order: &mut Order) {
        let position = order.nodes.first_mut().and_then(|start| start.position.as_mut());
        if let Some(position) = position.filter(|_| !self.is_at_place()) {
            position.deviation = Some(self.off_place_meters + START_MARGIN_METERS);
        }
    }

    fn carry_on(
        &mut self,
        now: Instant,
        wall: Timestamp,
        way: &Way,
        underway: Underway,
        places: &Places,
    ) -> Option<Outgoing> {
        let told = underway.told();
        let new: Vec<u32> = way.base.iter().filter(|(number, _)| *number > told).map(|(_, n)| *n).collect();
        let stitch = *underway.nodes.get(underway.released.checked_sub(1)? as usize)?;
        let announces = way.order.is_some() && way.order != underway.order;
        // What lies ahead of it is not true any more: without it the order ends, and another one can begin.
        let closes = way.horizon.is_empty() && underway.nodes.len() > underway.released as usize;
        if underway.cancels || underway.task.is_some() || (new.is_empty() && !announces && !closes) {
            return None;
        }
        let task = way.new_task(self.state.task_sent).filter(|_| !new.is_empty());
        let sequence = underway.sequence + 2 * (underway.released - 1);
        let next = Underway {
            update: underway.update.checked_add(1)?,
            nodes: std::iter::once(stitch)
                .chain(new.iter().copied())
                .chain(way.horizon.iter().copied())
                .collect(),
            sequence,
            released: 1 + new.len() as u32,
            order: way.order,
            task,
            ends_charging: false,
            ..underway
        };
        let order = places.order(&next.parts(), &self.address);
        match self.dialogue.extend(now, wall, legs(&order), new.len()) {
            Ok(outgoing) => {
                self.note_sent(next);
                Some(outgoing)
            }
            Err(refusal) => {
                self.owed = announces && refusal == Refusal::NotEchoed;
                self.note_refusal(refusal)
            }
        }
    }

    fn note_sent(&mut self, underway: Underway) {
        if let Some(task) = underway.task {
            self.state.task_sent = task.number;
            self.state.touched = false;
            self.task = None;
        }
        self.state.underway = Some(underway);
    }

    /// Nothing is sent now; the next step tries again.
    fn note_refusal(&mut self, refusal: Refusal) -> Option<Outgoing> {
        match refusal {
            // They pass.
            Refusal::NotEchoed
            | Refusal::NotConnected
            | Refusal::NotAutomatic
            | Refusal::Busy
            | Refusal::NoOrder
            | Refusal::Cancelling
            | Refusal::Elsewhere
            | Refusal::TooMany => {}
            Refusal::Fault(_) | Refusal::Over(_) | Refusal::Version | Refusal::Zones(_) => {
                self.said.error = Some(format!("{refusal:?}"));
            }
        }
        None
    }

    fn adopt_order(&mut self, now: Instant, wall: Timestamp, places: &Places) -> Option<Outgoing> {
        self.adopt = false;
        let underway = self.state.underway.clone()?;
        let order = places.order(&underway.parts(), &self.address);
        let adopted = self.dialogue.adopt(now, wall, order).ok();
        // The new one has to ask anew.
        if let Some(underway) = self.state.underway.as_mut() {
            underway.cancels = false;
        }
        adopted
    }
}
