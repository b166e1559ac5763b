//! `takt-sim turbine`: one turbine in closed loop, in virtual time.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use control_loops_controllers::turbine::TurbineParameters;
use control_loops_tuning::TurbineDescription;
use hal_units::{Duration, Meters, Radians};
use serde::Serialize;
use sim_plants::{RotorSurface, WindSpec};
use sim_world::{BusTrouble, RunFigures, Start, TimedFault, TurbineLoop, TurbineLoopSetup, TurbineRow};

use crate::failure::Failure;
use crate::number::within;
use crate::openfast::OutputText;
use crate::pilot::{ControllerChoice, Trial};
use crate::plant::{self, SensorNoise, WIND_HELP};
use crate::text_file;

/// A day.
const SECONDS_MAX: f64 = 86_400.0;
/// The most rows that are written; each takes about 60 bytes.
const ROWS_MAX: u64 = 10_000_000;
const HEADER: &str = "t_s,wind_mps,rotor_rpm,pitch_deg,gen_torque_nm,gen_power_kw,thrust_kn\n";

const FAULT_HELP: &str = "\
Something breaks at a time; may be given several times. NAME@SECONDS with NAME one of
  grid-loss                          the grid is gone
  blade-1-stuck                      a blade stays where it is; also blade-2-stuck, blade-3-stuck
  commands-lost                      no write arrives any more
  SIGNAL-frozen                      shows its last value
  SIGNAL-drift                       moves away, a thousandth of its usual value per second
  SIGNAL-nan                         shows no number
  SIGNAL-word-swapped                shows its two words in the wrong order
SIGNAL: generator-speed, rotor-speed, pitch, wind-speed, power, generator-torque, yaw-error,
cable-twist, tower-acceleration, azimuth, root-moment (of the first blade)";

const EXAMPLES: &str = "\
Examples:
  takt-sim turbine --wind const:12 --seconds 600 --controller-hz 100 --csv steady.csv
  takt-sim turbine --wind eog:14 --seconds 120 --controller-hz 50 --csv gust.csv
  takt-sim turbine --wind turb:18:12 --seed 7 --sensor-noise usual --csv turbulent.csv
  takt-sim turbine --wind const:9 --from-standstill --csv - | head
  takt-sim turbine --wind turb:18:16 --controller-hz 50 --controller discon:libdiscon.so \
      --config DISCON.IN --json peer.json
  takt-sim turbine --wind const:18 --fault grid-loss@60 --json -
  takt-sim turbine --wind field.bts --controller takt --openfast takt.out

Columns: t_s, wind_mps, rotor_rpm, pitch_deg (mean of the blades), gen_torque_nm (high-speed shaft),
gen_power_kw (electrical), thrust_kn. They are the truth about the plant, not what its sensors show.

Figures in JSON: mean_power_kw, rotor_speed_std_rpm, rotor_speed_max_rpm, pitch_travel_deg_per_s (way of
the blades' mean over time), tower_fa_std_m (fore-aft deflection of the tower top), torque_std_nm,
root_moment_std_knm (out-of-plane, first blade), blade_travel_deg_per_s (way of the first blade over time),
shutdowns (causes for which the safety interlock stopped the turbine).

Exit status: 0 done, 1 failed, 2 wrong usage or bad input.";

/// Runs one NREL 5-MW turbine under the production controller, in virtual time
///
/// The turbine begins in operation: in the steady state of the wind at time zero, taken over by the
/// controller as a running turbine is. With --from-standstill it begins feathered at rest, and the
/// controller starts it up. It is asked to run without a power limit. Equal arguments give equal files.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Wind: const:V, steps:V1,V2,...:SECONDS, eog:V, turb:MEAN:INTENSITY_PERCENT, or a file
    #[arg(long, value_name = "SPEC", long_help = WIND_HELP)]
    wind: WindSpec,

    /// How long to simulate, up to a day
    #[arg(long, allow_negative_numbers = true, value_name = "S", default_value = "600", value_parser = within(0.001, SECONDS_MAX))]
    seconds: f64,

    /// How often the controller steps; the plant takes its own, shorter steps
    #[arg(long, allow_negative_numbers = true, value_name = "HZ", default_value = "100", value_parser = within(1.0, 1000.0))]
    controller_hz: f64,

    /// Rotor performance table in ROSCO's Cp_Ct_Cq text format, instead of the built-in rotor
    #[arg(long, value_name = "FILE")]
    rotor_table: Option<PathBuf>,

    /// Who drives: baseline, takt, or discon:LIBRARY, a shared library with Bladed's interface
    #[arg(long, value_name = "WHO", default_value_t = ControllerChoice::Baseline)]
    controller: ControllerChoice,

    /// The controller's own file: for takt a turbine description to tune from, for a library its input
    /// file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The turbine's description (TOML), instead of the NREL 5-MW; give its rotor table, too
    #[arg(long, value_name = "FILE", requires = "rotor_table")]
    turbine: Option<PathBuf>,

    #[command(flatten)]
    off: Off,

    /// Something breaks: NAME@SECONDS; may be given several times
    #[arg(long, value_name = "NAME@S", long_help = FAULT_HELP)]
    fault: Vec<TimedFault>,

    /// Seed of turbulence and sensor noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Noise of the sensors that the controller reads
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = SensorNoise::None)]
    sensor_noise: SensorNoise,

    /// Begin feathered at rest instead of in operation
    #[arg(long)]
    from_standstill: bool,

    /// Where to write the rows; - is standard output
    #[arg(long, value_name = "FILE", required_unless_present_any = ["json", "openfast"])]
    csv: Option<PathBuf>,

    /// Where to write the rows in OpenFAST's text output format, usually FILE.out; - is standard output
    #[arg(long, value_name = "FILE")]
    openfast: Option<PathBuf>,

    /// Where to write the figures of the run; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Seconds at the beginning that count for no figure
    #[arg(long, allow_negative_numbers = true, value_name = "S", default_value = "0", value_parser = within(0.0, SECONDS_MAX))]
    count_from: f64,

    /// Time between rows, of either kind; at least the controller's period counts
    #[arg(long, allow_negative_numbers = true, value_name = "S", default_value = "0.1", value_parser = within(0.001, SECONDS_MAX))]
    csv_every: f64,
}

