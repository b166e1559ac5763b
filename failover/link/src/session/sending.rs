//! The sending half of a session.

use failover_protocol::{Epoch, Link, Message, Node};
use hal_units::Instant;

use super::{NoSession, Session, StateError, counters_of};
use crate::codec::{Body, Hello};
use crate::counters::Counters;
use crate::fragments::{Series, State, split};
use crate::frame::{self, FRAME_BYTES_MAX, Head, Stream, VERSION, VERSION_MIN};
use crate::incarnation::Incarnation;
use crate::key::Key;
use crate::records::{RecordError, Ticket};

impl Session {
    /// Sends a message on both links.
    ///
    /// # Errors
    /// If there is no session yet; nothing is sent.
    pub fn send(&mut self, message: &Message, emit: &mut dyn FnMut(Link, &[u8])) -> Result<(), NoSession> {
        self.send_body(&Body::Message(*message), emit)
    }

    /// Sends a replicated state on both links, in as many frames as it takes.
    ///
    /// # Errors
    /// If there is no session yet, or the state is longer than [`crate::STATE_BYTES_MAX`]; nothing is sent.
    pub fn send_state(
        &mut self,
        state: State<'_>,
        emit: &mut dyn FnMut(Link, &[u8]),
    ) -> Result<(), StateError> {
        let too_long = StateError::TooLong { bytes: state.bytes.len() };
        for fragment in split(state).ok_or(too_long)? {
            self.send_body(&Body::Fragment(fragment), emit)?;
        }
        Ok(())
    }

    /// Says on both links that this node holds a state of the peer. If it gets lost, nothing says it again but
    /// the word for the next state.
    ///
    /// # Errors
    /// If there is no session yet; nothing is sent.
    pub fn send_held(
        &mut self,
        series: Series,
        cycle: u64,
        emit: &mut dyn FnMut(Link, &[u8]),
    ) -> Result<(), NoSession> {
        self.send_body(&Body::Held { series, cycle }, emit)
    }

    /// Takes a record, to be sent by [`Session::poll`] until the peer has it. Needs no session yet.
    ///
    /// # Errors
    /// If it is too long or too many are waiting.
    pub fn push_record(&mut self, bytes: &[u8]) -> Result<Ticket, RecordError> {
        self.outgoing.push(bytes)
    }

    /// Whether the peer has the record.
    #[must_use]
    pub fn is_acknowledged(&self, ticket: Ticket) -> bool {
        self.outgoing.is_acknowledged(ticket)
    }

    /// Records that the peer does not have yet.
    #[must_use]
    pub fn records_waiting(&self) -> usize {
        self.outgoing.waiting()
    }

    /// Sends what is due at `now`: hellos, answers to them, records, acknowledgements. To be called after
    /// each [`Session::receive`] and [`Session::push_record`], and at the time that it returns.
    pub fn poll(&mut self, now: Instant, emit: &mut dyn FnMut(Link, &[u8])) -> Instant {
        let hello_due = self.peer.is_none() && now >= self.hello_at;
        if hello_due || self.reply_due {
            self.hello_at = now + self.config.hello_every;
            self.reply_due = false;
            self.say_hello(emit);
        }
        if self.peer.is_none() {
            return self.hello_at;
        }
        if self.incoming.ack_due {
            self.incoming.ack_due = false;
            let through = self.incoming.through;
            let _ = self.send_body(&Body::RecordAck { through }, emit);
        }
        if let Some(Ok(head)) = self.outgoing.is_due(now).then(|| self.session_head(0)) {
            let mut counter = self.counter;
            for (number, bytes) in self.outgoing.due(now) {
                counter += 1;
                let head = Head { counter, ..head };
                let sink = Sink { key: &self.key, frame: &mut self.frame, counters: &mut self.counters };
                sink.send(&head, &Body::Record { number, bytes }, emit);
            }
            self.counter = counter;
        }
        self.outgoing.next_at(now).unwrap_or(now + self.config.hello_every)
    }

    fn say_hello(&mut self, emit: &mut dyn FnMut(Link, &[u8])) {
        let peer = self.peer();
        let (to, answer) = match (self.caller, peer) {
            (Some((caller, challenge)), _) => (caller.get(), challenge),
            (None, Some(peer)) => (peer.get(), 0),
            (None, None) => (0, 0),
        };
        let wants_reply = peer.is_none_or(|peer| peer.get() != to);
        let hello = Hello { challenge: self.challenge, answer, wants_reply, version_max: VERSION };
        self.counter += 1;
        let head = Head {
            version: VERSION_MIN,
            sender: self.config.node,
            stream: Stream::Agent,
            from: self.config.incarnation.get(),
            to,
            counter: self.counter,
        };
        let sink = Sink { key: &self.key, frame: &mut self.frame, counters: &mut self.counters };
        sink.send(&head, &Body::Hello(hello), emit);
    }

