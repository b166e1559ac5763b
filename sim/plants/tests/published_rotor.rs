//! The built-in rotor and the table reader against the published table of the reference rotor.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use hal_units::Radians;
use sim_plants::RotorSurface;

/// One of the published grid's points. The test reads the text itself, by position.
struct Point {
    ratio: f64,
    pitch: Radians,
    power: f64,
    thrust: f64,
}

fn published_points() -> Vec<Point> {
    let (_, text) = common::published_table();
    let rows: Vec<Vec<f64>> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
        .collect();
    let (pitches, ratios) = (&rows[0], &rows[1]);
    let mut points = Vec::new();
    for (i, &ratio) in ratios.iter().enumerate() {
        for (j, &pitch_deg) in pitches.iter().enumerate() {
            points.push(Point {
                ratio,
                pitch: Radians::from_degrees(pitch_deg),
                power: rows[3 + i][j],
                thrust: rows[3 + ratios.len() + i][j],
            });
        }
    }
    assert_eq!(points.len(), 26 * 36);
    points
}

fn in_operation(point: &Point) -> bool {
    (3.0..=12.0).contains(&point.ratio)
        && (-1.001..=25.001).contains(&point.pitch.as_degrees())
        && point.power >= 0.0
}

fn rms_and_max(errors: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = errors.clone().count() as f64;
    let rms = (errors.clone().map(|e| e * e).sum::<f64>() / count).sqrt();
    (rms, errors.map(f64::abs).fold(0.0, f64::max))
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn the_fit_is_as_close_to_the_published_table_as_its_documentation_says() {
    let fit = RotorSurface::nrel_5mw();
    let points: Vec<Point> = published_points().into_iter().filter(in_operation).collect();
    let power = rms_and_max(points.iter().map(|p| fit.power_coefficient(p.ratio, p.pitch) - p.power));
    let thrust = rms_and_max(points.iter().map(|p| fit.thrust_coefficient(p.ratio, p.pitch) - p.thrust));
    println!("{} points: Cp rms, max {power:.4?}; Ct rms, max {thrust:.4?}", points.len());
    assert_eq!(points.len(), 277);
    assert!(power.0 <= 0.002_15 && power.1 <= 0.010_55, "Cp {power:?}");
    assert!(thrust.0 <= 0.002_15 && thrust.1 <= 0.008_35, "Ct {thrust:?}");
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn along_the_steady_curve_the_fit_follows_the_published_table() {
    let (name, text) = common::published_table();
    let (fit, table) = (RotorSurface::nrel_5mw(), RotorSurface::from_rosco_table(&name, &text).unwrap());
    let states: Vec<_> = common::published_steady_states()
        .into_iter()
        .filter(|state| state.wind_mps >= 3.0 && state.tip_speed_ratio <= 14.5)
        .collect();
    let errors = |of: fn(&RotorSurface, f64, Radians) -> f64| {
        rms_and_max(states.iter().map(|state| {
            let (ratio, pitch) = (state.tip_speed_ratio, Radians::from_degrees(state.pitch_deg));
            of(&fit, ratio, pitch) - of(&table, ratio, pitch)
        }))
    };
    let power = errors(RotorSurface::power_coefficient);
    let thrust = errors(RotorSurface::thrust_coefficient);
    println!("Cp rms, max {power:.4?}; Ct rms, max {thrust:.4?}");
    assert!(power.0 <= 0.001_5 && power.1 <= 0.006_05, "Cp {power:?}");
    assert!(thrust.0 <= 0.001_65 && thrust.1 <= 0.009_65, "Ct {thrust:?}");
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn the_published_table_is_read_and_met_at_every_point() {
    let (name, text) = common::published_table();
    let table = RotorSurface::from_rosco_table(&name, &text).unwrap();
    for point in published_points() {
        let power = table.power_coefficient(point.ratio, point.pitch);
        let thrust = table.thrust_coefficient(point.ratio, point.pitch);
        assert!((power - point.power).abs() < 1e-9, "Cp at {} {}", point.ratio, point.pitch.as_degrees());
        assert!((thrust - point.thrust).abs() < 1e-9, "Ct at {} {}", point.ratio, point.pitch.as_degrees());
    }
}
