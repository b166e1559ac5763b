//! The fleet as people see it.

use agent_status::{Fleet, FleetOrders, Vehicle as ShownVehicle};
use control_loops_dispatch::{Cause, Degradation, Duty, Node, OrderState, Standing, Vehicle, Why};

use crate::conversation::Said;
use crate::site::{SiteFleet, VehicleLink};

/// Causes that are named for one vehicle.
const CAUSES_MAX: usize = 8;

/// Of vehicles with the same trouble so many are named.
const NAMED_MAX: usize = 5;

impl SiteFleet {
    /// The report about the fleet.
    #[must_use]
    pub fn report(&self, layout: &str, connected: bool) -> Fleet {
        let figures = &self.figures;
        let mut orders = FleetOrders {
            done: figures.done,
            failed: figures.failed,
            cancelled: figures.cancelled,
            ..FleetOrders::default()
        };
        orders.under_way += self.unresolved().count() as u64;
        for (_, state) in self.controller.orders() {
            match state {
                OrderState::Waiting => orders.waiting += 1,
                OrderState::Over(_) => {}
                OrderState::Assigned(_)
                | OrderState::ToPick(_)
                | OrderState::AtPick(_)
                | OrderState::ToDrop(_)
                | OrderState::AtDrop(_)
                | OrderState::Held(_) => orders.under_way += 1,
            }
        }
        Fleet {
            layout: layout.to_owned(),
            steps: self.steps,
            step_time: figures.step.distribution(),
            release_time: figures.release.distribution(),
            connected,
            orders,
            dispatch: figures.dispatch.distribution(),
            assignment_wait: figures.assignment_wait.distribution(),
            echo: figures.echo.distribution(),
            utilisation_percent: 100.0 * figures.working_steps as f64 / figures.vehicle_steps.max(1) as f64,
            vehicles: (0..self.names.len()).map(|at| self.vehicle(at)).collect(),
            taking_part: (0..self.names.len()).filter(|at| self.takes_part(*at)).count() as u64,
            refused: figures.refused.clone(),
            degraded: self.degradations(),
        }
    }

    fn takes_part(&self, at: usize) -> bool {
        match self.controller.standing(Vehicle(at as u16)) {
            Some(Standing::Driving | Standing::Entering(..)) => true,
            Some(Standing::Absent | Standing::Silent | Standing::Failed | Standing::ByHand) | None => false,
        }
    }

    fn degradations(&self) -> Vec<String> {
        let words = |what: Degradation| match what {
            Degradation::Silent => "is not heard",
            Degradation::Failed => "has failed",
            Degradation::ByHand => "is driven by hand",
            Degradation::BatteryCritical => "has a nearly empty battery",
            Degradation::NoCharger => "finds no free charger",
            Degradation::Charging => "could not charge",
        };
        let of =
            |(vehicle, what): &(Vehicle, Degradation)| format!("{} {}", self.name(*vehicle), words(*what));
        let bystanders = self.bystanders.iter().map(|bystander| Vehicle(bystander.vehicle));
        let bystanders = self
            .some_of(bystanders)
            .map(|names| format!("no part is taken by {names}: the places where they may be are closed"));
        let anywhere = self.some_of(self.anywhere()).map(|names| {
            format!(
                "never heard and perhaps anywhere: {names}; no vehicle is sent before they are brought up or taken out of \
                 the site's file"
            )
        });
        let begins = self.settling.map(|_| {
            "the fleet begins anew: vehicles are asked to give up what they were told, and where their loads are".to_owned()
        });
        self.degraded.iter().map(of).chain(bystanders).chain(anywhere).chain(begins).collect()
    }

