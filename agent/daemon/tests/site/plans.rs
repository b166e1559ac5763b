//! Signed plans, offered to real agents over their socket.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::SystemTime;

use agent_plan::document::{
    Activation, Demand, PlanLimits, PlanTask, Rollout, Schedule, SchedulingPlan, SetPoint, Target, UtcTime,
};
use agent_plan::wire::{
    Answer, Ask, FleetStatus, PlanStatus, RollbackAsk, Stage, Verdict, read_frame, write_frame,
};
use agent_plan::{PlanKey, Reason, Request};

use crate::WIND_MPS;
use crate::agent::{Agent, Site, WITHIN, until};
use crate::field::Field;

pub(crate) fn centre() -> PlanKey {
    PlanKey::from_seed(&[7; 32])
}

/// A plan for the test site that limits the first unit.
pub(crate) fn plan(epoch: u32, power_limit_w: u64) -> SchedulingPlan {
    let demand =
        Demand { unit: "WT01".to_owned(), request: Request::Run, power_limit_w: Some(power_limit_w) };
    SchedulingPlan {
        name: format!("plan-{epoch}"),
        epoch,
        target: Target { site: "test-site".to_owned(), nodes: Vec::new() },
        tasks: Vec::new(),
        demands: vec![demand],
        schedules: Vec::new(),
        wakes: Vec::new(),
        transports: Vec::new(),
        rules: Vec::new(),
        limits: PlanLimits::default(),
        activation: Activation::default(),
        expires_at: None,
        rollout: Rollout { canary: None, soak_ms: 300, max_failures: 0 },
    }
}

/// With a trial that does not end during a test.
fn long_trial(epoch: u32, power_limit_w: u64) -> SchedulingPlan {
    let rollout = Rollout { soak_ms: 600_000, ..Rollout::default() };
    SchedulingPlan { rollout, ..plan(epoch, power_limit_w) }
}

fn in_millis(millis: u64) -> UtcTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UtcTime::from_unix_millis(u64::try_from(now.as_millis()).unwrap() + millis)
}

/// A client on an agent's socket for plans.
pub(crate) struct Planner(PathBuf);

impl Planner {
    pub(crate) fn of(site: &Site) -> Self {
        Self(site.folder().join("state/plans.sock"))
    }

    pub(crate) fn ask(&self, ask: &Ask) -> Answer {
        let mut stream = UnixStream::connect(&self.0).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        let (kind, body) = ask.encode();
        write_frame(&mut stream, kind, &body).unwrap();
        Answer::decode(&read_frame(&mut stream).unwrap()).unwrap()
    }

    fn verdict(&self, ask: &Ask) -> Result<Stage, Reason> {
        match self.ask(ask) {
            Answer::Verdict(Verdict::Taken { stage, .. }) => Ok(stage),
            Answer::Verdict(Verdict::Refused { refusal }) => Err(refusal.reason),
            other => panic!("{other:?}"),
        }
    }

    fn offer_bytes(&self, json: Vec<u8>) -> Result<Stage, Reason> {
        self.verdict(&Ask::Offer(json))
    }

    pub(crate) fn offer(&self, plan: SchedulingPlan) -> Result<Stage, Reason> {
        self.offer_bytes(centre().sign(plan).to_json())
    }

