//! Serves one connection, with faults drawn from a seed.
//!
//! Like a real device the peer answers requests in their order. A fault that makes the master give the
//! device up is *losing*: what the master must do next (start afresh, safe value first) follows from it,
//! and a silence is then counted as `half_open` instead of `timeout`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use hal_modbus::Fault;
use hal_units::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::forge::{Inject, RTU_FAULTS, TCP_FAULTS, forge, pdu};
use super::truth::{Truth, WRITE_START};
use super::{Framing, Request, Rng, frame, is_rtu_frame, parse_request};

/// Timing and rates of a peer.
#[derive(Debug, Clone, Copy)]
pub struct PeerConfig {
    pub framing: Framing,
    pub unit: u8,
    /// The master waits so long for a read of `count` registers or a write.
    pub patience: Duration,
    /// The master takes an answer that stands still for so long as cut.
    pub frame_gap: Duration,
    /// Silence that the master keeps after a fault (serial lines).
    pub late_window: Duration,
    /// Pause between two bytes of a drip.
    pub drip_pause: Duration,
    /// Time from a request to its answer.
    pub turnaround: Duration,
    /// Of a hundred requests, how many go wrong.
    pub fault_percent: u64,
}

/// One device and everything that is known about it.
#[derive(Debug)]
pub struct Peer {
    pub config: PeerConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
pub struct State {
    pub truth: Truth,
    pub rng: Rng,
    pub faults_on: bool,
    /// The master has given the device up and heard nothing since.
    fresh: bool,
    /// A copy of an answer that is sent in front of the next one.
    copy: Option<Vec<u8>>,
}

/// A request with the time at which it came.
type Arrival = (Request, Instant);

impl Peer {
    pub fn new(config: PeerConfig, seed: u64, expiry_grace: Duration) -> Arc<Self> {
        let state = State {
            truth: Truth::new(expiry_grace),
            rng: Rng::new(seed),
            faults_on: true,
            fresh: true,
            copy: None,
        };
        Arc::new(Self { config, state: Mutex::new(state) })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The master's connection, or its trust, starts anew.
    pub fn lose(&self) {
        let mut state = self.state();
        state.fresh = true;
        state.truth.armed = false;
    }

    /// Serves a stream until the master or the peer closes it.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S, clock: impl Fn() -> Instant) {
        if self.config.framing == Framing::Tcp {
            self.lose();
            self.state().copy = None;
        }
        let mut bytes = Vec::new();
        let mut waiting: VecDeque<Arrival> = VecDeque::new();
        loop {
            let arrival = match waiting.pop_front() {
                Some(arrival) => arrival,
                None => match self.receive(&mut stream, &mut bytes, &clock).await {
                    Some(arrival) => arrival,
                    None => return,
                },
            };
            let age = clock().since(arrival.1);
            let open = if age + Duration::from_millis(8) > self.patience(&arrival.0) {
                self.answer_too_late(&mut stream, &arrival, &clock).await
            } else {
                self.answer(&mut stream, arrival, &mut bytes, &mut waiting, &clock).await
            };
            if open.is_none() {
                return;
            }
        }
    }

    /// How long the master waits for the answer.
    fn patience(&self, request: &Request) -> Duration {
        let _ = request;
        self.config.patience
    }

