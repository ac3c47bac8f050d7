//! What enters the build of the processor. `make demo` is the first thing that people try, and on two cores most of its first build
//! is the C libraries and what can begin only after them. It is measured by hand (docs/testing.md); here is what keeps it short.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

/// The most crates that the processor may be built from, on Linux. Where a new one is worth its time, raise this by what it brings.
const MOST: usize = 165;

/// The crates with code in C: each delays the crates behind it by its own configure and make, librdkafka behind OpenSSL most of all.
const IN_C: [&str; 4] = ["libmimalloc-sys", "libz-sys", "openssl-sys", "rdkafka-sys"];

/// Crates that only the operator needs, or that bring a second TLS, a second HTTP or a tool in front of the C libraries.
const ELSEWHERE: [&str; 9] =
    ["aws-lc-sys", "bindgen", "cmake", "kube-client", "kube-runtime", "openssl", "reqwest", "ring", "rustls"];

fn cargo(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output =
        Command::new(env!("CARGO")).args(arguments).args(["--locked", "--offline"]).current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The crates that `cargo build -p processor` compiles, each as `name version`.
fn tree() -> BTreeSet<String> {
    let tree = cargo(&["tree", "-p", "processor", "-e", "normal,build", "--prefix", "none", "--no-dedupe"]);
    let crates = tree.lines().filter_map(|line| line.split_once(" v"));
    crates.map(|(name, rest)| format!("{name} {}", rest.split(' ').next().unwrap())).collect()
}

#[test]
fn the_processor_is_built_from_a_bounded_number_of_crates() {
    let tree = tree();
    assert!(tree.len() <= MOST, "{} crates, and at most {MOST} are expected: {tree:#?}", tree.len());
    let names: BTreeSet<&str> = tree.iter().map(|it| it.split(' ').next().unwrap()).collect();
    for name in ELSEWHERE {
        assert!(!names.contains(name), "{name} is in the processor's build: see `cargo tree -p processor -i {name}`");
    }
}

#[test]
fn the_processor_builds_four_libraries_in_c_and_no_more() {
    let tree = tree();
    let metadata: Value = serde_json::from_str(&cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--filter-platform",
        &format!("{}-unknown-linux-gnu", std::env::consts::ARCH),
    ]))
    .unwrap();
    let native: BTreeSet<&str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["links"].is_string() && it["name"] != "k8s-openapi")
        .filter(|it| tree.contains(&format!("{} {}", it["name"].as_str().unwrap(), it["version"].as_str().unwrap())))
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(native, BTreeSet::from(IN_C), "k8s-openapi alone claims a library without one");
}

#[test]
fn the_last_step_of_a_release_build_stays_short() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml")).unwrap();
    let release = manifest.split("[profile.release]").nth(1).unwrap().split("\n[").next().unwrap();
    assert!(
        release.contains("lto = \"off\""),
        "optimizing the whole program once more takes a minute on one core: {release}"
    );
}
