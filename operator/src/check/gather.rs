//! Reads what the check judges. I/O that changes nothing.

use std::{collections::BTreeSet, path::Path};

use cli::{exit::with_causes, file};
use crds::{
    manifest::{Manifest, the_one},
    pipeline::{Kafka, LoginPipeline},
    strimzi::{self, KafkaStatus, api_resource},
    topics::{PipelineId, topics},
};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::{
    api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, CustomResourceExt, ResourceExt,
    api::{ListParams, PostParams},
    core::{ApiResource, DynamicObject},
};
use rdkafka::ClientConfig;
use serde_json::Value;

use super::{
    facts::{Facts, PipelineFact, RightFact, StrimziFact, Version},
    kafka,
};
use crate::{
    args,
    kafka_access::{self, Credentials},
    rights::{Place, RIGHTS, RIGHTS_ABROAD, Right},
    scope::Scope,
    watch::strimzi::discover,
};

/// How many requests are made at once.
const AT_A_TIME: usize = 16;

/// A topic operator that has not answered for this long counts as silent.
const PATIENCE_SECONDS: i64 = 120;

/// How many KafkaTopics are looked at.
const SAMPLE: u32 = 500;

/// The check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The manifest cannot be used.
    #[error("--pipeline {file}: {problem}")]
    Manifest {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such pipeline.
    #[error("there is no LoginPipeline {name:?} in namespace {namespace:?}, nor a file of that name ({error})")]
    NoPipeline {
        name: String,
        /// The namespace that was searched.
        namespace: String,
        /// What the API server says.
        error: String,
    },
}

/// A pipeline to check, which may not be installed yet.
struct Target {
    id: PipelineId,
    /// As it is called in the report.
    name: String,
    pipeline: LoginPipeline,
}

/// Everything that the check looks at.
///
/// # Errors
/// When the pipeline that the options name is not there, or cannot be read.
pub async fn gather(client: &Client, options: &args::Check) -> Result<Facts, CheckError> {
    let scope = Scope::of(&options.namespaces);
    let version = client.apiserver_version().await.map_err(|error| text(&error)).map(|info| {
        let number = |text: &str| text.trim_end_matches('+').parse().ok();
        Version { parts: number(&info.major).zip(number(&info.minor)), name: info.git_version }
    });
    let targets = match &options.pipeline {
        Some(pipeline) => Ok(vec![named(client, &scope, pipeline).await?]),
        None => every(client, &scope).await,
    };
    // Without an API server every other question has the same answer.
    let unanswered = version.as_ref().err().cloned();
    let definition = match &unanswered {
        None => definition(client).await,
        Some(error) => Err(error.clone()),
    };
    let rights = if unanswered.is_none() {
        let places = Places {
            watched: scope.parts().into_iter().map(|part| part.map(str::to_owned)).collect(),
            lease: options.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned()),
            kafkas: targets.as_deref().map(|targets| abroad(&scope, targets)).unwrap_or_default(),
        };
        rights(client, &places).await
    } else {
        Vec::new()
    };
    let served = match unanswered {
        None => discover(client).await.map_err(|error| text(&error)),
        Some(error) => Err(error),
    };
    let strimzi = match &served {
        Ok(version) => strimzi(client, &scope, *version).await.map_err(|error| text(&error)),
        Err(error) => Err(error.clone()),
    };
    let pipelines = match targets {
        Ok(targets) => {
            let facts = stream::iter(targets).map(|target| look(client, &served, target));
            Ok(facts.buffered(AT_A_TIME).collect().await)
        }
        Err(error) => Err(error),
    };
    Ok(Facts { version, definition, rights, strimzi, pipelines })
}

async fn definition(client: &Client) -> Result<Option<CustomResourceDefinition>, String> {
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    definitions.get_opt(LoginPipeline::crd_name()).await.map_err(|error| text(&error))
}

/// Where rights are needed.
struct Places {
    /// None stands for all namespaces.
    watched: Vec<Option<String>>,
    lease: String,
    kafkas: BTreeSet<String>,
}

