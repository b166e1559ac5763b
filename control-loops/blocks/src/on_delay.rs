//! An input that has to persist.

use hal_units::Duration;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// On when its input has been on without a break for a delay; off at once with the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
pub struct OnDelay {
    on_for: Duration,
    on: bool,
}

impl OnDelay {
    /// Off, with the delay yet to pass.
    pub const OFF: Self = Self { on_for: Duration::ZERO, on: false };

    /// Whether the input has persisted.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// Takes the input that held during the last `dt`. A delay of zero lets the input through.
    pub fn step(&mut self, input: bool, delay: Duration, dt: Duration) -> bool {
        self.on_for = if input { self.on_for.saturating_add(dt) } else { Duration::ZERO };
        self.on = input && self.on_for >= delay;
        self.on
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_millis(10);

    proptest! {
        #[test]
        fn it_is_on_when_the_last_inputs_were_on_for_the_delay(
            history in proptest::collection::vec(any::<bool>(), 1..60), delay_ticks in 0_u32..5,
        ) {
            let mut delay = OnDelay::OFF;
            for now in 0..history.len() {
                let needed = (delay_ticks as usize).max(1);
                let persisted = now + 1 >= needed && history[now + 1 - needed..=now].iter().all(|on| *on);
                prop_assert_eq!(delay.step(history[now], TICK * delay_ticks, TICK), persisted, "at {}", now);
                prop_assert_eq!(delay.is_on(), persisted);
            }
        }
    }
}
