//! What only a kernel can show: the arbiter's client behind a shut gate, and links whose interface goes away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(not(all(takt_packet_gate, takt_network_namespace)), allow(dead_code, unused_imports))]

use std::env;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use failover_link::{ArbiterClient, ArbiterConfig, ArbiterVariant, Link, LinkConfig, LinkSockets, LinkState};
use failover_protocol::{ArbiterOp, Epoch, Node};
use hal_linux_rt::lease_gate::{GateSpec, LeaseGate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CHILD: &str = "TAKT_TEST_CHILD";
const DONE: &str = "takt-test-child-done";

/// Runs this very test in a process of its own, in a network of its own if wanted.
fn in_own_process(name: &str, own_network: bool, body: impl FnOnce()) {
    if env::var_os(CHILD).is_some_and(|child| child == name) {
        body();
        println!("{DONE}");
        return;
    }
    let program = env::current_exe().unwrap();
    let mut command = if own_network { Command::new("unshare") } else { Command::new(&program) };
    if own_network {
        command.arg("-n").arg(&program);
    }
    command.args(["--exact", name, "--nocapture", "--include-ignored"]).env(CHILD, name);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains(DONE), "{}:\n{text}\n{error}", output.status);
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

/// An arbiter that answers each exchange with zeroes, in a process that is not gated: a thread of this one
/// would do as well, since answers go to no device.
async fn arbiter() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 21];
                while stream.read_exact(&mut request).await.is_ok() {
                    let head = [request[0], request[1], 0, 0, 0, 11, 1, 23, 8];
                    let _ = stream.write_all(&[&head[..], &[0; 8]].concat()).await;
                }
            });
        }
    });
    address
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn the_arbiter_is_written_through_a_shut_gate_by_a_marked_client_alone() {
    let name = "the_arbiter_is_written_through_a_shut_gate_by_a_marked_client_alone";
    in_own_process(name, false, || {
        block_on(async {
            let address = arbiter().await;
            let site = format!("arbiter{}", std::process::id());
            let gate = LeaseGate::set_up(&GateSpec { site: &site, node: "a", devices: &[address] }).unwrap();
            gate.enter().unwrap();
            let config = ArbiterConfig {
                address,
                unit_id: 1,
                base: 200,
                variant: ArbiterVariant::Exchange,
                node: Node::A,
                timeout: Duration::from_millis(300),
                exempt: true,
            };
            let claim = ArbiterOp { write: Some((Epoch(1), 1)) };
            let mut marked = ArbiterClient::new(config);
            assert!(marked.transact(claim).await.is_ok());
            let mut unmarked = ArbiterClient::new(ArbiterConfig { exempt: false, ..config });
            assert!(unmarked.transact(claim).await.is_err());
            assert!(gate.cell().dropped() > 0);
            // Out of the group again, so that it can be removed.
            let above = gate.report().group.parent().unwrap().join("cgroup.procs");
            std::fs::write(above, std::process::id().to_string()).unwrap();
            gate.remove().unwrap();
        });
    });
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// A pair of interfaces in this network, both ends with an address.
fn plug() {
    ip("link add takt0 type veth peer name takt1");
    ip("addr add 10.77.0.1/24 dev takt0");
    ip("addr add 10.77.0.2/24 dev takt1");
    ip("link set takt0 up");
    ip("link set takt1 up");
}

/// Sends on both links until the first one is as wanted.
async fn until(sockets: &mut LinkSockets, wanted: impl Fn(LinkState) -> bool) {
    let begun = Instant::now();
    while !wanted(sockets.state(Link::One)) {
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", sockets.state(Link::One));
        sockets.send(Link::One, b"beat");
        sockets.send(Link::Two, b"beat");
        let _ = tokio::time::timeout(Duration::from_millis(10), sockets.receive(&mut [0; 64])).await;
        assert_eq!(sockets.state(Link::Two), LinkState::Up);
    }
}

#[test]
#[cfg_attr(not(takt_network_namespace), ignore = "needs ip, unshare and CAP_SYS_ADMIN")]
fn a_link_whose_interface_goes_away_is_down_and_comes_back_with_it() {
    let name = "a_link_whose_interface_goes_away_is_down_and_comes_back_with_it";
    in_own_process(name, true, || {
        ip("link set lo up");
        block_on(async {
            for interface in [None, Some("takt0".to_owned())] {
                plug();
                let one = LinkConfig {
                    local: "10.77.0.1:4711".parse().unwrap(),
                    peer: "10.77.0.2:4711".parse().unwrap(),
                    interface,
                };
                let two = LinkConfig {
                    local: "127.0.0.1:4712".parse().unwrap(),
                    peer: "127.0.0.2:4712".parse().unwrap(),
                    interface: None,
                };
                let mut sockets = LinkSockets::new(one, two);
                until(&mut sockets, |state| state == LinkState::Up).await;
                ip("link del takt0");
                until(&mut sockets, |state| state != LinkState::Up).await;
                plug();
                until(&mut sockets, |state| state == LinkState::Up).await;
                drop(sockets);
                ip("link del takt0");
            }
        });
    });
}
