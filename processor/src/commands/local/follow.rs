//! Follows the topics with consumers of its own, on a thread, and feeds the live audit. It decides nothing about events.

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

/// Records of one stream that are taken before it is another one's turn.
const BATCH: usize = 1024;

/// How long the thread waits for something to come.
const IDLE: Duration = Duration::from_millis(10);

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the broker may be silent where the end of a topic is awaited.
const SILENCE: Duration = Duration::from_secs(30);

/// Why the audit could not follow.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A topic could not be read.
    #[error("topic {topic} cannot be followed: {source}")]
    Kafka {
        /// Which topic.
        topic: String,
        /// What the client says.
        source: KafkaError,
    },
    /// The client could not be made.
    #[error(transparent)]
    Client(#[from] ClusterError),
    /// Nothing comes any more.
    #[error("topic {topic} cannot be followed: its end was not reached in {} s", SILENCE.as_secs())]
    Silent {
        /// Which topic.
        topic: String,
    },
    /// A record that the client cannot read.
    #[error("topic {0} cannot be followed: a record has a header whose name is not UTF-8")]
    HeaderName(String),
    /// The streams are too far apart.
    #[error(transparent)]
    Window(#[from] WindowFull),
    /// The rules cannot be read back.
    #[error(transparent)]
    Rules(#[from] HistoryError),
    /// The operating system refuses a thread.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
    /// The thread came to an end that nobody foresaw.
    #[error("the thread of the audit panicked")]
    Panicked,
}

/// A thread that follows the topics.
#[derive(Debug)]
pub struct Follower {
    thread: JoinHandle<Result<Conclusion, FollowError>>,
    told: Arc<Told>,
    compare: Stop,
    /// Where the audit of each source partition ends; set when it is time to.
    ends: Arc<OnceLock<Vec<i64>>>,
}

/// What the thread tells while it runs.
#[derive(Debug)]
struct Told {
    taken: AtomicU64,
    /// By source partition.
    audited: Vec<AtomicU64>,
    settled: Vec<AtomicI64>,
    wrong: Mutex<Wrong>,
    is_counted: AtomicBool,
}

impl Follower {
    /// Starts to follow, each topic from its present end on. `partitions` are those of the topics of events.
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
        let told = Told {
            taken: AtomicU64::new(0),
            audited,
            settled,
            wrong: Mutex::default(),
            is_counted: AtomicBool::new(false),
        };
        let (told, compare, ends) = (Arc::new(told), Stop::default(), Arc::default());
        let mut task =
            Task { readers, audit, told: Arc::clone(&told), compare: compare.clone(), ends: Arc::clone(&ends) };
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || {
            let ends = task.follow()?;
            Ok(task.audit.conclude(&ends))
        })?;
        Ok(Self { thread, told, compare, ends })
    }

    /// How many records the pipeline wrote, in all its topics.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.told.taken.load(Relaxed)
    }

    /// How many events of each source partition have found their outcome.
    pub fn audited(&self) -> impl Iterator<Item = u64> {
        self.told.audited.iter().map(|audited| audited.load(Relaxed))
    }

    /// The source offset of each partition before which every event has found its outcome.
    pub fn settled(&self) -> impl Iterator<Item = i64> {
        self.told.settled.iter().map(|settled| settled.load(Relaxed))
    }

    /// What is wrong with the events so far.
    #[must_use]
    pub fn wrong(&self) -> Wrong {
        *self.told.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the aggregation has written exactly what all processed events add up to. It is looked at from the first call
    /// on: no more events are processed.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.compare.set();
        self.told.is_counted.load(Relaxed)
    }

    /// Whether the thread has ended by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Reads what was written so far, and concludes. The pipeline writes nothing any more; `ends` are the source offsets, by
    /// partition, from which on it was to process nothing.
    ///
    /// # Errors
    /// What kept the audit from following.
    pub fn finish(self, ends: Vec<i64>) -> Result<Conclusion, FollowError> {
        // Nobody else sets it.
        let _ = self.ends.set(ends);
        self.thread.join().map_err(|_| FollowError::Panicked)?
    }
}

/// What the thread does.
struct Task {
    /// The source first.
    readers: Vec<Reader>,
    audit: LiveAudit,
    told: Arc<Told>,
    compare: Stop,
    ends: Arc<OnceLock<Vec<i64>>>,
}

