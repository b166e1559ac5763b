//! The parent of an agent that is one of a pair.
//!
//! # Problem
//!
//! When the agent dies, its peer would only notice its silence, and would have to wait until the old lease
//! must have ended. And what the dead process left in the kernel's queues must not reach the field.
//!
//! # Model
//!
//! The keeper sets up the kernel's lease gate, enters it, and runs the agent as a child in it. When the
//! child dies, for whatever reason, the keeper shuts the gate first, then resigns for it on both links: from
//! then on the peer may take over at once. It starts the agent anew, with a gate of its own, as a node that
//! knows nothing.
//!
//! A thread that is as prompt as the pair's own sees the death and resigns; it leaves the burial to the main
//! thread. To reap a child means to take its entries out of the kernel's file system, and there a real-time
//! thread can wait, busily and for ever, for an ordinary thread that it keeps from running.
//!
//! The keeper lives on nothing but a wait, so that it has little to die of; should it die all the
//! same, the agent ends too, by handing over, and the lease ends by itself.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, TryRecvError};

use failover_link::Incarnation;
use hal_linux_rt::clock::now;
use hal_linux_rt::lease_gate::{GateError, GateSpec, LeaseCell, LeaseGate};
use hal_linux_rt::signal::{Signal, Signals, send};
use hal_linux_rt::thread::{self, Priority, Realtime, SpawnError, ThreadSpec};
use hal_modbus::Transport;
use hal_units::{Duration, Instant};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::config::{GateWish, PairConfig, SiteConfig};
use crate::pair::{FENCED, Farewell, WireError};

/// The argument by which the child finds the lease's descriptor.
pub const LEASE_ARGUMENT: &str = "--lease-fd";
/// The argument that says which profile the child runs under.
pub const PROFILE_ARGUMENT: &str = "--lease-profile";

/// The argument that names the child's run.
pub const INCARNATION_ARGUMENT: &str = "--incarnation";

/// How often the keeper looks at its signals.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);
/// Wait before a dead agent is started anew; doubles while it dies young.
const RESTART_AFTER_MIN: Duration = Duration::from_millis(500);
/// The longest such wait.
const RESTART_AFTER_MAX: Duration = Duration::from_secs(30);
/// An agent that lived so long did not die young.
const YOUNG: Duration = Duration::from_secs(3);

