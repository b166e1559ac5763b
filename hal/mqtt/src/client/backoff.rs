//! How long to wait before the next attempt to connect.

use hal_units::Duration;

/// Doubles with each failure up to a limit, and takes a random part between half and the whole of it, so that
/// the clients of a broker that comes back do not come all at once.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    random: u64,
}

impl Backoff {
    pub(crate) const fn new(min: Duration, max: Duration, seed: u64) -> Self {
        // The generator must not start at zero.
        Self { min, max, failures: 0, random: seed | 1 }
    }

    pub(crate) fn after_failure(&mut self) -> Duration {
        let doubled = self.min.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        // Marsaglia, Xorshift RNGs (2003), the triple 13, 7, 17.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let half = doubled.min(self.max) / 2;
        half + half.mul_f64((self.random >> 11) as f64 / (1_u64 << 53) as f64)
    }

    pub(crate) fn after_success(&mut self) {
        self.failures = 0;
    }

    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_with_a_random_part() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(2));
        for seed in 0..50 {
            let mut backoff = Backoff::new(min, max, seed);
            for whole_ms in [100, 200, 400, 800, 1600, 2000, 2000] {
                let pause_ms = backoff.after_failure().as_millis();
                assert!((whole_ms / 2..=whole_ms).contains(&pause_ms), "{pause_ms} of {whole_ms}");
            }
            backoff.after_success();
            assert!(backoff.after_failure() <= min);
        }
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60), 9);
        let longest = (0..100).map(|_| backoff.after_failure()).max();
        assert!(longest <= Some(Duration::from_secs(60)));
    }
}
