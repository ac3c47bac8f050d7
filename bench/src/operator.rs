//! The operator with many pipelines, on a real kube-apiserver: the time until all are ready, from nothing and after a
//! restart; its memory; the duration of a pass; and its requests when nothing changes.
//!
//! Stand-ins play Strimzi's topic operator and the controller of Deployments: they answer at once. The broker is real
//! and answers which topics exist; none is created. The figures are the operator's own metrics and the kernel's.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use crds::{pipeline::LoginPipeline, strimzi::api_resource};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api, Client, CustomResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::{
    http,
    kafka::Cluster,
    kubernetes::ApiServer,
    process::{Folder, Process, Program},
    stand_in::{StandIn, available_deployment, ready_topic},
};

use crate::error::BenchError;

#[derive(Args)]
pub(crate) struct OperatorArgs {
    /// Pipelines
    #[arg(long, default_value_t = 1000)]
    pipelines: usize,
    /// Pipelines in each namespace
    #[arg(long, default_value_t = 10)]
    per_namespace: usize,
    /// How long to watch it when nothing changes
    #[arg(long, default_value_t = 5)]
    quiet_minutes: u64,
    /// The operator to measure
    #[arg(long, default_value = "target/release/operator")]
    operator: PathBuf,
}

/// The number of concurrent requests while pipelines are created.
const AT_ONCE: usize = 16;

/// The time limit for each part except the quiet minutes.
const BOUND: Duration = Duration::from_secs(900);

#[allow(clippy::print_stdout, reason = "the result")]
pub(crate) fn run(args: &OperatorArgs) -> Result<(), BenchError> {
    let (server, kafka) = (ApiServer::start()?, Cluster::start(1)?);
    let folder = Folder::new("bench-operator")?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| BenchError::Other(error.to_string()))?;
    let _stand_ins = runtime.block_on(prepare(&server, kafka.bootstrap(), args))?;
    println!("{} pipelines in {} namespaces", args.pipelines, args.pipelines.div_ceil(args.per_namespace));

    let mut operator = Operator::start(args, &server, &folder, "first")?;
    let took = operator.wait("every pipeline ready", |metrics| metrics.ready() >= args.pipelines)?;
    operator.report("from nothing to all ready", took)?;
    operator.settle()?;
    operator.stop()?;

    let mut operator = Operator::start(args, &server, &folder, "second")?;
    let took = operator.wait("a pass over every pipeline", |metrics| {
        metrics.ready() >= args.pipelines && metrics.passes() >= args.pipelines
    })?;
    operator.report("after a restart, all seen", took)?;
    operator.settle()?;

    let before = operator.metrics()?;
    std::thread::sleep(Duration::from_secs(60 * args.quiet_minutes));
    let after = operator.metrics()?;
    operator.report("after the quiet minutes", Duration::from_secs(60 * args.quiet_minutes))?;
    let requests = after.requests_since(&before);
    let writes: u64 = requests.iter().filter(|(request, _)| is_write(request)).map(|(_, count)| count).sum();
    println!(
        "in {} quiet minutes: {writes} writes, {} passes, {} requests: {requests:?}",
        args.quiet_minutes,
        after.passes() - before.passes(),
        requests.values().sum::<u64>(),
    );
    operator.stop()
}

/// Whether a request, as the metric labels it, changes anything other than the leader's Lease.
fn is_write(request: &str) -> bool {
    let reads = ["get", "list", "watch"].iter().any(|verb| request.contains(&format!("verb=\"{verb}\"")));
    !reads && !request.contains("resource=\"leases\"")
}

