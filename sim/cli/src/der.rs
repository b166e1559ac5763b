//! `takt-sim der`: plants with controllers of their own in real time, as their SunSpec interfaces show them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use hal_units::{Duration, Watts};
use serde::Serialize;
use sim_devices::{DerConfig, DerDevice, Farm, FarmConfig};

use crate::bus_fault::FaultArgument;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::text_file;

const HELP: &str = "\
What there is to see (registers as profiles/sunspec-der.toml names them):
  A limit of power (WMaxLimPct) holds until WMaxLimPctRvrtTms after the last write of WMaxLimPctEna; then the
  plant reverts to WMaxLimPctRvrt by itself. Kill the agent, and watch it.
  A controller whose ControllerHb stands still for --controller-timeout-s is lost: the plant reverts at once,
  shows an alarm, and stays there until AlarmReset is written while the heartbeat moves.
  A plant in local control (LocRemCtl) refuses writes and counts them: --local 1.

An agent leads the first plant with this in its site file, beside a group named \"plants\":
  [[bus]]
  name = \"park\"
  tcp = \"127.0.0.1:5020\"
  [[device]]
  name = \"park\"
  bus = \"park\"
  profile = \"profiles/sunspec-der.toml\"
  [[der]]
  name = \"park\"
  device = \"park\"
  group = \"plants\"
  rated_kw = 5000.0
  revert_s = 60
  revert_percent = 50.0

Examples:
  takt-sim der --base-port 5020
  takt-sim der --plants 3 --rated-kw 20000 --available-kw 14000 --controller-timeout-s 5 --json truth.json
  takt-sim der --plants 2 --local 2 --fault 1:slow:250 --ports-file ports.json

The file of --ports-file appears, whole, when everything listens: {\"plants\": [{\"address\": \"IP:PORT\"}, ...]}.

Exit status: 0 ended as asked, 1 failed, 2 wrong usage or bad input.";

/// Serves plants with controllers of their own (SunSpec models 701, 704, 715) over Modbus TCP, in real time
///
/// Each plant is a park or a storage on a port of its own that feeds in what it can or may. It serves until SIGTERM
/// or SIGINT.
#[derive(Debug, Args)]
#[command(after_long_help = HELP, after_help = "--help shows what there is to see, and how an agent leads them.")]
pub(crate) struct Arguments {
    /// How many plants
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1000))]
    plants: u16,

    /// Rated power of each; what its limit is a percentage of
    #[arg(long, value_name = "KW", default_value = "5000", value_parser = clap::value_parser!(u16).range(1..=32_000))]
    rated_kw: u16,

    /// What each could give [default: its rated power]
    #[arg(long, value_name = "KW", value_parser = clap::value_parser!(u16).range(0..=32_000))]
    available_kw: Option<u16>,

    /// From so long without a heartbeat a controller that was heard is lost
    #[arg(long, value_name = "S", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    controller_timeout_s: u32,

    /// A plant (from 1) that is in local control; repeatable
    #[arg(long, value_name = "N")]
    local: Vec<u16>,

    /// A plant (from 1) that misbehaves on the bus: N:dead, N:refuse, N:garbage or N:slow:MS; repeatable
    #[arg(long, value_name = "FAULT")]
    fault: Vec<FaultArgument>,

    /// Port of the first plant, the others follow; 0 gives each any free port
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    base_port: u16,

    /// Address to listen on; there is no protection, so think twice before leaving loopback
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    ip: IpAddr,

    /// Connections that a plant accepts at a time
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections_max: u16,

    /// Where to write the addresses, as JSON, once everything listens
    #[arg(long, value_name = "FILE")]
    ports_file: Option<PathBuf>,

    /// Where to write, as JSON at the end, what truly happened to each plant
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// End also when standard input is closed
    #[arg(long)]
    until_stdin_closes: bool,
}

/// The file of `--ports-file`.
#[derive(Debug, Serialize)]
struct Ports {
    plants: Vec<Port>,
}

