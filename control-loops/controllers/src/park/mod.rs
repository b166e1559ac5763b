//! Control of a park: one active-power reference, many turbines.
//!
//! # Problem
//!
//! The grid's operator asks the park for a power, with ramps, a reserve, and an answer to the frequency. What
//! each turbine can give changes with its own wind by the second, and some are down.
//!
//! # Model
//!
//! Once per step of the [dispatch](ParkDispatch), in this order:
//!
//! 1. the reference is limited in its ramp;
//! 2. the frequency adds its answer (droop outside a dead band), which is as fast as the frequency is;
//! 3. the sum is held below what the park has available, less the reserve;
//! 4. a slow integral makes up for what arrives less than can be expected by now (losses, a turbine that is worse than
//!    it says); turbines follow their limits with a lag, which is none of its business;
//! 5. the result is *filled in*: one level for all, each turbine's limit being the level times its weight, at
//!    most its available power. What one cannot give the others take over.
//!
//! The weight is the plan's (wake-aware set points, worked out in the centre) over the turbine's wear: of two
//! that could give the same, the less worn gives more.
//!
//! If more is asked for than there is, and nothing is kept back, no turbine is limited at all: an estimate of what it
//! could give would cut off what it gives.
//!
//! A [`ParkController`] is the dispatch as an agent runs it: in each cycle of the loops, with a meter at the grid.
//!
//! # Terms
//!
//! Powers are electrical. *Available* is what a turbine could give in its present wind. *Droop* is the change
//! of frequency, share of nominal, that asks for the park's whole rated power.

mod controller;
mod share;

use control_loops_blocks::{RateLimit, RateLimits};
use hal_units::{Duration, Watts};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

pub use controller::{DISPATCH_PERIOD, ParkController, ParkInputs, ParkPhase, ParkState, ParkSums};
pub use share::share_out;

/// How turbines follow their limits, first order: our own fit to the Takt law on the simulated NREL 5-MW.
const LAG: Duration = Duration::from_secs(3);

/// Numbers of a park's dispatch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParkParameters {
    /// All turbines together.
    pub rated_power: Watts,
    /// Fastest rise of the reference, share of rated per second.
    pub rise_per_s: f64,
    /// Fastest fall, share of rated per second.
    pub fall_per_s: f64,
    /// Share of the available power that is kept back.
    pub reserve_share: f64,
    /// Nominal frequency, Hz.
    pub frequency_nominal_hz: f64,
    /// Deviation without an answer, Hz.
    pub frequency_dead_band_hz: f64,
    /// Droop; 0 switches the answer off.
    pub droop: f64,
    /// How fast missing power is made up for, 1/s.
    pub trim_per_s: f64,
    /// The most that is made up for, share of rated.
    pub trim_share_max: f64,
    /// How strongly wear counts: 0 not at all, 1 in proportion.
    pub wear_weight: f64,
}

impl ParkParameters {
    /// Ramps of 10 % of rated per minute up and 30 % down, no reserve, droop 5 % with a dead band of 20 mHz at
    /// 50 Hz: our choice, of the order of European grid codes (ENTSO-E RfG).
    #[must_use]
    pub const fn usual(rated_power: Watts) -> Self {
        Self {
            rated_power,
            rise_per_s: 0.1 / 60.0,
            fall_per_s: 0.3 / 60.0,
            reserve_share: 0.0,
            frequency_nominal_hz: 50.0,
            frequency_dead_band_hz: 0.02,
            droop: 0.05,
            trim_per_s: 0.1,
            trim_share_max: 0.05,
            wear_weight: 0.5,
        }
    }
}

/// What the grid's operator asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParkDemand {
    /// Power wanted.
    pub reference: Watts,
    /// Measured frequency, Hz; not a number: no answer.
    pub frequency_hz: f64,
}

/// What a turbine says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurbineReport {
    /// What it could give; zero if it is down.
    pub available: Watts,
    /// What it gives.
    pub power: Watts,
    /// The plan's weight, above zero; 1 without a plan.
    pub weight: f64,
    /// Used-up share of its life, on any one scale.
    pub wear: f64,
}

