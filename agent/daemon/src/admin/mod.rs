//! The admin interface: HTTP over a Unix socket for `takt status`, and over TCP for probes and Prometheus.
//!
//! It only reads. Whatever it does cannot reach the real-time threads: it sees the last report that the
//! collector made.

mod metrics;
mod serve;

use std::sync::{Arc, Mutex, PoisonError};

use agent_status::Report;

pub use serve::{AdminError, Listeners, serve};

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
