//! One node's half, step by step, and what holds whatever comes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use failover_protocol::{
    Alarm, ArbiterFault, ArbiterImage, ArbiterOp, Epoch, FieldHealth, Input, Link, Message, Node, Output,
    Outputs, Pair, PairConfig, Refusal, ResignReason, Role, TakeOver,
};
use hal_units::{Duration, Instant};
use proptest::prelude::*;

const START: u64 = 1_000_000_000;

/// A node with a clock of its own, whose arbiter holds what the test says.
struct Bench {
    pair: Pair,
    now: Instant,
    cycle: u64,
    image: ArbiterImage,
}

impl Bench {
    fn new(node: Node) -> Self {
        let now = Instant::from_nanos(START);
        let pair = Pair::new(PairConfig::default().checked().unwrap(), node, now);
        Self { pair, now, cycle: 0, image: ArbiterImage::default() }
    }

    /// A standby whose peer is Active in epoch 1.
    fn standby() -> Self {
        let mut bench = Self::new(Node::B);
        bench.image.peer_slot = Epoch(1);
        for _ in 0..20 {
            bench.pass(5);
            bench.hear(bench.heartbeat(1, Role::Active));
        }
        assert_eq!(bench.pair.role(), Role::Standby);
        bench
    }

    /// An Active in epoch 1 that was started alone.
    fn active() -> Self {
        let mut bench = Self::new(Node::A);
        for _ in 0..20 {
            bench.pass(5);
        }
        assert_eq!(bench.pair.role(), Role::Active);
        bench
    }

    /// Lets time pass, with the cycle running and the arbiter answering at once.
    fn pass(&mut self, ms: u64) -> Vec<Output> {
        self.now = self.now + Duration::from_millis(ms);
        self.cycle += 1;
        self.give(Input::Cycle { cycle: self.cycle })
    }

    /// Lets so many heartbeats of a standby come that reaches `field`, 5 ms apart.
    fn with_standby(&mut self, heartbeats: usize, field: FieldHealth) -> Vec<Output> {
        let mut all = Vec::new();
        for _ in 0..heartbeats {
            let epoch = self.pair.epoch();
            all.extend(self.pass(5));
            let Message::Heartbeat { seq, sent_at, cycle, .. } = self.heartbeat(epoch.0, Role::Standby)
            else {
                unreachable!()
            };
            let (role, replica_cycle) = (Role::Standby, 6);
            self.hear(Message::Heartbeat { epoch, seq, sent_at, cycle, role, field, replica_cycle });
        }
        all
    }

    fn hear(&mut self, message: Message) -> Vec<Output> {
        self.give(Input::Received { link: Link::One, message })
    }

    fn give(&mut self, input: Input) -> Vec<Output> {
        let mut all: Vec<Output> = self.pair.step(self.now, input).iter().copied().collect();
        for _ in 0..4 {
            let Some(op) = last_op(&all) else { break };
            if let Some((slot, counter)) = op.write {
                (self.image.own_slot, self.image.own_counter) = (slot, counter);
            }
            let outputs = self.pair.step(self.now, Input::Arbiter(Ok(self.image)));
            let more = outputs.iter().any(|output| matches!(output, Output::Arbiter(_)));
            all.retain(|output| !matches!(output, Output::Arbiter(_)));
            all.extend(outputs.iter().copied());
            if !more {
                break;
            }
        }
        all
    }

    fn heartbeat(&self, epoch: u16, role: Role) -> Message {
        Message::Heartbeat {
            epoch: Epoch(epoch),
            seq: 1,
            sent_at: self.now,
            cycle: 7,
            role,
            field: FieldHealth::default(),
            replica_cycle: 6,
        }
    }
}

fn last_op(outputs: &[Output]) -> Option<ArbiterOp> {
    outputs.iter().rev().find_map(|output| match output {
        Output::Arbiter(op) => Some(*op),
        _ => None,
    })
}

fn acks(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Send(Message::Ack { .. }))).count()
}

