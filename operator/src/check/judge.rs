//! What the facts mean. Pure.

use std::collections::BTreeMap;

use crds::{
    pipeline::LoginPipeline,
    topics::{MAX_GROWTH_BYTES, Role},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResourceExt, Resource};

use super::{
    Check, Flaw, Group, Outcome, Report,
    facts::{Facts, KafkaFact, PipelineFact, RightFact, StrimziFact, Version},
};
use crate::{rights::Place, text::plural};

/// The oldest version of Kubernetes that understands the resource's rules: they are in CEL.
const OLDEST: (u32, u32) = (1, 29);

/// The processor's transactions are given up after this time, in milliseconds: the brokers must allow as much.
const TRANSACTION_TIMEOUT_MS: i64 = 10_000;

/// A pipeline may have nothing to write for a while: a transactional id that is forgotten sooner costs it a new producer.
const SHORT_EXPIRATION_MS: i64 = 3_600_000;

const INSTALL: &str = "install it: operator crd | kubectl apply --server-side -f -";

/// The report.
#[must_use]
pub fn judge(facts: &Facts) -> Report {
    let mut groups = vec![group("kubernetes-api", vec![version(facts.version.as_ref())])];
    let pipelines = facts.pipelines.as_deref().unwrap_or_default();
    if facts.version.is_err() {
        // A Kafka that a manifest names can be looked at all the same.
        groups.extend(pipelines.iter().map(kafka));
        return Report { groups };
    }
    let uses_strimzi = pipelines.iter().any(|pipeline| pipeline.is_strimzi);
    groups.push(group("crds", definition(facts.definition.as_ref())));
    groups.push(group("rights", facts.rights.iter().map(|fact| right(fact, uses_strimzi)).collect()));
    groups.push(group("strimzi", strimzi(facts.strimzi.as_ref(), uses_strimzi)));
    match &facts.pipelines {
        Ok(pipelines) => groups.extend(pipelines.iter().map(kafka)),
        Err(error) => {
            let hint = "install the resource's definition, or give yourself the right to list LoginPipelines";
            groups.push(group("kafka", vec![warning("the pipelines can be listed", error, hint)]));
        }
    }
    Report { groups }
}

fn group(name: &str, checks: Vec<Check>) -> Group {
    Group { name: name.to_owned(), checks }
}

fn ok(what: impl Into<String>) -> Check {
    Check { what: what.into(), outcome: Outcome::Ok }
}

fn warning(what: impl Into<String>, found: impl Into<String>, hint: impl Into<String>) -> Check {
    Check { what: what.into(), outcome: Outcome::Warning(Flaw { found: found.into(), hint: hint.into() }) }
}

fn failed(what: impl Into<String>, found: impl Into<String>, hint: impl Into<String>) -> Check {
    Check { what: what.into(), outcome: Outcome::Failed(Flaw { found: found.into(), hint: hint.into() }) }
}

fn version(version: Result<&Version, &String>) -> Check {
    let version = match version {
        Ok(version) => version,
        Err(error) => {
            let hint = "check the kubeconfig, the network and your credentials: kubectl version";
            return failed("the API server answers", error, hint);
        }
    };
    let (major, minor) = OLDEST;
    let what = format!("the API server answers, with Kubernetes {major}.{minor} or later: {}", version.name);
    match version.parts {
        Some(parts) if parts >= OLDEST => ok(what),
        Some(_) => failed(what, "this version is older", "upgrade Kubernetes"),
        None => warning(what, "this version is not understood", "compare it yourself"),
    }
}

fn definition(definition: Result<&Option<CustomResourceDefinition>, &String>) -> Vec<Check> {
    let ours = LoginPipeline::crd();
    let name = ours.metadata.name.clone().unwrap_or_default();
    let is_there = format!("{name} is installed");
    let installed = match definition {
        Err(error) => {
            let hint = "run this check as a user who may get customresourcedefinitions";
            return vec![warning(is_there, error, hint)];
        }
        Ok(None) => return vec![failed(is_there, "it is not", INSTALL)],
        Ok(Some(installed)) => installed,
    };
    let version = LoginPipeline::version(&()).into_owned();
    let serves = format!("it serves {version}");
    let of_version = |definition: &CustomResourceDefinition| {
        definition.spec.versions.iter().find(|served| served.name == version && served.served).cloned()
    };
    let (Some(served), Some(wanted)) = (of_version(installed), of_version(&ours)) else {
        return vec![ok(is_there), failed(serves, "it does not", INSTALL)];
    };
    let same = "it is the definition of this release";
    let is_same = served.schema == wanted.schema && served.subresources == wanted.subresources;
    let verdict = if is_same { ok(same) } else { warning(same, "it differs: fields or rules may be missing", INSTALL) };
    vec![ok(is_there), ok(serves), verdict]
}

