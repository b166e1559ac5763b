//! `takt-sim serve`: turbines in real time, as their PLCs show them over Modbus TCP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use hal_units::Duration;
use serde::Serialize;
use sim_broker::EmbeddedBroker;
use sim_devices::{Farm, FarmConfig, PlcConfig, TurbinePlc};
use sim_plants::{Turbine, TurbinePlantParameters, WindSpec};
use sim_radio::Fleet;

use crate::bus_fault::FaultArgument;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::meter::{GridFrequency, Meter};
use crate::plant::{self, SensorNoise, WIND_HELP};
use crate::text_file;
use crate::vehicles::report::Report;
use crate::vehicles::{FleetArguments, Spoken};
use crate::write_log::{self, KeptLog};

const EXAMPLES: &str = "\
Examples:
  takt-sim serve --turbines 4 --wind turb:12:10 --ports-file ports.json
  takt-sim serve --turbines 50 --wind const:9 --base-port 5020 --fault 7:dead
  takt-sim serve --wind eog:14 --broker 127.0.0.1:1883 --json truth.json
  takt-sim serve --wind const:14 --arbiter 2 --write-log writes.csv
  takt-sim serve --turbines 10 --wind turb:14:12 --grid-hz 50,49.7,50:120
  takt-sim serve --wind const:9 --broker 127.0.0.1:1883 --vehicles 20 --layout hall.lif.json --json truth.json

The registers are those of profiles/nrel5mw-plc.toml. The file of --ports-file appears, whole, when
everything listens: {\"turbines\": [{\"address\": \"IP:PORT\"}, ...], \"broker\": \"IP:PORT\" or null, \"meter\": the same}.

The arbiter of a pair of masters is the registers 200 to 203 of one turbine: slot and counter of node A,
slot and counter of node B. A simulator that is started again begins with zeros there, and with no epoch:
nothing is fenced until a master names its epoch again.

The file of --write-log holds a line for each write of commands, applied or refused:
  w,NS,TURBINE,EPOCH,WATCHDOG,VERDICT,TORQUE_NM,PITCH_RAD,YAW_RAD_S,BRAKE,CONNECT
with the time since the start on one clock for all turbines, whose zero on CLOCK_MONOTONIC is in the first
line. The verdict is applied, fence (an epoch alone), refused-epoch, refused-no-epoch or refused-value.
s,FROM,TO is a time in which the simulator did not get to run; t,NS says that what came before is written.

Exit status: 0 ended as asked, 1 failed, 2 wrong usage or bad input.";

/// Serves NREL 5-MW turbines over Modbus TCP, in real time, until SIGTERM or SIGINT
///
/// Each turbine is a PLC on a port of its own, with measurement and command registers, a watchdog and
/// an epoch. It begins in operation, at its wind's steady state, and holds that until a master first
/// feeds its watchdog. Turbulence differs from turbine to turbine; all other winds are the same for all.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// How many turbines
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=1000))]
    turbines: u16,

    /// Port of the first turbine, the others follow; 0 gives each any free port
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    base_port: u16,

    /// Address to listen on; there is no protection, so think twice before leaving loopback
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    ip: IpAddr,

    /// Wind: const:V, steps:V1,V2,...:SECONDS, eog:V, turb:MEAN:INTENSITY_PERCENT, or a file
    #[arg(long, value_name = "SPEC", long_help = WIND_HELP)]
    wind: WindSpec,

    /// Seed of turbulence and sensor noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Noise of the sensors
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = SensorNoise::Usual)]
    sensor_noise: SensorNoise,

    /// Rotor performance table in ROSCO's Cp_Ct_Cq text format, instead of the built-in rotor
    #[arg(long, value_name = "FILE")]
    rotor_table: Option<PathBuf>,

    /// Begin feathered at rest instead of in operation
    #[arg(long)]
    from_standstill: bool,

    /// From so long without a fed watchdog a PLC shows that it holds
    #[arg(long, value_name = "MS", default_value = "200", value_parser = clap::value_parser!(u32).range(10..=60_000))]
    hold_ms: u32,

    /// From so long it brings its turbine to the safe state; more than --hold-ms
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = clap::value_parser!(u32).range(11..=600_000))]
    safe_ms: u32,

    /// Connections that a PLC accepts at a time
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections_max: u16,

    /// A turbine (from 1) that misbehaves on the bus: N:dead, N:refuse, N:garbage or N:slow:MS; repeatable
    #[arg(long, value_name = "FAULT")]
    fault: Vec<FaultArgument>,

    /// The turbine (from 1) whose PLC carries the arbiter of a pair of masters; 0 for none
    #[arg(long, value_name = "N", default_value_t = 1)]
    arbiter: u16,

    /// PLCs that do not know function code 23 (write and read in one)
    #[arg(long)]
    no_fc23: bool,

    /// Where to log every write of commands as it happens, applied or refused
    #[arg(long, value_name = "FILE")]
    write_log: Option<PathBuf>,

    /// Also serve a meter where all turbines meet the grid (profiles/sunspec-meter.toml), on the port behind the last
    /// turbine's, at this frequency: HZ, or HZ,HZ,...:SECONDS for each
    #[arg(long, value_name = "HZ")]
    grid_hz: Option<GridFrequency>,

    /// Also run an MQTT broker on this address, port 0 for any free one
    #[arg(long, value_name = "IP:PORT")]
    broker: Option<SocketAddr>,

    /// Where to write the addresses, as JSON, once everything listens
    #[arg(long, value_name = "FILE")]
    ports_file: Option<PathBuf>,

    /// Where to write, as JSON at the end, what truly happened to each turbine
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// End also when standard input is closed
    #[arg(long)]
    until_stdin_closes: bool,

    /// Also drive so many vehicles of VDA 5050, half of them of either version, on --layout and at --broker
    #[arg(long, value_name = "N", requires_all = ["layout", "broker"], value_parser = clap::value_parser!(u16).range(1..=200))]
    vehicles: Option<u16>,

    #[command(flatten)]
    fleet: Option<FleetArguments>,
}

