//! Waits for a condition by polling, never by sleeping for a guessed time.

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(20);

/// Polls `probe` every 20 ms until it returns a value, and returns that.
///
/// # Panics
/// When `bound` has passed, with a message that names `what`: a test cannot continue then.
#[expect(clippy::panic, reason = "an assertion of tests")]
pub fn wait_for<T>(what: &str, bound: Duration, probe: impl FnMut() -> Option<T>) -> T {
    poll(bound, probe).unwrap_or_else(|| panic!("{what} did not happen within {bound:?}"))
}

/// Like [`wait_for`], with a `probe` that is a future.
///
/// # Panics
/// When `bound` has passed, with a message that names `what`.
#[expect(clippy::panic, reason = "an assertion of tests")]
pub async fn wait_for_async<T, F: Future<Output = Option<T>>>(
    what: &str,
    bound: Duration,
    mut probe: impl FnMut() -> F,
) -> T {
    let asked = async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(STEP).await;
        }
    };
    match tokio::time::timeout(bound, asked).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {bound:?}"),
    }
}

/// Polls `probe` until it returns a value or `bound` has passed; it runs at least once.
pub(crate) fn poll<T>(bound: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if start.elapsed() >= bound {
            return None;
        }
        thread::sleep(STEP);
    }
}
