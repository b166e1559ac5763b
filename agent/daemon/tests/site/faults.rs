//! Faults at turbines under a real agent, over Modbus: what follows at the device and how soon, and that no turbine
//! starts again before somebody resets it.
//!
//! What is measured is the time from the fault to the first write that leads the blades to feather, on the device's
//! clock. What is declared stands in the README; a fault that takes time to show counts from when it can be seen.

use std::time::Duration;

use hal_units::Radians;
use serde_json::json;
use sim_devices::{DeviceFault, PlcConfig, PlcState, TurbinePlc, WriteRecord};
use sim_plants::{RotorSurface, SensorFault, Signal, Turbine, TurbinePlantParameters, Wind, WindSpec};

use crate::agent::{Agent, Site, WITHIN, runs, until};
use crate::field::Field;
use crate::operator::Operator;
use crate::{WIND_MPS, broker};

/// The wind of those that rise does so then, s of the plants' time: all run before.
const GUST_S: u64 = 30;
/// Of all turbines in two minutes.
const WRITES: usize = 200_000;
/// Cycles, the bus, and a machine that is busy with other tests.
const MARGIN: Duration = Duration::from_millis(250);

/// What breaks.
#[derive(Debug, Clone, Copy)]
enum Breaks {
    Nothing,
    Sensor(Signal, SensorFault),
    Blade(usize),
    Grid,
    /// It goes on answering, with what it held.
    Image,
    Bus,
}

/// What follows.
#[derive(Debug, Clone, Copy)]
enum Follows {
    /// One of these trips; the turbine is on its way to feather so many milliseconds after the fault.
    Stops(&'static [&'static str], u64),
    /// Likewise, counted from when the wind rises.
    StopsInGust(&'static [&'static str], u64),
    /// One of these trips; the device cannot be reached in time.
    StopsUnreached(&'static [&'static str]),
    /// It goes on on what is left.
    GoesOn,
}

use Follows::{GoesOn, Stops, StopsInGust, StopsUnreached};

/// Name, wind, what breaks, what follows.
type Case = (&'static str, &'static str, Breaks, Follows);

const RISING: &str = "steps:14,18:30";

fn cases() -> Vec<Case> {
    use SensorFault::{Drift, Frozen, NotANumber, WordSwapped};
    let sensor = |signal, fault| Breaks::Sensor(signal, fault);
    let speeds: &[&str] = &["speed_mismatch", "overspeed", "overspeed_hard"];
    let pitches: &[&str] = &["pitch_deviation", "pitch_sensor"];
    let degree = Radians::from_degrees(1.0).get();
    vec![
        ("nothing", "const:14", Breaks::Nothing, GoesOn),
        ("blade stuck", RISING, Breaks::Blade(1), StopsInGust(&["pitch_deviation"], 8_000)),
        ("pitch frozen", RISING, sensor(Signal::Pitch1, Frozen), StopsInGust(pitches, 8_000)),
        (
            "generator speed frozen",
            "steps:12,20:30",
            sensor(Signal::GeneratorSpeed, Frozen),
            StopsInGust(speeds, 20_000),
        ),
        // 12 rad/s at 4 rad/s2, and a second.
        (
            "generator speed drifts",
            "const:14",
            sensor(Signal::GeneratorSpeed, Drift { per_second: 4.0 }),
            Stops(speeds, 4_000),
        ),
        // 3 deg at 1 deg/s, and a second.
        (
            "pitch drifts",
            "const:14",
            sensor(Signal::Pitch1, Drift { per_second: degree }),
            Stops(pitches, 4_000),
        ),
        // A second from the first value that might be true: what is beyond its range is not used, for up to another one.
        (
            "generator speed word-swapped",
            "const:14",
            sensor(Signal::GeneratorSpeed, WordSwapped),
            Stops(speeds, 2_000),
        ),
        (
            "rotor speed word-swapped",
            "const:14",
            sensor(Signal::RotorSpeed, WordSwapped),
            Stops(speeds, 2_000),
        ),
        ("pitch word-swapped", "const:14", sensor(Signal::Pitch1, WordSwapped), Stops(pitches, 1_000)),
        ("pitch NaN", "const:14", sensor(Signal::Pitch1, NotANumber), Stops(&["pitch_sensor"], 500)),
        (
            "acceleration word-swapped",
            "const:14",
            sensor(Signal::TowerAcceleration, WordSwapped),
            Stops(&["vibration_sensor"], 500),
        ),
        (
            "acceleration NaN",
            "const:14",
            sensor(Signal::TowerAcceleration, NotANumber),
            Stops(&["vibration_sensor"], 500),
        ),
        ("generator speed NaN", "const:14", sensor(Signal::GeneratorSpeed, NotANumber), GoesOn),
        ("wind NaN", "const:14", sensor(Signal::WindSpeed, NotANumber), GoesOn),
        ("grid lost", "const:14", Breaks::Grid, Stops(&["grid_loss"], 150)),
        // The age at which this test's values are bad, and half a second.
        ("device frozen", "const:14", Breaks::Image, Stops(&["speed_sensors", "pitch_sensor"], 1_000)),
        ("bus dead", "const:14", Breaks::Bus, StopsUnreached(&["speed_sensors", "lost_commands"])),
    ]
}

