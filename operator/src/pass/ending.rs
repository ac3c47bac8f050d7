//! The pass over a pipeline that is being deleted: its topics go first, if the spec wants that. I/O.

use std::time::Duration;

use crds::pipeline::TopicStatus;
use jiff::Timestamp;
use kube::Resource;

use super::{
    error::ReconcileError,
    events,
    finalize::{self, End, FinalizeError, Release, set_finalizer},
    observe::Observed,
    outcome::Outcome,
    report::report,
    requeue::Next,
    surroundings::Surroundings,
};
use crate::{
    kafka_access::{self, Credentials},
    resource::resource,
    topics::Topics,
    validate::Valid,
};

/// How soon to look again at what is waited for.
const WAITING: Duration = Duration::from_secs(2);

/// Goes on ending a pipeline, or lets it go. `valid` is none for a spec that cannot be run.
///
/// # Errors
/// When topics could not be deleted, or the API server did not take the finalizer or the status.
pub(crate) async fn end(
    surroundings: &Surroundings<'_>,
    valid: Option<&Valid>,
    observed: &Observed,
) -> Result<Next, ReconcileError> {
    let metadata = &observed.resource.metadata;
    if !finalize::has_finalizer(metadata) {
        return Ok(Next::OnChange);
    }
    let client = surroundings.client;
    let is_going = finalize::is_going(client, observed.key().0).await;
    let spec = valid.map(|valid| &valid.spec);
    let release = match (finalize::end(metadata, spec, &observed.status.topics, is_going, Timestamp::now()), valid) {
        (End::Release(release), _) => release,
        (End::Delete(_), None) => Release::Unreadable,
        (End::Delete(doomed), Some(valid)) => match delete(surroundings, valid, observed, &doomed).await {
            Ok(None) => Release::Done,
            Ok(Some(waiting)) => {
                report(surroundings, observed, &Outcome::Ending(waiting)).await?;
                return Ok(Next::After(WAITING));
            }
            Err(error) => {
                report(surroundings, observed, &Outcome::Ending(error.to_string())).await?;
                return Err(error.into());
            }
        },
    };
    if release.may_leave() {
        let regarding = observed.resource.object_ref(&resource());
        events::publish(surroundings.recorder, &[events::retained(release.why())], &regarding).await;
    }
    set_finalizer(client, observed, false).await.map_err(ReconcileError::Finalizer)?;
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
