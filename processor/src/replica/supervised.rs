//! A replica as the child of another process, such as `processor local`: what it reports on stdout, and what it reads
//! from stdin.
//!
//! The replica reports its state whenever the state changes, as one JSON value per line. The line [`DRAIN`] on stdin
//! stops stage 1 only, so that stage 2 can still count the processed events. The end of stdin, for whatever reason,
//! stops the replica.

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

/// The line that a parent writes to stop stage 1.
pub const DRAIN: &str = "drain";

/// How often the replica's state is checked.
const LOOK: Duration = Duration::from_millis(20);

/// A report of a replica to its parent.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// The address of its HTTP server; sent once, as the first report.
    Listening(SocketAddr),
    /// Every thread is ready; the number of active partitions.
    Ready(u64),
    /// A thread is not ready, with the reason.
    NotReady(String),
    /// Stage 1 has ended.
    Drained,
}

/// Serves the parent until it is gone, and reports what `report` returns. Never returns if there is no parent to serve.
/// The parent's [`DRAIN`] sets `drain`.
pub async fn serve(is_supervised: bool, address: SocketAddr, report: impl Fn() -> Report, drain: Stop) {
    if !is_supervised {
        return future::pending().await;
    }
    // If the parent ends while this replica is stopped (SIGSTOP), SIGCONT lets the replica continue: a stopped process
    // would not see the end of stdin.
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
    let mut last = Report::Listening(address);
    send(&last);
    // Nothing is ever sent on the channel; any error other than `Empty` means that the parent is gone.
    while gone.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        let now = report();
        if now != last {
            send(&now);
            last = now;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Ignores write errors: a parent that no longer reads is about to end.
fn send(report: &Report) {
    if let Ok(line) = serde_json::to_string(report) {
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
