//! What a rotor makes of the wind: power and thrust over tip-speed ratio and pitch.
//!
//! # Model
//!
//! A *core* gives the coefficients where they are known: the built-in fit of the NREL 5-MW rotor, or
//! a table. Around it lies the *far field*, a flat-plate model (see `far_field`) that is rough but
//! finite and dissipative for every speed, wind and pitch: at standstill, in feather, at runaway. A
//! smooth weight leads from one into the other, so that a simulation that leaves the known region
//! neither blows up nor gains energy from nothing.
//!
//! # Terms
//!
//! With rotor speed `w`, radius `R`, wind `v`, air density `rho`:
//!
//! - tip-speed ratio `l = w R / v`;
//! - power `P = 1/2 rho pi R^2 v^3 Cp`, thrust `T = 1/2 rho pi R^2 v^2 Ct`;
//! - torque `Q = 1/2 rho pi R^3 v^2 Cq`, hence `Cp = l Cq`; unlike `Cp`, `Cq` says something at
//!   standstill.

mod builtin;
mod far_field;
mod table;

use std::sync::Arc;

pub use control_loops_rotor::Coefficients;
use control_loops_rotor::RotorTable;
use hal_diagnostics::Diagnostic;
use hal_units::Radians;

/// Power and thrust of a rotor over tip-speed ratio and pitch. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RotorSurface {
    core: Core,
}

#[derive(Debug, Clone, Default)]
enum Core {
    #[default]
    Nrel5mwFit,
    Table(Arc<RotorTable>),
}

impl Core {
    fn weight(&self, ratio: f64, pitch_rad: f64) -> f64 {
        match self {
            Self::Nrel5mwFit => builtin::weight(ratio, pitch_rad),
            Self::Table(table) => table::weight(table, ratio, pitch_rad),
        }
    }

    fn coefficients(&self, ratio: f64, pitch_rad: f64) -> Coefficients {
        match self {
            Self::Nrel5mwFit => builtin::coefficients(ratio, pitch_rad),
            Self::Table(table) => table.coefficients(ratio, Radians(pitch_rad)),
        }
    }
}

/// 0 at `from` and before it, 1 at `to` and after it, smooth between; `from` may lie above `to`.
fn smooth_step(at: f64, from: f64, to: f64) -> f64 {
    let along = ((at - from) / (to - from)).clamp(0.0, 1.0);
    along * along * (3.0 - 2.0 * along)
}

impl RotorSurface {
    /// The built-in rotor: our own smooth fit of the NREL 5-MW reference rotor.
    ///
    /// Error against the table that is published with the ROSCO controller (`Cp_Ct_Cq.NREL5MW.txt`),
    /// at the 277 grid points of the operating region (tip-speed ratio 3 to 12, pitch -1 to 25 deg,
    /// `Cp >= 0`):
    ///
    /// | | rms | max |
    /// |---|---|---|
    /// | `Cp` | 0.0021 | 0.0105 |
    /// | `Ct` | 0.0021 | 0.0083 |
    ///
    /// Along the steady operating curve from 3 to 25 m/s, against the same table interpolated: `Cp`
    /// 0.0015 rms and 0.0060 at most, `Ct` 0.0016 and 0.0096. The best `Cp` is 0.466 at a tip-speed
    /// ratio of 7.4.
    #[must_use]
    pub const fn nrel_5mw() -> Self {
        Self { core: Core::Nrel5mwFit }
    }

    /// The rotor of a table; see [`RotorTable::from_rosco`] for the text format. Beyond the grid see
    /// [`rotor`](self).
    ///
    /// # Errors
    /// At the first line that is missing, malformed, not finite, not ascending, of the wrong length,
    /// or physically impossible.
    pub fn from_rosco_table(file_name: &str, text: &str) -> Result<Self, Diagnostic> {
        Ok(RotorTable::from_rosco(file_name, text)?.into())
    }

    /// The surface as a table, on a grid that is finer than its features: for the tuner.
    #[must_use]
    pub fn as_table(&self) -> RotorTable {
        match &self.core {
            Core::Table(table) => RotorTable::clone(table),
            Core::Nrel5mwFit => RotorTable::sampled(
                ((2.0, 15.0), 66),
                ((Radians::from_degrees(-5.0), Radians::from_degrees(35.0)), 81),
                |ratio, pitch| self.coefficients(ratio, pitch),
            ),
        }
    }

    /// Torque and thrust coefficient. Defined for every finite argument, also at standstill and in
    /// reverse; a tip-speed ratio or pitch that is not finite counts as zero.
    #[must_use]
    pub fn coefficients(&self, tip_speed_ratio: f64, pitch: Radians) -> Coefficients {
        let ratio = if tip_speed_ratio.is_finite() { tip_speed_ratio } else { 0.0 };
        let pitch = if pitch.is_finite() { pitch.get() } else { 0.0 };
        let weight = self.core.weight(ratio, pitch);
        if weight >= 1.0 {
            return self.core.coefficients(ratio, pitch);
        }
        let far = far_field::coefficients(ratio, pitch);
        if weight <= 0.0 {
            return far;
        }
        let near = self.core.coefficients(ratio, pitch);
        let blend = |near: f64, far: f64| far + weight * (near - far);
        Coefficients { torque: blend(near.torque, far.torque), thrust: blend(near.thrust, far.thrust) }
    }

