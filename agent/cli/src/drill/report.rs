//! What a drill found, for people and as JSON, and whether the promises were kept.

use std::fmt::Write as _;

use serde::Serialize;

use super::fault::{Fault, Limits, Office};
use super::stats::{Quantiles, histogram, quantiles};
use super::trial::{Outcome, Step, Trial};
use failover_witness::takeover::{Bump, worse};
use sim_lab::commands::Tally;

/// The whole finding, as it is written.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) fault: String,
    /// Trials that were asked for.
    pub(super) trials_asked: u32,
    /// Trials that were run, whatever came of them.
    pub(super) trials: u32,
    pub(super) seed: u64,
    pub(super) turbines: u16,
    /// As the slowest device of each trial saw it; `null` if nothing was taken over.
    pub(super) takeover_ms: Option<Quantiles>,
    /// The same with the host's stalls taken off.
    pub(super) takeover_without_stalls_ms: Option<Quantiles>,
    /// From the fault to the slowest device's first write of the new term.
    pub(super) from_fault_ms: Option<Quantiles>,
    pub(super) dual_writes: u64,
    pub(super) lost_commands: Option<u64>,
    pub(super) duplicated_commands: Option<u64>,
    pub(super) max_bump: Option<Bump>,
    pub(super) false_takeovers: u32,
    /// Of these, in trials with a stall of the host that explains them.
    pub(super) false_takeovers_explained_by_host: u32,
    pub(super) profile: String,
    pub(super) outcomes: Outcomes,
    pub(super) worst_heartbeat_gap_ms: Option<f64>,
    /// Writes of an old term that the devices refused.
    pub(super) fenced_off: u64,
    /// Writes that the simulator's log lost; what they were is not known.
    pub(super) log_missing: u64,
    pub(super) commands: Option<Tally>,
    /// Why stalls of the host cannot be told from load, if so.
    pub(super) host_probe_blind: Option<String>,
    /// What loaded the machine meanwhile.
    pub(super) stress: Option<String>,
    /// What was done to the machine beyond the pair.
    pub(super) note: Option<&'static str>,
    /// Promises that were not kept, in words; empty is success.
    pub(super) broken: Vec<String>,
    pub(super) each: Vec<Trial>,
}

/// How the trials ended; together they are all that were run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Outcomes {
    pub(super) took_over: u32,
    pub(super) stayed: u32,
    pub(super) missing: u32,
    pub(super) not_injected: u32,
}

/// Trials that people are shown on their own; all are in the JSON.
const SHOWN_MAX: usize = 20;
/// Takeovers of one trial that they are shown.
const STEPS_SHOWN_MAX: usize = 4;

/// What goes into a report beside the trials.
pub(super) struct Circumstances {
    pub(super) fault: Fault,
    pub(super) trials_asked: u32,
    pub(super) seed: u64,
    pub(super) turbines: u16,
    pub(super) profile: String,
    pub(super) dual_writes: u64,
    pub(super) fenced_off: u64,
    pub(super) log_missing: u64,
    /// Changes of office after the last trial.
    pub(super) moved_at_the_end: u32,
    /// Why the pair was not whole at the end, if so.
    pub(super) broken_at_the_end: Option<String>,
    pub(super) commands: Option<Tally>,
    /// What loaded the machine meanwhile.
    pub(super) stress: Option<String>,
    pub(super) host_probe_blind: Option<String>,
}

impl Report {
    /// Puts it together and judges.
    pub(super) fn new(circumstances: Circumstances, each: Vec<Trial>) -> Self {
        let fault = circumstances.fault;
        let steps = || each.iter().flat_map(|trial| &trial.takeovers);
        let of = |value: fn(&Step) -> f64| quantiles(&steps().map(value).collect::<Vec<_>>());
        let from_fault: Vec<f64> = each.iter().filter_map(|trial| trial.from_fault_ms).collect();
        let explained = each.iter().filter(|trial| trial.explained_by_host);
        let commands = circumstances.commands;
        let false_takeovers: u32 = each.iter().map(|trial| trial.false_takeovers).sum();
        let mut report = Self {
            fault: fault.name(),
            trials_asked: circumstances.trials_asked,
            trials: u32::try_from(each.len()).unwrap_or(u32::MAX),
            seed: circumstances.seed,
            turbines: circumstances.turbines,
            takeover_ms: of(|step| step.takeover_ms),
            takeover_without_stalls_ms: of(|step| step.without_stalls_ms),
            from_fault_ms: quantiles(&from_fault),
            dual_writes: circumstances.dual_writes,
            lost_commands: commands.as_ref().map(|tally| tally.lost),
            duplicated_commands: commands.as_ref().map(|tally| tally.duplicated),
            max_bump: steps().fold(None, |worst, step| worse(worst, step.bump)),
            false_takeovers: false_takeovers + circumstances.moved_at_the_end,
            false_takeovers_explained_by_host: explained.map(|trial| trial.false_takeovers).sum(),
            profile: circumstances.profile,
            outcomes: Outcomes::of(&each),
            worst_heartbeat_gap_ms: each.iter().filter_map(|t| t.heartbeat_gap_ms).reduce(f64::max),
            fenced_off: circumstances.fenced_off,
            log_missing: circumstances.log_missing,
            commands,
            host_probe_blind: circumstances.host_probe_blind,
            note: note(fault),
            stress: circumstances.stress,
            broken: Vec::new(),
            each,
        };
        report.broken = report.judge(fault.promise());
        report.broken.extend(circumstances.broken_at_the_end);
        report
    }

