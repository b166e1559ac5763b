//! The session between two runs of the two nodes: who is believed, and what comes of it.
//!
//! # Model
//!
//! Each run has a random [`Incarnation`], and every frame names its sender's and its receiver's. A frame is
//! believed only within a session, in which both have proved to each other that they are alive now:
//!
//! ```text
//! B -> A   Hello { challenge: cb }
//! A -> B   Hello { challenge: ca, answer: cb }     B: A is alive, for it answers what I have just asked
//! B -> A   Hello { answer: ca }                    A: likewise
//! ```
//!
//! A challenge is a number that its node never uses again once it was answered, bound to the node's
//! incarnation by the frame's authentication. So frames that were recorded in an earlier run, of either
//! node, prove nothing. A new run of the peer takes the session over once it has proved itself; until then
//! the old session stands. Within a session each frame is taken once on each link (a sliding window of 1024).
//!
//! # Frames
//!
//! Big-endian: magic `TK`, version, kind, sender (0 is A), stream (0 agent, 1 supervisor), link (1, 2), 0;
//! incarnation of the sender, of the receiver (0 if unknown), counter: 8 bytes each; length of the body, 2
//! bytes; body; authentication code, 16 bytes. The bodies are in `codec`. A `Hello` is always sent in the
//! oldest version that its sender speaks and names the newest, everything else in the newest that both speak.
//!
//! # The supervisor's word
//!
//! When an agent has died, its supervisor resigns for it ([`supervisor_resigns`]) without a session of its
//! own. It speaks in the name of the dead incarnation, and only the session with that incarnation listens.
//! Within that session the frame may be replayed at will: an epoch that was resigned is over for ever.

mod sending;

use failover_protocol::{Epoch, Link, Message, Node};
use hal_units::{Duration, Instant};

pub use sending::supervisor_resigns;

use crate::codec::{Body, Hello};
use crate::counters::{Counters, Refusal};
use crate::fragments::{Reassembler, STATE_BYTES_MAX, Series, State, StateCounters, Taken};
use crate::frame::{self, FRAME_BYTES_MAX, Head, Stream, VERSION, VERSION_MIN};
use crate::incarnation::Incarnation;
use crate::key::Key;
use crate::records::{Incoming, Outgoing, RECORD_BYTES_MAX};
use crate::window::ReplayWindow;

/// What a session is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// Which node this is.
    pub node: Node,
    /// This run.
    pub incarnation: Incarnation,
    /// The largest state that is taken, in bytes; at most [`STATE_BYTES_MAX`].
    pub state_bytes_max: usize,
    /// Records that may wait for the peer.
    pub records_max: usize,
    /// How often a node without a session says hello.
    pub hello_every: Duration,
    /// After how long a record that was not acknowledged is sent again.
    pub resend_after: Duration,
}

impl SessionConfig {
    /// The usual sizes and times.
    #[must_use]
    pub const fn new(node: Node, incarnation: Incarnation) -> Self {
        Self {
            node,
            incarnation,
            state_bytes_max: STATE_BYTES_MAX,
            records_max: 64,
            hello_every: Duration::from_millis(10),
            resend_after: Duration::from_millis(10),
        }
    }
}

