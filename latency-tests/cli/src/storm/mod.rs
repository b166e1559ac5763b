//! What a storm on the agent's other doors does to its cycle: wake-ups with and without it, in turns.
//!
//! # Model
//!
//! One agent in a demo of its own. In a turn with storm, [`clients`] keep three doors busy without a pause: valid plans
//! that are each stored and activated, broken plans that are each refused and logged, and requests for all metrics. A turn
//! without has none of them. At the end of either the agent's black box is asked for its last cycles, and the wake-up
//! delays of those that fell into the turn are its result: measured by the agent itself, on the thread that matters.

mod clients;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::thread::sleep;

use agent_status::trace::Trace;
use hal_units::Duration;
use latency_tests_harness::figures::Times;
use latency_tests_harness::report::Finding;
use latency_tests_harness::rounds::{self, Comparison, Contender};
use serde::Serialize;

use self::clients::{Clients, Done};
use crate::Options;
use crate::demo::{Demo, beside};

/// The demo's loop group of turbines.
const GROUP: &str = "turbines";
/// The black box holds so many of its cycles: ten seconds.
const SECONDS_MAX: u32 = 10;
const CYCLES_PER_SECOND: usize = 100;
/// Requests of a turn before end soon after it; then the agent is as quiet as it was.
const SETTLES_WITHIN: Duration = Duration::from_millis(500);

struct Shared {
    demo: Demo,
    takt: PathBuf,
    seconds: u32,
    done: Done,
}

impl Shared {
    fn agent(&self) -> PathBuf {
        self.demo.folder().join("agent")
    }

    /// The wake-ups of a turn that ends now.
    fn wake_ups(&self) -> Result<Times, String> {
        let trace = self.dump()?;
        let wanted = self.seconds as usize * CYCLES_PER_SECOND;
        let mut times = Times::new();
        for cycle in trace.cycles.iter().rev().take(wanted) {
            times.add(Duration::from_nanos((cycle.wake_up_us * 1e3) as u64));
        }
        Ok(times)
    }

    fn dump(&self) -> Result<Trace, String> {
        let socket = self.agent().join("takt.sock");
        let output = Command::new(&self.takt)
            .args(["trace", "dump", "--socket"])
            .arg(&socket)
            .output()
            .map_err(|error| format!("{}: {error}", self.takt.display()))?;
        if !output.status.success() {
            return Err(format!("no trace: {}", String::from_utf8_lossy(&output.stderr)));
        }
        read(Path::new(String::from_utf8_lossy(&output.stdout).trim()))
    }
}

fn read(file: &Path) -> Result<Trace, String> {
    let failed = |why: String| format!("{}: {why}", file.display());
    let bytes = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    let trace: Trace = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    if trace.group == GROUP { Ok(trace) } else { Err(failed(format!("a trace of group `{}`", trace.group))) }
}

struct Storm(Rc<RefCell<Shared>>);

impl Contender for Storm {
    fn name(&self) -> &str {
        "storm"
    }

    fn turn(&mut self) -> Result<Times, String> {
        let shared = &mut *self.0.borrow_mut();
        let clients = Clients::start(shared.demo.folder(), &shared.agent())?;
        sleep(Duration::from_secs(shared.seconds.into()));
        let times = shared.wake_ups();
        shared.done.add(clients.end()?);
        times
    }
}

struct Calm(Rc<RefCell<Shared>>);

impl Contender for Calm {
    fn name(&self) -> &str {
        "calm"
    }

    fn turn(&mut self) -> Result<Times, String> {
        let shared = self.0.borrow();
        sleep(SETTLES_WITHIN + Duration::from_secs(shared.seconds.into()));
        shared.wake_ups()
    }
}

/// What the storm was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Strength {
    plans_per_second: f64,
    refusals_per_second: f64,
    metrics_per_second: f64,
}

/// Compares the agent's wake-ups in a storm with those without.
pub(crate) fn compare(options: &Options, load: &str) -> Result<(Comparison, Strength), String> {
    let demo = Demo::start(&["--alone", "--turbines", "4", "--agvs", "0"])?;
    let seconds = options.seconds.min(SECONDS_MAX);
    let shared = Shared { demo, takt: beside("takt")?, seconds, done: Done::default() };
    let shared = Rc::new(RefCell::new(shared));
    let mut contenders: Vec<Box<dyn Contender>> =
        vec![Box::new(Storm(Rc::clone(&shared))), Box::new(Calm(Rc::clone(&shared)))];
    let contenders = rounds::run(&mut contenders, options.rounds, |round, name| {
        eprintln!("round {round} of {}: {name}", options.rounds);
    });
    let strength = shared.borrow().done.per_second();
    let comparison = Comparison {
        title: format!(
            "Wake-up of the agent's loop in a storm of plans, refusals and requests for metrics, {seconds} s a turn"
        ),
        load: load.to_owned(),
        contenders,
        host_stalls_over_1ms: None,
    };
    Ok((comparison, strength))
}

/// What the storm was, in words.
pub(crate) fn finding(strength: Strength) -> Finding {
    let Strength { plans_per_second, refusals_per_second, metrics_per_second } = strength;
    Finding {
        title: "The storm".to_owned(),
        columns: ["plans activated a second", "plans refused and logged a second", "metrics asked for a second"]
            .map(str::to_owned)
            .into(),
        rows: vec![[plans_per_second, refusals_per_second, metrics_per_second].map(|rate| format!("{rate:.0}")).into()],
        meaning: "As many as the agent answers. Whoever asks stays off the core of the agent's loop, as in the field."
            .to_owned(),
    }
}
