//! Wind specs: any text is refused, or says the same when it is written out and read again, and blows at
//! a speed that is finite at every time.
#![no_main]

use hal_units::Duration;
use libfuzzer_sys::fuzz_target;
use sim_plants::{Wind, WindError, WindSpec};

fuzz_target!(|text: &str| {
    let spec = match WindSpec::parse(text) {
        Ok(spec) => spec,
        Err(complaint) => return assert!(complaint.to_string().contains("remedy: "), "{complaint}"),
    };
    let again = WindSpec::parse(&spec.to_string()).expect("a spec that is written out can be read");
    assert_eq!(again.to_string(), spec.to_string());
    match Wind::from_spec(&spec, 1) {
        Ok(wind) => {
            for t in [0, 1, 10, 999, 60_000, 86_400_000].map(Duration::from_millis) {
                let speed_mps = wind.speed_at(t).get();
                assert!(speed_mps.is_finite() && speed_mps >= 0.0, "{speed_mps} m/s at {t:?}");
            }
        }
        Err(complaint) => assert!(matches!(complaint, WindError::IsFile { .. }), "{complaint}"),
    }
});
