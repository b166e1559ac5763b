//! Versions, and where the messages of a vehicle go.

/// A version of the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// 2.1.0
    V2,
    /// 3.0.0
    V3,
}

impl Version {
    /// As headers name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "2.1.0",
            Self::V3 => "3.0.0",
        }
    }

    /// As topics name it.
    pub(crate) const fn major(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
        }
    }

    /// Whether a header's version can be understood: another minor version of the same major one may.
    #[must_use]
    pub fn understands(self, version: &str) -> bool {
        let major = self.major().trim_start_matches('v');
        version.split('.').next() == Some(major)
    }
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Master to vehicle: where to go.
    Order,
    /// Master to vehicle: what to do now.
    InstantActions,
    /// Master to vehicle, 3.0: zones.
    ZoneSet,
    /// Master to vehicle, 3.0: answers to requests.
    Responses,
    /// Vehicle to master: how it is.
    State,
    /// Vehicle to master: where it is, for show.
    Visualization,
    /// Vehicle or broker to master: whether it is there.
    Connection,
    /// Vehicle to master: what it can do.
    Factsheet,
}

impl Topic {
    const ALL: [Self; 8] = [
        Self::Order,
        Self::InstantActions,
        Self::ZoneSet,
        Self::Responses,
        Self::State,
        Self::Visualization,
        Self::Connection,
        Self::Factsheet,
    ];

    /// The last level of its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::InstantActions => "instantActions",
            Self::ZoneSet => "zoneSet",
            Self::Responses => "responses",
            Self::State => "state",
            Self::Visualization => "visualization",
            Self::Connection => "connection",
            Self::Factsheet => "factsheet",
        }
    }
}

/// A vehicle on the broker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    interface: String,
    version: Version,
    manufacturer: String,
    serial: String,
}

/// Why a name cannot be part of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// It is empty.
    Empty,
    /// This character may not be in it.
    Character(char),
}

impl Address {
    /// A vehicle under an interface's name.
    ///
    /// # Errors
    /// If a name is empty or holds a character that topics reserve (`/`, `+`, `#`, `$`), or the serial number
    /// one that is none of letters, digits, `_`, `.`, `:` and `-`.
    pub fn new(
        interface: &str,
        version: Version,
        manufacturer: &str,
        serial: &str,
    ) -> Result<Self, AddressError> {
        let plain = |character: char| !"/+#$".contains(character) && !character.is_control();
        checked(interface, plain)?;
        checked(manufacturer, plain)?;
        checked(serial, |character| character.is_ascii_alphanumeric() || "_.:-".contains(character))?;
        let own = str::to_owned;
        let (interface, manufacturer, serial) = (own(interface), own(manufacturer), own(serial));
        Ok(Self { interface, version, manufacturer, serial })
    }

    /// The version that the vehicle speaks.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Who built it.
    #[must_use]
    pub fn manufacturer(&self) -> &str {
        &self.manufacturer
    }

    /// Its number.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The full name of a topic.
    #[must_use]
    pub fn topic(&self, topic: Topic) -> String {
        let Self { interface, version, manufacturer, serial } = self;
        format!("{interface}/{}/{manufacturer}/{serial}/{}", version.major(), topic.as_str())
    }

    /// Reads a full name; `None` if it is none under this interface, or of a version that is not spoken.
    #[must_use]
    pub fn parse(interface: &str, name: &str) -> Option<(Self, Topic)> {
        let mut levels = name.strip_prefix(interface)?.strip_prefix('/')?.split('/');
        let (major, manufacturer, serial, last) =
            (levels.next()?, levels.next()?, levels.next()?, levels.next()?);
        if levels.next().is_some() {
            return None;
        }
        let version = [Version::V2, Version::V3].into_iter().find(|version| version.major() == major)?;
        let topic = Topic::ALL.into_iter().find(|topic| topic.as_str() == last)?;
        Some((Self::new(interface, version, manufacturer, serial).ok()?, topic))
    }
}

fn checked(name: &str, allowed: impl Fn(char) -> bool) -> Result<(), AddressError> {
    match name.chars().find(|character| !allowed(*character)) {
        Some(character) => Err(AddressError::Character(character)),
        None if name.is_empty() => Err(AddressError::Empty),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_written_and_read_as_the_standard_says() {
        let address = Address::new("uagv", Version::V2, "KIT", "0001").unwrap();
        assert_eq!(address.topic(Topic::InstantActions), "uagv/v2/KIT/0001/instantActions");
        assert_eq!(Address::parse("uagv", "uagv/v2/KIT/0001/state"), Some((address, Topic::State)));
    }

    #[test]
    fn foreign_topics_are_not_taken_for_ours() {
        for name in ["uagv/v1/KIT/1/state", "uagv/v2/KIT/1/other", "uagv/v2/KIT/1/state/x", "x/v2/K/1/state"]
        {
            assert_eq!(Address::parse("uagv", name), None, "{name}");
        }
    }

    #[test]
    fn names_that_would_break_a_topic_are_refused() {
        let new = |manufacturer, serial| Address::new("uagv", Version::V3, manufacturer, serial);
        assert_eq!(new("K/T", "1"), Err(AddressError::Character('/')));
        assert_eq!(new("KIT", "a b"), Err(AddressError::Character(' ')));
        assert_eq!(new("", "1"), Err(AddressError::Empty));
    }

    #[test]
    fn another_minor_version_is_understood_another_major_one_is_not() {
        assert!(Version::V2.understands("2.0.0") && Version::V3.understands("3.0.0"));
        assert!(!Version::V2.understands("3.0.0") && !Version::V3.understands("30.0"));
    }
}
