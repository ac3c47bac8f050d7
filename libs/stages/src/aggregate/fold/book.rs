//! The rules in the log by config revision. The highest revision seen governs.

use std::collections::BTreeMap;

use crds::{
    job::Rules,
    pipeline::{Dimension, Window},
    records::{aggregate::Span, state::Change},
};

use super::{halt::Halt, values::Limit};

/// A count that a spec asks for: all events of a window size, or the values of a dimension.
pub type Counter = (Window, Option<Dimension>);

#[derive(Clone, Debug)]
struct Entry {
    text: String,
    rules: Rules,
    /// Values that alerts name, by `Dimension as usize`.
    named: [Vec<String>; Dimension::ALL.len()],
}

impl Entry {
    fn new(text: String) -> Result<Self, serde_json::Error> {
        let rules: Rules = serde_json::from_str(&text)?;
        let mut named: [Vec<String>; Dimension::ALL.len()] = Default::default();
        for alert in &rules.alerts {
            if let (Some(dimension), Some(value)) = (alert.dimension, &alert.value) {
                named[dimension as usize].push(value.clone());
            }
        }
        Ok(Self { text, rules, named })
    }
}

#[derive(Clone, Debug, Default)]
pub struct Book {
    entries: BTreeMap<u64, Entry>,
    /// The revisions that governed, from oldest to newest.
    changes: Vec<Change>,
}

impl Book {
    /// Rebuilds the rules of a snapshot.
    ///
    /// # Errors
    /// If this release cannot read the rules.
    pub fn restore(rules: Vec<(u64, String)>, changes: Vec<Change>) -> Result<Self, serde_json::Error> {
        let entry = |(revision, text)| Ok((revision, Entry::new(text)?));
        Ok(Self { entries: rules.into_iter().map(entry).collect::<Result<_, _>>()?, changes })
    }

    /// Records the rules of a revision.
    ///
    /// # Errors
    /// If the rules are not readable, or the revision had other rules before.
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

    pub fn get(&self, revision: u64) -> Option<&Rules> {
        self.entries.get(&revision).map(|entry| &entry.rules)
    }

    /// How many values of a dimension a window keeps, and which ones first. After truncation, the named values are
    /// those of the revision that governed at that time: a value that is named later was not kept from its first event
    /// on.
    pub fn limit(&self, dimension: Dimension, governing: u64, truncated: Option<u64>) -> Limit<'_> {
        let max = self.get(governing).map_or(0, |rules| rules.aggregation.max_values);
        let named = self.entries.get(&truncated.unwrap_or(governing)).map(|entry| &entry.named[dimension as usize][..]);
        Limit { max: usize::try_from(max).unwrap_or_default(), named: named.unwrap_or_default() }
    }

    pub fn governing(&self) -> Option<u64> {
        self.changes.last().map(|change| change.revision)
    }

    /// The rules that govern; none before the first delta.
    pub fn current(&self) -> Option<&Rules> {
        self.get(self.governing()?)
    }

    /// Makes a higher revision govern.
    pub fn govern(&mut self, revision: u64, latest: Option<i64>, frontier: Option<i64>) {
        self.changes.push(Change { revision, latest, frontier });
    }

    /// Whether events up to `latest`, processed by the rules of `revision`, extend a change: a higher revision governs
    /// already, because replicas are not all replaced at once.
    pub fn lags(&self, revision: u64, latest: i64) -> bool {
        let moves = |change: &Change| change.revision > revision && change.latest.is_none_or(|known| known < latest);
        self.changes.iter().skip(1).any(moves)
    }

    /// Raises `latest` of the changes to a higher revision, so that windows with such events count as partial.
    pub fn catch_up(&mut self, revision: u64, latest: i64) {
        for change in self.changes.iter_mut().skip(1).filter(|change| change.revision > revision) {
            change.latest = change.latest.max(Some(latest));
        }
    }

    /// The revisions that governed, from oldest to newest. The last one governs now.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// All rules by revision, as JSON. A replica sends its rules only once, so those of a revision that never governed
    /// are kept: its deltas may still follow.
    pub fn texts(&self) -> Vec<(u64, String)> {
        self.entries.iter().map(|(revision, entry)| (*revision, entry.text.clone())).collect()
    }

    /// Whether a change made a window partial. It did if a count, or the estimate of unique users, began or ended when
    /// events of the window may already have occurred. An end after the window closed does not count.
    pub fn is_partial(&self, span: Span, dimension: Option<Dimension>) -> bool {
        let counter = (span.window, dimension);
        let users = |rules: &Rules| counts(rules, counter) && rules.aggregation.unique_users;
        self.is_cut(span, |rules| counts(rules, counter)) || dimension.is_none() && self.is_cut(span, users)
    }

    fn is_cut(&self, span: Span, counts: impl Fn(&Rules) -> bool) -> bool {
        self.changes.windows(2).any(|pair| {
            let [before, change] = pair else { return false };
            let (Some(old), Some(new)) = (self.get(before.revision), self.get(change.revision)) else { return false };
            let may_have_begun = change.latest.is_some_and(|latest| span.end().is_none() || span.start <= latest);
            let was_open = span.end().is_none_or(|end| change.frontier.is_none_or(|frontier| frontier < end));
            may_have_begun
                && match (counts(old), counts(new)) {
                    (false, true) => true,
                    (true, false) => was_open,
                    _ => false,
                }
        })
    }
}

