//! A park behind a meter, led by real agents over the bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agent_plan::Request;
use agent_plan::document::{Demand, Wake, WakeWeights};
use agent_status::{Park, Report, Unit};
use hal_units::Watts;
use serde_json::json;
use sim_devices::MeterDevice;

use crate::agent::{Agent, Site, until};
use crate::broker;
use crate::field::Field;
use crate::operator::Operator;
use crate::pair::Nodes;
use crate::plans::{Planner, centre, plan};

const TURBINES: usize = 3;
/// Above rated: each could give 5 MW.
const WIND_MPS: f64 = 14.0;
/// A ramp of ten seconds, and the turbines' own way.
const SETTLED_WITHIN: Duration = Duration::from_secs(40);

/// Three turbines, and a meter that adds up what they truly give, less 2 % on the way.
struct Plant {
    turbines: Arc<Field>,
    meter: Arc<Field<MeterDevice>>,
    frequency_mhz: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Plant {
    fn new() -> Self {
        let turbines = Arc::new(Field::in_wind(TURBINES as u64, WIND_MPS));
        let meter = Arc::new(Field::of(vec![MeterDevice::new()]));
        let (frequency_mhz, ended) = (Arc::new(AtomicU64::new(50_000)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (turbines, meter) = (Arc::clone(&turbines), Arc::clone(&meter));
            let (frequency_mhz, ended) = (Arc::clone(&frequency_mhz), Arc::clone(&ended));
            move || {
                while !ended.load(Ordering::Relaxed) {
                    let power = fed_in(&turbines);
                    let frequency_hz = frequency_mhz.load(Ordering::Relaxed) as f64 / 1000.0;
                    meter.look(0, |meter| meter.show(power, frequency_hz));
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        Self { turbines, meter, frequency_mhz, ended, thread: Some(thread) }
    }

    fn site(&self) -> Site {
        Site::over(&self.turbines.addresses()).with_park(self.meter.addresses()[0])
    }

    /// What arrives at the grid, kW, mean of a second.
    fn fed_in_kw(&self) -> f64 {
        let samples = 20;
        let sum: f64 = (0..samples)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(50));
                fed_in(&self.turbines).as_kilowatts()
            })
            .sum();
        sum / f64::from(samples)
    }

    #[track_caller]
    fn until_fed_in(&self, kw: f64, within: Duration) {
        until(&format!("{kw} kW at the grid"), within, || {
            ((self.fed_in_kw() - kw).abs() < 300.0).then_some(())
        });
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn fed_in(turbines: &Field) -> Watts {
    let sum: f64 =
        (0..TURBINES).map(|at| turbines.look(at, |plc| plc.turbine_mut().measurements().power.get())).sum();
    Watts(sum * 0.98)
}

fn park(report: &Report) -> (&Unit, &Park) {
    let unit = report.units.iter().find(|unit| unit.name == "PARK").expect("the park is reported");
    (unit, unit.park.as_ref().expect("the park has stepped"))
}

fn until_mode(agent: &Agent, mode: &str) -> Report {
    agent.until(mode, |report| report.units.iter().any(|unit| unit.name == "PARK" && unit.mode == mode))
}

#[test]
fn a_park_follows_its_reference_at_the_meter_and_answers_the_frequency() {
    let (plant, broker) = (Plant::new(), broker());
    let site = plant.site().with_broker(&broker.url());
    let agent = site.start();
    until_mode(&agent, "free");
    plant.until_fed_in(14_700.0, SETTLED_WITHIN);

    let mut operator = Operator::at(&broker);
    agent.until("the agent is connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    let id = operator.command("PARK", "derate", &json!({ "power_limit_kw": 9000 }), 30);
    operator.expect(&id, &["accepted", "executed"]);
    plant.until_fed_in(9_000.0, SETTLED_WITHIN);
    let report = until_mode(&agent, "limited");
    let (unit, told) = park(&report);
    assert_eq!((unit.power_limit_kw, told.turbines), (9_000.0, TURBINES));
    assert!((told.target_kw - 9_000.0).abs() < 1.0 && told.available_kw > 13_000.0, "{told:?}");
    assert!((unit.power_kw - 9_000.0).abs() < 500.0, "{unit:?}");

    // 0.5 Hz beyond the dead band of a droop of 5 %: a fifth of 15 MW less.
    plant.frequency_mhz.store(50_520, Ordering::Relaxed);
    plant.until_fed_in(6_000.0, SETTLED_WITHIN);
    assert!((park(&until_mode(&agent, "frequency_response")).1.answer_kw + 3_000.0).abs() < 1.0);
    plant.frequency_mhz.store(50_000, Ordering::Relaxed);
    plant.until_fed_in(9_000.0, SETTLED_WITHIN);
}

#[test]
fn a_meter_that_falls_silent_degrades_the_park_and_shows() {
    let plant = Plant::new();
    let site = plant.site();
    let agent = site.start();
    until_mode(&agent, "free");
    assert!(park(&agent.report()).0.degraded.is_empty());
    plant.meter.set_fault(0, sim_devices::DeviceFault::Dead);
    let report = agent.until("two reasons", |report| {
        report.degradations().iter().filter(|reason| reason.starts_with("unit PARK: the ")).count() == 2
    });
    assert_eq!(park(&report).1.frequency_hz, None);
    assert!((park(&report).0.power_kw - 15_000.0).abs() < 1_000.0, "the turbines' own sum: {report:#?}");
    plant.meter.set_fault(0, sim_devices::DeviceFault::None);
    agent.until("they are gone", |report| park(report).0.degraded.is_empty());
}

#[test]
fn a_takeover_leaves_a_park_s_power_where_it_is() {
    let plant = Plant::new();
    let site = |site: Site| {
        site.with_park(plant.meter.addresses()[0]).with_plans_of(&centre().public_pem().unwrap())
    };
    let mut nodes = Nodes::start(Site::pair_over(&plant.turbines.addresses()).map(site));
    let active = nodes.until_whole();
    let mut reference = plan(2, 5_000_000);
    let run =
        |unit: &str, power_limit_w| Demand { unit: unit.to_owned(), request: Request::Run, power_limit_w };
    reference.demands =
        vec![run("WT01", None), run("WT02", None), run("WT03", None), run("PARK", Some(9_000_000))];
    // Whatever the wind's direction, the first weighs half as much as each of the others; wear evens out a little.
    reference.wakes = vec![Wake {
        park: "PARK".to_owned(),
        directions_deg: vec![0],
        weights: vec![WakeWeights { unit: "WT01".to_owned(), percent: vec![50] }],
    }];
    assert!(Planner::of(&nodes.sites[active]).offer(reference).is_ok());
    plant.until_fed_in(9_000.0, SETTLED_WITHIN);
    let report = until_mode(&nodes.nodes[active], "limited");
    let limits: Vec<f64> = report.units.iter().take(TURBINES).map(|unit| unit.power_limit_kw).collect();
    assert!(
        (1.6..2.1).contains(&(limits[1] / limits[0])) && (limits[2] / limits[1] - 1.0).abs() < 0.05,
        "{limits:?}"
    );

    // Until it has made up for what is lost on the way.
    std::thread::sleep(SETTLED_WITHIN / 2);
    nodes.nodes[active].kill();
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    let killed = Instant::now();
    while killed.elapsed() < Duration::from_secs(8) {
        let now = fed_in(&plant.turbines).as_kilowatts();
        (least, most) = (least.min(now), most.max(now));
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{least:.0} to {most:.0} kW");
    assert!(least > 8_800.0 && most < 9_200.0, "{least} to {most} kW");
    let report = until_mode(&nodes.nodes[1 - active], "limited");
    assert_eq!(park(&report).0.power_limit_kw, 9_000.0);
}
