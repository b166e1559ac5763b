//! From a checked site to parts that are ready to run: everything is allocated here.

use std::sync::Arc;

use agent_cycle::{
    BindError, ControlPorts, DerBinding, Executive, FleetPorts, GroupSettings, LastSeen, ParkBinding,
    PlanPorts, PlanTable, TurbineBinding, Unit, VehicleBinding, ports,
};
use control_loops_controllers::der::DerController;
use control_loops_controllers::park::ParkController;
use control_loops_controllers::turbine::TurbineController;
use control_loops_drive::DriveController;
use hal_field_bus::DeviceProfile;
use hal_modbus::{DeviceCounters, DevicePort, LineConfig};

use crate::config::{PlantConfig, SiteConfig, UnitConfig};
use crate::images::{DriverImages, GroupImages};
use crate::overrides::OverrideStore;
use crate::plans::PlansSetUp;
use crate::supervise::StartError;

/// A loop group, ready to run.
pub(crate) struct Group {
    pub(crate) executive: Executive<GroupImages>,
    pub(crate) control: ControlPorts,
    pub(crate) plans: PlanPorts,
    pub(crate) lines: Vec<(LineConfig, Vec<DevicePort>)>,
    /// Device of each unit, as a position in the site.
    pub(crate) devices: Vec<usize>,
    /// Each unit, as a position in the site.
    pub(crate) units: Vec<usize>,
    /// Where fleet control reaches the group's vehicles, if it has some.
    pub(crate) fleet: Option<FleetPorts>,
}

/// Everything that is made from the site.
pub(crate) struct Assembly {
    pub(crate) groups: Vec<Group>,
    /// What is counted at each device of the site.
    pub(crate) counters: Vec<Arc<DeviceCounters>>,
}

impl Assembly {
    pub(crate) fn build(
        site: &SiteConfig,
        plans: &PlansSetUp,
        overrides: &OverrideStore,
        seen: &Arc<LastSeen>,
    ) -> Result<Self, StartError> {
        let counters: Vec<_> = site.devices.iter().map(|_| Arc::new(DeviceCounters::default())).collect();
        let groups = (0..site.groups.len())
            .map(|group| {
                let table = plans.first_table(site, group);
                let mut built = Group::build(site, group, table, overrides, &counters)?;
                built.executive = built.executive.seeing(Arc::clone(seen), built.devices.clone().into());
                Ok(built)
            })
            .collect::<Result<_, StartError>>()?;
        Ok(Self { groups, counters })
    }
}

impl Group {
    fn build(
        site: &SiteConfig,
        group: usize,
        table: Box<PlanTable>,
        overrides: &OverrideStore,
        counters: &[Arc<DeviceCounters>],
    ) -> Result<Self, StartError> {
        let config = site.groups.get(group).ok_or(StartError::Wiring { what: "group" })?;
        let configs: Vec<_> = site.units_of(group).collect();
        let devices: Vec<usize> = configs.iter().map(|(_, unit)| unit.device).collect();
        let (images, drivers) = GroupImages::new(devices.len());
        let mut units = Vec::with_capacity(configs.len());
        let positions: Vec<usize> = configs.iter().map(|(position, _)| *position).collect();
        for (at, (_, unit)) in configs.iter().enumerate() {
            let device = site.devices.get(unit.device).ok_or(StartError::Wiring { what: "device" })?;
            units.push(
                build_unit((at, &positions), unit, &device.profile, overrides)
                    .map_err(StartError::Binding)?,
            );
        }
        let (cycle_ports, control, plans) = ports();
        let settings = GroupSettings {
            period: config.period,
            deadline: config.deadline,
            output_validity: config.output_validity,
            consecutive_misses_max: config.consecutive_misses_max,
            epoch: site.epoch,
        };
        let executive = Executive::new(settings, images, units.into_boxed_slice(), table, cycle_ports);
        let lines = lines(site, group, &devices, drivers, counters)?;
        let mut executive = executive;
        let mut fleet = None;
        if configs.iter().any(|(_, unit)| matches!(unit.plant, PlantConfig::Vehicle(_))) {
            let (with_fleet, ports) = executive.in_fleet();
            (executive, fleet) = (with_fleet, Some(ports));
        }
        Ok(Self { executive, control, plans, lines, devices, units: positions, fleet })
    }
}

/// The unit at a position of its group, whose units stand at `positions` in the site.
fn build_unit(
    (at, positions): (usize, &[usize]),
    unit: &UnitConfig,
    profile: &DeviceProfile,
    overrides: &OverrideStore,
) -> Result<Unit, BindError> {
    let (standing, initial) = (overrides.of(&unit.name), profile.initial_outputs());
    Ok(match &unit.plant {
        PlantConfig::Turbine(parameters) => {
            let mut controller = TurbineController::new(**parameters);
            if overrides.was_operating(&unit.name) {
                controller.resume_operating();
            }
            if overrides.had_lost_twist(&unit.name) {
                controller.resume_lost_twist();
            }
            Unit::turbine(
                at,
                TurbineBinding::of(profile, parameters.individual.is_some())?,
                controller,
                standing,
                initial,
            )
        }
        PlantConfig::Vehicle(parameters) => {
            let binding = VehicleBinding::of(profile, parameters.chassis)?;
            Unit::vehicle(at, binding, DriveController::new(**parameters), standing, initial)
        }
        PlantConfig::Der(parameters) => {
            let controller = DerController::new(**parameters);
            Unit::der(at, DerBinding::of(profile)?, controller, standing, initial)
        }
        PlantConfig::Park(park) => {
            let in_group = |turbine: &usize| positions.iter().position(|position| position == turbine);
            let members = park.turbines.iter().filter_map(in_group).collect();
            let controller = ParkController::new(park.parameters);
            Unit::park(at, ParkBinding::of(profile)?, controller, members, standing, initial)
        }
    })
}

/// The group's buses with the driver's ends of their devices.
fn lines(
    site: &SiteConfig,
    group: usize,
    devices: &[usize],
    drivers: Vec<DriverImages>,
    counters: &[Arc<DeviceCounters>],
) -> Result<Vec<(LineConfig, Vec<DevicePort>)>, StartError> {
    let mut waiting: Vec<Option<DriverImages>> = drivers.into_iter().map(Some).collect();
    let mut lines = Vec::new();
    for bus in site.buses.iter().filter(|bus| bus.group == group) {
        let mut ports = Vec::with_capacity(bus.devices.len());
        for device in &bus.devices {
            let images = devices
                .iter()
                .position(|other| other == device)
                .and_then(|at| waiting.get_mut(at)?.take())
                .ok_or(StartError::Wiring { what: "image" })?;
            let config = site.devices.get(*device).ok_or(StartError::Wiring { what: "device" })?;
            let counters = counters.get(*device).ok_or(StartError::Wiring { what: "counters" })?;
            ports.push(DevicePort {
                name: config.name.clone(),
                unit_id: config.unit_id,
                profile: Arc::clone(&config.profile),
                inputs: images.inputs,
                outputs: images.outputs,
                counters: Arc::clone(counters),
            });
        }
        lines.push((LineConfig::new(&bus.name, bus.transport.clone()), ports));
    }
    Ok(lines)
}
