//! Publishes numbered messages through a durable outbox until all are acknowledged, and goes on where it was
//! killed: the only user of an outbox knows by the next sequence which message is next.
//!
//! Prints one line of JSON per 20 ms: see [`Progress`].

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use hal_mqtt::client::{BrokerUrl, PublishError};
use hal_mqtt::command::CommandDesk;
use hal_mqtt::log::{FileStorage, Sync};
use hal_mqtt::outbox::{Message, Outbox, OutboxId, OutboxLimits};
use hal_mqtt::{Clock, Mqtt, MqttOptions};
use serde::{Deserialize, Serialize};

/// A line of the publisher's output.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The first message of this life; all before it were durable when it began.
    pub(crate) first: u64,
    /// Messages up to this one are reported durable.
    pub(crate) durable: u64,
    /// Messages in the outbox, not acknowledged.
    pub(crate) open: u64,
    /// Messages up to the present one, less the open ones.
    pub(crate) settled: u64,
    /// Bytes of a torn tail that were cut at the start.
    pub(crate) torn_bytes: u64,
    /// Sent for the first time, in this life.
    pub(crate) published: u64,
    /// Sent again, in this life.
    pub(crate) resent: u64,
    /// Acknowledged, in this life.
    pub(crate) acknowledged: u64,
    /// Given up, in this life.
    pub(crate) rejected: u64,
    /// Connections, in this life.
    pub(crate) connects: u64,
    /// Refused for want of room and tried again, in this life.
    pub(crate) found_full: u64,
}

struct Arguments {
    broker: BrokerUrl,
    folder: PathBuf,
    topic: String,
    presence: Option<String>,
    messages: u64,
    payload_bytes: usize,
}

/// Runs until every message is acknowledged.
pub(crate) fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    match parse(arguments).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("takt-outbox-publisher: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let (mut broker, mut folder, mut topic, mut messages) = (None, None, None, None);
    let (mut presence, mut payload_bytes) = (None, 64);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{name} must be a whole number, not {value:?}"));
        match name.as_str() {
            "--broker" => broker = Some(BrokerUrl::parse(&value).map_err(|error| error.to_string())?),
            "--folder" => folder = Some(PathBuf::from(value)),
            "--topic" => topic = Some(value),
            "--presence" => presence = Some(value),
            "--messages" => messages = Some(number()?),
            "--payload-bytes" => payload_bytes = usize::try_from(number()?).unwrap_or(usize::MAX),
            _ => return Err(format!("unknown argument {name}")),
        }
    }
    let missing = |name: &str| format!("{name} is missing");
    Ok(Arguments {
        broker: broker.ok_or_else(|| missing("--broker"))?,
        folder: folder.ok_or_else(|| missing("--folder"))?,
        topic: topic.ok_or_else(|| missing("--topic"))?,
        messages: messages.ok_or_else(|| missing("--messages"))?,
        presence,
        payload_bytes,
    })
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let storage = FileStorage::open(&arguments.folder).map_err(|error| error.to_string())?;
    // Small enough to be found full while the broker is away.
    let limits = OutboxLimits { entries_max: 4000, slack_bytes: 256 * 1024, ..OutboxLimits::default() };
    let (outbox, recovery) =
        Outbox::open(storage, limits, Sync::Disk, OutboxId::draw()).map_err(|error| error.to_string())?;
    if recovery.damaged_bytes > 0 {
        return Err(format!("{} bytes of the outbox are damaged", recovery.damaged_bytes));
    }
    let first = outbox.next_sequence().0;
    let mut options = MqttOptions::new(arguments.broker.clone(), "takt-outbox-publisher");
    options.presence_topic.clone_from(&arguments.presence);
    let no_commands: Option<CommandDesk<FileStorage>> = None;
    let mqtt =
        Mqtt::start(options, outbox, no_commands, Clock::system()).map_err(|error| error.to_string())?;
    let mut next = first;
    let mut progress = Progress { first, torn_bytes: recovery.torn_bytes, ..Progress::default() };
    let mut printed_at = Instant::now();
    loop {
        progress.found_full += u64::from(!publish_some(&mqtt, arguments, &mut next)?);
        let is_done = note(&mqtt, next, &mut progress) && next > arguments.messages;
        if is_done || printed_at.elapsed() >= Duration::from_millis(20) {
            printed_at = Instant::now();
            print(&progress)?;
        }
        if is_done {
            mqtt.stop(Duration::from_secs(2));
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Publishes a handful; false if there was no room.
fn publish_some(mqtt: &Mqtt, arguments: &Arguments, next: &mut u64) -> Result<bool, String> {
    for _ in 0..32 {
        if *next > arguments.messages {
            return Ok(true);
        }
        let payload = format!("{next:<width$}", width = arguments.payload_bytes);
        match mqtt.publish(Message::new(arguments.topic.as_str(), payload)) {
            Ok(_) => *next += 1,
            Err(PublishError::OutboxFull { .. } | PublishError::QueueFull) => return Ok(false),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(true)
}

/// True if nothing is open.
fn note(mqtt: &Mqtt, next: u64, progress: &mut Progress) -> bool {
    let durable = mqtt.durable();
    let status = mqtt.status();
    let counters = status.counters;
    progress.durable = progress.first + durable.0 - 1;
    progress.open = status.outbox_entries as u64;
    progress.published = counters.published;
    progress.resent = counters.resent;
    progress.acknowledged = counters.acknowledged;
    progress.rejected = counters.rejected;
    progress.connects = counters.connects;
    progress.settled = progress.durable.saturating_sub(progress.open);
    // The status may be older than the ticket: only equal counts mean that all is done.
    let open_at_start = progress.first.saturating_sub(1);
    let handled = counters.acknowledged + counters.rejected;
    status.outbox_entries == 0 && progress.durable + 1 == next && handled + open_at_start + 1 >= next
}

fn print(progress: &Progress) -> Result<(), String> {
    let line = serde_json::to_string(progress).map_err(|error| error.to_string())?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}
