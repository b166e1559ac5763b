//! The cables between two nodes and a plant, in three network namespaces.
//!
//! ```text
//!        +--------------- link1 ---------------+
//!        |  +------------ link2 ------------+  |
//!      node A                               node B
//!        |  field                    field  |
//!        +-----------[ bridge `plant` ]-----+       takt-sim: turbines and broker
//! ```
//!
//! Cables are cut in two ways. *Down* sets one end down: the other loses its carrier, and the kernel
//! tells the sender. *Lost* gives the sender a wrong hardware address for the receiver: what it sends
//! vanishes without a word, and the other direction goes on.

use sim_lab::namespace::{Namespace, batch, ip};

use super::site::{self, BROKER};
use super::{DrillError, Side};

/// Begins the names of namespaces.
pub(super) const PREFIX: &str = "takt-drill";
/// No interface has it: it is locally administered.
const NOWHERE: &str = "02:00:00:00:de:ad";

/// A cable of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cable {
    Link1,
    Link2,
    Field,
}

/// The network; dropped, it is removed with all that runs in it.
pub(super) struct Network {
    a: Namespace,
    b: Namespace,
    field: Namespace,
}

impl Network {
    /// Lays it, for so many turbines.
    pub(super) fn lay(turbines: u16) -> Result<Self, DrillError> {
        let (field, a, b) =
            (Namespace::new(PREFIX, "field")?, Namespace::new(PREFIX, "a")?, Namespace::new(PREFIX, "b")?);
        let network = Self { a, b, field };
        wire(&network.field, &network.a, &network.b, turbines)?;
        Ok(network)
    }

    /// Where the plant and the broker are.
    pub(super) const fn field(&self) -> &Namespace {
        &self.field
    }

    /// Where a node is.
    pub(super) fn node(&self, side: Side) -> &Namespace {
        side.pick(&self.a, &self.b)
    }

    /// Takes all a node's cables down at once, or brings them up.
    pub(super) fn set_cables(&self, side: Side, cables: &[Cable], up: bool) -> Result<(), DrillError> {
        let state = if up { "up" } else { "down" };
        let own: Vec<String> = cables
            .iter()
            .filter_map(|cable| match cable {
                Cable::Link1 => Some(format!("link set link1 {state}")),
                Cable::Link2 => Some(format!("link set link2 {state}")),
                Cable::Field => None,
            })
            .collect();
        // A node is cut from the field at the switch.
        if cables.contains(&Cable::Field) {
            batch(self.field.name(), &[format!("link set {} {state}", port(side))])?;
        }
        if !own.is_empty() {
            batch(self.node(side).name(), &own)?;
        }
        Ok(())
    }

    /// Lets what a node sends on both links vanish, or arrive again.
    pub(super) fn set_sends_lost(&self, side: Side, lost: bool) -> Result<(), DrillError> {
        let line = |link| lose(site::link_ip(link, side.other()), &format!("link{link}"), lost);
        Ok(batch(self.node(side).name(), &[line(1), line(2)])?)
    }

    /// Lets what both nodes send to the arbiter's device vanish, or arrive again.
    pub(super) fn set_arbiter_lost(&self, lost: bool) -> Result<(), DrillError> {
        let line = lose(site::turbine_ip(0), "field", lost);
        batch(self.a.name(), std::slice::from_ref(&line))?;
        Ok(batch(self.b.name(), &[line])?)
    }
}

fn port(side: Side) -> &'static str {
    side.pick("port-a", "port-b")
}

fn lose(address: std::net::Ipv4Addr, device: &str, lost: bool) -> String {
    if lost {
        format!("neigh replace {address} lladdr {NOWHERE} dev {device} nud permanent")
    } else {
        format!("neigh del {address} dev {device}")
    }
}

