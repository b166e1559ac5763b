//! Does each fault to the pair, notes when, and undoes it.

use std::time::Duration;

use hal_linux_rt::clock::now;
use hal_linux_rt::thread::{Priority, Realtime, RtThread, ThreadSpec, spawn};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use sim_lab::kick::{Kick, signal};

use super::admin::{self, Standing};
use super::fault::Fault;
use super::lab::Lab;
use super::network::Cable;
use super::rig::Rig;
use super::{DrillError, Side};

/// How far the wall clock jumps.
const CLOCK_JUMP_S: i64 = 5;
/// An agent that dies before this age dies young, in seconds: 3 for its keeper.
const YOUNG_UNTIL_S: f64 = 3.4;
/// Of the hog: above the agents' control threads, which are at 80, and below the host's probes.
const HOG_PRIORITY: u8 = 90;
/// Switchovers that are asked for in a row, and how far apart.
const FLAPS: u32 = 10;
const FLAP_INTERVAL: Duration = Duration::from_millis(150);

/// The pair as it stands before a fault.
pub(super) struct Pair {
    pub(super) active: Side,
    pub(super) standings: [Standing; 2],
}

/// A fault that was done.
pub(super) struct Injected {
    /// Just before it was done, on CLOCK_MONOTONIC.
    pub(super) at_ns: u64,
    /// What there is to undo.
    pub(super) undo: Undo,
    /// Requests for a switchover that were taken, and that were refused at once.
    pub(super) asked: u32,
    pub(super) refused: u32,
}

/// How a fault is undone.
pub(super) enum Undo {
    /// It heals by itself, or is none of ours to heal.
    Nothing,
    Continue(u32),
    Hog(Box<RtThread<()>>),
    Cables(Side, Vec<Cable>),
    Sends(Side),
    Arbiter,
    WallClock,
    /// The node is started again, its cables plugged first.
    Node(Side),
}

/// Whether the fault can be done by now. A supervisor that sees its process die young starts it later and
/// later, and a node is then away for longer than a drill wants to wait: so who is killed has lived.
pub(super) fn can_be_done(fault: Fault, pair: &Pair) -> Result<(), String> {
    let victim = match fault {
        Fault::Kill => pair.active,
        Fault::Peer => pair.active.other(),
        Fault::Stop
        | Fault::Starve
        | Fault::Power
        | Fault::Link1
        | Fault::Links
        | Fault::Oneway
        | Fault::Field
        | Fault::Arbiter
        | Fault::Clock
        | Fault::Planned
        | Fault::Rejoin
        | Fault::Flap
        | Fault::None => return Ok(()),
    };
    let lived_s = victim.of(&pair.standings).uptime_s;
    if lived_s >= YOUNG_UNTIL_S {
        return Ok(());
    }
    Err(format!("node {} has lived for {lived_s:.1} s only", victim.name()))
}

/// Does the fault. `by_chance` decides where a fault has a choice.
pub(super) fn inject(
    fault: Fault,
    rig: &mut Rig,
    pair: &Pair,
    by_chance: bool,
) -> Result<Injected, DrillError> {
    let (active, standby) = (pair.active, pair.active.other());
    let pid = |side: Side| side.of(&pair.standings).pid;
    let some_side = if by_chance { Side::A } else { Side::B };
    let at_ns = now().as_nanos();
    let mut asked = (0, 0);
    let undo = match fault {
        Fault::Kill => signal(pid(active), Kick::Kill).map(|()| Undo::Nothing)?,
        Fault::Peer => signal(pid(standby), Kick::Kill).map(|()| Undo::Nothing)?,
        Fault::Stop => signal(pid(active), Kick::Stop).map(|()| Undo::Continue(pid(active)))?,
        Fault::Starve => Undo::Hog(Box::new(hog(active.of(&pair.standings).core, fault.lasts())?)),
        Fault::Power => {
            let lab = lab(rig)?;
            let cables = vec![Cable::Link1, Cable::Link2, Cable::Field];
            lab.network().set_cables(active, &cables, false)?;
            lab.kill_node(active)?;
            Undo::Node(active)
        }
        Fault::Rejoin => {
            lab(rig)?.kill_node(active)?;
            Undo::Node(active)
        }
        Fault::Link1 => cut(lab(rig)?, some_side, vec![Cable::Link1])?,
        Fault::Links => cut(lab(rig)?, some_side, vec![Cable::Link1, Cable::Link2])?,
        Fault::Field => cut(lab(rig)?, active, vec![Cable::Field])?,
        Fault::Oneway => {
            lab(rig)?.network().set_sends_lost(some_side, true).map(|()| Undo::Sends(some_side))?
        }
        Fault::Arbiter => lab(rig)?.network().set_arbiter_lost(true).map(|()| Undo::Arbiter)?,
        Fault::Clock => jump(CLOCK_JUMP_S).map(|()| Undo::WallClock)?,
        Fault::None => Undo::Nothing,
        Fault::Planned => {
            asked = ask(rig, active)?;
            Undo::Nothing
        }
        Fault::Flap => {
            asked = flap(rig, active)?;
            Undo::Nothing
        }
    };
    Ok(Injected { at_ns, undo, asked: asked.0, refused: asked.1 })
}

