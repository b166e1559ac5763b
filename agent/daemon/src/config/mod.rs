//! The site's configuration: what exists.
//!
//! `text` is what a person writes, this module is what the rest of the agent works with: every name
//! resolved, every number in its range, every path relative to the file that names it made whole.

mod check;
mod der;
mod fleet;
mod park;
mod text;
mod turbine;

pub(crate) use check::FLEET;
pub use check::ReadFile;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use agent_cycle::UnitParameters;
use agent_plan::UnitLimits;
use control_loops_controllers::der::DerParameters;
use control_loops_controllers::park::ParkParameters;
use control_loops_controllers::turbine::TurbineParameters;
use control_loops_drive::DriveParameters;
use failover_protocol::Node;
use hal_field_bus::DeviceProfile;
use hal_linux_rt::CoreSet;
use hal_modbus::Transport;
use hal_units::{Duration, Watts};
use hal_vda5050::Address;

/// A checked site.
#[derive(Debug, Clone)]
pub struct SiteConfig {
    /// Name; part of every MQTT topic.
    pub name: String,
    /// Whether the agent may run without real-time scheduling.
    pub realtime: RealtimeWish,
    /// The plan file.
    pub plan: PathBuf,
    /// Where what must outlive the process is kept.
    pub state_dir: PathBuf,
    /// Admin interface.
    pub admin: AdminConfig,
    /// Log format and level.
    pub log: LogConfig,
    /// Broker; none means that no commands are taken over MQTT.
    pub mqtt: Option<MqttConfig>,
    /// The thread that talks to the field.
    pub io: IoConfig,
    /// Limits that the process lays on itself.
    pub cgroup: Option<CgroupConfig>,
    /// The other node, if this one is one of a pair.
    pub pair: Option<PairConfig>,
    /// How long bringing the plant to rest may take before the devices' safe actions are written.
    pub stop_limit: Duration,
    /// Term of office that outputs carry.
    pub epoch: u32,
    /// Loop groups.
    pub groups: Vec<GroupConfig>,
    /// Buses with their devices.
    pub buses: Vec<BusConfig>,
    /// Devices.
    pub devices: Vec<DeviceConfig>,
    /// Turbines, and vehicles whose drives hang on a bus.
    pub units: Vec<UnitConfig>,
    /// A fleet of vehicles, if the site has one.
    pub fleet: Option<FleetConfig>,
    /// Signed plans from outside; none means that none are taken.
    pub plans: Option<PlansConfig>,
}

/// Signed plans from outside.
#[derive(Debug, Clone)]
pub struct PlansConfig {
    /// Folder with the public keys that are trusted, `*.pem`.
    pub keys: PathBuf,
    /// Name by which plans speak of this node; empty if they speak of the site as a whole alone.
    pub node: String,
    /// Unix socket on which plans are offered.
    pub socket: PathBuf,
}

/// A fleet of vehicles.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// The layout's file.
    pub layout: PathBuf,
    /// In a LIF file: the layout's name.
    pub layout_id: String,
    /// In a LIF file: the type of the vehicles.
    pub vehicle_type: String,
    /// In a LIF file: stations where batteries are charged.
    pub chargers: Vec<String>,
    /// In a LIF file: stations where nobody is in the way.
    pub parking: Vec<String>,
    /// Where the vehicles are heard. Both nodes of a pair use the same client id.
    pub broker: MqttConfig,
    /// The first level of the vehicles' topics.
    pub interface: String,
    /// How often the fleet's control runs.
    pub step: Duration,
    /// Orders that are kept at the same time.
    pub orders_max: usize,
    /// The vehicles.
    pub vehicles: Vec<VehicleConfig>,
}

/// A vehicle.
#[derive(Debug, Clone)]
pub struct VehicleConfig {
    /// Name.
    pub name: String,
    /// How it is told what to do.
    pub link: VehicleLinkConfig,
}

