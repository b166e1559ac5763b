//! A whole site: the real agent process, real sockets, simulated turbines, a real broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod agent;
mod blades;
mod cables;
mod containment;
mod der;
mod drives;
mod faults;
mod field;
mod fleet;
#[path = "../../../../hal/mqtt/campaign/mosquitto.rs"]
#[allow(dead_code, unreachable_pub)]
mod mosquitto;
mod operator;
mod pair;
mod park;
mod plans;
mod rules;
mod sparkplug;
mod traces;

use std::process::Command;
use std::time::Duration;

use hal_linux_rt::signal::Signal;
use serde_json::json;
use sim_broker::EmbeddedBroker;
use sim_devices::registers::{GENERATOR_CONNECT, GENERATOR_TORQUE_CMD, PITCH_CMD, WATCHDOG};
use sim_devices::{DeviceFault, PlcState};

use agent::{Agent, Site, WITHIN, until};
use field::{Field, Tap};
use operator::Operator;

/// Below rated wind: the controller is busy, and a stop is short.
const WIND_MPS: f64 = 9.0;

fn broker() -> EmbeddedBroker {
    EmbeddedBroker::start("127.0.0.1:0".parse().unwrap()).unwrap()
}

#[test]
fn turbines_run_and_each_is_read_and_written_in_each_cycle() {
    let field = Field::in_wind(4, WIND_MPS);
    let site = Site::over(&field.addresses());
    let agent = site.start();
    let first = agent.until_all_run();
    let last = agent.until("100 more cycles", |r| r.groups[0].cycles >= first.groups[0].cycles + 100);
    let cycles = last.groups[0].cycles - first.groups[0].cycles;
    for (before, after) in first.devices.iter().zip(&last.devices) {
        let (scans, writes) = (after.scans - before.scans, after.writes - before.writes);
        // The counters are read at slightly different times.
        for count in [scans, writes] {
            assert!(count.abs_diff(cycles) <= cycles / 10, "{}: {count} in {cycles} cycles", after.name);
        }
        assert_eq!(after.errors, 0, "{after:?}");
    }
    assert!(last.units.iter().all(|unit| unit.trips.is_empty() && unit.quality == "good"), "{last:#?}");
}

#[test]
fn a_derate_is_accepted_and_executed_and_lowers_the_power() {
    let (field, broker) = (Field::in_wind(2, 12.0), broker());
    let site = Site::over(&field.addresses()).with_broker(&broker.url());
    let agent = site.start();
    let before = agent.until_all_run();
    assert!(before.units[0].power_limit_kw > 4_000.0, "{before:#?}");
    let mut operator = Operator::at(&broker);
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    let id = operator.command("WT01", "derate", &json!({ "power_limit_kw": 2000 }), 30);
    operator.expect(&id, &["accepted", "executed"]);
    let after = agent.until("the limit is in force", |report| report.units[0].power_limit_kw == 2000.0);
    assert_eq!(after.units[1].power_limit_kw, before.units[1].power_limit_kw);
    assert_eq!(after.units[0].overrides, ["limited to 2000 kW"]);
    agent.until("the power follows", |report| report.units[0].power_kw < 2_300.0);
}

