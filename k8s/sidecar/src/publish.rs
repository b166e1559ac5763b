//! `takt-sidecar publish`: writes a signed plan to a cluster, as a whole and as changes of what its nodes have.
//!
//! # Model
//!
//! Each node's status says which plan it keeps. Those plans are objects of the cluster, too; of the ones that most nodes
//! keep the changes to the new plan stand in its brief. Nothing has to run in the cluster for it, and nodes that have
//! none of them get the plan itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use agent_plan::canonical::Digest;
use agent_plan::document::SignedPlan;
use clap::Args;
use k8s_crd::{Brief, ControlNode, SchedulingPlan, delta_bytes};
use kube::api::{Api, ListParams, PartialObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::beside::read_signed;

/// Plans of which changes are made at most.
const BASES_MAX: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct PublishArguments {
    /// The signed plan, JSON: see `takt plan sign`
    file: PathBuf,
    /// Name of the object [default: the plan's name and epoch]
    #[arg(long)]
    name: Option<String>,
    /// Namespace of the objects
    #[arg(long, env = "POD_NAMESPACE", default_value = "takt")]
    namespace: String,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

/// Publishes it in the cluster of the kubeconfig.
pub(crate) async fn run(arguments: &PublishArguments) -> Result<(), String> {
    let plan = read_signed(&arguments.file)?;
    let client =
        Client::try_default().await.map_err(|error| format!("the cluster's configuration: {error}"))?;
    let failed = |error: kube::Error| format!("namespace {}: {error}", arguments.namespace);
    let nodes: Api<ControlNode> = Api::namespaced(client.clone(), &arguments.namespace);
    let kept = kept(&nodes.list(&ListParams::default()).await.map_err(failed)?.items, &plan);
    let bases = bases(&client, &arguments.namespace, &kept).await.map_err(failed)?;
    let name = arguments.name.clone().unwrap_or_else(|| object_name(&plan));
    let object = Brief::object(&name, &plan, &bases).map_err(|error| error.to_string())?;
    let plans: Api<SchedulingPlan> = Api::namespaced(client, &arguments.namespace);
    let object = plans.create(&PostParams::default(), &object).await.map_err(failed)?;
    let deltas = Brief::of(object.annotations()).map(|brief| brief.deltas).unwrap_or_default();
    if arguments.json {
        let deltas: Vec<_> =
            deltas.iter().map(|delta| json!({ "base": delta.base, "bytes": delta_bytes(delta) })).collect();
        println!("{:#}", json!({ "name": name, "bytes": plan.to_json().len(), "deltas": deltas }));
        return Ok(());
    }
    println!("{name}: plan {}, {} bytes whole", plan.id(), plan.to_json().len());
    for delta in &deltas {
        println!("  {} bytes as the change of {:.8}", delta_bytes(delta), delta.base.to_string());
    }
    Ok(())
}

fn object_name(plan: &SignedPlan) -> String {
    let allowed =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = plan.plan.name.chars().map(allowed).collect();
    format!("{}-{}", name.trim_matches('-'), plan.plan.epoch)
}

/// What the nodes of the plan's site keep, what most of them keep first.
fn kept(nodes: &[ControlNode], plan: &SignedPlan) -> Vec<Digest> {
    let mut counts: BTreeMap<String, (usize, Digest)> = BTreeMap::new();
    let of_site = nodes.iter().filter(|node| node.spec.site == plan.plan.target.site);
    for plans in of_site.filter_map(|node| node.status.as_ref()?.plans.as_ref()) {
        if let Some(digest) = plans.last_known_good.digest {
            counts.entry(digest.to_string()).or_insert((0, digest)).0 += 1;
        }
    }
    let mut kept: Vec<_> = counts.into_values().collect();
    kept.sort_by_key(|(count, _)| core::cmp::Reverse(*count));
    kept.into_iter().map(|(_, digest)| digest).collect()
}

/// Those of them that the cluster has.
async fn bases(client: &Client, namespace: &str, kept: &[Digest]) -> Result<Vec<SignedPlan>, kube::Error> {
    let briefs: Api<PartialObjectMeta<SchedulingPlan>> = Api::namespaced(client.clone(), namespace);
    let plans: Api<SchedulingPlan> = Api::namespaced(client.clone(), namespace);
    let named: BTreeMap<String, String> = briefs
        .list(&ListParams::default())
        .await?
        .items
        .iter()
        .filter_map(|object| {
            Some((Brief::of(object.annotations())?.id.digest.to_string(), object.name_any()))
        })
        .collect();
    let mut bases = Vec::new();
    for name in kept.iter().filter_map(|digest| named.get(&digest.to_string())).take(BASES_MAX) {
        bases.extend(plans.get_opt(name).await?.map(|object| object.spec.into_signed()));
    }
    Ok(bases)
}
