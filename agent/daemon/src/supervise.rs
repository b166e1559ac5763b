//! The agent's life: set up, watch, bring to rest, end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agent_cycle::{ControlPorts, Grid, GroupMode, LastSeen, PlantRecord};
use agent_status::{Phase, Thread, Traces};
use failover_protocol::Role;
use hal_diagnostics::Diagnostic;
use hal_linux_rt::clock::now;
use hal_linux_rt::memory::{self, MemoryPlan};
use hal_linux_rt::signal::{Signal, Signals};
use hal_linux_rt::thread::{self, Priority, RtThread, SpawnError, ThreadReport, ThreadSpec};
use hal_modbus::Office;
use hal_units::{Duration, Instant};

use crate::admin::{self, AdminError, Listeners, SharedReport};
use crate::admission;
use crate::assembly::Assembly;
use crate::bell::Bell;
use crate::config::SiteConfig;
use crate::field::{FieldThread, GroupField};
use crate::fleet::{FleetPlan, FleetStartError, FleetThread};
use crate::limits::GroupWatch;
use crate::operators::{Operators, OperatorsError};
use crate::overrides::{OverrideStore, OverridesError};
use crate::pair::{Charge, News, Order, PairError, PairPlan, PairThread};
use crate::plans::{Health, PlanThread, PlansError, PlansReport, PlansSetUp, Timing};
use crate::realtime::{self, Ended};
use crate::report::Reporter;
use crate::setup::{SetUp, drop_capabilities};
use crate::telemetry::{Collector, GroupFacts, TraceFolder};

/// How often the main thread looks at rings, signals and counters; a command calls it before its time.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);
/// How often the report is renewed.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);
/// From the end of set-up to the first cycle: all threads are waiting by then.
const FIRST_CYCLE_AFTER: Duration = Duration::from_millis(100);
/// How long the devices' safe actions may take after the loops have ended.
const SAFE_WRITES_WITHIN: Duration = Duration::from_secs(5);
/// How long a node that is told to end waits for its peer to take over.
const HAND_OVER_WITHIN: Duration = Duration::from_millis(800);

