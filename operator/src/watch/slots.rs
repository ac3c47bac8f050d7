//! How many passes go on at once.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::interval,
};

/// Passes that go on at once over pipelines whose last pass did not fail.
const SLOTS: usize = 32;

/// Passes that go on at once over pipelines whose last pass failed. Each may wait for a Kafka that does not answer; with
/// slots of their own they take none from the others, however many they are.
const SLOTS_OF_FAILING: usize = 16;

/// Threads on which passes may wait for Kafka: one for each pass, and some for passes that were given up and for resolving
/// names.
pub const BLOCKING_THREADS: usize = SLOTS + SLOTS_OF_FAILING + 16;

/// How often a pass that waits for a slot of the failing looks whether its pipeline was mended.
const LOOK: Duration = Duration::from_secs(1);

/// The slots of passes. A slot is free again when its permit is dropped.
pub(crate) struct Slots {
    healthy: Semaphore,
    failing: Semaphore,
}

impl Default for Slots {
    fn default() -> Self {
        Self { healthy: Semaphore::new(SLOTS), failing: Semaphore::new(SLOTS_OF_FAILING) }
    }
}

impl Slots {
    /// Waits for a slot. A pipeline that is mended while it waits among the failing moves to the others.
    pub(crate) async fn acquire(&self, is_failing: impl Fn() -> bool) -> Option<SemaphorePermit<'_>> {
        let mut of_failing = std::pin::pin!(self.failing.acquire());
        let mut look = interval(LOOK);
        while is_failing() {
            tokio::select! {
                slot = &mut of_failing => return slot.ok(),
                _ = look.tick() => {}
            }
        }
        // The semaphores are never closed.
        self.healthy.acquire().await.ok()
    }
}
