//! Who stands for a plan: ed25519 signatures over its canonical form.
//!
//! # Model
//!
//! What is signed is a fixed prefix, which keeps a signature for a plan from ever being one for something
//! else, and the plan's canonical form. Signatures are checked strictly (RFC 8032 with the refusal of keys
//! and points of small order), against keys that lie on the node's disk: an identity that expires while the
//! site is offline must not stop it. Keys are files in the usual formats, PKCS#8 and SPKI in PEM, as
//! `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.
//!
//! # Terms
//!
//! - key id: the first 16 hexadecimal digits of the SHA-256 of the public key's 32 bytes.

use core::fmt;
use std::collections::BTreeMap;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::canonical::{self, Digest, from_hex, to_hex};
use crate::document::{PlanSignature, SchedulingPlan, SignedPlan};
use crate::refusal::{Reason, Refusal};

/// What stands before the canonical form in what is signed.
pub const CONTEXT: &[u8] = b"takt scheduling plan, version 1\n";

/// Keys that a node trusts at most.
pub const TRUSTED_KEYS_MAX: usize = 32;

/// The longest key file, in bytes.
pub const KEY_FILE_BYTES_MAX: usize = 4096;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// It is not PEM of the right kind.
    Format {
        /// What was expected.
        expected: &'static str,
    },
    /// It is one of the few points for which anybody can make signatures.
    Weak,
    /// Too many keys are trusted.
    TooMany,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format { expected } => {
                write!(f, "not {expected}; `takt plan keygen` and `openssl` write such files")
            }
            Self::Weak => f.write_str("a key of small order, for which anybody can sign; make another one"),
            Self::TooMany => write!(f, "more than {TRUSTED_KEYS_MAX} trusted keys; remove those out of use"),
        }
    }
}

impl std::error::Error for KeyError {}

/// A private key: who has it can tell the site what to do.
pub struct PlanKey(SigningKey);

impl fmt::Debug for PlanKey {
    /// The public half alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanKey({})", self.id())
    }
}

impl PlanKey {
    /// The key that follows from 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads PKCS#8 in PEM.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|_| KeyError::Format { expected: "an ed25519 private key (PKCS#8, PEM)" })
    }

    /// The private key as PKCS#8 in PEM.
    ///
    /// # Errors
    /// If it cannot be encoded, which does not happen with keys of this kind.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.0
            .to_pkcs8_pem(LineEnding::LF)
            .map(|pem| pem.as_str().to_owned())
            .map_err(|_| KeyError::Format { expected: "a key that can be written" })
    }

    /// The public key as SPKI in PEM.
    ///
    /// # Errors
    /// As [`PlanKey::to_pem`].
    pub fn public_pem(&self) -> Result<String, KeyError> {
        self.0
            .verifying_key()
            .to_public_key_pem(LineEnding::LF)
            .map_err(|_| KeyError::Format { expected: "a key that can be written" })
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> String {
        key_id(&self.0.verifying_key())
    }

    /// Signs a plan. Whether the plan makes sense is another matter.
    #[must_use]
    pub fn sign(&self, plan: SchedulingPlan) -> SignedPlan {
        let canonical = canonical::bytes(&plan);
        let signature: Signature = self.0.sign(&signed_bytes(&canonical));
        SignedPlan {
            digest: Digest::of_bytes(&canonical),
            signature: Some(PlanSignature { key_id: self.id(), value: to_hex(&signature.to_bytes()) }),
            plan,
        }
    }
}

/// The public keys that a node trusts.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys(BTreeMap<String, VerifyingKey>);

impl TrustedKeys {
    /// Trusts a public key, SPKI in PEM. Returns its id.
    ///
    /// # Errors
    /// If it is no such key, a weak one, or one too many.
    pub fn add_pem(&mut self, pem: &str) -> Result<String, KeyError> {
        let key = VerifyingKey::from_public_key_pem(pem)
            .map_err(|_| KeyError::Format { expected: "an ed25519 public key (SPKI, PEM)" })?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        let id = key_id(&key);
        if self.0.len() >= TRUSTED_KEYS_MAX && !self.0.contains_key(&id) {
            return Err(KeyError::TooMany);
        }
        self.0.insert(id.clone(), key);
        Ok(id)
    }

    /// The ids of all keys.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether a trusted key stands for exactly this plan.
    ///
    /// # Errors
    /// [`Reason::BadDigest`], [`Reason::Unsigned`], [`Reason::UnknownKey`] or [`Reason::BadSignature`].
    pub fn verify(&self, signed: &SignedPlan) -> Result<(), Refusal> {
        let canonical = canonical::bytes(&signed.plan);
        let digest = Digest::of_bytes(&canonical);
        if digest != signed.digest {
            return Err(Reason::BadDigest.because(format!("the plan's digest is {digest}; sign it again")));
        }
        let Some(signature) = &signed.signature else {
            return Err(Reason::Unsigned.because("no signature; sign it with `takt plan sign`"));
        };
        let Some(key) = self.0.get(&signature.key_id) else {
            let known: Vec<&str> = self.ids().collect();
            return Err(Reason::UnknownKey.because(format!(
                "the key `{}` is not trusted here; trusted are: {}",
                signature.key_id,
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            )));
        };
        let bad =
            |_| Reason::BadSignature.because(format!("not a signature of the key {}", signature.key_id));
        let value = from_hex::<64>(&signature.value)
            .map_err(|_| Reason::BadSignature.because("the signature is not 128 hexadecimal digits"))?;
        key.verify_strict(&signed_bytes(&canonical), &Signature::from_bytes(&value)).map_err(bad)
    }
}

fn key_id(key: &VerifyingKey) -> String {
    let digest = Digest::of_bytes(key.as_bytes());
    to_hex(digest.as_bytes().first_chunk::<8>().map_or(&[], |first| first.as_slice()))
}

fn signed_bytes(canonical: &[u8]) -> Vec<u8> {
    [CONTEXT, canonical].concat()
}
