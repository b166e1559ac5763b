//! What all messages begin with.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::address::Address;

/// The common fields of all messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Counts the messages of a topic from 0, and begins again after the largest.
    pub header_id: u32,
    /// When the message was made, in UTC with milliseconds.
    #[serde(with = "milliseconds")]
    pub timestamp: Timestamp,
    /// The full version.
    pub version: String,
    /// Who built the vehicle.
    pub manufacturer: String,
    /// The vehicle's number.
    pub serial_number: String,
}

impl Header {
    /// The header of the message `header_id` of a topic, to a vehicle.
    #[must_use]
    pub fn new(address: &Address, header_id: u32, timestamp: Timestamp) -> Self {
        Self {
            header_id,
            timestamp,
            version: address.version().as_str().to_owned(),
            manufacturer: address.manufacturer().to_owned(),
            serial_number: address.serial().to_owned(),
        }
    }

    /// Whether a vehicle with this address may have sent it.
    #[must_use]
    pub fn is_from(&self, address: &Address) -> bool {
        self.manufacturer == address.manufacturer() && self.serial_number == address.serial()
    }
}

/// ISO 8601 in UTC with milliseconds, as the standard writes it; any offset and precision is read.
mod milliseconds {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{time:.3}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Version;

    #[test]
    fn a_header_has_milliseconds_in_utc() {
        let address = Address::new("uagv", Version::V2, "KIT", "1").unwrap();
        let time = "2026-03-01T12:00:00.5+01:00".parse().unwrap();
        let text = serde_json::to_value(Header::new(&address, 7, time)).unwrap();
        assert_eq!(text["timestamp"], "2026-03-01T11:00:00.500Z");
        assert_eq!((&text["headerId"], &text["version"]), (&7.into(), &"2.1.0".into()));
    }
}
