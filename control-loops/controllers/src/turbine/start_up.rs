//! Bringing the rotor from standstill to speed without a load.
//!
//! The blades come out of feather at a limited rate. Without torque in its way the rotor would run
//! away in strong wind, so a PI on the speed holds the blades back: in weak wind they reach fine pitch,
//! in strong wind they stay where the unloaded rotor keeps the reference speed. And a rotor that hardly
//! turns stalls at fine pitch: until it turns the blades wait at a starting angle.

use control_loops_blocks::{Pid, PidParameters};
use hal_units::{Duration, Radians, RadiansPerSecond};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::{BaselineLaw, SupervisionParameters};

/// What a start-up remembers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct StartUp {
    /// Speed (rad/s) to pitch (rad).
    pub speed_loop: Pid,
    /// Since the start.
    pub elapsed: Duration,
}

impl StartUp {
    /// Begins with the blades where they are.
    pub(super) fn from(law: &BaselineLaw, speed: Option<RadiansPerSecond>, pitch: Radians) -> Self {
        let p = law.parameters();
        let parameters = gains(law, pitch, p.pitch_min);
        let speed = speed.unwrap_or(RadiansPerSecond::ZERO);
        let speed_loop = Pid::seeded(&parameters, p.reference_speed.get(), speed.get(), pitch.get());
        Self { speed_loop, elapsed: Duration::ZERO }
    }

    /// The next pitch; `pitch` is the last command. An unknown speed holds it.
    pub(super) fn step(
        &mut self,
        law: &BaselineLaw,
        rules: &SupervisionParameters,
        speed: Option<RadiansPerSecond>,
        pitch: Radians,
        dt: Duration,
    ) -> Radians {
        self.elapsed = self.elapsed.saturating_add(dt);
        let Some(speed) = speed else { return pitch };
        let p = law.parameters();
        let way_out = Radians(rules.start_up_pitch_rate.get() * dt.as_secs_f64());
        let turns = speed >= rules.start_up_speed;
        let finest = if turns { p.pitch_min } else { rules.start_up_pitch };
        let parameters = gains(law, pitch, (pitch - way_out).max(finest));
        Radians(self.speed_loop.step(&parameters, p.reference_speed.get(), speed.get(), dt))
    }
}

/// The law's own gains: negative, because more pitch is less speed.
fn gains(law: &BaselineLaw, pitch: Radians, output_min: Radians) -> PidParameters {
    let (proportional_s, integral) = law.pitch_gains(pitch);
    PidParameters {
        proportional: -proportional_s,
        integral_per_s: -integral,
        derivative_s: 0.0,
        derivative_corner: RadiansPerSecond::ZERO,
        tracking_per_s: if proportional_s > 0.0 { integral / proportional_s } else { 0.0 },
        output_min: output_min.get(),
        output_max: law.parameters().pitch_max.get(),
    }
}
