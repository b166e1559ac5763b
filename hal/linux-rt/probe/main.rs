//! The process that tests examine from outside, where a test harness's own threads would disturb.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helper: a panic is its way to report")]

use std::env;
use std::io::{BufRead, Write, stdin};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use hal_linux_rt::clock::boot_now;
use hal_linux_rt::lease_gate::{LeaseCell, enter_group, mark_exempt};
use hal_linux_rt::signal::{Signal, Signals};

fn main() {
    match env::args().nth(1).as_deref() {
        Some("signals") => signals(),
        Some("agent") => agent(),
        other => {
            eprintln!("usage: linux-rt-probe signals | agent GROUP FD DEVICE; not {other:?}");
            std::process::exit(2);
        }
    }
}

/// Watches all signals while a thread is busy; prints each that comes, ends at the first to terminate.
fn signals() {
    let signals = Signals::block_and_watch(&Signal::ALL).unwrap();
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    println!("ready");
    loop {
        let Some(received) = signals.wait(Duration::from_secs(20)).unwrap() else {
            println!("none");
            return;
        };
        println!("{:?} from {}", received.signal, received.sender_pid);
        if received.signal == Signal::Terminate {
            return;
        }
    }
}

/// Enters a gate, connects to a device, and does what it is told, one line each.
fn agent() {
    let arguments: Vec<String> = env::args().skip(2).collect();
    let [group, lease, device] = arguments.as_slice() else { std::process::exit(2) };
    enter_group(Path::new(group)).unwrap();
    let lease = LeaseCell::inherited(lease.parse().unwrap()).unwrap();
    let device: SocketAddr = device.parse().unwrap();
    let mut socket = None;
    println!("ready");
    for line in stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["connect"] => socket = Some(connect(device)),
            ["mark"] => mark_exempt(socket.as_ref().unwrap()).unwrap(),
            ["renew", millis] => lease.renew(boot_now() + Duration::from_millis(millis.parse().unwrap())),
            ["send", hex] => socket.as_mut().unwrap().write_all(&bytes(hex)).unwrap(),
            ["close"] => socket = None,
            other => panic!("not an order: {other:?}"),
        }
        println!("done");
    }
}

fn connect(device: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(device).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
