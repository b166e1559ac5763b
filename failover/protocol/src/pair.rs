//! The pair's state machine: one node's half.
//!
//! # Model
//!
//! Everything that a node decides with is in [`Core`]; what is only watched, for people, is in
//! [`Watch`]. A step takes what time alone has changed, then the input, then does what is due.
//!
//! # Terms
//!
//! - holder: a node that is Claimed or Active.
//! - promised at: the last moment at which this node may have extended a lease of its peer, by an Ack or by
//!   letting it renew at the arbiter. A won claim waits from there.
//! - quiet since: the last sign of life of a holder. Silence counts from there.
//! - released: the peer's term is known to be over, because whoever shut its gate said so.

use hal_units::{Duration, Instant};

use crate::config::{CheckedConfig, PairConfig};
use crate::flaps::Flaps;
use crate::io::{Alarm, Input, Output, Outputs, ResignReason};
use crate::message::{Epoch, FieldHealth, Message, Node, Role};
use crate::requests::Arbiter;
use crate::rules::Rule;
use crate::watch::Watch;

/// How often a node repeats that its term is over: datagrams get lost.
const FAREWELLS: u8 = 6;

/// One node's half of the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    pub(crate) config: CheckedConfig,
    pub(crate) node: Node,
    pub(crate) core: Core,
    pub(crate) watch: Watch,
}

/// All that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Core {
    pub(crate) state: State,
    /// The highest epoch heard of, from whomever.
    pub(crate) known: Epoch,
    pub(crate) peer: Peer,
    pub(crate) arbiter: Arbiter,
    /// Makes no claim before this: a restarted node must first see who is there, and what it wrote itself in a
    /// term before must have arrived.
    pub(crate) claims_from: Instant,
    pub(crate) promised_at: Instant,
    pub(crate) quiet_since: Instant,
    /// Whether the arbiter was read late enough in this silence to show a holder that renews there.
    pub(crate) probed: Probed,
    pub(crate) claims_lost: u8,
    pub(crate) release: Option<Release>,
    pub(crate) farewell: Option<Farewell>,
    pub(crate) local: Local,
    pub(crate) heartbeat_due: Instant,
    pub(crate) flaps: Flaps,
    /// The time of the last step.
    pub(crate) now: Instant,
}

/// The role with what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Init,
    Standby,
    Claimed(Claim),
    Active(Term),
    Fenced,
}

/// What the arbiter has shown of a silent holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Probed {
    No,
    /// It does not renew, says an answer that was long under way.
    Slowly,
    Yes,
}

/// A won claim that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) epoch: Epoch,
    /// The highest term that the peer can have had when the claim was won.
    pub(crate) over: Epoch,
    pub(crate) lease: Lease,
    pub(crate) not_before: Instant,
}

/// A term of office.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Term {
    pub(crate) epoch: Epoch,
    pub(crate) lease: Lease,
    pub(crate) ending: Option<Ending>,
    /// Critical devices that this node reached when the peer did not reach more.
    pub(crate) reached: u16,
    pub(crate) outreached: Option<Outreached>,
}

/// The peer reaches more critical devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Outreached {
    pub(crate) since: Instant,
    /// Because this node has lost half of them or more; otherwise it has lost a few, or the peer has got some back.
    pub(crate) cut_off: bool,
}

/// A handover that was agreed with the executive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ending {
    pub(crate) cycle: u64,
    pub(crate) until: Instant,
}

/// A lease by what renewed it last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    /// When that was sent.
    pub(crate) from: Instant,
    /// Whether it ended at least once since the arbiter renewed it: Acks cannot extend it any more.
    pub(crate) lapsed: bool,
}

/// What is known of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Peer {
    /// The highest epoch of which the peer said that it holds it.
    pub(crate) term: Epoch,
    pub(crate) seen: Option<Seen>,
}

/// The peer's newest heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    /// On this node's clock.
    pub(crate) at: Instant,
    /// On the peer's clock.
    pub(crate) sent_at: Instant,
    pub(crate) role: Role,
    pub(crate) field: FieldHealth,
    pub(crate) replica_cycle: u64,
}

