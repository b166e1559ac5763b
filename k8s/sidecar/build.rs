//! Tells the tests where an API server is to test against: without one they report as ignored.
//!
//! It is looked for where `cargo xtask testenv` puts it: a folder that is named after the versions.

use std::env;
use std::fs;
use std::path::PathBuf;

const PROGRAMS: [&str; 2] = ["etcd", "kube-apiserver"];

fn main() {
    println!("cargo:rustc-check-cfg=cfg(takt_api_server)");
    println!("cargo:rerun-if-changed=../testenv/go.mod");
    for variable in ["TAKT_TESTENV", "XDG_CACHE_HOME", "HOME"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let Some(folder) = folder() else { return };
    for name in PROGRAMS {
        println!("cargo:rerun-if-changed={}", folder.join(name).display());
    }
    if PROGRAMS.iter().all(|name| folder.join(name).is_file()) {
        println!("cargo:rustc-cfg=takt_api_server");
        println!("cargo:rustc-env=TAKT_API_SERVER={}", folder.display());
    }
}

fn folder() -> Option<PathBuf> {
    let go_mod = fs::read_to_string("../testenv/go.mod").ok()?;
    let version = |module: &str| {
        go_mod.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(module)).then(|| words.next().map(str::to_owned)).flatten()
        })
    };
    let (kubernetes, etcd) = (version("k8s.io/kubernetes")?, version("go.etcd.io/etcd/server/v3")?);
    let named = env::var_os("TAKT_TESTENV").map(PathBuf::from);
    let xdg = env::var_os("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("takt/testenv"));
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/takt/testenv"));
    Some(named.or(xdg).or(home)?.join(format!("kubernetes-{kubernetes}-etcd-{etcd}")))
}
