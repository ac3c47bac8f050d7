//! Which pipeline has a pass, and when: watches, the queue, retries, shutdown.
//!
//! Strimzi's resources are watched apart from the rest. They may not be installed, and that must not delay the pipelines that
//! do not use them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cli::exit::with_causes;
use futures::{Stream, StreamExt, channel::mpsc};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Client,
    runtime::{
        WatchStreamExt,
        controller::{self, Action, Config, Controller},
        events::Recorder,
        reflector::{ObjectRef, Store, store::Writer},
    },
};
use tokio::sync::watch;

use super::{failures::Failures, measure, slots::Slots, streams, strimzi};
use crate::{
    pace::backoff,
    pass::{error::ReconcileError, reconcile::reconcile, requeue::Next, surroundings::Surroundings},
    pods::Measurements,
    resource::{Guarded, key},
    scope::Scope,
    serve::{health::Health, metrics::Metrics},
    stop::stopped,
    topics::strimzi::Strimzi,
};

/// How long one pass may take before it is given up.
const PASS_TIMEOUT: Duration = Duration::from_secs(60);

/// How long passes that are under way may take to end after SIGTERM.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Events of one burst lead to one pass.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Pipelines that wait for a pass because of Strimzi's resources, or of their pods' figures. A full queue makes the sender
/// wait.
const TRIGGERS: usize = 128;

/// What the controller works with.
pub(crate) struct Work {
    pub client: Client,
    pub scope: Scope,
    /// Image of the processor, for specs that name none.
    pub processor_image: String,
    /// The pause between two measurements of lag and rate.
    pub measure_interval: Duration,
    /// The pipelines that are known.
    pub pipelines: Store<Guarded>,
    /// Where the watch writes them.
    pub writer: Writer<Guarded>,
    /// Takes note of each turn, and of the first complete list.
    pub health: Arc<Health>,
    pub metrics: Metrics,
}

struct Context {
    client: Client,
    recorder: Recorder,
    processor_image: String,
    strimzi: watch::Receiver<Strimzi>,
    measurements: Arc<Measurements>,
    /// Every pipeline that is watched, as the watch last told.
    pipelines: Store<Guarded>,
    metrics: Metrics,
    slots: Slots,
    failures: Failures,
}

/// Reconciles until `stop` turns true, then ends within a bound.
pub(crate) async fn run(work: Work, stop: watch::Receiver<bool>) {
    let Work { client, scope, processor_image, measure_interval, pipelines, writer, health, metrics } = work;
    let (strimzi_found, strimzi) = watch::channel(Strimzi::Unknown);
    let measurements = Arc::new(Measurements::default());
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), "login-pipeline-operator".into()),
        client: client.clone(),
        processor_image,
        strimzi,
        measurements: measurements.clone(),
        pipelines: pipelines.clone(),
        metrics,
        slots: Slots::default(),
        failures: Failures::default(),
    });
    let controller = controller(&client, &scope, &pipelines, writer, health.clone());
    let (triggers, triggered) = mpsc::channel(TRIGGERS);
    let pods = scope.apis(&client);
    let measuring =
        tokio::spawn(measure::run(pods, pipelines.clone(), measure_interval, measurements, triggers.clone()));
    let watching = tokio::spawn(strimzi::run(client, scope, pipelines, strimzi_found, triggers));
    let passes =
        controller.reconcile_on(triggered).graceful_shutdown_on(stopped(stop.clone())).run(one_pass, retry, context);
    turn(passes, &health, stop).await;
    watching.abort();
    measuring.abort();
}

/// Lets passes go on until they have ended, which they do after `stop`.
async fn turn<T, E: std::error::Error + 'static>(
    passes: impl Stream<Item = Result<T, controller::Error<ReconcileError, E>>>,
    health: &Health,
    stop: watch::Receiver<bool>,
) {
    let mut passes = std::pin::pin!(passes);
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    let mut too_late = std::pin::pin!(async {
        stopped(stop).await;
        tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
    });
    loop {
        tokio::select! {
            pass = passes.next() => match pass {
                // Failed passes are logged where they fail.
                Some(Ok(_) | Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_))) => {}
                Some(Err(error)) => tracing::warn!(error = with_causes(&error), "the queue failed"),
                None => return tracing::info!("every pass has ended"),
            },
            _ = beat.tick() => health.turn(),
            () = &mut too_late => {
                let seconds = SHUTDOWN_TIMEOUT.as_secs();
                return tracing::warn!("passes were given up: they took longer than {seconds} s to end");
            }
        }
    }
}

fn controller(
    client: &Client,
    scope: &Scope,
    pipelines: &Store<Guarded>,
    writer: Writer<Guarded>,
    health: Arc<Health>,
) -> Controller<Guarded> {
    let listed = move || health.ready(true);
    let changes =
        streams::pipelines(client, scope, pipelines.clone(), listed).map(Ok).reflect(writer).applied_objects();
    Controller::for_stream(changes, pipelines.clone())
        .with_config(Config::default().debounce(DEBOUNCE))
        .owns_stream(streams::children::<Deployment>(client, scope).map(Ok))
        .owns_stream(streams::children::<ConfigMap>(client, scope).map(Ok))
        .owns_stream(streams::children::<ServiceAccount>(client, scope).map(Ok))
        .owns_stream(streams::children::<NetworkPolicy>(client, scope).map(Ok))
        .owns_stream(streams::children::<PodDisruptionBudget>(client, scope).map(Ok))
        .owns_stream(streams::children::<Service>(client, scope).map(Ok))
}

async fn one_pass(pipeline: Arc<Guarded>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let (namespace, name) = key(&pipeline);
    context.metrics.due();
    let _slot = context.slots.acquire(|| context.is_failing(&pipeline)).await;
    context.metrics.started();
    let strimzi = context.strimzi.borrow().clone();
    let surroundings = Surroundings {
        client: &context.client,
        recorder: &context.recorder,
        processor_image: &context.processor_image,
        strimzi: &strimzi,
        measurements: &context.measurements,
        failures: context.failures.of(&pipeline),
        pipelines: &context.pipelines,
    };
    let started = Instant::now();
    // Boxed because it is large, and every pipeline that waits for its slot would reserve room for it.
    let pass = Box::pin(reconcile(&surroundings, &namespace, &name));
    let result = tokio::time::timeout(PASS_TIMEOUT, pass).await.unwrap_or(Err(ReconcileError::Timeout(PASS_TIMEOUT)));
    context.metrics.passed(started.elapsed(), result.as_ref().err().map(ReconcileError::category));
    let next = result?;
    context.failures.clear(&(namespace, name));
    Ok(match next {
        Next::OnChange => Action::await_change(),
        Next::After(time) => Action::requeue(time),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the controller's interface")]
fn retry(pipeline: Arc<Guarded>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let pause = backoff(context.failures.add(&pipeline));
    let (namespace, name) = key(&pipeline);
    let (category, error) = (error.category(), with_causes(error));
    tracing::warn!(namespace, name, category, error, retry_in = ?pause, "a pass failed");
    Action::requeue(pause)
}

impl Context {
    /// Whether the last pass over a pipeline failed, with the spec that it has now.
    fn is_failing(&self, pipeline: &Guarded) -> bool {
        let now = self.pipelines.get(&ObjectRef::from_obj(pipeline));
        self.failures.is_failing(now.as_deref().unwrap_or(pipeline))
    }
}
