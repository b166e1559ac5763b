//! The files of the demo's site.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::DemoError;

/// Name of the demo's site in MQTT topics.
pub(super) const SITE: &str = "demo";

const PROFILE: &str = include_str!("../../../../profiles/nrel5mw-plc.toml");

/// What the site is made of.
pub(super) struct SiteFiles {
    pub(super) config: PathBuf,
    pub(super) socket: PathBuf,
}

/// Name of the turbine at this position, from 0.
pub(super) fn unit_name(at: usize) -> String {
    format!("WT{:02}", at + 1)
}

/// Writes configuration, plan and device profile of a site with a turbine at each address.
pub(super) fn write(
    folder: &Path,
    turbines: &[SocketAddr],
    broker: &str,
    core: usize,
) -> Result<SiteFiles, DemoError> {
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
    let mut plan = "name = \"demo\"\nepoch = 1\n".to_owned();
    for (at, address) in turbines.iter().enumerate() {
        let name = unit_name(at);
        let written = write!(
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
        )
        .and_then(|()| write!(plan, "\n[[unit]]\nname = \"{name}\"\nrequest = \"run\"\n"));
        written.map_err(|error| DemoError::File { path: folder.to_owned(), why: error.to_string() })?;
    }
    for (name, text) in [("site.toml", config.as_str()), ("plan.toml", &plan), ("nrel5mw-plc.toml", PROFILE)]
    {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| DemoError::File { path, why: error.to_string() })?;
    }
    Ok(SiteFiles { config: folder.join("site.toml"), socket: folder.join("takt.sock") })
}
