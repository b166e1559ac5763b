//! From text to a checked site.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_cycle::{DerBinding, ParkBinding, TurbineBinding, VehicleBinding};
use agent_plan::wire::SOCKET_NAME;
use failover_protocol::Node;
use hal_diagnostics::{Diagnostic, Document, Spanned};
use hal_field_bus::{DeviceProfile, SerialTiming};
use hal_linux_rt::CoreSet;
use hal_linux_rt::doctor::default_core;
use hal_modbus::{Parity, Transport};
use hal_units::Duration;

use crate::unit_state::ValueNames;

use super::text::{
    BusText, CgroupText, GroupText, LinkText, LogFormat, MqttText, NamesText, NodeText, PairText, ParityText,
    PlansText, RtuText, SiteText, TurbineText,
};
use super::{
    AdminConfig, ArbiterConfig, BusConfig, CgroupConfig, DeviceConfig, GroupConfig, IoConfig, LogConfig,
    MqttConfig, PairConfig, PlansConfig, PlantConfig, SiteConfig, UnitConfig,
};

/// Reads a file that a site names; the path is whole.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> Result<Document, Diagnostic>;

impl SiteConfig {
    /// Reads a site file and the files that it names.
    ///
    /// # Errors
    /// At the first thing that is missing, unknown, out of range or contradictory, with its place.
    pub fn read(path: &Path) -> Result<Self, Diagnostic> {
        let document = Document::read(path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&document, folder, &Document::read)
    }

    /// Checks a site file's text; relative paths in it start at `folder`.
    ///
    /// # Errors
    /// As [`SiteConfig::read`].
    pub fn parse(document: &Document, folder: &Path, read: ReadFile<'_>) -> Result<Self, Diagnostic> {
        let text: SiteText = document.parse()?;
        let checker = Checker { document, folder, read };
        checker.topic_name(&text.name)?;
        let groups = checker.groups(&text.group)?;
        let (mut buses, bus_names) = checker.buses(&text.bus)?;
        let devices = checker.devices(&text, &bus_names)?;
        let mut units = Units::new(&groups, &devices);
        checker.turbines(&text.turbine, &mut units)?;
        checker.ders(&text.der, &mut units)?;
        checker.parks(&text.park, &mut units)?;
        let vehicles = text.fleet.as_ref().map(|fleet| checker.vehicles(fleet, &mut units)).transpose()?;
        if units.all.is_empty() && text.fleet.is_none() {
            return Err(document.whole("there is no [[turbine]]", "add one: there is nothing to control"));
        }
        let units = units.all;
        checker.wire_buses(&text, &mut buses, &devices, &units)?;
        let fleet = match (&text.fleet, vehicles) {
            (Some(fleet), Some(vehicles)) => Some(checker.fleet(fleet, vehicles, &text)?),
            _ => None,
        };
        let stop_limit_s = text.stop.limit_s.as_ref();
        let state_dir = folder.join(&text.state_dir);
        let plans = text.plans.as_ref().map(|plans| checker.plans(plans, &state_dir)).transpose()?;
        Ok(Self {
            name: text.name.get_ref().clone(),
            realtime: text.realtime,
            plan: folder.join(&text.plan),
            state_dir,
            admin: AdminConfig {
                socket: folder.join(&text.admin.socket),
                listen: text.admin.listen.as_ref().map(|listen| checker.address(listen)).transpose()?,
            },
            log: LogConfig { json: text.log.format == LogFormat::Json, filter: text.log.level.clone() },
            mqtt: text.mqtt.as_ref().map(|mqtt| checker.mqtt(mqtt, client_id(&text))).transpose()?,
            io: IoConfig {
                core: text.io.core,
                priority: text
                    .io
                    .priority
                    .as_ref()
                    .map(|p| checker.within(p, 1, 99, "priority"))
                    .transpose()?,
            },
            pair: text.pair.as_ref().map(|pair| checker.pair(pair)).transpose()?,
            cgroup: text.cgroup.as_ref().map(|cgroup| checker.cgroup(cgroup)).transpose()?,
            stop_limit: Duration::from_secs(u64::from(match stop_limit_s {
                Some(limit) => checker.within(limit, 1, 3600, "limit_s")?,
                None => 120,
            })),
            epoch: text.epoch,
            groups,
            buses,
            devices,
            units,
            fleet,
            plans,
        })
    }
}