/// The end of a term of the peer, as told by whoever shut its gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Release {
    pub(crate) epoch: Epoch,
    pub(crate) at: Instant,
    /// The last cycle and its hash, if it was planned.
    pub(crate) handed: Option<(u64, u64)>,
}

/// What is said some times after a term of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Farewell {
    pub(crate) epoch: Epoch,
    pub(crate) handed: Option<(u64, u64)>,
    pub(crate) left: u8,
}

impl Farewell {
    const fn message(&self) -> Message {
        match self.handed {
            Some((cycle, hash)) => Message::Handover { epoch: self.epoch, cycle, hash },
            None => Message::Resign { epoch: self.epoch },
        }
    }
}

/// What this node knows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Local {
    pub(crate) field: FieldHealth,
    pub(crate) promotable: bool,
    pub(crate) replica: Option<(u64, u64)>,
    /// The last cycle; 0 before the first.
    pub(crate) cycle: u64,
    pub(crate) cycle_at: Instant,
}

impl Pair {
    /// A node that has just started and knows nothing.
    #[must_use]
    pub fn new(config: CheckedConfig, node: Node, now: Instant) -> Self {
        let times = config.times;
        // Before it started it may have promised anything, up to this moment.
        let (claims_from, promised_at) = if config.rules.keep(Rule::InitWait) {
            (now + times.takeover_after, now)
        } else {
            (now, Instant::ZERO)
        };
        let local = Local {
            field: FieldHealth::default(),
            promotable: true,
            replica: None,
            cycle: 0,
            cycle_at: Instant::ZERO,
        };
        let core = Core {
            state: State::Init,
            known: Epoch::NONE,
            peer: Peer::default(),
            arbiter: Arbiter::new(now),
            claims_from,
            promised_at,
            quiet_since: now,
            probed: Probed::No,
            claims_lost: 0,
            release: None,
            farewell: None,
            local,
            heartbeat_due: now,
            flaps: Flaps::default(),
            now,
        };
        Self { config, node, core, watch: Watch::default() }
    }

    /// Takes an input at `now` and says what is to be done. To be called at the latest when the outputs of
    /// the last step say so, with [`Input::Tick`] if nothing else happened.
    pub fn step(&mut self, now: Instant, input: Input) -> Outputs {
        let now = now.max(self.core.now);
        let mut out = Outputs::new();
        self.pass_time(now, &mut out);
        self.take(now, input, &mut out);
        self.act(now, &mut out);
        self.speak(now, &mut out);
        self.watch.judge(now, &self.config.times, &mut out);
        out.due(self.next_due(now));
        self.core.now = now;
        out
    }

    pub(crate) const fn times(&self) -> &PairConfig {
        &self.config.times
    }

    pub(crate) const fn keeps(&self, rule: Rule) -> bool {
        self.config.rules.keep(rule)
    }

    /// What changes by time alone, before anything else is looked at: a lease that has ended must be known
    /// to have ended before an Ack is read.
    fn pass_time(&mut self, now: Instant, out: &mut Outputs) {
        let lease = self.config.times.lease;
        match &mut self.core.state {
            State::Active(term) => {
                if term.lease.has_lapsed_newly(now, lease) {
                    self.watch.lapses = self.watch.lapses.saturating_add(1);
                    out.alarm(Alarm::LeaseLapsed);
                }
            }
            State::Claimed(claim) => {
                claim.lease.has_lapsed_newly(now, lease);
            }
            State::Init | State::Standby | State::Fenced => {}
        }
        // While this thread did not run it could neither see the cycles nor hear the peer: that is no stall
        // of theirs. What was promised is not touched.
        let gap = now.since(self.core.now);
        if gap > self.config.times.heartbeat * 2 {
            self.core.local.cycle_at = (self.core.local.cycle_at + gap).min(now);
            self.core.quiet_since = (self.core.quiet_since + gap).min(now);
            self.core.probed = Probed::No;
        }
    }

