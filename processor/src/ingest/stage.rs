//! One thread's transactions: the state machine, the producer that performs what it says, and nothing of the group.

use std::time::{Duration, Instant};

use crds::{job::JobConfig, records::delta::DeltaError};

use super::{
    dead_letter::{Fit, Origin, fit, header_bytes, headers},
    judge::Rejection,
    machine::{Fate, Ingest, Record},
    outbox::Outbox,
};
use crate::kafka::{
    cluster::Limits,
    error::{Class, KafkaError},
    native::{
        consumer::{GroupMetadata, Message, MessageKind},
        producer::{OffsetToCommit, Outgoing, Producer, TopicId},
    },
    settings,
};

/// How long one call waits for the broker; then the same call goes on.
const SLICE: Duration = Duration::from_secs(1);

/// How long a commit or an abort is tried: longer than the broker keeps a transaction, far shorter than the group waits for
/// a member. After that a new producer finds out what became of it.
const TRANSACTION_BOUND: Duration = Duration::from_millis(settings::TRANSACTION_TIMEOUT_MS + 2000);

/// Why a transaction did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A call failed.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The group does not count this member any more; who commits now would not be fenced.
    #[error("the membership in the group is lost")]
    NotAMember,
    /// A delta could not be encoded.
    #[error(transparent)]
    Delta(#[from] DeltaError),
}

impl StageError {
    /// What can be done.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Kafka(error) => error.class,
            Self::NotAMember | Self::Delta(_) => Class::Abortable,
        }
    }

    /// Whether the group changed while the transaction was open, which happens in every rebalance under load.
    #[must_use]
    pub fn is_rebalance(&self) -> bool {
        match self {
            Self::NotAMember => true,
            Self::Kafka(error) => error.is_rebalance(),
            Self::Delta(_) => false,
        }
    }
}

/// The producer and its topics.
#[derive(Debug)]
struct Writer {
    producer: Producer,
    output: TopicId,
    dead_letters: TopicId,
    deltas: TopicId,
    ready: bool,
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
    writer: Option<Writer>,
    outbox: Outbox,
    began: Option<Instant>,
}

impl<'a> Stage<'a> {
    /// A stage without a producer yet.
    #[must_use]
    pub fn new(job: &'a JobConfig, transactional_id: &'a str, limits: Limits, first_sequence: u64) -> Self {
        let machine = Ingest::new(job, transactional_id.to_owned(), first_sequence, limits.output);
        Self { job, transactional_id, limits, machine, writer: None, outbox: Outbox::default(), began: None }
    }

    /// Makes the producer, or goes on initializing it, for at most a slice of time. Fences a predecessor with the same
    /// transactional id. Returns whether transactions can begin.
    ///
    /// # Errors
    /// When librdkafka refuses; try again later.
    pub fn prepare(&mut self) -> Result<bool, KafkaError> {
        if self.writer.is_none() {
            let settings = settings::producer(self.job, self.transactional_id, self.limits.smallest);
            let mut producer = Producer::new(&settings)?;
            let topics = &self.job.topics;
            self.writer = Some(Writer {
                output: producer.topic(&topics.output)?,
                dead_letters: producer.topic(&topics.dead_letters)?,
                deltas: producer.topic(&topics.deltas)?,
                producer,
                ready: false,
            });
        }
        let Some(writer) = &mut self.writer else { return Ok(false) };
        if !writer.ready {
            match writer.producer.init_transactions(SLICE) {
                Ok(()) => writer.ready = true,
                Err(error) if error.class == Class::Retriable => {}
                Err(error) => {
                    self.writer = None;
                    return Err(error);
                }
            }
        }
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
        let Some(writer) = &mut self.writer else { return Ok(processed) };
        self.outbox.flush(writer.output, &mut writer.producer, messages)?;
        Ok(processed)
    }

