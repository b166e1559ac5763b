//! A plant behind a SunSpec interface, led by a real agent with the shipped profile.

use std::time::Duration;

use agent_status::Unit;
use serde_json::json;
use sim_devices::der::{CONTROLLER_HEARTBEAT, LIMIT, OPERATION};
use sim_devices::{DerConfig, DerDevice};

use crate::agent::{Agent, Site, WITHIN, until};
use crate::broker;
use crate::field::Field;
use crate::operator::Operator;

/// The limit to revert to in the site's file, hundredths of a percent.
const REVERTED: u16 = 4000;
/// When it does: 8 s in the site's file, and a scan.
const REVERT_AFTER: Duration = Duration::from_millis(8_100);

/// A plant whose patience with its controller outlasts the reversion timer, or not.
fn plant(patience_s: u64) -> Field<DerDevice> {
    let controller_timeout = hal_units::Duration::from_secs(patience_s);
    Field::of(vec![DerDevice::new(DerConfig { controller_timeout, ..DerConfig::default() })])
}

fn until_mode(agent: &Agent, mode: &str) -> Unit {
    agent.until(mode, |report| report.units[0].mode == mode).units[0].clone()
}

fn limit_at(field: &Field<DerDevice>) -> u16 {
    field.look(0, |der| der.word(LIMIT))
}

fn derate(agent: &Agent, operator: &mut Operator, limit_kw: u32) {
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    let id = operator.command("DER1", "derate", &json!({ "power_limit_kw": limit_kw }), 30);
    operator.expect(&id, &["accepted", "executed"]);
}

#[test]
fn a_limit_reaches_the_plant_and_is_reverted_when_the_agent_is_gone() {
    let (field, broker) = (plant(60), broker());
    let site = Site::over(&[]).with_ders(&field.addresses()).with_broker(&broker.url());
    let mut agent = site.start();
    until_mode(&agent, "run");
    derate(&agent, &mut Operator::at(&broker), 1_500);
    let unit = until_mode(&agent, "limited");
    assert_eq!(unit.power_limit_kw, 1_500.0);
    until("the plant follows", WITHIN, || {
        field.look(0, |der| (der.truth().power.as_kilowatts() - 1_500.0).abs() < 50.0).then_some(())
    });
    // The limit is told again and again: it outlasts its time.
    std::thread::sleep(REVERT_AFTER);
    assert_eq!((limit_at(&field), field.look(0, |der| der.truth().timer_reversions)), (3_000, 0));

    agent.kill();
    until("the plant reverts", WITHIN, || (limit_at(&field) == REVERTED).then_some(()));
    let truth = field.look(0, |der| *der.truth());
    let after = truth.reverted_at.unwrap().since(truth.last_write_at.unwrap());
    println!("declared {REVERT_AFTER:?}, measured {after:?}");
    assert!(after <= REVERT_AFTER && truth.timer_reversions == 1, "{truth:?}");

    let agent = site.start();
    until("the agent's limit is back", WITHIN, || (limit_at(&field) == 3_000).then_some(()));
    assert_eq!(until_mode(&agent, "limited").overrides, ["limited to 1500 kW"]);
    assert_eq!(field.look(0, |der| der.truth().starts), 0, "it was never stopped on the way");
}

#[test]
fn a_controller_whose_heartbeat_stands_still_is_an_alarm_until_an_operator_resets_it() {
    let (field, broker) = (plant(3), broker());
    let site = Site::over(&[]).with_ders(&field.addresses()).with_broker(&broker.url());
    let agent = site.start();
    until_mode(&agent, "run");
    until("the plant hears the heartbeat", WITHIN, || {
        field.look(0, |der| der.word(CONTROLLER_HEARTBEAT + 1) > 1).then_some(())
    });
    agent.pause(Duration::from_secs(5));
    let truth = field.look(0, |der| *der.truth());
    let after = truth.lost_at.unwrap().since(truth.last_write_at.unwrap());
    println!("controller lost: declared 3 s and a heartbeat's second, measured {after:?}");
    assert!(truth.controllers_lost == 1, "{truth:?}");
    assert_eq!(until_mode(&agent, "alarm").trips, ["alarm"]);
    // The heartbeat is back, and the plant stays at what it reverted to.
    std::thread::sleep(Duration::from_secs(4));
    assert!(field.look(0, |der| der.is_alarmed() && der.truth().power.as_kilowatts() < 2_100.0));
    let mut operator = Operator::at(&broker);
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    let id = operator.command("DER1", "reset", &json!({}), 30);
    operator.expect(&id, &["accepted", "executed"]);
    until_mode(&agent, "run");
    assert_eq!(field.look(0, |der| der.truth().controllers_lost), 1);
}

#[test]
fn a_plant_in_local_control_gets_nothing_written_and_says_so() {
    let (field, broker) = (plant(60), broker());
    let site = Site::over(&[]).with_ders(&field.addresses()).with_broker(&broker.url());
    // From before the agent's first connection.
    field.look(0, |der| der.set_local(true));
    let mut agent = site.start();
    let unit = until_mode(&agent, "local");
    assert_eq!((unit.trips.as_slice(), unit.quality.as_str()), (["local".to_owned()].as_slice(), "good"));
    std::thread::sleep(Duration::from_secs(2));
    let truth = field.look(0, |der| *der.truth());
    assert_eq!((truth.writes, truth.writes_in_local), (0, 0));

    field.look(0, |der| der.set_local(false));
    until_mode(&agent, "run");
    until("it is written", WITHIN, || field.look(0, |der| der.truth().writes > 20).then_some(()));
    assert_eq!(field.look(0, |der| (der.word(OPERATION), der.truth().starts)), (2, 0), "no stop in between");

    // Turned in the middle of it: what was under way may still arrive, and then nothing does, also of a new agent.
    field.look(0, |der| der.set_local(true));
    until_mode(&agent, "local");
    std::thread::sleep(Duration::from_millis(100));
    let late = field.look(0, |der| der.truth().writes_in_local);
    assert!(late <= 2, "{late}");
    derate(&agent, &mut Operator::at(&broker), 1_000);
    std::thread::sleep(Duration::from_secs(2));
    agent.kill();
    let agent = site.start();
    until_mode(&agent, "local");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(field.look(0, |der| der.truth().writes_in_local), late);

    field.look(0, |der| der.set_local(false));
    until("the limit that was set meanwhile", WITHIN, || (limit_at(&field) == 2_000).then_some(()));
}
