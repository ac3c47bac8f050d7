//! The stop signal, shared by all threads.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};

/// How long a thread may take to drain: the transaction in progress, and the group's answer. After that, the thread
/// ends without committing, and its successor resumes at the committed offsets.
pub const DRAIN_BOUND: Duration = Duration::from_secs(8);

/// A flag that is set once and seen by all clones.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Tells every holder to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Returns a flag that SIGINT or SIGTERM sets; the signals no longer end the process. Each further signal calls
/// `again`.
///
/// # Errors
/// When the operating system refuses a handler or a thread.
pub fn on_signals(again: impl Fn() + Send + 'static) -> io::Result<Stop> {
    let stop = Stop::default();
    let set = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = runtime
        .block_on(async { Ok::<_, io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)) })?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            for signals in 1.. {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if signals > 1 {
                    again();
                }
                set.set();
            }
        });
    })?;
    Ok(stop)
}
