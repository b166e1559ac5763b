//! A two-point switch.

use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Switches on at or above one threshold and off below a lower one; between them it stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
pub struct Hysteresis {
    on: bool,
}

impl Hysteresis {
    /// A switch in a position.
    #[must_use]
    pub const fn new(on: bool) -> Self {
        Self { on }
    }

    /// The switch's position.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// Takes one input and returns the position. With `off_below > on_from` the band is empty and
    /// `on_from` decides; an input that is not a number changes nothing.
    pub fn step(&mut self, input: f64, on_from: f64, off_below: f64) -> bool {
        if input >= on_from {
            self.on = true;
        } else if input < off_below.min(on_from) {
            self.on = false;
        }
        self.on
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn inside_the_band_the_position_stays() {
        let mut wind = Hysteresis::new(false);
        assert!(!wind.step(2.9, 3.0, 2.5));
        assert!(wind.step(3.0, 3.0, 2.5));
        assert!(wind.step(2.5, 3.0, 2.5));
        assert!(!wind.step(2.4, 3.0, 2.5));
        assert!(!wind.step(f64::NAN, 3.0, 2.5));
    }

    proptest! {
           #[test]
           fn the_position_changes_only_outside_the_band(
               inputs in proptest::collection::vec(-10.0..10.0_f64, 1..100), on_from in -5.0..5.0, width in 0.0..5.0,
           ) {
               let off_below = on_from - width;
               let mut switch = Hysteresis::default();
               for input in inputs {
                   let before = switch.is_on();
                   let after = switch.step(input, on_from, off_below);
                   if after != before {
                       let justified = if after { input >= on_from } else { input < off_below };
    prop_assert!(justified);
                   } else {
                       let justified = if after { input >= off_below } else { input < on_from };
    prop_assert!(justified);
                   }
               }
           }
       }
}
