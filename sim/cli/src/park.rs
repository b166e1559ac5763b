//! `takt-sim park`: many turbines under one power reference, in virtual time.

use std::path::{Path, PathBuf};

use clap::Args;
use control_loops_controllers::park::{ParkDemand, ParkParameters};
use hal_diagnostics::{Diagnostic, Document};
use hal_units::{Duration, Watts};
use serde::Serialize;
use sim_plants::{RotorSurface, TurbinePlantParameters, WindSpec};
use sim_world::{PARK_PERIOD, Park, ParkRow, TurbineLoop, TurbineLoopSetup};

use crate::failure::Failure;
use crate::number::within;
use crate::plant::{self, WIND_HELP};
use crate::text_file;

const TURBINES_MAX: u32 = 500;
/// Control of each turbine.
const PERIOD: Duration = Duration::from_millis(20);
/// A second's mean may be off by this, or by the share, whichever is larger.
const TOLERANCE_W: f64 = 1e6;
const TOLERANCE_SHARE: f64 = 0.03;

const SCHEDULE_HELP: &str = "\
Comma-separated: a header t_s,reference_kw or t_s,reference_kw,frequency_hz, then rows with ascending
times. Each row holds until the next; without a frequency it is nominal.";

/// Runs a park of NREL 5-MW turbines under one active-power reference, in virtual time
///
/// Every turbine runs the Takt law at 50 Hz in a wind of its own seed, from operation at full power; the
/// dispatch steps once a second. Equal arguments give equal files.
#[derive(Debug, Args)]
#[command(after_help = "\
Figures in JSON: free_share (of the seconds in which more was asked for than there was, so that no turbine was
limited), within_tolerance_share (of the 1 s means of the other seconds that lie within the larger of 1 MW and 3 % of what
the park shall give), error_max_kw (of those), ramp_up_max_kw_per_s and
ramp_down_max_kw_per_s (of the reference behind its ramps) with their limits, mean_power_kw,
mean_available_kw, energy_spread (largest over smallest energy of a turbine), shutdowns.

Exit status: 0 done, 1 failed, 2 wrong usage or bad input.")]
pub(crate) struct Arguments {
    /// Number of turbines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(TURBINES_MAX)))]
    turbines: u32,

    /// What is asked of the park over time
    #[arg(long, value_name = "FILE", long_help = SCHEDULE_HELP)]
    schedule: PathBuf,

    /// Wind of each turbine
    #[arg(long, value_name = "SPEC", default_value = "turb:14:12", long_help = WIND_HELP)]
    wind: WindSpec,

    /// Seed of the first turbine's wind; the others count on
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// How long; the schedule's last time and a minute if left out
    #[arg(long, value_name = "S", value_parser = within(1.0, 86_400.0))]
    seconds: Option<f64>,

    /// Seconds at the beginning that count for no figure
    #[arg(long, value_name = "S", default_value = "0", value_parser = within(0.0, 86_400.0))]
    count_from: f64,

    /// Where to write the figures; - is standard output
    #[arg(long, value_name = "FILE")]
    json: PathBuf,

    /// Where to write a row per second
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// The figures of a run.
#[derive(Debug, Default, Serialize)]
struct Figures {
    turbines: u32,
    seconds: u64,
    free_share: f64,
    within_tolerance_share: f64,
    error_max_kw: f64,
    ramp_up_max_kw_per_s: f64,
    ramp_up_limit_kw_per_s: f64,
    ramp_down_max_kw_per_s: f64,
    ramp_down_limit_kw_per_s: f64,
    mean_power_kw: f64,
    mean_available_kw: f64,
    energy_spread: f64,
    shutdowns: Vec<String>,
}

/// Simulates and writes the figures.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let schedule = Schedule::read(&arguments.schedule)?;
    let seconds = arguments.seconds.unwrap_or(schedule.last_s() + 60.0).min(86_400.0);
    let rated = Watts(5e6 * f64::from(arguments.turbines));
    let parameters = ParkParameters::usual(rated);
    let mut park = Park::new(turbines(arguments)?, parameters);
    let mut rows = Vec::new();
    for second in 0..seconds.round() as u64 {
        rows.push(park.step(&schedule.demand_at(second as f64, parameters.frequency_nominal_hz)));
    }
    let figures = figures(arguments, &parameters, &park, &rows);
    if let Some(path) = &arguments.csv {
        text_file::write(path, &table(&rows))?;
    }
    let text = serde_json::to_string_pretty(&figures).unwrap_or_default() + "\n";
    text_file::write(&arguments.json, &text)?;
    if !text_file::is_standard_output(&arguments.json) {
        text_file::say(&format!(
            "{} turbines, {seconds:.0} s: {:.2} % of the seconds within tolerance, {:.1} % free, mean power {:.0} of {:.0} kW available",
            arguments.turbines,
            figures.within_tolerance_share * 100.0,
            figures.free_share * 100.0,
            figures.mean_power_kw,
            figures.mean_available_kw
        ));
    }
    Ok(())
}

fn turbines(arguments: &Arguments) -> Result<Vec<TurbineLoop>, Failure> {
    let rotor = RotorSurface::nrel_5mw();
    let controller = plant::tuned(None, &plant::description(None)?, &rotor)?.parameters;
    let rotor_radius = TurbinePlantParameters::NREL_5MW.rotor_radius;
    let turbine = |number: u32| {
        let seed = arguments.seed.wrapping_add(u64::from(number));
        let wind = plant::wind(&arguments.wind, seed, rotor_radius)?;
        let setup = TurbineLoopSetup::in_wind(wind);
        Ok(TurbineLoop::new(TurbineLoopSetup { period: PERIOD, seed, controller, ..setup }))
    };
    (0..arguments.turbines).map(turbine).collect()
}

