//! One vehicle whose drives hang on the field bus: its granted way into routes, its sights into reports.
//!
//! # Model
//!
//! The drive loop runs in the cycle, knows waypoints, and is told a whole [`Route`] each time: it has no protocol of
//! its own, and nothing of it can be lost on the way. It goes on with a course, or gives it up and begins another;
//! so the talk keeps what was told last, and makes the next route from that and from the granted way.
//!
//! Courses and handlings have numbers of their own here, which only grow, whatever the fleet's control counts: a
//! fleet that begins anew counts from the beginning, and a vehicle that finds an old number would think that all
//! was done.

use control_loops_dispatch::{Heading, Mode, Node, Task, TaskKind, TaskReport, TaskResult, VehicleReport};
use control_loops_drive::{
    Handling, HandlingKind, HandlingResult, Phase, Route, Sight, WAYPOINTS_MAX, Waypoint,
};
use hal_units::{Instant, Meters};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::aboard::Aboard;
use crate::conversation::{Found, Said};
use crate::places::Places;
use crate::way::Way;
use crate::whereabouts::{ON_NODE_METERS, heading, meters_off};

/// The way that a vehicle was told, as far as it has not been left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
struct Told {
    /// The drive loop's number, and that of the fleet's control.
    course: u32,
    of_fleet: u32,
    /// Number of the first place.
    first: u32,
    nodes: Vec<u32>,
    recalled: bool,
    /// To be done at the end, under this number.
    handling: Option<(u32, Task)>,
    order: Option<u64>,
}

impl Told {
    fn last(&self) -> u32 {
        (self.first + self.nodes.len() as u32).saturating_sub(1)
    }
}

/// What the other node of a pair has to know to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct DriveTalkState {
    told: Option<Told>,
    /// Highest numbers that were used.
    course: u32,
    handling: u32,
    /// Number of the last task that was told.
    task_told: u32,
    passed: u32,
    /// The place that it was at last of what it was told.
    left: Option<u32>,
    charges: bool,
    stops: u64,
}

/// The talk with one vehicle.
#[derive(Debug, Default)]
pub(crate) struct DriveTalk {
    state: DriveTalkState,
    pub(crate) said: Said,
    task: Option<TaskReport>,
    gave_up: Option<u32>,
    /// Since when an order's route waits for its echo.
    sent: Option<(Instant, u64)>,
    node: Option<(Node, Heading)>,
    /// It stands on that node, not somewhere on the way from it.
    at_place: bool,
    /// It is known that the vehicle moves for nobody else.
    settled: bool,
    /// It is taking a load, or putting one down.
    handles: bool,
    /// What was told is to be told again: this node has taken over.
    adopt: bool,
    /// The last thing that it has done to its load or its battery, by its number.
    handled: Option<(u32, HandlingResult)>,
    /// The course that its drive loop is on, and what was begun last there, by its number.
    began: (u32, u32),
}

impl DriveTalk {
    pub(crate) fn state(&self) -> &DriveTalkState {
        &self.state
    }

    pub(crate) fn stops(&self) -> u64 {
        self.state.stops
    }

    pub(crate) const fn task_told(&self) -> u32 {
        self.state.task_told
    }

    pub(crate) fn is_unsettled(&self) -> bool {
        self.said.connected && !self.settled
    }

    /// Begins anew, after a talk of which this is the last that is known: its numbers are not used again.
    pub(crate) fn begin_after(&mut self, last: &DriveTalkState) {
        self.state.course = self.state.course.max(last.course);
        self.state.handling = self.state.handling.max(last.handling);
    }

