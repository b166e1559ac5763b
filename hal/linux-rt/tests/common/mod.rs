//! Runs the body of a test in a process of its own, for what changes the whole process.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::env;
use std::process::{Command, Output};

const CHILD: &str = "TAKT_TEST_CHILD";
const DONE: &str = "takt-test-child-done";

/// Runs this very test, by its `name`, in a new process that runs `body`; asserts that it succeeded and
/// really ran.
pub(crate) fn in_own_process(name: &str, body: impl FnOnce()) {
    if let Some(output) = run_in_own_process(name, body) {
        assert_done(&output);
    }
}

/// As [`in_own_process`], in a process that may lock no more than `kib` KiB of memory.
pub(crate) fn in_own_process_with_memlock(name: &str, kib: u32, body: impl FnOnce()) {
    if env::var_os(CHILD).is_some_and(|child| child == name) {
        body();
        println!("{DONE}");
        return;
    }
    let script = format!("ulimit -l {kib} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(env::current_exe().unwrap());
    assert_done(&as_child(command, name).output().unwrap());
}

fn assert_done(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains(DONE), "{}:\n{text}\n{error}", output.status);
}

fn as_child(mut command: Command, name: &str) -> Command {
    command.args(["--exact", name, "--nocapture", "--include-ignored"]).env(CHILD, name);
    command
}

/// As [`in_own_process`], and returns how the process ended; in the child it returns `None`.
pub(crate) fn run_in_own_process(name: &str, body: impl FnOnce()) -> Option<Output> {
    if env::var_os(CHILD).is_some_and(|child| child == name) {
        body();
        println!("{DONE}");
        return None;
    }
    Some(as_child(Command::new(env::current_exe().unwrap()), name).output().unwrap())
}
