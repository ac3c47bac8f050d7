//! Folds a delta: decides which rules govern, merges its counts, moves the frontier, and closes and evicts windows.

use std::collections::{BTreeSet, btree_map::Entry};

use crds::{
    job::Rules,
    pipeline::{Dimension, Window as Size},
    records::{
        aggregate::{Alert, Span},
        delta::{Delta, Pane},
        state::Pending,
    },
};
use datasketches::hll::HllSketch;

use super::{
    alerts::{self, HISTORY},
    book::Book,
    evicted::Evicted,
    halt::Halt,
    snapshot,
    sources::By,
    state::{Fold, seconds},
    summary,
    window::{Due, Merge, Window},
};

/// Maximum number of remembered keys of evicted windows, whose records the next snapshot removes. The next cold start
/// finds the records of forgotten keys, and the snapshot after it removes them.
const MAX_EVICTED: usize = 200_000;

impl Fold {
    /// Folds the record of the deltas topic at this offset. Offsets ascend; skipped offsets hold no records.
    ///
    /// # Errors
    /// If the log is inconsistent. The fold must not be used after that.
    pub fn apply(&mut self, offset: i64, value: &[u8]) -> Result<(), Halt> {
        let delta = Delta::decode(value).map_err(|source| Halt::Delta { delta: offset, source })?;
        if let Some(rules) = &delta.rules {
            self.book.learn(delta.revision, rules, offset)?;
        }
        if self.book.get(delta.revision).is_none() {
            return Err(Halt::UnknownRules { delta: offset, revision: delta.revision });
        }
        if self.book.governing().is_none_or(|governing| governing < delta.revision) {
            self.govern(delta.revision, offset);
        }
        let governing = self.chunk(&delta, offset)?;
        let by = By { revision: delta.revision, governing };
        self.sources.seen(delta.source_partitions);
        self.merge(&delta.panes, by, offset)?;
        for range in &delta.ranges {
            self.sources.advance(range, by, offset)?;
        }
        self.move_frontier(offset);
        self.offset = offset + 1;
        self.stats.deltas += 1;
        Ok(())
    }

    /// Checks that all chunks of a transaction arrive in order. Returns the revision that governed when the transaction
    /// began.
    fn chunk(&mut self, delta: &Delta, offset: i64) -> Result<u64, Halt> {
        let Delta { producer, sequence, chunk, chunks, .. } = delta;
        let governing = self.book.governing().unwrap_or(delta.revision);
        let missing = || Halt::MissingChunk {
            delta: offset,
            producer: producer.clone(),
            sequence: *sequence,
            chunk: *chunk,
            chunks: *chunks,
        };
        let first = Pending { producer: producer.clone(), sequence: *sequence, next: 0, chunks: *chunks, governing };
        let mut pending = match self.pending.remove(producer) {
            Some(pending) => pending,
            None => first,
        };
        if (pending.sequence, pending.next, pending.chunks) != (*sequence, *chunk, *chunks) || chunk >= chunks {
            return Err(missing());
        }
        pending.next += 1;
        let governing = pending.governing;
        if pending.next < *chunks {
            self.pending.insert(producer.clone(), pending);
        }
        Ok(governing)
    }

    /// Makes another revision govern from here on.
    fn govern(&mut self, revision: u64, delta: i64) {
        let (latest, frontier) = (self.latest, self.frontier);
        self.change(|book| book.govern(revision, latest, frontier));
        let ended = |(span, window): (&Span, &mut Window)| {
            let is_asked_for = |rules: &Rules| rules.aggregation.windows.contains(&span.window);
            let ends = !self.book.current().is_some_and(is_asked_for) && span.end().is_some() && !window.is_final;
            if ends {
                window.is_final = true;
                window.modified = delta;
                window.due = Due::Everything;
            }
            ends.then_some(*span)
        };
        let ended: Vec<Span> = self.windows.iter_mut().filter_map(ended).collect();
        self.stats.closed += ended.len() as u64;
        self.dirty.extend(ended);
    }

