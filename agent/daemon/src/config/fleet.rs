//! The `[fleet]` of a site, checked.

use std::collections::HashSet;

use hal_diagnostics::Diagnostic;
use hal_units::Duration;
use hal_vda5050::{Address, Version};

use super::check::{Checker, Names};
use super::text::{FleetText, SiteText, VdaVersionText, VehicleText};
use super::{FleetConfig, VehicleConfig};

/// A fleet's control runs so often where the site does not say it: what a radio lost is said again within a few
/// steps, and a place is left and reached in about a second.
const STEP_MS: u64 = 20;
/// Orders that are kept where the site does not say how many.
const ORDERS_MAX: u32 = 1000;
/// Vehicles of one fleet.
const VEHICLES_MAX: usize = 1000;

impl Checker<'_> {
    pub(super) fn fleet(&self, text: &FleetText, site: &SiteText) -> Result<FleetConfig, Diagnostic> {
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
            vehicles: self.vehicles(text)?,
        })
    }

    fn vehicles(&self, text: &FleetText) -> Result<Vec<VehicleConfig>, Diagnostic> {
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
            let address = self.vda_address(text, vehicle)?;
            if !addresses.insert(address.clone()) {
                return Err(self.document.at(
                    vehicle.name.span(),
                    format!("{} {} stands twice", address.manufacturer(), address.serial()),
                    "give each vehicle a serial number of its own",
                ));
            }
            vehicles.push(VehicleConfig { name: vehicle.name.get_ref().clone(), address });
        }
        Ok(vehicles)
    }

    fn vda_address(&self, fleet: &FleetText, vehicle: &VehicleText) -> Result<Address, Diagnostic> {
        let version = match vehicle.version.get_ref() {
            VdaVersionText::V2 => Version::V2,
            VdaVersionText::V3 => Version::V3,
        };
        let serial = vehicle.serial.as_ref().unwrap_or(&vehicle.name);
        let (interface, manufacturer) = (fleet.interface.get_ref(), vehicle.manufacturer.get_ref());
        Address::new(interface, version, manufacturer, serial.get_ref()).map_err(|error| {
            self.document.at(
                serial.span(),
                format!("interface, manufacturer and serial number cannot be parts of a topic: {error:?}"),
                "use letters, digits, `_`, `.`, `:` and `-`",
            )
        })
    }
}