fn figures(arguments: &Arguments, p: &ParkParameters, park: &Park, rows: &[ParkRow]) -> Figures {
    let rated_kw = p.rated_power.as_kilowatts();
    let from = Duration::from_secs_f64(arguments.count_from);
    let mut figures = Figures {
        turbines: arguments.turbines,
        seconds: rows.len() as u64,
        ramp_up_limit_kw_per_s: p.rise_per_s * rated_kw,
        ramp_down_limit_kw_per_s: p.fall_per_s * rated_kw,
        ..Figures::default()
    };
    let (mut counted, mut led, mut within) = (0_u64, 0_u64, 0_u64);
    for row in rows.iter().filter(|row| row.t > from) {
        counted += 1;
        if row.step.shared.is_some() {
            led += 1;
            let error = (row.power - row.step.target).abs();
            let tolerance = TOLERANCE_W.max(TOLERANCE_SHARE * row.step.target.get());
            within += u64::from(error.get() <= tolerance);
            figures.error_max_kw = figures.error_max_kw.max(error.as_kilowatts());
        }
        figures.mean_power_kw += row.power.as_kilowatts();
        figures.mean_available_kw += row.step.available.as_kilowatts();
    }
    let count = counted.max(1) as f64;
    figures.free_share = (counted - led) as f64 / count;
    figures.within_tolerance_share = within as f64 / led.max(1) as f64;
    figures.mean_power_kw /= count;
    figures.mean_available_kw /= count;
    for (before, after) in rows.iter().zip(rows.iter().skip(1)) {
        let moved = (after.step.ramped - before.step.ramped).as_kilowatts() / PARK_PERIOD.as_secs_f64();
        figures.ramp_up_max_kw_per_s = figures.ramp_up_max_kw_per_s.max(moved);
        figures.ramp_down_max_kw_per_s = figures.ramp_down_max_kw_per_s.max(-moved);
    }
    let most = park.energy_j().iter().copied().fold(0.0, f64::max);
    let least = park.energy_j().iter().copied().fold(f64::INFINITY, f64::min);
    figures.energy_spread = if least > 0.0 { most / least } else { 0.0 };
    for step in park.turbines.iter().filter_map(TurbineLoop::last_step) {
        figures.shutdowns.extend(step.trips.names().map(str::to_owned));
    }
    figures
}

fn table(rows: &[ParkRow]) -> String {
    let mut text = String::from("t_s,ramped_kw,target_kw,available_kw,power_kw\n");
    for row in rows {
        let ParkRow { t, step, power } = row;
        let kw = [step.ramped, step.target, step.available, *power].map(Watts::as_kilowatts);
        let [ramped, target, available, power] = kw;
        text += &format!("{},{ramped:.1},{target:.1},{available:.1},{power:.1}\n", t.as_secs());
    }
    text
}

/// What is asked over time.
struct Schedule {
    rows: Vec<(f64, f64, f64)>,
}

impl Schedule {
    fn read(path: &Path) -> Result<Self, Failure> {
        let document = Document::read(path)?;
        Ok(Self::parse(document.file(), document.text())?)
    }

    fn parse(file: &str, text: &str) -> Result<Self, Diagnostic> {
        let complain = |line: usize, what: String| Diagnostic {
            file: file.to_owned(),
            position: Some((line, 1)),
            what,
            remedy:
                "give a header t_s,reference_kw or t_s,reference_kw,frequency_hz and rows of numbers with \
                     ascending times"
                    .to_owned(),
        };
        let mut lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
        let columns = match lines.next().map(|(line, _)| line.trim()) {
            Some("t_s,reference_kw") => 2,
            Some("t_s,reference_kw,frequency_hz") => 3,
            Some(_) | None => return Err(complain(1, "the header is missing or unknown".to_owned())),
        };
        let mut rows: Vec<(f64, f64, f64)> = Vec::new();
        for (line, number) in lines {
            let words = line.split(',').map(|word| word.trim().parse::<f64>().ok().filter(|n| n.is_finite()));
            let numbers: Option<Vec<f64>> = words.collect();
            let row = match numbers.as_deref() {
                Some([t, reference]) if columns == 2 => (*t, *reference, f64::NAN),
                Some([t, reference, frequency]) if columns == 3 => (*t, *reference, *frequency),
                Some(_) | None => return Err(complain(number, format!("`{}` is no row", shown(line)))),
            };
            if rows.last().is_some_and(|last| last.0 >= row.0) || row.0 < 0.0 || row.1 < 0.0 {
                return Err(complain(number, format!("`{}` is out of order or negative", shown(line))));
            }
            rows.push(row);
        }
        if rows.is_empty() {
            return Err(complain(1, "there are no rows".to_owned()));
        }
        Ok(Self { rows })
    }

    fn last_s(&self) -> f64 {
        self.rows.last().map_or(0.0, |row| row.0)
    }

    /// The row that holds; before the first row it is the first.
    fn demand_at(&self, t_s: f64, nominal_hz: f64) -> ParkDemand {
        let at = self.rows.partition_point(|row| row.0 <= t_s).saturating_sub(1);
        let (_, reference_kw, frequency_hz) = self.rows.get(at).copied().unwrap_or((0.0, 0.0, f64::NAN));
        let frequency_hz = if frequency_hz.is_nan() { nominal_hz } else { frequency_hz };
        ParkDemand { reference: Watts::from_kilowatts(reference_kw), frequency_hz }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
