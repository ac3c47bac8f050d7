//! Follows the topics with its own consumers, on a thread, and feeds the live audit. It makes no decision about events.

use std::{
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use audit::{
    Record, Stream, WindowFull, Wrong,
    batch::{HistoryError, Kind},
    headers, is_transient,
};
use crds::job::{JobConfig, ResultTopics};
use kafka::{
    cluster::{ClusterError, Limits, client},
    settings,
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

use super::live::{Conclusion, Content, LiveAudit};
use crate::stop::Stop;

/// Most records to take from one topic before it is the next topic's turn.
const BATCH: usize = 1024;

/// How long the thread waits for a record when there is none.
const IDLE: Duration = Duration::from_millis(10);

/// How long a request to Kafka may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the broker may send nothing before the end of a topic is reached.
const SILENCE: Duration = Duration::from_secs(30);

/// Why the audit cannot follow the topics.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("topic {topic} cannot be followed: {source}")]
    Kafka {
        topic: String,
        /// The client's error.
        source: KafkaError,
    },
    /// The client could not be created.
    #[error(transparent)]
    Client(#[from] ClusterError),
    /// No record came before the end of the topic was reached.
    #[error("topic {topic} cannot be followed: its end was not reached in {} s", SILENCE.as_secs())]
    Silent {
        /// The topic whose end was not reached.
        topic: String,
    },
    /// A record has a header name that is not UTF-8.
    #[error("topic {0} cannot be followed: a record has a header whose name is not UTF-8")]
    HeaderName(String),
    /// The topics are too far apart.
    #[error(transparent)]
    Window(#[from] WindowFull),
    /// The pipeline's rules cannot be decoded.
    #[error(transparent)]
    Rules(#[from] HistoryError),
    /// The operating system refuses a thread.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
    #[error("the thread of the audit panicked")]
    Panicked,
}

/// Handle of the thread that follows the topics.
#[derive(Debug)]
pub struct Follower {
    thread: JoinHandle<Result<Conclusion, FollowError>>,
    shared: Arc<Shared>,
    compare: Stop,
    /// Source offsets at which the audit ends, by partition; set when the run ends.
    ends: Arc<OnceLock<Vec<i64>>>,
}

/// What the thread reports while it runs.
#[derive(Debug)]
struct Shared {
    taken: AtomicU64,
    /// By source partition.
    audited: Vec<AtomicU64>,
    settled: Vec<AtomicI64>,
    wrong: Mutex<Wrong>,
    is_counted: AtomicBool,
}

impl Follower {
    /// Starts to follow each topic from its current end. `partitions` are the partition counts of the source, the
    /// output and the dead letter topic.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn start(job: &JobConfig, limits: Limits, partitions: [usize; 3]) -> Result<Self, FollowError> {
        let names = [&job.topics.source, &job.topics.output, &job.topics.dead_letters];
        let mut readers = Vec::new();
        for ((stream, topic), partitions) in Stream::ALL.into_iter().zip(names).zip(partitions) {
            readers.push(Reader::new(job, Content::Events(stream), topic, partitions)?);
        }
        let ResultTopics { aggregates, insights, alerts, .. } = &job.topics.results;
        for (kind, topic) in Kind::ALL.into_iter().zip([aggregates, insights, alerts]) {
            readers.push(Reader::new(job, Content::Results(kind), topic, 1)?);
        }
        let starts = readers.first().map_or(&[][..], |input| &input.next);
        let audit = LiveAudit::new(job, limits, starts, partitions.into_iter().max().unwrap_or_default())?;
        let audited = starts.iter().map(|_| AtomicU64::new(0)).collect();
        let settled = starts.iter().copied().map(AtomicI64::new).collect();
        let shared = Shared {
            taken: AtomicU64::new(0),
            audited,
            settled,
            wrong: Mutex::default(),
            is_counted: AtomicBool::new(false),
        };
        let (shared, compare, ends) = (Arc::new(shared), Stop::default(), Arc::default());
        let mut task =
            Task { readers, audit, shared: Arc::clone(&shared), compare: compare.clone(), ends: Arc::clone(&ends) };
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || {
            let ends = task.follow()?;
            Ok(task.audit.conclude(&ends))
        })?;
        Ok(Self { thread, shared, compare, ends })
    }

    /// Number of records that the pipeline has written, in all its topics.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.shared.taken.load(Relaxed)
    }

    /// Number of events whose outcome is known, by source partition.
    pub fn audited(&self) -> impl Iterator<Item = u64> {
        self.shared.audited.iter().map(|audited| audited.load(Relaxed))
    }

    /// The source offset before which the outcome of every event is known, by partition.
    pub fn settled(&self) -> impl Iterator<Item = i64> {
        self.shared.settled.iter().map(|settled| settled.load(Relaxed))
    }

    /// The faults that were found in the events so far.
    #[must_use]
    pub fn wrong(&self) -> Wrong {
        *self.shared.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the aggregation has written exactly the results that follow from all processed events. The first call
    /// starts the comparison; call it only after stage 1 has ended.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.compare.set();
        self.shared.is_counted.load(Relaxed)
    }

    /// Whether the thread has ended by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Reads the records that were written so far, and concludes the audit. The pipeline must not write any more.
    /// `ends` are the source offsets, by partition, from which on it was to process nothing.
    ///
    /// # Errors
    /// When the audit could not follow the topics.
    pub fn finish(self, ends: Vec<i64>) -> Result<Conclusion, FollowError> {
        // This is the only place that sets it.
        let _ = self.ends.set(ends);
        self.thread.join().map_err(|_| FollowError::Panicked)?
    }
}

/// State of the thread.
struct Task {
    /// The reader of the source comes first.
    readers: Vec<Reader>,
    audit: LiveAudit,
    shared: Arc<Shared>,
    compare: Stop,
    ends: Arc<OnceLock<Vec<i64>>>,
}

impl Task {
    /// Follows the topics until it is told where the audit ends.
    fn follow(&mut self) -> Result<Vec<i64>, FollowError> {
        let mut has_news = true;
        let ends = loop {
            if let Some(ends) = self.ends.get() {
                break ends.clone();
            }
            let taken = self.take()?;
            has_news |= taken > 0;
            if taken == 0 && has_news && self.compare.is_set() {
                self.shared.is_counted.store(self.audit.is_counted(), Relaxed);
                has_news = false;
            }
        };
        self.readers.iter_mut().try_for_each(|reader| reader.take_rest(&mut self.audit))?;
        Ok(ends)
    }

    /// Takes the available records of each topic, and waits a moment when there are none. Returns the number of records
    /// that the pipeline wrote; source records do not count, since other producers may send events forever.
    fn take(&mut self) -> Result<u64, FollowError> {
        let Some((input, written)) = self.readers.split_first_mut() else { return Ok(0) };
        let sent = input.take(&mut self.audit, BATCH, Duration::ZERO)?;
        let mut taken = 0;
        for reader in written {
            taken += reader.take(&mut self.audit, BATCH, Duration::ZERO)?;
        }
        let Shared { audited, settled, wrong, .. } = &*self.shared;
        for (partition, (audited, settled)) in audited.iter().zip(settled).enumerate() {
            audited.store(self.audit.audited(partition), Relaxed);
            settled.store(self.audit.settled(partition), Relaxed);
        }
        *wrong.lock().unwrap_or_else(PoisonError::into_inner) = self.audit.wrong();
        if sent + taken == 0 {
            input.take(&mut self.audit, 1, IDLE)?;
        }
        self.shared.taken.fetch_add(taken, Relaxed);
        Ok(taken)
    }
}

struct Reader {
    consumer: BaseConsumer,
    content: Content,
    topic: String,
    /// The next offset, by partition.
    next: Vec<i64>,
    /// The offset before which the rest ends, by partition.
    ends: Vec<i64>,
}

impl Reader {
    fn new(job: &JobConfig, content: Content, topic: &str, partitions: usize) -> Result<Self, FollowError> {
        let error = |source| FollowError::Kafka { topic: topic.to_owned(), source };
        let mut settings = settings::reader(job, "processor-local");
        // The embedded broker answers a fetch at once when it has records; otherwise it answers after this time, even
        // when records arrive meanwhile. With four fetches a second the page is up to date, and the feed does not wait,
        // since its window is far larger.
        settings.set("fetch.wait.max.ms", "250");
        settings.set("fetch.queue.backoff.ms", "10");
        let consumer: BaseConsumer = client(&settings)?;
        let end = |(partition, _)| consumer.fetch_watermarks(topic, partition, PATIENCE).map(|(_, end)| end);
        let next = (0..).zip(0..partitions).map(end).collect::<Result<Vec<_>, _>>().map_err(error)?;
        let reader = Self { consumer, content, topic: topic.to_owned(), ends: next.clone(), next };
        reader.assign()?;
        Ok(reader)
    }

    /// Fetches from the position of the audit, which also finds out again whether the end is reached.
    fn assign(&self) -> Result<(), FollowError> {
        let mut list = TopicPartitionList::new();
        let listed = (0..)
            .zip(&self.next)
            .try_for_each(|(partition, next)| list.add_partition_offset(&self.topic, partition, Offset::Offset(*next)));
        listed.and_then(|()| self.consumer.assign(&list)).map_err(|source| self.error(source))
    }

    /// Takes at most `at_most` records, and waits up to `timeout` for each. Returns how many it took.
    fn take(&mut self, audit: &mut LiveAudit, at_most: usize, timeout: Duration) -> Result<u64, FollowError> {
        let mut taken = 0;
        for _ in 0..at_most {
            match self.consumer.poll(timeout) {
                Some(Ok(message)) => {
                    let partition = usize::try_from(message.partition()).unwrap_or_default();
                    let not_text = || FollowError::HeaderName(self.topic.clone());
                    let record = Record {
                        offset: message.offset(),
                        timestamp: message.timestamp().to_millis().unwrap_or(-1),
                        key: message.key(),
                        value: message.payload(),
                        headers: &headers(&message).ok_or_else(not_text)?,
                    };
                    audit.take(self.content, partition, &record)?;
                    if let Some(next) = self.next.get_mut(partition) {
                        *next = message.offset() + 1;
                    }
                    taken += 1;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => self.reached_end(partition),
                Some(Err(error)) if !is_transient(&error) => return Err(self.error(error)),
                Some(Err(_)) => {}
                None => break,
            }
        }
        Ok(taken)
    }

    /// Takes all records up to the end that each partition has now. Other producers may write on for ever.
    fn take_rest(&mut self, audit: &mut LiveAudit) -> Result<(), FollowError> {
        for (partition, end) in (0..).zip(&mut self.ends) {
            let watermarks = self.consumer.fetch_watermarks(&self.topic, partition, PATIENCE);
            (_, *end) = watermarks.map_err(|source| FollowError::Kafka { topic: self.topic.clone(), source })?;
        }
        self.assign()?;
        let mut heard = Instant::now();
        while self.next.iter().zip(&self.ends).any(|(next, end)| next < end) {
            if self.take(audit, BATCH, IDLE)? > 0 {
                heard = Instant::now();
            } else if heard.elapsed() > SILENCE {
                return Err(FollowError::Silent { topic: self.topic.clone() });
            }
        }
        Ok(())
    }

    /// The last offsets may hold no record that a reader sees, such as the mark of a commit.
    fn reached_end(&mut self, partition: i32) {
        let partition = usize::try_from(partition).unwrap_or(usize::MAX);
        if let Some((next, end)) = self.next.get(partition).zip(self.ends.get_mut(partition)) {
            *end = (*end).min(*next);
        }
    }

    fn error(&self, source: KafkaError) -> FollowError {
        FollowError::Kafka { topic: self.topic.clone(), source }
    }
}
