//! `takt-sim` as its users meet it: files, exit statuses, complaints.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder to work in and the program under test.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn with_file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_takt-sim"))
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    fn done(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The complaint; nothing may have been written.
    fn refused(&self, status: i32, arguments: &str) -> String {
        let output = self.run(arguments);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments}: {complaint}");
        assert!(complaint.starts_with("error: "), "{complaint}");
        assert!(!self.path("out.csv").exists(), "{arguments} wrote something");
        complaint
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        let numbers = |line: &str| line.split(',').map(|n| n.parse().unwrap()).collect();
        self.text(name).lines().skip(1).map(numbers).collect()
    }
}

#[test]
fn a_turbine_in_a_steady_wind_ends_in_its_steady_state() {
    let desk = Desk::new();
    let report = desk.done("turbine --wind const:12 --seconds 60 --controller-hz 100 --csv out.csv");
    assert!(report.contains("ends in run"), "{report}");
    let header = "t_s,wind_mps,rotor_rpm,pitch_deg,gen_torque_nm,gen_power_kw,thrust_kn";
    assert_eq!(desk.text("out.csv").lines().next(), Some(header));
    let rows = desk.rows("out.csv");
    assert_eq!(rows.len(), 601);
    let last = rows.last().unwrap();
    assert!((last[0] - 60.0).abs() < 1e-9 && (last[1] - 12.0).abs() < 1e-9);
    assert!((last[2] - 12.1).abs() < 0.01 && (last[5] - 5000.0).abs() < 5.0, "{last:?}");
}

#[test]
fn from_standstill_the_turbine_starts_up() {
    let desk = Desk::new();
    desk.done("turbine --wind const:9 --seconds 120 --from-standstill --csv out.csv");
    let rows = desk.rows("out.csv");
    assert_eq!((rows[0][2], rows[0][3]), (0.0, 90.0));
    assert!(rows.last().unwrap()[5] > 2000.0, "{:?}", rows.last());
}

#[test]
fn the_same_seed_gives_the_same_file_and_another_seed_another() {
    let desk = Desk::new();
    for (name, seed) in [("a.csv", 3), ("b.csv", 3), ("c.csv", 4)] {
        desk.done(&format!(
            "turbine --wind turb:14:12 --seconds 20 --sensor-noise usual --seed {seed} --csv {name}"
        ));
    }
    assert_eq!(desk.text("a.csv"), desk.text("b.csv"));
    assert_ne!(desk.text("a.csv"), desk.text("c.csv"));
}

#[test]
fn rows_to_standard_output_are_rows_only() {
    let desk = Desk::new();
    let rows = desk.done("turbine --wind eog:10 --seconds 1 --csv -");
    assert_eq!(rows.lines().count(), 12);
    assert!(rows.lines().skip(1).all(|row| row.split(',').count() == 7));
}

#[test]
fn a_wind_from_a_file_is_followed() {
    let desk = Desk::new().with_file("w.csv", "t_s,wind_mps\n0,8\n10,9\n");
    desk.done("turbine --wind w.csv --seconds 10 --csv out.csv");
    let rows = desk.rows("out.csv");
    assert!((rows[50][1] - 8.5).abs() < 1e-6, "{:?}", rows[50]);
}

/// A full field of TurbSim: one point, hub height, steady.
fn full_field(wind_mps: f32) -> Vec<u8> {
    let counts = [1, 1, 0, 2_i32].map(i32::to_le_bytes).concat();
    let numbers = [1.0, 1.0, 0.05, wind_mps, 90.0, 90.0, 100.0, 0.0, 100.0, 0.0, 100.0, 0.0_f32];
    let point = [(wind_mps * 100.0) as i16, 0, 0].map(i16::to_le_bytes).concat();
    [
        7_i16.to_le_bytes().to_vec(),
        counts,
        numbers.map(f32::to_le_bytes).concat(),
        vec![0; 4],
        point.repeat(2),
    ]
    .concat()
}

