//! Several devices on one line: a dead or slow one does not delay the others. In virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hal_modbus::{DeviceState, Fault};
use hal_units::Duration;
use support::Framing::{self, Rtu, Tcp};
use support::rig::{Behaviour, PROMPT, Rig, RigBuilder, meter};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A line of two good devices around one of interest, after it has settled.
async fn settled(framing: Framing, behaviour: Behaviour) -> Rig {
    let mut rig = RigBuilder::new(framing)
        .period_ms(50)
        .device(1, PROMPT)
        .device(2, behaviour)
        .device(3, PROMPT)
        .start();
    rig.command(60, 500.0).await;
    rig
}

/// Runs 400 cycles and checks that the two good devices miss nothing and are read on time.
async fn check_undisturbed(mut rig: Rig) -> Rig {
    let before: Vec<_> = [1, 3]
        .map(|unit| {
            let counters = rig.counters(unit);
            (counters.scans.get(), counters.writes.get(), counters.faults(), counters.skipped_phases.get())
        })
        .into();
    let mut age_max = Duration::ZERO;
    for _ in 0..400 {
        let begin = rig.now();
        rig.command(1, 500.0).await;
        for unit in [1, 3] {
            age_max = age_max.max(rig.inputs(unit).acquired_at.since(begin));
        }
    }
    for (unit, before) in [1, 3].into_iter().zip(before) {
        let counters = rig.counters(unit);
        assert_eq!(counters.scans.get() - before.0, 400, "scans of {unit}: {counters:?}");
        assert_eq!(counters.writes.get() - before.1, 400, "writes of {unit}: {counters:?}");
        assert_eq!(counters.faults(), before.2, "faults of {unit}: {counters:?}");
        assert_eq!(counters.skipped_phases.get(), before.3, "phases of {unit}: {counters:?}");
    }
    // Two short transactions on a serial line, timers of a millisecond.
    assert!(age_max <= millis(12), "the requests left up to {age_max:?} late");
    rig
}

#[tokio::test(start_paused = true)]
async fn a_dead_device_on_a_serial_line_is_retried_in_slack_only() {
    let rig = check_undisturbed(settled(Rtu, Behaviour::Dead).await).await;
    let tried = rig.counters(2).fault(Fault::HalfOpen);
    // 23 s with waits up to 2 s.
    assert!((10..30).contains(&tried), "{tried}");
    assert_eq!(rig.counters(2).state(), DeviceState::Quarantined);
}

#[tokio::test(start_paused = true)]
async fn a_dead_device_behind_a_gateway_is_retried_in_slack_only() {
    let rig = check_undisturbed(settled(Tcp, Behaviour::Dead).await).await;
    assert!(rig.counters(2).fault(Fault::HalfOpen) >= 10);
    assert_eq!(rig.field().connections, 1, "nobody else loses the connection");
}

#[tokio::test(start_paused = true)]
async fn a_slow_device_on_a_serial_line_disturbs_nobody_by_its_late_answers() {
    let slow = Behaviour::Answers { after: millis(70) };
    let rig = check_undisturbed(settled(Rtu, slow).await).await;
    assert!(rig.counters(2).fault(Fault::LateReply) > 0, "{:?}", rig.counters(2));
    assert_eq!(rig.counters(2).scans.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_device_behind_a_gateway_disturbs_nobody_by_its_late_answers() {
    let slow = Behaviour::Answers { after: millis(70) };
    let rig = check_undisturbed(settled(Tcp, slow).await).await;
    assert!(rig.counters(2).fault(Fault::LateReply) > 0, "{:?}", rig.counters(2));
    assert_eq!(rig.field().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_the_gateway_cannot_reach_is_quarantined() {
    let rig = check_undisturbed(settled(Tcp, Behaviour::Refuses { code: 0x0b }).await).await;
    assert_eq!(rig.counters(2).state(), DeviceState::Quarantined);
    assert!(rig.counters(2).exceptions(0x0b) < 30);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_comes_back_is_taken_in_with_the_safe_value_first() {
    for framing in [Rtu, Tcp] {
        let mut rig = settled(framing, PROMPT).await;
        rig.behave(2, Behaviour::Dead);
        rig.command(100, 700.0).await;
        rig.behave(2, PROMPT);
        let dead_writes = rig.field().writes(2).len();
        rig.command(100, 800.0).await;
        assert_eq!(rig.counters(2).state(), DeviceState::Online);
        let writes = rig.field().writes(2)[dead_writes..].to_vec();
        assert_eq!(writes[0].1, 0, "{framing:?}: the ramp is over: {writes:?}");
        assert!(writes[1..].iter().all(|(_, torque, _)| *torque == 800), "{framing:?}: {writes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_fails_at_the_cost_of_one_response_timeout_to_the_others() {
    for framing in [Rtu, Tcp] {
        let mut rig = settled(framing, PROMPT).await;
        rig.behave(2, Behaviour::Dead);
        rig.command(3, 500.0).await;
        let others = rig.field().requests(3);
        let longest = others.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default();
        // Half a period between its read and its write, and 30 ms of response timeout.
        assert!(longest <= millis(25 + 30 + 12), "{framing:?}: {longest:?}");
        assert_eq!(rig.counters(3).faults(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_values_of_one_device_never_go_to_another() {
    for framing in [Rtu, Tcp] {
        let mut rig = settled(framing, Behaviour::Answers { after: millis(35) }).await;
        rig.command(200, 500.0).await;
        for unit in [1_u8, 3] {
            let speed = rig.inputs(unit).sample(support::rig::SPEED).value;
            let base = u32::from(unit) * 1000;
            assert_eq!(speed, f64::from(base << 16 | (base + 1)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_meter_that_was_away_is_read_again() {
    for framing in [Rtu, Tcp] {
        let builder = RigBuilder::new(framing).period_ms(50).profile(meter());
        let mut rig = builder.device(1, PROMPT).device(2, PROMPT).start();
        rig.idle(20).await;
        rig.behave(2, Behaviour::Dead);
        rig.idle(40).await;
        rig.behave(2, PROMPT);
        rig.idle(60).await;
        let before = rig.counters(2).scans.get();
        rig.idle(20).await;
        assert_eq!(rig.counters(2).scans.get() - before, 20, "{framing:?}: {:?}", rig.counters(2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_hangs_up_again_and_again_is_not_stormed() {
    let mut rig = settled(Tcp, PROMPT).await;
    rig.behave(2, Behaviour::HangsUpAfter { requests: 1 });
    let before = rig.field().connections;
    rig.command(100, 500.0).await;
    let connections = rig.field().connections - before;
    // 5 s; the unit that brings the connection down is tried again ever more rarely.
    assert!(connections < 20, "{connections} connections");
    let good = rig.counters(3).scans.get();
    assert!(good > 60 + 100 - 20, "{good} scans");
}
