//! The files of the demo's site: one node, or two that are a pair.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::DemoError;

/// Name of the demo's site in MQTT topics.
pub(super) const SITE: &str = "demo";

const PROFILE: &str = include_str!("../../../../profiles/nrel5mw-plc.toml");
/// Any key does, as long as both nodes have the same.
const KEY: &str = "7461d66d8c5b5a1e0f3c2b9a8d7e6f504132231405f6e7d8c9bacbdcedfe0f10";

/// Where a node's files are.
pub(super) struct NodeFiles {
    pub(super) config: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) log: PathBuf,
    pub(super) report: PathBuf,
}

/// What all nodes of the site have in common.
pub(super) struct Site<'a> {
    /// Each carries a turbine; the first one carries the arbiter.
    pub(super) turbines: &'a [SocketAddr],
    pub(super) broker: &'a str,
}

/// A node's place in the pair.
#[derive(Debug, Clone, Copy)]
pub(super) struct PairNode {
    pub(super) name: &'static str,
    /// Own and the peer's UDP port on each link.
    pub(super) ports: [(u16, u16); 2],
}

/// The two nodes of a pair, on free ports.
pub(super) fn pair() -> Result<[PairNode; 2], DemoError> {
    let failed = |error: std::io::Error| DemoError::Start { name: "takt-agent", why: error.to_string() };
    // All at a time, so that they differ; free again when the agents start.
    let sockets: Vec<UdpSocket> = (0..4)
        .map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let ports: Vec<u16> = sockets
        .iter()
        .map(|socket| socket.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let &[a1, b1, a2, b2] = ports.as_slice() else {
        return Err(DemoError::Start { name: "takt-agent", why: "no free ports".to_owned() });
    };
    Ok([
        PairNode { name: "a", ports: [(a1, b1), (a2, b2)] },
        PairNode { name: "b", ports: [(b1, a1), (b2, a2)] },
    ])
}

/// Name of the turbine at this position, from 0.
pub(super) fn unit_name(at: usize) -> String {
    format!("WT{:02}", at + 1)
}

/// Writes configuration, plan and device profile of a node into a folder.
pub(super) fn write(
    folder: &Path,
    site: &Site<'_>,
    node: Option<PairNode>,
    core: usize,
) -> Result<NodeFiles, DemoError> {
    let failed = |path: &Path, why: String| DemoError::File { path: path.to_owned(), why };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error.to_string()))?;
    let (config, plan) =
        texts(site, node, core).map_err(|error: std::fmt::Error| failed(folder, error.to_string()))?;
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
        report: folder.join("report.json"),
    })
}

fn texts(site: &Site<'_>, node: Option<PairNode>, core: usize) -> Result<(String, String), std::fmt::Error> {
    let broker = site.broker;
    let mut config = format!(
        r#"# Written by `takt demo`.
name = "{SITE}"
realtime = "preferred"
plan = "plan.toml"
state_dir = "state"

[admin]
socket = "takt.sock"
listen = "127.0.0.1:0"

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
    if let (Some(PairNode { name, ports: [one, two] }), Some(arbiter)) = (node, site.turbines.first()) {
        let link = |(own, peer)| format!("{{ local = \"127.0.0.1:{own}\", peer = \"127.0.0.1:{peer}\" }}");
        write!(
            config,
            r#"
[pair]
node = "{name}"
key_file = "pair.key"
links = [{}, {}]
arbiter = {{ tcp = "{arbiter}", register = 200 }}
priority = 60
"#,
            link(one),
            link(two)
        )?;
    }
    let mut plan = "name = \"demo\"\nepoch = 1\n".to_owned();
    for (at, address) in site.turbines.iter().enumerate() {
        let name = unit_name(at);
        write!(
            config,
            r#"
[[bus]]
name = "{name}"
tcp = "{address}"

[[device]]
name = "{name}"
bus = "{name}"
profile = "nrel5mw-plc.toml"

[[turbine]]
name = "{name}"
device = "{name}"
group = "turbines"
model = "nrel-5mw"
"#
        )?;
        write!(plan, "\n[[unit]]\nname = \"{name}\"\nrequest = \"run\"\n")?;
    }
    Ok((config, plan))
}
