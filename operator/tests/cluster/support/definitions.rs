//! Definitions to install on an API server: the resource's, and Strimzi's.

use testkit::{kubernetes::ApiServer, stand_in::strimzi_definitions, wait_for};

use super::{BOUND, World};

/// The resource as this version defines it.
pub const CRD: &str = include_str!("../../../../crds/login-pipeline.yaml");

/// Applies definitions, and waits until they are served.
pub fn install(server: &ApiServer, manifest: &str) {
    let output = server.kubectl(&["apply", "--server-side", "-f", "-"], manifest).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let arguments = ["wait", "--for=condition=Established", "--timeout=30s", "-f", "-"];
    // A new definition has no conditions yet, and kubectl fails on that.
    wait_for("the definitions", BOUND, || server.kubectl(&arguments, manifest).unwrap().status.success().then_some(()));
}

impl World {
    /// Installs Strimzi's CRDs in these versions, the first one stored.
    pub fn install_strimzi(&self, versions: &[&str]) {
        install(self.server, &strimzi_definitions(versions));
    }
}