#[test]
fn a_command_that_is_refused_is_told_why_and_changes_nothing() {
    let (field, broker) = (Field::in_wind(1, WIND_MPS), broker());
    let site = Site::over(&field.addresses()).with_broker(&broker.url());
    let agent = site.start();
    let before = agent.until_all_run();
    let mut operator = Operator::at(&broker);
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));

    let reason = |operator: &Operator| {
        let answer = operator.answer();
        assert_eq!(answer["status"], "refused", "{answer}");
        assert!(!answer["text"].as_str().unwrap().is_empty());
        answer["reason"].as_str().unwrap().to_owned()
    };
    operator.command("WT01", "stop", &json!({}), -1);
    assert_eq!(reason(&operator), "expired");
    operator.publish("WT01", "stop", "{\"id\": \"half");
    assert_eq!(reason(&operator), "malformed");
    operator.command("WT01", "derate", &json!({ "power_limit_kw": 9000 }), 30);
    assert_eq!(reason(&operator), "out-of-limits");
    operator.command("WT01", "self-destruct", &json!({}), 30);
    assert_eq!(reason(&operator), "unknown-command");

    let after = agent.until("the refusals are counted", |report| report.commands.refused == 4);
    assert_eq!((after.commands.acknowledged, after.commands.executed), (0, 0));
    assert_eq!(after.units[0].power_limit_kw, before.units[0].power_limit_kw);
    assert!(agent::runs(&after.units[0]) && after.units[0].overrides.is_empty(), "{after:#?}");
}

#[test]
fn an_operators_stop_outlives_a_kill_of_the_agent() {
    let (field, broker) = (Field::in_wind(2, WIND_MPS), broker());
    let site = Site::over(&field.addresses()).with_broker(&broker.url());
    let mut agent = site.start();
    agent.until_all_run();
    let mut operator = Operator::at(&broker);
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    let id = operator.command("WT01", "stop", &json!({}), 30);
    operator.expect(&id, &["accepted", "executed"]);
    agent.kill();

    let agent = site.start();
    let report = agent.until("the other unit runs", |report| agent::runs(&report.units[1]));
    assert_eq!(report.units[0].overrides, ["stopped by an operator"]);
    agent.until_within("the unit stops", Duration::from_secs(60), |report| {
        report.units[0].mode == "parked" && report.units[0].power_kw < 50.0
    });
    let report = agent.report();
    assert!(agent::runs(&report.units[1]) && report.units[1].trips.is_empty(), "{report:#?}");
    assert!(report.devices.iter().all(|device| device.writes > 0 && device.errors == 0), "{report:#?}");
}

#[test]
fn a_command_whose_effect_cannot_be_stored_is_told_to_be_carried_out_and_not_to_last() {
    let (field, broker) = (Field::in_wind(1, WIND_MPS), broker());
    let site = Site::over(&field.addresses()).with_broker(&broker.url());
    let agent = site.start();
    agent.until_all_run();
    let mut operator = Operator::at(&broker);
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    // In the way of the file that would replace the stored one.
    std::fs::create_dir(site.folder().join("state/overrides.new")).unwrap();

    let id = operator.command("WT01", "derate", &json!({ "power_limit_kw": 2000 }), 30);
    operator.expect(&id, &["accepted"]);
    let answer = operator.answer();
    assert_eq!((&answer["id"], &answer["status"]), (&json!(id), &json!("failed")), "{answer}");
    assert!(answer["text"].as_str().unwrap().contains("forgotten when this node restarts"), "{answer}");
    agent.until("the limit is in force", |report| report.units[0].power_limit_kw == 2000.0);
}

#[test]
fn a_restarted_agent_goes_on_with_a_producing_turbine_without_a_jolt() {
    let field = Field::in_wind(1, WIND_MPS);
    let tap = Tap::before(field.addresses()[0]);
    let site = Site::over(&[tap.address]);
    let mut agent = site.start();
    agent.until_all_run();
    agent.kill();
    let connections = tap.connections();
    let held = *connections.last().unwrap().last().unwrap();

    let agent = site.start();
    until("writes of the new agent", WITHIN, || {
        let all = tap.connections();
        (all.len() > connections.len() && all.last().unwrap().len() > 20).then_some(())
    });
    for (at, write) in tap.connections().last().unwrap().iter().enumerate() {
        let step_nm = GENERATOR_TORQUE_CMD.f32(write) - GENERATOR_TORQUE_CMD.f32(&held);
        let step_deg = (PITCH_CMD.f32(write) - PITCH_CMD.f32(&held)).to_degrees();
        assert_eq!(GENERATOR_CONNECT.u16(write), 1, "write {at} takes the turbine off the grid");
        // The rotor wanders a little while nobody commands it.
        assert!(step_nm.abs() < 2_400.0 && step_deg.abs() < 1.0, "write {at}: {step_nm} N m, {step_deg} deg");
    }
    assert!(agent::runs(&agent.until_all_run().units[0]));
}

