//! One scenario for each row of the failure table, with the production times, in fine time.
//!
//! Times are from the fault to the moment at which the other node's gate opens; its first write follows within
//! a cycle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use failover_model::sim::{Fault, Site, SiteConfig};
use failover_model::space::ArbiterKind;
use failover_protocol::{Alarm, Link, Node, Refusal, ResignReason, Role};
use hal_units::Duration;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// How many seeds each scenario runs with: another phase, other travel times.
const SEEDS: u64 = 200;

/// What a scenario saw after the fault.
struct Seen {
    site: Site,
    /// From the fault to the other node's term; `None` if there was none.
    takeover: Option<Duration>,
}

/// Lets the fault hit a settled pair (A Active, B its standby) and watches for `watch`.
fn after(seed: u64, arbiter: ArbiterKind, fault: Fault, watch: Duration) -> Seen {
    let config = SiteConfig { arbiter, ..SiteConfig::new(seed).unwrap() };
    let mut site = Site::running(config);
    assert_eq!((site.role(Node::A), site.role(Node::B)), (Some(Role::Active), Some(Role::Standby)));
    // Another phase for each seed.
    site.run_for(Duration::from_micros(seed * 137 % 20_000));
    let at = site.now();
    site.inject(fault);
    site.run_for(watch);
    assert_eq!(site.broken(), None, "seed {seed}");
    let takeover = site.began(Node::B).filter(|began| *began >= at).map(|began| began.since(at));
    Seen { site, takeover }
}

/// The shortest and the longest time to the takeover by B, over all seeds and both arbiters.
fn takeover_times(fault: Fault) -> (Duration, Duration) {
    let mut times = Vec::new();
    for seed in 0..SEEDS {
        for arbiter in [ArbiterKind::Atomic, ArbiterKind::WriteThenRead] {
            let seen = after(seed, arbiter, fault, MS(300));
            times.push(seen.takeover.unwrap_or_else(|| panic!("seed {seed}: no takeover after {fault:?}")));
            assert_eq!(seen.site.writer(), Some(Node::B), "seed {seed}");
        }
    }
    let (least, most) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
    println!("{fault:?}: {least:?} to {most:?}");
    (least, most)
}

/// Checks that A goes on writing and B never begins a term.
fn nothing_changes(fault: Fault, check: impl Fn(&Site)) {
    for seed in 0..SEEDS {
        for arbiter in [ArbiterKind::Atomic, ArbiterKind::WriteThenRead] {
            let seen = after(seed, arbiter, fault, MS(400));
            assert_eq!(seen.takeover, None, "seed {seed}");
            assert_eq!(seen.site.writer(), Some(Node::A), "seed {seed}");
            check(&seen.site);
        }
    }
}

#[test]
fn a_crash_hands_over_after_one_transaction() {
    let (_, most) = takeover_times(Fault::Kill(Node::A, None));
    // The word travels for 0.5 ms, then the guard of 2 ms; a claim of up to 4 ms runs beside it. One that has
    // to wait for a poll that is under way takes as long again.
    assert!(most <= Duration::from_micros(8_500), "{most:?}");
}

#[test]
fn a_stopped_process_is_followed_after_its_lease_and_wakes_fenced() {
    let (least, most) = takeover_times(Fault::Stop(Node::A, MS(150)));
    assert!(least > MS(33) && most <= MS(48), "{least:?} to {most:?}");
    let seen = after(7, ArbiterKind::Atomic, Fault::Stop(Node::A, MS(150)), MS(400));
    assert_eq!(seen.site.role(Node::A), Some(Role::Standby));
    assert!(
        seen.site
            .alarms()
            .iter()
            .any(|(node, alarm)| { *node == Node::A && matches!(alarm, Alarm::Deposed { .. }) })
    );
}

#[test]
fn a_control_thread_that_hangs_gives_its_term_up() {
    let (_, most) = takeover_times(Fault::Hang(Node::A, MS(200)));
    assert!(most <= MS(40), "{most:?}");
}

#[test]
fn a_power_loss_is_followed_at_p() {
    let (least, most) = takeover_times(Fault::Power(Node::A, None));
    assert!(least > MS(33) && most <= MS(48), "{least:?} to {most:?}");
}

#[test]
fn one_link_cut_is_an_alarm_and_nothing_else() {
    nothing_changes(Fault::Link(0, MS(300)), |site| {
        assert!(site.alarms().contains(&(Node::B, Alarm::LinkSilent(Link::One))));
    });
}

#[test]
fn with_both_links_cut_the_incumbent_renews_at_the_arbiter_and_stays() {
    nothing_changes(Fault::Links(MS(300)), |site| {
        assert!(!site.alarms().contains(&(Node::A, Alarm::LeaseLapsed)));
    });
}

#[test]
fn a_standby_that_hears_nothing_sees_the_incumbent_at_the_arbiter() {
    nothing_changes(Fault::Deaf(Node::B, MS(300)), |_| ());
}

#[test]
fn an_incumbent_that_hears_nothing_stays() {
    nothing_changes(Fault::Deaf(Node::A, MS(300)), |_| ());
}

#[test]
fn an_active_that_is_cut_from_the_field_resigns() {
    let (_, most) = takeover_times(Fault::Field(Node::A, MS(400)));
    assert!(most <= MS(50), "{most:?}");
    let seen = after(3, ArbiterKind::Atomic, Fault::Field(Node::A, MS(400)), MS(100));
    assert!(seen.site.alarms().iter().any(|(node, alarm)| {
        *node == Node::A && matches!(alarm, Alarm::Resigned { reason: ResignReason::Field, .. })
    }));
}