/// The file of `--ports-file`.
#[derive(Debug, Serialize)]
struct Ports {
    turbines: Vec<Port>,
    broker: Option<SocketAddr>,
    meter: Option<SocketAddr>,
}

#[derive(Debug, Serialize)]
struct Port {
    address: SocketAddr,
}

/// The file of `--json`.
#[derive(Debug, Serialize)]
struct Site {
    wind: String,
    seed: u64,
    turbines: Vec<TurbineTruth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vehicles: Option<Report>,
}

/// What truly happened to a turbine.
#[derive(Debug, Serialize)]
struct TurbineTruth {
    address: SocketAddr,
    ran_for_s: f64,
    power_mean_kw: f64,
    rotor_rpm_max: f64,
    plc_state: &'static str,
    epoch: u32,
    reads: u64,
    writes_applied: u64,
    arbiter_writes: u64,
    writes_refused_by_epoch: u64,
    writes_refused_by_content: u64,
    watchdog_holds: u64,
    watchdog_starvations: u64,
    scans: u64,
    scans_skipped: u64,
    end: TurbineEnd,
}

/// The plant at the end.
#[derive(Debug, Serialize)]
struct TurbineEnd {
    wind_mps: f64,
    rotor_rpm: f64,
    pitch_deg: f64,
    gen_torque_nm: f64,
    power_kw: f64,
    brake_applied: bool,
}

/// Serves until told to end.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plcs = plcs(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        failed(format!("cannot start the runtime: {error}"), "check the limit of open files")
    })?;
    runtime.block_on(serve(arguments, plcs))
}

