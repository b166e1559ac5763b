//! The disk fails, and the world ends, between any two steps of the store: what was promised is there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::io;

use agent_plan::Reason;
use agent_plan::document::SignedPlan;
use agent_plan::inbox::GivenUp;
use agent_plan::store::{Fault, FaultKind, Folder, Found, PlanStore};
use agent_plan::wire::Stage;
use support::{centre, evening_with};

fn plan(epoch: u32) -> SignedPlan {
    centre().sign(evening_with(|plan| plan.epoch = epoch))
}

fn given_up(epoch: u32) -> GivenUp {
    let refusal = Reason::FailedSoak.because("trip");
    GivenUp { id: plan(epoch).id(), stage: Stage::RolledBack, refusal }
}

/// A change of the folder's names that is not durable yet.
#[derive(Debug, Clone)]
enum Change {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

/// A folder as a file system keeps it: contents and names are durable only once they were synchronised, and a
/// crash keeps any first part of what was not.
#[derive(Debug, Clone, Default)]
struct SimFolder {
    /// Content of each file ever made, and how much of it is durable.
    contents: Vec<(Vec<u8>, bool)>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    /// Steps that still work.
    steps_left: Option<usize>,
}

impl SimFolder {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.steps_left {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
        match change {
            Change::Create(file, inode) => drop(names.insert(file.clone(), *inode)),
            Change::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Change::Remove(file) => drop(names.remove(file)),
        }
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.names, &change);
        self.changes.push(change);
    }

    /// The power is gone. `luck` chooses how much of what was not synchronised is there.
    fn after_crash(&self, luck: usize) -> Self {
        let mut names = self.durable_names.clone();
        let kept = if self.changes.is_empty() { 0 } else { luck % (self.changes.len() + 1) };
        self.changes.iter().take(kept).for_each(|change| Self::apply(&mut names, change));
        let content = |(bytes, durable): &(Vec<u8>, bool)| {
            let length = if *durable { bytes.len() } else { luck * 37 % (bytes.len() + 1) };
            (bytes[..length].to_vec(), true)
        };
        let contents = self.contents.iter().map(content).collect();
        Self { contents, durable_names: names.clone(), names, changes: Vec::new(), steps_left: None }
    }
}

