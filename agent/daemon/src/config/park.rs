//! A `[[park]]`: turbines that feed in through one meter, under one reference.

use control_loops_controllers::park::ParkParameters;
use hal_diagnostics::{Diagnostic, Spanned};
use hal_units::Watts;

use super::check::{Checker, Units};
use super::text::ParkText;
use super::{ParkConfig, PlantConfig, UnitConfig};

/// Turbines of a park at most: the share of each is worked out within a cycle.
const TURBINES_MAX: usize = 200;

impl Checker<'_> {
    /// Adds the parks behind their turbines.
    pub(super) fn parks(&self, texts: &[ParkText], units: &mut Units<'_>) -> Result<(), Diagnostic> {
        for text in texts {
            let turbines = self.park_turbines(text, units)?;
            let rated: f64 = turbines
                .iter()
                .filter_map(|at| units.all.get(*at)?.plant.rated_power())
                .map(Watts::get)
                .sum();
            let parameters = self.park_parameters(text, Watts(rated))?;
            let plant = PlantConfig::Park(Box::new(ParkConfig { parameters, turbines }));
            self.unit(units, (&text.name, &text.device, &text.group), plant)?;
        }
        Ok(())
    }

    /// Positions of a park's turbines in the site: all of its group that it does not choose from.
    fn park_turbines(&self, text: &ParkText, units: &Units<'_>) -> Result<Vec<usize>, Diagnostic> {
        let group = self.group_of(units, &text.group)?;
        let units = &units.all;
        if units.iter().any(|unit| unit.group == group && matches!(unit.plant, PlantConfig::Park(_))) {
            return Err(self.document.at(
                text.group.span(),
                format!("the group `{}` has two parks", text.group.get_ref()),
                "give each park a group of its own: its turbines and it step in one cycle",
            ));
        }
        let in_group = |unit: &UnitConfig| unit.group == group;
        let named = |name: &Spanned<String>| {
            let at = units.iter().position(|unit| unit.name == *name.get_ref());
            let complain = |what: String, remedy: &str| self.document.at(name.span(), what, remedy);
            let Some((at, unit)) = at.and_then(|at| Some((at, units.get(at)?))) else {
                return Err(complain(
                    format!("there is no turbine `{}`", name.get_ref()),
                    "name a [[turbine]] of the park's group",
                ));
            };
            if !matches!(unit.plant, PlantConfig::Turbine(_)) || !in_group(unit) {
                return Err(complain(
                    format!("`{}` is no turbine of the group `{}`", name.get_ref(), text.group.get_ref()),
                    "a park and its turbines step in one cycle: put them into one group",
                ));
            }
            Ok(at)
        };
        let turbines: Vec<usize> = match &text.turbines {
            Some(names) => names.iter().map(named).collect::<Result<_, _>>()?,
            None => units
                .iter()
                .enumerate()
                .filter(|(_, unit)| matches!(unit.plant, PlantConfig::Turbine(_)) && in_group(unit))
                .map(|(at, _)| at)
                .collect(),
        };
        let whole = |what: String, remedy: &str| self.document.at(text.name.span(), what, remedy);
        let name = text.name.get_ref();
        if turbines.is_empty() || turbines.len() > TURBINES_MAX {
            return Err(whole(
                format!("the park `{name}` has {} turbines", turbines.len()),
                "give it 1 to 200 turbines of its group",
            ));
        }
        for (before, at) in turbines.iter().enumerate() {
            let unit = units.get(*at).map_or("?", |unit| unit.name.as_str());
            if turbines.iter().take(before).any(|other| other == at) {
                return Err(whole(
                    format!("the park `{name}` names the turbine `{unit}` twice"),
                    "name each turbine once",
                ));
            }
            let estimates = units.get(*at).is_some_and(|unit| match &unit.plant {
                PlantConfig::Turbine(parameters) => parameters.takt.is_some(),
                PlantConfig::Vehicle(_) | PlantConfig::Der(_) | PlantConfig::Park(_) => false,
            });
            if !estimates {
                return Err(whole(
                    format!("the turbine `{unit}` of the park `{name}` cannot say what it could give"),
                    "give it law = \"takt\": the baseline law does not estimate the wind",
                ));
            }
        }
        Ok(turbines)
    }

    fn park_parameters(&self, text: &ParkText, rated_power: Watts) -> Result<ParkParameters, Diagnostic> {
        let usual = ParkParameters::usual(rated_power);
        let number = |field: &Option<Spanned<f64>>, low, high, name, usual: f64| match field {
            Some(value) => self.within(value, low, high, name),
            None => Ok(usual),
        };
        let per_second = |percent: f64| percent / 100.0 / 60.0;
        Ok(ParkParameters {
            rise_per_s: per_second(number(
                &text.rise_percent_per_min,
                0.1,
                6000.0,
                "rise_percent_per_min",
                usual.rise_per_s * 6000.0,
            )?),
            fall_per_s: per_second(number(
                &text.fall_percent_per_min,
                0.1,
                6000.0,
                "fall_percent_per_min",
                usual.fall_per_s * 6000.0,
            )?),
            reserve_share: number(&text.reserve_percent, 0.0, 50.0, "reserve_percent", 0.0)? / 100.0,
            frequency_nominal_hz: number(&text.nominal_hz, 16.0, 60.0, "nominal_hz", 50.0)?,
            frequency_dead_band_hz: number(&text.dead_band_mhz, 0.0, 1000.0, "dead_band_mhz", 20.0)? / 1000.0,
            droop: number(&text.droop_percent, 0.0, 100.0, "droop_percent", 5.0)? / 100.0,
            wear_weight: number(&text.wear_weight, 0.0, 1.0, "wear_weight", usual.wear_weight)?,
            ..usual
        })
    }
}
