//! The figures of a run, and everybody's way.

use std::path::Path;

use hal_diagnostics::Diagnostic;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use sim_world::fleet::{Pose, Tally, Verdict};

use crate::failure::Failure;
use crate::text_file;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    steps: u64,
    goals: u64,
    goals_per_step: f64,
    collisions: u64,
    swaps: u64,
    impossible_moves: u64,
    deadlocks: u64,
    max_wait_steps: u64,
    /// In steps of the plan: vehicles that are late take longer by as much.
    wait_bound_steps: u64,
    cpu_seconds: f64,
    step_ms: StepMs,
    #[serde(skip_serializing_if = "Option::is_none")]
    distance_min_cells: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StepMs {
    p50: f64,
    p99: f64,
    max: f64,
}

impl StepMs {
    pub(crate) fn of(step_ms: &mut [f32]) -> Self {
        step_ms.sort_unstable_by(f32::total_cmp);
        let at = |share: f64| {
            let index = (step_ms.len().saturating_sub(1) as f64 * share).round() as usize;
            f64::from(step_ms.get(index).copied().unwrap_or(0.0))
        };
        Self { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

impl Report {
    pub(crate) fn new(tally: Tally, verdict: Verdict, wait_bound_steps: u64, step_ms: &mut [f32]) -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            steps: tally.steps,
            goals: tally.goals,
            goals_per_step: tally.goals as f64 / tally.steps.max(1) as f64,
            collisions: verdict.collisions,
            swaps: verdict.swaps,
            impossible_moves: verdict.impossible,
            deadlocks: tally.deadlocks,
            max_wait_steps: tally.longest_wait,
            wait_bound_steps,
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 * 1e-9,
            step_ms: StepMs::of(step_ms),
            distance_min_cells: None,
        }
    }

    pub(crate) fn with_distance(self, distance_min_cells: Option<f64>) -> Self {
        Self { distance_min_cells: distance_min_cells.filter(|distance| distance.is_finite()), ..self }
    }

    pub(crate) fn to_json(&self) -> String {
        // Numbers and names: it cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Goes to standard error where the figures go to standard output.
    pub(crate) fn say(&self, json: &Path) {
        let text = format!(
            "{} goals in {} steps ({:.3} a step), longest errand {} steps (bound {}), {} collisions, \
             {} standstills, {:.2} s of CPU, {:.2} ms a step",
            self.goals,
            self.steps,
            self.goals_per_step,
            self.max_wait_steps,
            self.wait_bound_steps,
            self.collisions + self.swaps,
            self.deadlocks,
            self.cpu_seconds,
            self.step_ms.p50,
        );
        if text_file::is_standard_output(json) {
            eprintln!("{text}");
        } else {
            text_file::say(&text);
        }
    }

    /// A run in which anything happened that must not is a failure.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        let bad = self.collisions + self.swaps + self.impossible_moves + self.deadlocks;
        if bad == 0 { Ok(()) } else { Err(defect()) }
    }
}

/// What must not happen has happened.
pub(crate) fn defect() -> Failure {
    Failure::Work(Diagnostic {
        file: "fleet".to_owned(),
        position: None,
        what: "vehicles collided, moved as they cannot, or came to a standstill".to_owned(),
        remedy: "this is a defect of the traffic control: report it with the command line".to_owned(),
    })
}

/// Everybody's way, a cell and a heading a step.
pub(crate) struct Plan {
    cells: Vec<Vec<usize>>,
    headings: Vec<Vec<u32>>,
}

#[derive(Serialize)]
struct PlanText<'a> {
    map: String,
    model: &'a str,
    vehicles: usize,
    cells: &'a [Vec<usize>],
    headings: &'a [Vec<u32>],
}

impl Plan {
    pub(crate) fn new(poses: &[Pose]) -> Self {
        let mut plan = Self { cells: vec![Vec::new(); poses.len()], headings: vec![Vec::new(); poses.len()] };
        plan.add(poses);
        plan
    }

    pub(crate) fn add(&mut self, poses: &[Pose]) {
        for ((cells, headings), pose) in self.cells.iter_mut().zip(&mut self.headings).zip(poses) {
            cells.push(pose.cell);
            headings.push(pose.heading);
        }
    }

    pub(crate) fn to_json(&self, map: &Path, model: &str) -> String {
        let text = PlanText {
            map: map.display().to_string(),
            model,
            vehicles: self.cells.len(),
            cells: &self.cells,
            headings: &self.headings,
        };
        serde_json::to_string(&text).unwrap_or_default() + "\n"
    }
}
