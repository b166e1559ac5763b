//! What the lease gate costs: a renewal, and a round trip through it against one beside it.
//!
//! Both connections go to the same device on loopback and take turns, so that whatever else happens on the
//! machine happens to both.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement: a panic is its way to report"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hal_linux_rt::clock::{boot_now, to_boot};
use hal_linux_rt::lease_gate::{GateSpec, LeaseGate};

const ROUNDS: usize = 20_000;
const REQUEST: [u8; 12] = [0, 1, 0, 0, 0, 6, 1, 6, 0, 200, 0, 7];

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let device = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; REQUEST.len()];
                while stream.read_exact(&mut request).is_ok() {
                    stream.write_all(&request).unwrap();
                }
            });
        }
    });
    let beside = connect(device);
    let site = format!("cost{}", std::process::id());
    let set_up = Instant::now();
    let gate = LeaseGate::set_up(&GateSpec { site: &site, node: "a", devices: &[device] }).unwrap();
    println!("set up and read back in {:?}", set_up.elapsed());
    gate.enter().unwrap();
    let through = connect(device);

    let begun = Instant::now();
    for _ in 0..ROUNDS {
        gate.cell().renew(to_boot(hal_linux_rt::clock::now() + Duration::from_millis(25)));
    }
    println!("renewal with two readings of the clock: {} ns", begun.elapsed().as_nanos() / ROUNDS as u128);

    gate.cell().renew(boot_now() + Duration::from_secs(600));
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (stream, times) in [&beside, &through].into_iter().zip(&mut times) {
            let begun = Instant::now();
            exchange(stream);
            times.push(begun.elapsed());
        }
    }
    for (name, times) in ["beside", "through"].iter().zip(&mut times) {
        times.sort_unstable();
        let percentile = |percent: usize| times[times.len() * percent / 100];
        println!(
            "{name} the gate: p50 {:?}, p90 {:?}, p99 {:?}",
            percentile(50),
            percentile(90),
            percentile(99)
        );
    }
    assert_eq!(gate.cell().dropped(), 0);

    // How exactly it shuts: one write after the other until none comes back.
    let mut late = Duration::ZERO;
    let mut early = Duration::ZERO;
    for _ in 0..200 {
        let stream = connect(device);
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        gate.cell().shut();
        let deadline = boot_now() + Duration::from_millis(5);
        gate.cell().renew(deadline);
        loop {
            let sent = boot_now();
            if !try_exchange(&stream) {
                early = early.max(deadline.since(sent));
                break;
            }
            late = late.max(sent.since(deadline));
        }
    }
    println!("of 200 deadlines, a write begun so long after one still passed: at most {late:?}");
    println!(
        "and one begun so long before was dropped, its way to the gate taking as long: at most {early:?}"
    );
    std::fs::write(
        gate.report().group.parent().unwrap().join("cgroup.procs"),
        std::process::id().to_string(),
    )
    .unwrap();
    gate.remove().unwrap();
}

fn connect(device: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(device).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn exchange(stream: &TcpStream) {
    assert!(try_exchange(stream));
}

fn try_exchange(mut stream: &TcpStream) -> bool {
    let mut answer = [0; REQUEST.len()];
    stream.write_all(&REQUEST).is_ok() && stream.read_exact(&mut answer).is_ok()
}
