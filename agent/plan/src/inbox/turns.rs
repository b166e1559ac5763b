//! What the inbox does with each input.

use hal_units::{Duration, Instant};

use super::{
    AHEAD, ARMED_BEFORE, Clock, GivenUp, Inbox, Offer, Output, PEER_HOLDS_WITHIN, PeerWord, Standing,
    TAKEN_WITHIN, Trial, Waiting,
};
use crate::PlanId;
use crate::document::{Boundary, IfMissed};
use crate::refusal::{Reason, Refusal};
use crate::wire::Stage;

impl Inbox {
    pub(super) fn offered(&mut self, clock: Clock, offer: Offer, out: &mut Vec<Output>) {
        let comes_anew = self.lacks(offer.id) || self.gave_way(offer.id);
        if let Some(stage) = self.stage_of(offer.id).filter(|_| !comes_anew) {
            out.push(Output::Answer(Ok((offer.id, stage))));
            return;
        }
        match self.refusal_of(clock, &offer) {
            Some(refusal) => out.push(Output::Answer(Err(refusal))),
            None => {
                self.storing = Some(offer);
                out.push(Output::Store(offer.id));
            }
        }
    }

    /// Whether the other node leads by this plan, or will, and it is not on disk here, whatever was before.
    pub(super) fn lacks(&self, id: PlanId) -> bool {
        let leads = self.leader().is_some_and(|peer| peer.has(id));
        let is_here = self.good == id
            || self.staged.is_some_and(|waiting| waiting.offer.id == id)
            || self.interrupted.is_some_and(|offer| offer.id == id)
            || self.trial.as_ref().is_some_and(|trial| trial.id == id);
        leads && !is_here
    }

    /// Whether the plan was staged here and had to make room for an older one by which the other node led.
    fn gave_way(&self, id: PlanId) -> bool {
        let is_superseded = |given_up: &GivenUp| given_up.id == id && given_up.stage == Stage::Superseded;
        id == self.highest
            && id.epoch > self.in_force.epoch
            && self.given_up.as_ref().is_some_and(is_superseded)
    }

    fn refusal_of(&self, clock: Clock, offer: &Offer) -> Option<Refusal> {
        let (id, highest) = (offer.id, self.highest);
        // A node that lacks what the other one leads by is given that, whatever came before.
        let peer_has = self.leader().is_some_and(|peer| peer.has(id));
        if id.epoch == highest.epoch && id.digest != highest.digest && !peer_has {
            return Some(
                Reason::ConflictingEpoch
                    .because(format!("plan {highest} has this epoch already; give yours a higher one")),
            );
        }
        if id.epoch <= highest.epoch && !peer_has && !self.gave_way(id) {
            return Some(
                Reason::ReplayedEpoch.because(format!("plan {highest} came before; epochs only grow")),
            );
        }
        if let Some(peer) = self.leader().filter(|peer| peer.is_past(id)) {
            return Some(
                Reason::ReplayedEpoch
                    .because(format!("plan {} came before at the active node", peer.highest)),
            );
        }
        // What the other node leads by was activated in time.
        let is_led = self.is_led(id);
        if let Some(at) = offer.expires_at.filter(|at| !is_led && clock.wall > *at) {
            return Some(expired(at));
        }
        self.is_changing_over().then(busy)
    }

    /// Whether the other node decides and its cycles run the plan, or have kept it.
    fn is_led(&self, id: PlanId) -> bool {
        self.leader().is_some_and(|peer| peer.in_force == id || peer.good == id)
    }

    /// What the node that decides says, if it is the other one.
    pub(super) fn leader(&self) -> Option<PeerWord> {
        self.peer.filter(|_| !self.standing.decides())
    }

    /// The cycles were told to change over, and have not done so yet.
    fn is_changing_over(&self) -> bool {
        self.staged.is_some_and(|waiting| waiting.told.is_some())
    }

