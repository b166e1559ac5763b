//! A vehicle that moves, turns and handles loads, at its own pace.

use control_loops_fleet::{Heading, Node};
use control_loops_layouts::grid::Grid;

use crate::fleet::errands::Random;
use crate::fleet::judge::Pose;
use crate::fleet::late::{Delays, Pace};

/// Ticks of an action; the control is asked in each tick.
pub const TICKS: u32 = 4;

/// What a vehicle does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Stand,
    /// A quarter turn to the right (1) or to the left (3), on the way to a node.
    Turn(u32, Node, Heading),
    /// Has turned, and goes on from the next tick.
    Face(Node, Heading),
    Move(Node),
    Handle,
}

/// What has come of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It can begin something.
    Free,
    /// It is at something.
    Busy,
    /// It has arrived at a node.
    Arrived(Node),
    /// It has taken or put down a load.
    Handled,
}

/// A vehicle.
#[derive(Debug, Clone, Copy)]
pub struct Body {
    node: Node,
    heading: Heading,
    action: Action,
    turning: bool,
    /// Ticks that the action still takes, and how much longer this vehicle needs for one.
    left: f64,
    slowness: f64,
    stopped: u32,
}

impl Body {
    /// A vehicle that stands still, facing east.
    #[must_use]
    pub fn new(node: Node, turning: bool, delays: &Delays, random: &mut Random) -> Self {
        let slowness = match delays.pace {
            Pace::Random { .. } => 1.0,
            Pace::Continuous { spread, .. } => 1.0 + spread * (2.0 * random.unit() - 1.0),
        };
        let (heading, action) = (Heading::East, Action::Stand);
        Self { node, heading, action, turning, left: 0.0, slowness, stopped: 0 }
    }

    /// One tick.
    pub fn tick(&mut self, delays: &Delays, random: &mut Random) -> Outcome {
        if self.stopped > 0 {
            self.stopped -= 1;
            return Outcome::Busy;
        }
        let stops = delays.stop_probability / f64::from(TICKS);
        if stops > 0.0 && random.unit() < stops {
            self.stopped = delays.stop_steps * TICKS;
            return Outcome::Busy;
        }
        if self.action == Action::Stand {
            return Outcome::Free;
        }
        let late = match delays.pace {
            Pace::Random { longer } => random.unit() < longer,
            Pace::Continuous { .. } => false,
        };
        if let Action::Face(node, heading) = self.action {
            self.drive(node, heading);
        }
        self.left -= if late { 0.0 } else { 1.0 };
        if self.left > 0.0 { Outcome::Busy } else { self.finish() }
    }

    fn finish(&mut self) -> Outcome {
        match self.action {
            Action::Stand => Outcome::Free,
            Action::Turn(quarters, node, heading) => {
                self.heading = Heading::from_index(self.heading.index() + quarters);
                self.action = Action::Face(node, heading);
                Outcome::Busy
            }
            Action::Face(..) => Outcome::Busy,
            Action::Move(node) => {
                self.node = node;
                self.action = Action::Stand;
                Outcome::Arrived(node)
            }
            Action::Handle => {
                self.action = Action::Stand;
                Outcome::Handled
            }
        }
    }

    /// Begins to drive to a neighbour, after turning to it.
    pub fn drive(&mut self, node: Node, heading: Heading) {
        let quarters = (heading.index() + 4 - self.heading.index()) % 4;
        self.action = match quarters {
            _ if !self.turning => Action::Move(node),
            0 => Action::Move(node),
            3 => Action::Turn(3, node, heading),
            _ => Action::Turn(1, node, heading),
        };
        self.left = f64::from(TICKS) * self.slowness;
    }

    /// Begins to take or put down a load.
    pub fn handle(&mut self, actions: u32) {
        self.action = Action::Handle;
        self.left = f64::from(TICKS * actions.max(1));
    }

    /// Whether it drives or handles a load, and neither stands nor is stopped.
    #[must_use]
    pub fn works(&self) -> bool {
        self.stopped == 0 && self.action != Action::Stand
    }

    /// The last node that it has reached.
    #[must_use]
    pub fn node(&self) -> Node {
        self.node
    }

    /// Somebody puts it elsewhere, and it stands still for so many actions.
    pub fn carry(&mut self, node: Node, actions: u32) {
        self.node = node;
        self.action = Action::Stand;
        self.stopped = actions * TICKS;
    }

    /// Where it is, for the judge. While it turns to a node it is not on its way there.
    #[must_use]
    pub fn pose(&self, grid: &Grid) -> Pose {
        let cell = |node: Node| grid.cell_of(node).unwrap_or(usize::MAX);
        let heading = self.heading.index();
        match self.action {
            Action::Move(node) => Pose { cell: cell(node), from: Some(cell(self.node)), heading },
            Action::Stand | Action::Turn(..) | Action::Face(..) | Action::Handle => {
                Pose { cell: cell(self.node), from: None, heading }
            }
        }
    }
}
