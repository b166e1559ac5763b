//! The drive loop itself.

use hal_units::{Duration, Radians};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::chassis::{Actuation, Twist};
use crate::io::{DriveDemand, DriveInputs, DriveOutputs, DriveStep, HandlingResult};
use crate::localisation::{Fix, Localisation, Pose, Taken, wrapped};
use crate::parameters::DriveParameters;
use crate::route::{Route, WAYPOINTS_MAX, Waypoint};
use crate::steering::{ARRIVED, BEND_MAX, Leg, Steering, direction, distance};
use crate::stops::{Latch, StopCause, StopSet};

/// Measured wheels that are slower than this stand, in m/s.
const WHEELS_STAND: f64 = 0.01;

/// What a vehicle is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum Phase {
    /// Nothing is known of it yet; zero is commanded.
    Unknown,
    /// It stands, ready to drive.
    Standing,
    /// It turns on the spot.
    Turning,
    /// It drives.
    Driving,
    /// It stands, and is busy with its load or its battery.
    Handling,
    /// A person drives it, or has switched it off.
    Manual,
    /// It was stopped, and waits for a reset.
    Stopped,
}

impl Phase {
    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Standing => "standing",
            Self::Turning => "turning",
            Self::Driving => "driving",
            Self::Handling => "handling",
            Self::Manual => "manual",
            Self::Stopped => "stopped",
        }
    }
}

/// All that the controller remembers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct DriveState {
    localisation: Localisation,
    latch: Latch,
    steering: Steering,
    /// Usable measurements have come since the start.
    seen: bool,
    /// It may have been moved off its way since it last followed it: by its own momentum, or by a person.
    moved: bool,
    /// The course that is driven.
    course: u32,
    /// Number of the waypoint that was reached last, and of the next one.
    passed: u32,
    target: u32,
    /// Where the leg to the next one begins.
    leg_from: Waypoint,
    /// A recalled course ends at this waypoint.
    recall_end: Option<u32>,
    gave_up: Option<u32>,
    /// The handling that was begun last. A course that is recalled meanwhile is not given up before it is over.
    began: u32,
    handled: (u32, HandlingResult),
    /// Last command for a steered wheel.
    steer: Radians,
    stop_count: u32,
}

impl DriveState {
    const START: Self = Self {
        localisation: Localisation::NONE,
        latch: Latch::CLEAR,
        steering: Steering::REST,
        seen: false,
        moved: false,
        course: 0,
        passed: 0,
        target: 0,
        leg_from: Waypoint { x: hal_units::Meters(0.0), y: hal_units::Meters(0.0) },
        recall_end: None,
        gave_up: None,
        began: 0,
        handled: (0, HandlingResult::Done),
        steer: Radians(0.0),
        stop_count: 0,
    };
}

/// The controller of one vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriveController {
    parameters: DriveParameters,
    state: DriveState,
}

impl DriveController {
    /// A controller that knows nothing of its vehicle yet.
    #[must_use]
    pub const fn new(parameters: DriveParameters) -> Self {
        Self { parameters, state: DriveState::START }
    }

    /// All that it remembers.
    #[must_use]
    pub const fn state(&self) -> DriveState {
        self.state
    }

    /// Goes on from another controller's state.
    pub const fn restore(&mut self, state: DriveState) {
        self.state = state;
    }

    /// The parameters.
    #[must_use]
    pub const fn parameters(&self) -> &DriveParameters {
        &self.parameters
    }

    /// One cycle. Until usable measurements have come, zero is commanded.
    pub fn step(&mut self, inputs: &DriveInputs, demand: &DriveDemand, dt: Duration) -> DriveStep {
        let usable = inputs.quality.is_usable() && inputs.actuation.is_finite() && inputs.pose.is_finite();
        self.state.seen |= usable;
        let taken = self.localise(inputs, usable, dt);
        self.judge(inputs, demand, usable, taken);
        let manual = usable && !inputs.automatic;
        self.take_handled(inputs, usable);
        self.take_course(&demand.route, manual);
        let actuation = self.drive(inputs, demand, manual, dt);
        let step = self.conclude(inputs, demand, manual, actuation);
        self.state.began = step.began;
        step
    }

    fn localise(&mut self, inputs: &DriveInputs, usable: bool, dt: Duration) -> Taken {
        let twist = if usable { self.parameters.chassis.twist(inputs.actuation) } else { Twist::REST };
        let fix =
            Fix { pose: inputs.pose, age: inputs.pose_age.saturating_add(inputs.age), number: inputs.scan };
        // One that is too old says nothing any more.
        let heeded = usable && fix.age <= self.parameters.fix_age_max;
        self.state.localisation.step(twist, heeded.then_some(fix), dt)
    }