    pub(super) fn stored(&mut self, clock: Clock, id: PlanId, done: bool, out: &mut Vec<Output>) {
        let Some(offer) = self.storing.take_if(|offer| offer.id == id) else { return };
        if !done {
            let refusal = Reason::NotStored.because("the disk did not take it; the agent's log says why");
            out.push(Output::Answer(Err(refusal)));
            return;
        }
        if id.epoch >= self.highest.epoch {
            self.highest = id;
        }
        if let Some(before) = self.staged.take() {
            self.note_superseded(before.offer.id);
        }
        if let Some(before) = self.interrupted.take() {
            self.note_superseded(before.id);
        }
        if self.in_force == id {
            // The other node has led the cycles into it before.
            self.begin_trial(clock, offer, out);
            out.push(Output::Answer(Ok((id, Stage::Soaking))));
            return;
        }
        let is_led = self.is_led(id);
        self.staged = Some(Waiting { offer, since: clock.now, is_led, told: None });
        out.push(Output::Ready(id));
        out.push(Output::Answer(Ok((id, Stage::Staged))));
    }

    /// Gives a plan up, also on disk.
    fn forget(&mut self, id: PlanId, stage: Stage, refusal: Refusal, out: &mut Vec<Output>) {
        let given_up = GivenUp { id, stage, refusal };
        self.given_up = Some(given_up.clone());
        out.push(Output::Forget(given_up));
    }

    fn note_superseded(&mut self, id: PlanId) {
        let refusal = Reason::Superseded.because("a newer plan came");
        self.given_up = Some(GivenUp { id, stage: Stage::Superseded, refusal });
    }

    pub(super) fn activated(&mut self, clock: Clock, id: PlanId, out: &mut Vec<Output>) {
        if self.in_force == id {
            return;
        }
        let offer = match self.staged.take_if(|waiting| waiting.offer.id == id) {
            Some(waiting) => Some(waiting.offer),
            None => self.interrupted.take_if(|offer| offer.id == id),
        };
        self.in_force = id;
        self.returning = None;
        if let Some(offer) = offer {
            self.begin_trial(clock, offer, out);
            if self.standing.decides() {
                out.push(Output::GiveOrders(id));
            }
        } else if id == self.good
            && let Some(trial) = self.trial.take()
        {
            let refusal = trial.back.map_or_else(
                || Reason::FailedSoak.because("the active node went back to the last known good plan"),
                |(refusal, _)| refusal,
            );
            self.rollbacks += 1;
            self.forget(trial.id, Stage::RolledBack, refusal, out);
        } else if id != self.good {
            // Led to by a node that does not have the last known good plan of this one.
            out.push(Output::ReadyBack(self.good));
        }
    }

    fn begin_trial(&mut self, clock: Clock, offer: Offer, out: &mut Vec<Output>) {
        self.activations += 1;
        if let Some(before) = self.trial.take() {
            self.note_superseded(before.id);
        }
        self.trial = Some(Trial { id: offer.id, until: clock.now + offer.soak, back: None });
        out.push(Output::BeginTrial(offer.id));
        out.push(Output::ReadyBack(self.good));
    }

    pub(super) fn local(&mut self, id: PlanId, out: &mut Vec<Output>) {
        let beaten = [
            self.staged.take().map(|waiting| waiting.offer.id),
            self.trial.take().map(|trial| trial.id),
            self.interrupted.take().map(|offer| offer.id),
        ];
        for beaten in beaten.into_iter().flatten() {
            let refusal = Reason::Superseded.because("the operator of the node gave it another plan");
            self.forget(beaten, Stage::Superseded, refusal, out);
        }
        (self.in_force, self.good, self.highest) = (id, id, self.highest.max(id));
    }

    pub(super) fn stands(&mut self, standing: Standing) {
        self.standing = standing;
        self.returning = None;
        // Whoever decides now picks a cycle of its own; if one was agreed before, the cycles keep to it.
        if let Some(waiting) = &mut self.staged {
            waiting.told = None;
        }
    }

