//! Finds the services: the cache that `scripts/setup` fills, on first use.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::Error;

/// The one place that lists versions; the script reads it too.
const VERSIONS: &str = include_str!("../services/versions");
const SETUP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/setup");

/// The folder of the Kafka broker: `lib/*.jar` and the files that `scripts/setup` derives from them.
pub(crate) fn kafka() -> Result<PathBuf, Error> {
    installed("kafka", &root().join(format!("kafka-{}", version("KAFKA_VERSION"))))
}

/// The folder with kube-apiserver, etcd and kubectl: that of `KUBEBUILDER_ASSETS`, or the one in the cache.
pub(crate) fn kubernetes() -> Result<PathBuf, Error> {
    let Some(assets) = env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()) else {
        let (kubernetes, etcd) = (version("KUBERNETES_VERSION"), version("ETCD_VERSION"));
        return installed("kubernetes", &root().join(format!("kubernetes-{kubernetes}-etcd-{etcd}")));
    };
    let folder = PathBuf::from(assets);
    for program in ["kube-apiserver", "etcd", "kubectl"] {
        let path = folder.join(program);
        if !path.is_file() {
            return Err(Error::Asset(path));
        }
    }
    Ok(folder)
}

/// The folder with the other programs of a node; `scripts/setup` says where a node cannot run.
pub(crate) fn node() -> Result<PathBuf, Error> {
    let [kubernetes, containerd, coredns] =
        ["KUBERNETES_VERSION", "CONTAINERD_VERSION", "COREDNS_VERSION"].map(version);
    installed("node", &root().join(format!("node-{kubernetes}-containerd-{containerd}-coredns-{coredns}")))
}

/// The folder with helm, its plugins, kubeconform, promtool, and the data to check the chart with.
pub(crate) fn tools() -> Result<PathBuf, Error> {
    let parts = [
        ("helm", "HELM_VERSION"),
        ("unittest", "HELM_UNITTEST_VERSION"),
        ("kubeconform", "KUBECONFORM_VERSION"),
        ("promtool", "PROMETHEUS_VERSION"),
        ("monitoring", "PROMETHEUS_OPERATOR_VERSION"),
        ("kubernetes", "KUBERNETES_VERSION"),
    ];
    let parts = parts.map(|(name, key)| format!("-{name}-{}", version(key)));
    installed("tools", &root().join(format!("tools{}", parts.concat())))
}

/// The folder with kind, and with the readers of the Tiltfile and the Dockerfile.
pub(crate) fn install() -> Result<PathBuf, Error> {
    let (kind, checks) = (version("KIND_VERSION"), version("INSTALL_CHECKS"));
    installed("install", &root().join(format!("install-kind-{kind}-checks-{checks}")))
}

/// The paths of the browser and its driver.
pub(crate) struct Browser {
    pub(crate) chromium: PathBuf,
    pub(crate) chromedriver: PathBuf,
}

/// The programs of `CHROMIUM` and `CHROMEDRIVER`, or of the path; `scripts/setup` installs missing ones, where it can.
pub(crate) fn browser() -> Result<Browser, Error> {
    let find = || Some(Browser { chromium: program("CHROMIUM")?, chromedriver: program("CHROMEDRIVER")? });
    if let Some(browser) = find() {
        return Ok(browser);
    }
    set_up("browser")?;
    find().ok_or_else(|| Error::Setup { output: "chromium or chromedriver is still not in the path".to_owned() })
}

/// The program that a variable names, or the program of that name in lower case, in the path.
fn program(variable: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable).filter(|value| !value.is_empty()) {
        return Some(PathBuf::from(path));
    }
    let name = variable.to_lowercase();
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(&name)).find(|path| path.is_file())
}

/// The folder; the script creates it if it is missing.
fn installed(part: &str, folder: &Path) -> Result<PathBuf, Error> {
    if !fs::exists(folder).unwrap_or(false) {
        set_up(part)?;
    }
    Ok(folder.to_owned())
}

fn set_up(part: &str) -> Result<(), Error> {
    // The script's standard output is for the person who waits for it now.
    let run = Command::new(SETUP).arg(part).stdout(Stdio::inherit()).output();
    let run = run.map_err(Error::io(format!("cannot run {SETUP}")))?;
    if run.status.success() {
        return Ok(());
    }
    Err(Error::Setup { output: String::from_utf8_lossy(&run.stderr).into_owned() })
}

fn root() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("LOGIN_PIPELINE_CACHE").unwrap_or_else(|| {
        let caches = set("XDG_CACHE_HOME").unwrap_or_else(|| set("HOME").unwrap_or_default().join(".cache"));
        caches.join("login-pipeline")
    })
}

/// The value of `name` in the file of versions.
fn version(name: &str) -> &'static str {
    let assignment = |line: &'static str| line.split_once('=').filter(|(key, _)| *key == name);
    VERSIONS.lines().find_map(assignment).map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_versions_file_names_every_version() {
        let names = [
            "KAFKA_VERSION",
            "KUBERNETES_VERSION",
            "ETCD_VERSION",
            "CONTAINERD_VERSION",
            "COREDNS_VERSION",
            "HELM_VERSION",
            "HELM_UNITTEST_VERSION",
            "KUBECONFORM_VERSION",
            "PROMETHEUS_VERSION",
            "PROMETHEUS_OPERATOR_VERSION",
            "KIND_VERSION",
            "INSTALL_CHECKS",
        ];

        for name in names {
            assert!(version(name).starts_with(|c: char| c.is_ascii_digit()), "{name} is missing");
        }
    }
}
