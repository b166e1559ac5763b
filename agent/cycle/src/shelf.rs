//! Plans that lie ready for the cycle, and the cycle from which on one of them counts.
//!
//! # Problem
//!
//! Both nodes of a pair must change over to a plan on the same cycle, though each counts cycles of its own, and
//! whichever of them writes when that cycle comes.
//!
//! # Model
//!
//! Ordinary threads lay tables ready: one to go to, one to go back to. The node that writes is told from which of
//! its cycles on a table counts ([`NextPlan`]), and says so in the state that it shows after each cycle. The
//! other node knows from each state the number of the cycle that its own next step stands for, counts on from
//! there when none comes, and changes over by the same number. One that finds the writing node on a plan that it
//! has ready, too late for the number, changes over at once.

use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::{GroupState, PlanTable};

/// From which cycle on a plan counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
pub struct NextPlan {
    /// The plan's number; 0 for none.
    pub epoch: u32,
    /// The digest of its table.
    pub digest: u64,
    /// The first cycle, counted by the node that writes.
    pub cycle: u64,
}

impl NextPlan {
    fn is(&self, table: &PlanTable) -> bool {
        self.epoch != 0 && (self.epoch, self.digest) == (table.epoch, table.digest)
    }
}

/// What an ordinary thread does with plans.
#[derive(Debug)]
pub enum PlanMessage {
    /// This one counts at once.
    Replace(Box<PlanTable>),
    /// This one lies ready to be gone to.
    Ready(Box<PlanTable>),
    /// This one lies ready to be gone back to.
    ReadyBack(Box<PlanTable>),
    /// One of them counts from a cycle on. Only for a node that writes.
    ChangeOver(NextPlan),
}

/// Tables that lie ready.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    ready: Option<Box<PlanTable>>,
    back: Option<Box<PlanTable>>,
    agreed: NextPlan,
    /// The cycle of the node that writes that the coming one stands for.
    stands_for: u64,
    /// The one of the last change over.
    changed_at: u64,
    /// What the other node's cycles run, where its newest state says so.
    other_runs: Option<(u32, u64)>,
    leads: bool,
}

impl Shelf {
    /// What the state of this node says of plans to come.
    pub(crate) fn agreed(&self) -> NextPlan {
        self.agreed
    }

    /// Takes a message; what it replaces is to be freed elsewhere.
    pub(crate) fn take(
        &mut self,
        message: PlanMessage,
        current: &mut Box<PlanTable>,
    ) -> Option<Box<PlanTable>> {
        match message {
            PlanMessage::Replace(table) => Some(core::mem::replace(current, table)),
            PlanMessage::Ready(table) => self.ready.replace(table),
            PlanMessage::ReadyBack(table) => self.back.replace(table),
            PlanMessage::ChangeOver(next) => {
                // What was agreed before stays, should the node that agreed it be gone meanwhile.
                let again = (next.epoch, next.digest) == (self.agreed.epoch, self.agreed.digest);
                if self.leads && !(again && self.agreed.cycle <= next.cycle) {
                    self.agreed = next;
                }
                None
            }
        }
    }

    /// The node that follows, also in its last cycle as such: the newest state of the other one, if there is one
    /// since the last cycle.
    pub(crate) fn follow(&mut self, state: Option<&GroupState>, skipped: u32) {
        self.led_to(false);
        self.other_runs = None;
        match state {
            Some(state) => {
                (self.stands_for, self.agreed) = (state.cycle, state.next_plan);
                // What the other node ran before the last change over says nothing of the time after.
                let is_newer = state.cycle > self.changed_at;
                self.other_runs = is_newer.then_some((state.plan_epoch, state.plan_digest));
            }
            None => self.stands_for += 1 + u64::from(skipped),
        }
    }

    /// The node that writes: the coming cycle is its own. What was agreed under another is counted on.
    pub(crate) fn lead(&mut self, cycle: u64) {
        if self.led_to(true) {
            self.agreed.cycle = cycle + self.agreed.cycle.saturating_sub(self.stands_for);
        }
        self.stands_for = cycle;
        self.other_runs = None;
    }

    /// Notes whether this node leads; says whether that is new.
    fn led_to(&mut self, leads: bool) -> bool {
        let is_new = core::mem::replace(&mut self.leads, leads) != leads;
        if is_new {
            // Cycles have other numbers now.
            self.changed_at = 0;
        }
        is_new
    }

    /// The table that counts from this cycle on, if one does.
    pub(crate) fn due(&mut self) -> Option<Box<PlanTable>> {
        let (agreed, other_runs) = (self.agreed, self.other_runs);
        let is_time = self.stands_for >= agreed.cycle;
        let is_due = |table: &PlanTable| {
            is_time && agreed.is(table) || other_runs == Some((table.epoch, table.digest))
        };
        let ready = self.ready.take_if(|table| is_due(table));
        let table = ready.or_else(|| self.back.take_if(|table| is_due(table)))?;
        if agreed.is(&table) {
            self.agreed = NextPlan::default();
        }
        self.changed_at = self.stands_for;
        Some(table)
    }

    pub(crate) fn stands_for(&self) -> u64 {
        self.stands_for
    }
}

/// A plan that the cycles run from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activated {
    /// The plan's number.
    pub epoch: u32,
    /// The digest of its table.
    pub digest: u64,
    /// The first cycle, counted by the node that writes.
    pub cycle: u64,
}