#[test]
fn a_new_plan_takes_effect_on_hang_up_and_a_broken_one_leaves_the_old() {
    let field = Field::in_wind(2, WIND_MPS);
    let site = Site::over(&field.addresses());
    let agent = site.start();
    agent.until_all_run();

    site.plan_text("name = \"broken\"\n[[unit]]\nname = \"WT99\"\nrequest = \"run\"\n");
    agent.signal(Signal::HangUp);
    let report = agent.until("the plan is refused", |report| report.plan.refused.is_some());
    let why = report.plan.refused.as_ref().unwrap();
    assert!(why.contains("plan.toml:3:8") && why.contains("WT99"), "{why}");
    assert_eq!(report.plan.name, "all");
    assert!(report.degradations().iter().any(|reason| reason.contains("WT99")));
    assert!(report.units.iter().all(agent::runs), "{report:#?}");

    site.plan_text(
        "name = \"half\"\nepoch = 2\n[[unit]]\nname = \"WT01\"\nrequest = \"run\"\npower_limit_kw = 1000\n\
         [[unit]]\nname = \"WT02\"\nrequest = \"stop\"\n",
    );
    agent.signal(Signal::HangUp);
    let report = agent.until("the new plan is in force", |report| {
        report.units[0].power_limit_kw == 1000.0 && report.units[1].mode == "normal_stop"
    });
    assert_eq!((report.plan.name.as_str(), report.plan.epoch), ("half", 2));
    assert_eq!(report.plan.refused, None);

    site.plan_text("name = \"yesterday\"\nepoch = 1\n");
    agent.signal(Signal::HangUp);
    let report = agent.until("the older plan is refused", |report| report.plan.refused.is_some());
    assert!(report.plan.refused.as_ref().unwrap().contains("epoch 1 is below 2"));
    assert_eq!(report.plan.name, "half");
}

#[test]
fn sigterm_brings_the_turbines_to_rest_before_the_agent_ends() {
    let field = Field::in_wind(2, WIND_MPS);
    let site = Site::over(&field.addresses());
    let mut agent = site.start();
    agent.until_all_run();
    agent.signal(Signal::Terminate);
    let status = agent.until_it_ends(Duration::from_secs(90));
    assert_eq!(status.code(), Some(0), "{}", agent.log());
    for device in 0..2 {
        field.look(device, |plc| {
            assert_eq!(plc.state(), PlcState::Normal, "the PLC helped");
            let actuation = *plc.turbine_mut().actuation();
            let true_now = plc.turbine_mut().measurements();
            assert!(
                !actuation.generator_connected && actuation.generator_torque.get() == 0.0,
                "{actuation:?}"
            );
            assert!(true_now.pitch[0].as_degrees() > 80.0, "{true_now:?}");
            assert!(true_now.power.as_kilowatts() < 1.0, "{true_now:?}");
        });
    }
}

#[test]
fn a_second_sigterm_writes_the_safe_actions_and_ends_at_once() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = Site::over(&field.addresses());
    let mut agent = site.start();
    agent.until_all_run();
    agent.signal(Signal::Terminate);
    agent.until("stopping", |report| report.phase == agent_status::Phase::Stopping);
    agent.signal(Signal::Terminate);
    let status = agent.until_it_ends(Duration::from_secs(10));
    assert_eq!(status.code(), Some(4), "{}", agent.log());
    let commands = field.look(0, |plc| *plc.commands());
    assert_eq!(GENERATOR_TORQUE_CMD.f32(&commands), 0.0);
    assert!(PITCH_CMD.f32(&commands).to_degrees() > 30.0, "{}", PITCH_CMD.f32(&commands).to_degrees());
}

