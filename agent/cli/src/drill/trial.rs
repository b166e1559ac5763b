//! One trial: wait until the pair is whole, do the fault at a random phase, watch the devices, heal.

use std::time::Duration;

use hal_linux_rt::clock::now;
use latency_tests_harness::stalls::{HostProbe, Span, covered_ms};
use serde::Serialize;

use super::fault::{Fault, Office};
use super::inject::{self, Injected, Pair};
use super::rig::Rig;
use super::{DrillError, Side};
use failover_witness::evidence::Evidence;
use failover_witness::takeover::{Bump, Seen, epoch_at, examine};

/// A node that was killed starts, joins and is in step again.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);
/// The phase is drawn from this span: many cycles, heartbeats and probes of every kind.
const PHASE_SPAN: Duration = Duration::from_millis(200);
/// What is looked at before a fault, for the ordinary steps of the outputs.
const BEFORE: Duration = Duration::from_millis(1000);
/// A takeover that takes longer has failed.
const TAKEOVER_WITHIN: Duration = Duration::from_secs(3);
/// A switchover that did not begin until then was not granted.
const GRANTED_WITHIN: Duration = Duration::from_secs(1);
/// Watched after a takeover, and after a fault was healed: nothing more may move.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// How often switchovers are asked for until one is granted, and how long after a refusal.
const ATTEMPTS_MAX: u32 = 60;
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often the whole evidence is looked through, when a trial might be over.
const EXAMINE_INTERVAL: Duration = Duration::from_millis(100);
/// How often the log is read, and how long its writer may be behind.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const LOG_BEHIND_MAX: Duration = Duration::from_secs(2);

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub(super) enum Outcome {
    /// All devices were taken over.
    TookOver,
    /// The office did not move.
    Stayed,
    /// Some devices, from 1, were not taken over in time.
    Missing {
        /// Which.
        devices: Vec<u16>,
    },
    /// The fault was not done.
    NotInjected {
        /// Why not.
        why: String,
    },
}

/// What a trial found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Trial {
    /// From 1.
    pub(super) trial: u32,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    /// The node that was active.
    pub(super) active: Option<&'static str>,
    pub(super) old_epoch: Option<u32>,
    pub(super) new_epochs: Vec<u32>,
    /// Each takeover in the order of its term; one, unless the fault is `flap` or something went wrong.
    pub(super) takeovers: Vec<Step>,
    /// From the fault to the slowest device's first write of the new term.
    pub(super) from_fault_ms: Option<f64>,
    /// Changes of office that nothing promised, here and since the trial before.
    pub(super) false_takeovers: u32,
    /// Whether a stall of the host longer than the silence that a claim waits for explains them.
    pub(super) explained_by_host: bool,
    /// Switchovers that were asked for and came, and those that did not.
    pub(super) granted: u32,
    pub(super) refused: u32,
    /// Writes of an old term that the devices held off.
    pub(super) fenced_off: u64,
    /// Stalls of the host from the fault on, in milliseconds each.
    pub(super) host_stalls_ms: Vec<f64>,
    /// Of the simulator: load of this machine, or the host.
    pub(super) simulator_stalls_ms: Vec<f64>,
    /// Worst gap between heartbeats that the nodes tell of, since their start.
    pub(super) heartbeat_gap_ms: Option<f64>,
}

/// One change of office.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Step {
    pub(super) old_epoch: u32,
    pub(super) new_epoch: u32,
    /// The slowest device, from 1.
    pub(super) device: u16,
    /// As the device saw it.
    pub(super) takeover_ms: f64,
    /// Of these, the host stood still for so long.
    pub(super) host_stall_ms: f64,
    /// What remains.
    pub(super) without_stalls_ms: f64,
    pub(super) bump: Option<Bump>,
}

/// As long as the silence after which a standby claims (30 ms): what it does then is right. The simulated plant runs
/// above all else on its core; when it stands still, the arbiter does.
const EXPLAINS_FROM_MS: f64 = 30.0;

/// What trials share.
pub(super) struct Bench<'a> {
    pub(super) rig: &'a mut Rig,
    pub(super) evidence: &'a mut Evidence,
    pub(super) host: &'a HostProbe,
    pub(super) random: &'a mut fastrand::Rng,
    /// Ends with an error when the drill is to end.
    pub(super) go_on: &'a mut dyn FnMut() -> Result<(), DrillError>,
    /// Terms that began up to here were accounted for.
    pub(super) accounted_ns: &'a mut u64,
}

