//! Load for a farm: a master that asks every device a hundred times a second, and what that costs.
//!
//! Each cycle of 10 ms it sends a write of all commands (function code 16) to every device, then a read of
//! all measurements (function code 3), and waits for the answers of each round. At the end it prints the
//! transactions, the round trips, and the processor time that the serving process took meanwhile.
//!
//! ```text
//! takt-sim serve --turbines 50 --wind turb:12:10 --ports-file ports.json &
//! cargo run --release -p sim-devices --example load -- $! 20 $(grep -o '127.0.0.1:[0-9]*' ports.json)
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use sim_devices::registers;

const CYCLE: Duration = Duration::from_millis(10);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "give the serving process's id, seconds, and addresses";
    let pid: u32 = arguments.next().and_then(|pid| pid.parse().ok()).expect(usage);
    let seconds: u64 = arguments.next().and_then(|seconds| seconds.parse().ok()).expect(usage);
    let mut devices: Vec<TcpStream> = arguments
        .map(|address| {
            let stream = TcpStream::connect(&address).expect("a device listens");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            stream
        })
        .collect();
    assert!(!devices.is_empty(), "{usage}");

    let (mut transactions, mut late) = (0_u64, 0_u64);
    let mut rounds_us = Vec::new();
    let (cpu_before, started) = (cpu_seconds(pid), Instant::now());
    let cycles = seconds * 1000 / CYCLE.as_millis() as u64;
    for cycle in 0..cycles {
        let due = started + CYCLE * cycle as u32;
        match due.checked_duration_since(Instant::now()) {
            Some(early) => std::thread::sleep(early),
            None => late += u64::from(due.elapsed() > CYCLE),
        }
        for request in [write_request(cycle as u16), read_request()] {
            let sent = Instant::now();
            for device in &mut devices {
                device.write_all(&request).expect("the device takes a request");
            }
            for device in &mut devices {
                let mut head = [0; 9];
                device.read_exact(&mut head).expect("the device answers");
                assert_eq!(head[7], request[7], "an exception: {head:?}");
                let rest = usize::from(u16::from_be_bytes([head[4], head[5]])) - 3;
                device.read_exact(&mut [0; 256][..rest]).expect("the device answers whole");
                transactions += 1;
            }
            rounds_us.push(sent.elapsed().as_micros());
        }
    }
    let wall_s = started.elapsed().as_secs_f64();
    let cpu_s = cpu_seconds(pid) - cpu_before;
    rounds_us.sort_unstable();
    let quantile = |part: f64| rounds_us[((rounds_us.len() - 1) as f64 * part) as usize];
    println!("{transactions} transactions in {wall_s:.2} s: {:.0} a second", transactions as f64 / wall_s);
    println!("round of all devices: p50 {} us, p99 {} us", quantile(0.5), quantile(0.99));
    println!("cycles begun late by more than a period: {late} of {cycles}");
    println!("processor time of process {pid}: {cpu_s:.2} s, {:.1} % of a core", 100.0 * cpu_s / wall_s);
}

/// Feathered, generator off, the watchdog fed.
fn write_request(watchdog: u16) -> Vec<u8> {
    let mut words = [0; registers::COMMANDS_COUNT];
    registers::PITCH_CMD.set_f32(&mut words, 1.5);
    registers::WATCHDOG.set_u16(&mut words, watchdog);
    let mut frame = vec![0, 1, 0, 0, 0, 29, 1, 16, 0, 100, 0, 11, 22];
    frame.extend(words[..registers::COMMANDS_TOGETHER_COUNT].iter().flat_map(|word| word.to_be_bytes()));
    frame
}

fn read_request() -> Vec<u8> {
    vec![0, 2, 0, 0, 0, 6, 1, 3, 0, 0, 0, 30]
}

/// User and system time of a process so far (proc(5), `stat`), at the usual 100 ticks a second.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process exists");
    let fields: Vec<&str> =
        stat.rsplit_once(')').expect("a name in parentheses").1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number of ticks");
    (ticks(11) + ticks(12)) / 100.0
}
