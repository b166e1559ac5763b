//! What the black box leaves behind.

use std::path::Path;

use agent_status::trace::Trace;

use crate::WIND_MPS;
use crate::agent::{Agent, Site};
use crate::field::Field;

/// The newest trace once there is one of this occasion.
fn trace_of(agent: &Agent, occasion: &str) -> Trace {
    let report = agent.until("a trace is written", |report| {
        report.traces.last.as_ref().is_some_and(|file| file.ends_with(&format!("-{occasion}.json")))
    });
    let file = report.traces.last.unwrap();
    let trace: Trace = serde_json::from_slice(&std::fs::read(Path::new(&file)).unwrap()).unwrap();
    assert_eq!(trace.occasion, occasion);
    trace
}

#[test]
fn a_missed_deadline_leaves_a_trace_that_tells_why() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = Site::over(&field.addresses());
    let agent = site.start();
    agent.until("cycles run", |report| report.groups[0].cycles > 10);
    agent.pause(std::time::Duration::from_millis(300));
    let trace = trace_of(&agent, "overrun");
    assert!(trace.why.contains("grid points passed without a cycle"), "{}", trace.why);
    let at = trace.cycles.iter().position(|cycle| cycle.story.as_deref() == Some(trace.why.as_str()));
    let at = at.expect("the cycle is in the trace");
    assert!(trace.cycles.len() > at + 50, "and so is what came after it");
    assert!(trace.cycles.iter().any(|cycle| cycle.kernel.is_some()), "with the kernel's counts");
}

#[test]
fn who_asks_gets_the_last_cycles() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = Site::over(&field.addresses());
    let agent = site.start();
    agent.until("cycles run", |report| report.groups[0].cycles > 10);
    assert_eq!(agent.ask_trace(), 202);
    let trace = trace_of(&agent, "asked");
    assert!(trace.cycles.len() > 100);
    assert!(trace.cycles.windows(2).all(|pair| pair[1].cycle > pair[0].cycle), "in their order");
}
