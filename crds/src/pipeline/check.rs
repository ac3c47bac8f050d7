//! What the schema cannot say, or says only on an API server: checked for `operator validate`, for reconciliation and for
//! `processor local` alike. The CEL rules on the types say the same to `kubectl apply`.

use std::fmt;

use super::{Alert, CertificateRef, Dimension, KeyRef, LoginPipelineSpec, Sasl, Window};
use crate::records::aggregate::OTHER;

/// One thing that is wrong with a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, from `spec`.
    pub field: &'static str,
    /// The value that is there.
    pub value: String,
    /// What to write instead.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: {}", self.field, self.value, self.remedy)
    }
}

/// Everything that is wrong with a pipeline of this name and spec; empty when it can run.
#[must_use]
pub fn check(name: &str, spec: &LoginPipelineSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |wrong: bool, field, value: String, remedy: &str| {
        if wrong {
            problems.push(Problem { field, value, remedy: remedy.to_owned() });
        }
    };

    let quoted = |text: &str| format!("{text:?}");
    refuse(
        name.is_empty() || name.len() > 40,
        "metadata.name",
        quoted(name),
        "choose 1 to 40 characters, for the names of topics, groups and pods are built from it",
    );
    refuse(
        !name.is_empty() && !is_label(name),
        "metadata.name",
        quoted(name),
        "use lower case letters, digits and hyphens, with a letter or digit at both ends",
    );
    check_kafka(spec, &mut refuse);

    check_topics(name, spec, &mut refuse);
    let partitions = spec.source.partitions;
    refuse(!(1..=1024).contains(&partitions), "spec.source.partitions", partitions.to_string(), "choose 1 to 1024");

    check_windows(spec, &mut refuse);
    check_sets(spec, &mut refuse);
    let max_values = spec.aggregation.max_values;
    refuse(
        !(1..=10_000).contains(&max_values),
        "spec.aggregation.maxValues",
        max_values.to_string(),
        "choose 1 to 10000",
    );
    let idle_timeout = spec.aggregation.idle_timeout;
    refuse(
        idle_timeout.as_millis() < 1000,
        "spec.aggregation.idleTimeout",
        idle_timeout.to_string(),
        "choose at least 1s",
    );
    check_alerts(spec, &mut refuse);

    check_processor(spec, &mut refuse);
    problems
}

