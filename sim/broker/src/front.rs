//! The front: one listener for all, one pair of copied streams per client.
//!
//! `rumqttd` 0.20 cannot stand it when one connection begins while another one ends: it may take the end of the
//! old one for the end of the new one, which got its number, and if that happens before the CONNACK, a lock is
//! poisoned and nobody is let in from then on. So connections begin and end one at a time here, at the
//! [`Turnstile`]: a beginning lasts from the CONNECT until the broker has answered, an end from the DISCONNECT, or
//! the end of the client's stream, until the broker has closed its side. A client that comes again while it is
//! there is made to go first ([`Seats`]).
//!
//! Nor does it switch off Nagle's algorithm (RFC 896): what it says waits until all that it has said before is acknowledged, and
//! the kernel takes up to 40 ms for that where nothing is said back. So the front acknowledges at once.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use crate::farewell::Stream;
use crate::seats::Seats;
use crate::sniff::{Sniffed, Version, client_id, sniff};
use crate::{Behind, CLIENTS_MAX, PACKET_BYTES_MAX};

/// How much is carried at a time, in bytes.
const PORTION_BYTES: usize = 16 * 1024;
/// How long a client may take for its CONNECT, and the broker to answer it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Front {
    address: SocketAddr,
    /// Dropping it ends the thread and closes the connections.
    _running: oneshot::Sender<()>,
}

impl Front {
    pub(crate) fn start(listener: TcpListener, behind: Behind) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (running, ended) = oneshot::channel();
        thread::Builder::new().name("takt-broker-front".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    error = accept(listener, behind) => tracing::error!(%error, "the broker's front ended"),
                }
            });
        })?;
        Ok(Self { address, _running: running })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Accepts until the listener itself is unusable, and returns why.
async fn accept(listener: TcpListener, behind: Behind) -> io::Error {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let seats = Arc::new(Seats::default());
    let turnstile = Turnstile::default();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return io::Error::other("no more places");
        };
        match listener.accept().await {
            Ok((client, address)) => {
                let (seats, turnstile) = (Arc::clone(&seats), Arc::clone(&turnstile));
                tokio::spawn(async move {
                    if let Err(error) = serve(client, behind, seats, turnstile).await {
                        tracing::debug!(%address, %error, "a client's connection ended");
                    }
                    drop(place);
                });
            }
            // Out of file descriptors, or the client was gone again: both pass.
            Err(error) => {
                tracing::warn!(%error, "a client could not be accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Whoever holds it may begin or end a connection.
type Turnstile = Arc<Mutex<()>>;

async fn serve(
    mut client: TcpStream,
    behind: Behind,
    seats: Arc<Seats>,
    turnstile: Turnstile,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (version, first_bytes, more) = timeout(HANDSHAKE_TIMEOUT, take_connect(&mut client)).await??;
    let claim = seats.claim(client_id(version, &first_bytes).unwrap_or_default());
    let _sitting = claim.sit_down(HANDSHAKE_TIMEOUT * 2).await?;
    let beginning = turnstile.lock().await;
    let mut broker = TcpStream::connect(behind.listener_of(version)).await?;
    broker.set_nodelay(true)?;
    let (mut broker_out, mut broker_in) = broker.split();
    let answer = async {
        broker_in.write_all(&first_bytes).await?;
        timeout(HANDSHAKE_TIMEOUT, broker_out.peek(&mut [0])).await?
    };
    let answered = answer.await;
    drop(beginning);
    let (mut client_out, mut client_in) = client.split();
    let talk = async {
        answered?;
        tokio::select! {
            farewell = carry(more, &mut client_out, &mut broker_in) => farewell,
            ended = carry_back(&mut broker_out, &mut client_in) => ended.map(|()| Vec::new()),
            () = claim.is_wanted() => Ok(Vec::new()),
        }
    };
    let farewell = talk.await;
    let _ending = turnstile.lock().await;
    broker_in.write_all(farewell.as_deref().unwrap_or_default()).await.ok();
    broker_in.shutdown().await.ok();
    // By the time the broker closes its side it has noted the end.
    let closed = carry_back(&mut broker_out, &mut client_in);
    timeout(HANDSHAKE_TIMEOUT, closed).await.ok();
    farewell.map(drop)
}

/// Carries what the client says until it says goodbye, and gives the goodbye.
async fn carry(
    mut bytes: Vec<u8>,
    client: &mut (impl AsyncRead + Unpin),
    broker: &mut (impl AsyncWrite + Unpin),
) -> io::Result<Vec<u8>> {
    let mut stream = Stream::default();
    // Reading into a vector takes what it has room for, and without room very little.
    bytes.reserve(PORTION_BYTES);
    loop {
        if let Some(at) = stream.farewell_in(&bytes) {
            let farewell = bytes.split_off(at);
            broker.write_all(&bytes).await?;
            return Ok(farewell);
        }
        broker.write_all(&bytes).await?;
        bytes.clear();
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(Vec::new());
        }
    }
}

/// Carries what the broker says until it closes its side.
async fn carry_back(broker: &mut ReadHalf<'_>, client: &mut WriteHalf<'_>) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(PORTION_BYTES);
    while broker.read_buf(&mut bytes).await? > 0 {
        broker.as_ref().set_quickack(true)?;
        client.write_all(&bytes).await?;
        bytes.clear();
    }
    Ok(())
}

/// Reads until the CONNECT packet is whole, and gives it and what came after it.
async fn take_connect(client: &mut TcpStream) -> io::Result<(Version, Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(4096);
    loop {
        match sniff(&bytes) {
            Sniffed::Connect { version, packet_bytes } if packet_bytes <= bytes.len() => {
                let more = bytes.split_off(packet_bytes);
                return Ok((version, bytes, more));
            }
            Sniffed::Connect { packet_bytes, .. } if packet_bytes <= PACKET_BYTES_MAX => {}
            Sniffed::More => {}
            Sniffed::Connect { .. } | Sniffed::Foreign => {
                let what = "not a CONNECT of MQTT 3.1.1 or MQTT 5, or too large";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    /// Notes how long each write is.
    #[derive(Default)]
    struct Writes(Vec<usize>);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_message_that_has_come_whole_is_carried_on_whole() {
        let mut publish = vec![0x30, 0xd0, 0x0f];
        publish.resize(3 + 2000, b'x');
        let mut broker = Writes::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let farewell = runtime.block_on(carry(Vec::new(), &mut publish.as_slice(), &mut broker));
        assert!(farewell.unwrap().is_empty());
        assert_eq!(broker.0, [publish.len()]);
    }
}
