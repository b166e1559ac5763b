//! What was found, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;

use crate::faults::{Fault, Promise, Trial};
use crate::pair::PodFacts;
use crate::plans::{PlanFindings, Quantiles};
use crate::sidecars::SidecarFacts;

/// All findings of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) takt: Takt,
    #[serde(flatten)]
    pub(crate) plans: PlanFindings,
    pub(crate) faults: Vec<FaultFindings>,
    pub(crate) trials: Vec<Trial>,
    /// What was promised and is not so; empty if all is well.
    pub(crate) broken: Vec<String>,
}

/// Takt in the cluster.
#[derive(Debug, Serialize)]
pub(crate) struct Takt {
    pub(crate) turbines: u16,
    pub(crate) vehicles: u16,
    pub(crate) pods: Vec<PodFacts>,
    pub(crate) sidecars: Vec<SidecarFacts>,
}

/// All trials of a fault.
#[derive(Debug, Serialize)]
pub(crate) struct FaultFindings {
    pub(crate) name: &'static str,
    pub(crate) trials: usize,
    pub(crate) takeover_ms: Option<Quantiles>,
    pub(crate) dual_writes: u64,
    pub(crate) stale_writes: u64,
    /// Gaps between writes of more than a period and a half, and all of them.
    pub(crate) late: u64,
    pub(crate) gaps: u64,
    pub(crate) gap_ms_max: f64,
    pub(crate) host_stall_ms_max: f64,
    /// Commands that were sent meanwhile, and what became of them.
    pub(crate) commands: CommandCounts,
}

/// Commands of all trials of a fault.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct CommandCounts {
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    pub(crate) executed: u64,
    /// Accepted and never executed.
    pub(crate) lost: u64,
    /// Executed under two identities.
    pub(crate) twice: u64,
}

impl CommandCounts {
    fn of(trials: &[&Trial]) -> Self {
        trials.iter().filter_map(|trial| trial.commands.as_ref()).fold(Self::default(), |all, tally| Self {
            sent: all.sent + tally.sent,
            accepted: all.accepted + tally.accepted,
            executed: all.executed + tally.executed,
            lost: all.lost + tally.lost,
            twice: all.twice + tally.duplicated,
        })
    }
}

impl Report {
    pub(crate) fn new(takt: Takt, plans: PlanFindings, trials: Vec<Trial>) -> Self {
        let mut broken: Vec<String> = takt.pods.iter().flat_map(of_pod).collect();
        broken.extend(takt.sidecars.iter().flat_map(|sidecar| sidecar.broken(takt.vehicles.into())));
        let leads = takt.sidecars.iter().filter(|sidecar| sidecar.fleet.is_some()).count();
        if !takt.sidecars.is_empty() && leads != usize::from(takt.vehicles > 0) {
            broken.push(format!("{leads} nodes tell of a fleet"));
        }
        if !plans.rejected.is_empty() {
            broken.push(format!("plans were refused: {:?}", plans.rejected));
        }
        if plans.skew_cycles_max > 1 {
            broken.push(format!("a plan was activated {} cycles apart", plans.skew_cycles_max));
        }
        let of_trials =
            trials.iter().flat_map(|trial| trial.broken.iter().map(|why| format!("{}: {why}", trial.fault)));
        broken.extend(of_trials);
        let faults = summarised(&trials);
        Self { takt, plans, faults, trials, broken }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a text cannot fail.
        if !self.takt.pods.is_empty() {
            let _ = writeln!(text, "{}", self.pods_table());
        }
        for pod in &self.takt.pods {
            for line in &pod.doctor {
                let _ = writeln!(text, "{}: doctor: {} {}: {}", pod.pod, line.status, line.check, line.found);
            }
            for why in &pod.degraded {
                let _ = writeln!(text, "{}: degraded: {why}", pod.pod);
            }
        }
        for sidecar in &self.takt.sidecars {
            let [whole, changes] = sidecar.plan_bytes.unwrap_or_default();
            let fleet = sidecar.fleet.map_or_else(String::new, |fleet| {
                format!("; its node tells of {} of {} vehicles", fleet.taking_part, fleet.vehicles)
            });
            let _ = writeln!(
                text,
                "{}: sidecar {:.1} MiB at most; plans came in {whole} bytes whole and {changes} as changes{fleet}",
                sidecar.pod,
                sidecar.resident_kib_max as f64 / 1024.0,
            );
        }
        if self.plans.applied > 0 {
            let plans = &self.plans;
            let times = plans.write_to_active_ms;
            let less = |bytes: u64| 100.0 * (1.0 - bytes as f64 / plans.bytes_full.max(1) as f64);
            let _ = writeln!(
                text,
                "{} plans, {} activated on both nodes: {:.0} ms from the API (median), p99 {:.0}, max {:.0}; \
                 skew at most {} cycles\n\
                 bytes: {} whole, {} compressed ({:.1} % less), {} as changes ({:.1} % less)",
                plans.applied,
                plans.activations,
                times.p50,
                times.p99,
                times.max,
                plans.skew_cycles_max,
                plans.bytes_full,
                plans.bytes_full_zstd,
                less(plans.bytes_full_zstd),
                plans.bytes_delta,
                less(plans.bytes_delta),
            );
        }
        if !self.faults.is_empty() {
            let _ = writeln!(text, "{}", self.faults_table());
            for kills in self.trials.iter().filter_map(|trial| trial.kills.as_ref()) {
                let _ = writeln!(
                    text,
                    "sidecar killed {} times, {} plans: {} activations missing, {} too many, {} stored plans torn, \
                     {} rolled back",
                    kills.kills, kills.plans, kills.lost, kills.twice, kills.torn, kills.rollbacks
                );
            }
        }
        for why in &self.broken {
            let _ = writeln!(text, "broken: {why}");
        }
        if self.broken.is_empty() {
            text.push_str("every promise was kept\n");
        }
        text
    }