#[test]
fn a_node_that_has_not_read_the_epoch_is_silent() {
    let mut pair = Pair::new(PairConfig::default().checked().unwrap(), Node::A, Instant::from_nanos(START));
    let mut sent = 0;
    for ms in 0..200 {
        let now = Instant::from_nanos(START) + Duration::from_millis(ms);
        let outputs = pair.step(now, Input::Cycle { cycle: ms + 1 });
        sent += outputs.iter().filter(|output| matches!(output, Output::Send(_))).count();
        if outputs.iter().any(|output| matches!(output, Output::Arbiter(_))) {
            pair.step(now, Input::Arbiter(Err(ArbiterFault::NoAnswer)));
        }
    }
    assert_eq!((pair.role(), sent), (Role::Init, 0));
}

#[test]
fn each_heartbeat_gets_one_ack_over_whichever_links_it_comes() {
    let mut bench = Bench::standby();
    bench.pass(1);
    let beat = bench.heartbeat(1, Role::Active);
    assert_eq!(acks(&bench.hear(beat)), 1);
    let again = bench.give(Input::Received { link: Link::Two, message: beat });
    assert_eq!(acks(&again), 0);
}

#[test]
fn a_heartbeat_of_a_term_that_is_over_gets_no_ack() {
    let mut bench = Bench::standby();
    bench.pass(1);
    bench.hear(bench.heartbeat(3, Role::Active));
    bench.pass(1);
    assert_eq!(acks(&bench.hear(bench.heartbeat(1, Role::Active))), 0);
}

#[test]
fn a_standby_whose_cycle_stands_still_promises_and_claims_nothing() {
    let mut bench = Bench::standby();
    for _ in 0..40 {
        bench.now = bench.now + Duration::from_millis(5);
        let outputs = bench.give(Input::Tick);
        let silent = !outputs.iter().any(|output| matches!(output, Output::Send(_)));
        let stalled = bench.now.since(Instant::from_nanos(START)) > Duration::from_millis(120);
        assert!(silent || !stalled);
    }
    assert_eq!(bench.pair.role(), Role::Standby);
    assert_eq!(acks(&bench.hear(bench.heartbeat(1, Role::Active))), 0);
}

#[test]
fn a_lease_counts_from_the_sending_of_the_heartbeat() {
    let mut bench = Bench::active();
    let sent_at = bench.now;
    bench.pass(3);
    let outputs = bench.hear(Message::Ack { epoch: Epoch(1), seq: 0, sent_at });
    let deadline = sent_at + PairConfig::default().lease;
    assert!(bench.pair.lease() >= Some(deadline));
    for output in outputs {
        if let Output::Lease { deadline: until, .. } = output {
            assert_eq!(until, deadline);
        }
    }
}

#[test]
fn an_ack_from_the_future_or_of_another_term_extends_nothing() {
    let mut bench = Bench::active();
    let before = bench.pair.lease();
    let later = bench.now + Duration::from_millis(5);
    bench.pair.step(bench.now, received(Message::Ack { epoch: Epoch(1), seq: 0, sent_at: later }));
    bench.pair.step(bench.now, received(Message::Ack { epoch: Epoch(2), seq: 0, sent_at: bench.now }));
    assert_eq!(bench.pair.lease(), before);
}

fn received(message: Message) -> Input {
    Input::Received { link: Link::One, message }
}

#[test]
fn a_higher_epoch_shuts_the_gate_before_the_resignation_leaves() {
    let mut bench = Bench::active();
    bench.pass(1);
    let outputs = bench.hear(bench.heartbeat(2, Role::Claimed));
    let shut = outputs.iter().position(|output| *output == Output::Shut).unwrap();
    let resigned = outputs
        .iter()
        .position(|output| matches!(output, Output::Send(Message::Resign { epoch: Epoch(1) })))
        .unwrap();
    assert!(shut < resigned);
    assert_eq!(bench.pair.role(), Role::Fenced);
}

#[test]
fn a_resignation_of_an_older_term_is_no_reason_to_claim() {
    let mut bench = Bench::standby();
    bench.image.peer_slot = Epoch(4);
    bench.pass(1);
    bench.hear(bench.heartbeat(4, Role::Active));
    for _ in 0..3 {
        bench.hear(Message::Resign { epoch: Epoch(1) });
        bench.pass(5);
    }
    assert_eq!(bench.pair.role(), Role::Standby);
}

#[test]
fn a_resignation_of_the_last_term_is_followed_after_the_guard() {
    let mut bench = Bench::standby();
    bench.pass(1);
    bench.hear(Message::Resign { epoch: Epoch(1) });
    assert_eq!(bench.pair.role(), Role::Claimed);
    let outputs = bench.pass(2);
    assert_eq!(bench.pair.role(), Role::Active);
    assert!(outputs.contains(&Output::TakeOver(TakeOver::Cold)), "it never had a replica");
}

