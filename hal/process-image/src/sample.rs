//! A value that says how far it can be trusted.

use hal_units::{Duration, Instant};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// How far a value can be trusted. Ordered: a later variant is less trustworthy.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, Schema,
)]
#[repr(u8)]
pub enum Quality {
    /// Read from the device within its maximum age, plausible.
    Good = 0,
    /// Read from the device, but older than one would like or doubtful by the device's own word.
    Uncertain = 1,
    /// Not from the device: a declared replacement.
    Substituted = 2,
    /// Not to be used: never read, too old, implausible, or not a number.
    #[default]
    Bad = 3,
}

impl Quality {
    /// The less trustworthy of two.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        self.max(other)
    }

    /// Whether a controller may use the value as a measurement.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Good | Self::Uncertain)
    }

    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Uncertain => "uncertain",
            Self::Substituted => "substituted",
            Self::Bad => "bad",
        }
    }
}

/// One tag's value with its quality, acquisition time and scan sequence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct Sample {
    /// Engineering value, SI unit of the tag.
    pub value: f64,
    /// Trust in the value.
    pub quality: Quality,
    /// When the request that fetched the value left: the value is at most this old.
    pub acquired_at: Instant,
    /// Number of the scan, counted by the driver, wrapping.
    pub sequence: u32,
}

impl Sample {
    /// A tag that was never read.
    pub const NEVER: Self =
        Self { value: 0.0, quality: Quality::Bad, acquired_at: Instant::ZERO, sequence: 0 };

    /// Age at `now`; zero if acquired in the future.
    #[must_use]
    pub const fn age(&self, now: Instant) -> Duration {
        now.since(self.acquired_at)
    }

    /// The sample as it is to be trusted at `now`: bad once older than `max_age` or not finite.
    #[must_use]
    pub fn aged(mut self, now: Instant, max_age: Duration) -> Self {
        if !self.value.is_finite() || self.age(now) > max_age {
            self.quality = Quality::Bad;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample_taken_at(millis: u64) -> Sample {
        Sample {
            value: 1.0,
            quality: Quality::Good,
            acquired_at: Instant::ZERO + Duration::from_millis(millis),
            sequence: 1,
        }
    }

    #[test]
    fn a_sample_older_than_its_maximum_age_is_bad() {
        let now = Instant::ZERO + Duration::from_millis(100);
        let max_age = Duration::from_millis(50);
        assert_eq!(sample_taken_at(50).aged(now, max_age).quality, Quality::Good);
        assert_eq!(sample_taken_at(49).aged(now, max_age).quality, Quality::Bad);
    }

    #[test]
    fn a_value_that_is_no_number_is_bad() {
        let mut sample = sample_taken_at(0);
        sample.value = f64::NAN;
        assert_eq!(sample.aged(Instant::ZERO, Duration::from_secs(1)).quality, Quality::Bad);
    }

    #[test]
    fn the_worse_quality_wins() {
        assert_eq!(Quality::Uncertain.worst(Quality::Good), Quality::Uncertain);
        assert_eq!(Quality::Uncertain.worst(Quality::Bad), Quality::Bad);
    }
}
