//! What the fleet's control grants to a vehicle.

use control_loops_dispatch::{Task, TaskKind};

/// The granted way of a vehicle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Way {
    /// The vehicle is to stand still and give it up.
    pub(crate) recalled: bool,
    /// The transport order that it is for.
    pub(crate) order: Option<u64>,
    /// Which way it is; another number says that the last one is given up.
    pub(crate) course: u32,
    /// Number and place of the waypoint that the vehicle has reached last.
    pub(crate) at: (u32, u32),
    /// Numbers and places of the granted waypoints after that.
    pub(crate) base: Vec<(u32, u32)>,
    /// Places that will probably follow.
    pub(crate) horizon: Vec<u32>,
    /// What is to be done at the end of the base.
    pub(crate) task: Option<Task>,
}

impl Way {
    /// Whether a load is taken or put down at its end.
    pub(crate) fn moves_load(&self) -> bool {
        self.task.is_some_and(|task| matches!(task.kind, TaskKind::Pick | TaskKind::Drop))
    }

    /// A task that the vehicle was not told of yet.
    pub(crate) fn new_task(&self, told: u32) -> Option<Task> {
        self.task.filter(|task| task.number > told && is_sent(*task))
    }
}

/// To park is to stand: nothing is sent for it.
fn is_sent(task: Task) -> bool {
    match task.kind {
        TaskKind::Pick | TaskKind::Drop | TaskKind::Visit | TaskKind::Charge => true,
        TaskKind::Park => false,
    }
}
