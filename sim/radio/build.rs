//! Tells the tests whether there is a Mosquitto to test against: without one they report as ignored.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rustc-check-cfg=cfg(takt_mosquitto)");
    println!("cargo:rerun-if-env-changed=PATH");
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_owned()])
        .any(|folder| folder.join("mosquitto").is_file());
    if is_there {
        println!("cargo:rustc-cfg=takt_mosquitto");
    }
}
