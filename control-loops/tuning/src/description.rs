//! A turbine's data as a person writes them.

use hal_diagnostics::{Diagnostic, Document};
use serde::Deserialize;

/// A turbine: what the tuner has to know of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurbineDescription {
    /// For people.
    pub name: String,
    /// What the wind turns.
    pub rotor: RotorText,
    /// What makes the power.
    pub generator: GeneratorText,
    /// What lies between.
    pub drivetrain: DrivetrainText,
    /// What turns the blades.
    pub pitch: PitchText,
    /// What carries all that.
    pub tower: TowerText,
    /// Where it works.
    pub wind: WindText,
    /// Wishes.
    #[serde(default)]
    pub tuning: TuningText,
}

/// Section `[rotor]`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotorText {
    /// Blade tip to axis.
    pub radius_m: f64,
    /// Hub and blades about the low-speed shaft.
    pub inertia_kgm2: f64,
    /// Speed at rated power.
    pub rated_speed_rpm: f64,
    /// Slowest speed in operation.
    pub slowest_speed_rpm: f64,
    /// Finest pitch.
    pub fine_pitch_deg: f64,
    /// Tip-speed ratio to work at; the table's best if left out.
    pub best_tip_speed_ratio: Option<f64>,
    /// Density of the air.
    #[serde(default = "sea_level")]
    pub air_density_kgpm3: f64,
}

/// Section `[generator]`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorText {
    /// Electrical.
    pub rated_power_kw: f64,
    /// Electrical over mechanical power.
    pub efficiency: f64,
    /// About the high-speed shaft.
    pub inertia_kgm2: f64,
    /// Generator speed over rotor speed; 1 without a gearbox.
    pub gearbox_ratio: f64,
    /// Largest torque over rated torque.
    pub torque_max_share: f64,
    /// Fastest change of torque.
    pub torque_rate_nmps: f64,
}

/// Section `[drivetrain]`, at the low-speed shaft.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrivetrainText {
    /// Stiffness.
    pub stiffness_nmprad: f64,
    /// Damping.
    pub damping_nmsprad: f64,
}

/// Section `[pitch]`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PitchText {
    /// Fastest blade.
    pub rate_degps: f64,
    /// Natural frequency of the drives.
    pub frequency_hz: f64,
    /// Their damping over critical.
    pub damping: f64,
}

/// Section `[tower]`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TowerText {
    /// First fore-aft frequency.
    pub frequency_hz: f64,
    /// Structural damping over critical.
    pub damping: f64,
    /// Mass that moves with the top.
    pub mass_kg: f64,
}

/// Section `[wind]`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindText {
    /// The turbine starts from this wind on.
    pub cut_in_mps: f64,
    /// Up to here it works.
    pub cut_out_mps: f64,
}

/// Section `[tuning]`: each has a default.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TuningText {
    /// `false`: no estimate of the wind.
    pub estimate_wind: bool,
    /// Turbulence that the estimator expects, standard deviation over mean.
    pub turbulence_intensity: f64,
    /// Standard deviation of a reading of the rotor's speed, share of rated speed.
    pub speed_noise_share: f64,
    /// Natural frequency of the speed loop, rad/s.
    pub speed_bandwidth_radps: f64,
    /// Its damping over critical.
    pub speed_damping: f64,
    /// The blades stay as long as they would move less than this.
    pub pitch_play_deg: f64,
    /// Share of the drives' lag that the command makes up for.
    pub pitch_lead_share: f64,
    /// Overspeed from which the gust guard acts, share of rated.
    pub guard_from: f64,
    /// How far ahead it looks, s.
    pub guard_ahead_s: f64,
    /// How fast it wants the excess gone, 1/s.
    pub guard_per_s: f64,
    /// Speed that may be gained over rated before the blades give way, share of rated.
    pub speed_reserve: f64,
    /// Rate at which the speed follows the wind, rad/s.
    pub tracking_radps: f64,
    /// Rate at which the speed is held at the ends of its range, rad/s.
    pub holding_radps: f64,
    /// Full torque down to this share below rated speed, while the blades are pitched.
    pub smoothing_depth: f64,
    /// Pitch above fine at which that is whole.
    pub smoothing_pitch_deg: f64,
    /// `true`: constant torque above rated speed, not constant power.
    pub constant_torque: bool,
    /// Peak shaving: largest steady thrust over the unshaved peak; 1 shaves nothing.
    pub thrust_share: f64,
    /// Peak shaving: largest steady thrust, in the place of the share.
    pub thrust_max_kn: Option<f64>,
    /// `true`: at slowest speed, in too little wind, the pitch that gives most.
    pub pitch_of_most_power: bool,
    /// Soft cut-out: from here on the power falls; cut-out wind if left out.
    pub storm_from_mps: Option<f64>,
    /// Soft cut-out: here the turbine stops.
    pub storm_to_mps: Option<f64>,
    /// What is left of rated power there.
    pub storm_power_share: f64,
    /// Derating: speed at power zero, share of rated; 1 derates by torque alone.
    pub derated_speed_share: f64,
    /// Rotor speeds to stay out of, rpm: middle and half width; width 0 excludes nothing.
    pub excluded_speed_rpm: f64,
    /// Half width.
    pub excluded_half_width_rpm: f64,
    /// Damping that the torque adds to the drivetrain, over critical.
    pub drivetrain_damping: f64,
    /// Pitch per speed of the tower top, deg s/m.
    pub tower_damper_degspm: f64,
    /// The most pitch that the tower damper may ask for.
    pub tower_pitch_max_deg: f64,
    /// Individual pitch: how fast the load of once a turn is worked off, rad/s; 0 leaves all blades together.
    pub individual_pitch_radps: f64,
    /// Individual pitch: the largest offset of a blade.
    pub individual_pitch_max_deg: f64,
}

