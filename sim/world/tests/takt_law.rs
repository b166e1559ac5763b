//! The Takt law in closed loop: it starts, holds, comes through gusts, delays and a wrong model, and a
//! standby takes over in the middle of a gust. What it does better than others is in `takt-sim compare`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::tuned;
use control_loops_controllers::turbine::{ModeName, TurbineController, TurbineDemand};
use control_loops_rotor::RotorTable;
use control_loops_tuning::TurbineDescription;
use hal_diagnostics::Document;
use hal_units::{Duration, Radians, Watts};
use sim_plants::{NoiseLevels, RotorSurface, Wind, WindSpec};
use sim_world::{BusTrouble, RunFigures, RunStatistics, Start, TurbineLoop, TurbineLoopSetup};

fn setup(wind: &str, tuning: &str) -> TurbineLoopSetup {
    let wind = Wind::from_spec(&wind.parse::<WindSpec>().unwrap(), 1).unwrap();
    let period = Duration::from_millis(20);
    TurbineLoopSetup { period, controller: tuned(tuning), ..TurbineLoopSetup::in_wind(wind) }
}

/// Figures of so many seconds, after so many that do not count.
fn figures_of(mut site: TurbineLoop, skipped_s: u64, counted_s: u64) -> (RunFigures, ModeName) {
    let mut statistics = RunStatistics::default();
    let from = site.now() + Duration::from_secs(skipped_s);
    let end = from + Duration::from_secs(counted_s);
    while site.now() < end {
        site.step();
        if site.now() > from {
            statistics.add(&site.row());
        }
    }
    (statistics.figures(), site.last_step().unwrap().mode)
}

fn figures(setup: TurbineLoopSetup) -> RunFigures {
    let (figures, mode) = figures_of(TurbineLoop::new(setup), 60, 300);
    assert_eq!(mode, ModeName::Run, "{figures:?}");
    figures
}

#[test]
fn in_every_wind_the_turbine_starts_without_overspeed_and_stops_again() {
    for wind_mps in [3.5, 6.0, 11.4, 15.0, 25.0] {
        let start = Start::FromStandstill;
        let mut site =
            TurbineLoop::new(TurbineLoopSetup { start, ..setup(&format!("const:{wind_mps}"), "") });
        let mut fastest_rpm: f64 = 0.0;
        for _ in 0..50 * 400 {
            site.step();
            fastest_rpm = fastest_rpm.max(site.row().rotor_speed.as_rpm());
        }
        assert_eq!(site.last_step().unwrap().mode, ModeName::Run, "at {wind_mps} m/s");
        assert!(fastest_rpm < 13.5, "{fastest_rpm} rpm at {wind_mps} m/s");
        site.demand = TurbineDemand::STOP;
        for _ in 0..50 * 90 {
            site.step();
        }
        assert_eq!(site.last_step().unwrap().mode, ModeName::Parked, "at {wind_mps} m/s");
    }
}

#[test]
fn steady_winds_end_in_steady_states_on_the_schedule() {
    for (wind_mps, rpm, power_kw) in [(8.0, 9.2, 1720.0), (12.0, 12.1, 5000.0), (24.0, 12.1, 5000.0)] {
        let found = figures(setup(&format!("const:{wind_mps}"), ""));
        assert!((found.rotor_speed_max_rpm - rpm).abs() < 0.1, "{found:?}");
        assert!((found.mean_power_kw / power_kw - 1.0).abs() < 0.01, "{found:?}");
        assert!(found.rotor_speed_std_rpm < 1e-3 && found.pitch_travel_deg_per_s < 1e-3, "{found:?}");
    }
}

#[test]
fn a_wrong_model_late_commands_and_lost_writes_leave_the_loop_stable() {
    let calm = figures(setup("turb:18:16", ""));
    for (density, power, delay_ms, lost) in
        [(0.9, 1.0, 0, 0.0), (1.0, 0.9, 0, 0.0), (1.0, 1.1, 0, 0.0), (1.0, 1.0, 500, 0.0), (1.0, 1.0, 0, 0.5)]
    {
        let mut off = setup("turb:18:16", "");
        off.plant.air_density_kgpm3 *= density;
        off.plant.rotor_power_factor = power;
        off.bus = BusTrouble { delay: Duration::from_millis(delay_ms), lost };
        let found = figures(off);
        let case = (density, power, delay_ms, lost);
        assert!(found.rotor_speed_std_rpm < 2.0 * calm.rotor_speed_std_rpm, "{case:?}: {found:?}");
        assert!(found.mean_power_kw > 0.97 * calm.mean_power_kw, "{case:?}: {found:?}");
    }
}

