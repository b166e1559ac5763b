//! What a plan is known by.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::canonical::Digest;

/// Epoch and digest. Whatever is done with a plan is done once for each of these, however often it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlanId {
    /// The plan's epoch.
    pub epoch: u32,
    /// SHA-256 of its canonical form.
    pub digest: Digest,
}

impl fmt::Display for PlanId {
    /// The epoch and the first digits of the digest: `17 (3f29a0b1)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:.8})", self.epoch, self.digest.to_string())
    }
}
