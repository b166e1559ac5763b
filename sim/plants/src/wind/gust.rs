//! The extreme operating gust (EOG) of IEC 61400-1.
//!
//! # Model
//!
//! IEC 61400-1, edition 3 (2005), 6.3.2.2. With hub-height wind `V`, rotor diameter `D`, and `t` from
//! the gust's start,
//!
//! ```text
//! V(t)  = V - 0.37 Vg sin(3 pi t / T) (1 - cos(2 pi t / T)),   0 <= t <= T = 10.5 s
//! Vg    = min( 1.35 (Ve1 - V),  3.3 sigma / (1 + 0.1 D / L) )
//! sigma = Iref (0.75 V + 5.6 m/s),   L = 42 m (hub above 60 m)
//! Ve1   = 0.8 * 1.4 Vref,            Vref = 50 m/s (class I)
//! ```
//!
//! `Iref` is 0.16, 0.14 or 0.12 for turbulence class A, B or C. The wind first dips, then peaks, then
//! dips again.

use core::f64::consts::PI;
use core::fmt;
use core::str::FromStr;

use hal_units::{Duration, Meters, MetersPerSecond};

/// When the gust begins.
pub const GUST_START: Duration = Duration::from_secs(60);
/// How long it lasts.
pub const GUST_DURATION: Duration = Duration::from_millis(10_500);
/// Vref of wind turbine class I, m/s.
const REFERENCE_MPS: f64 = 50.0;
/// Longitudinal turbulence scale at a hub above 60 m.
const SCALE: Meters = Meters(42.0);

/// How turbulent a site is, IEC 61400-1 edition 3, table 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TurbulenceClass {
    /// Iref 0.16, the most turbulent.
    #[default]
    A,
    /// Iref 0.14.
    B,
    /// Iref 0.12.
    C,
}

impl TurbulenceClass {
    /// Expected turbulence intensity at 15 m/s.
    #[must_use]
    pub const fn reference_intensity(self) -> f64 {
        match self {
            Self::A => 0.16,
            Self::B => 0.14,
            Self::C => 0.12,
        }
    }
}

impl fmt::Display for TurbulenceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        })
    }
}

impl FromStr for TurbulenceClass {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "A" | "a" => Ok(Self::A),
            "B" | "b" => Ok(Self::B),
            "C" | "c" => Ok(Self::C),
            _ => Err(()),
        }
    }
}

/// One gust in an otherwise constant wind, [`GUST_START`] after the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gust {
    mean: MetersPerSecond,
    magnitude: MetersPerSecond,
}

impl Gust {
    /// The gust that the NREL 5-MW reference turbine (diameter 126 m, class I) meets.
    #[must_use]
    pub fn nrel_5mw(mean: MetersPerSecond, class: TurbulenceClass) -> Self {
        Self { mean, magnitude: magnitude(mean, class, Meters(126.0)) }
    }

    pub(super) fn speed_at(&self, t: Duration) -> MetersPerSecond {
        let Some(into) = t.checked_sub(GUST_START).filter(|into| *into <= GUST_DURATION) else {
            return self.mean;
        };
        let along = into.as_secs_f64() / GUST_DURATION.as_secs_f64();
        self.mean - self.magnitude * (0.37 * (3.0 * PI * along).sin() * (1.0 - (2.0 * PI * along).cos()))
    }
}

/// Vg; zero for a mean so fast that the gust would not exceed the yearly extreme.
fn magnitude(mean: MetersPerSecond, class: TurbulenceClass, diameter: Meters) -> MetersPerSecond {
    let deviation = class.reference_intensity() * (0.75 * mean.get() + 5.6);
    let yearly_extreme = 0.8 * 1.4 * REFERENCE_MPS;
    let by_extreme = 1.35 * (yearly_extreme - mean.get());
    let by_turbulence = 3.3 * deviation / (1.0 + 0.1 * (diameter / SCALE));
    MetersPerSecond(by_extreme.min(by_turbulence).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(class: TurbulenceClass, seconds: f64) -> f64 {
        Gust::nrel_5mw(MetersPerSecond(12.0), class).speed_at(Duration::from_secs_f64(seconds)).get()
    }

    #[test]
    fn the_gust_dips_peaks_and_dips() {
        // Worked by hand: sigma 2.336, Vg 5.930, peak at half time 12 + 0.74 Vg.
        assert!((at(TurbulenceClass::A, 65.25) - 16.388).abs() < 1e-3);
        assert!((at(TurbulenceClass::A, 62.2) - 10.490).abs() < 1e-3);
        assert!((at(TurbulenceClass::A, 68.3) - 10.490).abs() < 1e-3);
        assert!((at(TurbulenceClass::B, 65.25) - 15.840).abs() < 1e-3);
    }

    #[test]
    fn before_and_after_the_wind_is_the_mean() {
        for seconds in [0.0, 60.0, 70.5, 1000.0] {
            assert!((at(TurbulenceClass::B, seconds) - 12.0).abs() < 1e-9);
        }
    }
}
