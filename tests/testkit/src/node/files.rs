//! The configuration of a node's programs. Where it sets nothing, they use their default folders, which belong to the
//! node.

use std::path::Path;

use serde_json::{Value, json};

/// This machine's address as the node and its pods see it; `keeper.sh` assigns it.
pub(super) const MACHINE: &str = "10.244.255.1";
/// The node's address as this machine and its pods see it.
const NODE: &str = "10.244.255.2";
/// The node's address on the bridge of its pods: their name server listens there.
const BRIDGE: &str = "10.244.0.1";
/// The range of pod addresses.
const PODS: &str = "10.244.0.0/24";
pub(super) const NAME: &str = "node";
/// The image that every pod's sandbox runs.
const SANDBOX: &str = "local/pod:1";

/// The socket of containerd.
pub(super) const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// `network` is the folder of the file that [`network`] makes.
pub(super) fn containerd(network: &Path) -> String {
    // Lowering a process's OOM score takes a capability that sandboxes lack.
    format!(
        r#"version = 3
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{SANDBOX}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "{}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
"#,
        network.display()
    )
}

/// The network of the pods: a bridge that routes.
pub(super) fn network() -> Value {
    let ipam = json!({"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]});
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

/// `clients` is the certificate that authenticates the API server.
pub(super) fn kubelet(clients: &Path) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": false},
            "x509": {"clientCAFile": clients},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": "/login-pipeline-node",
        "clusterDNS": [BRIDGE],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "enforceNodeAllocatable": [],
        // Tests also run on a machine whose disk is nine tenths full.
        "evictionHard": {"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "oomScoreAdj": 0,
        "resolvConf": "",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    })
}

pub(super) fn kubelet_arguments() -> [String; 2] {
    [format!("--node-ip={NODE}"), format!("--hostname-override={NAME}")]
}

pub(super) fn proxy(kubeconfig: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": NAME,
        "clusterCIDR": PODS,
        "clientConnection": {"kubeconfig": kubeconfig},
        // The size of that table belongs to the whole machine.
        "conntrack": {"maxPerCore": 0, "min": 0},
        // Makes answers between pods return through the node, even on kernels whose bridges bypass iptables.
        "iptables": {"masqueradeAll": true},
    })
}

pub(super) fn name_server(kubeconfig: &Path) -> String {
    format!(
        "\
.:53 {{
  bind {BRIDGE}
  errors
  kubernetes cluster.local {{
    kubeconfig {}
  }}
  cache 5
}}
",
        kubeconfig.display()
    )
}
