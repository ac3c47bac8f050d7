//! Settings of librdkafka, with the reason for each.

use std::{borrow::Cow, fs, io};

use crds::job::{JobConfig, KafkaConfig, Security, password};

/// Settings of a client, in the order in which they are applied. They hold no secrets, only the paths of the files that
/// do; the files are read each time a client is created.
#[derive(Clone, Debug, Default)]
pub struct Settings(Vec<(&'static str, Value)>);

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    /// A file that librdkafka reads itself.
    Path(String),
    /// A file whose content is the value.
    Content(String),
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error(
        "{setting}: {path} cannot be read: {source}; mount the Secret there, or correct kafka.security in the config"
    )]
    Unreadable {
        /// The setting that needs the file.
        setting: &'static str,
        path: String,
        source: io::Error,
    },
    /// A file is empty.
    #[error("{setting}: {path} is empty; put the value into its Secret")]
    Empty {
        /// The setting that needs the file.
        setting: &'static str,
        path: String,
    },
    /// The build has no OpenSSL.
    #[error("kafka.security: this program was built without TLS and SASL; build it with `cargo build --release`")]
    BuiltWithoutTls,
    /// A value that cannot be passed to C.
    #[error("{setting}: the value contains a zero byte")]
    ZeroByte {
        /// The setting with the zero byte.
        setting: &'static str,
    },
}

impl Settings {
    /// Sets one setting, replacing its earlier value.
    pub fn set(&mut self, setting: &'static str, value: impl Into<String>) {
        self.0.push((setting, Value::Text(value.into())));
    }

