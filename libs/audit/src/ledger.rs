//! Reads the ledger of replays and the matching records of other topics. It makes no decision about replays.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::{Duration, Instant},
};

use crds::records::{
    dead_letter::{SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TIMESTAMP, SOURCE_TOPIC},
    replay::{Entry, EntryError, Identity, Place},
};
use kafka::cluster::{Cluster, ClusterError};

use super::{
    plan::Plan,
    record::Record,
    replays::{Copy, Evidence, Replays, digest, text},
    topic::{PATIENCE, TopicError, TopicReader},
};

/// How long a record may wait for its transaction to end: longer than Kafka keeps the transaction of a producer that is
/// gone.
const OPEN_BOUND: Duration = Duration::from_secs(30);

/// Why replays could not be audited.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A request to Kafka failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A topic could not be read.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A record is not committed, and stays so.
    #[error("{topic} [{partition}]: a transaction is open for more than {} s", OPEN_BOUND.as_secs())]
    Open {
        /// The topic with the open transaction.
        topic: String,
        partition: i32,
    },
    /// A record is not a valid entry.
    #[error("topic {topic} [0], offset {offset}: {source}")]
    Entry {
        topic: String,
        /// The record's offset in it.
        offset: i64,
        source: EntryError,
    },
}

/// Audits the replays. `copies` are the events of the audited part of the source that claim to be replays.
///
/// # Errors
/// When a topic cannot be read.
pub fn audit_replays(plan: &Plan, copies: Vec<Copy>) -> Result<Replays, LedgerError> {
    let cluster = Cluster::new(&plan.job, "processor-audit")?;
    let entries = entries(plan, &cluster)?;
    let mut evidence = Evidence { entries, copies, ..Evidence::default() };
    if !evidence.entries.is_empty() {
        find_younger(plan, &cluster, &mut evidence)?;
        find_removed(plan, &mut evidence)?;
        read_letters(plan, &cluster, &mut evidence)?;
    }
    Ok(evidence.judge(&plan.job.topics.source))
}

/// Reads the ledger up to its current end. Every copy already seen in the source has its entry before that end: both
/// are in the same transaction.
fn entries(plan: &Plan, cluster: &Cluster) -> Result<BTreeMap<Identity, Entry>, LedgerError> {
    let topic = plan.job.pipeline.replays_topic();
    let mut entries = BTreeMap::new();
    match cluster.topics.partitions(&topic, PATIENCE) {
        Err(ClusterError::NoTopic(_)) => return Ok(entries),
        found => found?,
    };
    let mut reader = TopicReader::new(&plan.job, &topic)?;
    let (low, end) = settled(cluster, &reader, &topic, 0)?;
    reader.assign(0, low, end)?;
    let mut refused = None;
    reader.rest(|record| match Entry::read(record.key, record.value) {
        Ok((identity, Some(entry))) => drop(entries.insert(identity, entry)),
        Ok((identity, None)) => drop(entries.remove(&identity)),
        Err(source) => refused = Some((record.offset, source)),
    })?;
    match refused {
        Some((offset, source)) => Err(LedgerError::Entry { topic, offset, source }),
        None => Ok(entries),
    }
}

