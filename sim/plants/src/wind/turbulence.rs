//! Turbulence from a seed: the Kaimal spectrum as a whole rotor feels it.
//!
//! # Model
//!
//! The speed is a sum of cosines with random phases (M. Shinozuka and C.-M. Jan, 1972) at the multiples
//! of `1/819.2 s` up to 0.5 Hz, after which the series repeats. The power at a frequency `f` is that
//! of the Kaimal spectrum of IEC 61400-1 edition 3, annex B, at one point,
//!
//! ```text
//! S(f) = 4 L / V / (1 + 6 f L / V)^(5/3),   L = 8.1 * 42 m
//! ```
//!
//! times what is left of it after averaging over the rotor's disc: the mean of the standard's coherence
//! `exp(-12 sqrt((f s / V)^2 + (0.12 s / L)^2))` over the distance `s` of two random points of the disc.
//!
//! The result is scaled so that its standard deviation over one period is the asked intensity times the
//! mean: the intensity is that of the speed which the rotor feels, not of the wind at a point, whose
//! intensity would be larger. Values between the samples are interpolated with a cubic.

use core::f64::consts::{PI, TAU};

use hal_units::{Duration, Meters, MetersPerSecond};

use crate::noise::Random;

/// Samples of one period.
const SAMPLES: usize = 4096;
/// Time between samples.
const SAMPLE: Duration = Duration::from_millis(200);
/// Cosines: multiples of the period's frequency, up to 0.5 Hz.
const HARMONICS: usize = 410;
/// Longitudinal length scale of the Kaimal spectrum.
const LENGTH: Meters = Meters(8.1 * 42.0);

/// One period of turbulent wind.
#[derive(Debug, Clone)]
pub struct Turbulence {
    samples: Vec<MetersPerSecond>,
}

impl Turbulence {
    /// What the rotor of the NREL 5-MW reference turbine feels. `intensity` is the standard deviation
    /// over the mean.
    #[must_use]
    pub fn nrel_5mw(mean: MetersPerSecond, intensity: f64, seed: u64) -> Self {
        Self::new(mean, intensity, Meters(63.0), seed)
    }

    fn new(mean: MetersPerSecond, intensity: f64, rotor_radius: Meters, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut waves = [0.0; SAMPLES];
        // Below a light breeze the spectrum's shape hardly matters; it must only exist.
        let passing = mean.max(MetersPerSecond(1.0));
        let mut variance = 0.0;
        for harmonic in 1..=HARMONICS {
            let frequency_hz = harmonic as f64 / (SAMPLES as f64 * SAMPLE.as_secs_f64());
            let power = kaimal(frequency_hz, passing) * disc_average(frequency_hz, passing, rotor_radius);
            let amplitude = power.sqrt();
            variance += amplitude * amplitude / 2.0;
            add_cosine(&mut waves, amplitude, harmonic, TAU * random.uniform());
        }
        let scale = intensity * mean.get() / variance.sqrt();
        Self { samples: waves.iter().map(|wave| mean + MetersPerSecond(scale * wave)).collect() }
    }

    pub(super) fn speed_at(&self, t: Duration) -> MetersPerSecond {
        let position = t.as_secs_f64() / SAMPLE.as_secs_f64();
        let at = position.floor() as usize;
        let along = position - position.floor();
        let sample = |offset: usize| {
            self.samples
                .get((at.wrapping_add(offset).wrapping_add(SAMPLES - 1)) % SAMPLES)
                .map_or(0.0, |s| s.get())
        };
        // Catmull-Rom between the second and the third of four samples.
        let [a, b, c, d] = [sample(0), sample(1), sample(2), sample(3)];
        let slopes = (0.5 * (c - a), 0.5 * (d - b));
        let bend = (3.0 * (c - b) - 2.0 * slopes.0 - slopes.1, 2.0 * (b - c) + slopes.0 + slopes.1);
        MetersPerSecond(b + along * (slopes.0 + along * (bend.0 + along * bend.1)))
    }
}

/// One-sided power per hertz at a point, for a variance of one; `L / V` in seconds.
fn kaimal(frequency_hz: f64, mean: MetersPerSecond) -> f64 {
    let passing_s = LENGTH.get() / mean.get();
    4.0 * passing_s / (1.0 + 6.0 * frequency_hz * passing_s).powf(5.0 / 3.0)
}