#[test]
fn a_standby_that_is_cut_from_the_field_changes_nothing() {
    nothing_changes(Fault::Field(Node::B, MS(300)), |_| ());
}

#[test]
fn without_its_standby_the_active_renews_at_the_arbiter() {
    for fault in [Fault::Kill(Node::B, None), Fault::Power(Node::B, None), Fault::Stop(Node::B, MS(300))] {
        nothing_changes(fault, |site| {
            assert!(!site.alarms().contains(&(Node::A, Alarm::LeaseLapsed)));
        });
    }
}

#[test]
fn without_its_arbiter_the_pair_goes_on() {
    nothing_changes(Fault::Arbiter(MS(350)), |site| {
        assert!(site.alarms().contains(&(Node::A, Alarm::ArbiterLost)));
    });
}

#[test]
fn without_arbiter_and_peer_the_lease_lapses_and_the_arbiter_revives_it() {
    for seed in 0..SEEDS {
        let mut site = Site::running(SiteConfig::new(seed).unwrap());
        site.inject(Fault::Arbiter(MS(200)));
        site.inject(Fault::Power(Node::B, None));
        site.run_for(MS(100));
        assert_eq!((site.writer(), site.role(Node::A)), (None, Some(Role::Active)), "seed {seed}");
        site.run_for(MS(150));
        assert_eq!(site.writer(), Some(Node::A), "seed {seed}");
        assert!(site.alarms().contains(&(Node::A, Alarm::LeaseRevived)));
        assert_eq!(site.tally().terms, 1, "the same term goes on");
    }
}

#[test]
fn when_both_boot_one_claim_wins() {
    for seed in 0..SEEDS {
        for arbiter in [ArbiterKind::Atomic, ArbiterKind::WriteThenRead] {
            let mut site = Site::new(SiteConfig { arbiter, ..SiteConfig::new(seed).unwrap() });
            site.start(Node::A);
            site.start(Node::B);
            site.run_for(MS(200));
            assert_eq!(site.broken(), None, "seed {seed}");
            let writer = site.writer().unwrap_or_else(|| panic!("seed {seed}: nobody"));
            assert_eq!(site.role(writer.peer()), Some(Role::Standby), "seed {seed}");
        }
    }
}

#[test]
fn a_node_that_was_started_alone_becomes_active_after_its_wait() {
    let mut site = Site::new(SiteConfig::new(1).unwrap());
    site.start(Node::B);
    site.run_for(MS(39));
    assert_eq!(site.role(Node::B), Some(Role::Standby));
    site.run_for(MS(21));
    assert_eq!((site.role(Node::B), site.writer()), (Some(Role::Active), Some(Node::B)));
}

#[test]
fn an_old_primary_that_returns_does_not_take_back() {
    for seed in 0..SEEDS {
        let mut seen = after(seed, ArbiterKind::Atomic, Fault::Kill(Node::A, Some(MS(20))), MS(500));
        assert_eq!(seen.site.writer(), Some(Node::B), "seed {seed}");
        assert_eq!(seen.site.role(Node::A), Some(Role::Standby), "seed {seed}");
        // With both links cut it finds the incumbent at the arbiter.
        seen.site.inject(Fault::Links(MS(400)));
        seen.site.inject(Fault::Power(Node::A, Some(MS(20))));
        seen.site.run_for(MS(300));
        assert_eq!((seen.site.broken(), seen.site.writer()), (None, Some(Node::B)), "seed {seed}");
    }
}

#[test]
fn a_planned_switchover_costs_no_wait() {
    let (_, most) = takeover_times(Fault::Switchover(Node::A));
    // Up to two cycles until the agreed one is done, its replica and the word on their way, then the claim.
    assert!(most <= MS(31), "{most:?}");
    let seen = after(5, ArbiterKind::Atomic, Fault::Switchover(Node::A), MS(100));
    let differs = |alarm: &(Node, Alarm)| matches!(alarm.1, Alarm::HandoverDiffers { .. });
    assert!(!seen.site.alarms().iter().any(differs), "the hashes match");
}

#[test]
fn switchovers_are_limited_and_failures_are_not() {
    let mut site = Site::running(SiteConfig::new(11).unwrap());
    for _ in 0..8 {
        let Some(writer) = site.writer() else { panic!("nobody writes") };
        site.inject(Fault::Switchover(writer));
        site.run_for(MS(300));
    }
    assert_eq!(site.tally().terms, 7, "three of each node, and the first");
    let writer = site.writer().unwrap();
    assert!(site.alarms().contains(&(writer, Alarm::SwitchoverRefused(Refusal::Flapping))));
    site.inject(Fault::Kill(writer, None));
    site.run_for(MS(60));
    assert_eq!(site.writer(), Some(writer.peer()));
}

#[test]
fn a_quiet_site_stays_as_it_is() {
    let mut site = Site::running(SiteConfig::new(23).unwrap());
    site.run_for(Duration::from_secs(600));
    assert_eq!((site.tally().terms, site.writer()), (1, Some(Node::A)));
    assert_eq!(site.alarms().iter().filter(|(_, alarm)| *alarm == Alarm::LeaseLapsed).count(), 0);
}
