//! The chart ships the custom resources as the sidecar prints them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

const SHIPPED: &str = include_str!("../../chart/crds/control.takt.dev.yaml");

#[test]
fn the_chart_ships_the_resources_that_the_sidecar_speaks() {
    let printed = Command::new(env!("CARGO_BIN_EXE_takt-sidecar")).arg("crd").output().unwrap();
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(printed, SHIPPED, "takt-sidecar crd > k8s/chart/crds/control.takt.dev.yaml");
}
