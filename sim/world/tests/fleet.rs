//! Fleets in virtual time: what must never happen, and throughput against published figures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use control_loops_fleet::{Heading, Motion, Node, Planner, Setup};
use control_loops_layouts::grid::Grid;
use control_loops_layouts::robot_runners::{Instance, parse_cells};
use control_loops_layouts::{ggo, movingai};
use sim_world::fleet::errands::Random;
use sim_world::fleet::transports::nearest::Nearest;
use sim_world::fleet::transports::takt::Takt;
use sim_world::fleet::transports::{Figures, Shift};
use sim_world::fleet::{Delays, Errands, InStep, Late, Pace, Tally, Verdict};

/// What moving against a lane costs more, in eighths of a step.
const LANES: u8 = 6;

fn data(name: &str) -> String {
    let folder = std::env::var("TAKT_DATA").unwrap();
    std::fs::read_to_string(format!("{folder}/agv/{name}")).unwrap()
}

fn planner(grid: &Grid, starts: &[Node], setup: Setup) -> Planner {
    let starts: Vec<_> = starts.iter().map(|node| (*node, Heading::East)).collect();
    Planner::new(grid.graph("test", LANES).unwrap(), &starts, setup).unwrap()
}

/// A fleet that keeps step, on a map with random starts and goals.
fn in_step(grid: &Grid, vehicles: usize, motion: Motion, steps: u64, seed: u64) -> Tally {
    let mut random = Random::new(seed);
    let starts = random.places(grid, vehicles);
    let planner = planner(grid, &starts, Setup { rings: true, seed, ..Setup::usual(motion) });
    let errands = Errands::on(grid, vehicles, random);
    let run = InStep::new(planner, grid.clone(), errands, motion == Motion::Turning).unwrap();
    finish(run, steps)
}

fn finish(mut run: InStep, steps: u64) -> Tally {
    for _ in 0..steps {
        run.step().unwrap();
    }
    assert_eq!(run.judge().total(), Verdict::default());
    assert_eq!(run.tally().deadlocks, 0);
    assert!(run.tally().longest_wait <= run.planner().wait_max());
    run.tally()
}

fn late(grid: &Grid, vehicles: usize, motion: Motion, pace: Pace, steps: u64) -> Late {
    let mut random = Random::new(3);
    let starts = random.places(grid, vehicles);
    let planner = planner(grid, &starts, Setup { effort: 2_000, guard_age: 100, ..Setup::usual(motion) });
    let errands = Errands::on(grid, vehicles, Random::new(random.bits()));
    let delays = Delays { pace, stop_probability: 0.000_5, stop_steps: 30 };
    let turning = motion == Motion::Turning;
    let mut run = Late::new(planner, grid.clone(), errands, turning, delays, random).unwrap();
    for _ in 0..steps {
        run.step().unwrap();
    }
    assert_eq!(run.judge().total(), Verdict::default());
    assert_eq!(run.tally().deadlocks, 0);
    run
}

/// Shelves with single-lane aisles, a dead end, and stations at the left.
fn hall() -> Grid {
    let rows = [
        "w..............#",
        ".e@@@e.e@@@e....",
        "w..............#",
        ".e@@@e.e@@@e.#..",
        "w..............#",
        "#...............",
    ];
    let rows = rows.map(|row| row.replace('#', "@"));
    Grid::from_rows("hall", 1, rows.iter().map(String::as_str)).unwrap()
}

#[test]
fn a_busy_hall_of_vehicles_that_keep_step_never_jams() {
    for (motion, goals) in [(Motion::Pebble, 500), (Motion::Turning, 250)] {
        let tally = in_step(&hall(), 20, motion, 1_000, 1);
        assert!(tally.goals > goals, "{motion:?}: {tally:?}");
    }
}

#[test]
fn vehicles_with_random_delays_never_collide_and_never_jam() {
    for motion in [Motion::Pebble, Motion::Turning] {
        let tally = late(&hall(), 15, motion, Pace::Random { longer: 0.2 }, 10_000).tally();
        assert!(tally.goals > 500, "{motion:?}: {tally:?}");
    }
}

