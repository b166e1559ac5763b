//! What the drill asks of a node at its admin socket.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt::socket_peercred;
use serde_json::Value;
use tokio::net::UnixStream;

/// A report is far smaller.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// A switchover answers when it is done or given up.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// An answer.
pub(super) struct Answer {
    /// The process that listens.
    pub(super) pid: u32,
    pub(super) status: u16,
    pub(super) body: Value,
}

/// What a node says of its place in the pair.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    /// The process that does the work.
    pub(super) pid: u32,
    /// `init`, `standby`, `claimed`, `active` or `fenced`.
    pub(super) role: String,
    pub(super) epoch: u64,
    /// `fenced`, or `unfenced: REASON`.
    pub(super) profile: String,
    /// Longest time without a message from the peer since its start, in milliseconds, if it says so.
    pub(super) heartbeat_gap_ms: Option<f64>,
    /// The core of its first control thread.
    pub(super) core: usize,
    /// Seconds since its start.
    pub(super) uptime_s: f64,
    /// What it still lacks to be one of a whole pair, in words.
    pub(super) lacks: Vec<String>,
}

/// Asks a node for its standing.
pub(super) fn standing(socket: &Path) -> Result<Standing, String> {
    let answer = call(socket, Method::GET, "/v1/report")?;
    read_standing(&answer).ok_or_else(|| "the report says nothing of a pair".to_owned())
}

fn read_standing(answer: &Answer) -> Option<Standing> {
    let pair = answer.body.get("pair")?;
    let text = |name: &str| pair.get(name).and_then(Value::as_str).map(str::to_owned);
    let core = answer.body.pointer("/groups/0/thread/cores/0").and_then(Value::as_u64);
    Some(Standing {
        pid: answer.pid,
        role: text("role")?,
        epoch: pair.get("epoch").and_then(Value::as_u64)?,
        profile: text("profile").unwrap_or_default(),
        heartbeat_gap_ms: pair.get("heartbeat_gap_max_us").and_then(Value::as_f64).map(|us| us / 1e3),
        uptime_s: answer.body.get("uptime_s").and_then(Value::as_f64).unwrap_or(0.0),
        lacks: lacks(&answer.body, pair),
        core: core.and_then(|core| usize::try_from(core).ok()).unwrap_or(0),
    })
}

/// What a node lacks: devices, the peer, a link, the arbiter, or the peer's state if it stands by.
fn lacks(report: &Value, pair: &Value) -> Vec<String> {
    let list = |of: &Value, name: &str| of.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let is = |name: &str, value: bool| pair.get(name).and_then(Value::as_bool) == Some(value);
    let online = |device: &Value| device.get("state").and_then(Value::as_str) == Some("online");
    let heard = |link: &Value| link.get("heard").and_then(Value::as_bool) != Some(false);
    let mut lacks = Vec::new();
    let mut put = |lacking: bool, what: String| lacks.extend(lacking.then_some(what));
    let down = list(report, "devices").iter().filter(|device| !online(device)).count();
    put(down > 0, format!("{down} devices"));
    let deaf = list(pair, "links").iter().filter(|link| !heard(link)).count();
    put(deaf > 0, format!("the peer on {deaf} links"));
    put(is("peer_heard", false), "the peer".to_owned());
    put(is("arbiter_reached", false), "the arbiter".to_owned());
    let stands_by = pair.get("role").and_then(Value::as_str) == Some("standby");
    let empty = pair.get("replica_cycle").and_then(Value::as_u64) == Some(0);
    put(stands_by && empty, "the peer's state".to_owned());
    lacks
}

/// Asks the active node to hand over; `Ok(false)` if it refuses at once. What became of the request only
/// the devices show.
pub(super) fn switchover(socket: &Path) -> Result<bool, String> {
    let answer = call(socket, Method::POST, "/pair/switchover")?;
    match answer.status {
        200..=299 => Ok(true),
        // Not now: too soon after the last one, or no standby that could take over.
        409 | 429 | 503 => Ok(false),
        status => Err(format!("a switchover was answered with {status}: {}", answer.body)),
    }
}

fn call(socket: &Path, method: Method, path: &str) -> Result<Answer, String> {
    let text = |error: std::io::Error| error.to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    runtime.block_on(async {
        let exchanged = tokio::time::timeout(ANSWER_WITHIN, exchange(socket, method, path)).await;
        exchanged.unwrap_or_else(|_| Err(format!("no answer within {ANSWER_WITHIN:?}")))
    })
}

async fn exchange(socket: &Path, method: Method, path: &str) -> Result<Answer, String> {
    let text = |error: hyper::Error| error.to_string();
    let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
    let pid = socket_peercred(&stream).map_err(|error| error.to_string())?.pid.as_raw_nonzero().get();
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
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| error.to_string())?
        .to_bytes();
    let body = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    Ok(Answer { pid: u32::try_from(pid).unwrap_or(0), status, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> Option<Standing> {
        read_standing(&Answer { pid: 7, status: 200, body })
    }

    #[test]
    fn a_report_of_a_pair_gives_the_standing() {
        let standing = read(json!({
            "uptime_s": 12.5,
            "pair": { "node": "a", "role": "active", "epoch": 4, "profile": "fenced",
                "peer_heard": true, "links": [ { "heard": true } ], "heartbeat_gap_max_us": 6500.0 },
            "groups": [ { "thread": { "cores": [ 1 ] } } ],
            "devices": [ { "state": "online" } ],
        }))
        .unwrap();
        assert_eq!((standing.pid, standing.role.as_str(), standing.epoch), (7, "active", 4));
        assert_eq!((standing.heartbeat_gap_ms, standing.uptime_s, standing.core), (Some(6.5), 12.5, 1));
        assert_eq!(standing.lacks, Vec::<String>::new());
    }

    #[test]
    fn a_node_that_is_not_ready_says_what_it_lacks() {
        let standing = read(json!({
            "pair": { "node": "b", "role": "standby", "epoch": 4, "profile": "fenced", "peer_heard": true,
                "links": [ { "heard": true }, { "heard": false } ], "arbiter_reached": false,
                "replica_cycle": 0 },
            "devices": [ { "state": "online" }, { "state": "connecting" } ],
        }))
        .unwrap();
        assert_eq!(standing.lacks, ["1 devices", "the peer on 1 links", "the arbiter", "the peer's state"]);
    }

    #[test]
    fn a_report_without_a_pair_gives_none() {
        assert_eq!(read(json!({ "pair": null, "devices": [] })), None);
        assert_eq!(read(json!("nonsense")), None);
    }
}
