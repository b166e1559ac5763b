//! What is done to the cluster, and what the devices saw of it.

use std::time::Duration;

use failover_witness::evidence::Evidence;
use failover_witness::takeover::{Gaps, epoch_at, examine, gaps};
use hal_linux_rt::clock::now;
use latency_tests_harness::stalls::HostProbe;
use serde::Serialize;
use sim_lab::commands::{Destination, Load, Tally};
use sim_lab::site::unit_name;

use crate::ClusterError;
use crate::cluster::Cluster;
use crate::deployment::SITE;
use crate::kills::{KillFindings, kill_sidecars};
use crate::kubectl::NAMESPACE;
use crate::network::{BROKER, Cable};
use crate::pair::{Agent, Pair, whole};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// Nothing: what the same time looks like without a fault
    None,
    /// The chart is rolled to another image, both pods one after the other
    Roll,
    /// The active pod is deleted by force
    Delete,
    /// The active node is cut off from everything
    CutOff,
    /// The active node is cut off from the API server
    CutApi,
    /// The kubelet of the active node is killed
    Kubelet,
    /// containerd of the active node is killed
    Containerd,
    /// The API server is killed
    ApiServer,
    /// The sidecars are killed while plans are applied
    Sidecar,
}

/// What belongs to trials beside the fault.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Todo {
    /// Kills in a trial of [`Fault::Sidecar`].
    pub(crate) kills: u32,
    /// Whether commands are sent meanwhile.
    pub(crate) commands: bool,
}

/// What the devices may see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Promise {
    /// Nothing.
    Untouched,
    /// The other node takes over within this time, in milliseconds.
    TakenOver(f64),
    /// Each change of office is agreed on: within this time, in milliseconds.
    HandedOver(f64),
}

impl Fault {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Roll => "roll",
            Self::Delete => "delete",
            Self::CutOff => "cut-off",
            Self::CutApi => "cut-api",
            Self::Kubelet => "kubelet",
            Self::Containerd => "containerd",
            Self::ApiServer => "api-server",
            Self::Sidecar => "sidecar",
        }
    }

    /// A handover costs at most one extra cycle of 10 ms; a takeover is that of the pair's own drills.
    pub(crate) const fn promise(self) -> Promise {
        match self {
            Self::None
            | Self::CutApi
            | Self::Kubelet
            | Self::Containerd
            | Self::ApiServer
            | Self::Sidecar => Promise::Untouched,
            Self::Roll => Promise::HandedOver(25.0),
            Self::Delete | Self::CutOff => Promise::TakenOver(60.0),
        }
    }

    /// How long the devices are watched before the fault is undone.
    const fn watched_for(self) -> Duration {
        match self {
            Self::Roll | Self::Delete | Self::Sidecar => Duration::from_secs(2),
            Self::CutOff => Duration::from_secs(5),
            Self::None | Self::CutApi | Self::Kubelet | Self::Containerd | Self::ApiServer => {
                Duration::from_secs(20)
            }
        }
    }
}

/// What came of a fault.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Trial {
    pub(crate) fault: &'static str,
    /// The takeover as the slowest device saw it; the longest, if there were several.
    pub(crate) takeover_ms: Option<f64>,
    /// Changes of office.
    pub(crate) changes: usize,
    /// Writes of an older epoch that were carried out after one of a newer.
    pub(crate) dual_writes: u64,
    /// Writes of an older epoch that a device's fence refused.
    pub(crate) stale_writes: u64,
    /// Gaps between the writes that devices carried out, at all of them.
    pub(crate) gaps: Gaps,
    /// The longest time in which the host ran nothing on a core.
    pub(crate) host_stall_ms: f64,
    /// Until the pair was whole again.
    pub(crate) whole_after_s: f64,
    /// What became of the commands that were sent meanwhile.
    pub(crate) commands: Option<Tally>,
    /// What became of the plans that were applied meanwhile.
    pub(crate) kills: Option<KillFindings>,
    /// What was promised and is not so.
    pub(crate) broken: Vec<String>,
}

