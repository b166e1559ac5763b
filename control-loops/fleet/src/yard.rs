//! Where vehicles can make way for each other: the core of the layout, and the dead ends around it.
//!
//! # Model
//!
//! The core is the largest part of the layout in which from each node `u` that a vehicle may enter from a
//! node `v`, all other nodes of the core can be reached without passing `v`. In a layout of two-way
//! connections this is the largest biconnected block. In the core, whoever has the right of way can always
//! push on, as long as one node is free (the lemma of priority inheritance with backtracking, Okumura et
//! al. 2022, doi:10.1016/j.artint.2022.103752).
//!
//! Everything else is a branch: a part that hangs on one node of the core, its root. A branch belongs to
//! one vehicle at a time, from when it plans to enter until it is out. Where several are in one branch all the
//! same (they began there, or people drove them), all go outwards until one is left.

use alloc::vec;
use alloc::vec::Vec;

use crate::graph::{Graph, Node};
use crate::store::Store;
use crate::window::NOBODY;

const CORE: u16 = u16::MAX;
/// Owner of a branch that several vehicles are in: all have to leave until one is left.
pub(crate) const CROWD: u16 = NOBODY - 1;

/// Core and branches of a layout, and whose each branch is.
#[derive(Debug, Clone)]
pub(crate) struct Yard {
    branch: Store<u16>,
    depth: Store<u16>,
    owner: Store<u16>,
    aim: Store<u16>,
    /// A branch that is the next one's as soon as it is free: whoever has the right of way and has to get in.
    reserved: Option<(u16, u16)>,
    core_nodes: usize,
}

/// Why traffic on a layout could come to a standstill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutError {
    /// No two vehicles could ever pass each other: the core has fewer than three nodes.
    NoCore,
    /// From this node the vehicles cannot make way for one that comes from there.
    Trap {
        /// Where the one with the right of way comes from.
        from: Node,
        /// Where the others cannot make way.
        at: Node,
    },
    /// More separate branches than are counted.
    Branches,
    /// A vehicle would find no way out of this node, or none into it.
    OneWay {
        /// Which node.
        node: Node,
    },
}

impl Yard {
    pub(crate) fn new(graph: &Graph, vehicles: usize) -> Result<Self, LayoutError> {
        let core = largest_block(graph);
        let core_nodes = core.iter().filter(|inside| **inside).count();
        if core_nodes < 3 {
            return Err(LayoutError::NoCore);
        }
        let mut yard = Self {
            branch: Store::new(graph.spots(), CORE),
            depth: Store::new(graph.spots(), 0),
            owner: Store::new(0, NOBODY),
            aim: Store::new(vehicles, CORE),
            reserved: None,
            core_nodes,
        };
        let branches = yard.find_branches(graph, &core)?;
        yard.owner = Store::new(branches, NOBODY);
        check_core(graph, &core, core_nodes)?;
        Ok(yard)
    }

    /// How many nodes the core has.
    pub(crate) fn core_nodes(&self) -> usize {
        self.core_nodes
    }

    /// Whether there is any branch at all.
    #[inline]
    pub(crate) fn has_branches(&self) -> bool {
        self.owner.len() > 0
    }

    #[inline]
    pub(crate) fn in_branch(&self, node: u32) -> bool {
        self.branch.at(node as usize) != CORE
    }

    #[inline]
    pub(crate) fn branch_of(&self, node: u32) -> Option<u16> {
        Some(self.branch.at(node as usize)).filter(|branch| *branch != CORE)
    }

    /// Steps from here to the core, 0 in the core.
    #[inline]
    pub(crate) fn depth(&self, node: u32) -> u16 {
        self.depth.at(node as usize)
    }

    pub(crate) fn owner(&self, branch: u16) -> u16 {
        self.owner.at(branch as usize)
    }

    pub(crate) fn give(&mut self, branch: u16, vehicle: u16) {
        self.owner.put(branch as usize, vehicle);
    }

    /// Nobody is in it or plans to enter it.
    pub(crate) fn free(&mut self, branch: u16) {
        let next = self.reserved.filter(|(reserved, _)| *reserved == branch);
        self.give(branch, next.map_or(NOBODY, |(_, vehicle)| vehicle));
    }

