//! The planned switchover: on an agreed cycle, to a standby that can continue.
//!
//! The Active asks its executive to write a last cycle and to replicate it; only then does it end its term, and
//! tells the standby which state to expect. Nothing is given up before that: if the standby goes away in the
//! meantime, the Active goes on.

use hal_units::Instant;

use crate::io::{Alarm, Output, Outputs, Refusal, ResignReason};
use crate::message::Role;
use crate::pair::{Ending, Pair, Seen, State, Term};

impl Pair {
    /// The peer's heartbeat, if it is a standby's and not older than a silence.
    pub(crate) fn live_standby(&self, now: Instant) -> Option<Seen> {
        let fresh = |seen: &Seen| now.since(seen.at) < self.times().claim_after;
        self.core.peer.seen.filter(|seen| seen.role == Role::Standby && fresh(seen))
    }

    pub(crate) fn switchover_asked(&mut self, now: Instant, out: &mut Outputs) {
        match self.may_switch_over(now) {
            Ok(mut term) => {
                let cycle = self.core.local.cycle.saturating_add(2);
                term.ending = Some(Ending { cycle, until: now + self.times().handover_max });
                self.core.state = State::Active(term);
                out.push(Output::HandOverAt { cycle });
            }
            Err(refusal) => out.alarm(Alarm::SwitchoverRefused(refusal)),
        }
    }

    fn may_switch_over(&self, now: Instant) -> Result<Term, Refusal> {
        let State::Active(term) = self.core.state else { return Err(Refusal::NotActive) };
        if term.lease.lapsed {
            return Err(Refusal::NotActive);
        }
        if term.ending.is_some() {
            return Err(Refusal::UnderWay);
        }
        let standby = self.live_standby(now).ok_or(Refusal::NoStandby)?;
        if standby.replica_cycle == 0 {
            return Err(Refusal::NotPromotable);
        }
        if self.core.flaps.too_many(now, self.times()) {
            return Err(Refusal::Flapping);
        }
        Ok(term)
    }

    /// The executive has done its last cycle: from here on nothing is written under this epoch, unless the
    /// standby is gone in the meantime.
    pub(crate) fn handed_over(&mut self, now: Instant, cycle: u64, hash: u64, out: &mut Outputs) {
        let State::Active(mut term) = self.core.state else { return };
        if term.ending.is_none_or(|ending| ending.cycle != cycle) {
            return;
        }
        if self.live_standby(now).is_none() {
            term.ending = None;
            self.core.state = State::Active(term);
            out.push(Output::HandOverOff);
            out.alarm(Alarm::HandoverAborted);
            return;
        }
        self.core.flaps.count(now);
        self.resign(now, term.epoch, Some((cycle, hash)), ResignReason::HandedOver, out);
    }
}
