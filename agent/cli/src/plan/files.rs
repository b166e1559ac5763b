//! Plan files, and which kind each is.

use std::path::Path;

use agent_plan::document::{SIGNED_BYTES_MAX, SchedulingPlan, SignedPlan};
use agent_plan::{CheckedPlan, KEY_FILE_BYTES_MAX, TrustedKeys};
use hal_diagnostics::Document;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{PlanError, local};

/// A plan file.
pub(super) enum PlanFile {
    /// A site's own plan.
    Local(Document),
    /// A scheduling plan that is not signed.
    Bare(SchedulingPlan),
    /// A signed one.
    Signed(SignedPlan),
}

/// What tells the kinds apart.
#[derive(Deserialize)]
struct Probe {
    target: Option<IgnoredAny>,
    plan: Option<IgnoredAny>,
}

/// Reads a plan file of any kind. Meaning is not looked at.
pub(super) fn read(path: &Path) -> Result<PlanFile, PlanError> {
    let document = Document::read_at_most(path, SIGNED_BYTES_MAX as u64)?;
    let json = document.text().as_bytes();
    if json.trim_ascii_start().starts_with(b"{") {
        let probe: Probe = serde_json::from_slice(json)
            .map_err(|error| PlanError::file(path, format!("malformed: {error}")))?;
        let read = if probe.plan.is_some() {
            SignedPlan::from_json(json).map(PlanFile::Signed)
        } else {
            SchedulingPlan::from_json(json).map(PlanFile::Bare)
        };
        return read.map_err(|refusal| PlanError::file(path, refusal));
    }
    let probe: Probe = document.parse()?;
    if probe.target.is_some() { Ok(PlanFile::Bare(document.parse()?)) } else { Ok(PlanFile::Local(document)) }
}

/// The scheduling plan in a file, whether it is signed or not.
pub(super) fn read_scheduling(path: &Path) -> Result<SchedulingPlan, PlanError> {
    match read(path)? {
        PlanFile::Bare(plan) => Ok(plan),
        PlanFile::Signed(signed) => Ok(signed.plan),
        PlanFile::Local(_) => {
            Err(PlanError::file(path, "a site's own plan; give a scheduling plan, which has a `target`"))
        }
    }
}

/// `takt plan check`.
pub(super) fn check(path: &Path, keys: Option<&Path>, json: bool) -> Result<u8, PlanError> {
    let (plan, signed) = match read(path)? {
        PlanFile::Local(document) => return local::check(&document, json).map_err(PlanError::Text),
        PlanFile::Bare(plan) => (plan, None),
        PlanFile::Signed(signed) => (signed.plan.clone(), Some(signed)),
    };
    let refused = |refusal| PlanError::file(path, refusal);
    let checked = CheckedPlan::of(&plan).map_err(refused)?;
    if let Some(folder) = keys {
        let signed = signed.as_ref().ok_or_else(|| PlanError::file(path, "unsigned: sign it first"))?;
        read_keys(folder)?.verify(signed).map_err(refused)?;
    } else if let Some(signed) = &signed
        && signed.digest != checked.id.digest
    {
        return Err(PlanError::file(path, format!("bad-digest: the plan's digest is {}", checked.id.digest)));
    }
    let key = signed.as_ref().and_then(|signed| signed.signature.as_ref()).map(|by| by.key_id.as_str());
    if json {
        println!(
            "{:#}",
            serde_json::json!({
                "name": plan.name,
                "epoch": plan.epoch,
                "digest": checked.id.digest,
                "keyId": key,
                "verified": keys.is_some(),
                "plan": plan,
            })
        );
    } else {
        print(&checked, key, keys.is_some());
    }
    Ok(0)
}

fn print(plan: &CheckedPlan, key: Option<&str>, verified: bool) {
    println!("plan `{}`, epoch {}, for the site {}", plan.name, plan.id.epoch, plan.site);
    println!("  digest {}", plan.id.digest);
    match (key, verified) {
        (None, _) => println!("  not signed"),
        (Some(key), true) => println!("  signed with the key {key}, which is trusted"),
        (Some(key), false) => println!("  signed with the key {key}; not verified: give --keys"),
    }
    let nodes = if plan.nodes.is_empty() { "all".to_owned() } else { plan.nodes.join(", ") };
    println!("  nodes: {nodes}; trial of {:?}", plan.soak);
    for demand in &plan.demands {
        let limit = demand
            .power_limit
            .map_or_else(|| "rated power".to_owned(), |limit| format!("{} kW", limit.as_kilowatts()));
        let schedule = plan.schedules.iter().find(|schedule| schedule.unit == demand.unit);
        let points =
            schedule.map_or(String::new(), |schedule| format!(", then {} points", schedule.points.len()));
        println!("  {:<16} {:<8} at most {limit}{points}", demand.unit, demand.request.as_str());
    }
    for rule in &plan.rules {
        let units: Vec<&str> = rule.fallback.iter().map(|demand| demand.unit.as_str()).collect();
        println!(
            "  rule {}: {} lost for {:?}: fallback of {}",
            rule.name,
            rule.lost,
            rule.hold,
            units.join(", ")
        );
    }
    if !plan.transports.is_empty() {
        println!("  {} transport orders", plan.transports.len());
    }
}

/// Reads a folder of public keys.
fn read_keys(folder: &Path) -> Result<TrustedKeys, PlanError> {
    let failed = |error: std::io::Error| PlanError::file(folder, error);
    let mut keys = TrustedKeys::default();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            let document = Document::read_at_most(&path, KEY_FILE_BYTES_MAX as u64)?;
            keys.add_pem(document.text()).map_err(|error| PlanError::file(&path, error))?;
        }
    }
    Ok(keys)
}