#[test]
fn a_dead_device_takes_no_other_along_and_begins_again_with_the_safe_action() {
    let field = Field::in_wind(3, WIND_MPS);
    let mut addresses = field.addresses();
    let tap = Tap::before(addresses[1]);
    addresses[1] = tap.address;
    let site = Site::over(&addresses);
    let agent = site.start();
    let alive = agent.until_all_run();
    let held = *tap.connections().last().unwrap().last().unwrap();
    assert_eq!(GENERATOR_CONNECT.u16(&held), 1);
    let connections_alive = tap.connections().len();

    field.set_fault(1, DeviceFault::Dead);
    let dead = agent.until("the unit is blind", |report| report.groups[0].units_blind == 1);
    let later = agent.until("150 more cycles", |r| r.groups[0].cycles >= dead.groups[0].cycles + 150);
    let cycles = later.groups[0].cycles - dead.groups[0].cycles;
    assert_ne!(later.units[1].quality, "good");
    assert!(later.devices[1].errors > 0 && !later.devices[1].is_online(), "{:?}", later.devices[1]);
    for other in [0, 2] {
        let scans = later.devices[other].scans - dead.devices[other].scans;
        assert!(scans >= cycles * 9 / 10, "{scans} scans in {cycles} cycles");
        assert_eq!(later.devices[other].errors, alive.devices[other].errors);
        assert!(agent::runs(&later.units[other]), "{:?}", later.units[other]);
    }

    field.set_fault(1, DeviceFault::None);
    agent.until("the device is back", |report| {
        report.devices[1].is_online() && report.units[1].quality == "good"
    });
    until("writes on a new connection", WITHIN, || {
        tap.connections().last().is_some_and(|writes| writes.len() > 3).then_some(())
    });
    let firsts = tap.connections().split_off(connections_alive);
    let firsts: Vec<_> = firsts.iter().filter_map(|writes| writes.first()).collect();
    assert!(!firsts.is_empty());
    for first in firsts {
        // The profile: torque to zero, pitch to feather at 8 degrees a second, the rest held.
        assert!(GENERATOR_TORQUE_CMD.f32(first) < GENERATOR_TORQUE_CMD.f32(&held));
        assert!(PITCH_CMD.f32(first) > PITCH_CMD.f32(&held));
        assert_eq!(GENERATOR_CONNECT.u16(first), 1);
        assert!(WATCHDOG.u16(first) != 0, "held from the last acknowledged write");
    }
}

