//! The lease gate on the kernel that runs this test: an agent in a process of its own, behind a gate, and a
//! device that notes every byte that reaches it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(not(takt_packet_gate), allow(dead_code, unused_imports))]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hal_linux_rt::Errno;
use hal_linux_rt::capability::keep_only;
use hal_linux_rt::clock::boot_now;
use hal_linux_rt::lease_gate::{GateSpec, LeaseGate, current_group, mark_exempt};
use socket2::{Domain, Socket, Type};

const MS: Duration = Duration::from_millis(1);
/// Long enough for loopback and one retransmission, on a busy machine.
const PATIENCE: Duration = Duration::from_millis(700);

/// Modbus TCP requests, complete with header.
const READ: &str = "0001000000060103006400 04";
const READ_INPUTS: &str = "000200000006010400000002";
const WRITE_SINGLE: &str = "000300000006010600c80007";
const WRITE_COIL: &str = "000400000006010500c8ff00";
const WRITE_MULTIPLE: &str = "00050000000901100064000102002a";
const EXCHANGE: &str = "00060000000d011700c8000400c800010200 07";
const MASK_WRITE: &str = "000700000008011600040 0f20025";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|digit| *digit != ' ').collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

/// A device that accepts connections and notes what comes, all connections together.
struct Device {
    address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
    reads: Arc<AtomicBool>,
}

impl Device {
    fn start(address: &str) -> Self {
        Self::with_window(address, None)
    }

    /// One whose socket takes few bytes, and which reads only once it is told to.
    fn asleep(address: &str) -> Self {
        let device = Self::with_window(address, Some(2048));
        device.reads.store(false, Ordering::SeqCst);
        device
    }

    fn with_window(address: &str, window: Option<usize>) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        if let Some(bytes) = window {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket.bind(&address.into()).unwrap();
        socket.listen(16).unwrap();
        let listener: std::net::TcpListener = socket.into();
        let received = Arc::new(Mutex::new(Vec::new()));
        let reads = Arc::new(AtomicBool::new(true));
        let device = Self { address: listener.local_addr().unwrap(), received, reads };
        let (received, reads) = (Arc::clone(&device.received), Arc::clone(&device.reads));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (received, reads) = (Arc::clone(&received), Arc::clone(&reads));
                thread::spawn(move || note(stream, &received, &reads));
            }
        });
        device
    }

    fn wake(&self) {
        self.reads.store(true, Ordering::SeqCst);
    }

    fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap().clone()
    }

    /// Whether exactly these bytes come, and nothing after them.
    fn gets(&self, hex: &str) -> bool {
        let wanted = bytes(hex);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && self.received().len() < wanted.len() {
            thread::sleep(MS);
        }
        self.received() == wanted
    }

    /// Whether nothing comes for as long as a retransmission takes.
    fn gets_nothing(&self) -> bool {
        thread::sleep(PATIENCE);
        self.received().is_empty()
    }
}

fn note(mut stream: TcpStream, received: &Mutex<Vec<u8>>, reads: &AtomicBool) {
    let mut buffer = [0; 4096];
    loop {
        while !reads.load(Ordering::SeqCst) {
            thread::sleep(MS);
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => received.lock().unwrap().extend(&buffer[..count]),
        }
    }
}

