//! The bare law against the compiled public controller, row by row.
//!
//! The rows were produced at 50 Hz with an ideal actuator. The reference keeps its clock in 32 bits:
//! after 300 s its steps jitter by 0.15 %, which, at the torque's rate limit, is what separates the two
//! (the same law computed in 32 bits lies within 0.07 N m and 5e-7 rad).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use control_loops_controllers::turbine::{BaselineLaw, LawParameters, LawState};
use hal_units::{Duration, Radians, RadiansPerSecond};

const ROW_PERIOD: Duration = Duration::from_millis(20);

struct Row {
    t_s: f64,
    speed: RadiansPerSecond,
    pitch_measured: Radians,
    torque_nm: f64,
    pitch_rad: f64,
}

fn reference_rows() -> Vec<Row> {
    let folder = std::env::var("TAKT_DATA").unwrap();
    let text = std::fs::read_to_string(format!("{folder}/wind/discon5mw_openloop_50Hz.csv")).unwrap();
    let numbers = |line: &str| line.split(',').map(|n| n.parse().unwrap()).collect::<Vec<f64>>();
    let data = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    data.map(numbers)
        .map(|n| Row {
            t_s: n[0],
            speed: RadiansPerSecond(n[1]),
            pitch_measured: Radians(n[2]),
            torque_nm: n[3],
            pitch_rad: n[4],
        })
        .collect()
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn every_row_of_the_public_controller_is_met_within_1_newton_metre_and_1e_5_radians() {
    let law = BaselineLaw::new(LawParameters::NREL_5MW);
    let rows = reference_rows();
    assert!(rows.len() >= 19_999, "{} rows", rows.len());
    let mut state: Option<LawState> = None;
    let (mut torque_apart_nm, mut pitch_apart_rad) = (0.0_f64, 0.0_f64);
    for row in &rows {
        let command = match &mut state {
            Some(state) => law.step(state, row.speed, 1.0, ROW_PERIOD),
            None => state.insert(law.first_call(row.speed, row.pitch_measured)).command(),
        };
        let torque_off_nm = (command.torque.get() - row.torque_nm).abs();
        let pitch_off_rad = (command.pitch.get() - row.pitch_rad).abs();
        assert!(torque_off_nm <= 1.0, "torque off by {torque_off_nm} N m at {} s", row.t_s);
        assert!(pitch_off_rad <= 1e-5, "pitch off by {pitch_off_rad} rad at {} s", row.t_s);
        torque_apart_nm = torque_apart_nm.max(torque_off_nm);
        pitch_apart_rad = pitch_apart_rad.max(pitch_off_rad);
    }
    println!("{} rows: at most {torque_apart_nm:.3} N m and {pitch_apart_rad:.2e} rad apart", rows.len());
}
