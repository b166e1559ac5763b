//! What the pair thread hears and says: the two links and the arbiter.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use agent_cycle::{Executed, GroupState};
use agent_fleet::handover::Mark;
use agent_plan::fetch::{PlanAsk, PlanPart};
use agent_plan::inbox::PeerWord;
use agent_status::PairLink;
use failover_link::{
    ArbiterClient, ArbiterConfig, ArbiterVariant, FRAME_BYTES_MAX, Incarnation, Key, KeyError, LinkConfig,
    LinkSockets, Received, Refusal, Series, Session, SessionConfig, State, supervisor_resigns,
};
use failover_protocol::{ArbiterFault, ArbiterImage, ArbiterOp, Epoch, Link, Message, Node};
use hal_linux_rt::clock::now;
use hal_units::{Duration, Instant};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::config::{ArbiterFunction, PairConfig};

/// How long a transaction with the arbiter may take, connecting among it: half of what a standby waits
/// between looking and claiming.
const ARBITER_TIMEOUT: Duration = Duration::from_millis(4);

/// What the nodes tell each other beside their states, each in one record.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Saying {
    /// Commands that were carried out.
    CarriedOut(Vec<Executed>),
    /// How things stand with plans.
    Plans(PeerWord),
    /// A plan is wanted.
    PlanAsk(PlanAsk),
    /// A part of it.
    PlanPart(PlanPart),
}

/// Executed commands in one record: at most 25 bytes each, a length and a kind, within the longest record.
const EXECUTED_PER_RECORD: usize = 32;

/// Where so many records wait already, none with a plan is added: a quarter of what may.
const PLAN_RECORDS_MAX: usize = 16;

/// Why there is no wire.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The key.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// The links.
    #[error("a pair needs two links, so that one cable may be cut")]
    Links,
    /// The kernel gives no random number.
    #[error("no random number: {0}")]
    Random(#[from] std::io::Error),
}

/// What a wire is made of.
pub(crate) struct WireSpec {
    key: Key,
    node: Node,
    incarnation: Incarnation,
    links: [(SocketAddr, SocketAddr); 2],
    arbiter: ArbiterConfig,
}

impl WireSpec {
    /// Reads the key. `gated`: the arbiter's sockets have to pass the kernel's gate without a lease.
    pub(crate) fn new(config: &PairConfig, incarnation: Incarnation, gated: bool) -> Result<Self, WireError> {
        let &[one, two] = config.links.as_slice() else { return Err(WireError::Links) };
        let arbiter = ArbiterConfig {
            address: config.arbiter.address,
            unit_id: config.arbiter.unit_id,
            base: config.arbiter.register,
            variant: match config.arbiter.function {
                ArbiterFunction::Fc23 => ArbiterVariant::Exchange,
                ArbiterFunction::Fc6 => ArbiterVariant::Separate,
            },
            node: config.node,
            timeout: ARBITER_TIMEOUT,
            exempt: gated,
        };
        let key = Key::from_file(&config.key_file)?;
        Ok(Self { key, node: config.node, incarnation, links: [one, two], arbiter })
    }
}

/// What came.
pub(crate) enum Arrival {
    /// A message of the protocol.
    Message { link: Link, message: Message },
    /// The peer's state, whole; its bytes are in [`Wire::state`].
    State,
    /// The state of the peer's fleet after a step, whole; its bytes are in [`Wire::state`].
    Fleet { mark: Mark },
    /// The peer holds the state of the fleet after a step.
    FleetHeld { mark: Mark },
    /// Commands that the peer knows to be carried out; see [`Wire::tell_carried_out`].
    CarriedOut(Vec<Executed>),
    /// How things stand with plans at the peer.
    Plans(PeerWord),
    /// The peer wants a plan.
    PlanAsk(PlanAsk),
    /// A part of a plan that was wanted.
    PlanPart(PlanPart),
    /// The arbiter's answer.
    Arbiter(Result<ArbiterImage, ArbiterFault>),
    /// Another run of the peer: what is known of the last one does not go on.
    Begun,
    /// Nothing that concerns the protocol.
    Nothing,
}

/// The wire as people see it.
pub(crate) struct WireReport {
    pub(crate) links: Vec<PairLink>,
    pub(crate) refused: BTreeMap<String, u64>,
}

/// Two links with their session, and the arbiter.
pub(crate) struct Wire {
    session: Session,
    sockets: LinkSockets,
    addresses: [(SocketAddr, SocketAddr); 2],
    /// When the session wants to speak by itself.
    poll_at: Instant,
    datagram: Box<[u8; FRAME_BYTES_MAX + 1]>,
    state: Vec<u8>,
    schema: u64,
    fleet_schema: u64,
    ops: mpsc::Sender<ArbiterOp>,
    answers: mpsc::Receiver<Result<ArbiterImage, ArbiterFault>>,
}

