//! Takt beside a real API server, and nothing else of a cluster: agents and sidecars are plain processes.
//!
//! # Problem
//!
//! Nodes need root, containerd and minutes. Whoever works on plans, custom resources or sidecars wants to see a plan go
//! through an API server to a pair, soon.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use agent_plan::wire::Node;
use sim_lab::kick::{Kick, family, signal};
use sim_lab::process::{EndBy, Process, beside_this};
use sim_lab::site::{self, Law, NodeSpec, PairSpec, Places};

use crate::ClusterError;
use crate::cluster::Interruption;
use crate::control_plane::{ControlPlane, Place};
use crate::deployment::{SITE, signer};
use crate::kubectl::{NAMESPACE, until};
use crate::network::Edge;
use crate::pair::PlanDoor;
use crate::plant::{self, Ground, Plant, Size};

const WHOLE_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// All of it; dropped, it ends.
pub(crate) struct Processes {
    // Ended in this order.
    sidecars: Vec<Process>,
    agents: Vec<Process>,
    plant: Plant,
    plane: ControlPlane,
    doors: [PlanDoor; 2],
    signals: Interruption,
}

impl Processes {
    pub(crate) fn start(
        folder: &Path,
        programs: &Path,
        sources: &Path,
        size: Size,
        signals: Interruption,
        tell: &dyn Fn(&str),
    ) -> Result<Self, ClusterError> {
        let [api, etcd, peers, broker] = free_ports()?;
        tell("etcd and API server");
        let plane = ControlPlane::api_only(&folder.join("plane"), programs, Place::here([api, etcd, peers]))?;
        signals.check()?;
        bring_resources(&plane, sources)?;
        tell("turbines, vehicles, broker");
        let broker = SocketAddrV4::new(Ipv4Addr::LOCALHOST, broker);
        let ground = Ground { namespace: None, ip: Ipv4Addr::LOCALHOST, base_port: 0, broker };
        let plant = Plant::start(&folder.join("plant"), &ground, size)?;
        let turbines = plant::addresses(&folder.join("plant"))?;
        tell("two agents, and a sidecar beside each");
        let links = links()?;
        let doors = Edge::BOTH
            .map(|edge| PlanDoor { name: edge.name().to_owned(), folder: folder.join(edge.name()) });
        let mut processes = Self { sidecars: Vec::new(), agents: Vec::new(), plant, plane, doors, signals };
        for edge in Edge::BOTH {
            processes.start_node(edge, &folder.join(edge.name()), &turbines, links, broker, size.vehicles)?;
        }
        Ok(processes)
    }

    fn start_node(
        &mut self,
        edge: Edge,
        folder: &Path,
        turbines: &[SocketAddr],
        [one, two]: [[SocketAddr; 2]; 2],
        broker: SocketAddrV4,
        vehicles: u16,
    ) -> Result<(), ClusterError> {
        let own = |[a, b]: [SocketAddr; 2]| match edge {
            Edge::A => (a, b),
            Edge::B => (b, a),
        };
        let pair = PairSpec {
            node: edge.letter(),
            links: [own(one), own(two)],
            function: "fc23",
            gate: "preferred",
        };
        let places = Places { plans: Some((edge.name(), "keys", "plans.sock")), ..Places::BESIDE };
        let node = NodeSpec {
            site: SITE,
            broker: &format!("mqtt://{broker}"),
            listen: None,
            core: None,
            turbines,
            law: Law::Baseline,
            pair: Some(pair),
            vehicles,
            drives: &[],
            places,
        };
        let files = site::write(folder, &node)
            .map_err(|error| ClusterError::File { path: error.path.clone(), why: error.error.to_string() })?;
        let keys = folder.join("keys");
        std::fs::create_dir_all(&keys).map_err(ClusterError::file(&keys))?;
        let public =
            signer().public_pem().map_err(|error| ClusterError::Machine { why: error.to_string() })?;
        let key = keys.join("centre.pem");
        std::fs::write(&key, public).map_err(ClusterError::file(&key))?;
        let config = files.config.display().to_string();
        self.agents.push(Process::start("takt-agent", &["--config", &config], EndBy::Signal, &files.log)?);
        let mut sidecar = Command::new(beside_this("takt-sidecar")?);
        sidecar.args(["run", "--site", SITE, "--node", edge.name(), "--namespace", NAMESPACE, "--socket"]);
        sidecar.arg(folder.join("plans.sock")).env("KUBECONFIG", self.plane.kubeconfig());
        let log = folder.join("sidecar.log");
        self.sidecars.push(Process::start_command("takt-sidecar", sidecar, EndBy::Signal, &log)?);
        Ok(())
    }