fn check_topics(name: &str, spec: &LoginPipelineSpec, refuse: &mut impl FnMut(bool, &'static str, String, &str)) {
    let factor = spec.topics.replication_factor.unwrap_or(1);
    refuse(
        !(1..=32_767).contains(&factor),
        "spec.topics.replicationFactor",
        factor.to_string(),
        "choose 1 to 32767, or leave it out for the brokers' own default",
    );
    let internal = ["deltas", "state", "replays"].map(|topic| format!(".{name}.{topic}"));
    let topics = [
        ("spec.source.topic", &spec.source.topic),
        ("spec.output.topic", &spec.output.topic),
        ("spec.deadLetters.topic", &spec.dead_letters.topic),
        ("spec.results.aggregates.topic", &spec.results.aggregates.topic),
        ("spec.results.insights.topic", &spec.results.insights.topic),
        ("spec.results.alerts.topic", &spec.results.alerts.topic),
    ];
    for (index, (field, topic)) in topics.into_iter().enumerate() {
        refuse(
            !is_topic_name(topic),
            field,
            format!("{topic:?}"),
            "use 1 to 249 letters, digits, dots, underscores and hyphens",
        );
        refuse(
            internal.iter().any(|end| topic.ends_with(end)),
            field,
            format!("{topic:?}"),
            "choose another name: the pipeline's own topics of deltas, state and replays end so",
        );
        let taken = topics[..index].iter().any(|(_, other)| *other == topic);
        refuse(
            taken,
            field,
            format!("{topic:?}"),
            "source, output, dead letters and the three results must be six different topics",
        );
    }
}

fn check_alerts(spec: &LoginPipelineSpec, refuse: &mut impl FnMut(bool, &'static str, String, &str)) {
    let alerts = &spec.alerts;
    refuse(alerts.len() > 64, "spec.alerts", format!("{} alerts", alerts.len()), "use at most 64");
    for (index, alert) in alerts.iter().enumerate() {
        let name = format!("{:?}", alert.name);
        let twice = alerts[..index].iter().any(|other| other.name == alert.name);
        refuse(twice, "spec.alerts[].name", name.clone(), "give each alert a name of its own");
        refuse(
            !is_label(&alert.name),
            "spec.alerts[].name",
            name.clone(),
            "use 1 to 63 lower case letters, digits and hyphens, with a letter or digit at both ends",
        );
        check_alert(spec, alert, &|value: &str| format!("{value} in {name}"), refuse);
    }
}

fn check_alert(
    spec: &LoginPipelineSpec,
    alert: &Alert,
    in_alert: &impl Fn(&str) -> String,
    refuse: &mut impl FnMut(bool, &'static str, String, &str),
) {
    let both = match (alert.above, alert.deviation) {
        (Some(_), Some(_)) => Some("both above and deviation"),
        (None, None) => Some("neither above nor deviation"),
        _ => None,
    };
    refuse(
        both.is_some(),
        "spec.alerts[]",
        in_alert(both.unwrap_or_default()),
        "set exactly one: above for a threshold, deviation to compare with the windows before",
    );
    let above = alert.above.unwrap_or_default();
    refuse(
        !(0..=1_000_000_000_000).contains(&above),
        "spec.alerts[].above",
        in_alert(&above.to_string()),
        "choose 0 to 1000000000000",
    );
    // NaN lies in no range.
    let deviation = alert.deviation.unwrap_or(1.0);
    refuse(
        !(0.1..=1000.0).contains(&deviation),
        "spec.alerts[].deviation",
        in_alert(&deviation.to_string()),
        "choose 0.1 to 1000 standard deviations",
    );
    let window = alert.window.to_string();
    refuse(
        !spec.aggregation.windows.contains(&alert.window),
        "spec.alerts[].window",
        in_alert(&window),
        "choose one of spec.aggregation.windows",
    );
    refuse(
        alert.deviation.is_some() && alert.window == Window::All,
        "spec.alerts[].window",
        in_alert(&window),
        "choose a finite window, for deviation compares closed ones and this never closes",
    );
    refuse(
        alert.dimension.is_some_and(|dimension| !spec.aggregation.dimensions.contains(&dimension)),
        "spec.alerts[].dimension",
        in_alert(alert.dimension.map_or("", Dimension::name)),
        "choose one of spec.aggregation.dimensions",
    );
    check_alert_value(alert, in_alert, refuse);
}

fn check_alert_value(
    alert: &Alert,
    in_alert: &impl Fn(&str) -> String,
    refuse: &mut impl FnMut(bool, &'static str, String, &str),
) {
    let value = alert.value.as_deref().unwrap_or("any");
    let quoted = in_alert(&format!("{value:?}"));
    refuse(
        !(1..=256).contains(&value.chars().count()),
        "spec.alerts[].value",
        quoted.clone(),
        "write 1 to 256 characters, or leave it out for each value",
    );
    refuse(
        value == OTHER,
        "spec.alerts[].value",
        quoted.clone(),
        "name a value: this is the sum of those that are not kept",
    );
    refuse(
        alert.value.is_some() && alert.dimension.is_none(),
        "spec.alerts[].value",
        quoted,
        "set dimension too: the one that has this value",
    );
}

fn check_processor(spec: &LoginPipelineSpec, refuse: &mut impl FnMut(bool, &'static str, String, &str)) {
    let processor = &spec.processor;
    let replicas = processor.replicas;
    refuse(!(0..=1024).contains(&replicas), "spec.processor.replicas", replicas.to_string(), "choose 0 to 1024");
    let threads = processor.threads;
    refuse(!(1..=64).contains(&threads), "spec.processor.threads", threads.to_string(), "choose 1 to 64");
    let interval = processor.commit_interval;
    refuse(
        !(10..=5000).contains(&interval.as_millis()),
        "spec.processor.commitInterval",
        interval.to_string(),
        "choose 10ms to 5s",
    );
    let deadline = processor.progress_deadline;
    refuse(
        !(10_000..=86_400_000).contains(&deadline.as_millis()) || deadline.as_millis() % 1000 != 0,
        "spec.processor.progressDeadline",
        deadline.to_string(),
        "choose whole seconds, 10s to 24h",
    );
    for (field, keys, reserved) in [
        ("spec.processor.podLabels", &processor.pod_labels, &["loginpipeline.dev/", "app.kubernetes.io/"][..]),
        (
            "spec.processor.podAnnotations",
            &processor.pod_annotations,
            // An old way to take the container's AppArmor profile away.
            &["loginpipeline.dev/", "container.apparmor.security.beta.kubernetes.io/"][..],
        ),
    ] {
        for key in keys.keys() {
            let is_reserved = reserved.iter().any(|prefix| key.starts_with(prefix));
            refuse(
                is_reserved,
                field,
                format!("{key:?}"),
                "use another key: what this one says is the operator's to say",
            );
        }
        refuse(keys.len() > 64, field, format!("{} keys", keys.len()), "use at most 64");
    }
    let class = processor.priority_class_name.as_deref().unwrap_or("default");
    refuse(
        !(1..=253).contains(&class.chars().count()),
        "spec.processor.priorityClassName",
        format!("{class:?}"),
        "name a PriorityClass in 1 to 253 characters, or leave it out for the cluster's own default",
    );
    check_lengths(spec, refuse);
    let image = processor.image.as_deref().unwrap_or("default");
    refuse(
        image.is_empty() || image.len() > 1024,
        "spec.processor.image",
        format!("{image:?}"),
        "name an image in 1 to 1024 characters, or leave it out for the operator's own default",
    );
}

/// Lists that are handed on to Kubernetes, each with the most that it may hold.
fn check_lengths(spec: &LoginPipelineSpec, refuse: &mut impl FnMut(bool, &'static str, String, &str)) {
    let (processor, network) = (&spec.processor, &spec.network_policy);
    for (field, length, most) in [
        ("spec.processor.imagePullSecrets", processor.image_pull_secrets.len(), 16),
        ("spec.processor.tolerations", processor.tolerations.len(), 64),
        (
            "spec.processor.topologySpreadConstraints",
            processor.topology_spread_constraints.as_ref().map_or(0, Vec::len),
            16,
        ),
        ("spec.networkPolicy.ingressFrom", network.ingress_from.as_ref().map_or(0, Vec::len), 64),
        ("spec.networkPolicy.egressTo", network.egress_to.as_ref().map_or(0, Vec::len), 64),
    ] {
        refuse(length > most, field, format!("{length} entries"), &format!("use at most {most}"));
    }
}

/// Lists in which nothing may stand twice.
fn check_sets(spec: &LoginPipelineSpec, refuse: &mut impl FnMut(bool, &'static str, String, &str)) {
    let fields = &spec.validation.required;
    for (index, field) in fields.iter().enumerate() {
        let twice = fields[..index].contains(field);
        refuse(twice, "spec.validation.required", field.name().to_owned(), "name each field once");
    }
    let dimensions = &spec.aggregation.dimensions;
    for (index, dimension) in dimensions.iter().enumerate() {
        let twice = dimensions[..index].contains(dimension);
        refuse(twice, "spec.aggregation.dimensions", dimension.field().name().to_owned(), "name each dimension once");
    }
}

fn check_kafka(spec: &LoginPipelineSpec, refuse: &mut impl FnMut(bool, &'static str, String, &str)) {
    let both = match (&spec.kafka.strimzi, &spec.kafka.external) {
        (Some(_), Some(_)) => Some("both strimzi and external"),
        (None, None) => Some("neither strimzi nor external"),
        _ => None,
    };
    refuse(
        both.is_some(),
        "spec.kafka",
        both.unwrap_or_default().to_owned(),
        "set exactly one: strimzi for a Kafka resource of the Strimzi operator, external for bootstrap servers",
    );
    if let Some(strimzi) = &spec.kafka.strimzi {
        refuse(
            !is_dns_name(&strimzi.cluster),
            "spec.kafka.strimzi.cluster",
            format!("{:?}", strimzi.cluster),
            "write the name of a Kafka resource: lower case letters, digits, hyphens and dots",
        );
        let listener = strimzi.listener.as_bytes();
        let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        refuse(
            !(1..=11).contains(&listener.len()) || !listener.iter().all(edge),
            "spec.kafka.strimzi.listener",
            format!("{:?}", strimzi.listener),
            "write the name of one of the Kafka's listeners: 1 to 11 lower case letters and digits",
        );
        if let Some(namespace) = &strimzi.namespace {
            let remedy = "write the name of the Kafka's namespace, or leave it out for the pipeline's own";
            refuse(!is_label(namespace), "spec.kafka.strimzi.namespace", format!("{namespace:?}"), remedy);
        }
        check_sasl("spec.kafka.strimzi.sasl", strimzi.sasl.as_ref(), refuse);
        check_certificate("spec.kafka.strimzi.clientCertificate", strimzi.client_certificate.as_ref(), refuse);
    }
    if let Some(external) = &spec.kafka.external {
        let servers = &external.bootstrap_servers;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._[]:-".contains(&byte);
        let is_server = |server: &str| {
            let Some((host, port)) = server.rsplit_once(':') else { return false };
            let is_port = port.parse::<u16>().is_ok() && port.starts_with(|digit: char| matches!(digit, '1'..='9'));
            is_port && !host.is_empty() && host.bytes().all(legal)
        };
        let wrong = servers.len() > 1024 || !servers.split(',').all(is_server);
        refuse(
            wrong,
            "spec.kafka.external.bootstrapServers",
            format!("{servers:?}"),
            "write host:port, several separated by commas without spaces",
        );
        check_sasl("spec.kafka.external.sasl", external.sasl.as_ref(), refuse);
        if let Some(tls) = &external.tls {
            check_key("spec.kafka.external.tls.ca", tls.ca.as_ref(), refuse);
            let certificate = tls.client_certificate.as_ref();
            check_certificate("spec.kafka.external.tls.clientCertificate", certificate, refuse);
        }
    }
}

fn check_sasl(field: &'static str, sasl: Option<&Sasl>, refuse: &mut impl FnMut(bool, &'static str, String, &str)) {
    let Some(sasl) = sasl else { return };
    let username = &sasl.username;
    refuse(
        !(1..=256).contains(&username.chars().count()),
        field,
        format!("username {username:?}"),
        "write a username of 1 to 256 characters",
    );
    check_key(field, Some(&sasl.password), refuse);
}

fn check_key(
    field: &'static str,
    reference: Option<&KeyRef>,
    refuse: &mut impl FnMut(bool, &'static str, String, &str),
) {
    let Some(KeyRef { name, key }) = reference else { return };
    refuse(!is_dns_name(name), field, format!("Secret {name:?}"), SECRET);
    let key = key.as_deref().unwrap_or("default");
    refuse(!is_secret_key(key), field, format!("key {key:?}"), SECRET_KEY);
}

fn check_certificate(
    field: &'static str,
    reference: Option<&CertificateRef>,
    refuse: &mut impl FnMut(bool, &'static str, String, &str),
) {
    let Some(CertificateRef { name, certificate, key }) = reference else { return };
    refuse(!is_dns_name(name), field, format!("Secret {name:?}"), SECRET);
    for key in [certificate, key] {
        refuse(!is_secret_key(key), field, format!("key {key:?}"), SECRET_KEY);
    }
}

const SECRET: &str = "write the name of a Secret: lower case letters, digits, hyphens and dots";
const SECRET_KEY: &str = "write a key of the Secret: 1 to 253 letters, digits, hyphens, underscores and dots";

fn check_windows(spec: &LoginPipelineSpec, refuse: &mut impl FnMut(bool, &'static str, String, &str)) {
    let field = "spec.aggregation.windows";
    let windows = &spec.aggregation.windows;
    let smallest = match windows.first() {
        Some(Window::Finite(smallest)) if smallest.as_millis() >= 1000 => *smallest,
        first => {
            let value = first.map_or_else(|| "empty".to_owned(), ToString::to_string);
            refuse(true, field, value, "begin with the smallest finite window, of at least one second, such as 1m");
            return;
        }
    };
    refuse(windows.len() > 8, field, format!("{} windows", windows.len()), "use at most 8");
    for (index, window) in windows.iter().enumerate() {
        let twice = windows[..index].contains(window);
        refuse(twice, field, window.to_string(), "name each window once");
        let Window::Finite(size) = window else { continue };
        refuse(
            size.as_millis() % 1000 != 0 || size.as_millis() % smallest.as_millis() != 0,
            field,
            size.to_string(),
            "each window must be whole seconds and a multiple of the first one, for it is rolled up from it",
        );
    }
}

/// Kubernetes' rule for the parts of DNS names: RFC 1123.
fn is_label(name: &str) -> bool {
    name.len() <= 63 && !name.contains('.') && is_dns_name(name)
}

/// Kubernetes' rule for most names, as far as the schema has it: a subdomain of RFC 1123.
fn is_dns_name(name: &str) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= 253
        && bytes.iter().all(|byte| edge(byte) || matches!(byte, b'-' | b'.'))
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
}

fn is_secret_key(key: &str) -> bool {
    (1..=253).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Kafka's own rule: `org.apache.kafka.common.internals.Topic`.
fn is_topic_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name.bytes().all(legal) && name != "." && name != ".."
}
