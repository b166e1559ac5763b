//! The agent's report about itself, as it travels over the admin socket: what `takt status` shows and
//! what the summary at the end of a run holds.
//!
//! Plain data. A field's name ends in its unit. Figures cover the time since the agent's start.

pub mod trace;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All that an agent says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the agent.
    pub version: String,
    /// Name of the site.
    pub site: String,
    /// Seconds since the start.
    pub uptime_s: f64,
    /// What the process as a whole is doing.
    pub phase: Phase,
    /// Loop groups, in the order of the configuration.
    pub groups: Vec<Group>,
    /// Units, in the order of the configuration.
    pub units: Vec<Unit>,
    /// Devices, in the order of the configuration.
    pub devices: Vec<Device>,
    /// Commands since the start.
    pub commands: Commands,
    /// The link to the broker; `None` if none is configured.
    pub mqtt: Option<MqttLink>,
    /// The plan in force.
    pub plan: Plan,
    /// Real-time set-up as read back.
    pub realtime: Realtime,
    /// The pair, if the agent is one of two.
    #[serde(default)]
    pub pair: Option<Pair>,
    /// The fleet, if the site has one.
    #[serde(default)]
    pub fleet: Option<Fleet>,
    /// What the black box has written.
    #[serde(default)]
    pub traces: Traces,
}

/// Traces of the black box.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traces {
    /// Where they are.
    pub folder: String,
    /// Written since the start.
    pub written: u64,
    /// Occasions that were not written, because their cycles were gone before or the disk is too slow.
    pub passed_over: u64,
    /// The newest file.
    pub last: Option<String>,
    /// Why the last one could not be written, if so.
    pub failed: Option<String>,
}

/// A fleet of vehicles.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Fleet {
    /// File of the layout.
    pub layout: String,
    /// Steps of the fleet's control that were made, on both nodes of a pair together.
    pub steps: u64,
    /// How long a step takes.
    pub step_time: Distribution,
    /// From a step until its results left, the peer's word among it.
    pub release_time: Distribution,
    /// Whether the vehicles' broker is connected; false also where this node only follows.
    pub connected: bool,
    /// Transport orders.
    pub orders: FleetOrders,
    /// From an order's acceptance until a vehicle has echoed it.
    pub dispatch: Distribution,
    /// The part of it until a vehicle was found for the order.
    pub assignment_wait: Distribution,
    /// The part of it from then on.
    pub echo: Distribution,
    /// Share of the vehicles' time in which they work on an order, in percent.
    pub utilisation_percent: f64,
    /// The vehicles, in the order of the configuration.
    pub vehicles: Vec<Vehicle>,
    /// How many of them take part: heard, not failed, and driven by nobody else.
    #[serde(default)]
    pub taking_part: u64,
    /// Messages from vehicles that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// What keeps the fleet from being what it should be, in words.
    pub degraded: Vec<String>,
}

/// Transport orders of a fleet by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FleetOrders {
    /// Accepted, and no vehicle is on its way for them.
    pub waiting: u64,
    /// A vehicle works on them.
    pub under_way: u64,
    /// Done.
    pub done: u64,
    /// Could not be done.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
}

/// A vehicle.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Vehicle {
    /// Name.
    pub name: String,
    /// `vda5050 2.1`, `vda5050 3.0` or the name of the drive's profile.
    pub speaks: String,
    /// `driving`, `idle`, `charging`, `manual`, `lost` and the like.
    pub state: String,
    /// The node that it is on, or was on last.
    pub at: String,
    /// What it is doing, in words.
    pub task: String,
    /// Charge of its battery.
    pub battery_percent: f64,
    /// Times that it stopped for a fault or by its own protection.
    pub stops: u64,
    /// Why it is where it is, one cause after the other.
    pub why: Vec<String>,
}

/// One node's view of the pair.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Pair {
    /// `a` or `b`.
    pub node: String,
    /// `init`, `standby`, `claimed`, `active` or `fenced`.
    pub role: String,
    /// The highest epoch that the node knows; its own while it is active.
    pub epoch: u32,
    /// `fenced`: the kernel holds back writes without a lease; or `unfenced: ` and the reason.
    pub profile: String,
    /// Whether the peer is heard.
    pub peer_heard: bool,
    /// The peer's role, as it last said.
    pub peer_role: Option<String>,
    /// The links, in the order of the configuration.
    pub links: Vec<PairLink>,
    /// Whether the arbiter answers.
    pub arbiter_reached: bool,
    /// The longest time without a message from the peer since the start.
    pub heartbeat_gap_max_us: f64,
    /// The newest cycle of the peer whose state is held here; standby only.
    pub replica_cycle: u64,
    /// States of the peer that were repeated here and came out the same.
    pub states_verified: u64,
    /// States that came out different: the two do not run the same software or parameters.
    pub states_diverged: u64,
    /// Times that this node became active since its start.
    pub takeovers: u64,
    /// What keeps the pair from being what it should be, in words.
    pub degraded: Vec<String>,
    /// Datagrams that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// A link between the two nodes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PairLink {
    /// Own and the peer's address.
    pub addresses: String,
    /// Whether the peer is heard on it.
    pub heard: bool,
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
}