/// How the plant differs from what the controller believes.
#[derive(Debug, Args)]
struct Off {
    /// Density of the air over that of the description
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = within(0.5, 1.5))]
    air_density_share: f64,

    /// Power of the rotor over that of its table
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = within(0.5, 1.5))]
    rotor_power_share: f64,

    /// Wind shear: exponent of the power law of wind over height, 0.2 as IEC 61400-1 designs for
    #[arg(long, value_name = "EXPONENT", default_value = "0", value_parser = within(0.0, 0.5))]
    shear: f64,

    /// How far the shaft points upwards
    #[arg(long, value_name = "DEG", default_value = "0", value_parser = within(0.0, 10.0))]
    tilt_deg: f64,

    /// Every command arrives so late
    #[arg(long, value_name = "MS", default_value = "0", value_parser = within(0.0, 5000.0))]
    delay_ms: f64,

    /// Share of the commands that never arrive
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = within(0.0, 1.0))]
    writes_lost: f64,
}

/// Simulates and writes the rows.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let setup = set_up(arguments)?;
    let steps = (arguments.seconds * arguments.controller_hz).round().max(1.0) as u64;
    let every = Duration::from_secs_f64(arguments.csv_every);
    let rows = (arguments.seconds / every.max(setup.period).as_secs_f64()).ceil() as u64;
    if rows > ROWS_MAX {
        return Err(Failure::arguments(
            format!("that would be {rows} rows; at most {ROWS_MAX} are written"),
            "give a longer --csv-every or fewer --seconds",
        ));
    }
    let mut outputs = OutputText::new(&format!(
        "wind {}, controller {}, seed {}",
        arguments.wind, arguments.controller, arguments.seed
    ));
    let wanted = (arguments.csv.is_some(), arguments.openfast.is_some());
    let period = setup.period;
    let site = TurbineLoop::new(setup);
    let mut trial = Trial::new(site, &arguments.controller, arguments.config.as_deref(), period)?
        .with_faults(&arguments.fault)
        .counted_from(Duration::from_secs_f64(arguments.count_from));
    let mut csv = String::from(HEADER);
    let mut keep = |row: &TurbineRow| {
        if wanted.0 {
            push_row(&mut csv, row);
        }
        if wanted.1 {
            outputs.push(row);
        }
    };
    keep(&trial.site.row());
    let mut next_row = every;
    for _ in 0..steps {
        let row = trial.step()?;
        if row.t >= next_row {
            keep(&row);
            // On the grid of `every`, but never twice for one step.
            while next_row <= row.t {
                next_row += every;
            }
        }
    }
    if let Some(path) = &arguments.csv {
        text_file::write(path, &csv)?;
    }
    if let Some(path) = &arguments.openfast {
        text_file::write(path, outputs.as_str())?;
    }
    if let Some(path) = &arguments.json {
        text_file::write(path, &figures_json(&trial))?;
    }
    print_summary(&trial, arguments);
    Ok(())
}

/// The figures as they are written.
#[derive(Serialize)]
struct Figures<'a> {
    mean_power_kw: f64,
    rotor_speed_std_rpm: f64,
    rotor_speed_max_rpm: f64,
    pitch_travel_deg_per_s: f64,
    tower_fa_std_m: f64,
    torque_std_nm: f64,
    root_moment_std_knm: f64,
    blade_travel_deg_per_s: f64,
    shutdowns: &'a [String],
}

