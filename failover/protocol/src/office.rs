//! How a node comes into office, holds it, and leaves it.

use hal_units::Instant;

use crate::io::{Alarm, Output, Outputs, Refusal, ResignReason, TakeOver};
use crate::message::{Epoch, Message, Role};
use crate::pair::{Claim, Farewell, Outreached, Pair, State, Term};
use crate::requests::What;
use crate::rules::Rule;

/// What a node out of office does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookout {
    /// A holder lives, or may.
    Watch,
    /// It has been silent for long: see whether it renews at the arbiter.
    Probe,
    /// The old term is over, and its last state is under way.
    Expect,
    /// Claim.
    Claim,
}

impl Pair {
    /// Out of office: watch the holder, and claim when it is gone.
    pub(crate) fn wait(&mut self, now: Instant, out: &mut Outputs) {
        let able = self.is_alive(now) && self.core.state == State::Standby;
        match self.lookout(now) {
            Lookout::Claim if able && self.core.arbiter.is_free(now) => self.claim(now, out),
            Lookout::Probe => self.look(now, self.times().arbiter_retry, out),
            Lookout::Watch | Lookout::Expect | Lookout::Claim => {
                self.look(now, self.times().arbiter_poll, out);
            }
        }
    }

    fn claim(&mut self, now: Instant, out: &mut Outputs) {
        match self.core.known.next() {
            Some(epoch) => {
                let fresh = epoch > self.core.arbiter.tried;
                self.ask(now, What::Claim { epoch, fresh }, out);
            }
            None => {
                if !self.watch.exhausted {
                    out.alarm(Alarm::EpochsExhausted);
                }
                self.watch.exhausted = true;
            }
        }
    }

    /// Whether the state that a planned handover promised is here, or has been waited for long enough:
    /// nobody writes in the meantime.
    pub(crate) fn may_follow(&self, now: Instant) -> bool {
        let Some(release) = self.core.release else { return false };
        let Some((cycle, _)) = release.handed else { return true };
        let arrived = self.core.local.replica.is_some_and(|(held, _)| held >= cycle);
        arrived || now.since(release.at) >= self.times().cycle
    }

    /// A won claim: keep it alive until its time has come.
    pub(crate) fn hold_claim(&mut self, now: Instant, claim: Claim, out: &mut Outputs) {
        if !self.is_alive(now) {
            return;
        }
        if now >= claim.not_before && !claim.lease.lapsed {
            self.take_office(now, claim, out);
            return;
        }
        self.renew(now, claim.epoch, claim.lease.from, out);
    }

    fn renew(&mut self, now: Instant, epoch: Epoch, from: Instant, out: &mut Outputs) {
        if now.since(from) >= self.times().renew_after && self.core.arbiter.is_free(now) {
            self.ask(now, What::Renew(epoch), out);
        }
    }

    fn take_office(&mut self, now: Instant, claim: Claim, out: &mut Outputs) {
        let reached = self.core.local.field.critical_reachable;
        let term = Term { epoch: claim.epoch, lease: claim.lease, ending: None, reached, outreached: None };
        self.core.state = State::Active(term);
        out.push(Output::Role { role: Role::Active, epoch: claim.epoch });
        let how = self.how_to_go_on(out);
        out.push(Output::TakeOver(how));
        let deadline = claim.lease.from + self.times().lease;
        out.push(Output::Lease { epoch: claim.epoch, deadline });
        self.core.release = None;
        self.core.claims_lost = 0;
        self.core.heartbeat_due = now;
        self.watch.takeovers = self.watch.takeovers.saturating_add(1);
    }

    fn how_to_go_on(&self, out: &mut Outputs) -> TakeOver {
        let local = &self.core.local;
        let handed = self.core.release.and_then(|release| release.handed);
        let replica = local.replica.filter(|_| local.promotable);
        match (handed, replica) {
            (Some(handed), Some(held)) if handed == held => return TakeOver::Planned { cycle: held.0 },
            (Some((cycle, _)), _) => out.alarm(Alarm::HandoverDiffers { cycle }),
            (None, _) => {}
        }
        replica.map_or(TakeOver::Cold, |(cycle, _)| TakeOver::FromReplica { cycle })
    }

    /// In office: renew the lease, and see whether the term should end.
    pub(crate) fn hold_office(&mut self, now: Instant, mut term: Term, out: &mut Outputs) {
        if !self.is_alive(now) {
            let still = now.since(self.core.local.cycle_at);
            if still >= self.times().cycle_stall_resign && self.live_standby(now).is_some() {
                self.resign(now, term.epoch, None, ResignReason::Stalled, out);
            }
            return;
        }
        if term.ending.is_some_and(|ending| now >= ending.until) {
            term.ending = None;
            out.push(Output::HandOverOff);
            out.alarm(Alarm::HandoverAborted);
        }
        self.compare_reach(now, &mut term);
        self.core.state = State::Active(term);
        if term.outreached.is_some_and(|outreached| self.has_lasted(now, outreached))
            && self.may_resign_for_field(now, out)
        {
            self.core.flaps.count(now);
            self.resign(now, term.epoch, None, ResignReason::Field, out);
            return;
        }
        self.renew(now, term.epoch, term.lease.from, out);
        self.look(now, self.times().arbiter_poll, out);
    }

