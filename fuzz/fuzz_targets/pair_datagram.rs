//! The links of a pair: whatever comes, only what the peer's present run has sent is believed, each frame once
//! a link; everything else is counted under a name and changes nothing.
#![no_main]

use std::collections::HashSet;

use failover_link::{Incarnation, Key, Link, Received, Refusal, Series, Session, SessionConfig, State};
use failover_protocol::{Epoch, FieldHealth, Message, Node, Role};
use hal_units::{Duration, Instant};
use libfuzzer_sys::fuzz_target;

const KEY: [u8; 32] = [7; 32];
/// Frames of the peer that the fuzzer may choose from and change.
const SENT: usize = 12;

fuzz_target!(|script: Vec<(u8, u16, u8, Vec<u8>)>| {
    let (mut a, mut b) = pair();
    let genuine = everything(&mut a);
    // What must not change anything, told by the counter of what is believed.
    let mut taken: HashSet<(bool, Vec<u8>)> = HashSet::new();
    for (step, place, flip, noise) in script {
        let link = if step & 1 == 0 { Link::One } else { Link::Two };
        let source = &genuine[usize::from(step >> 1) % genuine.len()];
        let datagram = match step >> 6 {
            0 => noise,
            1 => source.1.clone(),
            2 => {
                let mut changed = source.1.clone();
                let at = usize::from(place) % changed.len();
                changed[at] ^= flip;
                changed
            }
            _ => {
                let mut cut = source.1.clone();
                cut.truncate(usize::from(place) % (cut.len() + 1));
                cut.extend(noise);
                cut
            }
        };
        let before = (b.peer(), *b.counters(link));
        let is_genuine = genuine.contains(&(link, datagram.clone()));
        let is_new = !taken.contains(&(link == Link::One, datagram.clone()));
        let outcome = b.receive(Instant::ZERO, link, &datagram).map(|received| match received {
            Received::Begun { .. } => panic!("a session began out of nothing"),
            other => format!("{other:?}"),
        });
        let after = *b.counters(link);
        match outcome {
            Ok(_) => {
                assert!(is_genuine && is_new, "believed {datagram:02x?}");
                taken.insert((link == Link::One, datagram));
                assert_eq!(after.accepted, before.1.accepted + 1);
            }
            Err(refusal) => {
                assert!(!is_genuine || !is_new, "refused {datagram:02x?}: {refusal}");
                assert_eq!(after.refused(refusal), before.1.refused(refusal) + 1);
                assert_eq!(is_genuine, refusal == Refusal::Replayed);
            }
        }
        assert_eq!(b.peer(), before.0);
    }
    // It still hears what it has not heard.
    for (link, datagram) in &genuine {
        let is_new = !taken.contains(&(*link == Link::One, datagram.clone()));
        assert_eq!(b.receive(Instant::ZERO, *link, datagram).is_ok(), is_new);
    }
});

fn node(node: Node, incarnation: u64) -> Session {
    let incarnation = Incarnation::new(incarnation).expect("not 0");
    let config = SessionConfig { state_bytes_max: 8192, ..SessionConfig::new(node, incarnation) };
    Session::new(Key::from_bytes(&KEY), config)
}

/// Two nodes with a session.
fn pair() -> (Session, Session) {
    let (mut a, mut b) = (node(Node::A, 0xa), node(Node::B, 0xb));
    for round in 0..3 {
        let now = Instant::ZERO + Duration::from_millis(20) * round;
        pass(&mut a, &mut b, now);
        pass(&mut b, &mut a, now);
    }
    assert!(a.peer().is_some() && b.peer().is_some());
    (a, b)
}

fn pass(from: &mut Session, to: &mut Session, now: Instant) {
    let mut frames = Vec::new();
    from.poll(now, &mut |link, frame: &[u8]| frames.push((link, frame.to_vec())));
    for (link, frame) in frames {
        let _ = to.receive(now, link, &frame);
    }
}

/// One frame of each kind, both copies.
fn everything(a: &mut Session) -> Vec<(Link, Vec<u8>)> {
    let (epoch, sent_at) = (Epoch(3), Instant::from_nanos(5));
    let messages = [
        Message::Heartbeat {
            epoch,
            seq: 1,
            sent_at,
            cycle: 9,
            role: Role::Active,
            field: FieldHealth::default(),
            replica_cycle: 8,
        },
        Message::Ack { epoch, seq: 1, sent_at },
        Message::Resign { epoch },
        Message::Handover { epoch, cycle: 9, hash: 4 },
        Message::Join { epoch, schema: 6 },
    ];
    let mut frames = Vec::new();
    let mut keep = |link: Link, frame: &[u8]| frames.push((link, frame.to_vec()));
    for message in &messages {
        a.send(message, &mut keep).expect("there is a session");
    }
    let state = State { series: Series::Control, cycle: 9, schema: 6, bytes: &[1; 2000] };
    a.send_state(state, &mut keep).expect("it is short enough");
    a.send_state(State { series: Series::Fleet, ..state }, &mut keep).expect("it is short enough");
    a.send_held(Series::Fleet, 9, &mut keep).expect("there is a session");
    a.push_record(b"stop").expect("there is room");
    a.poll(Instant::from_nanos(u64::MAX / 2), &mut keep);
    assert!(frames.len() >= SENT);
    frames
}
