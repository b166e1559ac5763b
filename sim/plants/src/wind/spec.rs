//! The short text by which people ask for a wind.

use core::fmt;
use core::str::FromStr;

use hal_units::{Duration, MetersPerSecond};

use super::{TurbulenceClass, WIND_MPS_MAX};

/// What may be written, for help texts and remedies.
pub const WIND_SPEC_FORMS: &str = "const:V, steps:V1,V2,...:SECONDS, eog:V[:A|B|C], turb:MEAN:INTENSITY_PERCENT, \
                                   or a file that ends in .csv, .wnd or .bts (speeds in m/s)";

/// The most speeds of a staircase.
const STEPS_MAX: usize = 1000;
const SECONDS_MAX: f64 = 1e6;
const INTENSITY_PERCENT_MAX: f64 = 50.0;

/// A wind as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum WindSpec {
    /// `const:V`
    Constant(MetersPerSecond),
    /// `steps:V1,V2,...:SECONDS`
    Steps {
        /// The speeds, in order; at least one.
        speeds: Vec<MetersPerSecond>,
        /// How long each lasts; above zero.
        each: Duration,
    },
    /// `eog:V` or `eog:V:CLASS`
    Gust {
        /// Speed before and after the gust.
        mean: MetersPerSecond,
        /// How turbulent the site is.
        class: TurbulenceClass,
    },
    /// `turb:MEAN:INTENSITY_PERCENT`
    Turbulence {
        /// Mean speed.
        mean: MetersPerSecond,
        /// Standard deviation over mean, 0 to 0.5.
        intensity: f64,
    },
    /// A path.
    File {
        /// As it was written.
        path: String,
    },
}

/// Why a text is no wind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindError {
    /// Neither a known form nor the name of a wind file.
    #[error("`{text}` is no wind\n  remedy: give {WIND_SPEC_FORMS}")]
    Form {
        /// What was written, shortened.
        text: String,
    },
    /// A number is missing, malformed or out of range.
    #[error(
        "the {what} `{text}` of the wind is no number from {low} to {high}\n  remedy: correct it; a wind is {WIND_SPEC_FORMS}"
    )]
    Number {
        /// Which number.
        what: &'static str,
        /// What was written, shortened.
        text: String,
        /// Least.
        low: u32,
        /// Most.
        high: u32,
    },
    /// Too many steps.
    #[error("the wind has {count} steps\n  remedy: give at most {STEPS_MAX}, or a .csv file")]
    Steps {
        /// How many.
        count: usize,
    },
    /// The class of the gust.
    #[error("the turbulence class `{text}` of the gust is not known\n  remedy: give A, B or C")]
    Class {
        /// What was written, shortened.
        text: String,
    },
    /// The spec names a file, which has to be read first.
    #[error("the wind `{path}` is a file that was not read\n  remedy: read it and use its text")]
    IsFile {
        /// The file.
        path: String,
    },
}

impl FromStr for WindSpec {
    type Err = WindError;

    fn from_str(text: &str) -> Result<Self, WindError> {
        let (form, rest) = text.split_once(':').unwrap_or((text, ""));
        match form {
            "const" => Ok(Self::Constant(speed(rest)?)),
            "steps" => steps(rest),
            "eog" => gust(rest),
            "turb" => turbulence(rest),
            _ if is_wind_file(text) => Ok(Self::File { path: text.to_owned() }),
            _ => Err(WindError::Form { text: shown(text) }),
        }
    }
}

impl WindSpec {
    /// Reads a spec; the same as its [`FromStr`].
    ///
    /// # Errors
    /// If the text is no wind, with what is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Self, WindError> {
        text.parse()
    }
}

impl fmt::Display for WindSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(speed) => write!(f, "const:{}", speed.get()),
            Self::Steps { speeds, each } => {
                let speeds: Vec<String> = speeds.iter().map(|speed| speed.get().to_string()).collect();
                write!(f, "steps:{}:{}", speeds.join(","), each.as_secs_f64())
            }
            Self::Gust { mean, class } => write!(f, "eog:{}:{class}", mean.get()),
            Self::Turbulence { mean, intensity } => write!(f, "turb:{}:{}", mean.get(), intensity * 100.0),
            Self::File { path } => f.write_str(path),
        }
    }
}

