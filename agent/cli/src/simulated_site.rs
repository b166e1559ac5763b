//! The files of agents over simulated turbines, as the demo and the drill start them: one node, or two that are
//! a pair.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::simulated_hall;

const PROFILE: &str = include_str!("../../../profiles/nrel5mw-plc.toml");
const DIFFERENTIAL: &str = include_str!("../../../profiles/differential-drive.toml");
const TRICYCLE: &str = include_str!("../../../profiles/tricycle-drive.toml");
/// Any key does, as long as both nodes have the same.
const KEY: &str = "5f1c0e9b7a3d24688642d3a7b9e0c1f55f1c0e9b7a3d24688642d3a7b9e0c1f5";

/// What a node is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeSpec<'a> {
    /// Name of the site in MQTT topics, and of the plan.
    pub(crate) site: &'a str,
    /// The broker's URL.
    pub(crate) broker: &'a str,
    /// Where metrics are served over TCP, if they are.
    pub(crate) listen: Option<&'a str>,
    /// Core of the control thread.
    pub(crate) core: usize,
    /// A turbine at each address, and what controls them.
    pub(crate) turbines: &'a [SocketAddr],
    pub(crate) law: Law,
    /// Its place in the pair, if it has one.
    pub(crate) pair: Option<PairSpec>,
    /// Vehicles of its fleet that speak VDA 5050; 0 for none.
    pub(crate) vehicles: u16,
    /// Vehicles of its fleet on the field bus.
    pub(crate) drives: &'a [Drive],
}

/// The law that drives turbines in operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Law {
    /// That of the public NREL 5-MW reference controller
    Baseline,
    /// Takt's own, worked out from the turbine's data
    Takt,
}

/// A vehicle on the field bus.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Drive {
    pub(crate) address: SocketAddr,
    /// The name of its device profile.
    pub(crate) profile: String,
}

/// A node's place in a pair; the first turbine carries the arbiter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PairSpec {
    /// `a` or `b`.
    pub(crate) node: &'static str,
    /// Own and the peer's address on each link.
    pub(crate) links: [(SocketAddr, SocketAddr); 2],
    /// `fc23` or `fc6`.
    pub(crate) function: &'static str,
    /// `required`, `preferred` or `off`.
    pub(crate) gate: &'static str,
}

/// Where a node's files are.
#[derive(Debug, Clone)]
pub(crate) struct NodeFiles {
    pub(crate) config: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) report: PathBuf,
}

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub(crate) struct FileError {
    pub(crate) path: PathBuf,
    pub(crate) error: std::io::Error,
}

/// Name of the turbine at this position, from 0.
pub(crate) fn unit_name(at: usize) -> String {
    format!("WT{:02}", at + 1)
}

