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
//! each. A list of [`mutants`] shows that the invariants bite: each lacks one rule and must be caught.

pub mod clock;
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
