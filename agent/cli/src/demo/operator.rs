//! The demo's operator: a few commands over MQTT, so that the table has something to show.

use std::collections::HashSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::site::SITE;
use sim_lab::commander::{Commander, CommanderError};
use sim_lab::site::unit_name;

/// How long the last answers may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
const LIFETIME: SignedDuration = SignedDuration::from_secs(10);

/// What became of the demo's own commands.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) executed: u64,
    pub(super) refused: u64,
    pub(super) meant_to_be_refused: u64,
}

/// One line of the script.
struct Step {
    /// Share of the demo's time, or of a minute if it has no end.
    at: f64,
    turbine: usize,
    name: &'static str,
    body: Value,
    /// Whether the agent should take it.
    sound: bool,
}

pub(super) struct Operator {
    commander: Commander,
    script: std::vec::IntoIter<Step>,
    next: Option<Step>,
    span_s: f64,
    acknowledged: HashSet<String>,
    sent: Sent,
}

impl Operator {
    pub(super) fn start(broker: &str, turbines: usize, seconds: Option<u32>) -> Result<Self, CommanderError> {
        let commander = Commander::connect(broker, SITE, "demo-operator", Duration::from_secs(5))?;
        let mut script = script(turbines).into_iter();
        let next = script.next();
        Ok(Self {
            commander,
            script,
            next,
            span_s: f64::from(seconds.unwrap_or(60)),
            acknowledged: HashSet::new(),
            sent: Sent::default(),
        })
    }

    /// Sends what is due and takes the answers that have come.
    pub(super) fn turn(&mut self, elapsed: Duration) -> Result<(), CommanderError> {
        while let Some(step) = self.next.take_if(|step| elapsed.as_secs_f64() >= step.at * self.span_s) {
            // A command from the past must be refused, and change nothing.
            let lifetime = if step.sound { LIFETIME } else { -LIFETIME };
            self.commander.send(&unit_name(step.turbine), step.name, &step.body, lifetime)?;
            self.sent.sent += 1;
            self.sent.meant_to_be_refused += u64::from(!step.sound);
            self.next = self.script.next();
        }
        while self.take_answer(Duration::ZERO) {}
        Ok(())
    }

    fn take_answer(&mut self, timeout: Duration) -> bool {
        let Some(answer) = self.commander.answer(timeout) else { return false };
        match answer.status.as_str() {
            "refused" => self.sent.refused += 1,
            status => {
                self.sent.executed += u64::from(status == "executed");
                if self.acknowledged.insert(answer.id.unwrap_or_default()) {
                    self.sent.acknowledged += 1;
                }
            }
        }
        true
    }

    /// Waits for answers that are still due, and says what became of all commands.
    pub(super) fn end(mut self) -> Sent {
        while self.sent.executed + self.sent.refused < self.sent.sent {
            if !self.take_answer(ANSWERS_WITHIN) {
                break;
            }
        }
        self.sent
    }
}

fn script(turbines: usize) -> Vec<Step> {
    let step = |at, turbine, name, body, sound| Step { at, turbine, name, body, sound };
    let derated = turbines.min(2) - 1;
    let stopped = turbines.min(3) - 1;
    vec![
        step(0.15, derated, "derate", json!({ "power_limit_kw": 2000 }), true),
        step(0.25, derated, "derate", json!({ "power_limit_kw": 100 }), false),
        step(0.30, stopped, "stop", json!({}), true),
        step(0.70, derated, "derate", json!({ "power_limit_kw": 5000 }), true),
        step(0.75, stopped, "start", json!({}), true),
    ]
}