async fn serve(arguments: &Arguments, plcs: Vec<TurbinePlc>) -> Result<(), Failure> {
    let ending = Ending::new(arguments.until_stdin_closes)
        .map_err(|error| failed(format!("cannot listen for signals: {error}"), ""))?;
    let broker = match arguments.broker {
        Some(address) => Some(EmbeddedBroker::start(address).map_err(|error| failed(error.to_string(), ""))?),
        None => None,
    };
    let config = FarmConfig {
        ip: arguments.ip,
        base_port: arguments.base_port,
        connections_max: arguments.connections_max.into(),
    };
    let log = arguments.write_log.as_ref().map(|path| (path, write_log::queue()));
    let queue = log.as_ref().map(|(_, queue)| Arc::clone(queue));
    let mut farm =
        Farm::start_logged(plcs, config, queue).await.map_err(|error| failed(error.to_string(), ""))?;
    let kept = log.map(|(path, queue)| KeptLog::start(path, queue, farm.started())).transpose()?;
    arguments.fault.iter().for_each(|fault| fault.set(&farm));
    let vehicles = vehicles(arguments, broker.as_ref())?;
    let meter = meter(arguments, config).await?;
    announce(arguments, &farm, broker.as_ref(), meter.as_ref())?;
    match &meter {
        Some(meter) => tokio::select! {
            () = ending.wait() => {}
            () = meter.measure(&farm) => {}
        },
        None => ending.wait().await,
    }
    let vehicles = match vehicles {
        Some((count, fleet)) => {
            let connected = fleet.connected();
            Some(Report::new(count, connected, &fleet.stop().await))
        }
        None => None,
    };
    let site = truth(arguments, &farm, vehicles);
    farm.stop().await;
    kept.map_or(Ok(()), KeptLog::end)?;
    if let Some(path) = &arguments.json {
        text_file::write_json(path, &site)?;
    }
    let starved: u64 = site.turbines.iter().map(|turbine| turbine.watchdog_starvations).sum();
    let power_mw: f64 = site.turbines.iter().map(|turbine| turbine.power_mean_kw).sum::<f64>() / 1e3;
    text_file::say(&format!(
        "mean power {power_mw:.2} MW of {} turbines, watchdogs starved {starved} times",
        site.turbines.len()
    ));
    if let Some(vehicles) = &site.vehicles {
        text_file::say(&vehicles.line());
    }
    Ok(())
}

/// A meter behind the turbines, if there is to be one.
async fn meter(arguments: &Arguments, turbines: FarmConfig) -> Result<Option<Meter>, Failure> {
    let Some(frequency) = &arguments.grid_hz else { return Ok(None) };
    let base_port = match turbines.base_port {
        0 => 0,
        first => first.checked_add(arguments.turbines).ok_or_else(|| {
            failed("no port is left for the meter behind the turbines'", "give a lower --base-port")
        })?,
    };
    let config = FarmConfig { base_port, ..turbines };
    Meter::start(frequency.clone(), config).await.map(Some).map_err(|error| failed(error.to_string(), ""))
}

/// Vehicles beside the turbines, if there are to be any.
fn vehicles(arguments: &Arguments, broker: Option<&EmbeddedBroker>) -> Result<Option<(u16, Fleet)>, Failure> {
    let (Some(count), Some(fleet), Some(broker)) = (arguments.vehicles, &arguments.fleet, broker) else {
        return Ok(None);
    };
    let starts = fleet.starts(count, arguments.seed)?;
    let vehicles = fleet.vehicles(&starts, Spoken::Mixed, arguments.seed)?;
    let address = broker.address();
    let broker = (address.ip().to_string(), address.port());
    Ok(Some((count, fleet.start(vehicles, broker, arguments.seed, Arc::new(|_| {})))))
}

