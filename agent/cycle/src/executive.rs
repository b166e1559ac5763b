//! The executive: one loop group, one cycle after another.

use core::sync::atomic::Ordering;
use std::sync::Arc;

use hal_units::{Duration, Instant};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::replica::{self, ControlPair, CyclePair, EXECUTED_KEPT, GroupState};
use crate::shelf::Shelf;
use crate::unit::{UnitCycle, WriteTerms};
use crate::vehicle::{self, CycleFleet, FleetPorts};
use crate::{
    Activated, Bus, CyclePorts, CycleRecord, Executed, LastSeen, PlanTable, Record, RuleStates, Source, Tick,
    Unit,
};

/// What a group as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum GroupMode {
    /// Units follow their demands.
    Running,
    /// Asked to come to rest: all units stop.
    Stopping,
    /// Too many consecutive misses: all units stop until a reset.
    Safe {
        /// The cycle at which it was entered.
        since_cycle: u64,
    },
}

impl GroupMode {
    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Safe { .. } => "safe",
        }
    }
}

/// What does not change while a group runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupSettings {
    /// Time between two grid points.
    pub period: Duration,
    /// Time from the grid point by which a cycle must have ended.
    pub deadline: Duration,
    /// Outputs expire this long after the grid point.
    pub output_validity: Duration,
    /// Consecutive misses that lead to the safe state; at least 1.
    pub consecutive_misses_max: u32,
    /// Term of office that outputs carry.
    pub epoch: u32,
}

/// One loop group.
pub struct Executive<B> {
    settings: GroupSettings,
    bus: B,
    units: Box<[Unit]>,
    plan: Box<PlanTable>,
    shelf: Shelf,
    rules: RuleStates,
    seen: Arc<LastSeen>,
    /// Position of each unit's device in the site.
    devices: Box<[usize]>,
    ports: CyclePorts,
    mode: GroupMode,
    consecutive_misses: u32,
    /// The first of the units whose turn it is to report.
    turn: usize,
    records_dropped: u64,
    pair: Option<Pair>,
    fleet: Option<CycleFleet>,
    /// Position of the park, if there is one.
    park: Option<usize>,
}

/// The other node, as the cycle sees it.
struct Pair {
    ports: CyclePair,
    /// The epoch under which this node writes in this cycle; 0 if it does not.
    office: u32,
    /// What was carried out last, by either node.
    executed: [Executed; EXECUTED_KEPT],
}

/// Units that report in each cycle, in turn: few enough for the ring, often enough for a distribution.
const REPORTS_PER_CYCLE: usize = 4;

/// Commands that a cycle carries out at most: the state keeps those of several cycles, so that one that is
/// lost on the way to the other node of a pair takes none with it.
const COMMANDS_PER_CYCLE: usize = 8;

impl<B: Bus> Executive<B> {
    /// A group at rest under its first plan.
    #[must_use]
    pub fn new(
        settings: GroupSettings,
        bus: B,
        units: Box<[Unit]>,
        plan: Box<PlanTable>,
        ports: CyclePorts,
    ) -> Self {
        Self {
            settings,
            bus,
            park: units.iter().position(Unit::is_park),
            units,
            plan,
            shelf: Shelf::default(),
            rules: RuleStates::default(),
            seen: LastSeen::new(Instant::ZERO, 0),
            devices: Box::default(),
            ports,
            mode: GroupMode::Running,
            consecutive_misses: 0,
            turn: 0,
            records_dropped: 0,
            pair: None,
            fleet: None,
        }
    }

    /// Lets fleet control say where the group's vehicles may go. Allocates: set-up only.
    #[must_use]
    pub fn in_fleet(mut self) -> (Self, FleetPorts) {
        let (cycle, fleet) = vehicle::fleet_ports(self.units.len());
        self.fleet = Some(cycle);
        (self, fleet)
    }

    /// Lets the group note what it sees where the rules of all groups look, `devices` being the position of each
    /// unit's device in the site. Set-up only.
    #[must_use]
    pub fn seeing(mut self, seen: Arc<LastSeen>, devices: Box<[usize]>) -> Self {
        (self.seen, self.devices) = (seen, devices);
        self
    }

    /// Makes the group one of a pair: it follows the other node until it is given an office. Allocates:
    /// set-up only.
    #[must_use]
    pub fn in_pair(mut self) -> (Self, ControlPair) {
        let (ports, control) = replica::pair(&self.state());
        self.pair = Some(Pair { ports, office: 0, executed: [Executed::default(); EXECUTED_KEPT] });
        (self, control)
    }

    /// The group's state as it is now, under cycle 0. Allocates: set-up only.
    #[must_use]
    pub fn state(&self) -> GroupState {
        GroupState {
            cycle: 0,
            dt: self.settings.period,
            mode: self.mode,
            plan_epoch: self.plan.epoch,
            plan_digest: self.plan.digest,
            next_plan: self.shelf.agreed(),
            executed: [Executed::default(); EXECUTED_KEPT],
            units: self.units.iter().map(Unit::state).collect(),
        }
    }