/// Why the keeper cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The gate is required and not to be had.
    #[error(
        "the lease gate is required, but {0}\n  remedy: run `takt doctor`, or set gate = \"preferred\" in [pair] to run visibly unfenced"
    )]
    Gate(GateError),
    /// The lease's page.
    #[error("the lease has no memory: {0}")]
    Lease(#[from] hal_linux_rt::CallError),
    /// Key or links.
    #[error("[pair]: {0}")]
    Wire(#[from] WireError),
    /// The child.
    #[error("the agent cannot be started: {0}")]
    Spawn(io::Error),
    /// The thread that waits for it.
    #[error("{0}")]
    Thread(#[from] SpawnError),
    /// The site has no pair.
    #[error("the site has no [pair]")]
    NoPair,
}

/// Runs the agent until it ends by request, and says how it ended.
///
/// # Errors
/// If it cannot be started at all.
pub fn keep(site: &SiteConfig, arguments: &[String], signals: &Signals) -> Result<ExitStatus, KeeperError> {
    let pair = site.pair.as_ref().ok_or(KeeperError::NoPair)?;
    let devices = endpoints(site);
    let mut restart_after = RESTART_AFTER_MIN;
    loop {
        let begun = now();
        let mut run = Run::start(site, pair, &devices, arguments)?;
        let (status, asked) = run.until_it_ends(signals);
        if asked || status.code().is_some_and(|code| code != 0) {
            // It ended by request, or says itself that starting again would not help.
            return Ok(status);
        }
        tracing::error!(%status, "the agent died; starting it anew");
        restart_after = if now().since(begun) > YOUNG {
            RESTART_AFTER_MIN
        } else {
            (restart_after * 2).min(RESTART_AFTER_MAX)
        };
        if waits_in_vain(signals, restart_after) {
            return Ok(status);
        }
    }
}

/// The devices that only the node with the lease may write to.
fn endpoints(site: &SiteConfig) -> Vec<SocketAddr> {
    let tcp = |transport: &Transport| match transport {
        Transport::Tcp { address } => Some(*address),
        Transport::Rtu { .. } => None,
    };
    site.buses.iter().filter_map(|bus| tcp(&bus.transport)).collect()
}

/// Waits, unless a signal asks for the end.
fn waits_in_vain(signals: &Signals, wait: Duration) -> bool {
    let until = now() + wait;
    while now() < until {
        match signals.wait(WATCH_INTERVAL) {
            Ok(Some(received)) if received.signal != Signal::HangUp => return true,
            Ok(_) => {}
            Err(_) => std::thread::sleep(WATCH_INTERVAL),
        }
    }
    false
}

/// One life of the agent.
struct Run {
    child: Child,
    /// The prompt thread has seen the child's death and resigned for it.
    resigned: Receiver<()>,
    /// Keeps the group's devices guarded as long as the agent lives.
    _gate: Option<LeaseGate>,
}

impl Run {
    fn start(
        site: &SiteConfig,
        pair: &PairConfig,
        devices: &[SocketAddr],
        arguments: &[String],
    ) -> Result<Self, KeeperError> {
        let (gate, profile) = gate(site, pair, devices)?;
        let lease = match &gate {
            Some(gate) => gate.cell().try_clone()?,
            None => LeaseCell::unfenced()?,
        };
        let incarnation = Incarnation::draw().map_err(WireError::Random)?;
        let farewell = Farewell::new(pair, incarnation)?;
        let inherited = lease.inheritable_fd()?;
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
        let child = Command::new(program)
            .args(arguments)
            .args([LEASE_ARGUMENT, &inherited.as_raw_fd().to_string()])
            .args([PROFILE_ARGUMENT, &profile])
            .args([INCARNATION_ARGUMENT, &incarnation.to_string()])
            .spawn()
            .map_err(KeeperError::Spawn)?;
        drop(inherited);
        let resigned = watch(pair, &child, lease, farewell)?;
        Ok(Self { child, resigned, _gate: gate })
    }

    /// Passes signals on until the agent has ended. Also says whether that was asked for.
    fn until_it_ends(&mut self, signals: &Signals) -> (ExitStatus, bool) {
        let mut asked = false;
        loop {
            if let Ok(Some(received)) = signals.wait(WATCH_INTERVAL) {
                asked |= received.signal != Signal::HangUp;
                // The terminal's own signal reaches the child by itself.
                if received.sender_pid != 0 || received.signal != Signal::Interrupt {
                    self.pass_on(received.signal);
                }
            }
            // Also if the watching thread has gone without a word.
            if self.resigned.try_recv() != Err(TryRecvError::Empty)
                && let Ok(status) = self.child.wait()
            {
                return (status, asked);
            }
        }
    }

    fn pass_on(&self, signal: Signal) {
        if let Err(error) = send(self.child.id(), signal) {
            tracing::error!(%error, "a signal could not be passed on to the agent");
        }
    }
}

/// The gate, entered, or why there is none.
fn gate(
    site: &SiteConfig,
    pair: &PairConfig,
    devices: &[SocketAddr],
) -> Result<(Option<LeaseGate>, String), KeeperError> {
    if pair.gate == GateWish::Off {
        return Ok((None, "unfenced: the configuration wants no gate".to_owned()));
    }
    let spec = GateSpec { site: &site.name, node: pair.node.as_str(), devices };
    let entered = LeaseGate::set_up(&spec).and_then(|gate| gate.enter().map(|()| gate));
    match (entered, pair.gate) {
        (Ok(gate), _) => Ok((Some(gate), FENCED.to_owned())),
        (Err(error), GateWish::Required) => Err(KeeperError::Gate(error)),
        (Err(error), GateWish::Preferred | GateWish::Off) => {
            tracing::warn!("degraded: no lease gate: {error}");
            Ok((None, format!("unfenced: {error}")))
        }
    }
}

/// Waits for the child's end on a thread that is as prompt as the pair's own, and resigns for it.
fn watch(
    pair: &PairConfig,
    child: &Child,
    lease: LeaseCell,
    farewell: Farewell,
) -> Result<Receiver<()>, KeeperError> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())
        .map_err(|error| KeeperError::Spawn(error.into()))?;
    let (tell, resigned) = mpsc::channel();
    let spec = ThreadSpec {
        name: "takt-keeper".to_owned(),
        core: pair.core.map(usize::from),
        priority: pair.priority.and_then(Priority::new),
        stack_bytes: 256 << 10,
        stack_prefault_bytes: 64 << 10,
        realtime: Realtime::Preferred,
    };
    thread::spawn(spec, move |_| {
        // Ends when the last thread of the child has ended: its sockets are closed by then.
        while let Err(rustix::io::Errno::INTR) = poll(&mut [PollFd::new(&process, PollFlags::IN)], None) {}
        let held = lease.deadline() != Instant::ZERO;
        lease.shut();
        if held {
            farewell.say(lease.epoch());
        }
        let _ = tell.send(());
    })?;
    Ok(resigned)
}
