//! A nacelle that follows a turning wind for a day, and the cables that this twists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write as _;

use control_loops_controllers::turbine::{ModeName, YawStatus};
use hal_units::{Duration, Radians, Watts};
use sim_plants::{NoiseLevels, SensorFault, Signal, Wind};
use sim_world::{TurbineLoop, TurbineLoopSetup};

const HOUR_S: u64 = 3600;
/// Of the controller: the slowest that it is made for, because a day is long.
const PERIOD: Duration = Duration::from_millis(100);
/// Twist that a sensor's noise of 1 degree and one period may add to the hard limit.
const MARGIN_DEG: f64 = 6.0;

/// Random numbers between -1 and 1 (a linear congruential generator with the constants of Knuth's MMIX).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// A day of wind around 9 m/s, with a calm from nine to eleven, that turns round seven times (none does), wanders by some ten
/// degrees within half an hour, and swings by some degrees from row to row.
fn a_day_of_turning_wind(seed: u64) -> Wind {
    let mut draws = Draws(seed);
    let mut csv = String::from("t_s,wind_mps,wind_dir_deg\n");
    let (mut gust_mps, mut wander_deg) = (0.0, 0.0);
    for t_s in (0..=24 * HOUR_S).step_by(20) {
        gust_mps += 0.3 * draws.next() - 0.02 * gust_mps;
        wander_deg += 2.0 * draws.next() - 0.01 * wander_deg;
        let mean_mps = if (9 * HOUR_S..11 * HOUR_S).contains(&t_s) { 1.0 } else { 9.0 + gust_mps };
        let turned_deg = 7.0 * 360.0 * t_s as f64 / (24.0 * HOUR_S as f64) + wander_deg + 6.0 * draws.next();
        writeln!(csv, "{t_s},{mean_mps:.2},{:.2}", turned_deg.rem_euclid(360.0)).unwrap();
    }
    Wind::from_text("day.csv", &csv).unwrap()
}

fn site_in(wind: Wind) -> TurbineLoop {
    let noise = NoiseLevels::USUAL;
    TurbineLoop::new(TurbineLoopSetup { period: PERIOD, noise, seed: 1, ..TurbineLoopSetup::in_wind(wind) })
}

/// What a day was like.
#[derive(Debug, Default)]
struct Day {
    untwistings: Vec<(f64, f64)>,
    twist_max_deg: f64,
    producing_s: f64,
    error_deg_s: f64,
    energy_ws: f64,
    turns: u32,
}

impl Day {
    fn of(site: &mut TurbineLoop) -> Self {
        let mut day = Self::default();
        let mut before = YawStatus::Standing;
        while site.now() < Duration::from_secs(24 * HOUR_S) {
            let step = site.step();
            assert!(step.trips.is_empty(), "{:?}", step.trips.iter().collect::<Vec<_>>());
            assert_ne!(step.yaw, YawStatus::TwistUnknown);
            let truth = site.plant.measurements();
            let twist_deg = truth.cable_twist.as_degrees();
            if step.yaw == YawStatus::Untwisting && before != YawStatus::Untwisting {
                day.untwistings.push((site.now().as_secs_f64() / HOUR_S as f64, twist_deg));
            }
            day.turns += u32::from(step.yaw == YawStatus::Turning && before != YawStatus::Turning);
            before = step.yaw;
            day.twist_max_deg = day.twist_max_deg.max(twist_deg.abs());
            if matches!(step.mode, ModeName::Run | ModeName::Derated) {
                day.producing_s += PERIOD.as_secs_f64();
                day.error_deg_s += truth.yaw_error.as_degrees().abs() * PERIOD.as_secs_f64();
                day.energy_ws += truth.power.get() * PERIOD.as_secs_f64();
            }
        }
        day
    }
}

#[test]
fn over_a_day_of_turning_wind_the_cables_are_untwisted_in_the_calm_and_at_the_hard_limit() {
    let mut site = site_in(a_day_of_turning_wind(1));
    let day = Day::of(&mut site);
    let error_deg = day.error_deg_s / day.producing_s;
    println!(
        "producing {:.2} h, {:.1} MWh; mean absolute yaw error {error_deg:.2} deg, {} turns; twist at most {:.0} deg; untwisted at {:.2?} (h, deg)",
        day.producing_s / 3600.0,
        day.energy_ws / 3.6e9,
        day.turns,
        day.twist_max_deg,
        day.untwistings,
    );
    assert!(day.twist_max_deg < 1080.0 + MARGIN_DEG);
    let [in_the_calm, at_the_limit] = day.untwistings[..] else { panic!("{:?}", day.untwistings) };
    assert!((9.0..9.5).contains(&in_the_calm.0) && (720.0..1000.0).contains(&in_the_calm.1));
    assert!(at_the_limit.1 > 1070.0);
    // The calm, an hour of untwisting, and what starts and stops take.
    assert!(day.producing_s > 20.5 * 3600.0);
    assert!(error_deg < 8.0);
    let step = site.last_step().unwrap();
    assert_eq!(step.mode, ModeName::Run);
    assert!(site.plant.measurements().power > Watts(5e5));
}

#[test]
fn a_counter_that_froze_lets_the_nacelle_turn_by_no_more_than_a_minute_s_way() {
    let csv = format!("t_s,wind_mps,wind_dir_deg\n0,9,0\n60,9,0\n{},9,170\n", HOUR_S / 2);
    let mut site = site_in(Wind::from_text("veering.csv", &csv).unwrap());
    site.plant.set_cable_twist(Radians::from_degrees(1050.0));
    site.step();
    site.sensors.set_fault(Signal::CableTwist, Some(SensorFault::Frozen));
    while site.now() < Duration::from_secs(HOUR_S / 2) {
        site.step();
    }
    let twist_deg = site.plant.measurements().cable_twist.as_degrees();
    assert!(twist_deg < 1050.0 + 0.3 * 60.0, "{twist_deg}");
    assert_eq!(site.last_step().unwrap().yaw, YawStatus::TwistUnknown);
}
