//! The two links: UDP sockets, each bound to its own network.
//!
//! # Model
//!
//! A link has one socket, bound to a local address (and, if wanted, to an interface) and connected to the
//! peer, so that the kernel passes on what comes from there alone. What is sent while the socket's small
//! buffer is full is lost, which is better than late. A link that cannot be opened, or whose interface goes
//! away, is down and is opened anew again and again; the other one does not wait for it.

use std::future::pending;
use std::io;
use std::net::SocketAddr;

use hal_linux_rt::Errno;
use hal_units::Duration;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use failover_protocol::Link;

/// Expedited forwarding (RFC 3246) is 46; the type-of-service byte holds it above two other bits.
const EXPEDITED_FORWARDING: u32 = 46 << 2;
/// Room for a few states; more would only be old.
const BUFFER_BYTES: usize = 256 << 10;
/// How long a link that is down stays so at least.
const REOPEN_AFTER: Duration = Duration::from_millis(100);

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkConfig {
    /// This node's address on it.
    pub local: SocketAddr,
    /// The peer's.
    pub peer: SocketAddr,
    /// The interface, so that nothing leaves by another one when it is down. Needs `CAP_NET_RAW` before
    /// Linux 5.7.
    pub interface: Option<String>,
}

/// Whether a link can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Its socket is open and takes what is sent. Whether the peer is heard is another question.
    Up,
    /// It could not be opened, or the last datagram did not leave. It is tried again by itself.
    Down {
        /// Why.
        reason: io::ErrorKind,
    },
}

#[derive(Debug)]
enum Line {
    Open { socket: UdpSocket, trouble: Option<io::ErrorKind> },
    Closed { reason: io::ErrorKind, retry_at: Instant },
}

/// The sockets of both links, in a tokio runtime.
#[derive(Debug)]
pub struct LinkSockets {
    configs: [LinkConfig; 2],
    lines: [Line; 2],
}

impl LinkSockets {
    /// Opens both links as far as that goes.
    #[must_use]
    pub fn new(one: LinkConfig, two: LinkConfig) -> Self {
        let configs = [one, two];
        let lines = configs.each_ref().map(Line::opened);
        Self { configs, lines }
    }

    /// How a link is.
    #[must_use]
    pub fn state(&self, link: Link) -> LinkState {
        let [one, two] = &self.lines;
        let line = match link {
            Link::One => one,
            Link::Two => two,
        };
        match line {
            Line::Open { trouble: None, .. } => LinkState::Up,
            Line::Open { trouble: Some(reason), .. } | Line::Closed { reason, .. } => {
                LinkState::Down { reason: *reason }
            }
        }
    }

    /// Sends a datagram at once or not at all.
    pub fn send(&mut self, link: Link, datagram: &[u8]) {
        let line = self.line(link);
        let Line::Open { socket, trouble } = line else { return };
        // Not by the runtime's account of readiness, which is only as new as its last look.
        match SockRef::from(&*socket).send(datagram) {
            Ok(_) => *trouble = None,
            Err(error) => match Failure::of(&error) {
                Failure::Harmless => {}
                Failure::NotNow => *trouble = Some(error.kind()),
                Failure::Lasting => line.close(link, &error),
            },
        }
    }

    /// Waits for the next datagram on either link: its link and its length. One that is longer than `buffer`
    /// is cut off, so give it a byte more than a frame can have. Opens links that are down in between, so keep it
    /// waiting. Loses nothing if it is dropped while it waits.
    pub async fn receive(&mut self, buffer: &mut [u8]) -> (Link, usize) {
        loop {
            let [one, two] = &self.lines;
            let link = tokio::select! {
                () = one.ready() => Link::One,
                () = two.ready() => Link::Two,
            };
            if let Some(length) = self.take(link, buffer) {
                return (link, length);
            }
        }
    }

    /// Takes a further datagram of those that [`LinkSockets::receive`] was woken for.
    pub fn try_receive(&mut self, buffer: &mut [u8]) -> Option<(Link, usize)> {
        Link::ALL.into_iter().find_map(|link| Some((link, self.take(link, buffer)?)))
    }

    fn take(&mut self, link: Link, buffer: &mut [u8]) -> Option<usize> {
        let config = self.config(link).clone();
        let line = self.line(link);
        match line {
            Line::Open { socket, .. } => match socket.try_recv(buffer) {
                Ok(length) => return Some(length),
                Err(error) if Failure::of(&error) == Failure::Lasting => line.close(link, &error),
                Err(_) => {}
            },
            Line::Closed { retry_at, .. } if Instant::now() >= *retry_at => {
                *line = Line::opened(&config);
                if let Line::Open { .. } = line {
                    tracing::info!(?link, "link opened");
                }
            }
            Line::Closed { .. } => {}
        }
        None
    }

    fn line(&mut self, link: Link) -> &mut Line {
        let [one, two] = &mut self.lines;
        match link {
            Link::One => one,
            Link::Two => two,
        }
    }

    fn config(&self, link: Link) -> &LinkConfig {
        let [one, two] = &self.configs;
        match link {
            Link::One => one,
            Link::Two => two,
        }
    }
}

impl Line {
    fn opened(config: &LinkConfig) -> Self {
        match open(config) {
            Ok(socket) => Self::Open { socket, trouble: None },
            Err(error) => Self::closed(&error),
        }
    }

    fn closed(error: &io::Error) -> Self {
        Self::Closed { reason: error.kind(), retry_at: Instant::now() + REOPEN_AFTER }
    }

    fn close(&mut self, link: Link, error: &io::Error) {
        tracing::warn!(?link, %error, "link down");
        *self = Self::closed(error);
    }

    /// Until there is something to do.
    async fn ready(&self) {
        match self {
            Self::Open { socket, .. } => {
                if socket.readable().await.is_err() {
                    // The runtime is going away.
                    pending::<()>().await;
                }
            }
            Self::Closed { retry_at, .. } => sleep_until(*retry_at).await,
        }
    }
}

fn open(config: &LinkConfig) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(config.local), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let Some(interface) = &config.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    if config.local.is_ipv4() {
        socket.set_tos_v4(EXPEDITED_FORWARDING)?;
    } else {
        socket.set_tclass_v6(EXPEDITED_FORWARDING)?;
    }
    socket.bind(&config.local.into())?;
    socket.connect(&config.peer.into())?;
    UdpSocket::from_std(socket.into())
}

/// What a failed call says about its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Nothing: the buffer is full, or the peer's port is not open, of which the kernel tells.
    Harmless,
    /// It cannot be used now: no route, or a filter. The socket is good once that passes.
    NotNow,
    /// The address or the interface is gone: only a new socket can find them again.
    Lasting,
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        if Errno::of(error) == Some(Errno::ENOBUFS) {
            return Self::Harmless;
        }
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused => {
                Self::Harmless
            }
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Self::NotNow,
            _ => Self::Lasting,
        }
    }
}