    /// Collects the causes of this cycle and latches them.
    fn judge(&mut self, inputs: &DriveInputs, demand: &DriveDemand, usable: bool, taken: Taken) {
        let (state, parameters) = (&mut self.state, &self.parameters);
        let mut causes = StopSet::NONE;
        let unheard = inputs.unacknowledged_for > parameters.unacknowledged_max;
        causes.insert_if(StopCause::LinkLost, state.seen && (!usable || unheard));
        let old = state.localisation.age() > parameters.fix_age_max;
        causes.insert_if(StopCause::LocalisationLost, usable && old);
        causes.insert_if(StopCause::LocalisationJump, taken == Taken::Jumped && inputs.automatic);
        causes.insert_if(StopCause::ProtectiveStop, usable && inputs.protective_stop);
        causes.insert_if(StopCause::DriveFault, usable && inputs.fault != 0);
        causes.insert_if(StopCause::EmergencyStop, demand.emergency_stop);
        // A jump that was looked at is believed from now on: the next fix begins anew.
        // So is where it is after nothing was measured for a while, or a person has driven it.
        if demand.reset || !usable || !inputs.automatic {
            state.localisation.believe_next();
            let mut lasting = StopSet::NONE;
            for cause in causes.iter() {
                lasting.insert_if(cause, cause != StopCause::LocalisationJump);
            }
            causes = lasting;
        }
        self.latch(causes, demand.reset);
        let moved = !self.state.latch.stops().is_empty() || (usable && !inputs.automatic);
        self.state.moved |= moved;
    }

    fn latch(&mut self, causes: StopSet, reset: bool) {
        let state = &mut self.state;
        let before = state.latch.stops();
        state.latch.step(causes, reset);
        let new = state.latch.stops().iter().any(|cause| !before.contains(cause));
        state.stop_count = state.stop_count.saturating_add(u32::from(new));
    }

    fn take_handled(&mut self, inputs: &DriveInputs, usable: bool) {
        if usable && inputs.handled.0 != 0 {
            self.state.handled = inputs.handled;
        }
    }

    /// Begins another course, gives one up, and notes what was reached.
    fn take_course(&mut self, route: &Route, manual: bool) {
        let Some(pose) = self.state.localisation.pose() else { return };
        let here = Waypoint { x: pose.x, y: pose.y };
        let state = &mut self.state;
        if route.course != state.course {
            // One that comes before the old one has ended waits: without a leg the vehicle brakes.
            let Some(first) = route.waypoint(route.first).filter(|_| state.steering.is_rest()) else {
                return;
            };
            let off = distance(here, first) > ARRIVED * 2.0;
            (state.course, state.passed) = (route.course, route.first);
            state.target = route.first.saturating_add(u32::from(!off));
            (state.leg_from, state.recall_end, state.gave_up) = (if off { here } else { first }, None, None);
            state.steering.begin_leg();
        }
        state.target = state.target.max(route.first);
        if !route.recalled || state.gave_up.is_some() {
            return;
        }
        let end = match state.recall_end {
            Some(end) => end,
            None => self.next_stop(route, here),
        };
        let state = &mut self.state;
        state.recall_end = Some(end);
        let held = manual || !state.latch.stops().is_empty();
        let handles =
            route.handling.is_some_and(|it| it.number == state.began && it.number != state.handled.0);
        if state.steering.is_rest() && ((state.target > end && !handles) || held) {
            state.gave_up = Some(state.course);
        }
    }

    /// Number of the first waypoint ahead at which the vehicle can stop; that of the last one passed if it stands
    /// there.
    fn next_stop(&self, route: &Route, here: Waypoint) -> u32 {
        let state = &self.state;
        if state.steering.is_rest() && !state.steering.is_driving() {
            return state.target.saturating_sub(1);
        }
        let needed = state.steering.stopping_distance(&self.parameters);
        let (mut from, mut way) = (here, hal_units::Meters::ZERO);
        for number in state.target..route.last() {
            let Some(to) = route.waypoint(number) else { break };
            way += distance(from, to);
            if way >= needed {
                return number;
            }
            from = to;
        }
        route.last()
    }

    /// The leg that is to be driven now.
    fn leg(&self, route: &Route) -> Option<Leg> {
        let state = &self.state;
        let end = state.recall_end.unwrap_or_else(|| route.last()).min(route.last());
        if route.course != state.course || state.gave_up.is_some() || state.target > end {
            return None;
        }
        let to = route.waypoint(state.target)?;
        let (mut from, mut at) = (state.leg_from, to);
        let mut beyond = hal_units::Meters::ZERO;
        let mut number = state.target;
        // What lies ahead on a straight way needs no stop in between.
        while number < end {
            number += 1;
            let next = route.waypoint(number)?;
            match (direction(from, at), direction(at, next)) {
                (Some(this), Some(that)) if wrapped(that - this).abs() <= BEND_MAX => {
                    beyond += distance(at, next);
                    (from, at) = (at, next);
                }
                _ => break,
            }
        }
        Some(Leg { from: state.leg_from, to, beyond: (beyond.get() > 0.0).then_some(beyond) })
    }

