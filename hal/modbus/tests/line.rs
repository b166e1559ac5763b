//! What a line promises, in virtual time against devices of declared behaviour.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;

use hal_modbus::{
    DeviceCounters, DeviceEnd, DevicePort, DeviceState, Fault, LineConfig, Office, Parity, Stop, Ticker,
    Transport, run_line,
};
use hal_process_image::{DeviceInputs, DeviceOutputs, exchange};
use hal_units::Duration;
use support::Framing::{Rtu, Tcp};
use support::rig::{Behaviour, PROMPT, RigBuilder, drive};
use tokio::sync::watch;

const DEAD: Behaviour = Behaviour::Dead;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn the_first_write_is_the_safe_value_and_commands_follow() {
    let mut rig = RigBuilder::new(Tcp).device(1, PROMPT).start();
    rig.command(10, 500.0).await;
    let writes = rig.field().writes(1);
    assert_eq!((writes[0].1, writes[0].2), (0, 0), "{writes:?}");
    assert!(writes[1..].iter().all(|(_, torque, _)| *torque == 500), "{writes:?}");
    assert_eq!(rig.counters(1).writes.get(), writes.len() as u64 - 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_the_first_write_is_the_safe_value_of_that_moment() {
    let mut rig = RigBuilder::new(Tcp).device(1, PROMPT).start();
    rig.command(10, 500.0).await;
    rig.behave(1, Behaviour::HangsUpAfter { requests: 0 });
    rig.command(1, 500.0).await;
    let lost_at = rig.field().log.last().unwrap().0;
    rig.behave(1, PROMPT);
    let before = rig.field().writes(1).len();
    rig.command(10, 500.0).await;
    let (at, torque, _) = rig.field().writes(1)[before];
    // The ramp of 1000 per second began when the connection was lost, from the last 500.
    let ramped = 500.0 - at.since(lost_at).as_secs_f64() * 1000.0;
    assert!((f64::from(torque) - ramped).abs() <= 2.0, "{torque} instead of {ramped}");
    assert_eq!(rig.counters(1).reconnects(), 1);
    assert_eq!(rig.counters(1).fault(Fault::ConnectionLost), 1);
}

#[tokio::test(start_paused = true)]
async fn a_scan_reports_when_it_was_acquired_and_what_was_acknowledged() {
    let mut rig = RigBuilder::new(Tcp).device(1, PROMPT).start();
    rig.command(10, 500.0).await;
    let begin = rig.now();
    rig.command(1, 500.0).await;
    let inputs = rig.inputs(1);
    assert_eq!(inputs.acquired_at, begin);
    assert_eq!(inputs.outputs_acknowledged, 10);
    assert_eq!(u64::from(inputs.sequence), rig.counters(1).scans.get());
    let speed = inputs.sample(support::rig::SPEED).value;
    assert_eq!(speed, f64::from(1000_u32 << 16 | 1001));
}

#[tokio::test(start_paused = true)]
async fn a_combined_exchange_reads_and_writes_in_one_request() {
    let mut rig = RigBuilder::new(Tcp).profile(drive("combined")).device(1, PROMPT).start();
    rig.command(20, 500.0).await;
    let counters = rig.counters(1);
    assert!(counters.writes.get() >= 18 && counters.transactions.get() <= 22, "{counters:?}");
    assert!(rig.field().log.iter().skip(1).all(|(_, request)| request.function == 23));
    assert_eq!(rig.inputs(1).outputs_acknowledged, 20);
}

#[tokio::test(start_paused = true)]
async fn expired_outputs_are_dropped_and_counted() {
    let mut rig = RigBuilder::new(Tcp).device(1, PROMPT).start();
    rig.command(5, 500.0).await;
    rig.validity = Duration::ZERO;
    let before = rig.field().writes(1).len();
    rig.command(3, 600.0).await;
    assert_eq!(rig.field().writes(1).len(), before);
    assert_eq!(rig.counters(1).expired_outputs.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn outputs_that_stop_coming_lead_to_the_safe_action_without_feeding_the_watchdog() {
    let mut rig = RigBuilder::new(Tcp).device(1, PROMPT).start();
    rig.command(10, 500.0).await;
    rig.idle(100).await;
    let writes = rig.field().writes(1);
    let ramp: Vec<u16> = writes.iter().skip(11).map(|(_, torque, _)| *torque).collect();
    assert!(ramp.windows(2).all(|pair| pair[0] > pair[1]), "{ramp:?}");
    assert_eq!((ramp[0], *ramp.last().unwrap()), (500, 0));
    assert!(writes.iter().skip(11).all(|(_, _, alive)| *alive == 10), "{writes:?}");
    // Once at its end there is nothing more to write.
    let last = writes.last().unwrap().0;
    assert!(rig.now().since(last) > millis(500));
}

#[tokio::test(start_paused = true)]
async fn the_safe_action_goes_on_when_even_the_beat_has_stopped() {
    let mut rig = RigBuilder::new(Rtu).device(1, PROMPT).start();
    rig.command(10, 500.0).await;
    tokio::time::sleep(millis(2_000)).await;
    assert_eq!(rig.field().writes(1).last().unwrap().1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_when_the_device_is_safe() {
    let mut rig = RigBuilder::new(Tcp).device(1, PROMPT).start();
    rig.command(10, 500.0).await;
    let (field, clock, begin) = (rig.field.clone(), rig.clock.clone(), rig.now());
    assert_eq!(rig.stop_within(millis(5_000)).await, [DeviceEnd::Safe]);
    let took = clock().since(begin);
    // 500 at 1000 per second.
    assert!(took >= millis(500) && took < millis(700), "{took:?}");
    assert_eq!(field.lock().unwrap().writes(1).last().unwrap().1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_at_its_deadline_if_the_device_cannot_be_reached() {
    let mut rig = RigBuilder::new(Tcp).device(1, PROMPT).start();
    rig.command(10, 500.0).await;
    rig.behave(1, DEAD);
    let (clock, begin) = (rig.clock.clone(), rig.now());
    assert_eq!(rig.stop_within(millis(1_000)).await, [DeviceEnd::NotReached]);
    assert!(clock().since(begin) < millis(1_100));
}

#[tokio::test(start_paused = true)]
async fn a_line_whose_owner_is_gone_makes_its_devices_safe() {
    let mut rig = RigBuilder::new(Tcp).device(1, PROMPT).start();
    rig.command(10, 500.0).await;
    assert_eq!(rig.abandon().await, [DeviceEnd::Safe]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_tried_again_with_a_growing_wait() {
    let mut rig = RigBuilder::new(Tcp).device(1, PROMPT).start();
    rig.field().refuse_connections = true;
    rig.idle(500).await;
    let refused = rig.counters(1).fault(Fault::ConnectRefused);
    // 10 s: waits of 20, 40 ... 1280, then 2000 ms.
    assert!((9..=12).contains(&refused), "{refused}");
    assert_eq!(rig.counters(1).state(), DeviceState::Quarantined);
    rig.field().refuse_connections = false;
    rig.command(150, 500.0).await;
    assert_eq!(rig.counters(1).state(), DeviceState::Online);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_too_slow_skips_phases_and_counts_them() {
    let slow = Behaviour::Answers { after: millis(25) };
    let mut rig = RigBuilder::new(Tcp).device(1, slow).start();
    rig.command(100, 500.0).await;
    let counters = rig.counters(1);
    // 50 ms of bus time in each period of 20 ms.
    assert!((35..=42).contains(&counters.scans.get()), "{counters:?}");
    let phases = counters.scans.get() + counters.writes.get() + counters.skipped_phases.get();
    // Each phase up to the last served one was served or counted, but for those before it was online.
    let announced = counters.acquire_served.get() + counters.apply_served.get();
    assert!((announced - 4..=announced).contains(&phases), "{counters:?}");
    assert_eq!(counters.faults(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_refuses_writes_is_still_read() {
    let mut rig = RigBuilder::new(Tcp).device(1, Behaviour::RefusesWrites { code: 4 }).start();
    rig.command(50, 500.0).await;
    let counters = rig.counters(1);
    assert!(counters.scans.get() >= 48, "{counters:?}");
    assert_eq!(counters.writes.get(), 0);
    assert_eq!(counters.exceptions(4), counters.fault(Fault::Exception(4)));
    assert_eq!(rig.field().connections, 1);
    assert_eq!(rig.inputs(1).outputs_acknowledged, 0);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_cannot_keep_up_still_makes_its_device_safe() {
    let mut rig = RigBuilder::new(Tcp).device(1, PROMPT).start();
    rig.command(10, 500.0).await;
    rig.behave(1, Behaviour::Answers { after: millis(25) });
    rig.idle(100).await;
    assert_eq!(rig.field().writes(1).last().unwrap().1, 0);
    assert!(rig.counters(1).skipped_phases.get() > 50);
}

#[tokio::test(start_paused = true)]
async fn a_serial_port_that_is_not_there_is_looked_for_again() {
    let transport = Transport::Rtu {
        path: "/dev/no-such-port".into(),
        timing: support::rig::TIMING,
        parity: Parity::Even,
    };
    let (inputs, _inputs) = exchange(&DeviceInputs::NEVER);
    let (_outputs, outputs) = exchange(&DeviceOutputs::NEVER);
    let counters = Arc::new(DeviceCounters::default());
    let device = DevicePort {
        name: "drive".to_owned(),
        unit_id: 1,
        profile: drive("split"),
        inputs,
        outputs,
        counters: Arc::clone(&counters),
    };
    let clock = support::clock_from(tokio::time::Instant::now());
    let (_ticker, ticks) = Ticker::new();
    let (stop, stopped) = watch::channel(Stop::Run);
    let deadline = clock() + millis(1_500);
    let line = tokio::spawn(run_line(
        LineConfig::new("serial", transport),
        vec![device],
        Office::alone(),
        ticks,
        clock,
        stopped,
    ));
    tokio::time::sleep(millis(1_000)).await;
    stop.send(Stop::Safe { deadline }).unwrap();
    assert_eq!(line.await.unwrap(), [DeviceEnd::NotReached]);
    assert!(counters.fault(Fault::ConnectFailed) >= 5);
}
