//! Two nodes with an adversary between them who sees, keeps, changes and repeats every datagram.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use failover_link::{
    FRAME_BYTES_MAX, Incarnation, Key, Link, Received, Refusal, Series, Session, SessionConfig, State,
    VERSION, supervisor_resigns,
};
use failover_protocol::{Epoch, FieldHealth, Message, Node, Role};
use hal_units::{Duration, Instant};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);
const KEY: [u8; 32] = [7; 32];

type Datagram = (Link, Vec<u8>);

/// What a node believed, in a form that outlives the datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Message(Message, bool),
    Resigned(u16),
    Begun(u64),
    State(u64, Vec<u8>),
    Held(u64),
    Record(Vec<u8>),
    Nothing,
    Greeting,
}

fn heard(received: &Received<'_>) -> Heard {
    match *received {
        Received::Message { message, again } => Heard::Message(message, again),
        Received::Resigned { epoch } => Heard::Resigned(epoch.0),
        Received::Begun { peer } => Heard::Begun(peer.get()),
        Received::State(State { cycle, bytes, .. }) => Heard::State(cycle, bytes.to_vec()),
        Received::Held { cycle, .. } => Heard::Held(cycle),
        Received::Record(bytes) => Heard::Record(bytes.to_vec()),
        Received::Heard => Heard::Nothing,
        Received::Greeting => Heard::Greeting,
    }
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + MS * u32::try_from(millis).unwrap()
}

fn node(node: Node, incarnation: u64) -> Session {
    let config = SessionConfig::new(node, Incarnation::new(incarnation).unwrap());
    Session::new(Key::from_bytes(&KEY), config)
}

fn polled(session: &mut Session, now: Instant) -> Vec<Datagram> {
    let mut out = Vec::new();
    session.poll(now, &mut |link, frame: &[u8]| out.push((link, frame.to_vec())));
    out
}

fn sent(session: &mut Session, message: &Message) -> Vec<Datagram> {
    let mut out = Vec::new();
    session.send(message, &mut |link, frame: &[u8]| out.push((link, frame.to_vec()))).unwrap();
    out
}

fn take(session: &mut Session, now: Instant, (link, datagram): &Datagram) -> Result<Heard, Refusal> {
    session.receive(now, *link, datagram).map(|received| heard(&received))
}

fn take_all(session: &mut Session, now: Instant, datagrams: &[Datagram]) -> Vec<Result<Heard, Refusal>> {
    datagrams.iter().map(|datagram| take(session, now, datagram)).collect()
}

/// Lets both talk until both have a session; returns everything that was on the wire.
fn introduce(a: &mut Session, b: &mut Session, from_ms: u64) -> Vec<Datagram> {
    let mut wire = Vec::new();
    for round in 0..4 {
        let now = at(from_ms + 20 * round);
        let datagrams = polled(a, now);
        take_all(b, now, &datagrams);
        wire.extend(datagrams);
        let datagrams = polled(b, now);
        take_all(a, now, &datagrams);
        wire.extend(datagrams);
    }
    wire
}

fn pair() -> (Session, Session) {
    let (mut a, mut b) = (node(Node::A, 0xaa), node(Node::B, 0xbb));
    introduce(&mut a, &mut b, 0);
    assert_eq!((a.peer().unwrap().get(), b.peer().unwrap().get()), (0xbb, 0xaa));
    (a, b)
}

fn heartbeat(seq: u32) -> Message {
    Message::Heartbeat {
        epoch: Epoch(3),
        seq,
        sent_at: at(5),
        cycle: 9,
        role: Role::Active,
        field: FieldHealth { reachable: 4, critical_reachable: 2 },
        replica_cycle: 8,
    }
}

