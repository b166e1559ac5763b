//! Tries the lease gate: a scratch thread behind a gate of its own writes to a device on loopback.
//!
//! A gate binds the sockets of a process in its group. To leave this process as it is, the group is made a
//! threaded one, which a single thread may enter (cgroup-v2, "Threads"); the gate is the same.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use hal_units::Duration;

use super::{Check, Finding};
use crate::capability::{Capabilities, Capability};
use crate::clock;
use crate::errno::{CallError, Errno};
use crate::lease_gate::{GateError, GateSpec, LeaseGate, NEEDED_TO_SET_UP, current_group, mark_exempt};

/// Trials that this process has begun.
static TRIALS: AtomicU32 = AtomicU32::new(0);

const CHECK: Check = Check::PacketGate;
const MEANING: &str =
    "of a pair, the node that lost its lease cannot be cut off by the kernel: its profile is unfenced";
/// What must arrive has so long, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(1);
/// What must not arrive has so long to do so.
const ABSENCE: Duration = Duration::from_millis(30);

/// Modbus TCP: write 7 to register 200, and read a register.
const WRITE: [u8; 12] = [0, 1, 0, 0, 0, 6, 1, 6, 0, 200, 0, 7];
const READ: [u8; 12] = [0, 1, 0, 0, 0, 6, 1, 3, 0, 200, 0, 1];

pub(super) fn check(held: &Capabilities) -> Finding {
    let is_missing = |one: &&Capability| !held.effective.contains(**one);
    let missing: Vec<String> = NEEDED_TO_SET_UP.iter().filter(is_missing).map(ToString::to_string).collect();
    if !missing.is_empty() {
        let missing = missing.join(" and ");
        return Finding::warning(CHECK, format!("without {missing}"), MEANING, format!("grant {missing}"));
    }
    if let Ok(Some((group, programs))) = current_group() {
        let found = format!("this process is behind one: {}, programs {programs:?}", group.display());
        return Finding::ok(CHECK, found);
    }
    judge_trial(try_gate(LeaseGate::enter_with_this_thread))
}

pub(super) fn judge_trial(tried: Result<usize, Trouble>) -> Finding {
    match tried {
        Ok(programs_above) => {
            let above = match programs_above {
                0 => String::new(),
                count => format!("; {count} other programs judge the same packets"),
            };
            Finding::ok(CHECK, format!("blocks writes and passes reads when shut, tried on loopback{above}"))
        }
        // Beside groups with processes, such as the gate of an agent that runs, no group can be one for threads.
        Err(Trouble::Enter(error)) if error.errno() == Some(Errno::EOPNOTSUPP) => Finding::skipped(
            CHECK,
            "not tried beside the gate of an agent that runs; `takt pair status` says whether that one holds",
        ),
        Err(trouble) => {
            let (found, errno, remedy) = trouble.explain();
            Finding::warning(CHECK, found, MEANING, remedy).with_errno(errno)
        }
    }
}

