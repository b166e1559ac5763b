//! Puts the agent's report together.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_cycle::{ParkRecord, PlantRecord, TurbineRecord, UnitRecord};
use agent_plan::wire::PlanEntry;
use agent_status::{Device, Distribution, Park, Phase, Realtime, Report, Traces, Unit};
use control_loops_controllers::turbine::{IndividualPitchStatus, YawStatus};
use hal_modbus::{DeviceCounters, Fault};
use hal_units::{Instant, Watts};

use crate::config::{DeviceConfig, PlantConfig, SiteConfig};
use crate::operators::Operators;
use crate::plans::PlansReport;
use crate::unit_state::{ValueNames, standard_values};
use crate::watch::GroupControl;

/// What the report needs besides the groups' collectors.
pub(crate) struct Reporter<'a> {
    site: &'a SiteConfig,
    counters: Vec<Arc<DeviceCounters>>,
    realtime: Realtime,
    started_at: Instant,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(
        site: &'a SiteConfig,
        counters: Vec<Arc<DeviceCounters>>,
        realtime: Realtime,
        started_at: Instant,
    ) -> Self {
        Self { site, counters, realtime, started_at }
    }

    pub(crate) fn report(
        &self,
        controls: &[GroupControl],
        operators: &Operators,
        plans: &PlansReport,
        phase: Phase,
        now: Instant,
    ) -> Report {
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            site: self.site.name.clone(),
            uptime_s: now.since(self.started_at).as_secs_f64(),
            phase,
            groups: controls.iter().map(|control| control.collector.figures(now)).collect(),
            units: self.units(controls, operators),
            devices: self.devices(controls),
            commands: operators.commands(),
            mqtt: operators.link(),
            plan: self.plan(plans),
            realtime: self.realtime.clone(),
            pair: None,
            fleet: None,
            traces: Traces::default(),
        }
    }

    fn plan(&self, plans: &PlansReport) -> agent_status::Plan {
        let status = &plans.status;
        let digest = |entry: &PlanEntry| entry.digest.map(|digest| digest.to_string()).unwrap_or_default();
        let words =
            |entry: &PlanEntry| format!("`{}` epoch {} {}", entry.name, entry.epoch, entry.stage.as_str());
        agent_status::Plan {
            name: status.in_force.name.clone(),
            epoch: status.in_force.epoch,
            file: self.site.plan.display().to_string(),
            refused: plans.local_refused.clone(),
            digest: digest(&status.in_force),
            stage: status.in_force.stage.as_str().to_owned(),
            staged: status.staged.as_ref().map(words),
            last_known_good: words(&status.last_known_good),
            given_up: status.given_up.as_ref().map(|entry| {
                let why = entry.refusal.as_ref().map(|refusal| format!(": {refusal}")).unwrap_or_default();
                format!("{}{why}", words(entry))
            }),
            rules: status.rules.clone(),
            activations: status.activations,
            rollbacks: status.rollbacks,
            rejected: status.refused.clone(),
            degraded: status.degraded.clone(),
        }
    }

    fn units(&self, controls: &[GroupControl], operators: &Operators) -> Vec<Unit> {
        let mut units: Vec<(usize, Unit)> = Vec::new();
        for control in controls {
            for (at, position) in control.units.iter().enumerate() {
                let Some(config) = self.site.units.get(*position) else { continue };
                // Vehicles are shown with their fleet.
                if matches!(config.plant, PlantConfig::Vehicle(_)) {
                    continue;
                }
                let device = self.site.devices.get(config.device).map_or("", |device| device.name.as_str());
                let overrides = operators.override_words(&config.name);
                let record = control.collector.unit(at);
                let group = &control.collector.facts().name;
                let mut unit = unit(&config.name, group, device, record, overrides);
                let standard = self.site.mqtt.as_ref().is_some_and(|mqtt| mqtt.names == ValueNames::Iec61400);
                if let (PlantConfig::Park(config), Some(record)) = (&config.plant, record) {
                    (unit.park, unit.degraded) = park(config.turbines.len(), &record.plant);
                }
                if let Some(record) = record.filter(|_| standard) {
                    unit.values = standard_values(&config.plant, record);
                }
                units.push((*position, unit));
            }
        }
        units.sort_by_key(|(position, _)| *position);
        units.into_iter().map(|(_, unit)| unit).collect()
    }

    fn devices(&self, controls: &[GroupControl]) -> Vec<Device> {
        let age_of = |device: usize| {
            controls.iter().find_map(|control| {
                let at = control.collector.facts().devices.iter().position(|other| *other == device)?;
                Some(control.collector.input_age(at))
            })
        };
        self.site
            .devices
            .iter()
            .zip(&self.counters)
            .enumerate()
            .map(|(at, (config, counters))| {
                let bus = self.site.buses.get(config.bus);
                let group = bus.and_then(|bus| self.site.groups.get(bus.group));
                let names =
                    (bus.map_or("", |bus| bus.name.as_str()), group.map_or("", |group| group.name.as_str()));
                device(config, names, counters, age_of(at).unwrap_or_default())
            })
            .collect()
    }
}

