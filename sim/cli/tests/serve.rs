//! `takt-sim serve` and `takt-sim der` as processes: they say where they listen, serve, end when told, and say what
//! happened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// A simulator that runs; dropped, it is killed.
struct Simulator {
    folder: TempDir,
    child: Child,
}

impl Simulator {
    fn start(arguments: &str) -> Self {
        Self::serving("serve", arguments)
    }

    fn serving(command: &str, arguments: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_takt-sim"))
            .args([command, "--ports-file", "ports.json", "--json", "truth.json"])
            .args(arguments.split_whitespace())
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    /// The addresses, once they are there.
    fn ports(&self) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            if let Ok(text) = std::fs::read_to_string(self.folder.path().join("ports.json")) {
                return serde_json::from_str(&text).expect("a file that is there is whole");
            }
            assert!(Instant::now() < deadline, "not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn turbine(&self, at: usize) -> TcpStream {
        self.device("turbines", at)
    }

    fn device(&self, kind: &str, at: usize) -> TcpStream {
        let address: SocketAddr = self.ports()[kind][at]["address"].as_str().unwrap().parse().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// What happened, after it ended.
    fn truth(mut self) -> Value {
        let deadline = Instant::now() + SOON;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{status}");
        serde_json::from_str(&std::fs::read_to_string(self.folder.path().join("truth.json")).unwrap())
            .unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request, one answer of `answer_bytes` bytes after the header.
fn ask(stream: &mut TcpStream, pdu: &[u8], answer_bytes: usize) -> Vec<u8> {
    let mut frame = vec![0, 1, 0, 0, 0, pdu.len() as u8 + 1, 1];
    frame.extend(pdu);
    stream.write_all(&frame).unwrap();
    let mut answer = vec![0; 7 + answer_bytes];
    stream.read_exact(&mut answer).unwrap();
    answer.split_off(7)
}

fn wait_for_scans(turbine: &mut TcpStream, scans: u8) {
    let deadline = Instant::now() + SOON;
    loop {
        let answer = ask(turbine, &[3, 0, 29, 0, 1], 4);
        if answer[2] > 0 || answer[3] >= scans {
            return;
        }
        assert!(Instant::now() < deadline, "the plant stands still");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn it_serves_until_terminated_and_says_what_happened() {
    let simulator = Simulator::start("--turbines 2 --wind const:14 --sensor-noise none");
    let mut second = simulator.turbine(1);
    let wind = ask(&mut second, &[3, 0, 14, 0, 2], 6);
    assert_eq!(wind[2..], 14.0_f32.to_be_bytes());
    assert_eq!(ask(&mut second, &[6, 0, 110, 0, 1], 5), [6, 0, 110, 0, 1]);
    assert_eq!(ask(&mut second, &[6, 0, 110, 0, 2], 5), [6, 0, 110, 0, 2]);
    assert_eq!(ask(&mut second, &[6, 0, 0, 0, 2], 2), [0x86, 2]);
    wait_for_scans(&mut simulator.turbine(0), 20);
    simulator.signal(Signal::TERM);
    let truth = simulator.truth();
    let turbines = truth["turbines"].as_array().unwrap();
    assert_eq!(turbines.len(), 2);
    assert!((turbines[0]["power_mean_kw"].as_f64().unwrap() - 5000.0).abs() < 10.0, "{truth}");
    assert_eq!(turbines[1]["writes_applied"], 2);
    assert_eq!(turbines[1]["writes_refused_by_content"], 1);
    assert_eq!(turbines[0]["writes_applied"], 0);
}

#[test]
fn it_ends_when_its_standard_input_closes() {
    let mut simulator = Simulator::start("--turbines 1 --wind const:8 --until-stdin-closes");
    simulator.ports();
    drop(simulator.child.stdin.take());
    assert_eq!(simulator.truth()["wind"], "const:8");
}

#[test]
fn its_broker_listens_where_it_says() {
    let simulator = Simulator::start("--turbines 1 --wind const:8 --broker 127.0.0.1:0");
    let ports = simulator.ports();
    let address: SocketAddr = ports["broker"].as_str().unwrap().parse().unwrap();
    assert!(TcpStream::connect(address).is_ok());
    simulator.signal(Signal::INT);
    simulator.truth();
}

/// The lines of a kind in a write log, split into fields.
fn lines_of<'a>(log: &'a str, kind: &str) -> Vec<Vec<&'a str>> {
    let fields = log.lines().map(|line| line.split(',').collect::<Vec<_>>());
    fields.filter(|fields| fields[0] == kind).collect()
}

#[test]
fn its_write_log_tells_every_write_while_it_runs() {
    let simulator = Simulator::start("--turbines 2 --wind const:14 --arbiter 2 --write-log writes.csv");
    let file = simulator.folder.path().join("writes.csv");
    let mut second = simulator.turbine(1);
    let claimed = ask(&mut second, &[23, 0, 200, 0, 4, 0, 200, 0, 2, 4, 0, 7, 0, 1], 10);
    assert_eq!(claimed, [23, 8, 0, 7, 0, 1, 0, 0, 0, 0]);
    assert_eq!(ask(&mut second, &[16, 0, 108, 0, 2, 4, 0, 0, 0, 7], 5), [16, 0, 108, 0, 2]);
    assert_eq!(ask(&mut second, &[16, 0, 108, 0, 2, 4, 0, 0, 0, 6], 2), [0x90, 3]);
    assert_eq!(ask(&mut simulator.turbine(0), &[3, 0, 200, 0, 4], 2), [0x83, 2], "not there");
    let deadline = Instant::now() + SOON;
    let log = loop {
        let log = std::fs::read_to_string(&file).unwrap();
        if lines_of(&log, "w").len() == 2 {
            break log;
        }
        assert!(Instant::now() < deadline, "{log}");
        std::thread::sleep(Duration::from_millis(5));
    };
    let writes = lines_of(&log, "w");
    assert_eq!(writes[0][2..6], ["2", "7", "0", "fence"]);
    assert_eq!(writes[1][2..6], ["2", "6", "0", "refused-epoch"]);
    assert!(writes[0][1].parse::<u64>().unwrap() < writes[1][1].parse().unwrap());
    assert_eq!(lines_of(&log, "takt-write-log")[0][1], "1");
    simulator.signal(Signal::TERM);
    assert_eq!(simulator.truth()["turbines"][1]["arbiter_writes"], 1);
}

#[test]
fn without_function_code_23_the_arbiter_is_still_there() {
    let simulator = Simulator::start("--turbines 1 --wind const:14 --no-fc23");
    let mut turbine = simulator.turbine(0);
    assert_eq!(ask(&mut turbine, &[23, 0, 200, 0, 4, 0, 200, 0, 2, 4, 0, 7, 0, 1], 2), [0x97, 1]);
    assert_eq!(ask(&mut turbine, &[6, 0, 202, 0, 9], 5), [6, 0, 202, 0, 9]);
    assert_eq!(ask(&mut turbine, &[3, 0, 200, 0, 4], 10), [3, 8, 0, 0, 0, 0, 0, 9, 0, 0]);
}

#[test]
fn a_dead_turbine_is_dead_and_its_neighbour_is_not() {
    let simulator = Simulator::start("--turbines 2 --wind turb:9:10 --fault 1:dead");
    let mut dead = simulator.turbine(0);
    dead.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    dead.write_all(&[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]).unwrap();
    assert!(dead.read_exact(&mut [0; 1]).is_err());
    assert_eq!(ask(&mut simulator.turbine(1), &[3, 0, 24, 0, 1], 4), [3, 2, 0, 0]);
}

#[test]
fn turbulence_differs_from_turbine_to_turbine_and_a_seed_repeats_it() {
    let winds = || {
        let simulator = Simulator::start("--turbines 2 --wind turb:9:10 --seed 5 --sensor-noise none");
        simulator.ports();
        simulator.signal(Signal::TERM);
        let truth = simulator.truth();
        // Stopped at once, the mean power is that of the first wind.
        [0, 1].map(|at| truth["turbines"][at]["end"]["rotor_rpm"].as_f64().unwrap())
    };
    let (first, again) = (winds(), winds());
    assert!((first[0] - first[1]).abs() > 1e-3, "{first:?}");
    assert!((first[0] - again[0]).abs() < 0.05 && (first[1] - again[1]).abs() < 0.05, "{first:?} {again:?}");
}

#[test]
fn what_cannot_be_served_is_refused_with_its_remedy() {
    let refused = |arguments: &str, status: i32| {
        let output = Command::new(env!("CARGO_BIN_EXE_takt-sim"))
            .arg("serve")
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused("--wind breeze", 2).contains("is no wind"));
    assert!(refused("--wind const:8 --turbines 0", 2).contains("--turbines"));
    assert!(refused("--wind const:8 --fault 5:dead", 2).contains("turbine 5 of 4"));
    assert!(refused("--wind const:8 --hold-ms 500 --safe-ms 400", 2).contains("longer --safe-ms"));
    assert!(refused("--wind const:8 --arbiter 5", 2).contains("turbine 5 of 4"));
    assert!(refused("--wind nothing.csv", 2).contains("nothing.csv: cannot be read"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    assert!(refused(&format!("--wind const:8 --base-port {port}"), 1).contains("cannot listen"));
}

#[test]
fn vehicles_drive_beside_the_turbines_at_the_embedded_broker() {
    let layout = TempDir::new().unwrap();
    let map = layout.path().join("hall.map");
    std::fs::write(&map, "type octile\nheight 2\nwidth 4\nmap\n....\n....\n").unwrap();
    let simulator = Simulator::start(&format!(
        "--turbines 1 --wind const:9 --broker 127.0.0.1:0 --vehicles 6 --layout {} --until-stdin-closes",
        map.display()
    ));
    simulator.ports();
    // Six times connection and state, at least, and a moment for the broker.
    std::thread::sleep(Duration::from_secs(3));
    simulator.signal(Signal::TERM);
    let vehicles = &simulator.truth()["vehicles"];
    assert_eq!((&vehicles["vehicles"], &vehicles["connected"]), (&6.into(), &6.into()), "{vehicles}");
    assert!(vehicles["messages_said"].as_u64().unwrap() >= 12 && vehicles["collisions"] == 0);
}

/// The words from this register on.
fn words(stream: &mut TcpStream, register: u16, count: u8) -> Vec<u16> {
    let [high, low] = register.to_be_bytes();
    let answer = ask(stream, &[3, high, low, 0, count], 2 + 2 * usize::from(count));
    answer[2..].chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

#[test]
fn a_plant_with_a_controller_of_its_own_reverts_a_limit_that_nobody_repeats() {
    let simulator = Simulator::serving("der", "--plants 2 --rated-kw 20000 --local 2");
    let mut plant = simulator.device("plants", 0);
    assert_eq!(words(&mut plant, 40000, 2), [0x5375, 0x6e53]);
    // 30 %, reverting to 60 % after a second.
    let limit = [0x10, 0x9d, 0x2f, 0, 6, 12, 0, 1, 0x0b, 0xb8, 0x17, 0x70, 0, 1, 0, 0, 0, 1];
    assert_eq!(ask(&mut plant, &limit, 5)[0], 0x10);
    assert_eq!(words(&mut plant, 40240, 1), [3000]);
    let deadline = Instant::now() + SOON;
    while words(&mut plant, 40240, 1) != [6000] {
        assert!(Instant::now() < deadline, "it does not revert");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(ask(&mut simulator.device("plants", 1), &limit, 2), [0x90, 3], "somebody is at the machine");
    simulator.signal(Signal::TERM);
    let truth = simulator.truth();
    assert_eq!(
        (&truth["plants"][0]["writes"], &truth["plants"][0]["timer_reversions"]),
        (&1.into(), &1.into())
    );
    assert_eq!(truth["plants"][1]["writes_in_local"], 1);
}
