//! Signals that ask a process to end reach it as readable events and do not end it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

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

    fn send(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
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
    probe.send("-HUP");
    assert!(probe.line().starts_with("HangUp from "));
    probe.send("-INT");
    assert!(probe.line().starts_with("Interrupt from "));
}

#[test]
fn a_process_ends_by_itself_after_it_read_the_request_to_terminate() {
    let mut probe = Probe::start();
    probe.send("-TERM");
    assert!(probe.line().starts_with("Terminate from "));
    assert!(probe.child.wait().unwrap().success());
}