#[test]
fn vehicles_with_speeds_of_their_own_keep_a_cell_apart() {
    let pace = Pace::Continuous { steps: 10.0, spread: 0.3 };
    let mut run = late(&hall(), 10, Motion::Turning, pace, 500);
    for _ in 0..2_000 {
        run.step().unwrap();
        // Around a corner two vehicles that both move pass at half a diagonal of the cell.
        assert!(run.distance_min() > 0.7, "{}", run.distance_min());
    }
    assert!(run.tally().goals > 20, "{:?}", run.tally());
}

/// Orders that come faster than they can be done, on the hall.
fn shift(vehicles: usize, turning: bool, stop_probability: f64) -> Shift {
    let mut random = Random::new(5);
    let grid = hall();
    Shift {
        starts: random.places(&grid, vehicles),
        jobs: Shift::draw(&grid, 60, 600.0, &mut random),
        turning,
        lanes: LANES,
        delays: Delays { pace: Pace::Random { longer: 0.2 }, stop_probability, stop_steps: 30 },
        handling: 5,
        seed: 5,
    }
}

fn under_takt(shift: Shift) -> Figures {
    let mut run = Takt::new(hall().graph("test", LANES).unwrap(), hall(), shift, None).unwrap();
    for _ in 0..60_000 {
        run.tick();
        if run.is_over() {
            return run.figures();
        }
    }
    panic!("not done: {:?}", run.figures());
}

#[test]
fn all_transport_orders_are_done_however_late_vehicles_are_and_nothing_collides() {
    for turning in [false, true] {
        for stops in [0.0, 0.003] {
            let figures = under_takt(shift(10, turning, stops));
            assert_eq!((figures.done, figures.faults, figures.deadlocks), (60, 0, 0), "{figures:?}");
            assert!(figures.productive <= figures.busy && figures.busy <= figures.ticks * figures.vehicles);
        }
    }
}

#[test]
fn the_simple_control_does_all_orders_too_and_uses_the_vehicles_less() {
    let mut nearest = Nearest::new(&hall(), shift(10, false, 0.0));
    for _ in 0..60_000 {
        nearest.tick();
        if nearest.is_over() {
            break;
        }
    }
    assert!(nearest.is_over(), "{:?}", nearest.figures());
    let takt = under_takt(shift(10, false, 0.0));
    assert!(takt.utilisation() > nearest.figures().utilisation(), "{takt:?} {:?}", nearest.figures());
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn the_published_warehouse_is_served_as_well_as_by_the_best_published_planners() {
    // arXiv:2402.01446, table 3: 3.75 (plain PIBT) to 4.95 with 150 vehicles, 5.22 to 7.64 with 400.
    let grid = ggo::parse("warehouse", &data("ggo/warehouse-33x36.json")).unwrap();
    for (vehicles, seeds, goals_per_step) in [(150, 0..3, 4.77), (400, 0..2, 6.65)] {
        let runs = seeds.end as f64;
        let goals: u64 = seeds.map(|seed| in_step(&grid, vehicles, Motion::Pebble, 1_000, seed).goals).sum();
        let mean = goals as f64 / runs / 1_000.0;
        println!("warehouse-33x36, {vehicles} vehicles: {mean:.3} goals a step");
        assert!(mean >= goals_per_step, "{vehicles} vehicles: {mean}");
    }
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn a_hundred_robot_runners_reach_85_percent_of_the_best_known_errands() {
    let instance = Instance::parse("instance", &data("lorr2023/MR23-I-04.json")).unwrap();
    let grid = movingai::parse("map", &data(&format!("lorr2023/{}", instance.map_file))).unwrap();
    let cells = |name: &str| parse_cells(name, &data(&format!("lorr2023/{name}")), &grid).unwrap();
    let planner =
        planner(&grid, &cells(&instance.agent_file), Setup { rings: true, ..Setup::usual(Motion::Turning) });
    let errands = Errands::Listed { list: cells(&instance.task_file), had: vec![0; instance.team_size] };
    let run = InStep::new(planner, grid.clone(), errands, true).unwrap();
    let tally = finish(run, 500);
    println!("MR23-I-04: {} errands, longest {} steps", tally.goals, tally.longest_wait);
    assert!(tally.goals >= 1480, "{tally:?}");
}
