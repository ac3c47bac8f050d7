//! The dependencies of the demo's build. `make demo` is the first command that people try, and on two cores most of its
//! first build is the C libraries and what waits for them. The time is measured by hand (docs/testing.md); this test keeps
//! it short.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

/// The maximum number of crates of others in the build, on Linux. If a new crate is worth its build time,
/// raise this.
const MOST: usize = 160;

/// The crates with C code: each delays the crates after it by its own configure and make. OpenSSL, which takes longer than
/// everything else together, is not among them: it comes with the feature `tls`.
const IN_C: [&str; 3] = ["libmimalloc-sys", "libz-sys", "rdkafka-sys"];

/// Crates that only the operator needs, or that add a second TLS, a second HTTP or a tool before the C libraries.
const ELSEWHERE: [&str; 9] =
    ["aws-lc-sys", "bindgen", "cmake", "kube-client", "kube-runtime", "openssl", "reqwest", "ring", "rustls"];

fn cargo(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output =
        Command::new(env!("CARGO")).args(arguments).args(["--locked", "--offline"]).current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn tree() -> BTreeSet<String> {
    let demo = ["tree", "-p", "processor", "--no-default-features"];
    let tree = cargo(&[&demo[..], &["-e", "normal,build", "--prefix", "none", "--no-dedupe"]].concat());
    let crates = tree.lines().filter_map(|line| line.split_once(" v"));
    crates.map(|(name, rest)| format!("{name} {}", rest.split(' ').next().unwrap())).collect()
}

#[test]
fn the_demo_is_built_from_a_bounded_number_of_crates() {
    let tree = tree();
    let of_others = tree.iter().filter(|it| !it.ends_with(concat!(" ", env!("CARGO_PKG_VERSION")))).count();
    assert!(of_others <= MOST, "{of_others} crates, while at most {MOST} are expected: {tree:#?}");
    let names: BTreeSet<&str> = tree.iter().map(|it| it.split(' ').next().unwrap()).collect();
    for name in ELSEWHERE {
        assert!(!names.contains(name), "{name} is in the demo's build: see `cargo tree -p processor -i {name}`");
    }
}

#[test]
fn the_demo_builds_three_libraries_in_c_and_no_more() {
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
