//! The drivetrain: rotor and generator on a spring and a damper.
//!
//! # Model
//!
//! All on the low-speed shaft. The *mean* speed, weighted by inertia, feels only the sum of the outer
//! torques; the *twist* is an oscillator (2.22 Hz for the reference turbine) that rests where the
//! spring carries what passes from rotor to generator. Both have exact solutions for torques that are
//! constant over a step. An explicit Euler step would be unstable above 7.2 ms.

use hal_units::{NewtonMeters, RadiansPerSecond};

use super::TurbinePlantParameters;
use super::oscillator::{Motion, Oscillator};

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shaft {
    /// Of both masses, weighted by inertia, rad/s.
    pub(super) mean_speed: f64,
    /// Rotor angle less generator angle, rad, and its rate.
    pub(super) twist: Motion,
}

/// Outer torques: of the air on the low-speed shaft; of generator and brake on the high-speed shaft,
/// opposing its turning, the brake's as the most it can do.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShaftLoads {
    pub(super) rotor: NewtonMeters,
    pub(super) generator: NewtonMeters,
    pub(super) brake: NewtonMeters,
}

impl Shaft {
    pub(super) fn oscillator(p: &TurbinePlantParameters, step_s: f64) -> Oscillator {
        let inertia = reduced_inertia(p);
        let natural = (p.shaft_stiffness_nmprad / inertia).sqrt();
        let damping = p.shaft_damping_nmsprad / (2.0 * inertia * natural);
        Oscillator::over(step_s, natural / core::f64::consts::TAU, damping)
    }

    pub(super) fn step(
        &mut self,
        loads: ShaftLoads,
        p: &TurbinePlantParameters,
        oscillator: &Oscillator,
        step_s: f64,
    ) {
        let inertia = p.total_inertia_kgm2();
        let rotor = loads.rotor.get();
        let generator = loads.generator.get() * p.gearbox_ratio;
        // Dry friction: what is needed to stop within the step, at most what the brake can do.
        let brake_max = loads.brake.get() * p.gearbox_ratio;
        let to_stop = rotor - generator + inertia * self.mean_speed / step_s;
        let brake = to_stop.max(-brake_max).min(brake_max);
        self.twist = oscillator.advance(self.twist, rest_twist(p, rotor, generator + brake));
        self.mean_speed += (rotor - generator - brake) / inertia * step_s;
    }

    /// Twisted at rest for the torque that passes through at a constant speed.
    pub(super) fn settled(p: &TurbinePlantParameters, speed: f64, torque: NewtonMeters) -> Self {
        let twist = Motion { position: rest_twist(p, torque.get(), torque.get()), velocity: 0.0 };
        Self { mean_speed: speed, twist }
    }

    /// Low-speed shaft, rad/s.
    pub(super) fn rotor_speed(&self, p: &TurbinePlantParameters) -> f64 {
        self.mean_speed + self.twist.velocity * p.referred_generator_inertia_kgm2() / p.total_inertia_kgm2()
    }

    /// High-speed shaft.
    pub(super) fn generator_speed(&self, p: &TurbinePlantParameters) -> RadiansPerSecond {
        let low = self.mean_speed - self.twist.velocity * p.rotor_inertia_kgm2 / p.total_inertia_kgm2();
        RadiansPerSecond(low * p.gearbox_ratio)
    }
}

fn reduced_inertia(p: &TurbinePlantParameters) -> f64 {
    p.rotor_inertia_kgm2 * p.referred_generator_inertia_kgm2() / p.total_inertia_kgm2()
}

/// Where the spring rests if `driving` acts on the rotor and `resisting` on the generator.
fn rest_twist(p: &TurbinePlantParameters, driving: f64, resisting: f64) -> f64 {
    let pull = driving / p.rotor_inertia_kgm2 + resisting / p.referred_generator_inertia_kgm2();
    reduced_inertia(p) * pull / p.shaft_stiffness_nmprad
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: TurbinePlantParameters = TurbinePlantParameters::NREL_5MW;
    const NO_LOADS: ShaftLoads =
        ShaftLoads { rotor: NewtonMeters::ZERO, generator: NewtonMeters::ZERO, brake: NewtonMeters::ZERO };

    fn energy_j(shaft: &Shaft) -> f64 {
        let (rotor, generator) = (shaft.rotor_speed(&P), shaft.generator_speed(&P).get());
        0.5 * (P.rotor_inertia_kgm2 * rotor * rotor
            + P.generator_inertia_kgm2 * generator * generator
            + P.shaft_stiffness_nmprad * shaft.twist.position * shaft.twist.position)
    }

    fn disturbed() -> Shaft {
        Shaft { mean_speed: 1.267, twist: Motion { position: 0.005, velocity: 0.05 } }
    }

    #[test]
    fn the_free_frequency_is_the_published_one() {
        let natural = (P.shaft_stiffness_nmprad / reduced_inertia(&P)).sqrt() / core::f64::consts::TAU;
        assert!((natural - 2.22).abs() < 0.01, "{natural}");
    }

    #[test]
    fn without_loads_energy_only_falls_at_any_step() {
        for step_s in [0.000_1, 0.005, 0.007_3, 0.05, 0.2, 1.0] {
            let oscillator = Shaft::oscillator(&P, step_s);
            let mut shaft = disturbed();
            for _ in 0..500 {
                let before = energy_j(&shaft);
                shaft.step(NO_LOADS, &P, &oscillator, step_s);
                assert!(energy_j(&shaft) <= before * (1.0 + 1e-12), "step {step_s} s");
            }
        }
    }

    #[test]
    fn the_energy_balance_closes_over_fine_steps() {
        // Torque times speed over time, less the damper's loss, is the gain in energy.
        let step_s = 1e-5;
        let oscillator = Shaft::oscillator(&P, step_s);
        let loads =
            ShaftLoads { rotor: NewtonMeters(4e6), generator: NewtonMeters(40e3), brake: NewtonMeters(1e3) };
        let mut shaft = disturbed();
        let (start, mut work) = (energy_j(&shaft), 0.0);
        for _ in 0..200_000 {
            let before = shaft;
            shaft.step(loads, &P, &oscillator, step_s);
            let mean = |value: fn(&Shaft) -> f64| 0.5 * (value(&before) + value(&shaft));
            let slip = mean(|s| s.twist.velocity);
            let power = loads.rotor.get() * mean(|s| s.rotor_speed(&P))
                - 41e3 * mean(|s| s.generator_speed(&P).get())
                - P.shaft_damping_nmsprad * slip * slip;
            work += power * step_s;
        }
        let gained = energy_j(&shaft) - start;
        assert!((gained - work).abs() < 1e-5 * start, "gained {gained}, worked {work}");
    }

    #[test]
    fn the_brake_stops_the_shaft_and_holds_it() {
        let step_s = 0.005;
        let oscillator = Shaft::oscillator(&P, step_s);
        let brake = ShaftLoads { brake: NewtonMeters(28_116.2), ..NO_LOADS };
        let mut shaft = Shaft { mean_speed: 0.2, twist: Motion::default() };
        for _ in 0..4_000 {
            shaft.step(brake, &P, &oscillator, step_s);
        }
        assert!(shaft.mean_speed.abs() < 1e-9);
        let pushed = ShaftLoads { rotor: NewtonMeters(1e6), ..brake };
        for _ in 0..4_000 {
            shaft.step(pushed, &P, &oscillator, step_s);
        }
        assert!(shaft.mean_speed.abs() < 1e-9, "a brake that holds lets nothing through");
    }
}
