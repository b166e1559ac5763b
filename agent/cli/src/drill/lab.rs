//! A site of its own: two nodes, and a plant with a broker, in the network of [`super::network`].
//!
//! All names begin with `takt-drill-` and the drill's process id. Dropped, everything is ended and
//! removed; what a killed drill left is removed by the next one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sim_lab::LabError;
use sim_lab::kick::{Kick, family, raise, signal};
use sim_lab::namespace::remove_stale;
use sim_lab::process::{EndBy, Process};

use super::network::{self, Network};
use super::site::{self, BASE_PORT, BROKER, PairOptions};
use super::{DrillError, Side};
use sim_lab::site::NodeFiles;

const READY_WITHIN: Duration = Duration::from_secs(20);
/// Above the hog of `starve` (90), below the host's probes.
const SIMULATOR_PRIORITY: u8 = 95;

/// The site.
pub(super) struct Lab {
    // Dropped in this order: programs before what they live in.
    nodes: [Option<Process>; 2],
    simulator: Process,
    files: [NodeFiles; 2],
    network: Network,
    write_log: PathBuf,
}

/// What the plant is.
pub(super) struct Plant<'a> {
    pub(super) wind: &'a str,
    pub(super) seed: u64,
    /// Whether it has to run whatever else wants the processor: it stands for other machines.
    pub(super) undisturbed: bool,
    pub(super) pair: PairOptions,
}

impl Lab {
    /// Builds the network, starts the plant, and then both nodes.
    pub(super) fn start(folder: &Path, plant: &Plant<'_>) -> Result<Self, DrillError> {
        remove_stale(network::PREFIX);
        let network = Network::lay(plant.pair.turbines)?;
        let write_log = folder.join("writes.csv");
        let simulator = start_simulator(folder, &network.field().file(), plant, &write_log)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let core = |side: Side| cores.saturating_sub(side.pick(1, 2));
        let write = |side| site::write(folder, side, core(side), plant.pair);
        let files = [write(Side::A)?, write(Side::B)?];
        let mut lab = Self { nodes: [None, None], simulator, files, network, write_log };
        lab.start_node(Side::A)?;
        lab.start_node(Side::B)?;
        Ok(lab)
    }

    /// The simulator's log.
    pub(super) fn write_log(&self) -> &Path {
        &self.write_log
    }

    /// A node's admin socket.
    pub(super) fn socket(&self, side: Side) -> &Path {
        &side.of(&self.files).socket
    }

    /// The namespace that the broker is in.
    pub(super) fn field_namespace(&self) -> PathBuf {
        self.network.field().file()
    }

    /// The cables.
    pub(super) const fn network(&self) -> &Network {
        &self.network
    }

    /// Starts a node.
    pub(super) fn start_node(&mut self, side: Side) -> Result<(), DrillError> {
        let files = side.of(&self.files);
        let config = files.config.display().to_string();
        let namespace = self.network.node(side).file();
        let node = Process::start_in(
            Some(&namespace),
            "takt-agent",
            &["--config", &config],
            EndBy::Signal,
            &files.log,
        )?;
        *side.of_mut(&mut self.nodes) = Some(node);
        Ok(())
    }

    /// An error if the simulator, or a node that should run, has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), DrillError> {
        self.simulator.check()?;
        self.nodes.iter_mut().flatten().try_for_each(Process::check)?;
        Ok(())
    }

    /// Kills a node with all its processes.
    pub(super) fn kill_node(&mut self, side: Side) -> Result<(), DrillError> {
        let Some(node) = side.of_mut(&mut self.nodes).take() else { return Ok(()) };
        // The supervisor last: it would start the others again.
        let killed = family(node.id()).into_iter().map(|pid| signal(pid, Kick::Kill));
        let killed: Result<Vec<()>, LabError> = killed.collect();
        drop(node);
        self.network.node(side).kill_all();
        Ok(killed.map(drop)?)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.kill_node(Side::A);
        let _ = self.kill_node(Side::B);
    }
}

fn start_simulator(
    folder: &Path,
    field: &Path,
    plant: &Plant<'_>,
    write_log: &Path,
) -> Result<Process, DrillError> {
    let ports_file = folder.join("ports.json");
    let _ = std::fs::remove_file(&ports_file);
    let text = |path: &Path| path.display().to_string();
    let (turbines, seed) = (plant.pair.turbines.to_string(), plant.seed.to_string());
    let (port, broker) = (BASE_PORT.to_string(), BROKER.to_string());
    let (ports, writes) = (text(&ports_file), text(write_log));
    // A cut cable leaves connections half open at the plant, a lot of them in a long drill.
    let mut options = vec!["serve", "--turbines", &turbines, "--wind", plant.wind, "--seed", &seed];
    options.extend(["--ip", "0.0.0.0", "--base-port", &port, "--broker", &broker, "--arbiter", "1"]);
    options.extend(["--connections-max", "1000", "--ports-file", &ports, "--write-log", &writes]);
    options.push("--until-stdin-closes");
    if plant.pair.function != "fc23" {
        options.push("--no-fc23");
    }
    let log = folder.join("simulator.log");
    let mut simulator =
        Process::start_in(Some(field), "takt-sim", &options, EndBy::ClosingStandardInput, &log)?;
    let deadline = Instant::now() + READY_WITHIN;
    while !ports_file.exists() {
        simulator.check()?;
        if Instant::now() > deadline {
            let why = format!("takt-sim is not ready in {READY_WITHIN:?}");
            return Err(DrillError::File { path: text(&ports_file), why });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if plant.undisturbed {
        raise(simulator.id(), SIMULATOR_PRIORITY)?;
    }
    Ok(simulator)
}
