//! The signal to stop, shared by all threads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long draining a thread may take: the transaction in progress, and the group's answer. After that the thread ends
/// without committing, and its successor takes up from what is committed.
pub const DRAIN_BOUND: Duration = Duration::from_secs(8);

/// Set once, seen by all.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Tells every holder to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is time to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
