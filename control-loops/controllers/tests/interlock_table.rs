//! The safety interlock, exhaustively: every trip, armed or not, for every length of its cause around
//! its delay, with every use of the reset.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use control_loops_controllers::turbine::{
    PitchCommand, RunRequest, SafetyInterlock, SafetyParameters, Sample, Trip, TripSet, TurbineDemand,
    TurbineInputs,
};
use hal_units::Duration;
use support::{FEATHER, GEARBOX, TICK, bad, good, standing_inputs};

/// One row of the table: how to cause a trip, how long it takes, and what has to have been good before.
struct Line {
    trip: Trip,
    cause: fn(&mut TurbineInputs, &mut TurbineDemand),
    delay: Duration,
    /// Makes the signal one that was never good; `None` if the trip needs no arming.
    never_good: Option<fn(&mut TurbineInputs)>,
    /// Other trips that the same cause brings with it.
    with_it: &'static [Trip],
}

const NO_DELAY: Duration = Duration::ZERO;
/// A gap through which no cause persists.
const GAP_TICKS: u32 = 21;

fn both_speeds(inputs: &mut TurbineInputs, share_of_rated: f64) {
    inputs.generator_speed = good(122.9096 * share_of_rated);
    inputs.rotor_speed = good(122.9096 * share_of_rated / GEARBOX);
}

fn table() -> [Line; Trip::COUNT] {
    let line = |trip, delay_ms, cause| Line {
        trip,
        cause,
        delay: Duration::from_millis(delay_ms),
        never_good: None,
        with_it: &[],
    };
    [
        line(Trip::Overspeed, 100, |i, _| both_speeds(i, 1.26)),
        Line { with_it: &[Trip::Overspeed], ..line(Trip::OverspeedHard, 20, |i, _| both_speeds(i, 1.31)) },
        line(Trip::Vibration, 200, |i, _| i.tower_acceleration = good(-3.1)),
        Line {
            never_good: Some(|i| i.grid_ok = good(0.0)),
            ..line(Trip::GridLoss, 150, |i, _| i.grid_ok = good(0.0))
        },
        Line {
            never_good: Some(|i| i.outputs_unacknowledged_for = Duration::MAX),
            ..line(Trip::LostCommands, 0, |i, _| i.outputs_unacknowledged_for = Duration::from_millis(1001))
        },
        Line {
            never_good: Some(|i| i.plc_state = good(2.0)),
            ..line(Trip::DeviceSafeState, 0, |i, _| i.plc_state = good(2.0))
        },
        Line {
            never_good: Some(|i| (i.generator_speed, i.rotor_speed) = (bad(), bad())),
            ..line(Trip::SpeedSensors, 500, |i, _| (i.generator_speed, i.rotor_speed) = (bad(), bad()))
        },
        line(Trip::SpeedMismatch, 1000, |i, _| i.generator_speed = good(13.0)),
        Line {
            never_good: Some(|i| i.blades = [bad(); 3]),
            ..line(Trip::PitchSensor, 500, |i, _| i.blades = [bad(); 3])
        },
        Line {
            never_good: Some(|i| i.tower_acceleration = bad()),
            ..line(Trip::VibrationSensor, 500, |i, _| i.tower_acceleration = bad())
        },
        Line {
            never_good: Some(|i| i.grid_ok = bad()),
            ..line(Trip::GridSensor, 500, |i, _| i.grid_ok = bad())
        },
        line(Trip::EmergencyStopCommand, 0, |_, d| d.emergency_stop = true),
        line(Trip::PitchDeviation, 1000, |i, _| i.blades[1] = good(FEATHER.get() - 3.1_f64.to_radians())),
    ]
}

/// An interlock with its present inputs.
struct Guard {
    interlock: SafetyInterlock,
    inputs: TurbineInputs,
    demand: TurbineDemand,
}

impl Guard {
    fn quiet() -> Self {
        Self { interlock: SafetyInterlock::new(), inputs: standing_inputs(), demand: TurbineDemand::STOP }
            .ticks(2)
    }

    fn ticks(mut self, count: u32) -> Self {
        for _ in 0..count {
            let p = &SafetyParameters::NREL_5MW;
            let sight = (&self.inputs, &self.demand, PitchCommand::All(FEATHER));
            self.interlock.step(p, GEARBOX, sight, TICK);
        }
        self
    }

    fn with_cause(mut self, line: &Line) -> Self {
        (line.cause)(&mut self.inputs, &mut self.demand);
        self
    }

    fn without_cause(mut self) -> Self {
        self.inputs = standing_inputs();
        self.demand.emergency_stop = false;
        self
    }

    fn reset(mut self, pressed: bool) -> Self {
        self.demand.reset = pressed;
        self
    }

    fn tripped(&self, line: &Line) -> bool {
        self.interlock.trips().contains(line.trip)
    }
}