    /// The promises that were not kept.
    fn judge(&self, promise: Office) -> Vec<String> {
        let mut broken = Vec::new();
        let mut none = |count: u64, what: &str| {
            if count > 0 {
                broken.push(format!("{count} {what}"));
            }
        };
        let Outcomes { took_over, stayed, missing, not_injected } = self.outcomes;
        none(self.dual_writes, "writes of an older epoch after one of a newer");
        none(self.lost_commands.unwrap_or(0), "commands were accepted and never executed");
        none(self.duplicated_commands.unwrap_or(0), "commands were executed twice");
        none(self.log_missing, "writes are missing from the simulator's log");
        none(not_injected.into(), "trials could not be carried out");
        none(missing.into(), "trials left devices without a master");
        none((self.trials_asked.saturating_sub(self.trials)).into(), "trials were not begun");
        let unexplained = self.false_takeovers.saturating_sub(self.false_takeovers_explained_by_host);
        none(unexplained.into(), "takeovers that nothing promised, and no stall of host or plant explains");
        match promise {
            Office::Moves(limits) => {
                none(stayed.into(), "trials without the takeover that is promised");
                broken.extend(self.over(limits));
            }
            Office::Stays => {
                // What moved is counted above, with what explains it.
                let _ = took_over;
            }
            Office::Limited(limits) => {
                none(stayed.into(), "trials in which no switchover was granted");
                let unlimited = self.each.iter().filter(|trial| trial.granted > 0 && trial.refused == 0);
                none(unlimited.count() as u64, "trials in which every switchover was granted");
                broken.extend(self.over(limits));
            }
        }
        broken
    }

    fn over(&self, limits: Limits) -> Vec<String> {
        let mut broken = Vec::new();
        if let Some(found) = self.takeover_without_stalls_ms {
            for (what, found, limit) in [("p99", found.p99, limits.p99_ms), ("max", found.max, limits.max_ms)]
            {
                if found >= limit {
                    broken.push(format!(
                        "takeover without stalls: {what} {found:.1} ms is not below {limit:.0} ms"
                    ));
                }
            }
        }
        if let (Some(bump), Some(limit)) = (self.max_bump, limits.bump_percent)
            && bump.percent_of_span >= limit
        {
            let Bump { signal, percent_of_span, .. } = bump;
            broken.push(format!("bump of {signal}: {percent_of_span:.2} % is not below {limit} %"));
        }
        broken
    }

    /// The finding in words.
    pub(super) fn text(&self) -> String {
        let Outcomes { took_over, stayed, missing, not_injected } = self.outcomes;
        let mut text = format!(
            "drill {}: {} of {} trials; {took_over} took over, {stayed} stayed, {missing} left devices out, \
             {not_injected} not carried out\n",
            self.fault, self.trials, self.trials_asked
        );
        if self.takeover_ms.is_some() {
            let _ = writeln!(text, "\n{:<24}{:>8}{:>8}{:>8}{:>8}  ms", "", "p50", "p99", "p99.9", "max");
        }
        for (name, found) in [
            ("takeover at the device", self.takeover_ms),
            ("  without host's stalls", self.takeover_without_stalls_ms),
            ("from fault to new term", self.from_fault_ms),
        ] {
            if let Some(Quantiles { p50, p99, p999, max }) = found {
                let _ = writeln!(text, "{name:<24}{p50:>8.1}{p99:>8.1}{p999:>8.1}{max:>8.1}");
            }
        }
        let raw: Vec<f64> = self.each.iter().flat_map(|t| &t.takeovers).map(|s| s.takeover_ms).collect();
        if !raw.is_empty() {
            let _ = write!(text, "\n{}\n", histogram(&raw));
        }
        self.put_counts(&mut text);
        for trial in self.each.iter().filter(|trial| trial.is_remarkable()).take(SHOWN_MAX) {
            let _ = writeln!(text, "  trial {}: {}", trial.trial, trial.line());
        }
        if self.broken.is_empty() {
            text.push_str("every promise was kept\n");
        }
        for broken in &self.broken {
            let _ = writeln!(text, "BROKEN: {broken}");
        }
        text
    }