#[test]
fn a_standby_becomes_active_at_p_after_its_last_ack_and_not_before() {
    let mut bench = Bench::standby();
    let promised = bench.now;
    while bench.pair.role() != Role::Active {
        bench.pass(1);
        assert!(bench.now.since(promised) < Duration::from_millis(45), "{:?}", bench.pair.role());
    }
    assert_eq!(bench.now.since(promised), PairConfig::default().takeover_after);
}

#[test]
fn a_counter_that_moves_keeps_the_standby_waiting() {
    let mut bench = Bench::standby();
    for _ in 0..100 {
        bench.image.peer_counter = bench.image.peer_counter.wrapping_add(1);
        bench.pass(5);
    }
    assert_eq!(bench.pair.role(), Role::Standby);
}

/// A holder has renewed, but both that and the standby's question have waited at the arbiter, and the question
/// was answered first.
#[test]
fn an_arbiter_that_answers_slowly_is_looked_at_once_more_before_a_claim() {
    let mut bench = Bench::standby();
    (0..20).for_each(|_| drop(bench.pass(1)));
    let mut asked = None;
    while asked.is_none() {
        bench.now = bench.now + Duration::from_millis(1);
        bench.cycle += 1;
        let outputs = bench.pair.step(bench.now, Input::Cycle { cycle: bench.cycle });
        asked = last_op(&outputs.iter().copied().collect::<Vec<_>>());
    }
    assert_eq!(asked, Some(ArbiterOp { write: None }), "it looks before it claims");
    for _ in 0..3 {
        bench.now = bench.now + Duration::from_millis(5);
        bench.cycle += 1;
        bench.pair.step(bench.now, Input::Cycle { cycle: bench.cycle });
    }
    let outputs = bench.pair.step(bench.now, Input::Arbiter(Ok(bench.image)));
    let again = last_op(&outputs.iter().copied().collect::<Vec<_>>());
    assert_eq!(again, Some(ArbiterOp { write: None }), "and once more, long after the time to claim");
    bench.image.peer_counter += 1;
    bench.pair.step(bench.now, Input::Arbiter(Ok(bench.image)));
    for _ in 0..5 {
        bench.pass(2);
    }
    assert_eq!(bench.pair.role(), Role::Standby);
}

#[test]
fn after_the_last_epoch_nobody_claims() {
    let mut bench = Bench::new(Node::A);
    bench.image.peer_slot = Epoch(u16::MAX);
    let mut alarms = 0;
    for _ in 0..40 {
        let outputs = bench.pass(5);
        alarms += outputs.iter().filter(|o| **o == Output::Alarm(Alarm::EpochsExhausted)).count();
    }
    assert_eq!((bench.pair.role(), alarms), (Role::Standby, 1));
}

#[test]
fn a_switchover_needs_a_standby_that_could_continue() {
    let mut bench = Bench::active();
    let refused = |why| Output::Alarm(Alarm::SwitchoverRefused(why));
    assert!(bench.give(Input::Switchover).contains(&refused(Refusal::NoStandby)));
    let Message::Heartbeat { epoch, seq, sent_at, cycle, role, field, .. } =
        bench.heartbeat(1, Role::Standby)
    else {
        panic!("a heartbeat");
    };
    bench.hear(Message::Heartbeat { epoch, seq, sent_at, cycle, role, field, replica_cycle: 0 });
    assert!(bench.give(Input::Switchover).contains(&refused(Refusal::NotPromotable)));
    bench.pass(1);
    bench.hear(bench.heartbeat(1, Role::Standby));
    let cycle = bench.cycle + 2;
    assert!(bench.give(Input::Switchover).contains(&Output::HandOverAt { cycle }));
    assert!(bench.give(Input::Switchover).contains(&refused(Refusal::UnderWay)));
}

#[test]
fn a_handover_whose_standby_went_away_is_off() {
    let mut bench = Bench::active();
    bench.hear(bench.heartbeat(1, Role::Standby));
    let cycle = bench.cycle + 2;
    bench.give(Input::Switchover);
    for _ in 0..7 {
        bench.pass(5);
    }
    let outputs = bench.give(Input::HandedOver { cycle, hash: 9 });
    assert!(outputs.contains(&Output::HandOverOff));
    assert_eq!(bench.pair.role(), Role::Active);
}

