//! Writes events to the source again, each with its entry in the ledger, in transactions.

use std::time::{Duration, Instant};

use cli::progress::Progress;
use crds::{job::JobConfig, records::replay::Entry};
use kafka::{
    error::{Class, KafkaError},
    native::producer::Outgoing,
    settings,
    transaction::{self, TransactionError, Transactions},
};

use super::{
    decide::record_bytes,
    letter::{Header, Letter},
};

/// How long Kafka may take to end the transaction of the run before this one: longer than it keeps one.
const START_BOUND: Duration = Duration::from_secs(30);

/// How long a transaction may stay open while no further letter comes.
const OPEN_BOUND: Duration = Duration::from_secs(1);

/// How many bytes of events a transaction holds: it must be written before Kafka ends it.
const MAX_BYTES: usize = 4 << 20;

/// Why events were not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is no producer.
    #[error("Kafka did not let a run begin for {} s: {source}", START_BOUND.as_secs())]
    NotStarted {
        /// What it says.
        source: TransactionError,
    },
    /// Another run has begun, or Kafka has ended the transaction of one that stood still.
    #[error(
        "another run of dead-letters replay has begun for this pipeline, and goes on where this one stood; if there is none, \
         this one stood still for longer than Kafka keeps a transaction: run the command again"
    )]
    Fenced,
    /// The last transaction was given up.
    #[error("the last transaction was given up, and nothing of it is in the source ({0}): run the command again")]
    GivenUp(TransactionError),
    /// Whether the last transaction was committed is not known.
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
    /// Ends whatever run is under way for this pipeline, and begins one. `source_bytes` and `ledger_bytes` are what the two
    /// topics take.
    ///
    /// # Errors
    /// When Kafka does not let it.
    pub fn start(job: &JobConfig, source_bytes: usize, ledger_bytes: usize, batch: usize) -> Result<Self, WriteError> {
        let id = job.pipeline.replay_transactional_id();
        let mut settings = settings::producer(job, &id, source_bytes);
        // A batch is subject to its topic's limit, and the two topics may differ.
        settings.set("batch.size", source_bytes.min(ledger_bytes).min(1_000_000).to_string());
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

    /// How many events are in the source now.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// How many there will be with the transaction in progress.
    pub fn pending(&self) -> u64 {
        self.written + u64::try_from(self.in_hand).unwrap_or_default()
    }

    /// Adds an event and its entry to the transaction in progress, and commits that when it is full.
    ///
    /// # Errors
    /// The run is over.
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

    /// Commits a transaction that waits for further letters for too long: Kafka aborts one that stays open.
    ///
    /// # Errors
    /// The run is over.
    pub fn pause(&mut self) -> Result<(), WriteError> {
        let waits = self.transactions.began().is_some_and(|began| began.elapsed() >= OPEN_BOUND);
        if waits { self.commit() } else { Ok(()) }
    }

    /// Commits the transaction in progress, if there is one.
    ///
    /// # Errors
    /// The run is over.
    pub fn commit(&mut self) -> Result<(), WriteError> {
        if self.transactions.began().is_some() {
            self.transactions.commit_records().or_else(|error| self.give_up(error))?;
        }
        self.written = self.pending();
        (self.in_hand, self.bytes) = (0, 0);
        Ok(())
    }

    /// Drops the transaction in progress, if there is one: until Kafka ended it by itself, nobody could read behind it.
    pub fn abandon(&mut self) {
        self.transactions.give_up(Class::Abortable);
    }

    /// Ends the transaction in progress after an error, and says what is known of it.
    fn give_up(&mut self, error: TransactionError) -> Result<(), WriteError> {
        let why = match error.class() {
            _ if error.is_fenced() => WriteError::Fenced,
            Class::Fatal => WriteError::Unknown(error),
            Class::Retriable | Class::Abortable => match self.transactions.abort() {
                Err(why) if why.is_fenced() => WriteError::Fenced,
                // What could not be aborted was not committed either, and without its producer it never will be.
                Ok(()) | Err(_) => WriteError::GivenUp(error),
            },
        };
        // The run is over, and this producer with it.
        self.transactions.give_up(Class::Fatal);
        Err(why)
    }
}

impl From<KafkaError> for WriteError {
    fn from(error: KafkaError) -> Self {
        Self::NotStarted { source: error.into() }
    }
}