#[test]
fn strangers_get_a_session_in_one_and_a_half_round_trips() {
    let (mut a, mut b) = (node(Node::A, 0xaa), node(Node::B, 0xbb));
    let first = polled(&mut a, at(0));
    assert_eq!(take_all(&mut b, at(0), &first), [Ok(Heard::Greeting), Ok(Heard::Greeting)]);
    let second = polled(&mut b, at(0));
    assert_eq!(take_all(&mut a, at(0), &second), [Ok(Heard::Begun(0xbb)), Ok(Heard::Nothing)]);
    assert_eq!(b.peer(), None);
    let third = polled(&mut a, at(0));
    assert_eq!(take_all(&mut b, at(0), &third), [Ok(Heard::Begun(0xaa)), Ok(Heard::Nothing)]);
    assert_eq!(polled(&mut b, at(0)), []);
}

#[test]
fn strangers_who_speak_at_the_same_time_get_a_session_too() {
    let (mut a, mut b) = (node(Node::A, 0xaa), node(Node::B, 0xbb));
    for round in 0..3 {
        let (from_a, from_b) = (polled(&mut a, at(20 * round)), polled(&mut b, at(20 * round)));
        take_all(&mut b, at(20 * round), &from_a);
        take_all(&mut a, at(20 * round), &from_b);
    }
    assert_eq!((a.peer().unwrap().get(), b.peer().unwrap().get()), (0xbb, 0xaa));
}

#[test]
fn a_message_is_heard_on_both_links_and_the_second_copy_is_known_as_one() {
    let (mut a, mut b) = pair();
    let message = heartbeat(1);
    let datagrams = sent(&mut a, &message);
    assert_eq!(
        take_all(&mut b, at(100), &datagrams),
        [Ok(Heard::Message(message, false)), Ok(Heard::Message(message, true))]
    );
}

#[test]
fn nobody_sends_anything_but_hello_without_a_session() {
    let mut a = node(Node::A, 0xaa);
    assert!(a.send(&heartbeat(1), &mut |_, _| panic!("sent")).is_err());
    let state = State { series: Series::Control, cycle: 1, schema: 1, bytes: &[] };
    assert!(a.send_state(state, &mut |_, _| panic!("sent")).is_err());
}

#[test]
fn a_frame_is_taken_once_on_each_link() {
    let (mut a, mut b) = pair();
    let datagrams = sent(&mut a, &heartbeat(1));
    take_all(&mut b, at(100), &datagrams);
    assert_eq!(take_all(&mut b, at(101), &datagrams), [Err(Refusal::Replayed), Err(Refusal::Replayed)]);
    assert_eq!(b.counters(Link::One).refused(Refusal::Replayed), 1);
}

#[test]
fn a_frame_of_one_link_is_not_taken_on_the_other() {
    let (mut a, mut b) = pair();
    let [(one, first), (two, second)]: [Datagram; 2] = sent(&mut a, &heartbeat(1)).try_into().unwrap();
    assert_eq!(take(&mut b, at(100), &(two, first)), Err(Refusal::WrongLink));
    assert_eq!(take(&mut b, at(100), &(one, second)), Err(Refusal::WrongLink));
}

#[test]
fn a_node_does_not_believe_itself() {
    let (mut a, _) = pair();
    for datagram in sent(&mut a, &heartbeat(1)) {
        assert_eq!(take(&mut a, at(100), &datagram), Err(Refusal::WrongPeer));
    }
}

#[test]
fn another_key_is_refused_by_name() {
    let (mut a, _) = pair();
    let config = SessionConfig::new(Node::B, Incarnation::new(0xbb).unwrap());
    let mut stranger = Session::new(Key::from_bytes(&[8; 32]), config);
    for datagram in sent(&mut a, &heartbeat(1)) {
        assert_eq!(take(&mut stranger, at(100), &datagram), Err(Refusal::WrongKey));
    }
}

