//! What is asked of the fleet, by operators and by plans.

use std::collections::VecDeque;

use agent_cycle::Executed;
use agent_plan::CheckedTransport;
use crossbeam_channel::Sender;
use hal_mqtt::command::{CommandKey, CommandNumber, FoundLoad, Transport};
use hal_mqtt::topic::Name;
use jiff::Timestamp;

/// Requests and answers that may wait.
pub(super) const REQUESTS_MAX: usize = 1024;

/// What an operator asks of the fleet.
#[derive(Debug, Clone)]
pub(crate) enum FleetRequest {
    /// A transport order, named by the key of its command.
    Submit { number: CommandNumber, key: CommandKey, transport: Box<Transport> },
    /// A transport order of a plan. Nobody waits for an answer: the next plan may name it again.
    Planned { key: CommandKey, transport: Box<Transport> },
    /// The end of an order.
    Cancel { number: CommandNumber, key: CommandKey, order: CommandKey },
    /// What a person has found at a vehicle that holds a load.
    Resolve { number: CommandNumber, key: CommandKey, vehicle: Name, load: FoundLoad },
}

/// What became of it.
#[derive(Debug, Clone)]
pub(crate) enum FleetAnswer {
    /// The state with its effect is held by whoever would go on.
    Done { number: CommandNumber, executed: Executed },
    /// It cannot be done; nothing has changed.
    Impossible { number: CommandNumber, why: String },
}

/// The orders of plans on their way to the fleet.
pub(crate) struct PlannedOrders {
    requests: Sender<FleetRequest>,
    waiting: VecDeque<FleetRequest>,
}

/// Who gives the orders of plans: their ids are names among those of this issuer.
const PLANNER: &str = "plan";

impl PlannedOrders {
    /// For the thread that takes these requests.
    pub(super) fn to(requests: Sender<FleetRequest>) -> Self {
        Self { requests, waiting: VecDeque::new() }
    }

    /// Gives these orders, as soon as the thread has room. Those of an earlier plan that were not given are not any
    /// more.
    pub(crate) fn give(&mut self, transports: &[CheckedTransport]) {
        let request = |order: &CheckedTransport| {
            let due = order.deadline.map(|at| i64::try_from(at.unix_millis()).unwrap_or(i64::MAX));
            let transport = Transport {
                from: Name::new(&order.from).ok()?,
                to: Name::new(&order.to).ok()?,
                priority: order.priority,
                due: due.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
            };
            let key = CommandKey::of(PLANNER, &order.id);
            Some(FleetRequest::Planned { key, transport: Box::new(transport) })
        };
        self.waiting = transports.iter().filter_map(request).collect();
        self.pass_on();
    }

    /// Passes on what the thread takes, leaving room for operators.
    pub(crate) fn pass_on(&mut self) {
        while self.requests.len() < REQUESTS_MAX / 4
            && let Some(request) = self.waiting.pop_front()
        {
            if let Err(error) = self.requests.try_send(request) {
                self.waiting.push_front(error.into_inner());
                return;
            }
        }
    }
}
