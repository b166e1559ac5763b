//! Why a plan is refused.

use core::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of reasons for which a plan is refused or given up. The words are part of the interface: they
/// stand in statuses and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It is larger than any plan may be, or has too many of something.
    Oversized,
    /// It is not JSON of the right shape.
    Malformed,
    /// It has a field that this version does not know.
    UnknownField,
    /// It has no signature.
    Unsigned,
    /// It is signed with a key that is not trusted here.
    UnknownKey,
    /// The signature does not belong to the plan and the key.
    BadSignature,
    /// The digest is not that of the plan.
    BadDigest,
    /// It came as the change of another plan, and no plan comes out of that.
    BadDelta,
    /// It is for another site or for other nodes.
    WrongTarget,
    /// A higher epoch was taken before.
    ReplayedEpoch,
    /// Another plan with the same epoch was taken before.
    ConflictingEpoch,
    /// It must not be activated any more.
    Expired,
    /// Its time to be activated has passed, and it says that it is to be skipped then.
    Missed,
    /// It names a unit, device, station or loop group that the site does not have, or one twice.
    UnknownName,
    /// A number is outside its limits.
    OutOfLimits,
    /// With its tasks a deadline could be missed.
    Unschedulable,
    /// A task differs from what the node was set up with.
    TaskMismatch,
    /// It asks for something that this site cannot do.
    Unsupported,
    /// It could not be stored.
    NotStored,
    /// Another plan is being activated at this moment; offer it again.
    Busy,
    /// A newer plan took its place.
    Superseded,
    /// It failed on trial.
    FailedSoak,
    /// The agent ended while the plan was on trial.
    Interrupted,
    /// Somebody asked to give it up.
    Asked,
}

impl Reason {
    /// All reasons, in the order of the variants.
    pub const ALL: [Self; 24] = [
        Self::Oversized,
        Self::Malformed,
        Self::UnknownField,
        Self::Unsigned,
        Self::UnknownKey,
        Self::BadSignature,
        Self::BadDigest,
        Self::BadDelta,
        Self::WrongTarget,
        Self::ReplayedEpoch,
        Self::ConflictingEpoch,
        Self::Expired,
        Self::Missed,
        Self::UnknownName,
        Self::OutOfLimits,
        Self::Unschedulable,
        Self::TaskMismatch,
        Self::Unsupported,
        Self::NotStored,
        Self::Busy,
        Self::Superseded,
        Self::FailedSoak,
        Self::Interrupted,
        Self::Asked,
    ];

    /// The word for statuses and metrics; the same as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Oversized => "oversized",
            Self::Malformed => "malformed",
            Self::UnknownField => "unknown-field",
            Self::Unsigned => "unsigned",
            Self::UnknownKey => "unknown-key",
            Self::BadSignature => "bad-signature",
            Self::BadDigest => "bad-digest",
            Self::BadDelta => "bad-delta",
            Self::WrongTarget => "wrong-target",
            Self::ReplayedEpoch => "replayed-epoch",
            Self::ConflictingEpoch => "conflicting-epoch",
            Self::Expired => "expired",
            Self::Missed => "missed",
            Self::UnknownName => "unknown-name",
            Self::OutOfLimits => "out-of-limits",
            Self::Unschedulable => "unschedulable",
            Self::TaskMismatch => "task-mismatch",
            Self::Unsupported => "unsupported",
            Self::NotStored => "not-stored",
            Self::Busy => "busy",
            Self::Superseded => "superseded",
            Self::FailedSoak => "failed-soak",
            Self::Interrupted => "interrupted",
            Self::Asked => "asked",
        }
    }

    /// A refusal for this reason.
    #[must_use]
    pub fn because(self, what: impl Into<String>) -> Refusal {
        let mut what: String = what.into();
        if let Some((at, _)) = what.char_indices().nth(WHAT_CHARS_MAX) {
            what.truncate(at);
        }
        Refusal { reason: self, what }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The longest explanation, in characters: a foreign plan must not fill a log or a status.
const WHAT_CHARS_MAX: usize = 400;

/// A plan was refused, and nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// The kind.
    pub reason: Reason,
    /// What exactly, and what to do, for people; at most 400 characters.
    pub what: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.what)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_json() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
    }

    #[test]
    fn an_explanation_is_cut_between_characters() {
        assert_eq!(Reason::Malformed.because("ä".repeat(1000)).what.chars().count(), WHAT_CHARS_MAX);
    }
}
