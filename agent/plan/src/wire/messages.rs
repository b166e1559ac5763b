//! The messages in the frames.

use core::fmt;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::frame::Frame;
use crate::PlanId;
use crate::document::UtcTime;
use crate::refusal::Refusal;

const OFFER: u8 = 1;
const STATUS: u8 = 2;
const ROLLBACK: u8 = 3;
const CENTRE_SEEN: u8 = 4;
const PLAN: u8 = 5;
const FLEET: u8 = 6;
const VERDICT: u8 = 0x81;
const STATUS_IS: u8 = 0x82;
const DONE: u8 = 0x83;
const PLAN_IS: u8 = 0x84;
const FLEET_IS: u8 = 0x85;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Take this signed plan: its JSON, unread.
    Offer(Vec<u8>),
    /// How things stand.
    Status,
    /// Give up a plan that is staged or soaking.
    Rollback(RollbackAsk),
    /// Whoever sends plans was reached just now. Rules for the loss of the centre count from the last of these.
    CentreSeen,
    /// A plan that is on disk here, as its signer wrote it: what a change of it is applied to.
    Plan(PlanId),
    /// How the fleet is.
    Fleet,
}

/// Which plan to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackAsk {
    /// The plan's epoch: a plan that came meanwhile is not given up by mistake.
    pub epoch: u32,
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To an offer or a rollback.
    Verdict(Verdict),
    /// To a question for the status.
    Status(Box<PlanStatus>),
    /// To a question for a plan: its signed JSON; empty if it is not here.
    Plan(Vec<u8>),
    /// To a question for the fleet; none if the site has none, or another node leads it.
    Fleet(Option<FleetStatus>),
    /// Done; there is nothing to say.
    Done,
}

/// How far a plan has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// On disk, and waiting to be activated.
    Staged,
    /// Activated on one agreed cycle, and on trial.
    Soaking,
    /// Has run its soak without a failure: what this node falls back to.
    #[default]
    LastKnownGood,
    /// Was on trial and failed, or was given up: the last known good plan runs again.
    RolledBack,
    /// Was staged and never activated: expired, missed its time, or was given up.
    Dropped,
    /// A newer plan took its place before its soak, or its wait for activation, was over.
    Superseded,
}

impl Stage {
    /// The word for people; the same as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Soaking => "soaking",
            Self::LastKnownGood => "last-known-good",
            Self::RolledBack => "rolled-back",
            Self::Dropped => "dropped",
            Self::Superseded => "superseded",
        }
    }
}

/// What became of an offer or a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Verdict {
    /// The plan is known here, and has come so far.
    Taken {
        /// The plan.
        id: PlanId,
        /// How far.
        stage: Stage,
    },
    /// Nothing has changed.
    Refused {
        /// Why.
        #[serde(flatten)]
        refusal: Refusal,
    },
}

/// A plan that a node has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlanEntry {
    /// Its name.
    pub name: String,
    /// Its epoch.
    pub epoch: u32,
    /// Its digest; left out for a plan from the agent's own plan file, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<crate::canonical::Digest>,
    /// How far it has come.
    pub stage: Stage,
    /// When it came so far.
    pub since: UtcTime,
    /// The cycle of the first loop group that was its first, counted by the node that was active then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle: Option<u64>,
    /// Why it was given up, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// What the node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Node {
    /// Not one of a pair.
    #[default]
    Alone,
    /// The node of a pair that writes.
    Active,
    /// The node of a pair that follows.
    Standby,
}

impl Node {
    /// The word for people; the same as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Active => "active",
            Self::Standby => "standby",
        }
    }
}

/// What the other node of a pair says of its plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PeerPlans {
    /// The plan that its cycles run; left out for one from its plan file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<PlanId>,
    /// The plan that is staged there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<PlanId>,
}

/// How things stand with plans at a node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// The site's name.
    pub site: String,
    /// This node's name; empty if it has none.
    pub node: String,
    /// Alone, active or standby.
    pub role: Node,
    /// The plan that the cycles run.
    pub in_force: PlanEntry,
    /// What this node falls back to.
    pub last_known_good: PlanEntry,
    /// The plan that waits for its activation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<PlanEntry>,
    /// The highest epoch that was ever taken: lower ones are refused.
    pub highest_epoch: u32,
    /// The last plan that was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<PlanEntry>,
    /// What the other node of a pair says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerPlans>,
    /// The last plan that was refused, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<Refusal>,
    /// Plans that were refused since the start, by reason.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// Plans that were activated since the start.
    pub activations: u64,
    /// Plans that were rolled back since the start.
    pub rollbacks: u64,
    /// Rules that apply now, by name.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Ids of the keys that are trusted.
    #[serde(default)]
    pub trusted_keys: Vec<String>,
    /// What keeps plans from being what they should be, in words.
    #[serde(default)]
    pub degraded: Vec<String>,
}

/// Why a message cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireError {
    /// A kind that there is not, or that goes the other way.
    Kind {
        /// Which.
        kind: u8,
    },
    /// The body does not fit the kind.
    Body {
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { kind } => write!(f, "a message of kind {kind}, which does not belong here"),
            Self::Body { what } => write!(f, "a message whose body does not fit: {what}"),
        }
    }
}

