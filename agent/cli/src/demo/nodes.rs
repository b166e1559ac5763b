//! The agents of the demo: one, or two that are a pair.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_status::{Phase, Report};
use hal_linux_rt::thread::Found;
use sim_lab::kick::{Kick, family, signal};
use sim_lab::process::{EndBy, Process};

use super::{DemoError, READY_WITHIN, read_report};
use super::{centre, site};
use crate::client;
use sim_lab::site::{self as simulated_site, Drive, Law, NodeFiles, NodeSpec, Places};

/// The agent brings the plant to rest within its own limit of 60 s.
const ENDS_WITHIN: Duration = Duration::from_secs(75);

/// An agent with its files.
struct Node {
    agent: Process,
    files: NodeFiles,
}

/// All agents of the site.
pub(super) struct Nodes(Vec<Node>);

impl Nodes {
    /// Starts one agent, or a pair, and waits until the site is in somebody's hands.
    pub(super) fn start(
        folder: &Path,
        (turbines, law): (&[SocketAddr], Law),
        broker: &str,
        (vehicles, drives): (u16, &[Drive]),
        alone: bool,
    ) -> Result<Self, DemoError> {
        let cores = Found::of_current_thread().map(|found| found.cores).unwrap_or_default();
        let cores: Vec<usize> = cores.iter().collect();
        let places = if alone { vec![None] } else { site::pair()?.into_iter().map(Some).collect() };
        let keys = centre::make_keys(folder)?.display().to_string();
        let mut nodes = Vec::with_capacity(places.len());
        for (at, pair) in places.into_iter().enumerate() {
            let name = pair.map_or("agent", |pair| pair.node);
            let folder = folder.join(name);
            // Each node of a pair has a core of its own, as far as there are.
            let core = cores.get(cores.len().saturating_sub(1 + at)).copied();
            let listen = Some("127.0.0.1:0");
            let node = NodeSpec {
                site: site::SITE,
                broker,
                listen,
                core,
                turbines,
                law,
                pair,
                vehicles,
                drives,
                places: Places { plans: Some((name, &keys, centre::SOCKET)), ..Places::BESIDE },
            };
            let files = simulated_site::write(&folder, &node)?;
            let (config, report) = (files.config.display().to_string(), files.report.display().to_string());
            let options = ["--config", &config, "--report", &report];
            let agent = Process::start("takt-agent", &options, EndBy::Signal, &files.log)?;
            let mut node = Node { agent, files };
            node.wait_until_running()?;
            nodes.push(node);
        }
        let mut nodes = Self(nodes);
        nodes.wait_until_whole()?;
        Ok(nodes)
    }

    fn wait_until_whole(&mut self) -> Result<(), DemoError> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            self.check()?;
            let roles: Vec<_> = self
                .0
                .iter()
                .map(|node| client::report(&node.files.socket).ok().and_then(|report| report.pair))
                .map(|pair| pair.map(|pair| pair.role))
                .collect();
            let has = |wanted: &str| roles.iter().flatten().any(|role| role == wanted);
            if roles.len() == 1 || (has("active") && has("standby")) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let why = format!("the pair does not come together: {roles:?}");
                return Err(DemoError::Start { name: "takt-agent", why });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// An error if an agent has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), DemoError> {
        Ok(self.0.iter_mut().try_for_each(|node| node.agent.check())?)
    }

    /// The report of the agent in whose hands the site is.
    pub(super) fn report(&self) -> Option<Report> {
        self.active().map(|(_, report)| report)
    }

    fn active(&self) -> Option<(usize, Report)> {
        self.0.iter().enumerate().find_map(|(at, node)| {
            let report = client::report(&node.files.socket).ok()?;
            let active = report.pair.as_ref().is_none_or(|pair| pair.role == "active");
            active.then_some((at, report))
        })
    }

    /// The admin sockets, in the order of the nodes.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|node| node.files.socket.as_path())
    }

    /// The sockets for plans, in the order of the nodes.
    pub(super) fn plan_sockets(&self) -> impl Iterator<Item = PathBuf> {
        self.sockets().map(|admin| admin.with_file_name(centre::SOCKET))
    }

    /// Kills the agent of the active node, as a fault would; its parent stays. Returns the node and its epoch.
    pub(super) fn kill_active(&self) -> Result<Option<(String, u32)>, DemoError> {
        let Some((at, report)) = self.active() else { return Ok(None) };
        let (Some(pair), Some(node)) = (report.pair, self.0.get(at)) else { return Ok(None) };
        let keeper = node.agent.id();
        if let Some(child) = family(keeper).into_iter().find(|process| *process != keeper) {
            signal(child, Kick::Kill)
                .map_err(|error| DemoError::Start { name: "takt-agent", why: error.to_string() })?;
        }
        Ok(Some((pair.node, pair.epoch)))
    }

    /// Ends all agents, the one that has the plant last: it brings it to rest. Its last report, and whether
    /// it came to rest.
    pub(super) fn end(mut self) -> Result<(Report, bool), DemoError> {
        let active = self.active().map_or(0, |(at, _)| at);
        let last = self.0.remove(active.min(self.0.len().saturating_sub(1)));
        for mut node in self.0 {
            node.agent.end(ENDS_WITHIN)?;
        }
        let Node { mut agent, files } = last;
        let ended = agent.end(ENDS_WITHIN)?;
        Ok((read_report(&files.report)?, ended.success()))
    }
}

impl Node {
    fn wait_until_running(&mut self) -> Result<(), DemoError> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            self.agent.check()?;
            match client::report(&self.files.socket) {
                Ok(report) if report.phase == Phase::Running => return Ok(()),
                Ok(_) | Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                Ok(_) => {
                    return Err(DemoError::Start {
                        name: "takt-agent",
                        why: "does not get to run".to_owned(),
                    });
                }
                Err(error) => return Err(DemoError::Start { name: "takt-agent", why: error.to_string() }),
            }
        }
    }
}
