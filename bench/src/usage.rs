//! The resource usage of a process, from the kernel.

use std::{fs, time::Duration};

use crate::error::BenchError;

#[derive(serde::Deserialize)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu_seconds: f64,
    /// Largest resident set.
    pub(crate) peak_kb: u64,
    /// From its start to the end of its work.
    pub(crate) wall_seconds: f64,
}

impl Usage {
    /// Reads the usage of a running process.
    pub(crate) fn of(pid: u32, wall: Duration) -> Result<Self, BenchError> {
        /// `sysconf(_SC_CLK_TCK)` on every Linux that Rust runs on.
        const TICKS_PER_SECOND: f64 = 100.0;
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).map_err(|error| BenchError::File(path.into(), error))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        // The second field is the program's name in parentheses; utime and stime are the 14th and 15th.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak_kb = peak.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or_default();
        Ok(Self { cpu_seconds: ticks / TICKS_PER_SECOND, peak_kb, wall_seconds: wall.as_secs_f64() })
    }

    /// The usage as text, per event.
    pub(crate) fn per(&self, events: u64) -> String {
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let events = events as f64;
        format!(
            "{:.2} µs CPU an event, {:.0} events/s, peak {} MB",
            self.cpu_seconds / events * 1e6,
            events / self.wall_seconds,
            self.peak_kb / 1024
        )
    }
}
