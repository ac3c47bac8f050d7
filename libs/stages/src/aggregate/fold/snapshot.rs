//! Writes a fold as a snapshot, and restores it.

use std::collections::BTreeMap;

use crds::{
    pipeline::{Dimension, Duration, Window as Size},
    records::{
        aggregate::Span,
        state::{self, Key, MAX_CHUNK_BYTES, Meta, MetaRecords, Position, StateError},
    },
};

use super::{
    book::Book,
    record::ResultRecord,
    sketch::Users,
    sources::Sources,
    state::Fold,
    values::{Pool, Values},
    window::Window,
};

impl Fold {
    /// The records of a snapshot: what deltas at or after `since`, the offset of the last snapshot, have changed;
    /// everything if there is none. What changes again before this snapshot is committed is part of the next one too.
    ///
    /// # Errors
    /// If something cannot be encoded, which the encoder rules out for values in memory.
    pub fn snapshot(&self, since: Option<i64>) -> Result<Vec<ResultRecord>, StateError> {
        let mut records = Vec::new();
        let is_new = |delta: i64| since.is_none_or(|since| delta >= since);
        for (_, key) in self.evicted.iter().filter(|(delta, _)| is_new(*delta)) {
            records.push(ResultRecord { key: key.encode(), value: None });
        }
        for (span, window) in self.windows.iter().filter(|(_, window)| is_new(window.modified)) {
            let total = state::Total {
                modified: window.modified,
                count: window.count,
                late: window.late,
                unmerged: window.unmerged,
                sketch: window.users.as_ref().map(Users::encode),
                is_final: window.is_final,
                revision: window.revision,
                previous: window.previous,
            };
            records.push(record(Key::Total(*span), &total)?);
            for dimension in Dimension::ALL {
                let Some(values) = &window.values[dimension as usize] else { continue };
                for (chunk, part) in (0..).zip(chunks(values, &self.pool)) {
                    records.push(record(Key::Values(*span, dimension, chunk), &part)?);
                }
            }
        }
        let meta = self.meta().records()?.into_iter();
        records.extend(meta.map(|(key, value)| ResultRecord { key: key.encode(), value: Some(value) }));
        Ok(records)
    }
}

fn record<T: serde::Serialize>(key: Key, value: &T) -> Result<ResultRecord, StateError> {
    Ok(ResultRecord { key: key.encode(), value: Some(state::encode(value)?) })
}

/// Splits the values of a window into parts that each fit into a record.
fn chunks(values: &Values, pool: &Pool) -> Vec<state::Values> {
    let mut parts: Vec<Vec<(String, u64)>> = vec![Vec::new()];
    let mut bytes = 0;
    for (value, count) in values.sorted(pool) {
        // A length and a count take at most 10 bytes each.
        let needs = value.len() + 20;
        if bytes + needs > MAX_CHUNK_BYTES - 1024 {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += needs;
        if let Some(part) = parts.last_mut() {
            part.push((value.to_owned(), count));
        }
    }
    let chunks = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let part =
        |values_of| state::Values { chunks, total: values.total, truncated: values.truncated, values: values_of };
    parts.into_iter().map(part).collect()
}

/// The keys of a window's records in the state topic.
pub(super) fn keys(span: Span, window: &Window, pool: &Pool) -> Vec<Key> {
    let mut keys = vec![Key::Total(span)];
    for dimension in Dimension::ALL {
        let parts = window.values[dimension as usize].as_ref().map_or(0, |values| chunks(values, pool).len());
        keys.extend((0..).take(parts).map(|chunk| Key::Values(span, dimension, chunk)));
    }
    keys
}

/// Reads the state topic, record by record.
#[derive(Clone, Debug, Default)]
pub struct Restore {
    meta: MetaRecords,
    position: Option<i64>,
    totals: BTreeMap<Span, state::Total>,
    values: BTreeMap<(Span, Dimension), BTreeMap<u32, state::Values>>,
}

/// What the state topic held.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// The fold; none if there is no snapshot.
    pub fold: Option<Fold>,
    /// The next delta after the last emission.
    pub position: Option<i64>,
    /// The next delta after the last snapshot.
    pub meta_offset: Option<i64>,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RestoreError {
    /// A chunk of a window's values is missing.
    #[error(
        "the snapshot lacks chunk {chunk} of {chunks} of {dimension} in window {window}: its topic must be compacted, and nothing else may be deleted from it"
    )]
    Chunk {
        /// The window's key.
        window: String,
        /// The dimension's name in the state topic's keys.
        dimension: &'static str,
        /// The number of the missing chunk, from 0.
        chunk: u32,
        /// The number of chunks.
        chunks: u32,
    },
    /// A sketch that cannot be read.
    #[error("the snapshot's sketch of window {window} cannot be read: {problem}")]
    Sketch {
        /// The window's key.
        window: String,
        /// The decoder's message.
        problem: String,
    },
    /// A `meta` that is not whole, or not one that this release reads.
    #[error(transparent)]
    Meta(#[from] StateError),
    /// Rules that this release cannot read.
    #[error("the snapshot's rules cannot be read: {0}")]
    Rules(String),
}

