//! The explorations of the sound protocol, and the check that things come to a good end.

use failover_protocol::{CheckedConfig, ConfigError};

use crate::clock::{FAST, SLOW, config};
use crate::explore::{Findings, Limits, explore};
use crate::fair::{Company, SETTLED_AFTER, fair, is_settled};
use crate::roots::{Start, root};
use crate::space::{ArbiterKind, Setup, Space, Violation};
use crate::world::{Budget, World};

/// One exploration.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// What it is about, in words.
    pub name: &'static str,
    arbiter: ArbiterKind,
    starts: &'static [Start],
    budget: Budget,
    places: usize,
    epoch_max: u8,
    /// Start from states along so many random walks as well.
    walks: u64,
}

const fn budget(crashes: u8, faults: u8, commands: u8) -> Budget {
    Budget { crashes, faults, commands }
}

const PAUSES: Run = Run {
    name: "loss, delay, duplication, drift, pauses",
    arbiter: ArbiterKind::Atomic,
    starts: &[Start::Steady, Start::Probed, Start::Succeeded],
    budget: budget(0, 0, 0),
    places: 1,
    epoch_max: 4,
    walks: 0,
};

/// All of them.
pub const RUNS: &[Run] = &[
    Run { name: "both boot", starts: &[Start::Boot], epoch_max: 3, ..PAUSES },
    Run {
        name: "both boot, write then read",
        starts: &[Start::Boot],
        arbiter: ArbiterKind::WriteThenRead,
        epoch_max: 3,
        ..PAUSES
    },
    PAUSES,
    Run { name: "the same, write then read", arbiter: ArbiterKind::WriteThenRead, ..PAUSES },
    Run { name: "reordering: two messages of a kind under way", places: 2, ..PAUSES },
    Run { name: "one crash with amnesia", budget: budget(1, 0, 0), ..PAUSES },
    Run {
        name: "two crashes with amnesia, write then read",
        arbiter: ArbiterKind::WriteThenRead,
        budget: budget(2, 0, 0),
        ..PAUSES
    },
    Run { name: "two transactions without an answer", budget: budget(0, 2, 0), ..PAUSES },
    Run { name: "two switchovers or resignations", budget: budget(0, 0, 2), ..PAUSES },
    Run { name: "pauses, around deep states", walks: WALKS, epoch_max: 9, ..PAUSES },
    Run {
        name: "every fault, around deep states",
        budget: budget(2, 2, 2),
        walks: WALKS,
        epoch_max: 12,
        ..PAUSES
    },
    Run {
        name: "the same, write then read",
        arbiter: ArbiterKind::WriteThenRead,
        budget: budget(2, 2, 2),
        walks: WALKS,
        epoch_max: 12,
        ..PAUSES
    },
    Run {
        name: "late words of old terms, and one of each fault",
        starts: &[Start::Succeeded, Start::Returned],
        budget: budget(1, 1, 1),
        epoch_max: 5,
        ..PAUSES
    },
];

/// How many random walks lead to deep states.
const WALKS: u64 = 400;
/// Steps of a walk.
const WALK_STEPS: usize = 400;
/// After how many steps of a walk its state is one to start from.
const WALK_STRIDE: usize = 40;

/// Goes at random, and notes states on the way.
fn walk(space: &mut Space, start: World, seed: u64, notes: &mut Vec<World>) -> Result<(), Violation> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut actions = Vec::new();
    let mut world = start;
    for step in 1..=WALK_STEPS {
        if space.is_beyond(&world) {
            break;
        }
        space.actions(&world, &mut actions);
        // Faults are rare, so that they are not all spent at once.
        actions.retain(|action| !action.is_fault() || random.u8(..) < 8);
        let Some(action) = random.choice(&actions) else { break };
        world = space.apply(&world, *action)?.world;
        if step.is_multiple_of(WALK_STRIDE) {
            notes.push(world);
        }
    }
    Ok(())
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// What was explored.
    pub findings: Findings,
    /// Different state machines that were met.
    pub cores: usize,
    /// States from which fair time was tried.
    pub tried: usize,
    /// A state from which it did not lead to one Active node.
    pub stuck: Option<Box<World>>,
}

impl Run {
    /// Explores up to `states_max` states and tries fair time from `tries_max` of them.
    ///
    /// # Errors
    /// If the times of the model do not fit together.
    pub fn explore(&self, states_max: usize, tries_max: usize, ways: bool) -> Result<Outcome, ConfigError> {
        let mut space = self.space()?;
        let mut roots = Vec::new();
        for start in self.starts {
            for rates in [[SLOW, FAST], [FAST, SLOW]] {
                match root(&mut space, *start, rates, self.budget) {
                    Ok(world) => roots.push(world),
                    Err(violation) => return Ok(Outcome::broken(violation)),
                }
            }
        }
        for seed in 0..self.walks {
            let start = roots.get(usize::try_from(seed).unwrap_or(0) % roots.len()).copied();
            match start.map(|start| walk(&mut space, start, seed, &mut roots)) {
                Some(Err(violation)) => return Ok(Outcome::broken(violation)),
                Some(Ok(())) | None => {}
            }
        }
        let mut findings = explore(&mut space, &roots, Limits { states_max, remember_ways: ways });
        let sample = core::mem::take(&mut findings.sample);
        let step = (sample.len() / tries_max.max(1)).max(1);
        let mut outcome = Outcome { findings, cores: space.cores(), tried: 0, stuck: None };
        for world in sample.iter().step_by(step) {
            outcome.tried += 1;
            let mut way = Vec::new();
            match fair(&mut space, world, SETTLED_AFTER, Company::All, &mut way) {
                Ok(end) if is_settled(&space, &end) => {}
                Ok(_) => outcome.stuck = Some(Box::new(*world)),
                Err(violation) => {
                    outcome.findings.violation = Some((violation, way));
                    break;
                }
            }
        }
        Ok(outcome)
    }

    fn space(&self) -> Result<Space, ConfigError> {
        let config: CheckedConfig = config().checked()?;
        Ok(Space::new(Setup {
            config,
            arbiter: self.arbiter,
            gated: true,
            supervised: true,
            places: self.places,
            epoch_max: self.epoch_max,
        }))
    }
}

impl Outcome {
    fn broken(violation: Violation) -> Self {
        let findings = Findings { violation: Some((violation, Vec::new())), ..Findings::default() };
        Self { findings, cores: 0, tried: 0, stuck: None }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.findings.violation.is_none() && self.stuck.is_none()
    }
}
