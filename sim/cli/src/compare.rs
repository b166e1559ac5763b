//! `takt-sim compare`: controllers side by side in the same plant, in one run.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use control_loops_controllers::turbine::TurbineParameters;
use hal_units::{Duration, Watts};
use serde::Serialize;
use sim_plants::{RotorSurface, TurbinePlantParameters, WindSpec};
use sim_world::{BusTrouble, Fault, RunFigures, TimedFault, TurbineLoop, TurbineLoopSetup};

use crate::failure::Failure;
use crate::number::within;
use crate::pilot::{ControllerChoice, Trial};
use crate::plant::{self, SensorNoise};
use crate::text_file;

/// Control runs at this rate; turbulent runs count this long, after a minute that does not.
const PERIOD: Duration = Duration::from_millis(20);
const SETTLING: Duration = Duration::from_secs(60);
const TURBULENT: Duration = Duration::from_secs(600);
const GUST: Duration = Duration::from_secs(100);
const RATED_RPM: f64 = 12.1;

/// Runs controllers side by side on the NREL 5-MW turbine and prints what each comes to
///
/// The same plant, wind and seeds for all, control at 50 Hz: turbulence at 8, 12 and 18 m/s with 16 %
/// intensity, the extreme gust at 12, 18 and 24 m/s, grid loss at 12, 18 and 25 m/s, and a plant that
/// differs from what the controller believes. Below each part stands what is asked of the Takt law there,
/// and whether it holds.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 everything asked holds, 1 something does not, 2 wrong usage or bad input."
)]
pub(crate) struct Arguments {
    /// A controller library with Bladed's interface to compare with
    #[arg(long, value_name = "LIBRARY", requires = "discon_config")]
    discon: Option<PathBuf>,

    /// Its input file
    #[arg(long, value_name = "FILE")]
    discon_config: Option<PathBuf>,

    /// Rotor performance table, instead of the built-in rotor
    #[arg(long, value_name = "FILE")]
    rotor_table: Option<PathBuf>,

    /// Turbine description to tune the Takt law from, instead of the built-in one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// How many seeds of turbulence, from 1
    #[arg(long, value_name = "N", default_value = "3", value_parser = within(1.0, 100.0))]
    seeds: f64,

    /// Noise of the sensors that the controllers read
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = SensorNoise::None)]
    sensor_noise: SensorNoise,

    /// Where to write all figures as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One run's result.
#[derive(Debug, Clone, Serialize)]
struct Entry {
    case: String,
    controller: &'static str,
    seed: u64,
    mean_power_kw: f64,
    rotor_speed_std_rpm: f64,
    rotor_speed_max_rpm: f64,
    pitch_travel_deg_per_s: f64,
    tower_fa_std_m: f64,
    torque_std_nm: f64,
    shutdowns: Vec<String>,
}

/// What is asked of the Takt law, and whether it holds.
#[derive(Debug, Clone, Serialize)]
struct Verdict {
    asked: String,
    holds: bool,
}

/// What all runs share.
struct Bench<'a> {
    arguments: &'a Arguments,
    rotor: RotorSurface,
    takt: TurbineParameters,
    controllers: Vec<(&'static str, ControllerChoice)>,
    entries: Vec<Entry>,
    verdicts: Vec<Verdict>,
    text: String,
}

/// How the plant differs from what the controller believes.
#[derive(Clone, Copy)]
struct Off {
    name: &'static str,
    density: f64,
    power: f64,
    bus: BusTrouble,
}

/// One run of one controller.
#[derive(Clone, Copy)]
struct Run<'a> {
    case: &'a str,
    wind: &'a str,
    seed: u64,
    off: Off,
    skipped: Duration,
    counted: Duration,
    fault: Option<TimedFault>,
}

impl<'a> Run<'a> {
    /// Turbulence; the first seed, the plant as believed.
    const fn turbulent(case: &'a str, wind: &'a str) -> Self {
        let (skipped, counted) = (SETTLING, TURBULENT);
        Self { case, wind, seed: 1, off: AS_BELIEVED, skipped, counted, fault: None }
    }
}

