//! `takt-sim vehicles`: a fleet that speaks VDA 5050 over MQTT or hangs on Modbus, in real time.

mod drives;
pub(crate) mod layout;
pub(crate) mod report;

use std::path::PathBuf;
use std::time::Duration as Span;

use clap::{Args, ValueEnum};
use hal_units::{Duration, Radians};
use hal_vda5050::{Address, AddressError, Version};
use sim_devices::DriveDevice;
use sim_plants::Random;
use sim_radio::{AirConfig, Fleet, FleetConfig, Others};
use sim_vehicles::{Drive, Setup, Start, Vehicle};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::number::within;
use crate::text_file;
use layout::Places;
use report::Report;

/// How long a vehicle for the protocol alone takes for an edge.
const HOP: Duration = Duration::from_secs(1);
/// Steps in which time passes, with wheels and without.
const TICKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(100));

const EXAMPLES: &str = "\
Examples:
  takt-sim vehicles --layout hall.lif.json --count 20 --version mixed --broker 127.0.0.1:1883
  takt-sim vehicles --layout warehouse-33x36.json --count 200 --broker 127.0.0.1:1883 --delay-ms 20 --loss 0.05
  takt-sim vehicles --layout warehouse-33x36.json --count 100 --drives 100 --broker 127.0.0.1:1883 --ports-file ports.json
  takt-sim vehicles --layout empty.map --count 1000 --protocol-only --seconds 60 --json truth.json --broker HOST:1883

Each vehicle has a connection of its own, with a last will, and the topics
  INTERFACE/v2|v3/MANUFACTURER/SERIAL/order, instantActions, state, connection, factsheet ...
Serial numbers are v0001, v0002 and so on; with --version mixed the odd ones speak 2.1 and the even ones 3.0.
Watch them: mosquitto_sub -t 'uagv/#' -v

Layouts: the Layout Interchange Format (LIF) of VDMA; grid maps as for takt-sim fleet, whose cells are 1.5 m
wide (JSON maps may say it: cellMeters) and called by column and row, as x4y7, counted from 0 at the top left;
x grows to the right and y upwards from the bottom row. Vehicles begin on nodes that the seed draws, and on the map that is called as the layout.

Those of --drives have the registers of profiles/differential-drive.toml and profiles/tricycle-drive.toml in
turn, each on a port of its own; the file of --ports-file is {\"drives\": [{\"address\": \"IP:PORT\", \"profile\": NAME}]}.

Vehicles take orders by the rules of the standard and report what they refuse. They do pick, drop,
startCharging, stopCharging, finePositioning, detectObject, waitForTrigger and wait (parameter seconds) at
nodes and edges, and at once startPause, stopPause, cancelOrder, stateRequest, factsheetRequest, logReport,
startCharging, stopCharging, initPosition (2.1), initializePosition and the other actions of 3.0 that need no
download. Ways between nodes are straight.

Exit status: 0 ended as asked, 1 failed, 2 wrong usage or bad input.";

/// Vehicles that speak VDA 5050 2.1 or 3.0 over MQTT, or hang on Modbus, in real time, until SIGTERM or SIGINT
///
/// They drive what is released with limits of speed, acceleration and turning, use their batteries and report
/// noisy positions. The air between them and the broker can delay and lose messages. Collisions are judged
/// from their true positions.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, disable_version_flag = true)]
pub(crate) struct Arguments {
    /// How many vehicles that speak VDA 5050
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=2000))]
    count: u16,

    /// How many vehicles whose drives hang on Modbus TCP, on the same floor
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=500))]
    drives: u16,

    /// Port of the first of these, the others follow; 0 gives each any free port
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    drive_port: u16,

    /// Where to write their addresses, as JSON, once all listen
    #[arg(long, value_name = "FILE")]
    ports_file: Option<PathBuf>,

    /// The broker
    #[arg(long, value_name = "HOST:PORT", value_parser = broker)]
    broker: (String, u16),

    /// What they speak
    #[arg(id = "spoken", long = "version", value_name = "VERSION", value_enum, default_value_t = Spoken::Mixed)]
    version: Spoken,

    /// Seed of starts, noise and losses
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// End by itself after so long
    #[arg(long, value_name = "S", value_parser = within(0.1, 1e7))]
    seconds: Option<f64>,

    /// Where to write, as JSON at the end, what truly happened; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// End also when standard input is closed
    #[arg(long)]
    until_stdin_closes: bool,

    #[command(flatten)]
    fleet: FleetArguments,
}

