//! What is said between the fleet's control and one vehicle, whatever it is told by.

use control_loops_dispatch::{Heading, Node, VehicleReport};
use control_loops_drive::Route;
use hal_units::Instant;
use hal_vda5050::Outgoing;
use jiff::Timestamp;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::aboard::Aboard;
use crate::conversation::{Conversation, ConversationState, Said};
use crate::drive::{DriveTalk, DriveTalkState};
use crate::places::Places;
use crate::site::VehicleLink;
use crate::way::Way;

/// The talk with one vehicle.
#[derive(Debug)]
pub(crate) enum Talk {
    /// Over MQTT.
    Vda(Box<Conversation>),
    /// With the drive loop of a vehicle on the field bus.
    Drive(Box<DriveTalk>),
}

/// What the other node of a pair has to know to go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) enum TalkState {
    Vda(ConversationState),
    Drive(DriveTalkState),
}

/// What a vehicle is told.
pub(crate) enum Told {
    Message(Outgoing),
    Route(Route),
}

impl Talk {
    pub(crate) fn new(link: &VehicleLink) -> Self {
        match link {
            VehicleLink::Vda(address) => Self::Vda(Box::new(Conversation::new(address.clone()))),
            VehicleLink::Drive { .. } => Self::Drive(Box::default()),
        }
    }

    /// What the vehicle has said last.
    pub(crate) fn said(&self) -> &Said {
        match self {
            Self::Vda(conversation) => &conversation.said,
            Self::Drive(drive) => &drive.said,
        }
    }

    /// Times that the vehicle stopped for a fault or an emergency stop.
    pub(crate) fn stops(&self) -> u64 {
        match self {
            Self::Vda(conversation) => conversation.stops(),
            Self::Drive(drive) => drive.stops(),
        }
    }

    pub(crate) fn state(&self) -> TalkState {
        match self {
            Self::Vda(conversation) => TalkState::Vda(conversation.state().clone()),
            Self::Drive(drive) => TalkState::Drive(drive.state().clone()),
        }
    }

    /// Whether a state is that of a talk with the same kind of vehicle.
    pub(crate) const fn is_of_kind(&self, state: &TalkState) -> bool {
        matches!((self, state), (Self::Vda(_), TalkState::Vda(_)) | (Self::Drive(_), TalkState::Drive(_)))
    }

    /// Goes on from what the other node of the pair has said, to a vehicle of the same kind.
    pub(crate) fn restore(&mut self, state: &TalkState) {
        match (self, state) {
            (Self::Vda(conversation), TalkState::Vda(state)) => conversation.restore(state),
            (Self::Drive(drive), TalkState::Drive(state)) => drive.restore(state),
            (Self::Vda(_) | Self::Drive(_), _) => {}
        }
    }

    /// Begins anew, after what is known last of the talk with this vehicle.
    pub(crate) fn begin_after(&mut self, last: &TalkState) {
        match (self, last) {
            (Self::Vda(conversation), TalkState::Vda(last)) => conversation.begin_after(last),
            (Self::Drive(drive), TalkState::Drive(last)) => drive.begin_after(last),
            (Self::Vda(_) | Self::Drive(_), _) => {}
        }
    }

    /// Whether the vehicle has a load, after a talk of which this is the last that is known.
    pub(crate) fn aboard(&self, last: &TalkState, places: &Places) -> Aboard {
        match (self, last) {
            (Self::Vda(conversation), TalkState::Vda(last)) => conversation.aboard(last),
            (Self::Drive(drive), TalkState::Drive(last)) => drive.aboard(last, places),
            (Self::Vda(_) | Self::Drive(_), _) => Aboard::Unknown,
        }
    }

    /// Whether the vehicle may still be moving for somebody else.
    pub(crate) fn is_unsettled(&self) -> bool {
        match self {
            Self::Vda(conversation) => conversation.is_unsettled(),
            Self::Drive(drive) => drive.is_unsettled(),
        }
    }

