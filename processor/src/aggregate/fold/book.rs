//! The rules that the log holds, by config revision. The highest revision seen governs.

use std::collections::BTreeMap;

use crds::{
    job::Rules,
    pipeline::{Dimension, Window},
    records::{aggregate::Span, state::Change},
};

use super::{Halt, values::Limit, window::DIMENSIONS};

/// A count that a spec asks for: of all events of a window size, or of the values of a dimension.
pub type Counter = (Window, Option<Dimension>);

#[derive(Clone, Debug)]
struct Entry {
    text: String,
    rules: Rules,
    /// Values that alerts name, by `Dimension as usize`.
    named: [Vec<String>; DIMENSIONS],
}

impl Entry {
    fn new(text: String) -> Result<Self, serde_json::Error> {
        let rules: Rules = serde_json::from_str(&text)?;
        let mut named: [Vec<String>; DIMENSIONS] = Default::default();
        for alert in &rules.alerts {
            if let (Some(dimension), Some(value)) = (alert.dimension, &alert.value) {
                named[dimension as usize].push(value.clone());
            }
        }
        Ok(Self { text, rules, named })
    }
}

/// The rules by config revision.
#[derive(Clone, Debug, Default)]
pub struct Book {
    entries: BTreeMap<u64, Entry>,
    /// Which revisions governed, oldest first.
    changes: Vec<Change>,
}

impl Book {
    /// What a snapshot held.
    ///
    /// # Errors
    /// When the rules are not ones that this release reads.
    pub fn restore(rules: Vec<(u64, String)>, changes: Vec<Change>) -> Result<Self, serde_json::Error> {
        let entry = |(revision, text)| Ok((revision, Entry::new(text)?));
        Ok(Self { entries: rules.into_iter().map(entry).collect::<Result<_, _>>()?, changes })
    }

    /// Notes the rules of a revision.
    ///
    /// # Errors
    /// When they are not readable, or the revision had other rules before.
    pub fn learn(&mut self, revision: u64, text: &str, delta: i64) -> Result<(), Halt> {
        let refuse = |problem| Halt::Rules { delta, revision, problem };
        let entry = Entry::new(text.to_owned()).map_err(|error| refuse(error.to_string()))?;
        if entry.rules.aggregation.smallest_window().is_none() {
            return Err(refuse("the first window is not a finite one".to_owned()));
        }
        match self.entries.get(&revision) {
            Some(known) if known.rules != entry.rules => Err(Halt::RulesDiffer { delta, revision }),
            Some(_) => Ok(()),
            None => {
                self.entries.insert(revision, entry);
                Ok(())
            }
        }
    }

    /// The rules of a revision.
    pub fn get(&self, revision: u64) -> Option<&Rules> {
        self.entries.get(&revision).map(|entry| &entry.rules)
    }

    /// How many values of a dimension a window keeps, and which first. Once there were more, the named ones are those of the
    /// revision that governed then: a value that is named later was not kept from its first event on.
    pub fn limit(&self, dimension: Dimension, governing: u64, truncated: Option<u64>) -> Limit<'_> {
        let max = self.get(governing).map_or(0, |rules| rules.aggregation.max_values);
        let named = self.entries.get(&truncated.unwrap_or(governing)).map(|entry| &entry.named[dimension as usize][..]);
        Limit { max: usize::try_from(max).unwrap_or_default(), named: named.unwrap_or_default() }
    }

    /// The revision that governs.
    pub fn governing(&self) -> Option<u64> {
        self.changes.last().map(|change| change.revision)
    }

    /// The rules that govern; none before the first delta.
    pub fn current(&self) -> Option<&Rules> {
        self.get(self.governing()?)
    }

    /// Lets a higher revision govern.
    pub fn govern(&mut self, revision: u64, latest: Option<i64>, frontier: Option<i64>) {
        self.changes.push(Change { revision, latest, frontier });
    }

    /// Which revisions governed, oldest first; the last one does.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Rules by revision, as JSON: those that govern or did, and those that `is_used` says others still name.
    pub fn texts(&self, is_used: impl Fn(u64) -> bool) -> Vec<(u64, String)> {
        let governed = |revision: u64| self.changes.iter().any(|change| change.revision == revision);
        let used = self.entries.iter().filter(|(revision, _)| governed(**revision) || is_used(**revision));
        used.map(|(revision, entry)| (*revision, entry.text.clone())).collect()
    }

    /// Whether a window was cut by a change: a count began when events of the window may have been before, or ended
    /// before the window was closed.
    pub fn is_partial(&self, span: Span, dimension: Option<Dimension>) -> bool {
        let counter = (span.window, dimension);
        self.changes.windows(2).any(|pair| {
            let [before, change] = pair else { return false };
            let (Some(old), Some(new)) = (self.get(before.revision), self.get(change.revision)) else { return false };
            let began = !counts(old, counter) && counts(new, counter);
            let ended = counts(old, counter) && !counts(new, counter);
            let users = dimension.is_none() && old.aggregation.unique_users != new.aggregation.unique_users;
            let may_have_begun = change.latest.is_some_and(|latest| span.end().is_none() || span.start <= latest);
            let was_open = span.end().is_none_or(|end| change.frontier.is_none_or(|frontier| frontier < end));
            (began || users) && may_have_begun || (ended || users) && was_open
        })
    }
}

/// Whether rules ask for a count.
pub fn counts(rules: &Rules, (window, dimension): Counter) -> bool {
    rules.aggregation.windows.contains(&window)
        && dimension.is_none_or(|dimension| rules.aggregation.dimensions.contains(&dimension))
}
