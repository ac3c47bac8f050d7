//! What the aggregation should have written: counts every valid event again, in any order, and compares the results.
//!
//! ```text
//!  events ──> Batch: counts by window, dimension and value; nothing is left out ──┐
//!  meta ────> history: which rules applied to an event, what a change has cut ────┼─> compare ──> Mismatches
//!  results ─> Found: the last record of each key ─────────────────────────────────┘
//!                                                       values: which values a window keeps of too many
//! ```
//!
//! It shares no code with `aggregate`: a separate implementation decides what counts where, so the audit finds a
//! mistake in the streaming code. No I/O, no clock.

mod counts;
mod event;
mod found;
mod history;
mod kind;
mod values;

mod alerts;
mod compare;
mod insights;
mod mismatch;

use std::collections::BTreeMap;

use counts::Counts;
use crds::{
    job::Rules,
    pipeline::Window,
    records::{
        aggregate::{Counted, Span},
        state::Meta,
    },
};
use history::History;

pub use event::ProcessedEvent;
pub use found::Found;
pub use history::{HistoryError, rules};
pub use kind::Kind;
pub use mismatch::{Mismatch, Mismatches, Unchecked};

/// All events of the source, counted. Memory is linear in the different values of windows, not in events.
#[derive(Clone, Debug)]
pub struct Batch {
    history: History,
    windows: BTreeMap<Span, Counts>,
    /// Whether the meta and the results are of the same moment.
    is_current: bool,
    /// Windows that start here or earlier lack events.
    removed_until: Option<i64>,
}

impl Batch {
    /// Creates a batch with no events. The meta tells by which rules to count events. If it `is_current`, that is, of
    /// the same moment as the results, windows are also checked for closing or eviction that came too early.
    ///
    /// # Errors
    /// When rules that the meta names are missing from it or cannot be read.
    pub fn new(meta: &Meta, is_current: bool) -> Result<Self, HistoryError> {
        Ok(Self { history: History::new(meta)?, windows: BTreeMap::new(), is_current, removed_until: None })
    }

    /// Marks that the source no longer has all events up to this time, Unix seconds: windows that start then or
    /// earlier, and `all`, are not checked.
    pub fn removed_until(&mut self, time: i64) {
        self.removed_until = self.removed_until.max(Some(time));
    }

    /// Counts a valid event.
    pub fn event(&mut self, event: &ProcessedEvent) {
        let counted = self.history.counted(event.partition, event.offset);
        for window in &counted.windows {
            let counts = self.windows.entry(Span::of(*window, event.time)).or_default();
            counts.governed.insert(counted.governing);
            if event.unmerged && *window != Window::All {
                counts.unmerged += 1;
            } else {
                counts.add(event, counted);
            }
        }
    }

    /// Whether the source no longer has all events of a window.
    fn lacks_events(&self, span: Span) -> bool {
        self.removed_until.is_some_and(|until| span.window == Window::All || span.start <= until)
    }

    /// Whether a change of the rules has cut a count; `None` when the aggregation may say either.
    fn is_partial(&self, span: Span, of: &Counted, newest: Option<u64>) -> Option<bool> {
        let counts_window = |rules: &Rules| rules.aggregation.windows.contains(&span.window);
        match of {
            Counted::All => {
                let window = self.history.is_cut(span, newest, counts_window);
                let users =
                    self.history.is_cut(span, newest, |rules| counts_window(rules) && rules.aggregation.unique_users);
                match (window, users) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                }
            }
            Counted::Value(dimension, _) => {
                let counts = |rules: &Rules| counts_window(rules) && rules.aggregation.dimensions.contains(dimension);
                self.history.is_cut(span, newest, counts)
            }
        }
    }
}

#[cfg(test)]
mod tests;