    /// Whether the vehicle has a load, after a talk of which this is the last that is known.
    pub(crate) fn aboard(&self, last: &DriveTalkState, places: &Places) -> Aboard {
        let pending = last.told.as_ref().and_then(|told| told.handling);
        match (self.handled, pending) {
            (None, None) => Aboard::AsBefore,
            (None, Some(_)) => Aboard::Unknown,
            (Some((number, result)), None) => match (number.checked_sub(last.handling), result) {
                (Some(0), _) => Aboard::AsBefore,
                (Some(1), HandlingResult::Done) => Aboard::OneOn,
                _ => Aboard::Unknown,
            },
            (Some((number, HandlingResult::Done)), Some((told, task))) if number == told => {
                Aboard::after(task.kind)
            }
            (Some((number, _)), Some((told, task))) if number < told => {
                // A drive loop that is still on that course knows; another one's vehicle may have gone there alone.
                let knows = last.told.as_ref().is_some_and(|told| told.course == self.began.0);
                let off = self.said.position.and_then(|here| meters_off(places, task.node, here));
                let was_there = off.is_none_or(|meters| meters <= ON_NODE_METERS);
                let may_have_begun = if knows { self.began.1 == told } else { was_there };
                if may_have_begun { Aboard::Unknown } else { Aboard::AsBefore }
            }
            (Some(_), Some(_)) => Aboard::Unknown,
        }
    }

    pub(crate) fn restore(&mut self, state: &DriveTalkState) {
        let said = std::mem::take(&mut self.said);
        *self = Self { state: state.clone(), said, settled: true, adopt: true, ..Self::default() };
    }

    /// Takes in what is seen of the vehicle.
    pub(crate) fn see(&mut self, now: Instant, sight: &Sight, places: &Places) -> Option<Found> {
        let mode = match sight.phase {
            Phase::Unknown => None,
            Phase::Manual => Some(Mode::Manual),
            Phase::Stopped => Some(Mode::Failed),
            Phase::Standing | Phase::Turning | Phase::Driving | Phase::Handling => Some(Mode::Automatic),
        };
        let stopped = mode == Some(Mode::Failed);
        if stopped && self.said.mode != Some(Mode::Failed) {
            self.state.stops += 1;
        }
        let Some(seen_at) = sight.seen_at.filter(|_| mode.is_some()) else {
            // What is not measured is not known; that it was stopped is.
            self.said.connected = false;
            if stopped {
                self.said.mode = mode;
                self.said.error = sight.stops.names().next().map(str::to_owned);
            }
            return None;
        };
        self.state.course = self.state.course.max(sight.course);
        self.state.handling = self.state.handling.max(sight.handled.0);
        (self.handled, self.began) = (Some(sight.handled), (sight.course, sight.began));
        self.handles = sight.phase == Phase::Handling;
        let given_up = sight.gave_up == Some(sight.course) || sight.told.0 == 0;
        let arrived = (sight.course, sight.passed) == (sight.told.0, sight.told.1);
        self.settled |= sight.standing && (given_up || (arrived && sight.phase == Phase::Standing));
        self.note_place(sight, places);
        self.take_progress(sight);
        if sight.phase == Phase::Manual {
            self.state.left = None;
        }
        // It knows what it has passed, but not where a person has taken it.
        self.node = sight.pose.and_then(|pose| {
            let node = self.state.left.map(Node).or_else(|| {
                let (node, meters) = places.hall.nearest([pose.x.get(), pose.y.get()])?;
                (meters <= ON_NODE_METERS).then_some(node)
            })?;
            Some((node, heading(pose.heading.get())))
        });
        self.said = Said {
            heard: Some(seen_at),
            connected: true,
            driving: !sight.standing,
            position: sight.pose.map(|pose| [pose.x.get(), pose.y.get()]),
            charging: self.state.charges && sight.standing,
            emergency_stop: stopped,
            mode,
            battery_percent: sight.battery * 100.0,
            last_node: self.node.map_or_else(String::new, |(node, _)| places.hall.name(node).to_owned()),
            loaded: None,
            error: sight.stops.names().next().map(str::to_owned),
        };
        let (sent, order) = self.sent?;
        let told = self.state.told.as_ref().map(|told| (told.course, told.last(), told.order.unwrap_or(0)));
        if told.is_some_and(|told| told != sight.told) {
            return None;
        }
        self.sent = None;
        Some(Found::Echo { after: now.since(sent), order: Some(order), owed: false })
    }

