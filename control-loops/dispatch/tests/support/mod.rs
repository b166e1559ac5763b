//! A hall with vehicles that do what they are granted, late and at random, and a judge that keeps books of its
//! own: who is on which node, and which load is where.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::time::Duration;

use control_loops_dispatch::{
    Class, Event, FleetController, Grant, Heading, Mode, Motion, Node, Order, OrderId, Outcome, Setup,
    TaskKind, TaskReport, TaskResult, Vehicle, VehicleReport, VehicleSetup,
};
use control_loops_fleet::{Arc, Graph, UNIT};
use hal_units::Instant;

/// Reproducible random numbers (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u32) -> u32 {
        (self.bits() % u64::from(end)) as u32
    }

    pub(crate) fn chance(&mut self, in_thousand: u32) -> bool {
        self.below(1_000) < in_thousand
    }
}

/// A free hall of so many columns and rows; nodes count in rows.
pub(crate) fn hall(columns: u32, rows: u32) -> Graph {
    let mut arcs = Vec::new();
    for node in 0..columns * rows {
        let (column, row) = (node % columns, node / columns);
        let mut both = |other: u32, there, back| {
            arcs.push(Arc { from: Node(node), to: Node(other), heading: there, cost: UNIT as u8 });
            arcs.push(Arc { from: Node(other), to: Node(node), heading: back, cost: UNIT as u8 });
        };
        if column + 1 < columns {
            both(node + 1, Heading::East, Heading::West);
        }
        if row + 1 < rows {
            both(node + columns, Heading::South, Heading::North);
        }
    }
    Graph::new((columns * rows) as usize, &arcs).unwrap()
}

pub(crate) fn setup(motion: Motion) -> Setup {
    let usual = Setup::usual(motion);
    Setup {
        traffic: control_loops_fleet::Setup { guard_age: 60, effort: 2_000, ..usual.traffic },
        orders_max: 64,
        ..usual
    }
}

pub(crate) fn vehicles(starts: &[u32]) -> Vec<VehicleSetup> {
    let one = |node: &u32| VehicleSetup {
        class: Class(0),
        capacity_kg: 1_000,
        start: Some((Node(*node), Heading::East)),
    };
    starts.iter().map(one).collect()
}

/// A vehicle as it really is.
#[derive(Clone)]
pub(crate) struct Real {
    pub(crate) there: bool,
    pub(crate) mode: Mode,
    pub(crate) node: Node,
    pub(crate) toward: Option<Node>,
    pub(crate) passed: u32,
    pub(crate) course: u32,
    pub(crate) battery: u16,
    /// Steps until the move or task is over.
    left: u32,
    pub(crate) task: Option<TaskReport>,
    /// The last task that it did: it is not done again.
    done: Option<u32>,
    pub(crate) load: Option<OrderId>,
    /// It says nothing.
    pub(crate) mute: bool,
    /// It stands still.
    pub(crate) stopped: bool,
    gave_up: Option<u32>,
    /// It does what it was told even if it says nothing.
    granted: Option<(Grant, Vec<Node>)>,
}

/// How things go.
pub(crate) struct Pace {
    /// Steps for a move, and for a task.
    pub(crate) move_steps: u32,
    pub(crate) task_steps: u32,
    /// In thousand steps, how often a move takes another step.
    pub(crate) late: u32,
}

pub(crate) struct Site {
    pub(crate) fleet: FleetController,
    /// Another controller that is told the same, and has to come to the same.
    pub(crate) mirror: Option<FleetController>,
    pub(crate) real: Vec<Real>,
    pub(crate) now: Instant,
    pub(crate) random: Random,
    pub(crate) pace: Pace,
    pub(crate) period: Duration,
    pub(crate) events: Vec<Event>,
    pub(crate) picked: HashMap<OrderId, u32>,
    pub(crate) dropped: HashMap<OrderId, u32>,
    pub(crate) over: HashMap<OrderId, Outcome>,
}

impl Site {
    pub(crate) fn new(fleet: FleetController, seed: u64) -> Self {
        let standing = |vehicle: u16| {
            let at = fleet.traffic().release().is_there(Vehicle(vehicle));
            Real {
                there: at,
                mode: Mode::Automatic,
                node: fleet.traffic().release().node(Vehicle(vehicle)),
                toward: None,
                passed: 0,
                course: 0,
                battery: 900,
                left: 0,
                task: None,
                done: None,
                load: None,
                mute: false,
                stopped: false,
                gave_up: None,
                granted: None,
            }
        };
        let real = (0..fleet.vehicles()).map(standing).collect();
        Self {
            fleet,
            mirror: None,
            real,
            now: Instant::from_nanos(1_000_000_000),
            random: Random(seed),
            pace: Pace { move_steps: 2, task_steps: 3, late: 0 },
            period: Duration::from_millis(500),
            events: Vec::new(),
            picked: HashMap::new(),
            dropped: HashMap::new(),
            over: HashMap::new(),
        }
    }