    pub fn extend(&mut self, settings: &[(&'static str, &str)]) {
        self.0.extend(settings.iter().map(|(setting, value)| (*setting, Value::Text((*value).to_owned()))));
    }

    /// Returns the settings for one client, with the current content of the files. The result holds secrets: do not
    /// keep it and do not print it.
    ///
    /// # Errors
    /// When a file cannot be read, or is empty, or the build has no OpenSSL that a setting needs.
    pub fn resolve(&self) -> Result<Vec<(&'static str, Cow<'_, str>)>, SettingsError> {
        self.supported(cfg!(feature = "tls"))?;
        self.0.iter().map(|(setting, value)| Ok((*setting, value.resolve(setting)?))).collect()
    }

    fn supported(&self, has_openssl: bool) -> Result<(), SettingsError> {
        let is_secure = self.0.iter().any(|(setting, _)| *setting == "security.protocol");
        if is_secure && !has_openssl { Err(SettingsError::BuiltWithoutTls) } else { Ok(()) }
    }
}

impl Value {
    fn resolve(&self, setting: &'static str) -> Result<Cow<'_, str>, SettingsError> {
        let value: Cow<'_, str> = match self {
            Self::Text(text) => text.into(),
            Self::Path(path) => {
                content(setting, path)?;
                path.into()
            }
            Self::Content(path) => content(setting, path)?.into(),
        };
        if value.contains('\0') { Err(SettingsError::ZeroByte { setting }) } else { Ok(value) }
    }
}

/// Reads a file, which must not be empty.
fn content(setting: &'static str, path: &str) -> Result<String, SettingsError> {
    let path = || path.to_owned();
    let text =
        fs::read_to_string(path()).map_err(|source| SettingsError::Unreadable { setting, path: path(), source })?;
    let text = password(&text);
    if text.is_empty() { Err(SettingsError::Empty { setting, path: path() }) } else { Ok(text.to_owned()) }
}

/// How long the broker keeps a transaction open before it aborts it.
pub const TRANSACTION_TIMEOUT_MS: u64 = 10_000;

/// A member of a consumer group: of stage 1, which fetches the source, or of stage 2, whose membership decides which
/// replica emits.
#[must_use]
pub fn consumer(job: &JobConfig, group: &str, client_id: &str) -> Settings {
    let mut settings = common(job, client_id);
    settings.extend(&[
        ("group.id", group),
        // KIP-848 stalls on librdkafka 2.12.
        ("group.protocol", "classic"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "500"),
        // How long the group waits for a hanging thread; every wait of the worker is shorter.
        ("max.poll.interval.ms", "60000"),
        // Also makes requests for committed offsets wait for open transactions.
        ("isolation.level", "read_committed"),
        // Positions come from committed metadata, and offsets are committed by the producer.
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        // Bounds the memory, however large the lag is.
        ("queued.min.messages", "100000"),
        ("queued.max.messages.kbytes", "12288"),
        ("fetch.queue.backoff.ms", "20"),
        ("fetch.wait.max.ms", "100"),
        ("allow.auto.create.topics", "false"),
        ("statistics.interval.ms", "5000"),
    ]);
    settings
}

/// The smallest and the largest `max.message.bytes` of the topics that a producer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLimits {
    /// Bytes of the largest record that every topic takes.
    pub smallest: usize,
    /// Bytes of the largest record that any topic takes.
    pub largest: usize,
}

impl RecordLimits {
    /// The limits of topics that take records of at most these sizes, in bytes.
    #[must_use]
    pub fn of(limits: &[usize]) -> Self {
        let smallest = limits.iter().copied().min().unwrap_or_default();
        Self { smallest, largest: limits.iter().copied().max().unwrap_or_default() }
    }
}

/// The producer of one thread. Its owner keeps each record within the limit of that record's topic.
#[must_use]
pub fn producer(job: &JobConfig, transactional_id: &str, limits: RecordLimits) -> Settings {
    let mut settings = common(job, transactional_id);
    settings.extend(&[
        ("transactional.id", transactional_id),
        ("transaction.timeout.ms", &TRANSACTION_TIMEOUT_MS.to_string()),
        ("message.max.bytes", &limits.largest.to_string()),
        // Kafka applies the topic's record limit to a whole batch.
        ("batch.size", &limits.smallest.min(1_000_000).to_string()),
        ("batch.num.messages", "100000"),
        // Larger batches cost less; the commit flushes the records that still linger.
        ("linger.ms", "20"),
        // librdkafka waits for a coordinator that has left the cluster's metadata until any connection opens or closes,
        // ignoring the call's timeout (librdkafka#5511, #5456). Therefore idle connections are closed, after a time
        // that is shorter than the interval of the metadata refreshes, which would keep them in use.
        ("connections.max.idle.ms", "8000"),
        // Bounds the memory of records that are produced and not yet acknowledged.
        ("queue.buffering.max.messages", "500000"),
        ("queue.buffering.max.kbytes", "65536"),
    ]);
    settings
}

/// A producer whose only task is to fence the transactional id of a dead owner.
#[must_use]
pub fn fencer(job: &JobConfig, transactional_id: &str) -> Settings {
    let mut settings = common(job, transactional_id);
    settings.extend(&[("transactional.id", transactional_id)]);
    settings
}

/// A client for queries: it never joins a group, and sees uncommitted records.
#[must_use]
pub fn observer(job: &JobConfig, group: &str, client_id: &str) -> Settings {
    let mut settings = common(job, client_id);
    settings.extend(&[
        ("group.id", group),
        ("isolation.level", "read_uncommitted"),
        ("enable.auto.commit", "false"),
        ("allow.auto.create.topics", "false"),
    ]);
    settings
}

/// A client that reads topics of the pipeline from explicit offsets.
#[must_use]
pub fn reader(job: &JobConfig, client_id: &str) -> Settings {
    let mut settings = common(job, client_id);
    settings.extend(&[
        ("group.id", &format!("{}.reader", job.pipeline)),
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        // The broker reports the end of a partition after this time.
        ("fetch.wait.max.ms", "10"),
        ("queued.max.messages.kbytes", "8192"),
        ("allow.auto.create.topics", "false"),
    ]);
    settings
}

/// A client that follows a topic of the pipeline from an explicit offset, for the lifetime of the replica.
#[must_use]
pub fn follower(job: &JobConfig, client_id: &str) -> Settings {
    let mut settings = reader(job, client_id);
    // On a quiet topic, ten requests per second are enough; the broker answers at once when a record arrives.
    settings.extend(&[("fetch.wait.max.ms", "100"), ("fetch.queue.backoff.ms", "20")]);
    settings
}

fn common(job: &JobConfig, client_id: &str) -> Settings {
    let mut settings = connection(&job.kafka);
    settings.extend(&[
        ("client.id", client_id),
        // New partitions are noticed within this time.
        ("topic.metadata.refresh.interval.ms", "10000"),
        ("reconnect.backoff.ms", "100"),
        ("reconnect.backoff.max.ms", "5000"),
        ("socket.keepalive.enable", "true"),
    ]);
    settings
}

/// The settings that reach a Kafka, and no others.
#[must_use]
pub fn connection(kafka: &KafkaConfig) -> Settings {
    let mut settings = Settings::default();
    settings.set("bootstrap.servers", &kafka.bootstrap_servers);
    if let Some(security) = &kafka.security {
        settings.secure(security);
    }
    settings
}

impl Settings {
    /// librdkafka verifies Kafka's certificate and its host name by default. Without a CA here, it uses the system's
    /// trusted CAs.
    fn secure(&mut self, Security { tls, sasl }: &Security) {
        let protocol = match (tls, sasl) {
            (Some(_), Some(_)) => "SASL_SSL",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (None, None) => "PLAINTEXT",
        };
        self.set("security.protocol", protocol);
        if let Some(tls) = tls {
            let files = [
                ("ssl.ca.location", &tls.ca_file),
                ("ssl.certificate.location", &tls.certificate_file),
                ("ssl.key.location", &tls.key_file),
            ];
            let paths = files.into_iter().filter_map(|(setting, file)| Some((setting, Value::Path(file.clone()?))));
            self.0.extend(paths);
            if let Some(ca) = &tls.ca {
                self.set("ssl.ca.pem", ca);
            }
        }
        if let Some(sasl) = sasl {
            self.set("sasl.mechanism", sasl.mechanism.as_str());
            self.set("sasl.username", &sasl.username);
            self.0.push(("sasl.password", Value::Content(sasl.password_file.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crds::job::{Mechanism, Sasl, Tls};
    use testkit::process::Folder;

    use super::*;

    fn kafka(security: Option<Security>) -> KafkaConfig {
        KafkaConfig { bootstrap_servers: "kafka:9093".to_owned(), security, max_message_bytes: None }
    }

    fn sasl(password_file: &str) -> Sasl {
        let (mechanism, username) = (Mechanism::ScramSha512, "logins".to_owned());
        Sasl { mechanism, username, password_file: password_file.to_owned() }
    }

    fn file(folder: &Folder, name: &str, content: &str) -> String {
        let path: PathBuf = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn resolved(settings: &Settings) -> Vec<(&'static str, String)> {
        settings.resolve().unwrap().into_iter().map(|(name, value)| (name, value.into_owned())).collect()
    }

    #[test]
    fn an_open_kafka_needs_its_address_alone() {
        assert_eq!(resolved(&connection(&kafka(None))), [("bootstrap.servers", "kafka:9093".to_owned())]);
    }

    #[test]
    fn a_build_without_openssl_reaches_open_kafkas_only() {
        assert!(connection(&kafka(None)).supported(false).is_ok());
        let secure = connection(&kafka(Some(Security { tls: Some(Tls::default()), sasl: None })));
        assert!(matches!(secure.supported(false), Err(SettingsError::BuiltWithoutTls)));
        assert!(secure.supported(true).is_ok());
    }

    #[test]
    fn the_protocol_follows_from_what_is_given() {
        let folder = Folder::new("settings").unwrap();
        let sasl = sasl(&file(&folder, "password", "x"));
        let tls = Tls::default();
        for (security, protocol) in [
            (Security { tls: Some(tls.clone()), sasl: Some(sasl.clone()) }, "SASL_SSL"),
            (Security { tls: Some(tls), sasl: None }, "SSL"),
            (Security { tls: None, sasl: Some(sasl) }, "SASL_PLAINTEXT"),
        ] {
            let settings = resolved(&connection(&kafka(Some(security))));
            assert!(settings.contains(&("security.protocol", protocol.to_owned())), "{settings:?}");
        }
    }

    #[test]
    fn every_part_has_its_setting_and_secrets_are_read_per_client() {
        let folder = Folder::new("settings").unwrap();
        let password = file(&folder, "password", "hush\n");
        let (certificate, key) = (file(&folder, "tls.crt", "a certificate"), file(&folder, "tls.key", "a key"));
        let tls = Tls {
            ca: Some("authorities".to_owned()),
            ca_file: None,
            certificate_file: Some(certificate.clone()),
            key_file: Some(key.clone()),
        };
        let settings = connection(&kafka(Some(Security { tls: Some(tls), sasl: Some(sasl(&password)) })));
        let expected = |password: &str| {
            [
                ("bootstrap.servers", "kafka:9093"),
                ("security.protocol", "SASL_SSL"),
                ("ssl.certificate.location", &certificate),
                ("ssl.key.location", &key),
                ("ssl.ca.pem", "authorities"),
                ("sasl.mechanism", "SCRAM-SHA-512"),
                ("sasl.username", "logins"),
                ("sasl.password", password),
            ]
            .map(|(name, value)| (name, value.to_owned()))
        };

        assert_eq!(resolved(&settings), expected("hush"));
        file(&folder, "password", "a new one\r\n");
        assert_eq!(resolved(&settings), expected("a new one"));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hush") && !shown.contains("a new one"), "{shown}");
    }

    #[test]
    fn a_secret_that_is_not_there_is_named() {
        let folder = Folder::new("settings").unwrap();
        let missing = folder.path().join("missing").display().to_string();
        let empty = file(&folder, "empty", "\n");
        let broken = file(&folder, "broken", "hu\0sh");
        let error = |security| connection(&kafka(Some(security))).resolve().unwrap_err().to_string();
        let password = |path: &str| error(Security { tls: None, sasl: Some(sasl(path)) });

        assert!(password(&missing).starts_with(&format!("sasl.password: {missing} cannot be read: No such file")));
        assert_eq!(password(&empty), format!("sasl.password: {empty} is empty; put the value into its Secret"));
        assert_eq!(password(&broken), "sasl.password: the value contains a zero byte");
        for path in [&missing, &empty] {
            let tls = Tls { ca_file: Some(path.clone()), ..Tls::default() };
            let error = error(Security { tls: Some(tls), sasl: None });
            assert!(error.starts_with(&format!("ssl.ca.location: {path} ")), "{error}");
        }
    }
}
