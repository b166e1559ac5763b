//! The main thread while the loops run: passes commands on, looks at rings and counters, tells of them, and ends in order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agent_cycle::{ControlPorts, GroupMode, PlantRecord};
use agent_status::{Phase, Traces};
use failover_protocol::Role;
use hal_linux_rt::clock::now;
use hal_linux_rt::signal::{Signal, Signals};
use hal_units::{Duration, Instant};

use crate::admin::SharedReport;
use crate::bell::Bell;
use crate::config::SiteConfig;
use crate::fleet::FleetThread;
use crate::limits::GroupWatch;
use crate::operators::Operators;
use crate::pair::{News, Order, PairThread};
use crate::plans::{Health, PlanThread, PlansReport};
use crate::report::Reporter;
use crate::supervise::Outcome;
use crate::telemetry::{Collector, TraceFolder};

/// How often the main thread looks at rings, signals and counters; a command calls it before its time.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);
/// How often the report is renewed.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);
/// How long a node that is told to end waits for its peer to take over.
const HAND_OVER_WITHIN: Duration = Duration::from_millis(800);

/// A loop group as the main thread sees it.
pub(crate) struct GroupControl {
    pub(crate) ports: ControlPorts,
    pub(crate) collector: Collector,
    /// Each unit, as a position in the site.
    pub(crate) units: Vec<usize>,
}

impl GroupControl {
    fn at_rest(&self) -> bool {
        let units = self.units.len();
        self.collector.last().is_some_and(|last| usize::from(last.units_at_rest) == units)
    }
}

/// What the main thread looks after while the loops run.
pub(crate) struct Watch<'a> {
    pub(crate) site: &'a SiteConfig,
    pub(crate) controls: Vec<GroupControl>,
    pub(crate) operators: Operators,
    pub(crate) reporter: Reporter<'a>,
    pub(crate) report: SharedReport,
    pub(crate) plans: Option<PlanThread>,
    /// The plans as they were when their thread ended.
    pub(crate) left_plans: Option<PlansReport>,
    pub(crate) next_report: Instant,
    pub(crate) pair: Option<PairThread>,
    /// The pair as it was when this node left it.
    pub(crate) left_pair: Option<agent_status::Pair>,
    pub(crate) fleet: Option<FleetThread>,
    /// The fleet as it was when this node left it.
    pub(crate) left_fleet: Option<agent_status::Fleet>,
    /// What this node is in its pair.
    pub(crate) role: Role,
    pub(crate) traces: Option<TraceFolder>,
    pub(crate) trace_asked: Arc<AtomicBool>,
    pub(crate) bell: Bell,
    /// What the control groups keep from this agent.
    pub(crate) groups: GroupWatch,
}

