//! The layout as the traffic control sees it: places, and one-way arcs between them.
//!
//! # Terms
//!
//! - node: a place where one vehicle fits; two vehicles on different nodes never touch.
//! - arc: a one-way connection; two opposite arcs make a two-way connection.
//! - heading: the direction in which a vehicle drives along an arc, in quarters of a turn.
//! - state: a node, and in the turning model the heading on it.

use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::store::Store;

/// A place where one vehicle fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Schema)]
pub struct Node(pub u32);

/// A vehicle of the fleet, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Schema)]
pub struct Vehicle(pub u16);

/// A direction of travel, in quarters of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
#[repr(u8)]
pub enum Heading {
    /// Along growing x (columns of a grid map).
    #[default]
    East = 0,
    /// Along growing y (rows of a grid map, downwards as it is written).
    South = 1,
    /// Against growing x.
    West = 2,
    /// Against growing y.
    North = 3,
}

impl Heading {
    /// All four, in the order of turning by one quarter.
    pub const ALL: [Self; 4] = [Self::East, Self::South, Self::West, Self::North];

    /// The heading with this index, counted modulo four.
    #[must_use]
    pub const fn from_index(index: u32) -> Self {
        match index % 4 {
            0 => Self::East,
            1 => Self::South,
            2 => Self::West,
            _ => Self::North,
        }
    }

    /// Its index, from 0 (east) to 3 (north).
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }
}

/// A one-way connection, as it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arc {
    /// Where it begins.
    pub from: Node,
    /// Where it ends.
    pub to: Node,
    /// The direction of travel.
    pub heading: Heading,
    /// What it costs beside a plain step of [`UNIT`]; 1 to 255.
    pub cost: u8,
}

/// The cost of one step: a wait, a quarter turn, or a plain move.
pub const UNIT: u16 = 8;

/// Most nodes of a layout.
pub const NODES_MAX: usize = 1 << 20;
/// Most arcs that leave one node.
pub const DEGREE_MAX: usize = 8;

/// Why a layout is no graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphError {
    /// No node at all, or more than [`NODES_MAX`].
    Nodes {
        /// How many were given.
        count: usize,
    },
    /// An arc names a node that does not exist.
    UnknownNode {
        /// The arc, by its index in the input.
        arc: usize,
    },
    /// An arc ends where it begins.
    Loop {
        /// The arc, by its index in the input.
        arc: usize,
    },
    /// Two arcs connect the same nodes in the same direction.
    Doubled {
        /// From here.
        from: Node,
        /// To here.
        to: Node,
    },
    /// An arc that costs nothing.
    Free {
        /// The arc, by its index in the input.
        arc: usize,
    },
    /// More than [`DEGREE_MAX`] arcs leave one node.
    Degree {
        /// Which node.
        node: Node,
    },
}

/// An arc as it is stored at its node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// The other end.
    pub(crate) node: u32,
    pub(crate) heading: u8,
    /// The arc's index, for its cost.
    pub(crate) arc: u32,
}

const NO_LINK: Link = Link { node: 0, heading: 0, arc: 0 };

/// Nodes and arcs in compact form.
#[derive(Debug, Clone)]
pub struct Graph {
    nodes: usize,
    /// Places off the layout, after its nodes, where vehicles are that do not take part.
    aside: usize,
    out_start: Store<u32>,
    out: Store<Link>,
    in_start: Store<u32>,
    into: Store<Link>,
    cost: Store<u8>,
}