/// An Active of which the standby reaches two devices; how often it resigns when it is given the office again
/// and again while it reaches `own`.
fn resignations_while_reaching(own: u16) -> usize {
    let mut bench = Bench::active();
    bench.give(Input::Field(reaching(2)));
    bench.with_standby(4, reaching(2));
    bench.give(Input::Field(reaching(own)));
    let mut resigned = 0;
    for _ in 0..2000 {
        if resignations(&bench.with_standby(1, reaching(2))) > 0 {
            resigned += 1;
            // In its next term it loses them again.
            bench.give(Input::Field(reaching(2)));
        }
        if bench.pair.role() == Role::Active {
            bench.give(Input::Field(reaching(own)));
        }
    }
    resigned
}

fn reaching(devices: u16) -> FieldHealth {
    FieldHealth { reachable: devices, critical_reachable: devices }
}

fn resignations(outputs: &[Output]) -> usize {
    let field = |output: &&Output| {
        matches!(output, Output::Alarm(Alarm::Resigned { reason: ResignReason::Field, .. }))
    };
    outputs.iter().filter(field).count()
}

#[test]
fn a_device_that_comes_and_goes_does_not_toss_the_office_to_and_fro() {
    let limit = usize::from(PairConfig::default().flap_max);
    assert_eq!(resignations_while_reaching(1), limit);
}

/// Both lost the same device, and it comes back: to the standby a little sooner.
#[test]
fn a_device_that_the_standby_gets_back_first_costs_no_office() {
    let mut bench = Bench::active();
    bench.give(Input::Field(reaching(1)));
    bench.with_standby(20, reaching(1));
    assert_eq!(resignations(&bench.with_standby(190, reaching(2))), 0, "it is about to get it back, too");
    assert_eq!(resignations(&bench.with_standby(20, reaching(2))), 1, "it does not");
}

#[test]
fn a_node_that_loses_half_of_what_the_standby_reaches_resigns_at_once() {
    let mut bench = Bench::active();
    bench.give(Input::Field(reaching(4)));
    bench.with_standby(20, reaching(4));
    bench.give(Input::Field(reaching(2)));
    assert_eq!(resignations(&bench.with_standby(5, reaching(4))), 1);
}

/// Of a hundred devices one is always late.
#[test]
fn one_device_of_many_that_is_late_for_a_while_costs_no_office() {
    let mut bench = Bench::active();
    bench.give(Input::Field(reaching(104)));
    bench.with_standby(20, reaching(104));
    bench.give(Input::Field(reaching(103)));
    assert_eq!(resignations(&bench.with_standby(60, reaching(104))), 0);
    bench.give(Input::Field(reaching(104)));
    bench.with_standby(4, reaching(104));
    bench.give(Input::Field(reaching(103)));
    assert_eq!(resignations(&bench.with_standby(190, reaching(104))), 0);
    assert_eq!(resignations(&bench.with_standby(20, reaching(104))), 1, "it is lost for good");
}

#[test]
fn a_node_that_reaches_nothing_resigns_however_often_it_has_done_so() {
    let limit = usize::from(PairConfig::default().flap_max);
    let resigned = resignations_while_reaching(0);
    assert!(resigned > limit, "{resigned}");
}

fn epochs() -> impl Strategy<Value = Epoch> {
    prop_oneof![(0_u16..6).prop_map(Epoch), Just(Epoch(u16::MAX))]
}

fn messages() -> impl Strategy<Value = Message> {
    let times = (0_u64..200_000_000).prop_map(|ns| Instant::from_nanos(START + ns));
    let roles = prop_oneof![
        Just(Role::Init),
        Just(Role::Standby),
        Just(Role::Claimed),
        Just(Role::Active),
        Just(Role::Fenced)
    ];
    prop_oneof![
        (epochs(), any::<u32>(), times.clone(), roles, 0_u16..3, 0_u64..4).prop_map(
            |(epoch, seq, sent_at, role, critical_reachable, replica_cycle)| Message::Heartbeat {
                epoch,
                seq,
                sent_at,
                cycle: 1,
                role,
                field: FieldHealth { reachable: 2, critical_reachable },
                replica_cycle,
            }
        ),
        (epochs(), any::<u32>(), times).prop_map(|(epoch, seq, sent_at)| Message::Ack {
            epoch,
            seq,
            sent_at
        }),
        epochs().prop_map(|epoch| Message::Resign { epoch }),
        (epochs(), 0_u64..4, 0_u64..2).prop_map(|(epoch, cycle, hash)| Message::Handover {
            epoch,
            cycle,
            hash
        }),
        (epochs(), 0_u64..2).prop_map(|(epoch, schema)| Message::Join { epoch, schema }),
    ]
}

