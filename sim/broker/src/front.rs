//! The front: one listener for all, one pair of copied streams per client.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use crate::sniff::{SNIFF_BYTES_MAX, Sniffed, sniff};
use crate::{Behind, CLIENTS_MAX};

/// How long a client may take to send its CONNECT.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

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
    let target = match timeout(CONNECT_TIMEOUT, version_of(&client)).await?? {
        Sniffed::V4 => behind.v4,
        Sniffed::V5 => behind.v5,
        Sniffed::Foreign | Sniffed::More => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a CONNECT of MQTT 3.1.1 or MQTT 5"));
        }
    };
    let mut broker = TcpStream::connect(target).await?;
    broker.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut broker).await?;
    Ok(())
}

/// Looks at the first bytes without taking them.
async fn version_of(client: &TcpStream) -> io::Result<Sniffed> {
    let mut first_bytes = [0; SNIFF_BYTES_MAX];
    loop {
        let count = client.peek(&mut first_bytes).await?;
        match sniff(first_bytes.get(..count).unwrap_or_default()) {
            Sniffed::More if count == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            // `peek` returns at once while the same bytes lie there: leave time for the rest.
            Sniffed::More => sleep(Duration::from_millis(1)).await,
            sniffed @ (Sniffed::V4 | Sniffed::V5 | Sniffed::Foreign) => return Ok(sniffed),
        }
    }
}