#[test]
fn a_full_field_of_turbsim_is_followed_and_the_rows_are_those_of_openfast() {
    let desk = Desk::new();
    std::fs::write(desk.path("field.bts"), full_field(11.0)).unwrap();
    desk.done("turbine --wind field.bts --seconds 60 --csv out.csv --openfast takt.out");
    let text = desk.text("takt.out");
    let mut lines = text.lines().skip(6);
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let units: Vec<&str> = lines.next().unwrap().split('\t').collect();
    assert_eq!((names[0], names[2], units[2], names.len()), ("Time", "RotSpeed", "(rpm)", units.len()));
    let last: Vec<f64> = lines.last().unwrap().split('\t').map(|number| number.parse().unwrap()).collect();
    let row = desk.rows("out.csv").pop().unwrap();
    let same = [(last[0], row[0]), (last[1], 11.0), (last[2], row[2]), (last[8], row[5])];
    assert!(same.iter().all(|(one, other)| (one - other).abs() < 1e-3), "{same:?}");
}

#[test]
fn a_file_that_is_no_full_field_is_refused() {
    let desk = Desk::new().with_file("field.bts", "t_s,wind_mps\n");
    let complaint = desk.refused(2, "turbine --wind field.bts --csv out.csv");
    assert!(complaint.contains("field.bts: it begins with"), "{complaint}");
}

#[test]
fn bad_usage_is_refused_with_a_remedy() {
    let desk = Desk::new();
    for (arguments, needed) in [
        ("turbine --wind breeze --csv out.csv", "const:V"),
        ("turbine --wind const:12 --seconds -1 --csv out.csv", "from 0.001 to 86400"),
        ("turbine --wind const:12 --controller-hz 0 --csv out.csv", "from 1 to 1000"),
        ("turbine --wind const:12", "--csv <FILE>"),
        (
            "turbine --wind const:12 --seconds 86400 --controller-hz 1000 --csv-every 0.001 --csv out.csv",
            "--csv-every",
        ),
        ("turbine --wind const:9 --controller autopilot --csv out.csv", "discon:LIBRARY"),
        ("turbine --wind const:9 --fault tired@3 --csv out.csv", "grid-loss"),
        ("law --in missing.csv --csv out.csv", "missing.csv: cannot be read"),
        ("turbine --wind missing.wnd --csv out.csv", "missing.wnd: cannot be read"),
        ("turbine --wind const:9 --rotor-table missing.txt --csv out.csv", "missing.txt: cannot be read"),
    ] {
        let complaint = desk.refused(2, arguments);
        assert!(complaint.contains(needed), "{arguments}: {complaint}");
    }
}

