//! Where the sidecar is asked: HTTP, on a Unix socket for `takt-sidecar status`, and over TCP for Prometheus.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use crate::report::{METRICS_TYPE, Report, metrics};

/// A question is shorter, and comes at once.
const QUESTION_BYTES_MAX: usize = 8 << 10;
const WITHIN: Duration = Duration::from_secs(2);
/// An answer is shorter.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// The last report.
pub(crate) type Shared = Arc<Mutex<Report>>;

/// Opens the Unix socket, for the sidecar's own user and group alone. One that nobody answers on is left over, and is
/// removed.
pub(crate) fn open(path: &Path) -> Result<UnixListener, String> {
    let failed = |error: io::Error| format!("{}: {error}; give another --status-socket", path.display());
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(failed(io::Error::other("is there and is no socket")));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(failed(io::Error::other("another sidecar answers there")));
        }
        std::fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o660)).map_err(failed)?;
    Ok(listener)
}

/// Serves the status on the Unix socket, for ever; one client at a time.
pub(crate) async fn serve_status(listener: UnixListener, report: Shared) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => answer(stream, &report).await,
            Err(error) => rest(&error).await,
        }
    }
}

/// Serves metrics over TCP, for ever; one client at a time.
pub(crate) async fn serve_metrics(address: SocketAddr, report: Shared) -> Result<(), String> {
    let listener =
        TcpListener::bind(address).await.map_err(|error| format!("--metrics {address}: {error}"))?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => answer(stream, &report).await,
                Err(error) => rest(&error).await,
            }
        }
    });
    Ok(())
}

/// Out of descriptors, for example: it passes.
async fn rest(error: &io::Error) {
    tracing::warn!(%error, "a client cannot be accepted");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, report: &Shared) {
    // Whoever is slow, or leaves, gets no answer.
    let _ = tokio::time::timeout(WITHIN, async {
        let mut question = Vec::new();
        let mut chunk = [0; 1024];
        while !question.ends_with(b"\r\n\r\n") && question.len() < QUESTION_BYTES_MAX {
            let length = stream.read(&mut chunk).await?;
            if length == 0 {
                break;
            }
            question.extend_from_slice(chunk.get(..length).unwrap_or_default());
        }
        let report = report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stream.write_all(&reply(&question, &report)).await?;
        stream.shutdown().await
    })
    .await;
}

/// The answer to a request.
fn reply(question: &[u8], report: &Report) -> Vec<u8> {
    let line = String::from_utf8_lossy(question.split(|byte| *byte == b'\r').next().unwrap_or_default())
        .into_owned();
    let mut words = line.split(' ');
    let (status, kind, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/v1/report")) => {
            ("200 OK", "application/json", serde_json::to_string(report).unwrap_or_default())
        }
        (Some("GET"), Some("/metrics")) => ("200 OK", METRICS_TYPE, metrics(report)),
        (Some("GET"), Some("/healthz")) => ("200 OK", "text/plain", "ok\n".to_owned()),
        _ => ("404 Not Found", "text/plain", "ask for /metrics, /healthz or /v1/report\n".to_owned()),
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The report of the sidecar behind a socket.
pub(crate) fn ask(socket: &Path) -> io::Result<Report> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.set_write_timeout(Some(WITHIN))?;
    stream.write_all(b"GET /v1/report HTTP/1.1\r\nHost: takt\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(question: &str) -> String {
        String::from_utf8(reply(question.as_bytes(), &Report::default())).unwrap()
    }

    #[test]
    fn what_there_is_not_is_not_found_and_what_there_is_is_named() {
        let text = text("POST /metrics HTTP/1.1\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 404") && text.contains("/v1/report"), "{text}");
    }

    #[test]
    fn metrics_have_their_media_type() {
        let text = text("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 200") && text.contains(METRICS_TYPE), "{text}");
    }
}
