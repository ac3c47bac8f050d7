//! The operator as a process.

use std::{
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testkit::{
    http,
    process::{Folder, Process, Program},
    unique, wait_for, wait_for_async,
};

use super::{BOUND, World};

pub struct Operator {
    pub process: Process,
    address: String,
    _folder: Folder,
}

impl Operator {
    /// Starts it for the namespace, and waits until it is ready.
    pub async fn start(world: &World) -> Self {
        Self::start_with(world, world.server.kubeconfig(), &["--leader-election=false"]).await
    }

    /// Starts it for the namespace as the user of a kubeconfig, with more arguments, and waits until it is ready.
    pub async fn start_with(world: &World, kubeconfig: &Path, arguments: &[&str]) -> Self {
        let operator = Self::start_unready(world, kubeconfig, arguments).await;
        let ready = || async { operator.get("/readyz").starts_with("HTTP/1.1 200").then_some(()) };
        wait_for_async("the operator's readiness", BOUND, ready).await;
        operator
    }

    /// Starts it, and returns when it serves.
    pub async fn start_unready(world: &World, kubeconfig: &Path, arguments: &[&str]) -> Self {
        let kubeconfig = kubeconfig.to_owned();
        let mut all = vec!["run", "--listen", "127.0.0.1:0", "--log-format", "json"];
        if !arguments.contains(&"--watch-namespaces") {
            all.extend(["--watch-namespaces", &world.namespace]);
        }
        all.extend(arguments);
        let arguments: Vec<_> = all.into_iter().map(str::to_owned).collect();
        tokio::task::spawn_blocking(move || Self::launch(&kubeconfig, &arguments, &[])).await.unwrap()
    }

    /// Starts it with exactly these arguments and variables, and returns when it serves. It must log JSON.
    pub fn launch(kubeconfig: &Path, arguments: &[String], variables: &[(String, String)]) -> Self {
        let folder = Folder::new("operator").unwrap();
        let program = Program::new("operator", env!("CARGO_BIN_EXE_operator")).args(arguments);
        let program = variables.iter().fold(program, |program, (name, value)| program.env(name, value));
        let process = program.env("KUBECONFIG", kubeconfig).spawn(&folder).unwrap();
        let mut operator = Self { process, address: String::new(), _folder: folder };
        operator.address = wait_for("the operator's address", BOUND, || {
            let log = operator.process.log();
            let started = log.lines().find(|line| line.contains("\"message\":\"started\""))?;
            let line: Value = serde_json::from_str(started).ok()?;
            Some(line["listen"].as_str()?.to_owned())
        });
        operator
    }

    /// The address of its page.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The answer to a GET, including its head.
    pub fn get(&self, path: &str) -> String {
        self.ask("GET", path, "")
    }

    /// The answer to a request with more headers, each with a line end.
    pub fn ask(&self, method: &str, path: &str, headers: &str) -> String {
        http::ask(&self.address, method, path, headers)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}; the operator's log:\n{}", self.process.log()))
    }

    /// Sends a request, without waiting for the answer.
    pub fn begin(&self, method: &str, path: &str, headers: &str) -> std::io::Result<TcpStream> {
        http::begin(&self.address, method, path, headers)
    }

    /// A metric's value; 0 when it does not exist.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// The number of passes so far.
    pub fn passes(&self) -> f64 {
        self.metric("login_pipeline_operator_reconciliations_total")
    }

    /// Waits until the operator is idle: later passes are its own decision. A pass that is due or in progress may still
    /// write, however long it takes.
    pub async fn quiet(&self) {
        const QUIET: Duration = Duration::from_millis(500);
        let mut last = (self.passes(), Instant::now());
        let still = || {
            let passes = self.passes();
            let is_busy = ["passes_waiting", "passes_in_flight"]
                .map(|name| self.metric(&format!("login_pipeline_operator_{name}")))
                .iter()
                .any(|count| *count > 0.0);
            if is_busy || passes > last.0 {
                last = (passes, Instant::now());
            }
            let is_quiet = last.1.elapsed() > QUIET;
            async move { is_quiet.then_some(()) }
        };
        wait_for_async("a quiet operator", BOUND, still).await;
    }

    /// Makes the operator reconcile a pipeline this many times, in sequence.
    pub async fn look(&self, world: &World, pipeline: &str, times: usize) {
        for _ in 0..times {
            let before = self.passes();
            let patch = Patch::Merge(json!({"metadata": {"annotations": {"test/look": unique("look")}}}));
            world.pipelines().patch(pipeline, &PatchParams::default(), &patch).await.unwrap();
            wait_for_async("a pass", BOUND, || async { (self.passes() > before).then_some(()) }).await;
        }
    }
}
