//! The client of the arbiter: registers on a field device that decide between two claims.
//!
//! # Model
//!
//! Four holding registers from a base address on: `S_A, H_A, S_B, H_B`, slot and counter of each node. A
//! transaction writes the own pair, if asked to, and reads all four. With function code 23 the device does
//! both in one; writing comes before reading (Modbus Application Protocol V1.1b3, section 6.17). On devices
//! without it the counter is written, then the slot, each with function code 6, then all is read.
//!
//! **Counter first, slot last**: the slot is the claim, so it must not stand while something of its
//! transaction is still to come. If the transaction breaks off between the two writes, a moved counter is
//! left behind: the peer takes it for a sign of life, and waits a little longer than it had to. The other
//! way round a claim would be left behind whose owner knows nothing of it, beside an old counter that calls
//! it dead.
//!
//! Transactions of one client reach the device in their order: one is outstanding, and after one that failed
//! the connection is reset, which takes what was not sent yet out of the kernel's queue.

use std::net::SocketAddr;

use failover_protocol::{ArbiterFault, ArbiterImage, ArbiterOp, Epoch, Node};
use hal_field_bus::RegisterTable;
use hal_linux_rt::CallError;
use hal_linux_rt::lease_gate::mark_exempt;
use hal_modbus::{Connection, ConnectionTiming, Fault, Query};
use hal_units::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

/// Registers of the arbiter.
const REGISTERS: u16 = 4;

/// How the registers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArbiterVariant {
    /// Write and read in one transaction, function code 23: of two claims at once one wins.
    Exchange,
    /// Function codes 6, 6 and 3: of two claims at once both may lose.
    Separate,
}

/// An arbiter and how to reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArbiterConfig {
    /// Where its device listens.
    pub address: SocketAddr,
    /// Unit id; 255 or 1 without a gateway.
    pub unit_id: u8,
    /// Address of the first register.
    pub base: u16,
    /// How it is written.
    pub variant: ArbiterVariant,
    /// Whose pair is the own one.
    pub node: Node,
    /// How long a whole transaction may take, connecting among it.
    pub timeout: Duration,
    /// Whether the sockets pass the lease gate without a lease: to be set where there is a gate.
    pub exempt: bool,
}

/// The one connection to the arbiter.
#[derive(Debug)]
pub struct ArbiterClient {
    config: ArbiterConfig,
    connection: Option<Connection<TcpStream>>,
    last_fault: Option<Fault>,
}

impl ArbiterClient {
    /// A client that is not connected yet.
    #[must_use]
    pub const fn new(config: ArbiterConfig) -> Self {
        Self { config, connection: None, last_fault: None }
    }

    /// What exactly went wrong in the last transaction that failed.
    #[must_use]
    pub const fn last_fault(&self) -> Option<Fault> {
        self.last_fault
    }

    /// Whether the next transaction finds a connection.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Connects if there is no connection, so that the next transaction need not.
    ///
    /// # Errors
    /// [`ArbiterFault::NoAnswer`] if that does not come about in time.
    pub async fn connect(&mut self) -> Result<(), ArbiterFault> {
        let deadline = Instant::now() + self.config.timeout;
        match self.connected(deadline).await {
            Ok(connection) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(fault) => Err(self.failed(fault)),
        }
    }

    /// Carries out one transaction, within the configured time.
    ///
    /// # Errors
    /// The fault; then the connection was reset and the next transaction makes a new one. Also if the returned
    /// future is dropped before its end.
    pub async fn transact(&mut self, op: ArbiterOp) -> Result<ArbiterImage, ArbiterFault> {
        let deadline = Instant::now() + self.config.timeout;
        let result = self.carry_out(op, deadline).await;
        result.map_err(|fault| self.failed(fault))
    }

