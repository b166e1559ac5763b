//! Takt in the cluster, as its users bring it there: prepared nodes, the site's files, and the chart.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_plan::PlanKey;
use serde_json::{Value, json};
use sim_lab::site::{self, Law, NodeSpec, PAIR_KEY, PairSpec, Places};

use crate::ClusterError;
use crate::kubectl::{Kubectl, NAMESPACE, until};
use crate::network::{self, BROKER, Edge};

/// The site's name.
pub(crate) const SITE: &str = "north-field";
/// The release of the chart.
const RELEASE: &str = "takt";
/// Repository of the images; the tag tells them apart.
const REPOSITORY: &str = "takt.test/takt";
/// Two pods of three containers each, from images that are there.
const ROLLED_WITHIN: Duration = Duration::from_secs(180);

/// The image with this tag.
pub(crate) fn image(tag: &str) -> String {
    format!("{REPOSITORY}:{tag}")
}

/// Who signs plans.
pub(crate) fn signer() -> PlanKey {
    PlanKey::from_seed(&[7; 32])
}

/// What is deployed.
pub(crate) struct Deployment<'a> {
    pub(crate) kubectl: &'a Kubectl,
    /// The checkout's folder `k8s`.
    pub(crate) sources: &'a Path,
    /// Where the nodes keep what outlives a pod.
    pub(crate) state: PathBuf,
    pub(crate) turbines: u16,
    pub(crate) vehicles: u16,
}

impl Deployment<'_> {
    /// Prepares the nodes: a real-time budget for pods that ask for cores.
    pub(crate) fn prepare_nodes(&self, tag: &str) -> Result<(), ClusterError> {
        self.kubectl.apply(&[
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        ])?;
        let path = self.sources.join("node-preparation.yaml");
        let manifest = std::fs::read_to_string(&path).map_err(ClusterError::file(&path))?;
        // Here two nodes share a machine, each with a group of its own; and there is no registry.
        let manifest = manifest
            .replace("image: takt:0.1.0", &format!("image: {}\n          imagePullPolicy: Never", image(tag)))
            .replace("--pods-group=kubepods", "--pods-group=$(NODE_NAME)/kubepods");
        self.kubectl.apply_text(&manifest)?;
        until("the preparation of the nodes", ROLLED_WITHIN, || {
            let set = self.kubectl.json(&["get", "daemonset", "takt-node-preparation", "-n", NAMESPACE])?;
            let ready = set.pointer("/status/numberReady").and_then(Value::as_u64);
            Ok((ready == Some(2)).then_some(()))
        })
    }

    /// The site's files, as objects.
    pub(crate) fn bring_site(&self) -> Result<(), ClusterError> {
        let turbines = network::turbines(self.turbines);
        let mut data = serde_json::Map::new();
        for edge in Edge::BOTH {
            let name = edge.name();
            let pair =
                PairSpec { node: edge.letter(), links: edge.links(), function: "fc23", gate: "preferred" };
            let state_dir = format!("/var/lib/takt/{name}");
            let node = NodeSpec {
                site: SITE,
                broker: &format!("mqtt://{BROKER}"),
                listen: Some("0.0.0.0:9464"),
                // The one that the node's CPU manager gives.
                core: None,
                turbines: &turbines,
                law: Law::Baseline,
                pair: Some(pair),
                vehicles: self.vehicles,
                drives: &[],
                places: Places {
                    state_dir: &state_dir,
                    socket: "/run/takt/takt.sock",
                    key_file: "/etc/takt-keys/pair.key",
                    plans: Some((name, "/etc/takt-keys", "/run/takt/plans.sock")),
                },
            };
            for (file, text) in site::files(&node) {
                let file = if file == "site.toml" { format!("{name}.toml") } else { file.to_owned() };
                data.insert(file, text.into());
            }
        }
        let public =
            signer().public_pem().map_err(|error| ClusterError::Machine { why: error.to_string() })?;
        self.kubectl.apply(&[
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": "takt-site", "namespace": NAMESPACE }, "data": data,
            }),
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": { "name": "takt-keys", "namespace": NAMESPACE },
                "stringData": { "pair.key": PAIR_KEY, "centre.pem": public },
            }),
        ])
    }

    /// Installs the chart with this image, or rolls what is installed to it, and waits until both pods are ready.
    pub(crate) fn roll_to(&self, tag: &str) -> Result<(), ClusterError> {
        let chart = self.sources.join("chart").display().to_string();
        let values = [
            format!("site={SITE}"),
            format!("image.repository={REPOSITORY}"),
            format!("image.tag={tag}"),
            "image.pullPolicy=Never".to_owned(),
            format!("stateDir={}", self.state.display()),
        ];
        let mut arguments = vec!["upgrade", "--install", RELEASE, &chart, "--namespace", NAMESPACE];
        for value in &values {
            arguments.extend(["--set-string", value]);
        }
        self.kubectl.helm(&arguments)?;
        self.wait_until_rolled(tag)
    }

    fn wait_until_rolled(&self, tag: &str) -> Result<(), ClusterError> {
        let wanted = image(tag);
        until("the pods of the chart", ROLLED_WITHIN, || {
            let pods = self.pods()?;
            let done =
                pods.len() == 2 && pods.iter().all(|pod| pod.ready && pod.image == wanted && !pod.ends);
            Ok(done.then_some(()))
        })
    }

    /// The pods of the pair.
    pub(crate) fn pods(&self) -> Result<Vec<Pod>, ClusterError> {
        let all = self.kubectl.objects("pods")?;
        Ok(all.iter().filter_map(Pod::read).filter(|pod| pod.name.starts_with(RELEASE)).collect())
    }
}

