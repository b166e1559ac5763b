//! How things stand with plans, in words.

use agent_plan::PlanId;
use agent_plan::inbox::Clock;
use agent_plan::wire::{FleetStatus, PeerPlans, PlanEntry, PlanStatus, Stage};
use agent_status::Fleet;

use super::tables::KnownPlan;
use super::thread::{PlanLoop, PlansReport};

/// A fleet in a few numbers.
pub(super) const fn in_brief(fleet: &Fleet) -> FleetStatus {
    FleetStatus {
        vehicles: fleet.vehicles.len() as u64,
        taking_part: fleet.taking_part,
        orders_waiting: fleet.orders.waiting,
        orders_under_way: fleet.orders.under_way,
        orders_done: fleet.orders.done,
        orders_failed: fleet.orders.failed,
        orders_cancelled: fleet.orders.cancelled,
        degraded: fleet.degraded.len() as u64,
    }
}

impl PlanLoop {
    pub(super) fn report(&mut self, at: Clock) -> PlansReport {
        PlansReport { status: self.status(at), local_refused: self.local_refused.clone() }
    }

    fn entry(&mut self, id: PlanId, stage: Stage, at: Clock) -> PlanEntry {
        let since = self.since.entry(id).or_insert((stage, at));
        if since.0 != stage {
            *since = (stage, at);
        }
        let since = since.1.wall;
        let refusal = self.inbox.given_up().filter(|given_up| given_up.id == id);
        PlanEntry {
            name: self.plan(id).map(|plan| plan.name().to_owned()).unwrap_or_default(),
            epoch: id.epoch,
            digest: Some(id.digest),
            stage,
            since,
            cycle: self.first_cycles.get(&id).copied(),
            refusal: refusal.map(|given_up| given_up.refusal.clone()),
        }
    }

    pub(super) fn status(&mut self, at: Clock) -> PlanStatus {
        let in_force = self.inbox.in_force();
        let stage = self.inbox.stage_of(in_force).unwrap_or(Stage::LastKnownGood);
        let (activations, rollbacks) = self.inbox.counts();
        let rules = self
            .plan(in_force)
            .and_then(KnownPlan::as_signed)
            .map(|plan| plan.rules.iter().map(|rule| rule.name.clone()).collect::<Vec<_>>())
            .unwrap_or_default();
        let applies = |at: &usize| self.health.rules & 1_u8.checked_shl(*at as u32).unwrap_or(0) != 0;
        let rules =
            rules.into_iter().enumerate().filter(|(at, _)| applies(at)).map(|(_, name)| name).collect();
        let mut degraded = self.inbox.degraded();
        degraded.extend(self.faults.iter().cloned());
        if self.unpromoted.is_some() {
            degraded.push("plans: the disk does not take the last known good plan".to_owned());
        }
        if self.cycles.is_torn(at.now) {
            degraded.push("plans: some loop groups did not change over".to_owned());
        }
        let peer =
            self.inbox.peer().map(|word| PeerPlans { in_force: Some(word.in_force), staged: word.staged });
        let (good, staged) = (self.inbox.good(), self.inbox.staged());
        let given_up = self.inbox.given_up().map(|given_up| (given_up.id, given_up.stage));
        PlanStatus {
            site: self.site.name.clone(),
            node: self.facts.node.clone(),
            role: self.role,
            in_force: self.entry(in_force, stage, at),
            last_known_good: self.entry(good, Stage::LastKnownGood, at),
            staged: staged.map(|id| self.entry(id, Stage::Staged, at)),
            given_up: given_up.map(|(id, stage)| self.entry(id, stage, at)),
            highest_epoch: self.inbox.highest().epoch,
            peer,
            last_refusal: self.last_refusal.clone(),
            refused: self.refused.clone(),
            activations,
            rollbacks,
            rules,
            trusted_keys: self.keys.ids().map(str::to_owned).collect(),
            degraded,
        }
    }
}