#[test]
fn the_delay_margin_that_the_tuner_states_is_the_one_of_the_simulated_loop() {
    let document = Document::new("nrel-5mw.toml", control_loops_tuning::NREL_5MW);
    let description = TurbineDescription::parse(&document).unwrap();
    let table = RotorSurface::nrel_5mw().as_table();
    let tuned = control_loops_tuning::tune("nrel-5mw.toml", &description, &table).unwrap();
    let period = Duration::from_millis(20);
    let all = control_loops_tuning::margins::margins(&description, &table, &tuned, period);
    let stated = all.iter().find(|margins| margins.wind_mps >= 14.0).unwrap();
    assert!(stated.phase_deg > 45.0 && stated.gain > 4.0, "{stated:?}");
    let deviation_with = |share: f64| {
        let delay = stated.delay.mul_f64(share);
        let bus = BusTrouble { delay, lost: 0.0 };
        let wind = format!("turb:{}:1", stated.wind_mps);
        let site = TurbineLoop::new(TurbineLoopSetup { bus, ..setup(&wind, "guard_per_s = 0.0") });
        let (found, mode) = figures_of(site, 300, 300);
        // A loop that runs away is stopped by the interlock.
        if mode == ModeName::Run { found.rotor_speed_std_rpm } else { f64::INFINITY }
    };
    let (none, within, beyond) = (deviation_with(0.0), deviation_with(0.6), deviation_with(2.5));
    assert!(within < 0.1, "within the margin of {:?}: {within} rpm, {none} without delay", stated.delay);
    assert!(beyond > 0.3, "beyond the margin of {:?}: {beyond} rpm", stated.delay);
}

#[test]
fn without_an_estimate_the_turbine_runs_through_turbulence_and_gusts() {
    for wind in ["turb:8:16", "turb:18:16", "eog:12", "eog:24"] {
        let found = figures(setup(wind, "estimate_wind = false"));
        assert!(found.rotor_speed_max_rpm < 15.0, "{wind}: {found:?}");
    }
}

#[test]
fn usual_sensor_noise_costs_less_than_a_tenth_of_the_travel() {
    let quiet = figures(setup("turb:18:16", ""));
    let noisy = figures(TurbineLoopSetup { noise: NoiseLevels::USUAL, ..setup("turb:18:16", "") });
    assert!(noisy.pitch_travel_deg_per_s < 1.1 * quiet.pitch_travel_deg_per_s, "{noisy:?}");
    assert!(noisy.rotor_speed_std_rpm < 1.1 * quiet.rotor_speed_std_rpm, "{noisy:?}");
}

#[test]
fn each_option_does_what_its_name_says() {
    let plain = figures(setup("turb:14:16", ""));
    let swing = |tuning: &str| {
        let mut site = TurbineLoop::new(setup("turb:14:16", tuning));
        let squares = (0..50 * 300).map(|_| {
            site.step();
            site.row().tower_acceleration_mps2.powi(2)
        });
        (squares.sum::<f64>() / (50.0 * 300.0)).sqrt()
    };
    let (damped, free) = (swing("tower_damper_degspm = 3.0"), swing(""));
    assert!(damped < 0.8 * free, "tower damper: {damped} of {free} m/s2");
    let held = figures(setup("turb:14:16", "pitch_play_deg = 0.15"));
    assert!(held.pitch_travel_deg_per_s < 0.95 * plain.pitch_travel_deg_per_s, "play: {held:?}");
    let torque = figures(setup("turb:18:16", "constant_torque = true"));
    let power = figures(setup("turb:18:16", ""));
    assert!(torque.torque_std_nm < 0.8 * power.torque_std_nm, "constant torque: {torque:?} {power:?}");
    let shaved = TurbineLoopSetup { ..setup("const:11.4", "thrust_share = 0.8") };
    let whole = TurbineLoop::new(setup("const:11.4", ""));
    let thrust_of = |mut site: TurbineLoop| {
        for _ in 0..50 * 120 {
            site.step();
        }
        site.row().thrust.get()
    };
    let (shaved, whole) = (thrust_of(TurbineLoop::new(shaved)), thrust_of(whole));
    assert!((shaved / whole - 0.8).abs() < 0.02, "peak shaving: {shaved} of {whole} N");
}

