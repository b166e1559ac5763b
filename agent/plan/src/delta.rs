//! A plan as the change of an earlier one.
//!
//! # Problem
//!
//! Plans go to many sites, often, over lines that are paid by the byte or shared with people; and most of a plan
//! is as it was in the one before.
//!
//! # Model
//!
//! A delta is the new signed plan's compact JSON, compressed by Zstandard (RFC 8878) with the JSON of a plan that
//! the receiver is known to have as the dictionary. It names both plans by their digests. Who has another base
//! than the delta was made against gets [`DeltaError::OtherBase`] and asks for the whole plan; what comes out is
//! read, digested and verified like any other plan, so that a wrong delta can refuse itself, not deceive.

use core::fmt;

use base64ct::{Base64, Encoding};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::canonical::Digest;
use crate::document::{SIGNED_BYTES_MAX, SignedPlan};
use crate::refusal::{Reason, Refusal};

/// How hard is tried: plans are made seldom and sent often.
const LEVEL: i32 = 19;

/// A plan as the change of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanDelta {
    /// Digest of the plan that it was made against.
    pub base: Digest,
    /// Digest of the plan that comes out.
    pub digest: Digest,
    /// The compressed plan; in JSON as Base64.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub data: Vec<u8>,
}

/// Why no plan comes out of a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeltaError {
    /// It was made against another plan: ask for the whole one.
    OtherBase {
        /// Digest of the plan that is needed.
        needed: Digest,
    },
    /// It cannot be unpacked, or its checksum is wrong: ask for the whole plan.
    Damaged,
    /// What comes out is no plan.
    Plan(Refusal),
    /// What comes out is another plan than it says.
    OtherPlan,
    /// The library has no memory.
    Memory,
}

impl fmt::Display for DeltaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherBase { needed } => {
                write!(f, "the delta needs the plan {needed}; ask for the whole plan")
            }
            Self::Damaged => f.write_str("the delta cannot be unpacked; ask for the whole plan"),
            Self::Plan(refusal) => write!(f, "what the delta unpacks to is refused: {refusal}"),
            Self::OtherPlan => f.write_str("the delta unpacks to another plan than it says"),
            Self::Memory => f.write_str("no memory for the compression"),
        }
    }
}

impl std::error::Error for DeltaError {}

impl PlanDelta {
    /// What changes from `base` to `plan`.
    ///
    /// # Errors
    /// [`DeltaError::Memory`].
    pub fn between(base: &SignedPlan, plan: &SignedPlan) -> Result<Self, DeltaError> {
        let compressed =
            zstd::bulk::Compressor::with_dictionary(LEVEL, &base.to_json()).and_then(|mut compressor| {
                // The digest covers the plan alone, not its signature.
                compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
                compressor.compress(&plan.to_json())
            });
        let data = compressed.map_err(|_| DeltaError::Memory)?;
        Ok(Self { base: base.digest, digest: plan.digest, data })
    }

    /// The plan that comes out of this delta and its base. Its signature is still to be verified.
    ///
    /// # Errors
    /// If the base is another one, or anything is wrong with what comes out.
    pub fn apply(&self, base: &SignedPlan) -> Result<SignedPlan, DeltaError> {
        if base.digest != self.base {
            return Err(DeltaError::OtherBase { needed: self.base });
        }
        let mut decompressor =
            zstd::bulk::Decompressor::with_dictionary(&base.to_json()).map_err(|_| DeltaError::Memory)?;
        let json = decompressor.decompress(&self.data, SIGNED_BYTES_MAX).map_err(|_| DeltaError::Damaged)?;
        let plan = SignedPlan::from_json(&json).map_err(DeltaError::Plan)?;
        if plan.digest != self.digest || Digest::of(&plan.plan) != self.digest {
            return Err(DeltaError::OtherPlan);
        }
        Ok(plan)
    }
}

impl From<DeltaError> for Refusal {
    /// [`Reason::BadDelta`], whatever is wrong with it.
    fn from(error: DeltaError) -> Self {
        Reason::BadDelta.because(error.to_string())
    }
}

/// A whole plan, compressed without any base: what a delta has to be compared with.
///
/// # Errors
/// [`DeltaError::Memory`].
pub fn compress_whole(plan: &SignedPlan) -> Result<Vec<u8>, DeltaError> {
    zstd::bulk::compress(&plan.to_json(), LEVEL).map_err(|_| DeltaError::Memory)
}

fn to_base64<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Base64::encode_string(data))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.len() > SIGNED_BYTES_MAX * 4 / 3 + 4 {
        return Err(D::Error::custom("a delta is not longer than a plan"));
    }
    Base64::decode_vec(&text).map_err(|_| D::Error::custom("the data of a delta is Base64"))
}