    /// The flap limit holds for a node that reaches less than its peer: a device that comes and goes must not
    /// toss the office to and fro. One that reaches nothing has nothing to hold on to.
    fn may_resign_for_field(&mut self, now: Instant, out: &mut Outputs) -> bool {
        if self.core.local.field.critical_reachable == 0 {
            return true;
        }
        let flapping = self.core.flaps.too_many(now, self.times());
        if flapping && !self.watch.flapping {
            out.alarm(Alarm::SwitchoverRefused(Refusal::Flapping));
        }
        self.watch.flapping = flapping;
        !flapping
    }

    fn compare_reach(&self, now: Instant, term: &mut Term) {
        let own = self.core.local.field.critical_reachable;
        if !self.outreached(now) {
            (term.reached, term.outreached) = (own, None);
            return;
        }
        let begun = term.outreached.unwrap_or(Outreached { since: now, cut_off: false });
        term.outreached =
            Some(Outreached { cut_off: begun.cut_off || is_cut_off(own, term.reached), ..begun });
    }

    fn has_lasted(&self, now: Instant, outreached: Outreached) -> bool {
        let hold = if outreached.cut_off { self.times().field_hold } else { self.times().field_part_hold };
        now.since(outreached.since) >= hold
    }

    /// Whether the standby could continue and reaches more of the critical devices.
    fn outreached(&self, now: Instant) -> bool {
        self.live_standby(now).is_some_and(|standby| {
            standby.replica_cycle != 0
                && standby.field.critical_reachable > self.core.local.field.critical_reachable
        })
    }

    /// The arbiter was read for the first time: take part.
    pub(crate) fn join(&mut self, now: Instant, out: &mut Outputs) {
        if self.keeps(Rule::InitWait) {
            self.core.promised_at = now;
        }
        self.hear_life(now);
        self.core.heartbeat_due = now;
        out.push(Output::Send(Message::Join { epoch: self.core.known, schema: self.times().schema }));
        self.become_standby(out);
    }

    pub(crate) fn become_standby(&mut self, out: &mut Outputs) {
        self.core.state = State::Standby;
        out.push(Output::Role { role: Role::Standby, epoch: self.core.known });
    }

    pub(crate) fn become_claimed(&mut self, now: Instant, claim: Claim, out: &mut Outputs) {
        self.core.state = State::Claimed(claim);
        self.core.known = claim.epoch;
        self.core.farewell = None;
        self.core.heartbeat_due = now;
        out.push(Output::Role { role: Role::Claimed, epoch: claim.epoch });
        self.hold_claim(now, claim, out);
    }

    /// A claim was lost, at once or while it waited.
    pub(crate) fn lose_claim(&mut self, now: Instant, epoch: Epoch, out: &mut Outputs) {
        self.core.claims_lost = self.core.claims_lost.saturating_add(1).min(4);
        self.hear_life(now);
        self.core.arbiter.next_at = now + self.times().arbiter_retry;
        out.alarm(Alarm::ClaimLost { epoch });
        if let State::Claimed(_) = self.core.state {
            self.step_back(now);
            self.become_standby(out);
        }
    }

    /// A higher epoch has ended this node's term.
    pub(crate) fn depose(&mut self, now: Instant, epoch: Epoch, out: &mut Outputs) {
        self.leave_office(now, epoch, None, out);
        out.alarm(Alarm::Deposed { epoch });
    }

    /// This node ends its own term.
    pub(crate) fn resign(
        &mut self,
        now: Instant,
        epoch: Epoch,
        handed: Option<(u64, u64)>,
        reason: ResignReason,
        out: &mut Outputs,
    ) {
        self.leave_office(now, epoch, handed, out);
        out.alarm(Alarm::Resigned { epoch, reason });
    }

    /// First the gate, then the word: whoever hears of the end may write at once.
    fn leave_office(&mut self, now: Instant, epoch: Epoch, handed: Option<(u64, u64)>, out: &mut Outputs) {
        if self.keeps(Rule::ShutBeforeResign) {
            out.push(Output::Shut);
        }
        self.core.state = State::Fenced;
        self.step_back(now);
        self.core.local.replica = None;
        self.core.farewell = Some(Farewell::new(epoch, handed));
        self.core.heartbeat_due = now;
        out.push(Output::Role { role: Role::Fenced, epoch: self.core.known });
    }

    /// From a holder to one who waits: what was read of the peer before does not count.
    fn step_back(&mut self, now: Instant) {
        self.core.promised_at = now;
        self.hear_life(now);
        self.core.release = None;
        self.core.claims_from = now + self.times().takeover_after;
        self.core.arbiter.forget(now);
    }
}

/// Whether a node that reached so many devices has lost the field, rather than a few devices of it.
const fn is_cut_off(own: u16, reached: u16) -> bool {
    own < reached && own <= reached / 2
}