/// What the process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Threads are being set up.
    Starting,
    /// Cycles run.
    Running,
    /// Bringing the plant to rest before the end.
    Stopping,
}

/// Median, tail and extreme of a distribution, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Distribution {
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// Largest.
    pub max_us: f64,
    /// How many values.
    pub samples: u64,
}

/// A loop group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Period.
    pub period_us: u64,
    /// Deadline, from the grid point.
    pub deadline_us: u64,
    /// `running`, `stopping` or `safe`.
    pub mode: String,
    /// Cycles run.
    pub cycles: u64,
    /// Misses: grid points skipped and cycles that ended late.
    pub missed_deadlines: u64,
    /// Of these: grid points that passed without a cycle.
    pub skipped: u64,
    /// Of these: cycles that ended after their deadline.
    pub late: u64,
    /// Misses by cause.
    pub missed_by_cause: BTreeMap<String, u64>,
    /// The last misses in words, newest last.
    pub misses: Vec<String>,
    /// From the grid point until the thread ran.
    pub wake_up: Distribution,
    /// From the thread's running until the last output was handed over.
    pub cycle_time: Distribution,
    /// Worst-case response by analysis, with the declared or measured budget.
    pub response_us: u64,
    /// Units that the last cycle saw with an input that is not usable.
    pub units_blind: u16,
    /// Whether no cycle was reported for a second: the thread hangs.
    pub stalled: bool,
    /// Telemetry records that did not fit.
    pub records_dropped: u64,
    /// The thread's settings as read back.
    pub thread: Thread,
}

/// A real-time thread's settings as read back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Thread {
    /// Scheduling policy.
    pub policy: String,
    /// Priority.
    pub priority: i32,
    /// Cores it may run on.
    pub cores: Vec<usize>,
}

/// A unit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Unit {
    /// Name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its device.
    pub device: String,
    /// State of its supervisor.
    pub mode: String,
    /// Interlocks that hold it.
    pub trips: Vec<String>,
    /// Worst quality among its inputs.
    pub quality: String,
    /// Age of its inputs, unless they were never read.
    pub input_age_us: Option<f64>,
    /// Wind at the nacelle.
    pub wind_mps: f64,
    /// Rotor speed.
    pub rotor_rpm: f64,
    /// Measured pitch.
    pub pitch_deg: f64,
    /// Electrical power.
    pub power_kw: f64,
    /// The power limit in force.
    pub power_limit_kw: f64,
    /// What an operator's command left standing, in words.
    pub overrides: Vec<String>,
    /// What it can do less than it should, in words; empty if nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degraded: Vec<String>,
    /// Its values under the names of IEC 61400-25 and in that standard's units, if the site publishes those.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Value>,
    /// How a park stands, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub park: Option<Park>,
}

/// A park: its power limit is its reference.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Park {
    /// Its turbines.
    pub turbines: usize,
    /// The reference behind its ramp.
    pub ramped_kw: f64,
    /// What the frequency asks for besides.
    pub answer_kw: f64,
    /// What it shall give now.
    pub target_kw: f64,
    /// What it could give.
    pub available_kw: f64,
    /// Frequency of the grid, if it is known.
    pub frequency_hz: Option<f64>,
}

/// A value that is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number in the unit of its name.
    Number(f64),
    /// A word.
    Word(String),
}

/// A device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Name.
    pub name: String,
    /// The bus it hangs on.
    pub bus: String,
    /// The loop group that it serves.
    #[serde(default)]
    pub group: String,
    /// `online`, `connecting`, `quarantined` or `closed`.
    pub state: String,
    /// Requests sent.
    pub transactions: u64,
    /// Complete scans.
    pub scans: u64,
    /// Acknowledged writes.
    pub writes: u64,
    /// Outputs that were late and therefore dropped.
    pub outputs_expired: u64,
    /// Sum of all faults.
    pub errors: u64,
    /// Faults by name; only those that occurred.
    pub errors_by_name: BTreeMap<String, u64>,
    /// From request to answer.
    pub round_trip: Distribution,
    /// Age of the inputs when a cycle used them.
    pub input_age: Distribution,
}

