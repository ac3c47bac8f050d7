//! How many passes over a pipeline have failed in a row.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::Resource;

use crate::resource::{Guarded, Key, key};

/// The pipelines whose last pass failed.
#[derive(Default)]
pub(super) struct Failures(Mutex<BTreeMap<Key, InARow>>);

/// Failed passes in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct InARow {
    count: u32,
    /// The generation of the spec that they were for. Another spec begins anew.
    generation: Option<i64>,
}

impl Failures {
    /// How many passes over a pipeline have failed in a row.
    pub(super) fn of(&self, pipeline: &Guarded) -> u32 {
        self.lock().get(&key(pipeline)).map_or(0, |failures| failures.count)
    }

    /// Whether the last pass over a pipeline failed, with the spec that `pipeline` has.
    pub(super) fn is_failing(&self, pipeline: &Guarded) -> bool {
        let generation = pipeline.meta().generation;
        self.lock().get(&key(pipeline)).is_some_and(|failures| failures.generation == generation)
    }

    /// Counts a failed pass, and returns how many have failed in a row.
    pub(super) fn add(&self, pipeline: &Guarded) -> u32 {
        let mut all = self.lock();
        let failures = all.entry(key(pipeline)).or_default();
        if failures.generation != pipeline.meta().generation {
            *failures = InARow { count: 0, generation: pipeline.meta().generation };
        }
        failures.count = failures.count.saturating_add(1);
        failures.count
    }

    /// Notes that a pass over a pipeline succeeded.
    pub(super) fn clear(&self, pipeline: &Key) {
        self.lock().remove(pipeline);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, InARow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(generation: i64) -> Guarded {
        let pipeline = serde_json::json!({
            "metadata": {"namespace": "a", "name": "logins", "generation": generation},
            "spec": {"kafka": {"strimzi": {"cluster": "c"}}},
        });
        serde_json::from_value(pipeline).unwrap()
    }

    #[test]
    fn failures_count_in_a_row_and_for_one_spec() {
        let failures = Failures::default();
        let (old, new) = (pipeline(1), pipeline(2));
        assert_eq!([failures.add(&old), failures.add(&old)], [1, 2]);
        assert!(failures.is_failing(&old) && !failures.is_failing(&new), "a corrected spec is not failing");
        assert_eq!(failures.add(&new), 1);
        failures.clear(&key(&new));
        assert_eq!(failures.of(&new), 0);
    }
}
