//! Helm, and the tools that check the chart: each is a command that runs to its end.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::process::Folder;
use crate::{Error, cache};

#[derive(Clone, Debug)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Finds the tools, and builds them if they are missing.
    ///
    /// # Errors
    /// [`Error::Setup`] when they cannot be built.
    pub fn find() -> Result<Self, Error> {
        Ok(Self { folder: cache::tools()? })
    }

    /// Runs helm on the cluster of a kubeconfig; without one it reaches no cluster. A failure is in its output.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be run.
    pub fn helm(&self, kubeconfig: Option<&Path>, arguments: &[impl AsRef<OsStr>]) -> Result<Output, Error> {
        // Helm gets its own home folder: it must neither use nor change that of the user.
        let home = Folder::new("helm")?;
        let run = self
            .command("helm", arguments)
            .env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null")))
            .env("HELM_PLUGINS", self.folder.join("plugins"))
            .envs(["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"].map(|name| (name, home.path())))
            .env("KUBECACHEDIR", home.path().join("kubectl-cache"))
            .output();
        run.map_err(Error::io("cannot run helm"))
    }

    /// Runs kubeconform to its end.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be run.
    pub fn kubeconform(&self, arguments: &[impl AsRef<OsStr>]) -> Result<Output, Error> {
        self.command("kubeconform", arguments).output().map_err(Error::io("cannot run kubeconform"))
    }

    /// Runs promtool to its end.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be run.
    pub fn promtool(&self, arguments: &[impl AsRef<OsStr>]) -> Result<Output, Error> {
        self.command("promtool", arguments).output().map_err(Error::io("cannot run promtool"))
    }

    /// Kubernetes' own description of its API, as JSON (`OpenAPI` 2).
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read.
    pub fn kubernetes_api(&self) -> Result<String, Error> {
        fs::read_to_string(self.folder.join("swagger.json")).map_err(Error::io("cannot read swagger.json"))
    }

    /// The definition of a resource of the Prometheus operator, by its plural, as YAML.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read.
    pub fn monitoring_definition(&self, plural: &str) -> Result<String, Error> {
        let path = self.folder.join("monitoring").join(format!("monitoring.coreos.com_{plural}.yaml"));
        fs::read_to_string(&path).map_err(Error::io(format!("cannot read {}", path.display())))
    }

    fn command(&self, program: &str, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(self.folder.join(program));
        command.args(arguments);
        command
    }
}
