//! Rules of plans, for when the centre, a device or the grid is lost, under real agents.

use agent_plan::Request;
use agent_plan::document::{Demand, Loss, Rule, SchedulingPlan};
use agent_plan::wire::{Answer, Ask};

use crate::WIND_MPS;
use crate::agent::{Agent, Site};
use crate::field::Field;
use crate::plans::{Planner, plan, planned};

#[test]
fn without_the_centre_the_plan_is_held_and_then_the_fallback_applies_until_it_is_back() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = planned(&field);
    let agent = site.start();
    let planner = Planner::of(&site);
    let fallback = Demand { unit: "WT01".to_owned(), request: Request::Run, power_limit_w: Some(500_000) };
    let rule = Rule {
        name: "centre-gone".to_owned(),
        lost: Loss::Centre,
        device: None,
        hold_ms: 2_000,
        return_ms: 0,
        fallback: vec![fallback],
    };
    assert_eq!(planner.ask(&Ask::CentreSeen), Answer::Done);
    planner.offer(SchedulingPlan { rules: vec![rule], ..plan(2, 3_000_000) }).unwrap();
    agent.until("the plan is held", |report| report.units[0].power_limit_kw == 3000.0);
    let report = agent.until("the fallback applies", |report| report.units[0].power_limit_kw == 500.0);
    agent.until("the rule shows", |report| report.plan.rules == ["centre-gone"]);
    assert_eq!(report.plan.epoch, 2);
    planner.ask(&Ask::CentreSeen);
    agent.until("the plan applies again", |report| report.units[0].power_limit_kw == 3000.0);
}

/// Two turbines under a plan of 3 MW each; while this is lost, the first is held at 500 kW.
fn under_a_rule(field: &Field, lost: Loss, device: Option<&str>) -> (Site, Agent) {
    let site = planned(field);
    let agent = site.start();
    let run = |unit: &str, power_limit_w| Demand {
        unit: unit.to_owned(),
        request: Request::Run,
        power_limit_w: Some(power_limit_w),
    };
    let rule = Rule {
        name: "gone".to_owned(),
        lost,
        device: device.map(str::to_owned),
        hold_ms: 500,
        return_ms: 500,
        fallback: vec![run("WT01", 500_000)],
    };
    let demands = vec![run("WT01", 3_000_000), run("WT02", 3_000_000)];
    Planner::of(&site).offer(SchedulingPlan { rules: vec![rule], demands, ..plan(2, 3_000_000) }).unwrap();
    until_held_at(&agent, [3000.0, 3000.0], &[]);
    // A trip during its trial would take it back.
    agent.until("it has proved itself", |report| {
        report.plan.stage == "last-known-good" && report.plan.epoch == 2
    });
    (site, agent)
}

/// The limits of both turbines, and the rules that apply.
#[track_caller]
fn until_held_at(agent: &Agent, limits_kw: [f64; 2], rules: &[&str]) {
    agent.until(&format!("{limits_kw:?} kW under {rules:?}"), |report| {
        let limits = [0, 1].map(|at: usize| report.units[at].power_limit_kw);
        limits == limits_kw && report.plan.rules == rules
    });
}

#[test]
fn while_no_turbine_sees_the_grid_the_fallback_applies() {
    let field = Field::in_wind(2, WIND_MPS);
    let (_site, agent) = under_a_rule(&field, Loss::Grid, None);
    let set_grid = |turbine, there| field.look(turbine, |plc| plc.turbine_mut().set_grid_present(there));
    set_grid(0, false);
    agent.until("it trips", |report| !report.units[0].trips.is_empty());
    std::thread::sleep(std::time::Duration::from_secs(1));
    until_held_at(&agent, [3000.0, 3000.0], &[]);
    set_grid(1, false);
    until_held_at(&agent, [500.0, 3000.0], &["gone"]);
    set_grid(0, true);
    until_held_at(&agent, [3000.0, 3000.0], &[]);
}

#[test]
fn while_a_device_is_silent_the_fallback_applies() {
    let field = Field::in_wind(2, WIND_MPS);
    let (_site, agent) = under_a_rule(&field, Loss::Device, Some("WT02"));
    field.set_fault(1, sim_devices::DeviceFault::Dead);
    until_held_at(&agent, [500.0, 3000.0], &["gone"]);
    field.set_fault(1, sim_devices::DeviceFault::None);
    until_held_at(&agent, [3000.0, 3000.0], &[]);
}

#[test]
fn a_park_s_reference_falls_back_like_a_unit_s_limit() {
    let (turbines, meter) = (Field::in_wind(2, WIND_MPS), Field::of(vec![sim_devices::MeterDevice::new()]));
    let site = planned(&turbines).with_park(meter.addresses()[0]);
    let agent = site.start();
    let run =
        |unit: &str, power_limit_w| Demand { unit: unit.to_owned(), request: Request::Run, power_limit_w };
    let rule = Rule {
        name: "gone".to_owned(),
        lost: Loss::Centre,
        device: None,
        hold_ms: 1_000,
        return_ms: 0,
        fallback: vec![run("PARK", Some(4_000_000))],
    };
    let demands = vec![run("WT01", None), run("WT02", None), run("PARK", Some(8_000_000))];
    Planner::of(&site).offer(SchedulingPlan { rules: vec![rule], demands, ..plan(2, 0) }).unwrap();
    for reference_kw in [8000.0, 4000.0] {
        agent.until("the next reference", |report| report.units[2].power_limit_kw == reference_kw);
    }
}
