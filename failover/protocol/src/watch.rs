//! The fault detector: what a node hears of its links and of the arbiter. It is for people; nothing is
//! decided with it.

use hal_units::{Duration, Instant};

use crate::config::PairConfig;
use crate::io::{Alarm, Link, Outputs};
use crate::message::Message;

/// Failed transactions in a row that count as a lost arbiter.
const ARBITER_FAULTS: u32 = 3;

/// What was heard over one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LinkStatus {
    /// When the last message arrived.
    pub heard_at: Option<Instant>,
    /// Messages that arrived.
    pub heard: u64,
    /// Heartbeats that are missing between those that arrived.
    pub lost: u64,
    /// The longest time between two messages of one run of the peer.
    pub worst_gap: Duration,
    /// Nothing has come for as long as a standby would wait.
    pub silent: bool,
    seq: Option<u32>,
}

/// How the arbiter answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ArbiterStatus {
    /// Transactions that were answered.
    pub answered: u64,
    /// Transactions that failed.
    pub failed: u64,
    /// The longest time to an answer.
    pub worst_answer: Duration,
    /// Several in a row have failed.
    pub lost: bool,
    faults_in_row: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Watch {
    pub(crate) one: LinkStatus,
    pub(crate) two: LinkStatus,
    pub(crate) arbiter: ArbiterStatus,
    pub(crate) lapses: u32,
    pub(crate) takeovers: u32,
    pub(crate) exhausted: bool,
    pub(crate) flapping: bool,
    seq: u32,
}

impl Watch {
    /// The number of the next heartbeat.
    pub(crate) fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    pub(crate) fn heard(&mut self, now: Instant, link: Link, message: &Message) {
        let status = match link {
            Link::One => &mut self.one,
            Link::Two => &mut self.two,
        };
        // A peer that has just joined is silent until it knows the epoch.
        if let Some(before) = status.heard_at.filter(|_| status.seq.is_some()) {
            status.worst_gap = status.worst_gap.max(now.since(before));
        }
        status.heard_at = Some(now);
        status.heard = status.heard.saturating_add(1);
        match message {
            Message::Heartbeat { seq, .. } => {
                let step = status.seq.map_or(1, |last| seq.wrapping_sub(last));
                // More than half the range back is an old one, or a peer that counts anew.
                if step <= u32::MAX / 2 {
                    status.lost = status.lost.saturating_add(u64::from(step.saturating_sub(1)));
                    status.seq = Some(*seq);
                }
            }
            Message::Join { .. } => status.seq = None,
            Message::Ack { .. } | Message::Resign { .. } | Message::Handover { .. } => {}
        }
    }

    pub(crate) fn arbiter_answered(&mut self, after: Duration, ok: bool, out: &mut Outputs) {
        let arbiter = &mut self.arbiter;
        if ok {
            arbiter.answered = arbiter.answered.saturating_add(1);
            arbiter.worst_answer = arbiter.worst_answer.max(after);
            arbiter.faults_in_row = 0;
            if arbiter.lost {
                out.alarm(Alarm::ArbiterBack);
            }
            arbiter.lost = false;
        } else {
            arbiter.failed = arbiter.failed.saturating_add(1);
            arbiter.faults_in_row = arbiter.faults_in_row.saturating_add(1);
            if arbiter.faults_in_row >= ARBITER_FAULTS && !arbiter.lost {
                arbiter.lost = true;
                out.alarm(Alarm::ArbiterLost);
            }
        }
    }

    /// Raises what begins and ends with time.
    pub(crate) fn judge(&mut self, now: Instant, config: &PairConfig, out: &mut Outputs) {
        for (link, status) in [(Link::One, &mut self.one), (Link::Two, &mut self.two)] {
            let Some(heard_at) = status.heard_at else { continue };
            let silent = now.since(heard_at) >= config.claim_after;
            if silent != status.silent {
                status.silent = silent;
                out.alarm(if silent { Alarm::LinkSilent(link) } else { Alarm::LinkBack(link) });
            }
        }
    }
}
