//! The arbiter as this node uses it: one transaction at a time.
//!
//! # Model
//!
//! A claim changes the slot and a renewal the counter, never both, so that an arbiter which writes single
//! registers only needs one write for either. The standby compares what it reads of its peer with what it
//! read before: any change means that the peer lives, and may have renewed its lease up to that moment. So
//! only a transaction that moves something may start or renew a lease: a claim that is made again after it had
//! no answer does not.

use hal_units::{Duration, Instant};

use crate::io::{Alarm, ArbiterFault, Output, Outputs};
use crate::message::{ArbiterImage, ArbiterOp, Epoch, Node};
use crate::office::Lookout;
use crate::pair::{Claim, Lease, Pair, Probed, State};
use crate::rules::Rule;

/// What was read of the peer is forgotten after this: a counter of 16 bits that is bumped every
/// millisecond comes round after 65 s.
const MEMORY: Duration = Duration::from_secs(60);

/// The client's side of the arbiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Arbiter {
    pub(crate) asked: Option<Asked>,
    /// No transaction before this.
    pub(crate) next_at: Instant,
    /// When the last transaction that was answered began.
    pub(crate) read_at: Instant,
    /// The highest epoch that was claimed: the same again does not move the slot.
    pub(crate) tried: Epoch,
    /// The own counter as last written.
    pub(crate) counter: u16,
    /// The peer's highest slot.
    pub(crate) peer_slot: Epoch,
    pub(crate) last: Option<Peeked>,
}

/// The peer's registers as last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Peeked {
    pub(crate) slot: Epoch,
    pub(crate) counter: u16,
    pub(crate) at: Instant,
}

/// The outstanding transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) what: What,
    pub(crate) sent_at: Instant,
}

/// What it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Read,
    Renew(Epoch),
    /// `fresh`: it moves the slot, so that the peer will see it.
    Claim {
        epoch: Epoch,
        fresh: bool,
    },
}

impl Arbiter {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            asked: None,
            next_at: now,
            read_at: Instant::ZERO,
            tried: Epoch::NONE,
            counter: 0,
            peer_slot: Epoch::NONE,
            last: None,
        }
    }

    pub(crate) const fn is_claiming(&self) -> bool {
        matches!(self.asked, Some(Asked { what: What::Claim { .. }, .. }))
    }

    pub(crate) fn is_free(&self, now: Instant) -> bool {
        self.asked.is_none() && now >= self.next_at
    }

    /// Forgets what was read of the peer: the next reading counts as news.
    pub(crate) fn forget(&mut self, now: Instant) {
        self.last = None;
        self.next_at = now;
        self.read_at = Instant::ZERO;
    }

    /// Whether the peer's registers are others than before.
    fn peek(&mut self, now: Instant, image: &ArbiterImage) -> bool {
        let peeked = Peeked { slot: image.peer_slot, counter: image.peer_counter, at: now };
        let same = self.last.is_some_and(|last| {
            (last.slot, last.counter) == (peeked.slot, peeked.counter) && now.since(last.at) < MEMORY
        });
        self.last = Some(peeked);
        !same
    }
}

impl Pair {
    /// Begins a transaction. The caller has seen that the arbiter is free.
    pub(crate) fn ask(&mut self, now: Instant, what: What, out: &mut Outputs) {
        let arbiter = &mut self.core.arbiter;
        let write = match what {
            What::Read => None,
            What::Claim { epoch, .. } => {
                arbiter.tried = arbiter.tried.max(epoch);
                Some((epoch, arbiter.counter))
            }
            What::Renew(epoch) => {
                arbiter.counter = arbiter.counter.wrapping_add(1);
                Some((epoch, arbiter.counter))
            }
        };
        arbiter.asked = Some(Asked { what, sent_at: now });
        out.push(Output::Arbiter(ArbiterOp { write }));
    }

    /// Reads the arbiter if it was last read `age` ago or more.
    pub(crate) fn look(&mut self, now: Instant, age: Duration, out: &mut Outputs) {
        if self.core.arbiter.is_free(now) && now.since(self.core.arbiter.read_at) >= age {
            self.ask(now, What::Read, out);
        }
    }

