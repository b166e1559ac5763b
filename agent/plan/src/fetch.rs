//! A standby takes a plan from the other node that it lacks.
//!
//! # Problem
//!
//! A node that comes back after an outage may find the other one leading by a plan that came while it was away.
//! Should the centre be gone by then, nobody else can bring it; and a standby without the plan would take over
//! with an older one.
//!
//! # Model
//!
//! The standby asks for one plan, from one byte on ([`PlanAsk`]); the node that decides answers with the next few
//! parts of the signed plan's JSON ([`parts`]), each small enough for one record of the link between them. So
//! no more than [`PARTS_PER_ASK`] are ever under way. What is whole is verified like any plan that is offered: the
//! other node is trusted with its answers, not with the plan. An ask that is not answered, and a plan that
//! was of no use, is asked for again after a pause that doubles.

use hal_units::{Duration, Instant};
use serde::{Deserialize, Serialize};

use crate::PlanId;
use crate::document::SIGNED_BYTES_MAX;

/// Bytes of a plan in one part. With its head it fits into a record of 1024 bytes.
pub const PART_BYTES: usize = 900;
/// Parts that answer one ask.
pub const PARTS_PER_ASK: usize = 4;
/// An answer that takes longer will not come.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// From the first attempt to the second; doubled for each further one,
pub const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// up to this.
pub const PAUSE_MAX: Duration = Duration::from_secs(64);

/// Asks for a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAsk {
    /// The plan.
    pub id: PlanId,
    /// From this byte of its signed JSON on.
    pub from: u32,
}

/// A part of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPart {
    /// The plan.
    pub id: PlanId,
    /// Bytes of the whole; 0: this node cannot give it.
    pub total: u32,
    /// The place of the first byte.
    pub at: u32,
    /// At most [`PART_BYTES`].
    pub bytes: Vec<u8>,
}

impl PlanPart {
    /// The answer of a node that does not have the plan as its signer wrote it.
    #[must_use]
    pub const fn none(id: PlanId) -> Self {
        Self { id, total: 0, at: 0, bytes: Vec::new() }
    }
}

/// The parts that answer an ask, of a plan whose signed JSON is `json`.
pub fn parts(ask: PlanAsk, json: &[u8]) -> impl Iterator<Item = PlanPart> {
    let from = usize::try_from(ask.from).unwrap_or(usize::MAX).min(json.len());
    let total = u32::try_from(json.len()).unwrap_or(0);
    let chunks = json.get(from..).unwrap_or_default().chunks(PART_BYTES).take(PARTS_PER_ASK);
    chunks.zip((ask.from..).step_by(PART_BYTES)).map(move |(bytes, at)| PlanPart {
        id: ask.id,
        total,
        at,
        bytes: bytes.to_vec(),
    })
}

/// What a part brings about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Nothing yet, or it is of no use.
    Nothing,
    /// Ask for the next parts.
    Ask(PlanAsk),
    /// All of the plan is here: verify it, and offer it to the inbox.
    Whole(Vec<u8>),
}

/// The standby's side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fetch {
    asking: Option<Asking>,
    /// Plans that are wanted and were asked for in vain.
    vain: Vec<Vain>,
}

/// An answer is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asking {
    id: PlanId,
    /// What has come of it.
    json: Vec<u8>,
    /// The answer to the last ask ends with this byte.
    through: usize,
    /// The answer comes until then, or not at all.
    until: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Vain {
    id: PlanId,
    attempts: u32,
    /// The next one is not before.
    until: Instant,
}

impl Fetch {
    /// What is to be asked, now that these plans are wanted, the first before the others.
    pub fn step(&mut self, now: Instant, wanted: &[PlanId]) -> Option<PlanAsk> {
        self.vain.retain(|vain| wanted.contains(&vain.id));
        let over = self.asking.take_if(|asking| now >= asking.until || !wanted.contains(&asking.id));
        if let Some(asking) = over.filter(|asking| wanted.contains(&asking.id)) {
            self.note_vain(now, asking.id);
        }
        if self.asking.is_some() {
            return None;
        }
        let pauses = |id: &PlanId| self.vain.iter().any(|vain| vain.id == *id && now < vain.until);
        let id = *wanted.iter().find(|id| !pauses(id))?;
        let (through, until) = (PARTS_PER_ASK * PART_BYTES, now + ANSWER_WITHIN);
        self.asking = Some(Asking { id, json: Vec::new(), through, until });
        Some(PlanAsk { id, from: 0 })
    }

    /// Takes a part that came. One that does not continue what is here is of no use.
    pub fn take(&mut self, now: Instant, part: &PlanPart) -> Taken {
        let Some(asking) = self.asking.as_mut().filter(|asking| asking.id == part.id) else {
            return Taken::Nothing;
        };
        let total = usize::try_from(part.total).unwrap_or(usize::MAX);
        if total == 0 || total > SIGNED_BYTES_MAX {
            self.asking = None;
            self.note_vain(now, part.id);
            return Taken::Nothing;
        }
        let (at, end) = (asking.json.len(), asking.json.len().saturating_add(part.bytes.len()));
        if usize::try_from(part.at) != Ok(at) || part.bytes.is_empty() || end > total {
            return Taken::Nothing;
        }
        asking.json.extend_from_slice(&part.bytes);
        if end < total {
            if end < asking.through {
                return Taken::Nothing;
            }
            asking.through = end + PARTS_PER_ASK * PART_BYTES;
            asking.until = now + ANSWER_WITHIN;
            // No plan is longer than a megabyte.
            return Taken::Ask(PlanAsk { id: part.id, from: u32::try_from(end).unwrap_or(u32::MAX) });
        }
        let whole = core::mem::take(&mut asking.json);
        self.asking = None;
        // Whoever is content with it wants it no more.
        self.note_vain(now, part.id);
        Taken::Whole(whole)
    }

    /// The other node, or what this one trusts, is not what it was: what was in vain may not be now.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    fn note_vain(&mut self, now: Instant, id: PlanId) {
        let before = self.vain.iter().find(|vain| vain.id == id).map_or(0, |vain| vain.attempts);
        self.vain.retain(|vain| vain.id != id);
        let pause = (FIRST_PAUSE * (1 << before.min(16))).min(PAUSE_MAX);
        self.vain.push(Vain { id, attempts: before.saturating_add(1), until: now + pause });
    }
}