impl Restore {
    /// Takes the record at this offset of the state topic.
    ///
    /// # Errors
    /// If the record does not belong to a snapshot, or was written by a later release.
    pub fn push(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) -> Result<(), StateError> {
        match (Key::decode(key)?, value) {
            (key @ (Key::Meta | Key::MetaPart(_)), value) => self.meta.push(offset, key, value),
            (Key::Position, value) => {
                self.position = value.map(state::decode::<Position>).transpose()?.map(|position| position.offset);
            }
            (Key::Total(span), Some(value)) => drop(self.totals.insert(span, state::decode(value)?)),
            (Key::Total(span), None) => drop(self.totals.remove(&span)),
            (Key::Values(span, dimension, chunk), Some(value)) => {
                self.values.entry((span, dimension)).or_default().insert(chunk, state::decode(value)?);
            }
            (Key::Values(span, dimension, chunk), None) => {
                if let Some(chunks) = self.values.get_mut(&(span, dimension)) {
                    chunks.remove(&chunk);
                }
            }
        }
        Ok(())
    }

    /// Builds the fold from the records.
    ///
    /// # Errors
    /// If the snapshot is incomplete or unreadable.
    pub fn finish(self) -> Result<Restored, RestoreError> {
        let Self { meta, position, totals, mut values } = self;
        let Some(meta) = meta.meta()? else { return Ok(Restored { position, ..Restored::default() }) };
        let meta_offset = meta.offset;
        let mut fold = of_meta(meta).map_err(|error| RestoreError::Rules(error.to_string()))?;
        for (span, total) in totals {
            let users = total.sketch.as_deref().map(Users::decode).transpose();
            let users =
                users.map_err(|error| RestoreError::Sketch { window: span.key(), problem: error.to_string() })?;
            let mut window = Window {
                count: total.count,
                late: total.late,
                unmerged: total.unmerged,
                users,
                is_final: total.is_final,
                revision: total.revision,
                previous: total.previous,
                modified: total.modified,
                ..Window::default()
            };
            for dimension in Dimension::ALL {
                let chunks = values.remove(&(span, dimension)).unwrap_or_default();
                window.values[dimension as usize] = fold.values(span, dimension, chunks)?;
            }
            fold.windows.insert(span, window);
        }
        fold.drop_evicted();
        Ok(Restored { fold: Some(fold), position, meta_offset: Some(meta_offset) })
    }
}

/// A fold without windows.
fn of_meta(meta: Meta) -> Result<Fold, serde_json::Error> {
    let size = |seconds: i64| match u64::try_from(seconds) {
        Ok(seconds @ 1..) => Size::Finite(Duration::from_secs(seconds)),
        _ => Size::All,
    };
    Ok(Fold {
        offset: meta.offset,
        book: Book::restore(meta.rules, meta.changes)?,
        sources: Sources {
            count: meta.source_partitions,
            first_count: meta.first_partitions,
            partitions: meta.partitions.into_iter().map(|partition| (partition.partition, partition)).collect(),
            highest: meta.highest,
            all_idle: meta.all_idle,
        },
        pending: meta.pending.into_iter().map(|pending| (pending.producer.clone(), pending)).collect(),
        frontier: meta.frontier,
        horizon: meta.horizon,
        latest: meta.latest,
        first_windows: meta.first_windows.into_iter().map(|(seconds, start)| (size(seconds), start)).collect(),
        ..Fold::default()
    })
}

impl Fold {
    fn values(
        &mut self,
        span: Span,
        dimension: Dimension,
        mut chunks: BTreeMap<u32, state::Values>,
    ) -> Result<Option<Values>, RestoreError> {
        let Some(state::Values { chunks: number, total, truncated, .. }) = chunks.get(&0).cloned() else {
            return Ok(None);
        };
        let mut values = Vec::new();
        // Chunks beyond this number belong to an older, larger state.
        for chunk in 0..number {
            match chunks.remove(&chunk).filter(|part| part.chunks == number) {
                Some(part) => values.extend(part.values),
                None => {
                    let (window, dimension) = (span.key(), dimension.name());
                    return Err(RestoreError::Chunk { window, dimension, chunk, chunks: number });
                }
            }
        }
        let limit = truncated.map(|revision| self.book.limit(dimension, revision, truncated));
        Ok(Some(Values::restore(&mut self.pool, total, truncated, &values, limit.as_ref())))
    }

    /// Drops windows that were evicted before the snapshot and whose records are still in the topic. The next snapshot
    /// removes the records.
    fn drop_evicted(&mut self) {
        let is_evicted = |span: &Span| span.end().is_some_and(|end| self.horizon.is_some_and(|horizon| end <= horizon));
        let evicted: Vec<Span> = self.windows.keys().copied().filter(is_evicted).collect();
        for span in evicted {
            let Some(window) = self.windows.remove(&span) else { continue };
            self.evicted.extend(keys(span, &window, &self.pool).into_iter().map(|key| (self.offset, key)));
            window.values.into_iter().flatten().for_each(|values| values.release(&mut self.pool));
        }
    }
}
