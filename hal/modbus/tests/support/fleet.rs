//! Many lines to prompt devices over real sockets, for measurements.
//!
//! The devices share one thread, the lines another one, as in the agent. All lines follow one beat.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use hal_diagnostics::Document;
use hal_field_bus::DeviceProfile;
use hal_modbus::{
    BusTick, DeviceCounters, DevicePort, DistributionSnapshot, LineConfig, Office, Phase, Stop, Ticker,
    Transport, run_line,
};
use hal_process_image::{DeviceInputs, DeviceOutputs, Publisher, Subscriber, TagIndex, exchange};
use hal_units::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_modbus::client::{Reader as _, Writer as _};
use tokio_modbus::slave::Slave;

use super::{Framing, clock_from, frame, parse_request};

pub const READS: u16 = 20;
pub const WRITES: u16 = 6;

/// About what a turbine's controller shows: 20 registers to read, 6 to write.
pub fn turbine() -> Arc<DeviceProfile> {
    let mut text = "name = \"turbine\"\nresponse_timeout_ms = 50\n".to_owned();
    for at in 0..READS {
        text += &format!("[[input]]\ntag = \"i{at}\"\nregister = {at}\ntype = \"u16\"\nmax_age_ms = 1000\n");
    }
    for at in 0..WRITES {
        text += &format!(
            "[[output]]\ntag = \"o{at}\"\nregister = {}\ntype = \"u16\"\nmin = 0.0\nmax = 60000.0\nsafe = \"zero\"\n",
            100 + at
        );
    }
    Arc::new(DeviceProfile::parse(&Document::new("turbine.toml", &text)).unwrap())
}

/// Starts `count` devices on one thread. The one at `dead`, if any, accepts and never answers.
pub fn devices(count: usize, dead: Option<usize>) -> Vec<SocketAddr> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for (at, listener) in listeners.into_iter().enumerate() {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::spawn(device(listener, dead == Some(at)));
            }
            std::future::pending::<()>().await;
        });
    });
    addresses
}