/// Runs one trial. A pair that limits its switchovers is asked again until it grants one.
pub(super) fn run(bench: &mut Bench<'_>, fault: Fault, number: u32) -> Result<Trial, DrillError> {
    let mut refused = 0;
    for attempt_number in 1..=ATTEMPTS_MAX {
        let mut trial = attempt(bench, fault, number)?;
        let again = trial.granted == 0 && trial.refused > 0 && trial.is_quiet();
        refused += trial.refused;
        trial.refused = refused;
        if !again || attempt_number == ATTEMPTS_MAX {
            return Ok(trial);
        }
        std::thread::sleep(ASKED_AGAIN_AFTER);
    }
    Ok(not_injected(bench, number, "it was not attempted".to_owned()))
}

fn attempt(bench: &mut Bench<'_>, fault: Fault, number: u32) -> Result<Trial, DrillError> {
    let evidence = &mut *bench.evidence;
    let ready = |pair: &Pair| inject::can_be_done(fault, pair);
    let pair = bench.rig.whole(WHOLE_WITHIN, ready, || {
        evidence.forget_before(now().as_nanos().saturating_sub(nanos(BEFORE)));
        evidence.take()?;
        (bench.go_on)()
    })?;
    let pair = match pair {
        Ok(pair) => pair,
        Err(why) => return Ok(not_injected(bench, number, why)),
    };
    std::thread::sleep(Duration::from_nanos(bench.random.u64(0..nanos(PHASE_SPAN))));
    bench.evidence.take()?;
    bench.evidence.forget_before(now().as_nanos().saturating_sub(nanos(BEFORE)));
    drop(bench.host.take());
    match inject::inject(fault, bench.rig, &pair, bench.random.bool()) {
        Ok(injected) => watch(bench, fault, injected, number, pair.active),
        Err(error) => Ok(not_injected(bench, number, error.to_string())),
    }
}

fn not_injected(bench: &mut Bench<'_>, number: u32, why: String) -> Trial {
    let moved = account(bench, now().as_nanos());
    let mut trial = Trial::nothing(number, Outcome::NotInjected { why });
    trial.false_takeovers = moved;
    trial
}

/// Terms that began since the last call, and before `until_ns`; the first of all is no change.
fn account(bench: &mut Bench<'_>, until_ns: u64) -> u32 {
    let from_ns = std::mem::replace(bench.accounted_ns, until_ns);
    let first = u64::from(from_ns == 0);
    let moved = bench.evidence.terms_between(from_ns, until_ns) as u64;
    u32::try_from(moved.saturating_sub(first)).unwrap_or(u32::MAX)
}

/// Watches the devices after a fault, heals it, and judges.
fn watch(
    bench: &mut Bench<'_>,
    fault: Fault,
    injected: Injected,
    number: u32,
    active: Side,
) -> Result<Trial, DrillError> {
    let at_ns = injected.at_ns;
    let before = account(bench, at_ns);
    let heal_at = at_ns + nanos(fault.lasts());
    let mut undo = Some(injected.undo);
    let mut watched = Ok(());
    let (mut old_epoch, mut look_at) = (None, 0);
    loop {
        std::thread::sleep(LOOK_INTERVAL);
        watched = watched.and_then(|()| Ok(bench.evidence.take()?)).and_then(|()| (bench.go_on)());
        let now_ns = now().as_nanos();
        old_epoch = old_epoch.or_else(|| epoch_at(&bench.evidence.writes, at_ns));
        // Whatever happened, the fault is healed.
        if (now_ns >= heal_at || watched.is_err())
            && let Some(undo) = undo.take()
        {
            inject::heal(undo, bench.rig)?;
        }
        watched?;
        watched = Ok(());
        if undo.is_none() && now_ns >= heal_at + nanos(AFTERWARDS) && now_ns >= look_at {
            let seen = old_epoch.map(|old| examine(&bench.evidence.writes, old)).unwrap_or_default();
            if now_ns >= ends_ns(fault, at_ns, heal_at, &seen) {
                break;
            }
            look_at = now_ns + nanos(EXAMINE_INTERVAL);
        }
    }
    let end_ns = now().as_nanos();
    while bench.evidence.until_ns < end_ns && now().as_nanos() < end_ns + nanos(LOG_BEHIND_MAX) {
        std::thread::sleep(LOOK_INTERVAL);
        bench.evidence.take()?;
    }
    let mut trial = judge(bench, fault, at_ns, old_epoch, injected.asked);
    trial.trial = number;
    trial.active = Some(active.name());
    trial.false_takeovers += before;
    trial.refused += injected.refused;
    // Terms up to the end of the watch are this trial's.
    *bench.accounted_ns = bench.evidence.until_ns.max(end_ns);
    Ok(trial)
}

