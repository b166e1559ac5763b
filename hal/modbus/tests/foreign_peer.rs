//! The master against a device that somebody else has made: a server on libmodbus, over a socket and over
//! a pair of pseudo-terminals. Reported as ignored where libmodbus or a C compiler is missing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use hal_diagnostics::Document;
use hal_field_bus::{DeviceProfile, SerialTiming};
use hal_modbus::{
    DeviceCounters, DeviceEnd, DevicePort, Fault, LineConfig, Office, Parity, Phase, Stop, Ticker, Transport,
    run_line,
};
use hal_process_image::{DeviceInputs, DeviceOutputs, Publisher, Quality, Subscriber, TagIndex, exchange};
use hal_units::{Duration, Instant};
use support::clock_from;
use tokio::io::copy_bidirectional;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_serial::{SerialPort, SerialStream};

const UNIT: u8 = 5;

/// The server program, built once.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/libmodbus_server.c");
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("libmodbus_server");
        let flags = Command::new("pkg-config").args(["--cflags", "--libs", "libmodbus"]).output().unwrap();
        let flags = String::from_utf8(flags.stdout).unwrap();
        let built = Command::new("cc")
            .args(["-O1", "-Wall", "-Werror", source, "-o"])
            .arg(&program)
            .args(flags.split_whitespace())
            .status();
        assert!(built.unwrap().success());
        program
    })
}

