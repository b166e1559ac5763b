//! Measuring a program beside its peers, in the same run.
//!
//! # Problem
//!
//! An absolute time says more about the machine, its host and the minute than about the program. What can be said is
//! how a program does beside another one that does the same, on the same core, at the same priority, in turn.
//!
//! # Model
//!
//! [`rounds`] lets subject and peers take turns, in one order and then in the other (ABBA), so that a slow drift
//! of the machine hits all alike. Each turn gives a distribution; [`figures`] compares the subject's with each peer's,
//! round by round, and says the median, the least and the greatest of these ratios. [`stalls`] watches the host
//! meanwhile, [`load`] keeps the machine busy if that is wanted, [`limits`] puts a pod's limits around it, and [`report`] shows all of it to people and programs.
//!
//! # Terms
//!
//! - subject: what is judged.
//! - peer: what it is compared with. One that is not there is named, with the reason; it is never left out silently.
//! - stall: a time in which the host ran nothing on a core, however urgent.

pub mod figures;
pub mod limits;
pub mod load;
pub mod report;
pub mod rounds;
pub mod stalls;
