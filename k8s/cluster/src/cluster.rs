//! The whole cluster: hosts, control plane, nodes, plant, and Takt in it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use hal_linux_rt::signal::{Signal, Signals};
use sim_lab::LabError;
use sim_lab::namespace::{enter, remove_stale};

use crate::ClusterError;
use crate::control_plane::{ControlPlane, Place};
use crate::deployment::{Deployment, image};
use crate::image;
use crate::kubectl::Kubectl;
use crate::network::{BASE_PORT, BROKER, Edge, Network, PREFIX};
use crate::node::{Node, NodePlan, PAUSE_IMAGE};
use crate::plant::{self, Ground, Plant, Size};

/// The tags between which the chart is rolled: the same programs, and still another image.
const TAGS: [&str; 2] = ["1", "2"];

/// What the cluster is made from.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// Folder of the programs of Kubernetes, containerd and helm.
    pub(crate) programs: PathBuf,
    /// Static programs for the image: the agent first.
    pub(crate) image: Vec<PathBuf>,
    /// The checkout's folder `k8s`.
    pub(crate) sources: PathBuf,
    pub(crate) turbines: u16,
    pub(crate) vehicles: u16,
    pub(crate) seed: u64,
}

/// The user's wish to end.
pub(crate) struct Interruption(Signals);

impl Interruption {
    pub(crate) fn watch() -> Result<Self, ClusterError> {
        let signals = Signals::block_and_watch(&[Signal::Terminate, Signal::Interrupt, Signal::HangUp]);
        signals.map(Self).map_err(|error| ClusterError::Machine { why: error.to_string() })
    }

    /// An error if it was uttered.
    pub(crate) fn check(&self) -> Result<(), ClusterError> {
        match self.0.take() {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(ClusterError::Interrupted),
            Err(error) => Err(ClusterError::Machine { why: error.to_string() }),
        }
    }
}

/// The cluster; dropped, all of it ends and is removed.
pub(crate) struct Cluster {
    // Dropped in this order: what runs before what it lives in.
    pub(crate) nodes: [Node; 2],
    pub(crate) plane: ControlPlane,
    pub(crate) plant: Option<Plant>,
    pub(crate) network: Network,
    pub(crate) signals: Interruption,
    parts: Parts,
    folder: PathBuf,
    /// Which of the tags runs.
    tag: usize,
}

impl Cluster {
    /// Starts everything, and Takt in it.
    pub(crate) fn start(
        folder: &Path,
        parts: Parts,
        signals: Interruption,
        tell: &dyn Fn(&str),
    ) -> Result<Self, ClusterError> {
        remove_stale(PREFIX);
        tell("images");
        let images = write_images(folder, &parts)?;
        signals.check()?;
        tell("hosts and cables");
        let network = Network::lay(parts.turbines)?;
        // All that asks the API server from here asks on the plane itself.
        enter(&network.plane()).map_err(|error| LabError::Network {
            command: "entering the plane's network".to_owned(),
            why: error.to_string(),
        })?;
        tell("etcd, API server, controllers, scheduler");
        let plane =
            ControlPlane::start(&folder.join("plane"), &parts.programs, Place::host(&network.plane()))?;
        signals.check()?;
        tell("two nodes with containerd and kubelet");
        let node = |edge: Edge| {
            let plan = NodePlan {
                edge,
                folder: folder.join(edge.name()),
                programs: parts.programs.clone(),
                namespace: network.node(edge),
                kubeconfig: plane.kubeconfig_of(edge),
            };
            Node::start(plan, &images)
        };
        let nodes = [node(Edge::A)?, node(Edge::B)?];
        let mut cluster =
            Self { nodes, plane, plant: None, network, signals, parts, folder: folder.to_owned(), tag: 0 };
        cluster.check()?;
        let kubectl = cluster.plane.kubectl();
        let deployment = cluster.deployment(&kubectl);
        tell("preparation of the nodes");
        deployment.prepare_nodes(TAGS[0])?;
        tell("turbines, vehicles, broker, and the chart");
        deployment.bring_site()?;
        // Last: turbines that nobody drives come to rest.
        let plant = Plant::start(
            &cluster.folder.join("plant"),
            &Ground {
                namespace: Some(&cluster.network.plant()),
                ip: Ipv4Addr::UNSPECIFIED,
                base_port: BASE_PORT,
                broker: BROKER,
            },
            Size {
                turbines: cluster.parts.turbines,
                vehicles: cluster.parts.vehicles,
                seed: cluster.parts.seed,
            },
        )?;
        cluster.plant = Some(plant);
        cluster.deployment(&kubectl).roll_to(TAGS[0])?;
        Ok(cluster)
    }

    /// Takt in the cluster.
    pub(crate) fn deployment<'a>(&'a self, kubectl: &'a Kubectl) -> Deployment<'a> {
        Deployment {
            kubectl,
            sources: &self.parts.sources,
            state: self.folder.join("state"),
            turbines: self.parts.turbines,
            vehicles: self.parts.vehicles,
        }
    }

    /// How many there are.
    pub(crate) fn turbines(&self) -> u16 {
        self.parts.turbines
    }

    /// From which random things are drawn.
    pub(crate) fn seed(&self) -> u64 {
        self.parts.seed
    }

    /// What the turbines were written.
    pub(crate) fn write_log(&self) -> PathBuf {
        self.folder.join("plant").join(plant::WRITE_LOG)
    }

    /// A node.
    pub(crate) fn node_mut(&mut self, edge: Edge) -> &mut Node {
        let [a, b] = &mut self.nodes;
        match edge {
            Edge::A => a,
            Edge::B => b,
        }
    }

    /// Rolls the chart to the other image, and reads the devices' log meanwhile.
    pub(crate) fn roll(
        &mut self,
        log: &mut dyn FnMut() -> Result<(), ClusterError>,
    ) -> Result<(), ClusterError> {
        self.tag = 1 - self.tag;
        let kubectl = self.plane.kubectl();
        let tag = TAGS.get(self.tag).copied().unwrap_or_default();
        self.deployment(&kubectl).roll_to(tag)?;
        log()
    }

    /// An error if something of it has ended by itself, or the user wants it to end.
    pub(crate) fn check(&mut self) -> Result<(), ClusterError> {
        self.signals.check()?;
        self.plant.iter_mut().try_for_each(Plant::check)?;
        self.plane.check()?;
        self.nodes.iter_mut().try_for_each(Node::check)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A pod that ends in its own time leaves nothing for its node to kill.
        let kubectl = self.plane.kubectl();
        let _ = kubectl.helm(&["uninstall", "takt", "--namespace", crate::kubectl::NAMESPACE]);
    }
}

/// The images of pods and of what holds them.
fn write_images(folder: &Path, parts: &Parts) -> Result<Vec<PathBuf>, ClusterError> {
    std::fs::create_dir_all(folder).map_err(ClusterError::file(folder))?;
    let mut images = Vec::new();
    for tag in TAGS {
        let archive = folder.join(format!("takt-{tag}.tar"));
        image::write(&archive, &image(tag), tag, &parts.image)?;
        images.push(archive);
    }
    let archive = folder.join("pause.tar");
    image::write(&archive, PAUSE_IMAGE, "1", &[parts.programs.join("pause")])?;
    images.push(archive);
    Ok(images)
}
