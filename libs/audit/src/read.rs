//! Feeds the audit of a partition from Kafka, in the order that the audit asks for, and knows when to stop. It makes no
//! decision about events.

use std::time::Instant;

use super::{
    merge::{PartitionAudit, WindowFull},
    plan::{Plan, topic},
    record::{Record, Stream},
    report::PartitionReport,
    topic::{Polled, TopicError, TopicReader},
};

/// Why a partition could not be audited.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A topic could not be read.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The streams are too far apart to compare in memory.
    #[error(transparent)]
    Window(#[from] WindowFull),
}

/// Audits partitions one after the other.
pub struct Reader<'a> {
    plan: &'a Plan,
    /// The time until which the pipeline may still be working.
    deadline: Instant,
    /// Indexed by `Stream as usize`.
    topics: [TopicReader; 3],
}

impl<'a> Reader<'a> {
    /// Creates a reader of the plan's topics.
    ///
    /// # Errors
    /// When the client refuses a setting.
    pub fn new(plan: &'a Plan, deadline: Instant) -> Result<Self, ReadError> {
        let [input, output, dead_letters] =
            Stream::ALL.map(|stream| TopicReader::new(&plan.job, topic(&plan.job, stream)));
        Ok(Self { plan, deadline, topics: [input?, output?, dead_letters?] })
    }

    /// Audits a partition. Calls `each` for every source record.
    ///
    /// # Errors
    /// When Kafka cannot be read, or the window is full.
    pub fn audit(&mut self, partition: i32, mut each: impl FnMut(&Record)) -> Result<PartitionReport, ReadError> {
        let mut audit = self.plan.audit(partition);
        self.begin(&mut audit, partition)?;
        // The ends of the outcomes are fixed once they hold every expected record, or once the deadline has passed.
        let mut fixed = false;
        while let Some(stream) = audit.wants() {
            let settled = self.topics[Stream::Input as usize].is_done() && audit.pending() == 0;
            if !fixed && (settled || Instant::now() >= self.deadline) {
                fixed = true;
                self.fix_ends(&mut audit, partition)?;
                continue;
            }
            let is_input = stream == Stream::Input;
            let topic = &mut self.topics[stream as usize];
            let mut pushed = Ok(());
            let polled = topic.poll(is_input || fixed, |record| {
                pushed = audit.push(stream, record);
                if is_input {
                    each(record);
                }
            })?;
            pushed?;
            if topic.is_done() || polled == Polled::End && (is_input || fixed) {
                audit.done(stream);
            }
        }
        Ok(audit.finish())
    }

    fn begin(&mut self, audit: &mut PartitionAudit, partition: i32) -> Result<(), ReadError> {
        let range = self.plan.range(partition);
        for stream in Stream::ALL {
            let topic = &mut self.topics[stream as usize];
            if !self.plan.has(stream, partition) {
                audit.done(stream);
            } else if stream != Stream::Input {
                let (low, _) = topic.offsets(partition)?;
                topic.assign(partition, low, i64::MAX)?;
            } else if range.start < range.end {
                topic.assign(partition, range.start, range.end)?;
            } else {
                audit.done(stream);
            }
        }
        Ok(())
    }

    fn fix_ends(&mut self, audit: &mut PartitionAudit, partition: i32) -> Result<(), ReadError> {
        for stream in [Stream::Output, Stream::DeadLetters] {
            let topic = &mut self.topics[stream as usize];
            if self.plan.has(stream, partition) {
                topic.move_end_to_now()?;
                if topic.is_done() {
                    audit.done(stream);
                }
            }
        }
        Ok(())
    }
}
