//! The images that `scripts/images --profile dev` built earlier: their content, and whether they run as in a pod, as
//! another user on a read-only root. Needs root, like the tests on a node.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use testkit::{
    kafka::{PASSWORD, Secured, USER},
    process::Folder,
};

struct Image {
    name: &'static str,
    folder: Folder,
    manifest: Value,
    config: Value,
}

impl Image {
    fn unpack(name: &'static str) -> Self {
        let folder = Folder::new(name).unwrap();
        // Next to the profile's folder.
        let target = Path::new(env!("CARGO_BIN_EXE_operator")).ancestors().nth(2).unwrap();
        untar(&target.join(format!("images/{name}.tar")), folder.path());
        let read = |file: &str| serde_json::from_slice(&std::fs::read(folder.path().join(file)).unwrap()).unwrap();
        let manifest: Value = read("manifest.json");
        let config = read(manifest[0]["Config"].as_str().unwrap());
        let layer = folder.path().join(manifest[0]["Layers"][0].as_str().unwrap());
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        untar(&layer, &root);
        Self { name, folder, manifest, config }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Runs the entrypoint as the image's user, with only the image's environment, and read-only files.
    fn run(&self, arguments: &[&str]) -> Output {
        let (root, config) = (self.root(), &self.config["config"]);
        let script = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 99
            root=$1 user=$2; shift 2; exec chroot --userspec="$user" "$root" "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--fork", "sh", "-c", script, "sh"]).arg(root).arg(config["User"].as_str().unwrap());
        command.arg(config["Entrypoint"][0].as_str().unwrap()).args(arguments);
        let path = std::env::var_os("PATH").unwrap();
        command.env_clear().env("PATH", path);
        for variable in config["Env"].as_array().unwrap() {
            let (name, value) = variable.as_str().unwrap().split_once('=').unwrap();
            if name != "PATH" {
                command.env(name, value);
            }
        }
        command.output().unwrap()
    }
}

fn untar(archive: &Path, folder: &Path) {
    let status =
        Command::new("tar").arg("--extract").arg("--file").arg(archive).arg("-C").arg(folder).status().unwrap();
    assert!(status.success());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_image_says_what_runs_and_as_whom_and_holds_nothing_more() {
    for name in ["operator", "processor"] {
        let image = Image::unpack(name);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(image.manifest[0]["RepoTags"], json!([format!("login-pipeline-{name}:{version}")]));
        let config = &image.config["config"];
        assert_eq!(config["User"], "65532:65532");
        assert_eq!(config["Entrypoint"], json!([format!("/usr/local/bin/{name}")]));

        let find = Command::new("find").arg(image.root()).args(["-type", "f", "-printf", "%P\n"]).output().unwrap();
        let files = text(&find.stdout);
        let libraries = |path: &&str| !path.starts_with("lib") && !path.starts_with("usr/lib");
        let files: BTreeSet<_> = files.lines().filter(libraries).collect();
        let binary = format!("usr/local/bin/{name}");
        let known = ["etc/group", "etc/nsswitch.conf", "etc/passwd", "etc/ssl/certs/ca-certificates.crt", &binary];
        assert_eq!(files, BTreeSet::from(known));
    }
}

#[test]
fn a_binary_runs_as_an_unprivileged_user_on_a_read_only_root() {
    for name in ["operator", "processor"] {
        let image = Image::unpack(name);
        let run = image.run(&["--version"]);
        let (said, version) = (text(&run.stdout), env!("CARGO_PKG_VERSION"));
        assert!(said.starts_with(&format!("{name} {version} (revision ")), "{said}{}", text(&run.stderr));
    }
}

/// A Kafka whose certificate is signed by an authority in the image is reached without further configuration.
#[test]
fn the_authorities_of_the_image_are_trusted() {
    let kafka = Secured::start().unwrap();
    let image = Image::unpack("processor");
    assert_eq!(image.name, "processor");
    let sasl = json!({"mechanism": "SCRAM-SHA-512", "username": USER, "passwordFile": "/tmp/password"});
    std::fs::write(image.root().join("tmp/password"), PASSWORD).unwrap();
    std::fs::write(image.root().join("tmp/security.json"), json!({"tls": {}, "sasl": sasl}).to_string()).unwrap();
    kafka.cluster.create_topic("user-login", 1, &[]).unwrap();
    let generate = || {
        let file = "/tmp/security.json";
        image.run(&["generate", "--bootstrap", &kafka.sasl_ssl, "--security", file, "--events", "10"])
    };

    let stranger = generate();
    assert!(!stranger.status.success() && text(&stranger.stderr).contains("certificate"), "{}", text(&stranger.stderr));

    std::fs::write(image.root().join("etc/ssl/certs/ca-certificates.crt"), &kafka.ca).unwrap();
    let known = generate();
    assert!(known.status.success(), "{}", text(&known.stderr));
}
