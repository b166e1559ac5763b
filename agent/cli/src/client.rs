//! Asks a running agent for its report.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_status::Report;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// A report is far smaller; an answer beyond this is no report.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// An agent answers within milliseconds, even when it is busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error(
        "{socket}: no agent answers ({error})\n  remedy: give the [admin] socket of a running agent with --socket, or start one"
    )]
    NoAgent {
        /// The socket.
        socket: PathBuf,
        /// What the kernel answered.
        error: std::io::Error,
    },
    /// Something else listens, or the agent hangs.
    #[error(
        "{socket}: the answer is no report: {why}\n  remedy: check that this is the socket of an agent of this version"
    )]
    NoReport {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The report of the agent behind `socket`.
pub(crate) fn report(socket: &Path) -> Result<Report, ClientError> {
    let body = exchange(socket, Method::GET, "/v1/report")?;
    let no_report = |why: String| ClientError::NoReport { socket: socket.to_owned(), why };
    match body {
        (status, body) if status.is_success() => {
            serde_json::from_slice(&body).map_err(|error| no_report(error.to_string()))
        }
        (status, _) => Err(no_report(status.to_string())),
    }
}

/// Asks the agent behind `socket` to hand over to its peer; the inner error is its reason not to.
pub(crate) fn ask_switchover(socket: &Path) -> Result<Result<(), String>, ClientError> {
    asked(socket, "/pair/switchover")
}

/// Asks the agent behind `socket` to write its last cycles; the inner error is its reason not to.
pub(crate) fn ask_trace(socket: &Path) -> Result<Result<(), String>, ClientError> {
    asked(socket, "/trace")
}

fn asked(socket: &Path, path: &str) -> Result<Result<(), String>, ClientError> {
    let (status, body) = exchange(socket, Method::POST, path)?;
    let why = String::from_utf8_lossy(&body).trim().to_owned();
    Ok(if status.is_success() { Ok(()) } else { Err(why) })
}

/// One request and its answer.
fn exchange(socket: &Path, method: Method, path: &str) -> Result<(StatusCode, Bytes), ClientError> {
    let no_report = |why: String| ClientError::NoReport { socket: socket.to_owned(), why };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| no_report(error.to_string()))?;
    runtime.block_on(async {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| ClientError::NoAgent { socket: socket.to_owned(), error })?;
        match tokio::time::timeout(ANSWER_WITHIN, ask(stream, method, path)).await {
            Ok(answer) => answer.map_err(no_report),
            Err(_) => Err(no_report(format!("none within {ANSWER_WITHIN:?}"))),
        }
    })
}

async fn ask(stream: UnixStream, method: Method, path: &str) -> Result<(StatusCode, Bytes), String> {
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "takt")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(text)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| error.to_string())?
        .to_bytes();
    Ok((status, body))
}