#[test]
fn every_other_shape_is_refused_by_name() {
    let (mut a, mut b) = pair();
    let (link, good) = sent(&mut a, &heartbeat(1)).remove(0);
    let mut refusal = |datagram: Vec<u8>| take(&mut b, at(100), &(link, datagram)).unwrap_err();
    assert_eq!(refusal(vec![]), Refusal::Truncated);
    assert_eq!(refusal(good[..good.len() - 1].to_vec()), Refusal::Truncated);
    assert_eq!(refusal([&good[..], &[0]].concat()), Refusal::Oversized);
    assert_eq!(refusal(vec![0; FRAME_BYTES_MAX + 1]), Refusal::Oversized);
    let changed = |at: usize, to: u8| {
        let mut datagram = good.clone();
        datagram[at] = to;
        datagram
    };
    assert_eq!(refusal(changed(0, b'X')), Refusal::Foreign);
    assert_eq!(refusal(changed(2, VERSION + 1)), Refusal::FutureVersion);
    assert_eq!(refusal(changed(2, 0)), Refusal::PastVersion);
    for (at, byte) in good.iter().enumerate().take(32).skip(3) {
        assert_eq!(refusal(changed(at, byte ^ 0x40)), Refusal::WrongKey, "{at}");
    }
    assert_eq!(take(&mut b, at(100), &(link, good)), Ok(Heard::Message(heartbeat(1), false)));
}

#[test]
fn what_was_recorded_in_an_earlier_run_of_either_node_begins_nothing() {
    let (mut a1, mut b1) = (node(Node::A, 0xa1), node(Node::B, 0xb1));
    let mut wire = introduce(&mut a1, &mut b1, 0);
    wire.extend(sent(&mut a1, &heartbeat(1)));
    wire.extend(sent(&mut b1, &heartbeat(2)));

    // A new run of B hears everything that was ever said, again and again.
    let mut b2 = node(Node::B, 0xb2);
    for round in 0..5 {
        polled(&mut b2, at(1000 + round));
        for datagram in &wire {
            let outcome = take(&mut b2, at(1000 + round), datagram);
            assert!(matches!(outcome, Err(_) | Ok(Heard::Greeting)), "{outcome:?}");
        }
        assert_eq!(b2.peer(), None);
    }
    // A, which goes on, does not give its session with the new run up for the old one.
    introduce(&mut a1, &mut b2, 2000);
    assert_eq!(a1.peer().unwrap().get(), 0xb2);
    for round in 0..5 {
        polled(&mut a1, at(3000 + round));
        for datagram in &wire {
            let outcome = take(&mut a1, at(3000 + round), datagram);
            assert!(matches!(outcome, Err(_) | Ok(Heard::Greeting)), "{outcome:?}");
        }
        assert_eq!(a1.peer().unwrap().get(), 0xb2);
    }
}

#[test]
fn a_restarted_peer_takes_the_session_over_and_the_old_run_is_heard_no_more() {
    let (mut a, mut b1) = pair();
    let late = sent(&mut b1, &heartbeat(7));
    let mut b2 = node(Node::B, 0xb2);
    introduce(&mut b2, &mut a, 1000);
    assert_eq!(a.peer().unwrap().get(), 0xb2);
    assert_eq!(take(&mut a, at(1100), &late[0]), Err(Refusal::OtherIncarnation));
    let fresh = sent(&mut b2, &heartbeat(8));
    assert_eq!(take(&mut a, at(1100), &fresh[0]), Ok(Heard::Message(heartbeat(8), false)));
}

#[test]
fn a_flood_of_old_hellos_makes_at_most_one_answer_each_time_a_node_speaks() {
    let mut old = node(Node::B, 0xb0);
    let hello = polled(&mut old, at(0));
    let (mut a, _) = pair();
    for _ in 0..100 {
        take_all(&mut a, at(500), &hello);
    }
    assert_eq!(polled(&mut a, at(500)).len(), 2);
    assert_eq!(polled(&mut a, at(500)).len(), 0);
}

#[test]
fn a_supervisor_resigns_for_its_dead_agent_only_within_the_session() {
    let (_, mut b) = pair();
    let key = Key::from_bytes(&KEY);
    let resign = |incarnation: u64| {
        let mut out = Vec::new();
        let dead = Incarnation::new(incarnation).unwrap();
        supervisor_resigns(&key, Node::A, dead, Epoch(5), &mut |link, frame: &[u8]| {
            out.push((link, frame.to_vec()));
        });
        out
    };
    assert_eq!(take_all(&mut b, at(100), &resign(0xaa)), [Ok(Heard::Resigned(5)), Ok(Heard::Resigned(5))]);
    // A dead run of which this session knows nothing.
    assert_eq!(take(&mut b, at(100), &resign(0xa0)[0]), Err(Refusal::OtherIncarnation));
    let mut stranger = node(Node::B, 0xbb);
    assert_eq!(take(&mut stranger, at(100), &resign(0xaa)[0]), Err(Refusal::OtherIncarnation));
}