/// What averaging over the disc leaves of the power, 0 to 1: the coherence averaged over the distance
/// of two random points of a disc, whose density is known in closed form (disc line picking).
fn disc_average(frequency_hz: f64, mean: MetersPerSecond, radius: Meters) -> f64 {
    const STRIPS: u32 = 48;
    let (mut sum, mut total) = (0.0, 0.0);
    for strip in 0..STRIPS {
        let half = (f64::from(strip) + 0.5) / f64::from(STRIPS);
        let density = half * (half.acos() - half * (1.0 - half * half).sqrt());
        let distance_m = 2.0 * half * radius.get();
        let decay = f64::hypot(frequency_hz * distance_m / mean.get(), 0.12 * distance_m / LENGTH.get());
        sum += density * (-12.0 * decay).exp();
        total += density;
    }
    sum / total
}

/// Adds `amplitude cos(2 pi harmonic k / SAMPLES + phase)` by rotating a pointer.
fn add_cosine(waves: &mut [f64; SAMPLES], amplitude: f64, harmonic: usize, phase: f64) {
    let (turn_sin, turn_cos) = (2.0 * PI * harmonic as f64 / SAMPLES as f64).sin_cos();
    let (mut sin, mut cos) = phase.sin_cos();
    for wave in waves {
        *wave += amplitude * cos;
        (sin, cos) = (sin * turn_cos + cos * turn_sin, cos * turn_cos - sin * turn_sin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speeds(seed: u64) -> Vec<f64> {
        let wind = Turbulence::nrel_5mw(MetersPerSecond(12.0), 0.1, seed);
        (0..8192).map(|k| wind.speed_at(Duration::from_millis(100 * k)).get()).collect()
    }

    fn mean_and_deviation(speeds: &[f64]) -> (f64, f64) {
        let mean = speeds.iter().sum::<f64>() / speeds.len() as f64;
        let variance = speeds.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / speeds.len() as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn mean_and_intensity_are_those_asked_for() {
        for seed in 0..5 {
            let (mean, deviation) = mean_and_deviation(&speeds(seed));
            assert!((mean - 12.0).abs() < 1e-6, "{mean}");
            assert!((deviation / 12.0 - 0.1).abs() < 0.001, "{deviation}");
        }
    }

    #[test]
    fn a_seed_repeats_and_another_does_not() {
        assert_eq!(speeds(3), speeds(3));
        assert_ne!(speeds(3), speeds(4));
    }

    #[test]
    fn the_series_is_smooth_and_repeats_after_its_period() {
        let wind = Turbulence::nrel_5mw(MetersPerSecond(12.0), 0.2, 9);
        let at = |seconds: f64| wind.speed_at(Duration::from_secs_f64(seconds)).get();
        assert!((at(0.0) - at(819.2)).abs() < 1e-9);
        for k in 0..80_000_u32 {
            let seconds = f64::from(k) * 0.01;
            assert!((at(seconds + 0.01) - at(seconds)).abs() < 0.1, "a jump at {seconds} s");
        }
    }

    #[test]
    fn a_larger_rotor_averages_more_and_slow_gusts_pass() {
        let mean = MetersPerSecond(12.0);
        let left = |frequency_hz, radius_m| disc_average(frequency_hz, mean, Meters(radius_m));
        assert!((left(0.0, 1e-3) - 1.0).abs() < 1e-3);
        assert!(left(0.01, 63.0) > left(0.1, 63.0) && left(0.1, 63.0) > left(0.5, 63.0));
        assert!(left(0.1, 20.0) > left(0.1, 63.0));
    }

    #[test]
    fn the_point_spectrum_carries_unit_variance() {
        // The integral over all frequencies is one; up to 5 Hz nearly so.
        let step = 1e-4;
        let sum: f64 =
            (0..50_000).map(|k| kaimal(step * (f64::from(k) + 0.5), MetersPerSecond(12.0)) * step).sum();
        assert!((sum - 1.0).abs() < 0.03, "{sum}");
    }
}
