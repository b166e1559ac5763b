//! One state of the whole: two nodes, what is under way between them, the arbiter, the gates, the devices.
//!
//! # Model
//!
//! The nodes are the production state machine, frozen and named by a number. Two devices listen to both
//! nodes:
//!
//! - A plain one applies whatever reaches it. The adversary writes at every instant that a gate lets it, and
//!   each write may travel for [`TRAVEL_TICKS`]; so what matters is which terms' writes can still arrive.
//! - A fencing one refuses epochs below the highest that it has seen, which helps only if a new term always
//!   has a higher epoch than every term that wrote before.

use failover_protocol::Node;

use crate::clock::TRAVEL_TICKS;
use crate::mail::Inbox;

/// Which state machine a node is, in the table of the exploration.
pub type CoreId = u32;

/// A kernel gate: the term it is open for, and for how much longer on its node's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Gate {
    /// The term.
    pub epoch: u8,
    /// Units left; 0 is shut.
    pub left: u8,
}

impl Gate {
    /// Whether a write passes.
    #[must_use]
    pub const fn is_open(self) -> bool {
        self.left > 0
    }
}

/// A term whose writes passed a gate and may still arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct UnderWay {
    /// The term.
    pub epoch: u8,
    /// For how many ticks; 0 is none.
    pub ticks: u8,
}

/// A pair of registers of the arbiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Registers {
    /// The claimed epoch.
    pub slot: u8,
    /// The counter.
    pub counter: u8,
}

/// A transaction under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flight {
    /// Nothing of it has happened at the device.
    Sent {
        /// What it writes.
        write: Option<Registers>,
    },
    /// The first half has happened: the write, or with the order reversed the read.
    Half {
        /// What it writes.
        write: Option<Registers>,
        /// What was read, if the read came first.
        read: Option<[Registers; 2]>,
    },
    /// It has happened; the answer is under way.
    Done {
        /// What was read: of A, and of B.
        read: [Registers; 2],
    },
}

/// A node with everything that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Machine {
    /// The running state machine; `None` while the process is down.
    pub core: Option<CoreId>,
    /// Whether it has had its tick in this tick of time.
    pub ticked: bool,
    /// The cycle that the executive was asked to write as the last; 0 for none.
    pub ending: u8,
    /// The last term that its gate was opened for since the process started.
    pub held: u8,
    /// The kernel's gate: it outlives the process.
    pub gate: Gate,
    /// Writes that can still arrive at the plain device.
    pub under_way: UnderWay,
    /// The outstanding transaction.
    pub flight: Option<Flight>,
    /// A write that the node has given up and that the device may still carry out.
    pub orphan: Option<Registers>,
    /// What is under way to it.
    pub inbox: Inbox,
}

/// How many more faults and commands there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Ends of a process, with loss of all that it knew.
    pub crashes: u8,
    /// Transactions without an answer.
    pub faults: u8,
    /// Requests to hand over or to resign.
    pub commands: u8,
}

/// The state of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    /// A and B.
    pub machines: [Machine; 2],
    /// The arbiter's registers of A and B.
    pub arbiter: [Registers; 2],
    /// Units that the clocks of A and B go on in a tick.
    pub rates: [u8; 2],
    /// The highest epoch that the fencing device has seen.
    pub fenced: u8,
    /// Who won the epochs: two bits each, from epoch 0.
    pub owners: u64,
    /// What may still happen.
    pub budget: Budget,
}

/// The index of a node in the arrays.
#[must_use]
pub const fn index(node: Node) -> usize {
    match node {
        Node::A => 0,
        Node::B => 1,
    }
}

/// Both nodes.
pub const NODES: [Node; 2] = [Node::A, Node::B];

impl World {
    /// Both nodes are down, nothing was ever written.
    #[must_use]
    pub fn new(rates: [u8; 2], budget: Budget) -> Self {
        Self {
            machines: [Machine::default(); 2],
            arbiter: [Registers::default(); 2],
            rates,
            fenced: 0,
            owners: 0,
            budget,
        }
    }

    /// A node.
    #[must_use]
    pub const fn machine(&self, node: Node) -> &Machine {
        let [a, b] = &self.machines;
        match node {
            Node::A => a,
            Node::B => b,
        }
    }

    /// A node, to be changed.
    pub const fn machine_mut(&mut self, node: Node) -> &mut Machine {
        let [a, b] = &mut self.machines;
        match node {
            Node::A => a,
            Node::B => b,
        }
    }

    /// The rate of a node's clock.
    #[must_use]
    pub const fn rate(&self, node: Node) -> u8 {
        let [a, b] = self.rates;
        match node {
            Node::A => a,
            Node::B => b,
        }
    }

    /// The arbiter's registers of a node.
    pub const fn registers_mut(&mut self, node: Node) -> &mut Registers {
        let [a, b] = &mut self.arbiter;
        match node {
            Node::A => a,
            Node::B => b,
        }
    }

    /// Notes that `node` has won `epoch`; false if the other had.
    pub fn owns(&mut self, node: Node, epoch: u8) -> bool {
        let shift = u64::from(epoch.min(31)) * 2;
        let mine = 1 + u64::from(node == Node::B);
        let owner = (self.owners >> shift) & 3;
        self.owners |= mine << shift;
        owner == 0 || owner == mine
    }
}

impl Machine {
    /// What passed the gate last may still arrive.
    pub fn trail(&mut self) {
        self.under_way = UnderWay { epoch: self.gate.epoch, ticks: TRAVEL_TICKS };
    }

    /// Shuts the gate.
    pub fn shut(&mut self) {
        if self.gate.is_open() {
            self.trail();
            self.gate = Gate::default();
        }
    }
}
