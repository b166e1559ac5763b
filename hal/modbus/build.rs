//! Tells the tests whether libmodbus and a C compiler are there to build a foreign peer with.

use std::process::{Command, Stdio};

fn main() {
    println!("cargo:rustc-check-cfg=cfg(takt_libmodbus)");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    println!("cargo:rerun-if-env-changed=PATH");
    println!("cargo:rerun-if-changed=build.rs");
    let works = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if works("pkg-config", &["--exists", "libmodbus"]) && works("cc", &["--version"]) {
        println!("cargo:rustc-cfg=takt_libmodbus");
    }
}