/// Why the agent did not start. Nothing has been written to the field.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file is wrong.
    #[error("{0}")]
    Text(#[from] Diagnostic),
    /// The site does not fit this node.
    #[error("the site is not admitted: {0}")]
    Admission(#[from] admission::Refusal),
    /// Real time is required and not to be had.
    #[error(
        "real time is required, but {what}\n  remedy: run `takt doctor`, or set realtime = \"preferred\" to run visibly degraded"
    )]
    Realtime {
        /// What is missing.
        what: String,
    },
    /// A thread could not be created.
    #[error("{0}\n  remedy: run `takt doctor`")]
    Thread(#[from] SpawnError),
    /// A profile lacks a tag.
    #[error("{0}")]
    Binding(agent_cycle::BindError),
    /// Stored overrides cannot be used.
    #[error("{0}")]
    Overrides(#[from] OverridesError),
    /// The admin interface cannot be opened.
    #[error("{0}")]
    Admin(#[from] AdminError),
    /// The thread that writes traces cannot be started.
    #[error("no thread for traces: {0}")]
    Traces(std::io::Error),
    /// The main thread cannot be called.
    #[error("no eventfd for the main thread: {0}")]
    Bell(std::io::Error),
    /// The command interface cannot be opened.
    #[error("{0}")]
    Operators(#[from] OperatorsError),
    /// The state folder cannot be made.
    #[error("{path}: {error}; give a state_dir that can be written")]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// What the file system answered.
        error: std::io::Error,
    },
    /// The fleet cannot be set up.
    #[error("{0}")]
    Fleet(#[from] FleetStartError),
    /// The pair cannot be set up.
    #[error("{0}")]
    Pair(#[from] PairError),
    /// Plans cannot be taken.
    #[error("{0}")]
    Plans(PlansError),
    /// A programmer's error in the wiring; the site was checked before.
    #[error("the checked site does not hold together: no {what}; please report this")]
    Wiring {
        /// What was not found.
        what: &'static str,
    },
}

impl From<PlansError> for StartError {
    fn from(error: PlansError) -> Self {
        match error {
            PlansError::Local(diagnostic) => Self::Text(diagnostic),
            other => Self::Plans(other),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All units came to rest.
    AtRest,
    /// The time limit passed, or a second signal came: the devices' safe actions were written.
    SafeActionsOnly,
}

/// Runs a site until a signal ends it. `signals` were blocked before the first thread was created.
/// `report_file` takes the last report.
///
/// # Errors
/// If it cannot start; then nothing has been written to the field.
pub fn run(
    site: &SiteConfig,
    signals: &Signals,
    report_file: Option<&Path>,
    charge: Option<Charge>,
) -> Result<Outcome, StartError> {
    if let Err(error) = memory::prepare_allocator(&MemoryPlan::default()) {
        tracing::warn!(%error, "the agent will hold more memory than it has to");
    }
    let responses = admission::admit(site)?;
    std::fs::create_dir_all(&site.state_dir)
        .map_err(|error| StartError::StateDir { path: site.state_dir.clone(), error })?;
    let overrides = OverrideStore::open(&site.state_dir)?;
    let mut fleet = FleetPlan::read(site)?;
    let names = fleet.as_ref().map(|fleet| fleet.stations().map(|name| name.to_string()).collect());
    let mut plans = PlansSetUp::open(site, names)?;
    let (mut set_up, groups) = SetUp::process(site)?;

    let seen = LastSeen::new(now(), site.devices.len());
    let assembly = Assembly::build(site, &plans, &overrides, &seen)?;
    let origin = now() + FIRST_CYCLE_AFTER;
    let end = Arc::new(AtomicBool::new(false));
    let mut loops = Vec::new();
    let mut fields = Vec::new();
    let mut controls = Vec::new();
    let mut pair = charge.map(|charge| PairPlan::new(site, charge, origin)).transpose()?;
    let office = pair.as_mut().map_or_else(Office::alone, PairPlan::office);
    let stations = fleet.as_ref().map(|fleet| fleet.stations().collect());
    if let (Some(pair), Some(fleet)) = (&mut pair, &mut fleet) {
        pair.take_fleet(fleet.in_pair());
    }
    if let Some(pair) = &mut pair {
        pair.take_plans(plans.in_pair());
    }
    let mut plan_ports = Vec::new();
    let fleet_office = office.clone();
    for ((group, config), response) in assembly.groups.into_iter().zip(&site.groups).zip(&responses) {
        let mut executive = group.executive;
        if let Some(pair) = &mut pair {
            executive = pair.take_group(executive, config, &group.units);
        }
        if let (Some(fleet), Some(ports)) = (&mut fleet, group.fleet) {
            fleet.take_group(ports, &group.units);
        }
        let (grid, ended) = (Grid::new(origin, config.period), Arc::clone(&end));
        let spec = thread_spec(&config.name, config.core, config.priority, set_up.wish());
        let running = thread::spawn(spec, move |_| {
            drop_capabilities();
            realtime::run(&mut executive, grid, &ended)
        })?;
        set_up.thread(&running.report)?;
        let facts = GroupFacts {
            name: config.name.clone(),
            period: config.period,
            deadline: config.deadline,
            response: response.response,
            thread: thread_status(&running.report),
            thread_id: running.report.found.thread_id,
            devices: group.devices,
        };
        plan_ports.push(group.plans);
        controls.push(GroupControl {
            ports: group.control,
            collector: Collector::new(facts, origin),
            units: group.units,
        });
        fields.push(GroupField { origin, period: config.period, budget: config.budget, lines: group.lines });
        loops.push(running);
    }
    // It waits: whatever still keeps the agent from starting is to be found before the field notices.
    let field = FieldThread::start(site.io, fields, office, set_up.wish())?;
    set_up.thread(field.report())?;
    let pair = pair.map(|pair| pair.start(&assembly.counters, set_up.wish())).transpose()?;
    if let Some(pair) = &pair {
        set_up.thread(pair.settings())?;
    }
    let fleet = fleet.map(|fleet| fleet.start(fleet_office)).transpose()?;
    let first_words = plans.first_words();
    let orders = fleet.as_ref().map(FleetThread::planned_orders);
    let plans = plans.start(site, plan_ports, Timing::new(origin, site), seen, orders)?;
    drop_capabilities();

    let reporter = Reporter::new(site, assembly.counters, set_up.status(), now());
    let operators = Operators::start(site, overrides, stations)?;
    let bell = Bell::new().map_err(StartError::Bell)?;
    operators.call_for_commands(bell.rope().map_err(StartError::Bell)?);
    let report =
        SharedReport::new(reporter.report(&controls, &operators, &plans.report(), Phase::Starting, now()));
    let requests = admin::Requests {
        switchover: pair.as_ref().map(PairThread::switchover),
        trace: Arc::new(AtomicBool::new(false)),
    };
    let trace_asked = Arc::clone(&requests.trace);
    let _admin = open_admin(&site.admin.socket, site.admin.listen, report.clone(), requests)?;
    let traces = TraceFolder::start(site.state_dir.join("traces")).map_err(StartError::Traces)?;
    field.begin();
    tracing::info!(site = %site.name, units = site.units.len(), plan = first_words, "running");

    let mut watch = Watch {
        site,
        controls,
        operators,
        reporter,
        report,
        plans: Some(plans),
        left_plans: None,
        next_report: Instant::ZERO,
        role: Role::Init,
        pair,
        fleet,
        left_pair: None,
        left_fleet: None,
        traces: Some(traces),
        bell,
        trace_asked,
        groups,
    };
    let outcome = watch.until_told_to_end(signals);
    // Plans first: they give orders to the fleet, and it ends when nobody can any more.
    watch.leave_plans();
    watch.leave_fleet();
    // The loops run on meanwhile: without them a pair would give up the office that the safe actions need.
    field.stop(now() + SAFE_WRITES_WITHIN);
    watch.leave_pair();
    end.store(true, Ordering::Relaxed);
    join(loops);
    watch.last_report(report_file);
    Ok(outcome)
}

fn thread_spec(name: &str, core: u16, priority: u8, wish: thread::Realtime) -> ThreadSpec {
    // The kernel keeps 15 bytes of a name; names in a site are ASCII.
    let name: String = name.chars().take(thread::NAME_BYTES_MAX).collect();
    let priority = Priority::new(priority).unwrap_or(Priority::MIN);
    ThreadSpec::fifo(&name, usize::from(core), priority, wish)
}

fn thread_status(report: &ThreadReport) -> Thread {
    Thread {
        policy: report.found.policy.to_string(),
        priority: i32::try_from(report.found.priority).unwrap_or(0),
        cores: report.found.cores.iter().collect(),
    }
}

fn join(loops: Vec<RtThread<Ended>>) {
    for running in loops {
        let name = running.report.requested.name.clone();
        match running.join() {
            Ok(Ended::Asked) => {}
            Ok(Ended::NoWait) => tracing::error!(group = %name, "the kernel refused to wait"),
            Err(_) => tracing::error!(group = %name, "the real-time thread panicked"),
        }
    }
}

/// Opens the admin interface on a thread of its own; it ends with the process.
fn open_admin(
    socket: &Path,
    listen: Option<SocketAddr>,
    report: SharedReport,
    requests: admin::Requests,
) -> Result<std::thread::JoinHandle<()>, StartError> {
    let failed = |error: std::io::Error| {
        StartError::Thread(SpawnError::Create { name: "takt-admin".to_owned(), error: error.to_string() })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let listeners = runtime.block_on(Listeners::open(socket, listen))?;
    if let Some(address) = listeners.tcp_address() {
        tracing::info!(%address, "metrics and health");
    }
    std::thread::Builder::new()
        .name("takt-admin".to_owned())
        .stack_size(thread::ORDINARY_STACK_BYTES)
        .spawn(move || runtime.block_on(admin::serve(listeners, report, requests)))
        .map_err(failed)
}

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

struct Watch<'a> {
    site: &'a SiteConfig,
    controls: Vec<GroupControl>,
    operators: Operators,
    reporter: Reporter<'a>,
    report: SharedReport,
    plans: Option<PlanThread>,
    /// The plans as they were when their thread ended.
    left_plans: Option<PlansReport>,
    next_report: Instant,
    pair: Option<PairThread>,
    /// The pair as it was when this node left it.
    left_pair: Option<agent_status::Pair>,
    fleet: Option<FleetThread>,
    /// The fleet as it was when this node left it.
    left_fleet: Option<agent_status::Fleet>,
    /// What this node is in its pair.
    role: Role,
    traces: Option<TraceFolder>,
    trace_asked: Arc<AtomicBool>,
    bell: Bell,
    /// What the control groups keep from this agent.
    groups: GroupWatch,
}

impl Watch<'_> {
    fn until_told_to_end(&mut self, signals: &Signals) -> Outcome {
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
    fn leave_pair(&mut self) {
        let Some(pair) = self.pair.take() else { return };
        self.left_pair = Some(pair.report());
        let _ = pair.order(Order::Resign);
        pair.stop();
    }

    /// Ends the fleet's control: vehicles stop where their granted way ends.
    fn leave_fleet(&mut self) {
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
    fn leave_plans(&mut self) {
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

    fn last_report(&mut self, file: Option<&Path>) {
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
