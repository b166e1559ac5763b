//! The report as Prometheus reads it.

use std::fmt;

use agent_status::{Distribution, Report};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The media type of [`text`].
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The report in the OpenMetrics text format.
pub(super) fn text(report: &Report) -> String {
    let mut registry = Registry::with_prefix("takt");
    registry.register_collector(Box::new(Snapshot(report.clone())));
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => text,
        Err(error) => format!("# {error}\n"),
    }
}

#[derive(Debug)]
struct Snapshot(Report);

type Labels<'a> = Vec<(&'static str, &'a str)>;

fn gauges<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (Labels<'a>, f64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn counters<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (Labels<'a>, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Three quantiles and the maximum of a distribution, in seconds.
fn quantiles<'a>(labels: &Labels<'a>, times: Distribution) -> Vec<(Labels<'a>, f64)> {
    let points =
        [("0.5", times.p50_us), ("0.99", times.p99_us), ("0.999", times.p999_us), ("1", times.max_us)];
    let point = |(quantile, us): (&'static str, f64)| {
        let mut labels = labels.clone();
        labels.push(("quantile", quantile));
        (labels, us / 1e6)
    };
    points.into_iter().map(point).collect()
}

fn flag(on: bool) -> f64 {
    if on { 1.0 } else { 0.0 }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let report = &self.0;
        let site = report.site.as_str();
        gauges(
            &mut encoder,
            "degraded",
            "Number of reasons why the agent is not all that it should be",
            std::iter::once((vec![("site", site)], report.degradations().len() as f64)),
        )?;
        gauges(
            &mut encoder,
            "realtime_obtained",
            "1 if every real-time setting was obtained and read back",
            std::iter::once((vec![("site", site)], flag(report.realtime.obtained))),
        )?;
        encode_groups(&mut encoder, report)?;
        encode_units(&mut encoder, report)?;
        encode_devices(&mut encoder, report)?;
        encode_plans(&mut encoder, report)?;
        encode_commands(&mut encoder, report)
    }
}

fn encode_groups(encoder: &mut DescriptorEncoder<'_>, report: &Report) -> fmt::Result {
    let each = || report.groups.iter().map(|group| (vec![("group", group.name.as_str())], group));
    counters(encoder, "cycles", "Cycles run", each().map(|(labels, group)| (labels, group.cycles)))?;
    counters(
        encoder,
        "missed_deadlines",
        "Grid points skipped and cycles that ended late",
        each().map(|(labels, group)| (labels, group.missed_deadlines)),
    )?;
    counters(
        encoder,
        "telemetry_dropped",
        "Telemetry records that did not fit into their ring",
        each().map(|(labels, group)| (labels, group.records_dropped)),
    )?;
    gauges(
        encoder,
        "group_running",
        "1 while the group runs, 0 while it stops or is in its safe state",
        each().map(|(labels, group)| (labels, flag(group.mode == "running"))),
    )?;
    gauges(
        encoder,
        "wake_up_seconds",
        "From the grid point until the thread ran, since the start",
        each().flat_map(|(labels, group)| quantiles(&labels, group.wake_up)),
    )?;
    gauges(
        encoder,
        "cycle_seconds",
        "Duration of a cycle, since the start",
        each().flat_map(|(labels, group)| quantiles(&labels, group.cycle_time)),
    )
}

fn encode_units(encoder: &mut DescriptorEncoder<'_>, report: &Report) -> fmt::Result {
    let each = || report.units.iter().map(|unit| (vec![("unit", unit.name.as_str())], unit));
    gauges(
        encoder,
        "unit_power_watts",
        "Electrical power",
        each().map(|(labels, unit)| (labels, unit.power_kw * 1e3)),
    )?;
    gauges(
        encoder,
        "unit_power_limit_watts",
        "Power limit in force",
        each().map(|(labels, unit)| (labels, unit.power_limit_kw * 1e3)),
    )?;
    gauges(
        encoder,
        "unit_rotor_rpm",
        "Rotor speed, revolutions per minute",
        each().map(|(labels, unit)| (labels, unit.rotor_rpm)),
    )?;
    gauges(
        encoder,
        "unit_quality_good",
        "1 if all inputs are good",
        each().map(|(labels, unit)| (labels, flag(unit.quality == "good"))),
    )?;
    gauges(
        encoder,
        "unit_mode",
        "1 for the mode in which the unit is",
        each().map(|(mut labels, unit)| {
            labels.push(("mode", unit.mode.as_str()));
            (labels, 1.0)
        }),
    )?;
    gauges(
        encoder,
        "unit_trips",
        "Interlocks that hold the unit",
        each().map(|(labels, unit)| (labels, unit.trips.len() as f64)),
    )?;
    let parks = || each().filter_map(|(labels, unit)| Some((labels, unit.park.as_ref()?)));
    gauges(
        encoder,
        "park_target_watts",
        "What the park shall give now",
        parks().map(|(labels, park)| (labels, park.target_kw * 1e3)),
    )?;
    gauges(
        encoder,
        "park_available_watts",
        "What the park could give",
        parks().map(|(labels, park)| (labels, park.available_kw * 1e3)),
    )?;
    gauges(
        encoder,
        "park_frequency_hertz",
        "Frequency of the grid at the park's meter",
        parks().filter_map(|(labels, park)| Some((labels, park.frequency_hz?))),
    )
}

