//! Where explorations start: states that fair time leads to.

use failover_protocol::{Node, Role};

use crate::fair::{Company, fair};
use crate::mail::Loss;
use crate::space::{Action, Space, Violation};
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
    /// B has resigned as well, A is Active in epoch 3, B is its standby.
    Returned,
}

impl Start {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Boot, Self::Steady, Self::Probed, Self::Succeeded, Self::Returned];
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
        Start::Returned => {
            world = succeed(space, &world, Node::A)?;
            world = succeed(space, &world, Node::B)?;
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