    pub(crate) fn answered(
        &mut self,
        now: Instant,
        result: Result<ArbiterImage, ArbiterFault>,
        out: &mut Outputs,
    ) {
        let Some(asked) = self.core.arbiter.asked.take() else { return };
        self.watch.arbiter_answered(now.since(asked.sent_at), result.is_ok(), out);
        let Ok(image) = result else {
            self.core.arbiter.next_at = now + self.times().arbiter_retry;
            return;
        };
        self.probed(now, asked.sent_at);
        let arbiter = &mut self.core.arbiter;
        arbiter.next_at = now;
        arbiter.read_at = asked.sent_at;
        arbiter.peer_slot = arbiter.peer_slot.max(image.peer_slot);
        let moved = arbiter.peek(now, &image);
        self.core.known = self.core.known.max(image.own_slot);
        match self.core.state {
            State::Init => {
                self.core.arbiter.counter = image.own_counter;
                self.core.known = self.core.known.max(image.peer_slot);
                self.join(now, out);
            }
            State::Standby | State::Fenced => {
                if moved {
                    self.restart_wait(now);
                }
                self.core.known = self.core.known.max(image.peer_slot);
                if let What::Claim { epoch, fresh } = asked.what {
                    let from = (fresh || !self.keeps(Rule::RepeatedClaimHasNoLease)).then_some(asked.sent_at);
                    self.claim_answered(now, epoch, from, image, out);
                }
            }
            State::Claimed(_) | State::Active(_) => self.renewal_answered(now, asked, image, out),
        }
    }

    /// A transaction that began late in a silence was answered.
    fn probed(&mut self, now: Instant, sent_at: Instant) {
        if sent_at < self.core.quiet_since + self.times().probe_after {
            return;
        }
        let prompt = now.since(sent_at) <= self.times().probe_prompt;
        self.core.probed = match self.core.probed {
            Probed::No if !prompt => Probed::Slowly,
            Probed::No | Probed::Slowly | Probed::Yes => Probed::Yes,
        };
    }

    /// The peer's registers have moved: it lives, and its lease may reach from now.
    fn restart_wait(&mut self, now: Instant) {
        if self.keeps(Rule::MovedRestartsWait) {
            self.core.promised_at = now;
            self.hear_life(now);
        }
    }

    fn claim_answered(
        &mut self,
        now: Instant,
        epoch: Epoch,
        lease_from: Option<Instant>,
        image: ArbiterImage,
        out: &mut Outputs,
    ) {
        let ahead = image.peer_slot < epoch || (image.peer_slot == epoch && !self.keeps(Rule::TieLoses));
        let won = ahead && image.own_slot == epoch && self.core.known <= epoch;
        if !won {
            self.lose_claim(now, epoch, out);
            return;
        }
        let over = self.core.arbiter.peer_slot;
        let not_before = if self.keeps(Rule::ClaimedWaits) {
            self.released_from(over).unwrap_or(self.core.promised_at + self.times().takeover_after)
        } else {
            now
        };
        let length = self.times().lease;
        let lease = Lease {
            from: lease_from.unwrap_or(Instant::ZERO),
            lapsed: lease_from.is_none_or(|from| now >= from + length),
        };
        self.become_claimed(now, Claim { epoch, over, lease, not_before }, out);
    }

    /// The answer to any transaction of a holder: it may show a higher claim, and may renew the lease.
    fn renewal_answered(&mut self, now: Instant, asked: Asked, image: ArbiterImage, out: &mut Outputs) {
        if self.keeps(Rule::RenewalLooksAtSlot) {
            self.learn(now, image.peer_slot, out);
        }
        let length = self.times().lease;
        let from = if self.keeps(Rule::LeaseFromSend) { asked.sent_at } else { now };
        let (epoch, lease) = match &mut self.core.state {
            State::Active(term) => (term.epoch, &mut term.lease),
            State::Claimed(claim) => (claim.epoch, &mut claim.lease),
            State::Init | State::Standby | State::Fenced => return,
        };
        if asked.what != What::Renew(epoch) {
            return;
        }
        if image.own_slot != epoch {
            out.alarm(Alarm::ArbiterForgot);
            return;
        }
        let lapsed = lease.lapsed;
        if !lease.extend(now, from, length) {
            return;
        }
        let deadline = lease.from + length;
        if let State::Active(_) = self.core.state {
            if lapsed {
                out.alarm(Alarm::LeaseRevived);
            }
            out.push(Output::Lease { epoch, deadline });
        }
    }

    /// How long a holder must have been silent before this node claims.
    pub(crate) fn silence_needed(&self) -> Duration {
        let stagger = match self.node {
            Node::A => Duration::ZERO,
            Node::B => self.times().claim_stagger * u32::from(self.core.claims_lost),
        };
        self.times().claim_after + stagger
    }

    /// Whether and why a claim is due.
    pub(crate) fn lookout(&self, now: Instant) -> Lookout {
        let core = &self.core;
        let times = self.times();
        if self.released_from(core.arbiter.peer_slot).is_some() {
            let over = now >= core.claims_from || !self.keeps(Rule::OwnTermIsOver);
            return if over && self.may_follow(now) { Lookout::Claim } else { Lookout::Expect };
        }
        let silence = now.since(core.quiet_since);
        let probed = core.probed == Probed::Yes;
        if silence >= self.silence_needed() && now >= core.claims_from && probed {
            return Lookout::Claim;
        }
        if silence >= times.probe_after && !probed { Lookout::Probe } else { Lookout::Watch }
    }
}
