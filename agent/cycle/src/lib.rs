//! The cycle: read inputs, step controllers, gate, write outputs, record.
//!
//! # Problem
//!
//! Every period, each unit of a loop group must get outputs that follow from one complete scan of its
//! inputs, in bounded time, whatever the rest of the process does.
//!
//! # Model
//!
//! [`Executive::cycle`] is the whole cycle in one function. It is given the time, reads and writes
//! process images through [`Bus`], and talks to the other threads through single-producer
//! single-consumer rings alone ([`ports()`]). It never allocates, frees, locks, formats, wakes or
//! makes a system call. [`Grid`] says when a cycle is due and whether one was missed.
//!
//! # Terms
//!
//! - unit: a turbine, a vehicle, a plant that controls itself or a park, with its controller, its device and its demand.
//! - share: what a park leaves one of its turbines.
//! - demand: what the plan, overlaid by operators' commands and the group's mode, asks of a unit.
//! - route, sight: what fleet control grants a vehicle, and what it sees of it.
//! - pair: two nodes that run the same loops; one of them writes, the other follows in its shadow.
//! - miss: a cycle that ended after its deadline, or a grid point that passed without a cycle.
#![cfg_attr(takt_rtsan, feature(sanitize))]

mod bus;
mod demand;
mod der;
mod executive;
mod grid;
mod park;
mod plan;
mod ports;
mod record;
mod replica;
mod role;
mod shelf;
mod turbine;
mod unit;
mod vehicle;

pub use bus::Bus;
pub use demand::{Command, CommandAction, Overrides, PlanDemand};
pub use der::{DerBinding, DerUnitState};
pub use executive::{Executive, GroupMode, GroupSettings};
pub use grid::{Grid, Tick};
pub use park::{ParkBinding, ParkUnitState, Share, WakeTable};
pub use plan::{Between, LastSeen, PlanTable, RULES_MAX, RuleStates, RuleTable, Source, UnitSchedule};
pub use ports::{ControlPorts, CyclePorts, Executed, PlanPorts, ports};
pub use record::{
    CycleRecord, DerRecord, ParkRecord, PlantRecord, Record, TurbineRecord, UnitRecord, VehicleRecord,
};
pub use replica::{ControlPair, CyclePair, EXECUTED_KEPT, GroupState, PlantState, UnitParameters, UnitState};
pub use role::BindError;
pub use shelf::{Activated, NextPlan, PlanMessage};
pub use turbine::{TurbineBinding, TurbineUnitState};
pub use unit::Unit;
pub use vehicle::{FleetPorts, Routes, Sights, VehicleBinding, VehicleUnitState};