    /// The branch that is kept free, and for whom.
    pub(crate) fn reserved(&self) -> Option<(u16, u16)> {
        self.reserved
    }

    /// Keeps a branch free for a vehicle, or none. Whose it is does not change before it is free.
    pub(crate) fn reserve(&mut self, reserved: Option<(u16, u16)>) {
        self.reserved = reserved;
    }

    pub(crate) fn branches(&self) -> u16 {
        self.owner.len() as u16
    }

    /// The vehicle's goal lies there.
    pub(crate) fn set_aim(&mut self, vehicle: u16, goal: Option<Node>) {
        self.aim.put(vehicle as usize, goal.map_or(CORE, |goal| self.branch.at(goal.0 as usize)));
    }

    /// Whether a vehicle may take this arc, as far as branches are concerned.
    #[inline]
    pub(crate) fn may_pass(&self, vehicle: u16, from: u32, to: u32) -> bool {
        let into = self.branch.at(to as usize);
        if into == CORE {
            return true;
        }
        let owner = self.owner.at(into as usize);
        if self.branch.at(from as usize) == into {
            owner == vehicle || self.depth(to) < self.depth(from)
        } else {
            (owner == NOBODY || owner == vehicle) && self.aim.at(vehicle as usize) == into
        }
    }

    /// Whether a vehicle stands in a branch that belongs to another one.
    #[inline]
    pub(crate) fn has_to_leave(&self, vehicle: u16, node: u32) -> bool {
        let branch = self.branch.at(node as usize);
        branch != CORE && self.owner.at(branch as usize) != vehicle
    }

    /// Depths by a search from the core, then one number for each connected part outside it.
    fn find_branches(&mut self, graph: &Graph, core: &[bool]) -> Result<usize, LayoutError> {
        let mut queue: Vec<u32> = Vec::with_capacity(graph.nodes());
        let mut known: Vec<bool> = core.to_vec();
        queue.extend((0..graph.nodes() as u32).filter(|node| inside(core, *node)));
        let mut next = 0;
        while let Some(node) = queue.get(next).copied() {
            next += 1;
            for link in graph.links_to(node) {
                if !inside(&known, link.node) {
                    mark(&mut known, link.node);
                    self.depth.put(link.node as usize, self.depth(node).saturating_add(1));
                    queue.push(link.node);
                }
            }
        }
        if let Some(node) = (0..graph.nodes() as u32).find(|node| !inside(&known, *node)) {
            return Err(LayoutError::OneWay { node: Node(node) });
        }
        let mut branches = 0;
        let mut known = core.to_vec();
        for first in 0..graph.nodes() as u32 {
            if inside(&known, first) {
                continue;
            }
            if branches == CORE {
                return Err(LayoutError::Branches);
            }
            mark(&mut known, first);
            let mut waiting = vec![first];
            while let Some(node) = waiting.pop() {
                self.branch.put(node as usize, branches);
                for link in graph.out_of(node).iter().chain(graph.links_to(node)) {
                    if !inside(&known, link.node) {
                        mark(&mut known, link.node);
                        waiting.push(link.node);
                    }
                }
            }
            branches += 1;
        }
        let reached = reachable(graph, core, None);
        match (0..graph.nodes() as u32).find(|node| !inside(&reached, *node)) {
            Some(node) => Err(LayoutError::OneWay { node: Node(node) }),
            None => Ok(usize::from(branches)),
        }
    }
}

fn inside(set: &[bool], node: u32) -> bool {
    set.get(node as usize).copied().unwrap_or(false)
}

fn mark(set: &mut [bool], node: u32) {
    if let Some(slot) = set.get_mut(node as usize) {
        *slot = true;
    }
}

/// What can be reached from the marked nodes, without passing one.
fn reachable(graph: &Graph, from: &[bool], without: Option<u32>) -> Vec<bool> {
    let mut known = from.to_vec();
    let mut waiting: Vec<u32> = (0..graph.nodes() as u32).filter(|node| inside(from, *node)).collect();
    while let Some(node) = waiting.pop() {
        for link in graph.out_of(node) {
            if !inside(&known, link.node) && Some(link.node) != without {
                mark(&mut known, link.node);
                waiting.push(link.node);
            }
        }
    }
    known
}

