//! A replica as the child of another process, which `processor local` is: what it tells on stdout, and what it is told on stdin.
//!
//! It tells how it is whenever that changes, one JSON value a line. A line [`DRAIN`] on stdin stops stage 1 alone, so that
//! stage 2 can still count what was processed; the end of stdin, however the parent ended, stops the replica.

use std::{
    future,
    io::{self, BufRead, Write},
    net::SocketAddr,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::stop::Stop;

/// What a parent writes to stop stage 1.
pub const DRAIN: &str = "drain";

/// How often it is looked at how the replica is.
const LOOK: Duration = Duration::from_millis(20);

/// What a replica tells its parent.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// Where its HTTP server listens; told once, first.
    Listening(SocketAddr),
    /// Every thread is ready; that many partitions of the source are taken up.
    Ready(u64),
    /// A thread is not, and why.
    NotReady(String),
    /// Stage 1 has ended.
    Drained,
}

/// Serves the parent until it is gone, telling it what `told` says; for ever where there is none to serve. `drain` stops
/// stage 1.
pub async fn serve(is_supervised: bool, address: SocketAddr, told: impl Fn() -> Told, drain: Stop) {
    if !is_supervised {
        return future::pending().await;
    }
    // A parent that ends lets a replica go on that it had stopped: one that stands still would not see the end of stdin.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::CONT)) {
        tracing::warn!("the end of the parent will go unnoticed while this process is stopped: {error}");
    }
    let (sender, mut gone) = oneshot::channel::<()>();
    let listen = move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if line == DRAIN {
                drain.set();
            }
        }
        drop(sender);
    };
    if let Err(error) = thread::Builder::new().name("parent".to_owned()).spawn(listen) {
        tracing::warn!("the parent is not listened to: {error}");
        return;
    }
    let mut last = Told::Listening(address);
    tell(&last);
    // An error is the end that is waited for: nothing is ever sent.
    while gone.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        let now = told();
        if now != last {
            tell(&now);
            last = now;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A parent that does not read any more is about to end.
fn tell(told: &Told) {
    if let Ok(line) = serde_json::to_string(told) {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
