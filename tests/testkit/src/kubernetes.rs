//! A real Kubernetes API: kube-apiserver and etcd, without nodes and without controllers.
//!
//! So no controller runs pods, sets the status of a Deployment, deletes the dependents of a deleted owner, or empties a
//! namespace that is being deleted: tests that need one of these play that part themselves. Access is by RBAC; the user
//! of [`ApiServer::client`] and [`ApiServer::kubectl`] has full rights.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use crate::port::Port;
use crate::process::{Folder, Process, Program};
use crate::wait::poll;
use crate::{Error, cache};

/// The time limit for the API server to start: it takes four seconds, or many more on a busy machine.
const START: Duration = Duration::from_secs(120);

/// The difference between a bare API server and one with a node.
pub(crate) struct Plan {
    /// The address that it listens on.
    pub(crate) address: &'static str,
    /// Other addresses and names that clients use for it.
    pub(crate) names: &'static [&'static str],
    /// Additional arguments.
    pub(crate) arguments: &'static [&'static str],
}

const ALONE: Plan = Plan {
    address: "127.0.0.1",
    names: &[],
    arguments: &[
        "--service-cluster-ip-range=10.0.0.0/24",
        "--endpoint-reconciler-type=none",
        // It would wait for the service account that a controller creates in each namespace.
        "--disable-admission-plugins=ServiceAccount",
    ],
};

/// A kube-apiserver with its own etcd. It ends with this value, or with the test.
pub struct ApiServer {
    url: String,
    programs: PathBuf,
    keys: Keys,
    kubeconfig: PathBuf,
    server: Process,
    etcd: Process,
    _ports: [Port; 3],
}

impl ApiServer {
    /// Starts both on 127.0.0.1, and returns when the API is ready and the namespace `default` exists. If
    /// `KUBEBUILDER_ASSETS` is set, it uses the programs in that folder.
    ///
    /// # Errors
    /// When the services cannot be installed, or one of them does not start: then with the end of its log.
    pub fn start() -> Result<Self, Error> {
        Self::start_as(&ALONE)
    }

    pub(crate) fn start_as(plan: &Plan) -> Result<Self, Error> {
        let programs = cache::kubernetes()?;
        let folder = Folder::new("kubernetes")?;
        let keys = Keys::make(plan)?;
        let ports = [Port::claim(), Port::claim(), Port::claim()];
        let [port, client, peer] = &ports;
        let url = format!("https://{}:{}", plan.address, port.number);
        let kubeconfig = keys.write(folder.path(), &url).map_err(Error::io("cannot write the keys"))?;
        let etcd = etcd(&programs, &folder, [client, peer]).spawn(&folder)?;
        let server = server(&programs, folder.path(), plan, [port, client]).spawn(&folder)?;
        let mut started = Self { url, programs, keys, kubeconfig, server, etcd, _ports: ports };
        started.ready()?;
        Ok(started)
    }

    /// A kubeconfig file for kubectl and others; it is removed with the server.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A file next to it: `server.crt`, the server's certificate, or `service-accounts.key`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.kubeconfig.with_file_name(name)
    }

    /// The settings of a client with full rights.
    ///
    /// # Errors
    /// None in practice: the address is well formed.
    pub fn client_config(&self) -> Result<kube::Config, Error> {
        let address = self.url.parse().map_err(io::Error::other).map_err(Error::io("bad address"))?;
        let mut config = kube::Config::new(address);
        config.root_cert = Some(vec![self.keys.certificate.der().to_vec()]);
        config.auth_info.token = Some(self.keys.token.clone().into());
        Ok(config)
    }

    /// A client with full rights. It lives in the Tokio runtime that creates it, so each test creates its own.
    ///
    /// # Errors
    /// [`Error::Kubernetes`] when it cannot be created.
    pub fn client(&self) -> Result<kube::Client, Error> {
        Ok(kube::Client::try_from(self.client_config()?)?)
    }

    /// Runs kubectl with these arguments and this standard input, to its end.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be run; its own failure is in its output.
    pub fn kubectl(&self, arguments: &[&str], stdin: &str) -> Result<Output, Error> {
        let folder = self.kubeconfig.with_file_name("kubectl-cache");
        kubectl(&self.programs.join("kubectl"), &self.kubeconfig, &folder, arguments, stdin)
    }

    fn ready(&mut self) -> Result<(), Error> {
        let outcome = poll(START, || {
            if let Err(error) = self.etcd.check_running().and_then(|()| self.server.check_running()) {
                return Some(Err(error));
            }
            let answers = |arguments: &[&str]| self.kubectl(arguments, "").is_ok_and(|output| output.status.success());
            let ready = answers(&["get", "--raw=/readyz"]) && answers(&["get", "namespace", "default"]);
            ready.then_some(Ok(()))
        });
        outcome.unwrap_or_else(|| {
            let detail = format!(":\n{}", self.server.shown());
            Err(Error::Timeout { what: "the start of kube-apiserver".into(), bound: START, detail })
        })
    }
}