#[test]
fn bad_files_are_refused_with_file_and_line_and_write_nothing() {
    let desk = Desk::new()
        .with_file("law.csv", "t_s,gen_speed_radps,pitch_meas_rad\n0,100,0\n1,fast,0\n")
        .with_file("wind.csv", "t_s,wind_mps\n0,8\n1,gale\n")
        .with_file("rotor.txt", "0 1 2\n5 x\n")
        .with_file("binary.csv", "t_s\u{0}");
    for (arguments, place) in [
        ("law --in law.csv --csv out.csv", "law.csv:3:3"),
        ("law --in binary.csv --csv out.csv", "binary.csv:1:1"),
        ("turbine --wind wind.csv --csv out.csv", "wind.csv:3"),
        ("turbine --wind const:9 --rotor-table rotor.txt --csv out.csv", "rotor.txt:2"),
    ] {
        let complaint = desk.refused(2, arguments);
        assert!(complaint.contains(place) && complaint.contains("remedy:"), "{arguments}: {complaint}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_a_failure_not_bad_input() {
    let complaint = Desk::new().refused(1, "turbine --wind const:9 --seconds 1 --csv none/out.csv");
    assert!(complaint.contains("none/out.csv: cannot be written"), "{complaint}");
}

#[test]
fn the_figures_of_a_run_are_written_with_the_causes_of_shutdowns() {
    let desk = Desk::new();
    desk.done("turbine --wind const:18 --seconds 90 --fault grid-loss@60 --count-from 10 --json out.json");
    let figures: serde_json::Value = serde_json::from_str(&desk.text("out.json")).unwrap();
    let number = |name: &str| figures[name].as_f64().unwrap();
    assert_eq!(figures["shutdowns"], serde_json::json!(["grid_loss"]));
    assert!((12.2..12.8).contains(&number("rotor_speed_max_rpm")), "{figures}");
    assert!((3000.0..3200.0).contains(&number("mean_power_kw")), "50 of 80 s at 5 MW: {figures}");
    assert!(number("rotor_speed_std_rpm") > 1.0 && number("pitch_travel_deg_per_s") > 0.9, "{figures}");
    assert!(number("tower_fa_std_m") > 0.0 && number("torque_std_nm") > 1e4, "{figures}");
}

#[test]
fn a_library_that_is_no_controller_is_refused_with_its_name() {
    let desk = Desk::new().with_file("out.so", "no library");
    let complaint = desk.refused(2, "turbine --wind const:12 --controller discon:out.so --csv out.csv");
    assert!(complaint.contains("out.so") && complaint.contains("DISCON"), "{complaint}");
    let complaint = desk.refused(2, "turbine --wind const:12 --controller discon:missing.so --csv out.csv");
    assert!(complaint.contains("missing.so: cannot be found"), "{complaint}");
}

#[test]
fn a_park_follows_its_schedule_within_the_tolerance_and_keeps_its_ramps() {
    let desk = Desk::new().with_file(
        "plan.csv",
        "t_s,reference_kw,frequency_hz\n0,30000,50\n240,12000,50\n480,24000,50\n700,24000,50.3\n760,24000,50\n",
    );
    desk.done("park --turbines 8 --schedule plan.csv --wind turb:15:12 --seconds 900 --count-from 60 --json out.json");
    let figures: serde_json::Value = serde_json::from_str(&desk.text("out.json")).unwrap();
    let number = |name: &str| figures[name].as_f64().unwrap();
    assert!(number("within_tolerance_share") >= 0.99, "{figures}");
    assert!(number("ramp_up_max_kw_per_s") <= number("ramp_up_limit_kw_per_s") + 1e-6, "{figures}");
    assert!(number("ramp_down_max_kw_per_s") <= number("ramp_down_limit_kw_per_s") + 1e-6, "{figures}");
    assert!(number("ramp_down_max_kw_per_s") > 100.0, "the schedule asks for a fall: {figures}");
    assert_eq!(figures["shutdowns"], serde_json::json!([]));
}

#[test]
fn a_schedule_that_is_none_is_refused_with_its_line() {
    for (text, place) in [
        ("t_s,reference_kw\n0,1000\n0,2000\n", "plan.csv:3:1"),
        ("t_s,reference_kw\n0,full\n", "plan.csv:2:1"),
        ("time,power\n0,1\n", "plan.csv:1:1"),
        ("t_s,reference_kw\n", "plan.csv:1:1"),
    ] {
        let desk = Desk::new().with_file("plan.csv", text);
        let complaint = desk.refused(2, "park --turbines 2 --schedule plan.csv --json out.csv");
        assert!(complaint.contains(place), "{complaint}");
    }
}

#[test]
fn help_teaches_the_winds_the_columns_and_the_exit_statuses() {
    let help = Desk::new().done("turbine --help");
    for needed in ["turb:MEAN:INTENSITY_PERCENT", "gen_torque_nm", "--from-standstill", "Exit status: 0 done"]
    {
        assert!(help.contains(needed), "{needed} is not in\n{help}");
    }
}

#[test]
fn help_teaches_what_there_is_to_see_of_a_plant_behind_sunspec_and_how_an_agent_leads_it() {
    let help = Desk::new().done("der --help");
    for needed in ["WMaxLimPctRvrtTms", "ControllerHb", "[[der]]", "takt-sim der --base-port 5020"] {
        assert!(help.contains(needed), "{needed} is not in\n{help}");
    }
}

#[test]
fn a_plant_that_is_not_there_cannot_be_in_local_control_or_misbehave() {
    for arguments in ["der --plants 2 --local 3", "der --local 0", "der --plants 2 --fault 3:dead"] {
        let complaint = Desk::new().refused(2, arguments);
        assert!(complaint.contains("plants count from 1"), "{complaint}");
    }
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn the_law_meets_the_public_controller_in_every_row() {
    let folder = std::env::var("TAKT_DATA").unwrap();
    let reference = format!("{folder}/wind/discon5mw_openloop_50Hz.csv");
    let desk = Desk::new();
    desk.done(&format!("law --in {reference} --csv out.csv"));
    let text = std::fs::read_to_string(reference).unwrap();
    let theirs = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let ours = desk.rows("out.csv");
    assert_eq!(theirs.clone().count(), ours.len());
    for (theirs, ours) in theirs.zip(ours) {
        let theirs: Vec<f64> = theirs.split(',').map(|n| n.parse().unwrap()).collect();
        assert!((theirs[0] - ours[0]).abs() < 1e-9);
        assert!((theirs[3] - ours[1]).abs() <= 1.0, "{theirs:?} {ours:?}");
        assert!((theirs[4] - ours[2]).abs() <= 1e-5, "{theirs:?} {ours:?}");
    }
}

#[test]
#[cfg_attr(not(takt_data), ignore = "needs TAKT_DATA")]
fn a_published_rotor_table_is_taken() {
    let folder = std::env::var("TAKT_DATA").unwrap();
    let desk = Desk::new();
    desk.done(&format!(
        "turbine --wind const:18 --seconds 60 --rotor-table {folder}/wind/Cp_Ct_Cq.NREL5MW.txt --csv out.csv"
    ));
    let pitch_deg = desk.rows("out.csv").last().unwrap()[3];
    assert!((pitch_deg - 14.53).abs() < 0.55, "{pitch_deg}");
}

#[test]
#[cfg_attr(not(takt_rosco), ignore = "needs TAKT_ROSCO")]
fn the_public_controller_drives_the_same_plant_through_its_shared_library() {
    let folder = std::env::var("TAKT_ROSCO").unwrap();
    let library = format!("{folder}/rosco/lib/libdiscon.so");
    let config = format!("{folder}/Examples/Test_Cases/NREL-5MW/DISCON.IN");
    let desk = Desk::new();
    desk.done(&format!(
        "turbine --wind const:18 --seconds 120 --controller-hz 50 --controller discon:{library} --config {config} --csv out.csv"
    ));
    let last = desk.rows("out.csv").pop().unwrap();
    assert!((last[2] - 12.1).abs() < 0.05, "rotor speed: {last:?}");
    assert!((last[3] - 14.53).abs() < 0.8, "pitch: {last:?}");
    assert!((last[5] - 5000.0).abs() < 25.0, "power: {last:?}");
    let complaint = Desk::new().refused(
        2,
        &format!("turbine --wind const:18 --controller discon:{library} --config {library} --csv out.csv"),
    );
    assert!(complaint.contains("libdiscon.so"), "{complaint}");
}

const HALL: &str = "type octile\nheight 4\nwidth 6\nmap\n......\n.@@.@.\n......\n......\n";

#[test]
fn a_fleet_is_busy_and_its_figures_and_ways_are_written() {
    let desk = Desk::new().with_file("hall.map", HALL);
    let report = desk
        .done("fleet --map hall.map --agents 8 --steps 200 --seed 3 --json out.json --plan-out plan.json");
    assert!(report.contains("0 collisions, 0 standstills"), "{report}");
    let figures: serde_json::Value = serde_json::from_str(&desk.text("out.json")).unwrap();
    assert!(figures["goals"].as_u64().unwrap() > 100, "{figures}");
    assert_eq!((&figures["collisions"], &figures["deadlocks"]), (&0.into(), &0.into()));
    for name in ["goals_per_step", "max_wait_steps", "cpu_seconds"] {
        assert!(figures[name].is_number(), "{name}: {figures}");
    }
    for name in ["p50", "p99", "max"] {
        assert!(figures["step_ms"][name].is_number(), "{name}: {figures}");
    }
    let plan: serde_json::Value = serde_json::from_str(&desk.text("plan.json")).unwrap();
    assert_eq!(plan["cells"].as_array().unwrap().len(), 8);
    assert_eq!(plan["cells"][0].as_array().unwrap().len(), 201);
}

#[test]
fn transport_orders_are_done_in_both_ways_and_compared() {
    let desk = Desk::new().with_file("hall.map", HALL);
    let fleet = "fleet --map hall.map --agents 5 --steps 600 --orders 40/900";
    let report = desk.done(&format!("{fleet} --json out.json"));
    assert!(report.contains("takt to nearest"), "{report}");
    let figures: serde_json::Value = serde_json::from_str(&desk.text("out.json")).unwrap();
    for way in ["takt", "nearest"] {
        assert_eq!(figures[way]["done"], 40, "{figures}");
        assert_eq!(figures[way]["collisions"], 0, "{figures}");
        assert!(figures[way]["utilisation"].as_f64().unwrap() > 0.0, "{figures}");
    }
    assert!(figures["ratio"]["utilisation"].as_f64().unwrap() > 0.0, "{figures}");
    desk.done(&format!("{fleet} --dispatch takt --json out.json"));
    let figures: serde_json::Value = serde_json::from_str(&desk.text("out.json")).unwrap();
    assert!(figures["nearest"].is_null() && figures["ratio"].is_null(), "{figures}");
}

#[test]
fn equal_arguments_give_equal_ways_of_a_fleet() {
    let desk = Desk::new().with_file("hall.map", HALL);
    for model in ["pebble", "turning --delay 0.3 --stop 0.01:20", "continuous"] {
        for name in ["a.json", "b.json"] {
            let fleet = format!("fleet --map hall.map --agents 6 --steps 150 --model {model}");
            desk.done(&format!("{fleet} --json out.json --plan-out {name}"));
        }
        assert_eq!(desk.text("a.json"), desk.text("b.json"), "{model}");
    }
}

#[test]
fn bad_input_for_a_fleet_is_refused_with_its_place() {
    let desk = Desk::new()
        .with_file("hall.map", HALL)
        .with_file("short.map", "type octile\nheight 4\nwidth 6\nmap\n......\n")
        .with_file("line.map", "type octile\nheight 1\nwidth 4\nmap\n....\n")
        .with_file("apart.map", "type octile\nheight 2\nwidth 5\nmap\n..@..\n..@..\n")
        .with_file("hall.json", "{\"layout\": [\"..\", \".x\"]}");
    let refused = |arguments: &str| desk.refused(2, &format!("fleet --steps 10 --json out.csv {arguments}"));
    assert!(refused("--map short.map --agents 2").contains("short.map:2:1"));
    assert!(refused("--map line.map --agents 2").contains("no cells form a loop"));
    assert!(refused("--map apart.map --agents 2").contains("cut off"));
    assert!(refused("--map hall.json --agents 2").contains("'x' is no cell"));
    assert!(refused("--map hall.map --agents 99").contains("do not fit"));
    assert!(refused("--map hall.map --agents 21").contains("leave no room"));
    assert!(refused("--map hall.map").contains("--agents"));
    assert!(refused("--map none.map --agents 2").contains("none.map"));
    assert!(refused("--map hall.map --agents 2 --stop 2:x").contains("from 0 to 0.99"));
    assert!(refused("--map hall.map --agents 2 --orders many").contains("500/1200"));
}

#[test]
fn vehicles_that_cannot_be_are_refused_with_a_remedy() {
    let desk = Desk::new()
        .with_file("small.map", "type octile\nheight 1\nwidth 2\nmap\n..\n")
        .with_file("bad.json", "{\"layouts\": 1}");
    let refused = |arguments: &str| {
        let output = desk.run(&format!("vehicles {arguments}"));
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(
        refused("--layout small.map --count 3 --broker 127.0.0.1:1")
            .contains("3 vehicles do not fit on the 2")
    );
    assert!(refused("--layout bad.json --count 1 --broker 127.0.0.1:1").contains("bad.json"));
    assert!(refused("--layout small.map --count 1 --broker nowhere").contains("a host and a port"));
    assert!(
        refused("--layout small.map --count 1 --broker b:1 --manufacturer a/b").contains("part of a topic")
    );
    assert!(refused("--layout small.map --count 1 --broker b:1 --version 1.1").contains("mixed"));
}

#[test]
fn without_a_broker_vehicles_end_with_a_failure() {
    let desk = Desk::new().with_file("small.map", "type octile\nheight 1\nwidth 2\nmap\n..\n");
    let output = desk
        .run("vehicles --layout small.map --count 2 --broker 127.0.0.1:1 --seconds 0.3 --json truth.json");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no vehicle is connected to 127.0.0.1:1"));
    assert!(std::fs::read_to_string(desk.path("truth.json")).unwrap().contains("\"connected\": 0"));
}
