//! The network of the drill, and the files of the two nodes that live in it.
//!
//! ```text
//!   field 10.77.0.0/24:  plant .10 and up (one address a turbine), broker .2, node A .251, node B .252
//!   link1 10.77.1.0/24:  node A .1, node B .2
//!   link2 10.77.2.0/24:  node A .1, node B .2
//! ```

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{DrillError, Side};

/// Name of the drill's site in MQTT topics.
pub(super) const SITE: &str = "drill";
/// Where the broker listens.
pub(super) const BROKER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), 1883);
/// Port of the first turbine.
pub(super) const BASE_PORT: u16 = 5020;
/// Turbines that the field's addresses suffice for.
pub(super) const TURBINES_MAX: u16 = 200;

const PROFILE: &str = include_str!("../../../../profiles/nrel5mw-plc.toml");
/// Any key does, as long as both nodes have the same.
const KEY: &str = "5f1c0e9b7a3d24688642d3a7b9e0c1f55f1c0e9b7a3d24688642d3a7b9e0c1f5";

/// Address of a turbine in the field, from 0.
pub(super) fn turbine_ip(turbine: u16) -> Ipv4Addr {
    let [a, b, c, _] = BROKER.ip().octets();
    Ipv4Addr::new(a, b, c, 10 + turbine.min(TURBINES_MAX) as u8)
}

/// Address of a node in the field.
pub(super) fn field_ip(side: Side) -> Ipv4Addr {
    let [a, b, c, _] = BROKER.ip().octets();
    Ipv4Addr::new(a, b, c, side.pick(251, 252))
}

/// Address of a node on a link, 1 or 2.
pub(super) fn link_ip(link: u8, side: Side) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, link, side.pick(1, 2))
}

/// Name of the turbine at this position, from 0.
pub(super) fn unit_name(at: u16) -> String {
    format!("WT{:02}", at + 1)
}

/// How the pair is set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct PairOptions {
    pub(super) turbines: u16,
    /// `fc23` or `fc6`.
    pub(super) function: &'static str,
    /// `required`, `preferred` or `off`.
    pub(super) gate: &'static str,
}

/// Where a node's files are.
pub(super) struct NodeFiles {
    pub(super) config: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) log: PathBuf,
}

/// Writes the files of a node into a folder of its own.
pub(super) fn write(
    folder: &Path,
    side: Side,
    core: usize,
    pair: PairOptions,
) -> Result<NodeFiles, DrillError> {
    let failed = |path: &Path, why: String| DrillError::File { path: path.display().to_string(), why };
    let folder = folder.join(side.name());
    std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, error.to_string()))?;
    let (config, plan) = texts(side, core, pair);
    let texts = [
        ("site.toml", config.as_str()),
        ("plan.toml", &plan),
        ("nrel5mw-plc.toml", PROFILE),
        ("pair.key", KEY),
    ];
    for (name, text) in texts {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| failed(&path, error.to_string()))?;
    }
    // A key that others can read is none.
    let key = folder.join("pair.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600))
        .map_err(|error| failed(&key, error.to_string()))?;
    Ok(NodeFiles {
        config: folder.join("site.toml"),
        socket: folder.join("takt.sock"),
        log: folder.join("agent.log"),
    })
}

/// Configuration and plan of a node.
fn texts(side: Side, core: usize, pair: PairOptions) -> (String, String) {
    let PairOptions { turbines, function, gate } = pair;
    let link = |number: u8| {
        let end = |side| SocketAddrV4::new(link_ip(number, side), 7700);
        format!("{{ local = \"{}\", peer = \"{}\" }}", end(side), end(side.other()))
    };
    let arbiter = SocketAddrV4::new(turbine_ip(0), BASE_PORT);
    let mut config = format!(
        r#"# Written by `takt drill`.
name = "{SITE}"
realtime = "preferred"
plan = "plan.toml"
state_dir = "state"

[admin]
socket = "takt.sock"

[mqtt]
broker = "mqtt://{BROKER}"

[io]
priority = 40

[pair]
node = "{node}"
key_file = "pair.key"
links = [{link1}, {link2}]
arbiter = {{ tcp = "{arbiter}", unit_id = 1, register = 200, function = "{function}" }}
gate = "{gate}"
core = {core}
priority = 60

[[group]]
name = "turbines"
period_us = 10000
budget_us = 1000
core = {core}
priority = 80
"#,
        node = side.name(),
        link1 = link(1),
        link2 = link(2),
    );
    let mut plan = "name = \"drill\"\nepoch = 1\n".to_owned();
    for at in 0..turbines {
        let (name, address) = (unit_name(at), SocketAddr::from((turbine_ip(at), BASE_PORT + at)));
        let _ = write!(
            config,
            "\n[[bus]]\nname = \"{name}\"\ntcp = \"{address}\"\n\n\
             [[device]]\nname = \"{name}\"\nbus = \"{name}\"\nprofile = \"nrel5mw-plc.toml\"\n\n\
             [[turbine]]\nname = \"{name}\"\ndevice = \"{name}\"\ngroup = \"turbines\"\nmodel = \"nrel-5mw\"\n"
        );
        let _ = write!(plan, "\n[[unit]]\nname = \"{name}\"\nrequest = \"run\"\n");
    }
    (config, plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_share_the_site_and_mirror_the_links() {
        let options = PairOptions { turbines: 2, function: "fc23", gate: "preferred" };
        let (a, plan_a) = texts(Side::A, 1, options);
        let (b, plan_b) = texts(Side::B, 1, options);
        assert_eq!(plan_a, plan_b);
        let differing: Vec<&str> = a.lines().zip(b.lines()).filter(|(a, b)| a != b).map(|(a, _)| a).collect();
        assert_eq!(differing.len(), 2, "{differing:?}");
        assert!(a.contains(r#"{ local = "10.77.1.1:7700", peer = "10.77.1.2:7700" }"#), "{a}");
        assert!(b.contains(r#"{ local = "10.77.2.2:7700", peer = "10.77.2.1:7700" }"#), "{b}");
        assert!(a.contains("tcp = \"10.77.0.11:5021\""), "{a}");
    }
}
