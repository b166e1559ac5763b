//! A cluster as the sidecar sees it: its plans and nodes are watched, and what was last seen of them stays when the
//! cluster is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_plan::wire::PlanStatus;
use futures_util::{StreamExt, pin_mut};
use k8s_crd::{ControlNode, ControlNodeSpec, ControlNodeStatus, SchedulingPlan, SchedulingPlanSpec};
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, ResourceExt};
use tokio::time::MissedTickBehavior;

/// The name under which the sidecar owns its fields.
const FIELD_MANAGER: &str = "takt-sidecar";
/// How often the server is asked whether it is there: a watch is silent for minutes, and a plan's rules for the loss
/// of the centre count in seconds.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// One that was silent for so long, two probes, is gone.
const SEEN_WITHIN: Duration = Duration::from_secs(12);

/// What was last seen.
#[derive(Debug, Default)]
struct Seen {
    plans: BTreeMap<String, SchedulingPlanSpec>,
    nodes: BTreeMap<String, PlanStatus>,
    at: Option<Instant>,
}

/// A cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    name: &'static str,
    client: Client,
    namespace: String,
    seen: Arc<Mutex<Seen>>,
}

impl Cluster {
    pub(crate) fn new(name: &'static str, client: Client, namespace: &str) -> Self {
        Self { name, client, namespace: namespace.to_owned(), seen: Arc::default() }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Seen) -> R) -> R {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it was heard lately.
    pub(crate) fn is_reached(&self) -> bool {
        self.with(|seen| seen.at.is_some_and(|at| at.elapsed() < SEEN_WITHIN))
    }

    pub(crate) fn plans(&self) -> Vec<SchedulingPlanSpec> {
        self.with(|seen| seen.plans.values().cloned().collect())
    }

    /// Forgets plans below an epoch: no agent that keeps a newer one ever takes them, and a cluster may hold thousands.
    pub(crate) fn forget_plans_below(&self, epoch: u32) {
        self.with(|seen| seen.plans.retain(|_, spec| spec.plan.epoch >= epoch));
    }

    pub(crate) fn nodes(&self) -> BTreeMap<String, PlanStatus> {
        self.with(|seen| seen.nodes.clone())
    }

    /// Asks for ever whether the server is there: for its version, which every identity may read.
    pub(crate) async fn probe(self) {
        let mut probes = tokio::time::interval(PROBE_INTERVAL);
        probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            probes.tick().await;
            let answer = tokio::time::timeout(PROBE_INTERVAL, self.client.apiserver_version()).await;
            if matches!(answer, Ok(Ok(_))) {
                self.with(|seen| seen.at = Some(Instant::now()));
            }
        }
    }

    /// Watches for ever; what fails is tried again, more and more seldom.
    pub(crate) async fn watch(self) {
        let plans: Api<SchedulingPlan> = Api::namespaced(self.client.clone(), &self.namespace);
        let nodes: Api<ControlNode> = Api::namespaced(self.client.clone(), &self.namespace);
        let settings = watcher::Config::default;
        let plans = watch(plans, settings()).default_backoff();
        let nodes = watch(nodes, settings()).default_backoff();
        pin_mut!(plans, nodes);
        loop {
            tokio::select! {
                Some(event) = plans.next() => match event {
                    Ok(event) => self.take_plan(event),
                    Err(error) => tracing::warn!(cluster = self.name, %error, "plans are not seen"),
                },
                Some(event) = nodes.next() => match event {
                    Ok(event) => self.take_node(event),
                    Err(error) => tracing::warn!(cluster = self.name, %error, "nodes are not seen"),
                },
                else => return,
            }
        }
    }

    fn take_plan(&self, event: Event<SchedulingPlan>) {
        self.with(|seen| {
            seen.at = Some(Instant::now());
            match event {
                Event::Apply(plan) | Event::InitApply(plan) => {
                    seen.plans.insert(plan.name_any(), plan.spec);
                }
                Event::Delete(plan) => {
                    seen.plans.remove(&plan.name_any());
                }
                Event::Init | Event::InitDone => {}
            }
        });
    }

    fn take_node(&self, event: Event<ControlNode>) {
        self.with(|seen| {
            seen.at = Some(Instant::now());
            match event {
                Event::Apply(node) | Event::InitApply(node) => {
                    if let Some(plans) = node.status.as_ref().and_then(|status| status.plans.clone()) {
                        seen.nodes.insert(node.name_any(), plans);
                    }
                }
                Event::Delete(node) => {
                    seen.nodes.remove(&node.name_any());
                }
                Event::Init | Event::InitDone => {}
            }
        });
    }

    /// Says how the node is; makes its object if there is none. Only fields of this sidecar are touched.
    pub(crate) async fn tell(
        &self,
        node: &str,
        site: &str,
        status: &ControlNodeStatus,
    ) -> Result<(), kube::Error> {
        let nodes: Api<ControlNode> = Api::namespaced(self.client.clone(), &self.namespace);
        let ours = PatchParams::apply(FIELD_MANAGER).force();
        let metadata = ObjectMeta { name: Some(node.to_owned()), ..ObjectMeta::default() };
        let object = ControlNode {
            metadata,
            spec: ControlNodeSpec { site: site.to_owned() },
            status: Some(status.clone()),
        };
        match nodes.patch_status(node, &ours, &Patch::Apply(&object)).await {
            Err(kube::Error::Api(error)) if error.code == 404 => {
                let bare = ControlNode { status: None, ..object.clone() };
                nodes.patch(node, &ours, &Patch::Apply(&bare)).await?;
                nodes.patch_status(node, &ours, &Patch::Apply(&object)).await.map(|_| ())
            }
            told => told.map(|_| ()),
        }
    }
}