    /// Where the vehicle stands, if it can join there.
    pub(crate) fn stands(&self) -> Option<(Node, Heading)> {
        match self {
            Self::Vda(conversation) => conversation.stands(),
            Self::Drive(drive) => drive.stands(),
        }
    }

    /// Whether the vehicle stands between two places, where it cannot join.
    pub(crate) fn stands_between(&self) -> bool {
        match self {
            Self::Vda(conversation) => conversation.stands_between(),
            Self::Drive(drive) => drive.stands_between(),
        }
    }

    /// The place to which a vehicle that stands between two is to be sent on.
    pub(crate) fn next_place(&self, places: &Places) -> Option<Node> {
        let here = self.said().position.filter(|_| self.stands_between())?;
        match self {
            Self::Vda(_) => places.hall.node(&self.said().last_node).and_then(|last| places.next(last, here)),
            Self::Drive(_) => places.hall.nearest(here).map(|(node, _)| node),
        }
    }

    /// The place to which a vehicle is to be sent on that stands on a way that another node has granted it: that ends then.
    /// One that speaks VDA 5050 is asked to give it up.
    pub(crate) fn forsaken_place(&self, places: &Places) -> Option<Node> {
        let Self::Drive(drive) = self else { return None };
        let here = drive.said.position.filter(|_| drive.is_forsaken())?;
        places.hall.nearest(here).map(|(node, _)| node)
    }

    /// Sends a vehicle that stands between two places on to the next one.
    pub(crate) fn send_on(
        &mut self,
        now: Instant,
        wall: Timestamp,
        next: Node,
        places: &Places,
    ) -> Option<Told> {
        match self {
            Self::Vda(conversation) => conversation.send_on(now, wall, next, places).map(Told::Message),
            Self::Drive(drive) => Some(Told::Route(drive.send_on(next, places))),
        }
    }

    /// What the vehicle has said, for the fleet's control; see [`Conversation::report`].
    pub(crate) fn report(&self, course: u32, task: Option<u32>) -> Option<VehicleReport> {
        match self {
            Self::Vda(conversation) => conversation.report(course, task),
            Self::Drive(drive) => drive.report(course, task),
        }
    }

    /// What follows from the granted way, to be said when the other node knows.
    pub(crate) fn tell(&mut self, now: Instant, wall: Timestamp, way: &Way, places: &Places) -> Option<Told> {
        match self {
            Self::Vda(conversation) => conversation.tell(now, wall, way, places).map(Told::Message),
            Self::Drive(drive) => drive.tell(now, way, places).map(Told::Route),
        }
    }

    /// The number of the last task that the vehicle was told of.
    pub(crate) fn task_told(&self) -> u32 {
        match self {
            Self::Vda(conversation) => conversation.task_told(),
            Self::Drive(drive) => drive.task_told(),
        }
    }

    /// Asks a vehicle that moves for somebody unknown to give that up. Drives are asked all at once.
    pub(crate) fn settle(&mut self, now: Instant, wall: Timestamp) -> Option<Outgoing> {
        match self {
            Self::Vda(conversation) => conversation.settle(now, wall),
            Self::Drive(_) => None,
        }
    }

    /// What makes a vehicle refuse another master.
    pub(crate) fn seal(&mut self, now: Instant, wall: Timestamp) -> Option<Outgoing> {
        match self {
            Self::Vda(conversation) => conversation.seal(now, wall),
            Self::Drive(_) => None,
        }
    }

    /// See [`Conversation::next_resend`]. A route cannot be lost.
    pub(crate) fn next_resend(&self) -> Option<Instant> {
        match self {
            Self::Vda(conversation) => conversation.next_resend(),
            Self::Drive(_) => None,
        }
    }

    /// See [`Conversation::resend`].
    pub(crate) fn resend(&mut self, now: Instant, wall: Timestamp) -> Vec<Outgoing> {
        match self {
            Self::Vda(conversation) => conversation.resend(now, wall),
            Self::Drive(_) => Vec::new(),
        }
    }
}
