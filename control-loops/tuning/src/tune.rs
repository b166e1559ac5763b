//! The rules by which a turbine's data become the numbers of its controller.

use control_loops_controllers::turbine::{
    AboveRated, Dampers, Estimate, IndividualPitchParameters, LawParameters, OperatingLimits,
    PITCH_SCHEDULE_LINES, PitchLoop, RotorModel, SafetyParameters, SupervisionParameters, TaktParameters,
    TorqueLoop, TurbineParameters, WIND_LINES, WIND_STEP, YawParameters,
};
use control_loops_rotor::RotorTable;
use hal_diagnostics::Diagnostic;
use hal_units::{
    Meters, MetersPerSecond, NewtonMeters, NewtonMetersPerSecond, Radians, RadiansPerSecond, Watts,
};

use crate::steady::Rotor;
use crate::{SteadyState, TurbineDescription};

/// What the tuner found.
#[derive(Debug, Clone)]
pub struct Tuned {
    /// For the controller: the baseline law and the Takt law for this turbine.
    pub parameters: TurbineParameters,
    /// From cut-in to cut-out, every half metre per second.
    pub schedule: Vec<SteadyState>,
    /// Tip-speed ratio of best power and the power coefficient there.
    pub best: (f64, f64),
    /// Acceleration lost per pitch at pitch 0 (rad/s2 per rad), and the pitch at which it has doubled.
    pub sensitivity: (f64, Radians),
}

/// Pitch up to which the sensitivity is looked at, deg.
const PITCH_DEG_MAX: f64 = 30.0;
/// The rotor model's grid, degrees.
const MODEL_PITCH_DEG: (f64, f64) = (-3.0, 33.0);

/// Works out a controller for a turbine.
///
/// # Errors
/// If the rotor cannot carry rated power in any wind up to cut-out, or the numbers make no controller;
/// the complaint is about the description's file.
pub fn tune(file: &str, d: &TurbineDescription, table: &RotorTable) -> Result<Tuned, Diagnostic> {
    let complain = |what: String, remedy: &str| Diagnostic {
        file: file.to_owned(),
        position: None,
        what,
        remedy: remedy.to_owned(),
    };
    let rotor = Rotor::new(d, table);
    let Some(sensitivity) = sensitivity(&rotor) else {
        return Err(complain(
            format!(
                "at {} rpm the rotor carries {} kW in no wind",
                d.rotor.rated_speed_rpm, d.generator.rated_power_kw
            ),
            "check radius, rated speed and power, and that the rotor table is this turbine's",
        ));
    };
    let fine = fine_pitch(&rotor);
    let takt = takt(&rotor, sensitivity, &fine);
    let parameters = TurbineParameters {
        rated_power: Watts::from_kilowatts(d.generator.rated_power_kw),
        gearbox_ratio: d.generator.gearbox_ratio,
        law: baseline(&rotor, sensitivity),
        takt: Some(takt),
        individual: individual(&rotor),
        supervision: supervision(d),
        safety: safety(d),
        yaw: YawParameters::NREL_5MW,
    };
    parameters.check().map_err(|error| complain(error.to_string(), "correct the description"))?;
    let winds = (d.wind.cut_in_mps * 2.0).ceil() as u32..=(d.wind.cut_out_mps * 2.0).floor() as u32;
    let schedule = winds
        .map(|half| f64::from(half) / 2.0)
        .map(|wind| rotor.steady(wind, Radians(over_wind(&fine, wind))))
        .collect();
    let best = rotor.best_ratio;
    let power = best * table.coefficients(best, rotor.fine()).torque;
    Ok(Tuned { parameters, schedule, best: (best, power), sensitivity })
}

/// Acceleration lost per pitch, as a straight line over pitch (least squares over the operating points):
/// its value at pitch 0 and the pitch at which it has doubled. The line, as in NREL/TP-500-38060, section 7.3,
/// because the slope of a table is rough.
fn sensitivity(rotor: &Rotor<'_>) -> Option<(f64, Radians)> {
    let half = Radians::from_degrees(1.0);
    let cut_out = rotor.description.wind.cut_out_mps;
    let points: Vec<(f64, f64)> = (2..=50)
        .map(|k| rotor.fine() + Radians::from_degrees(f64::from(k) * 0.5))
        .filter_map(|pitch| Some((pitch, rotor.wind_at(pitch).filter(|&wind| wind <= cut_out)?)))
        .map(|(pitch, wind)| {
            let torque = |pitch| rotor.torque(wind, rotor.rated_speed(), pitch);
            let slope = (torque(pitch - half) - torque(pitch + half)) / (2.0 * half.get());
            (pitch.get(), slope / rotor.inertia())
        })
        .collect();
    let count = points.len() as f64;
    if points.len() < 4 {
        return None;
    }
    let (x, y) = points.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0 / count, sum.1 + p.1 / count));
    let (xx, xy) = points
        .iter()
        .fold((0.0, 0.0), |sum, p| (sum.0 + (p.0 - x) * (p.0 - x), sum.1 + (p.0 - x) * (p.1 - y)));
    let slope = xy / xx;
    let at_zero = (y - slope * x).max(0.2 * y);
    (at_zero > 0.0 && slope > 0.0).then(|| (at_zero, Radians(at_zero / slope)))
}

