//! From a site with a `[pair]` to a pair thread that is ready to run.

use std::sync::Arc;

use agent_cycle::{Executive, GroupState, UnitParameters};
use failover_link::Incarnation;
use failover_protocol::{CheckedConfig, ConfigError, PairConfig as Times};
use hal_linux_rt::lease_gate::LeaseCell;
use hal_linux_rt::thread::{Realtime, SpawnError};
use hal_modbus::{DeviceCounters, Office, OfficeHolder};
use hal_units::{Duration, Instant};

use super::reach::Reach;
use super::state::GroupSide;
use super::thread::{PairThread, Wiring};
use super::wire::{WireError, WireSpec};
use super::words::FleetSide;
use crate::config::{GroupConfig, PairConfig, SiteConfig};
use crate::images::GroupImages;
use crate::plans::PlanSide;

/// What the parent process hands to the agent: see [`crate::keeper`].
#[derive(Debug)]
pub struct Charge {
    /// The lease, which the parent shuts when the agent dies.
    pub lease: LeaseCell,
    /// `fenced`, or `unfenced` and why.
    pub profile: String,
    /// The name of this run, under which the parent resigns.
    pub incarnation: Incarnation,
}

/// The profile of a node whose writes the kernel holds back without a lease.
pub(crate) const FENCED: &str = "fenced";

/// Why a pair cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The site has none.
    #[error("this agent was started as one of a pair, but its site has no [pair]")]
    NoPair,
    /// Its times do not fit the cycle.
    #[error("[pair]: {0}")]
    Times(ConfigError),
    /// Key or links.
    #[error("[pair]: {0}")]
    Wire(#[from] WireError),
}

/// A pair under construction: it gathers the groups.
pub(crate) struct PairPlan {
    config: PairConfig,
    times: CheckedConfig,
    wire: WireSpec,
    charge: Charge,
    origin: Instant,
    groups: Vec<GroupSide>,
    parameters: Vec<UnitParameters>,
    first: Option<GroupConfig>,
    /// The period in which each device is scanned, in the order of the devices.
    periods: Vec<Duration>,
    holder: OfficeHolder,
    office: Office,
    fleet: Option<FleetSide>,
    plans: Option<PlanSide>,
}

/// The times of a pair whose first group has this period: those of the design for 10 ms; a longer cycle
/// takes longer to be known to stand still.
fn times(cycle: Duration) -> Times {
    let usual = Times::default();
    Times {
        cycle,
        cycle_stall_max: usual.cycle_stall_max.max(cycle * 8 / 5),
        cycle_stall_resign: usual.cycle_stall_resign.max(cycle * 2),
        handover_max: usual.handover_max.max(cycle * 6),
        schema: GroupState::schema(),
        ..usual
    }
}

/// The period of the group that a device serves.
fn scan_period(site: &SiteConfig, device: usize) -> Duration {
    let group = site.units.iter().find(|unit| unit.device == device).map(|unit| unit.group);
    group.and_then(|group| site.groups.get(group)).map_or(Duration::from_secs(1), |group| group.period)
}

impl PairPlan {
    pub(crate) fn new(site: &SiteConfig, charge: Charge, origin: Instant) -> Result<Self, PairError> {
        let config = site.pair.clone().ok_or(PairError::NoPair)?;
        let period = site.groups.first().map_or(Times::default().cycle, |group| group.period);
        let times = times(period);
        let (holder, office) = Office::shared();
        Ok(Self {
            times: times.checked().map_err(PairError::Times)?,
            wire: WireSpec::new(&config, charge.incarnation, charge.profile == FENCED)?,
            config,
            charge,
            origin,
            groups: Vec::new(),
            parameters: site.units.iter().map(|unit| unit.plant.parameters()).collect(),
            first: site.groups.first().cloned(),
            periods: (0..site.devices.len()).map(|device| scan_period(site, device)).collect(),
            holder,
            office,
            fleet: None,
            plans: None,
        })
    }

    /// The office as the field thread sees it.
    pub(crate) fn office(&mut self) -> Office {
        self.office.clone()
    }

    /// Replicates the fleet's states beside those of the groups.
    pub(crate) fn take_fleet(&mut self, fleet: FleetSide) {
        self.fleet = Some(fleet);
    }

    /// Lets both nodes know of each other's plans.
    pub(crate) fn take_plans(&mut self, plans: PlanSide) {
        self.plans = Some(plans);
    }

    /// Makes a group one of the pair; `units` are its units' positions in the site.
    pub(crate) fn take_group(
        &mut self,
        executive: Executive<GroupImages>,
        config: &GroupConfig,
        units: &[usize],
    ) -> Executive<GroupImages> {
        let (executive, control) = executive.in_pair();
        let parameters = units.iter().filter_map(|unit| self.parameters.get(*unit).copied()).collect();
        self.groups.push(GroupSide::new(control, config.period, parameters));
        executive
    }

    /// Starts the pair thread.
    pub(crate) fn start(
        self,
        counters: &[Arc<DeviceCounters>],
        realtime: Realtime,
    ) -> Result<PairThread, SpawnError> {
        let (period, budget) =
            self.first.as_ref().map_or_else(Default::default, |group| (group.period, group.budget));
        let wiring = Wiring {
            node: self.config.node,
            config: self.times,
            wire: self.wire,
            groups: self.groups,
            origin: self.origin,
            period,
            budget,
            office: self.holder,
            lease: self.charge.lease,
            profile: self.charge.profile,
            reach: Reach::new(counters.iter().cloned().zip(self.periods)),
            fleet: self.fleet,
            plans: self.plans,
            core: self.config.core,
            priority: self.config.priority,
        };
        PairThread::start(wiring, self.office, realtime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_fit_together_for_every_period_that_a_site_may_have() {
        for micros in [500, 1_000, 10_000, 20_000, 50_000, 1_000_000] {
            let times = times(Duration::from_micros(micros)).checked();
            assert!(times.is_ok(), "{micros} us: {times:?}");
        }
    }
}
