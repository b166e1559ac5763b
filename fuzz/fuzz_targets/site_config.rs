//! Site configurations: any text is refused helpfully, or wires only what exists.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use agent_daemon::config::SiteConfig;
use hal_diagnostics::{Diagnostic, Document};
use hal_field_bus::DeviceProfile;
use libfuzzer_sys::fuzz_target;
use takt_fuzz::{FILE, assert_helpful};

/// What every profile that a site names turns out to be.
static PROFILE: LazyLock<DeviceProfile> = LazyLock::new(|| {
    let text = include_str!("../../profiles/nrel5mw-plc.toml");
    DeviceProfile::parse(&Document::new("nrel5mw-plc.toml", text)).expect("the project's profile is good")
});

fuzz_target!(|text: &str| {
    let read_profile = |_: &Path| -> Result<DeviceProfile, Diagnostic> { Ok(PROFILE.clone()) };
    match SiteConfig::parse(&Document::new(FILE, text), Path::new("/etc/takt"), &read_profile) {
        Ok(site) => assert_wired(&site),
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
