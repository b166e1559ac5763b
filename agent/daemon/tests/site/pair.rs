//! Two real agents that run one site as a hot-standby pair.
//!
//! What is measured in milliseconds is measured by `takt drill`, on a machine of its own; here it counts who
//! writes, and that the turbines do not notice. On a machine that is busy with other tests the office may
//! move once more than was asked for; that must not matter either.

use std::time::Duration;

use hal_linux_rt::signal::Signal;
use serde_json::json;

use crate::agent::{Agent, Site, WITHIN, runs, until};
use crate::field::Field;
use crate::operator::Operator;
use crate::{WIND_MPS, broker};

/// A pair over a field, both nodes running.
pub(crate) struct Nodes {
    /// Their files, as long as they run.
    pub(crate) sites: [Site; 2],
    pub(crate) nodes: [Agent; 2],
}

impl Nodes {
    fn over(field: &Field) -> Self {
        Self::start(Site::pair_over(&field.addresses()))
    }

    pub(crate) fn start(sites: [Site; 2]) -> Self {
        let nodes = [sites[0].start(), sites[1].start()];
        Self { sites, nodes }
    }

    /// Waits until one node is active and the other follows it; which one is active.
    #[track_caller]
    pub(crate) fn until_whole(&self) -> usize {
        until("one node is active and the other follows", WITHIN, || {
            let pair = [self.nodes[0].pair()?, self.nodes[1].pair()?];
            let active = pair.iter().position(|node| node.role == "active")?;
            let other = &pair[1 - active];
            (other.role == "standby" && other.replica_cycle > 0 && other.epoch == pair[active].epoch)
                .then_some(active)
        })
    }

    /// Takes the processor away from a node's agent for a while; its keeper goes on.
    pub(crate) fn pause_kept(&self, node: usize, how_long: Duration) {
        self.nodes[node].pause_kept(how_long);
    }

    pub(crate) fn epoch(&self, node: usize) -> u32 {
        self.nodes[node].pair().map_or(0, |pair| pair.epoch)
    }
}

/// The turbines produce, and no watchdog ever starved.
#[track_caller]
fn assert_turbines_go_on(field: &Field, turbines: usize) {
    for device in 0..turbines {
        field.look(device, |plc| {
            assert_eq!(plc.truth().watchdog_holds, 0, "turbine {device} was left alone");
            let true_now = plc.turbine_mut().measurements();
            assert!(true_now.power.as_kilowatts() > 100.0, "{true_now:?}");
        });
    }
}

#[test]
fn of_two_nodes_one_writes_and_the_other_repeats_its_steps() {
    let field = Field::in_wind(3, WIND_MPS);
    let nodes = Nodes::over(&field);
    let active = nodes.until_whole();
    nodes.nodes[active].until_all_run();
    let standby = &nodes.nodes[1 - active];
    let report = standby.until("the standby has repeated steps", |report| {
        report.pair.as_ref().is_some_and(|pair| pair.states_verified > 50)
    });
    assert_eq!(report.pair.as_ref().unwrap().states_diverged, 0);
    assert!(report.devices.iter().all(|device| device.writes == 0 && device.scans > 10), "{report:#?}");
    assert_turbines_go_on(&field, 3);
}

#[test]
fn a_planned_switchover_changes_the_writer_and_nothing_else() {
    let field = Field::in_wind(2, WIND_MPS);
    let nodes = Nodes::over(&field);
    let before = nodes.until_whole();
    nodes.nodes[before].until_all_run();
    let epoch = nodes.epoch(before);
    assert_eq!(nodes.nodes[1 - before].ask_switchover(), 409, "only the active node hands over");
    assert_eq!(nodes.nodes[before].ask_switchover(), 202);
    until("the other node is active", WITHIN, || {
        (nodes.nodes[1 - before].pair()?.role == "active").then_some(())
    });
    let after = nodes.until_whole();
    until("turbines written under the new epoch", WITHIN, || {
        (0..2).all(|at| field.look(at, |plc| plc.epoch()) > epoch).then_some(())
    });
    assert!(nodes.nodes[after].report().units.iter().all(runs));
    assert_turbines_go_on(&field, 2);
}

