//! Sidecars that are killed at any moment while plans are applied, and what became of the plans.

use std::time::{Duration, Instant};

use agent_plan::wire::{PlanStatus, Stage};
use serde::Serialize;
use sim_lab::kick::{Kick, signal};

use crate::ClusterError;
use crate::cluster::Cluster;
use crate::node::processes_of_pod;
use crate::pair::{Agent, Pair};
use crate::plans::{Planner, wait_until_active};
use crate::sidecars::SIDECAR;

/// A kill comes so long after a plan was applied at the latest: by then it is usually active.
const KILLED_WITHIN_MS: u64 = 300;
/// The kubelet starts a container anew within seconds.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
const KEPT_WITHIN: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What became of plans while sidecars were killed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct KillFindings {
    pub(crate) kills: u32,
    pub(crate) plans: u64,
    /// Activations that are missing, at both nodes.
    pub(crate) lost: u64,
    /// Activations that are too many, at both nodes.
    pub(crate) twice: u64,
    /// Stored plans that an agent could not use.
    pub(crate) torn: u64,
    pub(crate) rollbacks: u64,
}

impl KillFindings {
    /// What was promised and is not so.
    pub(crate) fn broken(&self) -> Vec<String> {
        let facts = [
            (self.lost, "activations are missing"),
            (self.twice, "activations are too many"),
            (self.torn, "stored plans are torn"),
            (self.rollbacks, "plans were rolled back"),
        ];
        facts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }

    /// Takes in what a node said before the first plan and after the last.
    fn take(&mut self, before: &PlanStatus, after: &PlanStatus) {
        let activations = after.activations.saturating_sub(before.activations);
        self.lost += self.plans.saturating_sub(activations);
        self.twice += activations.saturating_sub(self.plans);
        self.rollbacks += after.rollbacks.saturating_sub(before.rollbacks);
        let is_torn = |why: &&String| why.contains("is not used");
        self.torn += after.degraded.iter().filter(is_torn).count() as u64;
    }
}

/// Applies a plan, kills the sidecar of one node after the other at a random moment, and waits until both nodes
/// keep the plan; again and again.
pub(crate) fn kill_sidecars(
    cluster: &mut Cluster,
    pair: &Pair,
    kills: u32,
    log: &mut dyn FnMut() -> Result<(), ClusterError>,
) -> Result<KillFindings, ClusterError> {
    let doors = [pair.active.door(), pair.standby.door()];
    let mut planner = Planner::new(&cluster.plane.kubeconfig(), cluster.turbines(), doors.each_ref())?;
    let agents = [&pair.active, &pair.standby];
    let before = [agents[0].plans()?, agents[1].plans()?];
    let mut findings = KillFindings::default();
    let mut random = fastrand::Rng::with_seed(cluster.seed());
    for number in 0..kills {
        cluster.check()?;
        log()?;
        let victim = if number % 2 == 0 { &pair.active } else { &pair.standby };
        let sidecar = running_sidecar(victim)?;
        let signed = planner.sign_next();
        let begin = Instant::now();
        planner.apply(&signed)?;
        findings.plans += 1;
        std::thread::sleep(Duration::from_millis(random.u64(0..KILLED_WITHIN_MS)));
        signal(sidecar, Kick::Kill)?;
        findings.kills += 1;
        wait_until_active(doors.each_ref(), signed.plan.epoch, begin)?;
        for agent in agents {
            wait_until_kept(agent, signed.plan.epoch)?;
        }
        if findings.kills % 20 == 0 {
            eprintln!("sidecar killed {} of {kills} times", findings.kills);
        }
    }
    for (agent, before) in agents.into_iter().zip(&before) {
        running_sidecar(agent)?;
        findings.take(before, &agent.plans()?);
    }
    Ok(findings)
}

/// The sidecar's process, once it is there.
fn running_sidecar(agent: &Agent) -> Result<u32, ClusterError> {
    let deadline = Instant::now() + STARTS_WITHIN;
    loop {
        if let [process] = processes_of_pod(agent.pod.edge, &agent.pod.uid, SIDECAR)[..] {
            return Ok(process);
        }
        if Instant::now() > deadline {
            return Err(ClusterError::late(&format!("the sidecar in {}", agent.pod.name), STARTS_WITHIN));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// The next plan would only supersede one that is on trial.
fn wait_until_kept(agent: &Agent, epoch: u32) -> Result<(), ClusterError> {
    let deadline = Instant::now() + KEPT_WITHIN;
    loop {
        let in_force = agent.plans()?.in_force;
        if in_force.epoch == epoch && in_force.stage == Stage::LastKnownGood {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(ClusterError::late(&format!("plan {epoch} kept in {}", agent.pod.name), KEPT_WITHIN));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(activations: u64, degraded: &[&str]) -> PlanStatus {
        let degraded = degraded.iter().map(|why| (*why).to_owned()).collect();
        PlanStatus { activations, degraded, ..PlanStatus::default() }
    }

    fn broken(activations: u64, degraded: &[&str]) -> Vec<String> {
        let mut findings = KillFindings { kills: 3, plans: 3, ..KillFindings::default() };
        findings.take(&said(10, &[]), &said(activations, degraded));
        findings.broken()
    }

    #[test]
    fn each_plan_is_activated_once() {
        assert_eq!(broken(13, &[]), [""; 0]);
        assert_eq!(broken(12, &[]), ["1 activations are missing"]);
        assert_eq!(broken(15, &[]), ["2 activations are too many"]);
    }

    #[test]
    fn a_stored_plan_that_is_torn_breaks_the_promise() {
        let torn = "the stored plan `staged` is torn and is not used";
        assert_eq!(broken(13, &[torn, "the clock is not synchronised"]), ["1 stored plans are torn"]);
    }
}
