//! A Kafka with TLS and SASL: pipelines process exactly once on it, every command reaches it, and a replica reports a
//! faulty secret where people look, and keeps trying.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::{fs, path::PathBuf, sync::OnceLock, thread, time::Duration};

use crds::job::{Mechanism, Sasl, Security, Tls};
use support::{BOUND, Pipeline, mixed};
use testkit::{
    docs::{Checkout, Command, Script},
    kafka::{Identity, LIMITED, PASSWORD, Secured, USER},
    process::{Process, Program},
    wait_for,
};

/// The broker that all tests here share.
fn kafka() -> &'static Secured {
    static SHARED: OnceLock<Secured> = OnceLock::new();
    SHARED.get_or_init(|| Secured::start().unwrap())
}

/// A pipeline with its topics, whose replicas reach Kafka with this security.
fn pipeline(name: &str, servers: &str, security: impl FnOnce(&Pipeline) -> Option<Security>) -> Pipeline<'static> {
    let mut pipeline = Pipeline::on(&kafka().cluster, name, 3, |_| {});
    pipeline.job.kafka.security = security(&pipeline);
    servers.clone_into(&mut pipeline.job.kafka.bootstrap_servers);
    fs::write(pipeline.job_file(), serde_json::to_string(&pipeline.job).unwrap()).unwrap();
    pipeline
}

