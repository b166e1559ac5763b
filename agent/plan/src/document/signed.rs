//! A plan with its digest and signature: what is stored and sent.

use serde::{Deserialize, Serialize};

use super::SchedulingPlan;
use crate::PlanId;
use crate::canonical::Digest;
use crate::refusal::{Reason, Refusal};

/// The longest text of a signed plan, in bytes. An API server's store takes at most 1.5 MB of one object.
pub const SIGNED_BYTES_MAX: usize = 1 << 20;

/// A plan with its digest and signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedPlan {
    /// The plan.
    pub plan: SchedulingPlan,
    /// SHA-256 of the plan's canonical form, 64 hexadecimal digits.
    pub digest: Digest,
    /// Who stands for it. A plan without is read, and then refused as unsigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<PlanSignature>,
}

/// Who stands for a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanSignature {
    /// The key: the first 16 hexadecimal digits of the SHA-256 of the public key's 32 bytes.
    pub key_id: String,
    /// The ed25519 signature, 128 hexadecimal digits, lower case.
    pub value: String,
}

impl SignedPlan {
    /// Reads a signed plan from JSON. Checks size and shape, neither digest, signature nor meaning.
    ///
    /// # Errors
    /// [`Reason::Oversized`], [`Reason::UnknownField`] or [`Reason::Malformed`].
    pub fn from_json(json: &[u8]) -> Result<Self, Refusal> {
        if json.len() > SIGNED_BYTES_MAX {
            return Err(Reason::Oversized
                .because(format!("{} bytes; a signed plan has at most {SIGNED_BYTES_MAX}", json.len())));
        }
        serde_json::from_slice(json).map_err(|error| of_json(&error))
    }

    /// Epoch and digest, as they are written.
    #[must_use]
    pub fn id(&self) -> PlanId {
        PlanId { epoch: self.plan.epoch, digest: self.digest }
    }

    /// The signed plan as compact JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers alone: there is nothing that JSON cannot say.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl SchedulingPlan {
    /// Reads a plan that is not signed yet from JSON.
    ///
    /// # Errors
    /// As [`SignedPlan::from_json`].
    pub fn from_json(json: &[u8]) -> Result<Self, Refusal> {
        if json.len() > SIGNED_BYTES_MAX {
            return Err(Reason::Oversized.because(format!("{} bytes", json.len())));
        }
        serde_json::from_slice(json).map_err(|error| of_json(&error))
    }
}

/// `serde` has no kinds of errors; the first words of its messages are part of its interface.
fn of_json(error: &serde_json::Error) -> Refusal {
    let what = error.to_string();
    let reason = if what.starts_with("unknown field") { Reason::UnknownField } else { Reason::Malformed };
    reason.because(what)
}