/// Returns where a partition starts and its current end, as soon as no transaction is open before that end.
fn settled(cluster: &Cluster, reader: &TopicReader, topic: &str, partition: i32) -> Result<(i64, i64), LedgerError> {
    let end = cluster.topics.high_watermark(topic, partition, PATIENCE)?;
    let asked = Instant::now();
    loop {
        let (low, stable) = reader.offsets(partition)?;
        if stable >= end {
            return Ok((low, stable));
        }
        if asked.elapsed() > OPEN_BOUND {
            return Err(LedgerError::Open { topic: topic.to_owned(), partition });
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Searches the source after its audited part for the events of entries that were made since the end was fixed.
fn find_younger(plan: &Plan, cluster: &Cluster, evidence: &mut Evidence) -> Result<(), LedgerError> {
    let source = &plan.job.topics.source;
    let missing = missing_by_partition(plan, evidence);
    let mut reader = TopicReader::new(&plan.job, source)?;
    for (partition, missing) in missing {
        let (low, end) = settled(cluster, &reader, source, partition)?;
        reader.assign(partition, low.max(plan.range(partition).end), end)?;
        reader.rest(|record| {
            let copy = Copy::of(record, partition, &plan.job.topics.dead_letters);
            evidence.copies.extend(copy.filter(|copy| missing.contains_key(&copy.identity)));
        })?;
    }
    Ok(())
}

/// Finds the entries whose events may have been deleted since, by retention or together with the topic.
fn find_removed(plan: &Plan, evidence: &mut Evidence) -> Result<(), LedgerError> {
    let is_gone = |entry: &&Entry| !is_in_source(plan, &entry.identity.place);
    let gone: Vec<Identity> = evidence.missing().filter(is_gone).map(|entry| entry.identity.clone()).collect();
    evidence.removed.extend(gone);
    let mut reader = TopicReader::new(&plan.job, &plan.job.topics.source)?;
    for (partition, missing) in missing_by_partition(plan, evidence) {
        let (low, end) = reader.offsets(partition)?;
        // The source is still the topic that was replayed to if it has the replayed record at its original offset.
        let originals: BTreeMap<i64, &Identity> = missing
            .keys()
            .map(|identity| (identity.place.offset, identity))
            .filter(|(offset, _)| *offset >= low)
            .collect();
        let mut same = BTreeSet::new();
        if let (Some((first, _)), Some((last, _))) = (originals.first_key_value(), originals.last_key_value()) {
            reader.assign(partition, *first, end.min(last + 1))?;
            reader.rest(|record| {
                let identity = originals.get(&record.offset);
                same.extend(identity.filter(|identity| identity.timestamp == record.timestamp).copied().cloned());
            })?;
        }
        evidence.removed.extend(missing.iter().filter_map(|(identity, not_before)| {
            let is_there =
                low <= *not_before && *not_before <= end && (identity.place.offset < low || same.contains(identity));
            (!is_there).then(|| identity.clone())
        }));
    }
    Ok(())
}

/// The entries without an event, by source partition, each with the lowest offset that its event can have.
fn missing_by_partition(plan: &Plan, evidence: &Evidence) -> BTreeMap<i32, BTreeMap<Identity, i64>> {
    let mut missing: BTreeMap<i32, BTreeMap<Identity, i64>> = BTreeMap::new();
    for Entry { identity, not_before, .. } in evidence.missing() {
        if is_in_source(plan, &identity.place) {
            missing.entry(identity.place.partition).or_default().insert(identity.clone(), *not_before);
        }
    }
    missing
}

/// Whether a place belongs to the current source topic.
fn is_in_source(plan: &Plan, place: &Place) -> bool {
    place.topic == plan.job.topics.source && place.partition < plan.source_partitions()
}

/// Reads the replayed dead letters that still exist.
fn read_letters(plan: &Plan, cluster: &Cluster, evidence: &mut Evidence) -> Result<(), LedgerError> {
    let topic = &plan.job.topics.dead_letters;
    let partitions = cluster.topics.partitions(topic, PATIENCE)?;
    let mut wanted: BTreeMap<i32, BTreeMap<i64, &Identity>> = BTreeMap::new();
    for Entry { identity, dead_letter, .. } in evidence.entries.values() {
        if dead_letter.topic == *topic && dead_letter.partition < partitions {
            wanted.entry(dead_letter.partition).or_default().insert(dead_letter.offset, identity);
        }
    }
    let mut reader = TopicReader::new(&plan.job, topic)?;
    for (partition, wanted) in wanted {
        let (low, end) = reader.offsets(partition)?;
        let (Some((first, _)), Some((last, _))) = (wanted.first_key_value(), wanted.last_key_value()) else { continue };
        reader.assign(partition, low.max(*first), end.min(last + 1))?;
        reader.rest(|record| {
            let identity = wanted.get(&record.offset).filter(|identity| origin(record).as_ref() == Some(**identity));
            evidence.letters.extend(identity.map(|identity| ((*identity).clone(), digest(record))));
        })?;
    }
    Ok(())
}

/// The source record that a dead letter names as its origin.
fn origin(record: &Record) -> Option<Identity> {
    let place = Place {
        topic: text(record, SOURCE_TOPIC)?.to_owned(),
        partition: text(record, SOURCE_PARTITION)?.parse().ok()?,
        offset: text(record, SOURCE_OFFSET)?.parse().ok()?,
    };
    Some(Identity { place, timestamp: text(record, SOURCE_TIMESTAMP)?.parse().ok()? })
}
