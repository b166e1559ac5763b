//! The site file as a person writes it.

use hal_diagnostics::Spanned;
use serde::Deserialize;

use super::{ArbiterFunction, GateWish, RealtimeWish};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteText {
    pub(super) name: Spanned<String>,
    pub(super) realtime: RealtimeWish,
    pub(super) plan: String,
    pub(super) state_dir: String,
    #[serde(default = "one")]
    pub(super) epoch: u32,
    pub(super) admin: AdminText,
    #[serde(default)]
    pub(super) log: LogText,
    pub(super) mqtt: Option<MqttText>,
    #[serde(default)]
    pub(super) io: IoText,
    pub(super) cgroup: Option<CgroupText>,
    pub(super) pair: Option<PairText>,
    #[serde(default)]
    pub(super) stop: StopText,
    #[serde(default)]
    pub(super) group: Vec<GroupText>,
    #[serde(default)]
    pub(super) bus: Vec<BusText>,
    #[serde(default)]
    pub(super) device: Vec<DeviceText>,
    #[serde(default)]
    pub(super) turbine: Vec<TurbineText>,
    #[serde(default)]
    pub(super) der: Vec<DerText>,
    #[serde(default)]
    pub(super) park: Vec<ParkText>,
    pub(super) fleet: Option<FleetText>,
    pub(super) plans: Option<PlansText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlansText {
    pub(super) keys: String,
    pub(super) node: Option<Spanned<String>>,
    pub(super) socket: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FleetText {
    pub(super) layout: Spanned<String>,
    #[serde(default)]
    pub(super) layout_id: String,
    #[serde(default)]
    pub(super) vehicle_type: String,
    #[serde(default)]
    pub(super) chargers: Vec<String>,
    #[serde(default)]
    pub(super) parking: Vec<String>,
    pub(super) broker: Option<MqttText>,
    #[serde(default = "uagv")]
    pub(super) interface: Spanned<String>,
    pub(super) step_ms: Option<Spanned<u64>>,
    pub(super) orders_max: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) vehicle: Vec<VehicleText>,
}

fn uagv() -> Spanned<String> {
    Spanned::new(0..0, "uagv".to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VehicleText {
    pub(super) name: Spanned<String>,
    pub(super) manufacturer: Option<Spanned<String>>,
    pub(super) serial: Option<Spanned<String>>,
    pub(super) version: Option<Spanned<VdaVersionText>>,
    pub(super) drive: Option<Spanned<DriveText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DriveText {
    pub(super) device: Spanned<String>,
    pub(super) group: Spanned<String>,
    pub(super) track_m: Option<f64>,
    pub(super) wheelbase_m: Option<f64>,
    pub(super) speed_mps: Option<f64>,
    pub(super) acceleration_mps2: Option<f64>,
    pub(super) jerk_mps3: Option<f64>,
    pub(super) turn_speed_radps: Option<f64>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
pub(super) enum VdaVersionText {
    #[serde(rename = "2.1")]
    V2,
    #[serde(rename = "3.0")]
    V3,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminText {
    pub(super) socket: String,
    pub(super) listen: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogText {
    #[serde(default)]
    pub(super) format: LogFormat,
    #[serde(default = "info")]
    pub(super) level: String,
}

fn info() -> String {
    "info".to_owned()
}

impl Default for LogText {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: info() }
    }
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MqttText {
    pub(super) broker: Spanned<String>,
    pub(super) client_id: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) sparkplug_group: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) names: NamesText,
}

#[derive(Deserialize, Clone, Copy, Default)]
pub(super) enum NamesText {
    #[default]
    #[serde(rename = "takt")]
    Takt,
    #[serde(rename = "iec-61400-25")]
    Iec61400,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct IoText {
    pub(super) core: Option<u16>,
    pub(super) priority: Option<Spanned<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CgroupText {
    pub(super) name: String,
    pub(super) cores: Option<Spanned<String>>,
    pub(super) memory_max_mib: Option<Spanned<u64>>,
    pub(super) rt_runtime_us: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PairText {
    pub(super) node: Spanned<NodeText>,
    pub(super) key_file: Spanned<String>,
    pub(super) links: Spanned<Vec<LinkText>>,
    pub(super) arbiter: ArbiterText,
    #[serde(default)]
    pub(super) gate: GateWish,
    pub(super) core: Option<u16>,
    pub(super) priority: Option<Spanned<u8>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum NodeText {
    A,
    B,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkText {
    pub(super) local: Spanned<String>,
    pub(super) peer: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArbiterText {
    pub(super) tcp: Spanned<String>,
    #[serde(default = "unit_one")]
    pub(super) unit_id: Spanned<u8>,
    pub(super) register: u16,
    #[serde(default)]
    pub(super) function: ArbiterFunction,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct StopText {
    pub(super) limit_s: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupText {
    pub(super) name: Spanned<String>,
    pub(super) period_us: Spanned<u64>,
    pub(super) deadline_us: Option<Spanned<u64>>,
    pub(super) budget_us: Spanned<u64>,
    pub(super) core: Option<u16>,
    pub(super) priority: Spanned<u8>,
    pub(super) output_validity_us: Option<Spanned<u64>>,
    pub(super) consecutive_misses_max: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BusText {
    pub(super) name: Spanned<String>,
    pub(super) tcp: Option<Spanned<String>>,
    pub(super) rtu: Option<Spanned<RtuText>>,
    pub(super) round_trip_us: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RtuText {
    pub(super) path: String,
    pub(super) baud_rate: u32,
    #[serde(default)]
    pub(super) parity: ParityText,
}

/// Parity with the stop bits that make a character 11 bits; `none-one-stop` is the common exception.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ParityText {
    #[default]
    Even,
    Odd,
    None,
    NoneOneStop,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceText {
    pub(super) name: Spanned<String>,
    pub(super) bus: Spanned<String>,
    #[serde(default = "unit_one")]
    pub(super) unit_id: Spanned<u8>,
    pub(super) profile: Spanned<String>,
}

fn unit_one() -> Spanned<u8> {
    Spanned::new(0..0, 1)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TurbineText {
    pub(super) name: Spanned<String>,
    pub(super) device: Spanned<String>,
    pub(super) group: Spanned<String>,
    pub(super) model: Option<Spanned<ModelText>>,
    pub(super) description: Option<Spanned<String>>,
    pub(super) rotor_table: Option<Spanned<String>>,
    pub(super) law: Option<Spanned<LawText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DerText {
    pub(super) name: Spanned<String>,
    pub(super) device: Spanned<String>,
    pub(super) group: Spanned<String>,
    pub(super) rated_kw: Spanned<f64>,
    pub(super) revert_s: Option<Spanned<u32>>,
    pub(super) revert_percent: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParkText {
    pub(super) name: Spanned<String>,
    pub(super) device: Spanned<String>,
    pub(super) group: Spanned<String>,
    pub(super) turbines: Option<Vec<Spanned<String>>>,
    pub(super) rise_percent_per_min: Option<Spanned<f64>>,
    pub(super) fall_percent_per_min: Option<Spanned<f64>>,
    pub(super) reserve_percent: Option<Spanned<f64>>,
    pub(super) nominal_hz: Option<Spanned<f64>>,
    pub(super) dead_band_mhz: Option<Spanned<f64>>,
    pub(super) droop_percent: Option<Spanned<f64>>,
    pub(super) wear_weight: Option<Spanned<f64>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum LawText {
    Baseline,
    Takt,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelText {
    #[serde(rename = "nrel-5mw")]
    Nrel5Mw,
}
