//! Plans: any text is refused helpfully, or demands only what the site has.
#![no_main]

use agent_plan::{Plan, UnitLimits};
use hal_diagnostics::Document;
use hal_units::Watts;
use libfuzzer_sys::fuzz_target;
use takt_fuzz::{FILE, assert_helpful};

fuzz_target!(|text: &str| {
    let document = Document::new(FILE, text);
    let rated_power = Watts::from_kilowatts(5_000.0);
    let site = ["WT01", "WT02"].map(|unit| UnitLimits { unit: unit.to_owned(), rated_power, through: None });
    match Plan::parse_for(&document, &site) {
        Ok(plan) => {
            for demand in &plan.units {
                assert!(site.iter().any(|unit| unit.unit == demand.unit), "{demand:?}");
                let limit = demand.power_limit.unwrap_or(rated_power);
                assert!((0.0..=rated_power.get()).contains(&limit.get()), "{demand:?}");
            }
        }
        Err(complaint) => assert_helpful(FILE, text, &complaint),
    }
});
