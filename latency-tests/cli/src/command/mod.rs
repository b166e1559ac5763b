//! From the publication of a command until a device carries it out, beside a message that only goes to the broker and
//! back.
//!
//! # Model
//!
//! A demo of its own in a wind too weak for turbines, so that one of them waits when it is asked to run and stands when
//! it is asked to stop: the difference is its brake, and that is in the very next write. A command is published at any
//! phase of the cycle; its time ends with the first write, in the simulator's log, whose brake is the new one. The peer
//! publishes to a topic that it listens to itself, through the same broker.
//!
//! # Map
//!
//! - [`site`]: what the devices of a demo saw.
//! - [`broker`]: a client.

mod broker;
mod site;

use std::cell::RefCell;
use std::rc::Rc;
use std::thread::sleep;

use hal_units::Duration;
use latency_tests_harness::figures::Times;
use latency_tests_harness::report::Finding;
use latency_tests_harness::rounds::{self, Comparison, Contender};
use serde::Serialize;

use self::broker::Client;
use self::site::Site;
use crate::Options;

/// The loop's period in the demo.
const CYCLE: Duration = Duration::from_millis(10);
/// What the command's way may cost beside cycle and broker.
const ALLOWED: Duration = Duration::from_millis(2);
/// A command that no device has carried out by then is lost.
const CARRIED_OUT_WITHIN: Duration = Duration::from_secs(2);
/// The turbine begins in operation, and feathers slowly.
const AT_REST_WITHIN: Duration = Duration::from_secs(120);
/// Messages of a quick turn: with fewer in two turns the 99th percentile would be the greatest.
const QUICK: u32 = 60;
/// Between two messages; what it adds is no multiple of the cycle, so that all phases are met.
const PAUSE: Duration = Duration::from_micros(41_700);
const PAUSE_GROWS: Duration = Duration::from_micros(1_700);
const PHASES: u32 = 10;

/// What both contenders use.
struct Shared {
    site: Site,
    client: Client,
    per_turn: u32,
}

impl Shared {
    fn pause(&self, at: u32) {
        sleep(PAUSE + PAUSE_GROWS * (at % PHASES));
    }
}

struct Command {
    shared: Rc<RefCell<Shared>>,
    /// The unit was asked to run last, not to stop.
    running: bool,
}

impl Contender for Command {
    fn name(&self) -> &str {
        "takt"
    }

    fn turn(&mut self) -> Result<Times, String> {
        let shared = &mut *self.shared.borrow_mut();
        let mut times = Times::new();
        for at in 0..shared.per_turn {
            shared.pause(at);
            self.running = !self.running;
            shared.site.skip()?;
            let published = shared.client.command(site::UNIT, if self.running { "start" } else { "stop" })?;
            times.add(shared.site.brake_becomes(!self.running, published, CARRIED_OUT_WITHIN)?);
        }
        Ok(times)
    }
}

struct Echo(Rc<RefCell<Shared>>);

impl Contender for Echo {
    fn name(&self) -> &str {
        "broker"
    }

    fn turn(&mut self) -> Result<Times, String> {
        let shared = self.0.borrow();
        let mut times = Times::new();
        for at in 0..shared.per_turn {
            shared.pause(at);
            times.add(shared.client.echo()?);
        }
        Ok(times)
    }
}

/// What the agent adds to the broker's way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Added {
    /// The difference of the medians.
    p50_us: f64,
    /// The difference of the 99th percentiles.
    p99_us: f64,
    /// One cycle and what is allowed beside it.
    allowed_us: f64,
}

/// Compares commands with bare messages.
pub(crate) fn compare(options: &Options, load: &str) -> Result<Comparison, String> {
    let site = Site::start()?;
    let client = Client::connect(site.demo.broker)?;
    let per_turn = if options.quick { QUICK } else { options.seconds.saturating_mul(20) };
    let mut shared = Shared { site, client, per_turn };
    // From whatever it was to a unit that stands.
    shared.site.skip()?;
    let published = shared.client.command(site::UNIT, "stop")?;
    eprintln!("a turbine comes to rest");
    shared.site.stands(published, AT_REST_WITHIN)?;
    let shared = Rc::new(RefCell::new(shared));
    let mut contenders: Vec<Box<dyn Contender>> =
        vec![Box::new(Command { shared: Rc::clone(&shared), running: false }), Box::new(Echo(shared))];
    let contenders = rounds::run(&mut contenders, options.rounds, |round, name| {
        eprintln!("round {round} of {}: {name}", options.rounds);
    });
    Ok(Comparison {
        title: "Command over MQTT until a device carries it out, and a message to the broker and back"
            .to_owned(),
        load: load.to_owned(),
        contenders,
        host_stalls_over_1ms: None,
    })
}

/// What the agent adds, if both could be measured.
pub(crate) fn added(comparison: &Comparison) -> Option<Added> {
    let [ours, broker] = comparison.contenders.as_slice() else { return None };
    let (ours, broker) = (ours.all().figures(), broker.all().figures());
    (ours.samples > 0 && broker.samples > 0).then(|| Added {
        p50_us: ours.p50_us - broker.p50_us,
        p99_us: ours.p99_us - broker.p99_us,
        allowed_us: (CYCLE + ALLOWED).as_secs_f64() * 1e6,
    })
}

/// What the agent adds, in words.
pub(crate) fn finding(added: Added) -> Finding {
    let ms = |us: f64| format!("{:.1}", us / 1e3);
    Finding {
        title: "What the agent adds to the broker's way".to_owned(),
        columns: ["p50 ms", "p99 ms", "allowed ms"].map(str::to_owned).into(),
        rows: vec![vec![ms(added.p50_us), ms(added.p99_us), ms(added.allowed_us)]],
        meaning: "It waits for the next cycle: half of one at the median, a whole one at the most. The rest is to check \
                  the command, to keep it on disk and to write to the device."
            .to_owned(),
    }
}
