//! The production fleet controller, and vehicles that follow its grants.

use std::time::Duration;

use control_loops_dispatch::{
    Class, Event, FleetController, Mode, Order, OrderError, OrderId, Setup, SetupError, TaskKind, TaskReport,
    TaskResult, Vehicle, VehicleReport, VehicleSetup,
};
use control_loops_fleet::{Graph, Heading, Motion};
use control_loops_layouts::grid::Grid;
use hal_units::Instant;

use super::body::{Body, Outcome, TICKS};
use super::{Figures, Shift};
use crate::fleet::errands::Random;
use crate::fleet::judge::Judge;

/// An action takes a second.
const TICK: Duration = Duration::from_millis(1_000 / TICKS as u64);
/// Orders that may be under way at a time.
const ORDERS_MAX: usize = 1_000;
/// Nothing of an order gets on for so many ticks: a standstill.
const STANDSTILL_TICKS: u64 = 300 * TICKS as u64;

#[derive(Debug, Clone, Copy)]
struct Cart {
    body: Body,
    passed: u32,
    task: Option<TaskReport>,
    loaded: bool,
}

/// A run under the fleet controller.
#[derive(Debug, Clone)]
pub struct Takt {
    fleet: FleetController,
    shift: Shift,
    grid: Grid,
    carts: Vec<Cart>,
    judge: Judge,
    random: Random,
    now: Instant,
    next: usize,
    figures: Figures,
    still: u64,
}

impl Takt {
    /// A run that has not begun.
    ///
    /// # Errors
    /// If the fleet cannot be controlled on this map.
    pub fn new(
        graph: Graph,
        grid: Grid,
        shift: Shift,
        traffic: Option<control_loops_fleet::Setup>,
    ) -> Result<Self, SetupError> {
        let motion = if shift.turning { Motion::Turning } else { Motion::Pebble };
        let usual = Setup::usual(motion);
        let traffic = traffic.unwrap_or(control_loops_fleet::Setup { seed: shift.seed, ..usual.traffic });
        let setup = Setup {
            traffic,
            orders_max: ORDERS_MAX,
            patience: 2 * TICKS,
            stall_after: 6 * TICKS,
            silent_after: Duration::from_secs(86_400),
            ..usual
        };
        let vehicles: Vec<_> = shift
            .starts
            .iter()
            .map(|node| VehicleSetup {
                class: Class(0),
                capacity_kg: 1_000,
                start: Some((*node, Heading::East)),
            })
            .collect();
        let fleet = FleetController::new(graph, &vehicles, &[], &[], setup)?;
        let mut random = Random::new(shift.seed);
        let cart = |node| Cart {
            body: Body::new(node, shift.turning, &shift.delays, &mut random),
            passed: 0,
            task: None,
            loaded: false,
        };
        let carts: Vec<Cart> = shift.starts.iter().copied().map(cart).collect();
        let judge = Judge::new(&grid, shift.turning);
        let figures = Figures { vehicles: carts.len() as u64, ..Figures::default() };
        let now = Instant::from_nanos(1);
        Ok(Self { fleet, shift, grid, carts, judge, random, now, next: 0, figures, still: 0 })
    }

    /// One tick: orders come, vehicles do what they may, and the controller does a step.
    pub fn tick(&mut self) {
        self.now = self.now + TICK;
        self.take_orders();
        for index in 0..self.carts.len() {
            self.act(index);
        }
        let poses: Vec<_> = self.carts.iter().map(|cart| cart.body.pose(&self.grid)).collect();
        self.judge.see(&poses);
        self.figures.faults = self.judge.total().sum();
        self.fleet.step(self.now);
        self.figures.ticks += 1;
        self.still += 1;
        while let Some(event) = self.fleet.next_event() {
            self.see(event);
        }
        if self.still > STANDSTILL_TICKS && self.fleet.orders().next().is_some() {
            self.figures.deadlocks += 1;
            self.still = 0;
        }
    }

    /// Orders that do not fit into the book wait outside.
    fn take_orders(&mut self) {
        while let Some(job) = self.shift.jobs.get(self.next).filter(|job| job.at <= self.figures.ticks) {
            let order = Order::transport(OrderId(self.next as u64), job.pick, job.drop);
            if self.fleet.submit(self.now, order) == Err(OrderError::Full) {
                return;
            }
            self.next += 1;
            self.figures.orders += 1;
        }
    }

    fn see(&mut self, event: Event) {
        match event {
            Event::Over { order, .. } => {
                let came = self.shift.jobs.get(order.0 as usize).map_or(0, |job| job.at);
                self.figures.end_order(self.figures.ticks - came);
                self.still = 0;
            }
            Event::Picked { .. } => self.still = 0,
            _ => {}
        }
    }

    fn act(&mut self, index: usize) {
        let vehicle = Vehicle(index as u16);
        let busy = self.fleet.order_of(vehicle).is_some();
        let Self { carts, shift, random, fleet, figures, .. } = self;
        let Some(cart) = carts.get_mut(index) else { return };
        figures.busy += u64::from(busy);
        let outcome = cart.body.tick(&shift.delays, random);
        let handles = cart.task.is_some_and(|task| task.result == TaskResult::Running);
        figures.productive += u64::from(cart.body.works() && (cart.loaded || handles));
        match outcome {
            Outcome::Busy => return,
            Outcome::Free => {}
            Outcome::Arrived(_) => cart.passed += 1,
            Outcome::Handled => {
                if let Some(task) = &mut cart.task {
                    task.result = TaskResult::Done;
                    cart.loaded = !cart.loaded;
                }
            }
        }
        let report = VehicleReport { task: cart.task, ..VehicleReport::passed(self.now, cart.passed, 1_000) };
        let taken = fleet.report(vehicle, &VehicleReport { mode: Mode::Automatic, ..report });
        debug_assert!(taken.is_ok(), "vehicle {index}: {taken:?}");
        if cart.task.is_some_and(|task| task.result == TaskResult::Done) {
            cart.task = None;
        }
        let Some(grant) = fleet.grant(vehicle) else { return };
        if let Some(next) = fleet.base(vehicle).nth(1) {
            cart.body.drive(next.node, next.heading);
        } else if let Some(task) = grant.task.filter(|_| grant.task_granted) {
            if matches!(task.kind, TaskKind::Pick | TaskKind::Drop) {
                cart.task = Some(TaskReport { number: task.number, result: TaskResult::Running });
                cart.body.handle(shift.handling);
            }
        }
    }

    /// Whether all orders have come and are done.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.next == self.shift.jobs.len() && self.fleet.orders().next().is_none()
    }

    /// What the run has come to, with those orders that are still under way.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = self.figures;
        for (order, _) in self.fleet.orders() {
            let came = self.shift.jobs.get(order.0 as usize).map_or(0, |job| job.at);
            figures.waited_max = figures.waited_max.max(figures.ticks - came);
        }
        figures
    }

    /// The controller, to look at.
    #[must_use]
    pub fn fleet(&self) -> &FleetController {
        &self.fleet
    }
}