    /// The place that it has reached last, and whether that is where it stands: between two places it needs both.
    fn note_place(&mut self, sight: &Sight, places: &Places) {
        if let Some(told) = self.state.told.as_ref().filter(|told| told.course == sight.course) {
            self.state.passed = sight.passed.min(told.last());
            let at = self.state.passed.checked_sub(told.first).and_then(|at| told.nodes.get(at as usize));
            self.state.left = at.copied().or(self.state.left);
        }
        self.at_place = self.state.left.is_none_or(|left| {
            let here = sight.pose.map(|pose| [pose.x.get(), pose.y.get()]);
            let off = here.and_then(|here| meters_off(places, Node(left), here));
            off.is_some_and(|meters| meters <= ON_NODE_METERS)
        });
    }

    /// What the vehicle has done or given up of what it was told.
    fn take_progress(&mut self, sight: &Sight) {
        let Some(told) = self.state.told.as_mut().filter(|told| told.course == sight.course) else { return };
        if let Some((number, task)) = told.handling
            && sight.handled.0 == number
        {
            told.handling = None;
            let failed = sight.handled.1 == HandlingResult::Failed;
            self.state.charges = task.kind == TaskKind::Charge && !failed;
            let result = match (failed, task.kind) {
                (true, _) => TaskResult::Failed,
                (false, TaskKind::Charge) => TaskResult::Running,
                (false, _) => TaskResult::Done,
            };
            self.task = Some(TaskReport { number: task.number, result });
        }
        let gave_up = sight.gave_up == Some(told.course);
        if gave_up && told.recalled && self.at_place {
            self.gave_up = Some(told.of_fleet);
            if let Some((number, task)) = told.handling {
                let begun = sight.began == number;
                let result = if begun { TaskResult::Failed } else { TaskResult::Untouched };
                self.task = Some(TaskReport { number: task.number, result });
            }
        } else if gave_up && let Some((_, task)) = told.handling {
            // It has not got there: it is told again, with the rest of the way.
            self.state.task_told = task.number.saturating_sub(1);
        }
        let arrived = sight.passed == told.last() && sight.told.1 == told.last() && sight.standing;
        if gave_up || (arrived && told.handling.is_none() && !told.recalled) {
            self.state.told = None;
        }
    }

    /// See [`crate::conversation::Conversation::report`].
    pub(crate) fn report(&self, course: u32, task: Option<u32>) -> Option<VehicleReport> {
        let mode = self.said.mode?;
        Some(VehicleReport {
            at: self.said.heard?,
            mode,
            passed: self.state.passed,
            node: self.node.filter(|_| mode != Mode::Automatic || self.state.told.is_none()),
            toward: None,
            battery: (self.said.battery_percent * 10.0).round().clamp(0.0, 1000.0) as u16,
            task: self.task.filter(|done| Some(done.number) == task),
            gave_up: self.gave_up.filter(|gave_up| *gave_up == course),
        })
    }

    pub(crate) fn stands(&self) -> Option<(Node, Heading)> {
        self.node.filter(|_| self.is_ready())
    }

    /// See [`crate::conversation::Conversation::stands_between`].
    pub(crate) fn stands_between(&self) -> bool {
        self.is_ready() && self.node.is_none() && self.said.position.is_some()
    }

    /// Whether it stands on a way that somebody else has granted it and that nobody leads it on.
    pub(crate) fn is_forsaken(&self) -> bool {
        let stands = self.said.mode == Some(Mode::Automatic) && !self.said.driving && !self.handles;
        self.said.connected && stands && !self.settled
    }

    fn is_ready(&self) -> bool {
        self.settled && self.said.mode == Some(Mode::Automatic) && !self.said.driving
    }

    /// Sends a vehicle that stands between two places on to the next one.
    pub(crate) fn send_on(&mut self, next: Node, places: &Places) -> Route {
        self.state.course += 1;
        let told = Told {
            course: self.state.course,
            of_fleet: 0,
            first: 1,
            nodes: vec![next.0],
            recalled: false,
            handling: None,
            order: None,
        };
        route(&told, places)
    }