    fn put_counts(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "dual writes {}, old writes that the devices refused {}, false takeovers {} ({} explained by stalls of host or plant)",
            self.dual_writes, self.fenced_off, self.false_takeovers, self.false_takeovers_explained_by_host
        );
        if let Some(Bump { signal, device, raw_percent, ordinary_percent, percent_of_span }) = self.max_bump {
            let _ = writeln!(
                text,
                "largest bump: {signal} of device {device}, {percent_of_span:.3} % of span \
                 ({raw_percent:.3} % less the ordinary {ordinary_percent:.3} %)"
            );
        }
        match &self.commands {
            Some(tally) => {
                let _ = writeln!(
                    text,
                    "commands: {} sent, {} accepted, {} executed, {} refused, {} unanswered; {} lost, {} executed twice",
                    tally.sent,
                    tally.accepted,
                    tally.executed,
                    tally.refused,
                    tally.unanswered,
                    tally.lost,
                    tally.duplicated
                );
            }
            None => text.push_str("commands: none were sent\n"),
        }
        for (reason, count) in self.commands.iter().flat_map(|tally| &tally.refused_by_reason) {
            let _ = writeln!(text, "  refused {count} x {reason}");
        }
        let stalls = || self.each.iter().flat_map(|trial| &trial.host_stalls_ms);
        let longest = stalls().copied().fold(0.0, f64::max);
        match &self.host_probe_blind {
            None => {
                let _ = writeln!(
                    text,
                    "host: {} stalls over 1 ms, the longest {longest:.1} ms",
                    stalls().count()
                );
            }
            Some(why) => {
                let _ = writeln!(text, "host: stalls cannot be told from load: {why}");
            }
        }
        let asked = |of: fn(&Trial) -> u32| self.each.iter().map(of).sum::<u32>();
        let (granted, refused) = (asked(|trial| trial.granted), asked(|trial| trial.refused));
        if granted + refused > 0 {
            let _ = writeln!(text, "switchovers: {granted} granted, {refused} not");
        }
        if let Some(gap_ms) = self.worst_heartbeat_gap_ms {
            let _ = writeln!(text, "worst heartbeat gap {gap_ms:.1} ms");
        }
        let _ = writeln!(text, "profile: {}", self.profile);
        if let Some(stress) = &self.stress {
            let _ = writeln!(text, "under {stress}");
        }
        if let Some(note) = self.note {
            let _ = writeln!(text, "note: {note}");
        }
    }
}

/// What a fault does to the machine beyond the pair.
fn note(fault: Fault) -> Option<&'static str> {
    (fault == Fault::Clock).then_some(
        "the wall clock of the whole machine was set 5 s ahead and back after 0.1 s in each trial: Linux has no namespace for it",
    )
}

impl Outcomes {
    fn of(trials: &[Trial]) -> Self {
        let mut outcomes = Self::default();
        for trial in trials {
            match trial.outcome {
                Outcome::TookOver => outcomes.took_over += 1,
                Outcome::Stayed => outcomes.stayed += 1,
                Outcome::Missing { .. } => outcomes.missing += 1,
                Outcome::NotInjected { .. } => outcomes.not_injected += 1,
            }
        }
        outcomes
    }
}

impl Trial {
    /// Whether people want to see it on its own.
    fn is_remarkable(&self) -> bool {
        let failed = match self.outcome {
            Outcome::TookOver | Outcome::Stayed => false,
            Outcome::Missing { .. } | Outcome::NotInjected { .. } => true,
        };
        failed || self.false_takeovers > 0
    }

    /// The trial in a line.
    pub(super) fn line(&self) -> String {
        let mut line = String::new();
        match &self.outcome {
            Outcome::TookOver => {
                let more = self.takeovers.len().saturating_sub(STEPS_SHOWN_MAX);
                for Step { new_epoch, device, takeover_ms, host_stall_ms, .. } in
                    self.takeovers.iter().take(STEPS_SHOWN_MAX)
                {
                    let _ = write!(line, "{takeover_ms:.1} ms to term {new_epoch} (device {device}");
                    let stalled = if *host_stall_ms > 0.0 {
                        format!(", host stalled {host_stall_ms:.1} ms")
                    } else {
                        String::new()
                    };
                    let _ = write!(line, "{stalled}) ");
                }
                if more > 0 {
                    let _ = write!(line, "and {more} more ");
                }
            }
            Outcome::Stayed => line.push_str("nothing moved "),
            Outcome::Missing { devices } => {
                let _ = write!(line, "devices {devices:?} were not taken over ");
            }
            Outcome::NotInjected { why } => {
                let _ = write!(line, "not carried out: {why} ");
            }
        }
        if self.false_takeovers > 0 {
            let longest = |stalls: &[f64]| stalls.iter().copied().fold(0.0, f64::max);
            let _ = write!(
                line,
                "{} false takeovers, longest stall of the host {:.1} ms, of the simulated plant {:.1} ms",
                self.false_takeovers,
                longest(&self.host_stalls_ms),
                longest(&self.simulator_stalls_ms),
            );
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests;
