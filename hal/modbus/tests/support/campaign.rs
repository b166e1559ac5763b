//! A whole line against a peer that lies: cycles, outputs, and a judge who looks at every scan.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use hal_field_bus::{DeviceProfile, SerialTiming};
use hal_modbus::{
    Connect, DeviceCounters, DeviceEnd, DevicePort, Fault, LineConfig, Office, Parity, Phase, Stop, Ticker,
    Transport, run_line, run_line_on,
};
use hal_process_image::{DeviceInputs, DeviceOutputs, Publisher, Subscriber, TagIndex, exchange};
use hal_units::{Duration, Instant};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_serial::{SerialPort, SerialStream};

use super::peer::{Peer, PeerConfig};
use super::truth::Kind;
use super::{Framing, Rng, clock_from, truth};

const UNIT: u8 = 17;
const PERIOD: Duration = Duration::from_millis(20);
const STEP: Duration = Duration::from_millis(2);
/// Far beyond what a sleeping task should oversleep: the machine stood still.
const STALL: Duration = Duration::from_millis(20);

/// One line of a campaign.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub framing: Framing,
    pub kind: Kind,
    /// Sockets and pseudo-terminals in real time, or pipes in virtual time.
    pub real: bool,
    pub transactions: u64,
    pub fault_percent: u64,
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub requests: u64,
    pub transactions: u64,
    pub scans: u64,
    pub writes: u64,
    pub safe_writes: u64,
    pub probes: u64,
    pub expired_outputs: u64,
    pub skipped_phases: u64,
    pub injected: BTreeMap<&'static str, u64>,
    pub expected: BTreeMap<&'static str, u64>,
    pub counted: BTreeMap<&'static str, u64>,
    pub late_sent: u64,
    pub wrong_count: u64,
    pub wrong: Vec<String>,
    pub unseen_scans: u64,
    /// Times that the machine itself stood still for longer than the timing of the faults allows.
    pub stalls: u64,
    pub ended_safe: bool,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.transactions += other.transactions;
        self.scans += other.scans;
        self.writes += other.writes;
        self.safe_writes += other.safe_writes;
        self.probes += other.probes;
        self.expired_outputs += other.expired_outputs;
        self.skipped_phases += other.skipped_phases;
        self.late_sent += other.late_sent;
        self.wrong_count += other.wrong_count;
        self.wrong.extend(other.wrong.iter().take(10).cloned());
        self.unseen_scans += other.unseen_scans;
        self.stalls += other.stalls;
        self.ended_safe &= other.ended_safe;
        for (into, from) in [
            (&mut self.injected, &other.injected),
            (&mut self.expected, &other.expected),
            (&mut self.counted, &other.counted),
        ] {
            for (name, count) in from {
                *into.entry(name).or_default() += count;
            }
        }
    }

    pub fn faults_injected(&self) -> u64 {
        self.injected.values().sum()
    }

    /// Names whose count differs from what was put in: name, expected, counted.
    pub fn misnamed(&self) -> Vec<(&'static str, u64, u64)> {
        let mut expected = self.expected.clone();
        expected.insert(Fault::LateReply.as_str(), self.late_sent);
        Fault::ALL
            .iter()
            .map(|fault| fault.as_str())
            .map(|name| {
                let of = |map: &BTreeMap<&'static str, u64>| map.get(name).copied().unwrap_or(0);
                (name, of(&expected), of(&self.counted))
            })
            .filter(|(_, expected, counted)| expected != counted)
            .collect()
    }
}

/// Runs one line in virtual time.
pub fn run_virtual(setup: Setup) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(run(setup))
}

/// Runs several lines at once in real time.
pub fn run_real(setups: Vec<Setup>) -> Vec<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let lines: Vec<_> = setups.into_iter().map(|setup| tokio::spawn(run(setup))).collect();
        let mut outcomes = Vec::new();
        for line in lines {
            outcomes.push(line.await.unwrap());
        }
        outcomes
    })
}

