//! Wake-aware set points of parks.

use super::{CheckedPlan, SiteFacts, count, distinct, name, range};
use crate::document::SchedulingPlan;
use crate::refusal::{Reason, Refusal};

/// Tables in a plan at most.
pub const WAKES_MAX: usize = 16;
/// Directions in a table at most.
pub const DIRECTIONS_MAX: usize = 72;
/// Turbines in a table at most.
const TURBINES_MAX: usize = 200;

/// How a park's turbines share what it gives, by the direction that the wind comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedWake {
    /// The park.
    pub park: String,
    /// Degrees from north clockwise, ascending, at least one.
    pub directions_deg: Vec<u16>,
    /// For each turbine its weight at each direction, 1 being that of one which is not named.
    pub weights: Vec<(String, Vec<f64>)>,
}

pub(super) fn wakes(plan: &SchedulingPlan) -> Result<Vec<CheckedWake>, Refusal> {
    count("wakes", plan.wakes.len(), WAKES_MAX)?;
    distinct("wakes", plan.wakes.iter().map(|wake| wake.park.as_str()))?;
    plan.wakes
        .iter()
        .map(|wake| {
            let park = &wake.park;
            name("wakes: park", park)?;
            let directions = &wake.directions_deg;
            count(&format!("directions of `{park}`"), directions.len(), DIRECTIONS_MAX)?;
            count(&format!("weights of `{park}`"), wake.weights.len(), TURBINES_MAX)?;
            distinct("wakes: weights", wake.weights.iter().map(|weights| weights.unit.as_str()))?;
            for direction in directions {
                range("wakes: directionsDeg", *direction, 0, 359)?;
            }
            if directions.is_empty() || !directions.is_sorted_by(|one, next| one < next) {
                return Err(Reason::Malformed.because(format!(
                    "wakes: the directions of `{park}` are none, or do not ascend; give for example [0, 90, 180, 270]"
                )));
            }
            let weights = wake.weights.iter().map(|of| {
                if of.percent.len() != directions.len() {
                    return Err(Reason::Malformed.because(format!(
                        "wakes: `{}` has {} weights for {} directions; give one for each",
                        of.unit,
                        of.percent.len(),
                        directions.len()
                    )));
                }
                let weight = |percent: &u16| {
                    range(&format!("wakes: percent of `{}`", of.unit), *percent, 1, 1000)
                        .map(|percent| f64::from(percent) / 100.0)
                };
                Ok((of.unit.clone(), of.percent.iter().map(weight).collect::<Result<_, _>>()?))
            });
            Ok(CheckedWake {
                park: park.clone(),
                directions_deg: directions.clone(),
                weights: weights.collect::<Result<_, Refusal>>()?,
            })
        })
        .collect()
}

impl CheckedPlan {
    /// Whether each table is for a park, and names turbines of it alone.
    pub(super) fn fit_wakes(&self, site: &SiteFacts) -> Result<(), Refusal> {
        for wake in &self.wakes {
            let park = &wake.park;
            let feeds = |unit: &str| {
                site.units.iter().any(|own| own.unit == unit && own.through.as_ref() == Some(park))
            };
            if !site.units.iter().any(|own| own.through.as_ref() == Some(park)) {
                return Err(Reason::UnknownName.because(format!("wakes: there is no park `{park}`")));
            }
            if let Some((unit, _)) = wake.weights.iter().find(|(unit, _)| !feeds(unit)) {
                return Err(Reason::UnknownName
                    .because(format!("wakes: `{unit}` is no turbine of the park `{park}`")));
            }
        }
        Ok(())
    }
}
