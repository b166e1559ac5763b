//! The dispatch in each cycle of the loops.

use hal_process_image::Sample;
use hal_units::{Duration, Watts};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::{ParkDemand, ParkDispatch, ParkParameters, ParkStep};
use crate::turbine::{RunRequest, TurbineDemand, usable};

/// Time between two steps of the dispatch. An answer to the frequency begins within 0.5 s where the machines have no
/// inertia of their own to answer with (ENTSO-E RfG, 2016/631, article 13(2)(f) and 15(2)(d)); a meter's age and the
/// turbines' own cycle fit in besides.
pub const DISPATCH_PERIOD: Duration = Duration::from_millis(200);

/// So long a park waits for a measurement of what it gives before it takes what it knows for all of it.
const SEED_PATIENCE: Duration = Duration::from_secs(5);

/// What the meter at the grid says, already aged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct ParkInputs {
    /// Power that the park feeds in, W.
    pub power: Sample,
    /// Frequency of the grid, Hz.
    pub frequency: Sample,
}

impl ParkInputs {
    /// Of a meter that was never read.
    pub const NEVER: Self = Self { power: Sample::NEVER, frequency: Sample::NEVER };
}

/// What the turbines say of themselves, together.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct ParkSums {
    /// What they could give.
    pub available: Watts,
    /// What they give, as far as it is known.
    pub given: Watts,
    /// Whether it is known of each.
    pub complete: bool,
}

/// What a park is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParkPhase {
    /// What it gives is not known yet.
    Blind,
    /// It was told to stop, and so its turbines are.
    Stopped,
    /// More is asked for than there is: each turbine gives what it can.
    Free,
    /// The turbines share what is asked for.
    Limited,
    /// They do, and the frequency asks for more or less than the reference.
    FrequencyResponse,
}

impl ParkPhase {
    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blind => "blind",
            Self::Stopped => "stopped",
            Self::Free => "free",
            Self::Limited => "limited",
            Self::FrequencyResponse => "frequency_response",
        }
    }
}

/// Everything a controller remembers. Plain data.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct ParkState {
    /// None before it began.
    dispatch: Option<ParkDispatch>,
    /// Since the dispatch's last step.
    since: Duration,
    /// What that decided.
    last: ParkStep,
}

/// Leads one park.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParkController {
    parameters: ParkParameters,
    state: ParkState,
}

impl ParkController {
    /// A controller that has seen nothing.
    #[must_use]
    pub fn new(parameters: ParkParameters) -> Self {
        Self { parameters, state: ParkState::default() }
    }

    /// Its numbers.
    #[must_use]
    pub const fn parameters(&self) -> &ParkParameters {
        &self.parameters
    }

    /// Everything it remembers.
    #[must_use]
    pub const fn state(&self) -> ParkState {
        self.state
    }

    /// Goes on from what another one remembered.
    pub const fn restore(&mut self, state: ParkState) {
        self.state = state;
    }

    /// Whether the dispatch steps in a cycle that is so much later than the one before: only then do the turbines'
    /// reports count.
    #[must_use]
    pub fn is_due(&self, dt: Duration) -> bool {
        self.state.dispatch.is_none() || self.state.since.saturating_add(dt) >= DISPATCH_PERIOD
    }

    /// One cycle: what the dispatch decided, if it made a step. The demand's power limit is the reference. A park that
    /// was stopped begins anew with its ramp from what it gives.
    pub fn step(
        &mut self,
        inputs: &ParkInputs,
        sums: &ParkSums,
        demand: &TurbineDemand,
        dt: Duration,
    ) -> Option<ParkStep> {
        let is_due = self.is_due(dt);
        self.state.since = self.state.since.saturating_add(dt);
        if demand.request != RunRequest::Run {
            self.state = ParkState { last: ParkStep::default(), ..ParkState::default() };
            return None;
        }
        let metered = usable(&inputs.power).map(Watts);
        let given = metered.unwrap_or(sums.given);
        let is_known = metered.is_some() || sums.complete || self.state.since >= SEED_PATIENCE;
        if !is_due || (self.state.dispatch.is_none() && !is_known) {
            return None;
        }
        let dispatch = self
            .state
            .dispatch
            .get_or_insert(ParkDispatch::from_power(given.min(self.parameters.rated_power)));
        let asked = ParkDemand {
            reference: demand.power_limit,
            frequency_hz: usable(&inputs.frequency).unwrap_or(f64::NAN),
        };
        let passed = core::mem::take(&mut self.state.since);
        self.state.last = dispatch.lead(&self.parameters, &asked, (sums.available, given), passed);
        Some(self.state.last)
    }

    /// What the dispatch decided last.
    #[must_use]
    pub const fn last(&self) -> ParkStep {
        self.state.last
    }

    /// What the park is doing under a demand.
    #[must_use]
    pub fn phase(&self, demand: &TurbineDemand) -> ParkPhase {
        let last = &self.state.last;
        match (demand.request, self.state.dispatch) {
            (RunRequest::Stop | RunRequest::Service, _) => ParkPhase::Stopped,
            (RunRequest::Run, None) => ParkPhase::Blind,
            (RunRequest::Run, Some(_)) if last.shared.is_none() => ParkPhase::Free,
            (RunRequest::Run, Some(_)) if last.answer != Watts::ZERO => ParkPhase::FrequencyResponse,
            (RunRequest::Run, Some(_)) => ParkPhase::Limited,
        }
    }
}