impl Places {
    fn of(&self, place: Place) -> Vec<Option<String>> {
        match place {
            Place::Watched => self.watched.clone(),
            Place::Lease => vec![Some(self.lease.clone())],
            Place::Kafka => self.kafkas.iter().cloned().map(Some).collect(),
        }
    }
}

/// The namespaces outside the scope whose Kafkas are used.
fn abroad(scope: &Scope, targets: &[Target]) -> BTreeSet<String> {
    let parts = scope.parts();
    let is_watched = |namespace: &str| parts.iter().any(|part| part.is_none_or(|part| part == namespace));
    let used = targets.iter().filter_map(|target| target.pipeline.spec.kafka.strimzi.as_ref()?.namespace.clone());
    used.filter(|namespace| !is_watched(namespace)).collect()
}

async fn rights(client: &Client, places: &Places) -> Vec<RightFact> {
    let rights = RIGHTS.iter().chain(RIGHTS_ABROAD).map(|right| (*right, places.of(right.place)));
    let needed = rights.filter(|(_, places)| !places.is_empty());
    stream::iter(needed).map(|(right, places)| review(client, places, right)).buffered(AT_A_TIME).collect().await
}

fn text(error: &kube::Error) -> String {
    with_causes(error)
}

/// The pipeline of a file, or of the API server.
async fn named(client: &Client, scope: &Scope, name: &str) -> Result<Target, CheckError> {
    let namespace = scope.parts().into_iter().flatten().next().unwrap_or_else(|| client.default_namespace()).to_owned();
    if Path::new(name).is_file() {
        let (name, pipeline) = of_file(name)?;
        return Ok(Target { id: PipelineId { namespace, name: name.clone() }, name, pipeline });
    }
    let pipelines = Api::<LoginPipeline>::namespaced(client.clone(), &namespace);
    let pipeline = pipelines.get(name).await.map_err(|error| CheckError::NoPipeline {
        name: name.to_owned(),
        namespace: namespace.clone(),
        error: text(&error),
    })?;
    Ok(target(pipeline))
}

fn of_file(path: &str) -> Result<(String, LoginPipeline), CheckError> {
    let failed = |problem: String| CheckError::Manifest { file: path.to_owned(), problem };
    let content = file::read(Path::new(path)).map_err(|error| failed(error.to_string()))?;
    let Manifest { name, spec } = the_one(&content).map_err(|problems| failed(problems.join("; ")))?;
    Ok((name.clone(), LoginPipeline::new(&name, spec)))
}

/// Every pipeline of the scope.
async fn every(client: &Client, scope: &Scope) -> Result<Vec<Target>, String> {
    let mut all = Vec::new();
    for part in scope.parts() {
        let api: Api<LoginPipeline> =
            part.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name));
        all.extend(api.list(&ListParams::default()).await.map_err(|error| text(&error))?.into_iter().map(target));
    }
    Ok(all)
}

fn target(pipeline: LoginPipeline) -> Target {
    let id = PipelineId { namespace: pipeline.namespace().unwrap_or_default(), name: pipeline.name_any() };
    Target { name: format!("{}/{}", id.namespace, id.name), id, pipeline }
}

/// What of a right is refused in these namespaces.
async fn review(client: &Client, places: Vec<Option<String>>, right: Right) -> RightFact {
    let mut refused = Vec::new();
    for place in places {
        for verb in right.verbs {
            match may(client, right, verb, place.clone()).await {
                Ok(true) => {}
                Ok(false) => refused.push((*verb, place.clone())),
                Err(error) => return RightFact { right, refused: Err(text(&error)) },
            }
        }
    }
    RightFact { right, refused: Ok(refused) }
}

