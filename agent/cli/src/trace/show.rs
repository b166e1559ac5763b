//! A trace for people.

use std::fmt::Write;

use agent_status::trace::{Trace, TracedCycle};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::{Value, json};

/// Cycles in the table.
const WORST: usize = 10;
/// Columns of the plot, and its heights.
const COLUMNS: usize = 72;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The whole as text, each line ended.
pub(super) fn text(trace: &Trace) -> String {
    let mut text = heading(trace);
    for story in stories(trace) {
        let _ = writeln!(text, "  {story}");
    }
    let _ = writeln!(text, "\n{}", spreads(trace));
    let _ = writeln!(text, "until the end of each cycle, the worst of every column; | is the deadline");
    let _ = writeln!(text, "{}\n", plot(trace));
    let _ = writeln!(text, "the {WORST} cycles that ended latest");
    let _ = writeln!(text, "{}", worst(trace));
    text
}

/// The same without the cycles.
pub(super) fn figures(trace: &Trace) -> Value {
    let [wake_up, run, end, age] = MEASURES.map(|(_, measure)| {
        let values = sorted(trace, measure);
        json!({ "p50_us": quantile(&values, 0.5), "p99_us": quantile(&values, 0.99), "max_us": quantile(&values, 1.0) })
    });
    json!({
        "site": trace.site, "group": trace.group, "at": trace.at, "occasion": trace.occasion, "why": trace.why,
        "cycle": trace.cycle, "more": trace.more, "stories": stories(trace).collect::<Vec<_>>(),
        "cycles": trace.cycles.len(), "late": late(trace), "skipped": skipped(trace),
        "wake_up": wake_up, "run": run, "end": end, "input_age": age,
    })
}

fn heading(trace: &Trace) -> String {
    let thread = &trace.thread;
    let cores: Vec<String> = thread.cores.iter().map(usize::to_string).collect();
    let mut text = format!(
        "{}: {} in group {} of site {}\n  {}\n",
        trace.at, trace.occasion, trace.group, trace.site, trace.why
    );
    for why in &trace.more {
        let _ = writeln!(text, "  {why}");
    }
    let _ = writeln!(
        text,
        "period {} us, deadline {} us, {} {} on core {}\n\n{} cycles, {} late, {} grid points passed",
        trace.period_us,
        trace.deadline_us,
        thread.policy,
        thread.priority,
        cores.join(","),
        trace.cycles.len(),
        late(trace),
        skipped(trace),
    );
    if trace.records_dropped > 0 {
        let _ = writeln!(
            text,
            "{} records did not fit into their ring: cycles may be missing",
            trace.records_dropped
        );
    }
    text
}

/// Why cycles were late, but those that the heading tells.
fn stories(trace: &Trace) -> impl Iterator<Item = &str> {
    let is_told = |story: &&str| *story == trace.why || trace.more.iter().any(|why| why == story);
    trace.cycles.iter().filter_map(|cycle| cycle.story.as_deref()).filter(move |story| !is_told(story))
}

fn late(trace: &Trace) -> usize {
    trace.cycles.iter().filter(|cycle| cycle.late).count()
}

fn skipped(trace: &Trace) -> u64 {
    trace.cycles.iter().map(|cycle| u64::from(cycle.skipped)).sum()
}

fn end_us(cycle: &TracedCycle) -> f64 {
    cycle.wake_up_us + cycle.run_us
}

type Measure = fn(&TracedCycle) -> f64;

const MEASURES: [(&str, Measure); 4] = [
    ("wake-up", |cycle| cycle.wake_up_us),
    ("run", |cycle| cycle.run_us),
    ("end", end_us),
    ("input age", |cycle| cycle.input_age_us),
];

