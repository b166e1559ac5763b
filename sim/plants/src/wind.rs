//! The wind over time: one speed for the whole rotor, and its direction.
//!
//! # Model
//!
//! A [`WindSpec`] is the short text by which people ask for a wind; a [`Wind`] answers how fast it blows
//! at a time. A wind is a function of time alone: asked twice it says the same, in any order.
//!
//! | text | wind |
//! |---|---|
//! | `const:V` | `V` m/s for ever |
//! | `steps:V1,V2,...:SECONDS` | each speed for so long; the last for ever |
//! | `eog:V` or `eog:V:CLASS` | the extreme operating gust of IEC 61400-1, see [`gust`] |
//! | `turb:MEAN:INTENSITY_PERCENT` | turbulence from a seed, see [`turbulence`] |
//! | a path that ends in `.csv` or `.wnd` | that file's series, see [`series`] |
//! | a path that ends in `.bts` | a full field of TurbSim, averaged over the rotor |

pub mod gust;
pub mod series;
mod spec;
mod turbsim;
pub mod turbulence;

use hal_diagnostics::Diagnostic;
use hal_units::{Duration, Meters, MetersPerSecond, Radians};

pub use gust::{Gust, TurbulenceClass};
pub use series::Series;
pub use spec::{WIND_SPEC_FORMS, WindError, WindSpec};
pub use turbulence::Turbulence;

/// The fastest wind that is believed, m/s: beyond the 70 m/s that IEC 61400-1 designs for.
pub const WIND_MPS_MAX: f64 = 100.0;

/// A wind, ready to be asked.
#[derive(Debug, Clone)]
pub struct Wind {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Constant(MetersPerSecond),
    Steps { speeds: Vec<MetersPerSecond>, each: Duration },
    Gust(Gust),
    Turbulence(Turbulence),
    Series(Series),
}

impl Wind {
    /// The same wind for ever.
    #[must_use]
    pub const fn constant(speed: MetersPerSecond) -> Self {
        Self { kind: Kind::Constant(speed) }
    }

    /// The wind that a spec describes. `seed` matters to turbulence only.
    ///
    /// # Errors
    /// [`WindError::IsFile`] if the spec names a file: its text has to be read by the caller and given
    /// to [`Wind::from_text`].
    pub fn from_spec(spec: &WindSpec, seed: u64) -> Result<Self, WindError> {
        let kind = match spec {
            WindSpec::Constant(speed) => Kind::Constant(*speed),
            WindSpec::Steps { speeds, each } => Kind::Steps { speeds: speeds.clone(), each: *each },
            WindSpec::Gust { mean, class } => Kind::Gust(Gust::nrel_5mw(*mean, *class)),
            WindSpec::Turbulence { mean, intensity } => {
                Kind::Turbulence(Turbulence::nrel_5mw(*mean, *intensity, seed))
            }
            WindSpec::File { path } => return Err(WindError::IsFile { path: path.clone() }),
        };
        Ok(Self { kind })
    }

    /// The wind of a file's text; its kind is told by the ending of its name, `.csv` or `.wnd`.
    ///
    /// # Errors
    /// At the first line that is malformed, out of range or out of order, or if the ending is neither.
    pub fn from_text(file_name: &str, text: &str) -> Result<Self, Diagnostic> {
        Ok(Self { kind: Kind::Series(Series::parse(file_name, text)?) })
    }

    /// The wind of a full-field file of TurbSim (`.bts`), averaged over a rotor of this radius.
    ///
    /// # Errors
    /// If the file is no such file, ends early, has no point within the rotor's disc, or blows faster than
    /// is believed.
    pub fn from_full_field(file_name: &str, bytes: &[u8], rotor_radius: Meters) -> Result<Self, Diagnostic> {
        Ok(Self { kind: Kind::Series(turbsim::series(file_name, bytes, rotor_radius)?) })
    }

    /// Speed at hub height, averaged over the rotor, `t` after the start. Never below zero.
    #[must_use]
    pub fn speed_at(&self, t: Duration) -> MetersPerSecond {
        let speed = match &self.kind {
            Kind::Constant(speed) => *speed,
            Kind::Steps { speeds, each } => {
                let passed = t.as_nanos() / each.as_nanos().max(1);
                let at = usize::try_from(passed).unwrap_or(usize::MAX);
                speeds.get(at).or(speeds.last()).copied().unwrap_or_default()
            }
            Kind::Gust(gust) => gust.speed_at(t),
            Kind::Turbulence(turbulence) => turbulence.speed_at(t),
            Kind::Series(series) => series.speed_at(t),
        };
        speed.max(MetersPerSecond::ZERO)
    }

    /// Where the wind comes from at `t`, from north clockwise. North unless a file says otherwise.
    #[must_use]
    pub fn direction_at(&self, t: Duration) -> Radians {
        match &self.kind {
            Kind::Series(series) => series.direction_at(t),
            Kind::Constant(_) | Kind::Steps { .. } | Kind::Gust(_) | Kind::Turbulence(_) => Radians::ZERO,
        }
    }
}
