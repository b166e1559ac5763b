//! A node with a disk that works and cycles that change over when they are told, in virtual time.

use agent_plan::canonical::Digest;
use agent_plan::document::{Boundary, IfMissed, UtcTime};
use agent_plan::inbox::{Clock, GivenUp, Inbox, Input, Offer, Output, PeerWord, Recovered, Standing};
use agent_plan::wire::Stage;
use agent_plan::{CheckedActivation, PlanId, Reason, Refusal};
use hal_units::{Duration, Instant};

use super::{NOON, time};

pub(crate) const SOAK: Duration = Duration::from_secs(10);
pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) fn id(epoch: u32) -> PlanId {
    PlanId { epoch, digest: Digest::of_bytes(&epoch.to_be_bytes()) }
}

/// Another plan with the same epoch.
pub(crate) fn rival(epoch: u32) -> PlanId {
    PlanId { epoch, digest: Digest::of_bytes(&[epoch as u8, 0xff]) }
}

pub(crate) fn offer(id: PlanId) -> Offer {
    let activation = CheckedActivation {
        not_before: None,
        boundary: Boundary::Cycle,
        if_missed: IfMissed::Skip,
        grace: Duration::from_secs(10),
    };
    Offer { id, activation, expires_at: None, soak: SOAK }
}

/// What is on a node's disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) good: PlanId,
    pub(crate) staged: Option<Offer>,
    pub(crate) trying: Option<PlanId>,
    pub(crate) trial: Option<Offer>,
    pub(crate) highest: PlanId,
    pub(crate) given_up: Option<GivenUp>,
}

/// A node with a disk that works and cycles that change over when they are told.
pub(crate) struct Rig {
    pub(crate) inbox: Inbox,
    pub(crate) disk: Disk,
    pub(crate) now: Instant,
    pub(crate) start: UtcTime,
    pub(crate) disk_works: bool,
    pub(crate) offered: Vec<Offer>,
    /// What lies ready for the cycles: to go to, and to go back to.
    pub(crate) shelf: [Option<PlanId>; 2],
    pub(crate) due: Option<(PlanId, Instant)>,
    pub(crate) answers: Vec<Result<(PlanId, Stage), Refusal>>,
    pub(crate) activated: Vec<PlanId>,
    pub(crate) orders: Vec<PlanId>,
    pub(crate) told: Option<PeerWord>,
}

impl Rig {
    pub(crate) fn new(standing: Standing) -> Self {
        Self::boot(
            standing,
            Disk { good: id(1), highest: id(1), ..Disk::default() },
            Instant::ZERO,
            time(NOON),
        )
    }

    pub(crate) fn boot(standing: Standing, disk: Disk, now: Instant, start: UtcTime) -> Self {
        let found = Recovered {
            good: disk.good,
            candidate: disk.staged.or(disk.trial),
            on_trial: disk.staged.is_none_or(|offer| disk.trying == Some(offer.id)),
            highest: disk.highest,
            given_up: disk.given_up.clone(),
        };
        let (inbox, first) = Inbox::recover(now, standing, found);
        let mut rig = Self {
            inbox,
            now,
            start,
            disk_works: true,
            offered: [disk.staged, disk.trial].into_iter().flatten().collect(),
            disk,
            shelf: [None; 2],
            due: None,
            answers: Vec::new(),
            activated: Vec::new(),
            orders: Vec::new(),
            told: None,
        };
        rig.carry_out(first);
        rig
    }

    pub(crate) fn clock(&self) -> Clock {
        let millis =
            self.start.unix_millis() + u64::try_from(self.now.since(Instant::ZERO).as_millis()).unwrap();
        Clock { now: self.now, wall: UtcTime::from_unix_millis(millis) }
    }

    pub(crate) fn step(&mut self, input: Input) {
        let out = self.inbox.step(self.clock(), input);
        self.carry_out(out);
    }

    pub(crate) fn carry_out(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Answer(answer) => self.answers.push(answer),
                Output::Store(id) => {
                    if self.disk_works {
                        self.disk.staged = self.offered.iter().copied().find(|offer| offer.id == id);
                    }
                    let done = self.disk_works;
                    self.step(Input::Stored { id, done });
                }
                Output::NoteTrial(id) => self.disk.trying = Some(id),
                Output::BeginTrial(id) => {
                    if let Some(offer) = self.disk.staged.take_if(|offer| offer.id == id) {
                        self.disk.trial = Some(offer);
                    }
                }
                Output::Promote(id) => {
                    assert_eq!(
                        self.disk.trial.take().map(|offer| offer.id),
                        Some(id),
                        "what is kept is on disk"
                    );
                    self.disk.good = id;
                }
                Output::Forget(given_up) => {
                    let id = given_up.id;
                    self.disk.given_up = Some(given_up);
                    self.disk.highest = self.disk.highest.max(id);
                    self.disk.staged.take_if(|offer| offer.id == id);
                    self.disk.trial.take_if(|offer| offer.id == id);
                }
                Output::Ready(id) => self.shelf[0] = Some(id),
                Output::ReadyBack(id) => self.shelf[1] = Some(id),
                Output::ChangeOver { id, at, .. } => self.due = Some((id, at)),
                Output::GiveOrders(id) => self.orders.push(id),
                Output::Tell(word) => self.told = Some(word),
            }
        }
    }

    pub(crate) fn offer(&mut self, offer: Offer) -> Result<Stage, Reason> {
        self.offered.push(offer);
        self.step(Input::Offered(offer));
        self.answers.pop().unwrap().map(|(_, stage)| stage).map_err(|refusal| refusal.reason)
    }

    /// A plan that is on disk.
    pub(crate) fn stored(&self, id: PlanId) -> Option<Offer> {
        let is_there = self.disk.good == id
            || [self.disk.staged, self.disk.trial].into_iter().flatten().any(|offer| offer.id == id);
        self.offered.iter().copied().find(|offer| offer.id == id).filter(|_| is_there)
    }

    /// The cycles run a plan from now on, if it lies ready.
    pub(crate) fn change_over(&mut self, id: PlanId) {
        let slot = self.shelf.iter_mut().find(|slot| **slot == Some(id));
        if slot.and_then(Option::take).is_some() {
            self.activated.push(id);
            self.step(Input::Activated { id });
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = (self.now + 10 * MS).min(end);
            if let Some((id, _)) = self.due.take_if(|(_, at)| *at <= self.now) {
                self.change_over(id);
            }
            self.step(Input::Tick);
        }
    }

    pub(crate) fn stage(&self, epoch: u32) -> Option<Stage> {
        self.inbox.stage_of(id(epoch))
    }
}
