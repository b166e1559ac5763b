//! A point in time as a plan writes it.

use core::fmt;
use core::str::FromStr;

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A point in UTC, in whole milliseconds since 1970; written as RFC 3339, for example `2026-11-25T11:00:00Z`.
/// From 1970 to the end of the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UtcTime(u64);

/// 9999-12-30T22:00:00Z, the last time that the calendar used here can write.
const MILLIS_MAX: u64 = 253_402_207_200_000;

/// Why a text is no point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeError {
    /// It is not RFC 3339.
    Text,
    /// It is before 1970 or after the end of 9999.
    Range,
    /// It is finer than a millisecond.
    Fraction,
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "no RFC 3339 time; write it like 2026-11-25T11:00:00Z",
            Self::Range => "a time before 1970 or after 9999",
            Self::Fraction => "a time finer than a millisecond",
        })
    }
}

impl std::error::Error for TimeError {}

impl UtcTime {
    /// The point so many milliseconds after 1970; later ones than the last count as the last.
    #[must_use]
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(if millis < MILLIS_MAX { millis } else { MILLIS_MAX })
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn unix_millis(self) -> u64 {
        self.0
    }

    /// Milliseconds from `earlier` to this point; 0 if that is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl FromStr for UtcTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let time: jiff::Timestamp = text.parse().map_err(|_| TimeError::Text)?;
        if time.subsec_nanosecond() % 1_000_000 != 0 {
            return Err(TimeError::Fraction);
        }
        let millis = u64::try_from(time.as_millisecond()).map_err(|_| TimeError::Range)?;
        if millis > MILLIS_MAX {
            return Err(TimeError::Range);
        }
        Ok(Self(millis))
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        // The range of this type lies within the calendar's.
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        time.fmt(f)
    }
}

impl Serialize for UtcTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = UtcTime;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<UtcTime, E> {
                text.parse().map_err(|error: TimeError| E::custom(format!("`{text}` is {error}")))
            }
        }
        deserializer.deserialize_str(Text).map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for UtcTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UtcTime".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_and_fractions_are_one_point_in_time() {
        let noon: UtcTime = "2026-11-25T12:00:00Z".parse().unwrap();
        assert_eq!("2026-11-25T13:00:00.000+01:00".parse(), Ok(noon));
        assert_eq!(noon.to_string(), "2026-11-25T12:00:00Z");
        assert_eq!(UtcTime::from_unix_millis(noon.unix_millis() + 20).to_string(), "2026-11-25T12:00:00.02Z");
    }

    #[test]
    fn what_is_no_such_time_is_refused_with_the_reason() {
        assert_eq!("yesterday".parse::<UtcTime>(), Err(TimeError::Text));
        assert_eq!("1969-12-31T23:59:59Z".parse::<UtcTime>(), Err(TimeError::Range));
        assert_eq!("2026-11-25T12:00:00.0001Z".parse::<UtcTime>(), Err(TimeError::Fraction));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0..=MILLIS_MAX) {
            let time = UtcTime::from_unix_millis(millis);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
