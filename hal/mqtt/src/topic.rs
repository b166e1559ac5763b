//! Names of topics: `takt/v1/{site}/{unit}/...`.

use std::fmt;

/// Every topic of Takt begins with it.
pub const TOPIC_PREFIX: &str = "takt/v1/";
/// The longest topic that is used, in bytes (MQTT allows 65,535).
pub const TOPIC_BYTES_MAX: usize = 512;
/// The longest name of a site or a unit, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Why a text is not a topic to publish to, or not a name within one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Empty, too long, or with a character that has a meaning of its own.
    #[error(
        "{topic:?} is not a topic to publish to: 1 to {TOPIC_BYTES_MAX} bytes without '+', '#' and control \
         characters, not starting with '$'"
    )]
    Topic {
        /// The text, cut to a readable length.
        topic: String,
    },
    /// Empty, too long, or with a character other than the allowed ones.
    #[error("{name:?} is not a name: 1 to {NAME_BYTES_MAX} of the characters a-z A-Z 0-9 . _ -")]
    Name {
        /// The text, cut to a readable length.
        name: String,
    },
}

/// Checks that a text can be published to.
///
/// # Errors
/// See [`TopicError::Topic`].
pub fn check_topic(topic: &str) -> Result<(), TopicError> {
    let forbidden = |c: char| matches!(c, '+' | '#') || c.is_control();
    let fits = (1..=TOPIC_BYTES_MAX).contains(&topic.len());
    if fits && !topic.starts_with('$') && !topic.contains(forbidden) {
        Ok(())
    } else {
        Err(TopicError::Topic { topic: cut(topic) })
    }
}

/// Name of a site, a unit or a node: one level of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// See [`TopicError::Name`].
    pub fn new(name: &str) -> Result<Self, TopicError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(TopicError::Name { name: cut(name) })
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The topics of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    site: Name,
}

impl Topics {
    /// The topics of a site.
    #[must_use]
    pub const fn new(site: Name) -> Self {
        Self { site }
    }

    /// The site.
    #[must_use]
    pub const fn site(&self) -> &Name {
        &self.site
    }

    /// Retained state of a unit.
    #[must_use]
    pub fn state(&self, unit: &Name) -> String {
        format!("{TOPIC_PREFIX}{}/{unit}/state", self.site)
    }

    /// Whether a node is there, retained; the broker publishes the end of it by last will.
    #[must_use]
    pub fn online(&self, node: &Name) -> String {
        format!("{TOPIC_PREFIX}{}/{node}/online", self.site)
    }

    /// Filter for all commands to a unit.
    #[must_use]
    pub fn commands(&self, unit: &Name) -> String {
        format!("{TOPIC_PREFIX}{}/{unit}/cmd/+", self.site)
    }

    /// One command.
    #[must_use]
    pub fn command(&self, unit: &Name, command: &str) -> String {
        format!("{TOPIC_PREFIX}{}/{unit}/cmd/{command}", self.site)
    }

    /// Unit and command that a topic names, if it is a command's topic of this site.
    #[must_use]
    pub fn parse_command<'a>(&self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        let rest = topic.strip_prefix(TOPIC_PREFIX)?.strip_prefix(self.site.as_str())?.strip_prefix('/')?;
        let (unit, rest) = rest.split_once('/')?;
        let command = rest.strip_prefix("cmd/")?;
        (!unit.is_empty() && !command.is_empty() && !command.contains('/')).then_some((unit, command))
    }
}

/// Where a command is answered that does not say where.
#[must_use]
pub fn default_answer_topic(command_topic: &str) -> String {
    format!("{command_topic}/ack")
}

/// A text from outside, short enough for an error or a log line.
pub(crate) fn cut(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Topics {
        Topics::new(Name::new("north").unwrap())
    }

    #[test]
    fn a_command_topic_is_taken_apart_and_put_together() {
        let unit = Name::new("wt-01").unwrap();
        let topic = site().command(&unit, "stop");
        assert_eq!(topic, "takt/v1/north/wt-01/cmd/stop");
        assert_eq!(site().parse_command(&topic), Some(("wt-01", "stop")));
    }

    #[test]
    fn other_topics_are_no_commands() {
        for topic in [
            "takt/v1/south/wt-01/cmd/stop",
            "takt/v1/north/wt-01/state",
            "takt/v1/north/wt-01/cmd/",
            "takt/v1/north/wt-01/cmd/stop/ack",
            "takt/v1/north//cmd/stop",
            "takt/v1/northern/wt-01/cmd/stop",
            "takt/v1/north",
            "",
        ] {
            assert_eq!(site().parse_command(topic), None, "{topic}");
        }
    }

    #[test]
    fn names_and_topics_with_meaning_are_refused() {
        for name in ["", "a/b", "a+b", "#", "a b", "ü", &"x".repeat(65)] {
            assert!(Name::new(name).is_err(), "{name}");
        }
        for topic in ["", "a/+", "a/#", "$SYS/x", "a\0b", &"x".repeat(513)] {
            assert!(check_topic(topic).is_err(), "{topic}");
        }
        assert!(check_topic("answers/op 1").is_ok());
    }
}