/// A pod of the pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) edge: Edge,
    pub(crate) qos: String,
    pub(crate) image: String,
    pub(crate) ready: bool,
    /// It was told to end.
    pub(crate) ends: bool,
    /// Restarts of its containers.
    pub(crate) restarts: u64,
}

impl Pod {
    fn read(pod: &Value) -> Option<Self> {
        let text = |path: &str| pod.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let list = |path: &str| pod.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
        let conditions = list("/status/conditions");
        let ready = conditions.iter().any(|condition| {
            condition.get("type").and_then(Value::as_str) == Some("Ready")
                && condition.get("status").and_then(Value::as_str) == Some("True")
        });
        let containers = [list("/status/containerStatuses"), list("/status/initContainerStatuses")].concat();
        let restarts = containers.iter().filter_map(|one| one.get("restartCount").and_then(Value::as_u64));
        let stateful = pod.pointer("/metadata/ownerReferences/0/kind").and_then(Value::as_str);
        if stateful != Some("StatefulSet") {
            return None;
        }
        let node = text("/spec/nodeName")?;
        Some(Self {
            name: text("/metadata/name")?,
            uid: text("/metadata/uid")?,
            edge: Edge::BOTH.into_iter().find(|edge| edge.name() == node)?,
            qos: text("/status/qosClass").unwrap_or_default(),
            image: text("/spec/containers/0/image")?,
            ready,
            ends: pod.pointer("/metadata/deletionTimestamp").is_some(),
            restarts: restarts.sum(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        json!({
            "metadata": { "name": "takt-0", "uid": "u1", "ownerReferences": [{ "kind": "StatefulSet" }] },
            "spec": { "nodeName": "edge-b", "containers": [{ "image": "takt.test/takt:1" }] },
            "status": {
                "qosClass": "Guaranteed",
                "conditions": [{ "type": "Ready", "status": "True" }],
                "containerStatuses": [{ "restartCount": 1 }],
                "initContainerStatuses": [{ "restartCount": 2 }],
            },
        })
    }

    #[test]
    fn a_pod_is_read_as_kubernetes_writes_it() {
        let read = Pod::read(&pod()).unwrap();
        assert_eq!(
            (read.edge, read.qos.as_str(), read.ready, read.restarts),
            (Edge::B, "Guaranteed", true, 3)
        );
    }

    #[test]
    fn a_pod_of_something_else_or_without_a_node_is_none_of_the_pair() {
        let mut other = pod();
        other["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
        assert_eq!(Pod::read(&other), None);
        let mut waiting = pod();
        waiting["spec"].as_object_mut().unwrap().remove("nodeName");
        assert_eq!(Pod::read(&waiting), None);
    }
}
