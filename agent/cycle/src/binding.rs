//! Which tags of a device profile play which role for a turbine controller.

use core::fmt;

use control_loops_controllers::turbine::{TurbineInputs, TurbineOutputs};
use hal_field_bus::DeviceProfile;
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality, Sample, TagIndex};
use hal_units::{Duration, Instant};

/// An input role: the tag that plays it and its maximum age.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Role {
    tag: TagIndex,
    age_max: Duration,
}

impl Role {
    fn sample(self, image: &DeviceInputs, now: Instant) -> Sample {
        image.sample(self.tag).aged(now, self.age_max)
    }
}

/// A role that no tag plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindError {
    /// The device profile's name.
    pub profile: String,
    /// `input` or `output`.
    pub direction: &'static str,
    /// The name that a tag must have.
    pub role: &'static str,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the profile `{}` has no {} `{}`, which a turbine needs",
            self.profile, self.direction, self.role
        )
    }
}

impl std::error::Error for BindError {}

/// The tags of one turbine.
#[derive(Debug, Clone, PartialEq)]
pub struct TurbineBinding {
    generator_speed: Role,
    rotor_speed: Role,
    pitch: [Role; 3],
    generator_torque: Role,
    power: Role,
    wind_speed: Role,
    tower_acceleration: Role,
    grid_ok: Role,
    /// A device that does not say is taken as normal and aligned.
    yaw_error: Option<Role>,
    plc_state: Option<Role>,
    generator_torque_cmd: TagIndex,
    pitch_cmd: TagIndex,
    yaw_rate_cmd: Option<TagIndex>,
    brake_cmd: TagIndex,
    generator_connect: TagIndex,
    watchdog: Option<TagIndex>,
    watchdog_modulus: u64,
    epoch: Option<TagIndex>,
}

impl TurbineBinding {
    /// Finds the tags by their names. A profile has either `pitch` or `pitch_1` to `pitch_3`.
    ///
    /// # Errors
    /// For the first role that no tag plays.
    pub fn of(profile: &DeviceProfile) -> Result<Self, BindError> {
        let missing = |direction, role| BindError { profile: profile.name.clone(), direction, role };
        let optional = |name: &str| {
            let tag = profile.input(name)?;
            Some(Role { tag, age_max: profile.inputs.get(usize::from(tag.0))?.age_max })
        };
        let input = |role: &'static str| optional(role).ok_or_else(|| missing("input", role));
        let output = |role: &'static str| profile.output(role).ok_or_else(|| missing("output", role));
        let pitch = match optional("pitch") {
            Some(collective) => [collective; 3],
            None => [input("pitch_1")?, input("pitch_2")?, input("pitch_3")?],
        };
        let watchdog_range = profile
            .watchdog
            .and_then(|tag| profile.outputs.get(usize::from(tag.0)))
            .map_or(0.0, |tag| tag.limits.1);
        Ok(Self {
            generator_speed: input("generator_speed")?,
            rotor_speed: input("rotor_speed")?,
            pitch,
            generator_torque: input("generator_torque")?,
            power: input("power")?,
            wind_speed: input("wind_speed")?,
            tower_acceleration: input("tower_acceleration")?,
            grid_ok: input("grid_ok")?,
            yaw_error: optional("yaw_error"),
            plc_state: optional("plc_state"),
            generator_torque_cmd: output("generator_torque_cmd")?,
            pitch_cmd: output("pitch_cmd")?,
            yaw_rate_cmd: profile.output("yaw_rate_cmd"),
            brake_cmd: output("brake_cmd")?,
            generator_connect: output("generator_connect")?,
            watchdog: profile.watchdog,
            watchdog_modulus: watchdog_range as u64 + 1,
            epoch: profile.epoch,
        })
    }

    /// The controller's inputs, aged at `now`.
    pub(crate) fn inputs(
        &self,
        image: &DeviceInputs,
        now: Instant,
        outputs_unacknowledged_for: Duration,
    ) -> TurbineInputs {
        let neutral = Sample { value: 0.0, quality: Quality::Substituted, ..Sample::NEVER };
        let of = |role: Role| role.sample(image, now);
        let or_neutral = |role: Option<Role>| role.map_or(neutral, of);
        TurbineInputs {
            generator_speed: of(self.generator_speed),
            rotor_speed: of(self.rotor_speed),
            pitch: mean(self.pitch.map(of)),
            generator_torque: of(self.generator_torque),
            power: of(self.power),
            wind_speed: of(self.wind_speed),
            yaw_error: or_neutral(self.yaw_error),
            tower_acceleration: of(self.tower_acceleration),
            grid_ok: of(self.grid_ok),
            plc_state: or_neutral(self.plc_state),
            outputs_unacknowledged_for,
        }
    }

    /// Puts the controller's outputs, the watchdog's next count and the epoch into the image.
    pub(crate) fn outputs(&self, step: &TurbineOutputs, epoch: u32, image: &mut DeviceOutputs) {
        let switch = |on: bool| if on { 1.0 } else { 0.0 };
        image.set(self.generator_torque_cmd, step.generator_torque.get());
        image.set(self.pitch_cmd, step.pitch.get());
        image.set(self.brake_cmd, switch(step.brake));
        image.set(self.generator_connect, switch(step.generator_connected));
        if let Some(tag) = self.yaw_rate_cmd {
            image.set(tag, step.yaw_rate.get());
        }
        if let Some(tag) = self.watchdog {
            image.set(tag, (u64::from(image.sequence) % self.watchdog_modulus) as f64);
        }
        if let Some(tag) = self.epoch {
            image.set(tag, f64::from(epoch));
        }
    }
}

/// The mean of three blades; as trustworthy as the worst of them.
fn mean(blades: [Sample; 3]) -> Sample {
    let [first, second, third] = blades;
    Sample {
        value: (first.value + second.value + third.value) / 3.0,
        quality: first.quality.worst(second.quality).worst(third.quality),
        ..first
    }
}
