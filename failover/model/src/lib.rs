//! The pair protocol explored.
//!
//! # Problem
//!
//! That never two nodes write cannot be tested by example: what breaks such protocols are rare orders of rare
//! events. So the production state machine is driven through all of them, in coarse time, and through millions
//! of random ones, in fine time.
//!
//! # Model
//!
//! [`explore`] walks all states that are reachable from a start, breadth first, and checks the invariants in
//! each. [`sim`] lets random faults happen to a site in fine time; it sees less of each moment and far more of
//! them. A list of [`mutants`] shows that the invariants bite: each lacks one rule and must be caught.
//!
//! # What the exploration leaves out
//!
//! Each is a loss or a delay that might happen anyway, or is covered by the simulation:
//!
//! - In a tick of time a node takes in messages, then has its own tick, and takes in no more messages.
//! - A standby's heartbeats and replicas get lost while no switchover can come; so does every Join.
//! - A node never notices that it was paused: it claims rather sooner than in the field.
//! - Control threads do not hang, devices are not cut off, and idle nodes do not poll the arbiter.
//! - Runs end at a number of states or an epoch: what holds is said with the depth to which it was seen.

pub mod clock;
mod counters;
pub mod effects;
pub mod explore;
pub mod fair;
pub mod hash;
pub mod mail;
pub mod mutants;
pub mod roots;
pub mod runs;
pub mod sim;
pub mod space;
pub mod world;
