//! Signals that ask a process to end reach it as readable events and do not end it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use hal_linux_rt::Errno;
use hal_linux_rt::signal::{Signal, send};

struct Probe {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Probe {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_linux-rt-probe"))
            .arg("signals")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut probe = Self { child, lines };
        assert_eq!(probe.line(), "ready");
        probe
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn send(&self, signal: Signal) {
        send(self.child.id(), signal).unwrap();
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_process_survives_a_hang_up_and_an_interrupt_and_reads_them() {
    let mut probe = Probe::start();
    probe.send(Signal::HangUp);
    assert_eq!(probe.line(), format!("HangUp from {}", std::process::id()));
    probe.send(Signal::Interrupt);
    assert!(probe.line().starts_with("Interrupt from "));
}

#[test]
fn a_process_ends_by_itself_after_it_read_the_request_to_terminate() {
    let mut probe = Probe::start();
    probe.send(Signal::Terminate);
    assert!(probe.line().starts_with("Terminate from "));
    assert!(probe.child.wait().unwrap().success());
}

#[test]
fn a_signal_never_goes_to_more_than_one_process() {
    // As a signed number these would be the own group, every process, and a group.
    for process in [0, u32::MAX, u32::MAX - 41] {
        assert_eq!(send(process, Signal::HangUp).unwrap_err().errno, Errno::EINVAL, "{process}");
    }
}
