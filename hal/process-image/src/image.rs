//! The two images of one device.

use hal_units::Instant;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::{Quality, Sample};

/// The most input tags, and the most output tags, of one device.
pub const TAGS_MAX: usize = 32;

/// Position of a tag in its device's image, as the device profile lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagIndex(pub u16);

/// All inputs of one device from one complete scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceInputs {
    values: [f64; TAGS_MAX],
    qualities: [Quality; TAGS_MAX],
    /// When the scan's first request left.
    pub acquired_at: Instant,
    /// Number of the scan, wrapping; 0 means that none has completed.
    pub sequence: u32,
    /// [`DeviceOutputs::sequence`] of the last write that the device acknowledged; 0 before the first.
    pub outputs_acknowledged: u32,
}

impl DeviceInputs {
    /// An image of a device that was never scanned: every tag is bad.
    pub const NEVER: Self = Self {
        values: [0.0; TAGS_MAX],
        qualities: [Quality::Bad; TAGS_MAX],
        acquired_at: Instant::ZERO,
        sequence: 0,
        outputs_acknowledged: 0,
    };

    /// The sample of a tag; [`Sample::NEVER`] for an index outside the image.
    #[must_use]
    pub fn sample(&self, tag: TagIndex) -> Sample {
        let at = usize::from(tag.0);
        match (self.values.get(at), self.qualities.get(at)) {
            (Some(&value), Some(&quality)) => {
                Sample { value, quality, acquired_at: self.acquired_at, sequence: self.sequence }
            }
            _ => Sample::NEVER,
        }
    }

    /// Sets a tag's value and quality; an index outside the image is ignored.
    pub fn set(&mut self, tag: TagIndex, value: f64, quality: Quality) {
        let at = usize::from(tag.0);
        if let (Some(v), Some(q)) = (self.values.get_mut(at), self.qualities.get_mut(at)) {
            *v = value;
            *q = quality;
        }
    }
}

impl Default for DeviceInputs {
    fn default() -> Self {
        Self::NEVER
    }
}

/// All outputs of one device for one cycle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct DeviceOutputs {
    values: [f64; TAGS_MAX],
    /// From here on the outputs are late and must be dropped, not written.
    pub expires_at: Instant,
    /// Number of the write, wrapping; 0 means that no cycle has written yet.
    pub sequence: u32,
}

impl DeviceOutputs {
    /// Outputs that no cycle has written yet: already expired.
    pub const NEVER: Self = Self { values: [0.0; TAGS_MAX], expires_at: Instant::ZERO, sequence: 0 };

    /// A tag's value in SI units; `None` outside the image.
    #[must_use]
    pub fn value(&self, tag: TagIndex) -> Option<f64> {
        self.values.get(usize::from(tag.0)).copied()
    }

    /// Sets a tag's value; an index outside the image is ignored.
    pub fn set(&mut self, tag: TagIndex, value: f64) {
        if let Some(v) = self.values.get_mut(usize::from(tag.0)) {
            *v = value;
        }
    }

    /// Whether the outputs may still be written at `now`.
    #[must_use]
    pub fn is_current(&self, now: Instant) -> bool {
        self.sequence != 0 && now < self.expires_at
    }
}

impl Default for DeviceOutputs {
    fn default() -> Self {
        Self::NEVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_units::Duration;

    #[test]
    fn outputs_are_late_from_their_expiry_on() {
        let expires_at = Instant::ZERO + Duration::from_millis(10);
        let outputs = DeviceOutputs { expires_at, sequence: 1, ..DeviceOutputs::NEVER };
        assert!(outputs.is_current(expires_at - Duration::from_nanos(1)));
        assert!(!outputs.is_current(expires_at));
    }

    #[test]
    fn a_tag_outside_the_image_was_never_read() {
        assert_eq!(DeviceInputs::NEVER.sample(TagIndex(TAGS_MAX as u16)), Sample::NEVER);
    }
}
