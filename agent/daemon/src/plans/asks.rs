//! What is asked on the socket, and the answers.

use agent_cycle::Source;
use agent_plan::document::SignedPlan;
use agent_plan::inbox::{Input, Offer};
use agent_plan::wire::{Answer, Ask, Node, Stage, Verdict};
use agent_plan::{CheckedPlan, PlanId, Reason, Refusal};
use hal_units::{Duration, Instant};
use tokio::sync::oneshot;

use super::peer::other_plan;
use super::setup::clock;
use super::tables::KnownPlan;
use super::thread::PlanLoop;

/// How long an offer waits for an activation that is under way.
const OFFER_PATIENCE: Duration = Duration::from_secs(3);
/// Offers that wait so.
const PATIENT_MAX: usize = 16;

/// An offer that waits until another activation is over.
pub(super) struct Patient {
    pub(super) offer: Offer,
    plan: KnownPlan,
    signed: SignedPlan,
    reply: oneshot::Sender<Answer>,
    until: Instant,
}

impl PlanLoop {
    pub(super) fn asked(&mut self, ask: Ask, reply: oneshot::Sender<Answer>) {
        let answer = match ask {
            Ask::Status => Answer::Status(Box::new(self.status(clock()))),
            Ask::CentreSeen => {
                self.seen.note(Source::Centre, clock().now);
                Answer::Done
            }
            Ask::Plan(id) => {
                let stored = self.store.as_ref().and_then(|store| store.plan(id));
                Answer::Plan(stored.map(|plan| plan.to_json()).unwrap_or_default())
            }
            // A node that only follows knows the vehicles by hearsay.
            Ask::Fleet => Answer::Fleet(self.fleet.filter(|_| self.role != Node::Standby)),
            Ask::Rollback(ask) => {
                self.step(Input::GiveUp { epoch: ask.epoch });
                Answer::Verdict(self.take_verdict())
            }
            Ask::Offer(json) => match self.admit(&json) {
                Ok((signed, plan, offer)) => {
                    let until = clock().now + OFFER_PATIENCE;
                    self.offer(Patient { offer, plan, signed, reply, until });
                    return;
                }
                Err(refusal) => {
                    self.count(&refusal);
                    Answer::Verdict(Verdict::Refused { refusal })
                }
            },
        };
        // Whoever asked may have left.
        let _ = reply.send(answer);
    }

    /// Verifies a plan that nobody waits to hear of, and that must be this one.
    pub(super) fn admit_as(&self, id: PlanId, json: &[u8]) -> Result<Patient, Refusal> {
        let (signed, plan, offer) = self.admit(json)?;
        if offer.id != id {
            return Err(other_plan(id, offer.id));
        }
        let (reply, _) = oneshot::channel();
        Ok(Patient { offer, plan, signed, reply, until: clock().now })
    }

    /// Verifies a plan and checks it against the site.
    fn admit(&self, json: &[u8]) -> Result<(SignedPlan, KnownPlan, Offer), Refusal> {
        let signed = SignedPlan::from_json(json)?;
        self.keys.verify(&signed)?;
        let plan = CheckedPlan::of(&signed.plan)?;
        plan.fit(&self.facts)?;
        let offer = Offer::from(&plan);
        Ok((signed, KnownPlan::signed(plan), offer))
    }

    pub(super) fn offer(&mut self, patient: Patient) {
        let Patient { offer, plan, signed, reply, until } = patient;
        if self.plan(offer.id).is_none() {
            self.known.push(plan.clone());
        }
        self.offered = Some(signed.clone());
        self.step(Input::Offered(offer));
        self.offered = None;
        let is_busy =
            matches!(&self.answer, Some(Verdict::Refused { refusal }) if refusal.reason == Reason::Busy);
        if is_busy && clock().now < until && self.patient.len() < PATIENT_MAX {
            self.answer = None;
            self.patient.push_back(Patient { offer, plan, signed, reply, until });
            return;
        }
        let answer = self.taken_answer();
        let _ = reply.send(answer);
    }

    pub(super) fn try_patient(&mut self) {
        for _ in 0..self.patient.len() {
            if let Some(patient) = self.patient.pop_front() {
                self.offer(patient);
            }
        }
    }

    pub(super) fn note_answer(&mut self, answer: Result<(PlanId, Stage), Refusal>) {
        self.answer = Some(match answer {
            Ok((id, stage)) => Verdict::Taken { id, stage },
            Err(refusal) => Verdict::Refused { refusal },
        });
    }

    /// The inbox's answer to what was asked just now.
    fn take_verdict(&mut self) -> Verdict {
        self.answer.take().unwrap_or(Verdict::Refused {
            refusal: Reason::NotStored.because("the agent has no answer; please report this"),
        })
    }

    /// The answer to an offer.
    fn taken_answer(&mut self) -> Answer {
        let verdict = self.take_verdict();
        if let Verdict::Refused { refusal } = &verdict {
            self.count(refusal);
        }
        Answer::Verdict(verdict)
    }

    pub(super) fn count(&mut self, refusal: &Refusal) {
        tracing::warn!(%refusal, "a plan was refused");
        *self.refused.entry(refusal.reason.as_str().to_owned()).or_insert(0) += 1;
        self.last_refusal = Some(refusal.clone());
    }
}