    /// Gives up the plan on trial: the last known good one runs from the next boundary on.
    pub(super) fn go_back(&mut self, clock: Clock, refusal: Refusal, out: &mut Vec<Output>) {
        if !self.standing.decides() {
            return;
        }
        let good = self.good;
        if let Some(trial) = self.trial.as_mut().filter(|trial| trial.back.is_none()) {
            let at = clock.now + AHEAD;
            trial.back = Some((refusal, at));
            out.push(Output::ChangeOver { id: good, at, boundary: Boundary::Cycle });
        }
    }

    pub(super) fn give_up(&mut self, clock: Clock, epoch: u32, out: &mut Vec<Output>) {
        let asked = || Reason::Asked.because("somebody asked for it");
        let answer = if let Some(waiting) = self.staged.filter(|waiting| waiting.offer.id.epoch == epoch) {
            if self.is_changing_over() {
                Err(busy())
            } else {
                self.drop_staged(asked(), out);
                Ok((waiting.offer.id, Stage::Dropped))
            }
        } else if let Some(id) = self.trial.as_ref().map(|trial| trial.id).filter(|id| id.epoch == epoch) {
            self.go_back(clock, asked(), out);
            Ok((id, self.stage_of(id).unwrap_or(Stage::Soaking)))
        } else if self.good.epoch == epoch {
            Err(Reason::Unsupported
                .because("this is the last known good plan; publish another one with a higher epoch"))
        } else if let Some(given_up) = self.given_up.as_ref().filter(|given_up| given_up.id.epoch == epoch) {
            Ok((given_up.id, given_up.stage))
        } else {
            Err(Reason::UnknownName.because(format!("no plan with the epoch {epoch} is here")))
        };
        out.push(Output::Answer(answer));
    }

    fn drop_staged(&mut self, refusal: Refusal, out: &mut Vec<Output>) {
        if let Some(waiting) = self.staged.take() {
            self.forget(waiting.offer.id, Stage::Dropped, refusal, out);
        }
    }

    /// What is due by now.
    pub(super) fn turn(&mut self, clock: Clock, out: &mut Vec<Output>) {
        if self.standing.decides() {
            self.settle_interrupted(clock, out);
            self.end_soak(clock, out);
            self.return_to_good(clock, out);
            self.activate(clock, out);
        } else {
            self.follow(out);
        }
    }

    /// A plan that was on trial when the process ended is given up, unless the other node has kept it.
    fn settle_interrupted(&mut self, clock: Clock, out: &mut Vec<Output>) {
        let Some(offer) = self.interrupted.take() else { return };
        if self.peer.is_some_and(|peer| peer.good == offer.id) {
            self.staged = Some(Waiting { offer, since: clock.now, is_led: true, told: None });
            return;
        }
        let refusal = Reason::Interrupted.because("the agent ended while the plan was on trial");
        self.rollbacks += 1;
        self.forget(offer.id, Stage::RolledBack, refusal, out);
    }

    fn end_soak(&mut self, clock: Clock, out: &mut Vec<Output>) {
        let (good, changing) = (self.good, self.is_changing_over());
        match &mut self.trial {
            Some(Trial { back: Some((_, at)), .. }) if clock.now > *at + TAKEN_WITHIN => {
                *at = clock.now + AHEAD;
                out.push(Output::ReadyBack(good));
                out.push(Output::ChangeOver { id: good, at: *at, boundary: Boundary::Cycle });
            }
            Some(Trial { id, until, back: None }) if clock.now >= *until && !changing => {
                let id = *id;
                self.promote(id, out);
            }
            Some(_) | None => {}
        }
    }

