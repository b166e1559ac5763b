//! Signals to processes and their families.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::LabError;

/// What a process is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kick {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Continue,
}

/// Sends a signal.
///
/// # Errors
/// If there is no such process, or it may not be signalled.
pub fn signal(pid: u32, kick: Kick) -> Result<(), LabError> {
    let signal = match kick {
        Kick::Kill => Signal::KILL,
        Kick::Stop => Signal::STOP,
        Kick::Continue => Signal::CONT,
    };
    let failed = |why: String| LabError::Process { pid, why };
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let target = target.ok_or_else(|| failed("no such process".to_owned()))?;
    kill_process(target, signal).map_err(|error| failed(format!("{kick:?}: {error}")))
}

/// Lifts all threads of a process to a real-time priority, for what stands for other machines and must not wait
/// for the processor of this one.
///
/// # Errors
/// Without the permission, or util-linux's `chrt`.
pub fn raise(pid: u32, priority: u8) -> Result<(), LabError> {
    let failed =
        |why: String| LabError::Process { pid, why: format!("chrt: {why}; it comes with util-linux") };
    let output = Command::new("chrt")
        .args(["--all-tasks", "--fifo", "--pid", &priority.to_string(), &pid.to_string()])
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// The process and all that descend from it, children before parents, as they are now.
#[must_use]
pub fn family(pid: u32) -> Vec<u32> {
    /// A supervisor has one child; more than this is no node of ours.
    const PROCESSES_MAX: usize = 64;
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next).filter(|_| found.len() < PROCESSES_MAX) {
        next += 1;
        let path = format!("/proc/{parent}/task/{parent}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Child;
    use std::time::{Duration, Instant};

    fn state(pid: u32) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    }

    fn becomes(child: &Child, expected: char) -> bool {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if state(child.id()) == expected {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }

    #[test]
    fn a_process_is_stopped_continued_and_killed() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        signal(child.id(), Kick::Stop).unwrap();
        assert!(becomes(&child, 'T'));
        signal(child.id(), Kick::Continue).unwrap();
        assert!(becomes(&child, 'S'));
        signal(child.id(), Kick::Kill).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn a_family_ends_with_its_head() {
        let mut head = Command::new("sh").args(["-c", "sleep 60; true"]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut members = family(head.id());
        while members.len() < 2 && Instant::now() < deadline {
            members = family(head.id());
        }
        assert_eq!((members.len(), members.last()), (2, Some(&head.id())), "{members:?}");
        for member in members {
            signal(member, Kick::Kill).unwrap();
        }
        head.wait().unwrap();
    }
}
