//! `takt turbine`: work on a turbine's data without an agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use control_loops_controllers::turbine::{Estimate, TaktParameters, TurbineParameters};
use control_loops_rotor::RotorTable;
use control_loops_tuning::margins::{Margins, margins};
use control_loops_tuning::{SteadyState, Tuned, TurbineDescription, plot, tune};
use hal_diagnostics::{Diagnostic, Document};
use hal_units::Duration;
use serde_json::{Value, json};

/// Work on a turbine's data.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work out a controller from a turbine's description and its rotor table.
    ///
    /// Prints the gains, the schedule of steady states over the wind, and the stability margins of the speed
    /// loop. The description is a TOML file with sections rotor, generator, drivetrain, pitch, tower, wind
    /// and, for wishes, tuning; examples lie in control-loops/tuning/turbines. The rotor table is one in
    /// the text format of the ROSCO toolbox (Cp_Ct_Cq.*.txt).
    ///
    /// Exit codes: 0 done, 1 a file cannot be written, 2 bad input.
    Tune {
        /// Rotor performance table.
        #[arg(long, value_name = "FILE")]
        rotor_table: PathBuf,
        /// Turbine description, a TOML file.
        #[arg(long, value_name = "FILE")]
        turbine: PathBuf,
        /// How often the controller will step; sets the delay that the margins count with.
        #[arg(long, value_name = "HZ", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        controller_hz: u32,
        /// Print everything as JSON.
        #[arg(long)]
        json: bool,
        /// Draw the schedule into this file, as SVG.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
}

/// What the tuner was given and what it made of it.
struct Work {
    description: TurbineDescription,
    tuned: Tuned,
    margins: Vec<Margins>,
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> ExitCode {
    let Command::Tune { rotor_table, turbine, controller_hz, json, svg } = &args.command;
    let period = Duration::from_secs(1) / *controller_hz;
    let work = match work(rotor_table, turbine, period) {
        Ok(work) => work,
        Err(error) => {
            eprintln!("takt turbine tune: {error}");
            return ExitCode::from(2);
        }
    };
    if *json {
        println!("{:#}", as_json(&work));
    } else {
        print(&work);
    }
    let Some(path) = svg else { return ExitCode::SUCCESS };
    let description = &work.description;
    let picture = plot::svg(&description.name, description.generator.efficiency, &work.tuned.schedule);
    match fs::write(path, picture) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("takt turbine tune: {}: cannot be written: {error}", path.display());
            ExitCode::from(1)
        }
    }
}

fn work(rotor_table: &Path, turbine: &Path, period: Duration) -> Result<Work, Diagnostic> {
    let table = Document::read(rotor_table)?;
    let table = RotorTable::from_rosco(table.file(), table.text())?;
    let document = Document::read(turbine)?;
    let description = TurbineDescription::parse(&document)?;
    let tuned = tune(document.file(), &description, &table)?;
    let margins = margins(&description, &table, &tuned, period);
    Ok(Work { description, tuned, margins })
}

fn print(work: &Work) {
    let TurbineParameters { law, takt, .. } = &work.tuned.parameters;
    let (ratio, power) = work.tuned.best;
    let (at_zero, doubled) = work.tuned.sensitivity;
    println!("{}", work.description.name);
    println!("  best tip-speed ratio {ratio:.2}, power coefficient {power:.4}");
    println!(
        "  acceleration lost per pitch {at_zero:.4} rad/s2 per rad at 0 deg, twice that at {:.2} deg",
        doubled.as_degrees()
    );
    println!(
        "  baseline law: k {:.4} N m s2/rad2, KP {:.5} s, KI {:.6}, torque at most {:.0} N m",
        law.optimal_gain,
        law.pitch_proportional_s,
        law.pitch_integral,
        law.torque_max.get()
    );
    if let Some(takt) = takt {
        print_takt(takt);
    }
    println!("\n  wind m/s  rotor rpm  pitch deg  power kW  thrust kN");
    for state in work.tuned.schedule.iter().step_by(2) {
        println!(
            "  {:8.1}  {:9.3}  {:9.3}  {:8.0}  {:9.0}",
            state.wind_mps,
            state.rotor_speed.as_rpm(),
            state.pitch.as_degrees(),
            power_kw(work, state),
            state.thrust_n / 1e3
        );
    }
    println!("\n  margins of the speed loop\n  wind m/s  crossover rad/s  gain dB  phase deg  delay ms");
    for m in work.margins.iter().step_by(2) {
        println!(
            "  {:8.1}  {:15.3}  {:7.1}  {:9.1}  {:8}",
            m.wind_mps,
            m.crossover_radps,
            decibels(m.gain),
            m.phase_deg,
            m.delay.as_millis()
        );
    }
}

