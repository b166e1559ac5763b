//! The sidecar at work: looks at agent and clusters, and does what the step says.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use agent_plan::document::SignedPlan;
use agent_plan::wire::{FleetStatus, Node, PlanEntry, PlanStatus, Verdict};
use agent_plan::{PlanId, Reason, Refusal};
use k8s_crd::{PlanSync, delta_bytes};
use tokio::sync::Notify;

use crate::agent::Agent;
use crate::cluster::Cluster;
use crate::door::Shared;
use crate::report::{Link, Report, StatusBytes};
use crate::shelf::Way;
use crate::step::{Place, Sidecar, View, Wait, id_of, is_known};
use crate::wall_clock;

/// Plans of which it is remembered where they came from.
const SOURCES_MAX: usize = 16;
/// The fleet's numbers change all the time, and nothing waits for them.
const FLEET_INTERVAL: Duration = Duration::from_secs(5);

/// The agent, and what is known about it.
pub(crate) struct Beside {
    agent: Agent,
    sidecar: Sidecar,
    place: Place,
    link: Link,
    last_heard: Option<agent_plan::document::UtcTime>,
    sync: PlanSync,
    fleet: Option<FleetStatus>,
    fleet_asked: Option<Instant>,
    /// Changes of plans that were refused here.
    bad_deltas: u64,
    /// Where plans were offered from, the newest last; and whether they came as changes, under which name.
    sources: Vec<(PlanId, &'static str)>,
    by_delta: Option<(PlanId, &'static str, String)>,
    shared: Shared,
    /// Woken when a look made something that the next one goes on with.
    news: Arc<Notify>,
}

impl Beside {
    pub(crate) fn new(agent: Agent, place: Place, shared: Shared, news: Arc<Notify>) -> Self {
        Self {
            agent,
            sidecar: Sidecar::new(place.clone()),
            place,
            link: Link::default(),
            last_heard: None,
            sync: PlanSync::default(),
            fleet: None,
            fleet_asked: None,
            bad_deltas: 0,
            sources: Vec::new(),
            by_delta: None,
            shared,
            news,
        }
    }

    /// One look at everything, and what follows from it.
    pub(crate) fn look(&mut self, clusters: &[Cluster]) {
        let agent = match self.agent.status() {
            Ok(status) => Some(status),
            Err(why) => {
                tracing::debug!(%why, "the agent does not answer");
                None
            }
        };
        let now = wall_clock();
        self.link.note(agent.is_some(), self.last_heard, now);
        if let Some(agent) = &agent {
            self.last_heard = Some(now);
            for cluster in clusters {
                cluster.shelf(|shelf| {
                    shelf.forget_below(agent.last_known_good.epoch);
                    on_disk(agent).for_each(|id| shelf.drop_body(id));
                });
            }
        }
        self.look_at_fleet(agent.as_ref());
        // What the edge cluster says of a node counts more than what the centre says.
        let mut others = std::collections::BTreeMap::new();
        clusters.iter().rev().for_each(|cluster| others.extend(cluster.nodes()));
        others.remove(&self.place.node);
        let plans = clusters.iter().flat_map(Cluster::heads).collect();
        let view = View { plans, others, agent, fleet: self.fleet };
        // The last cluster is the centre.
        if clusters.last().is_some_and(Cluster::is_reached) {
            let _ = self.agent.centre_seen();
        }
        let decision = self.sidecar.step(&view);
        if let Some(epoch) = decision.rollback {
            match self.agent.roll_back(epoch) {
                Ok(verdict) => tracing::warn!(epoch, ?verdict, "given up: it failed on too many other nodes"),
                Err(why) => tracing::warn!(%why, "a plan could not be given up"),
            }
        }
        if let Some(id) = decision.offer {
            self.offer(id, clusters);
        }
        if let Some(agent) = &view.agent {
            clusters.iter().for_each(|cluster| self.bring(cluster, agent, decision.offer));
        }
        let status = self.sidecar.status(&view, &decision.waits, &self.sync, now);
        clusters.iter().for_each(|cluster| cluster.tell(&status));
        self.show(clusters, view.agent.as_ref(), &decision.waits);
    }

    /// Asks for the fleet now and then; whoever is silent, or only follows, leads none.
    fn look_at_fleet(&mut self, agent: Option<&PlanStatus>) {
        if agent.is_none_or(|agent| agent.role == Node::Standby) {
            (self.fleet, self.fleet_asked) = (None, None);
        } else if self.fleet_asked.is_none_or(|at| at.elapsed() >= FLEET_INTERVAL) {
            (self.fleet, self.fleet_asked) = (self.agent.fleet(), Some(Instant::now()));
        }
    }

    fn offer(&mut self, id: PlanId, clusters: &[Cluster]) {
        let found =
            clusters.iter().find_map(|cluster| Some((cluster, cluster.shelf(|shelf| shelf.body(id))?)));
        let Some((cluster, json)) = found else { return };
        let verdict = match self.agent.offer(&json) {
            Ok(verdict) => verdict,
            Err(why) => {
                tracing::warn!(%why, "a plan could not be offered");
                return;
            }
        };
        tracing::info!(plan = %id, ?verdict, "offered");
        match &verdict {
            // It may be the change that is wrong.
            Verdict::Refused { refusal } if is_of_form(refusal) && self.came_by_delta(id) => {
                self.refuse_delta(clusters, refusal);
            }
            Verdict::Refused { .. } => {
                self.sidecar.heard(id, &verdict);
                clusters.iter().for_each(|cluster| cluster.shelf(|shelf| shelf.drop_body(id)));
            }
            Verdict::Taken { .. } => {
                self.sidecar.heard(id, &verdict);
                self.sources.retain(|(known, _)| *known != id);
                self.sources.push((id, cluster.name));
                if self.sources.len() > SOURCES_MAX {
                    self.sources.remove(0);
                }
            }
        }
    }

    fn came_by_delta(&self, id: PlanId) -> bool {
        self.by_delta.as_ref().is_some_and(|(known, _, _)| *known == id)
    }

    /// What came out of a change is no plan for the agent: the whole one has to come.
    fn refuse_delta(&mut self, clusters: &[Cluster], refusal: &Refusal) {
        let Some((_, cluster, name)) = self.by_delta.take() else { return };
        if let Some(cluster) = clusters.iter().find(|one| one.name == cluster) {
            cluster.shelf(|shelf| shelf.distrust(&name));
        }
        self.note_bad_delta(
            Reason::BadDelta.because(format!("what comes out of the change of {name}: {refusal}")),
        );
    }

    fn note_bad_delta(&mut self, refusal: Refusal) {
        tracing::warn!(%refusal, "a change of a plan is refused; the plan comes whole");
        self.bad_deltas += 1;
        self.sync.last_refusal = Some(refusal);
    }

    /// Has the next plan come from a cluster, by the cheapest way.
    fn bring(&mut self, cluster: &Cluster, agent: &PlanStatus, offer: Option<PlanId>) {
        if let Some(fetched) = cluster.fetched() {
            self.sync.whole += 1;
            self.sync.bytes_full += fetched.bytes;
            match fetched.plan {
                Some(plan) => self.keep(cluster, &fetched.name, &plan, offer),
                None => {
                    tracing::warn!(cluster = cluster.name, name = fetched.name, "the object holds no plan");
                    cluster.shelf(|shelf| shelf.give_up(&fetched.name));
                }
            }
        }
        let Some(want) = cluster.want(agent, offer) else { return };
        match want.way {
            Way::Agent(id) => match self.agent.plan(id) {
                Some(plan) => self.keep(cluster, &want.name, &plan, None),
                None => cluster.fetch(&want.name),
            },
            Way::Whole { base_missing } => {
                self.sync.base_missing = base_missing;
                if base_missing.is_some() {
                    self.sync.last_refusal = None;
                }
                cluster.fetch(&want.name);
            }
            Way::Delta(base, delta) => {
                let Some(base) = self.agent.plan(base) else {
                    // An agent that does not give its plans away, or has lost this one.
                    self.sync.base_missing = Some(delta.base);
                    cluster.fetch(&want.name);
                    return;
                };
                self.sync.bytes_delta += u64::try_from(delta_bytes(&delta)).unwrap_or(0);
                match delta.apply(&base) {
                    Ok(plan) => {
                        self.sync.delta += 1;
                        (self.sync.base_missing, self.sync.last_refusal) = (None, None);
                        self.by_delta = Some((plan.id(), cluster.name, want.name.clone()));
                        self.keep(cluster, &want.name, &plan, offer);
                    }
                    Err(error) => {
                        cluster.shelf(|shelf| shelf.distrust(&want.name));
                        self.note_bad_delta(error.into());
                    }
                }
            }
        }
    }

    /// A plan has come; the next look decides on it.
    fn keep(&self, cluster: &Cluster, name: &str, plan: &SignedPlan, offer: Option<PlanId>) {
        cluster.shelf(|shelf| shelf.take(name, plan, offer));
        self.news.notify_one();
    }

    /// Makes the report that others are told.
    fn show(&self, clusters: &[Cluster], agent: Option<&PlanStatus>, waits: &Wait) {
        let mut report = Report {
            site: self.place.site.clone(),
            node: self.place.node.clone(),
            running: true,
            agent: self.link,
            waits: waits.to_string(),
            plans: self.sync.clone(),
            ..Report::default()
        };
        if agent.is_none() {
            report.degraded.push("the agent does not answer".to_owned());
        }
        let mut status = StatusBytes::default();
        for cluster in clusters {
            let (cluster, bytes) = cluster.report();
            status.full += bytes.full;
            status.delta += bytes.delta;
            status.instead_of += bytes.instead_of;
            status.writes += bytes.writes;
            if !cluster.link.reached {
                report.degraded.push(format!("the {} cluster is not reached", cluster.name));
            }
            report.clusters.push(cluster);
        }
        report.status = status;
        if let Some(agent) = agent {
            report.of_agent(agent, |entry| self.source(clusters, entry));
            report.note_fleet(self.fleet);
        }
        if let Wait::Refused(_) | Wait::Failures(_) = waits {
            report.degraded.push(format!("the newest plan: {waits}"));
        }
        if self.bad_deltas > 0 {
            report.refused.insert(Reason::BadDelta.as_str().to_owned(), self.bad_deltas);
        }
        if let Some(refusal) = &self.sync.last_refusal {
            report.last_refusal = Some(refusal.clone());
        }
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    fn source(&self, clusters: &[Cluster], entry: &PlanEntry) -> String {
        let Some(id) = id_of(entry) else { return "node".to_owned() };
        let offered = self.sources.iter().find(|(known, _)| *known == id).map(|(_, name)| *name);
        let holder = || clusters.iter().find(|cluster| cluster.shelf(|shelf| shelf.holds(id)));
        offered.or_else(|| holder().map(|cluster| cluster.name)).unwrap_or("node").to_owned()
    }
}

/// What the agent has and nobody need offer it.
fn on_disk(agent: &PlanStatus) -> impl Iterator<Item = PlanId> {
    let entries = [Some(&agent.in_force), agent.staged.as_ref(), agent.given_up.as_ref()];
    entries.into_iter().flatten().filter_map(id_of).filter(|id| is_known(agent, *id))
}

/// Whether a refusal is about the document, not about what it asks for.
fn is_of_form(refusal: &Refusal) -> bool {
    matches!(
        refusal.reason,
        Reason::Oversized
            | Reason::Malformed
            | Reason::UnknownField
            | Reason::Unsigned
            | Reason::UnknownKey
            | Reason::BadSignature
            | Reason::BadDigest
    )
}

/// A plan from a file, as it was signed.
pub(crate) fn read_signed(path: &std::path::Path) -> Result<SignedPlan, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let json = std::fs::read(path).map_err(|error| failed(&error))?;
    SignedPlan::from_json(&json)
        .map_err(|refusal| failed(&format!("{refusal}; sign it with `takt plan sign`")))
}