/// The condition of the core, for layouts with one-way arcs; two-way blocks fulfil it by construction.
fn check_core(graph: &Graph, core: &[bool], core_nodes: usize) -> Result<(), LayoutError> {
    let core_links = |node: u32| graph.out_of(node).iter().filter(|link| inside(core, link.node));
    let two_way = (0..graph.nodes() as u32)
        .filter(|node| inside(core, *node))
        .all(|node| core_links(node).all(|link| graph.leads(Node(link.node), Node(node))));
    if two_way {
        return Ok(());
    }
    let mut known = vec![0_u32; graph.nodes()];
    let mut round = 0;
    let mut waiting: Vec<u32> = Vec::with_capacity(graph.nodes());
    for from in (0..graph.nodes() as u32).filter(|node| inside(core, *node)) {
        for entered in core_links(from) {
            round += 1;
            let mut count = 1;
            for seen in [from, entered.node] {
                if let Some(slot) = known.get_mut(seen as usize) {
                    *slot = round;
                }
            }
            waiting.push(entered.node);
            while let Some(node) = waiting.pop() {
                for link in core_links(node) {
                    if let Some(slot) = known.get_mut(link.node as usize).filter(|slot| **slot != round) {
                        *slot = round;
                        count += 1;
                        waiting.push(link.node);
                    }
                }
            }
            if count + 1 != core_nodes {
                return Err(LayoutError::Trap { from: Node(from), at: Node(entered.node) });
            }
        }
    }
    Ok(())
}

/// The largest biconnected block, arcs taken as two-way (Hopcroft and Tarjan 1973), without recursion.
fn largest_block(graph: &Graph) -> Vec<bool> {
    let nodes = graph.nodes();
    let mut order = vec![0_u32; nodes];
    let mut low = vec![0_u32; nodes];
    let mut best: Vec<u32> = Vec::new();
    let mut clock = 0;
    let mut edges: Vec<(u32, u32)> = Vec::new();
    let mut stack: Vec<(u32, u32, usize)> = Vec::new();
    let get = |values: &[u32], node: u32| values.get(node as usize).copied().unwrap_or(0);
    let set = |values: &mut [u32], node: u32, value: u32| {
        if let Some(slot) = values.get_mut(node as usize) {
            *slot = value;
        }
    };
    for root in 0..nodes as u32 {
        if get(&order, root) != 0 {
            continue;
        }
        clock += 1;
        set(&mut order, root, clock);
        set(&mut low, root, clock);
        stack.push((root, u32::MAX, 0));
        while let Some((node, parent, tried)) = stack.pop() {
            let links =
                graph.out_of(node).iter().chain(graph.links_to(node)).map(|link| link.node).nth(tried);
            if let Some(other) = links {
                stack.push((node, parent, tried + 1));
                if other == parent {
                    continue;
                }
                if get(&order, other) == 0 {
                    clock += 1;
                    set(&mut order, other, clock);
                    set(&mut low, other, clock);
                    edges.push((node, other));
                    stack.push((other, node, 0));
                } else if get(&order, other) < get(&order, node) {
                    edges.push((node, other));
                    let lower = get(&low, node).min(get(&order, other));
                    set(&mut low, node, lower);
                }
            } else if parent != u32::MAX {
                let lower = get(&low, parent).min(get(&low, node));
                set(&mut low, parent, lower);
                if get(&low, node) >= get(&order, parent) {
                    let mut block: Vec<u32> = Vec::new();
                    while let Some((from, to)) = edges.pop() {
                        block.extend([from, to]);
                        if (from, to) == (parent, node) {
                            break;
                        }
                    }
                    block.sort_unstable();
                    block.dedup();
                    if block.len() > best.len() {
                        best = block;
                    }
                }
            }
        }
    }
    let mut core = vec![false; nodes];
    for node in best {
        mark(&mut core, node);
    }
    core
}
