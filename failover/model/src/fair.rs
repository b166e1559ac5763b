//! What happens when nothing goes wrong any more: somebody must become Active, and stay it.

use failover_protocol::{Node, Role};

use crate::mail::Loss;
use crate::space::{Action, Space, Violation};
use crate::world::{NODES, World};

/// Ticks of fair time after which one node must be Active: a boot, its wait, a lost claim, and a wait.
pub const SETTLED_AFTER: usize = 60;

/// Who takes part in fair time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// Whoever runs.
    Running,
    /// Everybody: what is down is started.
    All,
    /// Whoever runs, but this node hears nothing of its peer.
    Deaf(Node),
}

/// Lets `ticks` of time pass in which everything is delivered at once and every process runs.
///
/// # Errors
/// The invariant that was broken on the way.
pub fn fair(
    space: &mut Space,
    world: &World,
    ticks: usize,
    company: Company,
    way: &mut Vec<Action>,
) -> Result<World, Violation> {
    let mut world = *world;
    let mut go = |space: &mut Space, world: &World, action| {
        way.push(action);
        space.apply(world, action).map(|next| next.world)
    };
    for _ in 0..ticks {
        for node in NODES {
            if company == Company::All && world.machine(node).core.is_none() {
                world = go(space, &world, Action::Start(node))?;
            }
            if world.machine(node).core.is_none() || world.machine(node).ticked {
                continue;
            }
            let deaf = company == Company::Deaf(node);
            let mails: Vec<_> = world.machine(node).inbox.iter().filter(|_| !deaf).collect();
            for mail in mails {
                world = go(space, &world, Action::Deliver(node, mail, Loss::Oldest))?;
            }
            world = go(space, &world, Action::Tick(node, Loss::Oldest))?;
            world.machine_mut(node).ticked = false;
            // A transaction, and one more that its answer may lead to.
            for _ in 0..2 {
                for action in
                    [Action::Execute(node), Action::Execute(node), Action::Answer(node, Loss::Oldest)]
                {
                    world = go(space, &world, action)?;
                }
            }
            if world.machine(node).ending != 0 {
                world = go(space, &world, Action::HandOver(node, Loss::Oldest))?;
            }
            if space.pair(&world, node).is_some_and(|pair| pair.role() == Role::Fenced) {
                world = go(space, &world, Action::Sync(node, Loss::Oldest))?;
            }
        }
        world = go(space, &world, Action::Advance)?;
    }
    Ok(world)
}

/// Whether exactly one node is Active with an open gate.
#[must_use]
pub fn is_settled(space: &Space, world: &World) -> bool {
    let writes = NODES.iter().filter(|node| {
        let active = space.pair(world, **node).is_some_and(|pair| pair.role() == Role::Active);
        active && world.machine(**node).gate.is_open()
    });
    writes.count() == 1
}
