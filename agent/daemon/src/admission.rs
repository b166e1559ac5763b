//! Whether this site can run on this node: response times and bus time, with numbers.

use std::fmt;

use agent_plan::schedulability::{self, Response, Task};
use hal_field_bus::{BusBudget, BusDevice, Medium};
use hal_modbus::Transport;
use hal_units::Duration;

use crate::config::SiteConfig;

/// Release jitter to assume for the wait: timer and scheduler of a kernel without a hypervisor's
/// stalls. The measured wake-up delay is in the report beside it.
const WAKE_UP_JITTER: Duration = Duration::from_micros(200);
/// Time that a serial device takes to begin its answer, until it is measured.
const TURNAROUND: Duration = Duration::from_millis(2);
/// Time that a serial port's driver adds to a transaction.
const HOST_LATENCY: Duration = Duration::from_micros(500);

/// Why the site is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A loop group could miss its deadline.
    Loops(schedulability::Refusal),
    /// A bus is too slow for its devices.
    Bus {
        /// The bus.
        bus: String,
        /// With the numbers.
        why: hal_field_bus::Refusal,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loops(why) => write!(
                f,
                "{why}\n  remedy: lengthen a period, lower a budget_us that is above the measured cycle time, or \
                 move a group to another core"
            ),
            Self::Bus { bus, why } => write!(f, "bus `{bus}`: {why}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// The site's loop groups as periodic tasks.
#[must_use]
pub fn tasks(site: &SiteConfig) -> Vec<Task> {
    site.groups
        .iter()
        .map(|group| Task {
            name: group.name.clone(),
            core: group.core,
            priority: group.priority,
            period: group.period,
            deadline: group.deadline,
            budget: group.budget,
            jitter: WAKE_UP_JITTER,
            blocking: Duration::ZERO,
        })
        .collect()
}

/// Admits the site: every loop group meets its deadline and every bus fits its period. The worst-case
/// responses come back in the order of the groups.
///
/// # Errors
/// For the first group or bus that does not fit.
pub fn admit(site: &SiteConfig) -> Result<Vec<Response>, Refusal> {
    let responses = schedulability::admit(&tasks(site)).map_err(Refusal::Loops)?;
    for bus in &site.buses {
        let medium = match &bus.transport {
            Transport::Tcp { .. } => Medium::Tcp { round_trip: bus.round_trip },
            Transport::Rtu { timing, .. } => {
                Medium::Serial { timing: *timing, host_latency: HOST_LATENCY, duplicate_guard: true }
            }
        };
        let devices: Vec<BusDevice<'_>> = bus
            .devices
            .iter()
            .filter_map(|device| site.devices.get(*device))
            .map(|device| BusDevice { name: &device.name, profile: &device.profile, turnaround: TURNAROUND })
            .collect();
        let Some(group) = site.groups.get(bus.group) else { continue };
        BusBudget::new(medium)
            .admit(group.period, &devices)
            .map_err(|why| Refusal::Bus { bus: bus.name.clone(), why })?;
    }
    Ok(responses)
}