#[test]
fn a_state_longer_than_a_datagram_comes_whole_once_over_either_link() {
    for lost in [None, Some(Link::One), Some(Link::Two)] {
        let (mut a, mut b) = pair();
        let bytes: Vec<u8> = (0..5000_u32).map(|at| at as u8).collect();
        let mut wire = Vec::new();
        let state = State { series: Series::Control, cycle: 12, schema: 34, bytes: &bytes };
        a.send_state(state, &mut |link, frame: &[u8]| wire.push((link, frame.to_vec()))).unwrap();
        assert_eq!(wire.len(), 10);
        assert!(wire.iter().all(|(_, frame)| frame.len() <= FRAME_BYTES_MAX));
        let came: Vec<Datagram> = wire.into_iter().filter(|(link, _)| Some(*link) != lost).collect();
        let states: Vec<Heard> = take_all(&mut b, at(100), &came)
            .into_iter()
            .map(Result::unwrap)
            .filter(|heard| *heard != Heard::Nothing)
            .collect();
        assert_eq!(states, [Heard::State(12, bytes)]);
        assert_eq!(b.state_counters(Series::Control).whole, 1);
    }
}

#[test]
fn a_state_that_is_too_long_is_refused_and_nothing_is_sent() {
    let (mut a, _) = pair();
    let bytes = vec![0; failover_link::STATE_BYTES_MAX + 1];
    let state = State { series: Series::Control, cycle: 1, schema: 1, bytes: &bytes };
    assert!(a.send_state(state, &mut |_, _| panic!("sent")).is_err());
}

#[test]
fn records_wait_for_a_session_and_are_acknowledged() {
    let (mut a, mut b) = (node(Node::A, 0xaa), node(Node::B, 0xbb));
    let ticket = a.push_record(b"stop WT01").unwrap();
    let mut records = Vec::new();
    for round in 0..6 {
        let now = at(20 * round);
        for datagram in polled(&mut a, now) {
            if let Ok(Heard::Record(bytes)) = take(&mut b, now, &datagram) {
                records.push(bytes);
            }
        }
        let back = polled(&mut b, now);
        take_all(&mut a, now, &back);
    }
    assert_eq!(records, [b"stop WT01".to_vec()]);
    assert!(a.is_acknowledged(ticket));
    assert_eq!(a.records_waiting(), 0);
}

#[test]
fn a_peer_of_the_version_before_is_spoken_to_in_its_own() {
    let (mut a, mut b) = pair();
    assert_eq!(sent(&mut a, &heartbeat(1))[0].1[2], VERSION);
    // Hellos are in the version before, so that it can answer at all.
    let mut newcomer = node(Node::A, 0xa2);
    assert_eq!(polled(&mut newcomer, at(0))[0].1[2], VERSION - 1);
    take_all(&mut b, at(1), &polled(&mut newcomer, at(1)));
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..1400)
}

