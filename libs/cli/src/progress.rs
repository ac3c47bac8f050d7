//! Progress of long work, on stderr: in place on a terminal, as lines elsewhere. Work of less than two seconds shows
//! nothing.

use std::{
    io::{IsTerminal, Write, stderr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

#[derive(Clone, Copy, Debug)]
struct Pace {
    in_place: bool,
    first: Duration,
    then: Duration,
}

const TERMINAL: Pace = Pace { in_place: true, first: Duration::from_millis(500), then: Duration::from_millis(250) };

const LINES: Pace = Pace { in_place: false, first: Duration::from_secs(2), then: Duration::from_secs(4) };

/// Clears the line in place.
pub const NO_LINE: &str = "\r\x1b[K";

/// A line that replaces the previous one. It is cut to the width of the terminal: a wrapped line would stay.
#[must_use]
pub fn in_place(line: &str) -> String {
    format!("{NO_LINE}\x1b[?7l{line}\x1b[?7h")
}

/// A progress line, written by a thread of its own, so that stalled work also shows. Dropping this value removes it.
#[derive(Debug)]
pub struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// Shows this line from time to time. If the system refuses a thread, nothing is shown.
    pub fn start(line: impl FnMut() -> String + Send + 'static) -> Self {
        let pace = if stderr().is_terminal() { TERMINAL } else { LINES };
        Self::on(stderr(), pace, line)
    }

    /// Shows how long something has been awaited.
    #[must_use]
    pub fn waiting(what: impl Into<String>) -> Self {
        let (what, started) = (what.into(), Instant::now());
        Self::start(move || format!("{what}: {} s", started.elapsed().as_secs()))
    }

    fn on(mut out: impl Write + Send + 'static, pace: Pace, mut line: impl FnMut() -> String + Send + 'static) -> Self {
        let (ended, end) = channel();
        let show = move || {
            let mut wait = pace.first;
            // A closed stderr is not an error.
            while end.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = pace.then;
                let line = line();
                let _ = if pace.in_place { out.write_all(in_place(&line).as_bytes()) } else { writeln!(out, "{line}") };
                let _ = out.flush();
            }
            if pace.in_place {
                let _ = out.write_all(NO_LINE.as_bytes());
            }
        };
        Self(thread::Builder::new().name("progress".to_owned()).spawn(show).ok().map(|thread| (ended, thread)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((ended, thread)) = self.0.take() {
            drop(ended);
            // The line is cleared before anything else is written.
            let _ = thread.join();
        }
    }
}

/// A progress with a count.
#[derive(Debug)]
pub struct Count {
    done: Arc<AtomicU64>,
    _progress: Progress,
}

impl Count {
    /// Starts at 0 of `total`, if that is known. It reads `sending: 1200 of 5000 events, 400/s, 9 s left`.
    #[must_use]
    pub fn start(doing: impl Into<String>, unit: &'static str, total: Option<u64>) -> Self {
        let (doing, done, started) = (doing.into(), Arc::new(AtomicU64::new(0)), Instant::now());
        let counted = Arc::clone(&done);
        let mut last = (0, started);
        let line = move || {
            let (now, done) = (Instant::now(), counted.load(Relaxed));
            let (before, since) = std::mem::replace(&mut last, (done, now));
            let rate = done.saturating_sub(before) as f64 / now.duration_since(since).as_secs_f64().max(f64::EPSILON);
            said(&doing, unit, (done, total), rate, now.duration_since(started))
        };
        Self { done, _progress: Progress::start(line) }
    }

    /// Adds to the number done.
    pub fn add(&self, more: u64) {
        self.done.fetch_add(more, Relaxed);
    }

    /// Sets the total number done.
    pub fn set(&self, done: u64) {
        self.done.store(done, Relaxed);
    }
}

fn said(doing: &str, unit: &str, (done, total): (u64, Option<u64>), rate: f64, elapsed: Duration) -> String {
    let of = total.map_or_else(String::new, |total| format!(" of {total}"));
    let counted = format!("{doing}: {done}{of} {unit}");
    if rate < 1.0 {
        return format!("{counted} after {} s", elapsed.as_secs());
    }
    match total.map(|total| total.saturating_sub(done)) {
        Some(left) => format!("{counted}, {rate:.0}/s, {:.0} s left", (left as f64 / rate).ceil()),
        None => format!("{counted}, {rate:.0}/s"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Mutex, PoisonError},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const SHORT: Duration = Duration::from_millis(1);

    fn shown(pace: Pace, lines: usize) -> String {
        let sink = Sink::default();
        let (shown, seen) = channel();
        let progress = Progress::on(sink.clone(), pace, move || {
            let _ = shown.send(());
            "half".to_owned()
        });
        (0..lines).for_each(|_| seen.recv().unwrap());
        drop(progress);
        sink.text()
    }

    #[test]
    fn a_line_is_written_anew_in_place_and_taken_away() {
        let text = shown(Pace { in_place: true, first: SHORT, then: SHORT }, 2);
        assert!(text.starts_with(&"\r\x1b[K\x1b[?7lhalf\x1b[?7h".repeat(2)) && text.ends_with("\r\x1b[K"), "{text:?}");
        assert!(!text.contains('\n'), "{text:?}");
    }

    #[test]
    fn elsewhere_lines_follow_each_other() {
        let text = shown(Pace { in_place: false, first: SHORT, then: SHORT }, 2);
        assert!(text.starts_with("half\nhalf\n") && !text.contains(['\r', '\x1b']), "{text:?}");
    }

    #[test]
    fn what_is_done_at_once_shows_nothing() {
        assert_eq!(shown(Pace { in_place: false, first: Duration::from_secs(60), then: SHORT }, 0), "");
    }

    #[test]
    fn a_count_says_how_long_it_will_take() {
        let after = Duration::from_secs(3);
        let said = |count, rate| said("sending", "events", count, rate, after);
        assert_eq!(said((1200, Some(5000)), 400.0), "sending: 1200 of 5000 events, 400/s, 10 s left");
        assert_eq!(said((1200, None), 400.0), "sending: 1200 events, 400/s");
        assert_eq!(said((0, Some(5000)), 0.0), "sending: 0 of 5000 events after 3 s");
    }
}