    fn session_head(&self, counter: u64) -> Result<Head, NoSession> {
        let peer = self.peer.as_ref().ok_or(NoSession)?;
        Ok(Head {
            version: peer.version,
            sender: self.config.node,
            stream: Stream::Agent,
            from: self.config.incarnation.get(),
            to: peer.incarnation.get(),
            counter,
        })
    }

    fn send_body(&mut self, body: &Body<'_>, emit: &mut dyn FnMut(Link, &[u8])) -> Result<(), NoSession> {
        let head = self.session_head(self.counter + 1)?;
        self.counter += 1;
        let sink = Sink { key: &self.key, frame: &mut self.frame, counters: &mut self.counters };
        sink.send(&head, body, emit);
        Ok(())
    }
}

/// Where frames are made.
struct Sink<'s> {
    key: &'s Key,
    frame: &'s mut [u8; FRAME_BYTES_MAX],
    counters: &'s mut [Counters; 2],
}

impl Sink<'_> {
    /// Writes both copies and hands them out.
    fn send(self, head: &Head, body: &Body<'_>, emit: &mut dyn FnMut(Link, &[u8])) {
        for link in Link::ALL {
            let written = frame::write(self.key, head, link, body, self.frame);
            debug_assert!(written.is_some(), "a body has a bounded length");
            if let Some(frame) = written.and_then(|length| self.frame.get(..length)) {
                counters_of(self.counters, link).sent += 1;
                emit(link, frame);
            }
        }
    }
}

/// Makes the frames by which a supervisor resigns for an agent of `node` that is dead: `incarnation` is that
/// of the dead agent, `epoch` its term (of the lease page). Only to be called once the agent's processes are
/// gone and its gate is shut. May be sent as often as wanted.
pub fn supervisor_resigns(
    key: &Key,
    node: Node,
    incarnation: Incarnation,
    epoch: Epoch,
    emit: &mut dyn FnMut(Link, &[u8]),
) {
    let head = Head {
        // Its sender knows no session, so it is of the oldest version.
        version: VERSION_MIN,
        sender: node,
        stream: Stream::Supervisor,
        from: incarnation.get(),
        to: 0,
        counter: 0,
    };
    let (mut counters, mut frame) = ([Counters::default(); 2], [0; FRAME_BYTES_MAX]);
    let sink = Sink { key, frame: &mut frame, counters: &mut counters };
    sink.send(&head, &Body::Message(Message::Resign { epoch }), emit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Received, SessionConfig};

    fn node(node: Node, number: u64) -> Session {
        let incarnation = Incarnation::new(number).unwrap();
        Session::new(Key::from_bytes(&[7; 32]), SessionConfig::new(node, incarnation))
    }

    /// The first copy of what is due.
    fn hello(session: &mut Session) -> Vec<u8> {
        let mut frames = Vec::new();
        session.poll(Instant::from_nanos(1), &mut |_, frame: &[u8]| frames.push(frame.to_vec()));
        frames.swap_remove(0)
    }

    #[test]
    fn a_peer_is_spoken_to_in_the_newest_version_that_both_know() {
        for (theirs, spoken) in [(VERSION_MIN, VERSION_MIN), (VERSION, VERSION), (VERSION + 3, VERSION)] {
            let mut a = node(Node::A, 0xa);
            let mut frame = [0; FRAME_BYTES_MAX];
            let _ = hello(&mut a);
            let head = Head {
                version: VERSION_MIN,
                sender: Node::B,
                stream: Stream::Agent,
                from: 0xb,
                to: 0xa,
                counter: 1,
            };
            let body = Body::Hello(Hello { challenge: 9, answer: 1, wants_reply: true, version_max: theirs });
            let length = frame::write(&a.key, &head, Link::One, &body, &mut frame).unwrap();
            let begun = a.receive(Instant::ZERO, Link::One, &frame[..length]);
            assert!(matches!(begun, Ok(Received::Begun { .. })), "{begun:?}");
            let mut versions = Vec::new();
            a.send(&Message::Resign { epoch: Epoch(1) }, &mut |_, frame: &[u8]| versions.push(frame[2]))
                .unwrap();
            assert_eq!(versions, [spoken, spoken]);
        }
    }

    #[test]
    fn a_challenge_that_was_answered_is_never_asked_again() {
        let (mut a, mut b) = (node(Node::A, 0xa), node(Node::B, 0xb));
        let mut asked = Vec::new();
        for incarnation in 1..20 {
            asked.push(a.challenge);
            let first = hello(&mut b);
            let _ = a.receive(Instant::ZERO, Link::One, &first);
            let second = hello(&mut a);
            let _ = b.receive(Instant::ZERO, Link::One, &second);
            let third = hello(&mut b);
            let begun = a.receive(Instant::ZERO, Link::One, &third).map(|received| format!("{received:?}"));
            assert!(begun.is_ok_and(|begun| begun.starts_with("Begun")), "{incarnation}");
            b = node(Node::B, 0xb + incarnation);
        }
        assert!(asked.windows(2).all(|pair| pair[0] < pair[1]), "{asked:?}");
    }
}