async fn device(listener: tokio::net::TcpListener, dead: bool) {
    while let Ok((mut stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let (mut bytes, mut reply) = (Vec::new(), Vec::new());
            let mut chunk = [0; 512];
            while let Ok(count @ 1..) = stream.read(&mut chunk).await {
                bytes.extend(&chunk[..count]);
                while let Some(request) = parse_request(Framing::Tcp, &bytes) {
                    bytes.drain(..request.wire_len);
                    reply.clear();
                    if request.function == 16 {
                        reply.push(16);
                        reply.extend(request.start.to_be_bytes());
                        reply.extend(request.count.to_be_bytes());
                    } else {
                        reply.extend([request.function, (2 * request.count) as u8]);
                        reply.resize(2 + 2 * usize::from(request.count), 0);
                    }
                    let answer = frame(Framing::Tcp, request.id, request.unit, &reply);
                    if !dead && stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// Time that this thread has spent on a processor, from the scheduler's own account.
pub fn thread_cpu() -> Duration {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(account.split_whitespace().next().unwrap().parse().unwrap())
}

/// What one run of a fleet came to.
#[derive(Debug, Clone)]
pub struct Run {
    pub transactions: u64,
    pub faults: u64,
    pub skipped: u64,
    /// Processor time of the thread with the lines, over the measured time only.
    pub cpu: Duration,
    pub elapsed: Duration,
    /// Per device.
    pub round_trips: Vec<DistributionSnapshot>,
    pub input_intervals: Vec<DistributionSnapshot>,
    /// Age of the inputs in the middle between two beats, when controllers would use them.
    pub ages: Vec<Vec<Duration>>,
}

/// How the lines are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Master {
    /// By the lines of this package.
    Guarded,
    /// By tokio-modbus as it comes, with a timeout around each call.
    Raw,
}

/// Runs one line to each address in a thread of its own: warm-up, then `seconds` that count.
pub fn run(master: Master, addresses: Vec<SocketAddr>, period: Duration, seconds: u64) -> Run {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        sender.send(runtime.block_on(measure(master, addresses, period, seconds))).unwrap();
    });
    receiver.recv().unwrap()
}

struct Line {
    inputs: Subscriber<DeviceInputs>,
    outputs: Publisher<DeviceOutputs>,
    counters: Arc<DeviceCounters>,
}

async fn measure(master: Master, addresses: Vec<SocketAddr>, period: Duration, seconds: u64) -> Run {
    let clock = clock_from(tokio::time::Instant::now());
    let profile = turbine();
    let (ticker, _) = Ticker::new();
    let (stop, stopped) = watch::channel(Stop::Run);
    let mut lines = Vec::new();
    let mut tasks = Vec::new();
    for (at, address) in addresses.iter().enumerate() {
        let (inputs_published, inputs) = exchange(&DeviceInputs::NEVER);
        let (outputs, outputs_read) = exchange(&DeviceOutputs::NEVER);
        let counters = Arc::new(DeviceCounters::default());
        lines.push(Line { inputs, outputs, counters: Arc::clone(&counters) });
        let ticks = ticker.subscribe();
        let port = DevicePort {
            name: format!("turbine {at}"),
            unit_id: 1,
            profile: Arc::clone(&profile),
            inputs: inputs_published,
            outputs: outputs_read,
            counters,
        };
        match master {
            Master::Guarded => {
                let config = LineConfig::new(&port.name, Transport::Tcp { address: *address });
                let line =
                    run_line(config, vec![port], Office::alone(), ticks, clock.clone(), stopped.clone());
                tasks.push(tokio::spawn(async move {
                    line.await;
                }));
            }
            Master::Raw => tasks.push(tokio::spawn(raw(*address, port, ticks, clock.clone()))),
        }
    }
    let mut beat = interval(period / 2);
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let warm_up = 100;
    let cycles = (Duration::from_secs(seconds).as_nanos() / period.as_nanos()) as u64;
    let mut before = None;
    let mut ages = vec![Vec::with_capacity(cycles as usize); lines.len()];
    for cycle in 1..=warm_up + cycles {
        beat.tick().await;
        if cycle == warm_up {
            before = Some((thread_cpu(), clock(), totals(&lines)));
        }
        ticker.announce(Phase::Acquire, cycle, clock() + period / 2);
        beat.tick().await;
        let now = clock();
        for (line, ages) in lines.iter_mut().zip(&mut ages) {
            let image = line.inputs.latest();
            if cycle > warm_up && image.sequence > 0 {
                ages.push(now.since(image.acquired_at));
            }
            let mut outputs = DeviceOutputs::NEVER;
            outputs.sequence = cycle as u32;
            outputs.expires_at = now + period * 2;
            outputs.set(TagIndex(0), (cycle % 60_000) as f64);
            line.outputs.publish(&outputs);
        }
        ticker.announce(Phase::Apply, cycle, now + period / 2);
    }
    sleep(period).await;
    let (cpu, begin, totals_before) = before.unwrap();
    let (transactions, faults, skipped) = totals(&lines);
    let run = Run {
        transactions: transactions - totals_before.0,
        faults: faults - totals_before.1,
        skipped: skipped - totals_before.2,
        cpu: thread_cpu() - cpu,
        elapsed: clock().since(begin),
        round_trips: lines.iter().map(|line| line.counters.round_trip.snapshot()).collect(),
        input_intervals: lines.iter().map(|line| line.counters.input_interval.snapshot()).collect(),
        ages,
    };
    let _ = stop.send(Stop::Safe { deadline: clock() + Duration::from_millis(200) });
    tasks.iter().for_each(|task| {
        if master == Master::Raw {
            task.abort()
        }
    });
    for task in tasks {
        let _ = task.await;
    }
    run
}

/// A device served by the library alone: the same requests, a timeout around each, nothing checked,
/// nothing published.
async fn raw(
    address: SocketAddr,
    port: DevicePort,
    mut ticks: watch::Receiver<BusTick>,
    clock: impl Fn() -> Instant,
) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut context = tokio_modbus::client::tcp::attach_slave(stream, Slave(port.unit_id));
    let limit = port.profile.response_timeout;
    let (mut acquired, mut applied) = (0, 0);
    while ticks.changed().await.is_ok() {
        let tick = *ticks.borrow_and_update();
        let sent_at = clock();
        if tick.acquire > acquired {
            acquired = tick.acquire;
            let words = timeout(limit, context.read_holding_registers(0, READS)).await.unwrap();
            assert_eq!(words.unwrap().unwrap().len(), usize::from(READS));
        } else if tick.apply > applied {
            applied = tick.apply;
            let words = [0; WRITES as usize];
            timeout(limit, context.write_multiple_registers(100, &words)).await.unwrap().unwrap().unwrap();
        }
        port.counters.round_trip.record(clock().since(sent_at));
    }
}

fn totals(lines: &[Line]) -> (u64, u64, u64) {
    let sum = |of: fn(&DeviceCounters) -> u64| lines.iter().map(|line| of(&line.counters)).sum();
    (
        sum(|counters| counters.round_trip.snapshot().count()),
        sum(DeviceCounters::faults),
        sum(|counters| counters.skipped_phases.get()),
    )
}