    /// Power coefficient Cp, at most 0.593 (Betz).
    #[must_use]
    pub fn power_coefficient(&self, tip_speed_ratio: f64, pitch: Radians) -> f64 {
        let torque = self.coefficients(tip_speed_ratio, pitch).torque;
        if tip_speed_ratio.is_finite() { tip_speed_ratio * torque } else { 0.0 }
    }

    /// Thrust coefficient Ct.
    #[must_use]
    pub fn thrust_coefficient(&self, tip_speed_ratio: f64, pitch: Radians) -> f64 {
        self.coefficients(tip_speed_ratio, pitch).thrust
    }

    /// Torque coefficient Cq.
    #[must_use]
    pub fn torque_coefficient(&self, tip_speed_ratio: f64, pitch: Radians) -> f64 {
        self.coefficients(tip_speed_ratio, pitch).torque
    }
}

impl From<RotorTable> for RotorSurface {
    fn from(table: RotorTable) -> Self {
        Self { core: Core::Table(Arc::new(table)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_loops_rotor::BETZ;
    use proptest::prelude::*;

    /// A coarse rotor of our own making, in ROSCO's format: what matters here is the border.
    fn small_table() -> RotorSurface {
        let text = "0 10 20\n5 10\n11.4\n.40 .30 .10\n.45 .20 -.20\n.8 .5 .2\n1 .3 -.3\n.08 .06 .02\n.045 .02 -.02\n";
        RotorSurface::from_rosco_table("small.txt", text).unwrap()
    }

    /// Dynamic pressure of wind and rotation together, over that of the wind.
    fn pressure(ratio: f64) -> f64 {
        1.0 + ratio * ratio
    }

    fn check_sane(surface: &RotorSurface, ratio: f64, pitch_deg: f64) -> Result<(), TestCaseError> {
        let pitch = Radians::from_degrees(pitch_deg);
        let found = surface.coefficients(ratio, pitch);
        let bound = 0.2 * pressure(ratio);
        prop_assert!(found.torque.abs() <= bound, "Cq {} at {ratio} {pitch_deg}", found.torque);
        prop_assert!(found.thrust.abs() <= bound.max(2.0), "Ct {} at {ratio} {pitch_deg}", found.thrust);
        prop_assert!(surface.power_coefficient(ratio, pitch) <= BETZ);
        Ok(())
    }

    proptest! {
        #[test]
        fn everywhere_the_coefficients_are_bounded_and_below_betz(
            ratio in prop_oneof![0.0..40.0, 0.0..1e4],
            pitch_deg in -10.0..100.0,
        ) {
            check_sane(&RotorSurface::nrel_5mw(), ratio, pitch_deg)?;
            check_sane(&small_table(), ratio, pitch_deg)?;
        }

        #[test]
        fn a_rotor_far_faster_than_the_wind_is_braked(ratio in 18.5..1e4, pitch_deg in 0.0..90.0) {
            let pitch = Radians::from_degrees(pitch_deg);
            prop_assert!(RotorSurface::nrel_5mw().torque_coefficient(ratio, pitch) < 0.0);
            prop_assert!(small_table().torque_coefficient(ratio, pitch) < 0.0);
        }

        #[test]
        fn a_feathered_rotor_that_turns_is_braked(ratio in 0.1..1e3_f64, backwards in any::<bool>()) {
            let ratio = if backwards { -ratio } else { ratio };
            let torque = RotorSurface::nrel_5mw().torque_coefficient(ratio, Radians::from_degrees(90.0));
            prop_assert!(torque * ratio < 0.0);
        }

        #[test]
        fn the_surface_has_no_jump(ratio in 0.0..40.0, pitch_deg in -5.0..90.0) {
            for surface in [RotorSurface::nrel_5mw(), small_table()] {
                let at = |ratio: f64, pitch_deg: f64| {
                    surface.torque_coefficient(ratio, Radians::from_degrees(pitch_deg)) / pressure(ratio)
                };
                let here = at(ratio, pitch_deg);
                prop_assert!((at(ratio + 1e-4, pitch_deg) - here).abs() < 1e-4);
                prop_assert!((at(ratio, pitch_deg + 1e-4) - here).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn at_standstill_every_working_blade_angle_starts_the_rotor() {
        for pitch_deg in 0..85 {
            let torque =
                RotorSurface::nrel_5mw().torque_coefficient(0.0, Radians::from_degrees(f64::from(pitch_deg)));
            assert!(torque > 0.0, "{pitch_deg} deg: {torque}");
        }
    }

    #[test]
    fn the_best_power_is_that_of_the_reference_rotor() {
        let surface = RotorSurface::nrel_5mw();
        let best = (500..1000)
            .map(|k| f64::from(k) / 100.0)
            .map(|ratio| (surface.power_coefficient(ratio, Radians::ZERO), ratio))
            .fold((0.0, 0.0), |best, next| if next.0 > best.0 { next } else { best });
        assert!((best.0 - 0.466).abs() < 0.001 && (best.1 - 7.5).abs() < 0.15, "{best:?}");
    }

    #[test]
    fn arguments_that_are_no_numbers_count_as_zero() {
        for surface in [RotorSurface::nrel_5mw(), small_table()] {
            let zero = surface.coefficients(0.0, Radians::ZERO);
            assert_eq!(surface.coefficients(f64::NAN, Radians(f64::INFINITY)), zero);
            assert_eq!(surface.power_coefficient(f64::INFINITY, Radians::ZERO), 0.0);
        }
    }
}