impl Wire {
    /// Opens the links. To be called on the thread's runtime.
    pub(crate) fn new(spec: WireSpec, fleet_schema: u64) -> Self {
        let WireSpec { key, node, incarnation, links, arbiter } = spec;
        let [one, two] = links.map(|(local, peer)| LinkConfig { local, peer, interface: None });
        let (ops, ops_out) = mpsc::channel(1);
        let (answers_in, answers) = mpsc::channel(1);
        tokio::task::spawn_local(serve_arbiter(ArbiterClient::new(arbiter), ops_out, answers_in));
        Self {
            session: Session::new(key, SessionConfig::new(node, incarnation)),
            sockets: LinkSockets::new(one, two),
            addresses: links,
            poll_at: Instant::ZERO,
            datagram: Box::new([0; FRAME_BYTES_MAX + 1]),
            state: Vec::new(),
            schema: GroupState::schema(),
            fleet_schema,
            ops,
            answers,
        }
    }

    /// Waits for the next arrival. May be abandoned: nothing is lost by that.
    pub(crate) async fn arrival(&mut self) -> Arrival {
        tokio::select! {
            biased;
            Some(answer) = self.answers.recv() => Arrival::Arbiter(answer),
            (link, length) = self.sockets.receive(&mut *self.datagram) => self.take(link, length),
        }
    }

    /// An arrival that is there already.
    pub(crate) fn next(&mut self) -> Option<Arrival> {
        let (link, length) = self.sockets.try_receive(&mut *self.datagram)?;
        Some(self.take(link, length))
    }

    fn take(&mut self, link: Link, length: usize) -> Arrival {
        let datagram = self.datagram.get(..length).unwrap_or_default();
        let arrival = match self.session.receive(now(), link, datagram) {
            Ok(Received::Message { message, again: _ }) => Arrival::Message { link, message },
            Ok(Received::Resigned { epoch }) => Arrival::Message { link, message: Message::Resign { epoch } },
            Ok(Received::State(state)) if state.series == Series::Control && state.schema == self.schema => {
                self.state.clear();
                self.state.extend_from_slice(state.bytes);
                Arrival::State
            }
            Ok(Received::State(state))
                if state.series == Series::Fleet && state.schema == self.fleet_schema =>
            {
                self.state.clear();
                self.state.extend_from_slice(state.bytes);
                Arrival::Fleet { mark: Mark::from_number(state.cycle) }
            }
            Ok(Received::Held { series: Series::Fleet, cycle }) => {
                Arrival::FleetHeld { mark: Mark::from_number(cycle) }
            }
            Ok(Received::Record(bytes)) => match postcard::from_bytes(bytes) {
                Ok(Saying::CarriedOut(executed)) => Arrival::CarriedOut(executed),
                Ok(Saying::Plans(word)) => Arrival::Plans(word),
                Ok(Saying::PlanAsk(ask)) => Arrival::PlanAsk(ask),
                Ok(Saying::PlanPart(part)) => Arrival::PlanPart(part),
                Err(error) => {
                    tracing::error!(%error, "pair: the peer's record cannot be read");
                    Arrival::Nothing
                }
            },
            Ok(Received::Begun { peer }) => {
                tracing::info!(%peer, "pair: the peer has begun a session");
                Arrival::Begun
            }
            // The protocol learns of other schemas when the peer joins; what is refused was counted.
            Ok(Received::State(_) | Received::Held { .. } | Received::Heard | Received::Greeting)
            | Err(_) => Arrival::Nothing,
        };
        self.poll_at = Instant::ZERO;
        arrival
    }

    /// The state that arrived last.
    pub(crate) fn state(&self) -> &[u8] {
        &self.state
    }

    /// When [`Wire::poll`] is due.
    pub(crate) fn poll_at(&self) -> Instant {
        self.poll_at
    }

    /// Lets the session say what it has to.
    pub(crate) fn poll(&mut self, now: Instant) {
        if now >= self.poll_at {
            let sockets = &mut self.sockets;
            self.poll_at = self.session.poll(now, &mut |link, bytes| sockets.send(link, bytes));
        }
    }

    /// Says something on both links; without a session there is nobody to hear it.
    pub(crate) fn send(&mut self, message: &Message) {
        let sockets = &mut self.sockets;
        let _ = self.session.send(message, &mut |link, bytes| sockets.send(link, bytes));
    }

    /// Sends this node's state.
    pub(crate) fn send_state(&mut self, cycle: u64, bytes: &[u8]) {
        let sockets = &mut self.sockets;
        let state = State { series: Series::Control, cycle, schema: self.schema, bytes };
        if let Err(error) = self.session.send_state(state, &mut |link, bytes| sockets.send(link, bytes))
            && self.session.peer().is_some()
        {
            tracing::error!(%error, "the state cannot be replicated");
        }
    }

    /// Sends the state of this node's fleet after a step.
    pub(crate) fn send_fleet(&mut self, mark: Mark, bytes: &[u8]) {
        let sockets = &mut self.sockets;
        let state = State { series: Series::Fleet, cycle: mark.number(), schema: self.fleet_schema, bytes };
        if let Err(error) = self.session.send_state(state, &mut |link, bytes| sockets.send(link, bytes))
            && self.session.peer().is_some()
        {
            tracing::error!(%error, "the fleet's state cannot be replicated");
        }
    }

