//! The site file: what is wrong is refused with its place and a remedy; what is right is admitted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use agent_daemon::admission::{self, Refusal};
use agent_daemon::config::{PlantConfig, SiteConfig};
use agent_daemon::read_plan;
use control_loops_controllers::turbine::TurbineParameters;
use hal_diagnostics::{Diagnostic, Document, TEXT_BYTES_MAX};
use hal_modbus::Transport;
use hal_units::Duration;
use proptest::prelude::*;

const SITE: &str = include_str!("../../../examples/site.toml");
const INDIVIDUAL_PROFILE: &str = include_str!("../../../profiles/nrel5mw-plc-individual-pitch.toml");
const PROFILE: &str = include_str!("../../../profiles/nrel5mw-plc.toml");

const SUNSPEC_PROFILE: &str = include_str!("../../../profiles/sunspec-der.toml");
const METER_PROFILE: &str = include_str!("../../../profiles/sunspec-meter.toml");
const DRIVE_PROFILE: &str = include_str!("../../../profiles/differential-drive.toml");

/// The example site, changed.
#[derive(Debug, Clone)]
struct SiteText {
    text: String,
    profile: String,
}

impl SiteText {
    fn example() -> Self {
        Self { text: SITE.to_owned(), profile: PROFILE.to_owned() }
    }

    /// Replaces the first `old`, which must be there.
    fn with(mut self, old: &str, new: &str) -> Self {
        assert!(self.text.contains(old), "the example has no {old:?}");
        self.text = self.text.replacen(old, new, 1);
        self
    }

    fn and(mut self, more: &str) -> Self {
        self.text.push_str(more);
        self
    }

    fn with_profile(mut self, old: &str, new: &str) -> Self {
        assert!(self.profile.contains(old), "the profile has no {old:?}");
        self.profile = self.profile.replacen(old, new, 1);
        self
    }

    fn parse(&self) -> Result<SiteConfig, Diagnostic> {
        let one_by_one =
            format!("{}\n[tuning]\nindividual_pitch_radps = 0.1\n", control_loops_tuning::NREL_5MW);
        let read = |path: &Path| {
            let text = match path.file_name().and_then(|name| name.to_str()) {
                Some("differential-drive.toml") => DRIVE_PROFILE,
                Some("sunspec-der.toml") => SUNSPEC_PROFILE,
                Some("sunspec-meter.toml") => METER_PROFILE,
                Some("iea-15mw.toml") => control_loops_tuning::IEA_15MW,
                Some("nrel-5mw.toml") => control_loops_tuning::NREL_5MW,
                Some("nrel-5mw.rotor.txt") => control_loops_tuning::NREL_5MW_ROTOR,
                Some("one-by-one.toml") => &one_by_one,
                Some("individual.toml") => INDIVIDUAL_PROFILE,
                Some("cut.rotor.txt") => "# nothing\n1.0 2.0\n",
                _ => &self.profile,
            };
            Ok(Document::new(&path.display().to_string(), text))
        };
        SiteConfig::parse(&Document::new("site.toml", &self.text), Path::new("/etc/takt"), &read)
    }

