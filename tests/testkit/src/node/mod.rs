//! A real Kubernetes node on this machine: pods run, are probed, and find each other by Services and by name.
//!
//! ```text
//!  this machine, 10.244.255.1                        the node, 10.244.255.2: namespaces of its own
//!    kube-apiserver, etcd            <── veth pair ──>   containerd ── runc ── pods, 10.244.0.0/24 on a bridge
//!    kube-controller-manager, kube-scheduler             kubelet, kube-proxy (iptables)
//!    services for the pods, such as a Kafka              CoreDNS, 10.244.0.1
//! ```
//! The node has its own network, mount and process namespaces, so its programs do not change the machine: bridges,
//! iptables rules, mounts, folders and processes end with the namespaces. `keeper.sh` removes the rest, a cgroup and
//! one end of the link, however the test ends. A machine has one node at a time; a second start waits.
//!
//! It needs root, and the programs that `scripts/setup node` installs. Network policies are accepted but not enforced.

mod files;
mod keeper;

use std::fs::{self, File};
use std::path::Path;
use std::process::Output;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::keeper::Keeper;
use crate::kubernetes::{ApiServer, Plan};
use crate::process::{Folder, Process, Program};
use crate::wait::poll;
use crate::{Error, cache};

/// The time limit for a program of the node to be ready: it takes seconds, or many more on a busy machine.
const START: Duration = Duration::from_secs(120);
/// The time limit for kubelet to end.
const STOP: Duration = Duration::from_secs(30);