fn sorted(trace: &Trace, measure: Measure) -> Vec<f64> {
    let mut values: Vec<f64> = trace.cycles.iter().map(measure).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of values in order: the smallest that a share of them does not exceed; 0 if there are none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    *table.style_mut() = NOTHING;
    table.set_content_arrangement(ContentArrangement::Disabled).set_header(heads).force_no_tty();
    for column in table.column_iter_mut() {
        column.set_padding((0, 2)).set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn spreads(trace: &Trace) -> String {
    let mut table = table(&["us", "p50", "p99", "max"]);
    for (name, measure) in MEASURES {
        let values = sorted(trace, measure);
        let figure = |share| format!("{:.0}", quantile(&values, share));
        table.add_row([name.to_owned(), figure(0.5), figure(0.99), figure(1.0)]);
    }
    table.trim_fmt()
}

fn plot(trace: &Trace) -> String {
    let width = trace.cycles.len().div_ceil(COLUMNS).max(1);
    let worst = |cycles: &[TracedCycle]| cycles.iter().map(end_us).fold(0.0, f64::max);
    let columns: Vec<f64> = trace.cycles.chunks(width).map(worst).collect();
    let deadline = trace.deadline_us as f64;
    let full = columns.iter().copied().fold(deadline, f64::max).max(1.0);
    let bar = |value: &f64| {
        let height = (value / full * BARS.len() as f64).ceil() as usize;
        BARS.get(height.saturating_sub(1)).or(BARS.last()).copied().unwrap_or(' ')
    };
    let bars: String = columns.iter().map(bar).collect();
    let deadline = bar(&deadline);
    format!("{bars}|{deadline}")
}

fn worst(trace: &Trace) -> String {
    let mut cycles: Vec<&TracedCycle> = trace.cycles.iter().collect();
    cycles.sort_by(|one, other| end_us(other).total_cmp(&end_us(one)));
    cycles.truncate(WORST);
    cycles.sort_by_key(|cycle| cycle.cycle);
    let heads = [
        "CYCLE",
        "AT ms",
        "WAKE-UP us",
        "RUN us",
        "AGE us",
        "BLIND",
        "SKIPPED",
        "QUEUE us",
        "SWITCHES",
        "FAULTS",
        "IRQ us",
        "STOLEN us",
        "LATE",
    ];
    let mut table = table(&heads);
    for cycle in cycles {
        let kernel = cycle.kernel.map(|kernel| {
            [
                format!("{:.0}", kernel.run_queue_us),
                kernel.switches_involuntary.to_string(),
                (kernel.faults_minor + kernel.faults_major).to_string(),
                format!("{:.0}", kernel.interrupts_us),
                format!("{:.0}", kernel.stolen_us),
            ]
        });
        let mut row = vec![
            cycle.cycle.to_string(),
            format!("{:.1}", cycle.scheduled_us / 1e3),
            format!("{:.0}", cycle.wake_up_us),
            format!("{:.0}", cycle.run_us),
            format!("{:.0}", cycle.input_age_us),
            cycle.units_blind.to_string(),
            cycle.skipped.to_string(),
        ];
        row.extend(kernel.unwrap_or_else(|| std::array::from_fn(|_| "-".to_owned())));
        row.push(if cycle.late { "late".to_owned() } else { String::new() });
        table.add_row(row);
    }
    table.trim_fmt()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use agent_status::trace::{FORMAT, KernelCounts};

    /// Ten cycles of which the eighth was late because another task had the core.
    pub(in super::super) fn trace() -> Trace {
        let story = "cycle 107: core busy at wake-up: woken 12000 us after its grid point, ran for 500 us";
        let cycle = |at: u32| TracedCycle {
            cycle: u64::from(at) + 100,
            scheduled_us: f64::from(at) * 10_000.0,
            wake_up_us: if at == 7 { 12_000.0 } else { 50.0 },
            run_us: 500.0,
            skipped: u32::from(at == 8),
            late: at == 7,
            units_blind: 0,
            input_age_us: 900.0,
            mode: "running".to_owned(),
            plan_epoch: 3,
            kernel: (at == 7).then(|| KernelCounts { run_queue_us: 11_800.0, ..KernelCounts::default() }),
            story: (at == 7).then(|| story.to_owned()),
        };
        Trace {
            format: FORMAT,
            version: "0.1.0".to_owned(),
            site: "north".to_owned(),
            group: "turbines".to_owned(),
            period_us: 10_000,
            deadline_us: 8_000,
            thread: agent_status::Thread { policy: "SCHED_FIFO".to_owned(), priority: 80, cores: vec![1] },
            occasion: "overrun".to_owned(),
            why: story.to_owned(),
            at: "2026-11-25T10:15:00Z".to_owned(),
            cycle: 107,
            more: Vec::new(),
            records_dropped: 0,
            cycles: (0..10).map(cycle).collect(),
        }
    }

    #[test]
    fn an_overrun_is_told_in_a_sentence_and_its_cycle_stands_in_the_table() {
        let text = text(&trace());
        assert_eq!(text.matches("core busy at wake-up").count(), 1, "{text}");
        assert!(text.contains("10 cycles, 1 late, 1 grid points passed"), "{text}");
        let row = text.lines().find(|line| line.trim_start().starts_with("107 ")).unwrap();
        assert!(row.contains("12000") && row.contains("11800") && row.ends_with("late"), "{row}");
    }

    #[test]
    fn the_plot_shows_what_passed_the_deadline() {
        assert_eq!(plot(&trace()), "▁▁▁▁▁▁▁█▁▁|▆");
    }

    #[test]
    fn a_trace_without_cycles_is_shown_too() {
        let empty = Trace { cycles: Vec::new(), ..trace() };
        assert!(text(&empty).contains("0 cycles"));
        assert_eq!(figures(&empty)["end"]["max_us"], 0.0);
    }
}