/// Ticks until a trip: a trip without a delay still needs one step to see its cause.
fn ticks_of(line: &Line) -> u32 {
    (line.delay.as_millis() / TICK.as_millis()).max(1) as u32
}

#[test]
fn the_table_has_every_trip_once() {
    let listed: TripSet = table().iter().map(|line| line.trip).collect();
    assert_eq!(listed, Trip::ALL.into_iter().collect());
}

#[test]
fn nothing_trips_while_all_is_well() {
    assert!(Guard::quiet().ticks(1000).interlock.trips().is_empty());
}

#[test]
fn a_cause_trips_after_exactly_its_delay_and_nothing_else_trips() {
    for line in table() {
        for ticks in 0..ticks_of(&line) + 50 {
            let guard = Guard::quiet().with_cause(&line).ticks(ticks);
            assert_eq!(guard.tripped(&line), ticks >= ticks_of(&line), "{:?} after {ticks}", line.trip);
            for trip in guard.interlock.trips().iter() {
                assert!(
                    trip == line.trip || line.with_it.contains(&trip),
                    "{:?} tripped {trip:?}",
                    line.trip
                );
            }
        }
    }
}

#[test]
fn an_interrupted_cause_starts_its_delay_anew() {
    for line in table().iter().filter(|line| line.delay > NO_DELAY) {
        let almost = ticks_of(line) - 1;
        let guard = Guard::quiet().with_cause(line).ticks(almost).without_cause().ticks(GAP_TICKS);
        let guard = guard.with_cause(line).ticks(almost);
        assert!(!guard.tripped(line), "{:?}", line.trip);
    }
}

#[test]
fn a_sensor_that_shows_by_turns_nonsense_no_number_and_the_truth_is_found_out_in_its_time() {
    /// A sensor, what it shows by turns, and the trip.
    type Flapping = (fn(&mut TurbineInputs) -> &mut Sample, [Sample; 3], Trip);
    let well = standing_inputs();
    let flapping: [Flapping; 5] = [
        (|i| &mut i.generator_speed, [good(40.0), bad(), well.generator_speed], Trip::SpeedMismatch),
        (|i| &mut i.rotor_speed, [good(4.0), bad(), well.rotor_speed], Trip::SpeedMismatch),
        (|i| &mut i.blades[1], [good(0.1), bad(), well.blades[1]], Trip::PitchDeviation),
        (|i| &mut i.tower_acceleration, [bad(), bad(), well.tower_acceleration], Trip::VibrationSensor),
        (|i| &mut i.grid_ok, [bad(), well.grid_ok, well.grid_ok], Trip::GridSensor),
    ];
    for (sensor, shown, trip) in flapping {
        let mut guard = Guard::quiet();
        let delay = table().into_iter().find(|line| line.trip == trip).unwrap().delay;
        // Readings in turn, each for two ticks; a cause that is away when its time is over trips when it comes back.
        for tick in 0..(delay.as_millis() / TICK.as_millis()) as usize + 6 {
            *sensor(&mut guard.inputs) = shown[tick / 2 % shown.len()];
            guard = guard.ticks(1);
        }
        assert!(guard.interlock.trips().contains(trip), "{trip:?}");
    }
}

#[test]
fn two_speeds_that_were_apart_have_not_agreed_while_one_of_them_is_bad() {
    let (apart, lost, well) = (good(40.0), bad(), standing_inputs().generator_speed);
    let tripped = |history: &[(Sample, u32)]| {
        let guard = history.iter().fold(Guard::quiet(), |mut guard, (shown, ticks)| {
            guard.inputs.generator_speed = *shown;
            guard.ticks(*ticks)
        });
        guard.interlock.trips().contains(Trip::SpeedMismatch)
    };
    let ticks = |millis: u128| (millis / TICK.as_millis()) as u32;
    assert!(tripped(&[(apart, 2), (lost, ticks(800)), (apart, ticks(250))]));
    assert!(!tripped(&[(apart, 2), (lost, ticks(5_000))]), "one that dies with a wrong word is done without");
    assert!(
        !tripped(&[(apart, 2), (lost, ticks(800)), (well, ticks(250)), (apart, ticks(250))]),
        "it agreed"
    );
    assert!(!tripped(&[(apart, 2), (lost, ticks(1_200)), (apart, ticks(500))]), "too long ago");
}

#[test]
fn a_trip_stays_when_its_cause_is_gone() {
    for line in table() {
        let guard = Guard::quiet().with_cause(&line).ticks(ticks_of(&line)).without_cause().ticks(1000);
        assert!(guard.tripped(&line), "{:?}", line.trip);
    }
}