#[test]
fn a_killed_node_is_succeeded_at_once_and_comes_back_as_the_standby() {
    let field = Field::in_wind(2, WIND_MPS);
    let nodes = Nodes::over(&field);
    let killed = nodes.until_whole();
    nodes.nodes[killed].until_all_run();
    nodes.nodes[killed].kill_kept();
    until("the other node is active", WITHIN, || {
        (nodes.nodes[1 - killed].pair()?.role == "active").then_some(())
    });
    let after = nodes.until_whole();
    nodes.nodes[after].until_all_run();
    assert_turbines_go_on(&field, 2);
}

#[test]
fn a_node_that_is_told_to_end_hands_the_plant_over() {
    let field = Field::in_wind(2, WIND_MPS);
    let mut nodes = Nodes::over(&field);
    let ended = nodes.until_whole();
    nodes.nodes[ended].until_all_run();
    nodes.nodes[ended].signal(Signal::Terminate);
    let status = nodes.nodes[ended].until_it_ends(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0), "{}", nodes.nodes[ended].log());
    until("the other node is active", WITHIN, || {
        (nodes.nodes[1 - ended].pair()?.role == "active").then_some(())
    });
    nodes.nodes[1 - ended].until_all_run();
    assert_turbines_go_on(&field, 2);
}

#[test]
fn commands_around_a_kill_are_each_carried_out_once() {
    let (field, broker) = (Field::in_wind(2, 12.0), broker());
    let sites = Site::pair_over(&field.addresses()).map(|site| site.with_broker(&broker.url()));
    let nodes = Nodes::start(sites);
    let killed = nodes.until_whole();
    for node in &nodes.nodes {
        node.until("connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    }
    let mut operator = Operator::at(&broker);
    let ids: Vec<String> = (0..30)
        .map(|at| {
            if at == 15 {
                nodes.nodes[killed].kill_kept();
            }
            std::thread::sleep(Duration::from_millis(20));
            operator.command("WT01", "derate", &json!({ "power_limit_kw": 2000 + at }), 60)
        })
        .collect();
    let mut executions = Executions::default();
    executions.until_all_of(&ids, &mut operator);
    executions.assert_each_once();
    let last =
        nodes.nodes[1 - killed].until("the last limit", |report| report.units[0].power_limit_kw == 2029.0);
    assert_eq!(last.units[0].overrides, ["limited to 2029 kW"]);
}

#[test]
fn what_was_done_without_a_node_is_not_done_again_by_it() {
    let (field, broker) = (Field::in_wind(2, 12.0), broker());
    let sites = Site::pair_over(&field.addresses()).map(|site| site.with_broker(&broker.url()));
    let nodes = Nodes::start(sites);
    let absent = nodes.until_whole();
    for node in &nodes.nodes {
        node.until("connected", |report| report.mqtt.as_ref().is_some_and(|mqtt| mqtt.connected));
    }
    let mut operator = Operator::at(&broker);
    nodes.nodes[absent].kill_kept();
    // More than the states that it follows afterwards name, and while it is away.
    let ids: Vec<String> = (0..120)
        .map(|at| operator.command("WT01", "derate", &json!({ "power_limit_kw": 2000 + at }), 60))
        .collect();
    let mut executions = Executions::default();
    executions.until_all_of(&ids, &mut operator);
    nodes.until_whole();
    let active = nodes.until_whole();
    assert_ne!(active, absent, "the node that came back follows");
    nodes.nodes[active].kill_kept();
    nodes.until_whole();
    let last = operator.command("WT01", "derate", &json!({ "power_limit_kw": 3000 }), 60);
    executions.until_all_of(&[last], &mut operator);
    executions.assert_each_once();
}

/// Which cycles carried out which commands, as their issuer was told.
#[derive(Default)]
struct Executions {
    told: std::collections::BTreeMap<String, std::collections::BTreeSet<String>>,
}

impl Executions {
    #[track_caller]
    fn until_all_of(&mut self, ids: &[String], operator: &mut Operator) {
        until("all are executed", WITHIN, || {
            while let Some(answer) = operator.answer_within(Duration::from_millis(100)) {
                assert_ne!(answer["status"], "refused", "{answer}");
                if answer["status"] == "executed" {
                    let execution = format!("{} {}", answer["epoch"], answer["cycle"]);
                    let id = answer["id"].as_str().unwrap().to_owned();
                    self.told.entry(id).or_default().insert(execution);
                }
            }
            ids.iter().all(|id| self.told.contains_key(id)).then_some(())
        });
    }

    #[track_caller]
    fn assert_each_once(&self) {
        for (id, executions) in &self.told {
            assert_eq!(executions.len(), 1, "{id} was carried out in {executions:?}");
        }
    }
}
