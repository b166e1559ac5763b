//! The pair as it runs in the pods: what its nodes say of themselves.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use agent_plan::wire::{Answer, Ask, PlanStatus, read_frame, write_frame};
use agent_status::Report;
use serde::{Deserialize, Serialize};
use sim_lab::process::beside_this;

use crate::ClusterError;
use crate::deployment::{Deployment, Pod};
use crate::kubectl::{Kubectl, until};
use crate::network::Edge;
use crate::node::Node;

const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// A pod that comes back starts an agent, which joins and gets its peer's state.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);

/// Where an agent is asked about its plans.
#[derive(Debug, Clone)]
pub(crate) struct PlanDoor {
    /// Its pod, or its node.
    pub(crate) name: String,
    /// The folder of its socket.
    pub(crate) folder: PathBuf,
}

/// A pod with the sockets of its agent.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) pod: Pod,
    folder: PathBuf,
}

impl Agent {
    fn of(pod: Pod, nodes: &[Node; 2]) -> Self {
        let folder = node_of(nodes, pod.edge).volume(&pod.uid, "run");
        Self { pod, folder }
    }

    /// What the agent says of itself.
    pub(crate) fn report(&self) -> Result<Report, ClusterError> {
        let failed = |why: String| ClusterError::Agent { pod: self.pod.name.clone(), why };
        let takt = beside_this("takt")?;
        // The whole path is longer than that of a socket may be.
        let output = Command::new(takt)
            .args(["status", "--json", "--socket", "takt.sock"])
            .current_dir(&self.folder)
            .output()
            .map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&output.stdout)
            .map_err(|error| failed(format!("{error}: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    /// What it says of its plans.
    pub(crate) fn plans(&self) -> Result<PlanStatus, ClusterError> {
        self.door().plans()
    }

    /// Where it is asked about them.
    pub(crate) fn door(&self) -> PlanDoor {
        PlanDoor { name: self.pod.name.clone(), folder: self.folder.clone() }
    }
}

impl PlanDoor {
    /// What the agent says of its plans.
    pub(crate) fn plans(&self) -> Result<PlanStatus, ClusterError> {
        let ask = || -> std::io::Result<Answer> {
            let folder = File::open(&self.folder)?;
            let mut stream = UnixStream::connect(format!("/proc/self/fd/{}/plans.sock", folder.as_raw_fd()))?;
            stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
            let (kind, body) = Ask::Status.encode();
            write_frame(&mut stream, kind, &body)?;
            Answer::decode(&read_frame(&mut stream)?).map_err(std::io::Error::other)
        };
        match ask() {
            Ok(Answer::Status(status)) => Ok(*status),
            Ok(_) => Err(ClusterError::Agent {
                pod: self.name.clone(),
                why: "it answered something else".to_owned(),
            }),
            Err(error) => Err(ClusterError::Agent { pod: self.name.clone(), why: error.to_string() }),
        }
    }
}

pub(crate) fn node_of(nodes: &[Node; 2], edge: Edge) -> &Node {
    let [a, b] = nodes;
    match edge {
        Edge::A => a,
        Edge::B => b,
    }
}

/// Both agents, the active one first.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) active: Agent,
    pub(crate) standby: Agent,
}

/// Waits until both run, one is active, and nothing is missing.
pub(crate) fn whole(
    deployment: &Deployment<'_>,
    nodes: &[Node; 2],
    mut meanwhile: impl FnMut() -> Result<(), ClusterError>,
) -> Result<Pair, ClusterError> {
    let mut lacks = String::new();
    let found = until("a whole pair", WHOLE_WITHIN, || {
        meanwhile()?;
        match look(deployment, nodes) {
            Ok(pair) => Ok(Some(pair)),
            Err(why) => {
                lacks = why.to_string();
                Ok(None)
            }
        }
    });
    found.map_err(|error| match error {
        ClusterError::Late { what, .. } => ClusterError::Late { what, why: lacks },
        other => other,
    })
}

fn look(deployment: &Deployment<'_>, nodes: &[Node; 2]) -> Result<Pair, ClusterError> {
    let pods = deployment.pods()?;
    let lacking = |why: String| ClusterError::Late { what: "the pair".to_owned(), why };
    if pods.len() != 2 || pods.iter().any(|pod| pod.ends || !pod.ready) {
        let names: Vec<String> =
            pods.iter().map(|pod| format!("{} ready={} ends={}", pod.name, pod.ready, pod.ends)).collect();
        return Err(lacking(format!("pods: {}", names.join(", "))));
    }
    let (mut active, mut standby) = (None, None);
    for pod in pods {
        let agent = Agent::of(pod, nodes);
        let report = agent.report()?;
        let Some(pair) = &report.pair else { return Err(lacking("an agent runs alone".to_owned())) };
        let online = report.devices.iter().all(agent_status::Device::is_online);
        let complete = pair.peer_heard && pair.arbiter_reached && pair.links.iter().all(|link| link.heard);
        let follows = pair.role != "standby" || pair.replica_cycle > 0;
        if !online || !complete || !follows {
            return Err(lacking(format!(
                "{}: {} and {}",
                agent.pod.name,
                pair.role,
                pair.degraded.join("; ")
            )));
        }
        match pair.role.as_str() {
            "active" => active = Some(agent),
            "standby" => standby = Some(agent),
            other => return Err(lacking(format!("{} is {other}", agent.pod.name))),
        }
    }
    match (active, standby) {
        (Some(active), Some(standby)) => Ok(Pair { active, standby }),
        _ => Err(lacking("no node, or both, are active".to_owned())),
    }
}

/// A pod as it was found: what Kubernetes says, and what the kernel gave.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PodFacts {
    pub(crate) pod: String,
    pub(crate) node: &'static str,
    pub(crate) qos: String,
    /// Scheduling policy of the control thread, read back.
    pub(crate) policy: String,
    pub(crate) priority: i32,
    /// Cores that it may run on.
    pub(crate) cores: Vec<usize>,
    /// The one core, if it is one.
    pub(crate) core: Option<usize>,
    pub(crate) locked_kib: u64,
    /// `fenced` where the kernel holds back writes without a lease.
    pub(crate) profile: String,
    pub(crate) role: String,
    pub(crate) restarts: u64,
    /// What the agent misses.
    pub(crate) degraded: Vec<String>,
    /// What `takt doctor` says inside the pod, other than that all is well.
    pub(crate) doctor: Vec<DoctorLine>,
}

/// A finding of the doctor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DoctorLine {
    pub(crate) check: String,
    pub(crate) status: String,
    pub(crate) found: String,
}

