//! A connection that answers truly or not at all.
//!
//! # Model
//!
//! [`Connection::call`] sends one request and waits for its answer. What can go wrong ends in a named
//! [`Fault`], and in one of two ways:
//!
//! - On TCP the connection is *poisoned*: it refuses every further call, its owner drops it. So does a
//!   call that is abandoned half-way. (A gateway may be allowed a few unanswered requests in a row: their
//!   late answers are known by their numbers.)
//! - On a serial line there is nothing to drop. The request that failed is kept as *outstanding*: its
//!   answer may still come. A unit with outstanding requests is out of step. A device answers in the
//!   order of the requests, so it is in step again when it has answered a *probe*, a request whose
//!   answer has another shape than all that may still come.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use hal_field_bus::{Block, DeviceProfile, RegisterTable, SerialTiming};
use hal_units::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_modbus::client::{Client as _, Context};
use tokio_modbus::slave::{Slave, SlaveContext as _};
use tokio_modbus::{Response, Result as CallResult};

use crate::examine::{Expected, FRAME_MAX, Stale, name_rest};
use crate::fault::Fault;
use crate::query::{Query, Shape};
use crate::tap::{Received, Tap, Wire, lock};

/// Timing of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionTiming {
    /// The serial line under it; `None` for TCP.
    pub serial: Option<SerialTiming>,
    /// An answer that is incomplete and has not grown for this long has broken off.
    pub frame_gap: Duration,
    /// TCP: so many requests in a row may stay unanswered before the connection is given up; at least 1.
    pub timeouts_max: u32,
}

/// A guarded connection to one or more units.
pub struct Connection<S> {
    wire: Arc<Mutex<Wire<S>>>,
    library: Context,
    timing: ConnectionTiming,
    poisoned: bool,
    timeouts: u32,
    answers: u64,
}

/// TCP: a late answer is known for so many further transactions, half of their numbers.
const LATE_TRANSACTIONS_MAX: u16 = 0x8000;
/// Serial lines: so many late answers of one unit are remembered.
const OUTSTANDING_PER_UNIT_MAX: usize = 8;