/// The period of the devices' writes.
const PERIOD_NS: u64 = 10_000_000;
/// Between two looks at the write log.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Does a fault and undoes it. `usual` is what the same time looks like without one.
pub(crate) fn run(
    cluster: &mut Cluster,
    evidence: &mut Evidence,
    host: &HostProbe,
    todo: &Todo,
    fault: Fault,
    usual: Option<&Gaps>,
) -> Result<Trial, ClusterError> {
    let pair = cluster.whole(evidence)?;
    let (dual, stale) = (evidence.dual.count, evidence.fenced_off);
    evidence.take()?;
    let _ = host.take();
    let from_ns = now().as_nanos();
    evidence.forget_before(from_ns.saturating_sub(1_000_000_000));
    let old_epoch = epoch_at(&evidence.writes, from_ns).ok_or(ClusterError::NoWrites)?;
    let load = todo.commands.then(|| Load::start(destination(cluster))).transpose()?;
    let mut log = || -> Result<(), ClusterError> { Ok(evidence.take()?) };
    let kills = inject(cluster, &pair, fault, todo, &mut log)?;
    cluster.watch(fault.watched_for(), &mut log)?;
    heal(cluster, &pair.active, fault)?;
    cluster.whole(evidence)?;
    let to_ns = now().as_nanos();
    evidence.take()?;
    let commands = load.map(Load::end).transpose()?;
    let stalls = host.take();
    let longest = stalls.iter().map(|span| span.to_ns.saturating_sub(span.from_ns) as f64 / 1e6);
    let mut trial = Trial {
        fault: fault.name(),
        takeover_ms: None,
        changes: 0,
        dual_writes: evidence.dual.count - dual,
        stale_writes: evidence.fenced_off - stale,
        gaps: gaps(&evidence.writes, from_ns, to_ns, PERIOD_NS),
        host_stall_ms: longest.fold(0.0, f64::max),
        whole_after_s: (to_ns - from_ns) as f64 / 1e9,
        commands,
        kills,
        broken: Vec::new(),
    };
    takeovers(evidence, old_epoch, &mut trial);
    judge(&mut trial, fault, usual);
    Ok(trial)
}

/// Where the commands go.
fn destination(cluster: &Cluster) -> Destination {
    Destination {
        broker: format!("mqtt://{BROKER}"),
        site: SITE.to_owned(),
        units: (0..usize::from(cluster.turbines())).map(unit_name).collect(),
        issuer: "takt-cluster",
        namespace: Some(cluster.network.plant()),
    }
}

/// Follows the changes of office from one epoch to the next.
fn takeovers(evidence: &Evidence, old_epoch: u32, trial: &mut Trial) {
    let mut epoch = old_epoch;
    loop {
        let seen = examine(&evidence.writes, epoch);
        let Some(takeover) = seen.takeover else { return };
        trial.changes += 1;
        trial.takeover_ms = Some(trial.takeover_ms.unwrap_or(0.0).max(takeover.ms()));
        if !seen.missing.is_empty() {
            trial.broken.push(format!("devices {:?} were not taken over", seen.missing));
        }
        epoch = takeover.new_epoch;
    }
}

fn judge(trial: &mut Trial, fault: Fault, usual: Option<&Gaps>) {
    let mut broken = Vec::new();
    if trial.dual_writes > 0 {
        broken.push(format!("{} dual writes", trial.dual_writes));
    }
    if let Some(commands) = trial.commands.as_ref().filter(|tally| tally.lost + tally.duplicated > 0) {
        broken.push(format!(
            "{} commands lost, {} carried out twice: {}",
            commands.lost,
            commands.duplicated,
            commands.examples.join("; ")
        ));
    }
    broken.extend(trial.kills.iter().flat_map(KillFindings::broken));
    match (fault.promise(), trial.takeover_ms) {
        (Promise::Untouched, Some(_)) => broken.push("the office changed hands".to_owned()),
        (Promise::Untouched, None) => {
            // As many as usual in as long a time, and what a stall of the host explains.
            let usual = usual.filter(|usual| usual.count > 0);
            let expected =
                usual.map_or(0.0, |usual| usual.late as f64 * trial.gaps.count as f64 / usual.count as f64);
            if fault != Fault::None && trial.gaps.late as f64 > expected.ceil() && trial.host_stall_ms < 5.0 {
                broken.push(format!("{} late writes, {expected:.0} are usual", trial.gaps.late));
            }
        }
        (Promise::TakenOver(_) | Promise::HandedOver(_), None) => {
            broken.push("nobody took over".to_owned());
        }
        (Promise::TakenOver(limit) | Promise::HandedOver(limit), Some(ms)) => {
            if ms - trial.host_stall_ms > limit {
                broken.push(format!("a takeover of {ms:.1} ms, {limit:.0} are allowed"));
            }
        }
    }
    trial.broken.extend(broken);
}