fn plc(wind: &str, seed: u64, config: PlcConfig) -> TurbinePlc {
    let turbine = Turbine::new(TurbinePlantParameters::NREL_5MW, RotorSurface::nrel_5mw());
    let wind = Wind::from_spec(&wind.parse::<WindSpec>().unwrap(), seed).unwrap();
    let turbine = turbine.in_operation(wind.speed_at(hal_units::Duration::ZERO));
    TurbinePlc::new(turbine, wind, PlcConfig { seed, ..config })
}

/// The PLCs' own watchdogs are patient: what the agent does is to be seen.
fn patient() -> PlcConfig {
    let (hold_after, safe_after) = (hal_units::Duration::from_secs(60), hal_units::Duration::from_secs(120));
    PlcConfig { hold_after, safe_after, ..PlcConfig::default() }
}

/// Breaks it or, with `broken` false, mends it.
fn set(field: &Field, device: usize, breaks: Breaks, broken: bool) {
    match breaks {
        Breaks::Nothing => {}
        Breaks::Sensor(signal, fault) => {
            field.look(device, |plc| plc.sensors_mut().set_fault(signal, broken.then_some(fault)));
        }
        Breaks::Blade(blade) => {
            field.look(device, |plc| plc.turbine_mut().set_pitch_drive_jammed(blade, broken));
        }
        Breaks::Grid => field.look(device, |plc| plc.turbine_mut().set_grid_present(!broken)),
        Breaks::Image => field.look(device, |plc| plc.freeze_image(broken)),
        Breaks::Bus => {
            field.set_fault(device, if broken { DeviceFault::Dead } else { DeviceFault::None });
        }
    }
}

/// When the blades' last way to feather began, of the writes of one device.
fn way_to_feather_began(writes: &[WriteRecord]) -> Option<Duration> {
    // At 8 deg/s a cycle of 20 ms moves them by 0.16 deg, and control in a steady wind hardly at all.
    const MOVES_RAD: f32 = 0.08_f32.to_radians();
    let feathered = writes.iter().position(|write| write.pitch_rad > 45.0_f32.to_radians())?;
    let mut first = feathered;
    while first > 0 && writes[first].pitch_rad - writes[first - 1].pitch_rad > MOVES_RAD {
        first -= 1;
    }
    // The first that moves them is the one after the last that did not.
    Some(writes[(first + 1).min(feathered)].at.since(hal_units::Instant::ZERO))
}

fn reset(agent: &Agent, operator: &mut Operator, units: &[String]) {
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    let ids: Vec<String> = units.iter().map(|unit| operator.command(unit, "reset", &json!({}), 30)).collect();
    operator.until_all_executed(&ids);
}