    fn status(&self) -> PlanStatus {
        match self.ask(&Ask::Status) {
            Answer::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn fleet(&self) -> Option<FleetStatus> {
        match self.ask(&Ask::Fleet) {
            Answer::Fleet(fleet) => fleet,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn until_it_answers(&self) {
        until("the socket for plans answers", WITHIN, || UnixStream::connect(&self.0).ok());
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&PlanStatus) -> bool) -> PlanStatus {
        until(what, WITHIN, || Some(self.status()).filter(|status| is_so(status)))
    }
}

pub(crate) fn planned(field: &Field) -> Site {
    Site::over(&field.addresses()).with_plans_of(&centre().public_pem().unwrap())
}

fn limit_kw(agent: &Agent) -> f64 {
    agent.report().units[0].power_limit_kw
}

#[test]
fn a_signed_plan_is_activated_tried_and_kept_and_outlives_the_agent() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = planned(&field);
    let mut agent = site.start();
    let planner = Planner::of(&site);
    assert_eq!(planner.offer(plan(2, 2_000_000)), Ok(Stage::Staged));
    agent.until("the limit is in force", |report| report.units[0].power_limit_kw == 2000.0);
    planner.until("the plan has proved itself", |status| {
        status.in_force.epoch == 2 && status.in_force.stage == Stage::LastKnownGood
    });
    assert_eq!(planner.offer(plan(2, 2_000_000)), Ok(Stage::LastKnownGood), "it came before");
    agent.kill();

    let agent = site.start();
    assert_eq!(agent.report().plan.epoch, 2);
    agent.until("the limit is in force at once", |report| report.units[0].power_limit_kw == 2000.0);
}

#[test]
fn a_plan_that_is_kept_is_given_as_it_was_signed_and_another_one_is_not() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = planned(&field);
    let _agent = site.start();
    let planner = Planner::of(&site);
    let signed = centre().sign(plan(2, 2_000_000));
    assert_eq!(planner.offer_bytes(signed.to_json()), Ok(Stage::Staged));
    planner.until("it is in force", |status| status.in_force.epoch == 2);
    assert_eq!(planner.ask(&Ask::Plan(signed.id())), Answer::Plan(signed.to_json()));
    let other = centre().sign(plan(3, 2_000_000)).id();
    assert_eq!(planner.ask(&Ask::Plan(other)), Answer::Plan(Vec::new()));
}

#[test]
fn each_bad_plan_is_refused_for_its_own_reason_and_changes_nothing() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = planned(&field);
    let agent = site.start();
    let planner = Planner::of(&site);
    let before = limit_kw(&agent);
    let signed = |plan| centre().sign(plan).to_json();
    let text = |plan| String::from_utf8(signed(plan)).unwrap();

    let mut unsigned = centre().sign(plan(2, 1));
    unsigned.signature = None;
    assert_eq!(planner.offer_bytes(unsigned.to_json()), Err(Reason::Unsigned));
    let foreign = PlanKey::from_seed(&[8; 32]).sign(plan(2, 1)).to_json();
    assert_eq!(planner.offer_bytes(foreign), Err(Reason::UnknownKey));
    let mut forged = PlanKey::from_seed(&[8; 32]).sign(plan(2, 1));
    forged.signature.as_mut().unwrap().key_id = centre().id();
    assert_eq!(planner.offer_bytes(forged.to_json()), Err(Reason::BadSignature));
    let unknown = text(plan(2, 1)).replacen("\"epoch\"", "\"urgent\":1,\"epoch\"", 1);
    assert_eq!(planner.offer_bytes(unknown.into_bytes()), Err(Reason::UnknownField));
    let oversized = text(plan(2, 1)) + &" ".repeat(agent_plan::document::SIGNED_BYTES_MAX);
    assert_eq!(planner.offer_bytes(oversized.into_bytes()), Err(Reason::Oversized));
    assert_eq!(planner.offer(plan(1, 1)), Err(Reason::ConflictingEpoch), "the plan file has this epoch");
    let expired = SchedulingPlan { expires_at: Some(UtcTime::from_unix_millis(0)), ..plan(2, 1) };
    assert_eq!(planner.offer(expired), Err(Reason::Expired));
    assert_eq!(planner.offer(plan(2, 9_000_000)), Err(Reason::OutOfLimits));
    let task = PlanTask {
        name: "turbines".to_owned(),
        period_us: 20_000,
        deadline_us: 5_000,
        budget_us: 5_000,
        priority: 50,
        core: 0,
    };
    let tight = SchedulingPlan { tasks: vec![task.clone()], ..plan(2, 1) };
    assert_eq!(planner.offer(tight), Err(Reason::Unschedulable));
    let other = PlanTask { priority: 51, deadline_us: 20_000, ..task };
    assert_eq!(planner.offer(SchedulingPlan { tasks: vec![other], ..plan(2, 1) }), Err(Reason::TaskMismatch));
    let elsewhere = Target { site: "elsewhere".to_owned(), nodes: Vec::new() };
    assert_eq!(planner.offer(SchedulingPlan { target: elsewhere, ..plan(2, 1) }), Err(Reason::WrongTarget));

    let status = planner.status();
    assert_eq!(status.refused.values().sum::<u64>(), 11, "{status:#?}");
    assert_eq!(status.last_refusal.unwrap().reason, Reason::WrongTarget);
    assert_eq!((status.in_force.epoch, status.activations, limit_kw(&agent)), (1, 0, before));
    let report = agent.until("the refusals show", |report| report.plan.rejected.len() == 11);
    assert_eq!(report.plan.rejected["unschedulable"], 1);
}

