//! What truly happened to a fleet.

use serde::Serialize;
use sim_devices::drive::DriveTruth;
use sim_radio::Summary;

/// The file of `--json`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    vehicles: u16,
    connected: usize,
    orders_taken: u64,
    orders_done: u64,
    updates_taken: u64,
    repeated: u64,
    rejected: u64,
    actions_done: u64,
    nodes_passed: u64,
    kilometers: f64,
    /// Times that a vehicle came to rest for want of base, with a way ahead.
    stops: u64,
    collisions: u64,
    nearest_m: Option<f64>,
    messages_heard: u64,
    messages_said: u64,
    messages_lost: u64,
    messages_dropped: u64,
    late_ticks: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    drives: Option<DrivesReport>,
}

/// What happened to vehicles on Modbus.
#[derive(Debug, Clone, Serialize)]
struct DrivesReport {
    vehicles: usize,
    kilometers: f64,
    handlings: u64,
    reads: u64,
    writes: u64,
    writes_refused: u64,
    watchdog_starvations: u64,
    /// Times that power came back to wheels that were commanded to move.
    self_restarts: u64,
}

impl Report {
    pub(crate) fn new(vehicles: u16, connected: usize, summary: &Summary) -> Self {
        let tally = summary.tally;
        Self {
            vehicles,
            connected,
            orders_taken: tally.orders,
            orders_done: tally.done,
            updates_taken: tally.updates,
            repeated: tally.repeated,
            rejected: tally.rejected,
            actions_done: tally.actions,
            nodes_passed: tally.nodes,
            kilometers: tally.meters / 1e3,
            stops: tally.stops,
            collisions: summary.collisions,
            nearest_m: summary.nearest,
            messages_heard: summary.heard,
            messages_said: summary.said,
            messages_lost: summary.lost,
            messages_dropped: summary.dropped,
            late_ticks: summary.late_ticks,
            drives: None,
        }
    }

    /// With what happened to vehicles on Modbus, if there are some.
    pub(crate) fn with_drives(mut self, truths: Vec<(DriveTruth, f64)>) -> Self {
        let sum = |of: fn(&DriveTruth) -> u64| truths.iter().map(|(truth, _)| of(truth)).sum();
        let report = DrivesReport {
            vehicles: truths.len(),
            kilometers: truths.iter().map(|(_, meters)| meters).sum::<f64>() / 1e3,
            handlings: sum(|truth| truth.handlings),
            reads: sum(|truth| truth.reads),
            writes: sum(|truth| truth.writes),
            writes_refused: sum(|truth| truth.refused),
            watchdog_starvations: sum(|truth| truth.watchdog_starvations),
            self_restarts: sum(|truth| truth.self_restarts),
        };
        self.kilometers += report.kilometers;
        self.drives = (report.vehicles > 0).then_some(report);
        self
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map_or_else(|_| String::new(), |text| text + "\n")
    }

    /// For people.
    pub(crate) fn line(&self) -> String {
        let drives = self.drives.as_ref().map_or_else(String::new, |drives| {
            format!(
                "; of them {} on Modbus, {:.2} km, {} loads, watchdogs starved {} times, {} restarts",
                drives.vehicles,
                drives.kilometers,
                drives.handlings,
                drives.watchdog_starvations,
                drives.self_restarts
            )
        });
        format!(
            "{} of {} vehicles connected, {} orders done, {:.2} km, {} stops, {} collisions, {} messages refused{drives}",
            self.connected,
            self.vehicles,
            self.orders_done,
            self.kilometers,
            self.stops,
            self.collisions,
            self.rejected
        )
    }
}
