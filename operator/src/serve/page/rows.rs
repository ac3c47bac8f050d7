//! The lines of all pipelines, written once for all viewers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::runtime::reflector::Store;
use serde_json::value::{RawValue, to_raw_value};

use super::list::Row;
use crate::resource::{Guarded, Key, key};

/// How old the lines may be.
const FRESH: Duration = Duration::from_millis(500);

/// The lines, kept and brought up to date when they are asked for.
pub(crate) struct Rows {
    pipelines: Store<Guarded>,
    last: Mutex<Option<(Instant, Arc<Lines>)>>,
}

/// The lines at one time.
#[derive(Default)]
pub(crate) struct Lines(BTreeMap<Key, Line>);

/// A line, and what it was written from.
#[derive(Clone)]
struct Line {
    pipeline: Arc<Guarded>,
    text: Arc<RawValue>,
}

/// What differs between two times.
#[derive(Default)]
pub(crate) struct Changes {
    /// Lines that are new or have changed.
    pub changed: Vec<Arc<RawValue>>,
    /// Pipelines that are gone.
    pub gone: Vec<Key>,
}

impl Changes {
    /// Whether nothing differs.
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }
}

impl Rows {
    /// The lines of these pipelines.
    pub(crate) fn new(pipelines: Store<Guarded>) -> Self {
        Self { pipelines, last: Mutex::default() }
    }

    /// The lines as they are now, or were half a second ago.
    pub(crate) fn current(&self) -> Arc<Lines> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, lines)) = &*last
            && at.elapsed() < FRESH
        {
            return lines.clone();
        }
        let old = last.take().map(|(_, lines)| lines).unwrap_or_default();
        let lines = Arc::new(old.renewed(self.pipelines.state()));
        *last = Some((Instant::now(), lines.clone()));
        lines
    }
}

impl Lines {
    /// The lines of these pipelines, of which only those are written that are not here yet.
    fn renewed(&self, pipelines: Vec<Arc<Guarded>>) -> Self {
        let lines = pipelines.into_iter().filter_map(|pipeline| {
            let key = key(&pipeline);
            let known = self.0.get(&key).filter(|line| Arc::ptr_eq(&line.pipeline, &pipeline)).cloned();
            let line = match known {
                Some(line) => line,
                None => Line { text: to_raw_value(&Row::of(&pipeline)).ok()?.into(), pipeline },
            };
            Some((key, line))
        });
        Self(lines.collect())
    }

    /// The lines, by namespace and name.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &RawValue> {
        self.0.values().map(|line| &*line.text)
    }

    /// What differs from an earlier time.
    pub(crate) fn since(&self, old: &Self) -> Changes {
        let is_same = |key: &Key, line: &Line| {
            old.0.get(key).is_some_and(|old| Arc::ptr_eq(&old.text, &line.text) || old.text.get() == line.text.get())
        };
        let changed = self.0.iter().filter(|(key, line)| !is_same(key, line)).map(|(_, line)| line.text.clone());
        let gone = old.0.keys().filter(|key| !self.0.contains_key(*key)).cloned();
        Changes { changed: changed.collect(), gone: gone.collect() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pipeline(name: &str, version: &str) -> Arc<Guarded> {
        let pipeline = json!({
            "metadata": {"namespace": "a", "name": name, "resourceVersion": version},
            "spec": {"kafka": {"strimzi": {"cluster": "c"}}},
        });
        Arc::new(serde_json::from_value(pipeline).unwrap())
    }

    #[test]
    fn only_what_differs_is_told() {
        let (one, two) = (pipeline("one", "1"), pipeline("two", "1"));
        let first = Lines::default().renewed(vec![one.clone(), two.clone()]);
        assert_eq!(first.since(&Lines::default()).changed.len(), 2);
        // The same, and the same that was listed anew.
        assert!(first.renewed(vec![one.clone(), two]).since(&first).is_empty());
        let again = first.renewed(vec![one.clone(), pipeline("two", "1")]);
        assert!(again.since(&first).is_empty());

        let second = again.renewed(vec![one, pipeline("two", "2"), pipeline("three", "3")]);
        let changes = second.since(&first);
        let names: Vec<_> = changes.changed.iter().map(|line| line.get().contains("\"three\"")).collect();
        assert_eq!(names, [true, false]);
        assert_eq!(changes.gone, []);
        let third = second.renewed(vec![]);
        assert_eq!(third.since(&second).gone.len(), 3);
    }
}
