//! Observes a pipeline's Kafka, then makes and changes the topics that are the pipeline's to write. I/O.

use crds::topics::Topic;
use kube::{Client, ResourceExt, runtime::reflector::Store};

use super::{
    inputs::Inputs,
    observe::Observed,
    outcome::{Kafka, KafkaProblem, KnownTopics},
    surroundings::Surroundings,
};
use crate::{
    kafka_access::{self, Credentials},
    resource::Guarded,
    topics::{
        KafkaSeen, Seen, Topics, TopicsError, TopicsWriter,
        conflict::{Claim, Conflict},
        growth::{is_due, source_bytes, wanted},
        lost::{ACCEPT_ANNOTATION, Known},
    },
    validate::Valid,
};

/// Brings the topics of a pipeline as far as possible.
pub(crate) async fn kafka(surroundings: &Surroundings<'_>, valid: &Valid, observed: &Observed) -> Kafka {
    topics(surroundings, valid, observed).await.unwrap_or_else(Kafka::Unobserved)
}

async fn topics(surroundings: &Surroundings<'_>, valid: &Valid, observed: &Observed) -> Result<Kafka, KafkaProblem> {
    if let Some(conflict) = conflict(surroundings.pipelines, observed) {
        return Err(conflict.into());
    }
    let credentials = credentials(surroundings.client, valid).await?;
    let topics = Topics::of(surroundings.client, valid, surroundings.strimzi, &credentials)?;
    let accepted = observed.resource.annotations().get(ACCEPT_ANNOTATION).map(String::as_str);
    let known = Known::new(&observed.status.topics, accepted);
    let (KafkaSeen { listener, topics: seen }, writer) = topics.observe(known).await?;
    let mut known = KnownTopics { wanted: wanted(valid, &seen), seen };
    if let Err(error) = bring_about(&writer, &known.wanted, &mut known.seen).await {
        return Ok(Kafka::Unchanged { topics: known, error });
    }
    Ok(match listener {
        Err(error) => Kafka::NoListener { topics: known, error },
        Ok(listener) => Kafka::Usable {
            topics: known,
            inputs: Box::new(Inputs::new(&listener, &credentials, surroundings.processor_image)),
            access: credentials.settings(&listener.certificates),
        },
    })
}

/// Another pipeline that has one of the topics. The watch reports pipelines in the order in which they were made, so of two
/// the later one sees the other here.
fn conflict(pipelines: &Store<Guarded>, observed: &Observed) -> Option<Conflict> {
    let claim = Claim::of(&observed.resource.clone().try_parse().ok()?)?;
    let pipelines = pipelines.state();
    claim.conflict(pipelines.iter().filter_map(|pipeline| pipeline.0.as_ref().ok()))
}

/// The Secrets that the spec names, read and judged.
async fn credentials(client: &Client, valid: &Valid) -> Result<Credentials, KafkaProblem> {
    let secrets = kafka_access::read(client, &valid.id.namespace, &valid.spec.kafka).await?;
    Ok(Credentials::new(&valid.spec.kafka, &secrets)?)
}

/// Makes and changes the topics that are due, and keeps in `seen` what they are then. Where one fails, those before it are
/// done.
async fn bring_about(writer: &TopicsWriter<'_>, wanted: &[Topic], seen: &mut [Seen]) -> Result<(), TopicsError> {
    let bytes = source_bytes(seen);
    for topic in wanted {
        if !is_due(topic, wanted, seen) {
            continue;
        }
        if let Some(entry) = seen.iter_mut().find(|seen| seen.role == topic.role) {
            *entry = writer.ensure(topic, entry, bytes).await?;
        }
    }
    Ok(())
}
