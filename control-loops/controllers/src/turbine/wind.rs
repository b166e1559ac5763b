//! Is there wind to run on?

use control_loops_blocks::{Hysteresis, OnDelay, OnePole};
use hal_units::{Duration, MetersPerSecond};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::SupervisionParameters;

/// What the slow wind measurement allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindBand {
    /// Below cut-in for so long that a running turbine is stopped.
    Calm,
    /// Below cut-in, but not for long: a running turbine goes on, a standing one waits.
    Weak,
    /// Enough and not too much.
    Operating,
    /// Above cut-out, and not yet back below the restart speed.
    Storm,
}

impl WindBand {
    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Weak => "weak",
            Self::Operating => "operating",
            Self::Storm => "storm",
        }
    }
}

/// Slow filter and thresholds over the nacelle anemometer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct WindMonitor {
    filter: Option<OnePole>,
    enough: Hysteresis,
    too_much: Hysteresis,
    calm: OnDelay,
}

impl WindMonitor {
    /// Has seen no wind yet.
    pub const NEW: Self = Self {
        filter: None,
        enough: Hysteresis::new(false),
        too_much: Hysteresis::new(false),
        calm: OnDelay::OFF,
    };

    /// The filtered wind speed; `None` before the first measurement.
    #[must_use]
    pub fn speed(&self) -> Option<MetersPerSecond> {
        self.filter.map(|filter| MetersPerSecond(filter.value()))
    }

    /// Takes one measurement, or `None` if it cannot be trusted: then the filter holds.
    pub(super) fn step(
        &mut self,
        measured: Option<f64>,
        rules: &SupervisionParameters,
        dt: Duration,
    ) -> WindBand {
        if let Some(measured_mps) = measured {
            let filter = self.filter.get_or_insert(OnePole::new(measured_mps));
            let speed = filter.step(measured_mps, rules.wind_filter_corner, dt);
            self.enough.step(speed, rules.cut_in_wind.get(), rules.cut_in_wind_lost.get());
            self.too_much.step(speed, rules.cut_out_wind.get(), rules.restart_wind.get());
        }
        self.calm.step(!self.enough.is_on(), rules.calm_delay, dt);
        self.band()
    }

    fn band(&self) -> WindBand {
        if self.too_much.is_on() {
            WindBand::Storm
        } else if self.enough.is_on() {
            WindBand::Operating
        } else if self.calm.is_on() {
            WindBand::Calm
        } else {
            WindBand::Weak
        }
    }
}
