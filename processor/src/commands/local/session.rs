//! Drives a run from the first event to the last audited one: feeds events, watches the replicas, obeys keys, and ends
//! in order.

use std::{
    env,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use audit::Wrong;
use crds::job::JobConfig;
use kafka::cluster::Cluster;

use super::{
    broken::{Broken, broken},
    error::{ASSIGNMENT, LocalError, STALL},
    feed::Feed,
    follow::Follower,
    keys::{HELP, Key, Keys},
    page::Site,
    progress::{Far, Progress},
    replicas::Replicas,
};
use crate::{clock::now_seconds, stop::Stop, view::Audit};

/// How long to wait for the aggregation's next record: it writes several times a second.
const QUIET: Duration = Duration::from_secs(10);

/// How long stage 1 may take to end: more than a thread takes at most.
const DRAIN: Duration = Duration::from_secs(15);

/// How long a request to Kafka may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the page is updated.
const SHOW: Duration = Duration::from_millis(200);

/// The parts of a run.
pub struct Session<'a> {
    /// Job of the replicas.
    pub job: &'a JobConfig,
    /// Path of the job config.
    pub job_file: &'a Path,
    /// Partitions of the source.
    pub partitions: usize,
    pub replicas: &'a mut Replicas,
    pub site: &'a Site,
    /// Keys of the terminal, if there is one.
    pub keys: Option<&'a Keys>,
    /// Set when the run is to end.
    pub stop: &'a Stop,
    /// Messages on stderr.
    pub progress: Progress,
    /// Number of events to send; `None` for no limit.
    pub total: Option<u64>,
    /// Whether the run ends after the last event.
    pub exit: bool,
    /// Number of broken events that were sent.
    pub broken: usize,
    /// When the page was last updated.
    pub shown: Option<Instant>,
}

/// Result of [`Session::drive`].
#[derive(Debug)]
pub struct Driven {
    /// Time from the first event that was sent to the last that was audited.
    pub elapsed: Duration,
    /// Whether the run ended because no more records came.
    pub stalled: bool,
    /// The source offsets, by partition, from which on the pipeline was to process nothing.
    pub ends: Vec<i64>,
}