    fn config(&self) -> SiteConfig {
        self.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    /// What stands from a complaint's line and column on.
    fn text_at(&self, complaint: &Diagnostic) -> &str {
        let (line, column) = complaint.position.unwrap_or_else(|| panic!("no place: {complaint}"));
        let line = self.text.lines().nth(line - 1).unwrap_or("");
        line.char_indices().nth(column - 1).map_or("", |(byte, _)| &line[byte..])
    }
}

/// A mistake, and the complaint that it must lead to.
struct Mistake {
    old: &'static str,
    new: &'static str,
    /// The complaint points at a place that begins so.
    at: &'static str,
    what: &'static str,
    remedy: &'static str,
}

const fn mistake(
    old: &'static str,
    new: &'static str,
    at: &'static str,
    what: &'static str,
    remedy: &'static str,
) -> Mistake {
    Mistake { old, new, at, what, remedy }
}

const MISTAKES: [Mistake; 26] = [
    mistake("priority = 80", "prio = 80", "prio", "unknown field `prio`", "spelling"),
    mistake("[stop]", "[halt]", "halt", "unknown field `halt`", "spelling"),
    mistake("\"required\"", "\"perhaps\"", "\"perhaps\"", "unknown variant `perhaps`", "spelling"),
    mistake("budget_us = 1000", "", "[[group]]", "missing field `budget_us`", "add the field"),
    mistake("core = 3", "core = \"three\"", "\"three\"", "invalid type", "expected kind"),
    mistake("name = \"north-field\"", "name = \"a/b\"", "\"a/b\"", "`a/b` is no name", "letters, digits"),
    mistake("period_us = 10000", "period_us = 499", "499", "period_us is 499", "give 500 to 1000000"),
    mistake("period_us = 10000", "period_us = 1000001", "1000001", "period_us is 1000001", "give 500"),
    mistake("deadline_us = 10000", "deadline_us = 10001", "10001", "deadline_us is", "give 100 to 10000"),
    mistake("budget_us = 1000", "budget_us = 10001", "10001", "budget_us is", "give 10 to 10000"),
    mistake("priority = 80", "priority = 99", "99", "priority is 99", "give 1 to 98"),
    mistake("limit_s = 120", "limit_s = 0", "0", "limit_s is 0", "give 1 to 3600"),
    mistake("cores = \"2-3\"", "cores = \"3-2\"", "\"3-2\"", "", "give cores as in"),
    mistake("memory_max_mib = 256", "memory_max_mib = 1", "1", "memory_max_mib is 1", "give 16"),
    mistake("127.0.0.1:9464", "localhost", "\"localhost\"", "is no address", "give an IP address and a port"),
    mistake("192.0.2.101:502", "plc-7:502", "\"plc-7:502\"", "is no address", "192.0.2.7:502"),
    mistake("mqtt://192.0.2.10:1883", "192.0.2.10", "\"192.0.2.10\"", "no broker", "mqtt://HOST:PORT"),
    mistake("baud_rate = 115200", "baud_rate = 7", "{ path", "baud_rate is 7", "give 300 to 4000000"),
    mistake("bus = \"line-a\"", "bus = \"line-b\"", "\"line-b\"", "no bus `line-b`", "WT01, line-a"),
    mistake(
        "group = \"turbines\"",
        "group = \"pumps\"",
        "\"pumps\"",
        "no group `pumps`",
        "name one of: serial, turbines",
    ),
    mistake("device = \"WT02\"", "device = \"WT03\"", "\"WT03\"", "no device `WT03`", "WT01, WT02"),
    mistake("device = \"WT02\"", "device = \"WT01\"", "\"WT01\"", "`WT01` has two units", "one owner"),
    mistake("unit_id = 7", "unit_id = 248", "248", "unit_id is 248", "give 1 to 247"),
    mistake("tcp = \"192.0.2.101:502\"", "", "\"WT01\"", "either `tcp` or `rtu`", "tcp = \"IP:PORT\""),
    mistake(
        "tcp = \"192.0.2.101:502\"",
        "tcp = \"192.0.2.101:502\"\nrtu = { path = \"/dev/ttyS0\", baud_rate = 9600 }",
        "\"WT01\"",
        "either `tcp` or `rtu`",
        "rtu = {",
    ),
    mistake("model = \"nrel-5mw\"", "model = \"iea-15mw\"", "\"iea-15mw\"", "unknown variant", "spelling"),
];

#[track_caller]
fn assert_complaint(site: &SiteText, at: &str, what: &str, remedy: &str) {
    let complaint = site.parse().map(|_| ()).expect_err(what);
    assert_eq!(complaint.file, "site.toml", "{complaint}");
    assert!(site.text_at(&complaint).starts_with(at), "not at {at:?}: {complaint}");
    assert!(complaint.what.contains(what), "no {what:?} in: {complaint}");
    assert!(complaint.remedy.contains(remedy), "no {remedy:?} in: {complaint}");
    let (line, column) = complaint.position.unwrap();
    assert!(complaint.to_string().starts_with(&format!("site.toml:{line}:{column}: ")), "{complaint}");
}

#[test]
fn a_mistake_in_a_value_is_one_complaint_with_its_place_and_a_remedy() {
    for Mistake { old, new, at, what, remedy } in &MISTAKES {
        assert_complaint(&SiteText::example().with(old, new), at, what, remedy);
    }
}

const SECOND_ON_LINE_A: &str = "
[[device]]
name = \"WT03\"
bus = \"line-a\"
unit_id = 8
profile = \"../profiles/nrel5mw-plc.toml\"

[[turbine]]
name = \"WT03\"
device = \"WT03\"
group = \"serial\"
model = \"nrel-5mw\"
";

#[test]
fn a_site_with_two_devices_on_one_line_is_read() {
    let site = SiteText::example().and(SECOND_ON_LINE_A).config();
    assert_eq!(site.buses[1].devices, [1, 2]);
}

#[test]
fn a_unit_id_that_stands_twice_on_a_bus_is_refused() {
    let site = SiteText::example().and(&SECOND_ON_LINE_A.replace("unit_id = 8", "unit_id = 7"));
    assert_complaint(&site, "\"WT03\"", "unit id 7 stands twice on the bus `line-a`", "a unit_id of its own");
}

#[test]
fn a_unit_id_that_is_left_out_twice_is_refused_as_well() {
    let site = SiteText::example().with("unit_id = 7", "").and(&SECOND_ON_LINE_A.replace("unit_id = 8", ""));
    assert_complaint(&site, "\"WT03\"", "unit id 1 stands twice", "a unit_id of its own");
}

#[test]
fn a_device_name_that_stands_twice_is_refused() {
    let site =
        SiteText::example().and(&SECOND_ON_LINE_A.replace("name = \"WT03\"\nbus", "name = \"WT02\"\nbus"));
    assert_complaint(&site, "\"WT02\"", "the name `WT02` stands twice", "rename one of the two");
}

#[test]
fn a_device_without_a_turbine_is_refused() {
    let device = SECOND_ON_LINE_A.split("[[turbine]]").next().unwrap();
    let site = SiteText::example().and(device);
    assert_complaint(&site, "\"WT03\"", "no unit uses the device `WT03`", "add a [[turbine]]");
}

#[test]
fn a_bus_without_a_device_is_refused() {
    let site = SiteText::example().and("\n[[bus]]\nname = \"idle\"\ntcp = \"192.0.2.9:502\"\n");
    assert_complaint(&site, "\"idle\"", "no device hangs on the bus `idle`", "remove the bus");
}

#[test]
fn a_bus_whose_devices_follow_two_rhythms_is_refused() {
    let device = SECOND_ON_LINE_A.replace("group = \"serial\"", "group = \"turbines\"");
    let site = SiteText::example().and(&device);
    assert_complaint(&site, "\"WT03\"", "different rhythms", "into one group");
}

#[test]
fn a_site_without_a_turbine_or_a_group_is_refused() {
    for (table, what) in [("[[turbine]]", "no [[turbine]]"), ("[[group]]", "no [[group]]")] {
        let text = SITE.split(table).next().unwrap();
        // Without turbines there can be no devices and no buses either.
        let text = text.split("[[bus]]").next().unwrap().to_owned();
        let complaint = SiteText { text, profile: PROFILE.to_owned() }.parse().unwrap_err();
        assert!(complaint.what.contains(what) && !complaint.remedy.is_empty(), "{complaint}");
    }
}

#[test]
fn a_profile_that_lacks_a_role_is_named_where_it_is_used() {
    let site = SiteText::example().with_profile("tag = \"rotor_speed\"", "tag = \"rotor_spin\"");
    assert_complaint(&site, "\"WT01\"", "rotor_speed", "name the tag so in the profile");
}

#[test]
fn a_mistake_in_a_profile_is_told_with_the_profiles_name() {
    let complaint =
        SiteText::example().with_profile("response_timeout_ms", "response_timeout").parse().unwrap_err();
    assert!(complaint.file.ends_with("nrel5mw-plc.toml"), "{complaint}");
    assert!(complaint.what.contains("unknown field `response_timeout`"), "{complaint}");
}

#[test]
fn a_file_that_is_no_text_of_sane_size_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let large = write("large.toml", &vec![b'\n'; usize::try_from(TEXT_BYTES_MAX).unwrap() + 1]);
    let binary = write("binary.toml", &[0xff; 64]);
    let cases =
        [(large, "has more than"), (binary, "not UTF-8"), (folder.path().join("none"), "cannot be read")];
    for (path, what) in cases {
        let complaint = SiteConfig::read(&path).unwrap_err();
        assert_eq!(complaint.file, path.display().to_string());
        assert!(complaint.what.contains(what) && !complaint.remedy.is_empty(), "{complaint}");
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

#[test]
fn the_examples_are_read_and_admitted() {
    let site = SiteConfig::read(&example("site.toml")).unwrap_or_else(|error| panic!("{error}"));
    let plan = read_plan(&site.plan, &site).unwrap_or_else(|error| panic!("{error}"));
    assert!(plan.units.iter().all(|demand| site.units.iter().any(|t| t.name == demand.unit)));
    let responses = admission::admit(&site).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(responses.len(), site.groups.len());
    assert!(matches!(site.buses[0].transport, Transport::Tcp { .. }));
    assert!(matches!(site.buses[1].transport, Transport::Rtu { .. }));
}

#[test]
fn paths_start_at_the_folder_of_the_site_file() {
    let site = SiteText::example().config();
    assert_eq!(site.plan, Path::new("/etc/takt/plan.toml"));
    assert_eq!(site.state_dir, Path::new("/var/lib/takt"));
}

#[test]
fn the_first_outputs_of_a_device_carry_the_sites_term_of_office() {
    let site = SiteText::example().with("[admin]", "epoch = 7\n[admin]").config();
    let profile = &site.devices[0].profile;
    let outputs = profile.initial_outputs();
    assert_eq!(outputs.value(profile.epoch.unwrap()), Some(7.0));
}

#[test]
fn a_budget_that_fills_its_period_is_refused_with_the_numbers() {
    let site = SiteText::example().with("budget_us = 1000", "budget_us = 9900").config();
    let refusal = admission::admit(&site).unwrap_err();
    assert!(matches!(refusal, Refusal::Loops(_)), "{refusal:?}");
    let text = refusal.to_string();
    // 9.9 ms and 0.2 ms of release jitter in 10 ms.
    for part in ["turbines", "10.1", "10", "remedy"] {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

#[test]
fn two_groups_that_overload_a_core_are_refused() {
    let group =
        "\n[[group]]\nname = \"slow\"\nperiod_us = 100000\nbudget_us = 95000\ncore = 3\npriority = 20\n";
    let refusal = admission::admit(&SiteText::example().and(group).config()).unwrap_err();
    let text = refusal.to_string();
    assert!(matches!(refusal, Refusal::Loops(_)) && text.contains("slow"), "{text}");
}

#[test]
fn a_serial_line_that_is_too_slow_for_the_period_is_refused_with_the_numbers() {
    let site = SiteText::example().with("baud_rate = 115200", "baud_rate = 9600").config();
    let refusal = admission::admit(&site).unwrap_err();
    assert!(matches!(&refusal, Refusal::Bus { bus, .. } if bus == "line-a"), "{refusal:?}");
    let text = refusal.to_string();
    assert!(text.contains("ms") && text.chars().any(|c| c.is_ascii_digit()), "{text}");
}

#[test]
fn a_round_trip_longer_than_the_period_is_refused() {
    let mut site = SiteText::example().config();
    site.buses[0].round_trip = Duration::from_millis(12);
    let refusal = admission::admit(&site).unwrap_err();
    assert!(matches!(&refusal, Refusal::Bus { bus, .. } if bus == "WT01"), "{refusal:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cuts, doubles and overwrites pieces: whatever comes of it is read, or refused helpfully.
    #[test]
    fn a_mangled_site_is_refused_helpfully_or_holds_together(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..24_usize, 0..4_u8, any::<u8>()), 1..6)
    ) {
        let mut bytes = SITE.as_bytes().to_vec();
        for (at, length, kind, byte) in edits {
            let from = at.index(bytes.len().max(1)).min(bytes.len());
            let to = (from + length).min(bytes.len());
            match kind {
                0 => { bytes.drain(from..to); }
                1 => { let piece = bytes[from..to].to_vec(); bytes.splice(from..from, piece); }
                2 => { bytes.splice(from..to, [byte]); }
                _ => { bytes.splice(from..to, b"[[device]]\n= -9e999 \"".iter().copied()); }
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let site = SiteText { text, profile: PROFILE.to_owned() };
        match site.parse() {
            Ok(config) => {
                prop_assert!(config.buses.iter().all(|bus| !bus.devices.is_empty()));
                prop_assert!(config.units.iter().all(|turbine| turbine.device < config.devices.len()));
                let _ = admission::admit(&config);
            }
            Err(complaint) => {
                prop_assert!(!complaint.what.is_empty() && !complaint.remedy.is_empty(), "{}", complaint);
                if let Some((line, column)) = complaint.position {
                    prop_assert!(line >= 1 && line <= site.text.lines().count() + 1, "{}", complaint);
                    prop_assert!(column >= 1, "{}", complaint);
                }
            }
        }
    }
}

/// A vehicle on a bus of its own, in the group of the turbines; `drive` is what its section says of it.
fn on_bus(drive: &str) -> SiteText {
    SiteText::example().and(&format!(
        r#"
[[bus]]
name = "agv-1"
tcp = "192.0.2.151:502"

[[device]]
name = "agv-1"
bus = "agv-1"
profile = "differential-drive.toml"

[fleet]
layout = "hall.json"

[[fleet.vehicle]]
name = "agv-1"
{drive}
"#
    ))
}

const DRIVE: &str = r#"drive = { device = "agv-1", group = "turbines", track_m = 0.6 }"#;

#[test]
fn a_vehicle_on_a_bus_is_a_unit_of_its_own() {
    let config = on_bus(DRIVE).config();
    let unit = config.units.last().unwrap();
    assert_eq!(unit.name, "agv-1");
    assert!(matches!(unit.plant, PlantConfig::Vehicle(_)));
    assert!(config.unit_limits().iter().all(|limits| limits.unit != "agv-1"), "the plan says nothing of it");
}

#[track_caller]
fn check_drive(drive: &str, what: &str) {
    let error = on_bus(drive).parse().unwrap_err().to_string();
    assert!(error.contains(what), "{error}");
}

#[test]
fn what_is_wrong_about_a_vehicle_on_a_bus_is_refused() {
    check_drive("", "not clear how the vehicle `agv-1` is reached");
    check_drive(&format!("version = \"2.1\"\n{DRIVE}"), "not clear how the vehicle `agv-1` is reached");
    check_drive(&DRIVE.replace(", track_m = 0.6", ""), "not clear what wheels");
    check_drive(&DRIVE.replace("track_m = 0.6", "track_m = 0.6, wheelbase_m = 1.0"), "not clear what wheels");
    check_drive(&DRIVE.replace("0.6", "-0.6"), "track is not above zero");
    check_drive(&DRIVE.replace("0.6", "0.6, speed_mps = 0.0"), "speed is not above zero");
    check_drive(
        &DRIVE.replace("track_m", "wheelbase_m"),
        "has no input `wheel_speed`, which a vehicle needs",
    );
    check_drive(&DRIVE.replace("\"turbines\"", "\"pumps\""), "no group `pumps`");
    check_drive(&DRIVE.replace("device = \"agv-1\"", "device = \"WT01\""), "has two units");
}

/// A plant behind a SunSpec interface; `der` is what its section says of it.
fn behind_sunspec(der: &str) -> SiteText {
    SiteText::example().and(&format!(
        "\n[[bus]]\nname = \"park\"\ntcp = \"192.0.2.161:502\"\n\
         [[device]]\nname = \"park\"\nbus = \"park\"\nprofile = \"sunspec-der.toml\"\n\
         [[der]]\nname = \"park\"\ngroup = \"turbines\"\n{der}\n"
    ))
}

#[test]
fn a_plant_behind_sunspec_is_a_unit_that_the_plan_can_limit() {
    let config = behind_sunspec("device = \"park\"\nrated_kw = 20000.0\nrevert_percent = 50.0").config();
    let PlantConfig::Der(parameters) = &config.units.last().unwrap().plant else { panic!("{config:?}") };
    assert_eq!((parameters.revert_after.as_secs(), parameters.revert_share), (60, 0.5));
    assert_eq!(config.unit_limits().last().unwrap().rated_power.as_kilowatts(), 20_000.0);
}

#[test]
fn what_is_wrong_about_a_plant_behind_sunspec_is_refused() {
    let check = |der: &str, what: &str| {
        let error = behind_sunspec(der).parse().unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    check("device = \"park\"\nrated_kw = 0.0", "rated_kw is 0");
    check("device = \"park\"\nrated_kw = 5000.0\nrevert_percent = 101.0", "revert_percent is 101");
    check("device = \"park\"\nrated_kw = 5000.0\nrevert_s = 4", "revert_s is 4");
    check("device = \"WT01\"\nrated_kw = 5000.0", "has two units");
}

/// The example with turbines that estimate their wind, and a meter.
fn with_park(park: &str) -> SiteText {
    let text = SITE.replace("model = \"nrel-5mw\"", "model = \"nrel-5mw\"\nlaw = \"takt\"");
    let example = SiteText { text, profile: PROFILE.to_owned() };
    example.and(&format!(
        "\n[[bus]]\nname = \"meter\"\ntcp = \"192.0.2.30:502\"\n\n[[device]]\nname = \"meter\"\nbus = \"meter\"\n\
         profile = \"../profiles/sunspec-meter.toml\"\n\n[[park]]\nname = \"park\"\ndevice = \"meter\"\n{park}\n"
    ))
}

#[test]
fn a_park_has_the_turbines_of_its_group_and_their_rated_power() {
    let config = with_park("group = \"turbines\"\ndroop_percent = 4.0\nrise_percent_per_min = 30.0").config();
    let PlantConfig::Park(park) = &config.units.last().unwrap().plant else { panic!("{config:?}") };
    assert_eq!(park.turbines, [0]);
    assert!(
        (park.parameters.rise_per_s - 0.005).abs() < 1e-12 && (park.parameters.droop - 0.04).abs() < 1e-12
    );
    let limits = config.unit_limits();
    assert_eq!(limits.last().unwrap().rated_power.as_kilowatts(), 5_000.0);
    assert_eq!((limits[0].through.as_deref(), limits[1].through.as_deref()), (Some("park"), None));
}

#[test]
fn what_is_wrong_about_a_park_is_refused() {
    let check = |park: &str, what: &str| {
        let error = with_park(park).parse().unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    check("group = \"turbine\"", "there is no group `turbine`");
    check("group = \"turbines\"\nturbines = [\"WT09\"]", "there is no turbine `WT09`");
    check("group = \"turbines\"\nturbines = [\"WT02\"]", "`WT02` is no turbine of the group `turbines`");
    check("group = \"turbines\"\nturbines = [\"WT01\", \"WT01\"]", "names the turbine `WT01` twice");
    check("group = \"turbines\"\nturbines = []", "has 0 turbines");
    check("group = \"turbines\"\nreserve_percent = 60.0", "reserve_percent is 60");
    let second = "\n[[park]]\nname = \"other\"\ndevice = \"WT01\"\ngroup = \"turbines\"";
    check(&format!("group = \"turbines\"{second}"), "has two parks");
}

#[test]
fn a_park_of_turbines_that_do_not_estimate_their_wind_is_refused() {
    let text = with_park("group = \"turbines\"").with("law = \"takt\"", "law = \"baseline\"");
    assert!(text.parse().unwrap_err().to_string().contains("cannot say what it could give"));
}

#[test]
fn no_unit_is_called_as_the_fleet() {
    let error =
        SiteText::example().with("name = \"WT02\"\ndevice", "name = \"fleet\"\ndevice").parse().unwrap_err();
    assert!(error.to_string().contains("takes transport orders"), "{error}");
}

fn controller(config: &SiteConfig) -> &TurbineParameters {
    match &config.units[0].plant {
        PlantConfig::Turbine(parameters) => parameters,
        PlantConfig::Vehicle(_) | PlantConfig::Der(_) | PlantConfig::Park(_) => panic!("it is no turbine"),
    }
}

const MODEL: &str = "model = \"nrel-5mw\"";

#[test]
fn a_turbine_has_the_baseline_law_unless_another_one_is_asked_for() {
    let usual = SiteText::example().config();
    assert!(controller(&usual).takt.is_none());
    let takt = SiteText::example().with(MODEL, "model = \"nrel-5mw\"\nlaw = \"takt\"").config();
    assert!(controller(&takt).takt.is_some());
}

#[test]
fn a_controller_follows_from_the_turbines_own_data() {
    let files = "description = \"nrel-5mw.toml\"\nrotor_table = \"nrel-5mw.rotor.txt\"";
    let takt = SiteText::example().with(MODEL, files).config();
    assert!(controller(&takt).takt.is_some(), "the Takt law is the usual one then");
    let baseline = SiteText::example().with(MODEL, &format!("{files}\nlaw = \"baseline\"")).config();
    assert!(controller(&baseline).takt.is_none());
    assert_eq!(controller(&baseline).rated_power, controller(&takt).rated_power);
}

#[test]
fn what_a_turbine_is_must_be_said_once() {
    for (text, at) in [
        ("", "WT01"),
        ("description = \"nrel-5mw.toml\"", "nrel-5mw.toml"),
        ("model = \"nrel-5mw\"\ndescription = \"nrel-5mw.toml\"", "nrel-5mw"),
    ] {
        let example = SiteText::example().with(MODEL, text);
        let complaint = example.parse().unwrap_err();
        assert!(example.text_at(&complaint).contains(at), "{complaint}");
    }
}

#[test]
fn individual_pitch_needs_a_profile_with_root_moments_and_a_command_for_each_blade() {
    let files = "description = \"one-by-one.toml\"\nrotor_table = \"nrel-5mw.rotor.txt\"";
    let complaint = SiteText::example().with(MODEL, files).parse().unwrap_err().to_string();
    assert!(
        complaint.contains("no input `azimuth`, which a turbine with individual pitch needs"),
        "{complaint}"
    );
    let profile = "profile = \"../profiles/nrel5mw-plc.toml\"";
    let rich = SiteText::example().with(MODEL, files).with(profile, "profile = \"individual.toml\"").config();
    assert!(controller(&rich).individual.is_some());
}

#[test]
fn a_sparkplug_group_is_a_name_and_the_names_of_values_are_ours_or_the_standards() {
    let mqtt = |lines: &str| {
        let broker = "broker = \"mqtt://192.0.2.10:1883\"";
        SiteText::example().with(broker, &format!("{broker}\n{lines}")).parse()
    };
    let complaint = mqtt("sparkplug_group = \"a/b\"").unwrap_err().to_string();
    assert!(complaint.contains("`a/b` is no name"), "{complaint}");
    assert!(mqtt("names = \"iec\"").is_err());
    let config = mqtt("sparkplug_group = \"wind\"\nnames = \"iec-61400-25\"").unwrap().mqtt.unwrap();
    assert_eq!(config.sparkplug_group.as_deref(), Some("wind"));
}

#[test]
fn a_mistake_in_a_rotor_table_is_told_with_the_tables_name() {
    let files = "description = \"nrel-5mw.toml\"\nrotor_table = \"cut.rotor.txt\"";
    let complaint = SiteText::example().with(MODEL, files).parse().unwrap_err();
    assert_eq!(complaint.file, "/etc/takt/cut.rotor.txt", "{complaint}");
}
