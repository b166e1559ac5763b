//! Roles that tags of a device profile play for a controller.

use core::fmt;

use hal_field_bus::DeviceProfile;
use hal_process_image::{DeviceInputs, DeviceOutputs, Sample, TagIndex};
use hal_units::{Duration, Instant};

/// An input role: the tag that plays it and its maximum age.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Role {
    tag: TagIndex,
    age_max: Duration,
}

impl Role {
    pub(crate) fn sample(self, image: &DeviceInputs, now: Instant) -> Sample {
        image.sample(self.tag).aged(now, self.age_max)
    }
}

/// A role that no tag plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindError {
    /// The device profile's name.
    pub profile: String,
    /// `input` or `output`.
    pub direction: &'static str,
    /// The name that a tag must have.
    pub role: &'static str,
    /// What needs it.
    pub needed_by: &'static str,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profile, direction, role, needed_by } = self;
        write!(f, "the profile `{profile}` has no {direction} `{role}`, which a {needed_by} needs")
    }
}

impl std::error::Error for BindError {}

/// Finds roles in a profile.
pub(crate) struct Roles<'a> {
    pub(crate) profile: &'a DeviceProfile,
    pub(crate) needed_by: &'static str,
}

impl Roles<'_> {
    fn missing(&self, direction: &'static str, role: &'static str) -> BindError {
        BindError { profile: self.profile.name.clone(), direction, role, needed_by: self.needed_by }
    }

    pub(crate) fn optional(&self, name: &str) -> Option<Role> {
        let tag = self.profile.input(name)?;
        Some(Role { tag, age_max: self.profile.inputs.get(usize::from(tag.0))?.age_max })
    }

    pub(crate) fn input(&self, role: &'static str) -> Result<Role, BindError> {
        self.optional(role).ok_or_else(|| self.missing("input", role))
    }

    pub(crate) fn output(&self, role: &'static str) -> Result<TagIndex, BindError> {
        self.profile.output(role).ok_or_else(|| self.missing("output", role))
    }

    pub(crate) fn life(&self) -> Life {
        let profile = self.profile;
        let range = profile
            .watchdog
            .and_then(|tag| profile.outputs.get(usize::from(tag.0)))
            .map_or(0.0, |tag| tag.limits.1);
        Life { watchdog: profile.watchdog, modulus: range as u64 + 1, epoch: profile.epoch }
    }
}

/// Outputs that say that the cycle is alive, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Life {
    watchdog: Option<TagIndex>,
    modulus: u64,
    epoch: Option<TagIndex>,
}

impl Life {
    /// Puts the watchdog's next count and the epoch into the image.
    pub(crate) fn show(&self, epoch: u32, image: &mut DeviceOutputs) {
        if let Some(tag) = self.watchdog {
            image.set(tag, (u64::from(image.sequence) % self.modulus) as f64);
        }
        if let Some(tag) = self.epoch {
            image.set(tag, f64::from(epoch));
        }
    }
}
