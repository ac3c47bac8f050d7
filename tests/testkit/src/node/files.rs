//! What the programs of a node are told. Where nothing is said they use their default folders, which are the node's own.

use std::path::Path;

use serde_json::{Value, json};

/// This machine as the node and its pods see it; `keeper.sh` gives it this address.
pub(super) const MACHINE: &str = "10.244.255.1";
/// The node, as this machine and its pods see it.
const NODE: &str = "10.244.255.2";
/// The node on the bridge of its pods: their name server listens there.
const BRIDGE: &str = "10.244.0.1";
/// What pods get their addresses from.
const PODS: &str = "10.244.0.0/24";
/// The node's name.
pub(super) const NAME: &str = "node";
/// The image that every pod's sandbox runs.
const SANDBOX: &str = "local/pod:1";

/// The socket of containerd.
pub(super) const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// `network` is the folder with the file of [`network`].
pub(super) fn containerd(network: &Path) -> String {
    // Lowering a process's badness to the killer of processes takes a capability that sandboxes lack.
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

/// How pods get a network: a bridge that routes.
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

/// `clients` is the certificate by which the API server proves itself.
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
        // A machine whose disk is full to nine tenths is a machine for tests all the same.
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
        // So that answers of one pod to another take the way back through the node, on kernels too whose bridges do not
        // ask iptables.
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