/// Finest pitch over wind: where the steady thrust would pass what is allowed, the pitch that keeps it
/// there; and, if wished, the pitch of most power where the rotor is too fast for the wind.
fn fine_pitch(rotor: &Rotor<'_>) -> [f64; WIND_LINES] {
    let (fine, t) = (rotor.fine(), &rotor.description.tuning);
    let winds = (30..=250).map(|k| f64::from(k) / 10.0);
    let peak = winds.map(|wind| rotor.steady(wind, fine).thrust_n).fold(0.0, f64::max);
    let most = t.thrust_max_kn.map_or(peak * t.thrust_share, |most| most * 1e3);
    core::array::from_fn(|entry| {
        let wind = (entry as f64 * WIND_STEP.get()).max(1.0);
        let speed = rotor.speed_at(wind);
        let too_fast = speed <= rotor.slowest_speed();
        let fine = if t.pitch_of_most_power && too_fast { rotor.best_pitch(wind, speed) } else { fine };
        if t.thrust_share >= 1.0 && t.thrust_max_kn.is_none() {
            return fine.get();
        }
        rotor.pitch_until(fine, most, |pitch| rotor.thrust(wind, speed, pitch)).get()
    })
}

fn over_wind(schedule: &[f64; WIND_LINES], wind: f64) -> f64 {
    let position = wind / WIND_STEP.get();
    let cell = (position as usize).min(WIND_LINES - 2);
    let at = |entry: usize| schedule.get(entry).copied().unwrap_or(0.0);
    at(cell) + (position - cell as f64) * (at(cell + 1) - at(cell))
}

fn takt(rotor: &Rotor<'_>, sensitivity: (f64, Radians), fine: &[f64; WIND_LINES]) -> TaktParameters {
    let (d, t) = (rotor.description, &rotor.description.tuning);
    let (ratio_low, ratio_high) = rotor.table.ratio_range();
    let (pitch_low, pitch_high) = rotor.table.pitch_range();
    let pitches = (
        Radians::from_degrees(MODEL_PITCH_DEG.0).max(pitch_low),
        Radians::from_degrees(MODEL_PITCH_DEG.1).min(pitch_high),
    );
    let model = RotorModel::sampled((ratio_low, ratio_high), pitches, |ratio, pitch| {
        rotor.table.coefficients(ratio, pitch).torque
    });
    let estimate = if t.estimate_wind {
        let speed_noise = RadiansPerSecond(t.speed_noise_share * rotor.rated_speed());
        Estimate::Kalman { turbulence_intensity: t.turbulence_intensity, speed_noise }
    } else {
        Estimate::None
    };
    let to = Radians::from_degrees(PITCH_DEG_MAX);
    let along = |entry: usize| to.get() * entry as f64 / (PITCH_SCHEDULE_LINES - 1) as f64;
    let (at_zero, doubled) = sensitivity;
    let generator_share = rotor.generator_inertia(d.generator.gearbox_ratio) / rotor.inertia();
    TaktParameters {
        rotor: model,
        rotor_radius: Meters(d.rotor.radius_m),
        air_density_kgpm3: d.rotor.air_density_kgpm3,
        inertia_kgm2: rotor.inertia(),
        rotor_inertia_share: 1.0 - generator_share,
        generator_efficiency: d.generator.efficiency,
        rated_rotor_speed: RadiansPerSecond(rotor.rated_speed()),
        slowest_rotor_speed: RadiansPerSecond(rotor.slowest_speed()),
        best_ratio: rotor.best_ratio,
        pitch_rate_max: degrees_per_second(d.pitch.rate_degps),
        estimate,
        pitch: PitchLoop {
            bandwidth: RadiansPerSecond(t.speed_bandwidth_radps),
            damping: t.speed_damping,
            sensitivity: core::array::from_fn(|entry| at_zero * (1.0 + along(entry) / doubled.get())),
            sensitivity_to: to,
            play: Radians::from_degrees(t.pitch_play_deg),
            lead_s: t.pitch_lead_share * drive_lag_s(d),
            guard_from: t.guard_from,
            guard_ahead_s: t.guard_ahead_s,
            guard_per_s: t.guard_per_s,
            reserve: t.speed_reserve,
        },
        torque: torque_loop(rotor),
        limits: OperatingLimits {
            fine_pitch_rad: *fine,
            storm_from: MetersPerSecond(t.storm_from_mps.unwrap_or(39.0)),
            storm_to: MetersPerSecond(t.storm_to_mps.unwrap_or(40.0)),
            storm_power_share: t.storm_power_share,
            derated_speed_share: t.derated_speed_share,
            rated_power: Watts::from_kilowatts(d.generator.rated_power_kw),
        },
        dampers: dampers(rotor),
    }
}

