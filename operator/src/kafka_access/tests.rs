use std::collections::BTreeSet;

use crds::{job, pipeline::Kafka};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde_json::{Value, json};

use super::{Credentials, Secrets, Settings};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n";

fn kafka(value: Value) -> Kafka {
    serde_json::from_value(value).unwrap()
}

/// One that names all that can be named.
fn external() -> Kafka {
    kafka(json!({"external": {
        "bootstrapServers": "kafka:9093",
        "tls": {
            "ca": {"name": "authorities"},
            "clientCertificate": {"name": "client", "certificate": "user.crt", "key": "user.key"},
        },
        "sasl": {"mechanism": "ScramSha512", "username": "logins", "password": {"name": "user", "key": "secret"}},
    }}))
}

fn strimzi() -> Kafka {
    kafka(json!({"strimzi": {
        "cluster": "my-cluster", "listener": "tls",
        "sasl": {"mechanism": "Plain", "username": "logins", "password": {"name": "user"}},
    }}))
}

fn secret(version: &str, data: &[(&str, &str)]) -> Secret {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
    Secret {
        metadata: ObjectMeta {
            uid: Some("uid".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(data.collect()),
        ..Secret::default()
    }
}

fn secrets(list: &[(&str, Secret)]) -> Secrets {
    Secrets(list.iter().map(|(name, secret)| ((*name).to_owned(), Some(secret.clone()))).collect())
}

/// The Secrets that [`external`] and [`strimzi`] name.
fn complete() -> Secrets {
    secrets(&[
        ("authorities", secret("1", &[("ca.crt", CERTIFICATE), ("ca.p12", "other")])),
        ("client", secret("2", &[("user.crt", CERTIFICATE), ("user.key", KEY)])),
        ("user", secret("3", &[("secret", "hush\n"), ("password", "quiet")])),
    ])
}

fn value<'s>(settings: &'s Settings, name: &str) -> Option<&'s str> {
    settings.0.iter().find(|(setting, _)| *setting == name).map(|(_, value)| value.as_str())
}

#[test]
fn an_open_kafka_needs_nothing() {
    let open = kafka(json!({"external": {"bootstrapServers": "kafka:9092"}}));
    let credentials = Credentials::new(&open, &Secrets::default()).unwrap();
    assert_eq!(credentials.job(&[]), None);
    assert_eq!(credentials.fingerprint(), Value::Null);
    assert_eq!(credentials.volumes(), []);
    assert_eq!(credentials.volume_mounts(), []);
    assert_eq!(credentials.settings(&[]), Settings::default());
}

#[test]
fn everything_that_a_spec_names_is_mounted_under_fixed_names() {
    let credentials = Credentials::new(&external(), &complete()).unwrap();
    insta::assert_json_snapshot!(json!({
        "job": credentials.job(&[]),
        "volumes": credentials.volumes(),
        "mounts": credentials.volume_mounts(),
        "fingerprint": credentials.fingerprint(),
    }));
}

/// Each file that the job config names is one that a volume has, at the place where it is mounted.
#[test]
fn every_path_of_the_job_is_mounted() {
    let credentials = Credentials::new(&external(), &complete()).unwrap();
    let mounts = credentials.volume_mounts();
    let mounted: BTreeSet<String> = credentials
        .volumes()
        .iter()
        .flat_map(|volume| {
            let mount = mounts.iter().find(|mount| mount.name == volume.name).unwrap();
            let items = volume.secret.as_ref().unwrap().items.clone().unwrap();
            items.into_iter().map(|item| format!("{}/{}", mount.mount_path, item.path)).collect::<Vec<_>>()
        })
        .collect();

    let job::Security { tls, sasl } = credentials.job(&[]).unwrap();
    let tls = tls.unwrap();
    let named = [tls.ca_file, tls.certificate_file, tls.key_file, sasl.map(|sasl| sasl.password_file)];
    assert_eq!(named.into_iter().map(Option::unwrap).collect::<BTreeSet<_>>(), mounted);
}

#[test]
fn the_operators_own_clients_get_the_texts() {
    let settings = Credentials::new(&external(), &complete()).unwrap().settings(&[]);
    for (name, expected) in [
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.pem", CERTIFICATE.trim_end()),
        ("ssl.certificate.pem", CERTIFICATE.trim_end()),
        ("ssl.key.pem", KEY.trim_end()),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "logins"),
        ("sasl.password", "hush"),
    ] {
        assert_eq!(value(&settings, name), Some(expected), "{name}");
    }
}

/// The image's own roots are trusted where none are named.
#[test]
fn tls_without_authorities_is_tls() {
    let open = kafka(json!({"external": {"bootstrapServers": "kafka:9093", "tls": {}}}));
    let credentials = Credentials::new(&open, &Secrets::default()).unwrap();
    assert_eq!(credentials.job(&[]), Some(job::Security { tls: Some(job::Tls::default()), sasl: None }));
    assert_eq!(value(&credentials.settings(&[]), "security.protocol"), Some("SSL"));
    assert_eq!(value(&credentials.settings(&[]), "ssl.ca.pem"), None);
}

