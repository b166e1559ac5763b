//! The exploration and the simulation themselves: they find what they must, and hold what they must.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use failover_model::explore::{Limits, explore};
use failover_model::mutants::MUTANTS;
use failover_model::roots::{Start, root};
use failover_model::runs::RUNS;
use failover_model::sim::campaign;
use failover_model::space::{ArbiterKind, Setup, Space};
use failover_model::world::{Budget, World};
use failover_protocol::{CheckedConfig, PairConfig, Rule};
use hal_units::Duration;

#[test]
fn the_times_of_the_model_are_as_tight_as_the_proof_allows() {
    let config = failover_model::clock::config();
    assert!(config.checked().is_ok());
    assert_eq!(config.takeover_after, config.takeover_needed());
}

#[test]
fn every_run_holds_and_comes_to_a_good_end() {
    for run in RUNS {
        let outcome = run.explore(3_000, 20, true).unwrap();
        assert!(outcome.is_good(), "{}: {:?}", run.name, outcome.findings.violation);
        assert!(outcome.findings.states >= 3_000 && outcome.tried >= 20, "{}", run.name);
    }
}

#[test]
fn an_exploration_ends_when_there_is_nothing_new() {
    let setup = Setup {
        config: failover_model::clock::config().checked().unwrap(),
        arbiter: ArbiterKind::Atomic,
        gated: true,
        supervised: true,
        places: 1,
        epoch_max: 0,
    };
    let mut space = Space::new(setup);
    let budget = Budget { crashes: 0, faults: 0, commands: 0 };
    let boot = root(&mut space, Start::Boot, [10, 15], budget).unwrap();
    let found = explore(&mut space, &[boot], Limits { states_max: 1_000_000, remember_ways: false });
    assert!(found.complete && found.violation.is_none());
    // Up to the first claim little can happen.
    assert!(found.states > 1_000 && found.states < 100_000, "{}", found.states);
}

#[test]
fn an_epoch_belongs_to_who_won_it() {
    use failover_protocol::Node;
    let mut world = World::new([10, 15], Budget { crashes: 0, faults: 0, commands: 0 });
    assert!(world.owns(Node::A, 3) && world.owns(Node::A, 3) && world.owns(Node::B, 4));
    assert!(!world.owns(Node::B, 3));
}

#[test]
fn a_mutant_that_shows_at_once_is_caught_with_the_way_to_it() {
    let mutant = MUTANTS.iter().find(|mutant| mutant.name.starts_with("no guard")).unwrap();
    let (_, way) = mutant.hunt(100_000).violation.unwrap();
    assert!(!way.is_empty() && way.len() < 8, "{way:?}");
}

/// Checks that random faults in fine time find a pair without the rules.
fn the_simulation_catches(broken: &[Rule], change: impl FnOnce(&mut PairConfig)) {
    let mut times = PairConfig::default();
    change(&mut times);
    let report = campaign(CheckedConfig::mutant(times, broken), 100_000, 1);
    assert!(report.broken.is_some(), "{broken:?} was not found in {} faults", report.tally.faults);
}

#[test]
fn the_simulation_finds_what_lacks_a_rule_as_well() {
    the_simulation_catches(&[Rule::LeaseFromSend], |_| ());
    the_simulation_catches(&[Rule::TieLoses], |_| ());
    the_simulation_catches(&[Rule::MovedRestartsWait], |_| ());
    the_simulation_catches(&[Rule::ClaimedWaits], |_| ());
    the_simulation_catches(&[Rule::AckRestartsWait], claim_soon);
    the_simulation_catches(&[Rule::RenewalLooksAtSlot], |_| ());
    the_simulation_catches(&[Rule::ResignIsOfLastTerm], |_| ());
    the_simulation_catches(&[Rule::ShutBeforeResign], |_| ());
    the_simulation_catches(&[], |times| {
        claim_soon(times);
        times.takeover_after = Duration::from_millis(24);
    });
}

/// What does not wait for long enough shows only where the silence before a claim does not wait for it.
fn claim_soon(times: &mut PairConfig) {
    (times.claim_after, times.probe_after) = (Duration::from_millis(20), Duration::from_millis(15));
}

#[test]
fn the_sound_pair_bears_random_faults() {
    let report = campaign(PairConfig::default().checked().unwrap(), 50_000, 1);
    assert_eq!(report.broken, None);
    assert!(report.tally.terms > 1_000 && report.tally.writes > 10_000, "{:?}", report.tally);
}

#[test]
fn seed_100488_a_claim_made_again_moves_nothing_and_starts_no_lease() {
    let sound = campaign(PairConfig::default().checked().unwrap(), 1000, 100_488);
    assert_eq!(sound.broken, None);
}
