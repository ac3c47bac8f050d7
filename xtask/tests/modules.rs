//! No circle of modules in any crate: no two files import each other, directly or round about.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use xtask::modules::{Imports, circles, imports, modules};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The members of the workspace, by their folders.
fn crates() -> Vec<String> {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

fn imports_of(folder: &str) -> Imports {
    let source = root().join(folder).join("src");
    let file = ["lib.rs", "main.rs"].map(|name| source.join(name)).into_iter().find(|file| file.is_file()).unwrap();
    imports(&modules(&file).unwrap())
}

fn circles_of_all(view: impl Fn(Imports) -> Imports) -> Vec<String> {
    let of = |folder: &String| {
        circles(&view(imports_of(folder))).into_iter().map(|circle| format!("{folder}: {circle}")).collect::<Vec<_>>()
    };
    crates().iter().flat_map(of).collect()
}

#[test]
fn no_files_import_each_other() {
    let found = circles_of_all(|imports| imports);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Folders, too: what two folders share stands in a third.
#[test]
fn no_folders_import_each_other() {
    let found = circles_of_all(|imports| by_folder(&imports));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The same imports between the top modules of a crate, with all that is below them.
fn by_folder(imports: &Imports) -> Imports {
    let top = |module: &[String]| module.iter().take(1).cloned().collect::<Vec<_>>();
    let mut folders = Imports::new();
    for (from, to) in imports {
        let of: &mut BTreeMap<_, _> = folders.entry(top(from)).or_default();
        of.extend(to.iter().filter(|(to, _)| top(to) != top(from)).map(|(to, path)| (top(to), path.clone())));
    }
    folders
}

/// The imports of a crate that is made of these files, the first of which is its root.
fn planted(files: &[(&str, &str)]) -> Imports {
    let folder = testkit::process::Folder::new("planted").unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    imports(&modules(&folder.path().join(files[0].0)).unwrap())
}

#[test]
fn a_planted_circle_is_found() {
    let direct = planted(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use super::b::B; pub struct A(B);"),
        ("b.rs", "pub struct B; fn of() -> Option<crate::a::A> { None }"),
    ]);
    let told = circles(&direct).concat();
    assert!(told.contains("a imports b (super::b::B)") && told.contains("b imports a (crate::a::A)"), "{told}");

    let through_a_third = planted(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::{b::{B as Other}}; pub struct A(Other);"),
        ("b.rs", "pub struct B; use super::c; fn of(_: c::C) {}"),
        ("c.rs", "pub struct C; fn of(_: super::a::A) {}"),
    ]);
    assert!(circles(&through_a_third).concat().starts_with("a circle of 3 modules"));

    let parent_and_child = planted(&[
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod b; use b::B; pub struct A(B);"),
        ("a/b.rs", "pub struct B; use super::A; impl A {}"),
    ]);
    assert_eq!(circles(&parent_and_child).len(), 1);
}

#[test]
fn what_is_no_circle_is_not_called_one() {
    // A name that a parent hands on belongs to the child that defines it, and tests import what they like.
    let handed_on = planted(&[
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod b; mod c; pub use b::B; pub use c::C; pub const D: u8 = 0;"),
        ("a/b.rs", "pub struct B; #[cfg(test)] mod tests { use super::super::c::C; }"),
        ("a/c.rs", "use super::{B, D}; pub struct C(B, [u8; D as usize]);"),
    ]);
    assert_eq!(circles(&handed_on), [""; 0]);
    let of_c: Vec<_> = handed_on[&["a".to_owned(), "c".to_owned()].to_vec()].values().collect();
    assert_eq!(of_c, ["super::D", "super::B"]);
}