impl Folder for SimFolder {
    fn read(&self, file: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.names.get(file).map(|inode| self.contents[*inode].0.clone()))
    }

    fn write(&mut self, file: &str, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        self.contents.push((bytes.to_vec(), false));
        self.change(Change::Create(file.to_owned(), self.contents.len() - 1));
        Ok(())
    }

    fn sync_file(&mut self, file: &str) -> io::Result<()> {
        self.step()?;
        let inode = self.names[file];
        self.contents[inode].1 = true;
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.step()?;
        if !self.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&mut self, file: &str) -> io::Result<()> {
        self.step()?;
        self.change(Change::Remove(file.to_owned()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step()?;
        self.durable_names = self.names.clone();
        self.changes.clear();
        Ok(())
    }
}

fn epochs(found: &Found) -> (Option<u32>, Option<u32>, Option<u32>, u32) {
    let epoch = |plan: &Option<SignedPlan>| plan.as_ref().map(|plan| plan.plan.epoch);
    (epoch(&found.good), epoch(&found.staged), epoch(&found.trial), found.highest.epoch)
}

fn reopened(store: PlanStore<SimFolder>) -> (PlanStore<SimFolder>, Found) {
    PlanStore::open(store.into_folder())
}

/// A store whose last known good plan is number 1.
fn with_good() -> PlanStore<SimFolder> {
    let (mut store, found) = PlanStore::open(SimFolder::default());
    assert_eq!(found, Found::default());
    store.stage(&plan(1)).unwrap();
    store.begin_trial(plan(1).id()).unwrap();
    store.promote(plan(1).id()).unwrap();
    store
}

#[test]
fn a_plan_goes_from_role_to_role() {
    let mut store = with_good();
    store.stage(&plan(2)).unwrap();
    let (mut store, found) = reopened(store);
    assert_eq!(epochs(&found), (Some(1), Some(2), None, 2));
    store.note_trial(plan(2).id()).unwrap();
    store.note_trial(plan(2).id()).unwrap();
    let (mut store, found) = reopened(store);
    assert_eq!((epochs(&found), found.trying), ((Some(1), Some(2), None, 2), true));
    store.begin_trial(plan(2).id()).unwrap();
    store.begin_trial(plan(2).id()).unwrap();
    let (mut store, found) = reopened(store);
    assert_eq!((epochs(&found), found.trying), ((Some(1), None, Some(2), 2), false));
    store.promote(plan(2).id()).unwrap();
    let (_, found) = reopened(store);
    assert_eq!((epochs(&found), found.faults), ((Some(2), None, None, 2), Vec::new()));
}

#[test]
fn a_plan_that_was_given_up_is_gone_but_its_epoch_is_not() {
    let mut store = with_good();
    store.stage(&plan(5)).unwrap();
    store.forget(&given_up(5)).unwrap();
    let (_, found) = reopened(store);
    assert_eq!(epochs(&found), (Some(1), None, None, 5));
    assert_eq!(found.given_up, Some(given_up(5)));
}

/// What is done to a store with plan 1, one step after the other.
fn life(store: &mut PlanStore<SimFolder>) -> io::Result<()> {
    store.stage(&plan(2))?;
    store.note_trial(plan(2).id())?;
    store.begin_trial(plan(2).id())?;
    store.promote(plan(2).id())?;
    store.stage(&plan(3))?;
    store.stage(&plan(4))?;
    store.note_trial(plan(4).id())?;
    store.begin_trial(plan(4).id())?;
    store.forget(&given_up(4))
}

#[test]
fn whenever_the_power_goes_a_whole_plan_that_proved_itself_is_there() {
    let mut whole = with_good().into_folder();
    whole.steps_left = None;
    let (mut crashes, mut steps) = (0, 0);
    loop {
        let mut folder = whole.clone();
        folder.steps_left = Some(steps);
        let (mut store, _) = PlanStore::open(folder);
        let ended = life(&mut store);
        let folder = store.into_folder();
        for luck in 0..40 {
            let (_, found) = PlanStore::open(folder.after_crash(luck));
            let (good, ..) = epochs(&found);
            assert!(matches!(good, Some(1 | 2)), "after {steps} steps, luck {luck}: {found:?}");
            assert_eq!(found.faults, [], "what was synchronised before its name was given is never torn");
            crashes += 1;
        }
        if ended.is_ok() {
            break;
        }
        steps += 1;
    }
    assert!(steps > 20 && crashes > 800, "{steps} steps, {crashes} crashes");
}

#[test]
fn what_was_acknowledged_is_there_after_the_power_went() {
    let mut store = with_good();
    store.stage(&plan(2)).unwrap();
    for luck in 0..40 {
        let folder = store.into_folder();
        let (_, found) = PlanStore::open(folder.after_crash(luck));
        assert_eq!(epochs(&found), (Some(1), Some(2), None, 2));
        store = PlanStore::open(folder).0;
    }
    store.begin_trial(plan(2).id()).unwrap();
    store.promote(plan(2).id()).unwrap();
    store.stage(&plan(3)).unwrap();
    store.forget(&given_up(3)).unwrap();
    for luck in 0..40 {
        let folder = store.into_folder();
        let (_, found) = PlanStore::open(folder.after_crash(luck));
        assert_eq!(epochs(&found), (Some(2), None, None, 3));
        store = PlanStore::open(folder).0;
    }
}

#[test]
fn a_full_disk_changes_nothing() {
    let mut folder = with_good().into_folder();
    folder.steps_left = Some(0);
    let (mut store, _) = PlanStore::open(folder);
    assert!(store.stage(&plan(2)).is_err());
    assert!(store.promote(plan(2).id()).is_err());
    let (_, found) = reopened(store);
    assert_eq!(epochs(&found), (Some(1), None, None, 1));
}

/// What happens to a file's bytes.
type Spoil = fn(&mut Vec<u8>);

/// A store with the good plan 2 and the older plan 1, after somebody did this to the file of the good one.
fn spoilt(change: impl FnOnce(&mut Vec<u8>)) -> Found {
    let mut store = with_good();
    store.stage(&plan(2)).unwrap();
    store.begin_trial(plan(2).id()).unwrap();
    store.promote(plan(2).id()).unwrap();
    let mut folder = store.into_folder();
    let inode = folder.names["good"];
    change(&mut folder.contents[inode].0);
    PlanStore::open(folder).1
}

#[test]
fn a_file_that_is_torn_foreign_or_damaged_is_named_and_the_older_good_plan_is_used() {
    let cases: [(Spoil, FaultKind); 6] = [
        (|bytes| bytes.truncate(3), FaultKind::Torn),
        (|bytes| bytes.truncate(bytes.len() - 1), FaultKind::Torn),
        (|bytes| bytes.push(0), FaultKind::Torn),
        (|bytes| *bytes = b"{\"plan\": 1}".to_vec(), FaultKind::Foreign),
        (|bytes| bytes[100] ^= 1, FaultKind::Damaged),
        (|bytes| bytes[20] ^= 1, FaultKind::Damaged),
    ];
    for (change, kind) in cases {
        let found = spoilt(change);
        assert_eq!(found.faults, [Fault { file: "good", kind }]);
        assert_eq!(epochs(&found).0, Some(1));
    }
}
