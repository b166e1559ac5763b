//! Plans on disk, so that a crash at any moment leaves a plan that proved itself.
//!
//! # Problem
//!
//! A node that starts without a network, after a crash or the loss of power between any two writes, must know
//! what to run, must not run half a plan, and must not take an old plan for a new one.
//!
//! # Model
//!
//! One folder, and in it a file for each role that a plan can have:
//!
//! | file | holds |
//! |---|---|
//! | `good` | the last known good plan |
//! | `older` | the one before it, should `good` be damaged |
//! | `staged` | the plan that waits for its activation |
//! | `trying` | which staged plan is about to be tried: from just before its activation on |
//! | `trial` | the plan that is on trial: from its activation to the end of its soak |
//! | `given-up` | the plan that was given up last and why, and the highest epoch ever taken, so that none comes back |
//!
//! A plan goes from role to role by renaming its file. New content is written beside, synchronised, renamed,
//! and the folder synchronised ([`Folder::replace`]); what was acknowledged is on disk. A file is
//! `"TAKTPLN1" length:u32le sha256[32] body`; one that is torn, foreign or damaged is named ([`Fault`]), not
//! used, and left where it is until something takes its place.

mod folder;

use core::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::PlanId;
use crate::canonical::Digest;
use crate::document::{SIGNED_BYTES_MAX, SignedPlan};
use crate::inbox::GivenUp;

pub use folder::Folder;

const GOOD: &str = "good";
const OLDER: &str = "older";
const STAGED: &str = "staged";
const TRYING: &str = "trying";
const TRIAL: &str = "trial";
const GIVEN_UP: &str = "given-up";

const MAGIC: &[u8; 8] = b"TAKTPLN1";
const HEAD_BYTES: usize = MAGIC.len() + 4 + 32;

/// The longest file.
pub const FILE_BYTES_MAX: usize = HEAD_BYTES + SIGNED_BYTES_MAX;

/// Why a file is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It cannot be read.
    Unreadable,
    /// It was not written by this program, or by another version.
    Foreign,
    /// It is shorter or longer than it says.
    Torn,
    /// Its content is not what was written.
    Damaged,
}

/// A file that is not used, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The file's name.
    pub file: &'static str,
    /// Why.
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.kind {
            FaultKind::Unreadable => "cannot be read",
            FaultKind::Foreign => "is no plan of this version",
            FaultKind::Torn => "is torn",
            FaultKind::Damaged => "is damaged",
        };
        write!(f, "the stored plan `{}` {why} and is not used", self.file)
    }
}

/// What was found on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The last known good plan, or the one before it if that cannot be used.
    pub good: Option<SignedPlan>,
    /// The plan that waits.
    pub staged: Option<SignedPlan>,
    /// Whether that one was about to be tried.
    pub trying: bool,
    /// The plan that was on trial.
    pub trial: Option<SignedPlan>,
    /// The highest plan that was ever taken.
    pub highest: PlanId,
    /// The plan that was given up last.
    pub given_up: Option<GivenUp>,
    /// Files that are not used.
    pub faults: Vec<Fault>,
}

/// What outlives plans that were given up.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Memory {
    highest: PlanId,
    given_up: GivenUp,
}

/// The plans of one node on disk. One process uses a folder at a time.
#[derive(Debug)]
pub struct PlanStore<F> {
    folder: F,
    /// Whose files are there, by role.
    staged: Option<PlanId>,
    trying: Option<PlanId>,
    trial: Option<PlanId>,
    highest: PlanId,
}

impl<F: Folder> PlanStore<F> {
    /// Opens a folder and says what is there. Nothing is changed.
    pub fn open(folder: F) -> (Self, Found) {
        let mut found = Found::default();
        let mut plan = |file| match read_plan(&folder, file) {
            Ok(plan) => plan,
            Err(fault) => {
                found.faults.push(fault);
                None
            }
        };
        let (good, older) = (plan(GOOD), plan(OLDER));
        let (staged, trial) = (plan(STAGED), plan(TRIAL));
        let trying = match read(&folder, TRYING, |body| serde_json::from_slice::<PlanId>(body).ok()) {
            Ok(trying) => trying,
            Err(fault) => {
                found.faults.push(fault);
                None
            }
        };
        let memory = match read(&folder, GIVEN_UP, |body| serde_json::from_slice::<Memory>(body).ok()) {
            Ok(memory) => memory,
            Err(fault) => {
                found.faults.push(fault);
                None
            }
        };
        found.good = good.or(older);
        (found.staged, found.trial) = (staged, trial);
        found.trying = trying.is_some() && found.staged.as_ref().map(SignedPlan::id) == trying;
        let plans = [&found.good, &found.staged, &found.trial];
        let ids = plans.into_iter().flatten().map(SignedPlan::id);
        found.highest = ids.chain(memory.iter().map(|memory| memory.highest)).max().unwrap_or_default();
        found.given_up = memory.map(|memory| memory.given_up);
        let store = Self {
            folder,
            staged: found.staged.as_ref().map(SignedPlan::id),
            trying,
            trial: found.trial.as_ref().map(SignedPlan::id),
            highest: found.highest,
        };
        (store, found)
    }

