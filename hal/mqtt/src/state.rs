//! When to publish a unit's state: by change, with a dead band and a minimum interval.
//!
//! A control loop knows its state a hundred times a second; an operator wants to see what changed. The
//! [`StateFilter`] compares with what was **last published**, so that slow drift is not lost in the dead band,
//! and holds a change back until the minimum interval is over, so that the last value always comes.

use hal_units::{Duration, Instant};
use jiff::Timestamp;
use serde::Serialize;
use serde::ser::SerializeMap;

/// The most fields of a state.
pub const STATE_FIELDS_MAX: usize = 64;

/// One field of a state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateField {
    /// Its name in the JSON; say the unit at its end (`power_kw`).
    pub name: &'static str,
    /// A number counts as changed when it differs by more than this; words and flags by any difference.
    pub dead_band: f64,
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum StateValue {
    /// A number in the unit of the field's name; not finite becomes `null` in the JSON.
    Number(f64),
    /// A whole number, such as a code or a count.
    Integer(i64),
    /// A word, such as a mode.
    Word(&'static str),
    /// Yes or no.
    Flag(bool),
}

impl StateValue {
    pub(crate) fn differs_from(self, published: Self, dead_band: f64) -> bool {
        match (self, published) {
            (Self::Number(now), Self::Number(then)) => {
                // A value that is no number differs from each that is one, not from its like.
                now.is_finite() != then.is_finite() || (now - then).abs() > dead_band
            }
            (now, then) => now != then,
        }
    }
}

/// Decides for one unit.
#[derive(Debug, Clone)]
pub struct StateFilter {
    fields: Vec<StateField>,
    interval_min: Duration,
    interval_max: Duration,
    published: Vec<StateValue>,
    published_at: Option<Instant>,
}

impl StateFilter {
    /// A filter for these fields (the first [`STATE_FIELDS_MAX`] of them): publishes a change at most every
    /// `interval_min`, and without any change every `interval_max`, so that a reader can tell quiet from dead.
    #[must_use]
    pub fn new(
        fields: impl IntoIterator<Item = StateField>,
        interval_min: Duration,
        interval_max: Duration,
    ) -> Self {
        let fields: Vec<_> = fields.into_iter().take(STATE_FIELDS_MAX).collect();
        let published = Vec::with_capacity(fields.len());
        Self { fields, interval_min, interval_max, published, published_at: None }
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &[StateField] {
        &self.fields
    }

    /// Whether `values`, in the order of the fields, are to be published now; if so they count as published.
    #[must_use]
    pub fn is_due(&mut self, now: Instant, values: &[StateValue]) -> bool {
        let is_due = match self.published_at {
            None => true,
            Some(at) => {
                let age = now.since(at);
                age >= self.interval_max || (age >= self.interval_min && self.has_changed(values))
            }
        };
        if is_due {
            self.published.clear();
            self.published.extend(values.iter().take(self.fields.len()));
            self.published_at = Some(now);
        }
        is_due
    }

    fn has_changed(&self, values: &[StateValue]) -> bool {
        let pairs = values.iter().zip(&self.published).zip(&self.fields);
        values.len().min(self.fields.len()) != self.published.len()
            || pairs.into_iter().any(|((now, then), field)| now.differs_from(*then, field.dead_band))
    }

    /// The payload: `{"at": RFC 3339, name: value, ...}`.
    #[must_use]
    pub fn payload(&self, at: Timestamp, values: &[StateValue]) -> Vec<u8> {
        struct State<'a>(&'a [StateField], Timestamp, &'a [StateValue]);
        impl Serialize for State<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("at", &self.1.to_string())?;
                for (field, value) in self.0.iter().zip(self.2) {
                    map.serialize_entry(field.name, value)?;
                }
                map.end()
            }
        }
        // Texts and numbers always serialise.
        serde_json::to_vec(&State(&self.fields, at, values)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter() -> StateFilter {
        let fields =
            [StateField { name: "power_kw", dead_band: 10.0 }, StateField { name: "mode", dead_band: 0.0 }];
        StateFilter::new(fields, Duration::from_millis(100), Duration::from_secs(10))
    }

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn state(power_kw: f64, mode: &'static str) -> [StateValue; 2] {
        [StateValue::Number(power_kw), StateValue::Word(mode)]
    }

    /// Feeds states, and gives the times at which they were published.
    fn published(states: &[(u64, [StateValue; 2])]) -> Vec<u64> {
        let mut filter = filter();
        states
            .iter()
            .filter(|(time, values)| filter.is_due(at(*time), values))
            .map(|(time, _)| *time)
            .collect()
    }

    #[test]
    fn the_first_state_and_changes_beyond_the_dead_band_are_published() {
        let run = "run";
        let states = [
            (0, state(100.0, run)),
            (200, state(110.0, run)),
            (400, state(110.1, run)),
            (600, state(110.1, "stop")),
        ];
        assert_eq!(published(&states), [0, 400, 600]);
    }

    #[test]
    fn slow_drift_is_not_lost_in_the_dead_band() {
        let states: Vec<_> = (0..9).map(|step| (step * 200, state(step as f64 * 3.0, "run"))).collect();
        assert_eq!(published(&states), [0, 800, 1600]);
    }

    #[test]
    fn a_change_within_the_minimum_interval_comes_when_it_is_over() {
        let states = [
            (0, state(0.0, "run")),
            (50, state(500.0, "run")),
            (99, state(500.0, "run")),
            (100, state(500.0, "run")),
        ];
        assert_eq!(published(&states), [0, 100]);
    }

    #[test]
    fn a_change_that_went_back_is_not_published() {
        let states = [(0, state(0.0, "run")), (50, state(500.0, "run")), (150, state(0.0, "run"))];
        assert_eq!(published(&states), [0]);
    }

    #[test]
    fn a_quiet_unit_shows_that_it_lives() {
        let states = [(0, state(0.0, "run")), (9_999, state(0.0, "run")), (10_000, state(0.0, "run"))];
        assert_eq!(published(&states), [0, 10_000]);
    }

    #[test]
    fn losing_and_regaining_a_number_are_changes() {
        let states = [
            (0, state(5.0, "run")),
            (200, state(f64::NAN, "run")),
            (400, state(f64::NAN, "run")),
            (600, state(5.0, "run")),
        ];
        assert_eq!(published(&states), [0, 200, 600]);
    }

    #[test]
    fn the_payload_names_time_and_fields() {
        let payload = filter().payload(Timestamp::UNIX_EPOCH, &state(f64::INFINITY, "run"));
        assert_eq!(payload, br#"{"at":"1970-01-01T00:00:00Z","power_kw":null,"mode":"run"}"#);
    }

    proptest! {
        #[test]
        fn two_publications_are_never_closer_than_the_minimum_interval(
            steps in prop::collection::vec((1_u64..60, -50.0..50.0_f64), 1..200),
        ) {
            let mut filter = filter();
            let (mut now, mut last) = (0, None);
            for (step, power_kw) in steps {
                now += step;
                if filter.is_due(at(now), &state(power_kw, "run")) {
                    prop_assert!(last.is_none_or(|last| now - last >= 100));
                    last = Some(now);
                }
            }
        }
    }
}
