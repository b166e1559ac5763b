//! Site configurations: any text is refused helpfully, or wires only what exists.
#![no_main]

use std::path::Path;

use agent_daemon::config::SiteConfig;
use hal_diagnostics::{Diagnostic, Document};
use libfuzzer_sys::fuzz_target;
use takt_fuzz::{FILE, assert_helpful};

/// What every file that a site names turns out to be.
const PROFILE: &str = include_str!("../../profiles/nrel5mw-plc.toml");

fuzz_target!(|text: &str| {
    let read = |_: &Path| -> Result<Document, Diagnostic> { Ok(Document::new("nrel5mw-plc.toml", PROFILE)) };
    match SiteConfig::parse(&Document::new(FILE, text), Path::new("/etc/takt"), &read) {
        Ok(site) => assert_wired(&site),
        Err(complaint) if complaint.file != FILE => {}
        Err(complaint) => assert_helpful(FILE, text, &complaint),
    }
});

fn assert_wired(site: &SiteConfig) {
    for unit in &site.units {
        assert!(unit.group < site.groups.len() && unit.device < site.devices.len(), "{unit:?}");
    }
    for bus in &site.buses {
        assert!(bus.group < site.groups.len(), "{bus:?}");
        assert!(bus.devices.iter().all(|device| *device < site.devices.len()), "{bus:?}");
    }
    for (at, device) in site.devices.iter().enumerate() {
        assert!(site.buses.get(device.bus).is_some_and(|bus| bus.devices.contains(&at)), "{device:?}");
    }
    for group in &site.groups {
        assert!(group.budget <= group.deadline && group.deadline <= group.period, "{group:?}");
    }
}