/// Why the trial did not go as it should.
#[derive(Debug)]
pub(super) enum Trouble {
    SetUp(GateError),
    Enter(GateError),
    Loopback(io::Error),
    Mark(CallError),
    /// A packet came that must not, or the other way round.
    Leaks(&'static str),
}

impl Trouble {
    fn explain(&self) -> (String, Option<Errno>, &'static str) {
        const PERMIT: &str = "grant CAP_BPF and CAP_NET_ADMIN, and allow bpf in the seccomp profile";
        const WRITABLE: &str = "mount the cgroup v2 hierarchy writable: a privileged pod, or \
                                systemd-run -p Delegate=yes";
        match self {
            Self::SetUp(error @ (GateError::Call(_) | GateError::Program { .. })) => {
                let remedy = match error.errno() {
                    Some(Errno::EPERM | Errno::EACCES) => PERMIT,
                    _ => "use a kernel with CONFIG_CGROUP_BPF and BPF_SYSCALL, 5.8 or later",
                };
                (error.to_string(), error.errno(), remedy)
            }
            Self::SetUp(error @ GateError::NoHierarchy) => {
                (error.to_string(), None, "mount cgroup2, also beside version 1: mount -t cgroup2 none DIR")
            }
            Self::SetUp(error) | Self::Enter(error) => (error.to_string(), error.errno(), WRITABLE),
            Self::Loopback(error) => {
                (format!("no connection on loopback to try it: {error}"), Errno::of(error), "bring lo up")
            }
            Self::Mark(error) => (error.to_string(), Some(error.errno), PERMIT),
            Self::Leaks(what) => ((*what).to_owned(), None, "report it with the kernel's version"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Loopback(error)
    }
}

/// How many other programs there are, if all goes as it should with a thread that has entered the gate.
pub(super) fn try_gate(enter: impl Fn(&LeaseGate) -> Result<(), GateError> + Sync) -> Result<usize, Trouble> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let device = listener.local_addr()?;
    // A name of its own: who sets up a gate removes the empty groups of earlier ones with its name.
    let trial = TRIALS.fetch_add(1, Ordering::Relaxed);
    let name = format!("trial-{}-{trial}", std::process::id());
    let spec = GateSpec { site: &name, node: "doctor", devices: &[device] };
    let gate = LeaseGate::set_up(&spec).map_err(Trouble::SetUp)?;
    let programs_above = gate.report().programs_above;
    let body = || {
        enter(&gate).map_err(Trouble::Enter)?;
        judge(&gate, &listener, device)
    };
    let tried = thread::scope(|scope| {
        let scratch = thread::Builder::new().spawn_scoped(scope, body)?;
        scratch.join().unwrap_or(Err(Trouble::Leaks("the trial broke off")))
    });
    let removed = gate.remove();
    tried?;
    removed.map_err(Trouble::Enter)?;
    Ok(programs_above)
}

fn judge(gate: &LeaseGate, listener: &TcpListener, device: SocketAddr) -> Result<(), Trouble> {
    let connect = || -> io::Result<(TcpStream, TcpStream)> {
        let client = TcpStream::connect_timeout(&device, PATIENCE)?;
        client.set_nodelay(true)?;
        Ok((client, listener.accept()?.0))
    };
    let (mut client, mut server) = connect()?;
    client.write_all(&READ)?;
    if !comes(&mut server, &READ, PATIENCE)? {
        return Err(Trouble::Leaks("a read does not pass the shut gate"));
    }
    client.write_all(&WRITE)?;
    if comes(&mut server, &WRITE, ABSENCE)? || gate.cell().dropped() == 0 {
        return Err(Trouble::Leaks("a write passes the shut gate"));
    }
    let (mut client, mut server) = connect()?;
    mark_exempt(&client).map_err(Trouble::Mark)?;
    client.write_all(&WRITE)?;
    if !comes(&mut server, &WRITE, PATIENCE)? {
        return Err(Trouble::Leaks("a marked socket does not pass the shut gate"));
    }
    let (mut client, mut server) = connect()?;
    gate.cell().renew(clock::boot_now() + 2 * PATIENCE);
    client.write_all(&WRITE)?;
    if !comes(&mut server, &WRITE, PATIENCE)? {
        return Err(Trouble::Leaks("a write does not pass the open gate"));
    }
    Ok(())
}

fn comes(server: &mut TcpStream, wanted: &[u8; 12], within: Duration) -> io::Result<bool> {
    server.set_read_timeout(Some(within))?;
    let mut got = [0; 12];
    match server.read_exact(&mut got) {
        Ok(()) => Ok(got == *wanted),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use crate::capability::CapabilitySet;

    #[test]
    fn without_bpf_the_pair_is_unfenced() {
        let effective = CapabilitySet::of(&[Capability::CAP_NET_ADMIN]);
        let finding = check(&Capabilities { effective, ..Default::default() });
        assert_eq!((finding.status, finding.found.as_str()), (Status::Warning, "without CAP_BPF"));
        assert!(finding.meaning.contains("unfenced"));
    }

    #[test]
    fn each_trouble_has_a_remedy_of_its_own() {
        let call = |errno| GateError::Call(CallError { call: "bpf(BPF_PROG_LOAD)", errno });
        let remedy = |trouble: Trouble| trouble.explain().2;
        assert!(remedy(Trouble::SetUp(call(Errno::EPERM))).contains("CAP_BPF"));
        assert!(remedy(Trouble::SetUp(call(Errno::ENOSYS))).contains("CONFIG_CGROUP_BPF"));
        assert!(remedy(Trouble::SetUp(GateError::NoHierarchy)).contains("mount"));
        let group = GateError::Group { action: "create", path: "/cg".into(), errno: Some(Errno::EACCES) };
        assert!(remedy(Trouble::SetUp(group)).contains("writable"));
    }
}
