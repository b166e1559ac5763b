//! The shipped device profile describes the PLC that the simulator serves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use hal_diagnostics::Document;
use hal_field_bus::{DeviceProfile, RegisterTable, RegisterType, WordOrder};
use hal_process_image::{DeviceInputs, DeviceOutputs, Quality};
use hal_units::{Instant, MetersPerSecond};
use sim_devices::modbus::Registers;
use sim_devices::registers::{self, Kind, Register};
use sim_devices::{PlcConfig, TurbinePlc};
use sim_plants::{NoiseLevels, RotorSurface, Turbine, TurbinePlantParameters, Wind};

const TEXT: &str = include_str!("../../../profiles/nrel5mw-plc.toml");
const INDIVIDUAL_TEXT: &str = include_str!("../../../profiles/nrel5mw-plc-individual-pitch.toml");

fn profile() -> DeviceProfile {
    DeviceProfile::parse(&Document::new("nrel5mw-plc.toml", TEXT)).unwrap()
}

fn profiles() -> [DeviceProfile; 2] {
    let individual = Document::new("nrel5mw-plc-individual-pitch.toml", INDIVIDUAL_TEXT);
    [profile(), DeviceProfile::parse(&individual).unwrap()]
}

fn plc() -> TurbinePlc {
    let wind = MetersPerSecond(12.0);
    let turbine = Turbine::new(TurbinePlantParameters::NREL_5MW, RotorSurface::nrel_5mw());
    let config = PlcConfig { noise: NoiseLevels::NONE, ..PlcConfig::default() };
    TurbinePlc::new(turbine.in_operation(wind), Wind::constant(wind), config)
}

#[track_caller]
fn check_same(tag: &str, described: hal_field_bus::Register, served: Register) {
    let kind = match served.kind {
        Kind::U16 => RegisterType::U16,
        Kind::U32 => RegisterType::U32,
        Kind::F32 => RegisterType::F32,
    };
    assert_eq!((tag, described.address, described.kind), (served.name, served.address, kind));
    assert_eq!((described.table, described.word_order), (RegisterTable::Holding, WordOrder::HighFirst));
}

#[test]
fn the_profile_names_every_register_that_is_served_and_no_other() {
    let [together, individual] = profiles();
    assert_eq!(individual.inputs.len(), registers::MEASUREMENTS.len());
    assert_eq!(individual.outputs.len(), registers::COMMANDS.len());
    check_registers(&individual);
    check_registers(&together);
}

fn check_registers(profile: &DeviceProfile) {
    for (tag, served) in profile.inputs.iter().zip(registers::MEASUREMENTS) {
        check_same(&tag.name, tag.register, served);
    }
    for (tag, served) in profile.outputs.iter().zip(registers::COMMANDS) {
        check_same(&tag.name, tag.register, served);
    }
    assert_eq!(profile.watchdog, profile.output("watchdog"));
    assert_eq!(profile.epoch, profile.output("epoch_cmd"));
}

#[test]
fn one_read_fetches_all_inputs_of_a_running_turbine_and_all_are_good() {
    let (profile, mut plc) = (profile(), plc());
    assert_eq!((profile.reads.len(), profile.writes.len()), (1, 1));
    let block = &profile.reads[0];
    let mut words = vec![0; block.count.into()];
    plc.at(Instant::ZERO).read(block.start, &mut words).unwrap();
    let mut image = DeviceInputs::NEVER;
    profile.decode(block, &words, &mut image);
    for tag in &profile.inputs {
        let sample = image.sample(profile.input(&tag.name).unwrap());
        assert_eq!(sample.quality, Quality::Good, "{} is {}", tag.name, sample.value);
    }
    let power = image.sample(profile.input("power").unwrap()).value;
    assert!((power - 5e6).abs() < 1e4, "{power}");
}

#[test]
fn every_output_within_the_profiles_limits_is_accepted() {
    for (profile, upper) in profiles().iter().flat_map(|profile| [(profile, false), (profile, true)]) {
        let block = &profile.writes[0];
        let mut outputs = DeviceOutputs::NEVER;
        for tag in &profile.outputs {
            outputs.set(profile.output(&tag.name).unwrap(), if upper { tag.limits.1 } else { tag.limits.0 });
        }
        let mut words = vec![0; block.count.into()];
        profile.encode(block, &outputs, &mut words);
        assert_eq!(plc().at(Instant::ZERO).write(block.start, &words), Ok(()), "{words:?}");
    }
}