fn file(pipeline: &Pipeline, name: &str, content: &str) -> String {
    let path = pipeline.folder.path().join(name);
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

fn sasl(pipeline: &Pipeline, mechanism: Mechanism, password: &str) -> Option<Sasl> {
    Some(Sasl { mechanism, username: USER.to_owned(), password_file: file(pipeline, "password", password) })
}

fn trusting(ca: &str) -> Tls {
    Tls { ca: Some(ca.to_owned()), ..Tls::default() }
}

fn identified(pipeline: &Pipeline, identity: &Identity) -> Tls {
    Tls {
        ca: None,
        ca_file: Some(file(pipeline, "ca.crt", &kafka().ca)),
        certificate_file: Some(file(pipeline, "tls.crt", &identity.certificate)),
        key_file: Some(file(pipeline, "tls.key", &identity.key)),
    }
}

/// Processes events with two replicas, kills one of them, and audits the result over the same listener.
fn processes_exactly_once(pipeline: &Pipeline) {
    let (mut first, mut second) = (pipeline.start("a"), pipeline.start("b"));
    first.ready();
    second.ready();
    let feeder = pipeline.feed(30_000, 10_000, mixed());
    thread::sleep(Duration::from_secs(1));
    second.process.kill();
    feeder.finish();
    let outcome = pipeline.settle();
    outcome.assert_exactly_once();
    assert_eq!(outcome.input, 30_000);
    first.stop();
}

#[test]
fn scram_over_tls_is_exactly_once() {
    let pipeline = pipeline("scram", &kafka().sasl_ssl, |pipeline| {
        let sasl = sasl(pipeline, Mechanism::ScramSha512, PASSWORD);
        Some(Security { tls: Some(trusting(&kafka().ca)), sasl })
    });
    processes_exactly_once(&pipeline);
}

#[test]
fn mutual_tls_is_exactly_once() {
    let pipeline = pipeline("mutual", &kafka().mutual_tls, |pipeline| {
        Some(Security { tls: Some(identified(pipeline, &kafka().client)), sasl: None })
    });
    processes_exactly_once(&pipeline);
}

#[test]
fn the_other_mechanisms_work_too() {
    for (name, mechanism) in [("plain", Mechanism::Plain), ("scram-256", Mechanism::ScramSha256)] {
        let pipeline = pipeline(name, &kafka().sasl_ssl, |pipeline| {
            // A newline at the end, as editors add it.
            let sasl = sasl(pipeline, mechanism, &format!("{PASSWORD}\n"));
            Some(Security { tls: Some(trusting(&kafka().ca)), sasl })
        });
        let mut replica = pipeline.start("a");
        replica.ready();
        pipeline.write_logins(3, 100);
        pipeline.settle().assert_exactly_once();
        replica.stop();
    }
}

/// Asserts that within seconds a replica reports the fault in /readyz and once in its log, and keeps running.
fn says(pipeline: &Pipeline, expected: &[&str]) {
    let mut replica = pipeline.start("a");
    let said = |text: &str| expected.iter().all(|expected| text.contains(expected));
    let readyz = wait_for("a reason in /readyz", Duration::from_secs(10), || {
        let (status, body) = replica.get("/readyz")?;
        assert_eq!(status, 503, "{body}");
        // Every thread reports it.
        body.lines().all(said).then_some(body)
    });
    assert_eq!(readyz.lines().count(), 2, "{readyz}");
    thread::sleep(Duration::from_secs(6));
    replica.process.check_running().unwrap();
    assert_eq!(replica.get("/healthz").unwrap().0, 200, "a restart would not help");
    let log = replica.process.log();
    let times = log.lines().filter(|line| line.contains("WARN") && said(line)).count();
    assert!((1..=4).contains(&times), "{times} times:\n{log}");
    for secret in ["wrong horse", PASSWORD, "PRIVATE KEY"] {
        assert!(!log.contains(secret) && !readyz.contains(secret), "a secret is in the log:\n{log}");
    }
    replica.stop();
}

#[test]
fn a_wrong_password_is_said() {
    for mechanism in [Mechanism::ScramSha512, Mechanism::Plain] {
        let pipeline = pipeline("wrong-password", &kafka().sasl_ssl, |pipeline| {
            let sasl = sasl(pipeline, mechanism, "wrong horse");
            Some(Security { tls: Some(trusting(&kafka().ca)), sasl })
        });
        says(&pipeline, &["SASL authentication error", "check the user name, the password and the mechanism"]);
    }
}

#[test]
fn an_authority_that_did_not_sign_is_said() {
    let other = Identity::unknown().unwrap();
    let pipeline = pipeline("wrong-ca", &kafka().sasl_ssl, |pipeline| {
        let sasl = sasl(pipeline, Mechanism::ScramSha512, PASSWORD);
        Some(Security { tls: Some(trusting(&other.certificate)), sasl })
    });
    says(&pipeline, &["certificate verify failed", "signed by an authority that the config trusts"]);
}

#[test]
fn a_certificate_that_kafka_does_not_trust_is_said() {
    let other = Identity::unknown().unwrap();
    let pipeline = pipeline("wrong-client", &kafka().mutual_tls, |pipeline| {
        Some(Security { tls: Some(identified(pipeline, &other)), sasl: None })
    });
    says(&pipeline, &["that Kafka trusts the client's certificate"]);
}

#[test]
fn a_listener_of_another_kind_is_said() {
    let pipeline = pipeline("no-tls", &kafka().sasl_ssl, |_| None);
    says(&pipeline, &["check that the config has TLS and SASL where this listener of Kafka has them"]);
}

#[test]
fn a_secret_that_is_not_mounted_ends_the_replica_with_its_path() {
    let pipeline = pipeline("no-password", &kafka().sasl_ssl, |pipeline| {
        let sasl = Some(Sasl {
            mechanism: Mechanism::ScramSha512,
            username: USER.to_owned(),
            password_file: pipeline.folder.path().join("absent").display().to_string(),
        });
        Some(Security { tls: Some(trusting(&kafka().ca)), sasl })
    });

    let mut replica = pipeline.start("a");
    assert_ne!(replica.process.wait(BOUND).unwrap(), 0);
    let log = replica.process.log();
    assert!(
        log.contains("absent cannot be read: No such file or directory") && log.contains("mount the Secret"),
        "{log}"
    );
}

/// The rights that a command of docs/security.md grants, with this pipeline's names: the options of `kafka-acls`, which
/// a script plays.
fn allowed(checkout: &mut Checkout, command: &Command, pipeline: &Pipeline) -> Vec<String> {
    let topics = &pipeline.job.topics;
    let results = &topics.results;
    let prefix = format!("{}.", pipeline.job.pipeline);
    let name = |word: &str| match word {
        "user-login" => topics.source.clone(),
        "processed-user-login" => topics.output.clone(),
        "user-login-dead-letters" => topics.dead_letters.clone(),
        "login-aggregates" => results.aggregates.clone(),
        "login-insights" => results.insights.clone(),
        "login-alerts" => results.alerts.clone(),
        "team.logins." => prefix.clone(),
        other => other.to_owned(),
    };
    let said = checkout.succeed(command);
    let words: Vec<_> = said.split_whitespace().collect();
    let given =
        ["--bootstrap-server", "kafka:9092", "--command-config", "admin.properties", "--add", "--allow-principal"];
    assert_eq!(words[..given.len()], given);
    words[given.len() + 1..].iter().map(|word| name(word)).collect()
}

#[test]
fn what_is_documented_is_all_that_a_user_must_be_allowed() {
    let pipeline = pipeline("limited", &kafka().sasl_ssl, |pipeline| {
        let sasl =
            sasl(pipeline, Mechanism::ScramSha512, PASSWORD).map(|sasl| Sasl { username: LIMITED.to_owned(), ..sasl });
        Some(Security { tls: Some(trusting(&kafka().ca)), sasl })
    });
    let mut replica = pipeline.start("a");
    wait_for("a refusal in /readyz", Duration::from_secs(10), || {
        let (_, body) = replica.get("/readyz")?;
        body.contains("Topic authorization failed").then_some(())
    });

    let mut script =
        Script::of("processor/tests/kafka/security.rs: what_is_documented_is_all_that_a_user_must_be_allowed");
    let checkout = Checkout::new().unwrap().played("kafka-acls", "echo \"$@\"").unwrap();
    let mut checkout = checkout.variable("KAFKA", "kafka:9092");
    checkout.succeed(&script.take("docs/security.md", "acl() {"));
    for command in script.take_all("docs/security.md") {
        let rule = allowed(&mut checkout, &command, &pipeline);
        kafka().allow(&rule.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    }
    replica.ready();
    replica.stop();

    // The audit reads topics that replicas only write.
    let results = &pipeline.job.topics.results;
    for topic in [&results.aggregates, &results.insights, &results.alerts] {
        kafka().allow(&["--operation", "Read", "--topic", topic]).unwrap();
    }
    processes_exactly_once(&pipeline);

    // Replaying writes to the source, and reads its configuration.
    for operation in ["Write", "DescribeConfigs"] {
        kafka().allow(&["--operation", operation, "--topic", &pipeline.job.topics.source]).unwrap();
    }
    let config = pipeline.job_file().display().to_string();
    let mut replay = command(&pipeline, &["dead-letters", "replay", "--limit", "10", "--config", &config]);
    assert_eq!(replay.wait(BOUND).unwrap(), 0, "{}", replay.log());
}

fn command(pipeline: &Pipeline, arguments: &[&str]) -> Process {
    Program::new(testkit::unique("command"), env!("CARGO_BIN_EXE_processor"))
        .args(arguments)
        .spawn(&pipeline.folder)
        .unwrap()
}

/// The security options of every command that takes them on its command line.
fn security_file(pipeline: &Pipeline, password: &str) -> PathBuf {
    let sasl = sasl(pipeline, Mechanism::ScramSha512, password);
    let security = Security { tls: Some(trusting(&kafka().ca)), sasl };
    file(pipeline, "security.json", &serde_json::to_string(&security).unwrap()).into()
}

#[test]
fn every_command_reaches_a_secured_kafka_and_says_why_it_cannot() {
    let pipeline = pipeline("commands", &kafka().sasl_ssl, |_| None);
    let manifest = file(
        &pipeline,
        "pipeline.yaml",
        "apiVersion: loginpipeline.dev/v1alpha1\nkind: LoginPipeline\nmetadata: {name: logins}\n\
         spec: {kafka: {strimzi: {cluster: my-cluster}}, source: {partitions: 2}}\n",
    );
    let job = pipeline.job_file().display().to_string();
    let source = pipeline.job.topics.source.clone();
    let servers = &*kafka().sasl_ssl;
    let commands: [&[&str]; 4] = [
        &["generate", "--bootstrap", servers, "--topic", &source, "--events", "100"],
        &["inspect", "offsets", "--config", &job],
        &["audit", "--config", &job],
        &["local", &manifest, "--bootstrap", servers, "--fresh-topics", "--exit", "--events", "2000"],
    ];

    for arguments in commands {
        for (password, reason) in [(PASSWORD, None), ("wrong horse", Some("check the user name, the password"))] {
            let security = security_file(&pipeline, password).display().to_string();
            let mut command = command(&pipeline, &[arguments, &["--security", &security]].concat());
            let status = command.wait(BOUND).unwrap();
            let log = command.log();
            match reason {
                // The audit finds unprocessed events.
                None => assert_eq!(status, i32::from(arguments[0] == "audit"), "{arguments:?}: {log}"),
                Some(reason) => {
                    assert!(status > 1 && log.contains(reason), "{arguments:?}: {status}: {log}");
                    assert!(!log.contains(password), "{log}");
                }
            }
        }
    }
}
