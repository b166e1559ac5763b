//! The highest sum of power limits that a plan can reach.

use std::collections::HashMap;

use hal_units::Watts;

use super::{CheckedPlan, SiteFacts};
use crate::UnitDemand;
use crate::document::{Between, UtcTime};

/// The highest sum of all units' power limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Highest {
    /// When it is reached; `None` if before every point of the schedules.
    pub(super) at: Option<UtcTime>,
    /// The sum.
    pub(super) power: Watts,
}

/// What changes at a point in time.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    /// Step of the sum, watts.
    jump_w: f64,
    /// Change of its slope, watts per millisecond.
    slope_w: f64,
}

impl CheckedPlan {
    /// The highest sum of power limits at any time while `fallback` applies to its units. Between two points
    /// the sum is a straight line, so it is enough to look just before and at each point.
    pub(super) fn highest_power(&self, fallback: &[UnitDemand], site: &SiteFacts) -> Highest {
        let rated: HashMap<&str, Watts> =
            site.units.iter().map(|limits| (limits.unit.as_str(), limits.rated_power)).collect();
        // What feeds in through a park that the plan names is held by the park's own limit.
        let is_named = |park: &str| self.demand(park).is_some();
        let within_park = |unit: &str| {
            let through = site.units.iter().find(|limits| limits.unit == unit)?.through.as_deref()?;
            is_named(through).then_some(())
        };
        let limit = |demand: &UnitDemand| {
            if within_park(&demand.unit).is_some() {
                return Watts::ZERO;
            }
            let rated = rated.get(demand.unit.as_str()).copied().unwrap_or(Watts::ZERO);
            if Self::runs(demand) { demand.power_limit.unwrap_or(rated) } else { Watts::ZERO }
        };
        let falls_back: HashMap<&str, &UnitDemand> =
            fallback.iter().map(|demand| (demand.unit.as_str(), demand)).collect();
        let planned: HashMap<&str, &UnitDemand> = self
            .demands
            .iter()
            .map(|demand| (demand.unit.as_str(), demand))
            .filter(|(unit, _)| !falls_back.contains_key(unit))
            .collect();
        let mut sum: f64 =
            planned.values().chain(falls_back.values()).map(|demand| limit(demand).get()).sum();

        let mut changes: Vec<(UtcTime, Change)> = Vec::new();
        for schedule in &self.schedules {
            // A unit that does not run feeds nothing in, whatever its schedule says.
            let Some(demand) = planned
                .get(schedule.unit.as_str())
                .filter(|demand| Self::runs(demand) && within_park(&demand.unit).is_none())
            else {
                continue;
            };
            let mut before = limit(demand).get();
            let mut slope = 0.0;
            for (at, point) in schedule.points.iter().enumerate() {
                let here = point.power_limit.get();
                let next = schedule.points.get(at + 1).filter(|_| schedule.between == Between::Line);
                let next_slope = next.map_or(0.0, |next| {
                    (next.power_limit.get() - here) / next.at.millis_since(point.at) as f64
                });
                // On a line the value is there already.
                let jump_w = if at > 0 && schedule.between == Between::Line { 0.0 } else { here - before };
                changes.push((point.at, Change { jump_w, slope_w: next_slope - slope }));
                (before, slope) = (here, next_slope);
            }
        }
        changes.sort_by_key(|(at, _)| *at);

        let mut highest = Highest { at: None, power: Watts(sum) };
        let (mut slope, mut since) = (0.0, UtcTime::default());
        let mut at_once = changes.iter().peekable();
        while let Some((at, _)) = at_once.peek().copied() {
            sum += slope * at.millis_since(since) as f64;
            since = *at;
            // Just before: a line may end here as another unit steps down.
            highest = highest.or_higher(*at, sum);
            while let Some((_, change)) = at_once.next_if(|(other, _)| other == at) {
                sum += change.jump_w;
                slope += change.slope_w;
            }
            highest = highest.or_higher(*at, sum);
        }
        highest
    }
}

impl Highest {
    fn or_higher(self, at: UtcTime, sum: f64) -> Self {
        if sum > self.power.get() { Self { at: Some(at), power: Watts(sum) } } else { self }
    }
}