impl<S> fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("timing", &self.timing).field("poisoned", &self.poisoned).finish()
    }
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug + 'static,
{
    /// Guards a stream that was just opened.
    #[must_use]
    pub fn new(stream: S, timing: ConnectionTiming) -> Self {
        let serial = timing.serial.is_some();
        let wire = Arc::new(Mutex::new(Wire::new(stream, serial)));
        let (tap, nobody) = (Tap::new(&wire), Slave(0));
        let library = if serial {
            tokio_modbus::client::rtu::attach_slave(tap, nobody)
        } else {
            tokio_modbus::client::tcp::attach_slave(tap, nobody)
        };
        Self { wire, library, timing, poisoned: false, timeouts: 0, answers: 0 }
    }

    /// Whether calls are possible.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.poisoned
    }

    /// Answers so far, exceptions among them.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.answers
    }

    /// Whether the next answer of `unit` is that to the next request: always on TCP, where answers carry
    /// numbers; on a serial line if none is outstanding.
    #[must_use]
    pub fn in_step(&self, unit: u8) -> bool {
        let wire = lock(&self.wire);
        !wire.serial || wire.stale.iter().all(|stale| stale.unit != unit || stale.answered)
    }

    /// Late and repeated answers, and stray bytes, that were discarded since the last call of this
    /// function: the unit and the name.
    pub fn take_events(&mut self) -> Vec<(u8, Fault)> {
        lock(&self.wire).take_events()
    }

    /// Waits until the next request to `unit` can leave: see [`Connection::call`], which does this first.
    ///
    /// # Errors
    /// The [`Fault`], after which the connection is unusable.
    pub async fn ready(&mut self, unit: u8, quiet: Duration) -> Result<(), Fault> {
        if self.poisoned {
            return Err(Fault::Poisoned);
        }
        self.poisoned = true;
        self.settle(unit, quiet).await?;
        self.poisoned = false;
        Ok(())
    }

    /// Sends a request to `unit` and waits for its answer, at most `limit` (on a serial line plus the
    /// time that request and answer take on the wire). On a serial line, if bytes stand there that
    /// nobody asked for, waits first until nothing has come for `quiet`. Returns the registers read;
    /// none for a write.
    ///
    /// # Errors
    /// The [`Fault`]. Afterwards the connection may be unusable: see [`Connection::is_usable`].
    pub async fn call(
        &mut self,
        unit: u8,
        query: &Query<'_>,
        limit: Duration,
        quiet: Duration,
    ) -> Result<Vec<u16>, Fault> {
        self.ready(unit, quiet).await?;
        // Stays so if this call is abandoned at the await below.
        self.poisoned = true;
        let expected = Expected { unit, shape: query.shape() };
        // The header of TCP is 4 bytes longer than address and check sum of RTU.
        let header_more = if self.timing.serial.is_some() { 0 } else { 4 };
        lock(&self.wire).begin(expected, query.bytes().request as usize + header_more);
        let deadline = Instant::now() + limit + self.wire_time(query);
        let result = self.transact(unit, query, deadline).await;
        let outcome = self.conclude(expected, query, result);
        self.book(expected, outcome.as_ref().err().copied());
        outcome
    }

    /// Time that request and answer take on a serial line; zero on TCP.
    #[must_use]
    pub fn wire_time(&self, query: &Query<'_>) -> Duration {
        let bytes = query.bytes();
        self.timing
            .serial
            .map_or(Duration::ZERO, |serial| serial.frame(bytes.request + bytes.answer) + serial.silence())
    }

    /// Makes sure that nothing stands in the way of the next answer.
    async fn settle(&mut self, unit: u8, quiet: Duration) -> Result<(), Fault> {
        let Some(serial) = self.timing.serial else {
            let mut wire = lock(&self.wire);
            wire.receive_pending()?;
            return wire.clear_between_tcp();
        };
        /// So many whole stray answers in a row are taken one by one.
        const STRAYS_MAX: usize = 16;
        for _ in 0..STRAYS_MAX {
            let free_at = lock(&self.wire).active_at + serial.silence();
            if Instant::now() < free_at {
                sleep_until(free_at).await;
            }
            let mut wire = lock(&self.wire);
            wire.receive_pending()?;
            if wire.received().is_empty() {
                return Ok(());
            }
            wire.take_whole_stale();
            if !wire.received().is_empty() {
                break;
            }
        }
        // Bytes at the opening of a port were meant for somebody else; bytes after a fault are its rest.
        let in_trouble = self.answers == 0 || !lock(&self.wire).stale.iter().all(|stale| stale.answered);
        let quiet = if in_trouble { quiet } else { self.timing.frame_gap };
        let unknown = self.discard(quiet.max(serial.silence())).await?;
        if unknown > 0 && !in_trouble {
            lock(&self.wire).event(unit, Fault::Garbage);
        }
        Ok(())
    }

    /// Discards input until nothing has come for `quiet`; how many bytes belonged to no known request.
    async fn discard(&mut self, quiet: Duration) -> Result<usize, Fault> {
        /// A line that does not fall silent within so many times the silence is taken by somebody else.
        const PATIENCE: u32 = 20;
        let give_up_at = Instant::now() + quiet * PATIENCE;
        let mut unknown = 0;
        while let Ok(received) = timeout(quiet, poll_fn(|cx| lock(&self.wire).poll_receive(cx))).await {
            match received {
                Ok(_) if lock(&self.wire).received().len() < FRAME_MAX => {}
                Ok(_) | Err(Fault::LineBusy) => unknown += lock(&self.wire).sweep(),
                Err(_) => return Err(Fault::ConnectionLost),
            }
            if Instant::now() >= give_up_at {
                return Err(Fault::LineBusy);
            }
        }
        Ok(unknown + lock(&self.wire).sweep())
    }

    /// `None` when time is up or the tap has seen a fault.
    async fn transact(
        &mut self,
        unit: u8,
        query: &Query<'_>,
        deadline: Instant,
    ) -> Option<CallResult<Response>> {
        let (wire, frame_gap) = (&self.wire, self.timing.frame_gap);
        let until = || {
            let wire = lock(wire);
            let begun = wire.serial && !wire.received().is_empty();
            if begun { deadline.min(wire.active_at + frame_gap) } else { deadline }
        };
        self.library.set_slave(Slave(unit));
        let mut call = self.library.call(query.request());
        let mut timer = std::pin::pin!(sleep_until(deadline));
        poll_fn(|cx| {
            if let Poll::Ready(result) = call.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            if lock(wire).has_failed() {
                return Poll::Ready(None);
            }
            let until = until();
            if timer.deadline() != until {
                timer.as_mut().reset(until);
            }
            timer.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// What a finished call means.
    fn conclude(
        &mut self,
        expected: Expected,
        query: &Query<'_>,
        result: Option<CallResult<Response>>,
    ) -> Result<Vec<u16>, Fault> {
        let wire = lock(&self.wire);
        let outcome = wire.flight.as_ref().and_then(|flight| flight.outcome);
        match (outcome, result) {
            (Some(Err(fault)), _) => Err(fault),
            (Some(Ok(Received::Exception(code))), _) => Err(Fault::Exception(code)),
            (Some(Ok(Received::Answer)), Some(Ok(Ok(response)))) => registers(query, response),
            // The library refuses what the examination took: trust neither.
            (Some(Ok(Received::Answer)), _) | (None, Some(Ok(_))) => Err(Fault::Garbage),
            (None, Some(Err(_))) => Err(Fault::ConnectionLost),
            (None, None) => {
                let broken_off = wire.active_at.elapsed() >= self.timing.frame_gap;
                Err(name_rest(wire.serial, wire.received(), expected, &wire.stale, broken_off))
            }
        }
    }

    /// Books the end of a call: which answers may still come, and whether the connection goes on.
    fn book(&mut self, expected: Expected, fault: Option<Fault>) {
        let mut wire = lock(&self.wire);
        let Some(flight) = wire.flight.take() else { return };
        let Expected { unit, shape } = expected;
        let mut stale = Stale { unit, shape, id: flight.id(), answered: true };
        let of_unit = |stale: &Stale| stale.unit == unit && !stale.answered;
        if let None | Some(Fault::Exception(_)) = fault {
            self.poisoned = false;
            self.timeouts = 0;
            self.answers += 1;
            let alike = |stale: &Stale| of_unit(stale) && stale.shape.function() == shape.function();
            if !wire.serial {
                let late = |old: &Stale| stale.id.wrapping_sub(old.id) < LATE_TRANSACTIONS_MAX;
                wire.stale.retain(|old| !old.answered && late(old));
            } else if fault.is_some() && wire.stale.iter().any(alike) {
                // It may be the late exception to an outstanding request: proves nothing.
                stale.answered = false;
            } else {
                wire.stale.retain(|stale| stale.unit != unit);
            }
        } else {
            stale.answered = false;
            let timed_out = fault == Some(Fault::Timeout) && flight.has_left();
            if wire.serial {
                self.poisoned = !flight.has_left() || fault == Some(Fault::ConnectionLost);
                if !timed_out {
                    // The rest of what began badly is nobody's answer.
                    wire.sweep();
                }
            } else {
                self.timeouts += 1;
                self.poisoned = !timed_out || self.timeouts >= self.timing.timeouts_max;
            }
            if wire.serial
                && wire.stale.iter().filter(|stale| of_unit(stale)).count() >= OUTSTANDING_PER_UNIT_MAX
                && let Some(oldest) = wire.stale.iter().position(of_unit)
            {
                wire.stale.remove(oldest);
            }
        }
        wire.stale.push(stale);
    }

    /// Whether the answer to `query` could be confused with one of `unit` that may still come.
    #[must_use]
    pub fn is_ambiguous(&self, unit: u8, query: &Query<'_>) -> bool {
        let wire = lock(&self.wire);
        let shape = query.shape();
        wire.serial && wire.stale.iter().any(|stale| stale.unit == unit && stale.shape == shape)
    }

    /// A request to `unit` whose answer cannot be confused with any other that may still come: a read of
    /// fewer registers than the profile's blocks have, or a read of the other table (which the device may
    /// refuse; the refusal is an answer too). When all were tried in vain it is the one whose turn is
    /// longest ago: answers come in order, so it still proves that nothing but probes is outstanding.
    #[must_use]
    pub fn probe(&self, unit: u8, profile: &DeviceProfile) -> Option<Query<'static>> {
        let wire = lock(&self.wire);
        let last_used = |query: &Query<'_>| {
            let shape = query.shape();
            wire.stale.iter().rposition(|stale| stale.unit == unit && stale.shape == shape)
        };
        // `None`, not in use, comes before any position.
        probes(profile).min_by_key(last_used)
    }
}