const AS_BELIEVED: Off =
    Off { name: "", density: 1.0, power: 1.0, bus: BusTrouble { delay: Duration::ZERO, lost: 0.0 } };

const OFF: [Off; 6] = [
    Off { name: "air density -10 %", density: 0.9, ..AS_BELIEVED },
    Off { name: "Cp -10 %", power: 0.9, ..AS_BELIEVED },
    Off { name: "Cp +10 %", power: 1.1, ..AS_BELIEVED },
    Off {
        name: "delay 200 ms",
        bus: BusTrouble { delay: Duration::from_millis(200), lost: 0.0 },
        ..AS_BELIEVED
    },
    Off {
        name: "delay 500 ms",
        bus: BusTrouble { delay: Duration::from_millis(500), lost: 0.0 },
        ..AS_BELIEVED
    },
    Off { name: "half the writes lost", bus: BusTrouble { delay: Duration::ZERO, lost: 0.5 }, ..AS_BELIEVED },
];

/// Runs and prints everything.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let rotor = plant::rotor(arguments.rotor_table.as_deref())?;
    let description = plant::description(arguments.config.as_deref())?;
    let takt = plant::tuned(arguments.config.as_deref(), &description, &rotor)?.parameters;
    let mut controllers = vec![("baseline", ControllerChoice::Baseline), ("takt", ControllerChoice::Takt)];
    if let Some(library) = &arguments.discon {
        controllers.push(("library", ControllerChoice::Discon(library.clone())));
    }
    let (entries, verdicts, text) = (Vec::new(), Vec::new(), String::new());
    let mut bench = Bench { arguments, rotor, takt, controllers, entries, verdicts, text };
    bench.turbulence()?;
    bench.gusts()?;
    bench.grid_loss()?;
    bench.robustness()?;
    text_file::say(bench.text.trim_end());
    if let Some(path) = &arguments.json {
        let all = serde_json::json!({ "runs": bench.entries, "asked": bench.verdicts });
        text_file::write(path, &format!("{all:#}\n"))?;
    }
    match bench.verdicts.iter().filter(|verdict| !verdict.holds).count() {
        0 => Ok(()),
        count => Err(Failure::result(format!("{count} of {} do not hold", bench.verdicts.len()))),
    }
}

