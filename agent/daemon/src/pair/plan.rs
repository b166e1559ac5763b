//! From a site with a `[pair]` to a pair thread that is ready to run.

use std::sync::Arc;

use agent_cycle::{Executive, GroupState};
use failover_link::Incarnation;
use failover_protocol::{CheckedConfig, ConfigError, PairConfig as Times};
use hal_linux_rt::lease_gate::LeaseCell;
use hal_linux_rt::thread::{Realtime, SpawnError};
use hal_modbus::{DeviceCounters, Office, OfficeHolder};
use hal_units::Instant;

use super::node::{PairThread, Wiring};
use super::state::GroupSide;
use super::wire::{WireError, WireSpec};
use crate::config::{GroupConfig, PairConfig, SiteConfig};
use crate::images::GroupImages;

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
    parameters: Vec<control_loops_controllers::turbine::TurbineParameters>,
    first: Option<GroupConfig>,
    holder: OfficeHolder,
    office: Office,
}

impl PairPlan {
    pub(crate) fn new(site: &SiteConfig, charge: Charge, origin: Instant) -> Result<Self, PairError> {
        let config = site.pair.clone().ok_or(PairError::NoPair)?;
        let times = Times { schema: GroupState::schema(), ..Times::default() };
        let (holder, office) = Office::shared();
        Ok(Self {
            times: times.checked().map_err(PairError::Times)?,
            wire: WireSpec::new(&config, charge.incarnation, charge.profile == FENCED)?,
            config,
            charge,
            origin,
            groups: Vec::new(),
            parameters: site.turbines.iter().map(|turbine| turbine.parameters).collect(),
            first: site.groups.first().cloned(),
            holder,
            office,
        })
    }

    /// The office as the field thread sees it.
    pub(crate) fn office(&mut self) -> Office {
        self.office.clone()
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
            counters: counters.to_vec(),
            core: self.config.core,
            priority: self.config.priority,
        };
        PairThread::start(wiring, realtime)
    }
}
