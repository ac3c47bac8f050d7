//! The cluster for end-to-end tests: a [`Node`] on this machine, or an existing cluster.
//!
//! `LOGIN_PIPELINE_E2E_KUBECONFIG` names an existing cluster, by a kubeconfig with full rights. Its nodes must already
//! have both images, under the names of the chart's defaults (`make kind-load`), and its pods must reach this machine
//! at `LOGIN_PIPELINE_E2E_ADDRESS`, where the tests start their Kafka.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::node::Node;
use crate::process::Folder;
use crate::tools::Tools;
use crate::{Error, cache, kubernetes};

/// The variable that names an existing cluster.
const KUBECONFIG: &str = "LOGIN_PIPELINE_E2E_KUBECONFIG";
/// The variable with this machine's address, as that cluster's pods reach it.
const ADDRESS: &str = "LOGIN_PIPELINE_E2E_ADDRESS";

/// A cluster that runs pods.
pub struct Target {
    node: Option<Node>,
    kubeconfig: PathBuf,
    address: String,
    kubectl: PathBuf,
    /// For kubectl's cache of this cluster.
    folder: Folder,
}

impl Target {
    /// The cluster that the environment names; otherwise it starts a node.
    ///
    /// # Errors
    /// When the environment sets only one of the two variables, or the cluster is not available.
    pub fn find() -> Result<Self, Error> {
        let (folder, kubectl) = (Folder::new("target")?, cache::kubernetes()?.join("kubectl"));
        let Some(kubeconfig) = env::var_os(KUBECONFIG).filter(|path| !path.is_empty()).map(PathBuf::from) else {
            let node = Node::start()?;
            let (kubeconfig, address) = (node.kubeconfig().to_owned(), node.address().to_owned());
            return Ok(Self { node: Some(node), kubeconfig, address, kubectl, folder });
        };
        let address = env::var(ADDRESS).map_err(|_| {
            Error::Target(format!(
                "{KUBECONFIG} is set, so set {ADDRESS} too: this machine's address, as pods there reach it"
            ))
        })?;
        Ok(Self { node: None, kubeconfig, address, kubectl, folder })
    }

    /// The node, if it runs on this machine: for actions that only its owner may take.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// This machine's address as pods see it: pods reach a server that listens there.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A kubeconfig file with full rights.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client with full rights. It lives in the Tokio runtime that creates it, so each test creates its own.
    ///
    /// # Errors
    /// [`Error::Target`] or [`Error::Kubernetes`] when the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        let unusable =
            |error: kube::config::KubeconfigError| Error::Target(format!("{}: {error}", self.kubeconfig.display()));
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).map_err(unusable)?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unusable)?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Runs kubectl with these arguments and this standard input, to its end.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be run; its own failure is in its output.
    pub fn kubectl(&self, arguments: &[&str], stdin: &str) -> Result<Output, Error> {
        kubernetes::kubectl(&self.kubectl, &self.kubeconfig, self.folder.path(), arguments, stdin)
    }

    /// Runs helm with these arguments, to its end.
    ///
    /// # Errors
    /// [`Error::Setup`] when it cannot be built, [`Error::Io`] when it cannot be run; its own failure is in its output.
    pub fn helm(&self, arguments: &[&str]) -> Result<Output, Error> {
        Tools::find()?.helm(Some(&self.kubeconfig), arguments)
    }
}

/// The cluster that the tests of this process share.
///
/// # Panics
/// When there is none: no test can continue then.
#[expect(clippy::panic, reason = "an assertion of tests")]
pub fn shared() -> &'static Target {
    static SHARED: OnceLock<Target> = OnceLock::new();
    SHARED.get_or_init(|| Target::find().unwrap_or_else(|error| panic!("no cluster: {error}")))
}
