//! How far a suspended pipeline has come to rest. I/O that changes nothing.

use crds::{pipeline::ConditionStatus, topics::Role};
use k8s_openapi::api::core::v1::Pod;
use rdkafka::ClientConfig;

use super::{
    observe::Observed,
    outcome::{Drain, Kafka},
    transactions::open_transactions,
};
use crate::conditions::condition::{PAUSED, condition};

/// How far a suspended pipeline has come to rest. `pods` is none where they could not be listed. A pipeline that was at
/// rest once stays so until its spec changes: nothing writes any more.
pub(crate) async fn drained(kafka: &Kafka, pods: Option<Vec<Pod>>, observed: &Observed) -> Drain {
    let Some(pods) = pods else { return Drain::Unknown("the pods have not been counted yet".to_owned()) };
    let left = pods.iter().filter(|pod| !has_ended(pod)).count();
    if left > 0 {
        return Drain::Pods(left);
    }
    if was_drained(observed) {
        return Drain::Done;
    }
    let Kafka::Usable { topics, inputs, access } = kafka else {
        return Drain::Unknown("what the conditions say of the topics comes first".to_owned());
    };
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &inputs.kafka.bootstrap_servers);
    access.apply(&mut client);
    let written = topics.wanted.iter().filter(|topic| topic.role != Role::Source).map(|topic| topic.name.clone());
    match open_transactions(client, written.collect()).await {
        Ok(open) if open.is_empty() => Drain::Done,
        Ok(open) => Drain::Transactions(open),
        Err(error) => Drain::Unknown(error.to_string()),
    }
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether the last report for the present spec said so.
fn was_drained(observed: &Observed) -> bool {
    condition(&observed.status, PAUSED).is_some_and(|paused| {
        paused.status == ConditionStatus::True && paused.observed_generation == observed.resource.metadata.generation
    })
}
