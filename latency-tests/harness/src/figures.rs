//! Distributions of times, and what they say beside each other.

use hal_units::Duration;
use hdrhistogram::Histogram;
use serde::Serialize;

/// Times are told apart up to this, in nanoseconds: 100 s.
const HIGHEST_NS: u64 = 100_000_000_000;
/// Significant figures.
const DIGITS: u8 = 3;

/// A distribution of times.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

/// What a distribution says.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Figures {
    /// Median, in microseconds.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// Largest.
    pub max_us: f64,
    /// How many values.
    pub samples: u64,
}

/// The ratios of several rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Times {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Histogram::new_with_max(HIGHEST_NS, DIGITS).unwrap_or_else(|error| {
            // The bounds are constants that fit: see the tests.
            unreachable!("{error}")
        }))
    }

    /// Adds a value; beyond the range it counts as the highest.
    pub fn add(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(HIGHEST_NS));
    }

    /// Adds all of another distribution.
    pub fn add_all(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// A quantile, in microseconds.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }

    /// The mean, in microseconds; 0 without values.
    #[must_use]
    pub fn mean_us(&self) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.mean() / 1e3 }
    }

    /// What it says.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            p50_us: self.quantile_us(0.5),
            p99_us: self.quantile_us(0.99),
            p999_us: self.quantile_us(0.999),
            max_us: self.0.max() as f64 / 1e3,
            samples: self.0.len(),
        }
    }

    /// Counts in bins that are each by a tenth wider than the one before, from the least to the greatest value:
    /// upper edge in microseconds, and count.
    #[must_use]
    pub fn bins(&self) -> Vec<(f64, u64)> {
        let first = self.0.min().max(100);
        self.0
            .iter_log(first, 1.1)
            .map(|step| (step.value_iterated_to() as f64 / 1e3, step.count_since_last_iteration()))
            .collect()
    }
}

impl Ratio {
    /// Of the ratios of all rounds; none without one.
    #[must_use]
    pub fn of(mut ratios: Vec<f64>) -> Option<Self> {
        ratios.retain(|ratio| ratio.is_finite());
        ratios.sort_by(f64::total_cmp);
        let (min, max) = (*ratios.first()?, *ratios.last()?);
        let upper = *ratios.get(ratios.len() / 2)?;
        let lower = *ratios.get((ratios.len() - 1) / 2)?;
        Some(Self { median: (lower + upper) / 2.0, min, max })
    }
}

/// A straight line through measurements, by least squares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Line {
    /// Where it begins.
    pub offset: f64,
    /// How it rises.
    pub slope: f64,
    /// The greatest distance of a measurement from it, in shares of the greatest measurement.
    pub residual_max: f64,
}

impl Line {
    /// Through at least two different places.
    #[must_use]
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        if points.len() < 2 || spread <= 0.0 {
            return None;
        }
        let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
        let offset = y - slope * x;
        let residual = |point: &(f64, f64)| (point.1 - offset - slope * point.0).abs();
        let greatest = points.iter().map(|point| point.1.abs()).fold(f64::MIN_POSITIVE, f64::max);
        let residual_max = points.iter().map(residual).fold(0.0, f64::max) / greatest;
        Some(Self { offset, slope, residual_max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(micros: impl IntoIterator<Item = u64>) -> Times {
        let mut times = Times::new();
        micros.into_iter().for_each(|micros| times.add(Duration::from_micros(micros)));
        times
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let figures = times(1..=1000).figures();
        assert!((figures.p50_us - 500.0).abs() < 2.0 && (figures.p99_us - 990.0).abs() < 2.0);
        assert_eq!(figures.samples, 1000);
    }

    #[test]
    fn the_ratio_of_an_even_number_of_rounds_lies_between_the_middle_ones() {
        let ratio = Ratio::of(vec![1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!(ratio, Ratio { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Ratio::of(vec![f64::NAN]), None);
    }

    #[test]
    fn a_line_is_found_again() {
        let points: Vec<_> = (1..20).map(|x| (f64::from(x), 3.0 + 0.5 * f64::from(x))).collect();
        let line = Line::through(&points).unwrap();
        assert!(
            (line.offset - 3.0).abs() < 1e-9 && (line.slope - 0.5).abs() < 1e-9 && line.residual_max < 1e-9
        );
        assert_eq!(Line::through(&[(1.0, 2.0), (1.0, 3.0)]), None);
    }

    proptest! {
        #[test]
        fn bins_hold_every_value_once(micros in proptest::collection::vec(1_u64..1_000_000, 1..200)) {
            let count = micros.len() as u64;
            prop_assert_eq!(times(micros).bins().iter().map(|(_, count)| count).sum::<u64>(), count);
        }
    }
}