fn figures_json(trial: &Trial) -> String {
    let RunFigures {
        mean_power_kw,
        rotor_speed_std_rpm,
        rotor_speed_max_rpm,
        pitch_travel_deg_per_s,
        tower_fa_std_m,
        torque_std_nm,
        root_moment_std_knm,
        blade_travel_deg_per_s,
    } = trial.figures();
    let figures = Figures {
        mean_power_kw,
        rotor_speed_std_rpm,
        rotor_speed_max_rpm,
        pitch_travel_deg_per_s,
        tower_fa_std_m,
        torque_std_nm,
        root_moment_std_knm,
        blade_travel_deg_per_s,
        shutdowns: trial.shutdowns(),
    };
    // Numbers and texts: there is nothing in it that JSON cannot say.
    serde_json::to_string_pretty(&figures).unwrap_or_default() + "\n"
}

fn set_up(arguments: &Arguments) -> Result<TurbineLoopSetup, Failure> {
    let rotor = plant::rotor(arguments.rotor_table.as_deref())?;
    let start = if arguments.from_standstill { Start::FromStandstill } else { Start::InOperation };
    let noise = arguments.sensor_noise.levels();
    let period = Duration::from_secs_f64(1.0 / arguments.controller_hz);
    let seed = arguments.seed;
    let description = plant::description(arguments.turbine.as_deref())?;
    let wind = plant::wind(&arguments.wind, arguments.seed, Meters(description.rotor.radius_m))?;
    let controller = controller(arguments, &description, &rotor)?;
    let mut plant = plant::physics(&description);
    plant.air_density_kgpm3 *= arguments.off.air_density_share;
    plant.rotor_power_factor = arguments.off.rotor_power_share;
    plant.inflow.shear_exponent = arguments.off.shear;
    plant.inflow.shaft_tilt = Radians::from_degrees(arguments.off.tilt_deg);
    let delay = Duration::from_secs_f64(arguments.off.delay_ms / 1e3);
    let bus = BusTrouble { delay, lost: arguments.off.writes_lost };
    Ok(TurbineLoopSetup { wind, rotor, period, start, noise, seed, plant, controller, bus })
}

/// What the production controller is told about its turbine.
fn controller(
    arguments: &Arguments,
    turbine: &TurbineDescription,
    rotor: &RotorSurface,
) -> Result<TurbineParameters, Failure> {
    match arguments.controller {
        // Of the reference turbine the very numbers of the report, not those of our rules.
        ControllerChoice::Baseline if arguments.turbine.is_none() => Ok(TurbineParameters::NREL_5MW),
        ControllerChoice::Baseline => {
            let tuned = plant::tuned(arguments.turbine.as_deref(), turbine, rotor)?;
            Ok(TurbineParameters { takt: None, ..tuned.parameters })
        }
        ControllerChoice::Takt => {
            let path = arguments.config.as_deref().or(arguments.turbine.as_deref());
            Ok(plant::tuned(path, &plant::description(path)?, rotor)?.parameters)
        }
        // Stands aside.
        ControllerChoice::Discon(_) => Ok(TurbineParameters::NREL_5MW),
    }
}

fn push_row(csv: &mut String, row: &TurbineRow) {
    let TurbineRow { t, wind, rotor_speed, pitch, generator_torque, power, thrust, .. } = row;
    // Writing to a string cannot fail.
    let _ = writeln!(
        csv,
        "{:.3},{:.4},{:.5},{:.5},{:.2},{:.3},{:.3}",
        t.as_secs_f64(),
        wind.get(),
        rotor_speed.as_rpm(),
        pitch.as_degrees(),
        generator_torque.get(),
        power.as_kilowatts(),
        thrust.get() / 1e3,
    );
}

/// What a person wants to know without opening the file. Goes to standard error where rows or figures go
/// to standard output.
fn print_summary(trial: &Trial, arguments: &Arguments) {
    let figures = trial.figures();
    let mut text = format!(
        "{:.1} s simulated: mean power {:.1} kW, fastest rotor {:.2} rpm",
        trial.site.now().as_secs_f64(),
        figures.mean_power_kw,
        figures.rotor_speed_max_rpm,
    );
    if let Some(step) = trial.site.last_step() {
        let _ = write!(text, ", ends in {}", step.mode.as_str());
        for trip in step.trips.names() {
            let _ = write!(text, ", tripped by {trip}");
        }
    }
    let files = [
        (&arguments.csv, "rows"),
        (&arguments.openfast, "rows of OpenFAST's kind"),
        (&arguments.json, "figures"),
    ];
    let files = files.iter().filter_map(|(path, what)| path.as_deref().map(|path| (path, what)));
    let mut on_standard_output = false;
    for (path, what) in files {
        on_standard_output |= text_file::is_standard_output(path);
        let _ = write!(text, "; {what} in {}", path.display());
    }
    if on_standard_output {
        eprintln!("{text}");
    } else {
        text_file::say(&text);
    }
}