    /// A node that decides runs its last known good plan, if none is on trial.
    fn return_to_good(&mut self, clock: Clock, out: &mut Vec<Output>) {
        let is_told = self.returning.is_some_and(|at| clock.now <= at + TAKEN_WITHIN);
        if self.trial.is_some() || self.in_force == self.good || self.is_changing_over() || is_told {
            return;
        }
        let at = clock.now + AHEAD;
        self.returning = Some(at);
        out.push(Output::ReadyBack(self.good));
        out.push(Output::ChangeOver { id: self.good, at, boundary: Boundary::Cycle });
    }

    fn promote(&mut self, id: PlanId, out: &mut Vec<Output>) {
        self.trial = None;
        self.good = id;
        out.push(Output::Promote(id));
    }

    /// The node that decides: is it time for what is staged?
    fn activate(&mut self, clock: Clock, out: &mut Vec<Output>) {
        let Some(waiting) = self.staged else { return };
        let offer = waiting.offer;
        // While the cycles go back they are not sent forth.
        if self.trial.as_ref().is_some_and(|trial| trial.back.is_some()) || self.returning.is_some() {
            return;
        }
        if let Some(told) = waiting.told {
            if clock.now > told + TAKEN_WITHIN {
                out.push(Output::Ready(offer.id));
                self.change_over(clock, Duration::ZERO, out);
            }
            return;
        }
        if let Some(at) = offer.expires_at.filter(|at| !waiting.is_led && clock.wall > *at) {
            self.drop_staged(expired(at), out);
            return;
        }
        let ahead = offer.activation.not_before.map_or(0, |at| at.millis_since(clock.wall));
        let ahead = Duration::from_millis(ahead);
        if ahead > ARMED_BEFORE {
            return;
        }
        let late = offer.activation.not_before.map_or(0, |at| clock.wall.millis_since(at));
        if !waiting.is_led
            && Duration::from_millis(late) > offer.activation.grace
            && offer.activation.if_missed == IfMissed::Skip
        {
            let what = format!("it was to be activated {late} ms ago, and is to be skipped then");
            self.drop_staged(Reason::Missed.because(what), out);
            return;
        }
        let peer_lacks =
            self.peer.is_some_and(|peer| ![Some(peer.in_force), peer.staged].contains(&Some(offer.id)));
        if peer_lacks && clock.now.since(waiting.since) < PEER_HOLDS_WITHIN {
            return;
        }
        out.push(Output::NoteTrial(offer.id));
        self.change_over(clock, ahead, out);
    }

    fn change_over(&mut self, clock: Clock, ahead: Duration, out: &mut Vec<Output>) {
        let Some(waiting) = &mut self.staged else { return };
        let at: Instant = clock.now + ahead.max(AHEAD);
        waiting.told = Some(at);
        let (id, boundary) = (waiting.offer.id, waiting.offer.activation.boundary);
        out.push(Output::ChangeOver { id, at, boundary });
    }

    /// The standby: what has the other node made of the plans that are here?
    fn follow(&mut self, out: &mut Vec<Output>) {
        let Some(peer) = self.peer else { return };
        if let Some(waiting) = &mut self.staged {
            waiting.is_led |= peer.in_force == waiting.offer.id;
        }
        if let Some(id) = self.trial.as_ref().map(|trial| trial.id).filter(|id| *id == peer.good) {
            self.promote(id, out);
        }
        let gone = || Reason::Asked.because("the active node gave it up, or has a newer one");
        if self.staged.is_some_and(|waiting| peer.is_past(waiting.offer.id)) {
            self.drop_staged(gone(), out);
        }
        if let Some(offer) = self.interrupted.take_if(|offer| peer.is_past(offer.id)) {
            self.forget(offer.id, Stage::RolledBack, gone(), out);
        }
    }
}

fn busy() -> Refusal {
    Reason::Busy.because("a plan is being activated at this moment; try again")
}

fn expired(at: crate::document::UtcTime) -> Refusal {
    Reason::Expired.because(format!("it was to be activated until {at}"))
}