impl Watch<'_> {
    pub(crate) fn until_told_to_end(&mut self, signals: &Signals) -> Outcome {
        let mut stopping: Option<Instant> = None;
        loop {
            match self.bell.wait(signals, WATCH_INTERVAL) {
                Ok(Some(received)) => match (received.signal, stopping) {
                    (Signal::HangUp, _) => self.plans.iter().for_each(PlanThread::reload),
                    (Signal::Terminate | Signal::Interrupt, None) => {
                        if self.hands_over() {
                            return Outcome::AtRest;
                        }
                        stopping = Some(now() + self.site.stop_limit);
                        self.stop();
                    }
                    (Signal::Terminate | Signal::Interrupt, Some(_)) => {
                        tracing::warn!("second signal: writing the safe actions now");
                        return Outcome::SafeActionsOnly;
                    }
                },
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "signals cannot be read"),
            }
            self.turn(if stopping.is_some() { Phase::Stopping } else { Phase::Running });
            if let Some(deadline) = stopping {
                if self.controls.iter().all(GroupControl::at_rest) {
                    tracing::info!("all units are at rest");
                    return Outcome::AtRest;
                }
                if now() >= deadline {
                    tracing::error!("units are not at rest in time: writing the safe actions");
                    return Outcome::SafeActionsOnly;
                }
            }
        }
    }

    /// One round: commands, telemetry, report. Commands first: each waits for the next cycle, and what comes after may
    /// wait for the disk.
    fn turn(&mut self, phase: Phase) {
        self.take_news();
        self.pass_commands();
        self.take_telemetry();
        self.keep_traces(false);
        let health = self.health();
        if let Some(plans) = &mut self.plans {
            plans.note_health(health);
        }
        let now = now();
        if now >= self.next_report {
            self.next_report = now + REPORT_INTERVAL;
            let plans = self.plans_report();
            let mut report = self.reporter.report(&self.controls, &self.operators, &plans, phase, now);
            report.pair = self.pair.as_ref().map(PairThread::report);
            report.fleet = self.fleet.as_ref().map(FleetThread::report);
            if let (Some(plans), Some(fleet)) = (&mut self.plans, &report.fleet) {
                plans.note_fleet(fleet);
            }
            report.traces = self.traces_report();
            report.realtime.degraded.extend(self.groups.look(now));
            self.operators.publish(self.site, &self.controls);
            self.report.set(report);
        }
    }

    /// Commands to the cycles and to the fleet, and what became of them back.
    fn pass_commands(&mut self) {
        let outlives = |cycle, since| self.pair.as_ref().is_none_or(|pair| pair.outlives(cycle, since));
        let of_fleet = self.operators.turn(self.site, &mut self.controls, self.fleet.as_ref(), outlives);
        if let Some(pair) = self.pair.as_ref().filter(|_| !of_fleet.is_empty()) {
            // If it is not taken the successor finds the orders in the fleet's state.
            let _ = pair.order(Order::Tell(of_fleet));
        }
    }

    fn take_telemetry(&mut self) {
        for control in &mut self.controls {
            for (unit, record) in control.collector.collect(&mut control.ports.telemetry) {
                let name = control
                    .units
                    .get(usize::from(unit))
                    .and_then(|position| self.site.units.get(*position))
                    .map_or("?", |unit| unit.name.as_str());
                let trips = record.plant.held_by();
                tracing::info!(unit = name, mode = record.plant.mode(), ?trips, "unit");
                if !trips.is_empty() {
                    control.collector.note_trip(name, &trips);
                }
            }
        }
        self.operators.keep_conditions(self.site, &self.controls);
    }

    /// Has the traces written that are complete; at the end, all.
    fn keep_traces(&mut self, end: bool) {
        let Some(traces) = &mut self.traces else { return };
        let asked = self.trace_asked.swap(false, Ordering::Relaxed);
        for control in &mut self.controls {
            if asked {
                control.collector.ask_for_trace();
            }
            if let Some(trace) = control.collector.take_trace(now(), &self.site.name, end) {
                traces.keep(trace);
            }
        }
    }

    /// What the pair thread has to tell.
    fn take_news(&mut self) {
        let Some(pair) = &self.pair else { return };
        for news in pair.news.try_iter() {
            match news {
                News::Role { role, epoch } => {
                    self.role = role;
                    tracing::info!(role = role.as_str(), epoch = epoch.0, "pair");
                    self.operators.set_active(role == Role::Active);
                }
                News::TakeOver(how) => tracing::info!(?how, "pair: this node writes now"),
                News::Alarm(alarm) => tracing::warn!(?alarm, "pair"),
                News::PeerBegan => self.tell_what_was_done(pair),
                News::Learned(learned) => self.operators.learn(self.site, &self.controls, learned),
            }
        }
    }

    /// A peer that has come back must not do again what was done without it.
    fn tell_what_was_done(&self, pair: &PairThread) {
        let executed = self.operators.carried_out();
        if executed.is_empty() {
            return;
        }
        if let Err(why) = pair.order(Order::Tell(executed)) {
            tracing::error!(%why, "the peer does not learn which commands were carried out");
        }
    }

    /// At the end of a node of a pair: whether the plant goes on without it, in the peer's hands.
    fn hands_over(&mut self) -> bool {
        let Some(pair) = &self.pair else { return false };
        if pair.order(Order::Switchover).is_err() {
            return false;
        }
        let patience = now() + HAND_OVER_WITHIN;
        loop {
            self.turn(Phase::Stopping);
            match self.role {
                Role::Active if now() < patience => std::thread::sleep(WATCH_INTERVAL / 4),
                Role::Active => {
                    tracing::warn!("there is no peer to hand over to: bringing the plant to rest");
                    return false;
                }
                Role::Init | Role::Standby | Role::Claimed | Role::Fenced => {
                    let followed = self.pair.as_ref().is_some_and(|pair| pair.report().peer_heard);
                    tracing::info!(followed, "the plant is not in this node's hands");
                    return true;
                }
            }
        }
    }

    /// Gives up the office and ends the pair thread.
    pub(crate) fn leave_pair(&mut self) {
        let Some(pair) = self.pair.take() else { return };
        self.left_pair = Some(pair.report());
        let _ = pair.order(Order::Resign);
        pair.stop();
    }

    /// Ends the fleet's control: vehicles stop where their granted way ends.
    pub(crate) fn leave_fleet(&mut self) {
        if let Some(fleet) = self.fleet.take() {
            self.left_fleet = Some(fleet.report());
            fleet.stop();
        }
    }

    fn stop(&mut self) {
        tracing::info!("bringing all units to rest");
        for control in &self.controls {
            control.ports.stop.store(true, Ordering::Relaxed);
        }
    }

    /// What a plan on trial is judged by.
    fn health(&self) -> Health {
        let mut health = Health::default();
        for control in &self.controls {
            let group = &control.collector.facts().name;
            let last = control.collector.last();
            if last.is_some_and(|last| matches!(last.mode, GroupMode::Safe { .. })) {
                health.troubles.insert(format!("group {group} is in its safe state"));
            }
            health.rules |= last.map_or(0, |last| last.rules);
            for (at, position) in control.units.iter().enumerate() {
                let tripped = control.collector.unit(at).into_iter().flat_map(|unit| match unit.plant {
                    // A vehicle that was stopped says nothing about the plan.
                    PlantRecord::Vehicle(_) => Vec::new(),
                    // Whose hand it is in, and what its own controller holds, neither.
                    PlantRecord::Der(_) | PlantRecord::Park(_) => Vec::new(),
                    PlantRecord::Turbine(_) => unit.plant.held_by(),
                });
                let name = self.site.units.get(*position).map_or("?", |unit| unit.name.as_str());
                health.troubles.extend(tripped.map(|trip| format!("unit {name} tripped: {trip}")));
            }
        }
        health
    }

    fn plans_report(&self) -> PlansReport {
        match (&self.plans, &self.left_plans) {
            (Some(plans), _) => plans.report(),
            (None, Some(left)) => left.clone(),
            (None, None) => PlansReport::default(),
        }
    }

    /// Ends the plan thread: the cycles go on with what they run.
    pub(crate) fn leave_plans(&mut self) {
        if let Some(plans) = self.plans.take() {
            self.left_plans = Some(plans.report());
            plans.stop();
        }
    }

    fn traces_report(&self) -> Traces {
        self.traces.as_ref().map(|traces| traces.report(self.traces_passed_over())).unwrap_or_default()
    }

    fn traces_passed_over(&self) -> u64 {
        self.controls.iter().map(|control| control.collector.traces_passed_over()).sum()
    }

    pub(crate) fn last_report(&mut self, file: Option<&Path>) {
        for control in &mut self.controls {
            control.collector.finish(&mut control.ports.telemetry);
        }
        self.keep_traces(true);
        let passed_over = self.traces_passed_over();
        let traces = self.traces.take().map(|traces| traces.stop(passed_over)).unwrap_or_default();
        self.operators.stop(&mut self.controls);
        let plans = self.plans_report();
        let mut report =
            self.reporter.report(&self.controls, &self.operators, &plans, Phase::Stopping, now());
        report.pair = self.left_pair.take();
        report.fleet = self.left_fleet.take();
        report.traces = traces;
        let Some(file) = file else { return };
        let written = serde_json::to_vec_pretty(&report)
            .map_err(std::io::Error::other)
            .and_then(|json| crate::durable::replace(file, &json));
        if let Err(error) = written {
            tracing::error!(file = %file.display(), %error, "the report cannot be written");
        }
    }
}
