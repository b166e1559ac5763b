//! How many instructions a cycle takes: a number that the machine's mood does not change.
//!
//! # Model
//!
//! The program starts itself under valgrind's callgrind, which counts what is executed within [`counted`] and nothing
//! else, and does so twice: the count of the same program is the same, or something in the cycle depends on more than
//! its inputs. Divided by the number of steps it is what one step takes.

use std::collections::BTreeMap;
use std::hint::black_box;

use agent_cycle::Tick;
use clap::ValueEnum;
use control_loops_controllers::turbine::{TurbineController, TurbineDemand, TurbineParameters};
use hal_units::{Duration, Instant};
use latency_tests_harness::report::Finding;
use serde::Serialize;

use crate::controllers::recording::{PERIOD, Recording};
use crate::peer_program;
use crate::sites::Site;

/// Cycles, or steps of a controller, that are counted.
const STEPS: u32 = 2_000;
/// Cycles before those that count.
const WARM_UP: u32 = 100;
/// The period of a cycle.
const CYCLE: Duration = Duration::from_millis(20);
/// Units of a site.
const UNITS: usize = 20;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subject {
    /// A step of the turbine controller under the baseline law, in recorded turbulence
    TurbineBaseline,
    /// The same under the Takt law
    TurbineTakt,
    /// The same with individual pitch
    TurbineIndividual,
    /// A cycle of 20 turbines
    CycleOfTurbines,
    /// A cycle of 20 turbines in a park
    CycleOfAPark,
    /// A cycle of 20 vehicles
    CycleOfVehicles,
}

/// Instructions of one step, in each run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Count {
    /// Of one step.
    pub(crate) instructions: u64,
    /// Whether the second run counted the same.
    pub(crate) repeats: bool,
}

/// Executes a subject's steps; meant to be run under callgrind, and good for nothing else.
pub(crate) fn execute(subject: Subject) -> Result<(), String> {
    match subject {
        Subject::TurbineBaseline => controller(|_| TurbineParameters::NREL_5MW),
        Subject::TurbineTakt => controller(|recording| recording.takt),
        Subject::TurbineIndividual => controller(|recording| recording.individual),
        Subject::CycleOfTurbines => cycle(Site::new(UNITS, 0, CYCLE)),
        Subject::CycleOfAPark => cycle(Site::in_a_park(UNITS, CYCLE)),
        Subject::CycleOfVehicles => cycle(Site::new(0, UNITS, CYCLE)),
    }
}

fn controller(law: impl FnOnce(&Recording) -> TurbineParameters) -> Result<(), String> {
    let recording = Recording::of(STEPS as usize)?;
    let inputs = recording.inputs();
    let mut controller = TurbineController::new(law(&recording));
    counted(&mut |step| {
        if let Some(inputs) = inputs.get(step as usize) {
            black_box(controller.step(black_box(inputs), &TurbineDemand::RUN, PERIOD));
        }
    });
    Ok(())
}

fn cycle(site: Option<Site>) -> Result<(), String> {
    let mut site = site.ok_or("a shipped profile cannot be read")?;
    let mut one = |cycle: u32| {
        let at = Instant::ZERO + CYCLE * (cycle + 1);
        site.set_time(at);
        site.executive.cycle(Tick { cycle: cycle.into(), scheduled_at: at, woke_at: at, skipped: 0 }, || at);
        while site.control.telemetry.dequeue().is_some() {}
    };
    (0..WARM_UP).for_each(&mut one);
    counted(&mut |step| one(WARM_UP + step));
    Ok(())
}

/// What callgrind looks at.
#[inline(never)]
fn counted(step: &mut dyn FnMut(u32)) {
    (0..STEPS).for_each(step);
}

/// Counts all subjects, each twice.
pub(crate) fn measure() -> Result<BTreeMap<Subject, Count>, String> {
    let mut all = BTreeMap::new();
    for subject in Subject::value_variants() {
        eprintln!("counting {}", name(*subject));
        let (one, other) = (count(*subject)?, count(*subject)?);
        let per_step = |collected: u64| (collected + u64::from(STEPS) / 2) / u64::from(STEPS);
        all.insert(*subject, Count { instructions: per_step(one), repeats: one == other });
    }
    Ok(all)
}

fn count(subject: Subject) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = peer_program::words(
        "valgrind --tool=callgrind --toggle-collect=*instructions*counted* --callgrind-out-file=/dev/null",
    );
    command.extend([own.display().to_string(), "execute".to_owned(), name(subject)]);
    let complaints = peer_program::complaints(&command).map_err(|why| format!("{why}; it needs valgrind"))?;
    collected(&complaints).ok_or_else(|| format!("callgrind tells no count: {complaints}"))
}

/// The number after `Collected :`.
fn collected(complaints: &str) -> Option<u64> {
    let (_, rest) = complaints.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok().filter(|count| *count > 0)
}

fn name(subject: Subject) -> String {
    subject.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The counts as a table.
pub(crate) fn finding(counts: &BTreeMap<Subject, Count>) -> Finding {
    let row = |(subject, count): (&Subject, &Count)| {
        let again = if count.repeats { "the same" } else { "another number" };
        vec![name(*subject), count.instructions.to_string(), again.to_owned()]
    };
    Finding {
        title: "Instructions of a step".to_owned(),
        columns: ["subject", "instructions", "second run"].map(str::to_owned).into(),
        rows: counts.iter().map(row).collect(),
        meaning: format!("Counted by callgrind over {STEPS} steps; a cycle is that of {UNITS} units."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_the_words_of_callgrind() {
        let words = "==7== Events    : Ir\n==7== Collected : 123456\n==7== \n";
        assert_eq!(collected(words), Some(123_456));
        assert_eq!(collected("==7== Collected : 0"), None, "nothing was counted");
        assert_eq!(collected("valgrind: no such file"), None);
    }

    #[test]
    fn every_subject_can_be_executed() {
        for subject in Subject::value_variants() {
            execute(*subject).unwrap();
        }
    }
}
