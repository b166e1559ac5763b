//! What changes from one plan to the next.

use std::collections::BTreeMap;
use std::path::Path;

use agent_plan::canonical::Digest;
use agent_plan::delta::PlanDelta;
use agent_plan::document::{SchedulingPlan, SignedPlan};
use serde::Serialize;
use serde_json::{Value, json};

use super::{PlanError, files};

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Change {
    /// Where: `demands[WT01].powerLimitW`.
    at: String,
    /// What stood there; `null` for nothing.
    before: Value,
    /// What stands there now.
    after: Value,
}

/// `takt plan diff`.
pub(super) fn run(old: &Path, new: &Path, as_json: bool) -> Result<u8, PlanError> {
    let (before, after) = (files::read_scheduling(old)?, files::read_scheduling(new)?);
    let changes = changes(&before, &after);
    let delta_bytes = delta_bytes(before, after).map_err(|error| PlanError::file(new, error))?;
    if as_json {
        println!("{:#}", json!({ "changes": changes, "deltaBytes": delta_bytes }));
    } else {
        for Change { at, before, after } in &changes {
            match (before, after) {
                (Value::Null, after) => println!("+ {at}: {after}"),
                (before, Value::Null) => println!("- {at}: {before}"),
                (before, after) => println!("~ {at}: {before} -> {after}"),
            }
        }
        println!("{} changes; as a delta {delta_bytes} bytes", changes.len());
    }
    Ok(u8::from(!changes.is_empty()))
}

/// How long the new plan is as a change of the old one, signatures left out.
fn delta_bytes(
    before: SchedulingPlan,
    after: SchedulingPlan,
) -> Result<usize, agent_plan::delta::DeltaError> {
    let bare = |plan: SchedulingPlan| SignedPlan { digest: Digest::of(&plan), plan, signature: None };
    PlanDelta::between(&bare(before), &bare(after)).map(|delta| delta.data.len())
}

fn changes(before: &SchedulingPlan, after: &SchedulingPlan) -> Vec<Change> {
    // Strings and integers alone: there is nothing that a JSON value cannot hold.
    let value = |plan| serde_json::to_value(plan).unwrap_or_default();
    let mut changes = Vec::new();
    compare("", &value(before), &value(after), &mut changes);
    changes
}

/// Depth is that of a plan's types.
fn compare(at: &str, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    match (members(before), members(after)) {
        (Some(before), Some(after)) => {
            let missing = Value::Null;
            let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let of = |members: &BTreeMap<String, Value>| members.get(key).cloned();
                let inner = match (at.is_empty(), key.starts_with('[')) {
                    (true, _) => key.clone(),
                    (false, true) => format!("{at}{key}"),
                    (false, false) => format!("{at}.{key}"),
                };
                let (before, after) = (of(&before), of(&after));
                compare(
                    &inner,
                    before.as_ref().unwrap_or(&missing),
                    after.as_ref().unwrap_or(&missing),
                    changes,
                );
            }
        }
        _ => changes.push(Change { at: at.to_owned(), before: before.clone(), after: after.clone() }),
    }
}

/// The parts of a value by name. The parts of a list are called by what they name themselves: a unit, a task, an
/// order, a point in time. A list of other things has no parts.
fn members(value: &Value) -> Option<BTreeMap<String, Value>> {
    match value {
        Value::Object(map) => Some(map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()),
        Value::Array(values) => {
            let named = values.iter().map(|value| {
                let name = ["unit", "id", "name", "at"].iter().find_map(|key| value.get(key)?.as_str())?;
                Some((format!("[{name}]"), value.clone()))
            });
            named.collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> SchedulingPlan {
        let head = r#""name": "n", "epoch": 1, "target": {"site": "s"}"#;
        SchedulingPlan::from_json(format!("{{{head}, {text}}}").as_bytes()).unwrap()
    }

    fn words(before: &str, after: &str) -> Vec<String> {
        changes(&plan(before), &plan(after))
            .iter()
            .map(|change| format!("{}: {} -> {}", change.at, change.before, change.after))
            .collect()
    }

    #[test]
    fn units_are_compared_by_name_wherever_they_stand() {
        let before = r#""demands": [{"unit": "A", "request": "run"}, {"unit": "B", "request": "run", "powerLimitW": 5}]"#;
        let after = r#""demands": [{"unit": "B", "request": "run", "powerLimitW": 7}, {"unit": "A", "request": "run"}]"#;
        assert_eq!(words(before, after), ["demands[B].powerLimitW: 5 -> 7"]);
    }

    #[test]
    fn what_comes_and_what_goes_is_shown_whole() {
        let before = r#""transports": [{"id": "T1", "from": "a", "to": "b"}]"#;
        let after = r#""transports": [{"id": "T2", "from": "a", "to": "b"}]"#;
        let order = |id| format!(r#"{{"from":"a","id":"{id}","priority":4,"to":"b"}}"#);
        assert_eq!(
            words(before, after),
            [
                format!("transports[T1]: {} -> null", order("T1")),
                format!("transports[T2]: null -> {}", order("T2"))
            ]
        );
    }

    #[test]
    fn a_default_that_is_written_out_is_no_change() {
        assert_eq!(words(r#""rollout": {"soakMs": 60000}"#, r#""rollout": {}"#), Vec::<String>::new());
    }
}
