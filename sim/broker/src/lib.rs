//! The MQTT broker of the demo, inside the process: the demo needs nothing installed.
//!
//! # Model
//!
//! `rumqttd` speaks MQTT 5 and MQTT 3.1.1 on separate listeners only, while people reach for
//! `mosquitto_pub` without `-V 5` and then speak 3.1.1. So [`EmbeddedBroker`] runs both listeners on
//! loopback ports of their own and puts a *front* before them on the address that was asked for: it looks
//! at the protocol level in a client's CONNECT packet and passes the bytes on. Both listeners
//! share one router, so a 3.1.1 publisher reaches a 5 subscriber.
//!
//! # Limits
//!
//! It is a broker for demonstrations: no persistence, no authentication, no TLS, and it keeps a few
//! mebibytes of history per topic. `rumqttd` cannot be stopped; dropping the [`EmbeddedBroker`] closes the
//! front and with it every connection, the idle listeners behind it stay until the process ends.

mod farewell;
mod front;
mod seats;
mod sniff;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

use tokio::net::TcpSocket;

use front::Front;
use sniff::Version;

/// The most simultaneous clients: 500 vehicles, and whoever leads and watches them.
pub const CLIENTS_MAX: usize = 640;
/// The largest packet that is accepted, in bytes.
pub const PACKET_BYTES_MAX: usize = 256 * 1024;

/// How long to wait for the listeners to answer.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// History kept per topic: segments of this size, in bytes, times [`SEGMENTS`].
const SEGMENT_BYTES: usize = 1024 * 1024;
const SEGMENTS: usize = 4;

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; give a free address, or port 0 for any free port")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// A thread or its runtime could not be started.
    #[error("cannot start a thread of the broker: {0}; check the limit of processes (ulimit -u)")]
    Thread(std::io::Error),
    /// The listeners behind the front do not answer.
    #[error("the broker did not answer on {address} within {} s", START_TIMEOUT.as_secs())]
    Silent {
        /// Where it should have answered.
        address: SocketAddr,
    },
}

/// A running broker. Dropping it closes every connection.
#[derive(Debug)]
pub struct EmbeddedBroker {
    front: Front,
}

impl EmbeddedBroker {
    /// Starts a broker and returns once it answers.
    ///
    /// `address` is where clients connect, by MQTT 5 or MQTT 3.1.1; port 0 takes any free port, see
    /// [`address`](Self::address).
    ///
    /// # Errors
    /// If the address is taken, a thread cannot be started, or the broker stays silent.
    pub fn start(address: SocketAddr) -> Result<Self, BrokerError> {
        let listener = TcpListener::bind(address).map_err(|error| BrokerError::Listen { address, error })?;
        let (v4, v5) = (reserve_loopback_port()?, reserve_loopback_port()?);
        let behind = Behind { v4: v4.address, v5: v5.address };
        let mut broker = Broker::new(config(behind));
        thread::Builder::new()
            .name("takt-broker".to_owned())
            .spawn(move || {
                if let Err(error) = broker.start() {
                    tracing::error!(%error, "the embedded broker ended");
                }
            })
            .map_err(BrokerError::Thread)?;
        let deadline = Instant::now() + START_TIMEOUT;
        wait_until_it_answers(behind.v4, 4, deadline)?;
        wait_until_it_answers(behind.v5, 5, deadline)?;
        drop((v4, v5));
        let front = Front::start(listener, behind).map_err(BrokerError::Thread)?;
        Ok(Self { front })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// The same as a URL, `mqtt://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address())
    }
}

/// The listeners behind the front.
#[derive(Debug, Clone, Copy)]
struct Behind {
    v4: SocketAddr,
    v5: SocketAddr,
}

impl Behind {
    const fn listener_of(self, version: Version) -> SocketAddr {
        match version {
            Version::V4 => self.v4,
            Version::V5 => self.v5,
        }
    }
}

fn config(behind: Behind) -> Config {
    let server = |name: &str, listen: SocketAddr| {
        let settings = ServerSettings {
            name: name.to_owned(),
            listen,
            tls: None,
            next_connection_delay_ms: 1,
            connections: ConnectionSettings {
                connection_timeout_ms: 5_000,
                max_payload_size: PACKET_BYTES_MAX,
                max_inflight_count: 100,
                auth: None,
                external_auth: None,
                // Without it a publish to a topic that nobody subscribes to closes the connection.
                dynamic_filters: true,
            },
        };
        Some(HashMap::from([("1".to_owned(), settings)]))
    };
    Config {
        id: 0,
        router: RouterConfig {
            // Beyond the front's own limit, so that the router refuses nobody.
            max_connections: CLIENTS_MAX + 16,
            max_outgoing_packet_count: 200,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            ..RouterConfig::default()
        },
        v4: server("takt-broker-v4", behind.v4),
        v5: server("takt-broker-v5", behind.v5),
        ..Config::default()
    }
}

/// A port that the kernel gives to nobody else.
struct Reserved {
    address: SocketAddr,
    _socket: TcpSocket,
}

/// `rumqttd` takes an address, not a listener. A socket that is bound with SO_REUSEADDR and does not listen keeps
/// the port from others, and lets a listener with SO_REUSEADDR, as `rumqttd` uses it, have it.
fn reserve_loopback_port() -> Result<Reserved, BrokerError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let reserve = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(any)?;
        Ok(Reserved { address: socket.local_addr()?, _socket: socket })
    };
    reserve().map_err(|error| BrokerError::Listen { address: any, error })
}

/// Tries a CONNECT of the given protocol level until a CONNACK comes.
fn wait_until_it_answers(address: SocketAddr, level: u8, deadline: Instant) -> Result<(), BrokerError> {
    let mut attempt = 0;
    while Instant::now() < deadline {
        // A new client id each time: see the front's description.
        attempt += 1;
        if answers(address, level, &format!("takt-start-{attempt}")).is_ok_and(|accepted| accepted) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(BrokerError::Silent { address })
}

fn answers(address: SocketAddr, level: u8, client_id: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', level, 0b10, 0, 10];
    body.extend_from_slice(properties);
    body.extend_from_slice(&[0, client_id.len() as u8]);
    body.extend_from_slice(client_id.as_bytes());
    let mut connect = vec![0x10, body.len() as u8];
    connect.extend_from_slice(&body);
    stream.write_all(&connect)?;
    let mut first_byte = [0_u8];
    stream.read_exact(&mut first_byte)?;
    let disconnect = [0xE0, 0];
    stream.write_all(&disconnect)?;
    // Wait until the connection has ended: see the front's description.
    stream.read_to_end(&mut Vec::new())?;
    let connack = 0x20;
    Ok(first_byte == [connack])
}