    /// The whole cycle. `clock` is read once, at the end.
    #[cfg_attr(takt_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn cycle(&mut self, tick: Tick, clock: impl Fn() -> Instant) -> CycleRecord {
        let now = tick.woke_at;
        self.follow_or_lead(tick);
        self.take_plan();
        self.take_commands(tick.cycle);
        self.take_routes();
        self.take_mode();
        let rules = self.plan.mask(&mut self.rules, &self.seen, now);

        let dt = self.settings.period * tick.skipped.saturating_add(1);
        let terms = WriteTerms {
            expires_at: tick.scheduled_at + self.settings.output_validity,
            epoch: self.settings.epoch,
        };
        let stops = self.mode != GroupMode::Running;
        let mut record = self.blank_record(tick, rules);
        self.open_park(now, rules, stops);
        let wake = self.plan.wake.as_ref();
        for at in 0..self.units.len() {
            let Some((others, [unit, ..])) = self.units.split_at_mut_checked(at) else { break };
            let demand = &self.plan.demand(at, now, rules);
            let device = unit.device();
            let image = self.bus.inputs(device);
            if let Some(device) = self.devices.get(at) {
                self.seen.note(Source::Device(*device), image.acquired_at);
            }
            unit.read(image, now);
            if unit.sees_grid() {
                self.seen.note(Source::Grid, now);
            }
            unit.step(others, (demand, wake), stops, dt);
            if let Some(outputs) = unit.write(terms, now) {
                self.bus.publish(device, outputs);
            }
            let seen = unit.report((at as u16, tick.cycle, now), demand);
            count(&mut record, &seen);
            if seen.changed || (self.turn..self.turn + REPORTS_PER_CYCLE).contains(&at) {
                let full = self.ports.telemetry.enqueue(Record::Unit(seen.record)).is_err();
                self.records_dropped += u64::from(full);
            }
        }

