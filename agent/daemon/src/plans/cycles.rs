//! The real-time threads of all groups, as the plan thread deals with them.

use std::collections::VecDeque;

use agent_cycle::{NextPlan, PlanMessage, PlanPorts, PlanTable};
use agent_plan::document::Boundary;
use hal_units::{Duration, Instant};

use super::tables::Timing;

/// Groups that have not all changed over after so long do not run.
const ALL_WITHIN: Duration = Duration::from_secs(1);
/// Messages that wait for a group; one that does not run takes none, and is told again when it does.
const WAITING_MAX: usize = 32;

/// A plan as the cycles call it: epoch and digest of its tables.
pub(super) type PlanKey = (u32, u64);

/// One group.
struct GroupSide {
    ports: PlanPorts,
    /// Messages that did not fit into the ring.
    waiting: VecDeque<PlanMessage>,
    /// What it has changed over to, and on which cycle, until all groups have.
    changed: Option<(PlanKey, u64)>,
}

/// All groups.
pub(super) struct Cycles {
    groups: Vec<GroupSide>,
    timing: Timing,
    /// Since when some groups have changed over and others have not.
    partly_since: Option<Instant>,
}

impl Cycles {
    pub(super) fn new(ports: Vec<PlanPorts>, timing: Timing) -> Self {
        let side = |ports| GroupSide { ports, waiting: VecDeque::new(), changed: None };
        Self { groups: ports.into_iter().map(side).collect(), timing, partly_since: None }
    }

    /// Whether there is no group: a site with a fleet alone.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Hands a table to each group.
    pub(super) fn hand(
        &mut self,
        table: impl Fn(usize) -> Box<PlanTable>,
        message: fn(Box<PlanTable>) -> PlanMessage,
    ) {
        for (at, group) in self.groups.iter_mut().enumerate() {
            group.push(message(table(at)));
        }
        self.pass_on();
    }

    /// Tells each group from which of its cycles on a plan counts; returns the first group's.
    pub(super) fn change_over(
        &mut self,
        (epoch, digest): PlanKey,
        at: Instant,
        boundary: Boundary,
    ) -> Option<u64> {
        let cycles = self.timing.cycles_from(at, boundary);
        for (group, cycle) in self.groups.iter_mut().zip(&cycles) {
            group.push(PlanMessage::ChangeOver(NextPlan { epoch, digest, cycle: *cycle }));
        }
        self.pass_on();
        cycles.first().copied()
    }

    /// So long before a change over the groups must be told of it, for the other node to hear of it in time.
    pub(super) fn ahead(&self) -> Duration {
        3 * self.timing.longest_period()
    }

    /// Hands over what the rings take.
    fn pass_on(&mut self) {
        for GroupSide { ports, waiting, .. } in &mut self.groups {
            while ports.messages.ready()
                && let Some(message) = waiting.pop_front()
            {
                if ports.messages.enqueue(message).is_err() {
                    tracing::error!("readiness was checked, and this thread alone fills the ring");
                }
            }
        }
    }

    /// The plan that all groups have changed over to since the last look, and the first group's cycle. Frees what
    /// the cycles need no more.
    pub(super) fn look(&mut self, now: Instant) -> Option<(PlanKey, u64)> {
        self.pass_on();
        for GroupSide { ports, changed, .. } in &mut self.groups {
            while ports.retired.dequeue().is_some() {}
            while let Some(activated) = ports.activated.dequeue() {
                *changed = Some(((activated.epoch, activated.digest), activated.cycle));
            }
        }
        let (key, cycle) = self.groups.iter().find_map(|group| group.changed)?;
        if self.groups.iter().all(|group| group.changed.is_some_and(|(other, _)| other == key)) {
            self.groups.iter_mut().for_each(|group| group.changed = None);
            self.partly_since = None;
            return Some((key, cycle));
        }
        self.partly_since.get_or_insert(now);
        None
    }

    /// Whether some groups have changed over and others do not.
    pub(super) fn is_torn(&self, now: Instant) -> bool {
        self.partly_since.is_some_and(|since| now.since(since) > ALL_WITHIN)
    }
}

impl GroupSide {
    fn push(&mut self, message: PlanMessage) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(message);
        }
    }
}
