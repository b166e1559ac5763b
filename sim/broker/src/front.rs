//! The front: one listener for all, one pair of copied streams per client.
//!
//! `rumqttd` 0.20 breaks down for good when a client's connection fails between its CONNECT and the CONNACK and
//! a client of the same id connects again (a poisoned lock). So the front takes the whole CONNECT before it
//! calls the broker, and stays on the line until the broker has answered, whatever the client does meanwhile.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use crate::sniff::{Sniffed, Version, sniff};
use crate::{Behind, CLIENTS_MAX, PACKET_BYTES_MAX};

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
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return io::Error::other("no more places");
        };
        match listener.accept().await {
            Ok((client, address)) => {
                tokio::spawn(async move {
                    if let Err(error) = serve(client, behind).await {
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

async fn serve(mut client: TcpStream, behind: Behind) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (version, first_bytes) = timeout(HANDSHAKE_TIMEOUT, take_connect(&mut client)).await??;
    let mut broker = TcpStream::connect(behind.listener_of(version)).await?;
    broker.set_nodelay(true)?;
    broker.write_all(&first_bytes).await?;
    timeout(HANDSHAKE_TIMEOUT, broker.peek(&mut [0])).await??;
    copy_bidirectional(&mut client, &mut broker).await?;
    Ok(())
}

/// Reads until the CONNECT packet is whole; what came after it is there, too.
async fn take_connect(client: &mut TcpStream) -> io::Result<(Version, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        match sniff(&bytes) {
            Sniffed::Connect { version, packet_bytes } if packet_bytes <= bytes.len() => {
                return Ok((version, bytes));
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