fn right(fact: &RightFact, uses_strimzi: bool) -> Check {
    let right = &fact.right;
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    let dotted = [resource, right.group].join(".");
    let name = [dotted.trim_end_matches('.'), subresource].join("/");
    let name = name.trim_end_matches('/');
    let abroad = if right.place == Place::Kafka { " in the namespace of another's Kafka" } else { "" };
    let what = format!("may {} {name}{abroad}: {}", right.verbs.join(", "), right.why);
    let refused = match &fact.refused {
        Err(error) => {
            return warning(what, error, "whether this is allowed could not be found out: look at the roles");
        }
        Ok(refused) if refused.is_empty() => return ok(what),
        Ok(refused) => refused,
    };
    let mut by_namespace: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for (verb, namespace) in refused {
        by_namespace.entry(namespace.as_deref()).or_default().push(verb);
    }
    let place =
        |namespace: Option<&str>| namespace.map_or("all namespaces".to_owned(), |name| format!("namespace {name}"));
    let found: Vec<_> = by_namespace
        .iter()
        .map(|(namespace, verbs)| format!("not {} in {}", verbs.join(", "), place(*namespace)))
        .collect();
    let hint = format!(
        "add to the role of the operator: apiGroups: [{:?}], resources: [{:?}], verbs: [{}]",
        right.group,
        right.resource,
        right.verbs.join(", ")
    );
    let is_optional = right.group == crds::strimzi::GROUP && !uses_strimzi;
    if is_optional { warning(what, found.join("; "), hint) } else { failed(what, found.join("; "), hint) }
}

fn strimzi(fact: Result<&StrimziFact, &String>, is_used: bool) -> Vec<Check> {
    let is_there = "Strimzi's resources are served";
    let fact = match fact {
        Ok(fact) => fact,
        Err(error) => {
            return vec![warning(is_there, error, "look yourself: kubectl api-resources --api-group kafka.strimzi.io")];
        }
    };
    let Some(served) = &fact.served else {
        let hint = "install the Strimzi operator, or use spec.kafka.external";
        let not = "they are not";
        return vec![if is_used { failed(is_there, not, hint) } else { warning(is_there, not, hint) }];
    };
    let mut checks = vec![ok(format!("{is_there}: {}", served.api_version))];
    let ready = "every Kafka resource is ready";
    let waiting: Vec<_> = fact.kafkas.iter().filter(|(_, is_ready)| !is_ready).map(|(name, _)| name.as_str()).collect();
    checks.push(if fact.kafkas.is_empty() {
        warning(ready, "there is none in the namespaces looked at", "create one, or look at other namespaces")
    } else if waiting.is_empty() {
        ok(format!("{ready}: {}", fact.kafkas.len()))
    } else {
        let hint = "look at its status: kubectl describe kafka";
        warning(ready, format!("not ready: {}", waiting.join(", ")), hint)
    });
    let answers = "a topic operator answers KafkaTopic resources";
    let hint = "check that the Kafka's entityOperator has a topicOperator that runs and watches their namespace, and that \
                their label strimzi.io/cluster names the Kafka";
    checks.push(match (fact.answered, fact.unanswered.as_slice()) {
        (0, []) => warning(answers, "there is none to answer yet", "look again when a pipeline has been created"),
        (_, []) => ok(format!("{answers}: {}", fact.answered)),
        (0, unanswered) => failed(answers, format!("unanswered for minutes: {}", few(unanswered)), hint),
        (_, unanswered) => warning(answers, format!("unanswered for minutes: {}", few(unanswered)), hint),
    });
    checks
}