#[derive(Debug, Serialize)]
struct Port {
    address: SocketAddr,
}

/// The file of `--json`.
#[derive(Debug, Serialize)]
struct Site {
    plants: Vec<Truth>,
}

/// What truly happened to a plant.
#[derive(Debug, Serialize)]
struct Truth {
    address: SocketAddr,
    power_kw: f64,
    alarm: bool,
    writes: u64,
    writes_in_local: u64,
    timer_reversions: u64,
    controllers_lost: u64,
    starts: u64,
}

/// Serves until told to end.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plants = plants(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        failed(format!("cannot start the runtime: {error}"), "check the limit of open files")
    })?;
    runtime.block_on(serve(arguments, plants))
}

fn plants(arguments: &Arguments) -> Result<Vec<DerDevice>, Failure> {
    FaultArgument::check(&arguments.fault, "plant", arguments.plants)?;
    if let Some(wrong) = arguments.local.iter().find(|plant| !(1..=arguments.plants).contains(plant)) {
        return Err(Failure::arguments(
            format!("--local names plant {wrong} of {}", arguments.plants),
            "plants count from 1",
        ));
    }
    let power = |kw: u16| Watts::from_kilowatts(kw.into());
    let config = DerConfig {
        rated: power(arguments.rated_kw),
        available: power(arguments.available_kw.unwrap_or(arguments.rated_kw)),
        controller_timeout: Duration::from_secs(arguments.controller_timeout_s.into()),
    };
    let plant = |number| {
        let mut plant = DerDevice::new(config);
        plant.set_local(arguments.local.contains(&number));
        plant
    };
    Ok((1..=arguments.plants).map(plant).collect())
}

async fn serve(arguments: &Arguments, plants: Vec<DerDevice>) -> Result<(), Failure> {
    let ending = Ending::new(arguments.until_stdin_closes)
        .map_err(|error| failed(format!("cannot listen for signals: {error}"), ""))?;
    let config = FarmConfig {
        ip: arguments.ip,
        base_port: arguments.base_port,
        connections_max: arguments.connections_max.into(),
    };
    let mut farm = Farm::start(plants, config).await.map_err(|error| failed(error.to_string(), ""))?;
    arguments.fault.iter().for_each(|fault| fault.set(&farm));
    let addresses: Vec<SocketAddr> = farm.addresses().collect();
    if let Some(path) = &arguments.ports_file {
        let plants = addresses.iter().map(|address| Port { address: *address }).collect();
        text_file::write_json(path, &Ports { plants })?;
    }
    let words: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    text_file::say(&format!("serving {} plants: {}", words.len(), words.join(" ")));
    ending.wait().await;
    let truths = addresses.iter().enumerate();
    let truths = truths.filter_map(|(at, address)| farm.with(at, |plant| Truth::of(plant, *address)));
    let site = Site { plants: truths.collect() };
    farm.stop().await;
    if let Some(path) = &arguments.json {
        text_file::write_json(path, &site)?;
    }
    let reverted: u64 = site.plants.iter().map(|plant| plant.timer_reversions).sum();
    let lost: u64 = site.plants.iter().map(|plant| plant.controllers_lost).sum();
    let power_kw: f64 = site.plants.iter().map(|plant| plant.power_kw).sum();
    text_file::say(&format!(
        "{power_kw:.0} kW at the end, limits reverted {reverted} times, controllers lost {lost} times"
    ));
    Ok(())
}

impl Truth {
    fn of(plant: &DerDevice, address: SocketAddr) -> Self {
        let truth = plant.truth();
        Self {
            address,
            power_kw: truth.power.as_kilowatts(),
            alarm: plant.is_alarmed(),
            writes: truth.writes,
            writes_in_local: truth.writes_in_local,
            timer_reversions: truth.timer_reversions,
            controllers_lost: truth.controllers_lost,
            starts: truth.starts,
        }
    }
}

fn failed(what: impl Into<String>, remedy: &str) -> Failure {
    Failure::of("der", what, remedy)
}