/// Undoes a fault.
pub(super) fn heal(undo: Undo, rig: &mut Rig) -> Result<(), DrillError> {
    match undo {
        Undo::Nothing => Ok(()),
        Undo::Continue(pid) => Ok(signal(pid, Kick::Continue)?),
        Undo::Hog(hog) => hog.join().map_err(|_| DrillError::Impossible { why: "the hog died".to_owned() }),
        Undo::Cables(side, cables) => lab(rig)?.network().set_cables(side, &cables, true),
        Undo::Sends(side) => lab(rig)?.network().set_sends_lost(side, false),
        Undo::Arbiter => lab(rig)?.network().set_arbiter_lost(false),
        Undo::WallClock => jump(-CLOCK_JUMP_S),
        Undo::Node(side) => {
            let lab = lab(rig)?;
            lab.network().set_cables(side, &[Cable::Link1, Cable::Link2, Cable::Field], true)?;
            lab.start_node(side)
        }
    }
}

fn lab(rig: &mut Rig) -> Result<&mut Lab, DrillError> {
    let why = "this fault needs the drill's own network, not a running pair";
    rig.lab.as_mut().ok_or_else(|| DrillError::Impossible { why: why.to_owned() })
}

fn cut(lab: &Lab, side: Side, cables: Vec<Cable>) -> Result<Undo, DrillError> {
    lab.network().set_cables(side, &cables, false)?;
    Ok(Undo::Cables(side, cables))
}

/// Asks once: how many requests were taken and refused.
fn ask(rig: &Rig, active: Side) -> Result<(u32, u32), DrillError> {
    let taken =
        admin::switchover(rig.socket(active)).map_err(|why| DrillError::Node { node: active.name(), why })?;
    Ok(if taken { (1, 0) } else { (0, 1) })
}

fn flap(rig: &Rig, first: Side) -> Result<(u32, u32), DrillError> {
    let (mut taken, mut refused) = (0, 0);
    let mut active = first;
    for _ in 0..FLAPS {
        // Whoever is active by now; during a switchover it may be nobody, and then the last one is asked.
        active = [Side::A, Side::B].into_iter().find(|side| rig.is_active(*side)).unwrap_or(active);
        let (yes, no) = ask(rig, active)?;
        taken += yes;
        refused += no;
        std::thread::sleep(FLAP_INTERVAL);
    }
    Ok((taken, refused))
}

/// A thread that takes all of a core for a while and makes no system call.
fn hog(core: usize, lasts: Duration) -> Result<RtThread<()>, DrillError> {
    let impossible = |why: String| DrillError::Impossible { why };
    let priority = Priority::new(HOG_PRIORITY).ok_or_else(|| impossible("no such priority".to_owned()))?;
    let spec = ThreadSpec::fifo("takt-hog", core, priority, Realtime::Required);
    let busy = move |_: &_| {
        let end = now() + lasts;
        while now() < end {
            std::hint::spin_loop();
        }
    };
    spawn(spec, busy).map_err(|error| impossible(error.to_string()))
}

/// Moves the wall clock of the machine by so many seconds. There is no namespace for it: a drill with
/// this fault moves it for everybody, for a tenth of a second.
fn jump(seconds: i64) -> Result<(), DrillError> {
    let now = clock_gettime(ClockId::Realtime);
    let then = Timespec { tv_sec: now.tv_sec + seconds, tv_nsec: now.tv_nsec };
    clock_settime(ClockId::Realtime, then).map_err(|error| DrillError::Impossible {
        why: format!("the wall clock cannot be set: {error}; run as root with CAP_SYS_TIME"),
    })
}
