//! A plan against the site that it is for.

use hal_units::Watts;

use super::power::Highest;
use super::{CheckedPlan, CheckedTask, Lost};
use crate::refusal::{Reason, Refusal};
use crate::schedulability::{self, Task};
use crate::{UnitDemand, UnitLimits};

/// What a site has, as far as a plan can name it.
#[derive(Debug, Clone, Default)]
pub struct SiteFacts {
    /// The site's name.
    pub site: String,
    /// This node's name; empty if it has none. Plans for named nodes are then refused.
    pub node: String,
    /// Units with their rated power.
    pub units: Vec<UnitLimits>,
    /// Loop groups as periodic tasks, with the budgets that were declared or measured.
    pub tasks: Vec<Task>,
    /// Devices.
    pub devices: Vec<String>,
    /// Stations of the fleet; `None` if there is no fleet.
    pub stations: Option<Vec<String>>,
}

impl CheckedPlan {
    /// Checks the plan against the site.
    ///
    /// # Errors
    /// [`Reason::WrongTarget`], [`Reason::UnknownName`], [`Reason::Unsupported`], [`Reason::OutOfLimits`],
    /// [`Reason::Unschedulable`] or [`Reason::TaskMismatch`], for the first thing that does not fit.
    pub fn fit(&self, site: &SiteFacts) -> Result<(), Refusal> {
        self.fit_target(site)?;
        self.fit_units(site)?;
        self.fit_wakes(site)?;
        self.fit_rules(site)?;
        self.fit_transports(site)?;
        self.fit_power(site)?;
        self.fit_tasks(site)
    }

    fn fit_target(&self, site: &SiteFacts) -> Result<(), Refusal> {
        if self.site != site.site {
            return Err(Reason::WrongTarget
                .because(format!("the plan is for the site `{}`, this is `{}`", self.site, site.site)));
        }
        if !self.nodes.is_empty() && !self.nodes.contains(&site.node) {
            return Err(Reason::WrongTarget
                .because(format!("the plan is for other nodes; this one is `{}`", site.node)));
        }
        Ok(())
    }

    fn fit_units(&self, site: &SiteFacts) -> Result<(), Refusal> {
        fit_demands("demands", &self.demands, site)?;
        for schedule in &self.schedules {
            let rated = rated("schedules", &schedule.unit, site)?;
            for point in &schedule.points {
                within("schedules", &schedule.unit, point.power_limit, rated)?;
            }
        }
        Ok(())
    }

    fn fit_rules(&self, site: &SiteFacts) -> Result<(), Refusal> {
        for rule in &self.rules {
            if let Lost::Device(device) = &rule.lost
                && !site.devices.contains(device)
            {
                return Err(Reason::UnknownName
                    .because(format!("rules: `{}`: there is no device `{device}`", rule.name)));
            }
            fit_demands("rules", &rule.fallback, site)?;
        }
        Ok(())
    }

    fn fit_transports(&self, site: &SiteFacts) -> Result<(), Refusal> {
        let Some(stations) = &site.stations else {
            if self.transports.is_empty() {
                return Ok(());
            }
            return Err(Reason::Unsupported.because("transports: this site has no fleet"));
        };
        for order in &self.transports {
            for station in [&order.from, &order.to] {
                if !stations.contains(station) {
                    return Err(Reason::UnknownName
                        .because(format!("transports: `{}`: there is no station `{station}`", order.id)));
                }
            }
        }
        Ok(())
    }

    fn fit_power(&self, site: &SiteFacts) -> Result<(), Refusal> {
        let Some(limit) = self.site_power else { return Ok(()) };
        let fallbacks = self.rules.iter().map(|rule| (Some(rule.name.as_str()), rule.fallback.as_slice()));
        for (rule, fallback) in std::iter::once((None, [].as_slice())).chain(fallbacks) {
            let Highest { at, power } = self.highest_power(fallback, site);
            // Half a watt: sums of lines are rounded.
            if power > limit + Watts(0.5) {
                let during = rule.map_or(String::new(), |rule| format!(" while `{rule}` applies"));
                let from = at.map_or(String::new(), |at| format!(" at {at}"));
                return Err(Reason::OutOfLimits.because(format!(
                    "the units' limits add up to {:.0} W{from}{during}; limits.sitePowerW is {:.0}",
                    power.get(),
                    limit.get()
                )));
            }
        }
        Ok(())
    }

    /// Whether all loop groups meet their deadlines with the plan's numbers, and whether those are the ones
    /// that this node was set up with: threads do not change their period, core or priority while they run.
    fn fit_tasks(&self, site: &SiteFacts) -> Result<(), Refusal> {
        if let Some(task) = self.tasks.iter().find(|task| site.tasks.iter().all(|own| own.name != task.name))
        {
            return Err(Reason::UnknownName.because(format!("tasks: there is no loop group `{}`", task.name)));
        }
        let planned: Vec<Task> = site.tasks.iter().map(|own| planned(own, &self.tasks)).collect();
        schedulability::admit(&planned).map_err(|why| Reason::Unschedulable.because(why.to_string()))?;
        for (own, planned) in site.tasks.iter().zip(&planned) {
            if own.period != planned.period {
                return Err(mismatch(
                    own,
                    "period",
                    format!("{:?}", own.period),
                    format!("{:?}", planned.period),
                ));
            }
            if own.core != planned.core {
                return Err(mismatch(own, "core", own.core.to_string(), planned.core.to_string()));
            }
            if own.priority != planned.priority {
                return Err(mismatch(
                    own,
                    "priority",
                    own.priority.to_string(),
                    planned.priority.to_string(),
                ));
            }
        }
        Ok(())
    }
}

/// A loop group with the numbers of a plan, if the plan names it. The longer budget counts: outputs leave
/// when the one of the site is over.
fn planned(own: &Task, tasks: &[CheckedTask]) -> Task {
    let Some(task) = tasks.iter().find(|task| task.name == own.name) else { return own.clone() };
    Task {
        name: own.name.clone(),
        core: task.core,
        priority: task.priority,
        period: task.period,
        deadline: task.deadline,
        budget: task.budget.max(own.budget),
        jitter: own.jitter,
        blocking: own.blocking,
    }
}

fn mismatch(own: &Task, what: &str, here: String, there: String) -> Refusal {
    Reason::TaskMismatch.because(format!(
        "tasks: the {what} of `{}` is {here} here and {there} in the plan; change the site's configuration \
         first",
        own.name
    ))
}

fn fit_demands(what: &str, demands: &[UnitDemand], site: &SiteFacts) -> Result<(), Refusal> {
    for demand in demands {
        let rated = rated(what, &demand.unit, site)?;
        if let Some(limit) = demand.power_limit {
            within(what, &demand.unit, limit, rated)?;
        }
    }
    Ok(())
}

fn rated(what: &str, unit: &str, site: &SiteFacts) -> Result<Watts, Refusal> {
    site.units.iter().find(|limits| limits.unit == unit).map(|limits| limits.rated_power).ok_or_else(|| {
        let known: Vec<&str> = site.units.iter().map(|limits| limits.unit.as_str()).take(8).collect();
        Reason::UnknownName
            .because(format!("{what}: there is no unit `{unit}`; there are: {}", known.join(", ")))
    })
}

fn within(what: &str, unit: &str, limit: Watts, rated: Watts) -> Result<(), Refusal> {
    if limit <= rated {
        return Ok(());
    }
    Err(Reason::OutOfLimits.because(format!(
        "{what}: powerLimitW of `{unit}` is {:.0}; its rated power is {:.0} W",
        limit.get(),
        rated.get()
    )))
}
