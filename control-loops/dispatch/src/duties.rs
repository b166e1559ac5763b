//! What vehicles do, from one duty to the next.

use control_loops_fleet::{Node, Vehicle};

use crate::controller::FleetController;
use crate::event::{Degradation, Event, Reason};
use crate::order::{Fault, OrderState, Outcome};
use crate::vehicle::{Duty, Standing, Task, TaskKind, TaskResult};

impl FleetController {
    /// Gives a vehicle another duty, with its goal and its task, and says so in the order's state.
    pub(crate) fn begin_duty(&mut self, vehicle: Vehicle, duty: Duty) {
        let before = self.look(vehicle).duty;
        if let (Duty::Charging(place), false) = (before, before == duty) {
            self.shut_place(place, false);
        }
        let Some(cart) = self.cart_mut(vehicle) else { return };
        cart.duty = duty;
        cart.task = cart.task.wrapping_add(1);
        cart.task_granted = false;
        cart.result = None;
        let state = match duty {
            Duty::ToPick(_) => Some(OrderState::Assigned(vehicle)),
            Duty::AtPick(_) => Some(OrderState::AtPick(vehicle)),
            Duty::ToDrop(_) => Some(OrderState::ToDrop(vehicle)),
            Duty::AtDrop(_) => Some(OrderState::AtDrop(vehicle)),
            Duty::Held(_) => Some(OrderState::Held(vehicle)),
            Duty::Idle | Duty::ToPark(_) | Duty::Parked(_) | Duty::ToCharge(_) | Duty::Charging(_) => None,
        };
        if let (Some(slot), Some(state)) = (duty.order(), state) {
            self.set_state(slot, state);
        }
        self.aim(vehicle);
    }

    /// Gives the traffic control the goal of a vehicle's duty. If no way leads there it has none for now.
    pub(crate) fn aim(&mut self, vehicle: Vehicle) {
        let cart = self.look(vehicle);
        let goal = self.goal_of(cart.duty);
        let stays = match cart.duty {
            Duty::Idle | Duty::ToPark(_) | Duty::Parked(_) => false,
            Duty::ToCharge(_)
            | Duty::Charging(_)
            | Duty::ToPick(_)
            | Duty::AtPick(_)
            | Duty::ToDrop(_)
            | Duty::AtDrop(_)
            | Duty::Held(_) => true,
        };
        if self.traffic.set_goal(vehicle, goal, stays).is_err() {
            // No goal can always be given.
            let _ = self.traffic.set_goal(vehicle, None, false);
        }
        if matches!(cart.duty, Duty::Held(_)) {
            self.traffic.stay(vehicle);
        }
    }

    /// Where a duty is done.
    pub(crate) fn goal_of(&self, duty: Duty) -> Option<Node> {
        match duty {
            Duty::Idle | Duty::Held(_) => None,
            Duty::ToPark(place) | Duty::Parked(place) | Duty::ToCharge(place) | Duty::Charging(place) => {
                self.places.get(usize::from(place)).map(|place| place.node)
            }
            Duty::ToPick(slot) | Duty::AtPick(slot) => self.book.at(slot).and_then(|record| record.pick),
            Duty::ToDrop(slot) | Duty::AtDrop(slot) => self.book.at(slot).map(|record| record.drop),
        }
    }

    /// What a vehicle is to do at the end of its way.
    #[must_use]
    pub fn task(&self, vehicle: Vehicle) -> Option<Task> {
        let cart = self.cart(vehicle)?;
        let record = cart.duty.order().and_then(|slot| self.book.at(slot));
        let kind = match cart.duty {
            Duty::Idle | Duty::Held(_) => return None,
            Duty::ToPark(_) | Duty::Parked(_) => TaskKind::Park,
            Duty::ToCharge(_) | Duty::Charging(_) => TaskKind::Charge,
            Duty::ToPick(_) | Duty::AtPick(_) => TaskKind::Pick,
            Duty::ToDrop(_) | Duty::AtDrop(_) => match record?.pick {
                Some(_) => TaskKind::Drop,
                None => TaskKind::Visit,
            },
        };
        let node = self.goal_of(cart.duty)?;
        Some(Task { number: cart.task, kind, node, order: record.map(|record| record.id) })
    }