impl Graph {
    /// A graph of `nodes` nodes and these arcs.
    ///
    /// # Errors
    /// If the arcs do not make a graph; see [`GraphError`].
    pub fn new(nodes: usize, arcs: &[Arc]) -> Result<Self, GraphError> {
        if nodes == 0 || nodes > NODES_MAX {
            return Err(GraphError::Nodes { count: nodes });
        }
        for (index, arc) in arcs.iter().enumerate() {
            if arc.from.0 as usize >= nodes || arc.to.0 as usize >= nodes {
                return Err(GraphError::UnknownNode { arc: index });
            }
            if arc.from == arc.to {
                return Err(GraphError::Loop { arc: index });
            }
            if arc.cost == 0 {
                return Err(GraphError::Free { arc: index });
            }
        }
        let mut graph = Self {
            nodes,
            aside: 0,
            out_start: Store::new(nodes + 1, 0),
            out: Store::new(arcs.len(), NO_LINK),
            in_start: Store::new(nodes + 1, 0),
            into: Store::new(arcs.len(), NO_LINK),
            cost: Store::new(arcs.len().max(1), 1),
        };
        for (index, arc) in arcs.iter().enumerate() {
            graph.cost.put(index, arc.cost);
        }
        collect(arcs, |arc| (arc.from.0, arc.to.0), &mut graph.out_start, &mut graph.out);
        collect(arcs, |arc| (arc.to.0, arc.from.0), &mut graph.in_start, &mut graph.into);
        graph.checked()
    }

    fn checked(self) -> Result<Self, GraphError> {
        for node in 0..self.nodes as u32 {
            let links = self.out_of(node);
            if links.len() > DEGREE_MAX {
                return Err(GraphError::Degree { node: Node(node) });
            }
            for (index, link) in links.iter().enumerate() {
                if links.iter().take(index).any(|earlier| earlier.node == link.node) {
                    return Err(GraphError::Doubled { from: Node(node), to: Node(link.node) });
                }
            }
        }
        Ok(self)
    }

    /// The same layout, with so many places beside it that no arc touches.
    pub(crate) fn with_aside(mut self, aside: usize) -> Self {
        let spots = self.nodes + aside;
        self.out_start = longer(&self.out_start, spots + 1);
        self.in_start = longer(&self.in_start, spots + 1);
        self.aside = aside;
        self
    }

    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Nodes and places off the layout.
    #[inline]
    pub(crate) fn spots(&self) -> usize {
        self.nodes + self.aside
    }

    /// How many arcs there are.
    #[must_use]
    pub fn arcs(&self) -> usize {
        self.out.len()
    }

    /// The nodes that an arc reaches from here.
    pub fn neighbours(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        self.out_of(node.0).iter().map(|link| Node(link.node))
    }

    /// Whether an arc leads from one node to the other.
    #[must_use]
    pub fn leads(&self, from: Node, to: Node) -> bool {
        self.out_of(from.0).iter().any(|link| link.node == to.0)
    }

    #[inline]
    pub(crate) fn out_of(&self, node: u32) -> &[Link] {
        part(&self.out_start, &self.out, node)
    }

    #[inline]
    pub(crate) fn links_to(&self, node: u32) -> &[Link] {
        part(&self.in_start, &self.into, node)
    }

    #[inline]
    pub(crate) fn cost(&self, arc: u32) -> u16 {
        u16::from(self.cost.at(arc as usize))
    }
}

#[inline]
fn part<'a>(start: &Store<u32>, links: &'a Store<Link>, node: u32) -> &'a [Link] {
    let (from, to) = (start.at(node as usize) as usize, start.at(node as usize + 1) as usize);
    links.part(from, to.saturating_sub(from))
}

/// A table of starts, carried on by entries that begin nothing.
fn longer(start: &Store<u32>, len: usize) -> Store<u32> {
    let last = start.len().checked_sub(1).map_or(0, |last| start.at(last));
    let mut longer = Store::new(len, last);
    for index in 0..start.len() {
        longer.put(index, start.at(index));
    }
    longer
}

/// Sorts the arcs by their first end (counting sort).
fn collect(arcs: &[Arc], ends: impl Fn(&Arc) -> (u32, u32), start: &mut Store<u32>, links: &mut Store<Link>) {
    for arc in arcs {
        let slot = ends(arc).0 as usize + 1;
        start.put(slot, start.at(slot) + 1);
    }
    for node in 1..start.len() {
        start.put(node, start.at(node) + start.at(node - 1));
    }
    let mut next = start.clone();
    for (index, arc) in arcs.iter().enumerate() {
        let (near, far) = ends(arc);
        let slot = next.at(near as usize);
        links.put(slot as usize, Link { node: far, heading: arc.heading as u8, arc: index as u32 });
        next.put(near as usize, slot + 1);
    }
}
