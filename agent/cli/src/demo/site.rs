//! The demo's site on loopback.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use super::DemoError;
use sim_lab::site::PairSpec;

/// Name of the demo's site in MQTT topics.
pub(super) const SITE: &str = "demo";

/// The two nodes of a pair, on free ports.
pub(super) fn pair() -> Result<[PairSpec; 2], DemoError> {
    let failed = |error: std::io::Error| DemoError::Start { name: "takt-agent", why: error.to_string() };
    // All at a time, so that they differ; free again when the agents start.
    let sockets: Vec<UdpSocket> = (0..4)
        .map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let ends: Vec<SocketAddr> =
        sockets.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>().map_err(failed)?;
    let &[a1, b1, a2, b2] = ends.as_slice() else {
        return Err(DemoError::Start { name: "takt-agent", why: "no free ports".to_owned() });
    };
    let node = |node, links| PairSpec { node, links, function: "fc23", gate: "preferred" };
    Ok([node("a", [(a1, b1), (a2, b2)]), node("b", [(b1, a1), (b2, a2)])])
}