/// What vehicles are like, beside whatever they are served with.
#[derive(Debug, Args)]
pub(crate) struct FleetArguments {
    /// The layout that vehicles drive on
    #[arg(long, value_name = "FILE")]
    pub(crate) layout: Option<PathBuf>,

    /// Which layout of a LIF file, if it has several
    #[arg(long, value_name = "ID")]
    layout_id: Option<String>,

    /// For which vehicle type of a LIF file, if it has several
    #[arg(long, value_name = "ID")]
    vehicle_type: Option<String>,

    /// First level of the topics
    #[arg(long, value_name = "NAME", default_value = "uagv")]
    interface: String,

    /// Third level of the topics
    #[arg(long, value_name = "NAME", default_value = "takt")]
    manufacturer: String,

    /// How long messages are on their way between vehicle and broker, each way
    #[arg(long, value_name = "MS", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    delay_ms: u32,

    /// The probability that a message with QoS 0 is lost, each way
    #[arg(long, value_name = "P", default_value = "0", value_parser = within(0.0, 0.99))]
    loss: f64,

    /// A state is sent at least this often
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = clap::value_parser!(u32).range(50..=30_000))]
    state_interval_ms: u32,

    /// No wheels: a vehicle is on the next node after a second, which costs next to nothing
    #[arg(long)]
    protocol_only: bool,

    /// Vehicles are judged as discs of this diameter, in metres
    #[arg(long, value_name = "M", default_value = "0.6", value_parser = within(0.01, 100.0))]
    diameter: f64,
}

/// Where vehicles begin.
pub(crate) struct Starts {
    /// By name, in metres.
    nodes: Vec<(String, [f64; 2])>,
    map_id: String,
    known: sim_vehicles::Places,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spoken {
    /// 2.1
    #[value(name = "2.1")]
    V2,
    /// 3.0
    #[value(name = "3.0")]
    V3,
    /// One after the other in turn
    Mixed,
}

/// Runs the vehicles until told to end.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.count + arguments.drives == 0 {
        return Err(Failure::arguments("there are no vehicles", "give --count N, --drives N, or both"));
    }
    let mut starts = arguments.fleet.starts(arguments.count + arguments.drives, arguments.seed)?;
    let of_drives = starts.nodes.split_off(arguments.count.into());
    let vehicles = arguments.fleet.vehicles(&starts, arguments.version, arguments.seed)?;
    let drives = drives::devices(&of_drives, arguments.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        failed(format!("cannot start the runtime: {error}"), "check the limit of open files")
    })?;
    runtime.block_on(drive(arguments, vehicles, drives))
}

