//! What a run comes to: the figures by which controllers are compared.

use hal_units::Duration;

use crate::TurbineRow;

/// A quantity's mean, deviation and largest value, without keeping the series (Welford 1962).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Series {
    count: u64,
    mean: f64,
    squares: f64,
    max: f64,
}

impl Series {
    fn add(&mut self, value: f64) {
        self.max = if self.count == 0 { value } else { self.max.max(value) };
        self.count += 1;
        let away = value - self.mean;
        self.mean += away / self.count as f64;
        self.squares += away * (value - self.mean);
    }

    fn deviation(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.squares / self.count as f64).sqrt() }
    }
}

/// Collects rows, one per controller period.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RunStatistics {
    power_kw: Series,
    rotor_rpm: Series,
    tower_m: Series,
    torque_nm: Series,
    root_knm: Series,
    blade_travel_deg: f64,
    travel_deg: f64,
    last_pitch_deg: Option<f64>,
    last_blade_deg: Option<f64>,
    span: Duration,
    last_t: Option<Duration>,
}

/// The figures of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunFigures {
    /// Mean electrical power.
    pub mean_power_kw: f64,
    /// Standard deviation of the rotor speed.
    pub rotor_speed_std_rpm: f64,
    /// Fastest rotor.
    pub rotor_speed_max_rpm: f64,
    /// Way of the blades' mean angle over time.
    pub pitch_travel_deg_per_s: f64,
    /// Standard deviation of the tower top's fore-aft deflection.
    pub tower_fa_std_m: f64,
    /// Standard deviation of the generator torque.
    pub torque_std_nm: f64,
    /// Standard deviation of the first blade's out-of-plane root moment.
    pub root_moment_std_knm: f64,
    /// Way of the first blade over time.
    pub blade_travel_deg_per_s: f64,
}

impl RunStatistics {
    /// Takes the next row.
    pub fn add(&mut self, row: &TurbineRow) {
        self.power_kw.add(row.power.as_kilowatts());
        self.rotor_rpm.add(row.rotor_speed.as_rpm());
        self.tower_m.add(row.tower_deflection.get());
        self.torque_nm.add(row.generator_torque.get());
        let [root, _, _] = row.root_moments;
        self.root_knm.add(root.get() / 1e3);
        let [blade, _, _] = row.blades;
        let blade_deg = blade.as_degrees();
        if let Some(last) = self.last_blade_deg.replace(blade_deg) {
            self.blade_travel_deg += (blade_deg - last).abs();
        }
        let pitch_deg = row.pitch.as_degrees();
        if let Some(last) = self.last_pitch_deg.replace(pitch_deg) {
            self.travel_deg += (pitch_deg - last).abs();
        }
        if let Some(last) = self.last_t.replace(row.t) {
            self.span += row.t.saturating_sub(last);
        }
    }

    /// The figures of the rows so far; zeros without rows.
    #[must_use]
    pub fn figures(&self) -> RunFigures {
        let span_s = self.span.as_secs_f64();
        let over_time = |way: f64| if span_s > 0.0 { way / span_s } else { 0.0 };
        RunFigures {
            mean_power_kw: self.power_kw.mean,
            rotor_speed_std_rpm: self.rotor_rpm.deviation(),
            rotor_speed_max_rpm: self.rotor_rpm.max,
            pitch_travel_deg_per_s: over_time(self.travel_deg),
            tower_fa_std_m: self.tower_m.deviation(),
            torque_std_nm: self.torque_nm.deviation(),
            root_moment_std_knm: self.root_knm.deviation(),
            blade_travel_deg_per_s: over_time(self.blade_travel_deg),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_units::{Meters, MetersPerSecond, NewtonMeters, Newtons, Radians, RadiansPerSecond, Watts};

    fn row(second: u64, rpm: f64, pitch_deg: f64) -> TurbineRow {
        TurbineRow {
            t: Duration::from_secs(second),
            wind: MetersPerSecond(12.0),
            rotor_speed: RadiansPerSecond::from_rpm(rpm),
            generator_speed: RadiansPerSecond::from_rpm(97.0 * rpm),
            pitch: Radians::from_degrees(pitch_deg),
            blades: [Radians::from_degrees(pitch_deg); 3],
            root_moments: [NewtonMeters(1e6 * rpm), NewtonMeters(0.0), NewtonMeters(0.0)],
            generator_torque: NewtonMeters(1e3 * rpm),
            power: Watts::from_kilowatts(100.0 * rpm),
            thrust: Newtons(0.0),
            tower_acceleration_mps2: 0.0,
            tower_deflection: Meters(0.1 * rpm),
        }
    }

    #[test]
    fn the_figures_are_those_of_the_rows() {
        let mut statistics = RunStatistics::default();
        for (second, rpm, pitch_deg) in [(0, 10.0, 0.0), (1, 12.0, 2.0), (2, 14.0, 1.0), (3, 12.0, 1.0)] {
            statistics.add(&row(second, rpm, pitch_deg));
        }
        let found = statistics.figures();
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-9;
        assert!(near(found.mean_power_kw, 1200.0) && near(found.rotor_speed_max_rpm, 14.0), "{found:?}");
        assert!(near(found.rotor_speed_std_rpm, 2.0_f64.sqrt()), "{found:?}");
        assert!(near(found.torque_std_nm, 1e3 * 2.0_f64.sqrt()), "{found:?}");
        assert!(near(found.pitch_travel_deg_per_s, 1.0), "{found:?}");
        assert!(near(found.blade_travel_deg_per_s, 1.0), "{found:?}");
        assert!(near(found.root_moment_std_knm, 1e3 * 2.0_f64.sqrt()), "{found:?}");
    }

    #[test]
    fn without_rows_the_figures_are_zero() {
        assert_eq!(RunStatistics::default().figures().mean_power_kw, 0.0);
    }
}
