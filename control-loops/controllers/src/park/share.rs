//! How the turbines of a park share what it shall give.

use hal_units::Watts;

use super::{ParkParameters, ParkStep, TurbineReport, positive};

/// Rounds of filling in: each settles at least one turbine or ends, so that more than this many turbines at
/// their limit leave the rest unevenly filled, never overfilled.
const ROUNDS_MAX: usize = 64;

/// Writes a power limit for each turbine: one level for all, each at most what it has.
pub fn share_out(p: &ParkParameters, step: &ParkStep, reports: &[TurbineReport], limits: &mut [Watts]) {
    let Some(shared) = step.shared else {
        limits.iter_mut().take(reports.len()).for_each(|limit| *limit = Watts(f64::INFINITY));
        return;
    };
    let count = reports.len().max(1) as f64;
    let mean_wear = reports.iter().map(|report| report.wear).sum::<f64>() / count;
    // Wants: weight by plan and wear, in proportion to what is there.
    let want = |report: &TurbineReport| {
        let worn = if mean_wear > 0.0 { report.wear / mean_wear - 1.0 } else { 0.0 };
        let by_wear = (1.0 - p.wear_weight * worn).clamp(0.5, 1.5);
        let by_plan = if report.weight.is_finite() { report.weight.max(0.01) } else { 1.0 };
        let want = positive(report.available) * by_plan * by_wear;
        if want.is_finite() { want } else { positive(report.available) }
    };
    // The level rises until nobody new is full: in each round the full ones are taken out.
    let mut level = 0.0;
    for _ in 0..ROUNDS_MAX {
        let full = |report: &TurbineReport| level * want(report) >= positive(report.available);
        let (mut of_full, mut of_rest) = (0.0, 0.0);
        for report in reports {
            if full(report) {
                of_full += positive(report.available);
            } else {
                of_rest += want(report);
            }
        }
        if of_rest <= 0.0 {
            break;
        }
        let next = (shared.get() - of_full).max(0.0) / of_rest;
        if next <= level {
            break;
        }
        level = next;
    }
    for (report, limit) in reports.iter().zip(limits) {
        *limit = Watts((level * want(report)).min(positive(report.available)));
    }
}