#[test]
fn a_reset_releases_every_trip_whose_cause_is_gone() {
    for line in table() {
        let guard = Guard::quiet().with_cause(&line).ticks(ticks_of(&line)).without_cause().ticks(1);
        assert!(guard.reset(true).ticks(1).interlock.trips().is_empty(), "{:?}", line.trip);
    }
}

#[test]
fn a_reset_releases_nothing_while_the_cause_lasts() {
    for line in table() {
        let guard = Guard::quiet().with_cause(&line).ticks(ticks_of(&line));
        assert!(guard.reset(true).ticks(1).tripped(&line), "{:?}", line.trip);
    }
}

#[test]
fn a_reset_held_down_since_before_the_cause_went_releases_nothing() {
    for line in table() {
        let guard = Guard::quiet().with_cause(&line).ticks(ticks_of(&line)).reset(true).ticks(1);
        assert!(guard.without_cause().ticks(1000).tripped(&line), "{:?}", line.trip);
    }
}

#[test]
fn a_reset_held_down_prevents_no_trip() {
    for line in table() {
        let guard = Guard::quiet().reset(true).ticks(1).with_cause(&line).ticks(ticks_of(&line));
        assert!(guard.tripped(&line), "{:?}", line.trip);
    }
}

#[test]
fn a_signal_that_was_never_good_is_not_lost() {
    for line in table() {
        let Some(never_good) = line.never_good else { continue };
        let mut guard = Guard { interlock: SafetyInterlock::new(), ..Guard::quiet() };
        never_good(&mut guard.inputs);
        let guard = guard.ticks(1000);
        assert!(!guard.tripped(&line), "{:?} without arming", line.trip);
        let guard = guard.without_cause().ticks(1).with_cause(&line).ticks(ticks_of(&line));
        assert!(guard.tripped(&line), "{:?} after arming", line.trip);
    }
}

#[test]
fn a_value_just_inside_its_limit_trips_nothing() {
    let mut guard = Guard::quiet();
    both_speeds(&mut guard.inputs, 1.2499);
    guard.inputs.tower_acceleration = good(2.999);
    guard.inputs.rotor_speed.value -= 11.9 / GEARBOX;
    guard.inputs.outputs_unacknowledged_for = Duration::from_millis(1000);
    guard.inputs.blades[2].value -= 2.9_f64.to_radians();
    assert!(guard.ticks(1000).interlock.trips().is_empty());
}

#[test]
fn overspeed_is_seen_by_either_sensor_alone() {
    for lose in [0, 1] {
        let mut guard = Guard::quiet();
        both_speeds(&mut guard.inputs, 1.31);
        match lose {
            0 => guard.inputs.generator_speed = bad(),
            _ => guard.inputs.rotor_speed = bad(),
        }
        assert!(guard.ticks(2).interlock.trips().contains(Trip::OverspeedHard));
    }
}

#[test]
fn a_backward_overspeed_is_one_too() {
    let mut guard = Guard::quiet();
    both_speeds(&mut guard.inputs, -1.31);
    assert!(guard.ticks(2).interlock.trips().contains(Trip::OverspeedHard));
}

#[test]
fn a_device_in_hold_trips_nothing() {
    let mut guard = Guard::quiet();
    guard.inputs.plc_state = good(1.0);
    assert!(guard.ticks(1000).interlock.trips().is_empty());
}

/// Blades that somebody has moved while the device did not carry out what it was told.
fn moved_by_hand() -> [Guard; 2] {
    let spoils: [fn(&mut Guard); 2] =
        [|g| g.demand.request = RunRequest::Service, |g| g.inputs.plc_state = good(1.0)];
    spoils.map(|spoil| {
        let mut guard = Guard::quiet();
        spoil(&mut guard);
        guard.inputs.blades[0] = good(0.0);
        guard.ticks(1000)
    })
}

#[test]
fn blades_may_be_moved_by_hand_in_service_and_while_the_device_holds() {
    for guard in moved_by_hand() {
        assert!(guard.interlock.trips().is_empty());
    }
}

#[test]
fn a_blade_that_was_moved_by_hand_has_time_to_come_back() {
    for mut guard in moved_by_hand() {
        (guard.demand, guard.inputs.plc_state) = (TurbineDemand::STOP, good(0.0));
        // At 5 deg/s: slower than the drive can, faster than it must.
        for tick in 0..1800 {
            guard.inputs.blades[0] = good((f64::from(tick) * 0.05).to_radians());
            guard = guard.ticks(1);
        }
        assert!(guard.interlock.trips().is_empty());
    }
}

#[test]
fn a_blade_that_was_moved_by_hand_and_stays_is_found() {
    for mut guard in moved_by_hand() {
        (guard.demand, guard.inputs.plc_state) = (TurbineDemand::STOP, good(0.0));
        // 87 deg at 4 deg/s, and a second.
        assert!(guard.ticks(2400).interlock.trips().contains(Trip::PitchDeviation));
    }
}
