//! The tap: what stands between the wire and the protocol library.
//!
//! # Model
//!
//! The library owns a [`Tap`]; the guard shares the [`Wire`] behind it. Received bytes collect in the
//! wire's own buffer until [`examine`](crate::examine) says what they are. Only one whole frame, the
//! answer to the request in flight, is handed on. Of anything else the library hears nothing: the guard
//! ends the call.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::examine::{Examined, Expected, FRAME_MAX, Stale, examine_rtu, examine_tcp};
use crate::fault::Fault;

const BUFFER_LEN: usize = 2 * FRAME_MAX;
/// Events between two collections; beyond these they are not counted.
const EVENTS_MAX: usize = 64;

/// What came back, as far as bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    Answer,
    Exception(u8),
}

/// The request in flight.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) expected: Expected,
    /// First two bytes of the request: on TCP the number of the transaction.
    head: [u8; 2],
    written: usize,
    request_len: usize,
    pub(crate) outcome: Option<Result<Received, Fault>>,
}

impl Flight {
    pub(crate) fn id(&self) -> u16 {
        u16::from_be_bytes(self.head)
    }

    /// Whether the whole request has left.
    pub(crate) fn has_left(&self) -> bool {
        self.written == self.request_len
    }
}

/// A stream with everything that the guard knows about it.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    pub(crate) serial: bool,
    buffer: [u8; BUFFER_LEN],
    len: usize,
    /// So many bytes at the buffer's front are the answer and may be handed on.
    cleared: usize,
    pub(crate) flight: Option<Flight>,
    pub(crate) stale: Vec<Stale>,
    events: Vec<(u8, Fault)>,
    /// The last time that anything was sent or received.
    pub(crate) active_at: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, serial: bool) -> Self {
        Self {
            stream,
            serial,
            buffer: [0; BUFFER_LEN],
            len: 0,
            cleared: 0,
            flight: None,
            stale: Vec::new(),
            events: Vec::new(),
            active_at: Instant::now(),
        }
    }

    /// A request is about to leave.
    pub(crate) fn begin(&mut self, expected: Expected, request_len: usize) {
        self.flight = Some(Flight { expected, head: [0; 2], written: 0, request_len, outcome: None });
    }

    /// Whether the request in flight has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| matches!(flight.outcome, Some(Err(_))))
    }

    /// Bytes that were received and are not handed on.
    pub(crate) fn received(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn event(&mut self, unit: u8, fault: Fault) {
        if self.events.len() < EVENTS_MAX {
            self.events.push((unit, fault));
        }
    }

    pub(crate) fn take_events(&mut self) -> Vec<(u8, Fault)> {
        std::mem::take(&mut self.events)
    }

    /// Reads once. The buffer must have room.
    pub(crate) fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Fault>> {
        let Some(room) = self.buffer.get_mut(self.len..).filter(|room| !room.is_empty()) else {
            return Poll::Ready(Err(Fault::LineBusy));
        };
        let mut into = ReadBuf::new(room);
        match Pin::new(&mut self.stream).poll_read(context, &mut into) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if !into.filled().is_empty() => {
                let got = into.filled().len();
                self.len += got;
                self.active_at = Instant::now();
                Poll::Ready(Ok(got))
            }
            // The end of the stream, or an error: what the error says does not matter any more.
            Poll::Ready(_) if self.len == 0 => Poll::Ready(Err(Fault::ConnectionLost)),
            Poll::Ready(_) => Poll::Ready(Err(Fault::CutFrame)),
        }
    }

    /// Reads what is there already, without waiting; how many bytes that was.
    pub(crate) fn receive_pending(&mut self) -> Result<usize, Fault> {
        match self.poll_receive(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Ok(0),
            Poll::Ready(got) => got,
        }
    }

    /// Takes stale answers off the buffer's front. On TCP, where nothing else may stand there while no
    /// request is in flight, the rest is a fault.
    pub(crate) fn clear_between_tcp(&mut self) -> Result<(), Fault> {
        while self.len > 0 {
            match examine_tcp(self.received(), None, &self.stale) {
                Examined::Stale { len, index } => self.take_stale(len, index)?,
                Examined::Bad(fault) => return Err(fault),
                Examined::More | Examined::Suspect | Examined::Answer { .. } | Examined::Exception { .. } => {
                    return Err(Fault::Garbage);
                }
            }
        }
        Ok(())
    }

    /// Takes whole stale answers off the front of a serial line's buffer.
    pub(crate) fn take_whole_stale(&mut self) {
        while let Examined::Stale { len, index } = examine_rtu(self.received(), None, &self.stale) {
            if self.take_stale(len, index).is_err() || self.len == 0 {
                return;
            }
        }
    }

    /// Empties the buffer of a serial line. Stale answers in it are counted, wherever they stand; how
    /// many other bytes there were.
    pub(crate) fn sweep(&mut self) -> usize {
        let mut unknown = 0;
        while self.len > 0 {
            let taken = match examine_rtu(self.received(), None, &self.stale) {
                Examined::Stale { len, index } => self.take_stale(len, index),
                Examined::More
                | Examined::Suspect
                | Examined::Answer { .. }
                | Examined::Exception { .. }
                | Examined::Bad(_) => {
                    self.drop_front(1);
                    unknown += 1;
                    Ok(())
                }
            };
            debug_assert!(taken.is_ok(), "serial lines forgive stale answers");
        }
        unknown
    }

    fn take_stale(&mut self, len: usize, index: usize) -> Result<(), Fault> {
        let Some(stale) = self.stale.get(index).copied() else { return Ok(()) };
        if stale.answered && !self.serial {
            return Err(Fault::DuplicateReply);
        }
        self.drop_front(len);
        self.event(stale.unit, stale.fault());
        if !stale.answered {
            self.stale.remove(index);
        }
        Ok(())
    }

    fn drop_front(&mut self, count: usize) {
        self.buffer.copy_within(count.min(self.len)..self.len, 0);
        self.len = self.len.saturating_sub(count);
    }

    /// Says what the buffer holds, once that is certain.
    fn judge(&mut self) -> Option<Result<Received, Fault>> {
        loop {
            let flight = self.flight.as_ref()?;
            let examined = if self.serial {
                examine_rtu(self.received(), Some(flight.expected), &self.stale)
            } else {
                examine_tcp(self.received(), Some((flight.id(), flight.expected)), &self.stale)
            };
            match examined {
                Examined::More | Examined::Suspect => return None,
                Examined::Bad(fault) => return Some(Err(fault)),
                Examined::Answer { len } => {
                    self.cleared = len;
                    return Some(Ok(Received::Answer));
                }
                Examined::Exception { len, code } => {
                    self.cleared = len;
                    return Some(Ok(Received::Exception(code)));
                }
                Examined::Stale { len, index } => {
                    if let Err(fault) = self.take_stale(len, index) {
                        return Some(Err(fault));
                    }
                    if self.len == 0 {
                        return None;
                    }
                }
            }
        }
    }

    fn poll_hand_on(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.cleared > 0 {
                let count = self.cleared.min(into.remaining());
                into.put_slice(self.buffer.get(..count).unwrap_or_default());
                self.drop_front(count);
                self.cleared -= count;
                return Poll::Ready(Ok(()));
            }
            let outcome = match self.poll_receive(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(_)) => self.judge(),
                Poll::Ready(Err(fault)) => Some(Err(fault)),
            };
            let failed = matches!(outcome, Some(Err(_)));
            if let Some(flight) = &mut self.flight {
                flight.outcome = outcome;
            }
            if failed {
                // The guard looks at the outcome. An error would make the library's framing report an
                // end of stream at the next call.
                return Poll::Pending;
            }
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(Ok(sent)) => sent,
            other => return other,
        };
        self.active_at = Instant::now();
        if let Some(flight) = &mut self.flight {
            let unset = flight.head.iter_mut().skip(flight.written);
            unset.zip(bytes.iter().take(sent)).for_each(|(head, byte)| *head = *byte);
            flight.written += sent;
        }
        Poll::Ready(Ok(sent))
    }
}

/// The library's end of a wire.
#[derive(Debug)]
pub(crate) struct Tap<S>(Arc<Mutex<Wire<S>>>);

impl<S> Tap<S> {
    pub(crate) fn new(wire: &Arc<Mutex<Wire<S>>>) -> Self {
        Self(Arc::clone(wire))
    }
}

/// Locks a wire. Nothing that holds the lock can panic, so a poisoned lock protects whole data.
pub(crate) fn lock<S>(wire: &Mutex<Wire<S>>) -> MutexGuard<'_, Wire<S>> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        lock(&self.0).poll_hand_on(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_send(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = lock(&self.0);
        if wire.serial {
            // A serial port flushes by `tcdrain`, which would hold up every other line of this thread
            // until the last bit has left.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut wire.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).stream).poll_shutdown(context)
    }
}