        self.show_state(tick.cycle, dt);
        self.show_sights();
        record.finished_at = clock();
        self.judge(&mut record);
        let full = self.ports.telemetry.enqueue(Record::Cycle(record)).is_err();
        self.records_dropped += u64::from(full);
        let next = self.turn + REPORTS_PER_CYCLE;
        self.turn = if next < self.units.len() { next } else { 0 };
        record
    }

    /// Lets a park say, before its turbines step, whether they may run at all.
    fn open_park(&mut self, now: Instant, rules: u8, stops: bool) {
        let Some(at) = self.park else { return };
        let demand = self.plan.demand(at, now, rules);
        if let Some((turbines, [park, ..])) = self.units.split_at_mut_checked(at) {
            park.open(turbines, &demand, stops);
        }
    }

    /// Takes messages about plans, and changes over if it is time, as long as what is left over can be sent back.
    fn take_plan(&mut self) {
        while self.ports.retired.ready()
            && let Some(message) = self.ports.plans.dequeue()
        {
            let before = (self.plan.epoch, self.plan.digest);
            let left = self.shelf.take(message, &mut self.plan);
            if (self.plan.epoch, self.plan.digest) != before {
                self.rules = RuleStates::default();
            }
            self.retire(left);
        }
        if self.ports.retired.ready()
            && self.ports.activated.ready()
            && let Some(table) = self.shelf.due()
        {
            let (epoch, digest, cycle) = (table.epoch, table.digest, self.shelf.stands_for());
            let old = core::mem::replace(&mut self.plan, table);
            self.rules = RuleStates::default();
            self.retire(Some(old));
            let told = self.ports.activated.enqueue(Activated { epoch, digest, cycle });
            debug_assert!(told.is_ok(), "readiness was checked, and this thread alone fills the ring");
        }
    }

    fn retire(&mut self, table: Option<Box<PlanTable>>) {
        if let Some(table) = table
            && let Err(table) = self.ports.retired.enqueue(table)
        {
            // Not reached: readiness was checked, and this thread alone fills the ring. Losing the table would be
            // better than freeing it here.
            core::mem::forget(table);
        }
    }

    /// Reads once a cycle whether this node writes. If it does not, it goes on from the newest state of the
    /// one that does; so it does in the first cycle of a term, because the last state of the old one may have
    /// arrived since the cycle before, and others know by now that this node holds it.
    fn follow_or_lead(&mut self, tick: Tick) {
        let Some(pair) = &mut self.pair else {
            self.shelf.lead(tick.cycle);
            return;
        };
        let before = core::mem::replace(&mut pair.office, pair.ports.office.load(Ordering::Relaxed));
        if pair.office != 0 && pair.office == before {
            self.shelf.lead(tick.cycle);
            return;
        }
        self.units.iter_mut().for_each(Unit::await_no_acknowledgement);
        let state = pair.ports.peer.updated();
        self.shelf.follow(state, tick.skipped);
        if pair.office != 0 {
            self.shelf.lead(tick.cycle);
        }
        if let Some(state) = state {
            for (unit, state) in self.units.iter_mut().zip(&state.units) {
                unit.follow(state);
            }
            // That the other node ends is its own affair.
            match state.mode {
                GroupMode::Running | GroupMode::Safe { .. } => self.mode = state.mode,
                GroupMode::Stopping => {}
            }
            pair.executed = state.executed;
        }
    }

    /// Shows the other threads of the pair how things stand after this cycle.
    fn show_state(&mut self, cycle: u64, dt: Duration) {
        let Some(pair) = &mut self.pair else { return };
        let (units, mode, plan, executed) = (&self.units, self.mode, &self.plan, pair.executed);
        let next_plan = self.shelf.agreed();
        pair.ports.state.publish_with(|state| {
            (state.cycle, state.dt, state.mode) = (cycle + 1, dt, mode);
            (state.plan_epoch, state.plan_digest, state.executed) = (plan.epoch, plan.digest, executed);
            state.next_plan = next_plan;
            for (state, unit) in state.units.iter_mut().zip(units) {
                *state = unit.state();
            }
        });
        pair.ports.beat.store(cycle + 1, Ordering::Release);
    }

    /// Takes commands as long as their execution can be told.
    fn take_commands(&mut self, cycle: u64) {
        if self.pair.as_ref().is_some_and(|pair| pair.office == 0) {
            // Given to a node that has lost its office since: whoever has it now carries them out.
            while self.ports.commands.dequeue().is_some() {}
            return;
        }
        for _ in 0..COMMANDS_PER_CYCLE {
            let Some(command) = self.ports.executed.ready().then(|| self.ports.commands.dequeue()).flatten()
            else {
                break;
            };
            if let Some(unit) = self.units.get_mut(usize::from(command.unit)) {
                unit.command(command.action);
            }
            if command.action == crate::CommandAction::Reset && matches!(self.mode, GroupMode::Safe { .. }) {
                self.mode = GroupMode::Running;
                self.consecutive_misses = 0;
            }
            let epoch = self.pair.as_ref().map_or(self.settings.epoch, |pair| pair.office);
            let executed = Executed { token: command.token, epoch, cycle };
            if let Some(pair) = &mut self.pair {
                pair.executed.rotate_left(1);
                if let Some(last) = pair.executed.last_mut() {
                    *last = executed;
                }
            }
            let told = self.ports.executed.enqueue(executed);
            debug_assert!(told.is_ok(), "readiness was checked, and this thread alone fills the ring");
        }
    }

    /// Takes what fleet control grants. Where this node only follows, routes come with the state of the other.
    fn take_routes(&mut self) {
        let Some(routes) = self.fleet.as_mut().and_then(|fleet| fleet.routes.updated()) else { return };
        if self.pair.as_ref().is_some_and(|pair| pair.office == 0) {
            return;
        }
        if routes.recall_all {
            self.units.iter_mut().for_each(Unit::recall_route);
            return;
        }
        for (unit, route) in self.units.iter_mut().zip(&routes.of) {
            if let Some(route) = route {
                unit.take_route(route);
            }
        }
    }

    /// Shows fleet control what the vehicles do.
    fn show_sights(&mut self) {
        let Some(fleet) = &mut self.fleet else { return };
        let units = &self.units;
        fleet.sights.publish_with(|sights| {
            for (sight, unit) in sights.of.iter_mut().zip(units) {
                *sight = unit.sight();
            }
        });
    }

    fn take_mode(&mut self) {
        if self.ports.stop.load(Ordering::Relaxed) {
            self.mode = GroupMode::Stopping;
        }
    }

    fn blank_record(&self, tick: Tick, rules: u8) -> CycleRecord {
        CycleRecord {
            cycle: tick.cycle,
            scheduled_at: tick.scheduled_at,
            woke_at: tick.woke_at,
            finished_at: tick.woke_at,
            skipped: tick.skipped,
            late: false,
            units_blind: 0,
            units_at_rest: 0,
            input_age_max: Duration::ZERO,
            mode: self.mode,
            plan_epoch: self.plan.epoch,
            rules,
            records_dropped: self.records_dropped,
        }
    }

    /// Judges the cycle: a miss, or one too many.
    fn judge(&mut self, record: &mut CycleRecord) {
        let deadline = self.plan.deadline.unwrap_or(self.settings.deadline);
        record.late = record.finished_at > record.scheduled_at + deadline;
        let misses = record.skipped.saturating_add(u32::from(record.late));
        self.consecutive_misses =
            if misses == 0 { 0 } else { self.consecutive_misses.saturating_add(misses) };
        if self.mode == GroupMode::Running && self.consecutive_misses >= self.settings.consecutive_misses_max
        {
            self.mode = GroupMode::Safe { since_cycle: record.cycle };
        }
        record.mode = self.mode;
    }
}

fn count(record: &mut CycleRecord, seen: &UnitCycle) {
    record.units_blind += u16::from(seen.blind);
    record.units_at_rest += u16::from(seen.at_rest);
    record.input_age_max = record.input_age_max.max(seen.record.input_age.unwrap_or_default());
}
