//! What this node reaches of the field, known soon enough to matter.
//!
//! A driver calls a device lost when a request has timed out, which takes as long as the slowest answer that
//! is still tolerated. The pair compares what its two nodes reach, so it may judge sooner: a device that has
//! given no whole scan for some periods is not reached now, whatever becomes of it.

use std::sync::Arc;

use failover_protocol::FieldHealth;
use hal_modbus::{DeviceCounters, DeviceState};
use hal_units::{Duration, Instant};

/// Periods without a whole scan after which a device is not reached.
const PERIODS_MAX: u32 = 3;

/// All devices of a site, as seen from this node.
pub(crate) struct Reach(Vec<Device>);

struct Device {
    counters: Arc<DeviceCounters>,
    period: Duration,
    /// Scans so far, and when the last one was seen.
    scans: (u64, Instant),
}

impl Reach {
    /// Devices with the period in which each is scanned.
    pub(crate) fn new(devices: impl Iterator<Item = (Arc<DeviceCounters>, Duration)>) -> Self {
        let device = |(counters, period)| Device { counters, period, scans: (0, Instant::ZERO) };
        Self(devices.map(device).collect())
    }

    /// How many devices are reached at `now`. All count as critical: each carries a unit.
    pub(crate) fn look(&mut self, now: Instant) -> FieldHealth {
        let reached = self.0.iter_mut().filter_map(|device| device.is_reached(now).then_some(())).count();
        let reachable = u16::try_from(reached).unwrap_or(u16::MAX);
        FieldHealth { reachable, critical_reachable: reachable }
    }

    /// The cycle whose outputs have been served at every device that answers.
    pub(crate) fn applied(&self) -> u64 {
        let live = self.0.iter().filter(|device| device.counters.state() == DeviceState::Online);
        live.map(|device| device.counters.apply_served.get()).min().unwrap_or(0)
    }
}

impl Device {
    fn is_reached(&mut self, now: Instant) -> bool {
        let scans = self.counters.scans.get();
        if scans != self.scans.0 {
            self.scans = (scans, now);
        }
        self.counters.state() == DeviceState::Online && now.since(self.scans.1) < self.period * PERIODS_MAX
    }
}
