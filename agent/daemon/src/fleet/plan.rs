//! From a site with a `[fleet]` to a thread that is ready to run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use agent_cycle::FleetPorts;
use agent_fleet::{FleetError, SiteFleet, VehicleLink, VehicleSpec};
use control_loops_layouts::hall::{Hall, Selection};
use crossbeam_channel::bounded;
use hal_diagnostics::Diagnostic;
use hal_modbus::Office;
use hal_mqtt::client::{BrokerUrl, Credentials, UrlError};
use hal_mqtt::plain::{PlainLink, PlainOptions};
use hal_mqtt::topic::{Name, TopicError};
use tokio::sync::mpsc;

use super::drives::Drives;
use super::thread::{FleetThread, PairEnds, Wiring};
use crate::config::{FleetConfig, SiteConfig, VehicleLinkConfig};
use crate::pair::FleetSide;

/// The largest layout file that is read, in bytes.
const LAYOUT_BYTES_MAX: u64 = 64 << 20;
/// Messages that may wait between the network and the thread.
const QUEUE: usize = 8192;
/// States that may wait for the thread; it looks at the newest alone.
const NEWS_MAX: usize = 16;

/// Why there is no fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetStartError {
    /// The layout's file.
    #[error("{path}: {error}\n  remedy: name the layout in [fleet] layout")]
    Layout {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: std::io::Error,
    },
    /// The layout.
    #[error("{0}")]
    Text(#[from] Diagnostic),
    /// Vehicles cannot be controlled on this layout.
    #[error("the layout {path} cannot be controlled: {error:?}")]
    Fleet {
        /// The layout's file.
        path: PathBuf,
        /// Why not.
        error: FleetError,
    },
    /// The broker.
    #[error("[fleet] broker: {0}")]
    Broker(#[from] UrlError),
    /// The name of a station.
    #[error("a station's name cannot be part of a command: {0}")]
    Station(#[from] TopicError),
    /// A thread.
    #[error("the fleet's thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// How a vehicle is told what to do.
fn link(site: &SiteConfig, config: &VehicleLinkConfig) -> VehicleLink {
    match config {
        VehicleLinkConfig::Vda(address) => VehicleLink::Vda(address.clone()),
        VehicleLinkConfig::Unit(at) => {
            let device = site.units.get(*at).and_then(|unit| site.devices.get(unit.device));
            VehicleLink::Drive {
                profile: device.map_or_else(String::new, |device| device.profile.name.clone()),
            }
        }
    }
}

/// A fleet under construction.
pub(crate) struct FleetPlan {
    fleet: SiteFleet,
    keep: PathBuf,
    stations: Vec<Name>,
    options: PlainOptions,
    config: FleetConfig,
    epoch: u32,
    pair: Option<PairEnds>,
    drives: Drives,
}

impl FleetPlan {
    /// Reads the layout; `None` if the site has no fleet.
    pub(crate) fn read(site: &SiteConfig) -> Result<Option<Self>, FleetStartError> {
        let Some(config) = site.fleet.clone() else { return Ok(None) };
        let path = config.layout.clone();
        let failed = |error| FleetStartError::Layout { path: path.clone(), error };
        let bytes = std::fs::metadata(&config.layout).map_err(failed)?.len();
        if bytes > LAYOUT_BYTES_MAX {
            return Err(failed(std::io::Error::other(format!("{bytes} bytes are too many"))));
        }
        let text = std::fs::read_to_string(&config.layout).map_err(failed)?;
        let selection = Selection {
            layout_id: &config.layout_id,
            vehicle_type: &config.vehicle_type,
            chargers: &config.chargers,
            parking: &config.parking,
        };
        let hall = Hall::parse(&config.layout.display().to_string(), &text, selection)?;
        let stations = hall.stations.iter().map(|(name, _)| Name::new(name)).collect::<Result<_, _>>()?;
        let vehicles: Vec<VehicleSpec> = config
            .vehicles
            .iter()
            .map(|vehicle| VehicleSpec { name: vehicle.name.clone(), link: link(site, &vehicle.link) })
            .collect();
        // A grid has no name but its file's.
        let stem =
            config.layout.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let map_id = if config.layout_id.is_empty() { stem } else { config.layout_id.clone() };
        let fleet = SiteFleet::new(hall, &map_id, &vehicles, config.orders_max, config.step)
            .map_err(|error| FleetStartError::Fleet { path: path.clone(), error })?;
        let keep = site.state_dir.join("fleet.state");
        let broker = &config.broker;
        let options = PlainOptions {
            broker: BrokerUrl::parse(&broker.broker)?,
            client_id: broker.client_id.clone(),
            credentials: broker
                .credentials
                .clone()
                .map(|(username, password)| Credentials { username, password }),
            filters: SiteFleet::filters(&config.interface),
            last_will: None,
            queue: QUEUE,
        };
        Ok(Some(Self {
            fleet,
            keep,
            stations,
            options,
            config,
            epoch: site.epoch,
            pair: None,
            drives: Drives::default(),
        }))
    }

    /// Where loads are fetched and brought.
    pub(crate) fn stations(&self) -> impl Iterator<Item = Name> + '_ {
        self.stations.iter().cloned()
    }

    /// Reaches a group's vehicles through `ports`; `units` are its units' positions in the site.
    pub(crate) fn take_group(&mut self, ports: FleetPorts, units: &[usize]) {
        let vehicle_of = |unit: &usize| {
            let is_it = |link: &VehicleLinkConfig| matches!(link, VehicleLinkConfig::Unit(at) if at == unit);
            self.config.vehicles.iter().position(|vehicle| is_it(&vehicle.link))
        };
        self.drives.add(ports, units.iter().map(vehicle_of).collect());
    }

    /// Makes the fleet one of a pair.
    pub(crate) fn in_pair(&mut self) -> FleetSide {
        let (words, words_out) = mpsc::channel(NEWS_MAX);
        let (news, news_out) = bounded(NEWS_MAX);
        let peer_near = Arc::new(AtomicBool::new(false));
        self.pair = Some(PairEnds { words, news: news_out, peer_near: Arc::clone(&peer_near) });
        FleetSide { schema: SiteFleet::schema(), words: words_out, news, peer_near }
    }

    /// Starts the thread.
    pub(crate) fn start(self, office: Office) -> Result<FleetThread, FleetStartError> {
        let wiring = Wiring {
            fleet: self.fleet,
            link: PlainLink::new(self.options)?,
            interface: self.config.interface,
            layout: self.config.layout.display().to_string(),
            step: self.config.step,
            office,
            epoch: self.epoch,
            pair: self.pair,
            keep: self.keep,
            drives: self.drives,
        };
        Ok(FleetThread::start(wiring)?)
    }
}
