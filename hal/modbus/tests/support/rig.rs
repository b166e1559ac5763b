//! A line with several devices of declared behaviour, in virtual time.
//!
//! A test says what each device does, lets cycles pass, and looks at what the devices received and what
//! the line published and counted.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use hal_diagnostics::Document;
use hal_field_bus::{DeviceProfile, SerialTiming};
use hal_modbus::{
    Connect, DeviceCounters, DeviceEnd, DevicePort, LineConfig, Office, Parity, Phase, Stop, Ticker,
    Transport, run_line_on,
};
use hal_process_image::{DeviceInputs, DeviceOutputs, Publisher, Subscriber, TagIndex, exchange};
use hal_units::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Framing, Request, clock_from, frame, parse_request};

/// The speed of the serial lines.
pub const TIMING: SerialTiming = SerialTiming::new(115_200);
pub const SPEED: TagIndex = TagIndex(0);
pub const TORQUE: TagIndex = TagIndex(0);
pub const ALIVE: TagIndex = TagIndex(1);

/// A meter: a speed to read.
pub fn meter() -> Arc<DeviceProfile> {
    let text = "name = \"meter\"\nresponse_timeout_ms = 30\n\
                [[input]]\ntag = \"speed\"\nregister = 0\ntype = \"u32\"\nmax_age_ms = 100\n";
    Arc::new(DeviceProfile::parse(&Document::new("meter.toml", text)).unwrap())
}

/// A drive: a speed to read; a torque, which ramps to zero when nobody commands it, and a watchdog.
pub fn drive(exchange: &str) -> Arc<DeviceProfile> {
    let text = format!(
        r#"
name = "drive"
response_timeout_ms = 30
exchange = "{exchange}"
watchdog = "alive"

[[input]]
tag = "speed"
register = 0
type = "u32"
max_age_ms = 100

[[output]]
tag = "torque"
register = 10
type = "u16"
min = 0.0
max = 1000.0
initial = 0.0
safe = {{ ramp = {{ to = 0.0, per_second = 1000.0 }} }}

[[output]]
tag = "alive"
register = 11
type = "u16"
min = 0.0
max = 65535.0
safe = "hold"
"#
    );
    Arc::new(DeviceProfile::parse(&Document::new("drive.toml", &text)).unwrap())
}

/// What a device does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers after this time.
    Answers { after: Duration },
    /// Never answers.
    Dead,
    /// Answers with an exception.
    Refuses { code: u8 },
    /// Answers reads, refuses writes.
    RefusesWrites { code: u8 },
    /// Answers the first so many requests of each connection, then closes it.
    HangsUpAfter { requests: u32 },
}

pub const PROMPT: Behaviour = Behaviour::Answers { after: Duration::from_millis(1) };

/// The devices' side of the wire.
#[derive(Debug, Default)]
pub struct Field {
    behaviours: BTreeMap<u8, Behaviour>,
    /// All requests: when they came, and what they were.
    pub log: Vec<(Instant, Request)>,
    pub connections: u32,
    pub refuse_connections: bool,
}

impl Field {
    /// The writes that a device received: time, torque, watchdog.
    pub fn writes(&self, unit: u8) -> Vec<(Instant, u16, u16)> {
        let of_unit = |(at, request): &(Instant, Request)| {
            let (_, words) = request.write.as_ref().filter(|_| request.unit == unit)?;
            Some((*at, words[0], words[1]))
        };
        self.log.iter().filter_map(of_unit).collect()
    }

    pub fn requests(&self, unit: u8) -> Vec<Instant> {
        self.log.iter().filter(|(_, request)| request.unit == unit).map(|(at, _)| *at).collect()
    }
}

/// A device as the controllers see it.
pub struct RigDevice {
    pub unit: u8,
    pub inputs: Subscriber<DeviceInputs>,
    pub outputs: Publisher<DeviceOutputs>,
    pub counters: Arc<DeviceCounters>,
}

