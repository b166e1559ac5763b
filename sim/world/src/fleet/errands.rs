//! Where the goals come from.

use control_loops_fleet::Node;
use control_loops_layouts::grid::{Cell, Grid};

/// A source of goals.
#[derive(Debug, Clone)]
pub enum Errands {
    /// Any node, all equally likely.
    Anywhere {
        /// How many there are.
        nodes: u32,
        /// The stream of random numbers.
        random: Random,
    },
    /// Work stations and endpoints in turn; half of the vehicles begin with either.
    InTurn {
        /// The two kinds.
        nodes: [Vec<Node>; 2],
        /// How many goals each vehicle has had.
        had: Vec<usize>,
        /// The stream of random numbers.
        random: Random,
    },
    /// A list: entry `i` is for vehicle `i` modulo their number. It begins again at its end.
    Listed {
        /// All entries.
        list: Vec<Node>,
        /// How many goals each vehicle has had.
        had: Vec<usize>,
    },
}

impl Errands {
    /// In turn on a map with work stations and endpoints, otherwise anywhere.
    #[must_use]
    pub fn on(grid: &Grid, vehicles: usize, random: Random) -> Self {
        let nodes = [Cell::Workstation, Cell::Endpoint].map(|kind| grid.nodes_on(kind).collect::<Vec<_>>());
        if nodes.iter().any(Vec::is_empty) {
            Self::Anywhere { nodes: grid.nodes() as u32, random }
        } else {
            Self::InTurn { nodes, had: vec![0; vehicles], random }
        }
    }

    /// The next goal of a vehicle; `None` for a vehicle or a list that does not exist.
    pub fn next(&mut self, vehicle: usize) -> Option<Node> {
        match self {
            Self::Anywhere { nodes, random } => Some(Node(random.below(u64::from(*nodes)) as u32)),
            Self::InTurn { nodes, had, random } => {
                let had = had.get_mut(vehicle)?;
                let kind = nodes.get((vehicle + *had) % 2)?;
                *had += 1;
                kind.get(random.below(kind.len() as u64) as usize).copied()
            }
            Self::Listed { list, had } => {
                let vehicles = had.len();
                let had = had.get_mut(vehicle)?;
                let rounds = (list.len() / vehicles).max(1);
                let entry = vehicle + (*had % rounds) * vehicles;
                *had += 1;
                list.get(entry).copied()
            }
        }
    }
}

/// Reproducible random numbers (SplitMix64).
#[derive(Debug, Clone, Copy)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `end`, without it; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits().checked_rem(end).unwrap_or(0)
    }

    /// From 0 to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `count` different nodes of a map; fewer if it has fewer.
    pub fn places(&mut self, grid: &Grid, count: usize) -> Vec<Node> {
        let mut all: Vec<Node> = (0..grid.nodes() as u32).map(Node).collect();
        for index in 0..count.min(all.len()) {
            let other = index + self.below((all.len() - index) as u64) as usize;
            all.swap(index, other);
        }
        all.truncate(count);
        all
    }
}
