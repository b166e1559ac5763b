//! What passes with time: a vehicle works, drives and uses its battery.

use hal_units::{Duration, Instant};
use hal_vda5050::{ActionStatus, EmergencyStop};
use jiff::Timestamp;

use crate::motion::Stretch;
use crate::setup::Drive;
use crate::vehicle::{Leg, Said, Vehicle};

/// A vehicle that was not stepped for longer than this has stood still meanwhile.
const STEP_MAX: Duration = Duration::from_secs(1);
/// Base that is left when more is asked for, beyond the braking distance, in metres.
const BASE_REQUEST: f64 = 1.0;

impl Vehicle {
    /// Lets time pass until `now`, and says what is to be said. To be called every 10 to 100 ms.
    pub fn step(&mut self, now: Instant, wall: Timestamp, out: &mut Vec<Said>) {
        let passed = self.stepped.map_or(Duration::ZERO, |stepped| now.since(stepped)).min(STEP_MAX);
        self.stepped = Some(now);
        self.work(passed);
        self.get_on(now, passed);
        self.use_battery(passed);
        self.end_cancel();
        self.end_order();
        self.tell(now, wall, out);
    }

    /// Actions start, go on and end.
    fn work(&mut self, passed: Duration) {
        if !self.paused {
            for (action_id, action_type) in self.tasks.pass(passed) {
                let status = self.ended(&action_type);
                self.faults.action(&action_id, status, self.version);
                self.tally.actions += u64::from(status == ActionStatus::Finished);
                self.news |= self.tasks.end(&action_id, status);
            }
        }
        // An action that stops the vehicle waits until it stands.
        if !self.tasks.forbid_driving() || self.truth.is_still() {
            self.news |= self.tasks.start();
        }
    }

    /// What an action comes to.
    fn ended(&mut self, action_type: &str) -> ActionStatus {
        if std::mem::take(&mut self.action_fails) {
            return ActionStatus::Failed;
        }
        match action_type {
            "pick" if self.load.is_some() => ActionStatus::Failed,
            "drop" if self.load.is_none() => ActionStatus::Failed,
            "pick" => {
                self.load = Some(String::new());
                ActionStatus::Finished
            }
            "drop" => {
                self.load = None;
                ActionStatus::Finished
            }
            "startCharging" => {
                self.charging = true;
                ActionStatus::Finished
            }
            "stopCharging" => {
                self.charging = false;
                ActionStatus::Finished
            }
            _ => ActionStatus::Finished,
        }
    }

    /// Whether anything but the way keeps it from driving.
    fn is_held(&self) -> bool {
        self.paused
            || self.field_violation
            || self.emergency_stop != EmergencyStop::None
            || self.lost
            || self.cancelling.is_some()
            || !self.mode.takes_orders()
            || self.charge_percent <= 0.0
            || self.tasks.forbid_driving()
    }

    fn get_on(&mut self, now: Instant, passed: Duration) {
        let was_driving = self.driving;
        let held = self.is_held();
        let base = self.ahead.iter().take_while(|leg| leg.node.released).count();
        if base > 0 && !held {
            self.enter_edge(now);
        }
        match self.setup.drive {
            Drive::Wheels(kinematics) => {
                let stretches: Vec<Stretch> =
                    self.ahead.iter().take(base).map(|leg| self.stretch(leg)).collect();
                let seconds = passed.as_secs_f64();
                let (done, meters) = self.truth.drive(seconds, &kinematics, &stretches, held);
                self.drove(meters);
                for _ in 0..done {
                    self.pass_node(now);
                }
                self.driving = !self.truth.is_still();
            }
            Drive::Hops(hop) => {
                let due = self.on_edge.is_some_and(|(_, since)| now.since(since) >= hop);
                if due && base > 0 && !held {
                    if let Some(at) = self.ahead.front().map(|leg| leg.at) {
                        self.drove(self.truth.distance_to(at));
                        [self.truth.x, self.truth.y] = at;
                    }
                    self.pass_node(now);
                }
                self.driving = self.on_edge.is_some() && !held;
            }
        }
        let waits = self.ahead.front().is_some_and(|leg| !leg.node.released);
        self.tally.stops += u64::from(was_driving && !self.driving && waits);
        self.news |= was_driving != self.driving;
        self.ask_for_base();
    }

    fn stretch(&self, leg: &Leg) -> Stretch {
        let heading = leg.node.position.as_ref().and_then(|position| position.theta);
        let stop = self.tasks.stops_at(leg.node.sequence_id);
        Stretch { to: leg.at, speed_max: leg.edge.max_speed, stop, heading }
    }

    fn enter_edge(&mut self, now: Instant) {
        if let (None, Some(leg)) = (self.on_edge, self.ahead.front()) {
            let number = leg.edge.sequence_id;
            self.on_edge = Some((number, now));
            self.tasks.arrive(number);
            self.charging = false;
        }
    }

    fn pass_node(&mut self, now: Instant) {
        let Some(leg) = self.ahead.pop_front() else { return };
        self.tasks.leave(leg.edge.sequence_id);
        self.last_node = (leg.node.node_id, leg.node.sequence_id);
        self.tasks.arrive(leg.node.sequence_id);
        self.on_edge = None;
        self.tally.nodes += 1;
        self.news = true;
        let base = self.ahead.front().is_some_and(|leg| leg.node.released);
        if base && !self.is_held() {
            self.enter_edge(now);
        }
    }

    fn ask_for_base(&mut self) {
        let horizon = self.ahead.iter().any(|leg| !leg.node.released);
        let base = self.ahead.iter().take_while(|leg| leg.node.released);
        let runs_out = match self.setup.drive {
            Drive::Wheels(kinematics) => {
                let mut from = [self.truth.x, self.truth.y];
                let mut meters = 0.0;
                for leg in base {
                    meters += (leg.at[0] - from[0]).hypot(leg.at[1] - from[1]);
                    from = leg.at;
                }
                let braking = self.truth.speed.powi(2) / (2.0 * kinematics.deceleration.get());
                meters <= braking + BASE_REQUEST
            }
            Drive::Hops(_) => base.count() <= 1,
        };
        let asks = horizon && runs_out;
        self.news |= asks != self.base_request;
        self.base_request = asks;
    }

    fn drove(&mut self, meters: f64) {
        self.tally.meters += meters;
        let used = meters * self.setup.battery.drive_percent_per_meter;
        self.charge_percent = (self.charge_percent - used).max(0.0);
    }

    fn use_battery(&mut self, passed: Duration) {
        let battery = self.setup.battery;
        let rate = if self.charging {
            battery.charging_percent_per_second
        } else {
            -battery.idle_percent_per_second
        };
        self.charge_percent = (self.charge_percent + rate * passed.as_secs_f64()).clamp(0.0, 100.0);
        if self.charging && self.charge_percent >= 100.0 {
            self.charging = false;
            self.news = true;
        }
    }

    /// A cancel is done when the vehicle stands and nothing runs.
    fn end_cancel(&mut self) {
        if self.cancelling.is_none() || !self.truth.is_still() || self.tasks.any_runs() {
            return;
        }
        if let Some(action_id) = self.cancelling.take() {
            self.clear_order();
            self.end_instant(&action_id, ActionStatus::Finished);
        }
    }

    fn end_order(&mut self) {
        if self.order_open && self.is_idle() {
            self.order_open = false;
            self.tally.done += 1;
            self.news = true;
        }
    }
}