    /// The names of the first of these, and how many more there are; `None` if there are none.
    fn some_of(&self, vehicles: impl Iterator<Item = Vehicle>) -> Option<String> {
        let vehicles: Vec<_> = vehicles.collect();
        let names: Vec<_> = vehicles.iter().take(NAMED_MAX).map(|vehicle| self.name(*vehicle)).collect();
        let more = vehicles.len().saturating_sub(NAMED_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        (!names.is_empty()).then(|| format!("{}{more}", names.join(", ")))
    }

    fn vehicle(&self, at: usize) -> ShownVehicle {
        let vehicle = Vehicle(at as u16);
        let explanation = self.controller.explain(vehicle);
        let standing = explanation.map_or(Standing::Absent, |explanation| explanation.standing);
        let duty = explanation.map_or(Duty::Idle, |explanation| explanation.duty);
        let goal = explanation.and_then(|explanation| explanation.goal);
        let (Some(talk), Some(link)) = (self.talks.get(at), self.links.get(at)) else {
            return ShownVehicle::default();
        };
        let said = talk.said();
        ShownVehicle {
            name: self.name(vehicle).to_owned(),
            speaks: match link {
                VehicleLink::Vda(address) => format!("vda5050 {}", address.version().as_str()),
                VehicleLink::Drive { profile } => format!("modbus {profile}"),
            },
            state: match standing {
                Standing::Absent if said.connected => "absent",
                Standing::Absent => "not connected",
                Standing::Entering(..) => "entering",
                Standing::Silent => "lost",
                Standing::Failed => "failed",
                Standing::ByHand => "manual",
                Standing::Driving if said.emergency_stop => "stopped",
                Standing::Driving if said.charging => "charging",
                Standing::Driving if said.driving => "driving",
                Standing::Driving => "standing",
            }
            .to_owned(),
            at: said.last_node.clone(),
            task: self.task_words(duty, goal),
            battery_percent: said.battery_percent,
            stops: talk.stops(),
            why: self.why(vehicle, said),
        }
    }

    fn task_words(&self, duty: Duty, goal: Option<Node>) -> String {
        let place = goal.map_or("?", |goal| self.places.hall.name(goal));
        match duty {
            Duty::Idle => "idle".to_owned(),
            Duty::ToPark(_) => format!("to park at {place}"),
            Duty::Parked(_) => format!("parked at {place}"),
            Duty::ToCharge(_) => format!("to charge at {place}"),
            Duty::Charging(_) => format!("charges at {place}"),
            Duty::ToPick(_) => format!("fetches at {place}"),
            Duty::AtPick(_) => format!("picks at {place}"),
            Duty::ToDrop(_) => format!("brings to {place}"),
            Duty::AtDrop(_) => format!("drops at {place}"),
            Duty::Held(_) => "holds a load".to_owned(),
        }
    }

    /// Why a vehicle is where it is, one cause after the other, in words.
    fn why(&self, vehicle: Vehicle, said: &Said) -> Vec<String> {
        let error = said.error.iter().filter(|_| said.emergency_stop);
        let stopped = error.map(|error| format!("{} was stopped: {error}", self.name(vehicle)));
        let causes = self.controller.why(vehicle).take(CAUSES_MAX);
        stopped
            .chain(causes.map(|(each, why)| format!("{} {}", self.name(each), self.words_of(why))))
            .collect()
    }

    fn words_of(&self, why: Why) -> String {
        let place = |node: Node| self.places.hall.name(node);
        let by = |by: Option<Vehicle>| by.map_or("somebody", |by| self.name(by));
        match why {
            Why::Absent => "is not on the layout".to_owned(),
            Why::Enters { node, by: who } => {
                format!("waits to enter at {}, which {} holds", place(node), by(who))
            }
            Why::Silent => "has not been heard for a while".to_owned(),
            Why::Failed => "has failed".to_owned(),
            Why::ByHand => "is driven by a person".to_owned(),
            Why::Held => "holds a load until a person says where it is, with the command resolve".to_owned(),
            Why::Drives { to } => format!("may drive to {}", place(to)),
            Why::Works => "works where it is".to_owned(),
            Why::Charges => "charges".to_owned(),
            Why::Parked => "waits at its parking place for an order".to_owned(),
            Why::Follows { node, by: who } => {
                format!("waits for {}, which {} passes first", place(node), by(who))
            }
            Why::Plan(cause) => self.words_of_plan(cause),
        }
    }

    fn words_of_plan(&self, cause: Cause) -> String {
        let place = |node: Node| self.places.hall.name(node);
        match cause {
            Cause::Moves { to } => format!("moves on to {} next", place(to)),
            Cause::Idle => "has nothing to do".to_owned(),
            Cause::Arrived => "is where it has to be".to_owned(),
            Cause::Unreachable => "has no open way to its goal".to_owned(),
            Cause::Pinned => "has to stay where it is".to_owned(),
            Cause::MakesWay { of } => format!("makes way for {}, which has waited longest", self.name(of)),
            Cause::DeadEnd { owner } => {
                let inside =
                    owner.map_or("several others are".to_owned(), |owner| format!("{} is", self.name(owner)));
                format!("waits outside a dead end that {inside} in")
            }
            Cause::Held { node, by } => format!("waits for {}, where {} stands", place(node), self.name(by)),
            Cause::GivesWay { node, to } => format!("lets {} pass {} first", self.name(to), place(node)),
            Cause::Later { steps: Some(steps) } => {
                format!("goes on in {steps} steps, which is better for all")
            }
            Cause::Later { steps: None } => "goes on later, which is better for all".to_owned(),
        }
    }

    fn name(&self, vehicle: Vehicle) -> &str {
        self.names.get(usize::from(vehicle.0)).map_or("?", String::as_str)
    }
}
