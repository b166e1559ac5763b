//! The HTTP side of the admin interface.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use agent_status::{Phase, Report};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::{Requests, SharedReport, metrics};

/// Requests served at a time; further ones wait.
const CONNECTIONS_MAX: usize = 32;

/// Why the admin interface cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The socket's path.
    #[error("{path}: {why}; give another [admin] socket, or end the agent that uses it")]
    Socket {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The TCP address.
    #[error("{address}: {error}; give another [admin] listen address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel answered.
        error: std::io::Error,
    },
}

/// Open listeners.
#[derive(Debug)]
pub struct Listeners {
    unix: UnixListener,
    tcp: Option<TcpListener>,
}

impl Listeners {
    /// Opens the listeners. A socket that nobody answers on is left over from a crash and is removed.
    ///
    /// # Errors
    /// If the path or address is taken or not permitted.
    pub async fn open(socket: &Path, listen: Option<SocketAddr>) -> Result<Self, AdminError> {
        let complain = |why: String| AdminError::Socket { path: socket.to_owned(), why };
        if let Ok(metadata) = std::fs::symlink_metadata(socket) {
            if !metadata.file_type().is_socket() {
                return Err(complain("is there and is no socket".to_owned()));
            }
            if tokio::net::UnixStream::connect(socket).await.is_ok() {
                return Err(complain("another agent answers there".to_owned()));
            }
            std::fs::remove_file(socket).map_err(|error| complain(error.to_string()))?;
        }
        let unix = UnixListener::bind(socket).map_err(|error| complain(error.to_string()))?;
        let tcp = match listen {
            Some(address) => Some(
                TcpListener::bind(address).await.map_err(|error| AdminError::Listen { address, error })?,
            ),
            None => None,
        };
        Ok(Self { unix, tcp })
    }

    /// The TCP address in use.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref()?.local_addr().ok()
    }
}

/// Serves until the task is dropped.
pub async fn serve(listeners: Listeners, report: SharedReport, requests: Requests) {
    let slots = std::sync::Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = std::sync::Arc::clone(&slots).acquire_owned().await else { return };
        let (report, requests) = (report.clone(), requests.clone());
        tokio::select! {
            Ok((stream, _)) = listeners.unix.accept() => {
                tokio::spawn(async move { connection(stream, report, Some(requests)).await; drop(slot); });
            }
            // The network may look, not act.
            Ok((stream, _)) = accept(listeners.tcp.as_ref()) => {
                tokio::spawn(async move { connection(stream, report, None).await; drop(slot); });
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<(tokio::net::TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    report: SharedReport,
    requests: Option<Requests>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = match (request.method(), request.uri().path()) {
            (&Method::POST, "/pair/switchover") => asked(requests.as_ref()),
            (&Method::POST, "/trace") => trace_asked(requests.as_ref()),
            (method, path) => answer(method, path, &report.get()),
        };
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(std::time::Duration::from_secs(5))
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "admin connection");
    }
}

/// The request was passed on; what became of it shows in the report.
fn asked(requests: Option<&Requests>) -> Response<Full<Bytes>> {
    match requests.and_then(|requests| requests.switchover.as_ref()).map(|ask| ask()) {
        Some(Ok(())) => reply(StatusCode::ACCEPTED, "text/plain", "asked\n".to_owned()),
        Some(Err(why)) => reply(StatusCode::CONFLICT, "text/plain", format!("{why}\n")),
        None => {
            let why = "a switchover is asked for on the Unix socket of an agent with a [pair]\n";
            reply(StatusCode::FORBIDDEN, "text/plain", why.to_owned())
        }
    }
}

/// The trace shows in the report when it is written.
fn trace_asked(requests: Option<&Requests>) -> Response<Full<Bytes>> {
    let Some(requests) = requests else {
        let why = "a trace is asked for on the Unix socket\n";
        return reply(StatusCode::FORBIDDEN, "text/plain", why.to_owned());
    };
    requests.trace.store(true, Ordering::Relaxed);
    reply(StatusCode::ACCEPTED, "text/plain", "asked\n".to_owned())
}

fn answer(method: &Method, path: &str, report: &Report) -> Response<Full<Bytes>> {
    if method != Method::GET {
        return reply(
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "only GET, and POST /pair/switchover and /trace\n".to_owned(),
        );
    }
    match path {
        "/v1/report" => match serde_json::to_string(report) {
            Ok(json) => reply(StatusCode::OK, "application/json", json),
            Err(error) => reply(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string()),
        },
        "/metrics" => reply(StatusCode::OK, metrics::CONTENT_TYPE, metrics::text(report)),
        "/healthz" => verdict(&stalled(report)),
        "/readyz" => verdict(&not_ready(report)),
        _ => reply(
            StatusCode::NOT_FOUND,
            "text/plain",
            "there are /v1/report, /metrics, /healthz and /readyz\n".to_owned(),
        ),
    }
}

/// Alive: every group runs cycles.
fn stalled(report: &Report) -> Vec<String> {
    let stalled = report.groups.iter().filter(|group| group.stalled);
    stalled.map(|group| format!("group {} runs no cycles", group.name)).collect()
}

/// Ready: running, and every group sees its field.
fn not_ready(report: &Report) -> Vec<String> {
    let mut reasons = stalled(report);
    match report.phase {
        Phase::Running => {}
        Phase::Starting => reasons.push("starting".to_owned()),
        Phase::Stopping => reasons.push("stopping".to_owned()),
    }
    reasons
}

fn verdict(reasons: &[String]) -> Response<Full<Bytes>> {
    if reasons.is_empty() {
        reply(StatusCode::OK, "text/plain", "ok\n".to_owned())
    } else {
        reply(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{}\n", reasons.join("\n")))
    }
}

fn reply(status: StatusCode, content_type: &str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}