fn encode_devices(encoder: &mut DescriptorEncoder<'_>, report: &Report) -> fmt::Result {
    let each = || report.devices.iter().map(|device| (vec![("device", device.name.as_str())], device));
    gauges(
        encoder,
        "device_online",
        "1 while the device answers",
        each().map(|(labels, device)| (labels, flag(device.is_online()))),
    )?;
    counters(
        encoder,
        "device_transactions",
        "Requests sent",
        each().map(|(labels, device)| (labels, device.transactions)),
    )?;
    counters(
        encoder,
        "device_outputs_expired",
        "Outputs that were late and therefore not written",
        each().map(|(labels, device)| (labels, device.outputs_expired)),
    )?;
    counters(
        encoder,
        "device_faults",
        "Faults by name",
        each().flat_map(|(labels, device)| {
            device.errors_by_name.iter().map(move |(name, count)| {
                let mut labels = labels.clone();
                labels.push(("fault", name.as_str()));
                (labels, *count)
            })
        }),
    )?;
    gauges(
        encoder,
        "device_round_trip_seconds",
        "From request to answer, since the start",
        each().flat_map(|(labels, device)| quantiles(&labels, device.round_trip)),
    )?;
    gauges(
        encoder,
        "device_input_age_seconds",
        "Age of the inputs when a cycle used them, since the start",
        each().flat_map(|(labels, device)| quantiles(&labels, device.input_age)),
    )
}

fn encode_plans(encoder: &mut DescriptorEncoder<'_>, report: &Report) -> fmt::Result {
    let (plan, site) = (&report.plan, report.site.as_str());
    let labels = || std::iter::once(vec![("site", site)]);
    gauges(
        encoder,
        "plan_epoch",
        "Epoch of the plan in force",
        labels().map(|labels| (labels, f64::from(plan.epoch))),
    )?;
    gauges(
        encoder,
        "plan_soaking",
        "1 while the plan in force is on trial",
        labels().map(|labels| (labels, flag(plan.stage == "soaking"))),
    )?;
    counters(
        encoder,
        "plans_activated",
        "Signed plans that were activated",
        labels().map(|labels| (labels, plan.activations)),
    )?;
    counters(
        encoder,
        "plans_rolled_back",
        "Signed plans that were rolled back",
        labels().map(|labels| (labels, plan.rollbacks)),
    )?;
    counters(
        encoder,
        "plans_refused",
        "Signed plans that were refused, by reason",
        plan.rejected.iter().map(|(reason, count)| (vec![("reason", reason.as_str())], *count)),
    )?;
    gauges(
        encoder,
        "plan_rule_applies",
        "1 for each rule of the plan that applies",
        plan.rules.iter().map(|rule| (vec![("rule", rule.as_str())], 1.0)),
    )
}

fn encode_commands(encoder: &mut DescriptorEncoder<'_>, report: &Report) -> fmt::Result {
    let commands = &report.commands;
    let outcomes = [
        ("received", commands.received),
        ("acknowledged", commands.acknowledged),
        ("executed", commands.executed),
        ("refused", commands.refused),
    ];
    counters(
        encoder,
        "commands",
        "Operators' commands by outcome",
        outcomes.into_iter().map(|(outcome, count)| (vec![("outcome", outcome)], count)),
    )?;
    let traces = &report.traces;
    let fates = [("written", traces.written), ("passed over", traces.passed_over)];
    counters(
        encoder,
        "traces",
        "Occasions for a trace of the last cycles",
        fates.into_iter().map(|(fate, count)| (vec![("fate", fate)], count)),
    )?;
    gauges(
        encoder,
        "broker_connected",
        "1 while the broker is connected",
        report.mqtt.iter().map(|mqtt| (vec![("broker", mqtt.broker.as_str())], flag(mqtt.connected))),
    )
}
