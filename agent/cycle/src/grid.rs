//! The fixed grid of points in time at which cycles are due.

use hal_units::{Duration, Instant};

/// When a cycle was due and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Number of the grid point, from 0.
    pub cycle: u64,
    /// The grid point.
    pub scheduled_at: Instant,
    /// When the thread was running again.
    pub woke_at: Instant,
    /// Grid points that passed without a cycle since the last one.
    pub skipped: u32,
}

/// Grid points `origin + k * period`. A point that has passed is skipped and counted, never made up.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    origin: Instant,
    period_nanos: u64,
    next: u64,
}

impl Grid {
    /// A grid whose first point is `origin`. A period of zero counts as one nanosecond.
    #[must_use]
    pub fn new(origin: Instant, period: Duration) -> Self {
        let period_nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { origin, period_nanos, next: 0 }
    }

    /// The grid point with this number.
    #[must_use]
    pub fn point(&self, cycle: u64) -> Instant {
        self.origin + Duration::from_nanos(cycle.saturating_mul(self.period_nanos))
    }

    /// The number and time of the next point after `now`, and how many were skipped to get there.
    pub fn advance(&mut self, now: Instant) -> (u64, Instant, u32) {
        let mut skipped = 0;
        if self.point(self.next) < now && self.next > 0 {
            let passed = now.since(self.origin).as_nanos() / u128::from(self.period_nanos);
            let first_ahead = u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(1);
            skipped = u32::try_from(first_ahead.saturating_sub(self.next)).unwrap_or(u32::MAX);
            self.next = first_ahead;
        }
        let cycle = self.next;
        self.next = cycle.saturating_add(1);
        (cycle, self.point(cycle), skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD: Duration = Duration::from_millis(10);

    fn at_ms(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn points_follow_the_origin_not_the_wake_up() {
        let mut grid = Grid::new(at_ms(100), PERIOD);
        assert_eq!(grid.advance(at_ms(50)), (0, at_ms(100), 0));
        assert_eq!(grid.advance(at_ms(103)), (1, at_ms(110), 0));
    }

    #[test]
    fn points_that_passed_are_skipped_and_counted() {
        let mut grid = Grid::new(at_ms(100), PERIOD);
        grid.advance(at_ms(50));
        assert_eq!(grid.advance(at_ms(135)), (4, at_ms(140), 3));
    }

    proptest! {
        #[test]
        fn every_point_is_taken_or_counted(delays in proptest::collection::vec(0_u64..50, 1..100)) {
            let mut grid = Grid::new(at_ms(0), PERIOD);
            let (mut now, mut taken, mut skipped, mut last) = (at_ms(0), 0, 0, 0);
            for delay in delays {
                let (cycle, point, missed) = grid.advance(now);
                taken += 1;
                skipped += u64::from(missed);
                last = cycle;
                now = now.max(point) + Duration::from_millis(delay);
            }
            prop_assert_eq!(taken + skipped, last + 1);
        }
    }
}