    fn process_record(&mut self, messages: &[Message<'_>], index: usize) -> Result<(), StageError> {
        let message = &messages[index];
        let headers = message.headers();
        let header_bytes = headers
            .map_or(0, |headers| header_bytes(headers.iter().map(|(name, value)| (name, value.unwrap_or_default()))));
        let record = Record {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp_ms(),
            fixed_bytes: message.key().map_or(0, <[u8]>::len) + header_bytes,
            value: message.value(),
        };
        let fate = self.machine.record(&record, &mut self.outbox.arena);
        if fate == Fate::Passed {
            return Ok(());
        }
        self.begin()?;
        match fate {
            Fate::Passed => Ok(()),
            Fate::Output(value) if headers.is_none() => {
                self.outbox.push(record.partition, index, value);
                Ok(())
            }
            Fate::Output(value) => {
                let Some(writer) = &mut self.writer else { return Ok(()) };
                let (output, producer) = (writer.output, &mut writer.producer);
                // The batch call knows no headers. What the partition has so far goes first, to keep its order.
                self.outbox.flush_partition(record.partition, output, producer, messages)?;
                let outgoing = Outgoing { key: message.key(), value: self.outbox.arena.get(value) };
                Ok(producer.produce(output, record.partition, &outgoing, headers, &[])?)
            }
            Fate::DeadLetter(rejection) => self.dead_letter(message, &record, &rejection),
        }
    }

    fn dead_letter(
        &mut self,
        message: &Message<'_>,
        record: &Record<'_>,
        rejection: &Rejection,
    ) -> Result<(), StageError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let origin = Origin {
            topic: &self.job.topics.source,
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
        };
        let value = record.value.unwrap_or_default();
        let fit = fit(self.limits.dead_letters, record.fixed_bytes, value.len());
        let added = headers(&origin, rejection, fit);
        let (key, value, original) = match fit {
            Fit::Whole => (message.key(), record.value, message.headers()),
            Fit::Value(bytes) => (message.key(), record.value.and_then(|value| value.get(..bytes)), message.headers()),
            Fit::Record => (None, None, None),
        };
        let outgoing = Outgoing { key, value };
        Ok(writer.producer.produce(writer.dead_letters, record.partition, &outgoing, original, &added)?)
    }

    fn begin(&mut self) -> Result<(), KafkaError> {
        if self.began.is_none()
            && let Some(writer) = &mut self.writer
        {
            writer.producer.begin()?;
            self.began = Some(Instant::now());
        }
        Ok(())
    }

    /// Commits the transaction in progress, with the delta and the offsets. Without anything to commit it does nothing.
    ///
    /// # Errors
    /// The transaction has to be given up, as the error's class says.
    pub fn commit(&mut self, group: Option<&GroupMetadata>, lost: bool) -> Result<(), StageError> {
        if self.began.is_none() && !self.machine.has_work() {
            return Ok(());
        }
        let group = group.filter(|_| !lost).ok_or(StageError::NotAMember)?;
        self.begin()?;
        let sealed = self.machine.seal()?;
        let Some(writer) = &mut self.writer else { return Err(StageError::NotAMember) };
        let deltas = sealed.deltas.iter().map(|delta| Outgoing { key: None, value: Some(delta) });
        writer.producer.produce_batch(writer.deltas, 0, deltas)?;
        let producer = &mut writer.producer;
        persist(|slice| {
            let offsets = sealed.offsets.iter().map(|offset| OffsetToCommit {
                partition: offset.partition,
                offset: offset.offset,
                metadata: &offset.metadata,
            });
            producer.send_offsets(&self.job.topics.source, offsets, group, slice)
        })?;
        persist(|slice| producer.commit(slice))?;
        self.machine.committed();
        self.began = None;
        for event in writer.producer.serve() {
            tracing::debug!(?event, "producer");
        }
        Ok(())
    }

    /// Gives the transaction in progress up: everything is to be taken up again from what is committed. After an error
    /// that leaves its outcome open, a new producer has to settle it first.
    pub fn give_up(&mut self, class: Class) {
        self.machine.abandon();
        self.outbox.clear();
        let aborted = match (&mut self.writer, class) {
            (Some(_), Class::Fatal) | (None, _) => false,
            (Some(_), _) if self.began.is_none() => true,
            (Some(writer), _) => match persist(|slice| writer.producer.abort(slice)) {
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
