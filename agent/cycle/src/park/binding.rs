//! Which tags of a device profile play which role for a meter at the grid.

use control_loops_controllers::park::ParkInputs;
use hal_field_bus::DeviceProfile;
use hal_process_image::DeviceInputs;
use hal_units::Instant;

use crate::role::{BindError, Role, Roles};

/// The tags of one meter; see `profiles/sunspec-meter.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct ParkBinding {
    power: Role,
    frequency: Role,
}

impl ParkBinding {
    /// Finds the tags by their names.
    ///
    /// # Errors
    /// For the first role that no tag plays.
    pub fn of(profile: &DeviceProfile) -> Result<Self, BindError> {
        let roles = Roles { profile, needed_by: "park's meter" };
        Ok(Self { power: roles.input("power")?, frequency: roles.input("frequency")? })
    }

    /// The controller's inputs, aged at `now`.
    pub(crate) fn inputs(&self, image: &DeviceInputs, now: Instant) -> ParkInputs {
        let of = |role: Role| role.sample(image, now);
        ParkInputs { power: of(self.power), frequency: of(self.frequency) }
    }
}
