//! How long it takes until a vehicle echoes an order: many vehicles on a real Mosquitto.
//!
//! `cargo run --release -p sim-radio --example dispatch -- VEHICLES SECONDS DELAY_MS LOSS [SEED]`, for
//! instance `200 60 20 0.05`. Every vehicle drives up and down a lane of its own; each order is carried on
//! node by node. Times are from handing an order to its conversation until the state that echoes it has been
//! taken in, both on the master's clock. Needs `mosquitto` on the PATH or in /usr/sbin.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../campaign/mod.rs"]
mod campaign;

use campaign::master::{Master, percentile, vehicle};
use campaign::mosquitto::Mosquitto;
use hal_units::Duration;
use sim_radio::{AirConfig, Fleet, FleetConfig};

fn main() {
    let arguments: Vec<f64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let [vehicles, seconds, delay_ms, loss, rest @ ..] = arguments.as_slice() else {
        eprintln!("give VEHICLES SECONDS DELAY_MS LOSS [SEED], for instance 200 60 20 0.05");
        std::process::exit(2);
    };
    let seed = rest.first().map_or(1, |seed| *seed as u64);
    let vehicles = *vehicles as usize;
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "set_tcp_nodelay true\n").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let air = AirConfig { delay: Duration::from_secs_f64(delay_ms / 1e3), loss: *loss, seed };
    let address = broker.address();
    let config = FleetConfig {
        broker: (address.ip().to_string(), address.port()),
        air,
        tick: Duration::from_millis(20),
        diameter: 0.6,
    };
    let fleet = {
        let _inside = runtime.enter();
        Fleet::start((0..vehicles).map(vehicle).collect(), config)
    };
    let master = Master::connect(&broker.url(), vehicles, seed).unwrap();
    let mut outcome = master.run(Duration::from_secs_f64(*seconds), u64::MAX);
    let truth = runtime.block_on(fleet.stop());
    for (what, sample) in [("orders", &mut outcome.orders_ms), ("updates", &mut outcome.updates_ms)] {
        let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|part| percentile(sample, part));
        let count = sample.len();
        println!("{what}: {count}, echoed after p50 {p50:.1} p99 {p99:.1} p99.9 {p999:.1} max {max:.1} ms");
    }
    let (sent, resent) = outcome.sent;
    println!("{} orders done, {sent} messages sent, {resent} of them again", outcome.done);
    println!(
        "vehicles heard {}, said {}, lost {}, refused {}; {} collisions, {} late ticks",
        truth.heard, truth.said, truth.lost, truth.tally.rejected, truth.collisions, truth.late_ticks
    );
    outcome.wrong.sort();
    outcome.wrong.dedup();
    for wrong in outcome.wrong.iter().take(10) {
        println!("wrong: {wrong}");
    }
}
