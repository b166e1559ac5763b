//! What the frames carry, field by field: the one place that knows the layouts.
//!
//! All numbers are big-endian. A layout is a list of fields in the order in which [`Body::write`] names them
//! and [`Body::read`] takes them; nothing is left over and nothing is padded. A kind's number never changes
//! its meaning. A field that a later version adds goes to the end; it is left out towards a peer of the version
//! before, and has a default when it is missing from one. So far all versions have the same layouts.

use failover_protocol::{Epoch, FieldHealth, Message, Role};
use hal_units::Instant;

use crate::fragments::Series;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    Hello(Hello),
    Message(Message),
    Fragment(Fragment<'a>),
    /// The sender holds the state of this series after this cycle.
    Held {
        series: Series,
        cycle: u64,
    },
    Record {
        number: u64,
        bytes: &'a [u8],
    },
    RecordAck {
        through: u64,
    },
}

/// How two runs prove to each other that they are alive: see [`crate::Session`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello {
    /// To be sent back.
    pub(crate) challenge: u64,
    /// The receiver's challenge; 0 if the sender knows none.
    pub(crate) answer: u64,
    /// Whether the sender has no proof of the receiver yet.
    pub(crate) wants_reply: bool,
    /// The newest version that the sender speaks.
    pub(crate) version_max: u8,
}

/// A part of a replicated state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    pub(crate) series: Series,
    pub(crate) cycle: u64,
    pub(crate) schema: u64,
    pub(crate) index: u16,
    pub(crate) count: u16,
    pub(crate) total_bytes: u32,
    /// Of the whole state.
    pub(crate) crc: u32,
    pub(crate) bytes: &'a [u8],
}

/// Bytes of a fragment before its payload.
pub(crate) const FRAGMENT_HEAD_BYTES: usize = 28;

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const HEARTBEAT: u8 = 2;
    pub(super) const ACK: u8 = 3;
    pub(super) const RESIGN: u8 = 4;
    pub(super) const HANDOVER: u8 = 5;
    pub(super) const JOIN: u8 = 6;
    pub(super) const FRAGMENT: u8 = 16;
    pub(super) const RECORD: u8 = 17;
    pub(super) const RECORD_ACK: u8 = 18;
    pub(super) const FLEET_FRAGMENT: u8 = 19;
    pub(super) const HELD: u8 = 20;
}

/// Why a body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Kind,
    Contents,
}

impl<'a> Body<'a> {
    pub(crate) const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => kind::HELLO,
            Self::Message(Message::Heartbeat { .. }) => kind::HEARTBEAT,
            Self::Message(Message::Ack { .. }) => kind::ACK,
            Self::Message(Message::Resign { .. }) => kind::RESIGN,
            Self::Message(Message::Handover { .. }) => kind::HANDOVER,
            Self::Message(Message::Join { .. }) => kind::JOIN,
            Self::Fragment(Fragment { series: Series::Control, .. }) => kind::FRAGMENT,
            Self::Fragment(Fragment { series: Series::Fleet, .. }) => kind::FLEET_FRAGMENT,
            Self::Held { .. } => kind::HELD,
            Self::Record { .. } => kind::RECORD,
            Self::RecordAck { .. } => kind::RECORD_ACK,
        }
    }

    #[rustfmt::skip]
    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        match *self {
            Self::Hello(Hello { challenge, answer, wants_reply, version_max }) => {
                out.u64(challenge); out.u64(answer); out.u8(u8::from(wants_reply)); out.u8(version_max);
            }
            Self::Message(Message::Heartbeat { epoch, seq, sent_at, cycle, role, field, replica_cycle }) => {
                out.u16(epoch.0); out.u32(seq); out.u64(sent_at.as_nanos()); out.u64(cycle);
                out.u8(role_code(role)); out.u16(field.reachable); out.u16(field.critical_reachable);
                out.u64(replica_cycle);
            }
            Self::Message(Message::Ack { epoch, seq, sent_at }) => {
                out.u16(epoch.0); out.u32(seq); out.u64(sent_at.as_nanos());
            }
            Self::Message(Message::Resign { epoch }) => out.u16(epoch.0),
            Self::Message(Message::Handover { epoch, cycle, hash }) => {
                out.u16(epoch.0); out.u64(cycle); out.u64(hash);
            }
            Self::Message(Message::Join { epoch, schema }) => {
                out.u16(epoch.0); out.u64(schema);
            }
            Self::Fragment(Fragment { series: _, cycle, schema, index, count, total_bytes, crc, bytes }) => {
                out.u64(cycle); out.u64(schema); out.u16(index); out.u16(count);
                out.u32(total_bytes); out.u32(crc); out.bytes(bytes);
            }
            Self::Held { series, cycle } => {
                out.u8(series.code()); out.u64(cycle);
            }
            Self::Record { number, bytes } => {
                out.u64(number); out.bytes(bytes);
            }
            Self::RecordAck { through } => out.u64(through),
        }
    }

    pub(crate) fn read(kind: u8, bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let mut from = Reader(bytes);
        let body = Self::read_fields(kind, &mut from)?.ok_or(Unreadable::Contents)?;
        if from.0.is_empty() { Ok(body) } else { Err(Unreadable::Contents) }
    }

    fn read_fields(kind: u8, from: &mut Reader<'a>) -> Result<Option<Self>, Unreadable> {
        Ok(match kind {
            kind::HELLO => hello(from),
            kind::HEARTBEAT => heartbeat(from).map(Self::Message),
            kind::ACK => ack(from).map(Self::Message),
            kind::RESIGN => resign(from).map(Self::Message),
            kind::HANDOVER => handover(from).map(Self::Message),
            kind::JOIN => join(from).map(Self::Message),
            kind::FRAGMENT => fragment(Series::Control, from),
            kind::FLEET_FRAGMENT => fragment(Series::Fleet, from),
            kind::HELD => held(from),
            kind::RECORD => from.u64().map(|number| Self::Record { number, bytes: from.rest() }),
            kind::RECORD_ACK => from.u64().map(|through| Self::RecordAck { through }),
            _ => return Err(Unreadable::Kind),
        })
    }
}