    async fn receive<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        bytes: &mut Vec<u8>,
        clock: &impl Fn() -> Instant,
    ) -> Option<Arrival> {
        loop {
            if let Some(request) = parse_request(self.config.framing, bytes) {
                bytes.drain(..request.wire_len);
                assert_eq!(request.unit, self.config.unit);
                self.state().truth.requests += 1;
                return Some((request, clock()));
            }
            let mut chunk = [0; 512];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => bytes.extend(&chunk[..count]),
            }
        }
    }

    /// A request that had to wait behind a late answer for longer than the master does.
    async fn answer_too_late<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        arrival: &Arrival,
        clock: &impl Fn() -> Instant,
    ) -> Option<()> {
        let (request, received_at) = arrival;
        // Make sure that its time is up, to the last millisecond.
        let over = *received_at + self.patience(request) + Duration::from_millis(8);
        sleep(over.since(clock())).await;
        let reply = {
            let mut state = self.state();
            let fault = if state.fresh { Fault::HalfOpen } else { Fault::Timeout };
            state.truth.expect("queued behind a late one", fault);
            state.truth.late_sent += 1;
            state.fresh = true;
            let reply = self.honest(&mut state, request, *received_at);
            state.truth.armed = false;
            reply
        };
        stream.write_all(&reply).await.ok()
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        (request, received_at): Arrival,
        bytes: &mut Vec<u8>,
        waiting: &mut VecDeque<Arrival>,
        clock: &impl Fn() -> Instant,
    ) -> Option<()> {
        sleep(self.config.turnaround).await;
        let copy = self.state().copy.take();
        if let Some(copy) = copy {
            let lost = {
                let mut state = self.state();
                state.truth.expect(Inject::DuplicateLater.as_str(), Fault::DuplicateReply);
                self.config.framing == Framing::Tcp
            };
            stream.write_all(&copy).await.ok()?;
            if lost {
                self.lose();
                return Some(());
            }
            return self.answer_honestly(stream, &request, received_at).await;
        }
        let Some(inject) = self.draw(&request, clock().since(received_at)) else {
            return self.answer_honestly(stream, &request, received_at).await;
        };
        match inject {
            Inject::Late => self.answer_late(stream, (request, received_at), bytes, waiting, clock).await,
            Inject::Silent => {
                self.book(inject, &request, Fault::Timeout, received_at);
                Some(())
            }
            Inject::Drip => self.drip(stream, &request, received_at).await,
            Inject::Close => {
                self.book(inject, &request, Fault::ConnectionLost, received_at);
                stream.shutdown().await.ok()?;
                None
            }
            Inject::Cut => self.cut(stream, &request, received_at).await,
            Inject::DuplicateAtOnce | Inject::DuplicateLater => {
                self.repeat(stream, inject, &request, received_at).await
            }
            Inject::Exception => {
                let code = {
                    let mut state = self.state();
                    state.fresh = false;
                    let code = state.rng.pick(&[1, 2, 3, 4, 6]);
                    state.truth.expect(inject.as_str(), Fault::Exception(code));
                    code
                };
                let pdu = [request.function | 0x80, code];
                stream.write_all(&self.frame(&request, &pdu)).await.ok()
            }
            Inject::WrongId
            | Inject::WrongUnit
            | Inject::WrongFunction
            | Inject::WrongLength
            | Inject::WrongEcho
            | Inject::Garbage => {
                let (reply, fault) = {
                    let mut state = self.state();
                    let stamp = state.truth.forged_stamp();
                    forge(self.config.framing, inject, &request, stamp, &mut state.rng)
                };
                self.book(inject, &request, fault, received_at);
                stream.write_all(&reply).await.ok()
            }
        }
    }

    fn draw(&self, request: &Request, age: Duration) -> Option<Inject> {
        let mut state = self.state();
        // One that had to wait has less patience left than the timing of the faults needs.
        let waited = age > self.config.turnaround + Duration::from_millis(5);
        if waited || !state.faults_on || !state.rng.percent(self.config.fault_percent) {
            return None;
        }
        let inject = match self.config.framing {
            Framing::Tcp => state.rng.pick(&TCP_FAULTS),
            Framing::Rtu => state.rng.pick(&RTU_FAULTS),
        };
        let possible = match inject {
            Inject::WrongEcho => request.function == 16,
            // A refused probe may prove nothing, which is a matter of its own.
            Inject::Exception => !(self.config.framing == Framing::Rtu && state.fresh),
            _ => true,
        };
        possible.then_some(inject)
    }

    /// Enters a losing fault. The device may have carried out the write all the same.
    fn book(&self, inject: Inject, request: &Request, fault: Fault, received_at: Instant) {
        let mut state = self.state();
        let fault = if fault == Fault::Timeout && state.fresh { Fault::HalfOpen } else { fault };
        state.truth.expect(inject.as_str(), fault);
        if let Some((_, words)) = &request.write
            && state.rng.percent(50)
        {
            state.truth.apply(words, received_at);
        }
        state.fresh = true;
        state.truth.armed = false;
    }

    fn frame(&self, request: &Request, pdu: &[u8]) -> Vec<u8> {
        frame(self.config.framing, request.id, request.unit, pdu)
    }

    /// The true answer; carries out a write.
    fn honest(&self, state: &mut State, request: &Request, received_at: Instant) -> Vec<u8> {
        let stamp = state.truth.stamp(received_at);
        if let Some((start, words)) = &request.write {
            assert_eq!(*start, WRITE_START);
            state.truth.apply(words, received_at);
        }
        self.frame(request, &pdu(request, stamp, request.count))
    }

    async fn answer_honestly<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        request: &Request,
        received_at: Instant,
    ) -> Option<()> {
        let reply = {
            let mut state = self.state();
            state.fresh = false;
            self.honest(&mut state, request, received_at)
        };
        stream.write_all(&reply).await.ok()
    }

    async fn answer_late<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        (request, received_at): Arrival,
        bytes: &mut Vec<u8>,
        waiting: &mut VecDeque<Arrival>,
        clock: &impl Fn() -> Instant,
    ) -> Option<()> {
        let until = {
            let mut state = self.state();
            let over = state.rng.millis(8, 3 * self.config.late_window.as_millis() as u64 + 40);
            received_at + self.patience(&request) + over
        };
        let reply = {
            let mut state = self.state();
            let reply = self.honest(&mut state, &request, received_at);
            let fault = if state.fresh { Fault::HalfOpen } else { Fault::Timeout };
            state.truth.expect(Inject::Late.as_str(), fault);
            state.fresh = true;
            state.truth.armed = false;
            reply
        };
        // Meanwhile the master goes on.
        while clock() < until {
            match timeout(until.since(clock()), self.receive(stream, bytes, clock)).await {
                Ok(Some(arrival)) => waiting.push_back(arrival),
                Ok(None) => return None,
                Err(_elapsed) => {}
            }
        }
        self.state().truth.late_sent += 1;
        stream.write_all(&reply).await.ok()
    }

    async fn drip<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        request: &Request,
        received_at: Instant,
    ) -> Option<()> {
        let reply = self.forged(request);
        self.book(Inject::Drip, request, Fault::SlowReply, received_at);
        for byte in reply {
            stream.write_all(&[byte]).await.ok()?;
            stream.flush().await.ok()?;
            sleep(self.config.drip_pause).await;
        }
        Some(())
    }

    async fn cut<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        request: &Request,
        received_at: Instant,
    ) -> Option<()> {
        let reply = self.forged(request);
        let mut len = 1 + self.state().rng.below(reply.len() as u64 - 1) as usize;
        if is_rtu_frame(&reply[..len]) {
            len -= 1;
        }
        self.book(Inject::Cut, request, Fault::CutFrame, received_at);
        stream.write_all(&reply[..len]).await.ok()?;
        if self.config.framing == Framing::Rtu {
            return Some(());
        }
        // Half of the time the connection breaks with the frame, half of the time it just stands still.
        if self.state().rng.percent(50) {
            stream.shutdown().await.ok()?;
            return None;
        }
        Some(())
    }

    async fn repeat<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        inject: Inject,
        request: &Request,
        received_at: Instant,
    ) -> Option<()> {
        let mut reply = {
            let mut state = self.state();
            state.fresh = false;
            self.honest(&mut state, request, received_at)
        };
        if inject == Inject::DuplicateLater {
            self.state().copy = Some(reply.clone());
            return stream.write_all(&reply).await.ok();
        }
        reply.extend(reply.clone());
        self.state().truth.expect(inject.as_str(), Fault::DuplicateReply);
        if self.config.framing == Framing::Tcp {
            // The master gives the connection up before its next request.
            self.lose();
        }
        stream.write_all(&reply).await.ok()
    }

    /// The answer as it should be, but for its contents.
    fn forged(&self, request: &Request) -> Vec<u8> {
        let stamp = self.state().truth.forged_stamp();
        self.frame(request, &pdu(request, stamp, request.count))
    }
}
