//! The budgets of `latency-tests/budgets.toml`: what a step may take in instructions.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::Failure;
use crate::process::{cargo, find_program, run};
use crate::test::in_ci;
use crate::workspace::Workspace;

/// The package that counts.
const PACKAGE: &str = "latency-tests-cli";
const FILE: &str = "latency-tests/budgets.toml";

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budgets {
    tolerance_percent: f64,
    instructions: BTreeMap<String, Budget>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    count: u64,
    #[expect(dead_code, reason = "for people")]
    reason: String,
}

/// What the instrument found.
#[derive(Debug, Deserialize)]
struct Found {
    instructions: BTreeMap<String, Count>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Count {
    instructions: u64,
    repeats: bool,
}

/// Builds the instrument in release mode, counts, and compares. Without valgrind there is nothing to count with: that
/// is said, and is a failure in CI alone.
///
/// # Errors
/// If the build or a count fails, a budget is exceeded, a count does not repeat, or budgets and counts are not of the
/// same subjects.
pub fn check(workspace: &Workspace) -> Result<(), Failure> {
    if !in_ci() && find_program("valgrind").is_none() {
        println!("not checked: valgrind is missing, which counts the instructions");
        return Ok(());
    }
    let counts = workspace.root.join("target/budgets.json");
    if let Some(folder) = counts.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(format!("{}: {error}", folder.display()), ""))?;
    }
    run(cargo()
        .args(["run", "--release", "--package", PACKAGE, "--", "instructions", "--json"])
        .arg(&counts))?;
    let budgets = read(&workspace.root.join(FILE))?;
    let budgets: Budgets = toml::from_str(&budgets)
        .map_err(|error| Failure::new(format!("{FILE}: {error}"), "correct the file"))?;
    let found: Found = serde_json::from_str(&read(&counts)?)
        .map_err(|error| Failure::new(format!("{}: {error}", counts.display()), ""))?;
    let broken = judge(&budgets, &found);
    if broken.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        broken.join("\n"),
        format!("make it cheaper again, or state in {FILE} why it costs more, and how much"),
    ))
}

/// What is broken, a line each.
fn judge(budgets: &Budgets, found: &Found) -> Vec<String> {
    let mut broken = Vec::new();
    for (subject, budget) in &budgets.instructions {
        let Some(Count { instructions, repeats }) = found.instructions.get(subject) else {
            broken.push(format!("{subject}: it was not counted"));
            continue;
        };
        let most = (budget.count as f64 * (1.0 + budgets.tolerance_percent / 100.0)).round() as u64;
        let off_percent = (*instructions as f64 / budget.count as f64 - 1.0) * 100.0;
        println!(
            "{subject}: {instructions} instructions, {off_percent:+.2} % of its budget of {}",
            budget.count
        );
        if *instructions > most {
            broken.push(format!("{subject}: {instructions} instructions, at most {most} are allowed"));
        }
        if !repeats {
            broken.push(format!("{subject}: a second run counted another number"));
        }
    }
    let unknown = found.instructions.keys().filter(|subject| !budgets.instructions.contains_key(*subject));
    broken.extend(unknown.map(|subject| format!("{subject}: it has no budget")));
    broken
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::new(format!("{}: {error}", path.display()), ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(counts: &[(&str, u64, bool)]) -> Vec<String> {
        let budgets = "tolerance_percent = 0.5\n[instructions.step]\ncount = 1000\nreason = \"because\"\n";
        let count = |(subject, instructions, repeats): &(&str, u64, bool)| {
            ((*subject).to_owned(), Count { instructions: *instructions, repeats: *repeats })
        };
        let found = Found { instructions: counts.iter().map(count).collect() };
        judge(&toml::from_str(budgets).unwrap(), &found)
    }

    #[test]
    fn a_count_within_the_tolerance_is_fine() {
        assert!(broken(&[("step", 1005, true)]).is_empty());
        assert!(broken(&[("step", 700, true)]).is_empty());
    }

    #[test]
    fn a_count_above_it_is_not() {
        assert_eq!(broken(&[("step", 1006, true)]), ["step: 1006 instructions, at most 1005 are allowed"]);
    }

    #[test]
    fn a_count_that_does_not_repeat_is_not() {
        assert_eq!(broken(&[("step", 1000, false)]), ["step: a second run counted another number"]);
    }

    #[test]
    fn budgets_and_counts_are_of_the_same_subjects() {
        let both = broken(&[("other", 1, true)]);
        assert_eq!(both, ["step: it was not counted", "other: it has no budget"]);
    }
}
