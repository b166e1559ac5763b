//! What stands in the annotations of a plan's object, so that whoever watches need not be sent the plan.
//!
//! # Problem
//!
//! A watch sends whole objects, again after each loss of the connection; and most of a plan is as it was in the one
//! before.
//!
//! # Model
//!
//! A watch can be asked for the metadata of objects alone. So a [`Brief`] says there which plan the object holds, and
//! gives it as changes of plans that nodes are known to have. Who has none of those gets the object itself. A brief
//! is a hint: what comes out is digested and verified like any other plan, so a wrong brief costs bytes, or hides
//! the plan that its writer could as well not have published. An object without a brief is fetched.

use std::collections::BTreeMap;

use agent_plan::PlanId;
use agent_plan::delta::{DeltaError, PlanDelta};
use agent_plan::document::SignedPlan;

use crate::{SchedulingPlan, SchedulingPlanSpec};

/// The plan's epoch.
pub const EPOCH: &str = "control.takt.dev/epoch";
/// The plan's digest.
pub const DIGEST: &str = "control.takt.dev/digest";
/// The site that the plan is for.
pub const SITE: &str = "control.takt.dev/site";
/// The plan as changes of earlier ones: a JSON array of [`PlanDelta`].
pub const DELTAS: &str = "control.takt.dev/deltas";

/// All changes together, in bytes of JSON: an API server takes 256 KiB of annotations.
const DELTAS_BYTES_MAX: usize = 128 << 10;

/// What an object says of its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Epoch and digest.
    pub id: PlanId,
    /// The site that it is for.
    pub site: String,
    /// The plan as changes of earlier ones.
    pub deltas: Vec<PlanDelta>,
}

impl Brief {
    /// Reads annotations; none if there is no brief in them, or half of one. Changes that cannot be read are none.
    #[must_use]
    pub fn of(annotations: &BTreeMap<String, String>) -> Option<Self> {
        let epoch = annotations.get(EPOCH)?.parse().ok()?;
        let digest = annotations.get(DIGEST)?.parse().ok()?;
        let site = annotations.get(SITE)?.clone();
        let deltas = annotations.get(DELTAS).and_then(|json| serde_json::from_str(json).ok());
        Some(Self { id: PlanId { epoch, digest }, site, deltas: deltas.unwrap_or_default() })
    }

    /// The brief of a plan with its changes of these bases. Changes that would not save half of the plan, or have no
    /// room, are left out.
    ///
    /// # Errors
    /// [`DeltaError::Memory`].
    pub fn new(plan: &SignedPlan, bases: &[SignedPlan]) -> Result<Self, DeltaError> {
        let whole = plan.to_json().len();
        let (mut deltas, mut room) = (Vec::new(), DELTAS_BYTES_MAX);
        for base in bases.iter().filter(|base| base.digest != plan.digest) {
            let delta = PlanDelta::between(base, plan)?;
            let bytes = delta_bytes(&delta);
            if bytes <= room && bytes < whole / 2 {
                room -= bytes;
                deltas.push(delta);
            }
        }
        Ok(Self { id: plan.id(), site: plan.plan.target.site.clone(), deltas })
    }

    /// As it stands in annotations.
    #[must_use]
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::from([
            (EPOCH.to_owned(), self.id.epoch.to_string()),
            (DIGEST.to_owned(), self.id.digest.to_string()),
            (SITE.to_owned(), self.site.clone()),
        ]);
        if !self.deltas.is_empty() {
            // Plain data: there is nothing that JSON cannot say.
            annotations.insert(DELTAS.to_owned(), serde_json::to_string(&self.deltas).unwrap_or_default());
        }
        annotations
    }

    /// The object of a plan, with its brief.
    ///
    /// # Errors
    /// As [`Brief::new`].
    pub fn object(name: &str, plan: &SignedPlan, bases: &[SignedPlan]) -> Result<SchedulingPlan, DeltaError> {
        let spec = SchedulingPlanSpec {
            plan: plan.plan.clone(),
            digest: plan.digest,
            signature: plan.signature.clone(),
        };
        let mut object = SchedulingPlan::new(name, spec);
        object.metadata.annotations = Some(Self::new(plan, bases)?.annotations());
        Ok(object)
    }
}

/// What a change takes in an annotation, in bytes.
#[must_use]
pub fn delta_bytes(delta: &PlanDelta) -> usize {
    serde_json::to_vec(delta).map_or(0, |json| json.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_plan::PlanKey;
    use serde_json::json;

    fn plan(epoch: u32) -> SignedPlan {
        let units: Vec<_> =
            (0..40).map(|at| json!({ "unit": format!("WT{at:02}"), "request": "run" })).collect();
        let plan =
            json!({ "name": "night", "epoch": epoch, "target": { "site": "north" }, "demands": units });
        PlanKey::from_seed(&[7; 32]).sign(serde_json::from_value(plan).unwrap())
    }

    #[test]
    fn a_brief_reads_as_it_was_written() {
        let brief = Brief::new(&plan(3), &[plan(2), plan(1)]).unwrap();
        assert_eq!(brief.deltas.len(), 2);
        assert_eq!(Brief::of(&brief.annotations()), Some(brief));
    }

    #[test]
    fn half_a_brief_is_none_and_changes_that_cannot_be_read_are_none() {
        let mut annotations = Brief::new(&plan(3), &[plan(2)]).unwrap().annotations();
        annotations.insert(DELTAS.to_owned(), "[{]".to_owned());
        assert_eq!(Brief::of(&annotations).unwrap().deltas, []);
        annotations.remove(DIGEST);
        assert_eq!(Brief::of(&annotations), None);
    }

    #[test]
    fn a_change_that_saves_nothing_is_left_out() {
        let small: agent_plan::document::SchedulingPlan =
            serde_json::from_value(json!({ "name": "x", "epoch": 1, "target": { "site": "south" } }))
                .unwrap();
        let key = PlanKey::from_seed(&[7; 32]);
        let next = key.sign(agent_plan::document::SchedulingPlan { epoch: 2, ..small.clone() });
        assert_eq!(Brief::new(&next, &[key.sign(small)]).unwrap().deltas, []);
        assert_eq!(Brief::new(&plan(3), &[plan(3)]).unwrap().deltas, [], "nor is one of the plan itself");
    }
}