fn hello<'a>(from: &mut Reader<'a>) -> Option<Body<'a>> {
    Some(Body::Hello(Hello {
        challenge: from.u64()?,
        answer: from.u64()?,
        wants_reply: from.flag()?,
        version_max: from.u8()?,
    }))
}

fn heartbeat(from: &mut Reader<'_>) -> Option<Message> {
    Some(Message::Heartbeat {
        epoch: from.epoch()?,
        seq: from.u32()?,
        sent_at: from.instant()?,
        cycle: from.u64()?,
        role: role_of(from.u8()?)?,
        field: FieldHealth { reachable: from.u16()?, critical_reachable: from.u16()? },
        replica_cycle: from.u64()?,
    })
}

fn ack(from: &mut Reader<'_>) -> Option<Message> {
    Some(Message::Ack { epoch: from.epoch()?, seq: from.u32()?, sent_at: from.instant()? })
}

fn resign(from: &mut Reader<'_>) -> Option<Message> {
    Some(Message::Resign { epoch: from.epoch()? })
}

fn handover(from: &mut Reader<'_>) -> Option<Message> {
    Some(Message::Handover { epoch: from.epoch()?, cycle: from.u64()?, hash: from.u64()? })
}

fn join(from: &mut Reader<'_>) -> Option<Message> {
    Some(Message::Join { epoch: from.epoch()?, schema: from.u64()? })
}

fn held<'a>(from: &mut Reader<'a>) -> Option<Body<'a>> {
    Some(Body::Held { series: Series::of(from.u8()?)?, cycle: from.u64()? })
}

fn fragment<'a>(series: Series, from: &mut Reader<'a>) -> Option<Body<'a>> {
    Some(Body::Fragment(Fragment {
        series,
        cycle: from.u64()?,
        schema: from.u64()?,
        index: from.u16()?,
        count: from.u16()?,
        total_bytes: from.u32()?,
        crc: from.u32()?,
        bytes: from.rest(),
    }))
}

const fn role_code(role: Role) -> u8 {
    match role {
        Role::Init => 0,
        Role::Standby => 1,
        Role::Claimed => 2,
        Role::Active => 3,
        Role::Fenced => 4,
    }
}

const fn role_of(code: u8) -> Option<Role> {
    Some(match code {
        0 => Role::Init,
        1 => Role::Standby,
        2 => Role::Claimed,
        3 => Role::Active,
        4 => Role::Fenced,
        _ => return None,
    })
}

/// Writes fields one behind the other. What finds no room makes the frame overflow, which its maker sees.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, length: 0 }
    }

    /// How many bytes were written; `None` if there was no room for all.
    pub(crate) fn finish(self) -> Option<usize> {
        (self.length <= self.out.len()).then_some(self.length)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len());
        if let Some(place) = self.out.get_mut(self.length..end) {
            place.copy_from_slice(bytes);
        }
        self.length = end;
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }
}

