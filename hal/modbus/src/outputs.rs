//! What is to be written to a device, and when: commanded outputs, or the safe action.
//!
//! # Model
//!
//! A device *starts afresh* when its connection, or on a serial line the trust in it, is new. Then it is
//! not *armed*: commanded outputs wait until it has taken the safe value. The safe action runs from the
//! moment the device was lost, or from the moment its outputs were missing for the declared time, and
//! starts at the outputs it last acknowledged. It ends when a commanded write is acknowledged.
//!
//! Who reads only ([`OutputState::observe`]) has nothing to write and nothing to make safe. Who takes
//! over ([`OutputState::take_over`]), or starts at a device whose profile says so, begins armed: commanded
//! outputs go on from where the device is, and the safe action comes only if they fail to come.
//!
//! No I/O and no clock: the device asks, writes, and reports what came of it.

use std::sync::Arc;

use hal_field_bus::{DeviceProfile, Start};
use hal_process_image::{DeviceOutputs, TagIndex};
use hal_units::{Duration, Instant};

/// What the device holds in its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Not known whole.
    Unknown,
    /// A safe value; `end`: that at the end of the safe action.
    Safe { end: bool },
    /// The commanded outputs with this sequence.
    Commanded { sequence: u32 },
}

/// What the newest outputs ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Nothing: none came, the device holds them already, or it must take the safe value first.
    Nothing,
    /// They expired before they could leave.
    Expired { sequence: u32 },
    /// To be written now.
    Write,
}

#[derive(Debug)]
pub(crate) struct OutputState {
    profile: Arc<DeviceProfile>,
    missing_after: Duration,
    safe_interval: Duration,
    /// Last acknowledged commanded outputs; the initial ones before the first.
    acknowledged: DeviceOutputs,
    holds: Holds,
    /// The device took a safe value since it started afresh.
    armed: bool,
    safe_since: Option<Instant>,
    next_safe_at: Instant,
    /// Outputs were current until then; the line's start before the first.
    current_until: Instant,
    /// Another node may be writing: nothing is written here.
    observing: bool,
}

impl OutputState {
    pub(crate) fn new(
        profile: Arc<DeviceProfile>,
        missing_after: Duration,
        safe_interval: Duration,
        now: Instant,
    ) -> Self {
        let go_on = profile.start == Start::ReadBack;
        Self {
            acknowledged: profile.initial_outputs(),
            profile,
            missing_after,
            safe_interval,
            holds: Holds::Unknown,
            armed: go_on,
            safe_since: (!go_on).then_some(now),
            next_safe_at: now,
            current_until: now,
            observing: false,
        }
    }

    /// Nothing is written from now on.
    pub(crate) fn observe(&mut self) {
        self.observing = true;
    }

    /// Takes over from another writer, whose outputs go on in `newest`.
    pub(crate) fn take_over(&mut self, newest: &DeviceOutputs, now: Instant) {
        self.observing = false;
        self.armed = true;
        self.holds = Holds::Unknown;
        self.safe_since = None;
        self.next_safe_at = now;
        self.current_until = now;
        if newest.sequence != 0 {
            // The predecessor's: nothing of it was acknowledged here.
            self.acknowledged = *newest;
            self.acknowledged.sequence = 0;
        }
    }

    /// Somebody at the device has it in hand: what it holds is theirs, and commanded outputs go on from there once it
    /// is given back.
    pub(crate) fn in_hand(&mut self, now: Instant) {
        if self.observing {
            return;
        }
        self.armed = true;
        self.holds = Holds::Unknown;
        self.safe_since = None;
        self.next_safe_at = now;
        self.current_until = now;
    }

    /// Whether the device must take the safe value before anything else.
    pub(crate) fn begins_safe(&self) -> bool {
        !self.observing && !self.armed && !self.profile.writes.is_empty()
    }

    /// [`DeviceOutputs::sequence`] of the last acknowledged outputs.
    pub(crate) fn acknowledged_sequence(&self) -> u32 {
        self.acknowledged.sequence
    }

    /// The connection, or the trust in the device, is new from `now` on.
    pub(crate) fn start_afresh(&mut self, now: Instant) {
        self.holds = Holds::Unknown;
        if self.observing {
            return;
        }
        self.armed = false;
        self.lead_to_safe(now);
    }

    /// Begins the safe action, unless it runs already.
    pub(crate) fn lead_to_safe(&mut self, now: Instant) {
        if self.observing {
            return;
        }
        self.safe_since.get_or_insert(now);
        self.next_safe_at = now;
    }

    /// Whether nothing is left to be done for safety.
    pub(crate) fn is_safe(&self) -> bool {
        self.observing
            || self.profile.writes.is_empty()
            || (self.armed && self.holds == Holds::Safe { end: true })
    }

    /// When the next safe write is due; `None` while there is nothing to make safe. `newest` outputs; none
    /// if no more are to be heeded.
    pub(crate) fn safe_write_at(&mut self, newest: Option<&DeviceOutputs>) -> Option<Instant> {
        if self.is_safe() {
            return None;
        }
        let Some(newest) = newest else { return Some(self.next_safe_at) };
        if newest.sequence != 0 {
            self.current_until = self.current_until.max(newest.expires_at);
        }
        let missing_at = self.current_until + self.missing_after;
        Some(if self.armed { missing_at.max(self.next_safe_at) } else { self.next_safe_at })
    }

