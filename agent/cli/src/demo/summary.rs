//! What a demo run has shown, for people and as JSON.

use std::path::Path;

use agent_status::{Device, Distribution, Report};
use serde_json::{Value, json};

use super::fleet::Vehicles;
use super::operator::Sent;
use super::takeover::SeenTakeover;
use super::{Args, DemoError};
use crate::view::View;

/// A device that misses more than this share of its scans starves.
const SCANS_SHARE_MIN: f64 = 0.95;

/// Devices that were not served as they should have been.
fn starved(report: &Report) -> Vec<String> {
    let cycles = |device: &Device| {
        let group = report.groups.iter().find(|group| group.name == device.group);
        group.map_or(0, |group| group.cycles)
    };
    let enough = |device, count: u64| count as f64 >= SCANS_SHARE_MIN * cycles(device) as f64;
    // A node that was a standby for some time has read all along, but not written.
    let wrote_all_along = report.pair.as_ref().is_none_or(|pair| pair.epoch == 1);
    report
        .devices
        .iter()
        .filter(|device| !enough(device, device.scans) || (wrote_all_along && !enough(device, device.writes)))
        .map(|device| {
            let Device { name, scans, writes, .. } = device;
            format!("{name} ({scans} scans, {writes} writes in {} cycles)", cycles(device))
        })
        .collect()
}

/// Prints the summary; true if all went well.
pub(super) fn print(
    report: &Report,
    sent: &Sent,
    takeovers: &[SeenTakeover],
    vehicles: Option<&Vehicles>,
    at_rest: bool,
) -> bool {
    print!("\n{}", View::WHOLE.render(report));
    println!(
        "demo's own commands: {} sent, {} acknowledged, {} refused ({} of them were meant to be refused)",
        sent.sent, sent.acknowledged, sent.refused, sent.meant_to_be_refused
    );
    for group in &report.groups {
        let share = 100.0 * group.missed_deadlines as f64 / group.cycles.max(1) as f64;
        println!("missed deadlines of {}: {} ({share:.4} %)", group.name, group.missed_deadlines);
        for (cause, count) in &group.missed_by_cause {
            println!("  {count} x {cause}");
        }
        for miss in &group.misses {
            println!("  {miss}");
        }
    }
    for seen in takeovers {
        println!(
            "takeover after a kill of node {}: {:.1} ms at the slowest turbine, outputs {:.2} % of span beyond \
             the ordinary",
            seen.killed, seen.takeover_ms, seen.bump_percent_of_span
        );
    }
    if let Some(vehicles) = vehicles {
        let nearest = vehicles.nearest_m.map_or_else(String::new, |m| format!(", {m:.2} m at the nearest"));
        println!(
            "vehicles as they truly were: {} collisions{nearest}, {:.2} km, {} actions done, {} stops for want \
             of way, {} messages lost on the air",
            vehicles.collisions,
            vehicles.kilometers,
            vehicles.actions_done + vehicles.drives.as_ref().map_or(0, |drives| drives.handlings),
            vehicles.stops,
            vehicles.messages_lost
        );
    }
    let starved = starved(report);
    for device in &starved {
        println!("STARVED: {device}");
    }
    println!(
        "real time: {} wanted, {}; {} KiB locked",
        report.realtime.wanted,
        if report.realtime.obtained { "all obtained" } else { "DEGRADED" },
        report.realtime.locked_kib
    );
    for reason in &report.realtime.degraded {
        println!("  {reason}");
    }
    println!("{}", if at_rest { "the plant came to rest" } else { "the plant did NOT come to rest in time" });
    starved.is_empty() && at_rest && vehicles.is_none_or(|vehicles| vehicles.collisions == 0)
}

/// What others than the agent have seen.
pub(super) struct Seen<'a> {
    pub(super) sent: &'a Sent,
    pub(super) takeovers: &'a [SeenTakeover],
    pub(super) vehicles: Option<&'a Vehicles>,
}

/// The fleet in figures.
fn fleet(report: &Report, vehicles: &Vehicles) -> Value {
    let Some(fleet) = &report.fleet else { return Value::Null };
    let orders = fleet.orders;
    let millis = |times: &Distribution| {
        json!({
            "p50": times.p50_us / 1e3,
            "p99": times.p99_us / 1e3,
            "max": times.max_us / 1e3,
            "samples": times.samples,
        })
    };
    json!({
        "orders": orders.waiting + orders.under_way + orders.done + orders.failed + orders.cancelled,
        "orders_done": orders.done,
        "dispatch_ms": millis(&fleet.dispatch),
        "assignment_wait_ms": millis(&fleet.assignment_wait),
        "echo_ms": millis(&fleet.echo),
        "step_us": { "p50": fleet.step_time.p50_us, "p99": fleet.step_time.p99_us, "max": fleet.step_time.max_us },
        "release_us": {
            "p50": fleet.release_time.p50_us,
            "p99": fleet.release_time.p99_us,
            "max": fleet.release_time.max_us,
        },
        "utilisation": fleet.utilisation_percent / 100.0,
        "stops": vehicles.stops,
        "collisions": vehicles.collisions,
        "nearest_m": vehicles.nearest_m,
        "messages_lost": vehicles.messages_lost,
        "self_restarts": vehicles.drives.as_ref().map_or(0, |drives| drives.self_restarts),
        "watchdog_starvations": vehicles.drives.as_ref().map_or(0, |drives| drives.watchdog_starvations),
        "refused": fleet.refused,
        "report": fleet,
    })
}

/// Writes the figures of the summary.
pub(super) fn write(
    path: &Path,
    report: &Report,
    seen: &Seen<'_>,
    truth: &str,
    arguments: &Args,
) -> Result<(), DemoError> {
    let Seen { sent, takeovers, vehicles } = *seen;
    let failed = |why: String| DemoError::File { path: path.to_owned(), why };
    let mut json = serde_json::to_value(report).map_err(|error| failed(error.to_string()))?;
    if let Some(commands) = json.get_mut("commands").and_then(Value::as_object_mut) {
        commands.insert("sent".to_owned(), json!(sent.sent));
    }
    if let Some(object) = json.as_object_mut() {
        if let Some(vehicles) = vehicles {
            object.insert("fleet".to_owned(), fleet(report, vehicles));
        }
        object.insert("takeovers".to_owned(), json!(takeovers));
        object.insert("starved".to_owned(), json!(starved(report)));
        object.insert(
            "demo".to_owned(),
            json!({
                "turbines": arguments.turbines,
                "agvs": arguments.agvs,
                "modbus_agvs": arguments.modbus_agvs(),
                "seconds": arguments.seconds,
                "wind": arguments.wind,
                "seed": arguments.seed,
            }),
        );
        object.insert("plant".to_owned(), serde_json::from_str(truth).unwrap_or(Value::Null));
    }
    let text = serde_json::to_string_pretty(&json).map_err(|error| failed(error.to_string()))?;
    std::fs::write(path, text + "\n").map_err(|error| failed(error.to_string()))
}