#[test]
fn an_agent_that_is_killed_during_a_trial_starts_with_the_last_known_good_plan() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = planned(&field);
    let mut agent = site.start();
    let planner = Planner::of(&site);
    planner.offer(plan(2, 2_000_000)).unwrap();
    planner.until("the first plan is kept", |status| status.last_known_good.epoch == 2);
    planner.offer(long_trial(3, 1_000_000)).unwrap();
    planner.until("the second plan is on trial", |status| status.in_force.epoch == 3);
    agent.kill();

    let agent = site.start();
    agent.until("the first limit is in force", |report| report.units[0].power_limit_kw == 2000.0);
    let status = planner.status();
    let given_up = status.given_up.unwrap();
    assert_eq!((given_up.epoch, given_up.stage), (3, Stage::RolledBack));
    assert_eq!(given_up.refusal.unwrap().reason, Reason::Interrupted);
    assert_eq!(planner.offer(long_trial(3, 1_000_000)), Ok(Stage::RolledBack), "it does not come back");
}

#[test]
fn a_plan_on_trial_is_rolled_back_when_somebody_asks() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = planned(&field);
    let agent = site.start();
    let planner = Planner::of(&site);
    planner.offer(long_trial(2, 1_000_000)).unwrap();
    agent.until("the limit is in force", |report| report.units[0].power_limit_kw == 1000.0);
    let ask = Ask::Rollback(RollbackAsk { epoch: 2 });
    assert_eq!(planner.verdict(&ask), Ok(Stage::RolledBack));
    agent.until("the old limit is back", |report| report.units[0].power_limit_kw > 4000.0);
    let unknown = Ask::Rollback(RollbackAsk { epoch: 99 });
    assert_eq!(planner.verdict(&unknown), Err(Reason::UnknownName));
    let status = planner.status();
    assert_eq!((status.rollbacks, status.refused.len()), (1, 0), "no plan was refused");
}

#[test]
fn a_trip_during_a_trial_rolls_the_plan_back() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = planned(&field);
    let agent = site.start();
    agent.until_all_run();
    let planner = Planner::of(&site);
    planner.offer(long_trial(2, 1_000_000)).unwrap();
    planner.until("the plan is on trial", |status| status.in_force.epoch == 2);
    field.set_fault(0, sim_devices::DeviceFault::Dead);
    let status = planner.until("the plan is given up", |status| status.rollbacks == 1);
    assert_eq!(status.given_up.unwrap().refusal.unwrap().reason, Reason::FailedSoak);
    planner.until("the plan before runs", |status| status.in_force.epoch == 1);
}

#[test]
fn a_schedule_changes_the_limit_when_its_time_comes() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = planned(&field);
    let agent = site.start();
    let point = |millis, power_limit_w| SetPoint { at: in_millis(millis), power_limit_w };
    let schedule = Schedule {
        unit: "WT01".to_owned(),
        between: agent_plan::document::Between::Step,
        points: vec![point(1_500, 1_500_000), point(3_000, 2_500_000)],
    };
    let scheduled = SchedulingPlan { schedules: vec![schedule], ..plan(2, 3_500_000) };
    Planner::of(&site).offer(scheduled).unwrap();
    for limit_kw in [3500.0, 1500.0, 2500.0] {
        agent.until("the next limit is in force", |report| report.units[0].power_limit_kw == limit_kw);
    }
}

#[test]
fn whatever_comes_over_the_socket_the_agent_goes_on() {
    use std::io::Write as _;
    let field = Field::in_wind(1, WIND_MPS);
    let site = planned(&field);
    let agent = site.start();
    let planner = Planner::of(&site);
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0, 0, 0, 2, 1, 77], &[0, 0, 0, 5, 1, 3, 1, 2, 3]]
    {
        let mut stream = UnixStream::connect(&planner.0).unwrap();
        stream.write_all(bytes).unwrap();
        let answer = read_frame(&mut stream);
        assert!(answer.is_err(), "{answer:?}");
    }
    assert_eq!(planner.status().in_force.epoch, 1);
    agent.until("it runs", |report| report.groups[0].cycles > 10);
}

/// Both nodes of a pair, and who is active.
struct Two {
    sites: [Site; 2],
    nodes: [Agent; 2],
}

impl Two {
    fn over(field: &Field) -> Self {
        Self::with_period_ms(20, field)
    }

    fn with_period_ms(period_ms: u64, field: &Field) -> Self {
        let pem = centre().public_pem().unwrap();
        let sites = Site::pair_over(&field.addresses())
            .map(|site| site.with_plans_of(&pem).with_period_ms(period_ms));
        let nodes = [sites[0].start(), sites[1].start()];
        Self { sites, nodes }
    }

    #[track_caller]
    fn until_whole(&self) -> usize {
        until("one node is active and the other follows", WITHIN, || {
            let pair = [self.nodes[0].pair()?, self.nodes[1].pair()?];
            let active = pair.iter().position(|node| node.role == "active")?;
            let other = &pair[1 - active];
            (other.role == "standby" && other.replica_cycle > 0).then_some(active)
        })
    }

