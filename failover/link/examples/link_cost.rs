//! What a session costs: making both copies of a frame, and believing one of them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement: a panic is its way to report"
)]

use std::time::Instant as Stopwatch;

use failover_link::{Incarnation, Key, Link, Series, Session, SessionConfig, State};
use failover_protocol::{Epoch, Message, Node};
use hal_units::{Duration, Instant};

const ROUNDS: u32 = 20_000;

fn main() {
    let node = |node, number| {
        let incarnation = Incarnation::new(number).unwrap();
        Session::new(Key::from_bytes(&[7; 32]), SessionConfig::new(node, incarnation))
    };
    let (mut a, mut b) = (node(Node::A, 1), node(Node::B, 2));
    for round in 0..3 {
        let now = Instant::ZERO + Duration::from_millis(20) * round;
        pass(&mut a, &mut b, now);
        pass(&mut b, &mut a, now);
    }
    let ack = Message::Ack { epoch: Epoch(1), seq: 1, sent_at: Instant::ZERO };
    measure("an acknowledgement", &mut a, &mut b, |a, _, emit| a.send(&ack, emit).unwrap());
    for bytes in [1000, 5000, 20_000] {
        let state = vec![7; bytes];
        let name = format!("a state of {bytes} bytes");
        let mut cycle = bytes as u64 * 1_000_000;
        measure(&name, &mut a, &mut b, |a, _, emit| {
            cycle += 1;
            a.send_state(State { series: Series::Control, cycle, schema: 1, bytes: &state }, emit).unwrap();
        });
    }
}

type Emit<'e> = &'e mut dyn FnMut(Link, &[u8]);

fn measure(name: &str, a: &mut Session, b: &mut Session, mut send: impl FnMut(&mut Session, u32, Emit<'_>)) {
    let (mut making, mut believing) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
    let mut frames: Vec<(Link, Vec<u8>)> = Vec::new();
    for round in 0..ROUNDS / 10 {
        frames.clear();
        send(a, round, &mut |link, frame| frames.push((link, frame.to_vec())));
        let begun = Stopwatch::now();
        send(a, round, &mut |_, _| {});
        making += begun.elapsed();
        let begun = Stopwatch::now();
        for (link, frame) in &frames {
            b.receive(Instant::ZERO, *link, frame).unwrap();
        }
        believing += begun.elapsed();
    }
    let each = |time: std::time::Duration| time.as_nanos() / u128::from(ROUNDS / 10) / 100;
    let us = |time| format!("{}.{} us", each(time) / 10, each(time) % 10);
    println!("{name}, both copies: made in {}, believed in {}", us(making), us(believing));
}

fn pass(from: &mut Session, to: &mut Session, now: Instant) {
    let mut frames = Vec::new();
    from.poll(now, &mut |link, frame: &[u8]| frames.push((link, frame.to_vec())));
    for (link, frame) in frames {
        let _ = to.receive(now, link, &frame);
    }
}