/// Commands since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Commands {
    /// Messages on command topics.
    pub received: u64,
    /// Accepted and answered so.
    pub acknowledged: u64,
    /// Carried out by a cycle.
    pub executed: u64,
    /// Refused and answered so.
    pub refused: u64,
    /// Refusals by reason.
    pub refused_by_reason: BTreeMap<String, u64>,
}

/// The link to the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MqttLink {
    /// Address.
    pub broker: String,
    /// Whether it is up.
    pub connected: bool,
    /// Messages that left.
    pub published: u64,
    /// Messages that the broker acknowledged.
    pub acknowledged: u64,
    /// Messages sent again after a reconnect.
    pub resent: u64,
    /// Messages that wait for an acknowledgement.
    pub pending: u64,
}

/// The plan in force, and others on their way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Name.
    pub name: String,
    /// Number.
    pub epoch: u32,
    /// The site's own plan file.
    pub file: String,
    /// Why the last reading of that file was refused, if it was.
    pub refused: Option<String>,
    /// SHA-256 of the plan's canonical form, or of the text of the plan file; hexadecimal.
    #[serde(default)]
    pub digest: String,
    /// `soaking` while it is on trial, `last-known-good` after that.
    #[serde(default)]
    pub stage: String,
    /// The plan that waits for its activation, in words.
    #[serde(default)]
    pub staged: Option<String>,
    /// The plan that the node falls back to, in words.
    #[serde(default)]
    pub last_known_good: String,
    /// The plan that was given up last, and why, in words.
    #[serde(default)]
    pub given_up: Option<String>,
    /// Rules of the plan that apply now.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Signed plans that were activated since the start.
    #[serde(default)]
    pub activations: u64,
    /// Signed plans that were rolled back since the start.
    #[serde(default)]
    pub rollbacks: u64,
    /// Signed plans that were refused since the start, by reason.
    #[serde(default)]
    pub rejected: BTreeMap<String, u64>,
    /// What keeps plans from being what they should be, in words.
    #[serde(default)]
    pub degraded: Vec<String>,
}

/// Real-time set-up as read back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Realtime {
    /// `required` or `preferred`.
    pub wanted: String,
    /// Whether everything wanted was obtained.
    pub obtained: bool,
    /// Memory locked, read back in KiB.
    pub locked_kib: u64,
    /// What is missing, in words; empty if nothing.
    pub degraded: Vec<String>,
}

impl Device {
    /// Whether it answers.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.state == "online"
    }
}

impl Report {
    /// All that keeps this agent from being what it should be, in words; empty if nothing.
    #[must_use]
    pub fn degradations(&self) -> Vec<String> {
        let mut reasons = self.realtime.degraded.clone();
        for group in &self.groups {
            if group.stalled {
                reasons.push(format!("group {} runs no cycles", group.name));
            }
            if group.mode == "safe" {
                reasons.push(format!("group {} is in its safe state", group.name));
            }
            if group.units_blind > 0 {
                reasons
                    .push(format!("group {}: {} units without usable inputs", group.name, group.units_blind));
            }
        }
        for unit in &self.units {
            reasons.extend(unit.degraded.iter().map(|what| format!("unit {}: {what}", unit.name)));
        }
        // At the end the agent itself closes its connections.
        let ends = self.phase == Phase::Stopping;
        for device in self.devices.iter().filter(|device| !ends && !device.is_online()) {
            reasons.push(format!("device {} is {}", device.name, device.state));
        }
        if let Some(mqtt) = self.mqtt.as_ref().filter(|mqtt| !mqtt.connected) {
            reasons.push(format!("no connection to the broker {}", mqtt.broker));
        }
        reasons.extend(self.pair.iter().flat_map(|pair| pair.degraded.iter().cloned()));
        reasons.extend(self.fleet.iter().flat_map(|fleet| fleet.degraded.iter().cloned()));
        reasons.extend(self.plan.refused.as_ref().map(|why| format!("plan refused: {why}")));
        reasons.extend(self.plan.degraded.iter().cloned());
        reasons.extend(self.traces.failed.as_ref().map(|why| format!("no trace can be written: {why}")));
        reasons.extend(self.plan.rules.iter().map(|rule| format!("plan: the rule {rule} applies")));
        reasons
    }
}
