//! One thread's transactions: the state machine, the producer that performs what it says, and nothing of the group.

use std::time::Instant;

use crds::{job::JobConfig, records::delta::DeltaError};
use kafka::{
    cluster::Limits,
    error::{Class, KafkaError},
    native::{
        GroupMetadata,
        consumer::{Message, MessageKind},
        producer::{OffsetToCommit, Outgoing},
    },
    settings,
    transaction::{TransactionError, Transactions, Writer},
};
use stages::ingest::{
    dead_letter::{Fit, Origin, fit, header_bytes, headers},
    judge::Rejection,
    machine::{Fate, Ingest, Offset, SourceRecord},
};

use super::outbox::Outbox;
use crate::{
    clock::now_ms,
    view::{Sample, Samples, mask::mask},
};

/// How many characters of a dead letter's value the page shows.
const SAMPLE: usize = 512;

/// Why a transaction did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The producer or the group.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// A delta could not be encoded.
    #[error(transparent)]
    Delta(#[from] DeltaError),
}

impl From<KafkaError> for StageError {
    fn from(error: KafkaError) -> Self {
        Self::Transaction(error.into())
    }
}

impl StageError {
    /// What can be done.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Transaction(error) => error.class(),
            Self::Delta(_) => Class::Abortable,
        }
    }

    /// Whether the group changed while the transaction was open, which happens in every rebalance under load.
    #[must_use]
    pub fn is_rebalance(&self) -> bool {
        matches!(self, Self::Transaction(error) if error.is_rebalance())
    }

    /// Whether a record was refused: the limit of its topic may have been lowered.
    #[must_use]
    pub fn is_refused_record(&self) -> bool {
        matches!(self, Self::Transaction(error) if error.is_refused_record())
    }
}

/// What messages told beside records.
#[derive(Debug, Default)]
pub struct Processed {
    /// Partitions whose next offset does not exist.
    pub out_of_range: Vec<i32>,
    /// Whether there was an error of another kind.
    pub errors: bool,
}

/// One thread's transactions.
#[derive(Debug)]
pub struct Stage<'a> {
    job: &'a JobConfig,
    transactional_id: &'a str,
    limits: Limits,
    /// The state machine.
    pub machine: Ingest,
    /// Output, dead letters and deltas.
    transactions: Transactions<3>,
    outbox: Outbox,
    samples: &'a Samples,
}

impl<'a> Stage<'a> {
    /// A stage without a producer yet. It offers its dead letters as samples.
    #[must_use]
    pub fn new(
        job: &'a JobConfig,
        transactional_id: &'a str,
        limits: Limits,
        first_sequence: u64,
        samples: &'a Samples,
    ) -> Self {
        let machine = Ingest::new(job, transactional_id.to_owned(), first_sequence, limits.output);
        let transactions = transactions(job, transactional_id, limits);
        Self { job, transactional_id, limits, machine, transactions, outbox: Outbox::default(), samples }
    }

    /// Takes the limits of the topics as they are now, after a transaction was given up. What is larger from now on becomes a
    /// dead letter.
    pub fn limit(&mut self, limits: Limits) {
        if limits != self.limits {
            self.limits = limits;
            self.machine.limit_output(limits.output);
            self.transactions = transactions(self.job, self.transactional_id, limits);
        }
    }

    /// Makes the producer, or goes on initializing it: [`Transactions::prepare`].
    ///
    /// # Errors
    /// When librdkafka refuses; try again later.
    pub fn prepare(&mut self) -> Result<bool, KafkaError> {
        self.transactions.prepare()
    }

    /// When the transaction in progress began.
    #[must_use]
    pub fn began(&self) -> Option<Instant> {
        self.transactions.began()
    }

