//! Masters of this process: the agent's guarded one, and the library under it without the guard.

use std::net::SocketAddr;

use hal_field_bus::RegisterTable;
use hal_linux_rt::clock::now;
use hal_modbus::{Connection, ConnectionTiming, Query};
use hal_units::Duration;
use latency_tests_harness::figures::Times;
use latency_tests_harness::rounds::Contender;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_modbus::client::{Context, Reader, tcp};
use tokio_modbus::slave::Slave;

use super::{Cost, Job};

/// An answer that takes longer is none.
const LIMIT: Duration = Duration::from_secs(1);

/// A connection to one device, as a library has it.
pub(super) trait Library {
    /// The master's name.
    const NAME: &'static str;

    /// Takes a connection over.
    fn over(stream: TcpStream) -> Self;

    /// Reads so many registers; how many came.
    async fn read(&mut self, registers: u16) -> Result<usize, String>;
}

/// The agent's: every answer is checked against its request, byte by byte.
pub(super) type Guarded = Connection<TcpStream>;

impl Library for Guarded {
    const NAME: &'static str = super::SUBJECT;

    fn over(stream: TcpStream) -> Self {
        Self::new(stream, ConnectionTiming { serial: None, frame_gap: LIMIT, timeouts_max: 1 })
    }

    async fn read(&mut self, registers: u16) -> Result<usize, String> {
        let query = Query::Read { table: RegisterTable::Holding, start: 0, count: registers };
        let answer = self.call(1, &query, LIMIT, Duration::ZERO).await;
        answer.map(|words| words.len()).map_err(|fault| format!("no answer: {}", fault.as_str()))
    }
}

/// tokio-modbus as it is.
pub(super) type Raw = Context;

impl Library for Raw {
    const NAME: &'static str = "tokio-modbus";

    fn over(stream: TcpStream) -> Self {
        tcp::attach_slave(stream, Slave(1))
    }

    async fn read(&mut self, registers: u16) -> Result<usize, String> {
        let answer = self.read_holding_registers(0, registers).await;
        let words = answer.map_err(|error| error.to_string())?;
        words.map(|words| words.len()).map_err(|exception| exception.to_string())
    }
}

/// A master with a connection to each device.
pub(super) struct Master<L> {
    job: Job,
    runtime: Runtime,
    devices: Vec<L>,
}

impl<L: Library> Master<L> {
    pub(super) fn new(job: Job) -> Result<Self, String> {
        let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = built.map_err(|error| error.to_string())?;
        let devices = runtime.block_on(async {
            let mut devices = Vec::with_capacity(job.addresses.len());
            for address in &job.addresses {
                devices.push(L::over(connect(*address).await?));
            }
            Ok::<_, String>(devices)
        })?;
        Ok(Self { job, runtime, devices })
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

impl<L: Library> Contender for Master<L> {
    fn name(&self) -> &str {
        L::NAME
    }

    fn turn(&mut self) -> Result<Times, String> {
        let Self { job, runtime, devices } = self;
        let count = devices.len();
        let before = spent();
        let times = runtime.block_on(async {
            let mut times = Times::new();
            for at in 0..job.transactions as usize {
                let Some(device) = devices.get_mut(at % count) else { break };
                let began = now();
                let words = device.read(job.registers).await;
                times.add(now().since(began));
                if words? != usize::from(job.registers) {
                    return Err("an answer of the wrong length".to_owned());
                }
            }
            Ok(times)
        })?;
        job.costs.add(L::NAME, Cost { spent: spent().saturating_sub(before), of: job.transactions });
        Ok(times)
    }
}

/// Processor time of this thread.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let whole = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    whole + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}
