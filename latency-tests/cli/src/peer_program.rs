//! Peers that are programs of their own: written in C and compiled when they are needed, or started as they are. Each
//! prints what it spent and its times.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hal_units::Duration;
use latency_tests_harness::figures::Times;

/// Text split at its spaces.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Runs a program; what it printed, or the last line of its complaint.
pub(crate) fn output(words: &[String], folder: Option<&Path>) -> Result<String, String> {
    run(words, folder).map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program; what it printed beside its output, or the last line of that if it failed.
pub(crate) fn complaints(words: &[String]) -> Result<String, String> {
    run(words, None).map(|output| String::from_utf8_lossy(&output.stderr).into_owned())
}

fn run(words: &[String], folder: Option<&Path>) -> Result<Output, String> {
    let Some((program, arguments)) = words.split_first() else { return Err("no program".to_owned()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(complaint.trim().lines().last().unwrap_or("it failed without a word").to_owned())
}

/// Compiles a C program into a folder of its own, which has to be kept.
pub(crate) fn compiled(source: &str, flags: &[String]) -> Result<(PathBuf, tempfile::TempDir), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (text, program) = (folder.path().join("peer.c"), folder.path().join("peer"));
    std::fs::write(&text, source).map_err(|error| error.to_string())?;
    let mut command = words("cc -O2 -o");
    command.extend([program.display().to_string(), text.display().to_string()]);
    command.extend_from_slice(flags);
    output(&command, None)?;
    Ok((program, folder))
}

/// The processor time of all, then the time of each, in nanoseconds, a number a line.
pub(crate) fn parse(text: &str) -> Result<(Times, Duration), String> {
    let mut numbers = text.lines().map(|line| line.trim().parse::<u64>().map(Duration::from_nanos));
    let strange = |_| "it printed what is no number".to_owned();
    let spent = numbers.next().ok_or("it printed nothing")?.map_err(strange)?;
    let mut times = Times::new();
    for number in numbers {
        times.add(number.map_err(strange)?);
    }
    Ok((times, spent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_the_cost_and_the_others_are_times() {
        let (times, spent) = parse("9000\n1000\n2000\n").unwrap();
        assert_eq!((times.figures().samples, spent), (2, Duration::from_nanos(9000)));
    }

    #[test]
    fn whatever_is_no_number_is_refused() {
        assert!(parse("").is_err());
        assert!(parse("9000\nTraceback\n").is_err());
    }
}