/// Writes configuration, plan, device profile and key of a node into a folder.
pub(crate) fn write(folder: &Path, node: &NodeSpec<'_>) -> Result<NodeFiles, FileError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| FileError { path, error }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let (config, plan) = texts(node);
    let hall = simulated_hall::json(node.vehicles + node.drives.len() as u16);
    let texts = [
        ("hall.json", hall.as_str()),
        ("site.toml", config.as_str()),
        ("plan.toml", &plan),
        ("nrel5mw-plc.toml", PROFILE),
        ("differential-drive.toml", DIFFERENTIAL),
        ("tricycle-drive.toml", TRICYCLE),
        ("pair.key", KEY),
    ];
    for (name, text) in texts {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    // A key that others can read is none.
    let key = folder.join("pair.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).map_err(failed(&key))?;
    Ok(NodeFiles {
        config: folder.join("site.toml"),
        socket: folder.join("takt.sock"),
        log: folder.join("agent.log"),
        report: folder.join("report.json"),
    })
}

/// Configuration and plan of a node. Writing into a text cannot fail.
fn texts(node: &NodeSpec<'_>) -> (String, String) {
    let NodeSpec { site, broker, listen, core, turbines, law, pair, vehicles, drives } = node;
    let law = match law {
        Law::Baseline => "baseline",
        Law::Takt => "takt",
    };
    let listen = listen.map_or_else(String::new, |listen| format!("listen = \"{listen}\"\n"));
    let mut config = format!(
        r#"# Written by `takt`.
name = "{site}"
realtime = "preferred"
plan = "plan.toml"
state_dir = "state"

[admin]
socket = "takt.sock"
{listen}
[mqtt]
broker = "{broker}"

[io]
priority = 40

[stop]
limit_s = 60

[[group]]
name = "turbines"
period_us = 10000
budget_us = 1000
core = {core}
priority = 80
"#
    );
    if let (Some(PairSpec { node, links: [one, two], function, gate }), Some(arbiter)) =
        (pair, turbines.first())
    {
        let link =
            |(own, peer): &(SocketAddr, SocketAddr)| format!("{{ local = \"{own}\", peer = \"{peer}\" }}");
        let _ = write!(
            config,
            r#"
[pair]
node = "{node}"
key_file = "pair.key"
links = [{}, {}]
arbiter = {{ tcp = "{arbiter}", unit_id = 1, register = 200, function = "{function}" }}
gate = "{gate}"
core = {core}
priority = 60
"#,
            link(one),
            link(two)
        );
    }
    let mut plan = format!("name = \"{site}\"\nepoch = 1\n");
    for (at, address) in turbines.iter().enumerate() {
        let name = unit_name(at);
        let _ = write!(
            config,
            "\n[[bus]]\nname = \"{name}\"\ntcp = \"{address}\"\n\n\
             [[device]]\nname = \"{name}\"\nbus = \"{name}\"\nprofile = \"nrel5mw-plc.toml\"\n\n\
             [[turbine]]\nname = \"{name}\"\ndevice = \"{name}\"\ngroup = \"turbines\"\nmodel = \"nrel-5mw\"\nlaw = \"{law}\"\n"
        );
        let _ = write!(plan, "\n[[unit]]\nname = \"{name}\"\nrequest = \"run\"\n");
    }
    if *vehicles > 0 || !drives.is_empty() {
        config.push_str("\n[fleet]\nlayout = \"hall.json\"\n");
    }
    for at in 1..=*vehicles {
        // The simulator's vehicles speak both versions in turn.
        let version = if at % 2 == 1 { "2.1" } else { "3.0" };
        let _ = write!(
            config,
            "\n[[fleet.vehicle]]\nname = \"v{at:04}\"\nmanufacturer = \"takt\"\nversion = \"{version}\"\n"
        );
    }
    if !drives.is_empty() {
        let _ = write!(
            config,
            "\n[[group]]\nname = \"vehicles\"\nperiod_us = 20000\nbudget_us = 2000\ncore = {core}\npriority = 70\n"
        );
    }
    for (drive, at) in drives.iter().zip(*vehicles + 1..) {
        let Drive { address, profile } = drive;
        // What the simulator's vehicles are like.
        let chassis = if profile.starts_with("tricycle") { "wheelbase_m = 0.9" } else { "track_m = 0.6" };
        let _ = write!(
            config,
            "\n[[bus]]\nname = \"v{at:04}\"\ntcp = \"{address}\"\n\n\
             [[device]]\nname = \"v{at:04}\"\nbus = \"v{at:04}\"\nprofile = \"{profile}.toml\"\n\n\
             [[fleet.vehicle]]\nname = \"v{at:04}\"\n\
             drive = {{ device = \"v{at:04}\", group = \"vehicles\", {chassis} }}\n"
        );
    }
    (config, plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec<'a>(node: &'static str, turbines: &'a [SocketAddr]) -> NodeSpec<'a> {
        let (a, b) = ("10.77.1.1:7700".parse().unwrap(), "10.77.1.2:7700".parse().unwrap());
        let (c, d) = ("10.77.2.1:7700".parse().unwrap(), "10.77.2.2:7700".parse().unwrap());
        let links = if node == "a" { [(a, b), (c, d)] } else { [(b, a), (d, c)] };
        let pair = Some(PairSpec { node, links, function: "fc23", gate: "preferred" });
        NodeSpec {
            site: "drill",
            broker: "mqtt://10.77.0.2:1883",
            listen: None,
            core: 1,
            turbines,
            law: Law::Takt,
            pair,
            vehicles: 0,
            drives: &[],
        }
    }

    #[test]
    fn the_nodes_of_a_pair_share_the_site_and_mirror_the_links() {
        let turbines = ["10.77.0.10:5020".parse().unwrap(), "10.77.0.11:5021".parse().unwrap()];
        let ((a, plan_a), (b, plan_b)) = (texts(&spec("a", &turbines)), texts(&spec("b", &turbines)));
        assert_eq!(plan_a, plan_b);
        let differing: Vec<&str> = a.lines().zip(b.lines()).filter(|(a, b)| a != b).map(|(a, _)| a).collect();
        assert_eq!(differing.len(), 2, "{differing:?}");
        assert!(a.contains(r#"{ local = "10.77.1.1:7700", peer = "10.77.1.2:7700" }"#), "{a}");
        assert!(b.contains(r#"{ local = "10.77.2.2:7700", peer = "10.77.2.1:7700" }"#), "{b}");
        assert!(a.contains("tcp = \"10.77.0.11:5021\""), "{a}");
    }
}
