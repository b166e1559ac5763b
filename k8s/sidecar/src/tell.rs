//! What of a node's status has to be written: the change of what the cluster has, if it is worth it.
//!
//! # Model
//!
//! What the cluster has is known: it is watched. Numbers are worth a write when they differ from it by more than their
//! dead band, and go along with any other. What changed is a merge patch (RFC 7386) of the fields that
//! differ. Conditions have other writers, too, so they go by server-side apply, all of ours, when one of them has
//! changed.

use agent_plan::wire::FleetStatus;
use k8s_crd::ControlNodeStatus;
use serde_json::{Map, Value, json};

/// Bytes of plans that came are told when they have grown by more than this.
const BYTES_BAND: u64 = 64 << 10;
/// So are plans that were refused: an agent that is flooded with them must not flood its cluster.
const REFUSED_BAND: u64 = 10;
/// So are orders of the fleet that were done, or cancelled; one that could not be done is told at once.
const ORDERS_BAND: u64 = 100;
/// Of numbers of a fleet that go up and down, one in so many is too little to be told, unless it is the first or the last.
const FLEET_SHARE: u64 = 10;

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// The fields that differ, as a merge patch of the status; null: gone.
    pub(crate) fields: Option<Value>,
    /// All conditions, if one differs.
    pub(crate) conditions: Option<Value>,
}

/// What has to be written so that the cluster has `now`; none if it does, but for what is within its dead band.
pub(crate) fn change(has: Option<&ControlNodeStatus>, now: &ControlNodeStatus) -> Option<Change> {
    if has.is_some_and(|has| within_bands(has, now.clone()) == *has) {
        return None;
    }
    let has = has.cloned().unwrap_or_default();
    let conditions = (has.conditions != now.conditions).then(|| json!(now.conditions));
    let fields = |status: &ControlNodeStatus| json!({ "plans": status.plans, "fleet": status.fleet, "sync": status.sync });
    let fields = difference(&fields(&has), &fields(now));
    (fields.is_some() || conditions.is_some()).then_some(Change { fields, conditions })
}

/// The status with the numbers that the cluster has, where they are near enough.
fn within_bands(has: &ControlNodeStatus, mut now: ControlNodeStatus) -> ControlNodeStatus {
    if let (Some(now), Some(has)) = (&mut now.sync, &has.sync) {
        settle(&mut now.bytes_full, has.bytes_full, BYTES_BAND);
        settle(&mut now.bytes_delta, has.bytes_delta, BYTES_BAND);
        settle(&mut now.whole, has.whole, u64::MAX);
        settle(&mut now.delta, has.delta, u64::MAX);
    }
    if let (Some(now), Some(has)) = (&mut now.fleet, &has.fleet) {
        *now = fleet_within_bands(has, *now);
    }
    if let (Some(now), Some(has)) = (&mut now.plans, &has.plans) {
        let mut is_near = now.refused.keys().eq(has.refused.keys());
        for (reason, count) in &mut now.refused {
            settle(count, has.refused.get(reason).copied().unwrap_or(0), REFUSED_BAND);
            is_near &= has.refused.get(reason) == Some(count);
        }
        if is_near && !now.refused.is_empty() {
            now.last_refusal.clone_from(&has.last_refusal);
        }
    }
    now
}

/// The same for a fleet. That it is none, or all, is told at once, and so is that it is not so any more.
fn fleet_within_bands(has: &FleetStatus, mut now: FleetStatus) -> FleetStatus {
    let hover = |now: &mut u64, has: u64, most: u64| {
        let is_near = now.abs_diff(has) <= has / FLEET_SHARE;
        let is_edge = |value: u64| value == 0 || value == most;
        if is_near && !is_edge(*now) && !is_edge(has) {
            *now = has;
        }
    };
    hover(&mut now.taking_part, has.taking_part, now.vehicles);
    hover(&mut now.orders_waiting, has.orders_waiting, u64::MAX);
    hover(&mut now.orders_under_way, has.orders_under_way, u64::MAX);
    hover(&mut now.degraded, has.degraded, u64::MAX);
    settle(&mut now.orders_done, has.orders_done, ORDERS_BAND);
    settle(&mut now.orders_cancelled, has.orders_cancelled, ORDERS_BAND);
    now
}

/// A number that only grows stays what the cluster has until it has grown by more than its dead band.
fn settle(now: &mut u64, has: u64, band: u64) {
    if (has..=has.saturating_add(band)).contains(now) {
        *now = has;
    }
}

