//! Many sites, many faults, from a range of seeds.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use failover_protocol::{ConfigError, Node};
use hal_units::Duration;

use super::faults::Fault;
use super::site::{Site, SiteConfig, Tally};
use crate::space::ArbiterKind;

/// Faults that one site suffers.
pub const FAULTS_PER_SITE: u64 = 1000;

/// After so many of them the site may recover, and must.
const FAULTS_BEFORE_REST: u64 = 100;

/// How long it may take: pauses end, both boot, a lost claim and another.
const REST: Duration = Duration::from_millis(1_000);

/// What a campaign came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Everything that was counted.
    pub tally: Tally,
    /// The lowest seed that broke an invariant, and how.
    pub broken: Option<(u64, String)>,
}

/// Lets sites with the seeds from `seed` on suffer `faults` faults in all.
///
/// # Errors
/// If the start values of the protocol do not fit together.
pub fn campaign(faults: u64, seed: u64) -> Result<Report, ConfigError> {
    SiteConfig::new(seed)?;
    let sites = faults.div_ceil(FAULTS_PER_SITE);
    let next = AtomicU64::new(seed);
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let mut report = Report::default();
    thread::scope(|scope| {
        let work = || {
            let mut part = Report::default();
            loop {
                let seed_now = next.fetch_add(1, Ordering::Relaxed);
                if seed_now >= seed + sites || part.broken.is_some() {
                    return part;
                }
                let (tally, broken) = one_site(seed_now);
                part.tally.add(tally);
                part.broken = broken.map(|what| (seed_now, what));
            }
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for part in threads.into_iter().filter_map(|thread| thread.join().ok()) {
            report.tally.add(part.tally);
            report.broken = match (report.broken.take(), part.broken) {
                (Some(one), Some(other)) => Some(if one.0 <= other.0 { one } else { other }),
                (one, other) => one.or(other),
            };
        }
    });
    Ok(report)
}

/// One site's life; what broke, if anything.
fn one_site(seed: u64) -> (Tally, Option<String>) {
    let mut random = fastrand::Rng::with_seed(seed ^ 0x5eed);
    let Ok(mut config) = SiteConfig::new(seed) else { return (Tally::default(), None) };
    config.arbiter = if random.bool() { ArbiterKind::Atomic } else { ArbiterKind::WriteThenRead };
    config.drift_permille = [random.i64(-100..=100), random.i64(-100..=100)];
    let mut site = Site::running(config);
    for count in 1..=FAULTS_PER_SITE {
        site.inject(any_fault(&mut random));
        let gap = if random.u8(..) < 40 { random.u64(1..200_000) } else { random.u64(1..20_000) };
        site.run_for(Duration::from_micros(gap));
        if let Some(broken) = site.broken() {
            return (site.tally(), Some(format!("{} at {}, after {count} faults", broken.what, broken.at)));
        }
        if count % FAULTS_BEFORE_REST == 0 {
            site.heal();
            site.run_for(REST);
            if site.writer().is_none() && site.broken().is_none() {
                let roles = (site.role(Node::A), site.role(Node::B));
                return (site.tally(), Some(format!("nobody writes after {count} faults: {roles:?}")));
            }
        }
    }
    let broken = site.broken().map(|broken| format!("{} at {}", broken.what, broken.at));
    (site.tally(), broken)
}

fn any_fault(random: &mut fastrand::Rng) -> Fault {
    let ms = Duration::from_millis;
    let node = if random.bool() { Node::A } else { Node::B };
    let span = match random.u8(0..4) {
        0 => ms(random.u64(1..10)),
        1 | 2 => ms(random.u64(10..60)),
        _ => ms(random.u64(60..300)),
    };
    let back = Some(ms(random.u64(0..150)));
    match random.u8(0..24) {
        0 | 1 => Fault::Kill(node, back),
        2 => Fault::Power(node, back),
        3..=5 => Fault::Stop(node, span),
        6 => Fault::Hang(node, span),
        7 => Fault::Link(random.usize(0..2), span),
        8 | 9 => Fault::Links(span),
        10 | 11 => Fault::Deaf(node, span),
        12 | 13 => Fault::Loss(random.u8(20..240), span),
        14 | 15 => Fault::Delay(ms(random.u64(1..60)), span),
        16 => Fault::Double(span),
        17 => Fault::Arbiter(span),
        18 => Fault::SlowArbiter(ms(random.u64(1..12)), span),
        19 => Fault::Field(node, span),
        20 => Fault::Drift(node, random.i64(-100..=100)),
        21 | 22 => Fault::Switchover(node),
        _ => Fault::Resign(node),
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.faults += other.faults;
        self.terms += other.terms;
        self.writes += other.writes;
        self.gated += other.gated;
        self.refused += other.refused;
    }
}