impl Session<'_> {
    /// Waits until the replicas have taken up every partition.
    ///
    /// # Errors
    /// When a replica ends, it takes too long, or the run is stopped.
    pub fn await_assigned(&mut self) -> Result<(), LocalError> {
        let deadline = Instant::now() + ASSIGNMENT;
        loop {
            let active = self.replicas.active();
            if active.as_ref().is_ok_and(|active| *active == self.partitions as u64) {
                return Ok(());
            }
            if self.keys.is_some_and(|keys| keys.pressed().any(|key| key == Key::End)) {
                self.stop.set();
            }
            if self.stop.is_set() {
                return Err(LocalError::Stopped);
            }
            self.watch(Audit::default())?;
            if let Some(problem) = active.as_ref().err().and_then(|problems| problems.first()) {
                self.progress.wait(problem);
            }
            if Instant::now() >= deadline {
                let problems = active.err().unwrap_or_default();
                return Err(LocalError::NotAssigned {
                    problems: problems.iter().map(|it| format!("\n{it}")).collect(),
                });
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends events until the run is to end, and waits until the events and the results are audited.
    ///
    /// # Errors
    /// When a replica ends, or Kafka fails.
    pub fn drive(&mut self, feed: &mut Feed, follower: &Follower) -> Result<Driven, LocalError> {
        let started = Instant::now();
        let (mut taken, mut taken_at, mut waiting_since) = (0, started, started);
        let (mut audited, mut audited_at) = (0, started);
        let mut stalled = false;
        while !stalled && !follower.has_ended() {
            self.answer(feed)?;
            if self.stop.is_set() {
                feed.end();
                self.replicas.resume()?;
            }
            feed.turn(follower.audited())?;
            if taken != follower.taken() {
                (taken, taken_at) = (follower.taken(), Instant::now());
            }
            let now_audited = follower.audited().sum();
            if audited != now_audited {
                (audited, audited_at) = (now_audited, Instant::now());
            }
            let done = feed.acknowledged() == feed.sent() && is_audited(feed, follower);
            let excused = done || !self.replicas.all_run();
            waiting_since = if excused { Instant::now() } else { waiting_since.max(taken_at) };
            stalled = waiting_since.elapsed() > STALL;
            self.show(feed, audited);
            self.watch(audit_of(feed, follower))?;
            if done && feed.is_done() && (self.exit || self.stop.is_set()) {
                break;
            }
        }
        if stalled {
            self.progress.say(&format!("nothing came for {} s: ending with what is there", STALL.as_secs()));
        }
        let ends = self.settle(feed, follower)?;
        self.progress.clear();
        Ok(Driven { elapsed: audited_at.duration_since(started), stalled, ends })
    }

    /// Ends stage 1, and waits until stage 2 has counted all processed events. Returns the source offsets at which
    /// stage 1 ended.
    fn settle(&mut self, feed: &Feed, follower: &Follower) -> Result<Vec<i64>, LocalError> {
        self.replicas.drain();
        let deadline = Instant::now() + DRAIN;
        while !self.replicas.have_drained() && Instant::now() < deadline {
            self.watch(audit_of(feed, follower))?;
            thread::sleep(Duration::from_millis(5));
        }
        let ends = self.ends(feed)?;
        // If the counts are wrong, the report says which.
        let (mut taken, mut taken_at) = (follower.taken(), Instant::now());
        while !follower.has_ended() && !follower.is_counted() && taken_at.elapsed() < QUIET {
            if taken != follower.taken() {
                (taken, taken_at) = (follower.taken(), Instant::now());
            }
            self.show(feed, follower.audited().sum());
            self.watch(audit_of(feed, follower))?;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(ends)
    }

    /// The source offsets up to which events were processed. All events of this run should be. Of other producers'
    /// events, those before the committed offset were.
    fn ends(&self, feed: &Feed) -> Result<Vec<i64>, LocalError> {
        let cluster = Cluster::new(self.job, "processor-local")?;
        let end = |(partition, own): (i32, Option<i64>)| {
            let committed = cluster.group.committed(&self.job.topics.source, partition, PATIENCE)?;
            Ok(own.max(committed.map(|(offset, _)| offset)).unwrap_or_default())
        };
        (0..).zip(feed.ends()).map(end).collect()
    }

    fn show(&mut self, feed: &Feed, audited: u64) {
        let Self { progress, replicas, total, .. } = self;
        progress.show(&Far { sent: feed.acknowledged(), total: *total, audited, replicas: replicas.count() });
    }

    /// Checks the replicas, and updates the page.
    fn watch(&mut self, audit: Audit) -> Result<(), LocalError> {
        for told in self.replicas.turn()? {
            self.progress.say(&told);
        }
        if self.shown.is_none_or(|shown| shown.elapsed() > SHOW) {
            self.shown = Some(Instant::now());
            self.site.show(self.replicas.seen(), audit);
        }
        Ok(())
    }

    /// Performs what the keys ask for.
    fn answer(&mut self, feed: &mut Feed) -> Result<(), LocalError> {
        for key in self.keys.into_iter().flat_map(Keys::pressed) {
            let told = match key {
                Key::Fleet(wish) => Some(self.replicas.wish(wish)?),
                Key::Broken => {
                    let Broken { event, told, reason } = broken(self.broken, now_seconds());
                    self.broken += 1;
                    feed.send_extra(&event)?;
                    Some(format!(
                        "sent an event {told}: it becomes a dead letter, which\n  {} dead-letters list --config {} --reason {reason} --since 1m\nshows",
                        program(),
                        self.job_file.display()
                    ))
                }
                Key::Open => self.site.open(),
                Key::Help => Some(HELP.to_owned()),
                Key::End if self.stop.is_set() => None,
                Key::End => {
                    self.stop.set();
                    Some("ending: what was sent is audited first".to_owned())
                }
            };
            if let Some(told) = told {
                self.progress.say(&told);
            }
        }
        Ok(())
    }
}

/// Progress of the audit, for the page.
fn audit_of(feed: &Feed, follower: &Follower) -> Audit {
    let Wrong { lost, duplicated, other } = follower.wrong();
    Audit { sent: feed.acknowledged(), audited: follower.audited().sum(), lost, duplicated, other }
}

/// Whether the outcome of every event that this run sent is known, whatever other producers send.
fn is_audited(feed: &Feed, follower: &Follower) -> bool {
    feed.ends().into_iter().zip(follower.settled()).all(|(end, settled)| end.is_none_or(|end| settled >= end))
}

/// The name by which this program was called, for commands that users copy.
#[must_use]
pub fn program() -> String {
    env::args().next().unwrap_or_else(|| "processor".to_owned())
}
