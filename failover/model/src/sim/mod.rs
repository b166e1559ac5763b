//! A site in fine virtual time: two nodes, two links, the arbiter, two devices.
//!
//! # Model
//!
//! True time is in nanoseconds and only the site knows it. Each node's clock has an origin and a rate of its
//! own. A process that is paused takes in nothing until it goes on; the kernel's gate judges each write at
//! the moment at which it is tried. Everything random comes from one seed.

mod campaign;
mod faults;
mod site;
mod steps;

pub use campaign::{FAULTS_PER_SITE, Report, campaign};
pub use faults::Fault;
pub use site::{Broken, Site, SiteConfig, Tally};