    /// Changes the rules. Windows that become partial are emitted again.
    fn change(&mut self, change: impl FnOnce(&mut Book)) {
        let before: Vec<_> = self.windows.iter().map(|(span, window)| window.partial(*span, &self.book)).collect();
        change(&mut self.book);
        for ((span, window), was) in self.windows.iter_mut().zip(before) {
            if window.partial(*span, &self.book) != was {
                window.due = Due::Everything;
                self.dirty.insert(*span);
            }
        }
    }

    fn merge(&mut self, panes: &[Pane], by: By, delta: i64) -> Result<(), Halt> {
        let (Some(own), Some(governing)) = (self.book.get(by.revision), self.book.get(by.governing)) else {
            return Ok(());
        };
        let (own, governing) = (own.aggregation.clone(), governing.aggregation.clone());
        let sizes: Vec<Size> = own.windows.iter().copied().filter(|size| governing.windows.contains(size)).collect();
        let dimensions: Vec<Dimension> =
            own.dimensions.iter().copied().filter(|dimension| governing.dimensions.contains(dimension)).collect();
        let smallest = own.smallest_window().unwrap_or(1);
        let unique_users = own.unique_users && governing.unique_users;
        if let Some(latest) = panes.iter().map(|pane| pane.start.saturating_add(smallest - 1)).max() {
            self.latest = self.latest.max(Some(latest));
            if self.book.lags(by.revision, latest) {
                self.change(|book| book.catch_up(by.revision, latest));
            }
        }
        let mut evicted = Evicted::default();
        for pane in panes {
            let sketch = pane.total.sketch.as_deref().map(HllSketch::deserialize).transpose();
            let sketch = sketch.map_err(|error| Halt::Sketch { delta, problem: error.to_string() })?;
            for size in &sizes {
                let span = Span::of(*size, pane.start);
                if span.end().is_some_and(|end| self.horizon.is_some_and(|horizon| end <= horizon)) {
                    evicted.add(span, pane, &dimensions);
                } else {
                    let users = unique_users.then_some(&sketch);
                    self.merge_into(span, pane, &dimensions, users, delta)?;
                }
            }
        }
        self.stats.evicted_events += evicted.events();
        let book = &self.book;
        self.ready.aggregates.extend(evicted.records(delta, |span, dimension| book.is_partial(span, dimension)));
        Ok(())
    }

    fn merge_into(
        &mut self,
        span: Span,
        pane: &Pane,
        dimensions: &[Dimension],
        users: Option<&Option<HllSketch>>,
        delta: i64,
    ) -> Result<(), Halt> {
        let governing = self.book.governing().unwrap_or_default();
        let first = self.first_windows.entry(span.window).or_insert(span.start);
        *first = span.start.min(*first);
        let window = match self.windows.entry(span) {
            Entry::Occupied(window) => window.into_mut(),
            Entry::Vacant(place) => {
                // The count of the previous window is unknown if that window may have been evicted.
                let known = self.horizon.is_none_or(|horizon| span.start > horizon);
                place.insert(Window { previous: known.then_some(0), ..Window::default() })
            }
        };
        let old = (window.count, window.revision);
        let merge = Merge { span, delta, dimensions, users, book: &self.book, governing };
        let alerts = self.book.current().map(|rules| &rules.alerts[..]).unwrap_or_default();
        let mut fired = Vec::new();
        window
            .merge(&mut self.pool, pane, &merge, |of, old, new| alerts::above(alerts, span, of, (old, new), &mut fired))
            .map_err(|error| Halt::Sketch { delta, problem: error.to_string() })?;
        let grew = window.count != old.0;
        self.stats.revisions += window.revision - old.1;
        self.dirty.insert(span);
        self.fire(fired);
        // The insight of the next window compares it with this one.
        if grew
            && let Some(next) = span.next()
            && let Some(window) = self.windows.get_mut(&next).filter(|window| window.is_final)
        {
            window.touch(delta);
            self.dirty.insert(next);
        }
        Ok(())
    }