#[test]
fn probes_and_metrics_are_answered_over_tcp() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = Site::over(&field.addresses());
    let agent = site.start();
    agent.until_all_run();
    assert_eq!(agent.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(agent.get("/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(agent.get("/nothing").0, 404);
    let (status, metrics) = agent.get("/metrics");
    assert_eq!(status, 200);
    let cycles = metrics
        .lines()
        .find_map(|line| line.strip_prefix("takt_cycles_total{group=\"turbines\"} "))
        .unwrap_or_else(|| panic!("{metrics}"));
    assert!(cycles.parse::<u64>().unwrap() > 0, "{cycles}");
    assert!(metrics.contains("takt_device_online{device=\"WT01\"} 1.0"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));

    agent.signal(Signal::Terminate);
    agent.until("stopping", |report| report.phase == agent_status::Phase::Stopping);
    assert_eq!(agent.get("/readyz"), (503, "stopping\n".to_owned()));
    assert_eq!(agent.get("/healthz").0, 200);
}

/// The agent without any permission: another user, no capabilities.
fn without_permission(site: &Site) -> Command {
    use std::os::unix::fs::PermissionsExt;
    let program = site.folder().join("takt-agent");
    std::fs::copy(env!("CARGO_BIN_EXE_takt-agent"), &program).unwrap();
    std::fs::set_permissions(site.folder(), PermissionsExt::from_mode(0o777)).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", "-all"])
        .args(["--bounding-set", "-all", "--"])
        .arg(program)
        .args(site.arguments());
    command
}

#[test]
#[cfg_attr(not(takt_setpriv), ignore = "needs root and setpriv")]
fn an_agent_that_requires_real_time_refuses_to_run_without() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = Site::over(&field.addresses()).with_realtime("required");
    let output = without_permission(&site).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{complaint}");
    assert!(complaint.contains("real time is required") && complaint.contains("remedy: "), "{complaint}");
    assert_eq!(field.look(0, |plc| plc.truth().writes_applied), 0);
}

#[test]
#[cfg_attr(not(takt_setpriv), ignore = "needs root and setpriv")]
fn an_agent_that_prefers_real_time_runs_without_and_says_so() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = Site::over(&field.addresses());
    let agent = site.start_as(without_permission(&site));
    let report = agent.until_all_run();
    assert!(!report.realtime.obtained, "{:?}", report.realtime);
    let degraded = report.realtime.degraded.join("\n");
    assert!(degraded.contains("turbines") && degraded.contains("SCHED_FIFO"), "{degraded}");
    assert_eq!(report.groups[0].thread.policy, "SCHED_OTHER");
    assert!(agent.get("/metrics").1.contains("takt_realtime_obtained{site=\"test-site\"} 0.0"));
}

#[test]
#[cfg_attr(not(takt_setpriv), ignore = "needs root and setpriv")]
fn no_thread_of_a_running_agent_keeps_a_capability_that_it_does_not_need() {
    const IPC_LOCK: u64 = 1 << 14;
    let field = Field::in_wind(1, WIND_MPS);
    let site = Site::over(&field.addresses());
    let agent = site.start();
    agent.until_all_run();
    let threads = agent.effective_capabilities();
    let named = |name: &str| threads.iter().any(|(thread, _)| thread == name);
    assert!(named("turbines") && named("takt-field") && named("takt-admin"), "{threads:?}");
    for (thread, capabilities) in &threads {
        assert_eq!(capabilities & !IPC_LOCK, 0, "{thread} has {capabilities:#x}");
    }
}

#[track_caller]
fn assert_second_is_refused(
    field: &Field,
    site: &Site,
    running: &Agent,
    another: &std::path::Path,
    why: &str,
) {
    running.until_all_run();
    let output =
        Command::new(env!("CARGO_BIN_EXE_takt-agent")).arg("--config").arg(another).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    let last = complaint.lines().find(|line| line.starts_with("takt-agent: ")).unwrap_or_default();
    assert!(last.contains(why), "{complaint}");
    // The one that runs does not notice.
    let report = running.until_all_run();
    assert_eq!(report.devices[0].errors, 0);
    assert_eq!(field.look(0, |plc| plc.truth().writes_refused_by_epoch), 0);
    assert!(site.folder().join("takt.sock").exists());
}

#[test]
fn a_second_agent_on_the_same_admin_socket_is_refused_before_it_touches_the_field() {
    let field = Field::in_wind(1, WIND_MPS);
    let tap = Tap::before(field.addresses()[0]);
    let site = Site::over(&[tap.address]);
    let running = site.start();
    let another = site.write_another("takt.sock", "another-state");
    assert_second_is_refused(&field, &site, &running, &another, "another agent answers there");
    assert_eq!(tap.connections().len(), 1);
}

#[test]
fn a_second_agent_on_the_same_state_folder_is_refused_before_it_touches_the_field() {
    let field = Field::in_wind(1, WIND_MPS);
    let tap = Tap::before(field.addresses()[0]);
    let site = Site::over(&[tap.address]);
    let running = site.start();
    let another = site.write_another("another.sock", "state");
    assert_second_is_refused(&field, &site, &running, &another, "state");
    assert_eq!(tap.connections().len(), 1);
}