#[derive(Debug, Deserialize)]
struct Doctor {
    findings: Vec<DoctorLine>,
}

impl PodFacts {
    pub(crate) fn of(agent: &Agent, kubectl: &Kubectl) -> Result<Self, ClusterError> {
        let report = agent.report()?;
        let pair = report.pair.unwrap_or_default();
        let text = kubectl.exec(&agent.pod.name, "agent", &["/takt", "doctor", "--json"])?;
        let doctor: Doctor = serde_json::from_str(&text).map_err(|error| ClusterError::Agent {
            pod: agent.pod.name.clone(),
            why: format!("its doctor: {error}: {text}"),
        })?;
        let thread = report.groups.into_iter().next().map(|group| group.thread).unwrap_or_default();
        Ok(Self {
            pod: agent.pod.name.clone(),
            node: agent.pod.edge.name(),
            qos: agent.pod.qos.clone(),
            policy: thread.policy,
            priority: thread.priority,
            core: <[usize; 1]>::try_from(thread.cores.as_slice()).ok().map(|[core]| core),
            cores: thread.cores,
            locked_kib: report.realtime.locked_kib,
            profile: pair.profile,
            role: pair.role,
            restarts: agent.pod.restarts,
            degraded: [report.realtime.degraded, pair.degraded].concat(),
            doctor: doctor.findings.into_iter().filter(|line| line.status != "ok").collect(),
        })
    }
}
