//! What is published of a unit, and under which names.
//!
//! # Names of IEC 61400-25
//!
//! IEC 61400-25-2 gives the data of a turbine's logical nodes names, which SCADA systems know. With
//! `names = "iec-61400-25"` in `[mqtt]` a turbine's values bear them, in the units of the standard:
//!
//! | ours | theirs | |
//! |---|---|---|
//! | `mode` | `WTUR.TurSt` | our words: the standard leaves the states to the manufacturer |
//! | `power_kw` | `WTUR.W` | W |
//! | `power_limit_kw` | `WTUR.DmdW` | W |
//! | `rotor_rpm` | `WROT.RotSpd` | rpm |
//! | `pitch_deg` | `WROT.PtAngValBl1` to `Bl3` | deg; ours is the mean |
//! | `wind_mps` | `WNAC.WdSpd` | m/s |
//! | `generator_rpm` | `WGEN.Spd` | rpm |
//! | `nacelle_deg` | `WYAW.YawAng` | deg, 0 to 360; if the device says it |
//! | `cable_twist_deg` | `WYAW.CabWup` | deg, turns counted; if the device says it |
//! | `brake` | `WTRM.BrkOpMod` | `applied` or `released`: again our words; if the device says it |
//!
//! What the standard has no name for keeps ours: `quality`, `trip`, `individual_pitch`, `yaw` (`standing`, `turning`,
//! `untwisting`, `untwist_due`, `twist_unknown`), `torque_nm` (of the generator) and `yaw_error_deg`. The last four lines and
//! these two are published under the standard's names alone.

use std::collections::BTreeMap;

use agent_cycle::{PlantRecord, TurbineRecord, UnitRecord};
use agent_status::Value;
use hal_mqtt::state::{StateField, StateFilter, StateValue};
use hal_units::{Duration, Radians};

use crate::config::PlantConfig;

/// A unit's state is published at most so often when it changes,
const STATE_INTERVAL_MIN: Duration = Duration::from_millis(500);
/// and so often when it does not.
const STATE_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// What a device does not say.
const UNKNOWN: &str = "unknown";

/// Whose names a turbine's values bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValueNames {
    /// Ours.
    #[default]
    Takt,
    /// Those of IEC 61400-25-2.
    Iec61400,
}

/// What is published of a unit, in the order of its filter's fields.
pub(crate) fn state_values(record: &UnitRecord, names: ValueNames) -> Vec<StateValue> {
    let mut values = vec![
        StateValue::Word(record.plant.mode()),
        StateValue::Word(record.quality.as_str()),
        StateValue::Word(record.plant.held_by().first().copied().unwrap_or("none")),
    ];
    match &record.plant {
        PlantRecord::Turbine(turbine) => values.extend(turbine_values(turbine, names)),
        PlantRecord::Der(der) => {
            let powers = [der.power, der.power_limit].map(|power| StateValue::Number(power.as_kilowatts()));
            values.extend(powers);
        }
        PlantRecord::Park(park) => {
            let powers = [park.power, park.reference, park.target, park.available];
            values.extend(powers.map(|power| StateValue::Number(power.as_kilowatts())));
            values.push(StateValue::Number(park.frequency_hz.unwrap_or(f64::NAN)));
        }
        PlantRecord::Vehicle(vehicle) => {
            let pose = vehicle.pose.unwrap_or_default();
            values.extend([
                StateValue::Number(pose.x.get()),
                StateValue::Number(pose.y.get()),
                StateValue::Number(pose.heading.as_degrees()),
            ]);
        }
    }
    values
}

fn turbine_values(turbine: &TurbineRecord, names: ValueNames) -> Vec<StateValue> {
    let powers = [turbine.power, turbine.power_limit].map(|power| match names {
        ValueNames::Takt => power.as_kilowatts(),
        ValueNames::Iec61400 => power.get(),
    });
    let mut numbers = powers.to_vec();
    numbers.push(turbine.rotor_speed.as_rpm());
    match names {
        ValueNames::Takt => numbers.push(turbine.pitch.as_degrees()),
        ValueNames::Iec61400 => numbers.extend(turbine.blades.map(|blade| blade.as_degrees())),
    }
    numbers.push(turbine.wind_speed.get());
    let numbers = numbers.into_iter().map(StateValue::Number);
    let words = [turbine.individual_pitch.as_str(), turbine.yaw.as_str()].map(StateValue::Word);
    let mut values: Vec<_> = numbers.chain(words).collect();
    if names == ValueNames::Iec61400 {
        values.extend(drive_train_and_yaw(turbine));
    }
    values
}

