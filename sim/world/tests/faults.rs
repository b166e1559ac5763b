//! What breaks by name, and what follows: within its time the turbine is in emergency stop, or goes on on
//! what is left; and after a stop nothing starts again without a reset.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use control_loops_controllers::turbine::{ModeName, Trip, TurbineParameters};
use hal_units::Duration;
use sim_plants::{Wind, WindSpec};
use sim_world::{TimedFault, TurbineLoop, TurbineLoopSetup};

/// No fault may let the rotor beyond this: 140 % of 12.1 rpm.
const FASTEST_RPM: f64 = 16.94;
const STRIKE: Duration = Duration::from_secs(60);

/// What is declared to follow from a fault.
enum Follows {
    /// This trip, at the latest after so long.
    Trip(Trip, Duration),
    /// A trip of the speeds, which one depends on the number that the swapped words make.
    SpeedTrip(Duration),
    /// Production goes on.
    GoesOn,
}

use Follows::{GoesOn, SpeedTrip, Trip as Trips};

fn controllers() -> [TurbineParameters; 2] {
    [TurbineParameters::NREL_5MW, common::tuned("")]
}

fn check(name: &str, wind: &str, controller: TurbineParameters, follows: &Follows) {
    let struck: TimedFault = format!("{name}@60").parse().unwrap();
    let law = if controller.takt.is_some() { "takt" } else { "baseline" };
    let wind = Wind::from_spec(&wind.parse::<WindSpec>().unwrap(), 1).unwrap();
    let period = Duration::from_millis(20);
    let mut site =
        TurbineLoop::new(TurbineLoopSetup { period, controller, ..TurbineLoopSetup::in_wind(wind) });
    let (mut stopped_after, mut restarted) = (None, false);
    let mut fastest_rpm: f64 = 0.0;
    while site.now() < Duration::from_secs(400) {
        if site.now() == STRIKE {
            struck.fault.strike(&mut site);
        }
        let began = site.now();
        let step = site.step();
        fastest_rpm = fastest_rpm.max(site.row().rotor_speed.as_rpm());
        if !step.trips.is_empty() && stopped_after.is_none() {
            stopped_after = Some((began.saturating_sub(STRIKE), step.trips));
        }
        restarted |=
            stopped_after.is_some() && !matches!(step.mode, ModeName::EmergencyStop | ModeName::Parked);
    }
    assert!(!restarted, "{name} under {law}: restarted without a reset");
    assert!(fastest_rpm < FASTEST_RPM, "{name} under {law}: {fastest_rpm} rpm");
    match (follows, stopped_after) {
        (Trips(trip, within), Some((after, trips))) => {
            assert!(trips.contains(*trip), "{name} under {law}: {:?}", trips.iter().collect::<Vec<_>>());
            assert!(after <= *within, "{name} under {law}: after {after:?}, declared {within:?}");
        }
        (SpeedTrip(within), Some((after, trips))) => {
            let speed = [Trip::SpeedMismatch, Trip::OverspeedHard, Trip::Overspeed];
            assert!(speed.iter().any(|&trip| trips.contains(trip)), "{name} under {law}");
            assert!(after <= *within, "{name} under {law}: after {after:?}, declared {within:?}");
        }
        (GoesOn, None) => assert_eq!(site.last_step().unwrap().mode, ModeName::Run, "{name} under {law}"),
        (Trips(..) | SpeedTrip(_), None) => panic!("{name} under {law}: nothing followed"),
        (GoesOn, Some((after, _))) => panic!("{name} under {law}: stopped after {after:?}"),
    }
}

#[test]
fn every_fault_has_its_declared_consequence_in_time_under_both_laws() {
    let ms = Duration::from_millis;
    let table = [
        ("grid-loss", Trips(Trip::GridLoss, ms(170))),
        // The watchdog's second and one cycle.
        ("commands-lost", Trips(Trip::LostCommands, ms(1040))),
        // 12 rad/s apart for a second: at 0.25 rad/s2 after 48 s.
        ("generator-speed-drift", Trips(Trip::SpeedMismatch, ms(49_200))),
        ("rotor-speed-drift", Trips(Trip::SpeedMismatch, ms(49_200))),
        ("generator-speed-word-swapped", SpeedTrip(ms(1040))),
        ("rotor-speed-word-swapped", SpeedTrip(ms(1040))),
        // 3 deg at 0.05 deg/s, and a second.
        ("pitch-drift", Trips(Trip::PitchDeviation, ms(61_200))),
        ("pitch-word-swapped", Trips(Trip::PitchDeviation, ms(1040))),
        ("pitch-nan", Trips(Trip::PitchSensor, ms(520))),
        ("tower-acceleration-nan", Trips(Trip::VibrationSensor, ms(520))),
        // One speed stands in for the other.
        ("generator-speed-nan", GoesOn),
        ("rotor-speed-nan", GoesOn),
        ("generator-torque-nan", GoesOn),
        ("generator-torque-word-swapped", GoesOn),
        ("power-nan", GoesOn),
        ("power-word-swapped", GoesOn),
        ("wind-speed-frozen", GoesOn),
        ("wind-speed-nan", GoesOn),
        ("wind-speed-word-swapped", GoesOn),
        ("yaw-error-nan", GoesOn),
        // The nacelle stays where it is.
        ("cable-twist-nan", GoesOn),
        ("cable-twist-frozen", GoesOn),
        ("cable-twist-drift", GoesOn),
        ("cable-twist-word-swapped", GoesOn),
    ];
    for controller in controllers() {
        for (name, follows) in &table {
            check(name, "const:14", controller, follows);
        }
    }
}

#[test]
fn in_turbulence_a_frozen_torque_leaves_the_turbine_running() {
    for controller in controllers() {
        check("generator-torque-frozen", "turb:16:12", controller, &GoesOn);
    }
}

#[test]
fn a_blade_that_is_stuck_or_seems_so_stops_the_turbine_as_soon_as_the_wind_moves_the_others() {
    for controller in controllers() {
        for name in ["blade-1-stuck", "blade-2-stuck", "blade-3-stuck", "pitch-frozen"] {
            check(name, "turb:16:12", controller, &Trips(Trip::PitchDeviation, Duration::from_secs(30)));
            // The wind rises a second after the strike by 4 m/s: 4 to 5 deg of pitch.
            check(name, "steps:14,18:61", controller, &Trips(Trip::PitchDeviation, Duration::from_secs(8)));
        }
    }
}

#[test]
fn a_frozen_speed_is_found_out_as_soon_as_the_wind_moves_the_rotor() {
    for controller in controllers() {
        // The wind rises at the strike: the law sees a rotor that does not answer.
        check(
            "generator-speed-frozen",
            "steps:12,20:61",
            controller,
            &Trips(Trip::SpeedMismatch, Duration::from_secs(20)),
        );
    }
}