#[test]
fn every_fault_stops_its_turbine_in_its_declared_time_and_none_starts_again_without_a_reset() {
    let cases = cases();
    let plcs = cases.iter().zip(0..).map(|((_, wind, ..), seed)| plc(wind, seed, patient())).collect();
    let (field, broker) = (Field::logged(plcs, WRITES), broker());
    let site = Site::over(&field.addresses()).with_broker(&broker.url());
    let agent = site.start();
    agent.until_all_run();
    let struck_at = field.elapsed();
    assert!(struck_at < Duration::from_secs(GUST_S), "all ran too late: {struck_at:?}");
    for (device, (_, _, breaks, _)) in cases.iter().enumerate() {
        set(&field, device, *breaks, true);
    }

    let stops = |follows: &Follows| !matches!(follows, GoesOn);
    agent.until_within("all that are to stop have tripped", Duration::from_secs(90), |report| {
        cases.iter().zip(&report.units).all(|((.., follows), unit)| unit.trips.is_empty() != stops(follows))
    });
    // To feather and off the grid; the frozen image shows nothing of it, so the commands count.
    std::thread::sleep(Duration::from_secs(12));
    let report = agent.report();
    let writes = field.take_writes();
    for (device, (name, _, _, follows)) in cases.iter().enumerate() {
        let unit = &report.units[device];
        let (trips, from, declared) = match *follows {
            Stops(trips, declared) => (trips, struck_at, Some(declared)),
            StopsInGust(trips, declared) => (trips, Duration::from_secs(GUST_S), Some(declared)),
            StopsUnreached(trips) => (trips, struck_at, None),
            GoesOn => {
                assert!(runs(unit), "{name}: {unit:?}");
                continue;
            }
        };
        assert!(unit.trips.iter().any(|trip| trips.contains(&trip.as_str())), "{name}: {unit:?}");
        let Some(declared) = declared.map(Duration::from_millis) else { continue };
        let began =
            way_to_feather_began(&writes[device]).unwrap_or_else(|| panic!("{name}: never feathered"));
        let after = began.saturating_sub(from);
        println!("{name}: declared {declared:?}, measured {after:?}, {:?}", unit.trips);
        assert!(after <= declared + MARGIN, "{name}: after {after:?}, declared {declared:?}");
    }

    // What was broken is whole again, and everything stays as it is.
    for (device, (_, _, breaks, _)) in cases.iter().enumerate() {
        set(&field, device, *breaks, false);
    }
    // A blade that was stuck has its whole way to go: as long as it is not there, a reset would release nothing.
    std::thread::sleep(Duration::from_secs(14));
    let (report, later) = (agent.report(), field.take_writes());
    for (device, (name, _, _, follows)) in cases.iter().enumerate() {
        let unit = &report.units[device];
        if !stops(follows) {
            assert!(runs(unit), "{name}: {unit:?}");
            continue;
        }
        assert!(!unit.trips.is_empty(), "{name}: forgot its trip: {unit:?}");
        assert!(matches!(unit.mode.as_str(), "emergency_stop" | "parked"), "{name}: {unit:?}");
        let restarts = later[device].iter().filter(|write| write.connect).count();
        let bus_was_dead = matches!(follows, StopsUnreached(_));
        assert!(restarts == 0 || bus_was_dead, "{name}: {restarts} writes connect the generator");
        let last = later[device].last().unwrap();
        assert!(!last.connect && last.torque_nm == 0.0, "{name}: {last:?}");
    }

    let stopped: Vec<String> = cases
        .iter()
        .zip(&report.units)
        .filter(|((.., follows), _)| stops(follows))
        .map(|(_, unit)| unit.name.clone())
        .collect();
    reset(&agent, &mut Operator::at(&broker), &stopped);
    agent.until_within("all may start again", Duration::from_secs(60), |report| {
        report.units.iter().all(|unit| unit.trips.is_empty() && unit.mode != "emergency_stop")
    });
}

#[test]
fn a_turbine_that_had_tripped_waits_for_a_reset_though_its_agent_was_killed() {
    let turbine = plc(&format!("const:{WIND_MPS}"), 1, PlcConfig::default());
    let (field, broker) = (Field::of(vec![turbine]), broker());
    let site = Site::over(&field.addresses()).with_broker(&broker.url());
    let mut agent = site.start();
    agent.until_all_run();
    set(&field, 0, Breaks::Grid, true);
    agent.until("it has tripped", |report| !report.units[0].trips.is_empty());
    set(&field, 0, Breaks::Grid, false);
    // Until the trip is on disk: the file is replaced at once, but not in the same moment.
    std::thread::sleep(Duration::from_secs(1));
    agent.kill();

    let agent = site.start();
    let report = agent.until("the unit knows", |report| !report.units[0].trips.is_empty());
    assert_eq!(report.units[0].overrides, ["emergency stop: it had tripped when the agent ended"]);
    std::thread::sleep(Duration::from_secs(20));
    let unit = agent.report().units[0].clone();
    assert!(!runs(&unit) && !unit.trips.is_empty(), "{unit:?}");
    reset(&agent, &mut Operator::at(&broker), &[unit.name]);
    agent.until_within("it runs again", Duration::from_secs(120), |report| runs(&report.units[0]));
}

