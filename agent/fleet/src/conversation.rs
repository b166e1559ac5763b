//! One vehicle that speaks VDA 5050: its granted way into orders, its states into reports.
//!
//! # Model
//!
//! The fleet's control grants a way as numbered waypoints and a task at its end. Here it becomes an order: the
//! base is what is granted, the horizon what will probably follow. When more is granted the order is carried on,
//! as soon as the vehicle has echoed what it goes on from; when all is done and a way goes on, a new order
//! begins. A way that is given up (its course has changed) is cancelled, and said to be given up once the
//! vehicle has confirmed that. A vehicle that was stopped between two places needs both: it gives nothing up, and is
//! sent on from where it stands.
//!
//! A task is done with the last node of its way. If that node was sent before the task was known, the task is
//! an order of its own, with this one node.

mod telling;

use control_loops_dispatch::{Heading, Mode, Node, Task, TaskKind, TaskReport, TaskResult, VehicleReport};
use hal_units::{Duration, Instant};
use hal_vda5050::{
    ActionState, ActionStatus, Address, Connection, ConnectionState, Dialogue, EmergencyStop, Event, Level,
    Limits, Malformed, State, StateFault, Topic,
};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::aboard::Aboard;
use crate::orders::{action_id, task_number};
use crate::places::Places;
use crate::underway::Underway;
use crate::whereabouts::{ON_NODE_METERS, meters_off, node_of};

/// What is not echoed after so long is sent again: longer than nearly each round trip over a slow radio link, of 20 ms each
/// way, takes.
const RESEND_AFTER: Duration = Duration::from_millis(55);
/// An order that was rejected is tried again after so long, twice as long after each time that it is again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The most doublings: half a minute.
const DOUBLINGS_MAX: u32 = 5;
/// More orders than a vehicle was sent since the last state that is known of it.
const NAMES_UNKNOWN: u64 = 1000;

/// What the other node of a pair has to know to go on with the conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct ConversationState {
    underway: Option<Underway>,
    /// Makes the name of the next order. The first one of a beginning is the time in milliseconds: a vehicle may
    /// still know orders of another beginning, and takes one of the same name for the same.
    begun: u64,
    /// The number of the last task that was sent.
    task_sent: u32,
    passed: u32,
    charges: bool,
    /// Whether the vehicle may have begun the task of its order.
    touched: bool,
    stops: u64,
}

/// What a vehicle has said last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) heard: Option<Instant>,
    pub(crate) connected: bool,
    pub(crate) driving: bool,
    /// In the hall, in metres.
    pub(crate) position: Option<[f64; 2]>,
    pub(crate) charging: bool,
    pub(crate) emergency_stop: bool,
    pub(crate) mode: Option<Mode>,
    pub(crate) battery_percent: f64,
    pub(crate) last_node: String,
    /// Whether it carries a load, if it can tell.
    pub(crate) loaded: Option<bool>,
    /// The worst error, in its own word.
    pub(crate) error: Option<String>,
}

/// Something that the conversation has found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The vehicle has taken a message.
    Echo {
        /// How long that took.
        after: Duration,
        /// The transport order that it was sent for.
        order: Option<u64>,
        /// It has another order since, which could not be told before that.
        owed: bool,
    },
}

/// Why a message is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Disbelief {
    /// It is no message.
    Malformed(Malformed),
    /// It contradicts what was said before.
    State(StateFault),
}

/// The conversation with one vehicle.
#[derive(Debug)]
pub(crate) struct Conversation {
    address: Address,
    dialogue: Dialogue,
    state: ConversationState,
    pub(crate) said: Said,
    task: Option<TaskReport>,
    gave_up: Option<u32>,
    sent: Option<(Instant, Option<u64>)>,
    /// It has an order that it can be told once it has echoed what was sent last.
    owed: bool,
    node: Option<(Node, Heading)>,
    /// How far it is from the place that it has reached last, in metres; zero if it does not say where it is.
    off_place_meters: f64,
    /// The number of its last state.
    header: Option<u32>,
    /// Orders that were rejected one after the other, and when the next one may be sent.
    rejected: (u32, Instant),
    /// The order is to be sent again because this node has taken over.
    adopt: bool,
    begin: Begin,
    /// No order has been begun since the conversation was.
    begin_names: bool,
    /// An action of its order is being done.
    busy: bool,
    /// The numbers of tasks that it says it has done.
    ends: Vec<u32>,
}

/// Whether a conversation has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// It goes on.
    Done,
    /// Nothing is known of the vehicle: if it has an order, that has to end first.
    Unknown,
    /// It was asked to give up whatever it has.
    Asked,
}

impl Conversation {
    pub(crate) fn new(address: Address) -> Self {
        Self {
            dialogue: Dialogue::new(address.clone(), Limits::default(), RESEND_AFTER),
            address,
            state: ConversationState::default(),
            said: Said::default(),
            task: None,
            gave_up: None,
            sent: None,
            owed: false,
            node: None,
            off_place_meters: 0.0,
            header: None,
            rejected: (0, Instant::ZERO),
            adopt: false,
            begin: Begin::Unknown,
            begin_names: true,
            busy: false,
            ends: Vec::new(),
        }
    }

