//! Where a tuned turbine rests in each wind.

use control_loops_rotor::RotorTable;
use hal_units::{Radians, RadiansPerSecond};

use crate::TurbineDescription;

/// A turbine in balance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SteadyState {
    /// Wind at the hub, m/s.
    pub wind_mps: f64,
    /// Low-speed shaft.
    pub rotor_speed: RadiansPerSecond,
    /// Of all blades.
    pub pitch: Radians,
    /// Of the air on the low-speed shaft, N m.
    pub torque_nm: f64,
    /// Of the rotor, N.
    pub thrust_n: f64,
}

/// A rotor in the flesh: the table with what scales it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rotor<'a> {
    pub(crate) table: &'a RotorTable,
    pub(crate) description: &'a TurbineDescription,
    pub(crate) best_ratio: f64,
}

impl<'a> Rotor<'a> {
    pub(crate) fn new(description: &'a TurbineDescription, table: &'a RotorTable) -> Self {
        let fine = Radians::from_degrees(description.rotor.fine_pitch_deg);
        let (low, high) = table.ratio_range();
        let ratios = (0..=2000).map(|k| low + (high - low) * f64::from(k) / 2000.0);
        let power = |ratio: f64| ratio * table.coefficients(ratio, fine).torque;
        let best = ratios.fold((0.0, low), |best, ratio| {
            let power = power(ratio);
            if power > best.0 { (power, ratio) } else { best }
        });
        Self { table, description, best_ratio: description.rotor.best_tip_speed_ratio.unwrap_or(best.1) }
    }

    pub(crate) fn fine(&self) -> Radians {
        Radians::from_degrees(self.description.rotor.fine_pitch_deg)
    }

    pub(crate) fn rated_speed(&self) -> f64 {
        RadiansPerSecond::from_rpm(self.description.rotor.rated_speed_rpm).get()
    }

    pub(crate) fn slowest_speed(&self) -> f64 {
        RadiansPerSecond::from_rpm(self.description.rotor.slowest_speed_rpm).get()
    }

    /// At the low-speed shaft, N m.
    pub(crate) fn rated_torque(&self) -> f64 {
        self.rated_power_mechanical() / self.rated_speed()
    }

    pub(crate) fn rated_power_mechanical(&self) -> f64 {
        self.description.generator.rated_power_kw * 1e3 / self.description.generator.efficiency
    }

    pub(crate) fn inertia(&self) -> f64 {
        let generator = &self.description.generator;
        self.description.rotor.inertia_kgm2 + self.generator_inertia(generator.gearbox_ratio)
    }

    pub(crate) fn generator_inertia(&self, gearbox_ratio: f64) -> f64 {
        self.description.generator.inertia_kgm2 * gearbox_ratio * gearbox_ratio
    }

    fn area_push(&self) -> f64 {
        let rotor = &self.description.rotor;
        0.5 * rotor.air_density_kgpm3 * core::f64::consts::PI * rotor.radius_m * rotor.radius_m
    }

    pub(crate) fn torque(&self, wind: f64, speed: f64, pitch: Radians) -> f64 {
        let radius = self.description.rotor.radius_m;
        let ratio = speed * radius / wind;
        self.area_push() * radius * wind * wind * self.table.coefficients(ratio, pitch).torque
    }

    pub(crate) fn thrust(&self, wind: f64, speed: f64, pitch: Radians) -> f64 {
        let ratio = speed * self.description.rotor.radius_m / wind;
        self.area_push() * wind * wind * self.table.coefficients(ratio, pitch).thrust
    }

    /// Speed that the schedule asks for.
    pub(crate) fn speed_at(&self, wind: f64) -> f64 {
        let best = self.best_ratio * wind / self.description.rotor.radius_m;
        best.max(self.slowest_speed()).min(self.rated_speed())
    }

    /// The smallest pitch from `fine` on at which `value` is at most `most`. `value` falls towards feather.
    pub(crate) fn pitch_until(&self, fine: Radians, most: f64, value: impl Fn(Radians) -> f64) -> Radians {
        let (_, last) = self.table.pitch_range();
        if value(fine) <= most {
            return fine;
        }
        let (mut low, mut high) = (fine, last);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if value(middle) > most {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    /// The pitch of most power, from fine to 10 degrees coarser.
    pub(crate) fn best_pitch(&self, wind: f64, speed: f64) -> Radians {
        let pitches = (0..=400).map(|k| self.fine() + Radians::from_degrees(f64::from(k) / 40.0));
        // Beyond the table's largest tip-speed ratio its edge decides.
        let (_, ratio_max) = self.table.ratio_range();
        let wind = wind.max(speed * self.description.rotor.radius_m / ratio_max);
        let best = pitches.fold((f64::NEG_INFINITY, self.fine()), |best, pitch| {
            let torque = self.torque(wind, speed, pitch);
            if torque > best.0 { (torque, pitch) } else { best }
        });
        best.1
    }

    /// The balance in a wind, with a finest pitch for it.
    pub(crate) fn steady(&self, wind_mps: f64, fine: Radians) -> SteadyState {
        let speed = self.speed_at(wind_mps);
        let pitch = self.pitch_until(fine, self.rated_torque(), |pitch| self.torque(wind_mps, speed, pitch));
        SteadyState {
            wind_mps,
            rotor_speed: RadiansPerSecond(speed),
            pitch,
            torque_nm: self.torque(wind_mps, speed, pitch),
            thrust_n: self.thrust(wind_mps, speed, pitch),
        }
    }

    /// The wind in which the rotor at rated speed and power stands at this pitch; `None` outside 3 to 40.
    pub(crate) fn wind_at(&self, pitch: Radians) -> Option<f64> {
        let over = |wind: f64| self.torque(wind, self.rated_speed(), pitch) - self.rated_torque();
        let (mut low, mut high) = (3.0, 40.0);
        if over(low) > 0.0 || over(high) < 0.0 {
            return None;
        }
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if over(middle) > 0.0 {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }
}
