//! `takt-sim turbine`: one turbine in closed loop, in virtual time.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use hal_units::Duration;
use sim_plants::WindSpec;
use sim_world::{Start, TurbineLoop, TurbineLoopSetup, TurbineRow};

use crate::failure::Failure;
use crate::number::within;
use crate::plant::{self, SensorNoise, WIND_HELP};
use crate::text_file;

/// A day.
const SECONDS_MAX: f64 = 86_400.0;
/// The most rows that are written; each takes about 60 bytes.
const ROWS_MAX: u64 = 10_000_000;
const HEADER: &str = "t_s,wind_mps,rotor_rpm,pitch_deg,gen_torque_nm,gen_power_kw,thrust_kn\n";

const EXAMPLES: &str = "\
Examples:
  takt-sim turbine --wind const:12 --seconds 600 --controller-hz 100 --csv steady.csv
  takt-sim turbine --wind eog:14 --seconds 120 --controller-hz 50 --csv gust.csv
  takt-sim turbine --wind turb:18:12 --seed 7 --sensor-noise usual --csv turbulent.csv
  takt-sim turbine --wind const:9 --from-standstill --csv - | head

Columns: t_s, wind_mps, rotor_rpm, pitch_deg (mean of the blades), gen_torque_nm (high-speed shaft),
gen_power_kw (electrical), thrust_kn. They are the truth about the plant, not what its sensors show.

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
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,

    /// Time between rows; at least the controller's period counts
    #[arg(long, allow_negative_numbers = true, value_name = "S", default_value = "0.1", value_parser = within(0.001, SECONDS_MAX))]
    csv_every: f64,
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
    let mut site = TurbineLoop::nrel_5mw(setup);
    let mut summary = Summary::default();
    let mut csv = String::from(HEADER);
    push_row(&mut csv, &site.row());
    let mut next_row = every;
    for _ in 0..steps {
        site.step();
        let row = site.row();
        summary.add(&row);
        if site.now() >= next_row {
            push_row(&mut csv, &row);
            // On the grid of `every`, but never twice for one step.
            while next_row <= site.now() {
                next_row += every;
            }
        }
    }
    text_file::write(&arguments.csv, &csv)?;
    summary.print(&site, &arguments.csv);
    Ok(())
}

fn set_up(arguments: &Arguments) -> Result<TurbineLoopSetup, Failure> {
    let wind = plant::wind(&arguments.wind, arguments.seed)?;
    let rotor = plant::rotor(arguments.rotor_table.as_deref())?;
    let start = if arguments.from_standstill { Start::FromStandstill } else { Start::InOperation };
    let noise = arguments.sensor_noise.levels();
    let period = Duration::from_secs_f64(1.0 / arguments.controller_hz);
    Ok(TurbineLoopSetup { wind, rotor, period, start, noise, seed: arguments.seed })
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

/// What a person wants to know without opening the file.
#[derive(Debug, Default)]
struct Summary {
    steps: u64,
    power_kw_sum: f64,
    rotor_rpm_max: f64,
}

impl Summary {
    fn add(&mut self, row: &TurbineRow) {
        self.steps += 1;
        self.power_kw_sum += row.power.as_kilowatts();
        self.rotor_rpm_max = self.rotor_rpm_max.max(row.rotor_speed.as_rpm());
    }

    /// Goes to standard error where the rows go to standard output.
    fn print(&self, site: &TurbineLoop, csv: &Path) {
        let mut text = format!(
            "{:.1} s simulated: mean power {:.1} kW, fastest rotor {:.2} rpm",
            site.now().as_secs_f64(),
            self.power_kw_sum / self.steps.max(1) as f64,
            self.rotor_rpm_max,
        );
        if let Some(step) = site.last_step() {
            let _ = write!(text, ", ends in {}", step.mode.as_str());
            for trip in step.trips.names() {
                let _ = write!(text, ", tripped by {trip}");
            }
        }
        if text_file::is_standard_output(csv) {
            eprintln!("{text}");
        } else {
            text_file::say(&format!("{text}; rows in {}", csv.display()));
        }
    }
}
