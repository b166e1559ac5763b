//! Which tags of a device profile play which role for a drive loop.
//!
//! The chassis says which wheels there are: a differential vehicle has `left_speed` and `right_speed`, a tricycle
//! `wheel_speed` and `steer_angle`, and commands of the same names with `_cmd`.

use control_loops_drive::{
    Actuation, Chassis, DriveInputs, DriveOutputs, HandlingKind, HandlingResult, Pose,
};
use hal_field_bus::DeviceProfile;
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality, TagIndex};
use hal_units::{Duration, Instant, Meters, MetersPerSecond, Radians};

use crate::role::{BindError, Life, Role, Roles};

/// What `handling_result` says of a handling that was not done.
const FAILED: f64 = 2.0;

/// The tags of one vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct VehicleBinding {
    chassis: Chassis,
    pose: [Role; 3],
    /// A localisation that does not say how old its pose is tells it fresh.
    localisation_age: Option<Role>,
    wheels: [Role; 2],
    /// A vehicle that does not say is taken as full, in automatic, and in order.
    battery: Option<Role>,
    automatic: Option<Role>,
    protective_stop: Option<Role>,
    fault: Option<Role>,
    handling: Option<HandlingTags>,
    wheels_cmd: [TagIndex; 2],
    enable_cmd: Option<TagIndex>,
    life: Life,
}

/// The tags of a vehicle that handles loads.
#[derive(Debug, Clone, Copy, PartialEq)]
struct HandlingTags {
    over: Role,
    result: Option<Role>,
    kind_cmd: TagIndex,
    number_cmd: TagIndex,
}

impl VehicleBinding {
    /// Finds the tags by their names.
    ///
    /// # Errors
    /// For the first role that no tag plays.
    pub fn of(profile: &DeviceProfile, chassis: Chassis) -> Result<Self, BindError> {
        let roles = Roles { profile, needed_by: "vehicle" };
        let (measured, commanded) = match chassis {
            Chassis::Differential { .. } => {
                (["left_speed", "right_speed"], ["left_speed_cmd", "right_speed_cmd"])
            }
            Chassis::Tricycle { .. } => {
                (["wheel_speed", "steer_angle"], ["wheel_speed_cmd", "steer_angle_cmd"])
            }
        };
        let handling = match roles.optional("handling_over") {
            Some(over) => Some(HandlingTags {
                over,
                result: roles.optional("handling_result"),
                kind_cmd: roles.output("handling_kind_cmd")?,
                number_cmd: roles.output("handling_number_cmd")?,
            }),
            None => None,
        };
        let ([first, second], [first_cmd, second_cmd]) = (measured, commanded);
        Ok(Self {
            chassis,
            pose: [roles.input("x")?, roles.input("y")?, roles.input("heading")?],
            localisation_age: roles.optional("localisation_age"),
            wheels: [roles.input(first)?, roles.input(second)?],
            battery: roles.optional("battery"),
            automatic: roles.optional("automatic"),
            protective_stop: roles.optional("protective_stop"),
            fault: roles.optional("fault"),
            handling,
            wheels_cmd: [roles.output(first_cmd)?, roles.output(second_cmd)?],
            enable_cmd: profile.output("enable_cmd"),
            life: roles.life(),
        })
    }

    fn actuation(&self, [first, second]: [f64; 2]) -> Actuation {
        match self.chassis {
            Chassis::Differential { .. } => {
                Actuation::Differential { left: MetersPerSecond(first), right: MetersPerSecond(second) }
            }
            Chassis::Tricycle { .. } => {
                Actuation::Tricycle { wheel_speed: MetersPerSecond(first), steer: Radians(second) }
            }
        }
    }

    /// The inputs of a vehicle that was never scanned.
    pub(crate) fn never(&self) -> DriveInputs {
        DriveInputs::never(self.actuation([0.0; 2]))
    }

    /// The controller's inputs at `now`.
    pub(crate) fn inputs(
        &self,
        image: &DeviceInputs,
        now: Instant,
        unacknowledged_for: Duration,
    ) -> DriveInputs {
        let mut quality = Quality::Good;
        let mut of = |role: Role| {
            let sample = role.sample(image, now);
            quality = quality.worst(sample.quality);
            sample.value
        };
        let [x, y, heading] = self.pose.map(&mut of);
        let wheels = self.wheels.map(&mut of);
        let mut or = |role: Option<Role>, otherwise: f64| role.map_or(otherwise, &mut of);
        let pose_age = or(self.localisation_age, 0.0);
        let battery = or(self.battery, 1.0);
        let automatic = or(self.automatic, 1.0) != 0.0;
        let protective_stop = or(self.protective_stop, 0.0) != 0.0;
        let fault = or(self.fault, 0.0);
        let over = or(self.handling.map(|handling| handling.over), 0.0);
        let result = or(self.handling.and_then(|handling| handling.result), 1.0);
        let failed = result == FAILED;
        DriveInputs {
            quality,
            scan: image.sequence,
            age: now.since(image.acquired_at),
            pose: Pose { x: Meters(x), y: Meters(y), heading: Radians(heading) },
            // Nanoseconds are enough, and cannot fail as seconds can that are no number.
            pose_age: Duration::from_nanos((pose_age.max(0.0) * 1e9) as u64),
            actuation: self.actuation(wheels),
            battery,
            automatic,
            protective_stop,
            fault: fault as u16,
            handled: (over as u32, if failed { HandlingResult::Failed } else { HandlingResult::Done }),
            unacknowledged_for,
        }
    }

    /// Puts the controller's outputs, the watchdog's next count and the epoch into the image.
    pub(crate) fn outputs(&self, outputs: &DriveOutputs, epoch: u32, image: &mut DeviceOutputs) {
        let [first, second] = match outputs.actuation {
            Actuation::Differential { left, right } => [left.get(), right.get()],
            Actuation::Tricycle { wheel_speed, steer } => [wheel_speed.get(), steer.get()],
        };
        let [first_cmd, second_cmd] = self.wheels_cmd;
        image.set(first_cmd, first);
        image.set(second_cmd, second);
        if let Some(tag) = self.enable_cmd {
            image.set(tag, if outputs.enable { 1.0 } else { 0.0 });
        }
        if let Some(tags) = self.handling {
            let (kind, number) = outputs.handling.map_or((0.0, 0), |handling| {
                let kind = match handling.kind {
                    HandlingKind::Pick => 1.0,
                    HandlingKind::Drop => 2.0,
                    HandlingKind::Charge => 3.0,
                    HandlingKind::Visit => 4.0,
                };
                (kind, handling.number)
            });
            image.set(tags.kind_cmd, kind);
            image.set(tags.number_cmd, f64::from(number));
        }
        self.life.show(epoch, image);
    }
}
