//! `cargo xtask check`: all that has to be green before a change goes in, step by step.

use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::Failure;
use crate::architecture;
use crate::budgets;
use crate::fuzz;
use crate::model::model;
use crate::process::{cargo, run};
use crate::sanitizer;
use crate::test::{self, Selection, Tally};
use crate::tools;
use crate::workspace::Workspace;

/// One step of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// The sources are formatted (repair: cargo fmt)
    Fmt,
    /// Who may depend on whom, where unsafe code may be, what is no_std
    Architecture,
    /// Spelling (typos.toml lists the words that are right)
    Typos,
    /// No dependency that nothing uses
    Machete,
    /// Licences, banned crates and sources of the dependencies (deny.toml)
    Deny,
    /// Clippy with every warning denied
    Clippy,
    /// The tests of `cargo xtask test`
    Test,
    /// The pair protocol holds in a short exploration, and every mutant of it is caught
    Model,
    /// The cycle does nothing that may block, watched by a sanitizer while it runs
    Sanitizer,
    /// A cycle takes no more instructions than latency-tests/budgets.toml allows
    Budgets,
    /// The documentation builds without a warning
    Doc,
    /// The fuzz targets build, and a short run of each finds nothing
    Fuzz,
}

impl Step {
    /// What was left out on purpose, to be said with the verdict.
    fn note(self) -> &'static str {
        match self {
            Self::Deny => "without advisories: they need the network, run `cargo deny check advisories`",
            Self::Model => "a short exploration; the whole one is `cargo xtask model`",
            Self::Fuzz => "a fixed short run; fuzz longer with `cargo fuzz run TARGET`",
            Self::Fmt
            | Self::Architecture
            | Self::Typos
            | Self::Machete
            | Self::Clippy
            | Self::Test
            | Self::Sanitizer
            | Self::Budgets
            | Self::Doc => "",
        }
    }
}

/// Which steps are to run.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Only these; empty means all.
    pub only: Vec<Step>,
    /// All but these.
    pub skip: Vec<Step>,
}

impl Choice {
    /// The chosen steps in their fixed order: the quick ones first.
    fn steps(&self) -> Vec<Step> {
        let chosen = |step: &Step| self.only.is_empty() || self.only.contains(step);
        let steps = Step::value_variants().iter().copied();
        steps.filter(|step| chosen(step) && !self.skip.contains(step)).collect()
    }
}

/// How a step went.
struct Outcome {
    step: Step,
    time: Duration,
    result: Result<(), Failure>,
}

/// Runs the chosen steps, all of them even if one fails, and sums up.
///
/// # Errors
/// If no step is chosen or a step failed; the failure lists the steps.
pub fn check(workspace: &Workspace, choice: &Choice) -> Result<(), Failure> {
    let steps = choice.steps();
    if steps.is_empty() {
        return Err(Failure::new("no step is left to run", "see `cargo xtask check --help` for the steps"));
    }
    let mut tally = None;
    let mut outcomes = Vec::new();
    for step in steps {
        println!("\n=== {}", name(step));
        let started = Instant::now();
        let result = run_step(step, workspace, &mut tally);
        if let Err(failure) = &result {
            println!("{failure}");
        }
        let outcome = Outcome { step, time: started.elapsed(), result };
        println!("{}", line(&outcome));
        outcomes.push(outcome);
    }
    println!("\n=== summary");
    for outcome in &outcomes {
        println!("{}", line(outcome));
    }
    if let Some(tally) = tally {
        println!("{tally}");
    }
    verdict(&outcomes)
}

fn run_step(step: Step, workspace: &Workspace, tally: &mut Option<Tally>) -> Result<(), Failure> {
    match step {
        Step::Fmt => {
            let fuzz = workspace.root.join("fuzz/Cargo.toml");
            run(cargo().args(["fmt", "--all", "--check"]))
                .and(run(cargo().args(["fmt", "--check", "--manifest-path"]).arg(fuzz)))
        }
        Step::Architecture => keeps_the_rules(workspace),
        Step::Typos => {
            let typos = tools::TYPOS.provide()?;
            run(std::process::Command::new(typos).current_dir(&workspace.root))
        }
        Step::Machete => {
            let machete = tools::MACHETE.provide()?;
            run(std::process::Command::new(machete).arg("--skip-target-dir").arg(&workspace.root))
        }
        Step::Deny => {
            tools::DENY.provide()?;
            // A fetch first: the licences are read from the sources of the dependencies.
            run(cargo().args(["fetch", "--locked"]))?;
            run(cargo()
                .args(["deny", "--offline", "check", "--hide-inclusion-graph"])
                .args(["bans", "licenses", "sources"]))
        }
        Step::Clippy => run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-Dwarnings"])),
        Step::Test => {
            let (ran, result) = test::test(workspace, &Selection::default());
            *tally = ran;
            result
        }
        Step::Model => model(&["--quick".to_owned()]),
        Step::Sanitizer => sanitizer::check(workspace),
        Step::Budgets => budgets::check(workspace),
        Step::Doc => {
            // With private items, so that the links of internal documentation are checked as well.
            let mut doc = cargo();
            doc.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
            run(doc.env("RUSTDOCFLAGS", "-Dwarnings"))
        }
        Step::Fuzz => fuzz::check(workspace),
    }
}

fn keeps_the_rules(workspace: &Workspace) -> Result<(), Failure> {
    let violations = architecture::violations(workspace)?;
    for violation in &violations {
        println!("{violation}");
    }
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("{} rules of the architecture are broken", violations.len()), ""))
    }
}

fn name(step: Step) -> String {
    step.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn line(outcome: &Outcome) -> String {
    let verdict = if outcome.result.is_ok() { "ok" } else { "FAILED" };
    let text = format!(
        "{:<14}{:>7.1} s  {:<8}{}",
        name(outcome.step),
        outcome.time.as_secs_f64(),
        verdict,
        outcome.step.note()
    );
    text.trim_end().to_owned()
}

fn verdict(outcomes: &[Outcome]) -> Result<(), Failure> {
    let failed: Vec<String> = outcomes.iter().filter(|o| o.result.is_err()).map(|o| name(o.step)).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let again: Vec<String> = failed.iter().map(|step| format!("--only {step}")).collect();
    Err(Failure::new(
        format!("failed: {}", failed.join(", ")),
        format!("see above, then: cargo xtask check {}", again.join(" ")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(step: Step, failed: bool) -> Outcome {
        let result = if failed { Err(Failure::new("broken", "")) } else { Ok(()) };
        Outcome { step, time: Duration::from_millis(1500), result }
    }

    #[test]
    fn all_steps_run_unless_chosen_otherwise() {
        assert_eq!(Choice::default().steps(), Step::value_variants());
    }

    #[test]
    fn only_and_skip_choose_steps_in_their_fixed_order() {
        let choice = Choice { only: vec![Step::Doc, Step::Fmt, Step::Test], skip: vec![Step::Test] };
        assert_eq!(choice.steps(), [Step::Fmt, Step::Doc]);
    }

    #[test]
    fn one_failed_step_fails_the_whole_and_is_named() {
        let failure = verdict(&[outcome(Step::Fmt, false), outcome(Step::Doc, true)]).unwrap_err();
        assert_eq!(failure.what, "failed: doc");
        assert!(failure.remedy.contains("--only doc"));
    }

    #[test]
    fn a_line_gives_name_time_and_verdict() {
        assert_eq!(line(&outcome(Step::Clippy, true)), "clippy            1.5 s  FAILED");
    }
}