/// The merge patch that makes `now` of `has`; none if they are the same.
fn difference(has: &Value, now: &Value) -> Option<Value> {
    if has == now {
        return None;
    }
    let (Value::Object(has), Value::Object(now)) = (has, now) else { return Some(now.clone()) };
    let gone = has.keys().filter(|key| !now.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let nothing = Value::Null;
    let changed = now
        .iter()
        .filter_map(|(key, now)| Some((key.clone(), difference(has.get(key).unwrap_or(&nothing), now)?)));
    Some(Value::Object(gone.chain(changed).collect::<Map<_, _>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_plan::Reason;
    use agent_plan::document::UtcTime;
    use agent_plan::wire::{PlanEntry, PlanStatus};
    use k8s_crd::{Condition, ConditionType, PlanSync, Truth};

    fn status() -> ControlNodeStatus {
        let plans = PlanStatus {
            site: "north".to_owned(),
            staged: Some(PlanEntry { epoch: 8, ..PlanEntry::default() }),
            refused: [("expired".to_owned(), 3)].into(),
            ..PlanStatus::default()
        };
        let condition = Condition {
            kind: ConditionType::Staged,
            status: Truth::True,
            reason: "Waits".to_owned(),
            message: String::new(),
            last_transition_time: UtcTime::default(),
        };
        let sync = Some(PlanSync { bytes_full: 1000, ..PlanSync::default() });
        let fleet = FleetStatus {
            vehicles: 200,
            taking_part: 190,
            orders_waiting: 40,
            orders_under_way: 150,
            orders_done: 1000,
            ..FleetStatus::default()
        };
        ControlNodeStatus { plans: Some(plans), fleet: Some(fleet), sync, conditions: vec![condition] }
    }

    fn after(act: impl FnOnce(&mut ControlNodeStatus)) -> Option<Change> {
        let mut now = status();
        act(&mut now);
        change(Some(&status()), &now)
    }

    #[test]
    fn a_status_that_has_not_changed_is_not_written() {
        assert_eq!(after(|_| {}), None);
    }

    #[test]
    fn numbers_within_their_dead_band_are_not_written() {
        assert_eq!(after(|now| now.sync.as_mut().unwrap().bytes_full += BYTES_BAND), None);
        assert!(after(|now| now.sync.as_mut().unwrap().bytes_full += BYTES_BAND + 1).is_some());
        let refuse = |count: u64| {
            move |now: &mut ControlNodeStatus| {
                let plans = now.plans.as_mut().unwrap();
                *plans.refused.get_mut("expired").unwrap() += count;
                plans.last_refusal = Some(Reason::Expired.because("since noon"));
            }
        };
        assert_eq!(after(refuse(REFUSED_BAND)), None);
        assert!(after(refuse(REFUSED_BAND + 1)).is_some());
    }

    #[test]
    fn a_new_kind_of_refusal_is_written_at_once() {
        let new = |now: &mut ControlNodeStatus| {
            now.plans.as_mut().unwrap().refused.insert("unsigned".to_owned(), 1);
        };
        assert_eq!(after(new).unwrap().fields, Some(json!({ "plans": { "refused": { "unsigned": 1 } } })));
    }

    fn after_fleet(act: impl FnOnce(&mut FleetStatus)) -> Option<serde_json::Value> {
        after(|now| act(now.fleet.as_mut().unwrap())).and_then(|change| change.fields)
    }

    #[test]
    fn a_fleet_that_hovers_is_not_written() {
        let hover = |fleet: &mut FleetStatus| {
            fleet.taking_part -= 19;
            fleet.orders_waiting += 4;
            fleet.orders_under_way -= 15;
            fleet.orders_done += ORDERS_BAND;
        };
        assert_eq!(after_fleet(hover), None);
        let more = |fleet: &mut FleetStatus| {
            hover(fleet);
            fleet.orders_waiting += 1;
        };
        let all = json!({ "fleet": {
            "takingPart": 171, "ordersWaiting": 45, "ordersUnderWay": 135, "ordersDone": 1100,
        } });
        assert_eq!(after_fleet(more), Some(all), "then all of it goes along");
    }

    #[test]
    fn the_first_and_the_last_of_a_fleet_are_written_at_once() {
        assert!(after_fleet(|fleet| fleet.taking_part = 200).is_some(), "all take part");
        assert!(after_fleet(|fleet| fleet.degraded = 1).is_some());
        assert!(after_fleet(|fleet| fleet.orders_failed = 1).is_some());
        assert!(after_fleet(|fleet| fleet.orders_done = 3).is_some(), "an agent that began anew");
        assert_eq!(after(|now| now.fleet = None).unwrap().fields, Some(json!({ "fleet": null })));
    }

    #[test]
    fn only_what_changed_is_written_and_what_is_gone_is_null() {
        let change = after(|now| {
            let plans = now.plans.as_mut().unwrap();
            (plans.staged, plans.highest_epoch) = (None, 8);
            now.sync.as_mut().unwrap().bytes_full += 1;
        });
        let fields = json!({ "plans": { "staged": null, "highestEpoch": 8 }, "sync": { "bytesFull": 1001 } });
        assert_eq!(change, Some(Change { fields: Some(fields), conditions: None }));
    }

    #[test]
    fn conditions_go_all_together() {
        let change = after(|now| now.conditions[0].status = Truth::False).unwrap();
        assert_eq!((change.fields, change.conditions.unwrap().as_array().unwrap().len()), (None, 1));
    }

    #[test]
    fn a_cluster_that_has_nothing_gets_everything() {
        let change = change(None, &status()).unwrap();
        assert_eq!(change.fields.unwrap()["plans"]["site"], "north");
        assert!(change.conditions.is_some());
    }
}