/// Lays the cables.
fn wire(field: &Namespace, a: &Namespace, b: &Namespace, turbines: u16) -> Result<(), DrillError> {
    let mut switch = vec![
        "link add plant type bridge stp_state 0 forward_delay 0".to_owned(),
        format!("addr add {}/24 dev plant", BROKER.ip()),
    ];
    switch.extend((0..turbines).map(|at| format!("addr add {}/24 dev plant", site::turbine_ip(at))));
    switch.push("link set plant up".to_owned());
    batch(field.name(), &switch)?;
    for (side, node) in [(Side::A, a), (Side::B, b)] {
        let (port, node) = (port(side), node.name());
        ip(&[
            "-n",
            field.name(),
            "link",
            "add",
            port,
            "type",
            "veth",
            "peer",
            "name",
            "field",
            "netns",
            node,
        ])?;
        batch(field.name(), &[format!("link set {port} master plant up")])?;
        let own = [format!("addr add {}/24 dev field", site::field_ip(side)), "link set field up".to_owned()];
        batch(node, &own)?;
    }
    for link in [1, 2] {
        let name = format!("link{link}");
        let (one, other) = (a.name(), b.name());
        ip(&["-n", one, "link", "add", &name, "type", "veth", "peer", "name", &name, "netns", other])?;
        for (side, node) in [(Side::A, one), (Side::B, other)] {
            let address = site::link_ip(link, side);
            batch(node, &[format!("addr add {address}/24 dev {name}"), format!("link set {name} up")])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_lab::namespace::enter;
    use std::net::{SocketAddrV4, UdpSocket};
    use std::time::Duration;

    /// A socket in a namespace.
    fn socket(namespace: &Namespace, address: SocketAddrV4) -> UdpSocket {
        let file = namespace.file();
        let bind = move || {
            enter(&file).unwrap();
            UdpSocket::bind(address).unwrap()
        };
        let socket = std::thread::spawn(bind).join().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket
    }

    fn arrives(from: &UdpSocket, to: &UdpSocket) -> bool {
        to.set_nonblocking(true).unwrap();
        while to.recv(&mut [0; 4]).is_ok() {}
        to.set_nonblocking(false).unwrap();
        // A cable that is down may refuse it already.
        let _ = from.send_to(b"x", to.local_addr().unwrap());
        to.recv(&mut [0; 4]).is_ok()
    }

    fn check_both_ways(a: &UdpSocket, b: &UdpSocket, expected: [bool; 2], when: &str) {
        assert_eq!([arrives(a, b), arrives(b, a)], expected, "{when}");
    }

    /// A cut is there at once; a carrier that comes back is believed after up to a second.
    fn check_heals(a: &UdpSocket, b: &UdpSocket, when: &str) {
        let heard = (0..20).any(|_| arrives(a, b)) && (0..20).any(|_| arrives(b, a));
        assert!(heard, "{when}");
    }

    #[test]
    #[cfg_attr(not(takt_netns), ignore = "needs root and network namespaces")]
    fn each_cut_cuts_what_it_says_and_nothing_else_and_heals() {
        let network = Network::lay(2).unwrap();
        let node = |side, address| socket(network.node(side), SocketAddrV4::new(address, 7700));
        let links = [1, 2].map(|link| [Side::A, Side::B].map(|side| node(side, site::link_ip(link, side))));
        let [[a1, b1], [a2, b2]] = &links;
        let fields = [Side::A, Side::B].map(|side| node(side, site::field_ip(side)));
        let plant = [0, 1].map(|at| socket(network.field(), SocketAddrV4::new(site::turbine_ip(at), 5020)));
        let [field_a, field_b] = &fields;
        let [arbiter, other] = &plant;
        let all_well = |when: &str| {
            check_heals(a1, b1, when);
            check_heals(a2, b2, when);
            for (field, device) in
                [(field_a, arbiter), (field_a, other), (field_b, arbiter), (field_b, other)]
            {
                check_heals(field, device, when);
            }
        };
        all_well("whole");

        network.set_cables(Side::A, &[Cable::Link1], false).unwrap();
        check_both_ways(a1, b1, [false, false], "link 1 down");
        check_both_ways(a2, b2, [true, true], "link 1 down");
        network.set_cables(Side::A, &[Cable::Link1], true).unwrap();
        all_well("link 1 up again");

        network.set_sends_lost(Side::A, true).unwrap();
        check_both_ways(a1, b1, [false, true], "what A sends is lost");
        check_both_ways(a2, b2, [false, true], "what A sends is lost");
        check_both_ways(field_a, arbiter, [true, true], "what A sends on the links is lost");
        network.set_sends_lost(Side::A, false).unwrap();
        all_well("A is heard again");

        network.set_arbiter_lost(true).unwrap();
        for field in [field_a, field_b] {
            check_both_ways(field, arbiter, [false, true], "the arbiter is lost");
            check_both_ways(field, other, [true, true], "the arbiter is lost");
        }
        network.set_arbiter_lost(false).unwrap();
        all_well("the arbiter is back");

        network.set_cables(Side::B, &[Cable::Link1, Cable::Link2, Cable::Field], false).unwrap();
        check_both_ways(field_b, other, [false, false], "B is unplugged");
        check_both_ways(field_a, other, [true, true], "B is unplugged");
        check_both_ways(a2, b2, [false, false], "B is unplugged");
        network.set_cables(Side::B, &[Cable::Link1, Cable::Link2, Cable::Field], true).unwrap();
        all_well("B is plugged again");
    }

    #[test]
    #[cfg_attr(not(takt_netns), ignore = "needs root and network namespaces")]
    fn a_network_leaves_nothing_behind() {
        let network = Network::lay(1).unwrap();
        let names = [network.field(), network.node(Side::A)].map(|namespace| namespace.name().to_owned());
        let mut sleeper = std::process::Command::new("ip")
            .args(["netns", "exec", &names[1], "sleep", "60"])
            .spawn()
            .unwrap();
        while !ip(&["netns", "pids", &names[1]]).unwrap().contains(&sleeper.id().to_string()) {}
        drop(network);
        assert!(!sleeper.wait().unwrap().success(), "it was ended");
        let left = ip(&["netns", "list"]).unwrap();
        assert!(names.iter().all(|name| !left.contains(name.as_str())), "{left}");
    }
}
