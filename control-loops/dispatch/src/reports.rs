//! What vehicles say, and who takes part.

use control_loops_fleet::{Heading, Node, Vehicle};

use crate::controller::FleetController;
use crate::event::{Degradation, Event, Reason};
use crate::order::{Fault, OrderState, Outcome};
use crate::vehicle::{
    Cart, Duty, JoinError, Mode, ReportError, Standing, TaskReport, TaskResult, VehicleReport,
};

/// What of a report counts.
struct Heard {
    /// On the controller's clock.
    at: u64,
    result: Option<TaskResult>,
}

impl FleetController {
    /// Takes in what a vehicle says.
    ///
    /// # Errors
    /// See [`ReportError`]; nothing changes then, and only this vehicle is concerned.
    pub fn report(&mut self, vehicle: Vehicle, report: &VehicleReport) -> Result<(), ReportError> {
        let cart = *self.cart(vehicle).ok_or(ReportError::UnknownVehicle)?;
        let Heard { at, result } = self.check(vehicle, &cart, report)?;
        let on_way = self.traffic.release().is_there(vehicle);
        if on_way {
            for _ in cart.passed..report.passed {
                self.traffic.arrive(vehicle);
            }
        }
        if let Some(cart) = self.cart_mut(vehicle) {
            cart.heard = at;
            cart.battery = report.battery;
            if on_way {
                cart.passed = report.passed;
            }
            if result.is_some() {
                cart.result = result;
            }
        }
        // What has been done counts, whoever moves the vehicle next.
        self.take_in_result(vehicle);
        if report.gave_up == Some(cart.course) {
            self.give_up(vehicle, result == Some(TaskResult::Untouched));
        }
        self.change_standing(vehicle, report);
        Ok(())
    }

    /// Everything that can be wrong with a report, and what of it counts.
    fn check(&self, vehicle: Vehicle, cart: &Cart, report: &VehicleReport) -> Result<Heard, ReportError> {
        if cart.standing == Standing::Absent {
            return Err(ReportError::Absent);
        }
        if report.battery > 1_000 {
            return Err(ReportError::Battery);
        }
        let heard = self.clock.millis_at(report.at);
        if heard < cart.heard {
            return Err(ReportError::Stale);
        }
        let nodes = self.graph().nodes();
        for node in [report.node.map(|(node, _)| node), report.toward].into_iter().flatten() {
            if node.0 as usize >= nodes {
                return Err(ReportError::UnknownNode);
            }
        }
        let release = self.traffic.release();
        let returns = report.mode == Mode::Automatic && cart.standing == Standing::ByHand;
        if !release.is_there(vehicle) {
            let result = report.task.map(|task| task.result);
            let entered = Ok(Heard { at: heard, result });
            return if returns && report.node.is_none() { Err(ReportError::UnknownNode) } else { entered };
        }
        let steps = report.passed.checked_sub(cart.passed).ok_or(ReportError::Backwards)?;
        let base = self.base_nodes(vehicle);
        if steps as usize > base.clone().count() {
            return Err(ReportError::NotGranted);
        }
        let at = steps.checked_sub(1).and_then(|last| base.clone().nth(last as usize));
        let at = at.map_or(release.node(vehicle), |(node, _)| node);
        let strays = report.node.is_some_and(|(node, _)| node != at);
        if strays && report.mode != Mode::Manual {
            return Err(ReportError::Contradiction);
        }
        let begun = steps as usize == base.count() && cart.task_granted;
        let result = match report.task {
            None => None,
            Some(task) if task.number != cart.task => return Err(ReportError::UnknownTask),
            Some(task) if begun || task.result == TaskResult::Running => Some(task.result),
            // It was given up with the way to it, and can be done later.
            Some(TaskReport { result: TaskResult::Failed | TaskResult::Untouched, .. })
                if report.gave_up == Some(cart.course) =>
            {
                None
            }
            Some(_) => return Err(ReportError::UnknownTask),
        };
        match report.gave_up {
            // Old ones are named again until the vehicle has heard of the new one.
            Some(course) if course > cart.course => Err(ReportError::UnknownCourse),
            Some(_) | None => Ok(Heard { at: heard, result }),
        }
    }