impl Default for TuningText {
    fn default() -> Self {
        Self {
            estimate_wind: true,
            turbulence_intensity: 0.16,
            speed_noise_share: 8e-4,
            speed_bandwidth_radps: 0.6,
            speed_damping: 0.707,
            pitch_play_deg: 0.0,
            pitch_lead_share: 1.0,
            guard_from: 0.05,
            guard_ahead_s: 1.0,
            guard_per_s: 1.0,
            speed_reserve: 0.0,
            tracking_radps: 0.35,
            holding_radps: 0.5,
            smoothing_depth: 0.1,
            smoothing_pitch_deg: 1.0,
            constant_torque: false,
            thrust_share: 1.0,
            thrust_max_kn: None,
            pitch_of_most_power: false,
            storm_from_mps: None,
            storm_to_mps: None,
            storm_power_share: 0.5,
            derated_speed_share: 1.0,
            excluded_speed_rpm: 0.0,
            excluded_half_width_rpm: 0.0,
            drivetrain_damping: 0.02,
            tower_damper_degspm: 0.0,
            tower_pitch_max_deg: 2.0,
            individual_pitch_radps: 0.0,
            individual_pitch_max_deg: 3.0,
        }
    }
}

/// Of the standard atmosphere at sea level.
const fn sea_level() -> f64 {
    1.225
}

impl TurbineDescription {
    /// Reads a description.
    ///
    /// # Errors
    /// If the text is no TOML, lacks something, holds something unknown, or a number no turbine can have.
    pub fn parse(document: &Document) -> Result<Self, Diagnostic> {
        let description: Self = document.parse()?;
        match description.absurd() {
            None => Ok(description),
            Some((what, remedy)) => {
                let (file, position) = (document.file().to_owned(), None);
                Err(Diagnostic { file, position, what, remedy })
            }
        }
    }

