//! What the sidecar says of itself: to `takt-sidecar status`, and as metrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use agent_plan::Refusal;
use agent_plan::document::UtcTime;
use agent_plan::wire::{FleetStatus, PlanEntry, PlanStatus};
use k8s_crd::PlanSync;
use serde::{Deserialize, Serialize};

/// The media type of [`metrics`].
pub(crate) const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All there is to say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) site: String,
    pub(crate) node: String,
    /// Whether a sidecar runs; if not, the rest is what the agent says.
    pub(crate) running: bool,
    pub(crate) agent: Link,
    /// The edge cluster first.
    pub(crate) clusters: Vec<ClusterReport>,
    pub(crate) in_force: Option<Sourced>,
    pub(crate) last_known_good: Option<Sourced>,
    pub(crate) staged: Option<Sourced>,
    pub(crate) given_up: Option<Sourced>,
    /// What the newest plan for this node waits for; empty if for nothing.
    pub(crate) waits: String,
    /// The last plan, or change of a plan, that was refused, and why.
    pub(crate) last_refusal: Option<Refusal>,
    /// What was refused, by reason, by agent and sidecar.
    pub(crate) refused: BTreeMap<String, u64>,
    /// The fleet, if this node leads one.
    pub(crate) fleet: Option<FleetStatus>,
    /// How plans came.
    pub(crate) plans: PlanSync,
    /// How the status went.
    pub(crate) status: StatusBytes,
    /// What is not as it should be, in words.
    pub(crate) degraded: Vec<String>,
}

/// Whether somebody is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Link {
    pub(crate) reached: bool,
    /// Since when it is so; for one that is lost, when it was heard last.
    pub(crate) since: Option<UtcTime>,
}

impl Link {
    /// Takes in how it is now.
    pub(crate) fn note(&mut self, reached: bool, last_heard: Option<UtcTime>, now: UtcTime) {
        if self.since.is_none() || self.reached != reached {
            let since = if reached { now } else { last_heard.unwrap_or(now) };
            *self = Self { reached, since: Some(since) };
        }
    }
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterReport {
    /// `edge` or `central`.
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) link: Link,
    /// Objects of plans that are known from there.
    pub(crate) plans: usize,
}

/// A plan and where it is from: `edge`, `central`, or `node` for the node's own file, its peer, or somebody at its
/// socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sourced {
    #[serde(flatten)]
    pub(crate) plan: PlanEntry,
    pub(crate) source: String,
}

/// Bytes of the node's status on their way to clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusBytes {
    /// Written as a whole.
    pub(crate) full: u64,
    /// Written as changes.
    pub(crate) delta: u64,
    /// What these would have been as a whole.
    pub(crate) instead_of: u64,
    /// Writes.
    pub(crate) writes: u64,
}

impl Report {
    /// Takes over what the agent says.
    pub(crate) fn of_agent(&mut self, agent: &PlanStatus, source: impl Fn(&PlanEntry) -> String) {
        let sourced = |entry: &PlanEntry| Sourced { plan: entry.clone(), source: source(entry) };
        self.in_force = Some(sourced(&agent.in_force));
        self.last_known_good = Some(sourced(&agent.last_known_good));
        self.staged = agent.staged.as_ref().map(sourced);
        self.given_up = agent.given_up.as_ref().map(sourced);
        self.last_refusal.clone_from(&agent.last_refusal);
        self.refused.clone_from(&agent.refused);
        self.degraded.extend(agent.degraded.iter().cloned());
    }

    /// Takes over what it says of its fleet.
    pub(crate) fn note_fleet(&mut self, fleet: Option<FleetStatus>) {
        self.fleet = fleet;
        if let Some(count) = fleet.map(|fleet| fleet.degraded).filter(|count| *count > 0) {
            self.degraded.push(format!("the fleet, for {count} reasons: `takt status` names them"));
        }
    }
}

/// The report in the OpenMetrics text format.
pub(crate) fn metrics(report: &Report) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
        // Writing into a text cannot fail.
        let _ = writeln!(text, "# HELP takt_sidecar_{name} {help}\n# TYPE takt_sidecar_{name} {kind}");
        let total = if kind == "counter" { "_total" } else { "" };
        for (labels, value) in samples {
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            let _ = writeln!(text, "takt_sidecar_{name}{total}{labels} {value}");
        }
    };
    let forms = |full, delta| [("form=\"full\"".to_owned(), full), ("form=\"delta\"".to_owned(), delta)];
    let (plans, status) = (&report.plans, &report.status);
    metric("plans", "counter", "Plans that came, whole or as changes.", &forms(plans.whole, plans.delta));
    metric("plan_bytes", "counter", "Bytes of plans that came.", &forms(plans.bytes_full, plans.bytes_delta));
    metric("status_bytes", "counter", "Bytes of status that went.", &forms(status.full, status.delta));
    metric("status_writes", "counter", "Writes of the status.", &[(String::new(), status.writes)]);
    let refused: Vec<_> =
        report.refused.iter().map(|(reason, count)| (format!("reason=\"{reason}\""), *count)).collect();
    metric("refused", "counter", "Plans and changes that were refused, by agent and sidecar.", &refused);
    let reached: Vec<_> = report
        .clusters
        .iter()
        .map(|cluster| (format!("cluster=\"{}\"", cluster.name), u64::from(cluster.link.reached)))
        .collect();
    metric("cluster_reached", "gauge", "1 if the cluster is heard.", &reached);
    metric(
        "agent_reached",
        "gauge",
        "1 if the agent answers.",
        &[(String::new(), report.agent.reached.into())],
    );
    metric(
        "degraded",
        "gauge",
        "1 if something is not as it should be.",
        &[(String::new(), u64::from(!report.degraded.is_empty()))],
    );
    text.push_str("# EOF\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_link_is_lost_since_it_was_heard_last() {
        let time = UtcTime::from_unix_millis;
        let mut link = Link::default();
        link.note(true, Some(time(1)), time(1));
        link.note(true, Some(time(5)), time(6));
        assert_eq!(link, Link { reached: true, since: Some(time(1)) });
        link.note(false, Some(time(7)), time(19));
        link.note(false, Some(time(7)), time(25));
        assert_eq!(link, Link { reached: false, since: Some(time(7)) });
    }

    #[test]
    fn bytes_of_both_forms_are_metrics() {
        let plans = PlanSync { bytes_full: 23_000, bytes_delta: 600, ..PlanSync::default() };
        let text = metrics(&Report { plans, ..Report::default() });
        assert!(text.contains("\ntakt_sidecar_plan_bytes_total{form=\"full\"} 23000\n"), "{text}");
        assert!(text.contains("\ntakt_sidecar_plan_bytes_total{form=\"delta\"} 600\n"), "{text}");
        assert!(text.contains("\ntakt_sidecar_agent_reached 0\n") && text.ends_with("# EOF\n"), "{text}");
    }
}
