//! A signed scheduling plan.

use agent_plan::PlanId;
use agent_plan::canonical::Digest;
use agent_plan::document::{self, PlanSignature, SignedPlan};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// What a site shall do, signed: see `takt plan sign`. It never changes; publish another one with a higher epoch.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "control.takt.dev",
    version = "v1alpha1",
    kind = "SchedulingPlan",
    plural = "schedulingplans",
    shortname = "splan",
    namespaced,
    derive = "PartialEq",
    printcolumn(name = "Site", type_ = "string", json_path = ".spec.plan.target.site"),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".spec.plan.epoch"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".spec.digest", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[cfg_attr(test, x_kube(cel))]
#[x_kube(
    validation = Rule::new("self == oldSelf").message("a plan never changes: publish another one with a higher epoch"),
    validation = Rule::new("self.plan.epoch >= 1").message("epochs begin with 1"),
    validation = Rule::new("self.digest.matches('^[0-9a-f]{64}$')").message("the digest is 64 hexadecimal digits"),
    validation = Rule::new("has(self.signature)").message("a plan without a signature is refused: see takt plan sign"),
    validation = Rule::new("self.plan.target.site != ''").message("name the site that the plan is for")
)]
#[serde(rename_all = "camelCase")]
pub struct SchedulingPlanSpec {
    /// The plan.
    #[schemars(transform = open)]
    pub plan: document::SchedulingPlan,
    /// SHA-256 of the plan's canonical form.
    pub digest: Digest,
    /// Who stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = open)]
    pub signature: Option<PlanSignature>,
}

impl SchedulingPlanSpec {
    /// The plan as the agent takes it.
    #[must_use]
    pub fn signed(&self) -> SignedPlan {
        SignedPlan { plan: self.plan.clone(), digest: self.digest, signature: self.signature.clone() }
    }

    /// The same, without a copy.
    #[must_use]
    pub fn into_signed(self) -> SignedPlan {
        SignedPlan { plan: self.plan, digest: self.digest, signature: self.signature }
    }

    /// Epoch and digest.
    #[must_use]
    pub fn id(&self) -> PlanId {
        PlanId { epoch: self.plan.epoch, digest: self.digest }
    }
}

/// An API server prunes what it does not know; a schema that forbids it instead is none that it takes. It warns of
/// integers whose format it does not know, too: what they can be is said by their bounds.
pub(crate) fn open(schema: &mut schemars::Schema) {
    let object = schema.as_object_mut();
    open_all(object);
}

fn open_all(schema: Option<&mut serde_json::Map<String, serde_json::Value>>) {
    let Some(schema) = schema else { return };
    if schema.get("additionalProperties") == Some(&serde_json::Value::Bool(false)) {
        schema.remove("additionalProperties");
    }
    if schema.get("format").and_then(serde_json::Value::as_str).is_some_and(|name| name.starts_with("uint")) {
        schema.remove("format");
    }
    for value in schema.values_mut() {
        open_value(value);
    }
}

fn open_value(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(object) => open_all(Some(object)),
        serde_json::Value::Array(items) => items.iter_mut().for_each(open_value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec() -> Value {
        json!({
            "plan": { "name": "night", "epoch": 7, "target": { "site": "north-field" } },
            "digest": "ab".repeat(32),
            "signature": { "keyId": "0123456789abcdef", "value": "cd".repeat(64) },
        })
    }

    #[track_caller]
    fn check_refused(change: impl Fn(&mut Value), words: &str) {
        let mut wrong = spec();
        change(&mut wrong);
        let errors = SchedulingPlanSpec::validate_cel(&wrong, None).expect_err("it is taken");
        assert!(format!("{errors:?}").contains(words), "{errors:?}");
    }

    #[test]
    fn a_signed_plan_is_taken() {
        assert!(SchedulingPlanSpec::validate_cel(&spec(), None).is_ok());
        assert!(serde_json::from_value::<SchedulingPlanSpec>(spec()).is_ok());
    }

    #[test]
    fn each_rule_refuses() {
        check_refused(|spec| spec["plan"]["epoch"] = json!(0), "epochs begin with 1");
        check_refused(|spec| spec["digest"] = json!("AB"), "64 hexadecimal digits");
        check_refused(
            |spec| {
                spec.as_object_mut().unwrap().remove("signature");
            },
            "without a signature",
        );
        check_refused(|spec| spec["plan"]["target"]["site"] = json!(""), "name the site");
    }

    #[test]
    fn a_plan_never_changes() {
        let mut other = spec();
        other["plan"]["name"] = json!("day");
        let errors = SchedulingPlanSpec::validate_cel(&other, Some(&spec())).expect_err("it is taken");
        assert!(format!("{errors:?}").contains("never changes"), "{errors:?}");
        assert!(SchedulingPlanSpec::validate_cel(&spec(), Some(&spec())).is_ok());
    }

    #[test]
    fn the_agent_gets_what_was_signed() {
        let spec: SchedulingPlanSpec = serde_json::from_value(spec()).unwrap();
        let signed = spec.signed();
        assert_eq!((signed.id(), signed.plan.name.as_str()), (spec.id(), "night"));
        assert_eq!(SignedPlan::from_json(&signed.to_json()), Ok(signed));
    }
}
