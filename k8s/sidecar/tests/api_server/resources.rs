//! What the API server makes of the custom resources.

use agent_plan::PlanKey;
use agent_plan::document::SchedulingPlan as Plan;
use k8s_crd::{ControlNode, SchedulingPlan, SchedulingPlanSpec};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::runtime::conditions;
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::time::Duration;

use crate::server::Server;

/// An API server that knows the resources, and a namespace of the test's own.
pub(crate) async fn prepared(server: &Server, namespace: &str) -> Client {
    let client = server.client().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in k8s_crd::definitions() {
        let name = definition.name_any();
        let apply = PatchParams::apply("takt-test").force();
        definitions.patch(&name, &apply, &Patch::Apply(&definition)).await.expect("the API server takes it");
        let established = await_condition(definitions.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(Duration::from_secs(30), established).await.expect("in time").unwrap();
    }
    let metadata = ObjectMeta { name: Some(namespace.to_owned()), ..ObjectMeta::default() };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() })
        .await
        .expect("each test has a namespace of its own");
    client
}

/// A plan with all that a plan can have.
fn full() -> Value {
    json!({
        "name": "evening", "epoch": 17,
        "target": { "site": "north", "nodes": ["edge-a", "edge-b"] },
        "tasks": [{ "name": "park", "periodUs": 10_000, "deadlineUs": 8_000, "budgetUs": 2_000, "priority": 80, "core": 1 }],
        "demands": [{ "unit": "WT01", "request": "run", "powerLimitW": 3_000_000 }, { "unit": "WT02", "request": "stop" }],
        "schedules": [{ "unit": "WT01", "between": "line", "points": [{ "at": "2026-11-25T12:00:00Z", "powerLimitW": 2_000_000 }] }],
        "transports": [{ "id": "T1", "from": "dock", "to": "press", "deadline": "2026-11-25T12:30:00Z" }],
        "rules": [{ "name": "centre-gone", "lost": "centre", "holdMs": 30_000, "fallback": [{ "unit": "WT01", "request": "stop" }] }],
        "limits": { "sitePowerW": 9_000_000 },
        "activation": { "notBefore": "2026-11-25T12:00:00Z", "boundary": "hyperperiod" },
        "expiresAt": "2026-11-26T00:00:00Z",
        "rollout": { "canary": "edge-a", "soakMs": 60_000 },
    })
}

/// The plan as an object, signed.
pub(crate) fn signed(name: &str, plan: &Value) -> SchedulingPlan {
    let plan: Plan = serde_json::from_value(plan.clone()).unwrap();
    let signed = PlanKey::from_seed(&[7; 32]).sign(plan);
    let spec: SchedulingPlanSpec = serde_json::from_slice(&signed.to_json()).unwrap();
    SchedulingPlan::new(name, spec)
}

/// Objects as any client may send them.
fn untyped(client: Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &ApiResource::erase::<SchedulingPlan>(&()))
}