/// The settings of a node's API server.
const PLAN: Plan = Plan {
    address: files::MACHINE,
    // The first address of the Service range is the API server's own.
    names: &["10.244.1.1", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"],
    arguments: &["--service-cluster-ip-range=10.244.1.0/24", "--kubelet-preferred-address-types=InternalIP"],
};

/// A cluster of one node. It ends with this value, or with the test.
pub struct Node {
    /// First, so that the processes inside end before the processes that wait for them.
    keeper: Keeper,
    kubelet: Mutex<Option<Process>>,
    inside: [Process; 3],
    _control_plane: [Process; 2],
    server: ApiServer,
    /// Last, so that it is removed after its users.
    folder: Folder,
}

impl Node {
    /// Starts a node, and returns when it is Ready and accepts pods. It waits while another node runs on this machine.
    ///
    /// # Errors
    /// When the services cannot be installed, or one of them does not start: then with the end of its log.
    pub fn start() -> Result<Self, Error> {
        let programs = cache::node()?;
        let folder = Folder::new("node")?;
        let keeper = Keeper::start(&folder, &programs)?;
        let server = ApiServer::start_as(&PLAN)?;
        write(&folder, &server).map_err(Error::io("cannot write the files of a node"))?;
        let control_plane = control_plane(&programs, &server).map(|program| program.spawn(&folder));
        let [manager, scheduler] = control_plane;
        let containerd = keeper.program("containerd").arg(flag("config", &folder, "containerd.toml")).spawn(&folder)?;
        let proxy = keeper.program("kube-proxy").arg(flag("config", &folder, "proxy.json")).spawn(&folder)?;
        let name_server = keeper.program("coredns").arg("-conf").arg(folder.path().join("Corefile")).spawn(&folder)?;
        let mut started = Self {
            kubelet: Mutex::new(None),
            inside: [containerd, proxy, name_server],
            keeper,
            _control_plane: [manager?, scheduler?],
            server,
            folder,
        };
        started.load(&programs.join("pod.tar"))?;
        started.start_kubelet()?;
        started.takes_pods()?;
        started.inside.iter_mut().try_for_each(Process::check_running)?;
        Ok(started)
    }

    /// A kubeconfig file with full rights, for kubectl and others; it is removed with the node.
    pub fn kubeconfig(&self) -> &Path {
        self.server.kubeconfig()
    }

    /// Runs kubectl with these arguments and this standard input, to its end.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be run; its own failure is in its output.
    pub fn kubectl(&self, arguments: &[&str], stdin: &str) -> Result<Output, Error> {
        self.server.kubectl(arguments, stdin)
    }

    /// This machine's address as pods see it: pods reach a server that listens there.
    #[must_use]
    pub fn address(&self) -> &'static str {
        files::MACHINE
    }

    /// Loads the images of an archive (OCI, or as Docker saves it), so that pods need not pull them.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Timeout`] with containerd's last output.
    pub fn load(&self, archive: &Path) -> Result<(), Error> {
        let doing = || Error::io(format!("cannot load {}", archive.display()));
        let mut said = String::new();
        let loaded = poll(START, || {
            let import = || -> Result<Output, Error> {
                let archive = File::open(archive).map_err(doing())?;
                let arguments = ["--namespace=k8s.io", "images", "import", "-"];
                self.keeper.command("ctr").args(arguments).stdin(archive).output().map_err(doing())
            };
            match import() {
                Ok(output) if output.status.success() => Some(Ok(())),
                Ok(output) => {
                    said = String::from_utf8_lossy(&output.stderr).into_owned();
                    None
                }
                Err(error) => Some(Err(error)),
            }
        });
        let what = format!("the import of {}", archive.display());
        loaded.unwrap_or_else(|| Err(Error::Timeout { what, bound: START, detail: format!(": {said}") }))
    }

    /// Gives a loaded image one more name, `repository:tag`.
    ///
    /// # Errors
    /// [`Error::Ended`] with containerd's output.
    pub fn tag(&self, image: &str, name: &str) -> Result<(), Error> {
        let full = |name: &str| format!("docker.io/library/{name}");
        let mut ctr = self.keeper.command("ctr");
        ctr.args(["--namespace=k8s.io", "images", "tag", "--force", &full(image), &full(name)]);
        let output = ctr.output().map_err(Error::io("cannot run ctr"))?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Ended { name: "ctr".to_owned(), status: output.status.code().unwrap_or(-1), log })
    }

    /// Stops kubelet, as node maintenance does: pods continue without supervision.
    ///
    /// # Errors
    /// [`Error::Timeout`] when it does not end.
    pub fn stop_kubelet(&self) -> Result<(), Error> {
        let Some(mut kubelet) = self.kubelet().take() else { return Ok(()) };
        keeper::terminate(&kubelet).map_err(Error::io("cannot stop kubelet"))?;
        kubelet.wait(STOP).map(drop)
    }

    /// Starts kubelet, if it is not running. [`Node::wait_ready`] waits until the node is Ready.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be started.
    pub fn start_kubelet(&self) -> Result<(), Error> {
        let mut kubelet = self.kubelet();
        if kubelet.is_none() {
            let kubeconfig = format!("--kubeconfig={}", self.kubeconfig().display());
            let program = self.keeper.program("kubelet").args(files::kubelet_arguments()).arg(kubeconfig);
            *kubelet = Some(program.arg(flag("config", &self.folder, "kubelet.json")).spawn(&self.folder)?);
        }
        Ok(())
    }

    /// Waits until the node has this status of the condition Ready: `True`, `False` or `Unknown`.
    ///
    /// # Errors
    /// [`Error::Timeout`] with the actual status, and the end of kubelet's log.
    pub fn wait_ready(&self, status: &str, bound: Duration) -> Result<(), Error> {
        let path = r#"-o=jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        self.until(
            &format!("a node whose condition Ready is {status}"),
            bound,
            &["get", "node", files::NAME, path],
            status,
        )
    }

    /// Waits until the node is Ready and has no taints, and the default service account of pods exists.
    fn takes_pods(&self) -> Result<(), Error> {
        self.wait_ready("True", START)?;
        let taints = ["get", "node", files::NAME, "-o=jsonpath={.spec.taints}"];
        self.until("the end of the node's taints", START, &taints, "")?;
        let account = ["get", "serviceaccount", "default", "-o=jsonpath={.metadata.name}"];
        self.until("the default service account", START, &account, "default")
    }

    /// Waits until kubectl gives the expected answer.
    fn until(&self, what: &str, bound: Duration, arguments: &[&str], wanted: &str) -> Result<(), Error> {
        let mut last = None;
        let answered = poll(bound, || {
            let output = self.kubectl(arguments, "").ok()?;
            let answers = output.status.success() && output.stdout == wanted.as_bytes();
            last = Some(output);
            answers.then_some(())
        });
        answered.ok_or_else(|| {
            let log = self.kubelet().as_ref().map(Process::shown).unwrap_or_default();
            let detail = format!(": {last:?}, and the end of kubelet's log is\n{log}");
            Error::Timeout { what: what.to_owned(), bound, detail }
        })
    }

    fn kubelet(&self) -> MutexGuard<'_, Option<Process>> {
        self.kubelet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the configuration of the programs into files.
fn write(folder: &Folder, server: &ApiServer) -> std::io::Result<()> {
    let file = |name: &str| folder.path().join(name);
    let network = file("network");
    fs::create_dir(&network)?;
    fs::write(network.join("pods.conflist"), files::network().to_string())?;
    fs::write(file("containerd.toml"), files::containerd(&network))?;
    fs::write(file("kubelet.json"), files::kubelet(&server.file("server.crt")).to_string())?;
    fs::write(file("proxy.json"), files::proxy(server.kubeconfig()).to_string())?;
    fs::write(file("Corefile"), files::name_server(server.kubeconfig()))
}

/// The controllers and the scheduler. They need no namespaces, and listen on no port.
fn control_plane(programs: &Path, server: &ApiServer) -> [Program; 2] {
    let file = |flag: &str, name: &str| format!("--{flag}={}", server.file(name).display());
    let program = |name: &str| {
        let program = Program::new(name, programs.join(name));
        program.arg(file("kubeconfig", "kubeconfig")).args(["--leader-elect=false", "--secure-port=0"])
    };
    let keys = [
        file("service-account-private-key-file", "service-accounts.key"),
        // The certificate by which pods verify the API server.
        file("root-ca-file", "server.crt"),
    ];
    [program("kube-controller-manager").args(keys), program("kube-scheduler")]
}

fn flag(name: &str, folder: &Folder, file: &str) -> String {
    format!("--{name}={}", folder.path().join(file).display())
}