impl Bench<'_> {
    fn setup(&self, run: &Run<'_>, controller: &ControllerChoice) -> Result<TurbineLoopSetup, Failure> {
        let spec: WindSpec = run
            .wind
            .parse()
            .map_err(|error| Failure::arguments(format!("{error}"), "this is a mistake of ours"))?;
        let (seed, off) = (run.seed, run.off);
        let parameters = match controller {
            ControllerChoice::Takt => self.takt,
            ControllerChoice::Baseline | ControllerChoice::Discon(_) => TurbineParameters::NREL_5MW,
        };
        let rotor_radius = TurbinePlantParameters::NREL_5MW.rotor_radius;
        let mut setup = TurbineLoopSetup {
            rotor: self.rotor.clone(),
            period: PERIOD,
            noise: self.arguments.sensor_noise.levels(),
            seed,
            controller: parameters,
            bus: off.bus,
            ..TurbineLoopSetup::in_wind(plant::wind(&spec, seed, rotor_radius)?)
        };
        setup.plant.air_density_kgpm3 *= off.density;
        setup.plant.rotor_power_factor = off.power;
        Ok(setup)
    }

    fn trial(&mut self, who: usize, run: &Run<'_>) -> Result<Entry, Failure> {
        let Some((name, choice)) = self.controllers.get(who).cloned() else {
            return Err(Failure::arguments("no such controller", "this is a mistake of ours"));
        };
        let site = TurbineLoop::new(self.setup(run, &choice)?);
        let infile = self.arguments.discon_config.as_deref();
        let mut trial = Trial::new(site, &choice, infile, PERIOD)?
            .with_faults(run.fault.as_slice())
            .counted_from(run.skipped);
        while trial.site.now() < run.skipped + run.counted {
            trial.step()?;
        }
        let entry = entry(run.case, name, run.seed, &trial);
        self.entries.push(entry.clone());
        Ok(entry)
    }

    fn all(&mut self, run: &Run<'_>, seeds: u64) -> Result<Vec<Vec<Entry>>, Failure> {
        let mut by_controller = Vec::new();
        for who in 0..self.controllers.len() {
            let mut runs = Vec::new();
            for seed in 1..=seeds {
                runs.push(self.trial(who, &Run { seed, ..*run })?);
            }
            by_controller.push(runs);
        }
        Ok(by_controller)
    }

    fn print(&mut self, runs: &[Vec<Entry>]) {
        for entry in runs.iter().flatten() {
            // Writing to a string cannot fail.
            let _ = writeln!(
                self.text,
                "  {:<22} {:<9} {:>4}  {:9.2}  {:8.4}  {:8.3}  {:9.4}  {:8.4}  {:9.0}  {}",
                entry.case,
                entry.controller,
                entry.seed,
                entry.mean_power_kw,
                entry.rotor_speed_std_rpm,
                entry.rotor_speed_max_rpm,
                entry.pitch_travel_deg_per_s,
                entry.tower_fa_std_m,
                entry.torque_std_nm,
                entry.shutdowns.join(" "),
            );
        }
    }

    fn head(&mut self, title: &str) {
        let _ = writeln!(
            self.text,
            "\n{title}\n  {:<22} {:<9} seed   power kW   std rpm   max rpm  travel d/s   tower m  torque Nm",
            "case", "who"
        );
    }

    fn ask(&mut self, asked: String, holds: bool) {
        let _ = writeln!(self.text, "  {} {asked}", if holds { "holds:        " } else { "DOES NOT HOLD:" });
        self.verdicts.push(Verdict { asked, holds });
    }

    fn turbulence(&mut self) -> Result<(), Failure> {
        self.head("turbulence, 16 % intensity");
        let seeds = self.arguments.seeds as u64;
        for wind_mps in [8, 12, 18] {
            let case = format!("turbulence {wind_mps} m/s");
            let wind = format!("turb:{wind_mps}:16");
            let runs = self.all(&Run::turbulent(&case, &wind), seeds)?;
            self.print(&runs);
            self.ask_of_turbulence(wind_mps, &runs);
        }
        Ok(())
    }

    fn ask_of_turbulence(&mut self, wind_mps: u32, runs: &[Vec<Entry>]) {
        let [baseline, takt, others @ ..] = runs else { return };
        let peers = others.first().unwrap_or(baseline);
        for ((baseline, takt), peer) in baseline.iter().zip(takt).zip(peers) {
            let seed = takt.seed;
            if wind_mps < 18 {
                let best = baseline.mean_power_kw.max(peer.mean_power_kw);
                let gained = takt.mean_power_kw - best;
                let asked = format!(
                    "{wind_mps} m/s, seed {seed}: mean power at or above the better, {gained:+.2} kW"
                );
                self.ask(asked, gained >= 0.0);
                continue;
            }
            let power = takt.mean_power_kw - baseline.mean_power_kw;
            let speed = takt.rotor_speed_std_rpm / peer.rotor_speed_std_rpm;
            let travel = takt.pitch_travel_deg_per_s / peer.pitch_travel_deg_per_s;
            let asked = format!(
                "{wind_mps} m/s, seed {seed}: power not below baseline's ({power:+.2} kW), speed deviation ({speed:.2}) and \
                 travel ({travel:.2}) at most those of {}",
                peer.controller
            );
            self.ask(asked, power >= 0.0 && speed <= 1.0 && travel <= 1.0);
        }
    }

    fn gusts(&mut self) -> Result<(), Failure> {
        self.head("extreme operating gust, class A");
        for wind_mps in [12, 18, 24] {
            let case = format!("gust {wind_mps} m/s");
            let wind = format!("eog:{wind_mps}");
            let gust = Run { skipped: SETTLING / 2, counted: GUST, ..Run::turbulent(&case, &wind) };
            let runs = self.all(&gust, 1)?;
            self.print(&runs);
            let peak = |runs: &Vec<Entry>| runs.first().map_or(f64::NAN, |entry| entry.rotor_speed_max_rpm);
            let peaks: Vec<f64> = runs.iter().map(peak).collect();
            let [_, takt, ..] = peaks.as_slice() else { continue };
            let takt = *takt;
            let other = peaks.iter().copied().enumerate().filter(|(who, _)| *who != 1).map(|(_, peak)| peak);
            let other = other.fold(f64::INFINITY, f64::min);
            self.ask(
                format!("{wind_mps} m/s: peak below every other, {takt:.3} against {other:.3} rpm"),
                takt < other,
            );
        }
        Ok(())
    }

    fn grid_loss(&mut self) -> Result<(), Failure> {
        self.head("grid loss after a minute of steady wind");
        for (wind_mps, percent_max) in [(12, 8.0), (18, 5.0), (25, 4.0)] {
            let fault = TimedFault { fault: Fault::GridLoss, at: SETTLING };
            let (case, wind) = (format!("grid loss {wind_mps} m/s"), format!("const:{wind_mps}"));
            let (skipped, counted) = (SETTLING / 2, SETTLING);
            let run = Run { skipped, counted, fault: Some(fault), ..Run::turbulent(&case, &wind) };
            let mut runs = Vec::new();
            // A library has no stop of its own here.
            for who in 0..2 {
                runs.push(vec![self.trial(who, &run)?]);
            }
            self.print(&runs);
            let peak =
                runs.get(1).and_then(|runs| runs.first()).map_or(f64::NAN, |entry| entry.rotor_speed_max_rpm);
            let percent = (peak / RATED_RPM - 1.0) * 100.0;
            let asked = format!("{wind_mps} m/s: overspeed at most {percent_max:+.1} %, {percent:+.2} %");
            self.ask(asked, percent <= percent_max);
        }
        Ok(())
    }

    fn robustness(&mut self) -> Result<(), Failure> {
        self.head("a plant that differs from what the controller believes");
        for wind_mps in [8, 12, 18] {
            let wind = format!("turb:{wind_mps}:16");
            let right = self.trial(1, &Run::turbulent("as believed", &wind))?;
            for off in OFF {
                let case = format!("{} {wind_mps} m/s", off.name);
                let entry = self.trial(1, &Run { off, ..Run::turbulent(&case, &wind) })?;
                self.print(&[vec![entry.clone()]]);
                let available = off.density * off.power;
                let loss = Watts::from_kilowatts(right.mean_power_kw - entry.mean_power_kw).as_kilowatts();
                let stable = entry.shutdowns.is_empty() && entry.rotor_speed_max_rpm < 1.15 * RATED_RPM;
                let asked = format!(
                    "{case}: stable, no shutdown; {loss:.1} kW less ({:.2} %; the wind gave {:.0} %)",
                    loss / right.mean_power_kw * 100.0,
                    available * 100.0
                );
                self.ask(asked, stable);
            }
        }
        Ok(())
    }
}

fn entry(case: &str, controller: &'static str, seed: u64, trial: &Trial) -> Entry {
    let RunFigures {
        mean_power_kw,
        rotor_speed_std_rpm,
        rotor_speed_max_rpm,
        pitch_travel_deg_per_s,
        tower_fa_std_m,
        torque_std_nm,
        // The plant here has neither shear nor tilt, and no controller leads blades one by one.
        root_moment_std_knm: _,
        blade_travel_deg_per_s: _,
    } = trial.figures();
    Entry {
        case: case.to_owned(),
        controller,
        seed,
        mean_power_kw,
        rotor_speed_std_rpm,
        rotor_speed_max_rpm,
        pitch_travel_deg_per_s,
        tower_fa_std_m,
        torque_std_nm,
        shutdowns: trial.shutdowns().to_vec(),
    }
}
