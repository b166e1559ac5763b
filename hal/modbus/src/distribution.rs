//! A distribution of durations that one thread fills while others read, without a lock.
//!
//! # Model
//!
//! Durations fall into buckets: below 32 ns each nanosecond has its own; above, each octave is divided
//! into 32 equal parts. A quantile is therefore exact to 1/32 of its value.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hal_units::Duration;

/// Parts of an octave, a power of two.
const PARTS: u64 = 32;
const PARTS_LOG2: u32 = PARTS.ilog2();
/// Longer durations are counted as this one, 2^37 ns = 137 s.
const NANOS_MAX: u64 = (1 << 37) - 1;
const BUCKETS: usize = bucket_of(NANOS_MAX) + 1;

const fn bucket_of(nanos: u64) -> usize {
    if nanos < PARTS {
        return nanos as usize;
    }
    let octave = nanos.ilog2() - PARTS_LOG2;
    (octave as u64 * PARTS + (nanos >> octave)) as usize
}

/// The largest duration that falls into a bucket, in nanoseconds.
const fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PARTS {
        return bucket;
    }
    let octave = bucket / PARTS - 1;
    ((bucket - octave * PARTS + 1) << octave) - 1
}

/// Durations as they were recorded since the start. All updates are single atomic additions.
pub struct Distribution {
    buckets: Box<[AtomicU64]>,
    nanos_max: AtomicU64,
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.snapshot(), f)
    }
}

impl Default for Distribution {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), nanos_max: AtomicU64::new(0) }
    }
}

impl Distribution {
    /// Counts one duration. Wait-free; allocates nothing.
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket_of(nanos.min(NANOS_MAX))) {
            bucket.fetch_add(1, Relaxed);
        }
        self.nanos_max.fetch_max(nanos, Relaxed);
    }

    /// What was recorded so far. Allocates: not for a real-time thread.
    #[must_use]
    pub fn snapshot(&self) -> DistributionSnapshot {
        DistributionSnapshot {
            buckets: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(),
            nanos_max: self.nanos_max.load(Relaxed),
        }
    }
}

/// A distribution at one moment.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DistributionSnapshot {
    buckets: Vec<u64>,
    nanos_max: u64,
}

impl fmt::Debug for DistributionSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, slow) = (self.quantile(0.5), self.quantile(0.99));
        write!(f, "{} durations, p50 {median:?}, p99 {slow:?}, max {:?}", self.count(), self.max())
    }
}

impl DistributionSnapshot {
    /// Durations recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The longest; exact, zero if none was recorded.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.nanos_max)
    }

    /// The smallest duration that a `share` (0 to 1) of all do not exceed, to 1/32 of its value; zero
    /// if none was recorded.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (share.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper_end(bucket).min(self.nanos_max));
            }
        }
        Duration::ZERO
    }

    /// What was recorded after `earlier` was taken of the same distribution. The maximum stays that
    /// of the whole time.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.buckets.iter().chain(std::iter::repeat(&0));
        let buckets = self.buckets.iter().zip(before).map(|(now, before)| now.saturating_sub(*before));
        Self { buckets: buckets.collect(), nanos_max: self.nanos_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_distribution_has_zero_quantiles() {
        assert_eq!(Distribution::default().snapshot().quantile(0.99), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_quantile_is_the_sorted_value_within_one_part_in_thirty_two(
            mut nanos in proptest::collection::vec(0_u64..=NANOS_MAX, 1..200),
            share in 0.0..=1.0_f64,
        ) {
            let distribution = Distribution::default();
            nanos.iter().for_each(|nanos| distribution.record(Duration::from_nanos(*nanos)));
            nanos.sort_unstable();
            let rank = ((share * nanos.len() as f64).ceil() as usize).clamp(1, nanos.len());
            let exact = nanos[rank - 1];
            let found = distribution.snapshot().quantile(share).as_nanos() as u64;
            prop_assert!(found >= exact && found - exact <= exact / PARTS, "{found} for {exact}");
        }

        #[test]
        fn every_bucket_ends_where_the_next_begins(bucket in 0..BUCKETS - 1) {
            prop_assert_eq!(bucket_of(upper_end(bucket)), bucket);
            prop_assert_eq!(bucket_of(upper_end(bucket) + 1), bucket + 1);
        }
    }
}