    /// What the drives shall do.
    fn drive(&mut self, inputs: &DriveInputs, demand: &DriveDemand, manual: bool, dt: Duration) -> Actuation {
        let parameters = self.parameters;
        let at_rest = parameters.chassis.command(Twist::REST, self.state.steer).at_rest();
        let Some(pose) = self.state.localisation.pose().filter(|_| self.state.seen && !manual) else {
            self.state.steering.rest();
            return at_rest;
        };
        let stops = self.state.latch.stops();
        if stops.is_hard() {
            self.state.steering.rest();
            return at_rest;
        }
        let before = self.state.steering;
        let twist = if stops.is_empty() {
            self.follow(&pose, demand, dt)
        } else {
            self.state.steering.halt(&parameters, dt)
        };
        let command = parameters.chassis.command(twist, self.state.steer);
        self.state.steer = command.steer();
        if before.is_rest() && !command.is_steered(&inputs.actuation) {
            // The steered wheel is not there yet.
            let driving = self.state.steering.is_driving();
            self.state.steering = before;
            self.state.steering.keep_leg(driving);
            return command.at_rest();
        }
        command
    }

    fn follow(&mut self, pose: &Pose, demand: &DriveDemand, dt: Duration) -> Twist {
        let parameters = self.parameters;
        if core::mem::take(&mut self.state.moved) {
            self.rejoin(&demand.route, pose);
        }
        let leg = self.leg(&demand.route).filter(|_| demand.run);
        let steered = self.state.steering.step(pose, leg.as_ref(), &parameters, dt);
        if steered.off > parameters.off_path_max {
            let mut causes = StopSet::NONE;
            causes.insert_if(StopCause::OffPath, true);
            self.latch(causes, false);
        }
        if let Some(leg) = leg.filter(|_| steered.reached) {
            self.reach(&leg);
        }
        steered.twist
    }

    /// Goes on from where the vehicle stands now: past what it has passed, straight to the next waypoint.
    fn rejoin(&mut self, route: &Route, pose: &Pose) {
        let here = Waypoint { x: pose.x, y: pose.y };
        // Not more than there are.
        for _ in 0..WAYPOINTS_MAX {
            let Some(leg) = self.leg(route) else { break };
            let Some(way) = direction(leg.from, leg.to) else { break };
            let (x, y) = ((leg.to.x - here.x).get(), (leg.to.y - here.y).get());
            let along = x * libm::cos(way.get()) + y * libm::sin(way.get());
            if leg.beyond.is_none() || along > 0.0 {
                break;
            }
            self.reach(&leg);
        }
        self.state.leg_from = here;
        self.state.steering.begin_leg();
    }

    fn reach(&mut self, leg: &Leg) {
        let state = &mut self.state;
        state.passed = state.target;
        state.target = state.target.saturating_add(1);
        state.leg_from = leg.to;
        if leg.beyond.is_none() {
            state.steering.begin_leg();
        }
    }

    fn conclude(
        &self,
        inputs: &DriveInputs,
        demand: &DriveDemand,
        manual: bool,
        actuation: Actuation,
    ) -> DriveStep {
        let state = &self.state;
        let stops = state.latch.stops();
        let wheels = inputs.actuation.wheel_speed_max().get() < WHEELS_STAND;
        let arrived = state.course == demand.route.course
            && state.gave_up.is_none()
            && state.target > demand.route.last()
            && state.steering.is_rest();
        let handling = demand.route.handling.filter(|handling| {
            let may_begin = !demand.route.recalled || handling.number == state.began;
            arrived && may_begin && stops.is_empty() && !manual
        });
        let phase = if !state.seen || state.localisation.pose().is_none() {
            Phase::Unknown
        } else if !stops.is_empty() {
            Phase::Stopped
        } else if manual {
            Phase::Manual
        } else if state.steering.is_turning() {
            Phase::Turning
        } else if !state.steering.is_rest() {
            Phase::Driving
        } else if handling.is_some_and(|handling| handling.number != state.handled.0) {
            Phase::Handling
        } else {
            Phase::Standing
        };
        let enable = match phase {
            Phase::Unknown | Phase::Manual => false,
            Phase::Stopped => !stops.is_hard(),
            Phase::Standing | Phase::Turning | Phase::Driving | Phase::Handling => true,
        };
        DriveStep {
            outputs: DriveOutputs { actuation, enable, handling },
            phase,
            stops,
            pose: state.localisation.pose(),
            course: state.course,
            passed: state.passed,
            gave_up: state.gave_up,
            began: handling.map_or(state.began, |handling| handling.number),
            handled: state.handled,
            standing: state.steering.is_rest() && wheels,
            stop_count: state.stop_count,
        }
    }
}
