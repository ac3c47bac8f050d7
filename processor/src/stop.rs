//! The signal to stop, shared by all threads.

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

/// Is set by SIGINT or SIGTERM, which from now on no longer end the process; a second one does `again`.
///
/// # Errors
/// The operating system refuses a handler or a thread.
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
