//! The agent's life: set up, [watch](crate::watch), bring to rest, end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agent_cycle::{Grid, LastSeen};
use agent_status::{Phase, Thread};
use failover_protocol::Role;
use hal_diagnostics::Diagnostic;
use hal_linux_rt::clock::now;
use hal_linux_rt::memory::{self, MemoryPlan};
use hal_linux_rt::signal::Signals;
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
use crate::operators::{Operators, OperatorsError};
use crate::overrides::{OverrideStore, OverridesError};
use crate::pair::{Charge, PairError, PairPlan, PairThread};
use crate::plans::{PlansError, PlansSetUp, Timing};
use crate::realtime::{self, Ended};
use crate::report::Reporter;
use crate::setup::{SetUp, drop_capabilities};
use crate::telemetry::{Collector, GroupFacts, TraceFolder};
use crate::watch::{GroupControl, Watch};

/// From the end of set-up to the first cycle: all threads are waiting by then.
const FIRST_CYCLE_AFTER: Duration = Duration::from_millis(100);
/// How long the devices' safe actions may take after the loops have ended.
const SAFE_WRITES_WITHIN: Duration = Duration::from_secs(5);

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