/// How a vehicle is told what to do.
#[derive(Debug, Clone)]
pub enum VehicleLinkConfig {
    /// By messages of VDA 5050 to this address.
    Vda(Address),
    /// By its drive loop: the unit at this position in the site.
    Unit(usize),
}

/// What to do without real-time scheduling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RealtimeWish {
    /// Refuse to start.
    Required,
    /// Run, and show it everywhere.
    Preferred,
}

/// Admin interface.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// Unix socket for `takt status`.
    pub socket: PathBuf,
    /// TCP address for Prometheus and health probes.
    pub listen: Option<SocketAddr>,
}

/// Log format and level.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// One JSON object a line, instead of text.
    pub json: bool,
    /// A filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// The broker.
#[derive(Debug, Clone)]
pub struct MqttConfig {
    /// `mqtt://host:port`.
    pub broker: String,
    /// Client id; unique at the broker.
    pub client_id: String,
    /// User name and password.
    pub credentials: Option<(String, String)>,
    /// Group of the Sparkplug edge node that this site is besides, if it is one.
    pub sparkplug_group: Option<String>,
    /// Whose names the values of turbines bear.
    pub names: crate::unit_state::ValueNames,
}

/// The thread that talks to the field.
#[derive(Debug, Clone, Copy, Default)]
pub struct IoConfig {
    /// Core to pin it to.
    pub core: Option<u16>,
    /// SCHED_FIFO priority; none leaves it with the ordinary policy.
    pub priority: Option<u8>,
}

/// Limits that the process lays on itself.
#[derive(Debug, Clone)]
pub struct CgroupConfig {
    /// Name of the group, below the process's own.
    pub name: String,
    /// The only cores that the process may use.
    pub cores: Option<CoreSet>,
    /// Memory limit, MiB.
    pub memory_max_mib: Option<u64>,
    /// Time in each second that its real-time threads may take, where groups have such a budget.
    pub rt_runtime: Option<Duration>,
}

/// One of two nodes that run the site as a hot-standby pair.
#[derive(Debug, Clone)]
pub struct PairConfig {
    /// Which of the two.
    pub node: Node,
    /// File with the key that both share.
    pub key_file: PathBuf,
    /// Own and the peer's address on each link; one or two.
    pub links: Vec<(SocketAddr, SocketAddr)>,
    /// The registers that decide between two claims.
    pub arbiter: ArbiterConfig,
    /// Whether the node may write without the kernel's gate.
    pub gate: GateWish,
    /// Core of the thread that keeps the pair together.
    pub core: Option<u16>,
    /// SCHED_FIFO priority of that thread; none leaves it with the ordinary policy.
    pub priority: Option<u8>,
}

/// Registers on a field device that decide between two claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArbiterConfig {
    /// Where the device listens.
    pub address: SocketAddr,
    /// Modbus unit id.
    pub unit_id: u8,
    /// First of the four registers: slot and counter of node a, slot and counter of node b.
    pub register: u16,
    /// How they are written and read.
    pub function: ArbiterFunction,
}

/// How a node writes its own registers at the arbiter and reads the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArbiterFunction {
    /// Function code 23: write and read in one transaction.
    #[default]
    Fc23,
    /// Function codes 6 and 3, for devices without 23.
    Fc6,
}

/// Whether a node may write without the kernel's gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateWish {
    /// Refuse to start.
    Required,
    /// Run, and show it everywhere.
    #[default]
    Preferred,
    /// Do not load it.
    Off,
}

/// A loop group.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// Name.
    pub name: String,
    /// Period.
    pub period: Duration,
    /// Deadline from the grid point.
    pub deadline: Duration,
    /// Declared processor time of a cycle; the outputs leave when it is over.
    pub budget: Duration,
    /// Core; where the configuration names none, the last one that the process may use.
    pub core: u16,
    /// SCHED_FIFO priority.
    pub priority: u8,
    /// Outputs expire this long after the grid point.
    pub output_validity: Duration,
    /// Consecutive misses that lead to the safe state.
    pub consecutive_misses_max: u32,
}