impl Task {
    /// Follows until it is told where the audit ends.
    fn follow(&mut self) -> Result<Vec<i64>, FollowError> {
        let mut has_news = true;
        let ends = loop {
            if let Some(ends) = self.ends.get() {
                break ends.clone();
            }
            let taken = self.take()?;
            has_news |= taken > 0;
            if taken == 0 && has_news && self.compare.is_set() {
                self.told.is_counted.store(self.audit.is_counted(), Relaxed);
                has_news = false;
            }
        };
        self.readers.iter_mut().try_for_each(|reader| reader.take_rest(&mut self.audit))?;
        Ok(ends)
    }

    /// Takes what there is of each topic, and waits a moment where there is nothing. Returns how many records of the pipeline
    /// were taken: others may send events for ever.
    fn take(&mut self) -> Result<u64, FollowError> {
        let Some((input, written)) = self.readers.split_first_mut() else { return Ok(0) };
        let sent = input.take(&mut self.audit, BATCH, Duration::ZERO)?;
        let mut taken = 0;
        for reader in written {
            taken += reader.take(&mut self.audit, BATCH, Duration::ZERO)?;
        }
        let Told { audited, settled, wrong, .. } = &*self.told;
        for (partition, (audited, settled)) in audited.iter().zip(settled).enumerate() {
            audited.store(self.audit.audited(partition), Relaxed);
            settled.store(self.audit.settled(partition), Relaxed);
        }
        *wrong.lock().unwrap_or_else(PoisonError::into_inner) = self.audit.wrong();
        if sent + taken == 0 {
            input.take(&mut self.audit, 1, IDLE)?;
        }
        self.told.taken.fetch_add(taken, Relaxed);
        Ok(taken)
    }
}

/// Follows one topic.
struct Reader {
    consumer: BaseConsumer,
    content: Content,
    topic: String,
    /// The next offset, by partition.
    next: Vec<i64>,
    /// Which partitions were at their end a moment ago.
    at_end: Vec<bool>,
}

impl Reader {
    fn new(job: &JobConfig, content: Content, topic: &str, partitions: usize) -> Result<Self, FollowError> {
        let error = |source| FollowError::Kafka { topic: topic.to_owned(), source };
        let mut settings = settings::reader(job, "processor-local");
        // The embedded broker answers at once where there is something, else after this time, whatever comes meanwhile: at four
        // questions a second the page is up to date, and the feed does not wait, since its window is far larger.
        settings.set("fetch.wait.max.ms", "250");
        settings.set("fetch.queue.backoff.ms", "10");
        let consumer: BaseConsumer = client(&settings)?;
        let end = |(partition, _)| consumer.fetch_watermarks(topic, partition, PATIENCE).map(|(_, end)| end);
        let next = (0..).zip(0..partitions).map(end).collect::<Result<_, _>>().map_err(error)?;
        let mut reader = Self { consumer, content, topic: topic.to_owned(), next, at_end: vec![false; partitions] };
        reader.assign()?;
        Ok(reader)
    }

    /// Fetches from where the audit is, which also asks anew whether the end is reached.
    fn assign(&mut self) -> Result<(), FollowError> {
        self.at_end.fill(false);
        let mut list = TopicPartitionList::new();
        let listed = (0..)
            .zip(&self.next)
            .try_for_each(|(partition, next)| list.add_partition_offset(&self.topic, partition, Offset::Offset(*next)));
        listed.and_then(|()| self.consumer.assign(&list)).map_err(|source| self.error(source))
    }

    /// Takes at most so many records that are there, or come in time for the first. Returns how many.
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
                    if let Some((next, at_end)) = self.next.get_mut(partition).zip(self.at_end.get_mut(partition)) {
                        (*next, *at_end) = (message.offset() + 1, false);
                    }
                    taken += 1;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let at_end = usize::try_from(partition).ok().and_then(|partition| self.at_end.get_mut(partition));
                    at_end.into_iter().for_each(|at_end| *at_end = true);
                }
                Some(Err(error)) if !is_transient(&error) => return Err(self.error(error)),
                Some(Err(_)) => {}
                None => break,
            }
        }
        Ok(taken)
    }

    /// Takes all that there is.
    fn take_rest(&mut self, audit: &mut LiveAudit) -> Result<(), FollowError> {
        self.assign()?;
        let mut heard = Instant::now();
        while self.at_end.contains(&false) {
            if self.take(audit, BATCH, IDLE)? > 0 {
                heard = Instant::now();
            } else if heard.elapsed() > SILENCE {
                return Err(FollowError::Silent { topic: self.topic.clone() });
            }
        }
        Ok(())
    }

    fn error(&self, source: KafkaError) -> FollowError {
        FollowError::Kafka { topic: self.topic.clone(), source }
    }
}
