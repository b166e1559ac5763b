//! What the plan threads of a pair say to each other, by their pair threads.

use agent_plan::fetch::{Fetch, PlanAsk, PlanPart, Taken, parts};
use agent_plan::inbox::{Input, PeerWord, Standing};
use agent_plan::wire::Node;
use agent_plan::{PlanId, Reason, Refusal};
use failover_protocol::Role;
use hal_units::{Duration, Instant};
use tokio::sync::mpsc;

use super::setup::clock;
use super::thread::PlanLoop;

/// A plan that was read from disk for the other node is kept so long for its next ask.
const GIVEN_WITHIN: Duration = Duration::from_secs(2);

/// What the pair thread has to tell.
#[derive(Debug)]
pub(crate) enum PlanNews {
    /// This node is something else now.
    Role(Role),
    /// Whether the peer is heard.
    Near(bool),
    /// What the peer says of its plans.
    Word(PeerWord),
    /// The peer wants a plan.
    Asked(PlanAsk),
    /// A part of a plan that was wanted here.
    Part(PlanPart),
    /// Another run of the peer: it knows nothing of this node's plans.
    Began,
}

/// What the pair thread is to say.
#[derive(Debug)]
pub(crate) enum PlanWord {
    /// How things stand here.
    Stand(PeerWord),
    /// A plan is wanted.
    Ask(PlanAsk),
    /// A part of one that the peer wanted.
    Part(PlanPart),
}

/// The pair thread's ends.
pub(crate) struct PlanSide {
    pub(crate) words: mpsc::Receiver<PlanWord>,
    pub(crate) news: mpsc::Sender<PlanNews>,
}

/// This thread's ends.
pub(super) struct PlanEnds {
    pub(super) words: mpsc::Sender<PlanWord>,
    pub(super) news: mpsc::Receiver<PlanNews>,
}

/// The other node, as this one knows it.
#[derive(Default)]
pub(super) struct Peer {
    near: bool,
    word: Option<PeerWord>,
    pub(super) fetch: Fetch,
    /// The plan that it is being given, and when it asked for it last.
    given: Option<(PlanId, Vec<u8>, Instant)>,
}

impl PlanLoop {
    pub(super) fn tell(&mut self, word: PeerWord) {
        // A pair thread that is behind gets the newest word later.
        if !self.say(PlanWord::Stand(word)) {
            self.untold = Some(word);
        }
    }

    /// Whether the pair thread takes it, or there is none.
    fn say(&self, word: PlanWord) -> bool {
        self.pair.as_ref().is_none_or(|pair| pair.words.try_send(word).is_ok())
    }

    pub(super) fn hear(&mut self, news: PlanNews) {
        match news {
            PlanNews::Role(role) => {
                let active = role == Role::Active;
                self.role = if active { Node::Active } else { Node::Standby };
                self.step(Input::Standing(if active { Standing::Active } else { Standing::Standby }));
                return;
            }
            PlanNews::Asked(ask) => return self.give(ask),
            PlanNews::Part(part) => return self.take_part(&part),
            PlanNews::Near(near) => self.peer.near = near,
            PlanNews::Word(word) => self.peer.word = Some(word),
            PlanNews::Began => {
                self.peer.word = None;
                self.peer.fetch.forget();
                let word = self.inbox.word();
                self.tell(word);
            }
        }
        self.step(Input::Peer(self.peer.word.filter(|_| self.peer.near)));
    }

    /// Asks for what is wanted of the other node. What does not arrive is asked for again.
    pub(super) fn fetch(&mut self, now: Instant) {
        self.peer.given.take_if(|(_, _, at)| now.since(*at) > GIVEN_WITHIN);
        if let Some(ask) = self.peer.fetch.step(now, &self.inbox.wanted()) {
            self.say(PlanWord::Ask(ask));
        }
    }

    /// Gives the other node what it asks for. Only the node that writes gives: what a standby has may be old, and two
    /// nodes that start at the same time would exchange their plans.
    fn give(&mut self, ask: PlanAsk) {
        if self.role != Node::Active {
            return;
        }
        let now = clock().now;
        if self.peer.given.as_ref().is_none_or(|(id, _, _)| *id != ask.id) {
            let stored = self.store.as_ref().and_then(|store| store.plan(ask.id));
            self.peer.given = stored.map(|plan| (ask.id, plan.to_json(), now));
        }
        let Some((_, json, at)) = &mut self.peer.given else {
            self.say(PlanWord::Part(PlanPart::none(ask.id)));
            return;
        };
        *at = now;
        let answer: Vec<PlanPart> = parts(ask, json).collect();
        for part in answer {
            self.say(PlanWord::Part(part));
        }
    }

    fn take_part(&mut self, part: &PlanPart) {
        match self.peer.fetch.take(clock().now, part) {
            Taken::Nothing => {}
            Taken::Ask(ask) => {
                self.say(PlanWord::Ask(ask));
            }
            Taken::Whole(json) => self.take_fetched(part.id, &json),
        }
    }

    /// Takes a plan from the other node as if it were offered here.
    fn take_fetched(&mut self, id: PlanId, json: &[u8]) {
        match self.admit_as(id, json) {
            Ok(offered) => {
                tracing::info!(plan = %id, bytes = json.len(), "plan: fetched from the other node");
                self.offer(offered);
            }
            Err(refusal) => self.count(&refusal),
        }
    }
}

/// The plan is not the one that was asked for.
pub(super) fn other_plan(wanted: PlanId, came: PlanId) -> Refusal {
    Reason::BadDigest.because(format!("the other node was asked for plan {wanted} and gave {came}"))
}