proptest! {
    #[test]
    fn no_datagram_that_the_peer_did_not_send_changes_anything(
        noise in proptest::collection::vec((any::<bool>(), any_bytes(), 0_usize..90, 1_u8..), 1..40),
    ) {
        let (mut a, mut b) = pair();
        let (link, good) = sent(&mut a, &heartbeat(1)).remove(0);
        for (mutate, bytes, place, flip) in noise {
            let datagram = if mutate {
                let mut changed = good.clone();
                let place = place % changed.len();
                changed[place] ^= flip;
                changed
            } else {
                bytes
            };
            prop_assert!(take(&mut b, at(100), &(link, datagram)).is_err());
        }
        prop_assert_eq!(b.peer().unwrap().get(), 0xaa);
        prop_assert_eq!(take(&mut b, at(100), &(link, good)), Ok(Heard::Message(heartbeat(1), false)));
        prop_assert!(polled(&mut b, at(100)).is_empty());
    }

    #[test]
    fn whatever_a_network_does_records_come_once_and_in_order_and_states_only_forward(
        fates in proptest::collection::vec(0_u8..8, 300..600),
    ) {
        let (mut a, mut b) = (node(Node::A, 0xaa), node(Node::B, 0xbb));
        let mut fates = fates.into_iter();
        let (mut records, mut cycles) = (Vec::new(), Vec::new());
        let mut kept: Vec<Datagram> = Vec::new();
        let (mut pushed, mut round) = (0_u8, 0_u64);
        loop {
            let storm = fates.len() > 0;
            if !storm && a.peer().is_some() && a.records_waiting() == 0 && records.len() == usize::from(pushed) {
                break;
            }
            prop_assert!(round < 1000, "never quiet");
            let now = at(10 * round);
            round += 1;
            if storm && pushed < 100 && a.push_record(&[pushed]).is_ok() {
                pushed += 1;
            }
            let mut out = polled(&mut a, now);
            let bytes = vec![round as u8; 1500];
            let _ = a.send_state(
                State { series: Series::Control, cycle: round, schema: 1, bytes: &bytes },
                &mut |link, frame: &[u8]| out.push((link, frame.to_vec())),
            );
            for datagram in out {
                match fates.next().unwrap_or(0) {
                    0..=4 => {
                        let outcome = take(&mut b, now, &datagram);
                        match outcome {
                            Ok(Heard::Record(bytes)) => records.push(bytes[0]),
                            Ok(Heard::State(cycle, _)) => cycles.push(cycle),
                            _ => {}
                        }
                    }
                    5 => kept.push(datagram),
                    6 => if let Some(old) = kept.pop() {
                        match take(&mut b, now, &old) {
                            Ok(Heard::Record(bytes)) => records.push(bytes[0]),
                            Ok(Heard::State(cycle, _)) => cycles.push(cycle),
                            _ => {}
                        }
                        kept.insert(0, old);
                    },
                    _ => {}
                }
            }
            for datagram in polled(&mut b, now) {
                if fates.next().unwrap_or(0) < 6 {
                    let _ = take(&mut a, now, &datagram);
                }
            }
        }
        prop_assert_eq!(records, (0..pushed).collect::<Vec<_>>());
        prop_assert!(cycles.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", cycles);
    }
}

#[test]
fn the_series_do_not_wait_for_each_other() {
    let (mut a, mut b) = pair();
    let mut wire = Vec::new();
    let bytes = [5; 2000];
    let control = State { series: Series::Control, cycle: 12, schema: 1, bytes: &bytes };
    let fleet = State { series: Series::Fleet, cycle: 3, schema: 2, bytes: &bytes };
    a.send_state(control, &mut |link, frame: &[u8]| wire.push((link, frame.to_vec()))).unwrap();
    a.send_state(fleet, &mut |link, frame: &[u8]| wire.push((link, frame.to_vec()))).unwrap();
    // The fleet's first fragment comes before the rest of the newer cycle.
    wire.swap(2, 4);
    let came = take_all(&mut b, at(100), &wire);
    let whole: Vec<Heard> = came.into_iter().flatten().filter(|heard| *heard != Heard::Nothing).collect();
    assert_eq!(whole, [Heard::State(12, bytes.to_vec()), Heard::State(3, bytes.to_vec())]);
}

#[test]
fn the_peer_says_that_it_holds_a_state() {
    let (mut a, mut b) = pair();
    let mut wire = Vec::new();
    b.send_held(Series::Fleet, 3, &mut |link, frame: &[u8]| wire.push((link, frame.to_vec()))).unwrap();
    assert_eq!(take_all(&mut a, at(100), &wire).first(), Some(&Ok(Heard::Held(3))));
}
