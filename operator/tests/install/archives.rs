//! `scripts/images` and `scripts/kind load`, with a program of this machine in place of each binary.

use std::{fs, process::Command};

use crate::{machine::Machine, path, said};

fn archive(machine: &Machine, name: &str) -> Vec<u8> {
    fs::read(machine.target().join(format!("images/{name}.tar"))).unwrap()
}

#[test]
fn the_same_binaries_give_the_same_archives() {
    let machine = Machine::built();
    let script = path("scripts/images");
    said(machine.run(&script, &["--tag", "a"]));
    let first = ["operator", "processor"].map(|name| archive(&machine, name));
    fs::remove_dir_all(machine.target().join("images")).unwrap();
    said(machine.run(&script, &["--tag", "a"]));
    let second = ["operator", "processor"].map(|name| archive(&machine, name));
    assert!(first == second);
    let left: Vec<_> =
        fs::read_dir(machine.target().join("images")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn an_image_that_is_too_large_is_none() {
    let machine = Machine::built();
    let (operator, ballast) = (machine.target().join("release/operator"), machine.target().join("ballast"));
    fs::write(&ballast, vec![0; 40_000_000]).unwrap();
    let section = format!("ballast={}", ballast.display());
    said(Command::new("objcopy").args(["--add-section", &section]).arg("/bin/true").arg(operator).output().unwrap());
    let run = machine.run(path("scripts/images"), &["--only", "operator"]);
    let error = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(!run.status.success() && error.contains("larger than 40.0 MB"), "{error}");
    assert!(!machine.target().join("images/operator.tar").exists());
}

#[test]
fn what_it_does_not_know_is_refused() {
    for arguments in [&["--only", "nobody"][..], &["--profile"], &["--profile", "test"], &["all", "of them"]] {
        assert!(!Machine::built().run(path("scripts/images"), arguments).status.success(), "{arguments:?}");
    }
}

#[test]
fn both_archives_are_brought_to_the_node() {
    let machine = Machine::built();
    fs::write(machine.folder.path().join("node"), "").unwrap();
    said(machine.run(path("scripts/kind"), &["load"]));
    let calls = machine.calls();
    for name in ["operator", "processor"] {
        let sum =
            said(Command::new("sha256sum").arg(machine.target().join(format!("images/{name}.tar"))).output().unwrap());
        assert!(calls.contains(sum.split(' ').next().unwrap()), "{calls}");
    }
    let import = "docker exec --privileged -i login-pipeline-control-plane ctr --namespace=k8s.io images import ";
    assert_eq!(calls.matches(import).count(), 2, "{calls}");
}
