//! One pass over one pipeline: the steps in their order, and when to come again.

use std::time::Duration;

use cli::exit::with_causes;
use crds::{
    pipeline::{ConditionStatus, LoginPipelineStatus, TopicStatus},
    topics::Role,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::{
    Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{events::Recorder, reflector::Store},
};
use rand::Rng;
use rdkafka::ClientConfig;
use serde_json::json;

use crate::{
    apply,
    build::Revision,
    controller::Guarded,
    desired::desired,
    drain::{self, Drain},
    events,
    finalize::{self, End, FinalizeError, Release},
    kafka_access::{self, Credentials, ReadError, Settings},
    observe::{self, ObserveError, Observed},
    owned::{ApplyError, FIELD_MANAGER},
    pods::{self, Figures, Measurements, PodReason},
    revisions::{self, Facts},
    rollout::{config_of, failure, is_settled, size},
    status::{self, KafkaProblem, Pass, is_rolled_out, status},
    topics::{
        KafkaSeen, Topics, TopicsError,
        conflict::{Claim, Conflict},
        growth::wanted,
        lost::{ACCEPT_ANNOTATION, Known},
        obstacle::{gravest, obstacles},
        strimzi::Strimzi,
    },
    validate::{Valid, ValidateError, validate},
};

/// What a pass needs beside the pipeline.
pub struct Surroundings<'a> {
    /// The API server.
    pub client: &'a Client,
    /// Publishes Events.
    pub recorder: &'a Recorder,
    /// Image of the processor, for specs that name none.
    pub processor_image: &'a str,
    /// What the API server says of Strimzi's resources.
    pub strimzi: &'a Strimzi,
    /// What the pods counted.
    pub measurements: &'a Measurements,
    /// How many passes over the pipeline have failed in a row before this one.
    pub failures: u32,
    /// Every pipeline that is watched, as the watch last told.
    pub pipelines: &'a Store<Guarded>,
}

/// After so many failures, which take some seven seconds, a pipeline that cannot be looked at is not called ready any more.
const PATIENCE: u32 = 3;

/// When to come again if nothing that is watched changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Never: only a change of the resource can help.
    OnChange,
    /// After this time.
    After(Duration),
}