/// A running server; ends with its owner.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(program()).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("port ").expect("the server says its port").parse().unwrap();
        Self { process, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn profile(exchange: &str, mirror: &str) -> Arc<DeviceProfile> {
    let text = format!(
        r#"
name = "foreign"
response_timeout_ms = 300
exchange = "{exchange}"
gap_max = 20

[[input]]
tag = "high_first"
register = 0
type = "f32"
max_age_ms = 1000

[[input]]
tag = "low_first"
register = 2
type = "f32"
word_order = "low-first"
max_age_ms = 1000

[[input]]
tag = "mirror"
{mirror}
type = "u32"
max_age_ms = 1000

[[output]]
tag = "sequence"
register = 200
type = "u32"
min = 0.0
max = 4294967295.0
safe = {{ value = 4000000000.0 }}
"#
    );
    Arc::new(DeviceProfile::parse(&Document::new("foreign.toml", &text)).unwrap())
}

fn split() -> Arc<DeviceProfile> {
    profile("split", "table = \"input\"\nregister = 100")
}

fn combined() -> Arc<DeviceProfile> {
    profile("combined", "register = 10")
}

struct Master {
    inputs: Subscriber<DeviceInputs>,
    outputs: Publisher<DeviceOutputs>,
    counters: Arc<DeviceCounters>,
    ticker: Ticker,
    stop: watch::Sender<Stop>,
    line: JoinHandle<Vec<DeviceEnd>>,
    origin: tokio::time::Instant,
    cycle: u32,
}

impl Master {
    fn start(transport: Transport, profile: Arc<DeviceProfile>) -> Self {
        let origin = tokio::time::Instant::now();
        let (inputs_published, inputs) = exchange(&DeviceInputs::NEVER);
        let (outputs, outputs_read) = exchange(&DeviceOutputs::NEVER);
        let counters = Arc::new(DeviceCounters::default());
        let port = DevicePort {
            name: "foreign".to_owned(),
            unit_id: UNIT,
            profile,
            inputs: inputs_published,
            outputs: outputs_read,
            counters: Arc::clone(&counters),
        };
        let (ticker, ticks) = Ticker::new();
        let (stop, stopped) = watch::channel(Stop::Run);
        let config = LineConfig::new("foreign", transport);
        let line =
            tokio::spawn(run_line(config, vec![port], Office::alone(), ticks, clock_from(origin), stopped));
        Self { inputs, outputs, counters, ticker, stop, line, origin, cycle: 0 }
    }

    fn now(&self) -> Instant {
        clock_from(self.origin)()
    }

    async fn cycles(&mut self, count: u32) {
        for _ in 0..count {
            self.cycle += 1;
            let half = Duration::from_millis(15);
            self.ticker.announce(Phase::Acquire, u64::from(self.cycle), self.now() + half);
            sleep(half).await;
            let mut outputs = DeviceOutputs::NEVER;
            outputs.sequence = self.cycle;
            outputs.expires_at = self.now() + Duration::from_millis(200);
            outputs.set(TagIndex(0), f64::from(self.cycle));
            self.outputs.publish(&outputs);
            self.ticker.announce(Phase::Apply, u64::from(self.cycle), self.now() + half);
            sleep(half).await;
        }
    }

    /// After some cycles: all values are right, and what was written last reads back.
    async fn check(&mut self) {
        self.cycles(60).await;
        let scans = self.counters.scans.get();
        assert!(scans >= 40, "{:?}", self.counters);
        assert_eq!(self.counters.faults(), 0, "{:?}", self.counters);
        // Two more cycles, so that what the first of them wrote is read in the second.
        self.cycles(2).await;
        let image = *self.inputs.latest();
        for (tag, expected) in [(0, 12.5), (1, 12.5)] {
            let sample = image.sample(TagIndex(tag));
            assert_eq!((sample.value, sample.quality), (expected, Quality::Good));
        }
        let mirrored = image.sample(TagIndex(2)).value;
        assert!((f64::from(self.cycle) - 3.0..=f64::from(self.cycle)).contains(&mirrored), "{mirrored}");
        assert!(image.outputs_acknowledged + 3 >= self.cycle);
    }

    async fn stop(self) {
        let deadline = self.now() + Duration::from_secs(3);
        self.stop.send(Stop::Safe { deadline }).unwrap();
        assert_eq!(self.line.await.unwrap(), [DeviceEnd::Safe]);
    }
}

fn tcp(port: u16) -> Transport {
    Transport::Tcp { address: ([127, 0, 0, 1], port).into() }
}

#[tokio::test]
#[cfg_attr(not(takt_libmodbus), ignore = "needs libmodbus and a C compiler")]
async fn a_libmodbus_server_is_read_and_written_over_tcp() {
    let server = Server::start(&["tcp", "0"]);
    let mut master = Master::start(tcp(server.port), split());
    master.check().await;
    master.stop().await;
}

#[tokio::test]
#[cfg_attr(not(takt_libmodbus), ignore = "needs libmodbus and a C compiler")]
async fn a_libmodbus_server_takes_a_combined_exchange() {
    let server = Server::start(&["tcp", "0"]);
    let mut master = Master::start(tcp(server.port), combined());
    master.check().await;
    master.stop().await;
}

#[tokio::test]
#[cfg_attr(not(takt_libmodbus), ignore = "needs libmodbus and a C compiler")]
async fn a_libmodbus_server_that_restarts_is_found_again_and_takes_the_safe_value_first() {
    let server = Server::start(&["tcp", "0"]);
    let port = server.port;
    let mut master = Master::start(tcp(port), split());
    master.cycles(20).await;
    drop(server);
    master.cycles(10).await;
    assert!(master.counters.fault(Fault::ConnectRefused) > 0, "{:?}", master.counters);
    let _server = Server::start(&["tcp", &port.to_string()]);
    let safe_writes = master.counters.safe_writes.get();
    master.cycles(60).await;
    assert_eq!(master.counters.reconnects(), 1, "{:?}", master.counters);
    assert!(master.counters.safe_writes.get() > safe_writes);
    let mirrored = master.inputs.latest().sample(TagIndex(2)).value;
    assert!((f64::from(master.cycle) - 3.0..=f64::from(master.cycle)).contains(&mirrored), "{mirrored}");
    master.stop().await;
}

#[tokio::test]
#[cfg_attr(not(takt_libmodbus), ignore = "needs libmodbus and a C compiler")]
async fn a_register_that_a_libmodbus_server_lacks_is_an_exception() {
    let server = Server::start(&["tcp", "0"]);
    let mut master = Master::start(tcp(server.port), profile("split", "table = \"input\"\nregister = 5000"));
    master.cycles(10).await;
    assert!(master.counters.exceptions(2) > 0, "{:?}", master.counters);
    assert_eq!(master.counters.exceptions(2), master.counters.faults(), "{:?}", master.counters);
    assert_eq!(master.counters.scans.get(), 0);
    master.stop().await;
}

#[tokio::test]
#[cfg_attr(not(takt_libmodbus), ignore = "needs libmodbus and a C compiler")]
async fn a_libmodbus_server_is_read_and_written_on_a_serial_line() {
    for profile in [split(), combined()] {
        // Two terminals with a wire between them.
        let (mut ours, our_end) = SerialStream::pair().unwrap();
        let (mut theirs, their_end) = SerialStream::pair().unwrap();
        let (path, their_path) = (our_end.name().unwrap(), their_end.name().unwrap());
        let wire = tokio::spawn(async move {
            let _ = copy_bidirectional(&mut ours, &mut theirs).await;
            drop((our_end, their_end));
        });
        let _server = Server::start(&["rtu", &their_path, &UNIT.to_string()]);
        let timing = SerialTiming::new(115_200);
        let transport = Transport::Rtu { path: path.into(), timing, parity: Parity::None };
        let mut master = Master::start(transport, profile);
        master.check().await;
        master.stop().await;
        wire.abort();
    }
}
