//! The frame around everything: who, to whom, on which link, which number, and the proof.

use crate::codec::{Body, FRAGMENT_HEAD_BYTES, Reader, Unreadable, Writer};
use crate::counters::Refusal;
use crate::fragments::FRAGMENT_BYTES_MAX;
use crate::key::{Key, TAG_BYTES};
use failover_protocol::{Link, Node};

/// The version that this program speaks. It also speaks the one before it, to a peer that knows no newer.
/// Version 1 was never released and has the same layouts; it keeps the way for the version before in use.
pub const VERSION: u8 = 2;
/// The oldest version that it speaks.
pub(crate) const VERSION_MIN: u8 = VERSION - 1;

/// Bytes of the largest frame: a full fragment. Fits an Ethernet packet with room for a tunnel.
pub const FRAME_BYTES_MAX: usize = HEAD_BYTES + FRAGMENT_HEAD_BYTES + FRAGMENT_BYTES_MAX + TAG_BYTES;

/// "TK".
const MAGIC: u16 = 0x544b;
/// magic 2, version 1, kind 1, sender 1, stream 1, link 1, zero 1, from 8, to 8, counter 8, body length 2.
const HEAD_BYTES: usize = 34;
const FRAME_BYTES_MIN: usize = HEAD_BYTES + TAG_BYTES;

/// A link's number in a frame.
const fn code(link: Link) -> u8 {
    match link {
        Link::One => 1,
        Link::Two => 2,
    }
}

/// Who of a node speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// The agent itself, within a session.
    Agent,
    /// Its supervisor, for an agent that is dead.
    Supervisor,
}

impl Stream {
    const fn code(self) -> u8 {
        match self {
            Self::Agent => 0,
            Self::Supervisor => 1,
        }
    }
}

/// Everything before the body but its kind and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: u8,
    pub(crate) sender: Node,
    pub(crate) stream: Stream,
    /// The sender's incarnation.
    pub(crate) from: u64,
    /// The receiver's incarnation; 0 if the sender knows none.
    pub(crate) to: u64,
    /// Counts the sender's frames, from 1; both copies of a frame have the same.
    pub(crate) counter: u64,
}

const fn node_code(node: Node) -> u8 {
    match node {
        Node::A => 0,
        Node::B => 1,
    }
}

/// Writes the copy of a frame for one link; its length, or `None` if the body is too long.
pub(crate) fn write(
    key: &Key,
    head: &Head,
    link: Link,
    body: &Body<'_>,
    out: &mut [u8; FRAME_BYTES_MAX],
) -> Option<usize> {
    let (text, rest) = out.split_at_mut_checked(FRAME_BYTES_MAX - TAG_BYTES)?;
    let mut writer = Writer::new(text);
    writer.u16(MAGIC);
    writer.u8(head.version);
    writer.u8(body.kind());
    writer.u8(node_code(head.sender));
    writer.u8(head.stream.code());
    writer.u8(code(link));
    writer.u8(0);
    writer.u64(head.from);
    writer.u64(head.to);
    writer.u64(head.counter);
    writer.u16(0);
    body.write(&mut writer);
    let length = writer.finish()?;
    let body_length = u16::try_from(length - HEAD_BYTES).ok()?;
    text.get_mut(HEAD_BYTES - 2..HEAD_BYTES)?.copy_from_slice(&body_length.to_be_bytes());
    debug_assert_eq!(rest.len(), TAG_BYTES);
    let tag = key.tag(out.get(..length)?);
    out.get_mut(length..length + TAG_BYTES)?.copy_from_slice(&tag);
    Some(length + TAG_BYTES)
}

/// Reads a datagram that came over `link` to `own`. What comes out is authentic; whether it is fresh is for
/// the session to say.
pub(crate) fn read<'a>(
    key: &Key,
    own: Node,
    link: Link,
    datagram: &'a [u8],
) -> Result<(Head, Body<'a>), Refusal> {
    if datagram.len() < FRAME_BYTES_MIN {
        return Err(Refusal::Truncated);
    }
    if datagram.len() > FRAME_BYTES_MAX {
        return Err(Refusal::Oversized);
    }
    let (text, tag) = datagram.split_last_chunk::<TAG_BYTES>().ok_or(Refusal::Truncated)?;
    let mut reader = Reader(text);
    if reader.u16() != Some(MAGIC) {
        return Err(Refusal::Foreign);
    }
    let short = Refusal::Truncated;
    let version = reader.u8().ok_or(short)?;
    if version > VERSION {
        return Err(Refusal::FutureVersion);
    }
    if version < VERSION_MIN {
        return Err(Refusal::PastVersion);
    }
    let kind = reader.u8().ok_or(short)?;
    let (sender, stream) = (reader.u8().ok_or(short)?, reader.u8().ok_or(short)?);
    let (sent_on, zero) = (reader.u8().ok_or(short)?, reader.u8().ok_or(short)?);
    let (from, to) = (reader.u64().ok_or(short)?, reader.u64().ok_or(short)?);
    let (counter, length) = (reader.u64().ok_or(short)?, reader.u16().ok_or(short)?);
    let body = reader.0;
    match body.len().cmp(&usize::from(length)) {
        std::cmp::Ordering::Less => return Err(Refusal::Truncated),
        std::cmp::Ordering::Greater => return Err(Refusal::Oversized),
        std::cmp::Ordering::Equal => {}
    }
    if !key.verifies(text, tag) {
        return Err(Refusal::WrongKey);
    }
    let peer = own.peer();
    if sender != node_code(peer) {
        return Err(Refusal::WrongPeer);
    }
    if sent_on != code(link) {
        return Err(Refusal::WrongLink);
    }
    let stream = match (stream, zero) {
        (0, 0) => Stream::Agent,
        (1, 0) => Stream::Supervisor,
        _ => return Err(Refusal::Malformed),
    };
    let body = Body::read(kind, body).map_err(|unreadable| match unreadable {
        Unreadable::Kind => Refusal::UnknownKind,
        Unreadable::Contents => Refusal::Malformed,
    })?;
    Ok((Head { version, sender: peer, stream, from, to, counter }, body))
}