/// The API server that the tests of this process share. They use namespaces with [`unique`](crate::unique) names.
///
/// # Panics
/// When it cannot be started: no test can continue then.
#[expect(clippy::panic, reason = "an assertion of tests")]
pub fn shared() -> &'static ApiServer {
    static SHARED: OnceLock<ApiServer> = OnceLock::new();
    SHARED.get_or_init(|| ApiServer::start().unwrap_or_else(|error| panic!("no Kubernetes API: {error}")))
}

/// Runs kubectl on the cluster of a kubeconfig, to its end. `cache` holds kubectl's cache of that cluster.
pub(crate) fn kubectl(
    program: &Path,
    kubeconfig: &Path,
    cache: &Path,
    arguments: &[&str],
    stdin: &str,
) -> Result<Output, Error> {
    let run = || -> io::Result<Output> {
        let mut kubectl = Command::new(program)
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            // A cache in the home folder would mix up servers.
            .env("KUBECACHEDIR", cache)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let input = kubectl.stdin.take();
        thread::scope(|scope| {
            // A separate thread writes, so that reading and writing never block each other; a kubectl that reads
            // nothing breaks the pipe.
            scope.spawn(move || input.map(|mut input| input.write_all(stdin.as_bytes())));
            kubectl.wait_with_output()
        })
    };
    run().map_err(Error::io("cannot run kubectl"))
}

/// The keys that authenticate the server to its clients and a client to the server.
struct Keys {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
    /// Signs the tokens of service accounts.
    service_accounts: rcgen::KeyPair,
    token: String,
}

impl Keys {
    fn make(plan: &Plan) -> Result<Self, Error> {
        let names: Vec<_> = plan.names.iter().chain([&plan.address]).map(|name| (*name).to_owned()).collect();
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names)?;
        let service_accounts = rcgen::KeyPair::generate()?;
        let token = format!("{:032x}", rand::random::<u128>());
        Ok(Self { certificate: cert, key: signing_key, service_accounts, token })
    }

    /// Writes the files that [`server`] names, and a kubeconfig; returns the path of the kubeconfig.
    fn write(&self, folder: &Path, url: &str) -> io::Result<PathBuf> {
        let (certificate, token) = (folder.join("server.crt"), &self.token);
        fs::write(&certificate, self.certificate.pem())?;
        fs::write(folder.join("server.key"), self.key.serialize_pem())?;
        fs::write(folder.join("service-accounts.key"), self.service_accounts.serialize_pem())?;
        fs::write(folder.join("service-accounts.pub"), self.service_accounts.public_key_pem())?;
        fs::write(folder.join("tokens.csv"), format!("{token},admin,admin,system:masters\n"))?;
        let kubeconfig = folder.join("kubeconfig");
        let certificate = certificate.display();
        let text = format!(
            r#"apiVersion: v1
kind: Config
clusters:
  - {{name: testkit, cluster: {{server: "{url}", certificate-authority: "{certificate}"}}}}
users:
  - {{name: admin, user: {{token: "{token}"}}}}
contexts:
  - {{name: testkit, context: {{cluster: testkit, user: admin}}}}
current-context: testkit
"#
        );
        fs::write(&kubeconfig, text)?;
        Ok(kubeconfig)
    }
}

fn etcd(programs: &Path, folder: &Folder, [client, peer]: [&Port; 2]) -> Program {
    let (client, peer) = (plain_url(client), plain_url(peer));
    Program::new("etcd", programs.join("etcd"))
        .arg(format!("--data-dir={}", folder.path().join("etcd").display()))
        .args([format!("--listen-client-urls={client}"), format!("--advertise-client-urls={client}")])
        .args([format!("--listen-peer-urls={peer}"), format!("--initial-advertise-peer-urls={peer}")])
        .args([format!("--initial-cluster=default={peer}")])
        .args(["--unsafe-no-fsync", "--log-level=warn"])
}

fn server(programs: &Path, folder: &Path, plan: &Plan, [port, etcd]: [&Port; 2]) -> Program {
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
    Program::new("kube-apiserver", programs.join("kube-apiserver"))
        .args([format!("--etcd-servers={}", plain_url(etcd)), format!("--secure-port={}", port.number)])
        .args([format!("--bind-address={}", plan.address)])
        .args([file("tls-cert-file", "server.crt"), file("tls-private-key-file", "server.key")])
        // The server authenticates to a kubelet, if there is one, with the same certificate.
        .args([file("kubelet-client-certificate", "server.crt"), file("kubelet-client-key", "server.key")])
        .args([file("token-auth-file", "tokens.csv"), "--authorization-mode=RBAC".to_owned()])
        .args([file("service-account-key-file", "service-accounts.pub")])
        .args([file("service-account-signing-key-file", "service-accounts.key")])
        .args(["--service-account-issuer=https://kubernetes.default.svc"])
        .args(plan.arguments)
}

fn plain_url(port: &Port) -> String {
    format!("http://127.0.0.1:{}", port.number)
}
