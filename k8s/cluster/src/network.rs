//! The hosts of the cluster and their cables, each host a network namespace.
//!
//! ```text
//!      plane: etcd, API server, controllers, scheduler
//!        |  management 10.78.0.0/24; services 10.0.0.0/24 lead here
//!     +--+-----------------+
//!   edge-a ==== links ==== edge-b      10.77.1.0/24, 10.77.2.0/24
//!     +--+-----------------+
//!        |  field 10.77.0.0/24
//!      plant: turbines, vehicles, broker
//! ```

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use sim_lab::LabError;
use sim_lab::namespace::{Namespace, batch, ip};

/// Begins the names of namespaces.
pub(crate) const PREFIX: &str = "takt-cluster";
/// The API server, for nodes.
pub(crate) const PLANE: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
/// The API server, for pods: the first service. No proxy is needed, its address is the plane's own.
pub(crate) const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Addresses of services.
pub(crate) const SERVICES: &str = "10.0.0.0/24";
/// Where the broker listens.
pub(crate) const BROKER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), 1883);
/// Port of the first turbine.
pub(crate) const BASE_PORT: u16 = 5020;
/// Turbines that the field's addresses suffice for.
pub(crate) const TURBINES_MAX: u16 = 200;

/// One of the two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    A,
    B,
}

impl Edge {
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its name in the cluster.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::A => "edge-a",
            Self::B => "edge-b",
        }
    }

    /// Its name in the pair.
    pub(crate) const fn letter(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::A => 1,
            Self::B => 2,
        }
    }

    /// Its address for the control plane.
    pub(crate) const fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 78, 0, 10 + self.number())
    }

    fn field(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, 250 + self.number())
    }

    fn link(self, link: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, link, self.number())
    }

    /// Its own and the other's end of both links.
    pub(crate) fn links(self) -> [(SocketAddr, SocketAddr); 2] {
        let end = |edge: Self, link| SocketAddr::from((edge.link(link), 7700));
        [1, 2].map(|link| (end(self, link), end(self.other(), link)))
    }
}

/// Where each turbine listens.
pub(crate) fn turbines(count: u16) -> Vec<SocketAddr> {
    let [a, b, c, _] = BROKER.ip().octets();
    let address = |at: u16| Ipv4Addr::new(a, b, c, 10 + u8::try_from(at).unwrap_or(0));
    (0..count.min(TURBINES_MAX)).map(|at| SocketAddr::from((address(at), BASE_PORT + at))).collect()
}

/// A cable of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cable {
    Management,
    Field,
    Links,
}

/// All hosts; dropped, they are removed with all that runs on them.
pub(crate) struct Network {
    plane: Namespace,
    plant: Namespace,
    edges: [Namespace; 2],
}

impl Network {
    /// Lays all cables.
    pub(crate) fn lay(turbine_count: u16) -> Result<Self, LabError> {
        let new = |role| Namespace::new(PREFIX, role);
        let network =
            Self { plane: new("plane")?, plant: new("plant")?, edges: [new("edge-a")?, new("edge-b")?] };
        network.switch(&network.plane, "management", &[format!("{PLANE}/24"), format!("{SERVICE}/32")])?;
        let mut addresses = vec![format!("{}/24", BROKER.ip())];
        addresses.extend(turbines(turbine_count).iter().map(|turbine| format!("{}/24", turbine.ip())));
        network.switch(&network.plant, "field", &addresses)?;
        for edge in Edge::BOTH {
            network.plug(&network.plane, "management", edge, edge.address())?;
            network.plug(&network.plant, "field", edge, edge.field())?;
            // A kubelet finds its own address by its default route.
            let routes = [format!("route add default via {PLANE}")];
            batch(network.edge(edge).name(), &routes)?;
        }
        for link in [1_u8, 2] {
            let name = format!("link{link}");
            let [a, b] = Edge::BOTH.map(|edge| network.edge(edge).name());
            ip(&["-n", a, "link", "add", &name, "type", "veth", "peer", "name", &name, "netns", b])?;
            for edge in Edge::BOTH {
                let address = format!("addr add {}/24 dev {name}", edge.link(link));
                batch(network.edge(edge).name(), &[address, format!("link set {name} up")])?;
            }
        }
        Ok(network)
    }

    fn switch(&self, host: &Namespace, name: &str, addresses: &[String]) -> Result<(), LabError> {
        let mut lines = vec![format!("link add {name} type bridge stp_state 0 forward_delay 0")];
        lines.extend(addresses.iter().map(|address| format!("addr add {address} dev {name}")));
        lines.push(format!("link set {name} up"));
        batch(host.name(), &lines)
    }

    fn plug(&self, host: &Namespace, switch: &str, edge: Edge, address: Ipv4Addr) -> Result<(), LabError> {
        let (port, node) = (edge.name(), self.edge(edge).name());
        let add = ["-n", host.name(), "link", "add", port, "type", "veth"];
        ip(&[&add[..], &["peer", "name", switch, "netns", node]].concat())?;
        batch(host.name(), &[format!("link set {port} master {switch} up")])?;
        batch(node, &[format!("addr add {address}/24 dev {switch}"), format!("link set {switch} up")])
    }

    fn edge(&self, edge: Edge) -> &Namespace {
        let [a, b] = &self.edges;
        match edge {
            Edge::A => a,
            Edge::B => b,
        }
    }

    /// Where the control plane runs.
    pub(crate) fn plane(&self) -> PathBuf {
        self.plane.file()
    }

    /// Where the plant and the broker run.
    pub(crate) fn plant(&self) -> PathBuf {
        self.plant.file()
    }

    /// Where a node runs.
    pub(crate) fn node(&self, edge: Edge) -> PathBuf {
        self.edge(edge).file()
    }

    /// Takes cables of a node down, at the switch where there is one, or brings them up: all at the same time.
    pub(crate) fn set(&self, edge: Edge, cables: &[Cable], up: bool) -> Result<(), LabError> {
        std::thread::scope(|scope| {
            let pulled: Vec<_> =
                cables.iter().map(|cable| scope.spawn(move || self.set_one(edge, *cable, up))).collect();
            pulled.into_iter().try_for_each(|one| one.join().unwrap_or(Ok(())))
        })
    }

    fn set_one(&self, edge: Edge, cable: Cable, up: bool) -> Result<(), LabError> {
        let state = if up { "up" } else { "down" };
        let (host, ports): (_, &[&str]) = match cable {
            Cable::Management => (&self.plane, &[edge.name()]),
            Cable::Field => (&self.plant, &[edge.name()]),
            Cable::Links => (self.edge(edge), &["link1", "link2"]),
        };
        let lines: Vec<String> = ports.iter().map(|port| format!("link set {port} {state}")).collect();
        batch(host.name(), &lines)
    }
}
