//! From when a thread is due until it runs.

use hal_linux_rt::clock::{AbsoluteWait, now};
use hal_linux_rt::memory::{self, MemoryPlan};
use hal_linux_rt::thread::{Priority, Realtime, ThreadSpec, spawn};
use hal_units::Duration;
use latency_tests_harness::figures::Times;
use latency_tests_harness::rounds::{self, Comparison, Contender};
use latency_tests_harness::stalls::HostProbe;

use crate::Options;
use crate::cyclictest::Cyclictest;

/// Wake-ups at the beginning of a turn that do not count.
const WARM_UP: u32 = 50;

/// Where, how urgently and how often somebody wakes up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rhythm {
    pub(crate) core: usize,
    pub(crate) priority: u8,
    pub(crate) period: Duration,
    pub(crate) turn: Duration,
}

/// The wait of the agent's loops: the same call, on a thread that is made in the same way.
struct Takt(Rhythm);

impl Contender for Takt {
    fn name(&self) -> &str {
        "takt"
    }

    fn turn(&mut self) -> Result<Times, String> {
        let Rhythm { core, priority, period, turn } = self.0;
        let priority = Priority::new(priority).ok_or("the priority is out of range")?;
        let spec = ThreadSpec::fifo("takt-wake", core, priority, Realtime::Required);
        let thread = spawn(spec, move |_| wake_ups(period, turn)).map_err(|error| error.to_string())?;
        thread.join().map_err(|_| "the thread panicked".to_owned())?
    }
}

/// On a fixed grid; a point that has passed already is left out, as the agent does.
fn wake_ups(period: Duration, turn: Duration) -> Result<Times, String> {
    let mut times = Times::new();
    let begin = now() + period;
    let points = u32::try_from(turn.as_nanos() / period.as_nanos().max(1)).unwrap_or(u32::MAX);
    for point in 0..points.saturating_add(WARM_UP) {
        let due = begin + period * point;
        if due <= now() {
            continue;
        }
        let woke = AbsoluteWait::until(due).map_err(|error| error.to_string())?;
        if point >= WARM_UP {
            times.add(woke.since(due));
        }
    }
    Ok(times)
}

/// The interval of RoboPLC's workers, on a thread that is made as the agent makes its own.
struct Roboplc(Rhythm);

impl Contender for Roboplc {
    fn name(&self) -> &str {
        "roboplc"
    }

    fn turn(&mut self) -> Result<Times, String> {
        let Rhythm { core, priority, period, turn } = self.0;
        let priority = Priority::new(priority).ok_or("the priority is out of range")?;
        let spec = ThreadSpec::fifo("roboplc-wake", core, priority, Realtime::Required);
        let thread = spawn(spec, move |_| ticks(period, turn)).map_err(|error| error.to_string())?;
        thread.join().map_err(|_| "the thread panicked".to_owned())
    }
}

/// It says whether it missed a point, not when it was due: the grid begins at its first tick, read just after it,
/// which is in its favour.
fn ticks(period: Duration, turn: Duration) -> Times {
    let mut times = Times::new();
    let mut interval =
        rtsc::time::interval(period).set_missing_tick_behavior(rtsc::time::MissedTickBehavior::Skip);
    interval.tick();
    let mut due = now() + period;
    let points = u32::try_from(turn.as_nanos() / period.as_nanos().max(1)).unwrap_or(u32::MAX);
    for point in 0..points.saturating_add(WARM_UP) {
        let in_time = interval.tick();
        let woke = now();
        if in_time && point >= WARM_UP {
            times.add(woke.since(due));
        }
        // A point that has passed already is left out, as for the agent.
        due = due + period;
        while !in_time && due <= woke {
            due = due + period;
        }
    }
    times
}

/// Compares the agent's wait with its peers.
pub(crate) fn compare(options: &Options, load: &str) -> Result<Comparison, String> {
    let rhythm = Rhythm {
        core: options.core.unwrap_or(0),
        priority: options.priority,
        period: Duration::from_micros(options.period_us.into()),
        turn: Duration::from_secs(options.seconds.into()),
    };
    // As the agent does, and cyclictest: a page that the load has pushed out would be counted as a late wake-up.
    memory::lock(&MemoryPlan::default()).map_err(|error| error.to_string())?;
    let mut contenders: Vec<Box<dyn Contender>> =
        vec![Box::new(Takt(rhythm)), Box::new(Cyclictest(rhythm)), Box::new(Roboplc(rhythm))];
    // On the other cores: a probe on the same one would be in the way of whoever is measured.
    let host = HostProbe::start(rhythm.core);
    let turns = rounds::run(&mut contenders, options.rounds, |round, name| {
        eprintln!("round {round} of {}: {name}", options.rounds);
    });
    let seen = host.blind.is_none() && rhythm.core > 0;
    Ok(Comparison {
        title: format!(
            "Wake-up every {} us at priority {} on core {}",
            options.period_us, rhythm.priority, rhythm.core
        ),
        load: load.to_owned(),
        contenders: turns,
        host_stalls_over_1ms: seen.then(|| host.take().len() as u64),
    })
}
