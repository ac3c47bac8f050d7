//! A Kafka with TLS and SASL, through Secrets: topics are created over it, a missing Secret is reported and stops
//! nothing, a rotated one rolls the pods once, and no secret is shown anywhere.

use std::sync::OnceLock;

use crds::pipeline::ConditionStatus::{False, Unknown};
use k8s_openapi::api::{apps::v1::DeploymentSpec, core::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testkit::{
    docs::{Checkout, Command, Script},
    kafka::{Identity, LIMITED, PASSWORD, Secured, USER},
    unique, wait_for_async,
};

use crate::support::{BOUND, Operator, StandIn, World};

/// The broker that the tests here share.
async fn kafka() -> &'static Secured {
    static SHARED: OnceLock<Secured> = OnceLock::new();
    tokio::task::spawn_blocking(|| SHARED.get_or_init(|| Secured::start().unwrap())).await.unwrap()
}

/// A pipeline with unique topics.
fn manifest(kafka: &Value) -> (String, String) {
    let [source, output, dead_letters] = ["in", "out", "dead"].map(unique);
    let [aggregates, insights, alerts] = ["aggregates", "insights", "alerts"].map(unique);
    let manifest = json!({
        "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline", "metadata": {"name": "logins"},
        "spec": {
            "kafka": kafka,
            "source": {"topic": source, "partitions": 3},
            "output": {"topic": output},
            "deadLetters": {"topic": dead_letters},
            "results": {
                "aggregates": {"topic": aggregates}, "insights": {"topic": insights}, "alerts": {"topic": alerts},
            },
        },
    });
    (source, manifest.to_string())
}

/// With a user and a password.
fn scram(kafka: &Secured, user: &str) -> Value {
    json!({"external": {
        "bootstrapServers": kafka.sasl_ssl,
        "tls": {"ca": {"name": "kafka-ca"}},
        "sasl": {"mechanism": "ScramSha512", "username": user, "password": {"name": "kafka-user"}},
    }})
}

