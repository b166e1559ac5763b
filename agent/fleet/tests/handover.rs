//! A node that takes over goes on from all that vehicles were told, or says that it cannot.

use agent_fleet::handover::{ALONE_AFTER, Following, GO_ON_WITHIN, Leading, Mark, with_echo};
use hal_units::{Duration, Instant};
use proptest::prelude::*;

const EPOCH: u16 = 7;
const RHYTHM: Duration = Duration::from_millis(20);

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn mark(step: u64) -> Mark {
    Mark::new(EPOCH, step)
}

fn leading() -> Leading {
    let mut leading = Leading::default();
    leading.begin(EPOCH);
    leading
}

fn bare_state(echo: Option<Mark>) -> Vec<u8> {
    with_echo(b"state".to_vec(), echo)
}

#[test]
fn a_state_whose_echo_came_in_time_is_gone_on_from() {
    let mut following = Following::default();
    assert!(following.take(at(0), mark(1), bare_state(None)));
    assert!(following.take(at(20), mark(2), bare_state(Some(mark(1)))));
    assert_eq!(following.newest(at(1000)), Some((b"state".to_vec(), true)));
}

#[test]
fn a_state_without_an_echo_is_not_sure() {
    let mut following = Following::default();
    following.take(at(0), mark(1), bare_state(None));
    following.take(at(20), mark(2), bare_state(None));
    assert_eq!(following.newest(at(30)), Some((b"state".to_vec(), false)));
}

#[test]
fn a_state_that_lay_in_a_queue_is_as_old_as_the_word_that_it_echoes() {
    let mut following = Following::default();
    following.take(at(0), mark(1), bare_state(None));
    // The node was not scheduled for a while; the state had long been there.
    following.take(at(1900), mark(2), bare_state(Some(mark(1))));
    assert_eq!(following.newest(at(1901)), Some((b"state".to_vec(), false)));
}

#[test]
fn an_echo_of_what_another_run_has_said_promises_nothing() {
    let mut following = Following::default();
    following.take(at(0), mark(9), bare_state(Some(mark(8))));
    following.take(at(20), mark(10), bare_state(Some(mark(8))));
    assert_eq!(following.newest(at(30)), Some((b"state".to_vec(), false)));
}

#[test]
fn a_new_term_is_newer_though_its_steps_begin_anew_and_needs_an_echo_of_its_own() {
    let mut following = Following::default();
    following.take(at(0), mark(900), bare_state(None));
    following.take(at(20), mark(901), bare_state(Some(mark(900))));
    assert!(following.take(at(40), Mark::new(EPOCH + 1, 1), bare_state(None)));
    assert!(!following.take(at(50), mark(902), bare_state(Some(mark(901)))), "a late one of the old term");
    assert_eq!(following.newest(at(60)), Some((b"state".to_vec(), false)));
}

#[test]
fn words_about_states_of_an_earlier_term_hold_nothing() {
    let mut leading = leading();
    leading.heard(at(0), Mark::new(EPOCH - 1, 5000));
    assert!(!leading.may_leave(at(1), mark(1), at(0), true));
    assert_eq!(leading.echo(), None);
}

#[test]
fn a_node_whose_peer_is_gone_goes_on_alone_after_a_while() {
    let mut leading = leading();
    leading.heard(at(0), mark(1));
    assert!(!leading.may_leave(at(1900), mark(2), at(20), false));
    assert!(leading.may_leave(at(2001), mark(2), at(20), false));
}

#[test]
fn a_state_too_short_for_an_echo_is_refused() {
    assert!(!Following::default().take(at(0), mark(1), b"short".to_vec()));
}

/// What is under way to somebody, in order of arrival; a stall of the reader lets all wait.
struct Way<T>(Vec<(Instant, T)>);

impl<T> Way<T> {
    fn send(&mut self, arrives: Instant, what: T) {
        self.0.push((arrives, what));
    }

    fn arrived(&mut self, now: Instant) -> Vec<T> {
        let (there, under_way) = std::mem::take(&mut self.0).into_iter().partition(|(at, _)| *at <= now);
        self.0 = under_way;
        let there: Vec<(Instant, T)> = there;
        there.into_iter().map(|(_, what)| what).collect()
    }
}

/// What goes wrong in one step: how long a state and a word are under way, whether each is lost, whether each node is
/// scheduled, whether the peer seems near.
#[derive(Debug, Clone)]
struct Hap {
    delays: [u64; 2],
    lost: [bool; 2],
    awake: [bool; 2],
    near: bool,
}

fn haps() -> impl Strategy<Value = Vec<Hap>> {
    let delay = || prop_oneof![6 => 0_u64..20, 2 => 20_u64..400, 1 => 400_u64..4000];
    let hap = (
        [delay(), delay()],
        [prop::bool::weighted(0.1), prop::bool::weighted(0.1)],
        prop::bool::weighted(0.9),
    )
        .prop_map(|(delays, lost, near)| Hap { delays, lost, awake: [true; 2], near });
    // Spells of one kind: a node is not scheduled, a way is cut.
    let spell = (hap, 1_usize..150, any::<[bool; 4]>(), prop::bool::weighted(0.3)).prop_map(
        |(hap, length, [a, b, c, d], bad)| {
            let spell = Hap { lost: [a, b], awake: [c, d], ..hap.clone() };
            vec![if bad { spell } else { hap }; length]
        },
    );
    prop::collection::vec(spell, 1..12).prop_map(|spells| spells.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whoever_surely_goes_on_knows_all_that_has_left(haps in haps()) {
        let (mut leading, mut following) = (leading(), Following::default());
        let (mut states, mut words) = (Way(Vec::new()), Way(Vec::new()));
        let mut pending: Vec<(u64, Instant)> = Vec::new();
        let mut left = 0;
        for (step, hap) in (1_u64..).zip(&haps) {
            let now = Instant::ZERO + RHYTHM * u32::try_from(step).unwrap();
            let [state_delay, word_delay] = hap.delays.map(Duration::from_millis);
            if hap.awake[0] {
                words.arrived(now).into_iter().for_each(|word| leading.heard(now, word));
                pending.push((step, now));
                if !hap.lost[0] {
                    let bytes = with_echo(step.to_le_bytes().to_vec(), leading.echo());
                    states.send(now + state_delay, (mark(step), bytes));
                }
                pending.retain(|(step, since)| {
                    let leaves = leading.may_leave(now, mark(*step), *since, hap.near);
                    left = if leaves { left.max(*step) } else { left };
                    !leaves
                });
            }
            if hap.awake[1] {
                for (mark, bytes) in states.arrived(now) {
                    if following.take(now, mark, bytes) && !hap.lost[1] {
                        words.send(now + word_delay, mark);
                    }
                }
            }
            // Whenever it took over, before or after this step's messages.
            if let Some((state, true)) = following.clone().newest(now) {
                let known = u64::from_le_bytes(state.try_into().unwrap());
                prop_assert!(known >= left, "step {left} has left, {known} is known");
            }
        }
    }
}

#[test]
fn the_time_to_go_on_ends_before_the_peer_goes_on_alone() {
    assert!(GO_ON_WITHIN < ALONE_AFTER);
}
