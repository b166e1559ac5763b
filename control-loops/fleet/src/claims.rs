//! Paths in and out of the joint plan, and whose each branch is meanwhile.

use crate::planner::Planner;
use crate::window::{NOBODY, Path};
use crate::yard::CROWD;

impl Planner {
    pub(crate) fn lift(&mut self, vehicle: u16) {
        self.unclaim(vehicle);
        self.window.remove(vehicle);
    }

    pub(crate) fn lay(&mut self, vehicle: u16, path: &Path) {
        self.window.insert(vehicle, path);
        self.claim(vehicle);
    }

    /// The branches that the path touches become the vehicle's; one with two vehicles inside is nobody's.
    pub(crate) fn claim(&mut self, vehicle: u16) {
        if !self.yard.has_branches() {
            return;
        }
        for step in 0..=self.window.steps() {
            self.claim_at(vehicle, step);
        }
    }

    fn claim_at(&mut self, vehicle: u16, step: usize) {
        let Some(branch) = self.yard.branch_of(self.window.node(vehicle, step)) else { return };
        let owner = self.yard.owner(branch);
        if owner == NOBODY {
            self.yard.give(branch, vehicle);
        } else if owner != vehicle && step == 0 {
            self.yard.give(branch, CROWD);
        }
    }

    /// Says anew whose each branch is, from where everybody is now.
    pub(crate) fn claim_standing(&mut self) {
        for branch in 0..self.yard.branches() {
            // A crowd is one until it is out.
            let inside = |vehicle: u16| self.yard.branch_of(self.window.node(vehicle, 0)) == Some(branch);
            if self.yard.owner(branch) != CROWD || !(0..self.vehicles).any(inside) {
                self.yard.give(branch, NOBODY);
            }
        }
        for vehicle in 0..self.vehicles {
            self.claim_at(vehicle, 0);
        }
        self.keep_reserved_free();
    }

    /// The branch of the vehicle's goal is its own as soon as nobody is in it; that of whoever had one before is not.
    pub(crate) fn reserve_for(&mut self, vehicle: Option<u16>) {
        let branch = |vehicle: u16| {
            let goal = self.goal.at(vehicle as usize)?;
            Some((self.yard.branch_of(goal.0)?, vehicle))
        };
        let reserved = vehicle.and_then(branch);
        let before = self.yard.reserved();
        if before == reserved {
            return;
        }
        self.yard.reserve(reserved);
        if let Some((branch, vehicle)) = before
            && self.yard.owner(branch) == vehicle
            && self.yard.branch_of(self.window.node(vehicle, 0)) != Some(branch)
        {
            self.yard.free(branch);
            self.claim(vehicle);
        }
        let Some((branch, vehicle)) = reserved else { return };
        self.keep_reserved_free();
        let inside = |other: u16| self.yard.branch_of(self.window.node(other, 0)) == Some(branch);
        if self.yard.owner(branch) != vehicle && !(0..self.vehicles).any(inside) {
            // Somebody only plans to enter it.
            self.stop_all();
        }
    }

    fn keep_reserved_free(&mut self) {
        if let Some((branch, _)) =
            self.yard.reserved().filter(|(branch, _)| self.yard.owner(*branch) == NOBODY)
        {
            self.yard.free(branch);
        }
    }

    /// After that, the branches that somebody plans to enter.
    pub(crate) fn claim_all(&mut self) {
        for vehicle in 0..self.vehicles {
            self.claim(vehicle);
        }
    }

    /// Whether a vehicle plans to enter a branch that is another one's.
    pub(crate) fn intrudes(&self, vehicle: u16) -> bool {
        let here = self.yard.branch_of(self.window.node(vehicle, 0));
        let mut branches =
            (1..=self.window.steps()).filter_map(|step| self.yard.branch_of(self.window.node(vehicle, step)));
        branches.any(|branch| {
            let owner = self.yard.owner(branch);
            Some(branch) != here && owner != NOBODY && owner != vehicle
        })
    }

    /// The branches that the path only plans to enter are free again.
    fn unclaim(&mut self, vehicle: u16) {
        if !self.yard.has_branches() {
            return;
        }
        let here = self.yard.branch_of(self.window.node(vehicle, 0));
        for step in 1..=self.window.steps() {
            let branch = self.yard.branch_of(self.window.node(vehicle, step));
            let only_planned = branch.filter(|branch| Some(*branch) != here);
            if let Some(branch) = only_planned.filter(|branch| self.yard.owner(*branch) == vehicle) {
                self.yard.free(branch);
            }
        }
    }

    /// Before a step: a branch that its last vehicle leaves is free; of a crowd the last one owns it.
    pub(crate) fn leave_branch(&mut self, vehicle: u16) {
        let Some(branch) = self.yard.branch_of(self.window.node(vehicle, 0)) else { return };
        let stays = |planner: &Self, other: u16| {
            planner.yard.branch_of(planner.window.node(other, 1)) == Some(branch)
        };
        if stays(self, vehicle) {
            return;
        }
        if self.yard.owner(branch) == vehicle {
            self.yard.free(branch);
        } else if self.yard.owner(branch) == CROWD {
            let mut inside = (0..self.vehicles).filter(|other| stays(self, *other));
            match (inside.next(), inside.next()) {
                (None, _) => self.yard.free(branch),
                (Some(last), None) => self.yard.give(branch, last),
                (Some(_), Some(_)) => {}
            }
        }
    }
}