    /// Advances the frontier, closes the windows that it has passed, and evicts the windows whose retention is over.
    fn move_frontier(&mut self, delta: i64) {
        let before = self.frontier;
        self.frontier = before.max(self.sources.minimum());
        let Some(frontier) = self.frontier else { return };
        let is_due = |(span, window): (&Span, &Window)| {
            let passed = !window.is_final && span.end().is_some_and(|end| end <= frontier);
            passed.then_some(*span)
        };
        // A window that ends at or before the old frontier is due only if it is dirty. All others end between the old
        // and the new frontier.
        let mut due: BTreeSet<Span> =
            self.dirty.iter().filter_map(|span| is_due((span, self.windows.get(span)?))).collect();
        for size in self.sizes() {
            let at = |frontier: i64| Span { window: size, start: frontier.saturating_sub(seconds(size)) };
            let passed = before.map_or(Span { window: size, start: i64::MIN }, at)..=at(frontier);
            due.extend(self.windows.range(passed).filter_map(is_due));
        }
        for span in due {
            self.close(span, delta);
        }
        self.evict(frontier, delta);
    }

    fn close(&mut self, span: Span, delta: i64) {
        self.fire(self.deviations(span));
        if let Some(window) = self.windows.get_mut(&span) {
            window.is_final = true;
            window.modified = delta;
            window.due = Due::Everything;
            self.stats.closed += 1;
            self.dirty.insert(span);
        }
    }

    fn fire(&mut self, alerts: Vec<Alert>) {
        self.stats.alerts += alerts.len() as u64;
        alerts.iter().for_each(|alert| self.ready.alert(alert));
        self.fired.extend(alerts);
        let forgotten = self.fired.len().saturating_sub(summary::ALERTS);
        self.fired.drain(..forgotten);
    }

    fn evict(&mut self, frontier: i64, delta: i64) {
        let Some(rules) = self.book.current() else { return };
        let horizon = self.horizon.max(Some(frontier.saturating_sub(kept_behind(rules))));
        if horizon == self.horizon {
            return;
        }
        self.horizon = horizon;
        for size in self.sizes() {
            let first = |fold: &Self| {
                let from = Span { window: size, start: i64::MIN };
                let (span, _) = fold.windows.range(from..).next()?;
                (span.window == size && span.end()? <= horizon?).then_some(*span)
            };
            while let Some(span) = first(self) {
                self.evict_one(span, delta);
            }
        }
    }

    fn evict_one(&mut self, span: Span, delta: i64) {
        // Emits the results that are still pending.
        self.emit(span);
        self.dirty.remove(&span);
        let Some(window) = self.windows.remove(&span) else { return };
        if let Some(next) = span.next().and_then(|next| self.windows.get_mut(&next)) {
            next.previous = Some(window.count);
            next.modified = delta;
        }
        for key in snapshot::keys(span, &window, &self.pool) {
            self.evicted.push_back((delta, key));
        }
        while self.evicted.len() > MAX_EVICTED {
            self.evicted.pop_front();
        }
        for values in window.values.into_iter().flatten() {
            values.release(&mut self.pool);
        }
    }
}

/// How long windows are kept after the frontier has passed their end, in seconds: as long as their events are merged,
/// and longer if an alert compares with more windows.
fn kept_behind(rules: &Rules) -> i64 {
    let compared = rules.alerts.iter().filter(|alert| alert.deviation.is_some());
    let history = compared.map(|alert| seconds(alert.window).saturating_mul(HISTORY + 1)).max().unwrap_or_default();
    let aggregation = &rules.aggregation;
    aggregation.retention.as_secs().saturating_add(aggregation.largest_window()).max(history)
}
