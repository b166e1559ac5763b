//! From a site to a plan thread that is ready to run, and the plan to begin with.

use std::path::PathBuf;
use std::sync::Arc;

use agent_cycle::{LastSeen, PlanPorts, PlanTable};
use agent_plan::canonical::Digest;
use agent_plan::document::SignedPlan;
use agent_plan::inbox::{Clock, Inbox, Offer, Recovered, Standing};
use agent_plan::store::{Found, PlanStore};
use agent_plan::{CheckedPlan, PlanId, Refusal, SiteFacts, TrustedKeys};
use hal_diagnostics::{Diagnostic, Document};
use hal_linux_rt::clock::now;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::disk::DiskFolder;
use super::keys::{self, KeysError};
use super::peer::{PlanEnds, PlanSide};
use super::tables::{self, KnownPlan, Timing};
use super::thread::{PlanThread, Wiring};
use crate::config::SiteConfig;
use crate::fleet::PlannedOrders;

/// Words that may wait between the plan thread and the pair thread: each one is whole, the newest counts.
const WORDS_MAX: usize = 256;

/// Why plans cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum PlansError {
    /// The site's own plan.
    #[error("{0}")]
    Local(#[from] Diagnostic),
    /// The trusted keys.
    #[error("{0}")]
    Keys(#[from] KeysError),
    /// The folder of stored plans.
    #[error("{path}: {error}; make the folder readable and writable")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the file system answered.
        error: std::io::Error,
    },
    /// The socket.
    #[error("{path}: {error}; give another [plans] socket, or end the agent that uses it")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the kernel answered.
        error: std::io::Error,
    },
    /// The thread.
    #[error("the plan thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Plans under construction.
pub(crate) struct PlansSetUp {
    first: KnownPlan,
    candidate: Option<(KnownPlan, SignedPlan)>,
    recovered: Recovered,
    store: Option<PlanStore<DiskFolder>>,
    faults: Vec<String>,
    keys: TrustedKeys,
    facts: SiteFacts,
    pair: Option<PlanEnds>,
}

/// Checks the trusted keys, if plans are taken, and says how many there are.
///
/// # Errors
/// If the folder or a key in it cannot be used.
pub fn check_keys(site: &SiteConfig) -> Result<Option<usize>, PlansError> {
    let Some(config) = &site.plans else { return Ok(None) };
    Ok(Some(keys::read(&config.keys)?.ids().count()))
}

/// The local plan under the digest of its text.
pub(super) fn read_local(site: &SiteConfig) -> Result<KnownPlan, Diagnostic> {
    let document = Document::read(&site.plan)?;
    let plan = agent_plan::Plan::parse_for(&document, &site.unit_limits())?;
    let id = PlanId { epoch: plan.epoch, digest: Digest::of_bytes(document.text().as_bytes()) };
    Ok(KnownPlan::local(plan, id))
}

/// Both clocks.
pub(super) fn clock() -> Clock {
    let millis = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    Clock { now: now(), wall: agent_plan::document::UtcTime::from_unix_millis(millis) }
}

impl PlansSetUp {
    /// Reads the local plan, the keys, and what is stored. A stored plan that cannot be used is no reason not
    /// to start: another one is, and the report says so.
    pub(crate) fn open(site: &SiteConfig, stations: Option<Vec<String>>) -> Result<Self, PlansError> {
        let local = read_local(site)?;
        let facts = tables::facts(site, stations);
        let Some(config) = &site.plans else {
            let recovered = Recovered { good: local.id, highest: local.id, ..Recovered::default() };
            let (store, candidate, pair) = (None, None, None);
            let (faults, keys) = (Vec::new(), TrustedKeys::default());
            return Ok(Self { first: local, candidate, recovered, store, faults, keys, facts, pair });
        };
        let keys = keys::read(&config.keys)?;
        let path = site.state_dir.join("plans");
        let folder = DiskFolder::open(&path).map_err(|error| PlansError::Folder { path, error })?;
        let (store, found) = PlanStore::open(folder);
        let mut faults: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
        let Found { good, staged, trying, trial, highest, given_up, faults: _ } = found;
        let mut usable = |role: &str, plan: Option<SignedPlan>| {
            let plan = plan?;
            match fitting(&plan, &facts) {
                Ok(known) => Some((known, plan)),
                Err(refusal) => {
                    faults.push(format!("plans: the stored {role} plan is not used: {refusal}"));
                    None
                }
            }
        };
        let good = usable("last known good", good).map(|(known, _)| known);
        let on_trial = staged.is_none() || trying;
        let candidate = usable(if on_trial { "trial" } else { "staged" }, staged.or(trial));
        // The operator of the node may have written a newer plan meanwhile.
        let first = good.filter(|good| good.id.epoch >= local.id.epoch).unwrap_or(local);
        let candidate = candidate.filter(|(known, _)| known.id.epoch > first.id.epoch);
        let offer = candidate.as_ref().and_then(|(known, _)| known.as_signed()).map(Offer::from);
        let recovered = Recovered { good: first.id, candidate: offer, on_trial, highest, given_up };
        Ok(Self { first, candidate, recovered, store: Some(store), faults, keys, facts, pair: None })
    }

    /// The table with which a group begins.
    pub(crate) fn first_table(&self, site: &SiteConfig, group: usize) -> Box<PlanTable> {
        self.first.table(site, group, clock())
    }

    /// The plan with which the groups begin, in words.
    pub(crate) fn first_words(&self) -> String {
        format!("`{}`, epoch {}", self.first.name(), self.first.id.epoch)
    }

    /// Makes the plans those of a pair.
    pub(crate) fn in_pair(&mut self) -> PlanSide {
        let (words, words_out) = mpsc::channel(WORDS_MAX);
        let (news, news_out) = mpsc::channel(WORDS_MAX);
        self.pair = Some(PlanEnds { words, news: news_out });
        PlanSide { words: words_out, news }
    }

    /// Starts the thread.
    pub(crate) fn start(
        self,
        site: &SiteConfig,
        ports: Vec<PlanPorts>,
        timing: Timing,
        seen: Arc<LastSeen>,
        orders: Option<PlannedOrders>,
    ) -> Result<PlanThread, PlansError> {
        let Self { first, candidate, recovered, store, faults, keys, facts, pair } = self;
        let standing = if pair.is_some() { Standing::Standby } else { Standing::Alone };
        let (inbox, outputs) = Inbox::recover(now(), standing, recovered);
        let wiring = Wiring {
            site: site.clone(),
            facts,
            keys,
            inbox,
            outputs,
            first,
            candidate,
            store,
            faults,
            ports,
            timing,
            seen,
            orders,
            pair,
        };
        PlanThread::start(wiring)
    }
}

/// A stored plan that can be run here. Its signature was verified before it was stored: a key that is not
/// trusted any more must not stop a site that runs.
fn fitting(plan: &SignedPlan, facts: &SiteFacts) -> Result<KnownPlan, Refusal> {
    let checked = CheckedPlan::of(&plan.plan)?;
    checked.fit(facts)?;
    Ok(KnownPlan::signed(checked))
}
