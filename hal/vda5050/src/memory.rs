//! What a master has to know of a conversation to go on with it: small, plain, and the same on every machine.

use hal_units::Duration;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::dialogue::{Course, Dialogue, Unheld, Waiting};
use crate::limits::Limits;
use crate::order::{Action, Order};
use crate::sending::Sent;
use crate::zone::ZoneSet;

/// All that a conversation remembers; when something was sent is not part of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Memory {
    header_ids: [u32; 4],
    course: Option<CourseMemory>,
    instant: Vec<WaitingMemory>,
    zone_sets: Vec<ZoneSet>,
    last_header: Option<u32>,
    stands_on: String,
    actions_named: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct CourseMemory {
    order: Order,
    nodes: Vec<(String, u32, bool)>,
    echoed: Option<u32>,
    reached: Option<u32>,
    arrived: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct WaitingMemory {
    action: Action,
    seen: bool,
    cancels: bool,
}

impl Dialogue {
    /// What another master needs to go on.
    #[must_use]
    pub fn state(&self) -> Memory {
        let course = self.course.as_ref().map(|course| CourseMemory {
            order: course.order.clone(),
            nodes: course.nodes.clone(),
            echoed: course.echoed,
            reached: course.reached,
            arrived: course.arrived,
        });
        let waiting = |waiting: &Waiting| WaitingMemory {
            action: waiting.action.clone(),
            seen: waiting.seen,
            cancels: waiting.cancels,
        };
        Memory {
            header_ids: self.header_ids,
            course,
            instant: self.instant.iter().map(waiting).collect(),
            zone_sets: self.zone_sets.iter().map(|unheld| unheld.zone_set.clone()).collect(),
            last_header: self.last_header,
            stands_on: self.stands_on.clone(),
            actions_named: self.actions_named,
        }
    }

    /// Goes on where another master was.
    ///
    /// All that the vehicle has not answered is sent again as soon as it is there. As soon as the vehicle has
    /// the order's last update, one more of ours follows that changes nothing: after its echo the vehicle
    /// refuses whatever the other master has sent of this order.
    #[must_use]
    pub fn restore(address: Address, limits: Limits, resend_after: Duration, memory: Memory) -> Self {
        let Memory { header_ids, course, instant, zone_sets, last_header, stands_on, actions_named } = memory;
        let course = course.map(|course| {
            let CourseMemory { order, nodes, echoed, reached, arrived } = course;
            Course { order, nodes, sent: Sent::NOT_BY_US, echoed, reached, arrived }
        });
        let waiting = |waiting: WaitingMemory| {
            let WaitingMemory { action, seen, cancels } = waiting;
            Waiting { action, sent: Sent::NOT_BY_US, seen, cancels }
        };
        Self {
            unsealed: course.is_some(),
            header_ids,
            course,
            instant: instant.into_iter().map(waiting).collect(),
            zone_sets: zone_sets
                .into_iter()
                .map(|zone_set| Unheld { zone_set, sent: Sent::NOT_BY_US })
                .collect(),
            last_header,
            stands_on,
            actions_named,
            ..Self::new(address, limits, resend_after)
        }
    }

    /// Whether whatever another master has sent of the order under way is refused by the vehicle.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        !self.unsealed && self.course.as_ref().is_none_or(|course| !course.waits())
    }
}