/// A gate with an agent behind it. The test holds the lease as a supervisor does.
struct Rig {
    gate: Option<LeaseGate>,
    agent: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Rig {
    fn new(device: &Device) -> Self {
        Self::guarding(&[device.address], device)
    }

    /// An agent of one device behind a gate that guards others.
    fn guarding(devices: &[SocketAddr], device: &Device) -> Self {
        static RIGS: AtomicU32 = AtomicU32::new(0);
        let site = format!("test{}x{}", std::process::id(), RIGS.fetch_add(1, Ordering::SeqCst));
        let spec = GateSpec { site: &site, node: "a", devices };
        let gate = LeaseGate::set_up(&spec).unwrap();
        let lease = gate.cell().inheritable_fd().unwrap();
        let mut agent = Command::new(env!("CARGO_BIN_EXE_linux-rt-probe"))
            .arg("agent")
            .arg(&gate.report().group)
            .arg(lease.as_raw_fd().to_string())
            .arg(device.address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = agent.stdin.take().unwrap();
        let answers = BufReader::new(agent.stdout.take().unwrap());
        let mut rig = Self { gate: Some(gate), agent, orders, answers };
        assert_eq!(rig.answer(), "ready");
        rig
    }

    fn connected(device: &Device) -> Self {
        let mut rig = Self::new(device);
        rig.tell("connect");
        rig
    }

    fn gate(&self) -> &LeaseGate {
        self.gate.as_ref().unwrap()
    }

    fn open_for(&self, span: Duration) {
        self.gate().cell().renew(boot_now() + span);
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn tell(&mut self, order: &str) {
        self.whisper(order);
        assert_eq!(self.answer(), "done", "{order}");
    }

    /// Without waiting for the answer.
    fn whisper(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    fn send(&mut self, hex: &str) {
        self.tell(&format!("send {}", hex.replace(' ', "")));
    }

    fn signal(&self, name: &str) {
        let pid = self.agent.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn kill(&mut self) {
        self.agent.kill().unwrap();
        self.agent.wait().unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
        if let Some(gate) = self.gate.take() {
            gate.remove().unwrap();
        }
    }
}

const LOCAL: &str = "127.0.0.1:0";
const LOCAL_V6: &str = "[::1]:0";
const ENDPOINTS: [&str; 2] = [LOCAL, LOCAL_V6];

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_new_gate_is_shut_and_no_write_passes() {
    for endpoint in ENDPOINTS {
        for write in [WRITE_SINGLE, WRITE_COIL, WRITE_MULTIPLE, EXCHANGE, MASK_WRITE] {
            let device = Device::start(endpoint);
            let mut rig = Rig::connected(&device);
            rig.send(write);
            thread::sleep(20 * MS);
            assert_eq!(device.received(), b"", "{write}");
            assert!(rig.gate().cell().dropped() > 0);
            assert_eq!(rig.gate().cell().condemned(), 1);
        }
    }
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn reads_pass_a_shut_gate_one_by_one() {
    for endpoint in ENDPOINTS {
        let device = Device::start(endpoint);
        let mut rig = Rig::connected(&device);
        rig.send(READ);
        assert!(device.gets(READ), "{:x?}", device.received());
        rig.send(READ_INPUTS);
        assert!(device.gets(&[READ, READ_INPUTS].concat()));
        assert_eq!(rig.gate().cell().dropped(), 0);
    }
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn an_open_gate_lets_everything_pass() {
    for endpoint in ENDPOINTS {
        let device = Device::start(endpoint);
        let mut rig = Rig::connected(&device);
        rig.open_for(60_000 * MS);
        for request in [READ, WRITE_SINGLE, EXCHANGE] {
            rig.send(request);
        }
        assert!(device.gets(&[READ, WRITE_SINGLE, EXCHANGE].concat()));
        assert_eq!(rig.gate().cell().dropped(), 0);
    }
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_read_does_not_carry_a_write_through() {
    for pair in [[READ, WRITE_SINGLE], [READ, READ_INPUTS], [WRITE_SINGLE, READ]] {
        let device = Device::start(LOCAL);
        let mut rig = Rig::connected(&device);
        rig.send(&pair.concat());
        assert!(device.gets_nothing(), "{pair:?}");
    }
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_part_of_a_request_does_not_pass() {
    for part in ["00", "000300000006010600c800", "0003000000060103", "000300010006010300640001"] {
        let device = Device::start(LOCAL);
        let mut rig = Rig::connected(&device);
        rig.send(part);
        thread::sleep(20 * MS);
        assert_eq!(device.received(), b"", "{part}");
    }
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_process_that_was_stopped_wakes_up_behind_a_shut_gate() {
    let device = Device::start(LOCAL);
    let mut rig = Rig::connected(&device);
    rig.tell("renew 100");
    rig.signal("-STOP");
    rig.whisper(&format!("send {WRITE_SINGLE}"));
    thread::sleep(150 * MS);
    rig.signal("-CONT");
    assert_eq!(rig.answer(), "done");
    assert!(device.gets_nothing());
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn what_waits_in_the_kernel_when_the_lease_ends_never_leaves() {
    let device = Device::asleep(LOCAL);
    let mut rig = Rig::connected(&device);
    rig.open_for(60_000 * MS);
    // More than the device takes while it does not read; the rest waits for the window to open.
    let writes: String = WRITE_SINGLE.repeat(4000);
    rig.send(&writes);
    rig.gate().cell().shut();
    rig.kill();
    device.wake();
    thread::sleep(PATIENCE);
    let received = device.received().len();
    assert!(received < writes.len() / 4, "{received} of {} bytes", writes.len() / 2);
    assert!(rig.gate().cell().dropped() > 0);
    // Nor when this node comes to power again.
    rig.open_for(60_000 * MS);
    thread::sleep(PATIENCE);
    assert_eq!(device.received().len(), received);
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn what_waits_in_the_kernel_of_a_live_lease_leaves() {
    let device = Device::asleep(LOCAL);
    let mut rig = Rig::connected(&device);
    rig.open_for(60_000 * MS);
    let writes: String = WRITE_SINGLE.repeat(4000);
    rig.send(&writes);
    device.wake();
    let begun = Instant::now();
    while device.received().len() < writes.len() / 2 && begun.elapsed() < 20 * PATIENCE {
        thread::sleep(MS);
    }
    assert_eq!(device.received().len(), writes.len() / 2);
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_write_that_was_dropped_is_not_sent_again_in_a_later_term() {
    let device = Device::start(LOCAL);
    let mut rig = Rig::connected(&device);
    rig.send(WRITE_SINGLE);
    thread::sleep(20 * MS);
    rig.open_for(60_000 * MS);
    assert!(device.gets_nothing(), "an old write came: {:x?}", device.received());
    rig.tell("connect");
    rig.send(WRITE_COIL);
    assert!(device.gets(WRITE_COIL));
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_killed_process_leaves_its_writes_behind_a_gate_that_shuts_by_itself() {
    let device = Device::asleep(LOCAL);
    let mut rig = Rig::connected(&device);
    rig.tell("renew 300");
    rig.send(&WRITE_SINGLE.repeat(4000));
    rig.kill();
    thread::sleep(400 * MS);
    device.wake();
    thread::sleep(PATIENCE);
    let received = device.received().len();
    assert!(received < 4000 * 12 / 2, "{received}");
    assert!(rig.gate().cell().dropped() > 0);
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_gate_outlives_the_process_that_set_it_up() {
    let device = Device::start(LOCAL);
    let mut rig = Rig::connected(&device);
    rig.open_for(100 * MS);
    // All that a dead process leaves: its group, with nobody who holds the lease but the agent.
    let group = rig.gate.take().unwrap().report().group.clone();
    thread::sleep(150 * MS);
    rig.send(WRITE_SINGLE);
    assert!(device.gets_nothing());
    rig.tell("connect");
    rig.tell("renew 60000");
    rig.send(WRITE_COIL);
    assert!(device.gets(WRITE_COIL));
    rig.kill();
    std::fs::remove_dir(group).unwrap();
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn sockets_of_a_removed_group_stay_behind_its_gate() {
    let device = Device::asleep(LOCAL);
    let mut rig = Rig::connected(&device);
    rig.open_for(60_000 * MS);
    rig.send(&WRITE_SINGLE.repeat(4000));
    rig.kill();
    let cell = rig.gate().cell().try_clone().unwrap();
    rig.gate.take().unwrap().remove().unwrap();
    device.wake();
    thread::sleep(PATIENCE);
    assert!(device.received().len() < 4000 * 12 / 2, "{}", device.received().len());
    assert!(cell.dropped() > 0);
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn renewing_needs_no_capability_and_marking_does() {
    let device = Device::start(LOCAL);
    let mut rig = Rig::connected(&device);
    let marked = thread::scope(|scope| {
        let powerless = scope.spawn(|| {
            keep_only(&[]).unwrap();
            rig.open_for(60_000 * MS);
            mark_exempt(&TcpStream::connect(device.address).unwrap())
        });
        powerless.join().unwrap()
    });
    assert_eq!(marked.unwrap_err().errno, Errno::EPERM);
    rig.send(WRITE_SINGLE);
    assert!(device.gets(WRITE_SINGLE));
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_marked_socket_writes_without_a_lease() {
    for endpoint in ENDPOINTS {
        let device = Device::start(endpoint);
        let mut rig = Rig::connected(&device);
        rig.tell("mark");
        rig.send(EXCHANGE);
        assert!(device.gets(EXCHANGE));
    }
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn packets_to_anything_but_a_device_pass() {
    let (guarded, other) = (Device::start(LOCAL), Device::start(LOCAL));
    let mut rig = Rig::guarding(&[guarded.address], &other);
    rig.tell("connect");
    rig.send(WRITE_SINGLE);
    assert!(other.gets(WRITE_SINGLE));
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_device_that_is_added_is_guarded_on_connections_that_exist() {
    let device = Device::start(LOCAL);
    let mut rig = Rig::guarding(&[], &device);
    rig.tell("connect");
    rig.gate().guard_device(device.address).unwrap();
    rig.send(WRITE_SINGLE);
    assert!(device.gets_nothing());
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn the_group_of_an_earlier_run_is_removed_when_it_is_empty_and_named_when_not() {
    let device = Device::start(LOCAL);
    let spec = GateSpec { site: "test-earlier", node: "a", devices: &[device.address] };
    let (dead, alive) = (LeaseGate::set_up(&spec).unwrap(), LeaseGate::set_up(&spec).unwrap());
    assert!(!dead.report().group.exists());
    let mut resident = Command::new("sleep").arg("60").spawn().unwrap();
    alive.admit(resident.id()).unwrap();
    let next = LeaseGate::set_up(&spec).unwrap();
    assert_eq!(next.report().earlier, [alive.report().group.clone()]);
    resident.kill().unwrap();
    resident.wait().unwrap();
    alive.remove().unwrap();
    next.remove().unwrap();
}

#[test]
#[cfg_attr(not(takt_packet_gate), ignore = "needs CAP_BPF, CAP_NET_ADMIN and a cgroup v2 hierarchy")]
fn a_process_outside_of_a_gate_knows_it() {
    assert_eq!(current_group().unwrap(), None);
}
