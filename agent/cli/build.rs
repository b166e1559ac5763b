//! Finds out what is there, so that tests that need a missing part are reported as ignored.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    announce("takt_bash", Command::new("bash").arg("--version").output().is_ok());
    announce("takt_netns", can_make_network_namespaces());
}

fn announce(name: &str, found: bool) {
    println!("cargo:rustc-check-cfg=cfg({name})");
    if found {
        println!("cargo:rustc-cfg={name}");
    }
}

/// By making one: root may still be without the right to.
fn can_make_network_namespaces() -> bool {
    let name = format!("takt-build-{}", std::process::id());
    let ip = |action: &str| {
        Command::new("ip").args(["netns", action, &name]).output().is_ok_and(|output| output.status.success())
    };
    ip("add") && ip("delete")
}