    fn take(&mut self, now: Instant, input: Input, out: &mut Outputs) {
        match input {
            Input::Tick => {}
            Input::Received { link, message } => self.received(now, link, message, out),
            Input::Arbiter(result) => self.answered(now, result, out),
            Input::Cycle { cycle } => {
                if cycle != self.core.local.cycle {
                    self.core.local.cycle = cycle;
                    self.core.local.cycle_at = now;
                }
            }
            Input::Field(field) => self.core.local.field = field,
            Input::Replica { cycle, hash } => {
                self.core.local.replica = Some((cycle, hash));
                if self.core.state == State::Fenced {
                    self.become_standby(out);
                }
            }
            Input::Promotable(promotable) => self.core.local.promotable = promotable,
            Input::Switchover => self.switchover_asked(now, out),
            Input::HandedOver { cycle, hash } => self.handed_over(now, cycle, hash, out),
            Input::ResignRequested => {
                if let State::Active(term) = self.core.state {
                    self.resign(now, term.epoch, None, ResignReason::Requested, out);
                }
            }
        }
    }

    /// What is due in the state that the input led to.
    fn act(&mut self, now: Instant, out: &mut Outputs) {
        match self.core.state {
            State::Init => self.look(now, Duration::ZERO, out),
            State::Fenced => {
                if now.since(self.core.quiet_since) >= self.times().claim_after {
                    self.become_standby(out);
                }
                self.wait(now, out);
            }
            State::Standby => self.wait(now, out),
            State::Claimed(claim) => self.hold_claim(now, claim, out),
            State::Active(term) => self.hold_office(now, term, out),
        }
    }

    /// Heartbeats, and the farewell after a term.
    fn speak(&mut self, now: Instant, out: &mut Outputs) {
        if now < self.core.heartbeat_due {
            return;
        }
        let period = self.times().heartbeat;
        let on_grid = self.core.heartbeat_due + period;
        self.core.heartbeat_due = if on_grid > now { on_grid } else { now + period };
        let over = self.core.peer.term;
        if let Some(farewell) = &mut self.core.farewell {
            farewell.left = farewell.left.saturating_sub(1);
            out.push(Output::Send(farewell.message()));
            if farewell.left == 0 || over > farewell.epoch {
                self.core.farewell = None;
            }
        }
        if self.core.state == State::Init || !self.is_alive(now) {
            return;
        }
        let replica = self.core.local.replica.filter(|_| self.core.local.promotable);
        out.push(Output::Send(Message::Heartbeat {
            epoch: self.epoch(),
            seq: self.watch.next_seq(),
            sent_at: now,
            cycle: self.core.local.cycle,
            role: self.role(),
            field: self.core.local.field,
            replica_cycle: replica.map_or(0, |(cycle, _)| cycle),
        }));
    }

    /// Whether the control thread runs: without it this node promises, claims and renews nothing.
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        let local = &self.core.local;
        local.cycle != 0 && now.since(local.cycle_at) <= self.times().cycle_stall_max
    }

    /// The latest moment of the next step.
    fn next_due(&self, now: Instant) -> Instant {
        let times = self.times();
        let core = &self.core;
        let quiet = core.quiet_since;
        let due = match core.state {
            State::Init => [core.arbiter.next_at; 5],
            State::Standby | State::Fenced => {
                let handed = core.release.map_or(now, |release| release.at + times.cycle);
                let poll = core.arbiter.read_at + times.arbiter_poll;
                [quiet + times.probe_after, quiet + self.silence_needed(), core.claims_from, handed, poll]
            }
            State::Claimed(claim) => {
                let renewal = claim.lease.from + times.renew_after;
                [claim.not_before, renewal, core.arbiter.next_at, now, now]
            }
            State::Active(term) => {
                let from = term.lease.from;
                [from + times.lease, from + times.renew_after, core.arbiter.next_at, now, now]
            }
        };
        let beat = core.heartbeat_due.max(now + Duration::from_nanos(1));
        due.into_iter().filter(|at| *at > now).fold(beat, Instant::min)
    }
}

impl Farewell {
    pub(crate) const fn new(epoch: Epoch, handed: Option<(u64, u64)>) -> Self {
        Self { epoch, handed, left: FAREWELLS }
    }
}

impl Lease {
    /// Marks the end of the lease; true if it was not marked before.
    fn has_lapsed_newly(&mut self, now: Instant, length: Duration) -> bool {
        let newly = !self.lapsed && now >= self.from + length;
        self.lapsed |= newly;
        newly
    }
}
