//! The demo's vehicles, and whoever gives them something to do.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_status::Report;
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::json;

use sim_lab::process::{EndBy, Process};

use super::site::SITE;
use super::{Args, DemoError, READY_WITHIN, SIMULATOR_ENDS_WITHIN};
use sim_lab::commander::Commander;
use sim_lab::hall;
use sim_lab::site::Drive;

const LIFETIME: SignedDuration = SignedDuration::from_secs(30);
/// Orders that are open at a time, for each vehicle: nearly all are busy, and an order seldom waits for one.
const OPEN_PER_VEHICLE: f64 = 0.7;
/// How often the open orders are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// Orders that are given at once at most.
const BURST: u64 = 10;

/// What truly happened to the vehicles.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Vehicles {
    pub(super) collisions: u64,
    pub(super) stops: u64,
    pub(super) nearest_m: Option<f64>,
    pub(super) kilometers: f64,
    pub(super) actions_done: u64,
    pub(super) messages_lost: u64,
    pub(super) drives: Option<Drives>,
}

/// What truly happened to those on Modbus.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Drives {
    pub(super) handlings: u64,
    pub(super) self_restarts: u64,
    pub(super) watchdog_starvations: u64,
}

/// The running fleet.
pub(super) struct DemoFleet {
    simulator: Process,
    drives: Vec<Drive>,
    truth: PathBuf,
    stations: Vec<String>,
    vehicles: u16,
    shipper: Option<Commander>,
    random: fastrand::Rng,
    /// Orders that may be given before the next count.
    room: u64,
    count_at: Instant,
}

impl DemoFleet {
    /// Starts the vehicles, if there are to be any.
    pub(super) fn start(folder: &Path, broker: &str, arguments: &Args) -> Result<Option<Self>, DemoError> {
        if arguments.agvs == 0 {
            return Ok(None);
        }
        let layout = folder.join("hall.json");
        std::fs::write(&layout, hall::json(arguments.agvs))
            .map_err(|error| DemoError::File { path: layout.clone(), why: error.to_string() })?;
        let truth = folder.join("vehicles.json");
        let address = broker.strip_prefix("mqtt://").unwrap_or(broker);
        let on_modbus = arguments.modbus_agvs();
        let (count, seed) = ((arguments.agvs - on_modbus).to_string(), arguments.seed.to_string());
        let (drives, ports) = (on_modbus.to_string(), folder.join("drives.json"));
        let ports_text = ports.display().to_string();
        let _ = std::fs::remove_file(&ports);
        let (delay, layout_text) = (arguments.radio_delay_ms.to_string(), layout.display().to_string());
        let truth_text = truth.display().to_string();
        let options = [
            "vehicles",
            "--layout",
            &layout_text,
            "--count",
            &count,
            "--broker",
            address,
            "--seed",
            &seed,
            "--json",
            &truth_text,
            "--delay-ms",
            &delay,
            "--loss",
            &arguments.radio_loss,
            "--drives",
            &drives,
            "--ports-file",
            &ports_text,
            "--until-stdin-closes",
        ];
        let log = folder.join("vehicles.log");
        let mut simulator = Process::start("takt-sim", &options, EndBy::ClosingStandardInput, &log)?;
        let drives = wait_for_drives(&mut simulator, &ports)?;
        Ok(Some(Self {
            simulator,
            drives,
            truth,
            stations: hall::stations(arguments.agvs),
            vehicles: arguments.agvs,
            shipper: None,
            random: fastrand::Rng::with_seed(arguments.seed),
            room: 0,
            count_at: Instant::now(),
        }))
    }

    /// The vehicles on the field bus.
    pub(super) fn drives(&self) -> &[Drive] {
        &self.drives
    }

    /// From now on there is something to do.
    pub(super) fn begin(&mut self, broker: &str) -> Result<(), DemoError> {
        self.shipper = Some(Commander::connect(broker, SITE, "demo-shipper", Duration::from_secs(5))?);
        Ok(())
    }

    /// Gives orders as there is room for them.
    pub(super) fn turn(&mut self, report: impl FnOnce() -> Option<Report>) -> Result<(), DemoError> {
        self.simulator.check()?;
        if Instant::now() >= self.count_at {
            self.count_at = Instant::now() + COUNT_INTERVAL;
            if let Some(fleet) = report().and_then(|report| report.fleet) {
                let open = fleet.orders.waiting + fleet.orders.under_way;
                let away = |state: &str| matches!(state, "absent" | "not connected" | "entering");
                let there = fleet.vehicles.iter().filter(|vehicle| !away(&vehicle.state)).count();
                // Before they have all come an order would wait for a vehicle.
                let wanted = if there < usize::from(self.vehicles) { 0.0 } else { OPEN_PER_VEHICLE };
                self.room = ((f64::from(self.vehicles) * wanted).ceil() as u64).saturating_sub(open);
            }
        }
        let Some(shipper) = &self.shipper else { return Ok(()) };
        for _ in 0..self.room.min(BURST) {
            let from = self.random.usize(..self.stations.len());
            let to = (from + self.random.usize(1..self.stations.len())) % self.stations.len();
            let (Some(from), Some(to)) = (self.stations.get(from), self.stations.get(to)) else { break };
            shipper.send("fleet", "transport", &json!({ "from": from, "to": to }), LIFETIME)?;
            self.room -= 1;
        }
        while shipper.answer(Duration::ZERO).is_some() {}
        Ok(())
    }

    /// Ends the vehicles; what truly happened to them.
    pub(super) fn end(mut self) -> Result<Vehicles, DemoError> {
        self.simulator.end(SIMULATOR_ENDS_WITHIN)?;
        let failed = |why: String| DemoError::File { path: self.truth.clone(), why };
        let text = std::fs::read_to_string(&self.truth).map_err(|error| failed(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
    }
}

/// The file in which the simulator says where the vehicles on the field bus listen.
#[derive(Deserialize)]
struct Ports {
    drives: Vec<Drive>,
}

fn wait_for_drives(simulator: &mut Process, file: &Path) -> Result<Vec<Drive>, DemoError> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        simulator.check()?;
        if let Ok(json) = std::fs::read_to_string(file) {
            let ports: Ports = serde_json::from_str(&json)
                .map_err(|error| DemoError::File { path: file.to_owned(), why: error.to_string() })?;
            return Ok(ports.drives);
        }
        if Instant::now() > deadline {
            return Err(DemoError::Start { name: "takt-sim", why: "its vehicles do not come".to_owned() });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