/// The unit that takes commands to the fleet.
pub(crate) const FLEET: &str = "fleet";

/// Units under construction.
pub(super) struct Units<'a> {
    devices: &'a [DeviceConfig],
    device_names: Names,
    group_names: Names,
    names: Names,
    driven: HashSet<usize>,
    pub(super) all: Vec<UnitConfig>,
}

impl<'a> Units<'a> {
    fn new(groups: &[GroupConfig], devices: &'a [DeviceConfig]) -> Self {
        Self {
            devices,
            device_names: enumerate(devices.iter().map(|device| device.name.clone())),
            group_names: enumerate(groups.iter().map(|group| group.name.clone())),
            names: Names::new(),
            driven: HashSet::new(),
            all: Vec::new(),
        }
    }
}

/// Names already taken, and where each stands in its list.
pub(super) type Names = HashMap<String, usize>;

pub(super) struct Checker<'a> {
    pub(super) document: &'a Document,
    pub(super) folder: &'a Path,
    pub(super) read: ReadFile<'a>,
}

impl Checker<'_> {
    pub(super) fn within<T>(&self, field: &Spanned<T>, low: T, high: T, name: &str) -> Result<T, Diagnostic>
    where
        T: PartialOrd + Copy + std::fmt::Display,
    {
        let value = *field.get_ref();
        if value >= low && value <= high {
            return Ok(value);
        }
        Err(self.document.at(field.span(), format!("{name} is {value}"), format!("give {low} to {high}")))
    }

    /// A name that becomes part of an MQTT topic.
    fn topic_name(&self, name: &Spanned<String>) -> Result<(), Diagnostic> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        let text = name.get_ref();
        if !text.is_empty() && text.len() <= 64 && text.chars().all(plain) {
            return Ok(());
        }
        Err(self.document.at(
            name.span(),
            format!("`{text}` is no name"),
            "use 1 to 64 letters, digits, `-`, `_` and `.`: names become parts of MQTT topics",
        ))
    }

    pub(super) fn new_name(&self, names: &mut Names, name: &Spanned<String>) -> Result<(), Diagnostic> {
        self.topic_name(name)?;
        let position = names.len();
        if names.insert(name.get_ref().clone(), position).is_some() {
            return Err(self.document.at(
                name.span(),
                format!("the name `{}` stands twice", name.get_ref()),
                "rename one of the two",
            ));
        }
        Ok(())
    }

    fn position(&self, names: &Names, name: &Spanned<String>, what: &str) -> Result<usize, Diagnostic> {
        names.get(name.get_ref()).copied().ok_or_else(|| {
            let mut known: Vec<&str> = names.keys().map(String::as_str).collect();
            known.sort_unstable();
            known.truncate(12);
            self.document.at(
                name.span(),
                format!("there is no {what} `{}`", name.get_ref()),
                format!("add a [[{what}]] of that name, or name one of: {}", known.join(", ")),
            )
        })
    }

    fn address(&self, text: &Spanned<String>) -> Result<SocketAddr, Diagnostic> {
        text.get_ref().parse().map_err(|_| {
            self.document.at(
                text.span(),
                format!("`{}` is no address", text.get_ref()),
                "give an IP address and a port, as in \"192.0.2.7:502\" or \"[2001:db8::7]:502\"",
            )
        })
    }

    pub(super) fn mqtt(&self, text: &MqttText, client_id: String) -> Result<MqttConfig, Diagnostic> {
        let broker = text.broker.get_ref();
        let host_port = broker.strip_prefix("mqtt://").and_then(|rest| rest.rsplit_once(':'));
        let sound = host_port.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !sound {
            return Err(self.document.at(
                text.broker.span(),
                format!("`{broker}` is no broker"),
                "give \"mqtt://HOST:PORT\"",
            ));
        }
        Ok(MqttConfig {
            broker: broker.clone(),
            client_id: text.client_id.clone().unwrap_or(client_id),
            credentials: text.user.clone().map(|user| (user, text.password.clone().unwrap_or_default())),
            names: match text.names {
                NamesText::Takt => ValueNames::Takt,
                NamesText::Iec61400 => ValueNames::Iec61400,
            },
            sparkplug_group: match &text.sparkplug_group {
                Some(group) => self.topic_name(group).map(|()| Some(group.get_ref().clone()))?,
                None => None,
            },
        })
    }

    fn cgroup(&self, text: &CgroupText) -> Result<CgroupConfig, Diagnostic> {
        let cores = text.cores.as_ref().map(|list| {
            CoreSet::parse(list.get_ref()).map_err(|error| {
                self.document.at(list.span(), error.to_string(), "give cores as in \"1\" or \"0-1,3\"")
            })
        });
        let within = |field: &Option<Spanned<u64>>, low, high, name| {
            field.as_ref().map(|value| self.within(value, low, high, name)).transpose()
        };
        Ok(CgroupConfig {
            name: text.name.clone(),
            cores: cores.transpose()?,
            memory_max_mib: within(&text.memory_max_mib, 16, 1 << 20, "memory_max_mib")?,
            rt_runtime: within(&text.rt_runtime_us, 1_000, 950_000, "rt_runtime_us")?
                .map(Duration::from_micros),
        })
    }

    fn plans(&self, text: &PlansText, state_dir: &Path) -> Result<PlansConfig, Diagnostic> {
        if let Some(node) = &text.node {
            self.topic_name(node)?;
        }
        Ok(PlansConfig {
            keys: self.folder.join(&text.keys),
            node: text.node.as_ref().map(|node| node.get_ref().clone()).unwrap_or_default(),
            socket: match &text.socket {
                Some(socket) => self.folder.join(socket),
                None => state_dir.join(SOCKET_NAME),
            },
        })
    }

    fn pair(&self, text: &PairText) -> Result<PairConfig, Diagnostic> {
        let links = text.links.get_ref();
        if links.is_empty() || links.len() > 2 {
            return Err(self.document.at(
                text.links.span(),
                format!("a pair has {} links", links.len()),
                "give one or, so that one cable may be cut, two: { local = \"IP:PORT\", peer = \"IP:PORT\" }",
            ));
        }
        let link = |link: &LinkText| Ok((self.address(&link.local)?, self.address(&link.peer)?));
        Ok(PairConfig {
            node: match text.node.get_ref() {
                NodeText::A => Node::A,
                NodeText::B => Node::B,
            },
            key_file: self.folder.join(text.key_file.get_ref()),
            links: links.iter().map(link).collect::<Result<_, Diagnostic>>()?,
            arbiter: ArbiterConfig {
                address: self.address(&text.arbiter.tcp)?,
                unit_id: self.within(&text.arbiter.unit_id, 1, 247, "unit_id")?,
                register: text.arbiter.register,
                function: text.arbiter.function,
            },
            gate: text.gate,
            core: text.core,
            priority: text.priority.as_ref().map(|p| self.within(p, 1, 99, "priority")).transpose()?,
        })
    }

    fn groups(&self, texts: &[GroupText]) -> Result<Vec<GroupConfig>, Diagnostic> {
        if texts.is_empty() {
            return Err(self
                .document
                .whole("there is no [[group]]", "add one: loops need a period and a core"));
        }
        let mut names = Names::new();
        texts.iter().map(|text| self.group(text, &mut names)).collect()
    }

    fn group(&self, text: &GroupText, names: &mut Names) -> Result<GroupConfig, Diagnostic> {
        self.new_name(names, &text.name)?;
        let period_us = self.within(&text.period_us, 500, 1_000_000, "period_us")?;
        let deadline_us = match &text.deadline_us {
            Some(deadline) => self.within(deadline, 100, period_us, "deadline_us")?,
            None => period_us,
        };
        let validity_us = match &text.output_validity_us {
            Some(validity) => self.within(validity, period_us / 2, period_us * 100, "output_validity_us")?,
            None => period_us * 3,
        };
        Ok(GroupConfig {
            name: text.name.get_ref().clone(),
            period: Duration::from_micros(period_us),
            deadline: Duration::from_micros(deadline_us),
            budget: Duration::from_micros(self.within(&text.budget_us, 10, deadline_us, "budget_us")?),
            // In a pod nobody knows which core it will get.
            core: text.core.or(u16::try_from(default_core()).ok()).unwrap_or(0),
            priority: self.within(&text.priority, 1, 98, "priority")?,
            output_validity: Duration::from_micros(validity_us),
            consecutive_misses_max: match &text.consecutive_misses_max {
                Some(misses) => self.within(misses, 1, 10_000, "consecutive_misses_max")?,
                None => 20,
            },
        })
    }

    fn buses(&self, texts: &[BusText]) -> Result<(Vec<BusConfig>, Names), Diagnostic> {
        let mut names = Names::new();
        let mut buses = Vec::with_capacity(texts.len());
        for text in texts {
            self.new_name(&mut names, &text.name)?;
            let transport = match (&text.tcp, &text.rtu) {
                (Some(tcp), None) => Transport::Tcp { address: self.address(tcp)? },
                (None, Some(rtu)) => self.rtu(rtu)?,
                (Some(_), Some(_)) | (None, None) => {
                    return Err(self.document.at(
                        text.name.span(),
                        format!("the bus `{}` needs either `tcp` or `rtu`", text.name.get_ref()),
                        "give tcp = \"IP:PORT\", or rtu = { path = \"/dev/ttyUSB0\", baud_rate = 19200 }",
                    ));
                }
            };
            let round_trip_us = match &text.round_trip_us {
                Some(round_trip) => self.within(round_trip, 10, 10_000_000, "round_trip_us")?,
                None => 500,
            };
            buses.push(BusConfig {
                name: text.name.get_ref().clone(),
                transport,
                group: 0,
                devices: Vec::new(),
                round_trip: Duration::from_micros(round_trip_us),
            });
        }
        Ok((buses, names))
    }

    fn rtu(&self, text: &Spanned<RtuText>) -> Result<Transport, Diagnostic> {
        let rtu = text.get_ref();
        let complain = |what: String, remedy: &str| self.document.at(text.span(), what, remedy);
        if !(300..=4_000_000).contains(&rtu.baud_rate) {
            return Err(complain(format!("baud_rate is {}", rtu.baud_rate), "give 300 to 4000000"));
        }
        Ok(Transport::Rtu {
            path: self.folder.join(&rtu.path),
            timing: SerialTiming::new(rtu.baud_rate),
            parity: match rtu.parity {
                ParityText::Even => Parity::Even,
                ParityText::Odd => Parity::Odd,
                ParityText::None => Parity::None,
                ParityText::NoneOneStop => Parity::NoneOneStop,
            },
        })
    }

    fn devices(&self, site: &SiteText, buses: &Names) -> Result<Vec<DeviceConfig>, Diagnostic> {
        let mut names = Names::new();
        let mut profiles: HashMap<PathBuf, Arc<DeviceProfile>> = HashMap::new();
        let mut addresses = HashSet::new();
        let mut devices = Vec::with_capacity(site.device.len());
        for text in &site.device {
            self.new_name(&mut names, &text.name)?;
            let bus = self.position(buses, &text.bus, "bus")?;
            let unit_id = self.within(&text.unit_id, 1, 247, "unit_id")?;
            if !addresses.insert((bus, unit_id)) {
                return Err(self.document.at(
                    text.name.span(),
                    format!("unit id {unit_id} stands twice on the bus `{}`", text.bus.get_ref()),
                    "give each device of a bus a unit_id of its own",
                ));
            }
            let path = self.folder.join(text.profile.get_ref());
            let profile = match profiles.get(&path) {
                Some(profile) => Arc::clone(profile),
                None => {
                    let profile = DeviceProfile::parse(&(self.read)(&path)?)?;
                    let profile = Arc::new(in_office(profile, site.epoch));
                    profiles.insert(path, Arc::clone(&profile));
                    profile
                }
            };
            devices.push(DeviceConfig { name: text.name.get_ref().clone(), bus, unit_id, profile });
        }
        Ok(devices)
    }

    fn turbines(&self, texts: &[TurbineText], units: &mut Units<'_>) -> Result<(), Diagnostic> {
        for text in texts {
            let plant = PlantConfig::Turbine(Box::new(self.controller(text)?));
            self.unit(units, (&text.name, &text.device, &text.group), plant)?;
        }
        Ok(())
    }

    /// Adds a unit; returns its position in the site.
    pub(super) fn unit(
        &self,
        units: &mut Units<'_>,
        (name, device_name, group): (&Spanned<String>, &Spanned<String>, &Spanned<String>),
        plant: PlantConfig,
    ) -> Result<usize, Diagnostic> {
        self.new_name(&mut units.names, name)?;
        if name.get_ref() == FLEET {
            return Err(self.document.at(
                name.span(),
                format!("`{FLEET}` is the name of the unit that takes transport orders"),
                "give another name",
            ));
        }
        let device = self.position(&units.device_names, device_name, "device")?;
        if !units.driven.insert(device) {
            return Err(self.document.at(
                device_name.span(),
                format!("the device `{}` has two units", device_name.get_ref()),
                "an actuator has one owner: give each turbine and each vehicle a device of its own",
            ));
        }
        if let Some(device) = units.devices.get(device) {
            let bound = match &plant {
                PlantConfig::Turbine(parameters) => {
                    TurbineBinding::of(&device.profile, parameters.individual.is_some()).map(|_| ())
                }
                PlantConfig::Vehicle(parameters) => {
                    VehicleBinding::of(&device.profile, parameters.chassis).map(|_| ())
                }
                PlantConfig::Der(_) => DerBinding::of(&device.profile).map(|_| ()),
                PlantConfig::Park(_) => ParkBinding::of(&device.profile).map(|_| ()),
            };
            bound.map_err(|error| {
                self.document.at(
                    device_name.span(),
                    error.to_string(),
                    "name the tag so in the profile, or use another profile",
                )
            })?;
        }
        let group = self.group_of(units, group)?;
        units.all.push(UnitConfig { name: name.get_ref().clone(), group, device, plant });
        Ok(units.all.len() - 1)
    }

    /// The position of a group.
    pub(super) fn group_of(&self, units: &Units<'_>, name: &Spanned<String>) -> Result<usize, Diagnostic> {
        self.position(&units.group_names, name, "group")
    }

    /// Gives each bus its devices and the group whose rhythm it follows.
    fn wire_buses(
        &self,
        text: &SiteText,
        buses: &mut [BusConfig],
        devices: &[DeviceConfig],
        units: &[UnitConfig],
    ) -> Result<(), Diagnostic> {
        let mut rhythm: HashMap<usize, usize> = HashMap::new();
        for (at, device) in devices.iter().enumerate() {
            let Some(name) = text.device.get(at).map(|device| &device.name) else { continue };
            let Some(unit) = units.iter().find(|unit| unit.device == at) else {
                return Err(self.document.at(
                    name.span(),
                    format!("no unit uses the device `{}`", device.name),
                    "add a [[turbine]], a [[der]], a [[park]] or a [[fleet.vehicle]] for it, or remove the device",
                ));
            };
            if *rhythm.entry(device.bus).or_insert(unit.group) != unit.group {
                return Err(self.document.at(
                    name.span(),
                    "devices of one bus serve loop groups with different rhythms",
                    "put the units of a bus into one group",
                ));
            }
            if let Some(bus) = buses.get_mut(device.bus) {
                bus.group = unit.group;
                bus.devices.push(at);
            }
        }
        for (at, bus) in buses.iter().enumerate() {
            if bus.devices.is_empty()
                && let Some(name) = text.bus.get(at).map(|bus| &bus.name)
            {
                return Err(self.document.at(
                    name.span(),
                    format!("no device hangs on the bus `{}`", bus.name),
                    "add a [[device]] with this bus, or remove the bus",
                ));
            }
        }
        Ok(())
    }
}

/// Two clients of one name throw each other out: each node of a pair has its own.
fn client_id(site: &SiteText) -> String {
    let name = site.name.get_ref();
    match site.pair.as_ref().map(|pair| *pair.node.get_ref()) {
        None => format!("takt-agent-{name}"),
        Some(NodeText::A) => format!("takt-agent-{name}-a"),
        Some(NodeText::B) => format!("takt-agent-{name}-b"),
    }
}

/// The profile with the site's term of office in its first outputs: a device that has seen it refuses a
/// lower one, and would never take the safe action with which each connection begins.
fn in_office(mut profile: DeviceProfile, epoch: u32) -> DeviceProfile {
    if let Some(tag) = profile.epoch
        && let Some(output) = profile.outputs.get_mut(usize::from(tag.0))
    {
        output.initial = f64::from(epoch);
    }
    profile
}

fn enumerate(names: impl Iterator<Item = String>) -> Names {
    names.enumerate().map(|(at, name)| (name, at)).collect()
}