/// Installs the definitions, the stand-ins, the namespaces with their Kafkas, and the pipelines.
async fn prepare(server: &ApiServer, bootstrap: &str, args: &OperatorArgs) -> Result<[StandIn; 2], BenchError> {
    let crds = [serde_json::to_value(LoginPipeline::crd())?, strimzi("Kafka"), strimzi("KafkaTopic")];
    let manifest: Vec<_> = crds.iter().map(Value::to_string).collect();
    for arguments in [&["apply", "--server-side", "-f", "-"][..], &["wait", "--for=condition=Established", "-f", "-"]] {
        let output = server.kubectl(arguments, &manifest.join("\n---\n"))?;
        if !output.status.success() {
            return Err(BenchError::Other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
    }
    let client = server.client()?;
    let stand_ins = [
        StandIn::start(client.clone(), api_resource("v1", "KafkaTopic"), |topic| Some(ready_topic(topic))),
        StandIn::start(client.clone(), ApiResource::erase::<Deployment>(&()), |deployment| {
            Some(available_deployment(deployment))
        }),
    ];
    let namespaces = args.pipelines.div_ceil(args.per_namespace);
    let made = (0..namespaces).map(|index| make_namespace(&client, bootstrap, index));
    stream::iter(made).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let made = (0..args.pipelines).map(|index| make_pipeline(&client, index / args.per_namespace, index));
    stream::iter(made).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(stand_ins)
}

/// A definition of Strimzi's, with the fields that the operator needs.
fn strimzi(kind: &str) -> Value {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let plural = format!("{}s", kind.to_lowercase());
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.kafka.strimzi.io")},
        "spec": {
            "group": "kafka.strimzi.io", "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": any, "status": any}}},
            }],
        },
    })
}

async fn make_namespace(client: &Client, bootstrap: &str, index: usize) -> Result<(), BenchError> {
    let name = format!("bench-{index}");
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    let kafkas: Api<DynamicObject> = Api::namespaced_with(client.clone(), &name, &api_resource("v1", "Kafka"));
    let kafka =
        json!({"apiVersion": "kafka.strimzi.io/v1", "kind": "Kafka", "metadata": {"name": "kafka"}, "spec": {}});
    kafkas.create(&PostParams::default(), &serde_json::from_value(kafka)?).await?;
    let listener = json!({"name": "plain", "bootstrapServers": bootstrap});
    let status = Patch::Merge(json!({"status": {"listeners": [listener]}}));
    kafkas.patch_status("kafka", &PatchParams::default(), &status).await?;
    Ok(())
}

async fn make_pipeline(client: &Client, namespace: usize, index: usize) -> Result<(), BenchError> {
    let pipelines: Api<LoginPipeline> = Api::namespaced(client.clone(), &format!("bench-{namespace}"));
    let topic = |role: &str| json!({"topic": format!("{role}-{index}")});
    let pipeline = json!({
        "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline",
        "metadata": {"name": format!("logins-{index}")},
        "spec": {
            "kafka": {"strimzi": {"cluster": "kafka"}},
            // No Kafka can tell whether the topics exist.
            "topics": {"adopt": true},
            "source": topic("source"), "output": topic("output"), "deadLetters": topic("dead"),
            "results": {"aggregates": topic("aggregates"), "insights": topic("insights"), "alerts": topic("alerts")},
        },
    });
    pipelines.create(&PostParams::default(), &serde_json::from_value(pipeline)?).await?;
    Ok(())
}

struct Operator {
    process: Process,
    started: Instant,
    address: String,
}

impl Operator {
    fn start(args: &OperatorArgs, server: &ApiServer, folder: &Folder, name: &str) -> Result<Self, BenchError> {
        let started = Instant::now();
        let process = Program::new(name, &args.operator)
            .args(["run", "--listen", "127.0.0.1:0", "--log-format", "json", "--lease-namespace", "default"])
            .env("KUBECONFIG", server.kubeconfig())
            .env("RUST_LOG", "warn,operator=info,operator::pass::report=warn")
            .spawn(folder)?;
        let mut operator = Self { process, started, address: String::new() };
        while operator.address.is_empty() {
            if started.elapsed() > BOUND {
                return Err(BenchError::Other(operator.process.log()));
            }
            std::thread::sleep(Duration::from_millis(10));
            let log = operator.process.log();
            let line = log.lines().find(|line| line.contains("\"message\":\"started\"")).unwrap_or("{}");
            let line: Value = serde_json::from_str(line)?;
            operator.address = line["listen"].as_str().unwrap_or_default().to_owned();
        }
        Ok(operator)
    }