/// Why a pass failed. It is tried again, ever more slowly.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Step 1.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// Topics were not observed or made.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// Step 4.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The Secrets that a spec names.
    #[error(transparent)]
    Secrets(#[from] ReadError),
    /// Topics were not deleted at the pipeline's end.
    #[error(transparent)]
    Finalize(#[from] FinalizeError),
    /// The finalizer was not set, or not taken off.
    #[error("the API server did not take the finalizer: {0}")]
    Finalizer(#[source] kube::Error),
    /// Step 5.
    #[error("the API server did not take the status: {0}")]
    Status(#[source] kube::Error),
    /// The API server is so slow that the pass was given up.
    #[error("the pass took longer than {} s and was given up", .0.as_secs())]
    Timeout(Duration),
}

impl ReconcileError {
    /// A static label, for metrics.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Observe(error) => error.category(),
            Self::Topics(error) => error.category(),
            Self::Apply(error) => error.category(),
            Self::Secrets(error) => error.category(),
            Self::Finalize(error) => error.category(),
            Self::Finalizer(_) => "finalizer-api",
            Self::Status(_) => "status-api",
            Self::Timeout(_) => "timeout",
        }
    }
}

/// Does one pass.
///
/// # Errors
/// When a step fails. What the other steps found has been reported then.
pub async fn reconcile(surroundings: &Surroundings<'_>, namespace: &str, name: &str) -> Result<Next, ReconcileError> {
    let Some(mut observed) = observe::pipeline(surroundings.client, namespace, name).await? else {
        return Ok(Next::OnChange);
    };
    if let Err(error) = observe::children(surroundings.client, &mut observed).await {
        return unknown(surroundings, &observed, error.into()).await;
    }
    let valid = validate(&observed.resource);
    // What it owns goes with it.
    if observed.resource.metadata.deletion_timestamp.is_some() {
        return end(surroundings, valid.ok().as_ref(), &observed).await;
    }
    let outcome = match valid {
        Ok(valid) => {
            // Before the first topic that it would hold the pipeline for.
            if let Err(error) = hold(surroundings.client, &observed, finalize::is_needed(&valid.spec)).await {
                return unknown(surroundings, &observed, error).await;
            }
            // An operator that has just started learns it in a moment; what was reported goes on counting until then.
            let needs_strimzi = valid.spec.kafka.strimzi.is_some();
            if needs_strimzi && matches!(surroundings.strimzi, Strimzi::Unknown) && surroundings.failures < PATIENCE {
                return Err(TopicsError::StrimziUnknown.into());
            }
            Ok(pass(surroundings, valid, &observed).await)
        }
        Err(error) => Err(error),
    };
    report(surroundings, &observed, &outcome).await?;
    let pass = match outcome {
        Ok(pass) => pass,
        Err(error) => {
            tracing::warn!(category = error.category(), %error, "the spec cannot be run");
            return Ok(Next::OnChange);
        }
    };
    if is_rolled_out(&pass)
        && let Ok(Some((_, config))) = &pass.workload
    {
        apply::prune(surroundings.client, &pass.valid, config, &observed).await?;
    }
    next(pass)
}

/// A pass that could not look. What was reported goes on counting for as long as that may be a hiccup; then it is unknown
/// how the pipeline is, and the status says so.
async fn unknown(
    surroundings: &Surroundings<'_>,
    observed: &Observed,
    error: ReconcileError,
) -> Result<Next, ReconcileError> {
    if surroundings.failures >= PATIENCE {
        publish(surroundings, observed, &status::unknown(observed, &with_causes(&error), &now())).await?;
    }
    Err(error)
}

/// The end of a pipeline: its topics, if they are to go with it.
async fn end(
    surroundings: &Surroundings<'_>,
    valid: Option<&Valid>,
    observed: &Observed,
) -> Result<Next, ReconcileError> {
    let metadata = &observed.resource.metadata;
    if !finalize::is_held(metadata) {
        return Ok(Next::OnChange);
    }
    let client = surroundings.client;
    let is_going = finalize::is_going(client, metadata.namespace.as_deref().unwrap_or_default()).await;
    let spec = valid.map(|valid| &valid.spec);
    let release = match (finalize::end(metadata, spec, &observed.status.topics, is_going, Timestamp::now()), valid) {
        (End::Release(release), _) => release,
        (End::Delete(_), None) => Release::Unreadable,
        (End::Delete(doomed), Some(valid)) => match delete(surroundings, valid, observed, &doomed).await {
            Ok(None) => Release::Done,
            Ok(Some(waiting)) => {
                publish(surroundings, observed, &status::ending(observed, &waiting, &now())).await?;
                return Ok(Next::After(Duration::from_secs(2)));
            }
            Err(error) => {
                publish(surroundings, observed, &status::ending(observed, &error.to_string(), &now())).await?;
                return Err(error.into());
            }
        },
    };
    if release.may_leave() {
        let regarding = observed.resource.object_ref(&observe::resource());
        events::publish(surroundings.recorder, &[events::retained(release.why())], &regarding).await;
    }
    hold(client, observed, false).await?;
    Ok(Next::OnChange)
}

async fn delete(
    surroundings: &Surroundings<'_>,
    valid: &Valid,
    observed: &Observed,
    doomed: &[TopicStatus],
) -> Result<Option<String>, FinalizeError> {
    let client = surroundings.client;
    let secrets = kafka_access::read(client, &valid.id.namespace, &valid.spec.kafka).await?;
    let credentials = Credentials::new(&valid.spec.kafka, &secrets)?;
    let topics = Topics::of(client, valid, surroundings.strimzi, &credentials)?;
    finalize::delete(client, valid, topics, observed, doomed).await
}

async fn hold(client: &Client, observed: &Observed, hold: bool) -> Result<(), ReconcileError> {
    finalize::hold(client, observed, hold).await.map_err(ReconcileError::Finalizer)
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Topics and workload. A failure of one keeps the other from nothing, and everything found is in the result.
async fn pass(surroundings: &Surroundings<'_>, valid: Valid, observed: &Observed) -> Pass {
    let mut pass = Pass {
        wanted: valid.topics(),
        size: size(&valid, &[], &observed.status.topics),
        valid,
        seen: Vec::new(),
        kafka: Ok(()),
        workload: Ok(None),
        rolled_back: None,
        words: None,
        drain: None,
    };
    let found = match kafka(surroundings, &mut pass, observed).await {
        Ok(found) => Some(found),
        Err(problem) => {
            pass.kafka = Err(problem);
            None
        }
    };
    pass.size = size(&pass.valid, &pass.seen, &observed.status.topics);
    let pods = unsettled_pods(surroundings.client, &pass.valid, observed).await;
    let words = words(pods.as_deref(), observed).await;
    let facts = found.as_ref().map(|found| &found.facts);
    let Some(revision) = revision(&mut pass, facts, words.as_ref(), observed) else { return pass };
    pass.words = words.map(|words| words.to_string());
    let desired = desired(&pass.valid, &revision, pass.size.replicas);
    let config = desired.config.clone();
    let applied = apply::workload(surroundings.client, &pass.valid, desired, observed).await;
    pass.workload = applied.map(|deployment| Some((deployment, config)));
    if pass.valid.spec.suspend {
        pass.drain = Some(drained(&pass, pods, found.as_ref(), observed).await);
    }
    pass
}

/// The pods, where they are not all as they should be, or should be gone. None where that is not so, or not known.
async fn unsettled_pods(client: &Client, valid: &Valid, observed: &Observed) -> Option<Vec<Pod>> {
    let deployment = observed.own_deployment()?;
    if is_settled(deployment) && !valid.spec.suspend {
        return None;
    }
    let pods = pods::list(client, &valid.id.namespace, &valid.id.name).await;
    // What pods say makes the report better, and decides nothing alone.
    pods.inspect_err(|error| tracing::warn!(error = with_causes(error), "pods were not read")).ok()
}

/// Why pods are not ready, in their own words.
async fn words(pods: Option<&[Pod]>, observed: &Observed) -> Option<PodReason> {
    pods::why(pods?, config_of(observed.own_deployment()?)?).await
}

/// What the pods are to run; none before the topics were ready for the first time. Where the facts are not known at the
/// moment, what runs goes on running, and how many replicas of it still follows the spec.
fn revision(
    pass: &mut Pass,
    facts: Option<&Facts>,
    words: Option<&PodReason>,
    observed: &Observed,
) -> Option<Revision> {
    let are_ready = pass.kafka.is_ok() && obstacles(&pass.wanted, &pass.seen).is_empty();
    // Pods that start before their topics could make the brokers make them, in another shape.
    if !are_ready && observed.own_deployment().is_none() {
        return None;
    }
    let Some(facts) = facts else { return revisions::newest(&observed.config_maps) };
    // While topics are not ready, no pod that does not become ready is the fault of a change.
    let deployment = observed.own_deployment().filter(|_| are_ready);
    let failure = deployment.and_then(|deployment| failure(&pass.valid, deployment, words));
    let reported = (observed.status.config.as_ref(), observed.status.last_healthy.as_ref());
    let revision = revisions::choose(&pass.valid, facts, &observed.config_maps, reported, failure.as_ref());
    pass.rolled_back = revisions::rolled_back(&revision, &pass.valid, facts).map(str::to_owned);
    Some(revision)
}

/// Another pipeline that stands between this one and a topic. The watch tells of pipelines in the order in which they were
/// made, so that of two the later one sees the other here.
fn conflict(pipelines: &Store<Guarded>, observed: &Observed) -> Option<Conflict> {
    let claim = Claim::of(&observed.resource.clone().try_parse().ok()?)?;
    let pipelines = pipelines.state();
    claim.conflict(pipelines.iter().filter_map(|pipeline| pipeline.0.as_ref().ok()))
}

/// Observes Kafka, then makes and changes topics, if they are this pipeline's to write.
async fn kafka(surroundings: &Surroundings<'_>, pass: &mut Pass, observed: &Observed) -> Result<Found, KafkaProblem> {
    if let Some(conflict) = conflict(surroundings.pipelines, observed) {
        return Err(conflict.into());
    }
    let credentials = credentials(surroundings.client, &pass.valid).await?;
    let topics = Topics::of(surroundings.client, &pass.valid, surroundings.strimzi, &credentials)?;
    let accepted = observed.resource.annotations().get(ACCEPT_ANNOTATION).map(String::as_str);
    let known = Known::new(&observed.status.topics, accepted);
    let (KafkaSeen { listener, topics: seen }, writer) = topics.observe(known).await?;
    pass.wanted = wanted(&pass.valid, &seen);
    pass.seen = seen;
    apply::topics(&writer, &pass.wanted, &mut pass.seen).await?;
    let listener = listener?;
    let facts = Facts::new(&listener, &credentials, surroundings.processor_image);
    Ok(Found { facts, access: credentials.settings(&listener.certificates) })
}

/// What is known of a pipeline's Kafka when it is as it should be.
struct Found {
    /// What its pods have to know.
    facts: Facts,
    /// How the operator's own clients reach it.
    access: Settings,
}

/// What the spec's Secrets hold.
async fn credentials(client: &Client, valid: &Valid) -> Result<Credentials, KafkaProblem> {
    let secrets = kafka_access::read(client, &valid.id.namespace, &valid.spec.kafka).await?;
    Ok(Credentials::new(&valid.spec.kafka, &secrets)?)
}

/// How far a suspended pipeline has come to rest. What was found at rest once stays so: nothing writes any more.
async fn drained(pass: &Pass, pods: Option<Vec<Pod>>, found: Option<&Found>, observed: &Observed) -> Drain {
    let was_drained = status::condition(&observed.status, status::PAUSED).is_some_and(|paused| {
        paused.status == ConditionStatus::True && paused.observed_generation == observed.resource.metadata.generation
    });
    let Some(pods) = pods else { return Drain::Unknown("the pods have not been counted yet".to_owned()) };
    let phase = |pod: &&Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    let left = pods.iter().filter(|pod| !["Succeeded", "Failed"].contains(&phase(pod).as_str())).count();
    if left > 0 {
        return Drain::Pods(left);
    }
    if was_drained {
        return Drain::Done;
    }
    let Some(Found { facts, access }) = found else {
        return Drain::Unknown("what the conditions say of the topics comes first".to_owned());
    };
    let mut kafka = ClientConfig::new();
    kafka.set("bootstrap.servers", &facts.kafka.bootstrap_servers);
    access.apply(&mut kafka);
    let written = pass.wanted.iter().filter(|topic| topic.role != Role::Source).map(|topic| topic.name.clone());
    match drain::open_transactions(kafka, written.collect()).await {
        Ok(open) if open.is_empty() => Drain::Done,
        Ok(open) => Drain::Transactions(open),
        Err(error) => Drain::Unknown(error.to_string()),
    }
}

async fn report(
    surroundings: &Surroundings<'_>,
    observed: &Observed,
    outcome: &Result<Pass, ValidateError>,
) -> Result<(), ReconcileError> {
    let mut new = status(observed, outcome, &now());
    let metadata = &observed.resource.metadata;
    let (namespace, name) =
        (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default());
    if let Some(Figures { lag, rate }) = surroundings.measurements.of(namespace, name) {
        (new.lag, new.rate) = (lag, rate);
    }
    publish(surroundings, observed, &new).await
}

/// Writes a status that differs, and publishes what happened.
async fn publish(
    surroundings: &Surroundings<'_>,
    observed: &Observed,
    new: &LoginPipelineStatus,
) -> Result<(), ReconcileError> {
    if *new == observed.status {
        return Ok(());
    }
    write(surroundings.client, observed, new).await.map_err(ReconcileError::Status)?;
    if let Some(ready) = status::condition(new, status::READY) {
        tracing::info!(ready = ?ready.status, reason = ready.reason, message = ready.message, "status changed");
    }
    let regarding: ObjectReference = observed.resource.object_ref(&observe::resource());
    events::publish(surroundings.recorder, &events::transitions(&observed.status, new), &regarding).await;
    Ok(())
}

async fn write(client: &Client, observed: &Observed, status: &LoginPipelineStatus) -> Result<(), kube::Error> {
    let resource = observe::resource();
    let metadata = &observed.resource.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    // The UID is a precondition: this status is not for a pipeline of the same name that came after.
    let patch = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": namespace, "uid": metadata.uid},
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match observe::resources(client, namespace).patch_status(name, &params, &Patch::Apply(patch)).await {
        Ok(_) => Ok(()),
        // It was deleted meanwhile.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

fn next(pass: Pass) -> Result<Next, ReconcileError> {
    match pass.kafka {
        Err(KafkaProblem::Topics(error)) => return Err(error.into()),
        Err(KafkaProblem::Secrets(error)) => return Err(error.into()),
        // Secrets are not watched.
        Err(KafkaProblem::Security(_)) => return Ok(Next::After(Duration::from_secs_f64(20.0 * jitter()))),
        // The Kafka is watched.
        Err(KafkaProblem::NoListener(_)) | Ok(()) => {}
        // The other pipeline may go.
        Err(KafkaProblem::Conflict(_)) => return Ok(Next::After(Duration::from_secs_f64(10.0 * jitter()))),
    }
    let workload = pass.workload?;
    let is_external = pass.valid.spec.kafka.external.is_some();
    let obstacle = gravest(&obstacles(&pass.wanted, &pass.seen));
    let is_rolling = workload.is_some_and(|(deployment, _)| !is_settled(&deployment));
    let is_draining = pass.drain.is_some_and(|drain| drain != Drain::Done);
    let has_secrets = kafka_access::has_secrets(&pass.valid.spec.kafka);
    let is_elsewhere = pass.valid.kafka_namespace() != pass.valid.id.namespace;
    let seconds = match (is_external, obstacle) {
        // Pods and transactions end in their own time.
        _ if is_draining => 5.0,
        // What was just made is visible in a moment, and nothing tells when.
        (true, Some(cause)) if !cause.needs_person() => 1.0,
        // Nothing tells what pods that are not ready say.
        _ if is_rolling => 20.0,
        // Nothing tells of a change in Kafka: what is reported is at most a minute old.
        (true, _) => 60.0,
        // That nobody answers, no watch tells.
        (false, Some(_)) => 20.0,
        // The namespace of the Kafka may not be watched, and Secrets never are.
        (false, None) if is_elsewhere || has_secrets => 60.0,
        // Everything is watched; this is for what no watch can tell.
        (false, None) => 600.0,
    };
    Ok(Next::After(Duration::from_secs_f64(seconds * jitter())))
}

/// A factor that keeps many pipelines from coming at once.
#[must_use]
pub fn jitter() -> f64 {
    rand::rng().random_range(0.8..1.0)
}

/// Whether a pipeline was reported to be ready.
#[must_use]
pub fn reported_readiness(status: Option<&LoginPipelineStatus>) -> ConditionStatus {
    status
        .and_then(|status| status::condition(status, status::READY))
        .map_or(ConditionStatus::Unknown, |ready| ready.status)
}
