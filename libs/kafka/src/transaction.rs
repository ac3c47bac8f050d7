//! Transactions of one producer, which is made anew where an error leaves the outcome of one open.

use std::time::{Duration, Instant};

use super::{
    error::{Class, KafkaError},
    native::{
        GroupMetadata,
        producer::{OffsetToCommit, Producer, TopicId},
    },
    settings::{self, Settings},
};

/// How long one call waits for the broker; then the same call goes on.
const SLICE: Duration = Duration::from_secs(1);

/// How long a commit or an abort is tried: longer than the broker keeps a transaction, far shorter than the group waits for
/// a member. After that a new producer finds out what became of it.
const TRANSACTION_BOUND: Duration = Duration::from_millis(settings::TRANSACTION_TIMEOUT_MS + 2000);

/// Why a transaction did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// A call failed.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The group does not count this member any more; who commits now would not be fenced.
    #[error("the membership in the group is lost")]
    NotAMember,
    /// There is no producer yet, or not any more.
    #[error("the producer is not initialized")]
    NotReady,
}

impl TransactionError {
    /// What can be done.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Kafka(error) => error.class,
            Self::NotAMember | Self::NotReady => Class::Abortable,
        }
    }

    /// Whether the group changed while the transaction was open, which happens in every rebalance under load.
    #[must_use]
    pub fn is_rebalance(&self) -> bool {
        match self {
            Self::NotAMember => true,
            Self::Kafka(error) => error.is_rebalance(),
            Self::NotReady => false,
        }
    }

    /// Whether another producer has the transactional id now.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Kafka(error) if error.is_fenced())
    }
}

/// A producer and the topics it writes.
#[derive(Debug)]
pub struct Writer<const N: usize> {
    /// The producer.
    pub producer: Producer,
    /// Its topics, in the order in which they were named.
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
    /// Without a producer yet. The settings are those of a transactional one.
    #[must_use]
    pub fn new(settings: Settings, topics: [&str; N]) -> Self {
        Self { settings, topics: topics.map(str::to_owned), writer: None, began: None }
    }

    /// Makes the producer, or goes on initializing it, for at most a slice of time. Fences a predecessor with the same
    /// transactional id. Returns whether transactions can begin.
    ///
    /// # Errors
    /// When librdkafka refuses; try again later.
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

    /// The producer, once transactions can begin.
    ///
    /// # Errors
    /// When it is not ready.
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

    /// Commits the transaction in progress, with the offsets of a topic that a group reads.
    ///
    /// # Errors
    /// The transaction has to be given up, as the error's class says.
    pub fn commit(
        &mut self,
        topic: &str,
        offsets: &[OffsetToCommit<'_>],
        group: &GroupMetadata,
    ) -> Result<(), TransactionError> {
        let Writer { producer, .. } = self.writer()?;
        // First, so that a record that cannot be delivered fails here: when it fails while the offsets are on their way,
        // librdkafka 2.12 never returns from sending them (`rd_kafka_txn_handle_TxnOffsetCommit` drops `__OUTDATED`).
        persist(|slice| producer.flush(slice))?;
        persist(|slice| producer.send_offsets(topic, offsets.iter().copied(), group, slice))?;
        self.commit_records()
    }

    /// Commits the transaction in progress without offsets of a group. Nothing but the transactional id fences it.
    ///
    /// # Errors
    /// The transaction has to be given up, as the error's class says.
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
    /// It is not known to be aborted, and has to be given up.
    pub fn abort(&mut self) -> Result<(), TransactionError> {
        if self.began.is_some() {
            let Writer { producer, .. } = self.writer()?;
            persist(|slice| producer.abort(slice))?;
            self.began = None;
        }
        Ok(())
    }

    /// Gives the transaction in progress up. Returns whether it is known not to be committed; otherwise the producer is
    /// gone, and the next one settles it.
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

/// Makes a call again until it ends or the bound is reached; after that its outcome is open.
fn persist(mut call: impl FnMut(Duration) -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let started = Instant::now();
    loop {
        match call(SLICE) {
            Err(error) if error.class == Class::Retriable => {
                if started.elapsed() >= TRANSACTION_BOUND {
                    return Err(KafkaError { class: Class::Fatal, ..error });
                }
                // Most errors of this class have used up the slice; one that comes at once must not spin.
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}
