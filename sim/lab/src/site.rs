//! The files of agents over simulated turbines and vehicles: one node, or two that are a pair.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::hall;

const PROFILE: &str = include_str!("../../../profiles/nrel5mw-plc.toml");
const DIFFERENTIAL: &str = include_str!("../../../profiles/differential-drive.toml");
const TRICYCLE: &str = include_str!("../../../profiles/tricycle-drive.toml");
/// The key of a pair, as its file holds it. Any key does, as long as both nodes have the same.
pub const PAIR_KEY: &str = "5f1c0e9b7a3d24688642d3a7b9e0c1f55f1c0e9b7a3d24688642d3a7b9e0c1f5";

/// What a node is to be.
#[derive(Debug, Clone, Copy)]
pub struct NodeSpec<'a> {
    /// Name of the site in MQTT topics, and of the plan.
    pub site: &'a str,
    /// The broker's URL.
    pub broker: &'a str,
    /// Where metrics are served over TCP, if they are.
    pub listen: Option<&'a str>,
    /// Core of the control thread; `None` for the last one that the node's process may use.
    pub core: Option<usize>,
    /// A turbine at each address.
    pub turbines: &'a [SocketAddr],
    /// What controls them.
    pub law: Law,
    /// Its place in the pair, if it has one.
    pub pair: Option<PairSpec>,
    /// Vehicles of its fleet that speak VDA 5050; 0 for none.
    pub vehicles: u16,
    /// Vehicles of its fleet on the field bus.
    pub drives: &'a [Drive],
    /// Where it keeps things.
    pub places: Places<'a>,
}

/// Where a node finds and keeps things; paths that are not absolute begin at its configuration.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Folder of what has to outlive it.
    pub state_dir: &'a str,
    /// Its admin socket.
    pub socket: &'a str,
    /// The key of the pair.
    pub key_file: &'a str,
    /// Its name, the folder of the keys that it trusts, and the socket for plans, if plans come from outside.
    pub plans: Option<(&'a str, &'a str, &'a str)>,
}

impl Places<'_> {
    /// All beside the configuration.
    pub const BESIDE: Self =
        Self { state_dir: "state", socket: "takt.sock", key_file: "pair.key", plans: None };
}

/// The law that drives turbines in operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Law {
    /// That of the public NREL 5-MW reference controller
    Baseline,
    /// Takt's own, worked out from the turbine's data
    Takt,
}

/// A vehicle on the field bus.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Drive {
    /// Where it listens.
    pub address: SocketAddr,
    /// The name of its device profile.
    pub profile: String,
}

/// A node's place in a pair; the first turbine carries the arbiter.
#[derive(Debug, Clone, Copy)]
pub struct PairSpec {
    /// `a` or `b`.
    pub node: &'static str,
    /// Own and the peer's address on each link.
    pub links: [(SocketAddr, SocketAddr); 2],
    /// `fc23` or `fc6`.
    pub function: &'static str,
    /// `required`, `preferred` or `off`.
    pub gate: &'static str,
}

/// Where a node's files are.
#[derive(Debug, Clone)]
pub struct NodeFiles {
    /// Its configuration.
    pub config: PathBuf,
    /// Its admin socket.
    pub socket: PathBuf,
    /// For what it prints.
    pub log: PathBuf,
    /// For its report.
    pub report: PathBuf,
}

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// What happened.
    pub error: std::io::Error,
}

/// A folder for sites, made if it is not there, by its full path: in a site's files a path counts from the site's own folder.
///
/// # Errors
/// If it cannot be made.
pub fn folder(path: &Path) -> Result<PathBuf, FileError> {
    let made = std::fs::create_dir_all(path).and_then(|()| path.canonicalize());
    made.map_err(|error| FileError { path: path.to_owned(), error })
}

/// Name of the turbine at this position, from 0.
#[must_use]
pub fn unit_name(at: usize) -> String {
    format!("WT{:02}", at + 1)
}

/// The texts of a node's files but its key, by name; `site.toml` is its configuration, which differs from node to
/// node.
#[must_use]
pub fn files(node: &NodeSpec<'_>) -> Vec<(&'static str, String)> {
    let (config, plan) = texts(node);
    let hall = hall::json(node.vehicles + u16::try_from(node.drives.len()).unwrap_or(0));
    vec![
        ("hall.json", hall),
        ("site.toml", config),
        ("plan.toml", plan),
        ("nrel5mw-plc.toml", PROFILE.to_owned()),
        ("differential-drive.toml", DIFFERENTIAL.to_owned()),
        ("tricycle-drive.toml", TRICYCLE.to_owned()),
    ]
}

/// Writes configuration, plan, device profiles and key of a node into a folder.
///
/// # Errors
/// If a file cannot be written.
pub fn write(folder: &Path, node: &NodeSpec<'_>) -> Result<NodeFiles, FileError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| FileError { path, error }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    for (name, text) in files(node) {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    // A key that others can read is none.
    let key = folder.join(node.places.key_file);
    std::fs::write(&key, PAIR_KEY).map_err(failed(&key))?;
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).map_err(failed(&key))?;
    Ok(NodeFiles {
        config: folder.join("site.toml"),
        socket: folder.join(node.places.socket),
        log: folder.join("agent.log"),
        report: folder.join("report.json"),
    })
}

/// Configuration and plan of a node. Writing into a text cannot fail.
fn texts(node: &NodeSpec<'_>) -> (String, String) {
    let NodeSpec { site, broker, listen, core, turbines, law, pair, vehicles, drives, places } = node;
    let Places { state_dir, socket, key_file, plans } = places;
    let law = match law {
        Law::Baseline => "baseline",
        Law::Takt => "takt",
    };
    let core = core.map_or_else(String::new, |core| format!("core = {core}\n"));
    let listen = listen.map_or_else(String::new, |listen| format!("listen = \"{listen}\"\n"));
    let mut config = format!(
        r#"# Written by Takt's simulated site.
name = "{site}"
realtime = "preferred"
plan = "plan.toml"
state_dir = "{state_dir}"

[admin]
socket = "{socket}"
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
{core}priority = 80
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
key_file = "{key_file}"
links = [{}, {}]
arbiter = {{ tcp = "{arbiter}", unit_id = 1, register = 200, function = "{function}" }}
gate = "{gate}"
{core}priority = 60
"#,
            link(one),
            link(two)
        );
    }
    if let Some((name, keys, socket)) = plans {
        let _ = write!(config, "\n[plans]\nnode = \"{name}\"\nkeys = \"{keys}\"\nsocket = \"{socket}\"\n");
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
            "\n[[group]]\nname = \"vehicles\"\nperiod_us = 20000\nbudget_us = 2000\n{core}priority = 70\n"
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
            core: Some(1),
            turbines,
            law: Law::Takt,
            pair,
            vehicles: 0,
            drives: &[],
            places: Places::BESIDE,
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
