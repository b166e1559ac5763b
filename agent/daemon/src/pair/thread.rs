//! The pair thread: how it starts, and how the main thread holds it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use agent_status::Pair as PairReport;
use crossbeam_channel::{Receiver, Sender, bounded};
use failover_protocol::{CheckedConfig, Node, Role};
use hal_linux_rt::clock::now;
use hal_linux_rt::lease_gate::{LeaseCell, NEEDED_TO_MARK};
use hal_linux_rt::thread::{self, Priority, Realtime, RtThread, SpawnError, ThreadReport, ThreadSpec};
use hal_modbus::{Office, OfficeHolder};
use hal_units::{Duration, Instant};
use tokio::sync::mpsc;

use super::node::NodeLoop;
use super::reach::Reach;
use super::state::GroupSide;
use super::wire::WireSpec;
use super::words::{FleetSide, News, Order};
use crate::alarm::Alarm;
use crate::plans::PlanSide;
use crate::setup::drop_capabilities_but;

/// News that may wait for the main thread.
const NEWS_MAX: usize = 1024;
/// Orders that may wait for the pair thread.
const ORDERS_MAX: usize = 16;
/// A peer that holds no state for so long, though it is there, cannot: it has another version.
const HELD_WITHIN: Duration = Duration::from_secs(2);

/// What the thread is made of.
pub(crate) struct Wiring {
    pub(crate) node: Node,
    pub(crate) config: CheckedConfig,
    pub(crate) wire: WireSpec,
    /// The first group leads: the pair counts its cycles.
    pub(crate) groups: Vec<GroupSide>,
    pub(crate) origin: Instant,
    pub(crate) period: Duration,
    /// From the grid point until the state of a cycle is there and its outputs leave.
    pub(crate) budget: Duration,
    pub(crate) office: OfficeHolder,
    pub(crate) lease: LeaseCell,
    /// `fenced`, or `unfenced` and why.
    pub(crate) profile: String,
    pub(crate) reach: Reach,
    /// If the site has a fleet.
    pub(crate) fleet: Option<FleetSide>,
    pub(crate) plans: Option<PlanSide>,
    pub(crate) core: Option<u16>,
    pub(crate) priority: Option<u8>,
}

/// The running thread, as the main thread holds it.
pub(crate) struct PairThread {
    pub(crate) news: Receiver<News>,
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
    office: Office,
    thread: RtThread<()>,
}

/// What both threads look at.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) report: Mutex<PairReport>,
    /// The newest cycle whose state the peer holds.
    pub(super) peer_holds: AtomicU64,
    /// Whether a peer is heard: one that follows, will follow, or is about to take over.
    pub(super) peer_near: AtomicBool,
}

impl PairThread {
    /// Starts the thread. It sends nothing before the control thread has made a cycle.
    ///
    /// # Errors
    /// If the thread cannot be created, or not with the policy that is required.
    pub(crate) fn start(wiring: Wiring, office: Office, realtime: Realtime) -> Result<Self, SpawnError> {
        let (news_in, news) = bounded(NEWS_MAX);
        let (orders, orders_out) = mpsc::channel(ORDERS_MAX);
        let shared = Arc::new(Shared::default());
        let spec = ThreadSpec {
            name: "takt-pair".to_owned(),
            core: wiring.core.map(usize::from),
            priority: wiring.priority.and_then(Priority::new),
            stack_bytes: 512 << 10,
            stack_prefault_bytes: 128 << 10,
            realtime,
        };
        let seen = Arc::clone(&shared);
        let thread = thread::spawn(spec, move |_| {
            // Each new socket to the arbiter is marked.
            drop_capabilities_but(&[NEEDED_TO_MARK]);
            run(wiring, news_in, orders_out, seen);
        })?;
        Ok(Self { news, orders, shared, office, thread })
    }

    /// The thread's settings as read back.
    pub(crate) fn settings(&self) -> &ThreadReport {
        &self.thread.report
    }

    /// The pair as this node sees it, at most a tenth of a second old.
    pub(crate) fn report(&self) -> PairReport {
        self.shared.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether what was done in the cycle of this number, and is known since then, outlives this node: the
    /// peer holds the state after it, or there is no peer that could, and nobody else can have taken over.
    pub(crate) fn outlives(&self, cycle: u64, since: Instant) -> bool {
        if self.shared.peer_holds.load(Ordering::Relaxed) > cycle {
            return true;
        }
        // In this order: a node that was stopped finds the word of before, but no lease.
        let near = self.shared.peer_near.load(Ordering::Acquire);
        let at = now();
        (!near || at.since(since) > HELD_WITHIN) && self.office.may_write(at)
    }

    /// Passes an order on; says why not if the thread does not take it.
    pub(crate) fn order(&self, order: Order) -> Result<(), String> {
        ask(&self.orders, order)
    }

    /// What the admin interface calls to ask for a switchover.
    pub(crate) fn switchover(&self) -> crate::admin::AskSwitchover {
        let (orders, shared) = (self.orders.clone(), Arc::clone(&self.shared));
        Arc::new(move || {
            let role = shared.report.lock().unwrap_or_else(PoisonError::into_inner).role.clone();
            if role != Role::Active.as_str() {
                return Err(format!("this node is {role}: ask at the active one"));
            }
            ask(&orders, Order::Switchover)
        })
    }

    /// Waits for the end of the thread after [`Order::Resign`].
    pub(crate) fn stop(self) {
        drop(self.orders);
        if self.thread.join().is_err() {
            tracing::error!("the pair thread panicked");
        }
    }
}

fn ask(orders: &mpsc::Sender<Order>, order: Order) -> Result<(), String> {
    orders.try_send(order).map_err(|_| "the pair thread takes no orders now; try again".to_owned())
}

fn run(wiring: Wiring, news: Sender<News>, orders: mpsc::Receiver<Order>, shared: Arc<Shared>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the pair thread has no runtime: this node stays silent");
            return;
        }
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        match Alarm::new() {
            Ok(alarm) => NodeLoop::new(wiring, news, shared).run(alarm, orders).await,
            Err(error) => tracing::error!(%error, "the pair thread has no timer: this node stays silent"),
        }
    });
}