fn object(name: &str, spec: &Value) -> DynamicObject {
    let mut object = DynamicObject::new(name, &ApiResource::erase::<SchedulingPlan>(&()));
    object.data = json!({ "spec": spec });
    object
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> String {
    match answer {
        Err(kube::Error::Api(status)) => status.message.clone(),
        other => panic!("the API server did not refuse it: {other:?}"),
    }
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_plan_comes_back_with_its_signature_intact() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let plans: Api<SchedulingPlan> = Api::namespaced(prepared(&server, "intact").await, "intact");
    let plan = signed("evening", &full());
    plans.create(&PostParams::default(), &plan).await.unwrap();
    let stored = plans.get("evening").await.unwrap().spec.signed();
    let mut keys = agent_plan::TrustedKeys::default();
    keys.add_pem(&PlanKey::from_seed(&[7; 32]).public_pem().unwrap()).unwrap();
    assert_eq!(keys.verify(&stored), Ok(()), "whatever the API server added or pruned");
    assert_eq!(stored, plan.spec.signed());
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn each_rule_for_plans_refuses_at_the_api_server() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let plans = untyped(prepared(&server, "rules").await, "rules");
    let right = serde_json::to_value(signed("evening", &full()).spec).unwrap();
    plans
        .create(&PostParams::default(), &object("right", &right))
        .await
        .expect("nothing else is wrong with it");
    let check = async |place: &str, value: Value, words: &str| {
        let mut wrong = right.clone();
        *wrong.pointer_mut(place).unwrap() = value;
        let message = refusal(plans.create(&PostParams::default(), &object("wrong", &wrong)).await);
        assert!(message.contains(words), "{place}: {message}");
    };
    check("/plan/epoch", json!(0), "epochs begin with 1").await;
    check("/digest", json!("AB"), "spec.digest").await;
    check("/plan/target/site", json!(""), "name the site").await;
    check("/plan/rules/0/lost", json!("hope"), "Unsupported value").await;
    check("/plan/tasks/0/priority", json!(1000), "priority").await;
    let mut unsigned = right.clone();
    unsigned.as_object_mut().unwrap().remove("signature");
    let message = refusal(plans.create(&PostParams::default(), &object("unsigned", &unsigned)).await);
    assert!(message.contains("without a signature"), "{message}");
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn a_plan_is_never_changed_and_a_node_never_moves() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let client = prepared(&server, "immutable").await;
    let plans: Api<SchedulingPlan> = Api::namespaced(client.clone(), "immutable");
    plans.create(&PostParams::default(), &signed("evening", &full())).await.unwrap();
    let merge = |value: Value| Patch::Merge(value);
    let params = PatchParams::default();
    let change = merge(json!({ "spec": { "plan": { "epoch": 18 } } }));
    let message = refusal(plans.patch("evening", &params, &change).await);
    assert!(message.contains("a plan never changes"), "{message}");
    let label = merge(json!({ "metadata": { "labels": { "shift": "late" } } }));
    plans.patch("evening", &params, &label).await.expect("labels are not the plan");

    let nodes: Api<ControlNode> = Api::namespaced(client, "immutable");
    let apply = PatchParams::apply("takt-test");
    let node = |site: &str| {
        Patch::Apply(json!({
            "apiVersion": "control.takt.dev/v1alpha1", "kind": "ControlNode",
            "metadata": { "name": "edge-a" }, "spec": { "site": site },
        }))
    };
    assert!(refusal(nodes.patch("edge-a", &apply, &node("")).await).contains("name the site"));
    nodes.patch("edge-a", &apply, &node("north")).await.unwrap();
    let message = refusal(nodes.patch("edge-a", &apply, &node("south")).await);
    assert!(message.contains("does not move"), "{message}");
}

#[tokio::test]
#[cfg_attr(not(takt_api_server), ignore = "needs the API server")]
async fn the_conditions_of_two_writers_survive_each_other() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let nodes: Api<ControlNode> = Api::namespaced(prepared(&server, "writers").await, "writers");
    let object = |status: Value| {
        Patch::Apply(json!({
            "apiVersion": "control.takt.dev/v1alpha1", "kind": "ControlNode",
            "metadata": { "name": "edge-a" }, "spec": { "site": "north" }, "status": status,
        }))
    };
    let condition = |kind: &str, status: &str| {
        json!({ "conditions": [{
            "type": kind, "status": status, "reason": "Test", "message": "",
            "lastTransitionTime": "2026-11-25T12:00:00Z",
        }] })
    };
    let (one, other) = (PatchParams::apply("one"), PatchParams::apply("other"));
    nodes.patch("edge-a", &one, &object(json!({}))).await.unwrap();
    nodes.patch_status("edge-a", &one, &object(condition("Staged", "False"))).await.unwrap();
    nodes.patch_status("edge-a", &other, &object(condition("Healthy", "True"))).await.unwrap();
    nodes.patch_status("edge-a", &one, &object(condition("Staged", "True"))).await.unwrap();
    let status = nodes.get("edge-a").await.unwrap().status.unwrap();
    let mut found: Vec<(&str, String)> =
        status.conditions.iter().map(|c| (c.kind.as_str(), format!("{:?}", c.status))).collect();
    found.sort();
    assert_eq!(found, [("Healthy", "True".to_owned()), ("Staged", "True".to_owned())]);
}
