//! That the sanitizer which watches the cycle in a build of its own catches anything at all.
#![allow(clippy::unwrap_used)]
#![cfg_attr(takt_rtsan, feature(sanitize))]

use std::process::Command;

/// Says to the test's own child what it is.
const CHILD: &str = "TAKT_ALLOCATES_IN_A_CYCLE";
const NAME: &str = "an_allocation_where_none_may_be_ends_the_program";

#[cfg_attr(takt_rtsan, sanitize(realtime = "nonblocking"))]
fn allocate() -> Vec<u8> {
    std::hint::black_box(vec![7; 4096])
}

#[test]
#[cfg_attr(not(takt_rtsan), ignore = "needs a build of its own: cargo xtask check --only sanitizer")]
fn an_allocation_where_none_may_be_ends_the_program() {
    if std::env::var_os(CHILD).is_some() {
        drop(allocate());
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--include-ignored", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success(), "{said}");
    assert!(said.contains("RealtimeSanitizer") && said.contains("malloc"), "{said}");
}
