//! What is under way between the nodes, packed.
//!
//! # Model
//!
//! The network loses, repeats, delays and reorders. A message lies in one of the few places of its kind until
//! a later one takes the place; until then it can be delivered any number of times, or never. When all places
//! are taken it is a choice which message is lost: the oldest, the newest, or the one that is being sent.

use failover_protocol::{Epoch, FieldHealth, Message, Role};
use hal_units::Duration;

use crate::clock::{HORIZON, NOW, age_of};

/// A message without what decides nothing. Ages are on the clock of the node whose time the message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mail {
    /// A heartbeat; `age` on the sender's clock.
    Beat {
        /// See [`Message::Heartbeat`].
        epoch: u8,
        /// See there.
        role: Role,
        /// How long ago it was sent.
        age: u8,
        /// Whether the sender holds a replica.
        replica: bool,
    },
    /// An Ack; `age` of the heartbeat on the receiver's clock.
    Ack {
        /// See [`Message::Ack`].
        epoch: u8,
        /// How long ago the heartbeat was sent.
        age: u8,
    },
    /// The end of a term.
    End {
        /// Which.
        epoch: u8,
        /// The last cycle, if it was planned.
        handed: Option<u8>,
    },
}

/// The hash of every replicated state in the model.
pub const HASH: u64 = 1;

impl Mail {
    /// Packs a message; `None` for those that the model leaves out.
    #[must_use]
    pub fn pack(message: &Message) -> Option<Self> {
        let short = |epoch: Epoch| u8::try_from(epoch.0).unwrap_or(u8::MAX);
        Some(match *message {
            Message::Heartbeat { epoch, sent_at, role, replica_cycle, .. } => {
                Self::Beat { epoch: short(epoch), role, age: age_of(sent_at), replica: replica_cycle != 0 }
            }
            Message::Ack { epoch, sent_at, .. } => Self::Ack { epoch: short(epoch), age: age_of(sent_at) },
            Message::Resign { epoch } => Self::End { epoch: short(epoch), handed: None },
            Message::Handover { epoch, cycle, .. } => {
                Self::End { epoch: short(epoch), handed: Some(u8::try_from(cycle).unwrap_or(u8::MAX)) }
            }
            Message::Join { .. } => return None,
        })
    }

    /// The message as the node takes it.
    #[must_use]
    pub fn unpack(self) -> Message {
        match self {
            Self::Beat { epoch, role, age, replica } => Message::Heartbeat {
                epoch: Epoch(epoch.into()),
                seq: 0,
                sent_at: NOW - Duration::from_nanos(age.into()),
                cycle: 0,
                role,
                field: FieldHealth::default(),
                replica_cycle: replica.into(),
            },
            Self::Ack { epoch, age } => Message::Ack {
                epoch: Epoch(epoch.into()),
                seq: 0,
                sent_at: NOW - Duration::from_nanos(age.into()),
            },
            Self::End { epoch, handed: None } => Message::Resign { epoch: Epoch(epoch.into()) },
            Self::End { epoch, handed: Some(cycle) } => {
                Message::Handover { epoch: Epoch(epoch.into()), cycle: cycle.into(), hash: HASH }
            }
        }
    }
}

/// Which message is lost when there is no place for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The one that waits longest.
    Oldest,
    /// The one that came last.
    Newest,
    /// The one that is being sent.
    Sent,
}

/// The most places of a kind.
const PLACES: usize = 2;

/// What is under way to one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Inbox {
    beats: [Option<Mail>; PLACES],
    acks: [Option<Mail>; PLACES],
    ends: [Option<Mail>; PLACES],
}

impl Inbox {
    /// Everything under way.
    pub fn iter(&self) -> impl Iterator<Item = Mail> + '_ {
        self.beats.iter().chain(&self.acks).chain(&self.ends).flatten().copied()
    }

    /// Puts a message under way; true if one was lost for it.
    pub fn post(&mut self, mail: Mail, places: usize, loss: Loss) -> bool {
        let shelf = match mail {
            Mail::Beat { .. } => &mut self.beats,
            Mail::Ack { .. } => &mut self.acks,
            Mail::End { .. } => &mut self.ends,
        };
        if shelf.contains(&Some(mail)) {
            return false;
        }
        if let Some(place) = shelf.iter_mut().take(places).find(|place| place.is_none()) {
            *place = Some(mail);
            return false;
        }
        let last = places.clamp(1, PLACES) - 1;
        match loss {
            Loss::Sent => {}
            Loss::Oldest => {
                if last == 1 {
                    shelf.swap(0, 1);
                }
                if let Some(place) = shelf.get_mut(last) {
                    *place = Some(mail);
                }
            }
            Loss::Newest => {
                if let Some(place) = shelf.get_mut(last) {
                    *place = Some(mail);
                }
            }
        }
        true
    }

    /// Lets time pass: `sender` on the clock of the node that sends here, `owner` on that of this one.
    pub fn age(&mut self, sender: u8, owner: u8) {
        let horizon = u8::try_from(HORIZON.as_nanos()).unwrap_or(u8::MAX);
        for mail in self.beats.iter_mut().chain(&mut self.acks).flatten() {
            match mail {
                Mail::Beat { age, .. } => *age = age.saturating_add(sender).min(horizon),
                Mail::Ack { age, .. } => *age = age.saturating_add(owner).min(horizon),
                Mail::End { .. } => {}
            }
        }
        // Those that have become alike are one.
        for shelf in [&mut self.beats, &mut self.acks] {
            if let [first, second] = shelf
                && first == second
            {
                *second = None;
            }
        }
    }

    /// Forgets everything: the link was cut for long.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
