//! The vehicles on the field bus, as the fleet's thread reaches them: routes out, sights in.

use agent_cycle::FleetPorts;
use agent_fleet::{SiteFleet, Step};
use control_loops_drive::Route;
use hal_units::Instant;

/// All groups with vehicles.
#[derive(Debug, Default)]
pub(crate) struct Drives {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    ports: FleetPorts,
    /// Each unit's position in the fleet, if it is a vehicle, and what it was told last.
    units: Vec<(Option<usize>, Option<Route>)>,
}

impl Drives {
    pub(crate) fn add(&mut self, ports: FleetPorts, vehicles: Vec<Option<usize>>) {
        let units = vehicles.into_iter().map(|vehicle| (vehicle, None)).collect();
        self.groups.push(Group { ports, units });
    }

    /// Whether there are no vehicles.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Hands on what the last cycles have seen.
    pub(crate) fn look(&mut self, now: Instant, fleet: &mut SiteFleet) {
        for Group { ports, units } in &mut self.groups {
            let Some(sights) = ports.sights.updated() else { continue };
            for ((vehicle, _), sight) in units.iter().zip(&sights.of) {
                if let Some(vehicle) = vehicle {
                    fleet.see(now, *vehicle, sight);
                }
            }
        }
    }

    /// Tells the cycles what a step has to say.
    pub(crate) fn tell(&mut self, step: &Step) {
        for Group { ports, units } in &mut self.groups {
            let mut changed = step.recall_drives;
            for (vehicle, route) in &step.routes {
                if let Some((_, told)) = units.iter_mut().find(|(of, _)| of == &Some(*vehicle)) {
                    *told = Some(*route);
                    changed = true;
                }
            }
            if changed {
                ports.routes.publish_with(|routes| {
                    routes.recall_all = step.recall_drives;
                    for (slot, (_, route)) in routes.of.iter_mut().zip(units.iter()) {
                        *slot = *route;
                    }
                });
            }
        }
    }

    /// Forgets what was told: another node has told other things since, which the cycles know.
    pub(crate) fn forget(&mut self) {
        for (_, route) in self.groups.iter_mut().flat_map(|group| &mut group.units) {
            *route = None;
        }
    }
}
