//! Plans through the API server: how long until they run on both nodes, and how much of them travels.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use agent_plan::Request;
use agent_plan::delta::{PlanDelta, compress_whole};
use agent_plan::document::{
    Activation, Between, Demand, PlanLimits, Rollout, Schedule, SchedulingPlan, SetPoint, SignedPlan, Target,
    UtcTime,
};
use agent_plan::wire::Stage;
use k8s_crd::{Brief, SchedulingPlan as PlanObject};
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde::Serialize;
use sim_lab::site::unit_name;

use crate::ClusterError;
use crate::deployment::{SITE, signer};
use crate::kubectl::NAMESPACE;
use crate::pair::PlanDoor;

/// A plan that is not active then will not be.
const ACTIVE_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks at the agents.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// The trial of a plan: the next one comes after it.
const SOAK_MS: u64 = 200;
/// Plans that stay in the API server.
const PLANS_KEPT: u32 = 20;
/// Points of a unit's schedule: every quarter of an hour of a day.
const POINTS: u64 = 96;
/// From one point to the next.
const STEP_MS: u64 = 15 * 60 * 1000;

/// What plans took.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct PlanFindings {
    pub(crate) applied: usize,
    pub(crate) activations: usize,
    /// From the request to the API server until both nodes run the plan.
    pub(crate) write_to_active_ms: Quantiles,
    /// Cycles between the activations of both nodes, at the most.
    pub(crate) skew_cycles_max: u64,
    /// All plans as they are.
    pub(crate) bytes_full: u64,
    /// Each as the change of the one before.
    pub(crate) bytes_delta: u64,
    /// Each compressed by itself.
    pub(crate) bytes_full_zstd: u64,
    pub(crate) rejected: std::collections::BTreeMap<String, u64>,
    pub(crate) rollbacks: u64,
}

/// Quantiles of a sample.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Quantiles {
    /// By the nearest rank.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
        };
        Self { p50: at(0.5), p99: at(0.99), max: sorted.last().copied().unwrap_or(0.0) }
    }
}

/// The trace: a day's power limits for each turbine, of which each plan moves the next few quarters of an hour of
/// one turbine, as a dispatcher does with the newest forecast.
fn plan(epoch: u32, turbines: u16, day_ms: u64) -> SchedulingPlan {
    let limit = |turbine: u64, point: u64| {
        let last = (1..=epoch).rev().find(|change| moves(*change, turbine, point, turbines)).unwrap_or(0);
        2_000_000 + ((turbine * 37 + point * 11 + u64::from(last) * 101) % 300) * 10_000
    };
    let units = (0..turbines).map(|at| (u64::from(at), unit_name(usize::from(at))));
    let demands = units.clone().map(|(_, unit)| Demand { unit, request: Request::Run, power_limit_w: None });
    let schedules = units.map(|(turbine, unit)| Schedule {
        unit,
        between: Between::Line,
        points: (0..POINTS)
            .map(|point| SetPoint {
                at: UtcTime::from_unix_millis(day_ms + point * STEP_MS),
                power_limit_w: limit(turbine, point),
            })
            .collect(),
    });
    SchedulingPlan {
        name: "day-ahead".to_owned(),
        epoch,
        target: Target { site: SITE.to_owned(), nodes: Vec::new() },
        tasks: Vec::new(),
        demands: demands.collect(),
        schedules: schedules.collect(),
        wakes: Vec::new(),
        transports: Vec::new(),
        rules: Vec::new(),
        limits: PlanLimits::default(),
        activation: Activation::default(),
        expires_at: None,
        rollout: Rollout { canary: None, soak_ms: SOAK_MS, max_failures: 0 },
    }
}

/// Whether the plan of an epoch moves a point: four in a row of one turbine.
fn moves(epoch: u32, turbine: u64, point: u64, turbines: u16) -> bool {
    let epoch = u64::from(epoch);
    let first = epoch * 4 % POINTS;
    epoch % u64::from(turbines.max(1)) == turbine && (first..first + 4).contains(&point)
}

/// An administrator who applies one plan of the trace after the other.
pub(crate) struct Planner {
    runtime: tokio::runtime::Runtime,
    api: Api<PlanObject>,
    turbines: u16,
    day_ms: u64,
    epoch: u32,
    /// The plan before the next one: nodes keep it by then.
    last: std::cell::RefCell<Option<SignedPlan>>,
}

impl Planner {
    /// One whose next plan is newer than all that both agents had.
    pub(crate) fn new(
        kubeconfig: &Path,
        turbines: u16,
        agents: [&PlanDoor; 2],
    ) -> Result<Self, ClusterError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ClusterError::Machine { why: error.to_string() })?;
        let api = runtime.block_on(async { api(kubeconfig).await })?;
        let mut epoch = 0;
        for agent in agents {
            epoch = epoch.max(agent.plans()?.highest_epoch);
        }
        let day_ms = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .and_then(|now| u64::try_from(now.as_millis()).ok())
            .unwrap_or(0);
        Ok(Self { runtime, api, turbines, day_ms, epoch, last: std::cell::RefCell::default() })
    }

    /// The next plan, signed.
    pub(crate) fn sign_next(&mut self) -> SignedPlan {
        self.epoch += 1;
        signer().sign(plan(self.epoch, self.turbines, self.day_ms))
    }

    /// Writes a plan to the API server, and removes one that is old by now, as whoever cares for a cluster does.
    pub(crate) fn apply(&self, signed: &SignedPlan) -> Result<(), ClusterError> {
        let epoch = signed.plan.epoch;
        let bases: Vec<SignedPlan> = self.last.replace(Some(signed.clone())).into_iter().collect();
        let object = Brief::object(&object_name(epoch), signed, &bases)
            .map_err(|error| ClusterError::Machine { why: error.to_string() })?;
        self.runtime.block_on(async { self.api.create(&PostParams::default(), &object).await }).map_err(
            |error| ClusterError::Tool {
                command: format!("create schedulingplan {epoch}"),
                why: error.to_string(),
            },
        )?;
        if let Some(old) = epoch.checked_sub(PLANS_KEPT) {
            let name = object_name(old);
            // The first ones are not there.
            let _ = self.runtime.block_on(async { self.api.delete(&name, &DeleteParams::default()).await });
        }
        Ok(())
    }
}

