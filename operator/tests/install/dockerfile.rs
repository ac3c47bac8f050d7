//! The Dockerfiles, as BuildKit reads them. Base images are not pulled, and nothing is built.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Value, json};
use testkit::install::Checks;

use crate::{path, read, said};

/// The build of a target: its image's config and its steps.
pub fn build(file: &Path, target: &str) -> Value {
    serde_json::from_str(&said(Checks::find().unwrap().dockerfile(file, target).unwrap())).unwrap()
}

#[test]
fn both_images_run_their_binary_as_nobody_in_particular() {
    for name in ["operator", "processor"] {
        let build = build(&path("Dockerfile"), name);
        let config = &build["config"];
        let binary = format!("/usr/local/bin/{name}");
        assert_eq!(config["User"], "65532:65532");
        assert_eq!(config["Entrypoint"], json!([binary]));
        let environment = json!(["PATH=/usr/local/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"]);
        assert_eq!(config["Env"], environment, "as scripts/images has it");

        let steps = build["steps"].as_array().unwrap();
        let compile = steps.iter().find(|step| step["run"].is_array()).unwrap();
        assert!(compile["run"][2].as_str().unwrap().starts_with("cargo build --locked --release "), "{compile}");
        assert_eq!(compile["caches"].as_array().unwrap().len(), 2);
        let copies: Vec<_> = steps.iter().filter_map(|step| step["copy"][0].as_str()).collect();
        assert_eq!(copies, ["/ /src/", "/libraries /", &format!("/binaries/{name} /usr/local/bin/")]);
    }

    assert_eq!(build(&path("Dockerfile"), "operator"), build(&path("Dockerfile"), ""), "the default");
}

/// A crate that is not named there would be missing in the build; naming nothing else keeps the build's cache valid.
#[test]
fn the_build_is_given_every_crate_and_nothing_else() {
    let manifest = read("Cargo.toml");
    let (_, members) = manifest.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    let members = members.split(',').map(|member| member.trim().trim_matches('"')).filter(|member| !member.is_empty());
    let folders = members.map(|member| member.split('/').next().unwrap());
    let wanted: BTreeSet<_> = folders.chain(["Cargo.toml", "Cargo.lock"]).collect();
    let ignored = read(".dockerignore");
    let given: BTreeSet<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert_eq!(given, wanted);
    assert!(ignored.lines().any(|line| line == "*"));
}