    /// Begins anew after a conversation of which this is the last that is known: its names are not used again.
    pub(crate) fn begin_after(&mut self, last: &ConversationState) {
        self.state.begun = last.begun + NAMES_UNKNOWN;
    }

    /// Whether the vehicle has a load, after a conversation of which this is the last that is known.
    pub(crate) fn aboard(&self, last: &ConversationState) -> Aboard {
        let task = last.underway.as_ref().and_then(|underway| underway.task);
        match (self.said.loaded, task) {
            _ if self.busy => Aboard::Unknown,
            (Some(true), _) => Aboard::Load,
            (Some(false), _) => Aboard::Nothing,
            (None, None) => Aboard::AsBefore,
            (None, Some(task)) if self.ends.contains(&task.number) => Aboard::after(task.kind),
            (None, Some(_)) => Aboard::Unknown,
        }
    }

    /// Whether the vehicle may still be moving for somebody else.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.said.connected && self.begin != Begin::Done
    }

    pub(crate) fn state(&self) -> &ConversationState {
        &self.state
    }

    /// Times that the vehicle stopped for a fault or an emergency stop.
    pub(crate) fn stops(&self) -> u64 {
        self.state.stops
    }

    pub(crate) const fn task_told(&self) -> u32 {
        self.state.task_sent
    }

    /// Goes on from what the other node of the pair has said.
    pub(crate) fn restore(&mut self, state: &ConversationState) {
        self.dialogue = Dialogue::new(self.address.clone(), Limits::default(), RESEND_AFTER);
        self.state = state.clone();
        (self.task, self.gave_up, self.sent, self.adopt) = (None, None, None, true);
        self.owed = false;
        (self.begin, self.begin_names) = (Begin::Done, false);
    }

    /// Takes a message in.
    pub(crate) fn hear(
        &mut self,
        now: Instant,
        topic: Topic,
        text: &str,
        places: &Places,
    ) -> Result<Option<Found>, Disbelief> {
        match topic {
            Topic::State => {
                let state = State::from_json(text).map_err(Disbelief::Malformed)?;
                self.hear_state(now, &state, places)
            }
            Topic::Connection => {
                let connection = Connection::from_json(text).map_err(Disbelief::Malformed)?;
                self.dialogue.on_connection(&connection);
                self.said.connected = connection.state == ConnectionState::Online;
                Ok(None)
            }
            Topic::Factsheet => Ok(None),
            Topic::Order
            | Topic::InstantActions
            | Topic::ZoneSet
            | Topic::Responses
            | Topic::Visualization => Ok(None),
        }
    }

    fn hear_state(
        &mut self,
        now: Instant,
        state: &State,
        places: &Places,
    ) -> Result<Option<Found>, Disbelief> {
        let events = self.dialogue.on_state(state).map_err(Disbelief::State)?;
        let worst = state.errors.iter().max_by_key(|error| error.level);
        let fatal = worst.is_some_and(|error| error.level >= Level::Fatal);
        let stopped = state.emergency_stop != EmergencyStop::None;
        // One that releases itself is over in a moment; all others need somebody.
        let failed = fatal || (stopped && state.emergency_stop != EmergencyStop::AutoAck);
        if (stopped && !self.said.emergency_stop) || (failed && self.said.mode != Some(Mode::Failed)) {
            self.state.stops += 1;
        }
        self.said = Said {
            heard: Some(now),
            connected: true,
            driving: state.driving,
            position: state.pose.as_ref().map(|pose| [pose.x, pose.y]),
            charging: state.charging,
            emergency_stop: stopped,
            mode: Some(match (failed, state.operating_mode.takes_orders()) {
                (true, _) => Mode::Failed,
                (false, true) => Mode::Automatic,
                (false, false) => Mode::Manual,
            }),
            battery_percent: state.charge_percent,
            last_node: state.last_node_id.clone(),
            loaded: state.loads.map(|loads| loads > 0),
            error: worst.map(|error| error.error_type.clone()),
        };
        self.watch_task(state);
        self.node = node_of(state, places);
        let place = places.hall.node(&state.last_node_id).zip(state.pose.as_ref());
        let off = place.and_then(|(node, pose)| meters_off(places, node, [pose.x, pose.y]));
        self.off_place_meters = off.unwrap_or(0.0);
        let busy = |action: &ActionState| match action.status {
            ActionStatus::Waiting | ActionStatus::Finished | ActionStatus::Failed => false,
            ActionStatus::Initializing
            | ActionStatus::Running
            | ActionStatus::Paused
            | ActionStatus::Retriable => true,
        };
        self.busy = state.actions.iter().any(busy);
        self.ends.clear();
        self.ends.extend(state.actions.iter().filter_map(|action| {
            let number = task_number(&action.action_id)?;
            (action.status == ActionStatus::Finished).then_some(number)
        }));
        let idle = state.nodes.is_empty() && state.edges.is_empty() && !state.driving && !self.busy;
        if idle {
            self.begin = Begin::Done;
        }
        let mut found = None;
        for event in events {
            found = self.take_event(now, event, state).or(found);
        }
        Ok(found)
    }

    /// Whether the task was begun. A state that was lost may have said so.
    fn watch_task(&mut self, state: &State) {
        let header = state.header.header_id;
        let lost = self.header.replace(header).is_none_or(|last| header != last.wrapping_add(1));
        let Some(task) = self.state.underway.as_ref().and_then(|underway| underway.task) else { return };
        let id = action_id(task);
        let action = state.actions.iter().find(|action| action.action_id == id);
        self.state.touched = match action.map(|action| action.status) {
            Some(ActionStatus::Waiting) => false,
            Some(ActionStatus::Failed) | None => self.state.touched || lost,
            Some(_) => true,
        };
    }

    fn take_event(&mut self, now: Instant, event: Event, state: &State) -> Option<Found> {
        match event {
            Event::Took(_) => {
                self.rejected.0 = 0;
                let (at, order) = self.sent.take()?;
                let owed = std::mem::take(&mut self.owed);
                return Some(Found::Echo { after: now.since(at), order, owed });
            }
            Event::Reached { sequence_id, .. } => {
                if let Some(underway) = &self.state.underway {
                    self.state.passed = self.state.passed.max(underway.first + sequence_id / 2);
                }
            }
            Event::Done => {
                if let Some(task) = self.state.underway.take().and_then(|underway| underway.task) {
                    self.end_task(task, state);
                }
            }
            Event::Cancelled => self.end_course(),
            Event::Dropped => {
                self.state.stops += 1;
                self.end_course();
            }
            Event::Rejected { error_type } => {
                self.said.error = Some(error_type);
                self.state.stops += 1;
                let wait = RETRY_AFTER * 2_u32.pow(self.rejected.0.min(DOUBLINGS_MAX));
                self.rejected = (self.rejected.0.saturating_add(1), now + wait);
                self.end_course();
            }
            Event::NeedsBase
            | Event::Arrived
            | Event::InstantOver { .. }
            | Event::Requests(_)
            | Event::ZoneSetHeld(_)
            | Event::ZoneSetRefused { .. } => {}
        }
        None
    }

    fn end_task(&mut self, task: Task, state: &State) {
        let id = action_id(task);
        let failed = state.actions.iter().any(|a| a.action_id == id && a.status == ActionStatus::Failed);
        self.state.charges = task.kind == TaskKind::Charge && !failed;
        let result = match (failed, task.kind) {
            (true, _) => TaskResult::Failed,
            // It has begun to charge, and does so until it is sent away.
            (false, TaskKind::Charge) => TaskResult::Running,
            (false, TaskKind::Pick | TaskKind::Drop | TaskKind::Visit | TaskKind::Park) => TaskResult::Done,
        };
        self.task = Some(TaskReport { number: task.number, result });
    }

    /// The vehicle stands still and has given up its order; its way, too, unless it stands between two places.
    fn end_course(&mut self) {
        let Some(underway) = self.state.underway.take() else { return };
        if self.is_at_place() {
            self.gave_up = Some(underway.course);
            let result = if self.state.touched { TaskResult::Failed } else { TaskResult::Untouched };
            self.task = underway.task.map(|task| TaskReport { number: task.number, result }).or(self.task);
        } else if let Some(task) = underway.task {
            // It has not got there: it is told again, with the rest of the way.
            self.state.task_sent = task.number.saturating_sub(1);
        }
    }

    fn is_at_place(&self) -> bool {
        self.off_place_meters <= ON_NODE_METERS
    }

    /// What the vehicle has said, for the fleet's control, which knows its way under this course and its task
    /// under this number.
    pub(crate) fn report(&self, course: u32, task: Option<u32>) -> Option<VehicleReport> {
        let at = self.said.heard?;
        let mode = self.said.mode?;
        Some(VehicleReport {
            at,
            mode,
            passed: self.state.passed,
            // On its way a vehicle says where it is by its waypoints, once it has echoed them.
            node: self.node.filter(|_| mode != Mode::Automatic || self.state.underway.is_none()),
            toward: None,
            battery: (self.said.battery_percent * 10.0).round().clamp(0.0, 1000.0) as u16,
            task: self.task.filter(|done| Some(done.number) == task),
            gave_up: self.gave_up.filter(|gave_up| *gave_up == course),
        })
    }

    /// Where the vehicle stands, if it can join there.
    pub(crate) fn stands(&self) -> Option<(Node, Heading)> {
        self.node.filter(|_| self.is_ready() && self.is_at_place())
    }

    /// Whether the vehicle stands between two places, where it cannot join.
    pub(crate) fn stands_between(&self) -> bool {
        self.is_ready() && !self.is_at_place()
    }

    fn is_ready(&self) -> bool {
        self.begin == Begin::Done && self.said.mode == Some(Mode::Automatic) && !self.said.driving
    }
}