pub(super) fn is_wind_file(name: &str) -> bool {
    let ends = |ending: &str| {
        name.len() > ending.len()
            && name.get(name.len() - ending.len()..).is_some_and(|end| end.eq_ignore_ascii_case(ending))
    };
    ends(".csv") || ends(".wnd") || ends(".bts")
}

fn steps(rest: &str) -> Result<WindSpec, WindError> {
    let (list, seconds) = rest.rsplit_once(':').unwrap_or((rest, ""));
    let count = list.split(',').count();
    if count > STEPS_MAX {
        return Err(WindError::Steps { count });
    }
    let speeds = list.split(',').map(speed).collect::<Result<Vec<_>, _>>()?;
    let seconds = number("seconds of each step", seconds, 0.0, SECONDS_MAX)?;
    let each = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
    if each.is_zero() {
        return Err(WindError::Number {
            what: "seconds of each step",
            text: "0".into(),
            low: 0,
            high: SECONDS_MAX as u32,
        });
    }
    Ok(WindSpec::Steps { speeds, each })
}

fn gust(rest: &str) -> Result<WindSpec, WindError> {
    let (mean, class) = rest.split_once(':').unwrap_or((rest, "A"));
    let class = class.parse().map_err(|()| WindError::Class { text: shown(class) })?;
    Ok(WindSpec::Gust { mean: speed(mean)?, class })
}

fn turbulence(rest: &str) -> Result<WindSpec, WindError> {
    let (mean, intensity) = rest.split_once(':').unwrap_or((rest, ""));
    let percent = number("intensity in percent", intensity, 0.0, INTENSITY_PERCENT_MAX)?;
    Ok(WindSpec::Turbulence { mean: speed(mean)?, intensity: percent / 100.0 })
}

fn speed(text: &str) -> Result<MetersPerSecond, WindError> {
    number("speed in m/s", text, 0.0, WIND_MPS_MAX).map(MetersPerSecond)
}

fn number(what: &'static str, text: &str, low: f64, high: f64) -> Result<f64, WindError> {
    text.trim()
        .parse::<f64>()
        .ok()
        .filter(|number| (low..=high).contains(number))
        .ok_or_else(|| WindError::Number { what, text: shown(text), low: low as u32, high: high as u32 })
}

fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn complaint(text: &str) -> String {
        WindSpec::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn each_form_is_read() {
        assert_eq!(WindSpec::parse("const:8.5"), Ok(WindSpec::Constant(MetersPerSecond(8.5))));
        assert_eq!(
            WindSpec::parse("steps:8,10,12:60"),
            Ok(WindSpec::Steps {
                speeds: [8.0, 10.0, 12.0].map(MetersPerSecond).to_vec(),
                each: Duration::from_secs(60)
            })
        );
        assert_eq!(
            WindSpec::parse("eog:12"),
            Ok(WindSpec::Gust { mean: MetersPerSecond(12.0), class: TurbulenceClass::A })
        );
        assert_eq!(
            WindSpec::parse("turb:12:10"),
            Ok(WindSpec::Turbulence { mean: MetersPerSecond(12.0), intensity: 0.1 })
        );
        assert_eq!(
            WindSpec::parse("winds/monday.CSV"),
            Ok(WindSpec::File { path: "winds/monday.CSV".into() })
        );
    }

    #[test]
    fn complaints_say_what_and_how_to_do_better() {
        assert!(complaint("breeze").starts_with("`breeze` is no wind\n  remedy: give const:V"));
        assert!(complaint("const:").contains("speed in m/s ``"));
        assert!(complaint("const:-1").contains("from 0 to 100"));
        assert!(complaint("const:inf").contains("`inf`"));
        assert!(complaint("steps:8,x:60").contains("`x`"));
        assert!(complaint("steps:8,9").contains("seconds of each step"));
        assert!(complaint("steps:8,9:0").contains("seconds of each step"));
        assert!(complaint("turb:12:99").contains("from 0 to 50"));
        assert!(complaint("eog:12:Q").contains("class `Q`"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(const|steps|eog|turb|.{0,5})(:[-0-9.,eA-C]{0,12}){0,3}") {
            if let Ok(spec) = WindSpec::parse(&text) {
                prop_assert_eq!(WindSpec::parse(&spec.to_string()).map(|again| again.to_string()),
                    Ok(spec.to_string()));
            }
        }
    }
}
