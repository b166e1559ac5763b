//! Wind files, CSV, OpenFAST's uniform format and TurbSim's full field: any bytes are refused helpfully, or
//! blow at a speed that is believed at every time.
#![no_main]

use hal_units::{Duration, Meters};
use libfuzzer_sys::fuzz_target;
use sim_plants::Wind;
use sim_plants::wind::WIND_MPS_MAX;
use takt_fuzz::assert_helpful;

fuzz_target!(|bytes: &[u8]| {
    match Wind::from_full_field("fuzz.bts", bytes, Meters(63.0)) {
        Ok(wind) => assert_believable(&wind),
        Err(complaint) => assert!(!complaint.remedy.is_empty(), "{complaint}"),
    }
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    for file in ["fuzz.csv", "fuzz.wnd"] {
        match Wind::from_text(file, text) {
            Ok(wind) => assert_believable(&wind),
            Err(complaint) => assert_helpful(file, text, &complaint),
        }
    }
});

fn assert_believable(wind: &Wind) {
    for t in [0, 1, 10, 999, 60_000, 86_400_000].map(Duration::from_millis) {
        let speed_mps = wind.speed_at(t).get();
        assert!((0.0..=WIND_MPS_MAX).contains(&speed_mps), "{speed_mps} m/s at {t:?}");
        assert!(wind.direction_at(t).is_finite());
    }
}
