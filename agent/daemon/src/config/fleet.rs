//! The `[fleet]` of a site, checked.

use std::collections::HashSet;

use control_loops_drive::{Chassis, DriveParameters};
use hal_diagnostics::{Diagnostic, Spanned};
use hal_units::{Duration, Meters};
use hal_vda5050::{Address, Version};

use super::check::{Checker, Names, Units};
use super::text::{DriveText, FleetText, SiteText, VdaVersionText, VehicleText};
use super::{FleetConfig, PlantConfig, VehicleConfig, VehicleLinkConfig};

/// A fleet's control runs so often where the site does not say it: what a radio lost is said again within a few
/// steps, and a place is left and reached in about a second.
const STEP_MS: u64 = 40;
/// Orders that are kept where the site does not say how many.
const ORDERS_MAX: u32 = 1000;
/// Vehicles of one fleet.
const VEHICLES_MAX: usize = 1000;

impl Checker<'_> {
    pub(super) fn fleet(
        &self,
        text: &FleetText,
        vehicles: Vec<VehicleConfig>,
        site: &SiteText,
    ) -> Result<FleetConfig, Diagnostic> {
        let Some(broker) = text.broker.as_ref().or(site.mqtt.as_ref()) else {
            return Err(self.document.at(
                text.layout.span(),
                "the fleet has no broker",
                "add broker = { broker = \"mqtt://HOST:PORT\" } to [fleet], or a section [mqtt]",
            ));
        };
        // One for both nodes of a pair: whoever opens it throws the other out.
        let mut broker = self.mqtt(broker, String::new())?;
        broker.client_id = format!("takt-fleet-{}", site.name.get_ref());
        let orders_max = match &text.orders_max {
            Some(orders) => self.within(orders, 1, 10_000, "orders_max")?,
            None => ORDERS_MAX,
        };
        Ok(FleetConfig {
            layout: self.folder.join(text.layout.get_ref()),
            layout_id: text.layout_id.clone(),
            vehicle_type: text.vehicle_type.clone(),
            chargers: text.chargers.clone(),
            parking: text.parking.clone(),
            broker,
            interface: text.interface.get_ref().clone(),
            step: Duration::from_millis(match &text.step_ms {
                Some(step) => self.within(step, 10, 1000, "step_ms")?,
                None => STEP_MS,
            }),
            orders_max: orders_max as usize,
            vehicles,
        })
    }

    pub(super) fn vehicles(
        &self,
        text: &FleetText,
        units: &mut Units<'_>,
    ) -> Result<Vec<VehicleConfig>, Diagnostic> {
        if text.vehicle.is_empty() || text.vehicle.len() > VEHICLES_MAX {
            return Err(self.document.at(
                text.layout.span(),
                format!("the fleet has {} vehicles", text.vehicle.len()),
                format!("give 1 to {VEHICLES_MAX} [[fleet.vehicle]]"),
            ));
        }
        let (mut names, mut addresses) = (Names::new(), HashSet::new());
        let mut vehicles = Vec::with_capacity(text.vehicle.len());
        for vehicle in &text.vehicle {
            self.new_name(&mut names, &vehicle.name)?;
            let link = match (&vehicle.drive, &vehicle.manufacturer, &vehicle.version) {
                (Some(drive), None, None) => {
                    let text = drive.get_ref();
                    let plant = PlantConfig::Vehicle(Box::new(self.drive(drive)?));
                    let at = self.unit(units, (&vehicle.name, &text.device, &text.group), plant)?;
                    VehicleLinkConfig::Unit(at)
                }
                (None, Some(manufacturer), Some(version)) => {
                    let address = self.vda_address(text, vehicle, manufacturer, version)?;
                    if !addresses.insert(address.clone()) {
                        return Err(self.document.at(
                            vehicle.name.span(),
                            format!("{} {} stands twice", address.manufacturer(), address.serial()),
                            "give each vehicle a serial number of its own",
                        ));
                    }
                    VehicleLinkConfig::Vda(address)
                }
                _ => {
                    return Err(self.document.at(
                        vehicle.name.span(),
                        format!("it is not clear how the vehicle `{}` is reached", vehicle.name.get_ref()),
                        "give manufacturer and version for VDA 5050, or drive = { ... } for drives on a bus",
                    ));
                }
            };
            vehicles.push(VehicleConfig { name: vehicle.name.get_ref().clone(), link });
        }
        Ok(vehicles)
    }

    fn drive(&self, text: &Spanned<DriveText>) -> Result<DriveParameters, Diagnostic> {
        let wrong = |what: String, remedy: &str| self.document.at(text.span(), what, remedy);
        let drive = text.get_ref();
        let chassis = match (drive.track_m, drive.wheelbase_m) {
            (Some(track), None) => Chassis::Differential { track: Meters(track) },
            (None, Some(wheelbase)) => Chassis::Tricycle { wheelbase: Meters(wheelbase) },
            _ => {
                return Err(wrong(
                    "it is not clear what wheels the vehicle has".to_owned(),
                    "give track_m for two driven wheels, or wheelbase_m for a front wheel that drives and steers",
                ));
            }
        };
        let mut parameters = DriveParameters::usual(chassis);
        for (given, value) in [
            (drive.speed_mps, &mut parameters.linear.speed),
            (drive.acceleration_mps2, &mut parameters.linear.acceleration),
            (drive.jerk_mps3, &mut parameters.linear.jerk),
            (drive.turn_speed_radps, &mut parameters.angular.speed),
        ] {
            *value = given.unwrap_or(*value);
        }
        parameters.checked().map_err(|error| wrong(error.to_string(), "give a number above zero"))
    }

    fn vda_address(
        &self,
        fleet: &FleetText,
        vehicle: &VehicleText,
        manufacturer: &Spanned<String>,
        version: &Spanned<VdaVersionText>,
    ) -> Result<Address, Diagnostic> {
        let version = match version.get_ref() {
            VdaVersionText::V2 => Version::V2,
            VdaVersionText::V3 => Version::V3,
        };
        let serial = vehicle.serial.as_ref().unwrap_or(&vehicle.name);
        let (interface, manufacturer) = (fleet.interface.get_ref(), manufacturer.get_ref());
        Address::new(interface, version, manufacturer, serial.get_ref()).map_err(|error| {
            self.document.at(
                serial.span(),
                format!("interface, manufacturer and serial number cannot be parts of a topic: {error:?}"),
                "use letters, digits, `_`, `.`, `:` and `-`",
            )
        })
    }
}
