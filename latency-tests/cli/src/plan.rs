//! From the offer of a plan to both nodes of a pair until both run it, beside a bare question on the same sockets.
//!
//! # Model
//!
//! A pair in a demo of its own. Each plan is signed beforehand, offered to both nodes, and looked for until both say that
//! it is in force. Between the two lie: signature, checks and disk on both nodes, their word to each other, and the cycle
//! on which they agree. The way through a cluster before that is measured by `cargo xtask cluster`.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread::sleep;

use agent_plan::wire::{PlanStatus, Verdict};
use hal_linux_rt::clock::now;
use hal_units::Duration;
use latency_tests_harness::figures::Times;
use latency_tests_harness::report::Finding;
use latency_tests_harness::rounds::{self, Comparison, Contender};

use crate::Options;
use crate::centre::{Centre, Inbox};
use crate::demo::Demo;

const TURBINES: usize = 4;
/// A plan that is not in force then will not be.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(10);
/// Plans of a quick turn: with fewer in two turns the 99th percentile would be the greatest.
const QUICK: u32 = 60;
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// Between two plans; no multiple of the cycle, so that all phases are met.
const PAUSE: Duration = Duration::from_micros(23_300);

struct Shared {
    inboxes: [Inbox; 2],
    centre: Centre,
    epoch: u32,
    per_turn: u32,
    /// Cycles between the activations of both nodes, at the most.
    skew_max: u64,
    _demo: Demo,
}

struct Pair(Rc<RefCell<Shared>>);

impl Contender for Pair {
    fn name(&self) -> &str {
        "takt"
    }

    fn turn(&mut self) -> Result<Times, String> {
        let shared = &mut *self.0.borrow_mut();
        let mut times = Times::new();
        for _ in 0..shared.per_turn {
            sleep(PAUSE);
            shared.epoch += 1;
            let json = shared.centre.plan(shared.epoch).to_json();
            let offered = now();
            for inbox in &shared.inboxes {
                if let Verdict::Refused { refusal } = inbox.offer(json.clone())? {
                    return Err(format!("a plan was refused: {refusal}"));
                }
            }
            let [one, other] = &shared.inboxes;
            let cycles = [in_force(one, shared.epoch)?, in_force(other, shared.epoch)?];
            times.add(now().since(offered));
            if let [Some(one), Some(other)] = cycles.map(|status| status.in_force.cycle) {
                shared.skew_max = shared.skew_max.max(one.abs_diff(other));
            }
        }
        Ok(times)
    }
}

fn in_force(inbox: &Inbox, epoch: u32) -> Result<PlanStatus, String> {
    let began = now();
    loop {
        let status = inbox.status()?;
        if status.in_force.epoch == epoch {
            return Ok(status);
        }
        if now().since(began) > IN_FORCE_WITHIN {
            return Err(format!("plan {epoch} is not in force: {status:?}"));
        }
        sleep(LOOK_INTERVAL);
    }
}

struct Question(Rc<RefCell<Shared>>);

impl Contender for Question {
    fn name(&self) -> &str {
        "question"
    }

    fn turn(&mut self) -> Result<Times, String> {
        let shared = self.0.borrow();
        let mut times = Times::new();
        for _ in 0..shared.per_turn {
            sleep(PAUSE);
            let asked = now();
            shared.inboxes.iter().try_for_each(|inbox| inbox.status().map(drop))?;
            times.add(now().since(asked));
        }
        Ok(times)
    }
}

/// Compares plans with bare questions; with the skew, in cycles.
pub(crate) fn compare(options: &Options, load: &str) -> Result<(Comparison, u64), String> {
    let demo = Demo::start(&["--turbines", "4", "--agvs", "0"])?;
    let inboxes = ["a", "b"].map(|node| Inbox(demo.folder().join(node).join("plans.sock")));
    let centre = Centre::of(demo.folder(), TURBINES, 0)?;
    let [one, _] = &inboxes;
    let epoch = one.status()?.highest_epoch;
    let per_turn = if options.quick { QUICK } else { options.seconds.saturating_mul(5) };
    let shared = Shared { inboxes, centre, epoch, per_turn, skew_max: 0, _demo: demo };
    let shared = Rc::new(RefCell::new(shared));
    let mut contenders: Vec<Box<dyn Contender>> =
        vec![Box::new(Pair(Rc::clone(&shared))), Box::new(Question(Rc::clone(&shared)))];
    let contenders = rounds::run(&mut contenders, options.rounds, |round, name| {
        eprintln!("round {round} of {}: {name}", options.rounds);
    });
    let skew_max = shared.borrow().skew_max;
    let comparison = Comparison {
        title: "Plan from the offer to both nodes until both run it, and a question to both".to_owned(),
        load: load.to_owned(),
        contenders,
        host_stalls_over_1ms: None,
    };
    Ok((comparison, skew_max))
}

/// What was seen beside times.
pub(crate) fn finding(comparison: &Comparison, skew_max: u64) -> Finding {
    let plans = comparison.contenders.first().map_or(0, |pair| pair.all().figures().samples);
    Finding {
        title: "Plans of a pair".to_owned(),
        columns: ["plans", "skew, cycles at the most"].map(str::to_owned).into(),
        rows: vec![vec![plans.to_string(), skew_max.to_string()]],
        meaning: "Both nodes change over on a cycle that they agree on by number; the agreement needs the standby's \
                  word that the plan is on its disk too."
            .to_owned(),
    }
}
