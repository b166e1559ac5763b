//! A trace for a viewer of timelines.
//!
//! The form is the Trace Event Format (JSON) that Perfetto and Chrome read: complete events `X` with a start and
//! a duration, instants `i`, counters `C` and names `M`; times in microseconds.

use agent_status::trace::{Trace, TracedCycle};
use serde_json::{Value, json};

/// One process for the agent, and three tracks in it.
const PROCESS: u32 = 1;
const CYCLES: u32 = 1;
const WAKE_UPS: u32 = 2;

/// The timeline.
pub(super) fn timeline(trace: &Trace) -> Value {
    let process = format!("takt {}", trace.site);
    let mut events = vec![
        name("process_name", 0, &process),
        name("thread_name", CYCLES, &format!("{}: cycles", trace.group)),
        name("thread_name", WAKE_UPS, &format!("{}: wake-up delay", trace.group)),
    ];
    for cycle in &trace.cycles {
        events.extend(of_cycle(cycle, trace.deadline_us));
    }
    json!({ "traceEvents": events, "displayTimeUnit": "ms", "otherData": { "why": trace.why, "at": trace.at } })
}

fn name(kind: &str, track: u32, name: &str) -> Value {
    json!({ "ph": "M", "pid": PROCESS, "tid": track, "name": kind, "args": { "name": name } })
}

fn of_cycle(cycle: &TracedCycle, deadline_us: u64) -> Vec<Value> {
    let (grid_point, woke) = (cycle.scheduled_us, cycle.scheduled_us + cycle.wake_up_us);
    let span = |track: u32, name: String, start: f64, duration: f64| {
        json!({
            "ph": "X", "pid": PROCESS, "tid": track, "name": name, "ts": start, "dur": duration,
            "args": { "mode": cycle.mode, "plan epoch": cycle.plan_epoch, "units blind": cycle.units_blind },
        })
    };
    let counter = |name: &str, value: f64| json!({ "ph": "C", "pid": PROCESS, "name": name, "ts": grid_point, "args": { "us": value } });
    let instant = |name: &str, at: f64| json!({ "ph": "i", "s": "t", "pid": PROCESS, "tid": CYCLES, "name": name, "ts": at });
    let mut events = vec![
        span(WAKE_UPS, "wake-up delay".to_owned(), grid_point, cycle.wake_up_us),
        span(CYCLES, format!("cycle {}", cycle.cycle), woke, cycle.run_us),
        counter("input age", cycle.input_age_us),
    ];
    if cycle.late {
        events.push(instant("deadline", grid_point + deadline_us as f64));
    }
    if let Some(story) = &cycle.story {
        events.push(instant(story, woke + cycle.run_us));
    }
    if let Some(kernel) = &cycle.kernel {
        events.push(counter("time on the run queue", kernel.run_queue_us));
        events.push(counter("in interrupts", kernel.interrupts_us));
        events.push(counter("taken by the host", kernel.stolen_us));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::super::show::tests::trace;
    use super::*;

    #[test]
    fn each_cycle_is_a_span_and_a_late_one_names_its_story() {
        let timeline = timeline(&trace());
        let events = timeline["traceEvents"].as_array().unwrap();
        let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).collect::<Vec<_>>();
        assert_eq!(of("X").len(), 20);
        let late = of("X").into_iter().find(|event| event["name"] == "cycle 107").unwrap();
        assert_eq!((late["ts"].as_f64(), late["dur"].as_f64()), (Some(82_000.0), Some(500.0)));
        assert!(of("i").iter().any(|event| event["name"].as_str().unwrap().contains("core busy")));
    }
}
