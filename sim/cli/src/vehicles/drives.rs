//! Vehicles whose drives hang on Modbus TCP.

use std::sync::Arc;

use hal_units::Duration;
use serde::Serialize;
use sim_devices::drive::DriveTruth;
use sim_devices::{DriveDevice, DriveMap, Farm, FarmConfig};
use sim_plants::vehicle::Place;
use sim_radio::Others;
use sim_vehicles::Truth;

use super::failed;
use crate::failure::Failure;

/// Picking or dropping a load takes as long as for the other vehicles.
const HANDLING: Duration = Duration::from_secs(3);
/// As of a laser scanner among walls: metres and radians.
const NOISE: (f64, f64) = (0.01, 0.006);

/// The devices, listening.
pub(super) struct Drives {
    farm: Arc<Farm<DriveDevice>>,
    count: usize,
}

/// The file of `--ports-file`.
#[derive(Serialize)]
struct Ports {
    drives: Vec<Port>,
}

#[derive(Serialize)]
struct Port {
    address: String,
    profile: &'static str,
}

const fn map(index: usize) -> DriveMap {
    if index.is_multiple_of(2) { DriveMap::Differential } else { DriveMap::Tricycle }
}

/// Vehicles that stand on nodes.
pub(super) fn devices(starts: &[(String, [f64; 2])], seed: u64) -> Vec<DriveDevice> {
    let device = |(index, (_, [x, y])): (usize, &(String, [f64; 2]))| {
        let place = Place { x: *x, y: *y, heading: 0.0 };
        let seed = seed.wrapping_add((index as u64) << 32);
        DriveDevice::new(map(index), place, HANDLING, NOISE, seed)
    };
    starts.iter().enumerate().map(device).collect()
}

/// Lets them run and listen on loopback.
pub(super) async fn start(devices: Vec<DriveDevice>, base_port: u16) -> Result<Drives, Failure> {
    let count = devices.len();
    let config = FarmConfig { base_port, ..FarmConfig::default() };
    let farm = Farm::start(devices, config).await.map_err(|error| failed(error.to_string(), ""))?;
    Ok(Drives { farm: Arc::new(farm), count })
}

impl Drives {
    /// Where they truly are.
    pub(super) fn whereabouts(&self) -> Others {
        let (farm, count) = (Arc::clone(&self.farm), self.count);
        Arc::new(move |truths| {
            truths.extend((0..count).filter_map(|at| farm.with(at, |device| device.whereabouts())).map(
                |(place, (speed, turning))| Truth {
                    x: place.x,
                    y: place.y,
                    heading: place.heading,
                    speed,
                    turning,
                },
            ));
        })
    }

    /// The file of `--ports-file`.
    pub(super) fn ports(&self) -> String {
        let port = |(index, address): (usize, std::net::SocketAddr)| Port {
            address: address.to_string(),
            profile: match map(index) {
                DriveMap::Differential => "differential-drive",
                DriveMap::Tricycle => "tricycle-drive",
            },
        };
        let ports = Ports { drives: self.farm.addresses().enumerate().map(port).collect() };
        serde_json::to_string_pretty(&ports).unwrap_or_default()
    }

    /// What happened to each, and how far it drove in metres.
    pub(super) fn truths(&self) -> Vec<(DriveTruth, f64)> {
        let truth = |at| self.farm.with(at, |device| (*device.truth(), device.odometer_m()));
        (0..self.count).filter_map(truth).collect()
    }
}