    /// A fleet in a hall, everybody idle.
    pub(crate) fn in_hall(columns: u32, rows: u32, starts: &[u32], setup: Setup) -> Self {
        Self::with_places(columns, rows, starts, &[], &[], setup)
    }

    pub(crate) fn with_places(
        columns: u32,
        rows: u32,
        starts: &[u32],
        chargers: &[u32],
        parking: &[u32],
        setup: Setup,
    ) -> Self {
        let nodes = |list: &[u32]| list.iter().copied().map(Node).collect::<Vec<_>>();
        let fleet = FleetController::new(
            hall(columns, rows),
            &vehicles(starts),
            &nodes(chargers),
            &nodes(parking),
            setup,
        );
        Self::new(fleet.unwrap(), 1)
    }

    pub(crate) fn transport(&mut self, id: u64, pick: u32, drop: u32) {
        self.fleet.submit(self.now, Order::transport(OrderId(id), Node(pick), Node(drop))).unwrap();
    }

    pub(crate) fn report_of(&self, vehicle: usize) -> VehicleReport {
        let real = &self.real[vehicle];
        VehicleReport {
            at: self.now,
            mode: real.mode,
            passed: real.passed,
            node: Some((real.node, Heading::East)),
            toward: real.toward,
            battery: real.battery,
            task: real.task,
            gave_up: real.gave_up,
        }
    }

    /// Everybody does what it may, says so, and the controller does a step.
    pub(crate) fn step(&mut self) {
        self.now = self.now + self.period;
        for vehicle in 0..self.real.len() {
            if !self.real[vehicle].there {
                continue;
            }
            self.act(vehicle);
            if !self.real[vehicle].mute {
                let report = self.report_of(vehicle);
                self.fleet.report(Vehicle(vehicle as u16), &report).unwrap_or_else(|error| {
                    panic!("vehicle {vehicle} said {report:?}: {error:?}");
                });
                if let Some(mirror) = &mut self.mirror {
                    assert_eq!(mirror.report(Vehicle(vehicle as u16), &report), Ok(()));
                }
                if self.real[vehicle].task.is_some_and(|task| task.result != TaskResult::Running) {
                    self.real[vehicle].task = None;
                }
            }
        }
        self.fleet.step(self.now);
        if let Some(mirror) = &mut self.mirror {
            mirror.step(self.now);
            assert_eq!(mirror.state(), self.fleet.state());
            while mirror.next_event().is_some() {}
        }
        while let Some(event) = self.fleet.next_event() {
            if let Event::Over { order, outcome, .. } = event {
                assert!(self.over.insert(order, outcome).is_none(), "{order:?} ended twice");
            }
            self.events.push(event);
        }
        assert_eq!(self.fleet.events_lost(), 0);
        self.judge();
    }

    pub(crate) fn steps(&mut self, count: u32) {
        (0..count).for_each(|_| self.step());
    }

    /// Steps until it is so, at most `most`.
    pub(crate) fn until(&mut self, most: u32, so: impl Fn(&Self) -> bool) -> u32 {
        for step in 0..most {
            if so(self) {
                return step;
            }
            self.step();
        }
        let why: Vec<_> = (0..self.real.len() as u16).map(|v| self.fleet.explain(Vehicle(v))).collect();
        panic!("not within {most} steps; orders {:?}, {why:#?}", self.fleet.orders().collect::<Vec<_>>());
    }

    pub(crate) fn is_over(&self, id: u64) -> bool {
        self.over.contains_key(&OrderId(id))
    }

    fn act(&mut self, vehicle: usize) {
        self.listen(vehicle);
        let late = self.random.chance(self.pace.late);
        let pace = (self.pace.move_steps, self.pace.task_steps);
        let real = &mut self.real[vehicle];
        if real.stopped || real.mode != Mode::Automatic {
            return;
        }
        if real.left > 0 {
            real.left -= u32::from(!late);
            if real.left > 0 {
                return;
            }
            if let Some(node) = real.toward.take() {
                real.node = node;
                real.passed += 1;
            } else if let Some(task) = real.task.as_mut().filter(|task| task.result == TaskResult::Running) {
                task.result = TaskResult::Done;
                let number = task.number;
                self.finish_task(vehicle, number);
            }
            return;
        }
        if real.battery > 0 && self.random.chance(30) {
            real.battery -= 1;
        }
        let Some((grant, base)) = real.granted.clone() else { return };
        if real.course != grant.course || real.gave_up == Some(grant.course) {
            return;
        }
        let next = real.passed.wrapping_sub(grant.from.number) as usize + 1;
        if let Some(node) = base.get(next) {
            real.toward = Some(*node);
            real.left = pace.0;
        } else if let Some(task) = grant.task.filter(|_| grant.task_granted) {
            match task.kind {
                TaskKind::Park => {}
                TaskKind::Charge => {
                    real.battery = (real.battery + 5).min(1_000);
                    real.task = Some(TaskReport { number: task.number, result: TaskResult::Running });
                }
                TaskKind::Pick | TaskKind::Drop | TaskKind::Visit => {
                    if real.task.is_none() && real.done != Some(task.number) {
                        real.task = Some(TaskReport { number: task.number, result: TaskResult::Running });
                        real.left = pace.1;
                    }
                }
            }
        }
    }