fn print_takt(takt: &TaktParameters) {
    let estimate = match takt.estimate {
        Estimate::Kalman { .. } => "by Kalman filter",
        Estimate::None => "not estimated",
    };
    println!(
        "  Takt law: speed loop {:.3} rad/s at damping {:.3}, lead {:.3} s, wind {estimate}",
        takt.pitch.bandwidth.get(),
        takt.pitch.damping,
        takt.pitch.lead_s
    );
    println!(
        "  torque loop: tracking {:.3} rad/s, holding {:.3} rad/s, smoothing {:.0} % below rated speed",
        takt.torque.tracking.get(),
        takt.torque.holding.get(),
        takt.torque.smoothing_depth * 100.0
    );
}

fn power_kw(work: &Work, state: &SteadyState) -> f64 {
    state.torque_nm * state.rotor_speed.get() * work.description.generator.efficiency / 1e3
}

fn decibels(factor: f64) -> f64 {
    20.0 * factor.log10()
}

fn as_json(work: &Work) -> Value {
    let TurbineParameters { law, takt, .. } = &work.tuned.parameters;
    let schedule = work.tuned.schedule.iter().map(|state| {
        json!({
            "wind_mps": state.wind_mps,
            "rotor_rpm": state.rotor_speed.as_rpm(),
            "pitch_deg": state.pitch.as_degrees(),
            "power_kw": power_kw(work, state),
            "thrust_kn": state.thrust_n / 1e3,
        })
    });
    let margins = work.margins.iter().map(|m| {
        json!({
            "wind_mps": m.wind_mps,
            "crossover_radps": m.crossover_radps,
            "gain_db": decibels(m.gain),
            "gain_least": m.gain_least,
            "phase_deg": m.phase_deg,
            "delay_ms": m.delay.as_secs_f64() * 1e3,
        })
    });
    let takt = takt.as_ref().map(|takt| {
        json!({
            "speed_bandwidth_radps": takt.pitch.bandwidth.get(),
            "speed_damping": takt.pitch.damping,
            "sensitivity_radps2_per_rad": takt.pitch.sensitivity,
            "sensitivity_to_deg": takt.pitch.sensitivity_to.as_degrees(),
            "fine_pitch_rad": takt.limits.fine_pitch_rad.to_vec(),
            "tracking_radps": takt.torque.tracking.get(),
            "holding_radps": takt.torque.holding.get(),
        })
    });
    json!({
        "name": work.description.name,
        "best_tip_speed_ratio": work.tuned.best.0,
        "best_power_coefficient": work.tuned.best.1,
        "baseline": {
            "optimal_gain": law.optimal_gain,
            "pitch_proportional_s": law.pitch_proportional_s,
            "pitch_integral": law.pitch_integral,
            "gain_halving_pitch_rad": law.gain_halving_pitch.get(),
            "torque_max_nm": law.torque_max.get(),
        },
        "takt": takt,
        "schedule": schedule.collect::<Vec<_>>(),
        "margins": margins.collect::<Vec<_>>(),
    })
}