fn plcs(arguments: &Arguments) -> Result<Vec<TurbinePlc>, Failure> {
    if arguments.safe_ms <= arguments.hold_ms {
        return Err(Failure::arguments(
            format!("--safe-ms {} is not more than --hold-ms {}", arguments.safe_ms, arguments.hold_ms),
            "give a longer --safe-ms",
        ));
    }
    FaultArgument::check(&arguments.fault, "turbine", arguments.turbines)?;
    if arguments.arbiter > arguments.turbines {
        return Err(Failure::arguments(
            format!("--arbiter names turbine {} of {}", arguments.arbiter, arguments.turbines),
            "turbines count from 1; 0 is for no arbiter",
        ));
    }
    let rotor = plant::rotor(arguments.rotor_table.as_deref())?;
    let physics = TurbinePlantParameters::NREL_5MW;
    // One reading of a file serves all turbines; turbulence is each turbine's own.
    let common = match &arguments.wind {
        WindSpec::Turbulence { .. } => None,
        spec => Some(plant::wind(spec, arguments.seed, physics.rotor_radius)?),
    };
    let mut plcs = Vec::with_capacity(arguments.turbines.into());
    for at in 0..u64::from(arguments.turbines) {
        let seed = arguments.seed.wrapping_add(at << 32);
        let wind = match &common {
            Some(wind) => wind.clone(),
            None => plant::wind(&arguments.wind, seed, physics.rotor_radius)?,
        };
        let turbine = Turbine::new(physics, rotor.clone());
        let turbine = if arguments.from_standstill {
            turbine
        } else {
            turbine.in_operation(wind.speed_at(Duration::ZERO))
        };
        let config = PlcConfig {
            hold_after: Duration::from_millis(arguments.hold_ms.into()),
            safe_after: Duration::from_millis(arguments.safe_ms.into()),
            noise: arguments.sensor_noise.levels(),
            seed,
            arbiter: at + 1 == u64::from(arguments.arbiter),
            exchange: !arguments.no_fc23,
            ..PlcConfig::default()
        };
        plcs.push(TurbinePlc::new(turbine, wind, config));
    }
    Ok(plcs)
}

/// Says where everything listens, to people and in the file.
fn announce(
    arguments: &Arguments,
    farm: &Farm,
    broker: Option<&EmbeddedBroker>,
    meter: Option<&Meter>,
) -> Result<(), Failure> {
    let turbines: Vec<Port> = farm.addresses().map(|address| Port { address }).collect();
    let ports = Ports {
        turbines,
        broker: broker.map(EmbeddedBroker::address),
        meter: meter.and_then(Meter::address),
    };
    let mut line = format!("serving {} turbines", ports.turbines.len());
    if let (Some(first), Some(last)) = (ports.turbines.first(), ports.turbines.last()) {
        line.push_str(&format!(", the first on {}, the last on {}", first.address, last.address));
    }
    if let Some(broker) = broker {
        line.push_str(&format!("; broker {}", broker.url()));
    }
    if let Some(address) = ports.meter {
        line.push_str(&format!("; meter {address}"));
    }
    if let Some(path) = &arguments.ports_file {
        text_file::write_json(path, &ports)?;
    }
    text_file::say(&line);
    Ok(())
}

fn truth(arguments: &Arguments, farm: &Farm, vehicles: Option<Report>) -> Site {
    let turbines = farm
        .addresses()
        .enumerate()
        .filter_map(|(at, address)| farm.with(at, |plc| TurbineTruth::of(plc, address)));
    Site { wind: arguments.wind.to_string(), seed: arguments.seed, turbines: turbines.collect(), vehicles }
}

impl TurbineTruth {
    fn of(plc: &mut TurbinePlc, address: SocketAddr) -> Self {
        let end = plc.turbine_mut().measurements();
        let [pitch, ..] = end.pitch;
        let truth = plc.truth();
        Self {
            address,
            ran_for_s: truth.ran_for.as_secs_f64(),
            power_mean_kw: truth.power_mean().as_kilowatts(),
            rotor_rpm_max: truth.rotor_speed_max.as_rpm(),
            plc_state: plc.state().as_str(),
            epoch: plc.epoch(),
            reads: truth.reads,
            writes_applied: truth.writes_applied,
            arbiter_writes: truth.arbiter_writes,
            writes_refused_by_epoch: truth.writes_refused_by_epoch,
            writes_refused_by_content: truth.writes_refused_by_content,
            watchdog_holds: truth.watchdog_holds,
            watchdog_starvations: truth.watchdog_starvations,
            scans: truth.scans,
            scans_skipped: truth.scans_skipped,
            end: TurbineEnd {
                wind_mps: end.wind_speed.get(),
                rotor_rpm: end.rotor_speed.as_rpm(),
                pitch_deg: pitch.as_degrees(),
                gen_torque_nm: end.generator_torque.get(),
                power_kw: end.power.as_kilowatts(),
                brake_applied: end.brake_applied,
            },
        }
    }
}

fn failed(what: impl Into<String>, remedy: &str) -> Failure {
    Failure::of("serve", what, remedy)
}
