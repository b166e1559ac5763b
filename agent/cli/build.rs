//! Finds out which programs are there, so that tests that need a missing one are reported as ignored.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(takt_bash)");
    if std::process::Command::new("bash").arg("--version").output().is_ok() {
        println!("cargo:rustc-cfg=takt_bash");
    }
}
