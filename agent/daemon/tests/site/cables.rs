//! Cables that are twisted to their limit, seen by a real agent over the bus.

use hal_units::{Duration, MetersPerSecond, Radians};
use sim_devices::registers::YAW_RATE_CMD;
use sim_devices::{PlcConfig, TurbinePlc};
use sim_plants::{RotorSurface, SensorFault, Signal, Turbine, TurbinePlantParameters, Wind};

use crate::agent::{Site, WITHIN, until};
use crate::broker;
use crate::field::Field;
use crate::operator::Operator;

/// A normal stop takes the blades to feather at 3 deg/s and the torque to zero in 20 s.
const STOPPED_WITHIN: std::time::Duration = std::time::Duration::from_secs(90);

/// One turbine at full load, its nacelle turned by so much since its cables hung straight.
fn field(twist_deg: f64) -> Field {
    let wind = MetersPerSecond(18.0);
    let turbine = Turbine::new(TurbinePlantParameters::NREL_5MW, RotorSurface::nrel_5mw());
    let mut turbine = turbine.in_operation(wind);
    turbine.set_cable_twist(Radians::from_degrees(twist_deg));
    let config = PlcConfig {
        hold_after: Duration::from_secs(60),
        safe_after: Duration::from_secs(120),
        ..PlcConfig::default()
    };
    Field::of(vec![TurbinePlc::new(turbine, Wind::constant(wind), config)])
}

#[test]
fn a_turbine_at_the_hard_limit_of_its_cables_stops_and_is_told_to_untwist_over_the_bus() {
    let field = field(-1085.0);
    let site = Site::over(&field.addresses());
    let _agent = site.start();
    let rate = until("the cables are untwisted", STOPPED_WITHIN, || {
        field.look(0, |plc| {
            let rate = YAW_RATE_CMD.f32(plc.commands());
            let truth = plc.turbine_mut().measurements();
            let turned = truth.cable_twist > Radians::from_degrees(-1084.0);
            turned.then_some((rate, truth.generator_torque.get()))
        })
    });
    assert!(rate.0 > 0.005 && rate.1.abs() < 1.0, "{rate:?}");
}

#[test]
fn a_turbine_whose_cables_cannot_be_watched_says_so() {
    let field = field(100.0);
    let site = Site::over(&field.addresses());
    let agent = site.start();
    agent.until_all_run();
    assert!(agent.report().units[0].degraded.is_empty());
    field.look(0, |plc| plc.sensors_mut().set_fault(Signal::CableTwist, Some(SensorFault::NotANumber)));
    agent.until("the reason is there", |report| {
        report.degradations().iter().any(|reason| reason.starts_with("unit WT01: the twist of its cables"))
    });
    field.look(0, |plc| plc.sensors_mut().set_fault(Signal::CableTwist, None));
    agent.until("it is gone", |report| report.units[0].degraded.is_empty());
}

#[test]
fn a_counter_that_has_lost_its_place_is_not_believed_by_the_next_agent_either() {
    let (field, broker) = (field(100.0), broker());
    let site = Site::over(&field.addresses()).with_broker(&broker.url());
    let mut agent = site.start();
    agent.until_all_run();
    let jumps = Some(SensorFault::Offset(Radians::from_degrees(300.0).get()));
    field.look(0, |plc| plc.sensors_mut().set_fault(Signal::CableTwist, jumps));
    let in_doubt = |report: &agent_status::Report| !report.units[0].degraded.is_empty();
    agent.until("it jumped", in_doubt);
    until("it is on disk", WITHIN, || {
        std::fs::read_to_string(site.folder().join("state/overrides.json"))
            .ok()?
            .contains("\"twist_lost\": true")
            .then_some(())
    });
    agent.kill();

    let agent = site.start();
    agent.until("the next agent takes over the doubt", in_doubt);
    agent.until_all_run();
    assert!(in_doubt(&agent.report()));
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    let mut operator = Operator::at(&broker);
    let id = operator.command("WT01", "reset", &serde_json::json!({}), 30);
    operator.expect(&id, &["accepted", "executed"]);
    agent.until("a person has looked at it", |report| !in_doubt(report));
}
