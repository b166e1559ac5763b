//! The conversations with all vehicles of a fleet: who is meant, what waits to be sent, and in which order.
//!
//! # Model
//!
//! Messages come in by topic and are handed to the conversation with their vehicle. What a conversation wants
//! to send waits in one queue. Every change has a *revision*, and a message may only leave when the other
//! node of a pair holds the conversation as it is with the message: then no vehicle can know of an order that
//! a new master does not. A node alone lets everything leave.
//!
//! Everything is bounded: vehicles, the queue, and how much of what was lost is sent again at a time. A
//! message that finds no place is dropped, and sent again like one that was lost on its way.

use std::collections::{HashMap, VecDeque};

use hal_units::{Duration, Instant};
use jiff::Timestamp;

use crate::Malformed;
use crate::address::{Address, Topic, Version};
use crate::dialogue::Dialogue;
use crate::limits::Limits;
use crate::said::{Event, Outgoing, Refusal, StateFault};
use crate::state::{Connection, ConnectionState, State};

/// Most vehicles.
pub const VEHICLES_MAX: usize = 4096;
/// Most messages that wait to leave.
pub const OUTBOX_MAX: usize = 4096;
/// Most vehicles that are sent something again at a time.
pub const RESENDS_MAX: u32 = 64;
/// Most of them in a second, one after the other: where everything is slow, more messages make it slower.
pub const RESENDS_PER_SECOND: u32 = 1000;

/// A vehicle, by its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VehicleId(pub usize);

/// What came of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A state, believed.
    State(VehicleId, Box<State>, Vec<Event>),
    /// A state that is not believed; nothing has changed.
    Unbelieved(VehicleId, StateFault),
    /// Whether a vehicle is there.
    Connection(VehicleId, ConnectionState),
    /// What a vehicle can take; it counts from now on.
    Factsheet(VehicleId, Limits),
    /// No message at all; nothing has changed.
    Malformed(VehicleId, Malformed),
    /// Of a vehicle that nobody has added.
    Stranger(Address, Topic),
    /// Nothing that concerns a master.
    Nothing,
}

/// Why a vehicle cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddError {
    /// There is one of these names already.
    Known,
    /// There are [`VEHICLES_MAX`].
    Full,
}

/// What has been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages handed out.
    pub sent: u64,
    /// Of these, messages that were sent before.
    pub resent: u64,
    /// Messages that found no place in the queue.
    pub dropped: u64,
    /// States that were believed.
    pub states: u64,
    /// States that were not.
    pub unbelieved: u64,
    /// Texts that were no messages.
    pub malformed: u64,
}

#[derive(Debug, Clone)]
struct Place {
    dialogue: Dialogue,
    /// Of its last change.
    revision: u64,
    /// Messages that wait to leave.
    waiting: usize,
}

#[derive(Debug, Clone)]
struct Queued {
    revision: u64,
    vehicle: usize,
    outgoing: Outgoing,
}

/// The conversations with all vehicles.
#[derive(Debug, Clone)]
pub struct Conversations {
    interface: String,
    places: Vec<Place>,
    by_address: HashMap<Address, usize>,
    revision: u64,
    outbox: VecDeque<Queued>,
    /// Whom to look at first for what was lost.
    turn: usize,
    /// How many may be sent something again, and since when it has not grown.
    allowance: (u32, Instant),
    counters: Counters,
}

impl Conversations {
    /// No conversations yet, under an interface's name.
    #[must_use]
    pub fn new(interface: &str) -> Self {
        Self {
            interface: interface.to_owned(),
            places: Vec::new(),
            by_address: HashMap::new(),
            revision: 0,
            outbox: VecDeque::new(),
            turn: 0,
            allowance: (RESENDS_MAX, Instant::ZERO),
            counters: Counters::default(),
        }
    }