/// The line under test with everything around it.
pub struct Rig {
    pub devices: Vec<RigDevice>,
    pub field: Arc<Mutex<Field>>,
    pub clock: Arc<dyn Fn() -> Instant + Send + Sync>,
    pub period: Duration,
    /// Outputs are valid for so long.
    pub validity: Duration,
    ticker: Ticker,
    stop: watch::Sender<Stop>,
    line: JoinHandle<Vec<DeviceEnd>>,
    cycle: u64,
}

pub struct RigBuilder {
    framing: Framing,
    profile: Arc<DeviceProfile>,
    devices: Vec<(u8, Behaviour)>,
    period: Duration,
}

impl RigBuilder {
    pub fn new(framing: Framing) -> Self {
        Self { framing, profile: drive("split"), devices: Vec::new(), period: Duration::from_millis(20) }
    }

    pub fn profile(self, profile: Arc<DeviceProfile>) -> Self {
        Self { profile, ..self }
    }

    pub fn period_ms(self, millis: u64) -> Self {
        Self { period: Duration::from_millis(millis), ..self }
    }

    pub fn device(mut self, unit: u8, behaviour: Behaviour) -> Self {
        self.devices.push((unit, behaviour));
        self
    }

    pub fn start(self) -> Rig {
        let clock = clock_from(tokio::time::Instant::now());
        let field = Field { behaviours: self.devices.iter().copied().collect(), ..Field::default() };
        let field = Arc::new(Mutex::new(field));
        let (mut ports, mut devices) = (Vec::new(), Vec::new());
        for (unit, _) in &self.devices {
            let (inputs, inputs_seen) = exchange(&DeviceInputs::NEVER);
            let (outputs_given, outputs) = exchange(&DeviceOutputs::NEVER);
            let counters = Arc::new(DeviceCounters::default());
            ports.push(DevicePort {
                name: format!("drive {unit}"),
                unit_id: *unit,
                profile: Arc::clone(&self.profile),
                inputs,
                outputs,
                counters: Arc::clone(&counters),
            });
            devices.push(RigDevice { unit: *unit, inputs: inputs_seen, outputs: outputs_given, counters });
        }
        let transport = match self.framing {
            Framing::Tcp => Transport::Tcp { address: ([127, 0, 0, 1], 1).into() },
            Framing::Rtu => Transport::Rtu { path: "pipe".into(), timing: TIMING, parity: Parity::None },
        };
        let (ticker, ticks) = Ticker::new();
        let (stop, stopped) = watch::channel(Stop::Run);
        let connector =
            Connector { field: Arc::clone(&field), framing: self.framing, clock: Arc::new(clock.clone()) };
        let config = LineConfig::new("rig", transport);
        let line = tokio::spawn(run_line_on(
            connector,
            config,
            ports,
            Office::alone(),
            ticks,
            clock.clone(),
            stopped,
        ));
        Rig {
            devices,
            field,
            clock: Arc::new(clock),
            period: self.period,
            validity: self.period * 2,
            ticker,
            stop,
            line,
            cycle: 0,
        }
    }
}

impl Rig {
    pub fn now(&self) -> Instant {
        (self.clock)()
    }

