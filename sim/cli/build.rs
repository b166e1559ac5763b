//! Tells the tests which real parts are there: without one, its tests are reported as ignored.

use std::env;
use std::path::Path;

fn main() {
    folder("TAKT_DATA", "takt_data");
    // The wheel `rosco` from PyPI, unpacked: `pip download --no-deps rosco && unzip rosco-*.whl -d FOLDER`.
    folder("TAKT_ROSCO", "takt_rosco");
}

fn folder(variable: &str, cfg: &str) {
    println!("cargo:rerun-if-env-changed={variable}");
    println!("cargo:rustc-check-cfg=cfg({cfg})");
    if env::var_os(variable).is_some_and(|folder| Path::new(&folder).is_dir()) {
        println!("cargo:rustc-cfg={cfg}");
    }
}
