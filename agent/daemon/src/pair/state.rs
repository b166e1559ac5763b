//! The site's state as it travels from the node that writes to the one that follows.

use agent_cycle::{ControlPair, Executed, GroupState, Overrides, PlantState, UnitParameters, UnitState};
use hal_units::{Duration, Instant};
use serde::{Deserialize, Serialize};

use crate::overrides::Condition;

/// States that are repeated per cycle, in turn: the follower's check must not cost it its punctuality.
const VERIFIED_PER_STATE: usize = 8;

/// All groups of a site after a cycle of the first one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SiteState {
    groups: Vec<GroupState>,
}

/// A loop group on its way to the other node, or from it.
pub(crate) struct GroupSide {
    pub(crate) control: ControlPair,
    pub(crate) period: Duration,
    /// The newest beat, and when it came.
    beat: (u64, Instant),
    /// Controller parameters of each unit.
    pub(crate) parameters: Vec<UnitParameters>,
}

/// A group whose beat stands still for so many of its periods does not run.
const STALLED_AFTER_PERIODS: u32 = 3;

impl GroupSide {
    pub(crate) fn new(control: ControlPair, period: Duration, parameters: Vec<UnitParameters>) -> Self {
        Self { control, period, beat: (0, Instant::ZERO), parameters }
    }

    /// Whether the group runs cycles.
    pub(crate) fn is_alive(&mut self, now: Instant) -> bool {
        let beat = self.control.beat();
        if beat != self.beat.0 {
            self.beat = (beat, now);
        }
        beat != 0 && now.since(self.beat.1) < self.period * STALLED_AFTER_PERIODS
    }
}

/// What a follower learns from a state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Learned {
    /// The node that writes has carried out a command.
    Executed(Executed),
    /// Commands that were carried out before this node followed.
    CarriedOut(Vec<Executed>),
    /// An operator's command left something else standing at a unit.
    Overrides { group: usize, unit: usize, overrides: Overrides },
    /// Turbines, by group and unit, operate or have tripped, or do so no more.
    Conditions(Vec<(usize, usize, Condition)>),
}

/// Why a state was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It cannot be read.
    Unreadable,
    /// It is of another site: other groups or other units.
    OtherSite,
}

/// Hash of a state's bytes: FNV-1a, 64 bits. What carries it is authenticated.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Encodes the newest states of all groups, under the number of the first group's cycle.
pub(crate) fn encode(groups: &mut [GroupSide], buffer: &mut Vec<u8>) -> u64 {
    let groups: Vec<_> = groups.iter_mut().map(|group| group.control.state.latest().clone()).collect();
    let cycle = groups.first().map_or(0, |group| group.cycle);
    buffer.clear();
    let taken = std::mem::take(buffer);
    // A vector grows as it must: nothing here can fail.
    *buffer = postcard::to_extend(&SiteState { groups }, taken).unwrap_or_default();
    cycle
}

/// The follower's side: takes states, hands them to its cycles, and checks that they follow from each other.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    last: Option<SiteState>,
    /// The unit whose turn it is to be verified, counted over all groups.
    turn: usize,
    pub(crate) verified: u64,
    pub(crate) diverged: u64,
}

impl Follower {
    /// Takes a state that arrived whole.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        groups: &mut [GroupSide],
    ) -> Result<(u64, Vec<Learned>), Refused> {
        let state: SiteState = postcard::from_bytes(bytes).map_err(|_| Refused::Unreadable)?;
        let same_site = state.groups.len() == groups.len()
            && state.groups.iter().zip(groups.iter()).all(|(s, g)| s.units.len() == g.parameters.len());
        if !same_site {
            return Err(Refused::OtherSite);
        }
        for (state, group) in state.groups.iter().zip(groups.iter_mut()) {
            group.control.peer.publish_with(|peer| peer.copy_from(state));
        }
        self.verify(&state, groups);
        let learned = self.learn(&state);
        let cycle = state.groups.first().map_or(0, |group| group.cycle);
        self.last = Some(state);
        Ok((cycle, learned))
    }

    /// The newest cycle of the peer whose state was taken; 0 for none.
    pub(crate) fn cycle(&self) -> u64 {
        self.last.as_ref().and_then(|last| last.groups.first()).map_or(0, |group| group.cycle)
    }

    /// Forgets the last state: what comes next does not follow from it.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    fn verify(&mut self, state: &SiteState, groups: &[GroupSide]) {
        let Some(last) = &self.last else { return };
        let mut position = 0;
        let total: usize = groups.iter().map(|group| group.parameters.len()).sum();
        for ((now, before), group) in state.groups.iter().zip(&last.groups).zip(groups) {
            for ((now_unit, before_unit), parameters) in
                now.units.iter().zip(&before.units).zip(&group.parameters)
            {
                let due = (self.turn..self.turn + VERIFIED_PER_STATE).contains(&position);
                position += 1;
                // Only neighbours: between others lies more than one step.
                if !due || now.cycle != before.cycle + 1 {
                    continue;
                }
                if now_unit.follows(before_unit, parameters, now.dt) {
                    self.verified += 1;
                } else {
                    self.diverged += 1;
                }
            }
        }
        self.turn = if self.turn + VERIFIED_PER_STATE < total { self.turn + VERIFIED_PER_STATE } else { 0 };
    }

    fn learn(&self, state: &SiteState) -> Vec<Learned> {
        let mut learned = Vec::new();
        let mut conditions = Vec::new();
        for (at, now) in state.groups.iter().enumerate() {
            let before = self.last.as_ref().and_then(|last| last.groups.get(at));
            let known = before.map(|group| group.executed).unwrap_or_default();
            let new = now.executed.iter().filter(|one| one.token != 0 && !known.contains(one));
            learned.extend(new.map(|executed| Learned::Executed(*executed)));
            for (unit, state) in now.units.iter().enumerate() {
                let before = before.and_then(|group| group.units.get(unit));
                if before.map(|unit| unit.overrides) != Some(state.overrides) {
                    learned.push(Learned::Overrides { group: at, unit, overrides: state.overrides });
                }
                let condition = condition(state);
                if let Some(condition) = condition.filter(|_| before.and_then(self::condition) != condition) {
                    conditions.push((at, unit, condition));
                }
            }
        }
        learned.extend((!conditions.is_empty()).then_some(Learned::Conditions(conditions)));
        learned
    }
}

/// The condition of a turbine.
fn condition(state: &UnitState) -> Option<Condition> {
    match &state.plant {
        PlantState::Turbine(turbine) => Some(Condition {
            tripped: !turbine.controller.interlock.trips().is_empty(),
            operating: turbine.controller.operating,
            twist_lost: turbine.controller.cables.is_lost(),
        }),
        PlantState::Vehicle(_) | PlantState::Der(_) | PlantState::Park(_) => None,
    }
}