/// Some of many names.
fn few(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn kafka(pipeline: &PipelineFact) -> Group {
    let name = format!("kafka of {}", pipeline.name);
    let known = "its bootstrap servers are known";
    let servers = match &pipeline.servers {
        Ok(servers) => servers,
        Err(error) => return group(&name, vec![failed(known, error, "correct spec.kafka, or wait for the Kafka")]),
    };
    if let Err(error) = &pipeline.credentials {
        let hint = "see examples/reference.yaml, kafka: which Secrets and keys there are to be";
        return group(&name, vec![failed("its Secrets can be used", error, hint)]);
    }
    let answers = format!("a broker answers within 5 s: {servers}");
    let mut checks = match &pipeline.kafka {
        Err(error) => {
            let hint = "check the address, the network and the security settings; where the servers are known in the \
                        cluster alone, run this check there: kubectl exec deploy/login-pipeline-operator -- operator check";
            return group(&name, vec![failed(answers, error, hint)]);
        }
        Ok(_) => vec![ok(answers)],
    };
    if let Ok(kafka) = &pipeline.kafka {
        checks.extend(settings(kafka));
        checks.extend(topics(kafka));
    }
    group(&name, checks)
}

fn settings(kafka: &KafkaFact) -> Vec<Check> {
    let settings = match &kafka.settings {
        Ok(settings) => settings,
        Err(error) => {
            let hint = "allow the operation DescribeConfigs on the cluster, or compare the brokers' settings yourself: \
                        transaction.max.timeout.ms, transaction.state.log.replication.factor, transaction.state.log.min.isr";
            return vec![warning("the brokers' limits can be read", error, hint)];
        }
    };
    let number = |key: &str| settings.get(key).and_then(|value| value.parse::<i64>().ok());
    let brokers = i64::try_from(kafka.brokers).unwrap_or(i64::MAX);
    let mut checks = Vec::new();
    if let Some(timeout) = number("transaction.max.timeout.ms") {
        let what = format!("transactions may take {TRANSACTION_TIMEOUT_MS} ms (transaction.max.timeout.ms: {timeout})");
        checks.push(if timeout >= TRANSACTION_TIMEOUT_MS {
            ok(what)
        } else {
            let hint = format!("set transaction.max.timeout.ms to {TRANSACTION_TIMEOUT_MS} or more on the brokers");
            failed(what, "they are ended sooner", hint)
        });
    }
    if let (Some(factor), Some(min_isr)) =
        (number("transaction.state.log.replication.factor"), number("transaction.state.log.min.isr"))
    {
        checks.push(transaction_log(brokers, factor, min_isr));
    }
    if let Some(expiration) = number("transactional.id.expiration.ms") {
        let what = format!("transactional ids outlive a pause (transactional.id.expiration.ms: {expiration})");
        checks.push(if expiration >= SHORT_EXPIRATION_MS {
            ok(what)
        } else {
            let hint = format!("set transactional.id.expiration.ms to {SHORT_EXPIRATION_MS} or more on the brokers");
            warning(what, "they are forgotten within an hour: a pause of the events costs a new producer", hint)
        });
    }
    checks
}

fn transaction_log(brokers: i64, factor: i64, min_isr: i64) -> Check {
    let what = format!(
        "the transactions' log fits {} (transaction.state.log.replication.factor: {factor}, \
         transaction.state.log.min.isr: {min_isr})",
        plural(brokers, "broker", "brokers")
    );
    if factor > brokers {
        let hint = "add brokers, or lower transaction.state.log.replication.factor before the first transaction";
        failed(what, "it needs more replicas than there are brokers: no transaction can begin", hint)
    } else if min_isr > factor {
        let hint = "set transaction.state.log.min.isr to less than the replication factor";
        failed(what, "it needs more replicas in sync than it has: no transaction can be committed", hint)
    } else if min_isr == factor && factor > 1 {
        let hint = "set transaction.state.log.min.isr to less than the replication factor";
        warning(what, "one broker that is away stops every transaction", hint)
    } else if factor == 1 && brokers > 1 {
        let hint =
            "set transaction.state.log.replication.factor to 3 (of a log that exists: kafka-reassign-partitions)";
        warning(what, "it has no replica: a broker that is lost takes the state of transactions with it", hint)
    } else {
        ok(what)
    }
}

fn topics(kafka: &KafkaFact) -> Vec<Check> {
    let allowed = "the pipeline's topics may be looked at";
    let refused: Vec<_> = kafka
        .topics
        .iter()
        .filter_map(|topic| Some(format!("{} topic {}: {}", topic.role, topic.name, topic.settings.as_ref().err()?)))
        .collect();
    let mut checks = vec![if refused.is_empty() {
        ok(allowed)
    } else {
        let hint = "allow the operations Describe, DescribeConfigs, Create and Alter on the topics, and Read and Write to the pods";
        failed(allowed, refused.join("; "), hint)
    }];
    let bytes = |role: Role| {
        let topic = kafka.topics.iter().find(|topic| topic.role == role)?;
        let settings = topic.settings.as_ref().ok()?.as_ref()?;
        settings.get("max.message.bytes")?.parse::<i64>().ok()
    };
    if let Some(source) = bytes(Role::Source) {
        let needed = source + i64::from(MAX_GROWTH_BYTES);
        for role in [Role::Output, Role::DeadLetters] {
            let Some(taken) = bytes(role) else { continue };
            let what =
                format!("the {role} topic takes what the source takes, and what is added (max.message.bytes: {taken})");
            checks.push(if taken >= needed {
                ok(what)
            } else {
                let hint = format!("set its max.message.bytes to {needed} or more");
                let found = format!("the source takes {source} bytes");
                if taken < source { failed(what, found, hint) } else { warning(what, found, hint) }
            });
        }
    }
    checks
}
