//! What is asked of a unit: the plan, overlaid by operators' commands, overlaid by the group's mode.
//!
//! Rules:
//! - An operator's stop stands until an operator's start, whatever plans arrive in between.
//! - An operator's power limit can only lower the plan's.
//! - An emergency stop stands until a reset.
//! - A group that comes to rest, on request or after misses, stops all its units.

use agent_plan::Request;
use control_loops_controllers::turbine::{RunRequest, TurbineDemand};
use control_loops_drive::{DriveDemand, Route};
use hal_units::Watts;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// What the plan asks of a unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanDemand {
    /// Run, stop, service.
    pub request: Request,
    /// The most power it may feed in.
    pub power_limit: Watts,
}

/// What an operator asks of a unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CommandAction {
    /// Start, also against a plan that says stop.
    Start,
    /// Stop until started.
    Stop,
    /// Stop at once, until reset.
    EmergencyStop,
    /// Clear latched interlocks whose cause is gone, the emergency stop, and the group's safe state.
    Reset,
    /// Limit the power.
    Derate(Watts),
}

/// A command on its way to a cycle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Command {
    /// Position of the unit in its group.
    pub unit: u16,
    /// What to do.
    pub action: CommandAction,
    /// Comes back in [`crate::Executed`].
    pub token: u64,
}

/// What operators' commands have left standing at a unit. Outlives the process: the agent stores it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct Overrides {
    /// `Some(true)` started, `Some(false)` stopped by an operator.
    pub run: Option<bool>,
    /// The operator's power limit.
    pub power_limit: Option<Watts>,
    /// An emergency stop stands.
    pub emergency_stop: bool,
}

impl Overrides {
    /// The overrides after a command.
    #[must_use]
    pub fn after(self, action: CommandAction) -> Self {
        match action {
            CommandAction::Start => Self { run: Some(true), ..self },
            CommandAction::Stop => Self { run: Some(false), ..self },
            CommandAction::EmergencyStop => Self { emergency_stop: true, ..self },
            CommandAction::Reset => Self { emergency_stop: false, ..self },
            CommandAction::Derate(limit) => Self { power_limit: Some(limit), ..self },
        }
    }

    /// The demand on a vehicle for one cycle. Fleet control alone says where it goes.
    #[must_use]
    pub fn over_route(self, route: Route, group_stops: bool, reset: bool) -> DriveDemand {
        let run = !group_stops && self.run != Some(false);
        DriveDemand { run, emergency_stop: self.emergency_stop, reset, route }
    }

    /// The demand on a turbine for one cycle.
    #[must_use]
    pub fn over(self, plan: &PlanDemand, group_stops: bool, reset: bool) -> TurbineDemand {
        let planned = match plan.request {
            Request::Stop => RunRequest::Stop,
            Request::Run => RunRequest::Run,
            Request::Service => RunRequest::Service,
        };
        let request = match (group_stops, plan.request, self.run) {
            (true, _, _) => RunRequest::Stop,
            // People may be working on it: no command starts it.
            (false, Request::Service, _) => RunRequest::Service,
            (false, _, Some(true)) => RunRequest::Run,
            (false, _, Some(false)) => RunRequest::Stop,
            (false, _, None) => planned,
        };
        TurbineDemand {
            request,
            power_limit: self.power_limit.map_or(plan.power_limit, |limit| limit.min(plan.power_limit)),
            emergency_stop: self.emergency_stop,
            reset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: PlanDemand = PlanDemand { request: Request::Run, power_limit: Watts(5e6) };
    const SERVICE: PlanDemand = PlanDemand { request: Request::Service, power_limit: Watts(5e6) };

    #[test]
    fn an_operators_stop_outlives_a_plan_that_runs() {
        let stopped = Overrides::default().after(CommandAction::Stop);
        assert_eq!(stopped.over(&RUN, false, false).request, RunRequest::Stop);
        assert_eq!(stopped.after(CommandAction::Start).over(&RUN, false, false).request, RunRequest::Run);
    }

    #[test]
    fn an_operators_limit_only_lowers_the_plans() {
        let low = PlanDemand { power_limit: Watts(1e6), ..RUN };
        let derated = Overrides::default().after(CommandAction::Derate(Watts(2e6)));
        assert_eq!(derated.over(&RUN, false, false).power_limit, Watts(2e6));
        assert_eq!(derated.over(&low, false, false).power_limit, Watts(1e6));
    }

    #[test]
    fn nothing_starts_a_unit_in_service_or_in_a_stopping_group() {
        let started = Overrides::default().after(CommandAction::Start);
        assert_eq!(started.over(&SERVICE, false, false).request, RunRequest::Service);
        assert_eq!(started.over(&RUN, true, false).request, RunRequest::Stop);
    }

    #[test]
    fn an_emergency_stop_stands_until_reset() {
        let stopped = Overrides::default().after(CommandAction::EmergencyStop).after(CommandAction::Start);
        assert!(stopped.over(&RUN, false, false).emergency_stop);
        assert!(!stopped.after(CommandAction::Reset).over(&RUN, false, false).emergency_stop);
    }
}
