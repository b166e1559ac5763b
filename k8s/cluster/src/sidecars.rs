//! The sidecars as they run in the pods: what they tell the cluster, and what they serve.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use agent_plan::wire::FleetStatus;
use k8s_crd::ControlNode;
use serde::Serialize;

use crate::ClusterError;
use crate::kubectl::{Kubectl, NAMESPACE, until};
use crate::network::Edge;
use crate::node::processes_of_pod;
use crate::pair::Agent;

/// The program in the container.
pub(crate) const SIDECAR: &str = "takt-sidecar";
/// The chart's port of its metrics.
const METRICS_PORT: u16 = 9465;
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// A sidecar looks at its agent's fleet every five seconds, and a fleet begins within as long.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// A sidecar as it was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SidecarFacts {
    pub(crate) pod: String,
    /// Resident memory, at the most.
    pub(crate) resident_kib_max: u64,
    /// Bytes of plans that came, whole and as changes; none if it serves no metrics.
    pub(crate) plan_bytes: Option<[u64; 2]>,
    /// The fleet as the node's object tells it.
    pub(crate) fleet: Option<FleetStatus>,
}

impl SidecarFacts {
    /// Looks at a sidecar; at one whose node leads vehicles until it has told so, or the time for it is over.
    pub(crate) fn of(agent: &Agent, leads: bool, kubectl: &Kubectl) -> Result<Self, ClusterError> {
        let edge = agent.pod.edge;
        let looked = until("the fleet in the node's object", TOLD_WITHIN, || {
            let fleet = fleet_told(edge, kubectl)?;
            Ok((fleet.is_some() == leads).then_some(fleet))
        });
        let fleet = match looked {
            Err(ClusterError::Late { .. }) => fleet_told(edge, kubectl)?,
            looked => looked?,
        };
        let process = processes_of_pod(edge, &agent.pod.uid, SIDECAR).into_iter().next();
        Ok(Self {
            pod: agent.pod.name.clone(),
            resident_kib_max: process.and_then(resident_kib_max).unwrap_or(0),
            plan_bytes: plan_bytes(&metrics(edge).unwrap_or_default()),
            fleet,
        })
    }

    /// What was promised and is not so.
    pub(crate) fn broken(&self, vehicles: u64) -> Vec<String> {
        let mut broken = Vec::new();
        let mut must = |holds: bool, why: String| {
            broken.extend((!holds).then(|| format!("the sidecar in {}: {why}", self.pod)));
        };
        must(self.plan_bytes.is_some(), "it serves no metrics".to_owned());
        must(
            (1..=40 << 10).contains(&self.resident_kib_max),
            format!("it takes {} KiB, 40 MiB are allowed", self.resident_kib_max),
        );
        if let Some(fleet) = &self.fleet {
            must(fleet.vehicles == vehicles, format!("it tells of {} vehicles", fleet.vehicles));
        }
        broken
    }
}

fn fleet_told(edge: Edge, kubectl: &Kubectl) -> Result<Option<FleetStatus>, ClusterError> {
    let failed = |why: String| ClusterError::Tool { command: "kubectl get controlnodes".to_owned(), why };
    let nodes = kubectl.json(&["get", "controlnodes", "--namespace", NAMESPACE])?;
    let items = nodes.get("items").cloned().unwrap_or_default();
    let nodes: Vec<ControlNode> = serde_json::from_value(items).map_err(|error| failed(error.to_string()))?;
    let node = nodes.into_iter().find(|node| node.metadata.name.as_deref() == Some(edge.name()));
    Ok(node.and_then(|node| node.status).and_then(|status| status.fleet))
}

/// The metrics, asked for over the network of the control plane.
fn metrics(edge: Edge) -> std::io::Result<String> {
    let address = SocketAddr::from((edge.address(), METRICS_PORT));
    let mut stream = TcpStream::connect_timeout(&address, ANSWERS_WITHIN)?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: takt\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Bytes of plans that came, whole and as changes.
fn plan_bytes(metrics: &str) -> Option<[u64; 2]> {
    let of = |form: &str| {
        let name = format!("takt_sidecar_plan_bytes_total{{form=\"{form}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(name.as_str())?.parse().ok())
    };
    Some([of("full")?, of("delta")?])
}

fn resident_kib_max(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> SidecarFacts {
        let fleet = Some(FleetStatus { vehicles: 200, ..FleetStatus::default() });
        SidecarFacts { pod: "takt-0".to_owned(), resident_kib_max: 12 << 10, plan_bytes: Some([1, 2]), fleet }
    }

    #[test]
    fn bytes_are_read_from_metrics() {
        let text = "takt_sidecar_plan_bytes_total{form=\"full\"} 17\ntakt_sidecar_plan_bytes_total{form=\"delta\"} 4\n";
        assert_eq!(plan_bytes(text), Some([17, 4]));
        assert_eq!(plan_bytes("404"), None);
    }

    #[test]
    fn a_sidecar_that_is_large_silent_or_wrong_breaks_a_promise() {
        assert_eq!(facts().broken(200), [""; 0]);
        assert_eq!(facts().broken(4), ["the sidecar in takt-0: it tells of 200 vehicles"]);
        let large = SidecarFacts { resident_kib_max: 41 << 10, plan_bytes: None, ..facts() };
        assert_eq!(large.broken(200).len(), 2);
    }
}