    fn planner(&self, node: usize) -> Planner {
        Planner::of(&self.sites[node])
    }
}

/// How often something is done: a few times here, more often in a campaign.
fn times(variable: &str, usual: u32) -> u32 {
    std::env::var(variable).ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

fn print_times(what: &str, mut millis: Vec<f64>) {
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize];
    println!(
        "{what}: {} times, p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        millis.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// `TAKT_PLANS=1000` for a campaign.
#[test]
fn both_nodes_of_a_pair_activate_each_plan_on_the_same_cycle() {
    let field = Field::in_wind(1, WIND_MPS);
    let two = Two::with_period_ms(10, &field);
    two.until_whole();
    let last = 1 + times("TAKT_PLANS", 10);
    let (mut waits, mut skew_max) = (Vec::new(), 0);
    for epoch in 2..=last {
        let signed = centre().sign(plan(epoch, 1_000_000 + u64::from(epoch))).to_json();
        let began = std::time::Instant::now();
        for node in 0..2 {
            two.planner(node).offer_bytes(signed.clone()).unwrap();
        }
        let cycles = [0, 1].map(|node| {
            let in_force = |status: &PlanStatus| status.in_force.epoch == epoch;
            two.planner(node).until("the plan is in force", in_force).in_force.cycle.unwrap()
        });
        waits.push(began.elapsed().as_secs_f64() * 1e3);
        skew_max = skew_max.max(cycles[0].abs_diff(cycles[1]));
    }
    print_times("from offer to in force on both nodes", waits);
    println!("skew: {skew_max} cycles at most");
    assert_eq!(skew_max, 0, "in cycles of the active node");
    for node in 0..2 {
        let status = two.planner(node).until("it is kept", |status| status.last_known_good.epoch == last);
        let counts = (status.activations, status.refused.len(), status.degraded);
        assert_eq!(counts, (u64::from(last) - 1, 0, Vec::new()));
    }
}

/// `TAKT_KILLS=1000` for a campaign.
#[test]
fn an_agent_that_is_killed_at_any_moment_starts_with_a_whole_plan_that_proved_itself() {
    let field = Field::in_wind(1, WIND_MPS);
    let site = planned(&field);
    let planner = Planner::of(&site);
    let (mut epoch, mut kept, mut acknowledged, mut seed) = (1, 1, 1, 0x5eed_u64);
    let mut starts = Vec::new();
    for _ in 0..times("TAKT_KILLS", 12) {
        let began = std::time::Instant::now();
        let mut agent = site.start();
        let report = agent.until("cycles run", |report| report.groups[0].cycles > 0);
        starts.push(began.elapsed().as_secs_f64() * 1e3);
        let status = planner.status();
        assert_eq!(status.degraded, Vec::<String>::new(), "a stored plan is torn, foreign or damaged");
        assert!(status.last_known_good.epoch >= kept, "plan {kept} was kept: {status:#?}");
        assert!(status.highest_epoch >= acknowledged, "plan {acknowledged} was acknowledged: {status:#?}");
        if status.in_force.epoch > 1 {
            let limit_kw = f64::from(status.in_force.epoch % 4000) + 1000.0;
            assert_eq!(report.units[0].power_limit_kw, limit_kw, "the cycles run what the status says");
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let end = std::time::Instant::now() + std::time::Duration::from_micros(seed >> 33 & 0x3ffff);
        while std::time::Instant::now() < end {
            epoch += 1;
            let quick = Rollout { soak_ms: seed >> 20 & 0x1f, ..Rollout::default() };
            let power_limit_w = (u64::from(epoch) % 4000 + 1000) * 1000;
            let next = SchedulingPlan { rollout: quick, ..plan(epoch, power_limit_w) };
            planner.offer(next).unwrap();
            acknowledged = epoch;
            // Some are left alone until they are kept, some are superseded on trial.
            std::thread::sleep(std::time::Duration::from_millis(seed.rotate_right(epoch) & 0x7f));
            kept = planner.status().last_known_good.epoch;
        }
        agent.kill();
    }
    print_times("from the start of the process to a cycle under the last known good plan", starts);
    assert!(kept > 1);
}

#[test]
fn a_plan_that_comes_to_the_active_node_alone_reaches_the_standby_through_it() {
    let field = Field::in_wind(1, WIND_MPS);
    let two = Two::over(&field);
    let active = two.until_whole();
    two.planner(active).offer(plan(2, 1_000_000)).unwrap();
    let runs = |status: &PlanStatus| status.in_force.epoch == 2 && status.last_known_good.epoch == 2;
    let cycles = [0, 1].map(|node| two.planner(node).until("it is kept", runs).in_force.cycle);
    assert!(cycles[0].is_some() && cycles[0] == cycles[1], "{cycles:?}");
    two.planner(active).until("nothing is missing", |status| status.degraded.is_empty());
}

/// With as many points as a unit may have: some tens of kilobytes.
fn large(epoch: u32) -> SchedulingPlan {
    let points = (0..agent_plan::POINTS_MAX as u64)
        .map(|at| SetPoint { at: in_millis(3_600_000 + at * 60_000), power_limit_w: 2_000_000 + at });
    let schedule = Schedule {
        unit: "WT01".to_owned(),
        between: agent_plan::document::Between::Step,
        points: points.collect(),
    };
    SchedulingPlan { schedules: vec![schedule], ..plan(epoch, 1_000_000) }
}

#[test]
fn a_node_that_was_away_takes_the_plan_from_the_other_one_and_goes_on_with_it() {
    let field = Field::in_wind(1, WIND_MPS);
    let mut two = Two::over(&field);
    let active = two.until_whole();
    let away = 1 - active;
    two.nodes[away].kill();
    let signed = centre().sign(large(2)).to_json();
    println!("a plan of {} bytes", signed.len());
    two.planner(active).offer_bytes(signed).unwrap();
    two.planner(active).until("it is kept", |status| status.last_known_good.epoch == 2);

    two.nodes[away] = two.sites[away].start();
    let back = std::time::Instant::now();
    let planner = two.planner(away);
    planner.until_it_answers();
    let status = planner.until("it has the plan", |status| status.last_known_good.epoch == 2);
    println!("the plan is kept {:.0} ms after the start", back.elapsed().as_secs_f64() * 1e3);
    assert_eq!((status.in_force.epoch, status.rollbacks), (2, 0));

    // And it is on disk there: alone, the node runs it from its first cycle on.
    two.nodes[active].kill();
    two.nodes[away].kill();
    two.nodes[away] = two.sites[away].start();
    let report = two.nodes[away].until("cycles run", |report| report.groups[0].cycles > 0);
    assert_eq!((report.plan.epoch, report.units[0].power_limit_kw), (2, 1000.0));
}

#[test]
fn a_plan_whose_signer_the_standby_does_not_trust_does_not_come_by_the_other_node() {
    let field = Field::in_wind(1, WIND_MPS);
    let mut two = Two::over(&field);
    let active = two.until_whole();
    let away = 1 - active;
    two.nodes[away].kill();
    let keys = two.sites[away].folder().join("keys");
    for key in std::fs::read_dir(&keys).unwrap() {
        std::fs::write(key.unwrap().path(), PlanKey::from_seed(&[8; 32]).public_pem().unwrap()).unwrap();
    }
    two.planner(active).offer(plan(2, 1_000_000)).unwrap();
    two.planner(active).until("it is kept", |status| status.last_known_good.epoch == 2);
    two.nodes[away] = two.sites[away].start();
    let planner = two.planner(away);
    planner.until_it_answers();
    let status = planner.until("it refuses the plan", |status| status.last_refusal.is_some());
    assert_eq!(status.last_refusal.unwrap().reason, Reason::UnknownKey);
    assert_eq!((status.in_force.epoch, status.highest_epoch), (1, 1));
    assert!(
        status.degraded.iter().any(|why| why.contains("the active node runs plan 2")),
        "{:?}",
        status.degraded
    );
}

#[test]
fn a_trial_goes_on_at_the_node_that_takes_over_and_the_other_one_comes_back_into_it() {
    let field = Field::in_wind(1, WIND_MPS);
    let two = Two::over(&field);
    let active = two.until_whole();
    let soak = Rollout { soak_ms: 4_000, ..Rollout::default() };
    for node in 0..2 {
        two.planner(node).offer(SchedulingPlan { rollout: soak.clone(), ..plan(2, 1_000_000) }).unwrap();
    }
    for node in 0..2 {
        two.planner(node).until("the plan is on trial", |status| status.in_force.epoch == 2);
    }
    two.nodes[active].kill_kept();
    until("the other node is active", WITHIN, || {
        (two.nodes[1 - active].pair()?.role == "active").then_some(())
    });
    let planner = two.planner(1 - active);
    let status = planner.until("the trial is over", |status| status.last_known_good.epoch == 2);
    assert_eq!((status.activations, status.rollbacks), (1, 0));
}
