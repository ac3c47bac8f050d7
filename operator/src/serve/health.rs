//! Whether the operator is alive and ready, as `/healthz` and `/readyz` say.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A loop that has not turned for this long stands still. Each turns once a second, whatever it waits for.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Whether the operator is alive and ready.
pub(crate) struct Health {
    started: Instant,
    /// When the loop turned last, milliseconds after the start.
    turned: AtomicU64,
    is_ready: AtomicBool,
}

impl Default for Health {
    fn default() -> Self {
        Self { started: Instant::now(), turned: AtomicU64::new(0), is_ready: AtomicBool::new(false) }
    }
}

impl Health {
    /// Notes that the loop has turned.
    pub(crate) fn turn(&self) {
        self.turned.store(self.age(), Ordering::Relaxed);
    }

    /// Sets whether it does its work: it stands by, or knows the pipelines.
    pub(crate) fn ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    /// Whether it does what it should.
    #[must_use]
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    fn age(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How long the loop has stood still; none while it turns.
    #[must_use]
    pub(crate) fn standstill(&self) -> Option<Duration> {
        let since = Duration::from_millis(self.age().saturating_sub(self.turned.load(Ordering::Relaxed)));
        (since > STANDSTILL).then_some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_turns_is_alive() {
        let health = Health { started: Instant::now().checked_sub(STANDSTILL * 2).unwrap(), ..Health::default() };
        assert!(health.standstill().is_some_and(|since| since >= STANDSTILL * 2));
        health.turn();
        assert_eq!(health.standstill(), None);
    }
}