impl std::error::Error for WireError {}

/// A node's fleet in a few numbers. Counts of orders that are over are since the agent's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FleetStatus {
    /// Vehicles of the site.
    pub vehicles: u64,
    /// Those of them that take part: heard, not failed, and driven by nobody else.
    pub taking_part: u64,
    /// Transport orders that wait for a vehicle.
    pub orders_waiting: u64,
    /// Those that a vehicle works on.
    pub orders_under_way: u64,
    /// Those that were done.
    pub orders_done: u64,
    /// Those that could not be done.
    pub orders_failed: u64,
    /// Those that were cancelled.
    pub orders_cancelled: u64,
    /// Reasons why the fleet is not what it should be; the agent's own status has them in words.
    pub degraded: u64,
}

impl Ask {
    /// Kind and body of the frame.
    #[must_use]
    pub fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Offer(json) => (OFFER, json.clone()),
            Self::Status => (STATUS, Vec::new()),
            Self::Rollback(ask) => (ROLLBACK, json(ask)),
            Self::CentreSeen => (CENTRE_SEEN, Vec::new()),
            Self::Plan(id) => (PLAN, json(id)),
            Self::Fleet => (FLEET, Vec::new()),
        }
    }

    /// Reads a frame. The plan in an offer is not looked at.
    ///
    /// # Errors
    /// If it is no question.
    pub fn decode(frame: Frame) -> Result<Self, WireError> {
        match frame.kind {
            OFFER => Ok(Self::Offer(frame.body)),
            STATUS => Ok(Self::Status),
            ROLLBACK => of_json(&frame.body).map(Self::Rollback),
            CENTRE_SEEN => Ok(Self::CentreSeen),
            PLAN => of_json(&frame.body).map(Self::Plan),
            FLEET => Ok(Self::Fleet),
            kind => Err(WireError::Kind { kind }),
        }
    }
}

impl Answer {
    /// Kind and body of the frame.
    #[must_use]
    pub fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Verdict(verdict) => (VERDICT, json(verdict)),
            Self::Status(status) => (STATUS_IS, json(status)),
            Self::Plan(json) => (PLAN_IS, json.clone()),
            Self::Fleet(fleet) => (FLEET_IS, json(fleet)),
            Self::Done => (DONE, Vec::new()),
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// If it is no answer.
    pub fn decode(frame: &Frame) -> Result<Self, WireError> {
        match frame.kind {
            VERDICT => of_json(&frame.body).map(Self::Verdict),
            STATUS_IS => of_json(&frame.body).map(|status| Self::Status(Box::new(status))),
            PLAN_IS => Ok(Self::Plan(frame.body.clone())),
            FLEET_IS => of_json(&frame.body).map(Self::Fleet),
            DONE => Ok(Self::Done),
            kind => Err(WireError::Kind { kind }),
        }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Plain data with text keys: there is nothing that JSON cannot say.
    serde_json::to_vec(value).unwrap_or_default()
}

fn of_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, WireError> {
    serde_json::from_slice(body).map_err(|error| WireError::Body { what: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Reason;

    fn there_and_back(answer: &Answer) {
        let (kind, body) = answer.encode();
        assert_eq!(Answer::decode(&Frame { kind, body }).as_ref(), Ok(answer));
    }

    #[test]
    fn verdicts_read_as_they_are_meant() {
        let refused = Verdict::Refused { refusal: Reason::Expired.because("since noon") };
        assert_eq!(
            serde_json::to_string(&refused).unwrap(),
            r#"{"verdict":"refused","reason":"expired","what":"since noon"}"#
        );
        there_and_back(&Answer::Verdict(refused));
        there_and_back(&Answer::Verdict(Verdict::Taken { id: PlanId::default(), stage: Stage::Staged }));
        there_and_back(&Answer::Plan(b"{}".to_vec()));
        there_and_back(&Answer::Fleet(None));
        there_and_back(&Answer::Fleet(Some(FleetStatus { vehicles: 200, ..FleetStatus::default() })));
        there_and_back(&Answer::Done);
    }

    #[test]
    fn an_answer_is_no_question() {
        let (kind, body) = Answer::Done.encode();
        assert_eq!(Ask::decode(Frame { kind, body }), Err(WireError::Kind { kind }));
    }

    #[test]
    fn a_plan_is_asked_for_by_epoch_and_digest() {
        let ask = Ask::Plan(PlanId { epoch: 4, digest: crate::canonical::Digest::of_bytes(b"four") });
        let (kind, body) = ask.encode();
        assert_eq!(Ask::decode(Frame { kind, body }), Ok(ask));
    }

    #[test]
    fn a_rollback_names_one_epoch_and_nothing_else() {
        let ask = |body: &str| Ask::decode(Frame { kind: ROLLBACK, body: body.as_bytes().to_vec() });
        assert_eq!(ask(r#"{"epoch":4}"#), Ok(Ask::Rollback(RollbackAsk { epoch: 4 })));
        assert!(matches!(ask(r#"{"epoch":4,"force":true}"#), Err(WireError::Body { .. })));
    }
}