async fn drive(
    arguments: &Arguments,
    vehicles: Vec<Vehicle>,
    drives: Vec<DriveDevice>,
) -> Result<(), Failure> {
    let ending = Ending::new(arguments.until_stdin_closes)
        .map_err(|error| failed(format!("cannot listen for signals: {error}"), ""))?;
    let farm = drives::start(drives, arguments.drive_port).await?;
    let fleet = arguments.fleet.start(vehicles, arguments.broker.clone(), arguments.seed, farm.whereabouts());
    if let Some(path) = &arguments.ports_file {
        text_file::write_at_once(path, &farm.ports())?;
    }
    let (host, port) = &arguments.broker;
    text_file::say(&format!(
        "driving {} vehicles at {host}:{port}, and {} on Modbus",
        arguments.count, arguments.drives
    ));
    let over = async {
        match arguments.seconds {
            Some(seconds) => tokio::time::sleep(Span::from_secs_f64(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = ending.wait() => {}
        () = over => {}
    }
    // Whoever stopped is not connected any more, which would not be worth telling.
    let connected = fleet.connected();
    let report = Report::new(arguments.count, connected, &fleet.stop().await).with_drives(farm.truths());
    if let Some(path) = &arguments.json {
        let write =
            if text_file::is_standard_output(path) { text_file::write } else { text_file::write_at_once };
        write(path, &report.to_json())?;
    }
    text_file::say(&report.line());
    if connected == 0 && arguments.count > 0 {
        return Err(failed(
            format!("no vehicle is connected to {host}:{port}"),
            "check that a broker listens there and takes clients without a password",
        ));
    }
    Ok(())
}

impl FleetArguments {
    /// Nodes of the layout to begin on, each for one vehicle; and all that vehicles know of it.
    pub(crate) fn starts(&self, count: u16, seed: u64) -> Result<Starts, Failure> {
        let Some(layout) = &self.layout else {
            return Err(Failure::arguments("vehicles need a layout", "give --layout FILE"));
        };
        let places = Places::read(layout, self.layout_id.as_deref(), self.vehicle_type.as_deref())?;
        let mut random = Random::new(seed);
        let starts = places.draw(usize::from(count), &mut random);
        if starts.len() < usize::from(count) {
            let what =
                format!("{count} vehicles do not fit on the {} nodes of the layout", places.nodes.len());
            return Err(Failure::arguments(what, "give fewer vehicles, or a larger --layout"));
        }
        Ok(Starts {
            nodes: starts,
            map_id: places.map_id,
            known: std::sync::Arc::new(places.nodes.into_iter().collect()),
        })
    }

    /// Vehicles that begin there.
    pub(crate) fn vehicles(
        &self,
        starts: &Starts,
        spoken: Spoken,
        seed: u64,
    ) -> Result<Vec<Vehicle>, Failure> {
        let vehicle = |(index, (node_id, at)): (usize, &(String, [f64; 2]))| {
            let start = Start {
                node_id: node_id.clone(),
                map_id: starts.map_id.clone(),
                at: *at,
                heading: Radians(0.0),
            };
            let setup = Setup::usual(self.address(index, spoken)?, start);
            let drive = if self.protocol_only { Drive::Hops(HOP) } else { setup.drive };
            Ok(Vehicle::new(Setup {
                drive,
                places: std::sync::Arc::clone(&starts.known),
                state_interval: Duration::from_millis(self.state_interval_ms.into()),
                seed: seed.wrapping_add((index as u64) << 32),
                ..setup
            }))
        };
        starts.nodes.iter().enumerate().map(vehicle).collect()
    }

    fn address(&self, index: usize, spoken: Spoken) -> Result<Address, Failure> {
        let version = match spoken {
            Spoken::V2 => Version::V2,
            Spoken::V3 => Version::V3,
            Spoken::Mixed if index.is_multiple_of(2) => Version::V2,
            Spoken::Mixed => Version::V3,
        };
        let serial = format!("v{:04}", index + 1);
        Address::new(&self.interface, version, &self.manufacturer, &serial).map_err(|error| {
            let what = match error {
                AddressError::Empty => "an empty name cannot be part of a topic".to_owned(),
                AddressError::Character(character) => format!("{character:?} cannot be part of a topic"),
            };
            Failure::arguments(what, "give another --interface or --manufacturer")
        })
    }

    /// Lets vehicles run on the runtime that this is called on.
    pub(crate) fn start(
        &self,
        vehicles: Vec<Vehicle>,
        broker: (String, u16),
        seed: u64,
        others: Others,
    ) -> Fleet {
        let delay = Duration::from_millis(self.delay_ms.into());
        Fleet::start_among(
            vehicles,
            FleetConfig {
                broker,
                air: AirConfig { delay, loss: self.loss, seed },
                tick: if self.protocol_only { TICKS.1 } else { TICKS.0 },
                diameter: self.diameter,
            },
            others,
        )
    }
}

fn broker(text: &str) -> Result<(String, u16), String> {
    let wrong = || "give a host and a port, as 127.0.0.1:1883".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    if host.is_empty() { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

fn failed(what: impl Into<String>, remedy: &str) -> Failure {
    Failure::of("vehicles", what, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_a_host_and_a_port() {
        assert_eq!(broker("localhost:1883"), Ok(("localhost".to_owned(), 1883)));
        assert_eq!(broker("[::1]:1883"), Ok(("[::1]".to_owned(), 1883)));
        for wrong in ["localhost", ":1883", "localhost:", "localhost:0", "localhost:70000"] {
            assert!(broker(wrong).is_err(), "{wrong}");
        }
    }
}