    /// Processes messages: their outputs and dead letters become part of the transaction in progress, which begins with
    /// the first.
    ///
    /// # Errors
    /// When a record is refused: the transaction must be aborted.
    pub fn process(&mut self, messages: &[Message<'_>]) -> Result<Processed, StageError> {
        let mut processed = Processed::default();
        for (index, message) in messages.iter().enumerate() {
            match message.kind() {
                MessageKind::Record => self.process_record(messages, index)?,
                MessageKind::EndOfPartition => self.machine.reached(message.partition(), message.offset()),
                MessageKind::OffsetOutOfRange => processed.out_of_range.push(message.partition()),
                MessageKind::Error(code) => {
                    let text = String::from_utf8_lossy(message.value().unwrap_or_default());
                    tracing::warn!(partition = message.partition(), code, "fetch: {text}");
                    processed.errors = true;
                }
            }
        }
        if self.began().is_some() {
            let Writer { producer, topics: [output, ..], .. } = self.transactions.writer()?;
            self.outbox.flush(*output, producer, messages)?;
        }
        Ok(processed)
    }

    fn process_record(&mut self, messages: &[Message<'_>], index: usize) -> Result<(), StageError> {
        let message = &messages[index];
        let headers = message.headers();
        let header_bytes = headers
            .map_or(0, |headers| header_bytes(headers.iter().map(|(name, value)| (name, value.unwrap_or_default()))));
        let record = SourceRecord {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp_ms(),
            fixed_bytes: message.key().map_or(0, <[u8]>::len) + header_bytes,
            value: message.value(),
        };
        let fate = self.machine.record(&record, &mut self.outbox.arena);
        if fate == Fate::Skipped {
            return Ok(());
        }
        self.transactions.begin()?;
        match fate {
            Fate::Skipped => Ok(()),
            Fate::Output(value) if headers.is_none() => {
                self.outbox.push(record.partition, index, value);
                Ok(())
            }
            Fate::Output(value) => {
                let Writer { producer, topics: [output, ..], .. } = self.transactions.writer()?;
                // The batch call knows no headers. What the partition has so far goes first, to keep its order.
                self.outbox.flush_partition(record.partition, *output, producer, messages)?;
                let outgoing = Outgoing { key: message.key(), value: self.outbox.arena.get(value) };
                Ok(producer.produce(*output, record.partition, &outgoing, headers, &[])?)
            }
            Fate::DeadLetter(rejection) => self.dead_letter(message, &record, &rejection),
        }
    }

    fn dead_letter(
        &mut self,
        message: &Message<'_>,
        record: &SourceRecord<'_>,
        rejection: &Rejection,
    ) -> Result<(), StageError> {
        let origin = Origin {
            topic: &self.job.topics.source,
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
        };
        self.samples.offer(rejection.reason, || Sample {
            partition: record.partition,
            offset: record.offset,
            seen: now_ms(),
            detail: rejection.detail.clone(),
            value: record.value.map(|value| mask(value, SAMPLE)),
        });
        let value = record.value.unwrap_or_default();
        let fit = fit(self.limits.dead_letters, record.fixed_bytes, value.len());
        let added = headers(&origin, rejection, fit);
        let (key, value, original) = match fit {
            Fit::Whole => (message.key(), record.value, message.headers()),
            Fit::Value(bytes) => (message.key(), record.value.and_then(|value| value.get(..bytes)), message.headers()),
            Fit::Record => (None, None, None),
        };
        let outgoing = Outgoing { key, value };
        let Writer { producer, topics: [_, dead_letters, _], .. } = self.transactions.writer()?;
        Ok(producer.produce(*dead_letters, record.partition, &outgoing, original, &added)?)
    }

    /// Commits the transaction in progress, with the delta and the offsets. Without anything to commit it does nothing.
    ///
    /// # Errors
    /// The transaction has to be given up, as the error's class says.
    pub fn commit(&mut self, group: Option<&GroupMetadata>, lost: bool) -> Result<(), StageError> {
        if self.began().is_none() && !self.machine.has_work() {
            return Ok(());
        }
        let group = group.filter(|_| !lost).ok_or(TransactionError::NotAMember)?;
        self.transactions.begin()?;
        let sealed = self.machine.seal()?;
        let Writer { producer, topics: [_, _, deltas], .. } = self.transactions.writer()?;
        let records = sealed.deltas.iter().map(|delta| Outgoing { key: None, value: Some(delta) });
        producer.produce_batch(*deltas, 0, records)?;
        let offsets: Vec<OffsetToCommit<'_>> = sealed
            .offsets
            .iter()
            .map(|Offset { partition, offset, metadata }| OffsetToCommit {
                partition: *partition,
                offset: *offset,
                metadata,
            })
            .collect();
        self.transactions.commit(&self.job.topics.source, &offsets, group)?;
        self.machine.committed(sealed);
        Ok(())
    }

    /// Gives the transaction in progress up: everything is to be taken up again from what is committed. After an error
    /// that leaves its outcome open, a new producer has to settle it first.
    pub fn give_up(&mut self, class: Class) {
        self.machine.abandon();
        self.outbox.clear();
        self.transactions.give_up(class);
    }
}

/// The transactions of one thread: of output, dead letters and deltas.
fn transactions(job: &JobConfig, transactional_id: &str, limits: Limits) -> Transactions<3> {
    let topics = [&job.topics.output, &job.topics.dead_letters, &job.topics.deltas].map(String::as_str);
    Transactions::new(settings::producer(job, transactional_id, limits.records), topics)
}