async fn may(client: &Client, right: Right, verb: &str, namespace: Option<String>) -> Result<bool, kube::Error> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource, None),
    };
    let attributes = ResourceAttributes {
        group: Some(right.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(verb.to_owned()),
        namespace,
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

async fn strimzi(client: &Client, scope: &Scope, version: Option<&str>) -> Result<StrimziFact, kube::Error> {
    let Some(version) = version else { return Ok(StrimziFact::default()) };
    let mut fact = StrimziFact { served: Some(api_resource(version, "Kafka")), ..StrimziFact::default() };
    let sample = ListParams::default().limit(SAMPLE);
    for part in scope.parts() {
        for kafka in of_part(client, part, &api_resource(version, "Kafka")).list(&sample).await? {
            fact.kafkas.push((full_name(&kafka), is_ready(&kafka)));
        }
        let now = Timestamp::now().as_second();
        for topic in of_part(client, part, &api_resource(version, "KafkaTopic")).list(&sample).await? {
            let observed = topic.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
            let created = topic.creation_timestamp().map_or(now, |created| created.0.as_second());
            if observed.is_some() && observed == topic.metadata.generation {
                fact.answered += 1;
            } else if now - created > PATIENCE_SECONDS {
                fact.unanswered.push(full_name(&topic));
            }
        }
    }
    Ok(fact)
}

fn of_part(client: &Client, part: Option<&str>, resource: &ApiResource) -> Api<DynamicObject> {
    match part {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

fn full_name(object: &DynamicObject) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

fn is_ready(kafka: &DynamicObject) -> bool {
    let conditions = kafka.data.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// A pipeline's Kafka.
async fn look(client: &Client, strimzi: &Result<Option<&str>, String>, target: Target) -> PipelineFact {
    let Target { id, name, pipeline } = target;
    let kafka = &pipeline.spec.kafka;
    let is_strimzi = kafka.external.is_none();
    let listener = listener(client, strimzi, &id, kafka).await;
    let credentials = match kafka_access::read(client, &id.namespace, kafka).await {
        Ok(secrets) => Credentials::new(kafka, &secrets).map_err(|error| error.to_string()),
        Err(error) => Err(with_causes(&error)),
    };
    let found = match (&listener, &credentials) {
        (Ok((servers, certificates)), Ok(credentials)) => {
            let mut settings = ClientConfig::new();
            settings.set("bootstrap.servers", servers).set("client.id", "login-pipeline-operator-check");
            credentials.settings(certificates).apply(&mut settings);
            let wanted = topics(&id, &pipeline.spec);
            let asking = tokio::task::spawn_blocking(move || kafka::ask(&settings, wanted));
            asking.await.unwrap_or_else(|error| Err(error.to_string()))
        }
        (Err(error), _) | (_, Err(error)) => Err(error.clone()),
    };
    let servers = listener.map(|(servers, _)| servers);
    PipelineFact { name, is_strimzi, servers, credentials: credentials.map(drop), kafka: found }
}

/// How a pipeline's Kafka is reached: its bootstrap servers, and the certificates that Strimzi publishes for them.
async fn listener(
    client: &Client,
    strimzi: &Result<Option<&str>, String>,
    id: &PipelineId,
    kafka: &Kafka,
) -> Result<(String, Vec<String>), String> {
    if let Some(external) = &kafka.external {
        return Ok((external.bootstrap_servers.clone(), Vec::new()));
    }
    let Some(wanted) = &kafka.strimzi else { return Err("spec.kafka names none".to_owned()) };
    let version = strimzi.clone()?.ok_or("Strimzi is not installed")?;
    let namespace = wanted.namespace.as_deref().unwrap_or(&id.namespace);
    let kafkas: Api<strimzi::Kafka> = Api::namespaced_with(client.clone(), namespace, &api_resource(version, "Kafka"));
    let found = kafkas.get(&wanted.cluster).await.map_err(|error| text(&error))?;
    let listeners = found.status.map(|KafkaStatus { listeners, .. }| listeners).unwrap_or_default();
    let listener = listeners.into_iter().find(|listener| listener.name.as_deref() == Some(&wanted.listener));
    let reached = listener.and_then(|listener| Some((listener.bootstrap_servers?, listener.certificates)));
    reached.ok_or_else(|| {
        let (cluster, listener) = (&wanted.cluster, &wanted.listener);
        format!("Kafka {namespace}/{cluster} publishes no bootstrap servers for the listener {listener:?}")
    })
}
