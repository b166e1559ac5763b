//! Where explorations start: states that fair time leads to.

use failover_protocol::{Node, Role};

use crate::effects::Violation;
use crate::fair::{Company, fair};
use crate::mail::{Loss, Mail};
use crate::space::{Action, Space};
use crate::world::{Budget, World};

/// Ticks of a boot until there is an Active, or of a takeover.
const LONG: usize = 12;
/// Ticks until a node that was started is a standby.
const SHORT: usize = 6;

/// Where an exploration starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nothing runs, nothing was ever written.
    Boot,
    /// A is Active in epoch 1, B is its standby.
    Steady,
    /// The same, and B has heard nothing for so long that it has just looked at the arbiter.
    Probed,
    /// A has resigned, B is Active in epoch 2, A is its standby.
    Succeeded,
    /// A has resigned, B's claim was carried out without an answer, A has seen it and is about to claim.
    Retried,
    /// B has resigned as well, A is Active in epoch 3, B is its standby.
    Returned,
    /// The same, and A has restarted at once.
    Reborn,
}

impl Start {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Boot,
        Self::Steady,
        Self::Probed,
        Self::Succeeded,
        Self::Retried,
        Self::Returned,
        Self::Reborn,
    ];
}

/// The state to start from.
///
/// # Errors
/// If an invariant is broken on the way there.
pub fn root(space: &mut Space, start: Start, rates: [u8; 2], budget: Budget) -> Result<World, Violation> {
    let nothing = Budget { crashes: 0, faults: 0, commands: 0 };
    let mut world = World::new(rates, nothing);
    if start != Start::Boot {
        world = steady(space, &world)?;
    }
    match start {
        Start::Boot | Start::Steady => {}
        Start::Probed => world = fair(space, &world, 2, Company::Deaf(Node::B), &mut Vec::new())?,
        Start::Succeeded => world = succeed(space, &world, Node::A)?,
        Start::Retried => world = retry(space, &world)?,
        Start::Returned | Start::Reborn => {
            world = succeed(space, &world, Node::A)?;
            world = succeed(space, &world, Node::B)?;
            if start == Start::Reborn {
                world = reborn(space, &world)?;
            }
        }
    }
    world.budget = budget;
    Ok(world)
}

fn steady(space: &mut Space, boot: &World) -> Result<World, Violation> {
    let world = space.apply(boot, Action::Start(Node::A))?.world;
    let world = fair(space, &world, LONG, Company::Running, &mut Vec::new())?;
    let world = space.apply(&world, Action::Start(Node::B))?.world;
    let world = fair(space, &world, SHORT, Company::Running, &mut Vec::new())?;
    debug_assert!(space.pair(&world, Node::A).is_some_and(|a| a.role() == Role::Active));
    debug_assert!(space.pair(&world, Node::B).is_some_and(|b| b.role() == Role::Standby));
    Ok(world)
}

/// The Active `node` resigns, and its peer follows.
fn succeed(space: &mut Space, world: &World, node: Node) -> Result<World, Violation> {
    let world = space.apply(world, Action::Resign(node, Loss::Oldest))?.world;
    let world = fair(space, &world, LONG, Company::Running, &mut Vec::new())?;
    debug_assert!(space.pair(&world, node.peer()).is_some_and(|peer| peer.role() == Role::Active));
    debug_assert!(space.pair(&world, node).is_some_and(|peer| peer.role() == Role::Standby));
    Ok(world)
}

/// A resigns, B claims and gets no answer; A goes on alone for a while.
fn retry(space: &mut Space, steady: &World) -> Result<World, Violation> {
    let mut world = space.apply(steady, Action::Resign(Node::A, Loss::Oldest))?.world;
    let word = Mail::End { epoch: 1, handed: None };
    let claim = [
        Action::Deliver(Node::B, word, Loss::Oldest),
        Action::Execute(Node::B),
        Action::Execute(Node::B),
        Action::GiveUp(Node::B, Loss::Oldest),
    ];
    for action in claim {
        world = space.apply(&world, action)?.world;
    }
    for _ in 0..LONG {
        world = space.apply(&world, Action::Tick(Node::A, Loss::Oldest))?.world;
        if space.pair(&world, Node::A).is_some_and(|a| a.is_claiming()) {
            break;
        }
        let alone = [
            Action::Execute(Node::A),
            Action::Execute(Node::A),
            Action::Answer(Node::A, Loss::Oldest),
            Action::Advance,
        ];
        for action in alone {
            world = space.apply(&world, action)?.world;
        }
    }
    Ok(world)
}

/// A renews its lease, loses its power and is back at once, while its old gate is still open.
fn reborn(space: &mut Space, returned: &World) -> Result<World, Violation> {
    let mut world = *returned;
    let back = [
        Action::Tick(Node::A, Loss::Oldest),
        Action::Execute(Node::A),
        Action::Execute(Node::A),
        Action::Answer(Node::A, Loss::Oldest),
        Action::PowerLoss(Node::A),
        Action::Start(Node::A),
        Action::Tick(Node::A, Loss::Oldest),
        Action::Execute(Node::A),
        Action::Execute(Node::A),
        Action::Answer(Node::A, Loss::Oldest),
    ];
    for action in back {
        world = space.apply(&world, action)?.world;
    }
    Ok(world)
}