/// A bus.
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// Name.
    pub name: String,
    /// What it hangs on.
    pub transport: Transport,
    /// The group whose rhythm it follows.
    pub group: usize,
    /// Its devices, by position.
    pub devices: Vec<usize>,
    /// Round trip to assume for the bus-time budget.
    pub round_trip: Duration,
}

/// A device.
#[derive(Debug, Clone)]
pub struct DeviceConfig {
    /// Name.
    pub name: String,
    /// Its bus, by position.
    pub bus: usize,
    /// Modbus unit id.
    pub unit_id: u8,
    /// Its type.
    pub profile: Arc<DeviceProfile>,
}

/// A turbine, a vehicle whose drives hang on a bus, a plant that controls itself, or a park.
#[derive(Debug, Clone)]
pub struct UnitConfig {
    /// Name; part of its MQTT topics.
    pub name: String,
    /// Its group, by position.
    pub group: usize,
    /// Its device, by position.
    pub device: usize,
    /// What it is.
    pub plant: PlantConfig,
}

/// What a unit is, with its controller's parameters.
#[derive(Debug, Clone)]
pub enum PlantConfig {
    /// A turbine.
    Turbine(Box<TurbineParameters>),
    /// A vehicle.
    Vehicle(Box<DriveParameters>),
    /// A plant that controls itself.
    Der(Box<DerParameters>),
    /// A park.
    Park(Box<ParkConfig>),
}

/// Turbines that feed in through one meter.
#[derive(Debug, Clone)]
pub struct ParkConfig {
    /// Numbers of its dispatch.
    pub parameters: ParkParameters,
    /// Its turbines, by position in the site: at least one, all of the park's group, all before it.
    pub turbines: Vec<usize>,
}

impl PlantConfig {
    /// Rated electrical power; `None` of what gives none.
    #[must_use]
    pub fn rated_power(&self) -> Option<Watts> {
        match self {
            Self::Turbine(parameters) => Some(parameters.rated_power),
            Self::Der(parameters) => Some(parameters.rated_power),
            Self::Park(park) => Some(park.parameters.rated_power),
            Self::Vehicle(_) => None,
        }
    }

    /// The controller's parameters.
    #[must_use]
    pub fn parameters(&self) -> UnitParameters {
        match self {
            Self::Turbine(parameters) => UnitParameters::Turbine(**parameters),
            Self::Vehicle(parameters) => UnitParameters::Vehicle(**parameters),
            Self::Der(parameters) => UnitParameters::Der(**parameters),
            Self::Park(park) => UnitParameters::Park(park.parameters),
        }
    }
}

impl SiteConfig {
    /// What a plan may demand of each unit.
    #[must_use]
    pub fn unit_limits(&self) -> Vec<UnitLimits> {
        // Where vehicles go is for fleet control.
        let limits = |unit: &UnitConfig| {
            let rated_power = unit.plant.rated_power()?;
            Some(UnitLimits { unit: unit.name.clone(), rated_power, through: self.park_of(unit) })
        };
        self.units.iter().filter_map(limits).collect()
    }

    /// The park through which a unit feeds in.
    fn park_of(&self, unit: &UnitConfig) -> Option<String> {
        let feeds = |park: &&UnitConfig| match &park.plant {
            PlantConfig::Park(config) => config
                .turbines
                .iter()
                .any(|at| self.units.get(*at).is_some_and(|turbine| turbine.name == unit.name)),
            PlantConfig::Turbine(_) | PlantConfig::Vehicle(_) | PlantConfig::Der(_) => false,
        };
        self.units.iter().find(feeds).map(|park| park.name.clone())
    }

    /// The units of a group, with their positions in the site, in the group's order.
    pub fn units_of(&self, group: usize) -> impl Iterator<Item = (usize, &UnitConfig)> {
        self.units.iter().enumerate().filter(move |(_, unit)| unit.group == group)
    }
}
