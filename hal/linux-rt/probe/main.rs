//! The process that tests examine from outside, where a test harness's own threads would disturb.

#![allow(clippy::unwrap_used, reason = "a test's helper: a panic is its way to report")]

use std::env;
use std::time::Duration;

use hal_linux_rt::signal::{Signal, Signals};

fn main() {
    match env::args().nth(1).as_deref() {
        Some("signals") => signals(),
        other => {
            eprintln!("usage: linux-rt-probe signals; not {other:?}");
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