/// Takes fields one after the other; `None` once there are not enough bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn epoch(&mut self) -> Option<Epoch> {
        self.u16().map(Epoch)
    }

    fn instant(&mut self) -> Option<Instant> {
        self.u64().map(Instant::from_nanos)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_message() -> impl Strategy<Value = Message> {
        let epoch = any::<u16>().prop_map(Epoch);
        let role = (0_u8..5).prop_map(|code| role_of(code).unwrap());
        let time = any::<u64>().prop_map(Instant::from_nanos);
        let field = any::<(u16, u16)>()
            .prop_map(|(reachable, critical_reachable)| FieldHealth { reachable, critical_reachable });
        prop_oneof![
            (epoch.clone(), any::<(u32, u64, u64)>(), time.clone(), role, field).prop_map(
                |(epoch, (seq, cycle, replica_cycle), sent_at, role, field)| Message::Heartbeat {
                    epoch,
                    seq,
                    sent_at,
                    cycle,
                    role,
                    field,
                    replica_cycle,
                }
            ),
            (epoch.clone(), any::<u32>(), time).prop_map(|(epoch, seq, sent_at)| Message::Ack {
                epoch,
                seq,
                sent_at
            }),
            epoch.clone().prop_map(|epoch| Message::Resign { epoch }),
            (epoch.clone(), any::<u64>(), any::<u64>()).prop_map(|(epoch, cycle, hash)| Message::Handover {
                epoch,
                cycle,
                hash
            }),
            (epoch, any::<u64>()).prop_map(|(epoch, schema)| Message::Join { epoch, schema }),
        ]
    }

    fn written(body: &Body<'_>) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let mut out = Writer::new(&mut buffer);
        body.write(&mut out);
        let length = out.finish().unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn the_layouts_are_these() {
        // Written by hand: a change here is a new version of the protocol.
        let heartbeat = Message::Heartbeat {
            epoch: Epoch(0x0102),
            seq: 0x0304_0506,
            sent_at: Instant::from_nanos(0x0708_090a_0b0c_0d0e),
            cycle: 0x0f10_1112_1314_1516,
            role: Role::Active,
            field: FieldHealth { reachable: 0x1718, critical_reachable: 0x191a },
            replica_cycle: 0x1b1c_1d1e_1f20_2122,
        };
        let mut expected: Vec<u8> = (1..=0x22).collect();
        expected.insert(0x16, 3);
        assert_eq!((Body::Message(heartbeat).kind(), written(&Body::Message(heartbeat))), (2, expected));

        let ack = Message::Ack {
            epoch: Epoch(0x0102),
            seq: 0x0304_0506,
            sent_at: Instant::from_nanos(0x0708_090a_0b0c_0d0e),
        };
        assert_eq!((Body::Message(ack).kind(), written(&Body::Message(ack))), (3, (1..=14).collect()));
        let resign = Body::Message(Message::Resign { epoch: Epoch(0x0102) });
        assert_eq!((resign.kind(), written(&resign)), (4, vec![1, 2]));
        let handover = Message::Handover { epoch: Epoch(1), cycle: 2, hash: 3 };
        let fields = [[0, 1].as_slice(), &2_u64.to_be_bytes(), &3_u64.to_be_bytes()].concat();
        assert_eq!((Body::Message(handover).kind(), written(&Body::Message(handover))), (5, fields));
        let join = Body::Message(Message::Join { epoch: Epoch(1), schema: 2 });
        assert_eq!((join.kind(), written(&join)), (6, vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 2]));
        let hello = Body::Hello(Hello { challenge: 1, answer: 2, wants_reply: true, version_max: 9 });
        let fields = [&1_u64.to_be_bytes()[..], &2_u64.to_be_bytes(), &[1, 9]].concat();
        assert_eq!((hello.kind(), written(&hello)), (1, fields));
        let fragment = Fragment {
            series: Series::Control,
            cycle: 1,
            schema: 2,
            index: 3,
            count: 4,
            total_bytes: 5,
            crc: 6,
            bytes: b"x",
        };
        let fields =
            [&1_u64.to_be_bytes()[..], &2_u64.to_be_bytes(), &[0, 3, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6], b"x"]
                .concat();
        assert_eq!(fields.len(), FRAGMENT_HEAD_BYTES + 1);
        assert_eq!((Body::Fragment(fragment).kind(), written(&Body::Fragment(fragment))), (16, fields));
        let record = Body::Record { number: 1, bytes: b"x" };
        assert_eq!((record.kind(), written(&record)), (17, vec![0, 0, 0, 0, 0, 0, 0, 1, b'x']));
        let ack = Body::RecordAck { through: 1 };
        assert_eq!((ack.kind(), written(&ack)), (18, vec![0, 0, 0, 0, 0, 0, 0, 1]));
    }

    #[test]
    fn a_body_that_contradicts_itself_is_not_read() {
        let hello =
            written(&Body::Hello(Hello { challenge: 1, answer: 2, wants_reply: true, version_max: 9 }));
        let mut flag = hello.clone();
        flag[16] = 2;
        assert_eq!(Body::read(1, &flag), Err(Unreadable::Contents));
        let mut role =
            written(&Body::Message(Message::Ack { epoch: Epoch(1), seq: 1, sent_at: Instant::ZERO }));
        role.push(0);
        assert_eq!(Body::read(3, &role), Err(Unreadable::Contents));
        assert_eq!(Body::read(7, &[]), Err(Unreadable::Kind));
        assert_eq!(Body::read(0, &hello), Err(Unreadable::Kind));
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written_and_in_no_part(message in any_message()) {
            let body = Body::Message(message);
            let bytes = written(&body);
            prop_assert_eq!(Body::read(body.kind(), &bytes), Ok(body));
            for length in 0..bytes.len() {
                prop_assert_eq!(Body::read(body.kind(), &bytes[..length]), Err(Unreadable::Contents));
            }
        }

        #[test]
        fn whatever_is_read_is_written_the_same(kind in 0_u8..20, bytes in proptest::collection::vec(0_u8..5, 0..60)) {
            if let Ok(body) = Body::read(kind, &bytes) {
                prop_assert_eq!(body.kind(), kind);
                prop_assert_eq!(written(&body), bytes);
            }
        }
    }
}