    fn failed(&mut self, fault: Fault) -> ArbiterFault {
        self.last_fault = Some(fault);
        self.connection = None;
        match fault {
            Fault::ConnectRefused
            | Fault::ConnectTimeout
            | Fault::ConnectFailed
            | Fault::ConnectionLost
            | Fault::HalfOpen
            | Fault::Timeout
            | Fault::CutFrame
            | Fault::SlowReply
            | Fault::LineBusy
            | Fault::Poisoned => ArbiterFault::NoAnswer,
            Fault::WrongTransactionId
            | Fault::WrongUnit
            | Fault::WrongFunction
            | Fault::WrongLength
            | Fault::WrongEcho
            | Fault::Garbage
            | Fault::BadCrc
            | Fault::DuplicateReply
            | Fault::LateReply
            | Fault::Exception(_) => ArbiterFault::Refused,
        }
    }

    async fn carry_out(&mut self, op: ArbiterOp, deadline: Instant) -> Result<ArbiterImage, Fault> {
        let (base, node) = (self.config.base, self.config.node);
        let own = base.saturating_add(match node {
            Node::A => 0,
            Node::B => 2,
        });
        let read = Query::Read { table: RegisterTable::Holding, start: base, count: REGISTERS };
        // Taken out, so that a transaction that is given up half-way leaves none.
        let mut connection = self.connected(deadline).await?;
        let words = match (op.write, self.config.variant) {
            (None, _) => self.call(&mut connection, &read, deadline).await?,
            (Some((Epoch(slot), counter)), ArbiterVariant::Exchange) => {
                let query = Query::Exchange {
                    read_start: base,
                    read_count: REGISTERS,
                    write_start: own,
                    words: &[slot, counter],
                };
                self.call(&mut connection, &query, deadline).await?
            }
            (Some((Epoch(slot), counter)), ArbiterVariant::Separate) => {
                let write = |address, word| Query::WriteSingle { address, word };
                self.call(&mut connection, &write(own.saturating_add(1), counter), deadline).await?;
                self.call(&mut connection, &write(own, slot), deadline).await?;
                self.call(&mut connection, &read, deadline).await?
            }
        };
        self.connection = Some(connection);
        image(node, &words).ok_or(Fault::WrongLength)
    }

    async fn call(
        &self,
        connection: &mut Connection<TcpStream>,
        query: &Query<'_>,
        deadline: Instant,
    ) -> Result<Vec<u16>, Fault> {
        let left = deadline.saturating_duration_since(Instant::now());
        connection.call(self.config.unit_id, query, left, Duration::ZERO).await
    }

    /// The connection, a new one if there was none or it is not usable.
    async fn connected(&mut self, deadline: Instant) -> Result<Connection<TcpStream>, Fault> {
        if let Some(mut connection) = self.connection.take() {
            // A peer that closed it meanwhile shows here, so that this transaction need not fail.
            if connection.ready(self.config.unit_id, Duration::ZERO).await.is_ok() {
                return Ok(connection);
            }
        }
        let opening = open(&self.config);
        let stream = match timeout_at(deadline, opening).await {
            Ok(opened) => opened?,
            Err(_elapsed) => return Err(Fault::ConnectTimeout),
        };
        let timing = ConnectionTiming { serial: None, frame_gap: self.config.timeout, timeouts_max: 1 };
        Ok(Connection::new(stream, timing))
    }
}

async fn open(config: &ArbiterConfig) -> Result<TcpStream, Fault> {
    let failed = |_| Fault::ConnectFailed;
    let socket = if config.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    // Closing resets: what was not sent yet must not be sent later.
    socket.set_zero_linger().map_err(failed)?;
    if config.exempt {
        mark_exempt(&socket).map_err(|error: CallError| {
            tracing::error!(%error, "the arbiter's socket cannot be marked");
            Fault::ConnectFailed
        })?;
    }
    socket.connect(config.address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => Fault::ConnectRefused,
        _ => Fault::ConnectFailed,
    })
}

/// The four registers as `node` sees them.
fn image(node: Node, words: &[u16]) -> Option<ArbiterImage> {
    let &[slot_a, counter_a, slot_b, counter_b] = words else { return None };
    let (a, b) = ((Epoch(slot_a), counter_a), (Epoch(slot_b), counter_b));
    let ((own_slot, own_counter), (peer_slot, peer_counter)) = match node {
        Node::A => (a, b),
        Node::B => (b, a),
    };
    Some(ArbiterImage { own_slot, own_counter, peer_slot, peer_counter })
}
