//! The program's verdict on single packets, run by the kernel, against the rules written a second time.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use hal_units::Duration;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{GateSpec, LeaseGate};
use crate::clock::boot_now;
use crate::sys;

const DEVICE_4: &str = "10.0.0.7:502";
const DEVICE_6: &str = "[fd00::7]:502";
const READ: [u8; 12] = [0, 1, 0, 0, 0, 6, 1, 3, 0, 200, 0, 1];

#[derive(Debug, Clone)]
struct Packet {
    to: SocketAddr,
    /// 6 is TCP.
    protocol: u8,
    /// Flags and offset of version 4; anything but 0 and "don't fragment" is a fragment.
    fragment: u16,
    /// Options in the network's and TCP's header, in words of 4 bytes.
    ip_options: u8,
    tcp_options: u8,
    payload: Vec<u8>,
}

impl Packet {
    fn to(device: &str, payload: &[u8]) -> Self {
        let to = device.parse().unwrap();
        Self { to, protocol: 6, fragment: 0, ip_options: 0, tcp_options: 0, payload: payload.to_vec() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut tcp = vec![0; 20 + 4 * usize::from(self.tcp_options)];
        tcp[2..4].copy_from_slice(&self.to.port().to_be_bytes());
        tcp[12] = (5 + self.tcp_options) << 4;
        tcp.extend(&self.payload);
        let mut bytes = vec![0; 12];
        match self.to {
            SocketAddr::V4(to) => {
                bytes.extend([0x08, 0x00]);
                let mut ip = vec![0; 20 + 4 * usize::from(self.ip_options)];
                ip[0] = 0x40 | (5 + self.ip_options);
                let total = u16::try_from(ip.len() + tcp.len()).unwrap();
                ip[2..4].copy_from_slice(&total.to_be_bytes());
                ip[6..8].copy_from_slice(&self.fragment.to_be_bytes());
                ip[9] = self.protocol;
                ip[16..20].copy_from_slice(&to.ip().octets());
                bytes.extend(ip);
            }
            SocketAddr::V6(to) => {
                bytes.extend([0x86, 0xdd]);
                let mut ip = [0; 40];
                ip[0] = 0x60;
                ip[4..6].copy_from_slice(&u16::try_from(tcp.len()).unwrap().to_be_bytes());
                ip[6] = self.protocol;
                ip[24..40].copy_from_slice(&to.ip().octets());
                bytes.extend(ip);
            }
        }
        bytes.extend(tcp);
        bytes
    }

    /// Whether it passes a shut gate, by the rules.
    fn passes(&self) -> bool {
        let devices: [SocketAddr; 2] = [DEVICE_4.parse().unwrap(), DEVICE_6.parse().unwrap()];
        let to_device_address = devices.iter().any(|device| device.ip() == self.to.ip());
        let fragment = self.to.is_ipv4() && self.fragment & 0x3fff != 0;
        let opaque = if self.to.is_ipv4() {
            self.protocol == 6 && fragment
        } else {
            ![6, 17, 58].contains(&self.protocol)
        };
        if opaque {
            return !to_device_address;
        }
        let is_read = self.payload.len() == 12
            && self.payload[2..6] == [0, 0, 0, 6]
            && (1..=4).contains(&self.payload[7]);
        self.protocol != 6 || !devices.contains(&self.to) || self.payload.is_empty() || is_read
    }
}

/// A gate that forgets nothing between packets but what it condemned: each test socket is a new one.
struct Bench(Option<LeaseGate>);

impl Bench {
    fn new(name: &str) -> Self {
        let devices = [DEVICE_4.parse().unwrap(), DEVICE_6.parse().unwrap()];
        let site = format!("bench{}", std::process::id());
        Self(Some(LeaseGate::set_up(&GateSpec { site: &site, node: name, devices: &devices }).unwrap()))
    }

    fn gate(&self) -> &LeaseGate {
        self.0.as_ref().unwrap()
    }

    fn verdict(&self, packet: &Packet) -> bool {
        match sys::program_try(self.gate().program.as_fd(), &packet.bytes()).unwrap() {
            0 => false,
            1 => true,
            other => panic!("verdict {other}"),
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.0.take().unwrap().remove().unwrap();
    }
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let to = prop_oneof![
        4 => Just(DEVICE_4.parse().unwrap()),
        4 => Just(DEVICE_6.parse().unwrap()),
        1 => any::<u16>().prop_map(|port| SocketAddr::new("10.0.0.7".parse().unwrap(), port)),
        1 => any::<u16>().prop_map(|port| SocketAddr::new("fd00::7".parse().unwrap(), port)),
        1 => any::<[u8; 4]>().prop_map(|ip| SocketAddr::new(ip.into(), 502)),
        1 => any::<[u8; 16]>().prop_map(|ip| SocketAddr::new(ip.into(), 502)),
    ];
    let protocol = prop_oneof![8 => Just(6_u8), 1 => any::<u8>(), 1 => Just(44), 1 => Just(17)];
    let fragment = prop_oneof![6 => Just(0_u16), 1 => Just(0x4000), 1 => any::<u16>()];
    let read = (any::<[u8; 12]>(), 0_u8..8, 0_usize..14).prop_map(|(noise, function, keep)| {
        let mut read = READ;
        read[7] = function;
        // Noise in one place, or in none.
        if let Some(byte) = read.get_mut(keep) {
            *byte ^= noise[0] & 1;
        }
        read.to_vec()
    });
    let payload = prop_oneof![
        6 => read,
        1 => Just(Vec::new()),
        2 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => proptest::collection::vec(any::<u8>(), 12),
    ];
    (to, protocol, fragment, 0_u8..11, 0_u8..11, payload).prop_map(
        |(to, protocol, fragment, ip_options, tcp_options, payload)| Packet {
            to,
            protocol,
            fragment,
            ip_options,
            tcp_options,
            payload,
        },
    )
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_shut_gate_judges_any_packet_by_the_rules() {
    let bench = Bench::new("any");
    let mut passed = 0;
    let mut runner = TestRunner::new(Config { cases: 4000, ..Config::default() });
    let judged = runner.run(&any_packet(), |packet| {
        prop_assert_eq!(bench.verdict(&packet), packet.passes());
        Ok(())
    });
    judged.unwrap();
    for packet in [Packet::to(DEVICE_4, &READ), Packet::to(DEVICE_6, &READ), Packet::to(DEVICE_4, &[])] {
        passed += u32::from(bench.verdict(&packet));
    }
    assert_eq!(passed, 3);
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn an_open_gate_lets_any_packet_pass() {
    let bench = Bench::new("open");
    bench.gate().cell().renew(boot_now() + Duration::from_secs(600));
    let mut runner = TestRunner::new(Config { cases: 1000, ..Config::default() });
    let judged = runner.run(&any_packet(), |packet| {
        prop_assert!(bench.verdict(&packet));
        Ok(())
    });
    judged.unwrap();
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_packet_that_is_cut_off_in_its_header_goes_nowhere() {
    let bench = Bench::new("cut");
    let whole = Packet::to(DEVICE_4, &[]).bytes();
    let cut = |length: usize| sys::program_try(bench.gate().program.as_fd(), &whole[..length]);
    // 14 of Ethernet, 20 of the network, 20 of TCP.
    for length in [14 + 20, 14 + 21, 14 + 39] {
        assert_eq!(cut(length), Ok(0), "{length}");
    }
    assert_eq!(cut(14 + 40), Ok(1));
}
