//! The records of the outbox's log.

use super::message::Message;
use super::{OutboxId, Sequence};
use crate::wire::{Reader, Writer};

const KIND_HEAD: u8 = 1;
const KIND_ENTRY: u8 = 2;
const KIND_SETTLED: u8 = 3;

/// A record of the outbox's log.
pub(super) enum Record {
    Head { id: OutboxId, next: Sequence },
    Entry { sequence: Sequence, message: Message },
    Settled { first: Sequence, last: Sequence },
}

pub(super) fn encode_head(id: OutboxId, next: Sequence) -> Vec<u8> {
    Writer::of_kind(KIND_HEAD).u64(id.0).u64(next.0).finish()
}

/// Both ends are settled, and all between them.
pub(super) fn encode_settled(first: Sequence, last: Sequence) -> Vec<u8> {
    Writer::of_kind(KIND_SETTLED).u64(first.0).u64(last.0).finish()
}

pub(super) fn encode_entry(sequence: Sequence, message: &Message) -> Vec<u8> {
    let writer = Writer::of_kind(KIND_ENTRY).u64(sequence.0).u8(u8::from(message.retain));
    let writer = match message.expiry_s {
        Some(expiry_s) => writer.u8(1).u32(expiry_s),
        None => writer.u8(0),
    };
    writer
        .optional_bytes(message.correlation.as_deref())
        .text(&message.topic)
        .bytes(&message.payload)
        .finish()
}

impl Record {
    pub(super) fn decode(record: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(record);
        let record = match reader.u8()? {
            KIND_HEAD => Self::Head { id: OutboxId(reader.u64()?), next: Sequence(reader.u64()?) },
            KIND_ENTRY => {
                let sequence = Sequence(reader.u64()?);
                let retain = reader.u8()? != 0;
                let expiry_s = match reader.u8()? {
                    0 => None,
                    _ => Some(reader.u32()?),
                };
                let correlation = reader.optional_bytes()?;
                let topic = reader.text()?;
                let payload = reader.owned_bytes()?;
                Self::Entry { sequence, message: Message { topic, payload, retain, correlation, expiry_s } }
            }
            KIND_SETTLED => Self::Settled { first: Sequence(reader.u64()?), last: Sequence(reader.u64()?) },
            _ => return None,
        };
        reader.end()?;
        Some(record)
    }
}