    /// Waits until one of the agents writes and the other one follows; gives both, the active one first.
    pub(crate) fn whole(&mut self) -> Result<[PlanDoor; 2], ClusterError> {
        until("a whole pair", WHOLE_WITHIN, || {
            self.check()?;
            let [a, b] = self.doors.each_ref();
            let (Ok(of_a), Ok(of_b)) = (a.plans(), b.plans()) else { return Ok(None) };
            let hear = of_a.peer.is_some() && of_b.peer.is_some();
            Ok(match (of_a.role, of_b.role) {
                (Node::Active, Node::Standby) if hear => Some([a.clone(), b.clone()]),
                (Node::Standby, Node::Active) if hear => Some([b.clone(), a.clone()]),
                _ => None,
            })
        })
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.plane.kubeconfig()
    }

    /// An error if something of it has ended by itself, or the user wants it to end.
    pub(crate) fn check(&mut self) -> Result<(), ClusterError> {
        self.signals.check()?;
        self.plane.check()?;
        self.plant.check()?;
        Ok(self.agents.iter_mut().chain(&mut self.sidecars).try_for_each(Process::check)?)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for sidecar in &mut self.sidecars {
            let _ = sidecar.end(ENDS_WITHIN);
        }
        // Told to end, the last of a pair first brings its turbines to rest, for minutes. Nobody needs these.
        for process in self.agents.iter().flat_map(|agent| family(agent.id())) {
            let _ = signal(process, Kick::Kill);
        }
    }
}

/// The custom resources and the namespace of Takt's objects.
fn bring_resources(plane: &ControlPlane, sources: &Path) -> Result<(), ClusterError> {
    let kubectl = plane.kubectl();
    let path = sources.join("chart/crds/control.takt.dev.yaml");
    kubectl.apply_text(&std::fs::read_to_string(&path).map_err(ClusterError::file(&path))?)?;
    kubectl.run(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"])?;
    kubectl.run(&["create", "namespace", NAMESPACE]).map(drop)
}

/// Ports that were free a moment ago; all are held until all are found, so that they differ.
fn free_ports() -> Result<[u16; 4], ClusterError> {
    let unusable = |error: std::io::Error| ClusterError::Machine { why: format!("a free port: {error}") };
    let mut held = Vec::new();
    let mut ports = [0; 4];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(unusable)?;
        *port = listener.local_addr().map_err(unusable)?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Both links, each with its end at node a and at node b.
fn links() -> Result<[[SocketAddr; 2]; 2], ClusterError> {
    let unusable = |error: std::io::Error| ClusterError::Machine { why: format!("a free port: {error}") };
    let mut held = Vec::new();
    let mut links = [[SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 2]; 2];
    for end in links.iter_mut().flatten() {
        let socket = UdpSocket::bind(*end).map_err(unusable)?;
        *end = socket.local_addr().map_err(unusable)?;
        held.push(socket);
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_that_are_free_at_the_same_time_differ() {
        let ports: BTreeSet<u16> = free_ports().unwrap().into();
        let ends: BTreeSet<SocketAddr> = links().unwrap().into_iter().flatten().collect();
        assert_eq!((ports.len(), ends.len()), (4, 4));
    }
}
