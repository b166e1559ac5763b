//! A distribution of times, as a histogram of fixed size.

use agent_status::Distribution;
use hal_units::Duration;
use hdrhistogram::Histogram;

/// Times up to 60 s.
#[derive(Debug, Clone)]
pub struct Spread(Option<Histogram<u64>>);

impl Spread {
    const MAX_NANOS: u64 = 60_000_000_000;

    /// An empty distribution from 10 ns at three significant figures, about 200 KiB: for a group.
    #[must_use]
    pub fn fine() -> Self {
        Self(Histogram::new_with_bounds(10, Self::MAX_NANOS, 3).ok())
    }

    /// An empty distribution from 1 us at two significant figures, about 20 KiB: for each of many units.
    #[must_use]
    pub fn coarse() -> Self {
        Self(Histogram::new_with_bounds(1000, Self::MAX_NANOS, 2).ok())
    }

    /// Adds a time; one beyond the range counts at its end.
    pub fn record(&mut self, span: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// The figures so far.
    #[must_use]
    pub fn figures(&self) -> Distribution {
        let Some(histogram) = self.0.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Distribution::default();
        };
        let us = |nanos: u64| nanos as f64 / 1e3;
        Distribution {
            p50_us: us(histogram.value_at_quantile(0.5)),
            p99_us: us(histogram.value_at_quantile(0.99)),
            p999_us: us(histogram.value_at_quantile(0.999)),
            max_us: us(histogram.max()),
            samples: histogram.len(),
        }
    }
}
