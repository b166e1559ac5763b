//! What is controlled: simulated turbines and vehicles, and the broker between them and the pair.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::time::{Duration, Instant};

use sim_lab::hall;
use sim_lab::kick::raise;
use sim_lab::process::{EndBy, Process};

use crate::ClusterError;

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

/// Where the turbines say that they listen.
const PORTS: &str = "ports.json";

/// How much of it there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) turbines: u16,
    pub(crate) vehicles: u16,
    pub(crate) seed: u64,
}

/// Where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    /// A host of its own, whose turbines do not wait for the processor; or none, and they are processes like others.
    pub(crate) namespace: Option<&'a Path>,
    /// The address that turbines listen on.
    pub(crate) ip: Ipv4Addr,
    /// The port of the first; 0: any.
    pub(crate) base_port: u16,
    /// Where the broker listens.
    pub(crate) broker: SocketAddrV4,
}

/// Where the turbines listen, as they say.
pub(crate) fn addresses(folder: &Path) -> Result<Vec<SocketAddr>, ClusterError> {
    #[derive(serde::Deserialize)]
    struct Ports {
        turbines: Vec<Listens>,
    }
    #[derive(serde::Deserialize)]
    struct Listens {
        address: SocketAddr,
    }
    let path = folder.join(PORTS);
    let text = std::fs::read_to_string(&path).map_err(ClusterError::file(&path))?;
    let ports: Ports =
        serde_json::from_str(&text).map_err(|error| ClusterError::File { path, why: error.to_string() })?;
    Ok(ports.turbines.into_iter().map(|turbine| turbine.address).collect())
}

impl Plant {
    pub(crate) fn start(folder: &Path, place: &Ground<'_>, size: Size) -> Result<Self, ClusterError> {
        let Size { turbines, vehicles, seed } = size;
        let Ground { namespace, ip, base_port, broker } = *place;
        std::fs::create_dir_all(folder).map_err(ClusterError::file(folder))?;
        let text = |name: &str| folder.join(name).display().to_string();
        let (count, seed, port, broker) =
            (turbines.to_string(), seed.to_string(), base_port.to_string(), broker.to_string());
        let ip = ip.to_string();
        let (ports, writes) = (text(PORTS), text(WRITE_LOG));
        let mut options = vec!["serve", "--turbines", &count, "--wind", "turb:14:10", "--seed", &seed];
        options.extend(["--ip", &ip, "--base-port", &port, "--broker", &broker, "--arbiter", "1"]);
        options.extend(["--connections-max", "1000", "--ports-file", &ports, "--write-log", &writes]);
        options.push("--until-stdin-closes");
        let simulator = Process::start_in(
            namespace,
            "takt-sim",
            &options,
            EndBy::ClosingStandardInput,
            &folder.join("turbines.log"),
        )?;
        let mut plant = Self { turbines: simulator, vehicles: None };
        let deadline = Instant::now() + READY_WITHIN;
        while !folder.join(PORTS).exists() {
            plant.turbines.check()?;
            if Instant::now() > deadline {
                return Err(ClusterError::late("takt-sim", READY_WITHIN));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if namespace.is_some() {
            raise(plant.turbines.id(), PRIORITY)?;
        }
        if vehicles > 0 {
            let layout = folder.join("hall.json");
            std::fs::write(&layout, hall::json(vehicles)).map_err(ClusterError::file(&layout))?;
            let (count, layout) = (vehicles.to_string(), layout.display().to_string());
            let options = ["vehicles", "--layout", &layout, "--count", &count, "--broker", &broker];
            let options = [&options[..], &["--seed", &seed, "--until-stdin-closes"]].concat();
            plant.vehicles = Some(Process::start_in(
                namespace,
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
