//! The links over real sockets on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use failover_link::{FRAME_BYTES_MAX, Link, LinkConfig, LinkSockets, LinkState};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);

fn free_port(host: &str) -> SocketAddr {
    UdpSocket::bind((host, 0)).unwrap().local_addr().unwrap()
}

fn link(local: SocketAddr, peer: SocketAddr) -> LinkConfig {
    LinkConfig { local, peer, interface: None }
}

/// Two nodes; the second link of both is on another address, and version 6 if wanted.
fn nodes(second: &str) -> (LinkSockets, LinkSockets) {
    let (a1, b1) = (free_port("127.0.0.1"), free_port("127.0.0.1"));
    let (a2, b2) = (free_port(second), free_port(second));
    (LinkSockets::new(link(a1, b1), link(a2, b2)), LinkSockets::new(link(b1, a1), link(b2, a2)))
}

async fn next(sockets: &mut LinkSockets) -> (Link, Vec<u8>) {
    let mut buffer = [0; FRAME_BYTES_MAX + 1];
    let (link, length) = timeout(PATIENCE, sockets.receive(&mut buffer)).await.unwrap();
    (link, buffer[..length].to_vec())
}

#[tokio::test]
async fn a_datagram_comes_over_the_link_that_it_was_sent_on() {
    for second in ["127.0.0.2", "::1"] {
        let (mut a, mut b) = nodes(second);
        a.send(Link::Two, b"two");
        assert_eq!(next(&mut b).await, (Link::Two, b"two".to_vec()));
        a.send(Link::One, b"one");
        assert_eq!(next(&mut b).await, (Link::One, b"one".to_vec()));
        b.send(Link::One, b"back");
        assert_eq!(next(&mut a).await, (Link::One, b"back".to_vec()));
    }
}

#[tokio::test]
async fn a_stranger_on_the_network_is_not_heard() {
    let (local, peer) = (free_port("127.0.0.1"), free_port("127.0.0.1"));
    let mut a = LinkSockets::new(link(local, peer), link(free_port("127.0.0.2"), free_port("127.0.0.2")));
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"stranger", local).unwrap();
    UdpSocket::bind(peer).unwrap().send_to(b"peer", local).unwrap();
    assert_eq!(next(&mut a).await, (Link::One, b"peer".to_vec()));
}

#[tokio::test]
async fn a_peer_that_is_not_there_does_not_take_the_link_down() {
    let (local, nobody) = (free_port("127.0.0.1"), free_port("127.0.0.1"));
    let (other, also_nobody) = (free_port("127.0.0.2"), free_port("127.0.0.2"));
    let mut a = LinkSockets::new(link(local, nobody), link(other, also_nobody));
    for _ in 0..5 {
        a.send(Link::One, b"anyone?");
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(a.try_receive(&mut [0; 64]).is_none());
    }
    assert_eq!(a.state(Link::One), LinkState::Up);
    // Once it is there it is heard.
    let mut b = LinkSockets::new(link(nobody, local), link(also_nobody, other));
    b.send(Link::One, b"here");
    assert_eq!(next(&mut a).await, (Link::One, b"here".to_vec()));
}

#[tokio::test]
async fn a_link_that_cannot_be_opened_is_down_and_comes_up_by_itself() {
    let (mut a, mut b) = nodes("127.0.0.2");
    let (local, peer) = (free_port("127.0.0.3"), free_port("127.0.0.3"));
    let occupant = UdpSocket::bind(local).unwrap();
    let (third, fourth) = (free_port("127.0.0.1"), free_port("127.0.0.1"));
    let mut c = LinkSockets::new(link(third, fourth), link(local, peer));
    assert!(matches!(c.state(Link::Two), LinkState::Down { reason: std::io::ErrorKind::AddrInUse }));
    assert_eq!(c.state(Link::One), LinkState::Up);
    drop(occupant);
    let mut buffer = [0; 16];
    let waiting = timeout(Duration::from_millis(400), c.receive(&mut buffer)).await;
    assert!(waiting.is_err());
    assert_eq!(c.state(Link::Two), LinkState::Up);
    // The others never noticed.
    a.send(Link::One, b"x");
    assert_eq!(next(&mut b).await.1, b"x");
}

#[tokio::test]
async fn an_interface_that_does_not_exist_is_a_link_that_is_down() {
    let (local, peer) = (free_port("127.0.0.1"), free_port("127.0.0.1"));
    let missing = LinkConfig { interface: Some("takt-none0".to_owned()), ..link(local, peer) };
    let sockets = LinkSockets::new(missing, link(free_port("127.0.0.2"), free_port("127.0.0.2")));
    assert!(matches!(sockets.state(Link::One), LinkState::Down { .. }));
    assert_eq!(sockets.state(Link::Two), LinkState::Up);
}
