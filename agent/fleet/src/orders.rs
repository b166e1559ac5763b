//! Granted ways as orders of VDA 5050.

use control_loops_dispatch::{Node, Task, TaskKind};
use hal_vda5050::{Action, Address, Blocking, Edge, Node as OrderNode, Order, Position};

use crate::places::Places;

/// What an order's message is made from.
pub(crate) struct OrderParts<'a> {
    pub(crate) id: u64,
    pub(crate) update: u32,
    pub(crate) nodes: &'a [u32],
    pub(crate) sequence: u32,
    pub(crate) released: usize,
    pub(crate) task: Option<Task>,
    pub(crate) ends_charging: bool,
}

impl Places {
    /// The message of an order.
    pub(crate) fn order(&self, parts: &OrderParts<'_>, address: &Address) -> Order {
        let OrderParts { id, update, nodes, sequence, released, task, ends_charging } = *parts;
        let mut order = Order {
            order_id: format!("{}-{id}", address.serial()),
            order_update_id: update,
            nodes: Vec::with_capacity(nodes.len()),
            edges: Vec::with_capacity(nodes.len()),
        };
        let mut before: Option<u32> = None;
        for (at, node) in nodes.iter().enumerate() {
            let number = sequence + 2 * at as u32;
            let is_released = at < released;
            if let Some(before) = before.replace(*node) {
                order.edges.push(self.edge(before, *node, number - 1, is_released));
            }
            let mut actions = Vec::new();
            if at == 0 && ends_charging {
                actions.push(action("stopCharging", format!("uncharge-{id}")));
            }
            if let Some(task) = task.filter(|_| at + 1 == released) {
                actions.push(action(action_type(task.kind), action_id(task)));
            }
            order.nodes.push(self.node(*node, number, is_released, actions));
        }
        order
    }

    fn node(&self, node: u32, sequence_id: u32, released: bool, actions: Vec<Action>) -> OrderNode {
        let position = self.hall.position(Node(node)).map(|[x, y]| Position {
            map_id: self.map_id.clone(),
            x,
            y,
            theta: None,
            deviation: None,
        });
        OrderNode { node_id: self.hall.name(Node(node)).to_owned(), sequence_id, released, position, actions }
    }

    fn edge(&self, from: u32, to: u32, sequence_id: u32, released: bool) -> Edge {
        Edge {
            edge_id: self.edge_name(Node(from), Node(to)),
            sequence_id,
            released,
            start_node_id: self.hall.name(Node(from)).to_owned(),
            end_node_id: self.hall.name(Node(to)).to_owned(),
            max_speed: None,
            length: None,
            actions: Vec::new(),
        }
    }
}

pub(crate) fn action(action_type: &str, action_id: String) -> Action {
    Action {
        action_type: action_type.to_owned(),
        action_id,
        blocking: Blocking::Hard,
        parameters: Vec::new(),
    }
}

const fn action_type(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Pick => "pick",
        TaskKind::Drop => "drop",
        TaskKind::Visit => "visit",
        TaskKind::Charge => "startCharging",
        TaskKind::Park => "park",
    }
}

/// The name of a task's action: unique for the vehicle.
pub(crate) fn action_id(task: Task) -> String {
    format!("task-{}", task.number)
}

/// The number of a task whose action has this name.
pub(crate) fn task_number(action_id: &str) -> Option<u32> {
    action_id.strip_prefix("task-")?.parse().ok()
}

pub(crate) fn legs(order: &Order) -> Vec<(Edge, OrderNode)> {
    order.edges.iter().cloned().zip(order.nodes.iter().skip(1).cloned()).collect()
}