fn object_name(epoch: u32) -> String {
    format!("day-ahead-{epoch}")
}

/// Applies plans one after the other, and watches both agents.
pub(crate) fn run(
    mut planner: Planner,
    agents: [&PlanDoor; 2],
    count: u32,
    check: &mut dyn FnMut() -> Result<(), ClusterError>,
    tell: &dyn Fn(&str),
) -> Result<PlanFindings, ClusterError> {
    let mut findings = PlanFindings::default();
    let (mut times, mut last): (Vec<f64>, Option<SignedPlan>) = (Vec::new(), None);
    for number in 1..=count {
        check()?;
        let signed = planner.sign_next();
        measure_bytes(&mut findings, &signed, last.as_ref());
        let begin = Instant::now();
        planner.apply(&signed)?;
        let cycles = wait_until_active(agents, signed.plan.epoch, begin)?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        if let [Some(one), Some(other)] = cycles {
            findings.skew_cycles_max = findings.skew_cycles_max.max(one.abs_diff(other));
        }
        findings.applied += 1;
        last = Some(signed);
        if number % 20 == 0 {
            let quantiles = Quantiles::of(&times);
            tell(&format!(
                "plan {number} of {count}: {:.0} ms so far (median), {:.0} at most, skew at most {} cycles",
                quantiles.p50, quantiles.max, findings.skew_cycles_max
            ));
        }
        // Not before its trial is over: it would only be superseded.
        std::thread::sleep(Duration::from_millis(SOAK_MS + 100));
    }
    findings.activations = times.len();
    findings.write_to_active_ms = Quantiles::of(&times);
    for agent in agents {
        let status = agent.plans()?;
        for (reason, count) in status.refused {
            *findings.rejected.entry(reason).or_default() += count;
        }
        findings.rollbacks += status.rollbacks;
    }
    Ok(findings)
}

async fn api(kubeconfig: &Path) -> Result<Api<PlanObject>, ClusterError> {
    let unusable = |error: &dyn std::fmt::Display| ClusterError::Tool {
        command: "the administrator's client".to_owned(),
        why: error.to_string(),
    };
    let kubeconfig = Kubeconfig::read_from(kubeconfig).map_err(|error| unusable(&error))?;
    let options = KubeConfigOptions::default();
    let config =
        Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(&error))?;
    let client = Client::try_from(config).map_err(|error| unusable(&error))?;
    Ok(Api::namespaced(client, NAMESPACE))
}

/// The cycles on which both activated it.
pub(crate) fn wait_until_active(
    agents: [&PlanDoor; 2],
    epoch: u32,
    begin: Instant,
) -> Result<[Option<u64>; 2], ClusterError> {
    let mut cycles = [None, None];
    for (agent, cycle) in agents.into_iter().zip(&mut cycles) {
        loop {
            let status = agent.plans()?;
            let stage = status.in_force.stage;
            if status.in_force.epoch == epoch && matches!(stage, Stage::Soaking | Stage::LastKnownGood) {
                *cycle = status.in_force.cycle;
                break;
            }
            if begin.elapsed() > ACTIVE_WITHIN {
                let why = format!("plan {epoch} is not active: {status:?}");
                return Err(ClusterError::Agent { pod: agent.name.clone(), why });
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
    Ok(cycles)
}

fn measure_bytes(findings: &mut PlanFindings, signed: &SignedPlan, last: Option<&SignedPlan>) {
    let full = signed.to_json();
    findings.bytes_full += full.len() as u64;
    findings.bytes_full_zstd += compress_whole(signed).map_or(full.len(), |bytes| bytes.len()) as u64;
    let delta = last.and_then(|last| PlanDelta::between(last, signed).ok());
    let bytes = delta.and_then(|delta| serde_json::to_vec(&delta).ok()).map_or(full.len(), |json| json.len());
    findings.bytes_delta += bytes as u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_moves_a_few_points_of_one_turbine() {
        let (one, next) = (plan(7, 4, 0), plan(8, 4, 0));
        let mut moved = Vec::new();
        for (before, after) in one.schedules.iter().zip(&next.schedules) {
            let points = before.points.iter().zip(&after.points);
            moved.extend(points.filter(|(a, b)| a != b).map(|_| before.unit.clone()));
        }
        assert_eq!(moved, ["WT01"; 4]);
    }

    #[test]
    fn quantiles_are_those_of_the_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let quantiles = Quantiles::of(&values);
        assert_eq!((quantiles.p50, quantiles.p99, quantiles.max), (50.0, 99.0, 100.0));
        assert_eq!(Quantiles::of(&[]).max, 0.0);
    }
}
