//! The shared library against the controller itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use control_loops_controllers::turbine::{TurbineController, TurbineDemand, TurbineOutputs};
use hal_linux_rt::bladed::{ANSWER_LEN, MESSAGE_LEN, SWAP_LEN, serve};
use hal_units::{Duration, NewtonMeters, Radians, RadiansPerSecond};
use sim_plants::{Actuation, Measurements, RotorSurface, Wind, WindSpec};
use sim_world::{TurbineLoop, TurbineLoopSetup, bladed};
use takt_discon::{inputs_from, parameters_from, put_outputs};

const PERIOD: Duration = Duration::from_millis(20);

/// The library beside this test's program, where cargo puts it.
fn library() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().join("libtakt_discon.so")
}

/// The built-in rotor in ROSCO's text format.
fn rotor_text() -> String {
    let rotor = RotorSurface::nrel_5mw();
    let (pitches, ratios) = ((-4..=35).map(f64::from), (8..=60).map(|k| f64::from(k) / 4.0));
    let join = |values: Vec<String>| values.join(" ");
    let mut text = join(pitches.clone().map(|p| p.to_string()).collect());
    write!(text, "\n{}\n10\n", join(ratios.clone().map(|r| r.to_string()).collect())).unwrap();
    for kind in 0..3 {
        for ratio in ratios.clone() {
            let value = |pitch: f64| {
                let found = rotor.coefficients(ratio, Radians::from_degrees(pitch));
                [ratio * found.torque, found.thrust, found.torque][kind]
            };
            let row = pitches.clone().map(|pitch| format!("{:.8}", value(pitch))).collect();
            writeln!(text, "{}", join(row)).unwrap();
        }
    }
    text
}

fn input_file(folder: &Path) -> PathBuf {
    std::fs::write(folder.join("turbine.toml"), control_loops_tuning::NREL_5MW).unwrap();
    std::fs::write(folder.join("rotor.txt"), rotor_text()).unwrap();
    let path = folder.join("takt.toml");
    std::fs::write(&path, "turbine = \"turbine.toml\"\nrotor_table = \"rotor.txt\"\n").unwrap();
    path
}

/// What a simulator writes before a call.
fn fill(records: &mut [f32], shown: &Measurements, now: Duration, status: f32) {
    for (record, value) in bladed::records(shown, now, PERIOD) {
        records[record - 1] = value as f32;
    }
    records[0] = status;
}

fn actuation(records: &[f32]) -> Actuation {
    let number = |record: usize| f64::from(records[record - 1]);
    Actuation {
        generator_torque: NewtonMeters(number(47)),
        pitch: [42, 43, 44].map(|record| Radians(number(record))),
        yaw_rate: RadiansPerSecond(number(48)),
        brake: number(36) > 0.5,
        generator_connected: number(35) > 0.5,
    }
}

/// The simulator's side of a hosted library.
struct Host(UnixStream);

impl Host {
    fn start(infile: &Path) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let infile = infile.display().to_string();
        std::thread::spawn(move || serve(&library(), &infile, "out", &theirs, &theirs).unwrap());
        Self(ours)
    }

    /// Status and message of one call; the records change in place.
    fn call(&mut self, records: &mut [f32]) -> (i32, String) {
        let request: Vec<u8> = records.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.0.write_all(&request).unwrap();
        let mut answer = vec![0; ANSWER_LEN];
        self.0.read_exact(&mut answer).unwrap();
        let numbers = answer[4 + MESSAGE_LEN..].as_chunks::<4>().0;
        for (number, bytes) in records.iter_mut().zip(numbers) {
            *number = f32::from_le_bytes(*bytes);
        }
        let message = answer[4..4 + MESSAGE_LEN].iter().copied().take_while(|&byte| byte != 0).collect();
        (i32::from_le_bytes(answer[..4].try_into().unwrap()), String::from_utf8(message).unwrap())
    }
}

#[test]
fn in_600_s_through_the_array_the_library_says_what_the_controller_says() {
    let folder = tempfile::tempdir().unwrap();
    let infile = input_file(folder.path());
    let mut host = Host::start(&infile);
    let mut own = TurbineController::new(parameters_from(&infile).unwrap());
    let wind = Wind::from_spec(&"turb:12:16".parse::<WindSpec>().unwrap(), 1).unwrap();
    let mut site = TurbineLoop::new(TurbineLoopSetup { period: PERIOD, ..TurbineLoopSetup::in_wind(wind) });
    let mut records = vec![0.0_f32; SWAP_LEN];
    let mut last: Option<TurbineOutputs> = None;
    let mut energy_j = 0.0;
    for call in 0..600 * 50_u32 {
        site.step_driven(|shown, now| {
            fill(&mut records, shown, now, if call == 0 { 0.0 } else { 1.0 });
            let mut expected = records.clone();
            let step = own.step(
                &inputs_from(&expected, call + 1),
                &TurbineDemand::RUN,
                Duration::from_secs_f64(f64::from(expected[2])),
            );
            put_outputs(&mut expected, &step.outputs);
            last = Some(step.outputs);
            assert_eq!(host.call(&mut records), (0, String::new()));
            for record in [35, 36, 42, 43, 44, 45, 47, 48] {
                assert_eq!(
                    records[record - 1].to_bits(),
                    expected[record - 1].to_bits(),
                    "record {record}, call {call}"
                );
            }
            Ok::<_, ()>(actuation(&records))
        })
        .unwrap();
        energy_j += site.row().power.get() * PERIOD.as_secs_f64();
    }
    assert!(energy_j / 600.0 > 4.2e6, "it has produced: {} W", energy_j / 600.0);
    assert!(last.unwrap().generator_connected);
}

#[test]
fn what_is_wrong_comes_back_as_a_message_and_a_negative_status() {
    // One process holds one controller: these calls never get as far as making one.
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.toml");
    let complaint = parameters_from(&missing).unwrap_err().to_string();
    assert!(complaint.contains("missing.toml: cannot be read"), "{complaint}");
    let infile = input_file(folder.path());
    std::fs::write(folder.path().join("rotor.txt"), "1 2\n").unwrap();
    assert!(parameters_from(&infile).unwrap_err().to_string().contains("rotor.txt"));
}