/// All probes for a device, the best first. None has the shape of a request that its profile makes.
fn probes(profile: &DeviceProfile) -> impl Iterator<Item = Query<'static>> {
    /// Sizes of the reads that are tried in the other table.
    const OTHER_TABLE_COUNTS: core::ops::RangeInclusive<u16> = 1..=8;
    let read = |table, start| move |count| Query::Read { table, start, count };
    let shorter =
        profile.reads.iter().flat_map(move |block| (1..block.count).map(read(block.table, block.start)));
    let other = profile.reads.iter().chain(&profile.writes).flat_map(move |block| {
        let other = match block.table {
            RegisterTable::Holding => RegisterTable::Input,
            RegisterTable::Input => RegisterTable::Holding,
        };
        OTHER_TABLE_COUNTS.map(read(other, block.start))
    });
    let shape_of = |block: &Block| {
        let (table, start, count) = (block.table, block.start, block.count);
        Query::Read { table, start, count }.shape()
    };
    let own: Vec<Shape> = profile.reads.iter().map(shape_of).collect();
    shorter.chain(other).filter(move |query| !own.contains(&query.shape()))
}

/// The registers of an answer, if it is of the kind and length that the query asks for.
fn registers(query: &Query<'_>, response: Response) -> Result<Vec<u16>, Fault> {
    let (words, function) = match response {
        Response::ReadHoldingRegisters(words) => (words, 0x03),
        Response::ReadInputRegisters(words) => (words, 0x04),
        Response::ReadWriteMultipleRegisters(words) => (words, 0x17),
        Response::WriteMultipleRegisters(address, quantity) => {
            let echo = Shape::Echo { function: 0x10, address, quantity };
            return if echo == query.shape() { Ok(Vec::new()) } else { Err(Fault::WrongEcho) };
        }
        Response::WriteSingleRegister(address, word) => {
            let echo = Shape::Echo { function: 0x06, address, quantity: word };
            return if echo == query.shape() { Ok(Vec::new()) } else { Err(Fault::WrongEcho) };
        }
        _ => return Err(Fault::WrongFunction),
    };
    match query.shape() {
        Shape::Registers { function: asked, .. } if asked != function => Err(Fault::WrongFunction),
        Shape::Registers { count, .. } if usize::from(count) == words.len() => Ok(words),
        Shape::Registers { .. } => Err(Fault::WrongLength),
        Shape::Echo { .. } => Err(Fault::WrongFunction),
    }
}
