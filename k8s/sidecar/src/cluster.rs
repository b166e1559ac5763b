//! A cluster as the sidecar sees it: its plans and nodes are watched, and what was last seen of them stays when the
//! cluster is gone.
//!
//! Of plans the metadata alone are watched; see [`crate::shelf`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_plan::PlanId;
use agent_plan::document::{SignedPlan, UtcTime};
use agent_plan::wire::PlanStatus;
use futures_util::{StreamExt, pin_mut};
use k8s_crd::{Brief, ControlNode, ControlNodeSpec, ControlNodeStatus, SchedulingPlan};
use kube::api::{Api, ObjectMeta, PartialObjectMeta, Patch, PatchParams};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::report::{ClusterReport, Link, StatusBytes};
use crate::shelf::{Head, Shelf, Want};
use crate::step::Place;
use crate::tell::{Change, change};
use crate::wall_clock;

/// The name under which the sidecar owns its fields.
const FIELD_MANAGER: &str = "takt-sidecar";
/// How often the server is asked whether it is there: a watch is silent for minutes, and a plan's rules for the loss
/// of the centre count in seconds.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// One that was silent for so long, two probes, is gone.
const SEEN_WITHIN: Duration = Duration::from_secs(12);
/// What did not come is asked for again after so long.
const FETCH_PAUSE: Duration = Duration::from_secs(1);
/// A plan that takes longer will not come.
const FETCH_WITHIN: Duration = Duration::from_secs(60);
/// A status is written at most so often.
const STATUS_PAUSE: Duration = Duration::from_millis(500);
/// So often the cluster is asked for what it has of this node, so that one that lost it has it back.
const OWN_INTERVAL: Duration = Duration::from_secs(60);

/// What was last seen.
#[derive(Debug, Default)]
struct Seen {
    plans: Shelf,
    nodes: BTreeMap<String, PlanStatus>,
    /// The status of this node as the cluster has it; none if it has none.
    own: Option<ControlNodeStatus>,
    /// When the cluster was asked for it.
    own_asked: Option<Instant>,
    heard: Option<(Instant, UtcTime)>,
    link: Link,
    /// A plan is on its way, or may not be asked for before then.
    fetching: Option<Instant>,
    fetched: Option<Fetched>,
    /// A status is on its way, or was written then.
    telling: bool,
    told: Option<Instant>,
    status: StatusBytes,
}

/// A whole plan that came.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The object.
    pub(crate) name: String,
    /// The plan; none if the object holds none.
    pub(crate) plan: Option<SignedPlan>,
    /// Bytes that it took.
    pub(crate) bytes: u64,
}

/// A cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) name: &'static str,
    client: Client,
    namespace: String,
    place: Place,
    seen: Arc<Mutex<Seen>>,
    /// Woken when there is something new to look at.
    news: Arc<Notify>,
}