#[test]
fn a_device_that_has_lost_its_master_s_heartbeat_makes_itself_safe_and_waits_for_a_reset() {
    let turbine = plc(&format!("const:{WIND_MPS}"), 1, PlcConfig::default());
    let (field, broker) = (Field::of(vec![turbine]), broker());
    let site = Site::over(&field.addresses()).with_broker(&broker.url());
    let agent = site.start();
    agent.until_all_run();
    agent.pause(Duration::from_secs(3));
    // It held for 200 ms and went to its safe state after a second.
    field.look(0, |plc| assert_eq!(plc.truth().watchdog_starvations, 1));
    let report = agent.until("the unit knows", |report| !report.units[0].trips.is_empty());
    println!("{:?}", report.units[0].trips);
    until("the device takes commands again", WITHIN, || {
        field.look(0, |plc| plc.state() == PlcState::Normal).then_some(())
    });
    std::thread::sleep(Duration::from_secs(3));
    let unit = &agent.report().units[0];
    assert!(!unit.trips.is_empty() && unit.mode == "emergency_stop", "{unit:?}");
    let commands = field.look(0, |plc| *plc.commands());
    assert_eq!(sim_devices::registers::GENERATOR_CONNECT.u16(&commands), 0);
    reset(&agent, &mut Operator::at(&broker), &["WT01".to_owned()]);
    agent.until("the unit may start again", |report| report.units[0].trips.is_empty());
}

#[test]
fn a_turbine_that_its_device_made_safe_while_its_agent_was_dead_waits_for_a_reset() {
    let turbine = plc(&format!("const:{WIND_MPS}"), 1, PlcConfig::default());
    let (field, broker) = (Field::of(vec![turbine]), broker());
    let site = Site::over(&field.addresses()).with_broker(&broker.url());
    let mut agent = site.start();
    agent.until_all_run();
    // Until it is on disk that the turbine operates.
    std::thread::sleep(Duration::from_secs(1));
    agent.kill();
    until_safe(&field);

    // Killed again before anybody has reset it.
    let mut agent = site.start();
    agent.until("the unit knows", |report| {
        report.units[0].trips.iter().any(|trip| trip == "device_safe_state")
    });
    std::thread::sleep(Duration::from_secs(1));
    agent.kill();
    until_safe(&field);

    let agent = site.start();
    agent.until("the unit knows", |report| !report.units[0].trips.is_empty());
    std::thread::sleep(Duration::from_secs(20));
    let unit = agent.report().units[0].clone();
    assert!(!runs(&unit) && !unit.trips.is_empty(), "{unit:?}");
    assert_eq!(field.look(0, |plc| plc.state()), PlcState::Normal);
    reset(&agent, &mut Operator::at(&broker), &[unit.name]);
    agent.until_within("it runs again", Duration::from_secs(120), |report| runs(&report.units[0]));
}

#[test]
fn a_turbine_that_its_agent_has_brought_to_rest_starts_with_the_next_agent_without_a_reset() {
    let turbine = plc(&format!("const:{WIND_MPS}"), 1, PlcConfig::default());
    let field = Field::of(vec![turbine]);
    let site = Site::over(&field.addresses());
    let mut agent = site.start();
    agent.until_all_run();
    std::thread::sleep(Duration::from_secs(1));
    agent.signal(hal_linux_rt::signal::Signal::Terminate);
    assert!(agent.until_it_ends(Duration::from_secs(120)).success());
    until_safe(&field);

    let agent = site.start();
    let report =
        agent.until_within("it runs again", Duration::from_secs(120), |report| runs(&report.units[0]));
    assert!(report.units[0].trips.is_empty(), "{:?}", report.units[0]);
}

/// Until the device's watchdog has made the turbine safe.
fn until_safe(field: &Field) {
    until("the device is in its safe state", WITHIN, || {
        field.look(0, |plc| matches!(plc.state(), PlcState::Safe { .. })).then_some(())
    });
}