/// What the dispatch remembers. Plain data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct ParkDispatch {
    reference_w: RateLimit,
    /// The target as turbines that follow it with their lag make it.
    expected_w: f64,
    trim_w: f64,
}

/// What one step decided.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct ParkStep {
    /// The reference behind its ramp, without the answer to the frequency.
    pub ramped: Watts,
    /// What the frequency asks for besides; below zero when it is high.
    pub answer: Watts,
    /// What the park shall give now.
    pub target: Watts,
    /// What it could give.
    pub available: Watts,
    /// What the turbines share, with what is made up for; `None`: each gives what it can.
    pub shared: Option<Watts>,
}

impl ParkDispatch {
    /// Goes on from the power that the park gives now.
    #[must_use]
    pub const fn from_power(power: Watts) -> Self {
        let reference_w = RateLimit::new(power.get());
        Self { reference_w, expected_w: reference_w.value(), trim_w: 0.0 }
    }

    /// One step, once or several times a second. Writes a power limit for each turbine, infinite for one that is
    /// not limited; `limits` beyond the reports are left alone.
    pub fn step(
        &mut self,
        p: &ParkParameters,
        demand: &ParkDemand,
        reports: &[TurbineReport],
        limits: &mut [Watts],
        dt: Duration,
    ) -> ParkStep {
        let available = reports.iter().map(|report| positive(report.available)).sum();
        let given = reports.iter().map(|report| positive(report.power)).sum();
        let step = self.lead(p, demand, (Watts(available), Watts(given)), dt);
        share_out(p, &step, reports, limits);
        step
    }

    /// One step from what the park could give and what it gives.
    pub fn lead(
        &mut self,
        p: &ParkParameters,
        demand: &ParkDemand,
        (available, given): (Watts, Watts),
        dt: Duration,
    ) -> ParkStep {
        let rated = p.rated_power.get();
        let ramp = RateLimits { rise_per_s: p.rise_per_s * rated, fall_per_s: p.fall_per_s * rated };
        let reference = demand.reference.get().max(0.0).min(rated);
        let ramped = self.reference_w.step(reference, ramp, dt);
        let answer = answer(p, demand.frequency_hz);
        let most = positive(available) * (1.0 - p.reserve_share);
        let wanted = (ramped + answer).max(0.0);
        let target = wanted.min(most);
        let is_free = wanted >= most && p.reserve_share <= 0.0;

        let share = (dt.as_secs_f64() / LAG.as_secs_f64()).min(1.0);
        self.expected_w += (target - self.expected_w) * share;
        let missing = self.expected_w - positive(given);
        let trim_max = p.trim_share_max * rated;
        // Where nothing more is available there is nothing to make up for.
        let room = if target < most { trim_max } else { 0.0 };
        let trim = self.trim_w + p.trim_per_s * missing * dt.as_secs_f64();
        self.trim_w = if trim.is_finite() { trim.max(-trim_max).min(room) } else { 0.0 };
        ParkStep {
            ramped: Watts(ramped),
            answer: Watts(answer),
            target: Watts(target),
            available: Watts(positive(available)),
            shared: (!is_free).then(|| Watts((target + self.trim_w).max(0.0))),
        }
    }
}

/// What the frequency asks for: less power when it is high, more when it is low.
fn answer(p: &ParkParameters, frequency_hz: f64) -> f64 {
    let deviation = frequency_hz - p.frequency_nominal_hz;
    if !deviation.is_finite() || p.droop <= 0.0 {
        return 0.0;
    }
    let beyond = (deviation.abs() - p.frequency_dead_band_hz).max(0.0);
    let sign = if deviation > 0.0 { -1.0 } else { 1.0 };
    let share = (beyond / p.frequency_nominal_hz / p.droop).min(1.0);
    sign * share * p.rated_power.get()
}

fn positive(power: Watts) -> f64 {
    if power.is_finite() { power.get().max(0.0) } else { 0.0 }
}