    fn pods_table(&self) -> Table {
        let mut table = new_table(&["pod", "node", "class", "thread", "cores", "locked", "gate", "role"]);
        for pod in &self.takt.pods {
            let cores: Vec<String> = pod.cores.iter().map(ToString::to_string).collect();
            table.add_row([
                pod.pod.clone(),
                pod.node.to_owned(),
                pod.qos.clone(),
                format!("{} {}", pod.policy, pod.priority),
                cores.join(","),
                format!("{} MiB", pod.locked_kib / 1024),
                pod.profile.clone(),
                pod.role.clone(),
            ]);
        }
        table
    }

    fn faults_table(&self) -> Table {
        let header = [
            "fault",
            "trials",
            "takeover ms p50",
            "max",
            "dual",
            "stale",
            "late writes",
            "of",
            "longest gap ms",
            "host stall ms",
            "commands",
            "lost",
            "twice",
        ];
        let mut table = new_table(&header);
        for at in 1..header.len() {
            if let Some(column) = table.column_mut(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for fault in &self.faults {
            let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
            table.add_row([
                fault.name.to_owned(),
                fault.trials.to_string(),
                ms(fault.takeover_ms.map(|times| times.p50)),
                ms(fault.takeover_ms.map(|times| times.max)),
                fault.dual_writes.to_string(),
                fault.stale_writes.to_string(),
                fault.late.to_string(),
                fault.gaps.to_string(),
                format!("{:.1}", fault.gap_ms_max),
                format!("{:.1}", fault.host_stall_ms_max),
                fault.commands.accepted.to_string(),
                fault.commands.lost.to_string(),
                fault.commands.twice.to_string(),
            ]);
        }
        table
    }
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    *table.style_mut() = NOTHING;
    table.set_content_arrangement(ContentArrangement::Disabled).set_header(header).force_no_tty();
    table
}

/// What a pod that controls must have.
fn of_pod(pod: &PodFacts) -> Vec<String> {
    let mut broken = Vec::new();
    let mut must = |holds: bool, why: String| broken.extend((!holds).then(|| format!("{}: {why}", pod.pod)));
    must(pod.qos == "Guaranteed", format!("its class is {}", pod.qos));
    must(pod.policy == "SCHED_FIFO", format!("its control thread runs under {}", pod.policy));
    must(pod.cores.len() == 1, format!("its control thread may run on the cores {:?}", pod.cores));
    must(pod.locked_kib > 0, "its memory is not locked".to_owned());
    broken
}

fn summarised(trials: &[Trial]) -> Vec<FaultFindings> {
    let mut by_fault: BTreeMap<&str, Vec<&Trial>> = BTreeMap::new();
    for trial in trials {
        by_fault.entry(trial.fault).or_default().push(trial);
    }
    let findings = by_fault.into_values().filter_map(|trials| {
        let name = trials.first()?.fault;
        let times: Vec<f64> = trials.iter().filter_map(|trial| trial.takeover_ms).collect();
        Some(FaultFindings {
            name,
            trials: trials.len(),
            takeover_ms: (!times.is_empty()).then(|| Quantiles::of(&times)),
            dual_writes: trials.iter().map(|trial| trial.dual_writes).sum(),
            stale_writes: trials.iter().map(|trial| trial.stale_writes).sum(),
            late: trials.iter().map(|trial| trial.gaps.late).sum(),
            gaps: trials.iter().map(|trial| trial.gaps.count).sum(),
            gap_ms_max: trials.iter().map(|trial| trial.gaps.max_ms).fold(0.0, f64::max),
            host_stall_ms_max: trials.iter().map(|trial| trial.host_stall_ms).fold(0.0, f64::max),
            commands: CommandCounts::of(&trials),
        })
    });
    findings.collect()
}

/// One line for a trial that has just ended.
pub(crate) fn line(trial: &Trial, fault: Fault) -> String {
    let seen = match (fault.promise(), trial.takeover_ms) {
        (_, Some(ms)) => format!("{} change(s) of office, {ms:.1} ms", trial.changes),
        (Promise::Untouched, None) => "untouched".to_owned(),
        (_, None) => "no takeover".to_owned(),
    };
    let broken = if trial.broken.is_empty() { "" } else { "  BROKEN" };
    format!(
        "{}: {seen}; {} late of {} writes, longest gap {:.1} ms, host stall {:.1} ms; whole after {:.1} s{broken}",
        trial.fault,
        trial.gaps.late,
        trial.gaps.count,
        trial.gaps.max_ms,
        trial.host_stall_ms,
        trial.whole_after_s
    )
}
