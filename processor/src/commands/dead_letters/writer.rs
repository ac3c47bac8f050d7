//! Writes events to the source again. Each event and its entry in the ledger are in one transaction.

use std::time::{Duration, Instant};

use cli::progress::Progress;
use crds::{job::JobConfig, records::replay::Entry};
use kafka::{
    error::{Class, KafkaError},
    native::producer::Outgoing,
    settings::{self, RecordLimits},
    transaction::{self, TransactionError, Transactions},
};

use super::{
    decide::record_bytes,
    letter::{Header, Letter},
};

/// How long Kafka may take to end the transaction of the previous run: longer than its transaction timeout.
const START_BOUND: Duration = Duration::from_secs(30);

/// How long a transaction may stay open while no further dead letter comes.
const OPEN_BOUND: Duration = Duration::from_secs(1);

/// Most bytes of events in a transaction: it must be committed before Kafka aborts it.
const MAX_BYTES: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The producer could not start.
    #[error("Kafka did not let a run begin for {} s: {source}", START_BOUND.as_secs())]
    NotStarted {
        /// The error of the last attempt.
        source: TransactionError,
    },
    /// Another run has begun, or this one paused for longer than Kafka keeps a transaction.
    #[error(
        "another run of dead-letters replay has begun for this pipeline, and goes on where this one stood; if there is none, \
         this one stood still for longer than Kafka keeps a transaction: run the command again"
    )]
    Fenced,
    /// The last transaction was aborted.
    #[error("the last transaction was given up, and nothing of it is in the source ({0}): run the command again")]
    GivenUp(TransactionError),
    #[error(
        "whether the last transaction was committed is not known ({0}): run the command again, it finds out, and replays \
         nothing twice"
    )]
    Unknown(TransactionError),
}

/// Writes events to the source again.
pub struct Writer {
    transactions: Transactions<2>,
    /// How many events a transaction holds.
    batch: usize,
    in_hand: usize,
    bytes: usize,
    written: u64,
}

impl Writer {
    /// Fences any other run of this pipeline and ends its transaction, and begins a new run. `source_bytes` and
    /// `ledger_bytes` are the record limits of the two topics.
    ///
    /// # Errors
    /// When Kafka does not let the run begin.
    pub fn start(job: &JobConfig, source_bytes: usize, ledger_bytes: usize, batch: usize) -> Result<Self, WriteError> {
        let id = job.pipeline.replay_transactional_id();
        let settings = settings::producer(job, &id, RecordLimits::of(&[source_bytes, ledger_bytes]));
        let topics = [job.topics.source.clone(), job.pipeline.replays_topic()];
        let mut transactions = Transactions::new(settings, [&topics[0], &topics[1]]);
        let _waiting = Progress::waiting("waiting for the transaction of the run before to end");
        let began = Instant::now();
        loop {
            match transactions.prepare() {
                Ok(true) => return Ok(Self { transactions, batch, in_hand: 0, bytes: 0, written: 0 }),
                Ok(false) if began.elapsed() < START_BOUND => {}
                Ok(false) => return Err(WriteError::NotStarted { source: TransactionError::NotReady }),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Events that are committed to the source.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Events that are committed, and those of the transaction in progress.
    pub fn pending(&self) -> u64 {
        self.written + u64::try_from(self.in_hand).unwrap_or_default()
    }

    /// Adds an event and its entry to the transaction in progress, and commits the transaction when it is full.
    ///
    /// # Errors
    /// When the run is over.
    pub fn replay(&mut self, letter: &Letter, headers: &[Header], entry: &Entry) -> Result<(), WriteError> {
        self.add(letter, headers, entry).or_else(|error| self.give_up(error))?;
        self.in_hand += 1;
        self.bytes += record_bytes(letter, headers.iter().copied());
        if self.in_hand >= self.batch || self.bytes >= MAX_BYTES { self.commit() } else { Ok(()) }
    }

    fn add(&mut self, letter: &Letter, headers: &[Header], entry: &Entry) -> Result<(), TransactionError> {
        self.transactions.begin()?;
        let transaction::Writer { producer, topics: [source, ledger], .. } = self.transactions.writer()?;
        let event = Outgoing { key: letter.key, value: letter.value };
        producer.produce_with(*source, entry.identity.place.partition, &event, headers)?;
        let (key, value) = (entry.key(), entry.encode());
        let record = Outgoing { key: Some(key.as_bytes()), value: Some(value.as_bytes()) };
        Ok(producer.produce_with(*ledger, 0, &record, &[])?)
    }

    /// Commits a transaction that has been open for too long while no further dead letter came: Kafka would abort it.
    ///
    /// # Errors
    /// When the run is over.
    pub fn pause(&mut self) -> Result<(), WriteError> {
        let waits = self.transactions.began().is_some_and(|began| began.elapsed() >= OPEN_BOUND);
        if waits { self.commit() } else { Ok(()) }
    }

    /// Commits the transaction in progress, if there is one.
    ///
    /// # Errors
    /// When the run is over.
    pub fn commit(&mut self) -> Result<(), WriteError> {
        if self.transactions.began().is_some() {
            self.transactions.commit_records().or_else(|error| self.give_up(error))?;
        }
        self.written = self.pending();
        (self.in_hand, self.bytes) = (0, 0);
        Ok(())
    }

    /// Aborts the transaction in progress, if any: consumers could not read past it until Kafka ended it.
    pub fn abandon(&mut self) {
        self.transactions.give_up(Class::Abortable);
    }

    /// Aborts the transaction in progress after an error, and returns what is known about it.
    fn give_up(&mut self, error: TransactionError) -> Result<(), WriteError> {
        let why = match error.class() {
            _ if error.is_fenced() => WriteError::Fenced,
            Class::Fatal => WriteError::Unknown(error),
            Class::Retriable | Class::Abortable => match self.transactions.abort() {
                Err(why) if why.is_fenced() => WriteError::Fenced,
                // A transaction that could not be aborted is not committed either, and cannot be without its producer.
                Ok(()) | Err(_) => WriteError::GivenUp(error),
            },
        };
        // The run is over, and its producer is not used again.
        self.transactions.give_up(Class::Fatal);
        Err(why)
    }
}

impl From<KafkaError> for WriteError {
    fn from(error: KafkaError) -> Self {
        Self::NotStarted { source: error.into() }
    }
}