fn unit(name: &str, group: &str, device: &str, record: Option<&UnitRecord>, overrides: Vec<String>) -> Unit {
    let turbine = record.and_then(|record| match &record.plant {
        PlantRecord::Turbine(turbine) => Some(turbine),
        PlantRecord::Vehicle(_) | PlantRecord::Der(_) | PlantRecord::Park(_) => None,
    });
    let powers = record.and_then(|record| match &record.plant {
        PlantRecord::Turbine(turbine) => Some((turbine.power, turbine.power_limit)),
        PlantRecord::Der(der) => Some((der.power, der.power_limit)),
        PlantRecord::Park(park) => Some((park.power, park.reference)),
        PlantRecord::Vehicle(_) => None,
    });
    let (power, power_limit) = powers.unwrap_or_default();
    Unit {
        name: name.to_owned(),
        group: group.to_owned(),
        device: device.to_owned(),
        mode: record.map_or("unknown", |record| record.plant.mode()).to_owned(),
        trips: record
            .map(|record| record.plant.held_by().into_iter().map(str::to_owned).collect())
            .unwrap_or_default(),
        quality: record.map_or("bad", |record| record.quality.as_str()).to_owned(),
        input_age_us: record.and_then(|record| record.input_age).map(|age| age.as_secs_f64() * 1e6),
        wind_mps: turbine.map_or(0.0, |turbine| turbine.wind_speed.get()),
        rotor_rpm: turbine.map_or(0.0, |turbine| turbine.rotor_speed.as_rpm()),
        pitch_deg: turbine.map_or(0.0, |turbine| turbine.pitch.as_degrees()),
        power_kw: power.as_kilowatts(),
        power_limit_kw: power_limit.as_kilowatts(),
        overrides,
        degraded: turbine.map_or_else(Vec::new, shortcomings),
        values: BTreeMap::new(),
        park: None,
    }
}

/// How a park stands, and what it does less than it should.
fn park(turbines: usize, plant: &PlantRecord) -> (Option<Park>, Vec<String>) {
    let PlantRecord::Park(record) = plant else { return (None, Vec::new()) };
    let ParkRecord { ramped, answer, target, available, frequency_hz, is_metered, .. } = *record;
    let [ramped_kw, answer_kw, target_kw, available_kw] =
        [ramped, answer, target, available].map(Watts::as_kilowatts);
    let no_meter = (!is_metered).then_some(
        "the meter's power is not to be trusted: the sum of the turbines' stands for it, without what is lost on the way",
    );
    let no_frequency =
        frequency_hz.is_none().then_some("the frequency is not known: there is no answer to it");
    let degraded = no_meter.into_iter().chain(no_frequency).map(str::to_owned).collect();
    (Some(Park { turbines, ramped_kw, answer_kw, target_kw, available_kw, frequency_hz }), degraded)
}

/// What a turbine does less than it should, though it runs.
fn shortcomings(turbine: &TurbineRecord) -> Vec<String> {
    let twist = "the twist of its cables is not known or not believed: the nacelle stays where it is, after a look at the \
                 counter a reset lets it turn";
    let blades = "loads or azimuth cannot be used: its blades are not led one by one";
    let twist = (turbine.yaw == YawStatus::TwistUnknown).then_some(twist);
    let blades = (turbine.individual_pitch == IndividualPitchStatus::Blind).then_some(blades);
    twist.into_iter().chain(blades).map(str::to_owned).collect()
}

fn device(
    config: &DeviceConfig,
    (bus, group): (&str, &str),
    counters: &DeviceCounters,
    input_age: Distribution,
) -> Device {
    let round_trip = counters.round_trip.snapshot();
    let us = |share: f64| round_trip.quantile(share).as_secs_f64() * 1e6;
    Device {
        name: config.name.clone(),
        bus: bus.to_owned(),
        group: group.to_owned(),
        state: counters.state().as_str().to_owned(),
        transactions: counters.transactions.get(),
        scans: counters.scans.get(),
        writes: counters.writes.get(),
        outputs_expired: counters.expired_outputs.get(),
        errors: counters.faults(),
        errors_by_name: Fault::ALL
            .iter()
            .map(|fault| (fault.as_str().to_owned(), counters.fault(*fault)))
            .filter(|(_, count)| *count > 0)
            .collect(),
        round_trip: Distribution {
            p50_us: us(0.5),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: round_trip.max().as_secs_f64() * 1e6,
            samples: round_trip.count(),
        },
        input_age,
    }
}
