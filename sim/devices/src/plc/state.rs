//! How a PLC is set up, what state it is in, and what it remembers of the truth.

use hal_units::{Duration, RadiansPerSecond, Watts};
use sim_plants::NoiseLevels;

/// Bits of the fault word.
pub mod fault {
    /// The watchdog starved: the PLC is in its safe state.
    pub const WATCHDOG: u16 = 1;
    /// The grid is lost.
    pub const GRID: u16 = 1 << 1;
    /// The blades are more than 2 degrees apart.
    pub const BLADES_APART: u16 = 1 << 2;
}

/// How a PLC is set up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlcConfig {
    /// From so long without the watchdog changing the PLC shows that it holds.
    pub hold_after: Duration,
    /// From so long the PLC brings the turbine to its safe state. Longer than `hold_after`.
    pub safe_after: Duration,
    /// In the safe state the brake falls once the generator is slower than this.
    pub brake_below: RadiansPerSecond,
    /// Noise of the sensors.
    pub noise: NoiseLevels,
    /// Seed of the noise.
    pub seed: u64,
    /// Whether it carries an arbiter.
    pub arbiter: bool,
    /// Whether it knows function code 23; without it such requests get exception 1.
    pub exchange: bool,
}

impl Default for PlcConfig {
    /// Hold after 0.2 s, safe after 1 s, brake below a tenth of the reference turbine's rated speed,
    /// usual sensors, no arbiter, function code 23 known.
    fn default() -> Self {
        Self {
            hold_after: Duration::from_millis(200),
            safe_after: Duration::from_secs(1),
            brake_below: RadiansPerSecond(12.3),
            noise: NoiseLevels::USUAL,
            seed: 0,
            arbiter: false,
            exchange: true,
        }
    }
}

/// Who decides what the turbine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlcState {
    /// The master.
    Normal,
    /// The master's last command.
    Hold,
    /// The PLC.
    Safe {
        /// Whether the rotor was slow enough for the brake; once applied it stays.
        braking: bool,
    },
}

impl PlcState {
    /// The number in the register.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Normal => 0,
            Self::Hold => 1,
            Self::Safe { .. } => 2,
        }
    }

    /// The word for people and for JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Hold => "hold",
            Self::Safe { .. } => "safe",
        }
    }
}

/// What happened in and around the plant since the start.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Truth {
    /// Time that the plant ran.
    pub ran_for: Duration,
    /// Electrical energy, J.
    pub energy_j: f64,
    /// Fastest rotor.
    pub rotor_speed_max: RadiansPerSecond,
    /// Scans.
    pub scans: u64,
    /// Scans that were skipped because the process did not get to run.
    pub scans_skipped: u64,
    /// Requests that read registers, with or without a write.
    pub reads: u64,
    /// Writes of commands that were carried out.
    pub writes_applied: u64,
    /// Writes of the arbiter's registers that were carried out.
    pub arbiter_writes: u64,
    /// Writes that were refused because of a lower epoch, or because they carried none.
    pub writes_refused_by_epoch: u64,
    /// Writes that were refused because of an address or a value.
    pub writes_refused_by_content: u64,
    /// How often the watchdog starved into hold.
    pub watchdog_holds: u64,
    /// How often the watchdog starved into the safe state.
    pub watchdog_starvations: u64,
}

impl Truth {
    /// Mean electrical power; zero before the plant ran.
    #[must_use]
    pub fn power_mean(&self) -> Watts {
        let seconds = self.ran_for.as_secs_f64();
        if seconds > 0.0 { Watts(self.energy_j / seconds) } else { Watts::ZERO }
    }
}
