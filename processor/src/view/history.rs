//! The last hour, one point per second. Pure.

use std::collections::VecDeque;

use serde::Serialize;

use super::types::View;

/// The largest number of points: one hour.
pub const POINTS: usize = 3600;

/// The columns of the last hour. All have the same length, at most [`POINTS`]; consecutive values of `time` are one
/// second apart. A second without a view has no values.
#[derive(Serialize, Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Unix milliseconds, on whole seconds.
    time: VecDeque<i64>,
    processed: Column,
    dead_letters: Column,
    lag: Column,
    commit_p50: Column,
    commit_p99: Column,
    emission_p99: Column,
    transactions: Column,
    aborted: Column,
    rebalances: Column,
}

type Column = VecDeque<Option<f64>>;

impl History {
    /// Adds a view. The last view of a second replaces earlier ones. Seconds without a view since the last point get
    /// points without values. After the clock was set back, the points that are no longer in the past are dropped.
    pub fn push(&mut self, view: &View) {
        let second = view.time.div_euclid(1000) * 1000;
        while self.time.back().is_some_and(|last| *last >= second) {
            self.pop_back();
        }
        if let Some(last) = self.time.back().copied() {
            let first_kept = second - (POINTS as i64) * 1000;
            let mut missing = last.max(first_kept) + 1000;
            while missing < second {
                self.point(missing, [None; COLUMNS]);
                missing += 1000;
            }
        }
        let View { rates, latency, .. } = view;
        self.point(
            second,
            [
                Some(rates.processed),
                Some(rates.dead_letters),
                Some(view.lag as f64),
                latency.commit.p50,
                latency.commit.p99,
                latency.emission.p99,
                Some(rates.transactions),
                Some(rates.aborted),
                Some(rates.rebalances),
            ],
        );
        while self.time.len() > POINTS
            || self.time.front().is_some_and(|first| *first <= second - (POINTS as i64) * 1000)
        {
            self.pop_front();
        }
    }

    fn point(&mut self, time: i64, values: [Option<f64>; COLUMNS]) {
        self.time.push_back(time);
        self.columns().into_iter().zip(values).for_each(|(column, value)| column.push_back(value));
    }

    fn pop_back(&mut self) {
        self.time.pop_back();
        for column in self.columns() {
            column.pop_back();
        }
    }

    fn pop_front(&mut self) {
        self.time.pop_front();
        for column in self.columns() {
            column.pop_front();
        }
    }

    /// The columns, in the order of a point's values.
    fn columns(&mut self) -> [&mut Column; COLUMNS] {
        [
            &mut self.processed,
            &mut self.dead_letters,
            &mut self.lag,
            &mut self.commit_p50,
            &mut self.commit_p99,
            &mut self.emission_p99,
            &mut self.transactions,
            &mut self.aborted,
            &mut self.rebalances,
        ]
    }
}

const COLUMNS: usize = 9;
