//! The Unix socket on which plans are offered.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use agent_plan::wire::{Answer, Ask, Deframer, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Clients at a time; further ones wait.
const CLIENTS_MAX: usize = 8;
/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// A question, and where its answer goes.
pub(super) type Asked = (Ask, oneshot::Sender<Answer>);

/// Opens the socket, for the agent's own user and group alone. One that nobody answers on is left over from a
/// crash and is removed.
pub(super) fn open(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(io::Error::other("is there and is no socket"));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::other("another agent answers there"));
        }
        std::fs::remove_file(path)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o660))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves clients until the task is dropped.
pub(super) async fn serve(listener: std::os::unix::net::UnixListener, asks: mpsc::Sender<Asked>) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "plans cannot be offered: the socket cannot be used");
            return;
        }
    };
    let slots = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let asks = asks.clone();
                tokio::task::spawn_local(async move {
                    if let Err(error) = client(stream, asks).await {
                        tracing::warn!(%error, "a client for plans was sent away");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of descriptors, for example: it passes.
                tracing::error!(%error, "a client for plans cannot be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// One question after the other, each answered before the next one is read.
async fn client(mut stream: UnixStream, asks: mpsc::Sender<Asked>) -> io::Result<()> {
    let mut deframer = Deframer::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        while let Some(frame) = deframer.next_frame()? {
            let ask = Ask::decode(frame).map_err(io::Error::other)?;
            let (reply, answer) = oneshot::channel();
            if asks.send((ask, reply)).await.is_err() {
                return Ok(());
            }
            let Ok(answer) = answer.await else { return Ok(()) };
            let (kind, body) = answer.encode();
            let bytes = frame::encode(kind, &body).ok_or(io::ErrorKind::InvalidData)?;
            stream.write_all(&bytes).await?;
        }
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        deframer.push(chunk.get(..length).unwrap_or_default());
    }
}