    /// Takes the newest grant, unless the connection is gone.
    fn listen(&mut self, vehicle: usize) {
        let real = &mut self.real[vehicle];
        if real.mute {
            return;
        }
        let id = Vehicle(vehicle as u16);
        let Some(grant) = self.fleet.grant(id) else {
            real.granted = None;
            return;
        };
        if grant.course != real.course {
            real.course = grant.course;
            real.gave_up = None;
            real.passed = grant.from.number;
            real.toward = None;
            real.left = 0;
        }
        let same_task = real.task.is_none_or(|task| grant.task.is_some_and(|now| now.number == task.number));
        if !same_task {
            real.task = None;
        }
        let base = self.fleet.base(id).map(|waypoint| waypoint.node).collect();
        real.granted = Some((grant, base));
    }

    /// A vehicle stops where it is, forgets its course, and says so with its next report.
    pub(crate) fn give_up(&mut self, vehicle: usize) {
        let real = &mut self.real[vehicle];
        if real.toward.is_none() {
            real.gave_up = Some(real.course);
            real.task = None;
            real.left = 0;
        }
    }

    /// A vehicle is carried away: it forgets everything.
    pub(crate) fn take_away(&mut self, vehicle: usize) {
        let real = &mut self.real[vehicle];
        (real.there, real.mute, real.stopped, real.load) = (false, false, false, None);
        (real.mode, real.toward, real.task, real.granted) = (Mode::Automatic, None, None, None);
        real.left = 0;
    }

    fn finish_task(&mut self, vehicle: usize, number: u32) {
        let real = &mut self.real[vehicle];
        real.done = Some(number);
        let task = real.granted.as_ref().and_then(|(grant, _)| grant.task);
        let task = task.filter(|task| task.number == number).expect("the task that was granted");
        assert_eq!(task.node, real.node, "a task elsewhere");
        match task.kind {
            TaskKind::Pick => {
                if real.load.is_some() {
                    let id = Vehicle(vehicle as u16);
                    let seen: Vec<_> = self
                        .events
                        .iter()
                        .map(|e| format!("{e:?}"))
                        .filter(|e| e.contains(&format!("{id:?}")))
                        .collect();
                    panic!(
                        "two loads on one vehicle {id:?} {:?} {task:?} {seen:#?}",
                        self.real[vehicle].load
                    );
                }
                real.load = task.order;
                *self.picked.entry(task.order.unwrap()).or_default() += 1;
            }
            TaskKind::Drop => {
                assert_eq!(real.load.take(), task.order, "another load");
                *self.dropped.entry(task.order.unwrap()).or_default() += 1;
            }
            TaskKind::Visit => *self.dropped.entry(task.order.unwrap()).or_default() += 1,
            TaskKind::Charge | TaskKind::Park => {}
        }
    }

    /// No two vehicles on one node, each load moved once at most, and the controller's books in agreement.
    fn judge(&self) {
        let mut on: HashMap<Node, usize> = HashMap::new();
        for (vehicle, real) in self.real.iter().enumerate().filter(|(_, real)| real.there) {
            for node in [Some(real.node), real.toward].into_iter().flatten() {
                if let Some(other) = on.insert(node, vehicle) {
                    let why = [other, vehicle].map(|each| {
                        let id = Vehicle(each as u16);
                        (
                            self.fleet.explain(id),
                            self.fleet.grant(id),
                            self.real[each].mode,
                            self.real[each].toward,
                        )
                    });
                    panic!("vehicles {other} and {vehicle} collide on {node:?}: {why:?}");
                }
            }
        }
        for counts in [&self.picked, &self.dropped] {
            assert!(counts.values().all(|count| *count == 1), "a load was moved twice");
        }
        let mut has = Vec::new();
        for (order, state) in self.fleet.orders() {
            assert!(!self.over.contains_key(&order), "{order:?} is over and in the book");
            if let Some(vehicle) = state.vehicle() {
                assert_eq!(self.fleet.order_of(vehicle), Some(order));
                has.push(vehicle);
            }
        }
        has.sort_unstable();
        assert!(has.windows(2).all(|pair| pair[0] != pair[1]), "two orders on one vehicle");
    }
}