    /// A vehicle stands still, and what was granted to it is void; whether it has left its task untouched.
    fn give_up(&mut self, vehicle: Vehicle, untouched: bool) {
        self.traffic.give_up(vehicle);
        let Some(cart) = self.cart_mut(vehicle) else { return };
        cart.course = cart.course.wrapping_add(1);
        let granted = core::mem::replace(&mut cart.task_granted, false);
        // Told again, it is another one.
        cart.task = cart.task.wrapping_add(u32::from(granted));
        let (duty, standing) = (cart.duty, cart.standing);
        match duty {
            Duty::AtPick(slot) | Duty::AtDrop(slot) if granted && !untouched => self.hold(vehicle, slot),
            Duty::ToCharge(_) | Duty::Charging(_) => self.begin_duty(vehicle, Duty::Idle),
            Duty::Idle
            | Duty::ToPark(_)
            | Duty::Parked(_)
            | Duty::ToPick(_)
            | Duty::AtPick(_)
            | Duty::ToDrop(_)
            | Duty::AtDrop(_)
            | Duty::Held(_) => {}
        }
        if matches!(standing, Standing::Failed | Standing::ByHand) && self.is_free_to_change(vehicle) {
            self.give_back(vehicle, Reason::Out);
        }
    }

    fn change_standing(&mut self, vehicle: Vehicle, report: &VehicleReport) {
        let standing = self.look(vehicle).standing;
        match (report.mode, standing) {
            (Mode::Automatic, Standing::Driving | Standing::Entering(..) | Standing::Absent) => {}
            (Mode::Automatic, Standing::Silent | Standing::Failed | Standing::ByHand) => {
                self.come_back(vehicle, report.node);
            }
            (Mode::Failed, Standing::Failed) | (_, Standing::Absent) => {}
            (Mode::Failed, _) => self.go_out(vehicle, Standing::Failed),
            (Mode::Manual, Standing::ByHand) => {}
            (Mode::Manual, _) => self.go_out(vehicle, Standing::ByHand),
        }
        if report.mode == Mode::Manual {
            self.follow_by_hand(vehicle, report);
        }
    }

    /// A vehicle drives by itself again.
    fn come_back(&mut self, vehicle: Vehicle, node: Option<(Node, Heading)>) {
        let standing = self.look(vehicle).standing;
        self.say_in(vehicle, standing);
        if self.traffic.release().is_there(vehicle) {
            self.traffic.resume(vehicle);
            self.keep_free(vehicle, [None; 2]);
            self.set_standing(vehicle, Standing::Driving);
            let duty = self.look(vehicle).duty;
            let state = match duty {
                Duty::ToPick(_) => OrderState::ToPick(vehicle),
                Duty::AtPick(_) => OrderState::AtPick(vehicle),
                Duty::ToDrop(_) => OrderState::ToDrop(vehicle),
                Duty::AtDrop(_) => OrderState::AtDrop(vehicle),
                Duty::Idle
                | Duty::ToPark(_)
                | Duty::Parked(_)
                | Duty::ToCharge(_)
                | Duty::Charging(_)
                | Duty::Held(_) => return,
            };
            if let Some(slot) = duty.order() {
                self.set_state(slot, state);
            }
        } else if let Some((node, heading)) = node {
            self.keep_free(vehicle, [Some(node), None]);
            self.set_standing(vehicle, Standing::Entering(node, heading));
        }
    }

    /// A vehicle does not drive by itself any more.
    fn go_out(&mut self, vehicle: Vehicle, standing: Standing) {
        let before = self.look(vehicle).standing;
        self.say_in(vehicle, before);
        self.set_standing(vehicle, standing);
        self.events.push(Event::Degraded { vehicle, what: amiss(standing) });
        self.traffic.suspend(vehicle);
        let duty = self.look(vehicle).duty;
        if self.is_free_to_change(vehicle) {
            self.give_back(vehicle, Reason::Out);
        } else if let Some(slot) = duty.order() {
            self.set_state(slot, OrderState::Held(vehicle));
            if let Some(record) = self.book.at(slot) {
                self.events.push(Event::Held { order: record.id, vehicle });
            }
        } else {
            self.begin_duty(vehicle, Duty::Idle);
        }
    }

    /// Says that something is not amiss any more.
    fn say_in(&mut self, vehicle: Vehicle, standing: Standing) {
        match standing {
            Standing::Silent | Standing::Failed | Standing::ByHand => {
                self.events.push(Event::Recovered { vehicle, what: amiss(standing) });
            }
            Standing::Absent | Standing::Entering(..) | Standing::Driving => {}
        }
    }

    /// Keeps free where a person drives a vehicle.
    fn follow_by_hand(&mut self, vehicle: Vehicle, report: &VehicleReport) {
        let release = self.traffic.release();
        let there = release.is_there(vehicle);
        let Some((node, _)) = report.node else { return };
        let elsewhere = node != release.node(vehicle) || report.toward.is_some();
        if there && elsewhere && release.promised(vehicle) == 0 {
            self.traffic.leave(vehicle);
        }
        if elsewhere || !there {
            self.keep_free(vehicle, [Some(node), report.toward]);
        }
    }