/// Timing that leaves room for the machine where time is real.
fn peer_config(setup: &Setup) -> (PeerConfig, u64) {
    let (timeout_ms, gap_ms, drip_ms) = if setup.real { (200, 100, 40) } else { (50, 20, 12) };
    // On a serial line the time on the wire comes on top.
    let wire_ms = if setup.framing == Framing::Rtu { 5 } else { 0 };
    let config = PeerConfig {
        framing: setup.framing,
        unit: UNIT,
        patience: Duration::from_millis(timeout_ms + wire_ms),
        frame_gap: Duration::from_millis(gap_ms),
        late_window: Duration::from_millis(timeout_ms),
        drip_pause: Duration::from_millis(drip_ms),
        turnaround: if setup.real { Duration::ZERO } else { Duration::from_millis(1) },
        fault_percent: setup.fault_percent,
    };
    (config, timeout_ms)
}

async fn run(setup: Setup) -> Outcome {
    let clock = clock_from(tokio::time::Instant::now());
    let (peer_config, timeout_ms) = peer_config(&setup);
    let grace = Duration::from_millis(if setup.real { 60 } else { 0 });
    let peer = Peer::new(peer_config, setup.seed, grace);
    let profile = truth::profile(setup.kind, timeout_ms);
    let (inputs, inputs_seen) = exchange(&DeviceInputs::NEVER);
    let (outputs_given, outputs) = exchange(&DeviceOutputs::NEVER);
    let counters = Arc::new(DeviceCounters::default());
    let port = DevicePort {
        name: "witness".to_owned(),
        unit_id: UNIT,
        profile: Arc::clone(&profile),
        inputs,
        outputs,
        counters: Arc::clone(&counters),
    };
    let (ticker, _) = Ticker::new();
    let (stop, stopped) = watch::channel(Stop::Run);
    let line = start_line(setup, &peer, port, &ticker, clock.clone(), stopped).await;
    let mut driver = Driver {
        peer: Arc::clone(&peer),
        profile,
        inputs: inputs_seen,
        outputs: outputs_given,
        ticker,
        cycle: 0,
        stalls: 0,
        real: setup.real,
    };
    while peer.state().truth.requests < setup.transactions {
        driver.cycle(&clock).await;
        assert!(driver.cycle < 1000 + 50 * setup.transactions, "the line stands still: {counters:?}");
    }
    // What is still under way shall arrive and be counted.
    peer.state().faults_on = false;
    for _ in 0..100 {
        driver.cycle(&clock).await;
    }
    stop.send(Stop::Safe { deadline: clock() + Duration::from_secs(2) }).unwrap();
    let ends = line.await.unwrap();
    driver.outcome(&counters, ends == [DeviceEnd::Safe])
}

async fn start_line(
    setup: Setup,
    peer: &Arc<Peer>,
    port: DevicePort,
    ticker: &Ticker,
    clock: impl Fn() -> Instant + Send + Sync + Clone + 'static,
    stop: watch::Receiver<Stop>,
) -> JoinHandle<Vec<DeviceEnd>> {
    let timing = SerialTiming::new(115_200);
    let serial = |path: String| Transport::Rtu { path: path.into(), timing, parity: Parity::None };
    let configured = |transport| {
        let mut config = LineConfig::new("campaign", transport);
        config.frame_gap = peer.config.frame_gap;
        config.late_window = peer.config.late_window;
        config.reconnect_backoff_min = Duration::from_millis(10);
        config.reconnect_backoff_max = Duration::from_millis(100);
        config.connect_timeout = Duration::from_millis(50);
        config
    };
    let ticks = ticker.subscribe();
    let devices = vec![port];
    let peer = Arc::clone(peer);
    match (setup.real, setup.framing) {
        (false, framing) => {
            let config = configured(match framing {
                Framing::Tcp => Transport::Tcp { address: ([127, 0, 0, 1], 1).into() },
                Framing::Rtu => serial("pipe".to_owned()),
            });
            let connector = PipeConnector { peer, clock: clock.clone() };
            tokio::spawn(run_line_on(connector, config, devices, Office::alone(), ticks, clock, stop))
        }
        (true, Framing::Tcp) => {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let config = configured(Transport::Tcp { address: listener.local_addr().unwrap() });
            let served = clock.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    peer.serve(stream, served.clone()).await;
                }
            });
            tokio::spawn(run_line(config, devices, Office::alone(), ticks, clock, stop))
        }
        (true, Framing::Rtu) => {
            // The line opens the terminal by its path; our own end of it keeps the terminal alive.
            let (master, slave) = SerialStream::pair().unwrap();
            let config = configured(serial(slave.name().unwrap()));
            let served = clock.clone();
            tokio::spawn(async move {
                peer.serve(master, served).await;
                drop(slave);
            });
            tokio::spawn(run_line(config, devices, Office::alone(), ticks, clock, stop))
        }
    }
}

