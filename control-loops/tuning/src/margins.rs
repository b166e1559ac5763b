//! How far the speed loop is from instability, over the wind.
//!
//! # Model
//!
//! The loop is cut at the pitch command and linear around each steady state above rated wind. With the
//! rotor's own slope `a` (aerodynamics plus, at constant power, the torque that falls with speed), the
//! acceleration lost per pitch `g` where the law believes in `g0`, bandwidth `wc`, pull `k = 2 zeta wc`, drives
//! `A(s)`, the command's lead `Tl`, and a delay `T`:
//!
//! ```text
//! L(s) = wc^2 (g / g0) A(s) (1 + Tl s) exp(-s T) / ((s - a) (s + k))
//! ```
//!
//! The estimate of the wind is not in it: a model that is right sees the wind, not the pitch, so that it
//! feeds forward only. `T` is one and a half control periods: half for holding, one for the way.
//!
//! # Terms
//!
//! - *gain margin*: by how much the loop's gain may rise; *gain reserve*: by how much it may fall, where the
//!   rotor alone is unstable (`a > 0`);
//! - *phase margin*, *delay margin*: how much more lag it bears.

use control_loops_controllers::turbine::AboveRated;
use control_loops_rotor::RotorTable;
use hal_units::{Duration, Radians};

use crate::steady::Rotor;
use crate::{SteadyState, Tuned, TurbineDescription};

/// Margins at one wind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Margins {
    /// The wind, m/s.
    pub wind_mps: f64,
    /// Where the gain is one, rad/s; 0 if it never is.
    pub crossover_radps: f64,
    /// Largest factor of the gain.
    pub gain: f64,
    /// Least factor of the gain; 0 if the rotor alone is stable.
    pub gain_least: f64,
    /// Degrees.
    pub phase_deg: f64,
    /// More delay than this makes the loop unstable.
    pub delay: Duration,
}

/// Frequencies that are looked at, rad/s.
const FROM_RADPS: f64 = 0.01;
const TO_RADPS: f64 = 100.0;
const STEPS: u32 = 4000;

/// The margins at every state of the schedule that is above rated wind.
#[must_use]
pub fn margins(
    description: &TurbineDescription,
    table: &RotorTable,
    tuned: &Tuned,
    period: Duration,
) -> Vec<Margins> {
    let rotor = Rotor::new(description, table);
    let full = rotor.rated_torque() * 0.999;
    let above = tuned.schedule.iter().filter(|state| state.torque_nm >= full && state.pitch > rotor.fine());
    above.filter_map(|state| Loop::at(&rotor, tuned, state, period)).map(|at| at.margins()).collect()
}

/// One linear loop.
struct Loop {
    wind_mps: f64,
    slope: f64,
    gain: f64,
    pull: f64,
    lead_s: f64,
    delay_s: f64,
    drive: (f64, f64),
}

impl Loop {
    fn at(rotor: &Rotor<'_>, tuned: &Tuned, state: &SteadyState, period: Duration) -> Option<Self> {
        let takt = tuned.parameters.takt.as_ref()?;
        let (wind, speed, pitch) = (state.wind_mps, state.rotor_speed.get(), state.pitch);
        let (half, little) = (Radians::from_degrees(0.5), 0.01 * speed);
        let inertia = rotor.inertia();
        let of_pitch = rotor.torque(wind, speed, pitch - half) - rotor.torque(wind, speed, pitch + half);
        let of_speed = rotor.torque(wind, speed + little, pitch) - rotor.torque(wind, speed - little, pitch);
        let falling = match takt.torque.above_rated {
            AboveRated::ConstantPower => state.torque_nm / speed,
            AboveRated::ConstantTorque => 0.0,
        };
        let (at_zero, doubled) = tuned.sensitivity;
        let believed = at_zero * (1.0 + pitch / doubled);
        let bandwidth = takt.pitch.bandwidth.get();
        Some(Self {
            wind_mps: wind,
            slope: (of_speed / (2.0 * little) + falling) / inertia,
            gain: bandwidth * bandwidth * of_pitch / (2.0 * half.get()) / inertia / believed,
            pull: 2.0 * takt.pitch.damping * bandwidth,
            lead_s: takt.pitch.lead_s,
            delay_s: 1.5 * period.as_secs_f64(),
            drive: (
                core::f64::consts::TAU * rotor.description.pitch.frequency_hz,
                rotor.description.pitch.damping,
            ),
        })
    }

    /// Gain and phase (rad, falling from the phase at rest) at a frequency.
    fn response(&self, w: f64) -> (f64, f64) {
        let (natural, damping) = self.drive;
        let drive = (natural * natural - w * w, 2.0 * damping * natural * w);
        let gain = self.gain * natural * natural * f64::hypot(1.0, self.lead_s * w)
            / (f64::hypot(drive.0, drive.1) * f64::hypot(self.slope, w) * f64::hypot(self.pull, w));
        let phase = (self.lead_s * w).atan()
            - drive.1.atan2(drive.0)
            - w.atan2(-self.slope)
            - (w / self.pull).atan()
            - w * self.delay_s;
        (gain, phase)
    }

    fn margins(&self) -> Margins {
        let half_turn = core::f64::consts::PI;
        let step = (TO_RADPS / FROM_RADPS).ln() / f64::from(STEPS);
        let points = (0..=STEPS).map(|k| FROM_RADPS * (step * f64::from(k)).exp());
        let (mut crossover, mut phase_at, mut gain_margin) = (0.0, f64::NAN, f64::INFINITY);
        let mut before: Option<(f64, f64)> = None;
        for w in points {
            let (gain, phase) = self.response(w);
            if let Some((gain_before, phase_before)) = before {
                if gain_before >= 1.0 && gain < 1.0 {
                    (crossover, phase_at) = (w, phase);
                }
                if phase_before > -half_turn && phase <= -half_turn && gain > 0.0 {
                    gain_margin = f64::min(gain_margin, 1.0 / gain);
                }
            }
            before = Some((gain, phase));
        }
        // Below unity at every frequency no delay matters.
        let phase_margin = if phase_at.is_nan() { half_turn } else { half_turn + phase_at };
        let at_rest = if self.slope > 0.0 { self.slope * self.pull / self.gain } else { 0.0 };
        let delay_s = if crossover > 0.0 { (phase_margin / crossover).max(0.0) } else { 1e3 };
        Margins {
            wind_mps: self.wind_mps,
            crossover_radps: crossover,
            gain: gain_margin,
            gain_least: at_rest,
            phase_deg: phase_margin.to_degrees(),
            delay: Duration::from_secs_f64(delay_s),
        }
    }
}
