//! Pairs with a rule taken out, or in a world that breaks an assumption: each must be caught.

use failover_protocol::{CheckedConfig, Rule};
use hal_units::Duration;

use crate::clock::{FAST, SLOW, config};
use crate::explore::{Findings, Limits, explore};
use crate::roots::{Start, root};
use crate::space::{ArbiterKind, Setup, Space};
use crate::world::Budget;

/// One mutant, with the smallest world in which it shows.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// What is wrong, in words.
    pub name: &'static str,
    broken: &'static [Rule],
    short_wait: bool,
    arbiter: ArbiterKind,
    gated: bool,
    supervised: bool,
    start: Start,
    rates: [u8; 2],
    budget: [u8; 3],
    epoch_max: u8,
}

const SOUND: Mutant = Mutant {
    name: "",
    broken: &[],
    short_wait: false,
    arbiter: ArbiterKind::Atomic,
    gated: true,
    supervised: true,
    start: Start::Steady,
    rates: [SLOW, FAST],
    budget: [0, 0, 0],
    epoch_max: 2,
};

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    Mutant { name: "no gate: a late thread writes after its deadline", gated: false, ..SOUND },
    Mutant { name: "lease from the time of receipt", broken: &[Rule::LeaseFromSend], ..SOUND },
    Mutant { name: "a tie wins the claim", broken: &[Rule::TieLoses], start: Start::Boot, ..SOUND },
    Mutant { name: "no wait after a start", broken: &[Rule::InitWait], budget: [1, 0, 0], ..SOUND },
    Mutant { name: "a lapsed lease is revived by an Ack", broken: &[Rule::ArbiterRevives], ..SOUND },
    Mutant {
        name: "Acks before the epoch was read",
        broken: &[Rule::EpochBeforeAck],
        budget: [1, 0, 0],
        ..SOUND
    },
    Mutant {
        name: "Acks for a term that is over",
        broken: &[Rule::OldTermGetsNoAck],
        start: Start::Succeeded,
        budget: [1, 0, 0],
        ..SOUND
    },
    Mutant {
        name: "the arbiter reads before it writes",
        arbiter: ArbiterKind::ReadThenWrite,
        start: Start::Boot,
        ..SOUND
    },
    Mutant { name: "P one tick short", short_wait: true, ..SOUND },
    Mutant { name: "a won claim does not wait", broken: &[Rule::ClaimedWaits], ..SOUND },
    Mutant {
        name: "an Ack does not restart the wait",
        broken: &[Rule::AckRestartsWait],
        start: Start::Probed,
        ..SOUND
    },
    Mutant { name: "Acks while Claimed", broken: &[Rule::ClaimedIsSilent], ..SOUND },
    Mutant { name: "claims without a look at H", broken: &[Rule::MovedRestartsWait], ..SOUND },
    Mutant { name: "renews below a higher slot", broken: &[Rule::RenewalLooksAtSlot], ..SOUND },
    Mutant {
        name: "a resignation of an older term counts",
        broken: &[Rule::ResignIsOfLastTerm],
        start: Start::Returned,
        epoch_max: 4,
        ..SOUND
    },
    Mutant {
        name: "a resignation lifts the wait after a start",
        broken: &[Rule::OwnTermIsOver],
        start: Start::Returned,
        budget: [1, 0, 0],
        epoch_max: 4,
        ..SOUND
    },
    Mutant { name: "no guard after a resignation", broken: &[Rule::ResignGuard], budget: [1, 0, 0], ..SOUND },
    Mutant {
        name: "resigns before the gate is shut",
        broken: &[Rule::ShutBeforeResign],
        budget: [0, 0, 1],
        ..SOUND
    },
    Mutant {
        name: "the supervisor resigns for the dead and leaves the gate open",
        supervised: false,
        budget: [1, 0, 0],
        ..SOUND
    },
];

impl Mutant {
    fn setup(&self) -> Setup {
        let mut times = config();
        if self.short_wait {
            times.takeover_after -= Duration::from_nanos(FAST.into());
        }
        Setup {
            config: CheckedConfig::mutant(times, self.broken),
            arbiter: self.arbiter,
            gated: self.gated,
            supervised: self.supervised,
            places: 1,
            epoch_max: self.epoch_max,
        }
    }

    /// Looks for a violation, from a state that the sound protocol has reached.
    #[must_use]
    pub fn hunt(&self, states_max: usize) -> Findings {
        let sound = Setup { config: CheckedConfig::mutant(config(), &[]), gated: true, ..self.setup() };
        let mut space = Space::new(sound);
        let [crashes, faults, commands] = self.budget;
        let budget = Budget { crashes, faults, commands };
        match root(&mut space, self.start, self.rates, budget) {
            Ok(root) => {
                let mut space = space.with_setup(self.setup());
                explore(&mut space, &[root], Limits { states_max, remember_ways: true })
            }
            Err(violation) => Findings { violation: Some((violation, Vec::new())), ..Findings::default() },
        }
    }
}
