//! Which tags of a device profile play which role for a turbine controller.

use control_loops_controllers::turbine::{BladeLoads, TurbineInputs, TurbineOutputs};
use hal_field_bus::DeviceProfile;
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality, Sample, TagIndex};
use hal_units::{Duration, Instant, Radians};

use crate::role::{BindError, Life, Role, Roles};

/// The tags of one turbine.
#[derive(Debug, Clone, PartialEq)]
pub struct TurbineBinding {
    generator_speed: Role,
    rotor_speed: Role,
    blades: [Role; 3],
    generator_torque: Role,
    power: Role,
    wind_speed: Role,
    tower_acceleration: Role,
    grid_ok: Role,
    /// A device that does not say is taken as normal and aligned.
    yaw_error: Option<Role>,
    plc_state: Option<Role>,
    /// Without, the device looks after its cables itself.
    cable_twist: Option<Role>,
    blades_apart: Option<BladesApart>,
    /// For people alone.
    nacelle_yaw: Option<Role>,
    brake_applied: Option<Role>,
    generator_torque_cmd: TagIndex,
    pitch_cmd: TagIndex,
    yaw_rate_cmd: Option<TagIndex>,
    brake_cmd: TagIndex,
    generator_connect: TagIndex,
    life: Life,
}

/// The tags of a device whose blades are led one by one.
#[derive(Debug, Clone, PartialEq)]
struct BladesApart {
    azimuth: Role,
    root_moments: [Role; 3],
    /// Says that the blades' own commands hold; a device that has no common one needs no word for it.
    switch: Option<TagIndex>,
    pitch_cmds: [TagIndex; 3],
}

impl BladesApart {
    fn of(roles: &Roles<'_>) -> Result<Self, BindError> {
        Ok(Self {
            azimuth: roles.input("azimuth")?,
            root_moments: [
                roles.input("root_moment_1")?,
                roles.input("root_moment_2")?,
                roles.input("root_moment_3")?,
            ],
            switch: roles.profile.output("pitch_individual"),
            pitch_cmds: [
                roles.output("pitch_1_cmd")?,
                roles.output("pitch_2_cmd")?,
                roles.output("pitch_3_cmd")?,
            ],
        })
    }
}

impl TurbineBinding {
    /// Finds the tags by their names. A profile has either `pitch` or `pitch_1` to `pitch_3`.
    /// `individually`: the blades shall be led one by one, which needs more of them.
    ///
    /// # Errors
    /// For the first role that no tag plays.
    pub fn of(profile: &DeviceProfile, individually: bool) -> Result<Self, BindError> {
        let roles = Roles {
            profile,
            needed_by: if individually { "turbine with individual pitch" } else { "turbine" },
        };
        let blades = match roles.optional("pitch") {
            Some(collective) => [collective; 3],
            None => [roles.input("pitch_1")?, roles.input("pitch_2")?, roles.input("pitch_3")?],
        };
        Ok(Self {
            generator_speed: roles.input("generator_speed")?,
            rotor_speed: roles.input("rotor_speed")?,
            blades,
            generator_torque: roles.input("generator_torque")?,
            power: roles.input("power")?,
            wind_speed: roles.input("wind_speed")?,
            tower_acceleration: roles.input("tower_acceleration")?,
            grid_ok: roles.input("grid_ok")?,
            yaw_error: roles.optional("yaw_error"),
            plc_state: roles.optional("plc_state"),
            cable_twist: roles.optional("cable_twist"),
            nacelle_yaw: roles.optional("nacelle_yaw"),
            brake_applied: roles.optional("brake_applied"),
            blades_apart: individually.then(|| BladesApart::of(&roles)).transpose()?,
            generator_torque_cmd: roles.output("generator_torque_cmd")?,
            pitch_cmd: roles.output("pitch_cmd")?,
            yaw_rate_cmd: profile.output("yaw_rate_cmd"),
            brake_cmd: roles.output("brake_cmd")?,
            generator_connect: roles.output("generator_connect")?,
            life: roles.life(),
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
            blades: self.blades.map(of),
            generator_torque: of(self.generator_torque),
            power: of(self.power),
            wind_speed: of(self.wind_speed),
            yaw_error: or_neutral(self.yaw_error),
            cable_twist: self.cable_twist.map(of),
            tower_acceleration: of(self.tower_acceleration),
            grid_ok: of(self.grid_ok),
            plc_state: or_neutral(self.plc_state),
            blade_loads: self.blades_apart.as_ref().map(|blades| BladeLoads {
                azimuth: of(blades.azimuth),
                root_moments: blades.root_moments.map(of),
            }),
            outputs_unacknowledged_for,
        }
    }

    /// What no controller needs, if it can be trusted: nacelle yaw, and whether the brake is applied.
    pub(crate) fn shown(&self, image: &DeviceInputs, now: Instant) -> (Option<Radians>, Option<bool>) {
        let value = |role: Option<Role>| {
            let sample = role?.sample(image, now);
            sample.quality.is_usable().then_some(sample.value)
        };
        (value(self.nacelle_yaw).map(Radians), value(self.brake_applied).map(|applied| applied > 0.5))
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
        if let (Some(tags), Some(blades)) = (&self.blades_apart, step.blades) {
            for (tag, blade) in tags.pitch_cmds.into_iter().zip(blades) {
                image.set(tag, blade.get());
            }
            if let Some(switch_tag) = tags.switch {
                image.set(switch_tag, 1.0);
            }
        }
        self.life.show(epoch, image);
    }
}
