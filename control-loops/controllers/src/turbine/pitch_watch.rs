//! Whether each blade goes where it is told.
//!
//! # Model
//!
//! A healthy drive is late: by its own lag, by the bus, by writes that were lost. So a blade is not held
//! against the last command but against a band: it spans the commands that a drive at the follow rate,
//! well below its fastest, may still be on its way from. While the commands stand still the band shrinks
//! to the command itself. A blade beyond the band by more than the tolerance is stuck, loose or measured
//! wrongly; which of them nobody can tell from here.
//!
//! While somebody else moves the blades the band is widened to where they are: afterwards they have the time that
//! a drive at the follow rate needs to come back.

use hal_units::{Duration, Radians};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::SafetyParameters;

/// The band that the commands leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub(super) struct PitchWatch {
    band: Option<Band>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
struct Band {
    lowest: Radians,
    highest: Radians,
}

impl PitchWatch {
    /// Takes the last command, `dt` after the one before it.
    pub(super) fn follow(&mut self, command: Radians, p: &SafetyParameters, dt: Duration) {
        let band = self.band.unwrap_or(Band { lowest: command, highest: command });
        let way = Radians(p.pitch_follow_rate.get() * dt.as_secs_f64());
        self.band = Some(Band {
            lowest: (band.lowest + way).min(command),
            highest: (band.highest - way).max(command),
        });
    }

    /// Takes in that somebody else has moved a blade there.
    pub(super) fn allow(&mut self, blade: Radians) {
        if let Some(band) = &mut self.band {
            (band.lowest, band.highest) = (band.lowest.min(blade), band.highest.max(blade));
        }
    }

    /// Whether a blade is where no drive that follows can be.
    pub(super) fn is_astray(&self, blade: Radians, p: &SafetyParameters) -> bool {
        self.band.is_some_and(|band| {
            blade < band.lowest - p.pitch_deviation || blade > band.highest + p.pitch_deviation
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const P: SafetyParameters = SafetyParameters::NREL_5MW;
    const DT: Duration = Duration::from_millis(10);

    fn deg(degrees: f64) -> Radians {
        Radians::from_degrees(degrees)
    }

    fn after(commands: impl IntoIterator<Item = Radians>) -> PitchWatch {
        let mut watch = PitchWatch::default();
        for command in commands {
            watch.follow(command, &P, DT);
        }
        watch
    }

    #[test]
    fn under_a_standing_command_the_tolerance_alone_counts() {
        let watch = after([deg(10.0); 5]);
        assert!(!watch.is_astray(deg(12.9), &P) && !watch.is_astray(deg(7.1), &P));
        assert!(watch.is_astray(deg(13.1), &P) && watch.is_astray(deg(6.9), &P));
    }

    #[test]
    fn a_blade_that_has_yet_to_set_out_is_not_astray_but_one_that_never_does_is() {
        let ramp = (0..400).map(|tick| deg(f64::from(tick) * 0.08));
        let early = after(ramp.clone().take(50));
        assert!(!early.is_astray(Radians::ZERO, &P));
        assert!(after(ramp).is_astray(Radians::ZERO, &P));
    }

    proptest! {
        #[test]
        fn a_drive_that_follows_at_full_rate_half_a_second_late_is_never_astray(
            targets in prop::collection::vec(0.0..90.0_f64, 1..20),
        ) {
            const LATE: usize = 50;
            let rate = deg(8.0) * DT.as_secs_f64();
            let mut watch = PitchWatch::default();
            let (mut command, mut blade) = (Radians::ZERO, Radians::ZERO);
            let mut on_the_way = [Radians::ZERO; LATE];
            for target in targets {
                for tick in 0..200 {
                    command = command + (deg(target) - command).limit(-rate, rate);
                    let heard = core::mem::replace(&mut on_the_way[tick % LATE], command);
                    blade = blade + (heard - blade).limit(-rate, rate);
                    watch.follow(command, &P, DT);
                    prop_assert!(!watch.is_astray(blade, &P), "{command:?} {blade:?}");
                }
            }
        }
    }
}
