//! From payload to typed fields: size, text, JSON, no unknown and no repeated fields, ids and times.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use hal_units::Watts;

use super::time::parse_time;
use super::{Command, FoundLoad, PRIORITY_MAX, PRIORITY_USUAL, Refusal, Transport};
use crate::topic::{NAME_BYTES_MAX, Name, cut};

/// The fields of a command's payload.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Envelope {
    pub(super) id: String,
    pub(super) seq: u64,
    pub(super) issuer: String,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) command: Command,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire<'a> {
    id: String,
    seq: u64,
    issuer: String,
    issued_at: String,
    expires_at: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DerateBody {
    power_limit_kw: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransportBody {
    from: String,
    to: String,
    priority: Option<u8>,
    due: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelBody {
    order: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolveBody {
    vehicle: String,
    load: FoundLoad,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptyBody {}

/// Reads the payload of the command `name`.
pub(super) fn parse(name: &str, payload: &[u8], bytes_max: usize) -> Result<Envelope, Refusal> {
    if payload.len() > bytes_max {
        return Err(Refusal::TooLarge { bytes: payload.len(), bytes_max });
    }
    let text = std::str::from_utf8(payload)
        .map_err(|error| Refusal::Malformed { part: "the payload", what: error.to_string() })?;
    let wire: Wire<'_> = object("the payload", text)?;
    for (field, value) in [("id", &wire.id), ("issuer", &wire.issuer)] {
        if !is_name(value) {
            return Err(Refusal::BadName { field });
        }
    }
    let time = |field, value: &str| parse_time(value).ok_or(Refusal::BadTime { field });
    Ok(Envelope {
        issued_at: time("issuedAt", &wire.issued_at)?,
        expires_at: time("expiresAt", &wire.expires_at)?,
        command: body(name, wire.body)?,
        id: wire.id,
        seq: wire.seq,
        issuer: wire.issuer,
    })
}

fn body(name: &str, body: &RawValue) -> Result<Command, Refusal> {
    let empty = || object::<EmptyBody>("body", body.get());
    Ok(match name {
        "derate" => {
            let DerateBody { power_limit_kw } = object("body", body.get())?;
            Command::Derate { power_limit: Watts::from_kilowatts(power_limit_kw) }
        }
        "start" => empty().map(|EmptyBody {}| Command::Start)?,
        "stop" => empty().map(|EmptyBody {}| Command::Stop)?,
        "emergency-stop" => empty().map(|EmptyBody {}| Command::EmergencyStop)?,
        "reset" => empty().map(|EmptyBody {}| Command::Reset)?,
        "transport" => transport(object("body", body.get())?)?,
        "cancel" => {
            let CancelBody { order } = object("body", body.get())?;
            if !is_name(&order) {
                return Err(Refusal::BadName { field: "order" });
            }
            Command::Cancel { order }
        }
        "resolve" => {
            let ResolveBody { vehicle, load } = object("body", body.get())?;
            let vehicle = Name::new(&vehicle).map_err(|_| Refusal::BadName { field: "vehicle" })?;
            Command::Resolve { vehicle, load }
        }
        _ => return Err(Refusal::UnknownCommand { name: cut(name), known: &Command::NAMES }),
    })
}

fn transport(body: TransportBody) -> Result<Command, Refusal> {
    let TransportBody { from, to, priority, due } = body;
    let station = |field, name: &str| Name::new(name).map_err(|_| Refusal::BadName { field });
    let priority = priority.unwrap_or(PRIORITY_USUAL);
    if priority > PRIORITY_MAX {
        return Err(Refusal::PriorityOutOfRange { priority });
    }
    let due = due.map(|due| parse_time(&due).ok_or(Refusal::BadTime { field: "due" })).transpose()?;
    Ok(Command::Transport(Box::new(Transport {
        from: station("from", &from)?,
        to: station("to", &to)?,
        priority,
        due,
    })))
}

/// A JSON object; the library would take an array of the values, too.
fn object<'a, T: Deserialize<'a>>(part: &'static str, text: &'a str) -> Result<T, Refusal> {
    let malformed = |what: String| Refusal::Malformed { part, what: cut_long(&what) };
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(malformed("it is not a JSON object {...}".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| malformed(error.to_string()))
}

fn cut_long(text: &str) -> String {
    text.chars().take(200).collect()
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The id of a payload that is otherwise unreadable, for its issuer to recognise the answer.
pub(super) fn id_of(payload: &[u8], bytes_max: usize) -> Option<String> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: String,
    }
    if payload.len() > bytes_max {
        return None;
    }
    let OnlyId { id } = serde_json::from_slice(payload).ok()?;
    is_name(&id).then_some(id)
}