impl Cluster {
    pub(crate) fn new(
        name: &'static str,
        client: Client,
        namespace: &str,
        place: &Place,
        news: Arc<Notify>,
    ) -> Self {
        let (namespace, place) = (namespace.to_owned(), place.clone());
        Self { name, client, namespace, place, seen: Arc::default(), news }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Seen) -> R) -> R {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it was heard lately.
    pub(crate) fn is_reached(&self) -> bool {
        self.with(|seen| seen.heard.is_some_and(|(at, _)| at.elapsed() < SEEN_WITHIN))
    }

    /// What is there to say of it.
    pub(crate) fn report(&self) -> (ClusterReport, StatusBytes) {
        let reached = self.is_reached();
        self.with(|seen| {
            seen.link.note(reached, seen.heard.map(|(_, wall)| wall), wall_clock());
            let (name, plans) = (self.name.to_owned(), seen.plans.len());
            (ClusterReport { name, link: seen.link, plans }, seen.status)
        })
    }

    /// Plans as far as they can be decided on.
    pub(crate) fn heads(&self) -> Vec<Arc<Head>> {
        self.with(|seen| seen.plans.heads().cloned().collect())
    }

    /// Does something with the plans that are known.
    pub(crate) fn shelf<R>(&self, act: impl FnOnce(&mut Shelf) -> R) -> R {
        self.with(|seen| act(&mut seen.plans))
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
                self.with(Seen::hear);
            }
        }
    }

    /// Watches for ever; what fails is tried again, more and more seldom.
    pub(crate) async fn watch(self) {
        let plans: Api<PartialObjectMeta<SchedulingPlan>> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let nodes: Api<ControlNode> = Api::namespaced(self.client.clone(), &self.namespace);
        // What this node says comes back from each write: it need not come by the watch, too.
        let but_own = watcher::Config::default().fields(&format!("metadata.name!={}", self.place.node));
        let plans = watch(plans, watcher::Config::default()).default_backoff();
        let nodes = watch(nodes, but_own).default_backoff();
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

    fn take_plan(&self, event: Event<PartialObjectMeta<SchedulingPlan>>) {
        self.with(|seen| {
            seen.hear_of(&event);
            match event {
                Event::Apply(plan) | Event::InitApply(plan) => {
                    let made = plan.creation_timestamp().map(|time| time.0.to_string()).unwrap_or_default();
                    let uid = plan.uid().unwrap_or_default();
                    seen.plans.note(&plan.name_any(), &uid, &made, Brief::of(plan.annotations()));
                }
                Event::Delete(plan) => seen.plans.remove(&plan.name_any()),
                Event::Init | Event::InitDone => {}
            }
        });
        self.news.notify_one();
    }

    fn take_node(&self, event: Event<ControlNode>) {
        self.with(|seen| {
            seen.hear_of(&event);
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
        self.news.notify_one();
    }

    /// What has to come next from here, if nothing is on its way.
    pub(crate) fn want(&self, agent: &PlanStatus, offer: Option<PlanId>) -> Option<Want> {
        self.with(|seen| {
            let is_idle = seen.fetched.is_none() && seen.fetching.is_none_or(|until| Instant::now() >= until);
            if is_idle { seen.plans.want(&self.place, agent, offer) } else { None }
        })
    }

    /// Asks for a whole plan; see [`Cluster::fetched`].
    pub(crate) fn fetch(&self, name: &str) {
        self.with(|seen| seen.fetching = Some(Instant::now() + FETCH_WITHIN));
        let (cluster, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            let answer = tokio::time::timeout(FETCH_WITHIN, cluster.whole(&name)).await;
            cluster.with(|seen| match answer {
                Ok(Ok((plan, bytes))) => {
                    seen.hear();
                    (seen.fetching, seen.fetched) = (None, Some(Fetched { name, plan, bytes }));
                }
                Ok(Err(kube::Error::Api(error))) if error.code == 404 => {
                    seen.fetching = None;
                    seen.plans.remove(&name);
                }
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!(cluster = cluster.name, name, "a plan did not come");
                    seen.fetching = Some(Instant::now() + FETCH_PAUSE);
                }
            });
            cluster.news.notify_one();
        });
    }

    /// A whole plan that has come.
    pub(crate) fn fetched(&self) -> Option<Fetched> {
        self.with(|seen| seen.fetched.take())
    }

    async fn whole(&self, name: &str) -> Result<(Option<SignedPlan>, u64), kube::Error> {
        let path =
            format!("/apis/{}/v1alpha1/namespaces/{}/schedulingplans/{name}", k8s_crd::GROUP, self.namespace);
        let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        // The text and not the object: its bytes are counted, and what is not a plan is not read as one.
        let text = self.client.request_text(request).await?;
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let plan = serde_json::from_str::<SchedulingPlan>(&text).ok().map(|object| object.spec.into_signed());
        Ok((plan, bytes))
    }

    /// Has the cluster know how the node is, if that is not what it has.
    pub(crate) fn tell(&self, status: &ControlNodeStatus) {
        if self.with(|seen| !seen.telling && seen.own_asked.is_none_or(|at| at.elapsed() >= OWN_INTERVAL)) {
            self.ask_own();
            return;
        }
        let todo = self.with(|seen| {
            let is_due = !seen.telling && seen.told.is_none_or(|at| at.elapsed() >= STATUS_PAUSE);
            let has = seen.own.as_ref();
            let todo = if is_due { change(has, status) } else { None };
            seen.telling |= todo.is_some();
            todo.map(|todo| (todo, has.is_none()))
        });
        let Some((todo, is_first)) = todo else { return };
        let instead_of = bytes_of(&json!(status));
        let cluster = self.clone();
        // It must not keep the agent from its plans.
        tokio::spawn(async move {
            let written = cluster.write(&todo).await;
            cluster.with(|seen| {
                (seen.telling, seen.told) = (false, Some(Instant::now()));
                match written {
                    Ok(()) => {
                        let bytes =
                            [&todo.fields, &todo.conditions].into_iter().flatten().map(bytes_of).sum::<u64>();
                        seen.status.writes += 1;
                        if is_first {
                            seen.status.full += bytes;
                        } else {
                            seen.status.delta += bytes;
                            seen.status.instead_of += instead_of;
                        }
                    }
                    Err(error) => tracing::debug!(%error, "the status is not told"),
                }
            });
        });
    }

    /// Asks what the cluster has of this node.
    fn ask_own(&self) {
        self.with(|seen| seen.telling = true);
        let cluster = self.clone();
        tokio::spawn(async move {
            let nodes: Api<ControlNode> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
            let answer = nodes.get_opt(&cluster.place.node).await;
            cluster.with(|seen| {
                seen.telling = false;
                match answer {
                    Ok(node) => {
                        seen.own_asked = Some(Instant::now());
                        seen.own = node.map(|node| node.status.unwrap_or_default());
                    }
                    // Not at once again.
                    Err(_) => seen.own_asked = (Instant::now() + FETCH_PAUSE).checked_sub(OWN_INTERVAL),
                }
            });
        });
    }

    /// Writes a change; makes the node's object if there is none. Only fields of this sidecar are touched.
    async fn write(&self, todo: &Change) -> Result<(), kube::Error> {
        let nodes: Api<ControlNode> = Api::namespaced(self.client.clone(), &self.namespace);
        let node = self.place.node.as_str();
        match self.write_to(&nodes, todo).await {
            Err(kube::Error::Api(error)) if error.code == 404 => {
                self.with(|seen| seen.own = None);
                let ours = PatchParams::apply(FIELD_MANAGER).force();
                let metadata = ObjectMeta { name: Some(node.to_owned()), ..ObjectMeta::default() };
                let spec = ControlNodeSpec { site: self.place.site.clone() };
                let bare = ControlNode { metadata, spec, status: None };
                nodes.patch(node, &ours, &Patch::Apply(&bare)).await?;
                self.write_to(&nodes, todo).await
            }
            written => written,
        }
    }

    async fn write_to(&self, nodes: &Api<ControlNode>, todo: &Change) -> Result<(), kube::Error> {
        let node = self.place.node.as_str();
        if let Some(fields) = &todo.fields {
            let ours =
                PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            let patch = Patch::Merge(json!({ "status": fields }));
            let now = nodes.patch_status(node, &ours, &patch).await?;
            self.with(|seen| seen.own = Some(now.status.unwrap_or_default()));
        }
        if let Some(conditions) = &todo.conditions {
            let ours = PatchParams::apply(FIELD_MANAGER).force();
            let patch = Patch::Apply(json!({
                "apiVersion": format!("{}/v1alpha1", k8s_crd::GROUP), "kind": "ControlNode",
                "metadata": { "name": node }, "status": { "conditions": conditions },
            }));
            let now = nodes.patch_status(node, &ours, &patch).await?;
            self.with(|seen| seen.own = Some(now.status.unwrap_or_default()));
        }
        Ok(())
    }
}

fn bytes_of(value: &Value) -> u64 {
    u64::try_from(value.to_string().len()).unwrap_or(u64::MAX)
}

impl Seen {
    fn hear(&mut self) {
        self.heard = Some((Instant::now(), wall_clock()));
    }

    /// The beginning of a list is said by the library when it is asked for, whether or not somebody answers.
    fn hear_of<K>(&mut self, event: &Event<K>) {
        if !matches!(event, Event::Init) {
            self.hear();
        }
    }
}