    /// Says that this node holds the state of the peer's fleet after a step.
    pub(crate) fn hold_fleet(&mut self, mark: Mark) {
        let sockets = &mut self.sockets;
        let emit = &mut |link, bytes: &[u8]| sockets.send(link, bytes);
        // Without a session there is nobody to hear it.
        let _ = self.session.send_held(Series::Fleet, mark.number(), emit);
    }

    /// Tells the peer which commands were carried out; it arrives even if datagrams are lost.
    pub(crate) fn tell_carried_out(&mut self, executed: &[Executed]) {
        for some in executed.chunks(EXECUTED_PER_RECORD) {
            self.say(&Saying::CarriedOut(some.to_vec()));
        }
    }

    /// Tells the peer how things stand with plans here; it arrives even if datagrams are lost.
    pub(crate) fn tell_plans(&mut self, word: PeerWord) {
        self.say(&Saying::Plans(word));
    }

    /// Asks the peer for a plan, if it is there.
    pub(crate) fn ask_plan(&mut self, ask: PlanAsk) {
        self.say_if_idle(&Saying::PlanAsk(ask));
    }

    /// Gives the peer a part of a plan that it asked for.
    pub(crate) fn give_plan(&mut self, part: PlanPart) {
        self.say_if_idle(&Saying::PlanPart(part));
    }

    /// Says something that is asked for again if it gets lost, and that must not keep the rest from its place.
    fn say_if_idle(&mut self, saying: &Saying) {
        if self.session.peer().is_some() && self.session.records_waiting() < PLAN_RECORDS_MAX {
            self.say(saying);
        }
    }

    fn say(&mut self, saying: &Saying) {
        let record = postcard::to_allocvec(saying).unwrap_or_default();
        if let Err(error) = self.session.push_record(&record)
            && self.session.peer().is_some()
        {
            tracing::error!(%error, ?saying, "the peer does not learn something");
        }
        self.poll_at = Instant::ZERO;
    }

    /// Asks for a transaction; its answer arrives.
    pub(crate) fn ask_arbiter(&mut self, op: ArbiterOp) {
        if self.ops.try_send(op).is_err() {
            tracing::error!("a transaction with the arbiter was asked for while one is under way");
        }
    }

    pub(crate) fn report(&self) -> WireReport {
        let mut refused = BTreeMap::new();
        let mut links = Vec::with_capacity(2);
        for (link, (local, peer)) in Link::ALL.into_iter().zip(self.addresses) {
            let counters = self.session.counters(link);
            for reason in Refusal::ALL {
                let count = counters.refused(reason);
                if count > 0 {
                    *refused.entry(reason.as_str().to_owned()).or_insert(0) += count;
                }
            }
            links.push(PairLink {
                addresses: format!("{local} to {peer}"),
                heard: false,
                received: counters.accepted,
                sent: counters.sent,
            });
        }
        WireReport { links, refused }
    }
}

async fn serve_arbiter(
    mut client: ArbiterClient,
    mut ops: mpsc::Receiver<ArbiterOp>,
    answers: mpsc::Sender<Result<ArbiterImage, ArbiterFault>>,
) {
    while let Some(op) = ops.recv().await {
        let answer = client.transact(op).await;
        if answers.send(answer).await.is_err() {
            return;
        }
    }
}

/// What the keeper says for an agent that is dead.
pub(crate) struct Farewell {
    key: Key,
    node: Node,
    incarnation: Incarnation,
    links: Vec<(SocketAddr, SocketAddr)>,
}

/// How often it is said: a datagram may be lost.
const FAREWELLS: usize = 3;

impl Farewell {
    /// Reads the key.
    pub(crate) fn new(config: &PairConfig, incarnation: Incarnation) -> Result<Self, WireError> {
        let key = Key::from_file(&config.key_file)?;
        Ok(Self { key, node: config.node, incarnation, links: config.links.clone() })
    }

    /// Says on both links that `epoch` is over, from the agent's own addresses, which it has left.
    pub(crate) fn say(&self, epoch: u64) {
        let Ok(epoch) = u16::try_from(epoch) else { return };
        // A link that is down now does not matter: the other one is there too.
        let open = |(local, peer): &(SocketAddr, SocketAddr)| {
            let socket = std::net::UdpSocket::bind(local).ok()?;
            socket.connect(peer).ok()?;
            Some(socket)
        };
        let sockets: Vec<_> = Link::ALL.into_iter().zip(self.links.iter().map(open)).collect();
        for _ in 0..FAREWELLS {
            supervisor_resigns(&self.key, self.node, self.incarnation, Epoch(epoch), &mut |link, bytes| {
                for (_, socket) in sockets.iter().filter(|(of, _)| *of == link) {
                    let _ = socket.as_ref().map(|socket| socket.send(bytes));
                }
            });
        }
    }
}
