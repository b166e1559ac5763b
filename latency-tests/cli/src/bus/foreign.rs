//! Masters of others, each a program of its own that tells its times: on libmodbus (C), compiled when it is needed,
//! and on pymodbus.

use std::path::PathBuf;

use latency_tests_harness::figures::Times;
use latency_tests_harness::rounds::Contender;

use super::{Cost, Job};
use crate::peer_program::{self, words};

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
        let there = peer_program::output(&["python3", "-c", "import pymodbus"].map(str::to_owned), None);
        let program = match there {
            Ok(_) => Ok(program),
            Err(why) => Err(format!("{why}; pip install pymodbus")),
        };
        Self { name: "pymodbus", program, job, _folder: None }
    }
}

fn compiled() -> Result<(PathBuf, tempfile::TempDir), String> {
    let missing = |why: String| format!("{why}; it needs cc, pkg-config and libmodbus-dev");
    let flags =
        peer_program::output(&words("pkg-config --cflags --libs libmodbus"), None).map_err(missing)?;
    peer_program::compiled(LIBMODBUS, &words(&flags)).map_err(missing)
}

impl Contender for Foreign {
    fn name(&self) -> &str {
        self.name
    }

    fn turn(&mut self) -> Result<Times, String> {
        let mut words = self.program.clone()?;
        words.extend([self.job.registers.to_string(), self.job.transactions.to_string()]);
        words.extend(self.job.addresses.iter().map(|address| address.port().to_string()));
        let (times, spent) = peer_program::parse(&peer_program::output(&words, None)?)?;
        self.job.costs.add(self.name, Cost { spent, of: self.job.transactions });
        Ok(times)
    }
}