    fn metrics(&self) -> Result<Metrics, BenchError> {
        let answer = http::ask(&self.address, "GET", "/metrics", "")
            .map_err(|error| BenchError::Other(format!("/metrics: {error}\n{}", self.process.log())))?;
        Ok(Metrics::of(&answer))
    }

    /// Waits, and returns the time since the start.
    fn wait(&self, what: &str, is_done: impl Fn(&Metrics) -> bool) -> Result<Duration, BenchError> {
        while !is_done(&self.metrics()?) {
            if self.started.elapsed() > BOUND {
                return Err(BenchError::Other(format!("no {what} in {BOUND:?}\n{}", self.process.log())));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(self.started.elapsed())
    }

    /// Waits until it has made no pass for a while.
    fn settle(&self) -> Result<(), BenchError> {
        let since = Instant::now();
        let mut passes = 0;
        while self.metrics()?.passes() > passes && since.elapsed() < BOUND {
            passes = self.metrics()?.passes();
            std::thread::sleep(Duration::from_secs(5));
        }
        Ok(())
    }

    #[allow(clippy::print_stdout, reason = "the result")]
    fn report(&self, what: &str, took: Duration) -> Result<(), BenchError> {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(&path).map_err(|error| BenchError::File(path.into(), error))?;
        let megabytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() / 1024
        };
        let metrics = self.metrics()?;
        println!(
            "{what:<28} {:>6.1} s, {:>6} passes, p50 {} s, p99 {} s, memory {} MB, peak {} MB",
            took.as_secs_f64(),
            metrics.passes(),
            metrics.quantile(0.5),
            metrics.quantile(0.99),
            megabytes("VmRSS:"),
            megabytes("VmHWM:"),
        );
        Ok(())
    }

    /// Stops it as Kubernetes does.
    fn stop(&mut self) -> Result<(), BenchError> {
        self.process.terminate(Duration::from_secs(30))?;
        Ok(())
    }
}

/// The operator's metrics by name and labels.
struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn of(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.strip_prefix("login_pipeline_operator_")?.rsplit_once(' '));
        Self(lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
    fn count(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |count| *count as u64)
    }

    fn passes(&self) -> usize {
        usize::try_from(self.count("reconciliations_total")).unwrap_or(usize::MAX)
    }

    fn ready(&self) -> usize {
        usize::try_from(self.count("pipelines{ready=\"True\"}")).unwrap_or(usize::MAX)
    }

    /// The upper bound of the bucket that holds this share of the passes, as the metric writes it.
    fn quantile(&self, share: f64) -> String {
        let bound = |name: &str| {
            let bound = name.strip_prefix("reconcile_duration_seconds_bucket{le=\"")?.strip_suffix("\"}")?;
            Some((bound.parse::<f64>().unwrap_or(f64::INFINITY), bound.to_owned()))
        };
        let mut buckets: Vec<_> = self.0.iter().filter_map(|(name, count)| Some((bound(name)?, *count))).collect();
        buckets.sort_by(|((one, _), _), ((other, _), _)| one.total_cmp(other));
        let all = buckets.last().map_or(0.0, |(_, count)| *count);
        let holding = buckets.into_iter().find(|(_, count)| *count >= share * all);
        holding.map_or_else(|| "?".to_owned(), |((_, bound), _)| format!("<= {bound}"))
    }

    /// Requests since `before`, by verb and resource.
    fn requests_since(&self, before: &Self) -> BTreeMap<String, u64> {
        let requests = self.0.keys().filter_map(|name| Some((name, name.strip_prefix("api_requests_total")?)));
        let since = requests.map(|(name, labels)| (labels.to_owned(), self.count(name) - before.count(name)));
        since.filter(|(_, count)| *count > 0).collect()
    }
}
