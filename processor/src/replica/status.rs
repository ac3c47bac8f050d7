//! The status of a thread: whether its loop runs, and what the thread waits for.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a turn of the loop may take before the thread counts as dead: longer than every wait in it.
const TURN_BOUND: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct ThreadStatus {
    /// The thread's name in logs and reports.
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
    /// The status of a thread that has not done anything yet.
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

    /// Records that the loop has begun a turn.
    pub fn beat(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_turn_ms.store(elapsed, Ordering::Relaxed);
    }

    /// Records that the group has given the thread an assignment.
    pub fn joined(&self) {
        self.joined.store(true, Ordering::Relaxed);
    }

    /// Records whether Kafka answers.
    pub fn kafka_is(&self, up: bool) {
        self.kafka.store(up, Ordering::Relaxed);
    }

    /// Sets which partitions are active, and which wait for their position; both ascending.
    pub fn assignment(&self, active: Vec<i32>, waiting: Vec<i32>) {
        let mut detail = self.detail.lock().unwrap_or_else(PoisonError::into_inner);
        (detail.active, detail.waiting) = (active, waiting);
        if detail.waiting.is_empty() {
            detail.problem.clear();
        }
    }

    /// Sets why the thread cannot do its work, whatever the group's state; `None` once it can.
    pub fn blocked(&self, why: Option<&str>) {
        self.detail.lock().unwrap_or_else(PoisonError::into_inner).blocked = why.map(str::to_owned);
    }

    /// Sets why partitions are waiting.
    pub fn problem(&self, problem: &str) {
        problem.clone_into(&mut self.detail.lock().unwrap_or_else(PoisonError::into_inner).problem);
    }

    /// The active partitions, ascending.
    #[must_use]
    pub fn partitions(&self) -> Vec<i32> {
        self.detail.lock().unwrap_or_else(PoisonError::into_inner).active.clone()
    }

    /// Returns why the thread is not ready; `None` if it is ready. A thread is ready when it has joined the group,
    /// Kafka answers, and all of its assigned partitions, possibly none, are active.
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

    /// Whether the loop runs. Kafka's state does not matter.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let last = Duration::from_millis(self.last_turn_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last) < TURN_BOUND
    }
}
