//! The transactions of stage 2: the results that the machine has sealed, and the offset that belongs to them.

use crds::job::{JobConfig, ResultTopics};
use kafka::{
    error::KafkaError,
    native::{
        GroupMetadata,
        producer::{OffsetToCommit, Outgoing},
    },
    settings::{self, RecordLimits},
    transaction::{TransactionError, Transactions, Writer},
};
use stages::aggregate::{fold::ResultRecord, machine::Sealed};

/// The only partition of each topic that stage 2 reads or writes.
pub const PARTITION: i32 = 0;

/// The transactions of stage 2.
#[derive(Debug)]
pub struct Stage<'a> {
    deltas: &'a str,
    /// Writes the topics of aggregates, insights, alerts and state, in this order.
    transactions: Transactions<4>,
}

impl<'a> Stage<'a> {
    /// Creates a stage without a producer. `limits` are those of the topics.
    #[must_use]
    pub fn new(job: &'a JobConfig, topics: &ResultTopics, transactional_id: &str, limits: RecordLimits) -> Self {
        let names = [&topics.aggregates, &topics.insights, &topics.alerts, &topics.state].map(String::as_str);
        let settings = settings::producer(job, transactional_id, limits);
        Self { deltas: &job.topics.deltas, transactions: Transactions::new(settings, names) }
    }

    /// Creates the producer, or continues to initialize it: [`Transactions::prepare`].
    ///
    /// # Errors
    /// When librdkafka refuses; the caller tries again later.
    pub fn prepare(&mut self) -> Result<bool, KafkaError> {
        self.transactions.prepare()
    }

    /// Commits the sealed results and their offset in one transaction.
    ///
    /// # Errors
    /// The transaction must be given up.
    pub fn commit(&mut self, sealed: &Sealed, group: Option<&GroupMetadata>) -> Result<(), TransactionError> {
        let group = group.ok_or(TransactionError::NotAMember)?;
        self.transactions.begin()?;
        let Writer { producer, topics: [aggregates, insights, alerts, state], .. } = self.transactions.writer()?;
        let results = &sealed.results;
        for (topic, records) in [
            (*aggregates, &results.aggregates),
            (*insights, &results.insights),
            (*alerts, &results.alerts),
            (*state, &sealed.state),
        ] {
            producer.produce_batch(topic, PARTITION, records.iter().map(outgoing))?;
        }
        let offset = OffsetToCommit { partition: PARTITION, offset: sealed.offset, metadata: &sealed.metadata };
        self.transactions.commit(self.deltas, &[offset], group)
    }

    /// Gives up the transaction in progress. Returns whether it is known not to be committed.
    pub fn give_up(&mut self, error: &TransactionError) -> bool {
        self.transactions.give_up(error.class())
    }
}

fn outgoing(record: &ResultRecord) -> Outgoing<'_> {
    Outgoing { key: Some(record.key.as_bytes()), value: record.value.as_deref() }
}
