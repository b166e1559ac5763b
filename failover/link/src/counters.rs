//! What came over a link and was not believed, each under its own name.

use std::fmt;

/// Why a datagram changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Shorter than a frame, or than its own length says.
    Truncated,
    /// Longer than a frame can be, or than its own length says.
    Oversized,
    /// Not a frame of this protocol.
    Foreign,
    /// Of a version that this program does not know yet.
    FutureVersion,
    /// Of a version that this program no longer speaks.
    PastVersion,
    /// The authentication code does not fit: another key, or changed on the way.
    WrongKey,
    /// Sent by this node itself, or by no node.
    WrongPeer,
    /// Sent on the other link: the cables are crossed, or it was recorded.
    WrongLink,
    /// Authentic, but of a kind that this program does not know.
    UnknownKind,
    /// From or to another run than those of the session.
    OtherIncarnation,
    /// Seen before on this link, or too old to tell.
    Replayed,
    /// Authentic, but its contents contradict themselves.
    Malformed,
}

impl Refusal {
    /// How many there are.
    pub const COUNT: usize = 12;

    /// All of them, in the order of [`Refusal::index`].
    pub const ALL: [Self; Self::COUNT] = [
        Self::Truncated,
        Self::Oversized,
        Self::Foreign,
        Self::FutureVersion,
        Self::PastVersion,
        Self::WrongKey,
        Self::WrongPeer,
        Self::WrongLink,
        Self::UnknownKind,
        Self::OtherIncarnation,
        Self::Replayed,
        Self::Malformed,
    ];

    /// Position in [`Refusal::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Truncated => 0,
            Self::Oversized => 1,
            Self::Foreign => 2,
            Self::FutureVersion => 3,
            Self::PastVersion => 4,
            Self::WrongKey => 5,
            Self::WrongPeer => 6,
            Self::WrongLink => 7,
            Self::UnknownKind => 8,
            Self::OtherIncarnation => 9,
            Self::Replayed => 10,
            Self::Malformed => 11,
        }
    }

    /// The name, for logs, metrics and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Oversized => "oversized",
            Self::Foreign => "foreign",
            Self::FutureVersion => "future_version",
            Self::PastVersion => "past_version",
            Self::WrongKey => "wrong_key",
            Self::WrongPeer => "wrong_peer",
            Self::WrongLink => "wrong_link",
            Self::UnknownKind => "unknown_kind",
            Self::OtherIncarnation => "other_incarnation",
            Self::Replayed => "replayed",
            Self::Malformed => "malformed",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Refusal {}

/// Datagrams of one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames handed out for sending.
    pub sent: u64,
    /// Frames believed.
    pub accepted: u64,
    refused: [u64; Refusal::COUNT],
}

impl Counters {
    /// Datagrams refused for this reason.
    #[must_use]
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused.get(reason.index()).copied().unwrap_or(0)
    }

    /// Datagrams refused for any reason.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().sum()
    }

    pub(crate) fn refuse(&mut self, reason: Refusal) {
        if let Some(count) = self.refused.get_mut(reason.index()) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_place_and_a_name_of_its_own() {
        let mut names: Vec<&str> = Vec::new();
        for (at, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(refusal.index(), at);
            assert!(!names.contains(&refusal.as_str()), "{refusal}");
            names.push(refusal.as_str());
        }
    }
}