    /// Closes these nodes because a vehicle may be there, and opens those from before.
    fn keep_free(&mut self, vehicle: Vehicle, nodes: [Option<Node>; 2]) {
        let before = self.look(vehicle).around;
        if before == nodes {
            return;
        }
        for node in nodes.into_iter().flatten() {
            // Nodes of the layout; each is opened as often as it is closed.
            let _ = self.traffic.set_node_barred(node, true);
        }
        for node in before.into_iter().flatten() {
            let _ = self.traffic.set_node_barred(node, false);
        }
        if let Some(cart) = self.cart_mut(vehicle) {
            cart.around = nodes;
        }
    }

    fn set_standing(&mut self, vehicle: Vehicle, standing: Standing) {
        if let Some(cart) = self.cart_mut(vehicle) {
            cart.standing = standing;
        }
    }

    /// Brings a vehicle onto the layout: it takes part as soon as nobody else holds its node or comes there. It
    /// stands still there, and follows no earlier grant.
    ///
    /// # Errors
    /// See [`JoinError`]; nothing changes then.
    pub fn join(&mut self, vehicle: Vehicle, node: Node, heading: Heading) -> Result<(), JoinError> {
        let cart = self.cart(vehicle).ok_or(JoinError::UnknownVehicle)?;
        if node.0 as usize >= self.graph().nodes() {
            return Err(JoinError::UnknownNode);
        }
        if cart.standing != Standing::Absent {
            return Err(JoinError::Present);
        }
        self.keep_free(vehicle, [Some(node), None]);
        self.set_standing(vehicle, Standing::Entering(node, heading));
        let now = self.clock.millis();
        if let Some(cart) = self.cart_mut(vehicle) {
            cart.heard = now;
        }
        Ok(())
    }

    /// Takes a vehicle off the layout: somebody has seen to it that it is not there any more. An order that it
    /// has not begun waits again; one whose load it has, has failed.
    ///
    /// # Errors
    /// If it drives by itself and has an order, or has not reached the end of its base.
    pub fn leave(&mut self, vehicle: Vehicle) -> Result<(), JoinError> {
        let cart = *self.cart(vehicle).ok_or(JoinError::UnknownVehicle)?;
        let moves = self.traffic.release().promised(vehicle) > 0;
        if cart.standing == Standing::Driving && (cart.duty.order().is_some() || moves) {
            return Err(JoinError::Busy);
        }
        if let Some(slot) = cart.duty.order() {
            if self.is_free_to_change(vehicle) {
                self.give_back(vehicle, Reason::Out);
            } else {
                self.begin_duty(vehicle, Duty::Idle);
                self.end_order(slot, Outcome::Failed(Fault::Left));
            }
        }
        self.begin_duty(vehicle, Duty::Idle);
        self.traffic.leave(vehicle);
        self.keep_free(vehicle, [None; 2]);
        if let Some(cart) = self.cart_mut(vehicle).filter(|cart| cart.standing != Standing::Absent) {
            cart.standing = Standing::Absent;
            cart.course = cart.course.wrapping_add(1);
            self.events.push(Event::Left { vehicle });
        }
        Ok(())
    }

    /// Vehicles that nobody has heard of for a while.
    pub(crate) fn watch_silence(&mut self) {
        let now = self.clock.millis();
        let silent_after = self.setup.silent_after.as_millis() as u64;
        let lost_after = self.setup.lost_after.as_millis() as u64;
        for vehicle in self.all() {
            let cart = self.look(vehicle);
            let age = now.saturating_sub(cart.heard);
            if cart.standing == Standing::Driving && age > silent_after {
                self.set_standing(vehicle, Standing::Silent);
                self.events.push(Event::Degraded { vehicle, what: Degradation::Silent });
                self.traffic.suspend(vehicle);
            }
            if cart.standing == Standing::Silent && age > lost_after && self.is_free_to_change(vehicle) {
                self.give_back(vehicle, Reason::Out);
            }
        }
    }

    /// Vehicles that are to take part, as far as there is room.
    pub(crate) fn let_enter(&mut self) {
        for vehicle in self.all() {
            let cart = self.look(vehicle);
            let Standing::Entering(node, heading) = cart.standing else { continue };
            if !self.traffic.enter(vehicle, node, heading) {
                continue;
            }
            self.keep_free(vehicle, [None; 2]);
            if let Some(cart) = self.cart_mut(vehicle) {
                cart.standing = Standing::Driving;
                cart.course = cart.course.wrapping_add(1);
            }
            self.events.push(Event::Joined { vehicle });
            self.begin_duty(vehicle, cart.duty);
        }
    }
}

const fn amiss(standing: Standing) -> Degradation {
    match standing {
        Standing::Silent | Standing::Absent | Standing::Entering(..) | Standing::Driving => {
            Degradation::Silent
        }
        Standing::Failed => Degradation::Failed,
        Standing::ByHand => Degradation::ByHand,
    }
}
