//! One pass over one pipeline: the steps in their order. I/O.

use cli::exit::with_causes;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;

use super::{
    apply,
    desired::desired,
    drain::drained,
    ending::end,
    error::ReconcileError,
    finalize::{self, set_finalizer},
    kafka::kafka,
    observe::{self, Observed},
    outcome::{Applied, Drain, Outcome, Pass, Workload},
    plan::{Plan, plan},
    report::report,
    requeue::{Next, pause},
    rollout::{config_of, is_settled, size},
    status::rolled_out,
    surroundings::{PATIENCE, Surroundings},
};
use crate::{
    conditions::reported::Reported,
    pace::jitter,
    pods::{self, PodReason},
    topics::{TopicsError, strimzi::Strimzi},
    validate::{Valid, validate},
};

/// Does one pass.
///
/// # Errors
/// When a step fails. What the other steps found has been reported then.
pub(crate) async fn reconcile(
    surroundings: &Surroundings<'_>,
    namespace: &str,
    name: &str,
) -> Result<Next, ReconcileError> {
    let client = surroundings.client;
    let Some(mut observed) = observe::pipeline(client, namespace, name).await? else { return Ok(Next::OnChange) };
    if let Err(error) = observe::children(client, &mut observed).await {
        return unobserved(surroundings, &observed, error.into()).await;
    }
    let valid = validate(&observed.resource);
    // What it owns goes with it.
    if observed.resource.metadata.deletion_timestamp.is_some() {
        return end(surroundings, valid.ok().as_ref(), &observed).await;
    }
    let valid = match valid {
        Ok(valid) => valid,
        Err(error) => {
            let (category, problem) = (error.category(), error.to_string());
            report(surroundings, &observed, &Outcome::Invalid(error)).await?;
            tracing::warn!(category, error = problem, "the spec cannot be run");
            return Ok(Next::OnChange);
        }
    };
    // The finalizer comes before the first topic that it holds the pipeline for.
    if let Err(error) = set_finalizer(client, &observed, finalize::is_needed(&valid.spec)).await {
        return unobserved(surroundings, &observed, ReconcileError::Finalizer(error)).await;
    }
    // An operator that has just started learns it in a moment; what was reported goes on counting until then.
    let needs_strimzi = valid.spec.kafka.strimzi.is_some();
    if needs_strimzi && matches!(surroundings.strimzi, Strimzi::Unknown) && surroundings.failures < PATIENCE {
        return Err(TopicsError::StrimziUnknown.into());
    }
    let outcome = Outcome::Performed(Box::new(perform(surroundings, valid, &observed).await));
    report(surroundings, &observed, &outcome).await?;
    let Outcome::Performed(pass) = outcome else { return Ok(Next::OnChange) };
    if let Some(config) = rolled_out(&pass) {
        apply::prune(client, &pass.valid, config, &observed).await?;
    }
    Ok(Next::After(pause(*pass)?.mul_f64(jitter())))
}

/// A pass that could not read. What was reported goes on counting for as long as that may be a hiccup; then the status says
/// that the state of the pipeline is unknown.
async fn unobserved(
    surroundings: &Surroundings<'_>,
    observed: &Observed,
    error: ReconcileError,
) -> Result<Next, ReconcileError> {
    if surroundings.failures >= PATIENCE {
        report(surroundings, observed, &Outcome::Unobserved(with_causes(&error))).await?;
    }
    Err(error)
}

/// Topics and workload. A failure of one does not hold the other back, and everything found is in the result.
async fn perform(surroundings: &Surroundings<'_>, valid: Valid, observed: &Observed) -> Pass {
    let kafka = kafka(surroundings, &valid, observed).await;
    let size = size(&valid, kafka.seen(), &observed.status.topics);
    let pods = unsettled_pods(surroundings.client, &valid, observed).await;
    let words = words(pods.as_deref(), observed).await;
    let Some(Plan { revision, rolled_back }) = plan(&valid, &kafka, words.as_ref(), observed) else {
        let drain = if valid.spec.suspend { Drain::Unchecked } else { Drain::NotSuspended };
        return Pass { valid, kafka, size, workload: Workload::Waiting, drain };
    };
    let desired = desired(&valid, &revision, size.replicas);
    let config = desired.config.clone();
    let workload = match apply::workload(surroundings.client, &valid, desired, observed).await {
        Err(error) => Workload::Failed(error),
        Ok(deployment) => {
            let words = words.map(|words| words.to_string());
            Workload::Applied(Box::new(Applied { deployment, config, rolled_back, words }))
        }
    };
    let drain = if valid.spec.suspend { drained(&kafka, pods, observed).await } else { Drain::NotSuspended };
    Pass { valid, kafka, size, workload, drain }
}

/// The pods, where they are not all as they should be, or should be gone. None where they are, and where they could not be
/// listed.
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