    /// The safe outputs of this moment, which are about to leave.
    pub(crate) fn safe_outputs(&mut self, now: Instant) -> DeviceOutputs {
        let since = *self.safe_since.get_or_insert(now);
        self.next_safe_at = now + self.safe_interval;
        self.profile.safe_outputs(&self.acknowledged, now.since(since))
    }

    /// The device acknowledged safe outputs.
    pub(crate) fn safe_acknowledged(&mut self, safe: &DeviceOutputs) {
        let last = self.profile.safe_outputs(&self.acknowledged, Duration::MAX);
        let end = (0..self.profile.outputs.len())
            .filter_map(|at| u16::try_from(at).ok().map(TagIndex))
            .all(|tag| safe.value(tag) == last.value(tag));
        self.armed = true;
        self.holds = Holds::Safe { end };
    }

    /// What is to be done with the newest outputs.
    pub(crate) fn command(&self, newest: &DeviceOutputs, now: Instant) -> Command {
        let sequence = newest.sequence;
        let old = sequence == 0 || self.holds == Holds::Commanded { sequence };
        if old || self.observing || self.profile.writes.is_empty() {
            Command::Nothing
        } else if !newest.is_current(now) {
            Command::Expired { sequence }
        } else if self.armed {
            Command::Write
        } else {
            Command::Nothing
        }
    }

    /// Commanded outputs are about to leave: until they are acknowledged nobody knows what the device
    /// holds.
    pub(crate) fn command_leaves(&mut self) {
        self.holds = Holds::Unknown;
    }

    /// The device acknowledged commanded outputs.
    pub(crate) fn command_acknowledged(&mut self, outputs: &DeviceOutputs) {
        self.acknowledged = *outputs;
        self.holds = Holds::Commanded { sequence: outputs.sequence };
        self.current_until = outputs.expires_at;
        self.safe_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_diagnostics::Document;

    const TORQUE: TagIndex = TagIndex(0);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// A torque that goes to zero at 1000 per second when nobody commands it.
    fn ramping() -> OutputState {
        let text = "name = \"drive\"\nresponse_timeout_ms = 30\n[[output]]\ntag = \"torque\"\nregister = 0\n\
                    type = \"u16\"\nmin = 0.0\nmax = 1000.0\nsafe = { ramp = { to = 0.0, per_second = 1000.0 } }\n";
        let profile = DeviceProfile::parse(&Document::new("drive.toml", text)).unwrap();
        OutputState::new(Arc::new(profile), Duration::from_millis(200), Duration::from_millis(50), at(0))
    }

    fn commanded(sequence: u32, expires_at: Instant) -> DeviceOutputs {
        let mut outputs = DeviceOutputs::NEVER;
        outputs.sequence = sequence;
        outputs.expires_at = expires_at;
        outputs.set(TORQUE, 500.0);
        outputs
    }

    /// One that was made safe, then took a command at 100 ms that is valid until 120 ms.
    fn commanded_at_100() -> OutputState {
        let mut state = ramping();
        let safe = state.safe_outputs(at(0));
        state.safe_acknowledged(&safe);
        let outputs = commanded(1, at(120));
        assert_eq!(state.command(&outputs, at(100)), Command::Write);
        state.command_leaves();
        state.command_acknowledged(&outputs);
        state
    }

    #[test]
    fn a_command_waits_until_the_device_has_taken_the_safe_value() {
        let mut state = ramping();
        let outputs = commanded(1, at(50));
        assert_eq!(state.command(&outputs, at(1)), Command::Nothing);
        let safe = state.safe_outputs(at(1));
        state.safe_acknowledged(&safe);
        assert_eq!(state.command(&outputs, at(2)), Command::Write);
        assert_eq!(state.command(&outputs, at(50)), Command::Expired { sequence: 1 });
    }

    #[test]
    fn outputs_are_written_once() {
        let state = commanded_at_100();
        assert_eq!(state.command(&commanded(1, at(120)), at(101)), Command::Nothing);
    }

    #[test]
    fn the_safe_action_begins_when_outputs_were_missing_for_their_time() {
        let mut state = commanded_at_100();
        let newest = commanded(1, at(120));
        assert_eq!(state.safe_write_at(Some(&newest)), Some(at(320)));
        assert_eq!(state.safe_outputs(at(320)).value(TORQUE), Some(500.0));
        assert_eq!(state.safe_outputs(at(420)).value(TORQUE), Some(400.0));
    }

    #[test]
    fn the_safe_action_of_a_lost_device_runs_on_while_it_is_away() {
        let mut state = commanded_at_100();
        state.start_afresh(at(110));
        assert_eq!(state.safe_outputs(at(310)).value(TORQUE), Some(300.0));
    }

    #[test]
    fn a_device_is_safe_once_it_has_acknowledged_the_end() {
        let mut state = commanded_at_100();
        state.lead_to_safe(at(110));
        for (now, safe) in [(at(400), false), (at(610), true)] {
            let outputs = state.safe_outputs(now);
            state.safe_acknowledged(&outputs);
            assert_eq!(state.is_safe(), safe);
        }
        assert_eq!(state.safe_write_at(None), None);
    }

    #[test]
    fn after_a_command_that_was_not_acknowledged_the_device_counts_as_unsafe() {
        let mut state = ramping();
        let safe = state.safe_outputs(at(0));
        state.safe_acknowledged(&safe);
        assert!(state.is_safe());
        state.command_leaves();
        assert!(!state.is_safe());
        assert!(state.safe_write_at(None).is_some());
    }
}
