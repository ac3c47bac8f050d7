//! What was found. An error is a text: it says why something could not be found out.

use std::collections::BTreeMap;

use crds::topics::Role;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::ApiResource;

use crate::rights::Right;

/// Everything that was found.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The API server's version.
    pub version: Result<Version, String>,
    /// The definition of the resource, if it is installed.
    pub definition: Result<Option<CustomResourceDefinition>, String>,
    /// The rights of the table, each with what was found of it.
    pub rights: Vec<RightFact>,
    /// Strimzi.
    pub strimzi: Result<StrimziFact, String>,
    /// The pipelines that were looked at, or why they could not be read.
    pub pipelines: Result<Vec<PipelineFact>, String>,
}

/// A version of the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// As it calls itself.
    pub name: String,
    /// Its parts, where they are numbers.
    pub parts: Option<(u32, u32)>,
}

/// A right, and what of it is missing.
#[derive(Clone, Debug)]
pub struct RightFact {
    /// The right.
    pub right: Right,
    /// Verbs that are refused, with the namespace where; none stands for all namespaces.
    pub refused: Result<Vec<(&'static str, Option<String>)>, String>,
}

/// What is there of Strimzi.
#[derive(Clone, Debug, Default)]
pub struct StrimziFact {
    /// How its resources are served; none where they are not.
    pub served: Option<ApiResource>,
    /// The `Kafka` resources in the namespaces looked at, as `namespace/name`, and whether they are ready.
    pub kafkas: Vec<(String, bool)>,
    /// How many `KafkaTopic` resources a topic operator has answered.
    pub answered: usize,
    /// Those, as `namespace/name`, that it has not answered for minutes.
    pub unanswered: Vec<String>,
}

/// A pipeline, and its Kafka.
#[derive(Clone, Debug)]
pub struct PipelineFact {
    /// `namespace/name`, or the name alone of one that stands in a file.
    pub name: String,
    /// Whether its Kafka is run by Strimzi.
    pub is_strimzi: bool,
    /// How its Kafka is reached, or why that is not known.
    pub servers: Result<String, String>,
    /// Whether the Secrets that its spec names can be used.
    pub credentials: Result<(), String>,
    /// What its Kafka says; an error where no broker answers, or none accepts the credentials.
    pub kafka: Result<KafkaFact, String>,
}

/// What a Kafka says.
#[derive(Clone, Debug)]
pub struct KafkaFact {
    /// How many brokers it has.
    pub brokers: usize,
    /// The settings of one of them.
    pub settings: Result<BTreeMap<String, String>, String>,
    /// The pipeline's topics.
    pub topics: Vec<TopicFact>,
}

/// A topic of a pipeline.
#[derive(Clone, Debug)]
pub struct TopicFact {
    /// What it is for.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// Its settings; none where it does not exist yet, an error where it may not be looked at.
    pub settings: Result<Option<BTreeMap<String, String>>, String>,
}
