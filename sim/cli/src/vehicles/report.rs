//! What truly happened to a fleet.

use serde::Serialize;
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
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map_or_else(|_| String::new(), |text| text + "\n")
    }

    /// For people.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} of {} vehicles connected, {} orders done, {:.2} km, {} stops, {} collisions, {} messages refused",
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
