//! What a client needs to know.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;
use std::time;

use hal_units::{Duration, Instant};
use jiff::Timestamp;

use crate::outbox::OutboxId;
use crate::topic::{TopicError, check_topic};

/// Where a broker listens: `mqtt://host:port`, without a port 1883.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    host: String,
    port: u16,
}

/// Why a URL is not one of a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("{url:?} is not the URL of a broker; write mqtt://HOST or mqtt://HOST:PORT")]
    Form {
        /// The text.
        url: String,
    },
    /// TLS is asked for.
    #[error(
        "{url:?} asks for TLS, which this build does not carry; put a TLS tunnel or a bridging broker on this \
         host, and give mqtt://127.0.0.1:PORT"
    )]
    Tls {
        /// The text.
        url: String,
    },
    /// The URL carries a user.
    #[error("the URL carries credentials; give user name and password in their own settings, not in the URL")]
    Credentials,
}

impl BrokerUrl {
    /// Reads `mqtt://host:port` or `tcp://host:port`; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let form = || UrlError::Form { url: url.to_owned() };
        let (scheme, rest) = url.split_once("://").ok_or_else(form)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err(UrlError::Credentials);
        }
        match scheme {
            "mqtt" | "tcp" => {}
            "mqtts" | "ssl" | "tls" => return Err(UrlError::Tls { url: url.to_owned() }),
            _ => return Err(form()),
        }
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of a bare "[::1]" are not those of a port.
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().ok().filter(|port| *port > 0).ok_or_else(form)?)
            }
            Some(_) | None => (authority, 1883),
        };
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        let allowed = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || is_bracketed && "[]:%".contains(c)
        };
        if host.is_empty() || host == "[]" || !host.chars().all(allowed) {
            return Err(form());
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// Name or address of the host, an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

/// User name and password. The password never shows in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Whether a client speaks, or listens for the other node of a pair that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Commands are answered and handed out, values are published.
    Speaking,
    /// Commands are judged and remembered as if they were, but neither answered nor handed out, and no
    /// values are published. Presence is, and answers that were made while it spoke still leave.
    Silent,
}

/// Settings of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttOptions {
    /// The broker.
    pub broker: BrokerUrl,
    /// Names this client to the broker; two clients of one name throw each other out.
    pub client_id: String,
    /// For the broker's access control.
    pub credentials: Option<Credentials>,
    /// A broker that is silent for up to twice this long counts as gone. Whole seconds, 5 to 65,535.
    pub keep_alive: Duration,
    /// How long the broker keeps the session, and the commands sent meanwhile, for a client that is away.
    pub session_expiry: Duration,
    /// Unacknowledged publishes at most, 1 to 1000; the broker may ask for fewer.
    pub window: u16,
    /// How long connecting may take. Whole seconds.
    pub connect_timeout: Duration,
    /// How long the broker may owe an acknowledgement before the connection is given up.
    pub ack_timeout: Duration,
    /// First pause before connecting again; it doubles with each failure.
    pub backoff_min: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// Retained topic with `{"online":true}`, or `{"online":false}` by last will.
    pub presence_topic: Option<String>,
    /// Whether the client speaks from the start: see [`Voice`].
    pub voice: Voice,
    /// Messages that may wait between the callers and the outbox.
    pub publish_queue: usize,
    /// Commands that may wait for the agent; when it is full, commands are refused as busy.
    pub command_queue: usize,
}

impl MqttOptions {
    /// The usual settings.
    #[must_use]
    pub fn new(broker: BrokerUrl, client_id: impl Into<String>) -> Self {
        Self {
            broker,
            client_id: client_id.into(),
            credentials: None,
            keep_alive: Duration::from_secs(10),
            session_expiry: Duration::from_secs(3600),
            window: 64,
            connect_timeout: Duration::from_secs(5),
            ack_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            presence_topic: None,
            voice: Voice::Speaking,
            publish_queue: 4096,
            command_queue: 64,
        }
    }

