//! Clients that keep an agent's doors busy, each on a thread of its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use agent_plan::wire::Verdict;
use hal_linux_rt::clock::now;
use hal_linux_rt::thread::{Found, pin_current_thread};
use hal_units::{Duration, Instant};

use super::Strength;
use crate::centre::{Centre, Inbox};

/// Turbines of the demo.
const TURBINES: usize = 4;
const TIME_OUT: Duration = Duration::from_secs(5);
/// What no agent takes for a plan.
const BROKEN: &[u8] = br#"{"name":"broken","epoch":1}"#;
const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: takt\r\nconnection: close\r\n\r\n";

/// How much was answered, in all turns.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    plans: u64,
    refusals: u64,
    metrics: u64,
    seconds: f64,
}

impl Done {
    pub(super) fn add(&mut self, other: Self) {
        self.plans += other.plans;
        self.refusals += other.refusals;
        self.metrics += other.metrics;
        self.seconds += other.seconds;
    }

    pub(super) fn per_second(&self) -> Strength {
        let rate = |count: u64| count as f64 / self.seconds.max(1e-9);
        Strength {
            plans_per_second: rate(self.plans),
            refusals_per_second: rate(self.refusals),
            metrics_per_second: rate(self.metrics),
        }
    }
}

type Counter = JoinHandle<Result<u64, String>>;

/// Running clients.
pub(super) struct Clients {
    end: Arc<AtomicBool>,
    began: Instant,
    /// Of plans, refusals and metrics.
    counters: [Counter; 3],
}

impl Clients {
    /// Starts them; `agent` is the folder of the agent's sockets.
    pub(super) fn start(demo: &Path, agent: &Path) -> Result<Self, String> {
        let inbox = || Inbox(agent.join("plans.sock"));
        let centre = Centre::of(demo, TURBINES, 0)?;
        let (plans, refusals) = (inbox(), inbox());
        let mut epoch = plans.status()?.highest_epoch;
        let end = Arc::new(AtomicBool::new(false));
        let counters = [
            repeat("storm-plans", &end, move || {
                epoch += 1;
                match plans.offer(centre.plan(epoch).to_json())? {
                    Verdict::Taken { .. } => Ok(()),
                    Verdict::Refused { refusal } => Err(format!("a plan was refused: {refusal}")),
                }
            })?,
            repeat("storm-refusals", &end, move || match refusals.offer(BROKEN.to_vec())? {
                Verdict::Refused { .. } => Ok(()),
                Verdict::Taken { id, .. } => Err(format!("a broken plan was taken: {id}")),
            })?,
            {
                let socket = agent.join("takt.sock");
                repeat("storm-metrics", &end, move || metrics(&socket))?
            },
        ];
        Ok(Self { end, began: now(), counters })
    }

    /// Ends them; what they have done.
    pub(super) fn end(self) -> Result<Done, String> {
        self.end.store(true, Ordering::Relaxed);
        let [plans, refusals, metrics] = self
            .counters
            .map(|counter| counter.join().unwrap_or_else(|_| Err("a client panicked".to_owned())));
        let seconds = now().since(self.began).as_secs_f64();
        Ok(Done { plans: plans?, refusals: refusals?, metrics: metrics?, seconds })
    }
}

/// Does something again and again until the end, off the last core; how often.
fn repeat(
    name: &str,
    end: &Arc<AtomicBool>,
    mut once: impl FnMut() -> Result<(), String> + Send + 'static,
) -> Result<Counter, String> {
    let end = Arc::clone(end);
    let body = move || {
        // Where there is one core only, it is everybody's.
        let cores: Vec<usize> =
            Found::of_current_thread().map(|found| found.cores.iter().collect()).unwrap_or_default();
        if let [first, .., _] = cores.as_slice() {
            let _ = pin_current_thread(*first);
        }
        let mut count = 0;
        while !end.load(Ordering::Relaxed) {
            once()?;
            count += 1;
        }
        Ok(count)
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|error| error.to_string())
}

/// Asks for all metrics, and reads them.
fn metrics(socket: &PathBuf) -> Result<(), String> {
    let mut answer = Vec::new();
    let mut asked = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(TIME_OUT))?;
        stream.write_all(REQUEST)?;
        stream.read_to_end(&mut answer)
    };
    asked().map_err(|error: std::io::Error| format!("{}: {error}", socket.display()))?;
    if answer.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&answer).into_owned())
    }
}
