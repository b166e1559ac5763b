//! Better joint plans, one vehicle or one group at a time.
//!
//! Whatever is changed here, the joint plan before and after is free of conflicts, and a change that would
//! make it dearer is taken back. A group grows from one vehicle that has to wait: it takes its cheapest path
//! with a penalty for each other one in the way, those look for new paths, and so on (a large neighbourhood
//! search, as in Li et al. 2022, MAPF-LNS2, doi:10.1609/aaai.v36i9.21266, inside a window).

use alloc::boxed::Box;
use alloc::vec;

use crate::planner::Planner;
use crate::search::{Question, conflicts};
use crate::window::{NOBODY, Path};

/// Most vehicles of one group.
const GROUP_MAX: usize = 40;

#[derive(Debug, Clone, Copy)]
struct Member {
    vehicle: u16,
    old: Path,
    placed: bool,
}

/// The vehicles whose paths are being changed together.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    members: Box<[Member]>,
    len: usize,
    /// Indices of members without a new path, newest last.
    waiting: [usize; GROUP_MAX],
    waiting_len: usize,
    old_total: u64,
    new_total: u64,
    bound_total: u64,
}

impl Group {
    pub(crate) fn new() -> Self {
        let nobody = Member { vehicle: NOBODY, old: Path::resting(0), placed: false };
        Self {
            members: vec![nobody; GROUP_MAX].into_boxed_slice(),
            len: 0,
            waiting: [0; GROUP_MAX],
            waiting_len: 0,
            old_total: 0,
            new_total: 0,
            bound_total: 0,
        }
    }

    fn begin(&mut self) {
        (self.len, self.waiting_len) = (0, 0);
        (self.old_total, self.new_total, self.bound_total) = (0, 0, 0);
    }

    fn member(&self, index: usize) -> Member {
        let nobody = Member { vehicle: NOBODY, old: Path::resting(0), placed: false };
        self.members.get(index).copied().unwrap_or(nobody)
    }

    fn is_full(&self) -> bool {
        self.len >= self.members.len()
    }

    fn add(&mut self, member: Member) {
        if let (Some(slot), Some(place)) =
            (self.members.get_mut(self.len), self.waiting.get_mut(self.waiting_len))
        {
            *slot = member;
            *place = self.len;
            self.len += 1;
            self.waiting_len += 1;
        }
    }

    fn next(&mut self) -> Option<usize> {
        self.waiting_len = self.waiting_len.checked_sub(1)?;
        self.waiting.get(self.waiting_len).copied()
    }
}

impl Planner {
    /// Replans one vehicle around all others.
    pub(crate) fn improve_alone(&mut self, vehicle: u16) {
        let before = self.cost.at(vehicle as usize);
        let old = self.window.path(vehicle);
        self.lift(vehicle);
        let found = self.find(vehicle, old.at(0), None);
        self.lay(vehicle, found.as_ref().unwrap_or(&old));
        if found.is_some() {
            let cost = self.evaluate(vehicle);
            if cost > before {
                self.lift(vehicle);
                self.lay(vehicle, &old);
            } else {
                self.cost.put(vehicle as usize, cost);
            }
        }
    }

    /// Replans one vehicle and those in its way, if that makes the whole no dearer.
    pub(crate) fn improve_group(&mut self, first: u16, penalty: u16) {
        self.round = self.round.wrapping_add(1).max(1);
        self.group.begin();
        self.join(first);
        while let Some(index) = self.group.next() {
            if !self.place(index, penalty) {
                return self.take_back();
            }
        }
        if self.group.new_total > self.group.old_total {
            return self.take_back();
        }
        for index in 0..self.group.len {
            let vehicle = self.group.member(index).vehicle;
            let cost = self.evaluate(vehicle);
            self.cost.put(vehicle as usize, cost);
        }
    }

    fn join(&mut self, vehicle: u16) {
        let slot = vehicle as usize;
        let weight = u64::from(self.weight.at(slot));
        self.group.old_total += weight * u64::from(self.cost.at(slot));
        self.group.bound_total += weight * u64::from(self.best.at(slot));
        self.group.add(Member { vehicle, old: self.window.path(vehicle), placed: false });
        self.lift(vehicle);
    }

    /// Finds a path for a member; those in the way join. Whether it can still be worth it.
    fn place(&mut self, index: usize, penalty: u16) -> bool {
        let Member { vehicle, old, .. } = self.group.member(index);
        let penalty = (!self.group.is_full()).then_some(penalty);
        let Some(path) = self.find(vehicle, old.at(0), penalty) else { return false };
        for step in 0..self.window.steps() {
            let (from, to) = (path.at(step) / self.headings, path.at(step + 1) / self.headings);
            // A move touches two others at most; a ring is broken by one of them.
            while let Some(other) =
                conflicts(&self.scene(), from, to, step).into_iter().find(|other| *other != NOBODY)
            {
                if self.group.is_full() {
                    return false;
                }
                self.join(other);
            }
        }
        self.lay(vehicle, &path);
        self.placed.put(vehicle as usize, self.round);
        if let Some(member) = self.group.members.get_mut(index) {
            member.placed = true;
        }
        let weight = u64::from(self.weight.at(vehicle as usize));
        self.group.bound_total -= weight * u64::from(self.best.at(vehicle as usize));
        self.group.new_total += weight * u64::from(self.evaluate(vehicle));
        self.group.new_total + self.group.bound_total <= self.group.old_total
    }

    fn take_back(&mut self) {
        for index in 0..self.group.len {
            let member = self.group.member(index);
            if member.placed {
                self.lift(member.vehicle);
            }
        }
        for index in 0..self.group.len {
            let Member { vehicle, old, .. } = self.group.member(index);
            self.lay(vehicle, &old);
        }
    }

    fn find(&mut self, vehicle: u16, start: u32, penalty: Option<u16>) -> Option<Path> {
        let Self { search, placed, held, round, goal, .. } = self;
        let fixed = |other: u16| held.at(other as usize) || placed.at(other as usize) == *round;
        let question = Question { vehicle, start, goal: goal.at(vehicle as usize), penalty, fixed: &fixed };
        let scene = crate::search::Scene {
            graph: &self.graph,
            fields: &self.fields,
            window: &self.window,
            yard: &self.yard,
            arc_cost: &self.arc_cost,
            rings: self.setup.rings,
            headings: self.headings,
        };
        search.run(&scene, &question)
    }
}