/// Opens pipes to the peer, in virtual time. TCP connections may be refused, hang, or lead nowhere.
struct PipeConnector<C> {
    peer: Arc<Peer>,
    clock: C,
}

impl<C: Fn() -> Instant + Send + Sync + Clone + 'static> Connect for PipeConnector<C> {
    type Stream = DuplexStream;

    async fn connect(&mut self) -> io::Result<DuplexStream> {
        let (ours, theirs) = duplex(4096);
        let draw = {
            let mut state = self.peer.state();
            let tcp = self.peer.config.framing == Framing::Tcp && state.faults_on;
            let draw = if tcp { state.rng.below(25) } else { u64::MAX };
            match draw {
                0 => state.truth.expect("connection refused", Fault::ConnectRefused),
                1 => state.truth.expect("connection hangs", Fault::ConnectTimeout),
                2 => state.truth.expect("half-open connection", Fault::HalfOpen),
                _ => {}
            }
            draw
        };
        match draw {
            0 => return Err(io::ErrorKind::ConnectionRefused.into()),
            1 => std::future::pending().await,
            2 => {
                self.peer.state().truth.requests += 1;
                tokio::spawn(swallow(theirs));
            }
            _ => {
                let (peer, clock) = (Arc::clone(&self.peer), self.clock.clone());
                tokio::spawn(async move { peer.serve(theirs, clock).await });
            }
        }
        Ok(ours)
    }
}

async fn swallow(mut stream: DuplexStream) {
    let mut bytes = Rng::new(0).next().to_be_bytes();
    while matches!(stream.read(&mut bytes).await, Ok(count) if count > 0) {}
}

struct Driver {
    peer: Arc<Peer>,
    profile: Arc<DeviceProfile>,
    inputs: Subscriber<DeviceInputs>,
    outputs: Publisher<DeviceOutputs>,
    ticker: Ticker,
    cycle: u64,
    stalls: u64,
    real: bool,
}

impl Driver {
    /// One period: acquire, half a period later outputs and apply.
    async fn cycle(&mut self, clock: &impl Fn() -> Instant) {
        self.cycle += 1;
        let begin = clock();
        self.ticker.announce(Phase::Acquire, self.cycle, begin + PERIOD / 2);
        self.watch_until(begin + PERIOD / 2, clock).await;
        let sequence = self.cycle as u32;
        let mut outputs = DeviceOutputs::NEVER;
        outputs.expires_at = clock() + PERIOD * 2;
        outputs.sequence = sequence;
        outputs.set(TagIndex(0), f64::from(sequence));
        outputs.set(TagIndex(1), f64::from(1 + sequence % 50_000));
        self.peer.state().truth.hand_out(&outputs);
        self.outputs.publish(&outputs);
        self.ticker.announce(Phase::Apply, self.cycle, begin + PERIOD);
        self.watch_until(begin + PERIOD, clock).await;
    }

    async fn watch_until(&mut self, until: Instant, clock: &impl Fn() -> Instant) {
        while clock() < until {
            let before = clock();
            sleep(STEP).await;
            self.stalls += u64::from(clock().since(before) > STALL);
            self.look();
        }
    }

    fn look(&mut self) {
        let image = self.inputs.latest();
        self.peer.state().truth.judge(image, &self.profile);
    }

    fn outcome(mut self, counters: &DeviceCounters, ended_safe: bool) -> Outcome {
        self.look();
        let state = self.peer.state();
        let truth = &state.truth;
        let counted = Fault::ALL.iter().map(|fault| (fault.as_str(), counters.fault(*fault))).collect();
        Outcome {
            requests: truth.requests,
            transactions: counters.transactions.get(),
            scans: counters.scans.get(),
            writes: counters.writes.get(),
            safe_writes: counters.safe_writes.get(),
            probes: counters.probes.get(),
            expired_outputs: counters.expired_outputs.get(),
            skipped_phases: counters.skipped_phases.get(),
            injected: truth.injected.clone(),
            expected: truth.expected.clone(),
            counted,
            late_sent: truth.late_sent,
            wrong_count: truth.wrong_count,
            wrong: truth.wrong.clone(),
            unseen_scans: truth.unseen_scans,
            stalls: if self.real { self.stalls } else { 0 },
            ended_safe,
        }
    }
}
