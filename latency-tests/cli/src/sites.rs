//! Loop groups over a field in memory: turbines at rated power, and vehicles on their way.

use std::cell::Cell;
use std::rc::Rc;

use agent_cycle::{
    Bus, ControlPorts, Executive, FleetPorts, GroupSettings, Overrides, ParkBinding, PlanDemand, PlanTable,
    TurbineBinding, Unit, VehicleBinding, ports,
};
use agent_plan::Request;
use control_loops_controllers::park::{ParkController, ParkParameters};
use control_loops_controllers::turbine::{TurbineController, TurbineParameters};
use control_loops_drive::{Chassis, DriveController, DriveParameters};
use hal_diagnostics::Document;
use hal_field_bus::DeviceProfile;
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality};
use hal_units::{Duration, Instant, Meters, Watts};

const TURBINE: &str = include_str!("../../../profiles/nrel5mw-plc.toml");
const METER: &str = include_str!("../../../profiles/sunspec-meter.toml");
const VEHICLE: &str = include_str!("../../../profiles/differential-drive.toml");
const AT_RATED_POWER: [(&str, f64); 13] = [
    ("generator_speed", 122.9096),
    ("rotor_speed", 122.9096 / 97.0),
    ("pitch_1", 0.2537),
    ("pitch_2", 0.2537),
    ("pitch_3", 0.2537),
    ("generator_torque", 43_093.55),
    ("power", 5e6),
    ("wind_speed", 18.0),
    ("yaw_error", 0.0),
    ("cable_twist", 0.0),
    ("tower_acceleration", 0.0),
    ("grid_ok", 1.0),
    ("plc_state", 0.0),
];
const ON_ITS_WAY: [(&str, f64); 8] = [
    ("x", 1.5),
    ("y", 3.0),
    ("heading", 0.01),
    ("localisation_age", 0.05),
    ("left_speed", 0.5),
    ("right_speed", 0.5),
    ("battery", 0.8),
    ("automatic", 1.0),
];

/// Of a turbine.
const RATED: Watts = Watts(5e6);

/// Devices that show the same in each scan, fresh.
pub(crate) struct Field {
    scans: Vec<DeviceInputs>,
    outputs: Vec<DeviceOutputs>,
    now: Rc<Cell<Instant>>,
}

impl Bus for Field {
    fn inputs(&mut self, device: usize) -> &DeviceInputs {
        match (self.scans.get_mut(device), self.outputs.get(device)) {
            (Some(scan), Some(outputs)) => {
                scan.acquired_at = self.now.get();
                scan.sequence = scan.sequence.wrapping_add(1);
                scan.outputs_acknowledged = outputs.sequence;
                scan
            }
            _ => &DeviceInputs::NEVER,
        }
    }

    fn publish(&mut self, device: usize, outputs: &DeviceOutputs) {
        if let Some(slot) = self.outputs.get_mut(device) {
            *slot = *outputs;
        }
    }
}

/// A group with the other ends of its ports.
pub(crate) struct Site {
    pub(crate) executive: Executive<Field>,
    pub(crate) control: ControlPorts,
    time: Rc<Cell<Instant>>,
    _plans: agent_cycle::PlanPorts,
    _fleet: FleetPorts,
}

/// A shipped profile: it is part of this program, and tests read it.
fn profile(text: &str) -> Option<DeviceProfile> {
    DeviceProfile::parse(&Document::new("profile", text)).ok()
}

fn scan(profile: &DeviceProfile, shown: &[(&str, f64)]) -> DeviceInputs {
    let mut inputs = DeviceInputs::NEVER;
    for at in 0..profile.inputs.len() {
        inputs.set(hal_process_image::TagIndex(at as u16), 0.0, Quality::Good);
    }
    for (tag, value) in shown {
        if let Some(tag) = profile.input(tag) {
            inputs.set(tag, *value, Quality::Good);
        }
    }
    inputs
}

impl Site {
    /// So many turbines and vehicles; none if a shipped profile cannot be read.
    pub(crate) fn new(turbines: usize, vehicles: usize, period: Duration) -> Option<Self> {
        Self::of(turbines, vehicles, None, period)
    }

    /// So many turbines in a park that is led to six tenths of what it could give.
    pub(crate) fn in_a_park(turbines: usize, period: Duration) -> Option<Self> {
        Self::of(turbines, 0, Some(RATED * turbines as f64 * 0.6), period)
    }

    fn of(turbines: usize, vehicles: usize, reference: Option<Watts>, period: Duration) -> Option<Self> {
        let (turbine, vehicle) = (profile(TURBINE)?, profile(VEHICLE)?);
        let chassis = Chassis::Differential { track: Meters(0.6) };
        let (mut units, mut scans) = (Vec::new(), Vec::new());
        for device in 0..turbines {
            let controller = TurbineController::new(TurbineParameters::NREL_5MW);
            let binding = TurbineBinding::of(&turbine, false).ok()?;
            units.push(Unit::turbine(
                device,
                binding,
                controller,
                Overrides::default(),
                turbine.initial_outputs(),
            ));
            scans.push(scan(&turbine, &AT_RATED_POWER));
        }
        for device in turbines..turbines + vehicles {
            let controller = DriveController::new(DriveParameters::usual(chassis));
            let binding = VehicleBinding::of(&vehicle, chassis).ok()?;
            units.push(Unit::vehicle(
                device,
                binding,
                controller,
                Overrides::default(),
                vehicle.initial_outputs(),
            ));
            scans.push(scan(&vehicle, &ON_ITS_WAY));
        }
        if reference.is_some() {
            let meter = profile(METER)?;
            let rated = RATED * turbines as f64;
            units.push(Unit::park(
                units.len(),
                ParkBinding::of(&meter).ok()?,
                ParkController::new(ParkParameters::usual(rated)),
                (0..turbines).collect(),
                Overrides::default(),
                meter.initial_outputs(),
            ));
            scans.push(scan(&meter, &[("power", rated.get()), ("frequency", 50.0)]));
        }
        let settings = GroupSettings {
            period,
            deadline: period,
            output_validity: period * 3,
            consecutive_misses_max: u32::MAX,
            epoch: 1,
        };
        let demand = PlanDemand { request: Request::Run, power_limit: RATED };
        let mut demands = vec![demand; units.len()];
        if let (Some(power_limit), Some(last)) = (reference, demands.last_mut()) {
            last.power_limit = power_limit;
        }
        let plan = Box::new(PlanTable::new(1, demands.into()));
        let (cycle_ports, control, plans) = ports();
        let outputs = vec![DeviceOutputs::NEVER; units.len()];
        let time = Rc::new(Cell::new(Instant::ZERO));
        let field = Field { scans, outputs, now: Rc::clone(&time) };
        let executive = Executive::new(settings, field, units.into(), plan, cycle_ports);
        let (executive, mut fleet) = executive.in_fleet();
        let points = (0..6)
            .map(|at| control_loops_drive::Waypoint { x: Meters(1.5 + 1.5 * f64::from(at)), y: Meters(3.0) });
        let route = control_loops_drive::Route::over(1, 0, points);
        fleet.routes.publish_with(|routes| routes.of.fill(Some(route)));
        Some(Self { executive, control, time, _plans: plans, _fleet: fleet })
    }

    /// The time that scans carry from now on.
    pub(crate) fn set_time(&self, now: Instant) {
        self.time.set(now);
    }
}