fn torque_loop(rotor: &Rotor<'_>) -> TorqueLoop {
    let t = &rotor.description.tuning;
    let rpm = RadiansPerSecond::from_rpm;
    TorqueLoop {
        tracking: RadiansPerSecond(t.tracking_radps),
        holding: RadiansPerSecond(t.holding_radps),
        optimal_gain: optimal_gain(rotor),
        above_rated: if t.constant_torque { AboveRated::ConstantTorque } else { AboveRated::ConstantPower },
        smoothing_depth: t.smoothing_depth,
        smoothing_pitch: Radians::from_degrees(t.smoothing_pitch_deg),
        excluded: (
            rpm(t.excluded_speed_rpm - t.excluded_half_width_rpm),
            rpm(t.excluded_speed_rpm + t.excluded_half_width_rpm),
        ),
    }
}

fn dampers(rotor: &Rotor<'_>) -> Dampers {
    let (d, t) = (rotor.description, &rotor.description.tuning);
    // Against the rotor the generator swings with the reduced inertia; the torque acts on its mass alone.
    let generator = rotor.generator_inertia(d.generator.gearbox_ratio);
    let reduced = d.rotor.inertia_kgm2 * generator / rotor.inertia();
    let frequency = (d.drivetrain.stiffness_nmprad / reduced).sqrt();
    Dampers {
        drivetrain_nmsprad: 2.0 * t.drivetrain_damping * frequency * generator,
        tower_radspm: Radians::from_degrees(t.tower_damper_degspm).get(),
        tower_frequency: RadiansPerSecond(core::f64::consts::TAU * d.tower.frequency_hz),
        tower_pitch_max: Radians::from_degrees(t.tower_pitch_max_deg),
    }
}

/// Individual pitch, if it is wished. A blade is a third of the rotor, and its thrust acts two thirds of the radius
/// out. The offsets may take half of the drives' speed at rated speed, where they turn fastest.
fn individual(rotor: &Rotor<'_>) -> Option<IndividualPitchParameters> {
    let (d, t) = (rotor.description, &rotor.description.tuning);
    if t.individual_pitch_radps == 0.0 {
        return None;
    }
    let to = Radians::from_degrees(PITCH_DEG_MAX);
    let half = Radians::from_degrees(1.0);
    let arm = 2.0 / 3.0 * d.rotor.radius_m / 3.0;
    let slope_at = |pitch: Radians| {
        let wind = rotor.wind_at(pitch)?;
        let thrust = |pitch| rotor.thrust(wind, rotor.rated_speed(), pitch);
        let slope = (thrust(pitch - half) - thrust(pitch + half)) / (2.0 * half.get()) * arm;
        (slope > 0.0).then_some(slope)
    };
    let mut last =
        (1..=60).map(|k| rotor.fine() + Radians::from_degrees(f64::from(k) * 0.5)).find_map(slope_at)?;
    let sensitivity_nmprad = core::array::from_fn(|entry| {
        let pitch = Radians(to.get() * entry as f64 / (PITCH_SCHEDULE_LINES - 1) as f64);
        // Where the rotor carries rated power in no wind, the last known one holds.
        last = slope_at(pitch).unwrap_or(last);
        last
    });
    let fastest = 0.5 * degrees_per_second(d.pitch.rate_degps).get() / rotor.rated_speed();
    Some(IndividualPitchParameters {
        bandwidth: RadiansPerSecond(t.individual_pitch_radps),
        sensitivity_nmprad,
        sensitivity_to: to,
        amplitude_max: Radians::from_degrees(t.individual_pitch_max_deg).min(Radians(fastest)),
        lead_s: drive_lag_s(d),
    })
}

/// A second-order lag holds a slow signal back by 2 zeta / wn.
fn drive_lag_s(d: &TurbineDescription) -> f64 {
    2.0 * d.pitch.damping / (core::f64::consts::TAU * d.pitch.frequency_hz)
}

/// `k` of `k w^2` at the low-speed shaft.
fn optimal_gain(rotor: &Rotor<'_>) -> f64 {
    let (r, best) = (&rotor.description.rotor, rotor.best_ratio);
    let power = best * rotor.table.coefficients(best, rotor.fine()).torque;
    0.5 * r.air_density_kgpm3 * core::f64::consts::PI * r.radius_m.powi(5) * power / best.powi(3)
}