    /// Puts a plan on disk that waits for its activation; one that waited before is gone.
    ///
    /// # Errors
    /// Whatever the disk answers; then the one before is still there, or none.
    pub fn stage(&mut self, plan: &SignedPlan) -> io::Result<()> {
        self.folder.replace(STAGED, &framed(&plan.to_json()))?;
        self.staged = Some(plan.id());
        self.highest = self.highest.max(plan.id());
        Ok(())
    }

    /// Notes that the staged plan is about to be tried. For one that is noted already nothing is done.
    ///
    /// # Errors
    /// Whatever the disk answers.
    pub fn note_trial(&mut self, id: PlanId) -> io::Result<()> {
        if self.trying == Some(id) {
            return Ok(());
        }
        self.folder.replace(TRYING, &framed(&serde_json::to_vec(&id).map_err(io::Error::other)?))?;
        self.trying = Some(id);
        Ok(())
    }

    /// Makes the staged plan the one on trial; one that was before is gone. For one that is already nothing is
    /// done.
    ///
    /// # Errors
    /// Whatever the disk answers.
    pub fn begin_trial(&mut self, id: PlanId) -> io::Result<()> {
        if self.staged != Some(id) {
            return Ok(());
        }
        self.folder.rename(STAGED, TRIAL)?;
        (self.staged, self.trial) = (None, Some(id));
        self.folder.sync()
    }

    /// Makes the plan on trial the last known good one.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if that plan is not on trial; otherwise whatever the disk answers. The
    /// last known good plan of before is then still on disk.
    pub fn promote(&mut self, id: PlanId) -> io::Result<()> {
        if self.trial != Some(id) {
            return Err(io::ErrorKind::NotFound.into());
        }
        match self.folder.rename(GOOD, OLDER) {
            Ok(()) => {}
            // The first of all.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.folder.rename(TRIAL, GOOD)?;
        self.trial = None;
        self.folder.sync()
    }

    /// A plan that is on disk in any role, as its signer wrote it; none if it is not, or cannot be used.
    #[must_use]
    pub fn plan(&self, id: PlanId) -> Option<SignedPlan> {
        let plans =
            [GOOD, TRIAL, STAGED, OLDER].into_iter().filter_map(|file| read_plan(&self.folder, file).ok()?);
        plans.into_iter().find(|plan| plan.id() == id)
    }

    /// The folder.
    pub fn into_folder(self) -> F {
        self.folder
    }

    /// Removes a plan that was given up, wherever it is, once that is noted.
    ///
    /// # Errors
    /// Whatever the disk answers; then it may come back as it was after a restart.
    pub fn forget(&mut self, given_up: &GivenUp) -> io::Result<()> {
        let id = given_up.id;
        self.highest = self.highest.max(id);
        let memory = Memory { highest: self.highest, given_up: given_up.clone() };
        self.folder.replace(GIVEN_UP, &framed(&serde_json::to_vec(&memory).map_err(io::Error::other)?))?;
        if self.staged.take_if(|staged| *staged == id).is_some() {
            self.folder.remove(STAGED)?;
        }
        if self.trial.take_if(|trial| *trial == id).is_some() {
            self.folder.remove(TRIAL)?;
        }
        self.folder.sync()
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
    bytes.extend_from_slice(MAGIC);
    // No body is longer than a signed plan.
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(Digest::of_bytes(body).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The body of a file.
fn body(bytes: &[u8]) -> Result<&[u8], FaultKind> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        // A file that ends within its first word may have been ours.
        return Err(if MAGIC.starts_with(bytes) { FaultKind::Torn } else { FaultKind::Foreign });
    };
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(FaultKind::Torn)?;
    let (digest, body) = rest.split_first_chunk::<32>().ok_or(FaultKind::Torn)?;
    if usize::try_from(u32::from_le_bytes(*length)) != Ok(body.len()) {
        return Err(FaultKind::Torn);
    }
    if Digest::of_bytes(body).as_bytes() != digest {
        return Err(FaultKind::Damaged);
    }
    Ok(body)
}

fn read<F: Folder, T>(
    folder: &F,
    file: &'static str,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, Fault> {
    let fault = |kind| Fault { file, kind };
    let Some(bytes) = folder.read(file).map_err(|_| fault(FaultKind::Unreadable))? else { return Ok(None) };
    let body = body(&bytes).map_err(fault)?;
    parse(body).map(Some).ok_or(fault(FaultKind::Foreign))
}

fn read_plan<F: Folder>(folder: &F, file: &'static str) -> Result<Option<SignedPlan>, Fault> {
    let plan = |body: &[u8]| {
        let plan = SignedPlan::from_json(body).ok()?;
        (Digest::of(&plan.plan) == plan.digest).then_some(plan)
    };
    read(folder, file, plan)
}