    /// Whether a vehicle may have been granted its task: then it is not taken back.
    pub(crate) fn is_granted(&self, vehicle: Vehicle) -> bool {
        self.look(vehicle).task_granted
    }

    /// Whether a vehicle has an order that another one may do as well: nothing of it is done or granted.
    pub(crate) fn is_free_to_change(&self, vehicle: Vehicle) -> bool {
        let cart = self.look(vehicle);
        match cart.duty {
            Duty::ToPick(_) => !cart.task_granted,
            Duty::ToDrop(slot) => {
                !cart.task_granted && self.book.at(slot).is_some_and(|record| record.pick.is_none())
            }
            Duty::Idle
            | Duty::ToPark(_)
            | Duty::Parked(_)
            | Duty::ToCharge(_)
            | Duty::Charging(_)
            | Duty::AtPick(_)
            | Duty::AtDrop(_)
            | Duty::Held(_) => false,
        }
    }

    /// The order of a vehicle waits again.
    pub(crate) fn give_back(&mut self, vehicle: Vehicle, reason: Reason) {
        let Some(slot) = self.look(vehicle).duty.order() else { return };
        self.begin_duty(vehicle, Duty::Idle);
        self.set_state(slot, OrderState::Waiting);
        if let Some(record) = self.book.at(slot) {
            self.events.push(Event::Returned { order: record.id, vehicle, reason });
        }
    }

    /// Arrivals, and what has become of tasks.
    pub(crate) fn take_in_results(&mut self) {
        for vehicle in self.all() {
            self.take_in_result(vehicle);
        }
    }

    pub(crate) fn take_in_result(&mut self, vehicle: Vehicle) {
        self.arrive_at_duty(vehicle);
        let result = self.cart_mut(vehicle).and_then(|cart| cart.result.take());
        match result {
            None | Some(TaskResult::Running | TaskResult::Untouched) => {}
            Some(TaskResult::Done) => self.task_done(vehicle),
            Some(TaskResult::Failed) => self.task_failed(vehicle),
        }
    }

    fn arrive_at_duty(&mut self, vehicle: Vehicle) {
        let cart = self.look(vehicle);
        if !self.traffic.is_at_goal(vehicle) {
            if let Duty::Parked(place) = cart.duty {
                // It was in the way, and comes back.
                self.set_duty(vehicle, Duty::ToPark(place));
            }
            return;
        }
        match cart.duty {
            Duty::ToPick(slot) => {
                self.set_duty(vehicle, Duty::AtPick(slot));
                self.show(slot, vehicle, OrderState::AtPick(vehicle));
            }
            Duty::ToDrop(slot) => {
                self.set_duty(vehicle, Duty::AtDrop(slot));
                self.show(slot, vehicle, OrderState::AtDrop(vehicle));
            }
            Duty::ToPark(place) => self.set_duty(vehicle, Duty::Parked(place)),
            Duty::ToCharge(place) => {
                self.set_duty(vehicle, Duty::Charging(place));
                self.shut_place(place, true);
            }
            Duty::Idle
            | Duty::Parked(_)
            | Duty::Charging(_)
            | Duty::AtPick(_)
            | Duty::AtDrop(_)
            | Duty::Held(_) => {}
        }
    }

    /// The same task goes on under another name.
    pub(crate) fn set_duty(&mut self, vehicle: Vehicle, duty: Duty) {
        if let Some(cart) = self.cart_mut(vehicle) {
            cart.duty = duty;
        }
    }

    /// Sets an order's state, unless the vehicle is out: then its load is held.
    pub(crate) fn show(&mut self, slot: u16, vehicle: Vehicle, state: OrderState) {
        let out = matches!(self.look(vehicle).standing, Standing::Failed | Standing::ByHand);
        self.set_state(slot, if out { OrderState::Held(vehicle) } else { state });
    }

