//! A line that says how far it is: in place on a terminal, every few seconds elsewhere.

use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

/// Shows a line on stderr, not too often.
#[derive(Debug)]
pub struct Progress {
    in_place: bool,
    next: Instant,
    /// What was audited, and when, at the last line: for the rate since then.
    last: (u64, Instant),
}

impl Progress {
    /// A line that has not been shown yet.
    #[must_use]
    pub fn new() -> Self {
        let (in_place, now) = (stderr().is_terminal(), Instant::now());
        Self { in_place, next: now + interval(in_place), last: (0, now) }
    }

    /// Shows the line, if it is time to. `total` is how many events there will be, if that is known.
    pub fn show(&mut self, sent: u64, audited: u64, total: Option<u64>) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        let (before, since) = std::mem::replace(&mut self.last, (audited, now));
        let seconds = now.duration_since(since).as_secs_f64();
        let rate = if seconds > 0.0 { audited.saturating_sub(before) as f64 / seconds } else { 0.0 };
        let of = total.map_or_else(String::new, |total| format!(" of {total}"));
        let line = format!("{sent}{of} events sent, {audited} audited, {rate:.0}/s");
        if self.in_place {
            eprint!("\r{line}\x1b[K");
        } else {
            eprintln!("{line}");
        }
        self.next = now + interval(self.in_place);
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if self.in_place {
            eprint!("\r\x1b[K");
        }
    }
}

const fn interval(in_place: bool) -> Duration {
    if in_place { Duration::from_millis(250) } else { Duration::from_secs(3) }
}