/// What a datagram brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<'a> {
    /// A message of the pair's protocol.
    Message {
        /// What it says.
        message: Message,
        /// Whether it came before on the other link.
        again: bool,
    },
    /// The peer's supervisor says that its agent is dead and its term over.
    Resigned {
        /// The term.
        epoch: Epoch,
    },
    /// A run of the peer has proved that it is alive: everything known of an earlier one is void.
    Begun {
        /// The run.
        peer: Incarnation,
    },
    /// A replicated state is whole. Each cycle comes once, and only forward.
    State(State<'a>),
    /// The peer holds a state that was sent to it.
    Held {
        /// Of which series.
        series: Series,
        /// After which cycle.
        cycle: u64,
    },
    /// The next record. Each comes once in a session.
    Record(&'a [u8]),
    /// Authentic and fresh, so the link was heard; nothing else.
    Heard,
    /// Authentic, but nobody knows how old: says nothing about the link.
    Greeting,
}

/// There is no session with the peer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no session with the peer")]
pub struct NoSession;

/// Why a state is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// There is no session with the peer yet.
    #[error(transparent)]
    NoSession(#[from] NoSession),
    /// It is too long.
    #[error("a state of {bytes} bytes is longer than {STATE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// One node's end of the session. All memory is taken when it is made.
///
/// Sending functions hand each copy of a frame to `emit`, with the link that it has to leave on.
pub struct Session {
    key: Key,
    config: SessionConfig,
    /// The last frame that was sent.
    counter: u64,
    challenge: u64,
    /// Who said hello last without a session, and what it asked.
    caller: Option<(Incarnation, u64)>,
    reply_due: bool,
    hello_at: Instant,
    peer: Option<Peer>,
    states: Reassembler,
    fleet: Reassembler,
    outgoing: Outgoing,
    incoming: Incoming,
    counters: [Counters; 2],
    frame: Box<[u8; FRAME_BYTES_MAX]>,
}

#[derive(Debug)]
struct Peer {
    incarnation: Incarnation,
    version: u8,
    links: [ReplayWindow; 2],
    either: ReplayWindow,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let peer = self.peer();
        f.debug_struct("Session").field("config", &self.config).field("peer", &peer).finish_non_exhaustive()
    }
}

impl Session {
    /// A node that knows nobody yet.
    #[must_use]
    pub fn new(key: Key, config: SessionConfig) -> Self {
        Self {
            key,
            counter: 0,
            challenge: 1,
            caller: None,
            reply_due: false,
            hello_at: Instant::ZERO,
            peer: None,
            states: Reassembler::new(Series::Control, config.state_bytes_max),
            fleet: Reassembler::new(Series::Fleet, config.state_bytes_max),
            outgoing: Outgoing::new(config.records_max, config.resend_after),
            incoming: Incoming::default(),
            counters: [Counters::default(); 2],
            frame: Box::new([0; FRAME_BYTES_MAX]),
            config,
        }
    }

    /// The run of the peer that the session is with.
    #[must_use]
    pub fn peer(&self) -> Option<Incarnation> {
        self.peer.as_ref().map(|peer| peer.incarnation)
    }

    /// What came and went over a link.
    #[must_use]
    pub fn counters(&self, link: Link) -> &Counters {
        let [one, two] = &self.counters;
        match link {
            Link::One => one,
            Link::Two => two,
        }
    }

    /// How the replication of a series goes.
    #[must_use]
    pub fn state_counters(&self, series: Series) -> &StateCounters {
        &self.states_of(series).counters
    }

    fn states_of(&self, series: Series) -> &Reassembler {
        match series {
            Series::Control => &self.states,
            Series::Fleet => &self.fleet,
        }
    }

    /// Takes a datagram that came over `link` at `now`.
    ///
    /// # Errors
    /// If it is not believed: it was counted, and nothing else has changed.
    pub fn receive<'a>(
        &'a mut self,
        now: Instant,
        link: Link,
        datagram: &'a [u8],
    ) -> Result<Received<'a>, Refusal> {
        let outcome = frame::read(&self.key, self.config.node, link, datagram)
            .and_then(|(head, body)| self.take(now, link, &head, &body));
        let counters = counters_of(&mut self.counters, link);
        match outcome {
            Ok(Outcome::Received(received)) => {
                counters.accepted += 1;
                Ok(received)
            }
            Ok(Outcome::WholeState(series)) => {
                counters.accepted += 1;
                Ok(self.states_of(series).state().map_or(Received::Heard, Received::State))
            }
            Err(refusal) => {
                counters.refuse(refusal);
                Err(refusal)
            }
        }
    }

    fn take<'a>(
        &mut self,
        now: Instant,
        link: Link,
        head: &Head,
        body: &Body<'a>,
    ) -> Result<Outcome<'a>, Refusal> {
        let sender = Incarnation::new(head.from).ok_or(Refusal::Malformed)?;
        let from_peer = self.peer() == Some(sender);
        let message = match (head.stream, body) {
            (Stream::Supervisor, Body::Message(Message::Resign { epoch })) if from_peer => {
                return Ok(Outcome::Received(Received::Resigned { epoch: *epoch }));
            }
            (Stream::Supervisor, _) if from_peer => return Err(Refusal::Malformed),
            (Stream::Supervisor, _) => return Err(Refusal::OtherIncarnation),
            (Stream::Agent, Body::Hello(hello)) if !from_peer => {
                return self.greet(link, head, sender, hello).map(Outcome::Received);
            }
            (Stream::Agent, body) => body,
        };
        if !from_peer || head.to != self.config.incarnation.get() {
            // A hello that the peer sent before it knew this run.
            let early = from_peer && head.to == 0 && matches!(message, Body::Hello(_));
            if !early {
                return Err(Refusal::OtherIncarnation);
            }
        }
        let again = self.note(link, head.counter).ok_or(Refusal::Replayed)?;
        self.deliver(now, message, again)
    }

    /// Notes that a frame of the peer came; whether it came before on the other link, `None` if on this one.
    fn note(&mut self, link: Link, counter: u64) -> Option<bool> {
        let peer = self.peer.as_mut()?;
        let [one, two] = &mut peer.links;
        let window = match link {
            Link::One => one,
            Link::Two => two,
        };
        window.accept(counter).then(|| !peer.either.accept(counter))
    }

    fn deliver<'a>(&mut self, now: Instant, body: &Body<'a>, again: bool) -> Result<Outcome<'a>, Refusal> {
        let received = match *body {
            Body::Message(message) => Received::Message { message, again },
            Body::Hello(_) | Body::Fragment(_) | Body::Record { .. } | Body::RecordAck { .. } if again => {
                Received::Heard
            }
            Body::Hello(hello) => {
                self.caller = self.peer().map(|peer| (peer, hello.challenge));
                self.reply_due |= hello.wants_reply;
                Received::Heard
            }
            Body::Fragment(fragment) => {
                let states = match fragment.series {
                    Series::Control => &mut self.states,
                    Series::Fleet => &mut self.fleet,
                };
                match states.take(&fragment) {
                    Taken::Whole => return Ok(Outcome::WholeState(fragment.series)),
                    Taken::Noted => Received::Heard,
                    Taken::Malformed => return Err(Refusal::Malformed),
                }
            }
            Body::Held { series, cycle } => Received::Held { series, cycle },
            Body::Record { bytes, .. } if bytes.len() > RECORD_BYTES_MAX => return Err(Refusal::Malformed),
            Body::Record { number, bytes } if self.incoming.take(number) => Received::Record(bytes),
            Body::Record { .. } => Received::Heard,
            Body::RecordAck { through } if self.outgoing.acknowledge(through, now) => Received::Heard,
            Body::RecordAck { .. } => return Err(Refusal::Malformed),
        };
        Ok(Outcome::Received(received))
    }

    /// A hello of a run that there is no session with.
    fn greet(
        &mut self,
        link: Link,
        head: &Head,
        sender: Incarnation,
        hello: &Hello,
    ) -> Result<Received<'static>, Refusal> {
        let own = self.config.incarnation.get();
        if head.to != 0 && head.to != own {
            return Err(Refusal::OtherIncarnation);
        }
        if head.counter == 0 || hello.challenge == 0 {
            return Err(Refusal::Malformed);
        }
        self.caller = Some((sender, hello.challenge));
        if head.to != own || hello.answer != self.challenge {
            self.reply_due = true;
            return Ok(Received::Greeting);
        }
        // It answers what only this run asks, and what this run has asked since the last session began.
        self.challenge += 1;
        self.reply_due = hello.wants_reply;
        let version = hello.version_max.clamp(VERSION_MIN, VERSION);
        let links = [ReplayWindow::new(), ReplayWindow::new()];
        self.peer = Some(Peer { incarnation: sender, version, links, either: ReplayWindow::new() });
        let _ = self.note(link, head.counter);
        self.states.reset();
        self.fleet.reset();
        self.incoming.reset();
        self.outgoing.new_session();
        Ok(Received::Begun { peer: sender })
    }
}

/// What the state of a session cannot lend while it takes a datagram.
enum Outcome<'a> {
    Received(Received<'a>),
    WholeState(Series),
}

fn counters_of(counters: &mut [Counters; 2], link: Link) -> &mut Counters {
    let [one, two] = counters;
    match link {
        Link::One => one,
        Link::Two => two,
    }
}
