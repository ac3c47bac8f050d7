//! Which pipeline to look at, and when: watches, the queue, retries, the end.
//!
//! Strimzi's resources are watched apart from the rest, for they may not be installed: that must cost the other pipelines
//! nothing, not even a delay.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crds::pipeline::LoginPipeline;
use futures::{StreamExt, TryStreamExt, channel::mpsc};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{
        WatchStreamExt,
        controller::{self, Action, Config, Controller},
        events::Recorder,
        reflector::{self, Store, store::Writer},
        watcher,
    },
};
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    args,
    build::PIPELINE_LABEL,
    causes::with_causes,
    metrics::Metrics,
    reconcile::{Next, ReconcileError, Surroundings, jitter, reconcile, reported_readiness},
    server::{self, Shown},
    strimzi_watch,
};

/// A LoginPipeline that may have another shape than this release's: one bad object must not hide the others.
pub type Guarded = DeserializeGuard<LoginPipeline>;

/// How long one pass may take before it is given up.
const PASS_TIMEOUT: Duration = Duration::from_secs(60);

/// How long passes that are under way may take to end after SIGTERM.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Events of one burst lead to one pass.
const DEBOUNCE: Duration = Duration::from_millis(100);

struct Context {
    client: Client,
    recorder: Recorder,
    processor_image: String,
    strimzi: watch::Receiver<Option<&'static str>>,
    metrics: Metrics,
    /// Failed passes in a row, of pipelines whose last pass failed.
    failures: Mutex<BTreeMap<(String, String), u32>>,
}

/// Reconciles until `stop` turns true, then ends within a bound.
///
/// # Errors
/// When the listener fails.
pub async fn run(
    client: Client,
    options: args::Run,
    listener: TcpListener,
    stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let (metrics, registry) = Metrics::new();
    let (strimzi_found, strimzi) = watch::channel(None);
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), "login-pipeline-operator".into()),
        client: client.clone(),
        processor_image: options.processor_image,
        strimzi,
        metrics: metrics.clone(),
        failures: Mutex::default(),
    });

    let namespace = options.namespace.as_deref();
    let is_listed = Arc::new(AtomicBool::new(false));
    let (pipelines, writer) = reflector::store();
    let controller = controller(&client, namespace, &pipelines, writer, is_listed.clone());
    let (triggers, triggered) = mpsc::channel(TRIGGERS);
    let watching =
        strimzi_watch::run(client.clone(), options.namespace.clone(), pipelines.clone(), strimzi_found, triggers);
    let watching = tokio::spawn(watching);
    let serving =
        tokio::spawn(server::serve(listener, shown(&pipelines, is_listed, metrics, registry), stopped(stop.clone())));

    let passes = controller
        .reconcile_on(triggered)
        .graceful_shutdown_on(stopped(stop.clone()))
        .run(one_pass, retry, context)
        .for_each(|result| async move {
            match result {
                // Failed passes are logged where they fail.
                Ok(_) | Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)) => {}
                Err(error) => tracing::warn!(error = with_causes(&error), "a watch failed"),
            }
        });
    let too_late = async {
        stopped(stop).await;
        tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
    };
    tokio::select! {
        () = passes => tracing::info!("every pass has ended"),
        () = too_late => tracing::warn!("passes were given up: they took longer than {} s to end", SHUTDOWN_TIMEOUT.as_secs()),
    }
    watching.abort();
    match serving.await {
        Ok(result) => result,
        Err(error) => Err(std::io::Error::other(error)),
    }
}

/// Pipelines that wait for a pass because of Strimzi's resources; a full queue makes that watch wait.
const TRIGGERS: usize = 128;

fn controller(
    client: &Client,
    namespace: Option<&str>,
    pipelines: &Store<Guarded>,
    writer: Writer<Guarded>,
    is_listed: Arc<AtomicBool>,
) -> Controller<Guarded> {
    let ours = || watcher::Config::default().labels(PIPELINE_LABEL);
    let changes = watcher(api::<Guarded>(client, namespace), watcher::Config::default())
        .reflect(writer)
        // The store could be asked as well, but has room for one waiter alone: the controller itself.
        .inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) {
                is_listed.store(true, Ordering::Relaxed);
            }
        })
        .applied_objects();
    Controller::for_stream(changes, pipelines.clone())
        .with_config(Config::default().debounce(DEBOUNCE))
        .owns(api::<Deployment>(client, namespace), ours())
        .owns(api::<ConfigMap>(client, namespace), ours())
        .owns(api::<ServiceAccount>(client, namespace), ours())
        .owns(api::<NetworkPolicy>(client, namespace), ours())
        .owns(api::<PodDisruptionBudget>(client, namespace), ours())
        .owns(api::<Service>(client, namespace), ours())
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn one_pass(pipeline: Arc<Guarded>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let (namespace, name) = key(&pipeline);
    let strimzi = *context.strimzi.borrow();
    let surroundings = Surroundings {
        client: &context.client,
        recorder: &context.recorder,
        processor_image: &context.processor_image,
        strimzi,
    };
    let started = Instant::now();
    let result = tokio::time::timeout(PASS_TIMEOUT, reconcile(&surroundings, &namespace, &name))
        .await
        .unwrap_or(Err(ReconcileError::Timeout(PASS_TIMEOUT)));
    context.metrics.passed(started.elapsed(), result.as_ref().err().map(ReconcileError::category));
    let next = result?;
    context.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&(namespace, name));
    Ok(match next {
        Next::OnChange => Action::await_change(),
        Next::After(time) => Action::requeue(time),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the controller's interface")]
fn retry(pipeline: Arc<Guarded>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let key = key(&pipeline);
    let pause = {
        let mut failures = context.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.clone()).or_default();
        *count = count.saturating_add(1);
        backoff(*count)
    };
    let (namespace, name) = key;
    let (category, error) = (error.category(), with_causes(error));
    tracing::warn!(namespace, name, category, error, retry_in = ?pause, "a pass failed");
    Action::requeue(pause)
}

/// Doubles from one second to a minute, less some jitter.
fn backoff(failures: u32) -> Duration {
    let seconds = f64::from(1_u32 << failures.saturating_sub(1).min(6)).min(60.0);
    Duration::from_secs_f64(seconds * jitter())
}

fn key(pipeline: &Guarded) -> (String, String) {
    let metadata = pipeline.meta();
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn shown(pipelines: &Store<Guarded>, is_ready: Arc<AtomicBool>, metrics: Metrics, registry: Registry) -> Shown {
    let pipelines = pipelines.clone();
    let refresh = move |metrics: &Metrics| {
        let pipelines = pipelines.state();
        let readiness = pipelines
            .iter()
            .map(|pipeline| reported_readiness(pipeline.0.as_ref().ok().and_then(|pipeline| pipeline.status.as_ref())));
        metrics.count_pipelines(readiness);
    };
    Shown { is_ready, registry: Arc::new(registry), refresh: Arc::new(refresh), metrics }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that nobody can stop the operator any more, which is to stop it.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down_to_a_minute() {
        let mut longest = Duration::ZERO;
        for failures in 1..100 {
            let pause = backoff(failures);
            assert!(pause >= Duration::from_millis(800) && pause <= Duration::from_secs(60), "{failures}: {pause:?}");
            longest = longest.max(pause);
        }
        assert!(backoff(1) <= Duration::from_secs(1) && longest > Duration::from_secs(40));
    }
}
