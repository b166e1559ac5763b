//! The simulated PLC as a Modbus server: any bytes are answered by whole frames or close the connection, and
//! nothing that a master writes drives the plant out of the numbers.
#![no_main]

use std::sync::LazyLock;

use hal_units::{Duration, Instant, MetersPerSecond};
use libfuzzer_sys::fuzz_target;
use sim_devices::modbus::{FRAME_BYTES_MAX, HEADER_BYTES, Received, receive, serve};
use sim_devices::{PlcConfig, TurbinePlc};
use sim_plants::{RotorSurface, Turbine, TurbinePlantParameters, Wind};

const WIND: MetersPerSecond = MetersPerSecond(12.0);

/// A turbine in operation; finding its steady state takes too long to be done for each input.
static TURBINE: LazyLock<Turbine> = LazyLock::new(|| {
    Turbine::new(TurbinePlantParameters::default(), RotorSurface::nrel_5mw()).in_operation(WIND)
});

fuzz_target!(|bytes: &[u8]| {
    let mut plc = TurbinePlc::new(TURBINE.clone(), Wind::constant(WIND), PlcConfig::default());
    let mut now = Instant::ZERO;
    let mut rest = bytes;
    let mut answer = Vec::with_capacity(FRAME_BYTES_MAX);
    while let Received::Frame { header, pdu, length } = receive(rest) {
        now = now + Duration::from_millis(20);
        plc.advance_to(now);
        serve(header, pdu, &mut plc.at(now), &mut answer);
        assert_answers(pdu, &answer);
        rest = &rest[length..];
    }
    plc.advance_to(now + Duration::from_millis(100));
    let (truth, state) = (*plc.truth(), plc.turbine_mut().measurements());
    assert!(truth.energy_j.is_finite() && truth.rotor_speed_max.is_finite(), "{truth:?}");
    assert!(state.rotor_speed.is_finite() && state.pitch.iter().all(|pitch| pitch.is_finite()), "{state:?}");
});

/// Checks that an answer is one whole frame for the request's function, or an exception to it.
fn assert_answers(request: &[u8], answer: &[u8]) {
    let Received::Frame { pdu, length, .. } = receive(answer) else { panic!("no frame: {answer:?}") };
    assert!(length == answer.len() && length <= FRAME_BYTES_MAX && length > HEADER_BYTES);
    let (asked, said) = (request[0], pdu[0]);
    let is_exception = said == asked | 0x80 && pdu.len() == 2 && (1..=3).contains(&pdu[1]);
    assert!(said == asked || is_exception, "{request:?} was answered by {pdu:?}");
}
