//! Messages on stderr during a run: sentences, and a progress line, which is updated in place on a terminal and printed
//! every few seconds elsewhere.

use std::{
    fmt::Display,
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

use cli::progress::{NO_LINE, in_place};

/// Progress of a run.
#[derive(Clone, Copy, Debug)]
pub struct Far {
    /// Events that were sent.
    pub sent: u64,
    /// Number of events to send, if it is limited.
    pub total: Option<u64>,
    /// Events whose outcome is known.
    pub audited: u64,
    /// Desired replicas.
    pub replicas: usize,
}

/// Prints sentences, and the progress line at intervals.
#[derive(Debug)]
pub struct Progress {
    in_place: bool,
    next: Instant,
    /// Number of audited events at the last line, and its time: for the rate since then.
    last: (u64, Instant),
}

impl Progress {
    /// Starts without a progress line.
    #[must_use]
    pub fn new() -> Self {
        let (in_place, now) = (stderr().is_terminal(), Instant::now());
        Self { in_place, next: now + interval(in_place), last: (0, now) }
    }

    /// Updates the progress line, when it is due.
    pub fn show(&mut self, far: &Far) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        let Far { sent, total, audited, replicas } = *far;
        let (before, since) = std::mem::replace(&mut self.last, (audited, now));
        let seconds = now.duration_since(since).as_secs_f64();
        let rate = if seconds > 0.0 { audited.saturating_sub(before) as f64 / seconds } else { 0.0 };
        let of = total.map_or_else(String::new, |total| format!(" of {total}"));
        self.line(&format!("{sent}{of} events sent, {audited} audited, {rate:.0}/s, replicas: {replicas}"));
    }

    /// Shows what the run waits for, when the line is due.
    pub fn wait(&mut self, what: &impl Display) {
        if Instant::now() >= self.next {
            self.line(&format!("waiting: {what}"));
        }
    }

    fn line(&mut self, line: &str) {
        let line = if self.in_place { in_place(line) } else { format!("{line}\n") };
        write(&line);
        self.next = Instant::now() + interval(self.in_place);
    }

    /// Prints a sentence above the progress line.
    pub fn say(&mut self, text: &impl Display) {
        self.clear();
        write(&format!("{text}\n"));
        if self.in_place {
            self.next = Instant::now();
        }
    }

    /// Removes the progress line.
    pub fn clear(&self) {
        if self.in_place {
            write(NO_LINE);
        }
    }
}

/// Ignores errors: the run continues when stderr is closed.
fn write(text: &str) {
    let _ = stderr().write_all(text.as_bytes());
}

const fn interval(in_place: bool) -> Duration {
    if in_place { Duration::from_millis(250) } else { Duration::from_secs(3) }
}
