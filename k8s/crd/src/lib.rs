//! The custom resources of Takt, `control.takt.dev/v1alpha1`.
//!
//! # Model
//!
//! A [`SchedulingPlan`] is a signed plan as the central cluster sends it. Its spec is what is signed, so it never
//! changes: another plan is another object with a higher epoch. A [`ControlNode`] is a node on which an agent runs;
//! its status says which plans that agent has, and how it is. The schemas are made from the types that agent and
//! sidecar use, so the three cannot disagree.
//!
//! What an API server does to an object (defaults, fields that it does not know and prunes) does not touch a
//! signature: that is over a canonical form of what is left, and a plan that lost a field is refused by its digest.
//!
//! # Terms
//!
//! - condition: one fact about a node, true, false or unknown, with a reason in one word. Conditions are a map by
//!   their type, so that two writers do not wipe out each other's.

mod brief;
#[allow(unreachable_pub, reason = "what the derive makes is public as the type is")]
#[allow(clippy::duplicated_attributes, reason = "several columns are of one type")]
mod node;
#[allow(unreachable_pub, reason = "what the derive makes is public as the type is")]
#[allow(clippy::duplicated_attributes, reason = "several columns are of one type")]
mod plan;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use brief::{Brief, DELTAS, DIGEST, EPOCH, SITE, delta_bytes};
pub use node::{Condition, ConditionType, ControlNode, ControlNodeSpec, ControlNodeStatus, PlanSync, Truth};
pub use plan::{SchedulingPlan, SchedulingPlanSpec};

/// Group of the resources.
pub const GROUP: &str = "control.takt.dev";

/// The definitions, ready to be applied.
#[must_use]
pub fn definitions() -> [CustomResourceDefinition; 2] {
    [SchedulingPlan::crd(), ControlNode::crd()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn schemas() -> Vec<Value> {
        let definitions = definitions().map(|definition| serde_json::to_value(definition).unwrap());
        definitions
            .into_iter()
            .map(|d| d["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
            .collect()
    }

    /// Calls `look` with each object below a value and its path.
    fn each<'a>(
        value: &'a Value,
        path: &str,
        look: &mut dyn FnMut(&str, &'a serde_json::Map<String, Value>),
    ) {
        match value {
            Value::Object(object) => {
                look(path, object);
                object.iter().for_each(|(key, value)| each(value, &format!("{path}/{key}"), look));
            }
            Value::Array(items) => items.iter().for_each(|item| each(item, path, look)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn the_schemas_are_structural() {
        for schema in schemas() {
            each(&schema, "", &mut |path, object| {
                assert!(!object.contains_key("$ref"), "{path} refers elsewhere");
                let format = object.get("format").and_then(Value::as_str).unwrap_or_default();
                assert!(
                    !format.starts_with("uint"),
                    "{path} has a format that API servers warn of: {format}"
                );
                let closed = object.get("additionalProperties") == Some(&Value::Bool(false));
                assert!(
                    !(closed && object.contains_key("properties")),
                    "{path} is closed: no API server takes that"
                );
            });
        }
    }

    #[test]
    fn conditions_are_a_map_by_their_type() {
        let [_, node] = &schemas()[..] else { panic!("two definitions") };
        let conditions = &node["properties"]["status"]["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-list-type"], "map", "{conditions}");
        assert_eq!(conditions["x-kubernetes-list-map-keys"], serde_json::json!(["type"]));
    }

    #[test]
    fn people_see_the_essence_in_columns() {
        for definition in definitions() {
            let columns = definition.spec.versions[0].additional_printer_columns.clone().unwrap_or_default();
            assert!(columns.len() >= 3, "{columns:?}");
        }
    }
}
