//! The admin interface: HTTP over a Unix socket for `takt status`, and over TCP for probes and Prometheus.
//!
//! It sees the last report that the collector made, and cannot reach the real-time threads. All
//! that can be asked for, on the Unix socket alone, is that this node hands over to its peer, and that a trace is made.

mod metrics;
mod serve;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use agent_status::Report;

pub use serve::{AdminError, Listeners, serve};

/// Asks the pair to hand over; says why not if it cannot be asked.
pub type AskSwitchover = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What can be asked for.
#[derive(Clone)]
pub struct Requests {
    /// That this node hands over; `None` if it is not one of a pair.
    pub switchover: Option<AskSwitchover>,
    /// Set to have a trace made of all groups.
    pub trace: Arc<AtomicBool>,
}

/// The last report, shared between the collector and the admin interface.
#[derive(Debug, Clone)]
pub struct SharedReport(Arc<Mutex<Report>>);

impl SharedReport {
    /// Shares a first report.
    #[must_use]
    pub fn new(report: Report) -> Self {
        Self(Arc::new(Mutex::new(report)))
    }

    /// Replaces the report.
    pub fn set(&self, report: Report) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    /// A copy of the report.
    #[must_use]
    pub fn get(&self) -> Report {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
