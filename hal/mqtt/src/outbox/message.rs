//! A message, its limits, and its size in the outbox.

use bytes::Bytes;

use crate::log::record_bytes;
use crate::topic::{TopicError, check_topic};

/// The largest payload of one message, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// The largest correlation data, in bytes.
pub const CORRELATION_BYTES_MAX: usize = 1024;

/// A message to publish with QoS 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// What, at most [`PAYLOAD_BYTES_MAX`].
    pub payload: Bytes,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
    /// Correlation data of the request that this answers, at most [`CORRELATION_BYTES_MAX`].
    pub correlation: Option<Bytes>,
    /// Seconds after which the broker need not deliver it any more.
    pub expiry_s: Option<u32>,
}

impl Message {
    /// A message that is neither retained nor an answer and does not expire.
    #[must_use]
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            retain: false,
            correlation: None,
            expiry_s: None,
        }
    }

    /// Whether it can be published at all.
    ///
    /// # Errors
    /// If the topic is none, or a part is too large.
    pub fn check(&self) -> Result<(), MessageError> {
        check_topic(&self.topic)?;
        let too_large = |what, bytes, bytes_max| MessageError::TooLarge { what, bytes, bytes_max };
        if self.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(too_large("payload", self.payload.len(), PAYLOAD_BYTES_MAX));
        }
        let correlation_bytes = self.correlation.as_ref().map_or(0, Bytes::len);
        if correlation_bytes > CORRELATION_BYTES_MAX {
            return Err(too_large("correlation data", correlation_bytes, CORRELATION_BYTES_MAX));
        }
        Ok(())
    }

    /// Bytes that it takes in the outbox.
    #[must_use]
    pub fn outbox_bytes(&self) -> u64 {
        let fixed_bytes = 1 + 8 + 1 + 5 + (1 + 4) + 4 + 4;
        let correlation_bytes = self.correlation.as_ref().map_or(0, Bytes::len);
        record_bytes(fixed_bytes + self.topic.len() + correlation_bytes + self.payload.len())
    }
}

/// Why a message cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The topic is none.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A part is too large.
    #[error("a {what} of {bytes} bytes; at most {bytes_max} are possible")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}