    /// Adds a conversation.
    ///
    /// # Errors
    /// If the vehicle is known, or there are too many.
    pub fn add(&mut self, dialogue: Dialogue) -> Result<VehicleId, AddError> {
        if self.by_address.contains_key(dialogue.address()) {
            return Err(AddError::Known);
        }
        if self.places.len() >= VEHICLES_MAX {
            return Err(AddError::Full);
        }
        let index = self.places.len();
        self.by_address.insert(dialogue.address().clone(), index);
        self.revision += 1;
        self.places.push(Place { dialogue, revision: self.revision, waiting: 0 });
        Ok(VehicleId(index))
    }

    /// What to subscribe to, with QoS 0 but for the connections, which are QoS 1.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        let versions = [Version::V2, Version::V3];
        let topics = [Topic::State, Topic::Connection, Topic::Factsheet];
        let filter = |version: Version, topic: Topic| {
            format!("{}/{}/+/+/{}", self.interface, version.major(), topic.as_str())
        };
        versions.iter().flat_map(|version| topics.map(|topic| filter(*version, topic))).collect()
    }

    /// How many vehicles there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All vehicles.
    pub fn vehicles(&self) -> impl Iterator<Item = (VehicleId, &Dialogue)> {
        self.places.iter().enumerate().map(|(index, place)| (VehicleId(index), &place.dialogue))
    }

    /// The conversation with a vehicle.
    #[must_use]
    pub fn dialogue(&self, vehicle: VehicleId) -> Option<&Dialogue> {
        self.places.get(vehicle.0).map(|place| &place.dialogue)
    }

    /// What has been counted.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The revision of the last change.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The conversations that have changed after a revision: what the other node of a pair needs.
    pub fn changed_since(&self, revision: u64) -> impl Iterator<Item = (VehicleId, &Dialogue)> {
        let places = self.places.iter().enumerate().filter(move |(_, place)| place.revision > revision);
        places.map(|(index, place)| (VehicleId(index), &place.dialogue))
    }

    /// Says something to a vehicle: an order, an update, a cancel. What it gives waits to leave.
    ///
    /// # Errors
    /// What the conversation says, or [`Refusal::NotConnected`] if there is no such vehicle.
    pub fn say(
        &mut self,
        vehicle: VehicleId,
        say: impl FnOnce(&mut Dialogue) -> Result<Outgoing, Refusal>,
    ) -> Result<(), Refusal> {
        let place = self.places.get_mut(vehicle.0).ok_or(Refusal::NotConnected)?;
        let outgoing = say(&mut place.dialogue)?;
        self.revision += 1;
        place.revision = self.revision;
        self.queue(vehicle.0, outgoing);
        Ok(())
    }

    /// Takes in a message.
    pub fn hear(&mut self, topic: &str, payload: &[u8]) -> Heard {
        let Some((address, topic)) = Address::parse(&self.interface, topic) else { return Heard::Nothing };
        let Some(index) = self.by_address.get(&address).copied() else {
            return Heard::Stranger(address, topic);
        };
        let Some(place) = self.places.get_mut(index) else { return Heard::Nothing };
        let vehicle = VehicleId(index);
        let heard = match std::str::from_utf8(payload) {
            Ok(text) => place.hear(vehicle, topic, text),
            Err(_) => {
                let what = "the message is no UTF-8 text".to_owned();
                Heard::Malformed(vehicle, Malformed { what, position: (1, 1) })
            }
        };
        match &heard {
            Heard::State(..) => self.counters.states += 1,
            Heard::Unbelieved(..) => self.counters.unbelieved += 1,
            Heard::Malformed(..) => self.counters.malformed += 1,
            Heard::Connection(..) | Heard::Factsheet(..) | Heard::Stranger(..) | Heard::Nothing => {}
        }
        let tells = match &heard {
            Heard::State(_, _, events) => !events.is_empty(),
            Heard::Factsheet(..) => true,
            Heard::Unbelieved(..)
            | Heard::Connection(..)
            | Heard::Malformed(..)
            | Heard::Stranger(..)
            | Heard::Nothing => false,
        };
        if tells {
            self.revision += 1;
            place.revision = self.revision;
        }
        heard
    }

    /// Queues what has waited too long for its echo, of at most [`RESENDS_MAX`] vehicles at a time and
    /// [`RESENDS_PER_SECOND`]; the others' turn comes first in the next call. Whoever has something waiting to
    /// leave is passed over.
    pub fn resend(&mut self, now: Instant, wall: Timestamp) {
        self.grow_allowance(now);
        for _ in 0..self.places.len() {
            if self.allowance.0 == 0 {
                break;
            }
            let index = self.turn;
            self.turn = (self.turn + 1) % self.places.len().max(1);
            let Some(place) = self.places.get_mut(index).filter(|place| place.waiting == 0) else { continue };
            let update = place.dialogue.order().map(|order| order.order_update_id);
            let due = place.dialogue.due(now, wall);
            if place.dialogue.order().map(|order| order.order_update_id) != update {
                self.revision += 1;
                place.revision = self.revision;
            }
            self.allowance.0 -= u32::from(!due.is_empty());
            self.counters.resent += due.len() as u64;
            for outgoing in due {
                self.queue(index, outgoing);
            }
        }
    }

    /// The next message that may leave: the other node holds all changes up to the revision `held`. Without
    /// another node that is `u64::MAX`.
    pub fn leave(&mut self, held: u64) -> Option<Outgoing> {
        if self.outbox.front()?.revision > held {
            return None;
        }
        let Queued { vehicle, outgoing, .. } = self.outbox.pop_front()?;
        if let Some(place) = self.places.get_mut(vehicle) {
            place.waiting = place.waiting.saturating_sub(1);
        }
        self.counters.sent += 1;
        Some(outgoing)
    }

    fn grow_allowance(&mut self, now: Instant) {
        let (allowed, since) = self.allowance;
        let each = Duration::from_secs(1) / RESENDS_PER_SECOND;
        let grown = u32::try_from(now.since(since).as_nanos() / each.as_nanos().max(1)).unwrap_or(u32::MAX);
        let allowed = allowed.saturating_add(grown);
        // What is left of a part goes on growing, unless there is no room for more.
        let since = if allowed >= RESENDS_MAX { now } else { since + each * grown };
        self.allowance = (allowed.min(RESENDS_MAX), since);
    }

    fn queue(&mut self, vehicle: usize, outgoing: Outgoing) {
        if self.outbox.len() >= OUTBOX_MAX {
            self.counters.dropped += 1;
            return;
        }
        if let Some(place) = self.places.get_mut(vehicle) {
            place.waiting += 1;
            self.outbox.push_back(Queued { revision: place.revision, vehicle, outgoing });
        }
    }
}

impl Place {
    fn hear(&mut self, vehicle: VehicleId, topic: Topic, text: &str) -> Heard {
        let malformed = |malformed| Heard::Malformed(vehicle, malformed);
        match topic {
            Topic::State => match State::from_json(text) {
                Ok(state) => match self.dialogue.on_state(&state) {
                    Ok(events) => Heard::State(vehicle, Box::new(state), events),
                    Err(fault) => Heard::Unbelieved(vehicle, fault),
                },
                Err(error) => malformed(error),
            },
            Topic::Connection => match Connection::from_json(text) {
                Ok(connection) => {
                    self.dialogue.on_connection(&connection);
                    Heard::Connection(vehicle, connection.state)
                }
                Err(error) => malformed(error),
            },
            Topic::Factsheet => match Limits::from_factsheet(text) {
                Ok((header, limits)) if header.is_from(self.dialogue.address()) => {
                    self.dialogue.set_limits(limits);
                    Heard::Factsheet(vehicle, limits)
                }
                Ok(_) => Heard::Unbelieved(vehicle, StateFault::Foreign),
                Err(error) => malformed(error),
            },
            Topic::Order
            | Topic::InstantActions
            | Topic::ZoneSet
            | Topic::Responses
            | Topic::Visualization => Heard::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