    fn absurd(&self) -> Option<(String, String)> {
        let (rotor, generator, pitch, tower) = (&self.rotor, &self.generator, &self.pitch, &self.tower);
        let ranges = [
            ("rotor.radius_m", rotor.radius_m, 1.0, 300.0),
            ("rotor.inertia_kgm2", rotor.inertia_kgm2, 1.0, 1e12),
            ("rotor.rated_speed_rpm", rotor.rated_speed_rpm, 0.5, 500.0),
            ("rotor.slowest_speed_rpm", rotor.slowest_speed_rpm, 0.1, rotor.rated_speed_rpm),
            ("rotor.fine_pitch_deg", rotor.fine_pitch_deg, -5.0, 10.0),
            ("rotor.best_tip_speed_ratio", rotor.best_tip_speed_ratio.unwrap_or(7.0), 2.0, 20.0),
            ("rotor.air_density_kgpm3", rotor.air_density_kgpm3, 0.5, 1.6),
            ("generator.rated_power_kw", generator.rated_power_kw, 1.0, 1e5),
            ("generator.efficiency", generator.efficiency, 0.5, 1.0),
            ("generator.inertia_kgm2", generator.inertia_kgm2, 1e-3, 1e9),
            ("generator.gearbox_ratio", generator.gearbox_ratio, 1.0, 500.0),
            ("generator.torque_max_share", generator.torque_max_share, 1.0, 2.0),
            ("generator.torque_rate_nmps", generator.torque_rate_nmps, 1.0, 1e9),
            ("drivetrain.stiffness_nmprad", self.drivetrain.stiffness_nmprad, 1e3, 1e13),
            ("drivetrain.damping_nmsprad", self.drivetrain.damping_nmsprad, 1.0, 1e11),
            ("pitch.rate_degps", pitch.rate_degps, 0.5, 30.0),
            ("pitch.frequency_hz", pitch.frequency_hz, 0.05, 20.0),
            ("pitch.damping", pitch.damping, 0.1, 0.999),
            ("tower.frequency_hz", tower.frequency_hz, 0.02, 5.0),
            ("tower.damping", tower.damping, 1e-4, 0.5),
            ("tower.mass_kg", tower.mass_kg, 100.0, 1e8),
            ("wind.cut_in_mps", self.wind.cut_in_mps, 1.0, 10.0),
            ("wind.cut_out_mps", self.wind.cut_out_mps, self.wind.cut_in_mps + 5.0, 39.0),
        ];
        let tuning = self.tuning.ranges();
        let outside = |&(_, value, low, high): &(&str, f64, f64, f64)| !(low..=high).contains(&value);
        ranges.into_iter().chain(tuning).find(outside).map(|(field, value, low, high)| {
            (format!("{field} is {value}"), format!("give a number from {low} to {high}"))
        })
    }
}

impl TuningText {
    fn ranges(&self) -> [(&'static str, f64, f64, f64); 26] {
        [
            ("tuning.turbulence_intensity", self.turbulence_intensity, 0.01, 1.0),
            ("tuning.speed_noise_share", self.speed_noise_share, 1e-6, 0.1),
            ("tuning.speed_bandwidth_radps", self.speed_bandwidth_radps, 0.02, 5.0),
            ("tuning.speed_damping", self.speed_damping, 0.2, 3.0),
            ("tuning.pitch_play_deg", self.pitch_play_deg, 0.0, 1.0),
            ("tuning.pitch_lead_share", self.pitch_lead_share, 0.0, 1.0),
            ("tuning.guard_from", self.guard_from, 0.0, 0.2),
            ("tuning.guard_ahead_s", self.guard_ahead_s, 0.0, 10.0),
            ("tuning.guard_per_s", self.guard_per_s, 0.0, 10.0),
            ("tuning.speed_reserve", self.speed_reserve, 0.0, 0.1),
            ("tuning.tracking_radps", self.tracking_radps, 0.005, 2.0),
            ("tuning.holding_radps", self.holding_radps, 0.005, 5.0),
            ("tuning.smoothing_depth", self.smoothing_depth, 0.0, 0.4),
            ("tuning.smoothing_pitch_deg", self.smoothing_pitch_deg, 0.05, 20.0),
            ("tuning.thrust_share", self.thrust_share, 0.4, 1.0),
            ("tuning.thrust_max_kn", self.thrust_max_kn.unwrap_or(100.0), 1.0, 1e5),
            ("tuning.storm_from_mps", self.storm_from_mps.unwrap_or(25.0), 10.0, 38.0),
            ("tuning.storm_to_mps", self.storm_to_mps.unwrap_or(30.0), 11.0, 40.0),
            ("tuning.storm_power_share", self.storm_power_share, 0.0, 1.0),
            ("tuning.derated_speed_share", self.derated_speed_share, 0.5, 1.0),
            ("tuning.excluded_half_width_rpm", self.excluded_half_width_rpm, 0.0, 5.0),
            ("tuning.drivetrain_damping", self.drivetrain_damping, 0.0, 0.5),
            ("tuning.tower_damper_degspm", self.tower_damper_degspm, 0.0, 20.0),
            ("tuning.tower_pitch_max_deg", self.tower_pitch_max_deg, 0.0, 5.0),
            ("tuning.individual_pitch_radps", self.individual_pitch_radps, 0.0, 0.5),
            ("tuning.individual_pitch_max_deg", self.individual_pitch_max_deg, 0.1, 8.0),
        ]
    }
}