/// Whether the rules ask for a count.
pub fn counts(rules: &Rules, (window, dimension): Counter) -> bool {
    rules.aggregation.windows.contains(&window)
        && dimension.is_none_or(|dimension| rules.aggregation.dimensions.contains(&dimension))
}

#[cfg(test)]
mod tests {
    use crds::pipeline::{Aggregation, Duration};

    use super::*;

    const MINUTE: Window = Window::Finite(Duration::from_secs(60));
    const HOUR: Window = Window::Finite(Duration::from_secs(3600));

    /// A book in which revision 2 began to govern when events up to second 1000 were seen and windows up to second 900
    /// were closed.
    fn book(first: (Vec<Window>, Vec<Dimension>), second: (Vec<Window>, Vec<Dimension>)) -> Book {
        let mut book = Book::default();
        for (revision, (windows, dimensions)) in [(1, first), (2, second)] {
            let aggregation = Aggregation { windows, dimensions, ..Aggregation::default() };
            let rules = Rules { aggregation, ..Rules::default() };
            book.learn(revision, &serde_json::to_string(&rules).unwrap(), 0).unwrap();
        }
        book.govern(1, None, None);
        book.govern(2, Some(1000), Some(900));
        book
    }

    fn span(start: i64) -> Span {
        Span { window: MINUTE, start }
    }

    const ALL: Span = Span { window: Window::All, start: 0 };

    #[test]
    fn what_begins_is_partial_up_to_what_was_seen() {
        use Dimension::{DeviceType, Locale};
        let all = || vec![MINUTE, Window::All];
        let mut book = book((all(), vec![Locale]), (all(), vec![Locale, DeviceType]));
        let partial = |book: &Book, span| book.is_partial(span, Some(DeviceType));
        assert!(partial(&book, span(960)) && partial(&book, ALL));
        assert!(!partial(&book, span(1020)));
        assert!(!book.is_partial(span(960), Some(Locale)) && !book.is_partial(span(960), None));
        // A replica that still runs revision 1 processes an event of second 1050.
        assert!(book.lags(1, 1050) && !book.lags(2, 1050));
        book.catch_up(1, 1050);
        assert!(partial(&book, span(1020)) && !partial(&book, span(1080)));
        assert!(!book.lags(1, 1050));
    }

    #[test]
    fn what_ends_is_partial_where_it_was_open() {
        let book = book((vec![MINUTE, HOUR], vec![]), (vec![HOUR], vec![]));
        assert!(!book.is_partial(span(840), None), "closed before");
        assert!(book.is_partial(span(900), None));
        assert!(!book.is_partial(Span { window: HOUR, start: 0 }, None));
    }

    #[test]
    fn disabling_unique_users_does_not_make_closed_windows_partial() {
        let rules = |unique_users| {
            let aggregation = Aggregation { windows: vec![MINUTE], unique_users, ..Aggregation::default() };
            serde_json::to_string(&Rules { aggregation, ..Rules::default() }).unwrap()
        };

        for (before, cuts_closed) in [(true, false), (false, true)] {
            let mut book = Book::default();
            book.learn(1, &rules(before), 0).unwrap();
            book.learn(2, &rules(!before), 0).unwrap();
            book.govern(1, None, None);
            book.govern(2, Some(1000), Some(900));
            assert_eq!(book.is_partial(span(840), None), cuts_closed);
            assert!(book.is_partial(span(960), None));
            assert!(!book.is_partial(span(1020), None), "no event was seen before");
        }
    }

    #[test]
    fn a_revision_has_one_set_of_rules() {
        let mut book = book((vec![MINUTE], vec![]), (vec![MINUTE], vec![]));
        let other = serde_json::to_string(&Rules::default()).unwrap();
        assert_eq!(book.learn(2, &other, 7), Err(Halt::RulesDiffer { delta: 7, revision: 2 }));
        assert!(matches!(book.learn(3, "{}", 7), Err(Halt::Rules { revision: 3, .. })));
        book.learn(3, &other, 8).unwrap();
        let texts = book.texts();
        assert_eq!(texts.len(), 3, "also of one that never governed: its deltas may still come");
        let restored = Book::restore(texts, book.changes().to_vec()).unwrap();
        assert_eq!(restored.governing(), Some(2));
        assert_eq!(restored.current(), book.current());
    }
}