    pub fn field(&self) -> MutexGuard<'_, Field> {
        self.field.lock().unwrap()
    }

    pub fn behave(&self, unit: u8, behaviour: Behaviour) {
        self.field().behaviours.insert(unit, behaviour);
    }

    pub fn counters(&self, unit: u8) -> &DeviceCounters {
        &self.devices.iter().find(|device| device.unit == unit).unwrap().counters
    }

    pub fn inputs(&mut self, unit: u8) -> DeviceInputs {
        *self.devices.iter_mut().find(|device| device.unit == unit).unwrap().inputs.latest()
    }

    /// Cycles in which the controllers command a torque.
    pub async fn command(&mut self, cycles: u32, torque: f64) {
        for _ in 0..cycles {
            self.cycle(Some(torque)).await;
        }
    }

    /// Cycles in which nobody commands anything.
    pub async fn idle(&mut self, cycles: u32) {
        for _ in 0..cycles {
            self.cycle(None).await;
        }
    }

    async fn cycle(&mut self, torque: Option<f64>) {
        self.cycle += 1;
        let begin = self.now();
        let half = begin + self.period / 2;
        self.ticker.announce(Phase::Acquire, self.cycle, half);
        sleep(half.since(self.now())).await;
        if let Some(torque) = torque {
            let sequence = self.cycle as u32;
            let mut outputs = DeviceOutputs::NEVER;
            outputs.sequence = sequence;
            outputs.expires_at = self.now() + self.validity;
            outputs.set(TORQUE, torque);
            outputs.set(ALIVE, f64::from(sequence % 65_536));
            self.devices.iter_mut().for_each(|device| device.outputs.publish(&outputs));
        }
        self.ticker.announce(Phase::Apply, self.cycle, begin + self.period);
        sleep((begin + self.period).since(self.now())).await;
    }

    /// Asks the line to make its devices safe; how each was left.
    pub async fn stop_within(self, limit: Duration) -> Vec<DeviceEnd> {
        let deadline = self.now() + limit;
        self.stop.send(Stop::Safe { deadline }).unwrap();
        self.line.await.unwrap()
    }

    /// The line's owner goes away without a word.
    pub async fn abandon(self) -> Vec<DeviceEnd> {
        drop((self.stop, self.ticker));
        self.line.await.unwrap()
    }
}

struct Connector {
    field: Arc<Mutex<Field>>,
    framing: Framing,
    clock: Arc<dyn Fn() -> Instant + Send + Sync>,
}

impl Connect for Connector {
    type Stream = DuplexStream;

    async fn connect(&mut self) -> io::Result<DuplexStream> {
        {
            let mut field = self.field.lock().unwrap();
            if field.refuse_connections {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            field.connections += 1;
        }
        let (ours, theirs) = duplex(4096);
        tokio::spawn(serve(theirs, Arc::clone(&self.field), self.framing, Arc::clone(&self.clock)));
        Ok(ours)
    }
}

/// Like a gateway or a bus: each device answers in its own time, whatever the others do.
async fn serve(
    stream: DuplexStream,
    field: Arc<Mutex<Field>>,
    framing: Framing,
    clock: Arc<dyn Fn() -> Instant + Send + Sync>,
) {
    let (mut reader, writer): (ReadHalf<_>, WriteHalf<_>) = split(stream);
    let writer = Arc::new(tokio::sync::Mutex::new(writer));
    let mut bytes = Vec::new();
    let mut requests = 0;
    loop {
        while let Some(request) = parse_request(framing, &bytes) {
            bytes.drain(..request.wire_len);
            requests += 1;
            let behaviour = {
                let mut field = field.lock().unwrap();
                field.log.push((clock(), request.clone()));
                field.behaviours[&request.unit]
            };
            let (after, code) = match behaviour {
                Behaviour::Answers { after } => (after, None),
                Behaviour::Dead => continue,
                Behaviour::Refuses { code } => (Duration::from_millis(1), Some(code)),
                Behaviour::RefusesWrites { code } => {
                    (Duration::from_millis(1), request.write.as_ref().map(|_| code))
                }
                Behaviour::HangsUpAfter { requests: limit } if requests > limit => return,
                Behaviour::HangsUpAfter { .. } => (Duration::from_millis(1), None),
            };
            let pdu = match code {
                Some(code) => vec![request.function | 0x80, code],
                None => answer(&request),
            };
            let reply = frame(framing, request.id, request.unit, &pdu);
            let writer = Arc::clone(&writer);
            tokio::spawn(async move {
                sleep(after).await;
                let _ = writer.lock().await.write_all(&reply).await;
            });
        }
        let mut chunk = [0; 512];
        match reader.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes.extend(&chunk[..count]),
        }
    }
}

/// Each register holds its address plus a thousand times the unit.
fn answer(request: &Request) -> Vec<u8> {
    let mut pdu = vec![request.function];
    if request.function == 16 {
        pdu.extend(request.start.to_be_bytes());
        pdu.extend(request.count.to_be_bytes());
        return pdu;
    }
    pdu.push((2 * request.count) as u8);
    for address in request.start..request.start + request.count {
        pdu.extend((u16::from(request.unit) * 1000 + address).to_be_bytes());
    }
    pdu
}
