//! Which tags of a device profile play which role for a plant that controls itself.

use control_loops_controllers::der::{DerInputs, DerOutputs};
use hal_field_bus::DeviceProfile;
use hal_process_image::{DeviceInputs, DeviceOutputs, TagIndex};
use hal_units::Instant;

use crate::role::{BindError, Life, Role, Roles};

/// Numbers of SunSpec's 715 OpCtl.
const STOP: f64 = 1.0;
const START: f64 = 2.0;

/// The tags of one plant; see `profiles/sunspec-der.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct DerBinding {
    local: Role,
    power: Role,
    alarms: Role,
    limit_scale: Role,
    limit_enable: TagIndex,
    limit: TagIndex,
    revert_limit: TagIndex,
    revert_enable: TagIndex,
    revert_after: TagIndex,
    heartbeat: TagIndex,
    alarm_reset: TagIndex,
    operation: TagIndex,
    life: Life,
}

impl DerBinding {
    /// Finds the tags by their names.
    ///
    /// # Errors
    /// For the first role that no tag plays.
    pub fn of(profile: &DeviceProfile) -> Result<Self, BindError> {
        let roles = Roles { profile, needed_by: "plant with a controller of its own" };
        Ok(Self {
            local: roles.input("local")?,
            power: roles.input("power")?,
            alarms: roles.input("alarms")?,
            limit_scale: roles.input("limit_scale")?,
            limit_enable: roles.output("limit_enable_cmd")?,
            limit: roles.output("limit_cmd")?,
            revert_limit: roles.output("revert_limit_cmd")?,
            revert_enable: roles.output("revert_enable_cmd")?,
            revert_after: roles.output("revert_after_cmd")?,
            heartbeat: roles.output("controller_heartbeat")?,
            alarm_reset: roles.output("alarm_reset_cmd")?,
            operation: roles.output("operation_cmd")?,
            life: roles.life(),
        })
    }

    /// The controller's inputs, aged at `now`.
    pub(crate) fn inputs(&self, image: &DeviceInputs, now: Instant) -> DerInputs {
        let of = |role: Role| role.sample(image, now);
        DerInputs {
            local: of(self.local),
            power: of(self.power),
            alarms: of(self.alarms),
            limit_scale: of(self.limit_scale),
        }
    }

    /// Puts the controller's outputs into the image.
    pub(crate) fn outputs(&self, told: &DerOutputs, epoch: u32, image: &mut DeviceOutputs) {
        image.set(self.limit_enable, 1.0);
        image.set(self.limit, told.limit_share);
        image.set(self.revert_limit, told.revert_share);
        image.set(self.revert_enable, 1.0);
        image.set(self.revert_after, told.revert_after.as_secs_f64());
        image.set(self.heartbeat, f64::from(told.heartbeat));
        image.set(self.alarm_reset, if told.reset { 1.0 } else { 0.0 });
        image.set(self.operation, if told.run { START } else { STOP });
        self.life.show(epoch, image);
    }
}