    /// The route that follows from the granted way, if it is another one than was told last.
    pub(crate) fn tell(&mut self, now: Instant, way: &Way, places: &Places) -> Option<Route> {
        if std::mem::take(&mut self.adopt)
            && let Some(told) = &self.state.told
        {
            return Some(route(told, places));
        }
        if self.gave_up.is_some_and(|course| course != way.course) {
            self.gave_up = None;
        }
        let changed = match &mut self.state.told {
            Some(told) if way.recalled || told.of_fleet != way.course => {
                !std::mem::replace(&mut told.recalled, true)
            }
            Some(_) => self.carry_on(way),
            None if self.gave_up == Some(way.course) => false,
            None if way.recalled => {
                // It has nothing that it could give up, but while it stands between two places it needs both.
                self.gave_up = (!self.said.driving && self.at_place).then_some(way.course);
                false
            }
            None => self.begin(way),
        };
        let told = self.state.told.as_ref().filter(|_| changed)?;
        if let Some(order) = told.order {
            self.sent.get_or_insert((now, order)).1 = order;
        }
        Some(route(told, places))
    }

    fn new_task(&self, way: &Way) -> Option<Task> {
        way.new_task(self.state.task_told)
    }

    /// Gives the next task its number, if the route reaches to where it is to be done.
    fn take_task(&mut self, way: &Way) {
        let task = self.new_task(way);
        let ends = way.base.last().map_or(way.at.0, |(number, _)| *number);
        let Some(told) = self.state.told.as_mut().filter(|told| told.last() == ends) else { return };
        let Some(task) = task else { return };
        self.state.handling += 1;
        told.handling = Some((self.state.handling, task));
        self.state.task_told = task.number;
        self.task = None;
    }

    fn begin(&mut self, way: &Way) -> bool {
        let announces = way.order.is_some() && !way.horizon.is_empty();
        if !self.said.connected || (way.base.is_empty() && self.new_task(way).is_none() && !announces) {
            return false;
        }
        self.state.course += 1;
        self.state.charges = false;
        self.state.passed = way.at.0;
        let nodes = std::iter::once(way.at.1).chain(way.base.iter().map(|(_, node)| *node));
        self.state.told = Some(Told {
            course: self.state.course,
            of_fleet: way.course,
            first: way.at.0,
            nodes: nodes.take(WAYPOINTS_MAX).collect(),
            recalled: false,
            handling: None,
            order: way.order,
        });
        self.take_task(way);
        true
    }

    /// Adds what has been granted since, and leaves behind what was passed; whether the vehicle has to know.
    fn carry_on(&mut self, way: &Way) -> bool {
        let Some(told) = &mut self.state.told else { return false };
        // What is being done at the end comes before the way on.
        if told.handling.is_some() {
            return false;
        }
        let behind = self.state.passed.saturating_sub(told.first).min(told.nodes.len() as u32 - 1);
        let room = WAYPOINTS_MAX - (told.nodes.len() - behind as usize);
        let last = told.last();
        let new: Vec<u32> =
            way.base.iter().filter(|(number, _)| *number > last).map(|(_, node)| *node).take(room).collect();
        let announces = way.order.is_some() && way.order != told.order;
        let added = !new.is_empty();
        if added {
            told.nodes.drain(..behind as usize);
            told.first += behind;
            told.nodes.extend(new);
        }
        if announces {
            told.order = way.order;
        }
        self.take_task(way);
        added || announces || self.state.told.as_ref().is_some_and(|told| told.handling.is_some())
    }
}

/// The route over the places that were told.
fn route(told: &Told, places: &Places) -> Route {
    let points = told.nodes.iter().map(|node| {
        let [x, y] = places.hall.position(Node(*node)).unwrap_or_default();
        Waypoint { x: Meters(x), y: Meters(y) }
    });
    let mut route = Route::over(told.course, told.first, points);
    route.recalled = told.recalled;
    route.order = told.order.unwrap_or(0);
    route.handling = told.handling.map(|(number, task)| Handling {
        number,
        kind: match task.kind {
            TaskKind::Pick => HandlingKind::Pick,
            TaskKind::Drop => HandlingKind::Drop,
            TaskKind::Charge => HandlingKind::Charge,
            TaskKind::Visit | TaskKind::Park => HandlingKind::Visit,
        },
    });
    route
}