#[test]
fn a_derated_turbine_gives_its_limit_by_torque_or_by_speed() {
    for (tuning, rpm) in [("", 12.1), ("derated_speed_share = 0.7", 12.1 * 0.85)] {
        let mut site = TurbineLoop::new(setup("const:15", tuning));
        site.demand.power_limit = Watts(2.5e6);
        let (found, mode) = figures_of(site, 100, 60);
        assert_eq!(mode, ModeName::Derated);
        assert!((found.mean_power_kw - 2500.0).abs() < 10.0, "{found:?}");
        assert!((found.rotor_speed_max_rpm - rpm).abs() < 0.05, "{found:?}");
    }
}

#[test]
fn excluded_speeds_are_crossed_and_not_dwelt_in() {
    let share_inside = |tuning: &str| {
        let mut site = TurbineLoop::new(setup("turb:8:10", tuning));
        let inside = (0..50 * 600).filter(|_| {
            site.step();
            (8.7..9.3).contains(&site.row().rotor_speed.as_rpm())
        });
        inside.count() as f64 / (50.0 * 600.0)
    };
    let free = share_inside("");
    let avoided = share_inside("excluded_speed_rpm = 9.0\nexcluded_half_width_rpm = 0.4");
    assert!(avoided < 0.6 * free, "{avoided} of the time, {free} without");
}

#[test]
fn a_standby_that_takes_the_state_over_in_a_gust_goes_on_identically() {
    let mut primary = TurbineLoop::new(setup("eog:18", ""));
    while primary.now() < Duration::from_secs(66) {
        primary.step();
    }
    let mut standby = primary.clone();
    let mut controller = TurbineController::new(*primary.controller().parameters());
    controller.restore(primary.controller().state());
    standby.replace_controller(controller);
    for _ in 0..3000 {
        assert_eq!(primary.step(), standby.step());
    }
}

#[test]
fn a_standby_that_has_only_measurements_takes_over_at_the_worst_moment_of_a_gust() {
    let fastest = |takeover_ms: Option<u64>| {
        let mut site = TurbineLoop::new(setup("eog:18", ""));
        let mut fastest_rpm: f64 = 0.0;
        for cycle in 0..50 * 120_u64 {
            if takeover_ms == Some(cycle * 20) {
                site.replace_controller(TurbineController::new(*site.controller().parameters()));
            }
            site.step();
            fastest_rpm = fastest_rpm.max(site.row().rotor_speed.as_rpm());
        }
        assert_eq!(site.last_step().unwrap().mode, ModeName::Run);
        fastest_rpm
    };
    let alone_rpm = fastest(None);
    for takeover_ms in (60_000..71_000).step_by(500) {
        let rpm = fastest(Some(takeover_ms));
        assert!(rpm < alone_rpm + 0.5, "{rpm} against {alone_rpm} rpm, taken over at {takeover_ms} ms");
    }
}

#[test]
fn the_rotor_table_that_is_shipped_is_the_simulated_rotor() {
    let shipped = RotorTable::from_rosco("nrel-5mw.rotor.txt", control_loops_tuning::NREL_5MW_ROTOR).unwrap();
    let rotor = RotorSurface::nrel_5mw();
    for (ratio, pitch_deg) in [(2.5, 30.0), (5.0, 15.0), (7.55, 0.0), (7.5, 4.0), (11.0, -2.0)] {
        let pitch = Radians::from_degrees(pitch_deg);
        let (table, formula) = (shipped.coefficients(ratio, pitch), rotor.coefficients(ratio, pitch));
        let apart = (table.torque - formula.torque).abs().max((table.thrust - formula.thrust).abs());
        assert!(apart < 0.003, "{ratio} {pitch_deg}: {table:?} {formula:?}");
    }
}
