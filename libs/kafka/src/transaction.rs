//! Transactions of one producer, which is replaced after an error that leaves the outcome of a transaction unknown.

use std::time::{Duration, Instant};

use super::{
    error::{Class, KafkaError},
    native::{
        GroupMetadata,
        producer::{OffsetToCommit, Producer, TopicId},
    },
    settings::{self, Settings},
};

/// How long one call waits for the broker before the same call is repeated.
const SLICE: Duration = Duration::from_secs(1);

/// How long a commit or an abort is repeated: longer than the broker keeps a transaction open, far shorter than the
/// group waits for a member. After that, a new producer settles the transaction.
const TRANSACTION_BOUND: Duration = Duration::from_millis(settings::TRANSACTION_TIMEOUT_MS + 2000);

/// Why a transaction did not complete.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The group no longer counts this member, so the broker would not fence a commit from it.
    #[error("the membership in the group is lost")]
    NotAMember,
    /// There is no producer yet, or no longer one.
    #[error("the producer is not initialized")]
    NotReady,
}

impl TransactionError {
    /// What the caller can do.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Kafka(error) => error.class,
            Self::NotAMember | Self::NotReady => Class::Abortable,
        }
    }

    /// Whether the group rebalanced while the transaction was open, which happens in every rebalance under load.
    #[must_use]
    pub fn is_rebalance(&self) -> bool {
        match self {
            Self::NotAMember => true,
            Self::Kafka(error) => error.is_rebalance(),
            Self::NotReady => false,
        }
    }

    /// Whether a record was refused: [`KafkaError::is_refused_record`].
    #[must_use]
    pub fn is_refused_record(&self) -> bool {
        matches!(self, Self::Kafka(error) if error.is_refused_record())
    }

    /// Whether another producer has taken over the transactional id.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Kafka(error) if error.is_fenced())
    }
}

/// A producer and the topics it writes.
#[derive(Debug)]
pub struct Writer<const N: usize> {
    pub producer: Producer,
    /// Its topics, in the order in which they were given.
    pub topics: [TopicId; N],
    ready: bool,
}

/// Transactions of one producer that writes `N` topics.
#[derive(Debug)]
pub struct Transactions<const N: usize> {
    settings: Settings,
    topics: [String; N],
    writer: Option<Writer<N>>,
    began: Option<Instant>,
}

impl<const N: usize> Transactions<N> {
    /// Creates no producer yet. The settings must be those of a transactional producer.
    #[must_use]
    pub fn new(settings: Settings, topics: [&str; N]) -> Self {
        Self { settings, topics: topics.map(str::to_owned), writer: None, began: None }
    }

    /// Creates the producer, or continues to initialize it, for at most one slice of time. Fences a predecessor with
    /// the same transactional id. Returns whether transactions can begin.
    ///
    /// # Errors
    /// When librdkafka refuses; the caller tries again later.
    pub fn prepare(&mut self) -> Result<bool, KafkaError> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => Writer::new(&self.settings, &self.topics)?,
        };
        if !writer.ready {
            match writer.producer.init_transactions(SLICE) {
                Ok(()) => writer.ready = true,
                Err(error) if error.class == Class::Retriable => {}
                Err(error) => return Err(error),
            }
        }
        self.writer = Some(writer);
        Ok(self.is_ready())
    }

    /// Whether transactions can begin.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.ready)
    }

    /// When the transaction in progress began.
    #[must_use]
    pub fn began(&self) -> Option<Instant> {
        self.began
    }

    /// Returns the producer, once transactions can begin.
    ///
    /// # Errors
    /// When the producer is not ready.
    pub fn writer(&mut self) -> Result<&mut Writer<N>, TransactionError> {
        self.writer.as_mut().filter(|writer| writer.ready).ok_or(TransactionError::NotReady)
    }

    /// Begins a transaction if none is in progress.
    ///
    /// # Errors
    /// When the producer is not ready, or fenced.
    pub fn begin(&mut self) -> Result<(), TransactionError> {
        if self.began.is_none() {
            self.writer()?.producer.begin()?;
            self.began = Some(Instant::now());
        }
        Ok(())
    }

    /// Commits the transaction in progress, with the consumer group's offsets of a topic.
    ///
    /// # Errors
    /// The transaction must be given up, as the error's class says.
    pub fn commit(
        &mut self,
        topic: &str,
        offsets: &[OffsetToCommit<'_>],
        group: &GroupMetadata,
    ) -> Result<(), TransactionError> {
        let Writer { producer, .. } = self.writer()?;
        // Flush first, so that a record that cannot be delivered fails here. If it fails while the offsets are being
        // sent, librdkafka 2.12 never returns from that call (`rd_kafka_txn_handle_TxnOffsetCommit` drops
        // `__OUTDATED`).
        persist(|slice| producer.flush(slice))?;
        persist(|slice| producer.send_offsets(topic, offsets.iter().copied(), group, slice))?;
        self.commit_records()
    }

    /// Commits the transaction in progress without offsets of a group. Only the transactional id can fence such a
    /// commit.
    ///
    /// # Errors
    /// The transaction must be given up, as the error's class says.
    pub fn commit_records(&mut self) -> Result<(), TransactionError> {
        let Writer { producer, .. } = self.writer()?;
        persist(|slice| producer.commit(slice))?;
        for event in producer.serve() {
            tracing::debug!(?event, "producer");
        }
        self.began = None;
        Ok(())
    }

    /// Aborts the transaction in progress, if there is one.
    ///
    /// # Errors
    /// When the abort is not confirmed: the transaction must be given up.
    pub fn abort(&mut self) -> Result<(), TransactionError> {
        if self.began.is_some() {
            let Writer { producer, .. } = self.writer()?;
            persist(|slice| producer.abort(slice))?;
            self.began = None;
        }
        Ok(())
    }

    /// Gives up the transaction in progress. Returns true if it is known not to be committed. Otherwise the producer is
    /// dropped, and the next one settles the transaction.
    pub fn give_up(&mut self, class: Class) -> bool {
        let aborted = match (&self.writer, class) {
            (Some(_), Class::Fatal) | (None, _) => false,
            (Some(_), _) => match self.abort() {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!("{error}; a new producer settles it");
                    false
                }
            },
        };
        self.began = None;
        if !aborted {
            self.writer = None;
        }
        aborted
    }
}

impl<const N: usize> Writer<N> {
    fn new(settings: &Settings, names: &[String; N]) -> Result<Self, KafkaError> {
        let mut producer = Producer::new(settings)?;
        let mut topics = [TopicId::default(); N];
        for (topic, name) in topics.iter_mut().zip(names) {
            *topic = producer.topic(name)?;
        }
        Ok(Self { producer, topics, ready: false })
    }
}

/// Repeats a call until it succeeds, fails, or exceeds the bound. After the bound its outcome is unknown.
fn persist(mut call: impl FnMut(Duration) -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let started = Instant::now();
    loop {
        match call(SLICE) {
            Err(error) if error.class == Class::Retriable => {
                if started.elapsed() >= TRANSACTION_BOUND {
                    return Err(KafkaError { class: Class::Fatal, ..error });
                }
                // Most retriable errors have used up the slice; one that returns at once must not spin.
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}
