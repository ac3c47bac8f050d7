//! How `scripts/test` runs tiers: on a Cargo that writes down what it was asked, with services that are said to be there.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{self, Command, Output},
};

/// A folder that is removed at the end, with a Cargo that prints its arguments and the number of tests at a time.
struct Stage(PathBuf);

impl Stage {
    fn new(name: &str, exit: &str) -> Self {
        let folder = env::temp_dir().join(format!("tiers-{name}-{}", process::id()));
        fs::create_dir_all(folder.join("bin")).unwrap();
        let cargo = folder.join("bin/cargo");
        fs::write(&cargo, format!("#!/bin/sh\necho \"at a time ${{RUST_TEST_THREADS:-any}}: $*\"\n{exit}\n")).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn run(&self, tiers: &str) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let path = format!("{}:{}", self.0.join("bin").display(), env::var("PATH").unwrap());
        Command::new("bash")
            .args([
                "-c",
                &format!("here=$PWD; . scripts/cache.sh; mkdir -p \"$(tools_folder)\"; exec scripts/test {tiers}"),
            ])
            .current_dir(root)
            .env("PATH", path)
            .env("LOGIN_PIPELINE_CACHE", self.0.join("cache"))
            .envs(
                ["KAFKA_BOOTSTRAP", "KUBEBUILDER_ASSETS", "LOGIN_PIPELINE_E2E_KUBECONFIG"].map(|name| (name, "there")),
            )
            .env_remove("RUST_TEST_THREADS")
            .env_remove("CI")
            .output()
            .unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The node's tests run one at a time; those of the tiers after it do not.
#[test]
fn a_tier_has_its_own_number_of_tests_at_a_time() {
    let output = Stage::new("own", "").run("testkit node kafka");

    let printed = String::from_utf8(output.stdout).unwrap();
    let at_a_time = |test: &str| {
        let run = printed
            .lines()
            .find(|line| line.contains(&format!("--test {test} ")))
            .unwrap_or_else(|| panic!("{test}: {printed}"));
        run.split_once(": ").unwrap().0.to_owned()
    };
    assert_eq!(at_a_time("node"), "at a time 1");
    assert_eq!(at_a_time("kafka"), "at a time 6");
    assert_eq!(at_a_time("brokers"), "at a time 6");
    assert!(output.status.success(), "{printed}");
}

#[test]
fn a_tier_that_fails_fails_the_run_and_stops_no_other() {
    let output = Stage::new("fails", "case \"$*\" in *kafka*) exit 1 ;; esac").run("kafka testkit");

    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.lines().any(|line| line.starts_with("kafka ") && line.ends_with("FAILED, see ==== kafka")),
        "{printed}"
    );
    assert!(printed.lines().any(|line| line.starts_with("testkit ") && line.ends_with("passed")), "{printed}");
    assert_eq!(output.status.code(), Some(1));
}