fn inputs() -> impl Strategy<Value = Input> {
    let image = (epochs(), 0_u16..4, epochs(), 0_u16..4).prop_map(
        |(own_slot, own_counter, peer_slot, peer_counter)| ArbiterImage {
            own_slot,
            own_counter,
            peer_slot,
            peer_counter,
        },
    );
    prop_oneof![
        3 => Just(Input::Tick),
        6 => (1_u64..9).prop_map(|cycle| Input::Cycle { cycle }),
        6 => messages().prop_map(received),
        4 => image.prop_map(|image| Input::Arbiter(Ok(image))),
        1 => Just(Input::Arbiter(Err(ArbiterFault::NoAnswer))),
        1 => (0_u16..3).prop_map(|n| Input::Field(FieldHealth { reachable: n, critical_reachable: n })),
        1 => (1_u64..4, 0_u64..2).prop_map(|(cycle, hash)| Input::Replica { cycle, hash }),
        1 => any::<bool>().prop_map(Input::Promotable),
        1 => Just(Input::Switchover),
        1 => (1_u64..12, 0_u64..2).prop_map(|(cycle, hash)| Input::HandedOver { cycle, hash }),
        1 => Just(Input::ResignRequested),
    ]
}

/// What holds of the outputs of every step, whatever was said.
fn is_sound(pair: &Pair, before: Role, now: Instant, outputs: &Outputs, asked: &mut bool) {
    let lease = PairConfig::default().lease;
    assert!(outputs.next() > now && outputs.next() <= now + PairConfig::default().heartbeat);
    for output in outputs {
        match output {
            Output::Lease { deadline, .. } => {
                assert!(*deadline > now && *deadline <= now + lease, "a lease is never longer than L");
                assert_eq!(pair.role(), Role::Active);
                assert_eq!(pair.lease(), Some(*deadline));
            }
            Output::Arbiter(_) => {
                assert!(!*asked, "one transaction at a time");
                *asked = true;
            }
            Output::Send(Message::Ack { .. }) => {
                assert!(before != Role::Init && !matches!(pair.role(), Role::Claimed | Role::Active));
            }
            Output::Shut => assert_eq!((before, pair.role()), (Role::Active, Role::Fenced)),
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn no_input_makes_a_node_break_its_own_rules(
        steps in prop::collection::vec((0_u64..12_000_000, inputs()), 1..300)
    ) {
        let mut now = Instant::from_nanos(START);
        let mut pair = Pair::new(PairConfig::default().checked().unwrap(), Node::A, now);
        let mut asked = false;
        for (ns, input) in steps {
            now = now + Duration::from_nanos(ns);
            if matches!(input, Input::Arbiter(_)) {
                asked = false;
            }
            let (before, epoch) = (pair.role(), pair.epoch());
            let outputs = pair.step(now, input);
            is_sound(&pair, before, now, &outputs, &mut asked);
            prop_assert!(pair.epoch() >= epoch, "what is known is never forgotten");
        }
    }

    #[test]
    fn a_checked_configuration_leaves_the_old_lease_time_to_end(
        lease in 1_u64..1000, guard in 0_u64..200, takeover in 1_u64..4000, drift in 0_u8..=50
    ) {
        let ms = Duration::from_millis;
        let config = PairConfig {
            lease: ms(lease), guard: ms(guard), takeover_after: ms(takeover), drift_percent: drift,
            ..PairConfig::default()
        };
        if config.checked().is_ok() {
            let rho = f64::from(drift) / 100.0;
            let (l, g, p, q) = (lease as f64, guard as f64, takeover as f64, 1.0);
            prop_assert!(p + 1e-6 >= l * (1.0 + rho) + rho * p + g + q);
        }
    }
}
