//! What is controlled: simulated turbines and vehicles, and the broker between them and the pair.

use std::path::Path;
use std::time::{Duration, Instant};

use sim_lab::hall;
use sim_lab::kick::raise;
use sim_lab::process::{EndBy, Process};

use crate::ClusterError;
use crate::network::{BASE_PORT, BROKER};

/// The turbines are other machines: they do not wait for the processor of this one.
const PRIORITY: u8 = 95;
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The simulators; dropped, they end.
pub(crate) struct Plant {
    turbines: Process,
    vehicles: Option<Process>,
}

/// What the turbines were written, in the plant's folder.
pub(crate) const WRITE_LOG: &str = "writes.csv";

impl Plant {
    pub(crate) fn start(
        folder: &Path,
        namespace: &Path,
        turbines: u16,
        vehicles: u16,
        seed: u64,
    ) -> Result<Self, ClusterError> {
        std::fs::create_dir_all(folder).map_err(ClusterError::file(folder))?;
        let text = |name: &str| folder.join(name).display().to_string();
        let (count, seed, port, broker) =
            (turbines.to_string(), seed.to_string(), BASE_PORT.to_string(), BROKER.to_string());
        let (ports, writes) = (text("ports.json"), text(WRITE_LOG));
        let mut options = vec!["serve", "--turbines", &count, "--wind", "turb:14:10", "--seed", &seed];
        options.extend(["--ip", "0.0.0.0", "--base-port", &port, "--broker", &broker, "--arbiter", "1"]);
        options.extend(["--connections-max", "1000", "--ports-file", &ports, "--write-log", &writes]);
        options.push("--until-stdin-closes");
        let simulator = Process::start_in(
            Some(namespace),
            "takt-sim",
            &options,
            EndBy::ClosingStandardInput,
            &folder.join("turbines.log"),
        )?;
        let mut plant = Self { turbines: simulator, vehicles: None };
        let deadline = Instant::now() + READY_WITHIN;
        while !folder.join("ports.json").exists() {
            plant.turbines.check()?;
            if Instant::now() > deadline {
                return Err(ClusterError::late("takt-sim", READY_WITHIN));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        raise(plant.turbines.id(), PRIORITY)?;
        if vehicles > 0 {
            let layout = folder.join("hall.json");
            std::fs::write(&layout, hall::json(vehicles)).map_err(ClusterError::file(&layout))?;
            let (count, layout) = (vehicles.to_string(), layout.display().to_string());
            let options = ["vehicles", "--layout", &layout, "--count", &count, "--broker", &broker];
            let options = [&options[..], &["--seed", &seed, "--until-stdin-closes"]].concat();
            plant.vehicles = Some(Process::start_in(
                Some(namespace),
                "takt-sim",
                &options,
                EndBy::ClosingStandardInput,
                &folder.join("vehicles.log"),
            )?);
        }
        Ok(plant)
    }

    /// An error if a part of it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), ClusterError> {
        self.turbines.check()?;
        if let Some(vehicles) = &mut self.vehicles {
            vehicles.check()?;
        }
        Ok(())
    }
}
