//! The plan: demands on units, as people write them and as the cycle takes them.

use std::collections::HashSet;

use hal_diagnostics::{Diagnostic, Document, Spanned};
use hal_units::Watts;
use serde::{Deserialize, Serialize};

/// The most units in a plan.
const UNITS_MAX: usize = 1024;

/// What a unit shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Come to rest and stay there.
    Stop,
    /// Start when conditions allow, and produce.
    Run,
    /// Stand still for people to work on it.
    Service,
}

impl Request {
    /// The word that the plan file uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Run => "run",
            Self::Service => "service",
        }
    }
}

/// What one unit shall do.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitDemand {
    /// The unit's name.
    pub unit: String,
    /// Run, stop, service.
    pub request: Request,
    /// The most electrical power it may feed in; `None` means its rated power.
    pub power_limit: Option<Watts>,
}

/// What a plan may demand of a unit.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitLimits {
    /// The unit's name.
    pub unit: String,
    /// Its rated electrical power.
    pub rated_power: Watts,
    /// The park through which it feeds in, if it is in one.
    pub through: Option<String>,
}

/// A checked plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name, for people.
    pub name: String,
    /// Number of the plan; a higher one replaces a lower one.
    pub epoch: u32,
    /// At most one demand a unit; units that no demand names keep still.
    pub units: Vec<UnitDemand>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanToml {
    name: String,
    #[serde(default)]
    epoch: u32,
    #[serde(default)]
    unit: Vec<Spanned<UnitToml>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitToml {
    name: Spanned<String>,
    request: Request,
    power_limit_kw: Option<Spanned<f64>>,
}

impl Plan {
    /// Reads a plan and checks all that can be known without the site.
    ///
    /// # Errors
    /// At the first thing that is unknown, out of range or said twice, with its place.
    pub fn parse(document: &Document) -> Result<Self, Diagnostic> {
        Self::from_toml(document, &document.parse()?)
    }

    fn from_toml(document: &Document, toml: &PlanToml) -> Result<Self, Diagnostic> {
        if toml.unit.len() > UNITS_MAX {
            return Err(document.whole(
                format!("{} units; a plan has at most {UNITS_MAX}", toml.unit.len()),
                "split the site",
            ));
        }
        let mut names = HashSet::new();
        let mut units = Vec::with_capacity(toml.unit.len());
        for entry in &toml.unit {
            let unit = entry.get_ref();
            if !names.insert(unit.name.get_ref().as_str()) {
                return Err(document.at(
                    unit.name.span(),
                    format!("the unit `{}` stands twice", unit.name.get_ref()),
                    "keep one of the two",
                ));
            }
            if let Some(limit) = &unit.power_limit_kw
                && !(limit.get_ref().is_finite() && *limit.get_ref() >= 0.0)
            {
                return Err(document.at(
                    limit.span(),
                    format!("power_limit_kw is {}", limit.get_ref()),
                    "give a number from 0 to the unit's rated power",
                ));
            }
            units.push(UnitDemand {
                unit: unit.name.get_ref().clone(),
                request: unit.request,
                power_limit: unit.power_limit_kw.as_ref().map(|kw| Watts::from_kilowatts(*kw.get_ref())),
            });
        }
        Ok(Self { name: toml.name.clone(), epoch: toml.epoch, units })
    }

    /// Reads a plan and checks it against the units that exist.
    ///
    /// # Errors
    /// As [`Plan::parse`], and for a unit that does not exist or a limit above its rated power.
    pub fn parse_for(document: &Document, site: &[UnitLimits]) -> Result<Self, Diagnostic> {
        let toml: PlanToml = document.parse()?;
        let plan = Self::from_toml(document, &toml)?;
        for (entry, demand) in toml.unit.iter().zip(&plan.units) {
            let Some(limits) = site.iter().find(|limits| limits.unit == demand.unit) else {
                let known: Vec<&str> = site.iter().map(|limits| limits.unit.as_str()).take(12).collect();
                return Err(document.at(
                    entry.get_ref().name.span(),
                    format!("the unit `{}` does not exist", demand.unit),
                    format!("name one of: {}", known.join(", ")),
                ));
            };
            if demand.power_limit.is_some_and(|limit| limit > limits.rated_power) {
                let span = entry.get_ref().power_limit_kw.as_ref().map_or(entry.span(), Spanned::span);
                let rated_kw = limits.rated_power.as_kilowatts();
                return Err(document.at(
                    span,
                    format!("power_limit_kw of `{}` is above its rated power", demand.unit),
                    format!("give 0 to {rated_kw}"),
                ));
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAN: &str = r#"
name = "evening"
epoch = 3

[[unit]]
name = "WT01"
request = "run"
power_limit_kw = 3000.0

[[unit]]
name = "WT02"
request = "stop"
"#;

    fn site() -> Vec<UnitLimits> {
        ["WT01", "WT02"]
            .map(|unit| UnitLimits {
                unit: unit.to_owned(),
                rated_power: Watts::from_kilowatts(5000.0),
                through: None,
            })
            .to_vec()
    }

    fn complaint_with(from: &str, to: &str) -> String {
        let document = Document::new("plan.toml", &PLAN.replacen(from, to, 1));
        Plan::parse_for(&document, &site()).unwrap_err().to_string()
    }

    #[test]
    fn a_plan_says_who_runs_and_at_which_power() {
        let plan = Plan::parse_for(&Document::new("plan.toml", PLAN), &site()).unwrap();
        assert_eq!(plan.epoch, 3);
        assert_eq!(plan.units[0].power_limit, Some(Watts(3e6)));
        assert_eq!(plan.units[1].request, Request::Stop);
    }

    #[test]
    fn a_unit_that_does_not_exist_is_named_with_those_that_do() {
        let complaint = complaint_with("WT02", "WT03");
        assert!(complaint.starts_with("plan.toml:11:8: the unit `WT03` does not exist"), "{complaint}");
        assert!(complaint.contains("WT01, WT02"));
    }

    #[test]
    fn a_limit_above_rated_power_is_refused() {
        assert!(
            complaint_with("3000.0", "5000.1").contains("plan.toml:8:18: power_limit_kw of `WT01` is above")
        );
        assert!(complaint_with("3000.0", "-1").contains("power_limit_kw is -1"));
        assert!(complaint_with("3000.0", "nan").contains("power_limit_kw is NaN"));
    }

    #[test]
    fn a_unit_said_twice_is_refused() {
        assert!(complaint_with("WT02", "WT01").contains("stands twice"));
    }

    proptest! {
        #[test]
        fn a_mangled_plan_never_panics(at in 0..PLAN.len(), with in "\\PC{0,6}") {
            let mut text = PLAN.to_owned();
            text.replace_range(at..(at + 4).min(PLAN.len()), &with);
            let _ = Plan::parse_for(&Document::new("plan.toml", &text), &site());
        }
    }
}