/// When a trial is over.
fn ends_ns(fault: Fault, at_ns: u64, heal_at: u64, seen: &Seen) -> u64 {
    let quiet = heal_at + nanos(AFTERWARDS);
    match (fault.promise(), seen.takeover) {
        (Office::Stays | Office::Limited(_), _) => quiet,
        (Office::Moves(_), Some(takeover)) if seen.missing.is_empty() => {
            quiet.max(takeover.to_ns + nanos(AFTERWARDS))
        }
        (Office::Moves(_), None) if fault == Fault::Planned => quiet.max(at_ns + nanos(GRANTED_WITHIN)),
        (Office::Moves(_), _) => quiet.max(at_ns + nanos(TAKEOVER_WITHIN)),
    }
}

/// What the evidence says about the time from `at_ns` on.
fn judge(bench: &Bench<'_>, fault: Fault, at_ns: u64, old_epoch: Option<u32>, asked: u32) -> Trial {
    let Some(old_epoch) = old_epoch else {
        let why = "no device was written to before the fault".to_owned();
        return Trial::nothing(0, Outcome::NotInjected { why });
    };
    let writes = &bench.evidence.writes;
    let seen = examine(writes, old_epoch);
    let host_stalls = bench.host.take();
    let mut takeovers = Vec::new();
    let mut from_epoch = old_epoch;
    for &epoch in &seen.new_epochs {
        let until: Vec<_> = writes.iter().copied().filter(|write| write.epoch <= epoch).collect();
        takeovers.extend(step(&examine(&until, from_epoch), &host_stalls));
        from_epoch = epoch;
    }
    let changes = u32::try_from(seen.new_epochs.len()).unwrap_or(u32::MAX);
    let promised = match fault.promise() {
        Office::Moves(_) if fault == Fault::Planned => asked,
        Office::Moves(_) => 1,
        Office::Stays => 0,
        Office::Limited(_) => asked,
    };
    // A request that was taken and moved nothing was not granted: the pair limits its switchovers.
    let granted = changes.min(asked);

    let outcome = if matches!(fault, Fault::Planned | Fault::Flap) && changes == 0 {
        Outcome::NotInjected { why: "no switchover was granted".to_owned() }
    } else if !seen.missing.is_empty() {
        Outcome::Missing { devices: seen.missing }
    } else if changes > 0 {
        Outcome::TookOver
    } else {
        Outcome::Stayed
    };
    let within = Span { from_ns: at_ns, to_ns: u64::MAX };
    let each = |spans: &[Span]| -> Vec<f64> {
        spans.iter().map(|&span| covered_ms(&[span], within)).filter(|&ms| ms > 0.0).collect()
    };
    let (host_stalls_ms, simulator_stalls_ms) = (each(&host_stalls), each(&bench.evidence.simulator_stalls));
    let mut stalls = host_stalls_ms.iter().chain(&simulator_stalls_ms);
    let gaps = [Side::A, Side::B].map(|side| bench.rig.standing(side).ok()?.heartbeat_gap_ms);
    Trial {
        old_epoch: Some(old_epoch),
        from_fault_ms: seen.takeover.map(|takeover| takeover.to_ns.saturating_sub(at_ns) as f64 / 1e6),
        takeovers,
        new_epochs: seen.new_epochs,
        false_takeovers: changes.saturating_sub(promised),
        explained_by_host: stalls.any(|&ms| ms >= EXPLAINS_FROM_MS),
        granted,
        refused: asked - granted,
        fenced_off: seen.fenced_off,
        simulator_stalls_ms,
        host_stalls_ms,
        heartbeat_gap_ms: gaps.into_iter().flatten().reduce(f64::max),
        ..Trial::nothing(0, outcome)
    }
}

fn step(seen: &Seen, host_stalls: &[Span]) -> Option<Step> {
    let takeover = seen.takeover?;
    let span = Span { from_ns: takeover.from_ns, to_ns: takeover.to_ns };
    let host_stall_ms = covered_ms(host_stalls, span);
    Some(Step {
        old_epoch: takeover.old_epoch,
        new_epoch: takeover.new_epoch,
        device: takeover.device,
        takeover_ms: takeover.ms(),
        host_stall_ms,
        without_stalls_ms: takeover.ms() - host_stall_ms,
        bump: seen.bump,
    })
}

impl Trial {
    /// Whether nothing happened that nothing promised.
    fn is_quiet(&self) -> bool {
        self.false_takeovers == 0 && self.new_epochs.is_empty()
    }

    /// A trial in which nothing was found.
    pub(super) const fn nothing(trial: u32, outcome: Outcome) -> Self {
        Self {
            trial,
            outcome,
            active: None,
            old_epoch: None,
            new_epochs: Vec::new(),
            takeovers: Vec::new(),
            from_fault_ms: None,
            false_takeovers: 0,
            explained_by_host: false,
            granted: 0,
            refused: 0,
            fenced_off: 0,
            host_stalls_ms: Vec::new(),
            simulator_stalls_ms: Vec::new(),
            heartbeat_gap_ms: None,
        }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
