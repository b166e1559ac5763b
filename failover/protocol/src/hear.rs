//! What a node does on hearing from its peer.

use hal_units::{Duration, Instant};

use crate::io::{Alarm, Link, Output, Outputs};
use crate::message::{Epoch, Message, Role};
use crate::pair::{Claim, Lease, Pair, Probed, Release, Seen, State};
use crate::rules::Rule;

/// A heartbeat's part that decides.
#[derive(Debug, Clone, Copy)]
struct Beat {
    epoch: Epoch,
    seq: u32,
    seen: Seen,
}

impl Pair {
    pub(crate) fn received(&mut self, now: Instant, link: Link, message: Message, out: &mut Outputs) {
        self.watch.heard(now, link, &message);
        if self.core.state == State::Init && self.keeps(Rule::EpochBeforeAck) {
            return;
        }
        match message {
            Message::Heartbeat { epoch, seq, sent_at, cycle: _, role, field, replica_cycle } => {
                let seen = Seen { at: now, sent_at, role, field, replica_cycle };
                self.beat(now, Beat { epoch, seq, seen }, out);
            }
            Message::Ack { epoch, seq: _, sent_at } => self.acked(now, epoch, sent_at, out),
            Message::Resign { epoch } => self.released(now, epoch, None, out),
            Message::Handover { epoch, cycle, hash } => self.released(now, epoch, Some((cycle, hash)), out),
            Message::Join { epoch, schema } => {
                // It counts its heartbeats anew, on a clock that may have started anew.
                self.core.peer.seen = None;
                self.learn(now, epoch, out);
                if schema != self.times().schema {
                    out.alarm(Alarm::SchemaDiffers);
                }
            }
        }
    }

    fn beat(&mut self, now: Instant, beat: Beat, out: &mut Outputs) {
        let Beat { epoch, seq, seen } = beat;
        let is_news =
            self.core.peer.seen.is_none_or(|last| {
                seen.sent_at > last.sent_at || now.since(last.at) >= self.times().claim_after
            });
        if !is_news {
            return;
        }
        self.core.peer.seen = Some(seen);
        let holder = matches!(seen.role, Role::Claimed | Role::Active);
        if holder && epoch > self.core.peer.term {
            self.core.peer.term = epoch;
            self.core.release = self.core.release.filter(|release| release.epoch >= epoch);
        }
        self.learn(now, epoch, out);
        if !holder {
            return;
        }
        let ack = Output::Send(Message::Ack { epoch, seq, sent_at: seen.sent_at });
        match self.core.state {
            // Init only gets here as a mutant.
            State::Init => out.push(ack),
            State::Standby | State::Fenced => {
                let is_over = self.core.release.is_some_and(|release| release.epoch >= epoch);
                let in_office = epoch == self.core.known && !is_over;
                if !in_office && self.keeps(Rule::OldTermGetsNoAck) {
                    return;
                }
                if self.core.arbiter.is_claiming() {
                    return;
                }
                self.hear_life(now);
                if self.is_alive(now) {
                    if self.keeps(Rule::AckRestartsWait) {
                        self.core.promised_at = now;
                    }
                    out.push(ack);
                }
            }
            State::Claimed(_) => {
                if !self.keeps(Rule::ClaimedIsSilent) {
                    out.push(ack);
                }
            }
            State::Active(_) => {}
        }
    }

    /// A sign of life of a holder: silence counts from here.
    pub(crate) fn hear_life(&mut self, now: Instant) {
        self.core.quiet_since = now;
        self.core.probed = Probed::No;
    }

    /// Takes note of an epoch: a higher one than the own ends the own.
    pub(crate) fn learn(&mut self, now: Instant, epoch: Epoch, out: &mut Outputs) {
        self.core.known = self.core.known.max(epoch);
        match self.core.state {
            State::Active(term) if epoch > term.epoch => self.depose(now, term.epoch, out),
            State::Claimed(claim) if epoch > claim.epoch => self.lose_claim(now, claim.epoch, out),
            State::Init | State::Standby | State::Fenced | State::Claimed(_) | State::Active(_) => {}
        }
    }

    fn acked(&mut self, now: Instant, epoch: Epoch, sent_at: Instant, out: &mut Outputs) {
        let rules = self.config.rules;
        let length = self.times().lease;
        let from = if rules.keep(Rule::LeaseFromSend) { sent_at } else { now };
        let extend = |lease: &mut Lease| {
            let dead = lease.lapsed && rules.keep(Rule::ArbiterRevives);
            !dead && sent_at <= now && lease.extend(now, from, length)
        };
        match &mut self.core.state {
            State::Active(term) if term.epoch == epoch => {
                if extend(&mut term.lease) {
                    out.push(Output::Lease { epoch, deadline: term.lease.from + length });
                }
            }
            State::Claimed(claim) if claim.epoch == epoch => {
                extend(&mut claim.lease);
            }
            State::Init | State::Standby | State::Fenced | State::Claimed(_) | State::Active(_) => {}
        }
    }

    /// The peer's term `epoch` is over, and its gate was shut before this was sent.
    fn released(&mut self, now: Instant, epoch: Epoch, handed: Option<(u64, u64)>, out: &mut Outputs) {
        let newest = self.core.release.is_none_or(|release| release.epoch < epoch);
        if (newest && epoch >= self.core.peer.term) || !self.keeps(Rule::ResignIsOfLastTerm) {
            self.core.release = Some(Release { epoch, at: now, handed });
        }
        self.learn(now, epoch, out);
        if let State::Claimed(claim) = self.core.state {
            let not_before = claim.not_before.min(self.released_from(claim.over).unwrap_or(claim.not_before));
            self.core.state = State::Claimed(Claim { not_before, ..claim });
        }
    }

    /// From when on nothing can be written any more under the peer's terms up to `over`, if the last of them
    /// is known to have ended.
    pub(crate) fn released_from(&self, over: Epoch) -> Option<Instant> {
        let release = self.core.release?;
        let last = release.epoch >= over.max(self.core.peer.term);
        let guard = if self.keeps(Rule::ResignGuard) { self.times().resign_guard } else { Duration::ZERO };
        (last || !self.keeps(Rule::ResignIsOfLastTerm)).then_some(release.at + guard)
    }
}

impl Lease {
    /// Lets the lease count from `from` if that is later; true if it holds at `now` and ends later than
    /// before.
    pub(crate) fn extend(&mut self, now: Instant, from: Instant, length: Duration) -> bool {
        let extended = from > self.from && now < from + length;
        if extended {
            *self = Self { from, lapsed: false };
        }
        extended
    }
}