/// What the standard names besides.
fn drive_train_and_yaw(turbine: &TurbineRecord) -> [StateValue; 6] {
    let unknown = f64::NAN;
    let brake = match turbine.brake_applied {
        Some(true) => "applied",
        Some(false) => "released",
        None => UNKNOWN,
    };
    [
        StateValue::Number(turbine.generator_speed.as_rpm()),
        StateValue::Number(turbine.generator_torque.get()),
        StateValue::Number(turbine.nacelle_yaw.map_or(unknown, |angle| angle.as_degrees().rem_euclid(360.0))),
        StateValue::Number(turbine.yaw_error.map_or(unknown, Radians::as_degrees)),
        StateValue::Number(turbine.cable_twist.map_or(unknown, Radians::as_degrees)),
        StateValue::Word(brake),
    ]
}

/// A turbine's values by the standard's names, as far as they are known; nothing of other plants.
pub(crate) fn standard_values(plant: &PlantConfig, record: &UnitRecord) -> BTreeMap<String, Value> {
    let filter = state_filter(plant, ValueNames::Iec61400);
    let values = state_values(record, ValueNames::Iec61400);
    let of_the_standard = filter.fields().iter().zip(values).filter(|(field, _)| field.name.contains('.'));
    let known = of_the_standard.filter_map(|(field, value)| match value {
        StateValue::Number(number) if number.is_finite() => Some((field.name, Value::Number(number))),
        StateValue::Word(word) if word != UNKNOWN => Some((field.name, Value::Word(word.to_owned()))),
        StateValue::Number(_) | StateValue::Word(_) | StateValue::Integer(_) | StateValue::Flag(_) => None,
    });
    known.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// When a unit's state is published, and under which names.
pub(crate) fn state_filter(plant: &PlantConfig, names: ValueNames) -> StateFilter {
    let field = |name, dead_band| StateField { name, dead_band };
    let standing = [field("quality", 0.0), field("trip", 0.0)];
    let fields: Vec<StateField> = match (plant, names) {
        (PlantConfig::Turbine(_), ValueNames::Takt) => {
            let numbers = [
                field("power_kw", 25.0),
                field("power_limit_kw", 1.0),
                field("rotor_rpm", 0.1),
                field("pitch_deg", 0.5),
                field("wind_mps", 0.5),
                field("individual_pitch", 0.0),
                field("yaw", 0.0),
            ];
            [field("mode", 0.0)].into_iter().chain(standing).chain(numbers).collect()
        }
        (PlantConfig::Turbine(_), ValueNames::Iec61400) => {
            let numbers = [
                field("WTUR.W", 25e3),
                field("WTUR.DmdW", 1e3),
                field("WROT.RotSpd", 0.1),
                field("WROT.PtAngValBl1", 0.5),
                field("WROT.PtAngValBl2", 0.5),
                field("WROT.PtAngValBl3", 0.5),
                field("WNAC.WdSpd", 0.5),
                field("individual_pitch", 0.0),
                field("yaw", 0.0),
                field("WGEN.Spd", 10.0),
                field("torque_nm", 500.0),
                field("WYAW.YawAng", 1.0),
                field("yaw_error_deg", 2.0),
                field("WYAW.CabWup", 5.0),
                field("WTRM.BrkOpMod", 0.0),
            ];
            [field("WTUR.TurSt", 0.0)].into_iter().chain(standing).chain(numbers).collect()
        }
        (PlantConfig::Der(_), _) => {
            let numbers = [field("power_kw", 25.0), field("power_limit_kw", 1.0)];
            [field("mode", 0.0)].into_iter().chain(standing).chain(numbers).collect()
        }
        (PlantConfig::Park(_), _) => {
            let numbers = [
                field("power_kw", 50.0),
                field("power_limit_kw", 1.0),
                field("target_kw", 50.0),
                field("available_kw", 100.0),
                field("frequency_hz", 0.02),
            ];
            [field("mode", 0.0)].into_iter().chain(standing).chain(numbers).collect()
        }
        (PlantConfig::Vehicle(_), _) => {
            let numbers = [field("x_m", 0.5), field("y_m", 0.5), field("heading_deg", 10.0)];
            [field("mode", 0.0)].into_iter().chain(standing).chain(numbers).collect()
        }
    };
    StateFilter::new(fields, STATE_INTERVAL_MIN, STATE_INTERVAL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_cycle::PlantRecord;
    use control_loops_controllers::turbine::{
        IndividualPitchStatus, ModeName, TripSet, TurbineParameters, YawStatus,
    };
    use hal_process_image::Quality;
    use hal_units::{MetersPerSecond, NewtonMeters, RadiansPerSecond, Watts};

    fn record() -> UnitRecord {
        let turbine = TurbineRecord {
            mode: ModeName::Run,
            trips: TripSet::NONE,
            wind_speed: MetersPerSecond(12.0),
            rotor_speed: RadiansPerSecond::from_rpm(12.1),
            power: Watts(5e6),
            pitch: Radians::from_degrees(3.0),
            blades: [2.0, 3.0, 4.0].map(Radians::from_degrees),
            generator_speed: RadiansPerSecond::from_rpm(1173.7),
            generator_torque: NewtonMeters(43e3),
            nacelle_yaw: Some(Radians::from_degrees(-90.0)),
            yaw_error: Some(Radians::from_degrees(4.0)),
            yaw: YawStatus::Untwisting,
            cable_twist: Some(Radians::from_degrees(-500.0)),
            brake_applied: Some(false),
            torque_command: NewtonMeters(4e4),
            pitch_command: Radians::from_degrees(3.0),
            power_limit: Watts(5e6),
            individual_pitch: IndividualPitchStatus::Active,
            operating: true,
            twist_lost: false,
        };
        UnitRecord {
            unit: 0,
            cycle: 1,
            quality: Quality::Good,
            input_age: None,
            unacknowledged_for: Duration::ZERO,
            plant: PlantRecord::Turbine(turbine),
        }
    }

    fn published(names: ValueNames) -> serde_json::Value {
        let plant = PlantConfig::Turbine(Box::new(TurbineParameters::NREL_5MW));
        let values = state_values(&record(), names);
        let filter = state_filter(&plant, names);
        assert_eq!(filter.fields().len(), values.len());
        serde_json::from_slice(&filter.payload(jiff::Timestamp::UNIX_EPOCH, &values)).unwrap()
    }

    #[test]
    fn under_the_standard_s_names_power_is_in_watts_and_each_blade_has_its_own_angle() {
        let state = published(ValueNames::Iec61400);
        assert_eq!(state["WTUR.TurSt"], "run");
        assert_eq!(state["WTUR.W"], 5e6);
        let near = |name: &str, expected: f64| (state[name].as_f64().unwrap() - expected).abs() < 1e-9;
        assert!(near("WROT.PtAngValBl1", 2.0) && near("WROT.PtAngValBl3", 4.0), "{state}");
        assert!(near("WROT.RotSpd", 12.1) && near("WNAC.WdSpd", 12.0), "{state}");
        assert!(near("WGEN.Spd", 1173.7) && near("torque_nm", 43e3), "{state}");
        assert!(near("WYAW.YawAng", 270.0) && near("yaw_error_deg", 4.0), "{state}");
        assert!(near("WYAW.CabWup", -500.0) && state["yaw"] == "untwisting", "{state}");
        assert_eq!(state["WTRM.BrkOpMod"], "released");
    }

    #[test]
    fn a_report_has_the_standard_s_names_alone_and_what_is_known_alone() {
        let plant = PlantConfig::Turbine(Box::new(TurbineParameters::NREL_5MW));
        let mut record = record();
        let values = standard_values(&plant, &record);
        assert_eq!((values.len(), &values["WTUR.W"]), (12, &Value::Number(5e6)));
        assert_eq!(values["WTUR.TurSt"], Value::Word("run".to_owned()));
        let PlantRecord::Turbine(turbine) = &mut record.plant else { panic!("it is a turbine") };
        (turbine.nacelle_yaw, turbine.brake_applied, turbine.cable_twist) = (None, None, None);
        let values = standard_values(&plant, &record);
        assert!(
            !values.keys().any(|name| name.starts_with("WYAW")) && !values.contains_key("WTRM.BrkOpMod"),
            "{values:?}"
        );
    }

    #[test]
    fn under_our_own_names_the_pitch_is_the_mean() {
        let state = published(ValueNames::Takt);
        assert!((state["pitch_deg"].as_f64().unwrap() - 3.0).abs() < 1e-9, "{state}");
        assert_eq!((&state["mode"], &state["individual_pitch"]), (&"run".into(), &"active".into()));
    }
}
