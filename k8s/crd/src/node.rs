//! A node on which an agent runs.

use agent_plan::Refusal;
use agent_plan::canonical::Digest;
use agent_plan::wire::{FleetStatus, PlanStatus};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A node on which an agent runs. The sidecar beside the agent makes it and writes its status.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "control.takt.dev",
    version = "v1alpha1",
    kind = "ControlNode",
    plural = "controlnodes",
    shortname = "cnode",
    namespaced,
    derive = "PartialEq",
    status = "ControlNodeStatus",
    printcolumn(name = "Site", type_ = "string", json_path = ".spec.site"),
    printcolumn(name = "Role", type_ = "string", json_path = ".status.plans.role"),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.plans.inForce.epoch"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.plans.inForce.stage"),
    printcolumn(name = "Vehicles", type_ = "integer", json_path = ".status.fleet.takingPart"),
    printcolumn(name = "Orders", type_ = "integer", json_path = ".status.fleet.ordersUnderWay"),
    printcolumn(
        name = "Waiting",
        type_ = "integer",
        json_path = ".status.fleet.ordersWaiting",
        priority = 1
    ),
    printcolumn(name = "Done", type_ = "integer", json_path = ".status.fleet.ordersDone", priority = 1),
    printcolumn(name = "Degraded", type_ = "integer", json_path = ".status.fleet.degraded", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[cfg_attr(test, x_kube(cel))]
#[x_kube(
    validation = Rule::new("self.site == oldSelf.site").message("a node does not move to another site: make another one"),
    validation = Rule::new("self.site != ''").message("name the site")
)]
#[serde(rename_all = "camelCase")]
pub struct ControlNodeSpec {
    /// The site's name.
    pub site: String,
}

/// How a node is.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControlNodeStatus {
    /// What the agent says of its plans; left out while it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::plan::open)]
    pub plans: Option<PlanStatus>,
    /// What the agent says of its fleet; left out where another node leads it, or there is none. Numbers are written here
    /// only when they have changed by more than their dead bands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::plan::open)]
    pub fleet: Option<FleetStatus>,
    /// How plans came to the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::plan::open)]
    pub sync: Option<PlanSync>,
    /// Facts about the node.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// How plans came to the node since its sidecar began, for whoever publishes: a plan as the change of another one costs
/// less. Bytes are written here only when they have grown by more than their dead band.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSync {
    /// Plans that came whole.
    pub whole: u64,
    /// Plans that came as the change of one that was here.
    pub delta: u64,
    /// Bytes of those that came whole.
    pub bytes_full: u64,
    /// Bytes of changes.
    pub bytes_delta: u64,
    /// Digest of the plan that the last change was made of and that is not here, if so: the plan came whole instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_missing: Option<Digest>,
    /// Why the last change was refused, if one was: the plan came whole instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<Refusal>,
}

/// One fact.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: Truth,
    /// Why, in one word.
    pub reason: String,
    /// The same for people.
    #[serde(default)]
    pub message: String,
    /// Since when.
    pub last_transition_time: agent_plan::document::UtcTime,
}

/// Facts about a node.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum ConditionType {
    /// The agent answers.
    Ready,
    /// The newest plan for this node was verified and admitted.
    Admitted,
    /// A plan waits for its activation.
    Staged,
    /// The newest plan for this node runs.
    Activated,
    /// The last plan that was tried was given up.
    RolledBack,
    /// Neither plans nor the fleet are degraded.
    Healthy,
    /// The newest plan came as the change of one that was here.
    Incremental,
}

impl ConditionType {
    /// The word; the same as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Admitted => "Admitted",
            Self::Staged => "Staged",
            Self::Activated => "Activated",
            Self::RolledBack => "RolledBack",
            Self::Healthy => "Healthy",
            Self::Incremental => "Incremental",
        }
    }
}

/// Whether a condition holds.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Truth {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_rule_refuses() {
        let site = |name: &str| json!({ "site": name });
        assert!(ControlNodeSpec::validate_cel(&site("north"), Some(&site("north"))).is_ok());
        assert!(ControlNodeSpec::validate_cel(&site(""), None).is_err());
        assert!(ControlNodeSpec::validate_cel(&site("south"), Some(&site("north"))).is_err());
    }

    #[test]
    fn conditions_read_as_kubernetes_writes_them() {
        let condition = Condition {
            kind: ConditionType::Activated,
            status: Truth::True,
            reason: "Running".to_owned(),
            message: String::new(),
            last_transition_time: agent_plan::document::UtcTime::default(),
        };
        let json = serde_json::to_value(&condition).unwrap();
        assert_eq!((&json["type"], &json["status"]), (&json!("Activated"), &json!("True")));
    }
}
