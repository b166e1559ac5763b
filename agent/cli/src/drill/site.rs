//! The network of the drill, and the files of the two nodes that live in it.
//!
//! ```text
//!   field 10.77.0.0/24:  plant .10 and up (one address a turbine), broker .2, node A .251, node B .252
//!   link1 10.77.1.0/24:  node A .1, node B .2
//!   link2 10.77.2.0/24:  node A .1, node B .2
//! ```

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;

use super::{DrillError, Side};
use sim_lab::site::{self as simulated_site, Law, NodeFiles, NodeSpec, PairSpec, Places};

/// Name of the drill's site in MQTT topics.
pub(super) const SITE: &str = "drill";
/// Where the broker listens.
pub(super) const BROKER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), 1883);
/// Port of the first turbine.
pub(super) const BASE_PORT: u16 = 5020;
/// Turbines that the field's addresses suffice for.
pub(super) const TURBINES_MAX: u16 = 200;

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
    simulated_site::unit_name(usize::from(at))
}

/// How the pair is set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct PairOptions {
    pub(super) turbines: u16,
    pub(super) law: Law,
    /// `fc23` or `fc6`.
    pub(super) function: &'static str,
    /// `required`, `preferred` or `off`.
    pub(super) gate: &'static str,
}

/// Writes the files of a node into a folder of its own.
pub(super) fn write(
    folder: &Path,
    side: Side,
    core: usize,
    pair: PairOptions,
) -> Result<NodeFiles, DrillError> {
    let PairOptions { turbines, law, function, gate } = pair;
    let end = |link, side| SocketAddr::from((link_ip(link, side), 7700));
    let links = [1, 2].map(|link| (end(link, side), end(link, side.other())));
    let turbines: Vec<SocketAddr> =
        (0..turbines).map(|at| SocketAddr::from((turbine_ip(at), BASE_PORT + at))).collect();
    let node = NodeSpec {
        site: SITE,
        broker: &format!("mqtt://{BROKER}"),
        listen: None,
        core: Some(core),
        turbines: &turbines,
        law,
        pair: Some(PairSpec { node: side.name(), links, function, gate }),
        vehicles: 0,
        drives: &[],
        places: Places::BESIDE,
    };
    Ok(simulated_site::write(&folder.join(side.name()), &node)?)
}