    /// Whether the settings are within their ranges.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), OptionsError> {
        let range = |setting, is_within: bool, allowed| {
            if is_within { Ok(()) } else { Err(OptionsError::OutOfRange { setting, allowed }) }
        };
        range("client_id", (1..=128).contains(&self.client_id.len()), "1 to 128 bytes")?;
        range("keep_alive", (5..=65_535).contains(&self.keep_alive.as_secs()), "5 s to 65535 s")?;
        range("session_expiry", self.session_expiry.as_secs() < u64::from(u32::MAX), "below 2^32 s")?;
        range("window", (1..=1000).contains(&self.window), "1 to 1000")?;
        range("connect_timeout", (1..=60).contains(&self.connect_timeout.as_secs()), "1 s to 60 s")?;
        range("ack_timeout", self.ack_timeout >= Duration::from_secs(1), "at least 1 s")?;
        let pauses = self.backoff_min >= Duration::from_millis(1) && self.backoff_min <= self.backoff_max;
        range("backoff_min", pauses, "at least 1 ms and at most backoff_max")?;
        range("publish_queue", (1..=1 << 20).contains(&self.publish_queue), "1 to 1048576")?;
        range("command_queue", (1..=1 << 16).contains(&self.command_queue), "1 to 65536")?;
        self.presence_topic.as_deref().map_or(Ok(()), check_topic)?;
        Ok(())
    }
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A setting is out of its range.
    #[error("{setting} is out of range; allowed: {allowed}")]
    OutOfRange {
        /// The setting.
        setting: &'static str,
        /// Its range.
        allowed: &'static str,
    },
    /// The presence topic is none.
    #[error("presence_topic: {0}")]
    Topic(#[from] TopicError),
}

/// The two clocks that a client reads.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// For intervals and timeouts; never goes back.
    pub monotonic: fn() -> Instant,
    /// For the times in commands and answers.
    pub wall: fn() -> Timestamp,
}

impl Clock {
    /// The system's clocks; the monotonic one counts from the first use.
    #[must_use]
    pub const fn system() -> Self {
        Self { monotonic: since_first_use, wall: Timestamp::now }
    }
}

fn since_first_use() -> Instant {
    static ORIGIN: OnceLock<time::Instant> = OnceLock::new();
    Instant::ZERO + ORIGIN.get_or_init(time::Instant::now).elapsed()
}

impl OutboxId {
    /// Draws a name for a new outbox.
    #[must_use]
    pub fn draw() -> Self {
        Self(std::hash::RandomState::new().build_hasher().finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_brokers_are_read() {
        for (url, host, port) in [
            ("mqtt://broker.site:1884", "broker.site", 1884),
            ("mqtt://127.0.0.1", "127.0.0.1", 1883),
            ("tcp://[::1]:2883/", "[::1]", 2883),
            ("mqtt://[fe80::1%eth0]", "[fe80::1%eth0]", 1883),
        ] {
            assert_eq!(BrokerUrl::parse(url), Ok(BrokerUrl { host: host.to_owned(), port }), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for url in [
            "",
            "broker",
            "broker:1883",
            "http://b",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://b:0",
            "mqtt://b:x",
            "mqtt://b:99999",
            "mqtt://b/path",
            "mqtt://::1",
            "mqtt://[]:1",
            "mqtt://a b",
        ] {
            assert!(matches!(BrokerUrl::parse(url), Err(UrlError::Form { .. })), "{url}");
        }
        assert!(matches!(BrokerUrl::parse("mqtts://b"), Err(UrlError::Tls { .. })));
        assert_eq!(BrokerUrl::parse("mqtt://me:secret@b"), Err(UrlError::Credentials));
    }

    #[test]
    fn the_password_does_not_show() {
        let credentials = Credentials { username: "me".to_owned(), password: "secret".to_owned() };
        assert!(!format!("{credentials:?}").contains("secret"));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let options = MqttOptions::new(BrokerUrl::parse("mqtt://b").unwrap(), "node-1");
        assert_eq!(options.check(), Ok(()));
        let bad = MqttOptions { keep_alive: Duration::from_secs(4), ..options.clone() };
        assert!(bad.check().unwrap_err().to_string().starts_with("keep_alive"));
        let bad = MqttOptions { presence_topic: Some("a/#".to_owned()), ..options };
        assert!(matches!(bad.check(), Err(OptionsError::Topic(_))));
    }
}