    fn task_done(&mut self, vehicle: Vehicle) {
        match self.look(vehicle).duty {
            Duty::AtPick(slot) => {
                if let Some(record) = self.book.at(slot) {
                    self.events.push(Event::Picked { order: record.id, vehicle });
                }
                self.begin_duty(vehicle, Duty::ToDrop(slot));
                self.show(slot, vehicle, OrderState::ToDrop(vehicle));
            }
            Duty::AtDrop(slot) => {
                let cancelled = self.book.at(slot).is_some_and(|record| record.cancelling);
                self.begin_duty(vehicle, Duty::Idle);
                self.end_order(slot, if cancelled { Outcome::Cancelled } else { Outcome::Done });
            }
            Duty::Charging(_) => self.begin_duty(vehicle, Duty::Idle),
            Duty::Idle
            | Duty::ToPark(_)
            | Duty::Parked(_)
            | Duty::ToCharge(_)
            | Duty::ToPick(_)
            | Duty::ToDrop(_)
            | Duty::Held(_) => {}
        }
    }

    fn task_failed(&mut self, vehicle: Vehicle) {
        match self.look(vehicle).duty {
            Duty::AtPick(slot) => {
                let cancelled = self.book.at(slot).is_some_and(|record| record.cancelling);
                self.begin_duty(vehicle, Duty::Idle);
                self.end_order(
                    slot,
                    if cancelled { Outcome::Cancelled } else { Outcome::Failed(Fault::Pick) },
                );
            }
            Duty::AtDrop(slot) => {
                if self.book.at(slot).is_some_and(|record| record.pick.is_none()) {
                    self.begin_duty(vehicle, Duty::Idle);
                    self.end_order(slot, Outcome::Failed(Fault::Visit));
                } else {
                    self.hold(vehicle, slot);
                }
            }
            Duty::Charging(_) => {
                self.begin_duty(vehicle, Duty::Idle);
                let before =
                    self.cart_mut(vehicle).map(|cart| core::mem::replace(&mut cart.charge_failed, true));
                if before == Some(false) {
                    self.events.push(Event::Degraded { vehicle, what: Degradation::Charging });
                }
            }
            Duty::Idle
            | Duty::ToPark(_)
            | Duty::Parked(_)
            | Duty::ToCharge(_)
            | Duty::ToPick(_)
            | Duty::ToDrop(_)
            | Duty::Held(_) => {}
        }
    }

    /// Nobody but a person knows where the load is.
    pub(crate) fn hold(&mut self, vehicle: Vehicle, slot: u16) {
        self.begin_duty(vehicle, Duty::Held(slot));
        if let Some(record) = self.book.at(slot) {
            self.events.push(Event::Held { order: record.id, vehicle });
        }
    }

    /// Deadlines, ages, and ways that are closed.
    pub(crate) fn watch_orders(&mut self) {
        let now = self.clock.millis();
        let overdue_after = self.setup.overdue_after.as_millis() as u64;
        let Self { book, events, .. } = self;
        for record in book.records.iter_mut().flatten() {
            if !record.late && record.deadline.is_some_and(|deadline| deadline <= now) {
                record.late = true;
                events.push(Event::Late { order: record.id });
            }
            let waits = record.state == OrderState::Waiting;
            if waits && !record.overdue && now.saturating_sub(record.accepted) >= overdue_after {
                record.overdue = true;
                events.push(Event::Overdue { order: record.id });
            }
        }
        for vehicle in self.all() {
            self.watch_way(vehicle);
        }
    }

    /// Whether a vehicle can still get where its duty is.
    fn watch_way(&mut self, vehicle: Vehicle) {
        let cart = self.look(vehicle);
        let Some(goal) = self.goal_of(cart.duty).filter(|_| cart.standing == Standing::Driving) else {
            return;
        };
        if self.traffic.planner().goal(vehicle) != Some(goal) {
            self.aim(vehicle);
        }
        let planner = self.traffic.planner();
        let cut = planner.goal(vehicle) != Some(goal) || planner.is_cut_off_from_goal(vehicle);
        if cut && cart.duty.place().is_some() {
            self.begin_duty(vehicle, Duty::Idle);
        }
        if cut && self.is_free_to_change(vehicle) {
            self.give_back(vehicle, Reason::Unreachable);
        } else if let Some(slot) = cart.duty.order() {
            self.say_blocked(slot, cut);
        }
    }

    pub(crate) fn say_blocked(&mut self, slot: u16, blocked: bool) {
        let Some(record) = self.book.at_mut(slot) else { return };
        if blocked && !record.blocked {
            self.events.push(Event::Blocked { order: record.id });
        }
        record.blocked = blocked;
    }
}