fn inject(
    cluster: &mut Cluster,
    pair: &Pair,
    fault: Fault,
    todo: &Todo,
    log: &mut dyn FnMut() -> Result<(), ClusterError>,
) -> Result<Option<KillFindings>, ClusterError> {
    let edge = pair.active.pod.edge;
    match fault {
        Fault::None => {}
        Fault::Roll => cluster.roll(log)?,
        Fault::Delete => {
            let name = pair.active.pod.name.clone();
            let arguments =
                ["delete", "pod", &name, "-n", NAMESPACE, "--force", "--grace-period=0", "--wait=false"];
            cluster.plane.kubectl().run(&arguments)?;
        }
        Fault::CutOff => {
            cluster.network.set(edge, &[Cable::Links, Cable::Field, Cable::Management], false)?;
        }
        Fault::CutApi => cluster.network.set(edge, &[Cable::Management], false)?,
        Fault::Kubelet => cluster.node_mut(edge).kill_kubelet(),
        Fault::Containerd => cluster.node_mut(edge).kill_containerd(),
        Fault::ApiServer => cluster.plane.kill_api_server(),
        Fault::Sidecar => return kill_sidecars(cluster, pair, todo.kills, log).map(Some),
    }
    Ok(None)
}

fn heal(cluster: &mut Cluster, active: &Agent, fault: Fault) -> Result<(), ClusterError> {
    let edge = active.pod.edge;
    match fault {
        Fault::None | Fault::Roll | Fault::Delete | Fault::Sidecar => Ok(()),
        Fault::CutOff => {
            Ok(cluster.network.set(edge, &[Cable::Links, Cable::Field, Cable::Management], true)?)
        }
        Fault::CutApi => Ok(cluster.network.set(edge, &[Cable::Management], true)?),
        Fault::Kubelet => cluster.node_mut(edge).start_kubelet(),
        Fault::Containerd => cluster.node_mut(edge).start_containerd(),
        Fault::ApiServer => cluster.plane.start_api_server(),
    }
}

impl Cluster {
    /// Waits until the pair is whole, and reads the devices' log meanwhile.
    pub(crate) fn whole(&mut self, evidence: &mut Evidence) -> Result<Pair, ClusterError> {
        let kubectl = self.plane.kubectl();
        let deployment = self.deployment(&kubectl);
        whole(&deployment, &self.nodes, || {
            self.signals.check()?;
            Ok(evidence.take()?)
        })
    }

    /// Watches the devices for a while.
    pub(crate) fn watch(
        &mut self,
        limit: Duration,
        log: &mut dyn FnMut() -> Result<(), ClusterError>,
    ) -> Result<(), ClusterError> {
        let end = std::time::Instant::now() + limit;
        while std::time::Instant::now() < end {
            self.check()?;
            log()?;
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(fault: Fault, takeover_ms: Option<f64>) -> Trial {
        Trial {
            fault: fault.name(),
            takeover_ms,
            changes: usize::from(takeover_ms.is_some()),
            dual_writes: 0,
            stale_writes: 0,
            gaps: Gaps { count: 8000, late: 0, max_ms: 11.0 },
            host_stall_ms: 0.0,
            whole_after_s: 20.0,
            commands: None,
            kills: None,
            broken: Vec::new(),
        }
    }

    fn broken(fault: Fault, takeover_ms: Option<f64>, change: impl Fn(&mut Trial)) -> Vec<String> {
        let mut trial = trial(fault, takeover_ms);
        change(&mut trial);
        judge(&mut trial, fault, Some(&Gaps { count: 4000, late: 2, max_ms: 17.0 }));
        trial.broken
    }

    #[test]
    fn what_must_not_touch_control_is_held_against_the_same_time_without_it() {
        assert_eq!(broken(Fault::Kubelet, None, |trial| trial.gaps.late = 4), [""; 0]);
        assert_eq!(broken(Fault::Kubelet, None, |trial| trial.gaps.late = 5), ["5 late writes, 4 are usual"]);
        assert_eq!(broken(Fault::Kubelet, Some(12.0), |_| ()), ["the office changed hands"]);
    }

    #[test]
    fn a_command_that_is_lost_or_carried_out_twice_breaks_a_promise() {
        let tally = |lost, duplicated| Some(Tally { lost, duplicated, ..Tally::default() });
        assert_eq!(broken(Fault::None, None, |trial| trial.commands = tally(0, 0)), [""; 0]);
        let lost = broken(Fault::None, None, |trial| trial.commands = tally(1, 2));
        assert_eq!(lost, ["1 commands lost, 2 carried out twice: "]);
    }

    #[test]
    fn a_takeover_must_come_and_in_time() {
        assert_eq!(broken(Fault::CutOff, Some(50.0), |_| ()), [""; 0]);
        assert_eq!(broken(Fault::CutOff, None, |_| ()), ["nobody took over"]);
        assert_eq!(broken(Fault::Roll, Some(40.0), |_| ()), ["a takeover of 40.0 ms, 25 are allowed"]);
        assert_eq!(broken(Fault::Roll, Some(40.0), |trial| trial.host_stall_ms = 20.0), [""; 0]);
        assert_eq!(broken(Fault::Delete, Some(20.0), |trial| trial.dual_writes = 1), ["1 dual writes"]);
    }
}
