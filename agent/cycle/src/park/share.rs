//! What a park leaves each of its turbines.

use control_loops_controllers::turbine::{RunRequest, TurbineDemand};
use hal_units::Watts;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// A turbine's part in its park.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct Share {
    /// The most power it may give; infinite if it is not limited.
    pub limit: Watts,
    /// Whether the park runs.
    pub runs: bool,
    /// Whether an emergency stop of the whole park stands.
    pub emergency_stop: bool,
    /// Energy that it has given in the park, J: its wear, as the dispatch evens it out.
    pub given_j: f64,
}

impl Share {
    /// Of a turbine that is in no park, or whose park has not stepped yet.
    pub const NONE: Self =
        Self { limit: Watts(f64::INFINITY), runs: true, emergency_stop: false, given_j: 0.0 };

    /// The demand on a turbine within its share. A park starts nothing that is not to run by itself.
    #[must_use]
    pub fn within(&self, demand: TurbineDemand) -> TurbineDemand {
        let request = match (demand.request, self.runs) {
            (RunRequest::Run, false) => RunRequest::Stop,
            (request, _) => request,
        };
        TurbineDemand {
            request,
            power_limit: demand.power_limit.min(self.limit),
            emergency_stop: demand.emergency_stop || self.emergency_stop,
            reset: demand.reset,
        }
    }
}
