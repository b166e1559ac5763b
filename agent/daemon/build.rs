//! Tells the tests whether they can take permissions away: without that they report as ignored.

use std::env;
use std::os::unix::fs::MetadataExt;

fn main() {
    println!("cargo:rustc-check-cfg=cfg(takt_setpriv)");
    println!("cargo:rerun-if-env-changed=PATH");
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|folder| folder.join("setpriv").is_file());
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if is_there && is_root {
        println!("cargo:rustc-cfg=takt_setpriv");
    }
}