#[test]
fn tls_follows_from_the_certificates_of_a_strimzi_listener() {
    let credentials = Credentials::new(&strimzi(), &complete()).unwrap();
    assert_eq!(value(&credentials.settings(&[]), "security.protocol"), Some("SASL_PLAINTEXT"));
    assert_eq!(credentials.job(&[]).unwrap().tls, None);
    // An old and a new authority, while Strimzi replaces one by the other.
    let certificates = [CERTIFICATE.to_owned(), CERTIFICATE.trim_end().to_owned()];
    let settings = credentials.settings(&certificates);
    let both = format!("{CERTIFICATE}{CERTIFICATE}");
    assert_eq!(value(&settings, "security.protocol"), Some("SASL_SSL"));
    assert_eq!(value(&settings, "ssl.ca.pem"), Some(both.as_str()));
    assert_eq!(value(&settings, "sasl.password"), Some("quiet"));
    assert_eq!(credentials.job(&certificates).unwrap().tls.unwrap().ca, Some(both));
}

#[test]
fn a_secret_rotation_changes_only_the_credentials_fingerprint() {
    let before = Credentials::new(&external(), &complete()).unwrap();
    let mut rotated = complete();
    rotated.0.insert("user".to_owned(), Some(secret("4", &[("secret", "another")])));
    let after = Credentials::new(&external(), &rotated).unwrap();
    assert_ne!(before.fingerprint(), after.fingerprint());
    assert_eq!(before.job(&[]), after.job(&[]));
    assert_eq!(before.volumes(), after.volumes());
    assert_eq!(before.fingerprint(), Credentials::new(&external(), &complete()).unwrap().fingerprint());
    // What nobody refers to changes nothing.
    let mut other = complete();
    other.0.insert("other".to_owned(), Some(secret("5", &[])));
    assert_eq!(before.fingerprint(), Credentials::new(&external(), &other).unwrap().fingerprint());
}

fn problem(kafka: &Kafka, secrets: &Secrets) -> String {
    Credentials::new(kafka, secrets).unwrap_err().to_string()
}

#[test]
fn everything_that_is_missing_is_named_with_the_remedy() {
    let missing = problem(&external(), &Secrets::default());
    let expected = [
        r#"there is no Secret "authorities" in the pipeline's namespace: create it with "ca.crt", or correct spec.kafka.external.tls.ca"#,
        r#"there is no Secret "client" in the pipeline's namespace: create it with "user.crt" and "user.key", or correct spec.kafka.external.tls.clientCertificate"#,
        r#"there is no Secret "user" in the pipeline's namespace: create it with "secret", or correct spec.kafka.external.sasl.password"#,
    ];
    assert_eq!(missing.split("; ").collect::<Vec<_>>(), expected);

    let mut lacking = complete();
    lacking.0.insert("client".to_owned(), Some(secret("2", &[("tls.crt", CERTIFICATE), ("user.key", KEY)])));
    lacking.0.insert("user".to_owned(), Some(Secret::default()));
    let expected = [
        r#"Secret client has no key "user.crt" (it has: tls.crt, user.key): add it, or correct spec.kafka.external.tls.clientCertificate"#,
        r#"Secret user has no key "secret" (it has: none): add it, or correct spec.kafka.external.sasl.password"#,
    ];
    assert_eq!(problem(&external(), &lacking).split("; ").collect::<Vec<_>>(), expected);
}

#[test]
fn unusable_secret_values_are_refused_before_any_pod_gets_them() {
    let with = |name: &str, data: &[(&str, &str)]| {
        let mut secrets = complete();
        secrets.0.insert(name.to_owned(), Some(secret("9", data)));
        problem(&external(), &secrets)
    };

    for (name, data, expected) in [
        ("authorities", [("ca.crt", "hush"), ("", "")], "key \"ca.crt\" of Secret authorities holds no certificate"),
        ("client", [("user.crt", KEY), ("user.key", KEY)], "key \"user.crt\" of Secret client holds no certificate"),
        ("client", [("user.crt", CERTIFICATE), ("user.key", CERTIFICATE)], "holds no private key"),
        (
            "client",
            [("user.crt", CERTIFICATE), ("user.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----")],
            "is an encrypted key",
        ),
        ("user", [("secret", "\n"), ("", "")], "key \"secret\" of Secret user is empty: put the value there"),
        ("user", [("secret", "hu\0sh"), ("", "")], "contains a zero byte"),
    ] {
        let problem = with(name, &data);
        assert!(problem.contains(expected), "{problem}");
        assert!(!problem.contains("hush"), "{problem}");
    }

    let mut binary = complete();
    let mut odd = secret("9", &[]);
    odd.data = Some([("secret".to_owned(), ByteString(vec![0xff]))].into());
    binary.0.insert("user".to_owned(), Some(odd));
    assert!(problem(&external(), &binary).contains("is not UTF-8"));
}

#[test]
fn nothing_secret_is_shown() {
    let credentials = Credentials::new(&external(), &complete()).unwrap();
    let settings = credentials.settings(&[]);
    let shown = format!("{credentials:?} {settings:?} {:?} {:?}", complete(), credentials.fingerprint());
    assert!(!shown.contains("hush") && !shown.contains("quiet"), "{shown}");
    assert!(shown.contains("sasl.password"), "names may be shown: {shown}");
}
