//! Passes the build's revision to the crate.

#![expect(clippy::print_stdout, reason = "it is how cargo is told")]

mod revision;

use std::{env, path::Path, process::Command};

/// The variable that sets the revision for a build without a repository, such as a Dockerfile.
const GIVEN: &str = "LOGIN_PIPELINE_REVISION";

fn main() {
    println!("cargo::rerun-if-changed=build");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if is_release {
        println!("cargo::rerun-if-env-changed={GIVEN}");
        watch_commits();
    }
    let revision = revision::revision(is_release, env::var(GIVEN).ok(), || git(&["rev-parse", "HEAD"]));
    println!("cargo::rustc-env=BUILD_REVISION={revision}");
}

/// Rebuilds after each commit: the branch's file changes, or HEAD when another branch is checked out.
fn watch_commits() {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD"].into_iter().chain(branch.as_deref()) {
        if let Some(file) = git(&["rev-parse", "--git-path", name]).filter(|file| Path::new(file).exists()) {
            println!("cargo::rerun-if-changed={file}");
        }
    }
}

/// The output of git, if git and a repository exist.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