impl World {
    fn secret(&self, name: &str, data: &Value) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        self.apply(&secret.to_string()).unwrap();
    }

    /// The desired Deployment.
    async fn wanted(&self) -> DeploymentSpec {
        self.deployments().get("logins-processor").await.unwrap().spec.unwrap()
    }

    /// Waits until the Deployment's spec differs from this one.
    async fn wait_rolled(&self, before: &DeploymentSpec) -> DeploymentSpec {
        wait_for_async("another pod template", BOUND, || async {
            let now = self.wanted().await;
            (now.template != before.template).then_some(now)
        })
        .await
    }

    /// Everything in the namespace that a reader without a right to Secrets may read.
    async fn readable(&self) -> String {
        let all = ListParams::default();
        let events = Api::<Event>::namespaced(self.client.clone(), &self.namespace).list(&all).await.unwrap();
        [
            serde_json::to_string(&self.config_maps().list(&all).await.unwrap()).unwrap(),
            serde_json::to_string(&self.deployments().list(&all).await.unwrap()).unwrap(),
            serde_json::to_string(&self.pipelines_as_they_are().list(&all).await.unwrap()).unwrap(),
            serde_json::to_string(&events).unwrap(),
        ]
        .concat()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_reported_and_a_rotated_one_rolls_pods() {
    let (world, kafka) = (World::new().await, kafka().await);
    let operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    let (source, manifest) = manifest(&scram(kafka, USER));
    world.apply(&manifest).unwrap();

    let missing = world.wait_condition("logins", "TopicsReady", False, "SecretUnusable").await.message;
    assert!(missing.contains(r#"there is no Secret "kafka-ca""#), "{missing}");
    assert!(
        missing.contains(r#"create it with "password", or correct spec.kafka.external.sasl.password"#),
        "{missing}"
    );
    assert!(world.deployments().get_opt("logins-processor").await.unwrap().is_none());
    assert_eq!(kafka.cluster.partitions(&source).unwrap(), None);

    // The pipeline is unchanged: the operator looks again by itself.
    world.secret("kafka-ca", &json!({"ca.crt": kafka.ca}));
    world.secret("kafka-user", &json!({"password": PASSWORD}));
    world.wait_ready("logins").await;
    assert_eq!(kafka.cluster.partitions(&source).unwrap(), Some(3));
    let first = world.wanted().await;
    let revision = world.config("logins").await.revision;

    // The same password, written again.
    world.secret("kafka-user", &json!({"password": format!("{PASSWORD}\n")}));
    operator.look(&world, "logins", 1).await;
    let second = world.wait_rolled(&first).await;
    world.wait_ready("logins").await;
    operator.quiet().await;
    let settled = world.children().await;
    operator.look(&world, "logins", 5).await;
    assert_eq!(world.children().await, settled, "rolled once");
    assert_eq!(world.config("logins").await.revision, revision + 1);

    world.delete("secret", "kafka-user").unwrap();
    operator.look(&world, "logins", 1).await;
    let gone = world.wait_condition("logins", "TopicsReady", False, "SecretUnusable").await.message;
    assert!(gone.contains(r#"there is no Secret "kafka-user""#) && !gone.contains("kafka-ca"), "{gone}");
    operator.look(&world, "logins", 2).await;
    assert_eq!(world.wanted().await, second, "what runs goes on");

    world.secret("kafka-user", &json!({"password": PASSWORD}));
    world.wait_ready("logins").await;
    world.wait_rolled(&second).await;

    let shown = format!("{}{}", world.readable().await, operator.process.log());
    assert!(shown.contains("/etc/login-pipeline-secrets/sasl/password"), "the pods are told where it is");
    assert!(!shown.contains(PASSWORD), "the password is readable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_opens_a_listener_that_asks_for_one() {
    let (world, kafka) = (World::new().await, kafka().await);
    let operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    let (source, manifest) = manifest(&json!({"external": {
        "bootstrapServers": kafka.mutual_tls,
        "tls": {"ca": {"name": "client"}, "clientCertificate": {"name": "client"}},
    }}));
    let pair = |ca: &str, Identity { certificate, key }: &Identity| json!({"ca.crt": ca, "tls.crt": certificate, "tls.key": key});
    // An identity that the broker does not know.
    let other = tokio::task::spawn_blocking(|| Identity::unknown().unwrap()).await.unwrap();
    world.secret("client", &pair(&kafka.ca, &other));
    world.apply(&manifest).unwrap();
    let refused = world.wait_condition("logins", "TopicsReady", Unknown, "KafkaUnreachable").await.message;
    assert!(refused.contains("that Kafka trusts the client's certificate"), "{refused}");

    world.secret("client", &pair(&kafka.ca, &kafka.client));
    world.wait_ready("logins").await;
    assert_eq!(kafka.cluster.partitions(&source).unwrap(), Some(3));
    let shown = format!("{}{}", world.readable().await, operator.process.log());
    assert!(!shown.contains("PRIVATE KEY"), "the key is readable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_with_what_to_check() {
    let (world, kafka) = (World::new().await, kafka().await);
    let operator = Operator::start(&world).await;
    let (_, manifest) = manifest(&scram(kafka, USER));
    world.secret("kafka-ca", &json!({"ca.crt": kafka.ca}));
    world.secret("kafka-user", &json!({"password": "wrong horse"}));
    world.apply(&manifest).unwrap();
    let refused = world.wait_condition("logins", "TopicsReady", Unknown, "KafkaUnreachable").await.message;
    assert!(refused.contains("check the user name, the password and the mechanism"), "{refused}");
    assert!(!operator.process.log().contains("wrong horse"), "the password is in the log");
}

/// The rights that commands of docs/security.md grant, with this pipeline's names: the options of `acl`, which a script
/// plays.
fn documented(commands: &[Command], manifest: &str, namespace: &str) -> Vec<Vec<String>> {
    let spec: Value = serde_json::from_str(manifest).unwrap();
    let topic = |pointer: &str| spec.pointer(&format!("/spec/{pointer}/topic")).unwrap().as_str().unwrap().to_owned();
    let name = |word: &str| match word {
        "user-login" => topic("source"),
        "processed-user-login" => topic("output"),
        "user-login-dead-letters" => topic("deadLetters"),
        "login-aggregates" => topic("results/aggregates"),
        "login-insights" => topic("results/insights"),
        "login-alerts" => topic("results/alerts"),
        "team.logins." => format!("{namespace}.logins."),
        other => other.to_owned(),
    };
    let mut checkout = Checkout::new().unwrap().played("acl", "echo \"$@\"").unwrap();
    let said = commands.iter().map(|command| checkout.succeed(command));
    let rules = said.map(|rule| rule.split_whitespace().map(name).collect::<Vec<_>>());
    rules.filter(|rule| !rule.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_needs_no_acls_beyond_the_documented_ones() {
    let (world, kafka) = (World::new().await, kafka().await);
    let operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    let (source, manifest) = manifest(&scram(kafka, LIMITED));
    world.secret("kafka-ca", &json!({"ca.crt": kafka.ca}));
    world.secret("kafka-user", &json!({"password": PASSWORD}));
    world.apply(&manifest).unwrap();
    let refused = world.wait_condition("logins", "TopicsReady", False, "TopicRefused").await.message;
    assert!(refused.contains("Topic authorization failed"), "{refused}");

    let mut script =
        Script::of("operator/tests/cluster/secrets.rs: the_operator_needs_no_acls_beyond_the_documented_ones");
    let commands = script.take_all("docs/security.md");
    let rules = tokio::task::block_in_place(|| documented(&commands, &manifest, &world.namespace));
    assert_eq!(rules.len(), 2);
    let allow =
        move || rules.iter().try_for_each(|rule| kafka.allow(&rule.iter().map(String::as_str).collect::<Vec<_>>()));
    tokio::task::spawn_blocking(allow).await.unwrap().unwrap();
    operator.look(&world, "logins", 1).await;
    world.wait_ready("logins").await;
    world.change("logins", json!({"source": {"partitions": 5}})).await;
    let grown = || async { (kafka.cluster.partitions(&source).unwrap() == Some(5)).then_some(()) };
    wait_for_async("the source's growth", BOUND, grown).await;
}

/// The certificates that Strimzi publishes are trusted, and reach the pods in their job config.
#[tokio::test(flavor = "multi_thread")]
async fn a_strimzi_listener_with_tls_is_used_with_its_certificates() {
    let (world, kafka) = (World::new().await, kafka().await);
    let _operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka_at("my-cluster", "unused:9092").await;
    let status = json!({"status": {"listeners": [
        {"name": "tls", "bootstrapServers": kafka.sasl_ssl, "certificates": [kafka.ca]},
    ]}});
    world.dynamic("Kafka").patch_status("my-cluster", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();

    // Like the Secret of a KafkaUser.
    world.secret("logins", &json!({"password": PASSWORD}));
    let (_, manifest) = manifest(&json!({"strimzi": {
        "cluster": "my-cluster", "listener": "tls",
        "sasl": {"mechanism": "ScramSha512", "username": USER, "password": {"name": "logins"}},
    }}));
    world.apply(&manifest).unwrap();
    world.wait_ready("logins").await;

    let config = world.config("logins").await.config_map;
    let config = world.config_maps().get(&config).await.unwrap();
    let job: Value = serde_json::from_str(&config.data.as_ref().unwrap()["job.json"]).unwrap();
    assert_eq!(job["kafka"]["bootstrapServers"], json!(kafka.sasl_ssl), "{}", config.name_any());
    assert_eq!(job["kafka"]["security"]["tls"]["ca"].as_str().map(str::trim_end), Some(kafka.ca.trim_end()));
    assert_eq!(job["kafka"]["security"]["sasl"]["passwordFile"], "/etc/login-pipeline-secrets/sasl/password");
}
