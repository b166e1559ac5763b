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

/// The agent's master: every answer is checked against its request, byte by byte.
pub(super) struct Guarded {
    job: Job,
    runtime: Runtime,
    connections: Vec<Connection<TcpStream>>,
}

/// tokio-modbus as it is.
pub(super) struct Raw {
    job: Job,
    runtime: Runtime,
    connections: Vec<Context>,
}

fn runtime() -> Result<Runtime, String> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| error.to_string())
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let whole = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    whole + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

impl Guarded {
    pub(super) fn new(job: Job) -> Result<Self, String> {
        let runtime = runtime()?;
        let timing = ConnectionTiming { serial: None, frame_gap: LIMIT, timeouts_max: 1 };
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for address in &job.addresses {
                connections.push(Connection::new(connect(*address).await?, timing));
            }
            Ok::<_, String>(connections)
        })?;
        Ok(Self { job, runtime, connections })
    }
}

impl Raw {
    pub(super) fn new(job: Job) -> Result<Self, String> {
        let runtime = runtime()?;
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for address in &job.addresses {
                connections.push(tcp::attach_slave(connect(*address).await?, Slave(1)));
            }
            Ok::<_, String>(connections)
        })?;
        Ok(Self { job, runtime, connections })
    }
}

impl Contender for Guarded {
    fn name(&self) -> &str {
        super::SUBJECT
    }

    fn turn(&mut self) -> Result<Times, String> {
        let Self { job, runtime, connections } = self;
        let query = Query::Read { table: RegisterTable::Holding, start: 0, count: job.registers };
        let devices = connections.len();
        let before = spent();
        let times = runtime.block_on(async {
            let mut times = Times::new();
            for at in 0..job.transactions as usize {
                let Some(connection) = connections.get_mut(at % devices) else { break };
                let began = now();
                let answer = connection.call(1, &query, LIMIT, Duration::ZERO).await;
                times.add(now().since(began));
                let words = answer.map_err(|fault| format!("no answer: {}", fault.as_str()))?;
                if words.len() != usize::from(job.registers) {
                    return Err("an answer of the wrong length".to_owned());
                }
            }
            Ok(times)
        })?;
        let cost = Cost { spent: spent().saturating_sub(before), of: job.transactions };
        self.job.costs.add(self.name(), cost);
        Ok(times)
    }
}

impl Contender for Raw {
    fn name(&self) -> &str {
        "tokio-modbus"
    }

    fn turn(&mut self) -> Result<Times, String> {
        let Self { job, runtime, connections } = self;
        let devices = connections.len();
        let before = spent();
        let times = runtime.block_on(async {
            let mut times = Times::new();
            for at in 0..job.transactions as usize {
                let Some(connection) = connections.get_mut(at % devices) else { break };
                let began = now();
                let answer = connection.read_holding_registers(0, job.registers).await;
                times.add(now().since(began));
                let words =
                    answer.map_err(|error| error.to_string())?.map_err(|exception| exception.to_string())?;
                if words.len() != usize::from(job.registers) {
                    return Err("an answer of the wrong length".to_owned());
                }
            }
            Ok(times)
        })?;
        let cost = Cost { spent: spent().saturating_sub(before), of: job.transactions };
        self.job.costs.add(self.name(), cost);
        Ok(times)
    }
}
