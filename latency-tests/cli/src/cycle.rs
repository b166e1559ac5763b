//! What a cycle costs, by the number of turbines and vehicles.

use agent_cycle::Tick;
use hal_linux_rt::clock::now;
use hal_units::{Duration, Instant};
use latency_tests_harness::figures::{Line, Times};
use latency_tests_harness::report::Finding;
use serde::Serialize;

use crate::sites::Site;

const PERIOD: Duration = Duration::from_millis(20);
/// Cycles before those that count.
const WARM_UP: u32 = 200;
const TURBINES: [usize; 6] = [1, 10, 25, 50, 100, 200];
const VEHICLES: [usize; 6] = [10, 50, 100, 200, 500, 1000];
/// The site that a single core is to carry in a cycle of 20 ms.
const LARGE: (usize, usize) = (50, 1000);

/// A size of site, and its cycles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Size {
    turbines: usize,
    vehicles: usize,
    /// Median time of a cycle.
    p50_us: f64,
    /// 99th percentile.
    p99_us: f64,
    /// Allocations in all cycles together.
    allocations: u64,
    cycles: u32,
}

/// All sizes, and how the median grows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Growth {
    sizes: Vec<Size>,
    /// Microseconds, by turbines alone.
    by_turbines: Option<Line>,
    /// Microseconds, by vehicles alone.
    by_vehicles: Option<Line>,
}

/// Measures on the calling thread, as it is: whoever wants quiet times pins it and gives it a priority.
pub(crate) fn measure(quick: bool) -> Growth {
    let cycles = if quick { 300 } else { 5000 };
    let of = |(turbines, vehicles)| size(turbines, vehicles, cycles);
    let turbines: Vec<Size> = TURBINES.iter().filter_map(|count| of((*count, 0))).collect();
    let vehicles: Vec<Size> = VEHICLES.iter().filter_map(|count| of((0, *count))).collect();
    let line = |sizes: &[Size], count: fn(&Size) -> usize| {
        let points: Vec<(f64, f64)> = sizes.iter().map(|size| (count(size) as f64, size.p50_us)).collect();
        Line::through(&points)
    };
    let (by_turbines, by_vehicles) =
        (line(&turbines, |size| size.turbines), line(&vehicles, |size| size.vehicles));
    let sizes = turbines.into_iter().chain(vehicles).chain(of(LARGE)).collect();
    Growth { sizes, by_turbines, by_vehicles }
}

fn size(turbines: usize, vehicles: usize, cycles: u32) -> Option<Size> {
    let mut site = Site::new(turbines, vehicles, PERIOD)?;
    let mut times = Times::new();
    run(&mut site, 0..WARM_UP, &mut times);
    let mut times = Times::new();
    let allocations =
        allocation_counter::measure(|| run(&mut site, WARM_UP..WARM_UP + cycles, &mut times)).count_total;
    let figures = times.figures();
    Some(Size { turbines, vehicles, p50_us: figures.p50_us, p99_us: figures.p99_us, allocations, cycles })
}

fn run(site: &mut Site, cycles: std::ops::Range<u32>, times: &mut Times) {
    for cycle in cycles {
        let at = Instant::ZERO + PERIOD * (cycle + 1);
        site.set_time(at);
        let began = now();
        site.executive.cycle(Tick { cycle: cycle.into(), scheduled_at: at, woke_at: at, skipped: 0 }, || at);
        times.add(now().since(began));
        while site.control.telemetry.dequeue().is_some() {}
    }
}

impl Growth {
    pub(crate) fn finding(&self) -> Finding {
        let columns = ["turbines", "vehicles", "p50 us", "p99 us", "allocations", "share of 20 ms %"];
        let row = |size: &Size| {
            vec![
                size.turbines.to_string(),
                size.vehicles.to_string(),
                format!("{:.1}", size.p50_us),
                format!("{:.1}", size.p99_us),
                size.allocations.to_string(),
                format!("{:.2}", size.p99_us / PERIOD.as_secs_f64() / 1e4),
            ]
        };
        let words = |line: Option<Line>, what: &str| {
            line.map_or_else(String::new, |line| {
                let Line { offset, slope, residual_max } = line;
                format!(
                    "{offset:.1} us and {slope:.3} us for each {what}, to within {:.1} % of the largest",
                    residual_max * 100.0
                )
            })
        };
        Finding {
            title: "Time of a cycle".to_owned(),
            columns: columns.map(str::to_owned).into(),
            rows: self.sizes.iter().map(row).collect(),
            meaning: format!(
                "A straight line through the medians: {}; {}.",
                words(self.by_turbines, "turbine"),
                words(self.by_vehicles, "vehicle")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_of_any_size_allocates_nothing() {
        for (turbines, vehicles) in [(1, 0), (0, 10), (20, 40)] {
            let size = size(turbines, vehicles, 100).expect("the shipped profiles can be read");
            assert_eq!(size.allocations, 0, "{size:?}");
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_size_and_says_how_it_grows() {
        let size = |vehicles| Size {
            turbines: 0,
            vehicles,
            p50_us: vehicles as f64,
            p99_us: 2.0 * vehicles as f64,
            allocations: 0,
            cycles: 10,
        };
        let line = Line::through(&[(1.0, 1.0), (2.0, 2.0)]);
        let growth = Growth { sizes: vec![size(1), size(2)], by_turbines: None, by_vehicles: line };
        let finding = growth.finding();
        assert_eq!(finding.rows.len(), 2);
        assert!(finding.meaning.contains("1.000 us for each vehicle"), "{}", finding.meaning);
    }
}
