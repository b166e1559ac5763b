//! The joint plan: where each vehicle is during the next steps, and who is where.
//!
//! # Invariant
//!
//! At all times no two vehicles hold the same node at the same step, and no two change places. It holds
//! at the start, because everybody waits on a node of its own. [`Window::shift`] keeps it: everybody waits
//! at its last node for one step more. [`Window::insert`] is only called with paths that the search found
//! free of conflicts against all paths that are in.

use crate::store::Store;

/// Nobody.
pub(crate) const NOBODY: u16 = u16::MAX;
/// Most steps that are planned ahead.
pub const WINDOW_MAX: usize = 32;

/// One vehicle's states at the steps from now on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path([u32; WINDOW_MAX + 1]);

impl Path {
    /// Stays in one state.
    pub(crate) const fn resting(state: u32) -> Self {
        Self([state; WINDOW_MAX + 1])
    }

    /// The state at a step; beyond the longest window it rests in the last.
    #[inline]
    pub(crate) fn at(&self, step: usize) -> u32 {
        let Self([.., last]) = self;
        self.0.get(step).copied().unwrap_or(*last)
    }

    #[inline]
    pub(crate) fn put(&mut self, step: usize, state: u32) {
        if let Some(slot) = self.0.get_mut(step) {
            *slot = state;
        }
    }

    /// From this step on it stays.
    pub(crate) fn rest_from(&mut self, step: usize, state: u32) {
        for slot in self.0.iter_mut().skip(step) {
            *slot = state;
        }
    }
}

/// Paths and occupancy in a ring of steps.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    steps: usize,
    headings: u32,
    nodes: usize,
    first: usize,
    state: Store<u32>,
    holder: Store<u16>,
}

impl Window {
    pub(crate) fn new(nodes: usize, headings: u32, vehicles: usize, steps: usize) -> Self {
        let steps = steps.clamp(4, WINDOW_MAX);
        Self {
            steps,
            headings,
            nodes,
            first: 0,
            state: Store::new(vehicles * (steps + 1), 0),
            holder: Store::new(nodes * (steps + 1), NOBODY),
        }
    }

    #[inline]
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    #[inline]
    fn layer(&self, step: usize) -> usize {
        let layer = self.first + step;
        if layer > self.steps { layer - self.steps - 1 } else { layer }
    }

    #[inline]
    pub(crate) fn state(&self, vehicle: u16, step: usize) -> u32 {
        self.state.at(vehicle as usize * (self.steps + 1) + self.layer(step))
    }

    #[inline]
    pub(crate) fn node(&self, vehicle: u16, step: usize) -> u32 {
        self.state(vehicle, step) / self.headings
    }

    /// Who holds the node at that step.
    #[inline]
    pub(crate) fn holder(&self, step: usize, node: u32) -> u16 {
        self.holder.at(self.layer(step) * self.nodes + node as usize)
    }

    pub(crate) fn path(&self, vehicle: u16) -> Path {
        let mut path = Path::resting(self.state(vehicle, self.steps));
        for step in 0..self.steps {
            path.put(step, self.state(vehicle, step));
        }
        path
    }

    pub(crate) fn insert(&mut self, vehicle: u16, path: &Path) {
        for step in 0..=self.steps {
            let (layer, state) = (self.layer(step), path.at(step));
            self.state.put(vehicle as usize * (self.steps + 1) + layer, state);
            let slot = layer * self.nodes + (state / self.headings) as usize;
            debug_assert_eq!(self.holder.at(slot), NOBODY, "two vehicles on one node");
            self.holder.put(slot, vehicle);
        }
    }

    pub(crate) fn remove(&mut self, vehicle: u16) {
        for step in 0..=self.steps {
            let layer = self.layer(step);
            let node = self.state.at(vehicle as usize * (self.steps + 1) + layer) / self.headings;
            self.holder.put(layer * self.nodes + node as usize, NOBODY);
        }
    }

    /// One step passes: the first is over, and all wait through a new last one.
    pub(crate) fn shift(&mut self, vehicles: impl Iterator<Item = u16> + Clone) {
        let (old, last) = (self.first, self.layer(self.steps));
        for vehicle in vehicles.clone() {
            let node = self.state.at(vehicle as usize * (self.steps + 1) + old) / self.headings;
            self.holder.put(old * self.nodes + node as usize, NOBODY);
        }
        for vehicle in vehicles {
            let row = vehicle as usize * (self.steps + 1);
            let state = self.state.at(row + last);
            self.state.put(row + old, state);
            self.holder.put(old * self.nodes + (state / self.headings) as usize, vehicle);
        }
        self.first = if self.first == self.steps { 0 } else { self.first + 1 };
    }
}
