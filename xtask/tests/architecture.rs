//! The workspace keeps its own rules, and the rules can be broken.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use xtask::architecture::{Violation, violations};
use xtask::workspace::{Dependency, DependencyKind, Package, Workspace};

#[test]
fn this_workspace_keeps_the_rules() {
    let found = violations(&Workspace::load().unwrap()).unwrap();
    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(text.is_empty(), "\n{}", text.join("\n"));
}

/// A small workspace on disk that keeps the rules until a test breaks one.
struct Tree {
    place: TempDir,
    packages: Vec<Package>,
}

const MANIFEST: &str = "[package]\nname = \"x\"\n[lints]\nworkspace = true\n";

impl Tree {
    fn new() -> Self {
        let mut tree = Self { place: TempDir::new().unwrap(), packages: Vec::new() };
        tree.add("hal/units", "hal-units")
            .add("hal/linux-rt", "hal-linux-rt")
            .add("hal/modbus", "hal-modbus");
        tree.write("hal/units/src/lib.rs", "#![no_std]\n");
        tree
    }

    fn add(&mut self, folder: &str, name: &str) -> &mut Self {
        self.write(&format!("{folder}/Cargo.toml"), MANIFEST);
        self.write(&format!("{folder}/src/lib.rs"), "");
        self.packages.push(Package {
            name: name.to_owned(),
            id: name.to_owned(),
            manifest_path: self.place.path().join(folder).join("Cargo.toml"),
            dependencies: Vec::new(),
        });
        self
    }

    fn depend(&mut self, package: &str, on: &str, kind: Option<DependencyKind>) {
        let path = Some(self.place.path().join(on));
        let package = self.packages.iter_mut().find(|p| p.name == package).unwrap();
        package.dependencies.push(Dependency { name: on.to_owned(), kind, path });
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.place.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn check(self, expected: &[Violation]) {
        let root = self.place.path().to_owned();
        let target = root.join("target");
        let workspace = Workspace { root, target, packages: self.packages };
        assert_eq!(violations(&workspace).unwrap(), expected);
    }
}

fn owned(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_tree_that_keeps_the_rules_passes() {
    let mut tree = Tree::new();
    tree.depend("hal-modbus", "hal-field-bus", None);
    tree.depend("hal-modbus", "hal-units", None);
    tree.depend("hal-modbus", "hal-diagnostics", None);
    tree.check(&[]);
}

#[test]
fn an_edge_that_is_not_in_the_table_is_refused() {
    let mut tree = Tree::new();
    tree.depend("hal-modbus", "agent-cycle", None);
    tree.check(&[Violation::Dependency { package: owned("hal-modbus"), on: owned("agent-cycle") }]);
}

#[test]
fn a_build_script_has_no_more_rights_than_the_package() {
    let mut tree = Tree::new();
    tree.depend("hal-modbus", "sim-plants", Some(DependencyKind::Build));
    tree.check(&[Violation::Dependency { package: owned("hal-modbus"), on: owned("sim-plants") }]);
}

#[test]
fn a_test_may_reach_further_than_its_package() {
    let mut tree = Tree::new();
    tree.depend("hal-modbus", "sim-devices", Some(DependencyKind::Dev));
    tree.check(&[]);
}

#[test]
fn not_even_a_test_may_use_a_program() {
    let mut tree = Tree::new();
    tree.depend("hal-modbus", "agent-daemon", Some(DependencyKind::Dev));
    tree.check(&[Violation::OnProgram { package: owned("hal-modbus"), program: owned("agent-daemon") }]);
}

#[test]
fn the_real_time_path_may_not_use_the_diagnostics() {
    let mut tree = Tree::new();
    tree.depend("hal-units", "hal-diagnostics", None);
    tree.check(&[Violation::Dependency { package: owned("hal-units"), on: owned("hal-diagnostics") }]);
}

#[test]
fn a_package_without_a_row_is_refused() {
    let mut tree = Tree::new();
    tree.add("hal/new", "hal-new");
    tree.check(&[Violation::NoRow { package: owned("hal-new") }]);
}

#[test]
fn a_name_that_does_not_follow_the_path_is_refused() {
    let mut tree = Tree::new();
    tree.add("hal/bus", "hal-field-bus");
    let (package, expected) = (owned("hal-field-bus"), owned("hal-bus"));
    tree.check(&[Violation::Name { package, expected }]);
}

#[test]
fn a_package_outside_the_layout_is_refused() {
    let mut tree = Tree::new();
    tree.add("tools", "xtask");
    let name = Violation::Name { package: owned("xtask"), expected: owned("tools") };
    tree.check(&[name, Violation::Folder { folder: "tools".into() }]);
}

#[test]
fn a_manifest_that_is_no_member_is_refused() {
    let tree = Tree::new();
    tree.write("hal/forgotten/Cargo.toml", MANIFEST);
    tree.write("target/package/x/Cargo.toml", MANIFEST);
    tree.write("fuzz/Cargo.toml", MANIFEST);
    tree.check(&[Violation::NoMember { folder: "hal/forgotten".into() }]);
}

#[test]
fn a_package_without_the_lints_is_refused() {
    let tree = Tree::new();
    tree.write("hal/modbus/Cargo.toml", "[package]\nname = \"x\"\n[lints.rust]\nunsafe_code = \"allow\"\n");
    tree.check(&[Violation::Lints { package: owned("hal-modbus") }]);
}

#[test]
fn unsafe_code_is_refused_even_in_tests_but_not_in_its_own_package() {
    let tree = Tree::new();
    tree.write("hal/linux-rt/src/sys.rs", "fn f() { unsafe { g() } }");
    tree.write("hal/modbus/src/lib.rs", "//! No unsafe here.\n#![forbid(unsafe_code)]\n");
    tree.write("hal/modbus/tests/wire.rs", "fn f() {\n    unsafe { g() }\n}\n");
    let file = Path::new("hal/modbus/tests/wire.rs").to_owned();
    tree.check(&[Violation::Unsafe { file, line: 2 }]);
}

#[test]
fn the_real_time_path_must_do_without_the_standard_library() {
    let tree = Tree::new();
    tree.write("hal/units/src/lib.rs", "// #![no_std]\n");
    tree.check(&[Violation::Std { package: owned("hal-units") }]);
}

#[test]
fn the_controllers_must_do_without_allocation() {
    let tree = Tree::new();
    tree.write("hal/units/src/time.rs", "extern crate alloc;\n");
    let (package, file) = (owned("hal-units"), Path::new("hal/units/src/time.rs").to_owned());
    tree.check(&[Violation::Alloc { package, file, line: 1 }]);
}