/// The baseline law for any turbine, by the rules of NREL/TP-500-38060, chapter 7: region 2 from 30 % above
/// cut-in speed, rated speed at 99 % of the reference, slip 10 %, pitch loop at 0.6 rad/s and 0.7, filter
/// at a quarter of the blades' first edgewise frequency (taken as five times the rotor's).
fn baseline(rotor: &Rotor<'_>, sensitivity: (f64, Radians)) -> LawParameters {
    let d = rotor.description;
    let ratio = d.generator.gearbox_ratio;
    let reference = rotor.rated_speed() * ratio;
    let cut_in = rotor.slowest_speed() * ratio;
    let (at_zero, doubled) = sensitivity;
    let rated_torque = rotor.rated_torque() / ratio;
    // A rotor that reaches rated torque before rated speed leaves region 2 on a lower curve.
    let gain_max = 0.85 * rated_torque / (reference * reference);
    let region_2 = (1.3 * cut_in).min(0.5 * (cut_in + 0.97 * reference));
    LawParameters {
        speed_filter_corner: RadiansPerSecond(1.25 * rotor.rated_speed()),
        update_interval: LawParameters::NREL_5MW.update_interval,
        cut_in_speed: RadiansPerSecond(cut_in),
        region_2_speed: RadiansPerSecond(region_2),
        rated_speed: RadiansPerSecond(0.99 * reference),
        optimal_gain: (optimal_gain(rotor) / (ratio * ratio * ratio)).min(gain_max),
        slip_percent: LawParameters::NREL_5MW.slip_percent,
        rated_power_mechanical: Watts(rotor.rated_power_mechanical()),
        constant_power_pitch: rotor.fine().max(Radians::ZERO) + Radians::from_degrees(1.0),
        torque_max: NewtonMeters(rated_torque * d.generator.torque_max_share),
        torque_rate_max: NewtonMetersPerSecond(d.generator.torque_rate_nmps),
        reference_speed: RadiansPerSecond(reference),
        pitch_proportional_s: 2.0 * 0.7 * 0.6 / (at_zero * ratio),
        pitch_integral: 0.6 * 0.6 / (at_zero * ratio),
        gain_halving_pitch: doubled,
        pitch_min: rotor.fine().max(Radians::ZERO),
        pitch_max: LawParameters::NREL_5MW.pitch_max,
        pitch_rate_max: degrees_per_second(d.pitch.rate_degps),
    }
}

fn degrees_per_second(rate: f64) -> RadiansPerSecond {
    RadiansPerSecond(Radians::from_degrees(rate).get())
}

/// The reference turbine's rules, scaled with speed and wind.
fn supervision(d: &TurbineDescription) -> SupervisionParameters {
    let rules = SupervisionParameters::NREL_5MW;
    let scale = d.rotor.rated_speed_rpm / 12.1;
    let generator_scale = scale * d.generator.gearbox_ratio / 97.0;
    let slowest = RadiansPerSecond::from_rpm(d.rotor.slowest_speed_rpm) * d.generator.gearbox_ratio;
    let cut_out = d.tuning.storm_to_mps.unwrap_or(d.wind.cut_out_mps);
    SupervisionParameters {
        cut_in_wind: MetersPerSecond(d.wind.cut_in_mps),
        cut_in_wind_lost: MetersPerSecond(d.wind.cut_in_mps - 0.5),
        cut_out_wind: MetersPerSecond(cut_out + 0.5),
        restart_wind: MetersPerSecond(cut_out - 3.0),
        start_up_pitch_rate: rules.start_up_pitch_rate.min(degrees_per_second(d.pitch.rate_degps)),
        stop_pitch_rate: rules.stop_pitch_rate.min(degrees_per_second(d.pitch.rate_degps)),
        start_up_speed: (rules.start_up_speed * generator_scale).min(slowest * 0.5),
        disconnect_speed: (rules.disconnect_speed * generator_scale).min(slowest * 0.9),
        brake_rotor_speed: rules.brake_rotor_speed * scale,
        brake_release_rotor_speed: rules.brake_release_rotor_speed * scale,
        ..rules
    }
}

fn safety(d: &TurbineDescription) -> SafetyParameters {
    let rules = SafetyParameters::NREL_5MW;
    let reference = RadiansPerSecond::from_rpm(d.rotor.rated_speed_rpm) * d.generator.gearbox_ratio;
    let scale = reference / LawParameters::NREL_5MW.reference_speed;
    SafetyParameters {
        overspeed: reference * 1.25,
        overspeed_hard: reference * 1.30,
        speed_mismatch: rules.speed_mismatch * scale,
        pitch_follow_rate: degrees_per_second(d.pitch.rate_degps) * 0.5,
        ..rules
    }
}
