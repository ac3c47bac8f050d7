//! Settings of librdkafka, with the reason for each.

use crds::job::JobConfig;

/// Settings in the order in which they are applied.
pub type Settings = Vec<(&'static str, String)>;

/// How long the broker waits for a transaction before it aborts it.
pub const TRANSACTION_TIMEOUT_MS: u64 = 10_000;

/// A member of a consumer group: of stage 1, which fetches the source, or of stage 2, whose membership says who emits.
#[must_use]
pub fn consumer(job: &JobConfig, group: &str, client_id: &str) -> Settings {
    let mut settings = common(job, client_id);
    settings.extend(owned(&[
        ("group.id", group),
        // KIP-848 stalls on librdkafka 2.12.
        ("group.protocol", "classic"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "500"),
        // How long the group waits for a thread that hangs; every wait of the worker is shorter.
        ("max.poll.interval.ms", "60000"),
        // Also makes fetches of committed offsets wait for transactions that are still open.
        ("isolation.level", "read_committed"),
        // Positions come from committed metadata, and offsets are committed by the producer.
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        // Bounds memory whatever the lag.
        ("queued.min.messages", "100000"),
        ("queued.max.messages.kbytes", "12288"),
        ("fetch.queue.backoff.ms", "20"),
        ("fetch.wait.max.ms", "100"),
        ("allow.auto.create.topics", "false"),
        ("statistics.interval.ms", "5000"),
    ]));
    settings
}

/// The producer of one thread. `max_bytes` is the smallest `max.message.bytes` of the topics it writes.
#[must_use]
pub fn producer(job: &JobConfig, transactional_id: &str, max_bytes: usize) -> Settings {
    let mut settings = common(job, transactional_id);
    settings.extend(owned(&[
        ("transactional.id", transactional_id),
        ("transaction.timeout.ms", &TRANSACTION_TIMEOUT_MS.to_string()),
        ("message.max.bytes", &max_bytes.to_string()),
        // A batch is subject to the topic's limit like a single record.
        ("batch.size", &max_bytes.min(1_000_000).to_string()),
        ("batch.num.messages", "100000"),
        // Larger batches cost less; the commit flushes whatever still lingers.
        ("linger.ms", "20"),
        // A coordinator that is gone from the cluster's metadata is waited for until any connection comes or goes, whatever
        // the call's time-out (librdkafka#5511, #5456). So idle ones go, sooner than the metadata is refreshed over them.
        ("connections.max.idle.ms", "8000"),
        // Bounds memory: what is produced and not yet acknowledged.
        ("queue.buffering.max.messages", "500000"),
        ("queue.buffering.max.kbytes", "65536"),
    ]));
    settings
}

/// A producer that only fences a dead owner's transactional id.
#[must_use]
pub fn fencer(job: &JobConfig, transactional_id: &str) -> Settings {
    let mut settings = common(job, transactional_id);
    settings.extend(owned(&[("transactional.id", transactional_id)]));
    settings
}

/// A client that asks questions: it never joins a group, and sees what is not committed.
#[must_use]
pub fn observer(job: &JobConfig, group: &str, client_id: &str) -> Settings {
    let mut settings = common(job, client_id);
    settings.extend(owned(&[
        ("group.id", group),
        ("isolation.level", "read_uncommitted"),
        ("enable.auto.commit", "false"),
        ("allow.auto.create.topics", "false"),
    ]));
    settings
}

/// A client that reads topics of the pipeline from explicit offsets.
#[must_use]
pub fn reader(job: &JobConfig, client_id: &str) -> Settings {
    let mut settings = common(job, client_id);
    settings.extend(owned(&[
        ("group.id", &format!("{}.reader", job.pipeline)),
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        // The end of a partition is told after this time.
        ("fetch.wait.max.ms", "10"),
        ("queued.max.messages.kbytes", "8192"),
        ("allow.auto.create.topics", "false"),
    ]));
    settings
}

/// A client that follows a topic of the pipeline from an explicit offset, as long as the replica lives.
#[must_use]
pub fn follower(job: &JobConfig, client_id: &str) -> Settings {
    let mut settings = reader(job, client_id);
    // Where nothing comes, ten questions a second are enough; what comes is answered at once.
    settings.extend(owned(&[("fetch.wait.max.ms", "100"), ("fetch.queue.backoff.ms", "20")]));
    settings
}

fn common(job: &JobConfig, client_id: &str) -> Settings {
    owned(&[
        ("bootstrap.servers", &job.kafka.bootstrap_servers),
        ("client.id", client_id),
        // Partitions that are added are seen within this time.
        ("topic.metadata.refresh.interval.ms", "10000"),
        ("reconnect.backoff.ms", "100"),
        ("reconnect.backoff.max.ms", "5000"),
        ("socket.keepalive.enable", "true"),
    ])
}

fn owned(settings: &[(&'static str, &str)]) -> Settings {
    settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}
