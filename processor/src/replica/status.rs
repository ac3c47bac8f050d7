//! How a thread is: whether its loop turns, and what it waits for.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a loop may not turn before it counts as dead: longer than every wait in it.
const TURN_BOUND: Duration = Duration::from_secs(60);

/// How one thread is.
#[derive(Debug)]
pub struct ThreadStatus {
    /// Its name in what is told about it.
    pub name: String,
    started: Instant,
    last_turn_ms: AtomicU64,
    joined: AtomicBool,
    kafka: AtomicBool,
    detail: Mutex<Detail>,
}

#[derive(Debug, Default)]
struct Detail {
    active: Vec<i32>,
    waiting: Vec<i32>,
    blocked: Option<String>,
    problem: String,
}

impl ThreadStatus {
    /// A thread that has done nothing yet.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self {
            name,
            started: Instant::now(),
            last_turn_ms: AtomicU64::new(0),
            joined: AtomicBool::new(false),
            kafka: AtomicBool::new(false),
            detail: Mutex::default(),
        }
    }

    /// The loop turns.
    pub fn beat(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_turn_ms.store(elapsed, Ordering::Relaxed);
    }

    /// The group has given the thread an assignment.
    pub fn joined(&self) {
        self.joined.store(true, Ordering::Relaxed);
    }

    /// Whether Kafka answers.
    pub fn kafka_is(&self, up: bool) {
        self.kafka.store(up, Ordering::Relaxed);
    }

    /// Which partitions are active, and which wait for their position; both ascending.
    pub fn assignment(&self, active: Vec<i32>, waiting: Vec<i32>) {
        let mut detail = self.detail.lock().unwrap_or_else(PoisonError::into_inner);
        (detail.active, detail.waiting) = (active, waiting);
        if detail.waiting.is_empty() {
            detail.problem.clear();
        }
    }

    /// What the thread does instead of its work, whatever the group says; none once it can do that.
    pub fn blocked(&self, why: Option<&str>) {
        self.detail.lock().unwrap_or_else(PoisonError::into_inner).blocked = why.map(str::to_owned);
    }

    /// What keeps partitions waiting.
    pub fn problem(&self, problem: &str) {
        problem.clone_into(&mut self.detail.lock().unwrap_or_else(PoisonError::into_inner).problem);
    }

    /// The partitions that are active, ascending.
    #[must_use]
    pub fn partitions(&self) -> Vec<i32> {
        self.detail.lock().unwrap_or_else(PoisonError::into_inner).active.clone()
    }

    /// Why the thread is not ready; none when it is: it joined the group, Kafka answers, and whatever it was assigned,
    /// possibly nothing, is taken up.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        let detail = self.detail.lock().unwrap_or_else(PoisonError::into_inner);
        let problem = if detail.problem.is_empty() { String::new() } else { format!(": {}", detail.problem) };
        if let Some(blocked) = &detail.blocked {
            return Some(format!("{blocked}{problem}"));
        }
        if !self.joined.load(Ordering::Relaxed) {
            return Some(format!("has not joined the consumer group yet{problem}"));
        }
        if !self.kafka.load(Ordering::Relaxed) {
            return Some(format!("Kafka does not answer{problem}"));
        }
        (!detail.waiting.is_empty()).then(|| format!("partitions {:?} are not taken up yet{problem}", detail.waiting))
    }

    /// Whether the loop turns. Kafka's state plays no part.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let last = Duration::from_millis(self.last_turn_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last) < TURN_BOUND
    }
}
