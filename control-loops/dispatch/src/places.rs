//! Chargers and parking places: one vehicle each, from when it sets out until it goes elsewhere.

use control_loops_fleet::{Node, Vehicle};

use crate::controller::FleetController;
use crate::event::{Degradation, Event, Reason};
use crate::vehicle::{Duty, Standing};

/// What a place is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlaceKind {
    Charger,
    Parking,
}

/// A charger or parking place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) node: Node,
    pub(crate) kind: PlaceKind,
}

impl FleetController {
    /// Who charges, who is full, and who must not get an order.
    pub(crate) fn watch_batteries(&mut self) {
        for vehicle in self.all() {
            if self.look(vehicle).standing != Standing::Driving {
                continue;
            }
            self.watch_critical(vehicle);
            let battery = self.setup.battery;
            let cart = self.look(vehicle);
            match cart.duty {
                Duty::Charging(_) if cart.battery >= battery.full => self.begin_duty(vehicle, Duty::Idle),
                Duty::Idle | Duty::ToPark(_) | Duty::Parked(_) => {
                    if cart.battery < battery.low || cart.battery < battery.critical {
                        self.seek_charger(vehicle);
                    } else if cart.battery < battery.top_up {
                        self.top_up(vehicle);
                    }
                }
                Duty::Charging(_)
                | Duty::ToCharge(_)
                | Duty::ToPick(_)
                | Duty::AtPick(_)
                | Duty::ToDrop(_)
                | Duty::AtDrop(_)
                | Duty::Held(_) => {}
            }
        }
    }

    fn watch_critical(&mut self, vehicle: Vehicle) {
        let battery = self.setup.battery;
        let cart = self.look(vehicle);
        let critical = cart.battery < battery.critical;
        if critical != cart.critical {
            let what = Degradation::BatteryCritical;
            let event =
                if critical { Event::Degraded { vehicle, what } } else { Event::Recovered { vehicle, what } };
            self.events.push(event);
        }
        if critical && self.is_free_to_change(vehicle) {
            self.give_back(vehicle, Reason::Battery);
        }
        let charges = matches!(self.look(vehicle).duty, Duty::ToCharge(_) | Duty::Charging(_));
        let found = cart.no_charger && (charges || cart.battery >= battery.low);
        let charged = cart.charge_failed && cart.battery >= battery.low;
        for (over, what) in [(found, Degradation::NoCharger), (charged, Degradation::Charging)] {
            if over {
                self.events.push(Event::Recovered { vehicle, what });
            }
        }
        if let Some(cart) = self.cart_mut(vehicle) {
            cart.critical = critical;
            cart.no_charger &= !found;
            cart.charge_failed &= !charged;
        }
    }

    /// Sends a vehicle to the nearest free charger; if there is none, one that is charged enough makes room.
    fn seek_charger(&mut self, vehicle: Vehicle) {
        if let Some(place) = self.nearest_free(vehicle, PlaceKind::Charger) {
            return self.begin_duty(vehicle, Duty::ToCharge(place));
        }
        let enough = |other: &Vehicle| {
            let cart = self.look(*other);
            matches!(cart.duty, Duty::Charging(_) | Duty::ToCharge(_))
                && cart.standing == Standing::Driving
                && cart.battery >= self.setup.battery.enough
        };
        let fullest = self.all().filter(enough).max_by_key(|other| (self.look(*other).battery, other.0));
        if let Some(other) = fullest {
            self.begin_duty(other, Duty::Idle);
            if let Some(place) = self.nearest_free(vehicle, PlaceKind::Charger) {
                return self.begin_duty(vehicle, Duty::ToCharge(place));
            }
        }
        let before = self.cart_mut(vehicle).map(|cart| core::mem::replace(&mut cart.no_charger, true));
        if before == Some(false) {
            self.events.push(Event::Degraded { vehicle, what: Degradation::NoCharger });
        }
    }

    /// An idle vehicle uses a charger that nobody needs.
    fn top_up(&mut self, vehicle: Vehicle) {
        if let Some(place) = self.nearest_free(vehicle, PlaceKind::Charger) {
            self.begin_duty(vehicle, Duty::ToCharge(place));
        }
    }

    /// Whoever has nothing to do gets out of the way.
    pub(crate) fn send_to_places(&mut self) {
        for vehicle in self.all() {
            let cart = self.look(vehicle);
            if cart.duty != Duty::Idle || cart.standing != Standing::Driving {
                continue;
            }
            if let Some(place) = self.nearest_free(vehicle, PlaceKind::Parking) {
                self.begin_duty(vehicle, Duty::ToPark(place));
            }
        }
    }

    /// The nearest place of a kind that nobody has, and that can be reached.
    fn nearest_free(&mut self, vehicle: Vehicle, kind: PlaceKind) -> Option<u16> {
        let mut best: Option<(u32, u16)> = None;
        for index in 0..self.places.len() as u16 {
            let Some(place) = self.places.get(usize::from(index)).copied() else { continue };
            let taken = self.carts.iter().any(|cart| cart.duty.place() == Some(index));
            if place.kind != kind || taken {
                continue;
            }
            let Self { distances, traffic, .. } = self;
            let Some(steps) = distances.from_vehicle(traffic.planner(), vehicle, place.node) else {
                continue;
            };
            if best.is_none_or(|best| (steps, index) < best) {
                best = Some((steps, index));
            }
        }
        best.map(|(_, index)| index)
    }

    /// Closes the node of a charger for all others while somebody charges.
    pub(crate) fn shut_place(&mut self, place: u16, shut: bool) {
        if let Some(place) = self.places.get(usize::from(place)) {
            // A node of the layout, opened as often as closed.
            let _ = self.traffic.set_node_barred(place.node, shut);
        }
    }
}
