//! Masters of others, each a program of its own that tells its times: on libmodbus (C), compiled when it is needed,
//! and on pymodbus.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use hal_units::Duration;
use latency_tests_harness::figures::Times;
use latency_tests_harness::rounds::Contender;

use super::{Cost, Job};

const LIBMODBUS: &str = include_str!("../../peers/libmodbus_client.c");
const PYMODBUS: &str = include_str!("../../peers/pymodbus_client.py");

/// A program with its first arguments.
pub(super) struct Foreign {
    name: &'static str,
    program: Result<Vec<String>, String>,
    job: Job,
    /// Holds what was compiled or written.
    _folder: Option<tempfile::TempDir>,
}

impl Foreign {
    /// A master on libmodbus.
    pub(super) fn on_libmodbus(job: Job) -> Self {
        let (program, folder) = match compiled() {
            Ok((path, folder)) => (Ok(vec![path.display().to_string()]), Some(folder)),
            Err(why) => (Err(why), None),
        };
        Self { name: "libmodbus", program, job, _folder: folder }
    }

    /// A master on pymodbus.
    pub(super) fn on_pymodbus(job: Job) -> Self {
        let program = vec!["python3".to_owned(), "-c".to_owned(), PYMODBUS.to_owned()];
        let there = output(&["python3".to_owned(), "-c".to_owned(), "import pymodbus".to_owned()]);
        let program = match there {
            Ok(_) => Ok(program),
            Err(why) => Err(format!("{why}; pip install pymodbus")),
        };
        Self { name: "pymodbus", program, job, _folder: None }
    }
}

/// Runs a program; what it printed, or the last line of its complaint.
fn output(words: &[String]) -> Result<String, String> {
    let Some((program, arguments)) = words.split_first() else { return Err("no program".to_owned()) };
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(complaint.trim().lines().last().unwrap_or("it failed without a word").to_owned())
}

fn compiled() -> Result<(PathBuf, tempfile::TempDir), String> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let missing = |why: String| format!("{why}; it needs cc, pkg-config and libmodbus-dev");
    let flags = output(&words("pkg-config --cflags --libs libmodbus")).map_err(missing)?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (source, program) = (folder.path().join("client.c"), folder.path().join("client"));
    std::fs::write(&source, LIBMODBUS).map_err(|error| error.to_string())?;
    let mut command = words("cc -O2 -o");
    command.extend([program.display().to_string(), source.display().to_string()]);
    command.extend(words(&flags));
    output(&command).map_err(missing)?;
    Ok((program, folder))
}

impl Contender for Foreign {
    fn name(&self) -> &str {
        self.name
    }

    fn turn(&mut self) -> Result<Times, String> {
        let mut words = self.program.clone()?;
        words.extend([self.job.registers.to_string(), self.job.transactions.to_string()]);
        words.extend(self.job.addresses.iter().map(|address| address.port().to_string()));
        let (times, spent) = parse(&output(&words)?)?;
        self.job.costs.add(self.name, Cost { spent, of: self.job.transactions });
        Ok(times)
    }
}

/// The processor time of all, then the time of each.
fn parse(text: &str) -> Result<(Times, Duration), String> {
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
