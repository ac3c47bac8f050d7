//! Shows what would become of consecutive events of a partition. Pure: it runs the state machine of a replica's thread,
//! which decides as it does there.

use std::fmt;

use crds::{
    job::JobConfig,
    records::{dead_letter::Reason, delta::DeltaError},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use stages::ingest::{
    machine::{self, Ingest, SourceRecord, Tally},
    start::Start,
};

/// The partition of all events.
const PARTITION: i32 = 0;

/// What becomes of an event.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It is republished, and counted in its windows.
    Processed,
    /// It is processed, but lags its partition's watermark.
    Late,
    /// It is republished, but is too late for every finite window.
    Unmerged,
    /// It goes to the dead letters.
    DeadLetter,
}

impl Fate {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Late => "late",
            Self::Unmerged => "unmerged",
            Self::DeadLetter => "dead-letter",
        }
    }
}

/// What becomes of an event, and why.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Number of the input line, from 1.
    pub line: u64,
    pub outcome: Fate,
    /// The reason of a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Event time of a valid event, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_time: Option<String>,
    /// An explanation, where one is needed. It holds no personal data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6}  {:<11}", self.line, self.outcome.as_str())?;
        if let Some(reason) = self.reason {
            write!(f, "  {}", reason.as_str())?;
        }
        if let Some(time) = &self.login_time {
            write!(f, "  {time}")?;
        }
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

/// How often each outcome occurred.
#[derive(Serialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All lines.
    pub lines: u64,
    /// Valid events, including late ones.
    pub processed: u64,
    /// Late events among these.
    pub late: u64,
    /// Events among these that are too late for every finite window.
    pub unmerged: u64,
    /// Dead letters, indexed by `Reason as usize`.
    #[serde(serialize_with = "by_reason")]
    pub dead_letters: [u64; Reason::ALL.len()],
}

impl Totals {
    /// Total number of dead letters.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.dead_letters.iter().sum()
    }

    fn add(&mut self, tally: &Tally) {
        self.lines += 1;
        self.processed += tally.output;
        self.late += tally.late;
        self.unmerged += tally.unmerged;
        self.dead_letters.iter_mut().zip(tally.dead_letters).for_each(|(sum, more)| *sum += more);
    }
}

fn by_reason<S: Serializer>(counts: &[u64; Reason::ALL.len()], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(counts.len()))?;
    for reason in Reason::ALL {
        map.serialize_entry(reason.as_str(), &counts[reason as usize])?;
    }
    map.end()
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16}{:>10}", "lines", self.lines)?;
        writeln!(f, "{:<16}{:>10}", "processed", self.processed)?;
        writeln!(f, "  {:<14}{:>10}", "late", self.late)?;
        writeln!(f, "  {:<14}{:>10}", "unmerged", self.unmerged)?;
        write!(f, "{:<16}{:>10}", "dead letters", self.rejected())?;
        let found = Reason::ALL.iter().filter(|reason| self.dead_letters[**reason as usize] > 0);
        for reason in found {
            write!(f, "\n  {:<14}{:>10}", reason.as_str(), self.dead_letters[*reason as usize])?;
        }
        Ok(())
    }
}

/// Judges consecutive events of one partition, from its beginning.
#[derive(Debug)]
pub struct Trial {
    ingest: Ingest,
    /// Bytes of each record's key and headers.
    fixed_bytes: usize,
    arena: Vec<u8>,
    counts: Totals,
}

impl Trial {
    /// Starts with no event. `output_limit` is the largest record that the output topic takes, and `fixed_bytes` the
    /// size of each record's key and headers, both in bytes.
    #[must_use]
    pub fn new(job: &JobConfig, output_limit: usize, fixed_bytes: usize) -> Self {
        let mut ingest = Ingest::new(job, String::new(), 1, output_limit);
        ingest.own(PARTITION, Start::default());
        Self { ingest, fixed_bytes, arena: Vec::new(), counts: Totals::default() }
    }

    /// How often each outcome occurred.
    #[must_use]
    pub const fn counts(&self) -> &Totals {
        &self.counts
    }

    /// Judges the next event: a record with this value and Kafka timestamp, in Unix milliseconds.
    ///
    /// # Errors
    /// When its counts cannot be encoded, which cannot happen for values in memory.
    pub fn next(&mut self, value: &[u8], timestamp_ms: i64) -> Result<Outcome, DeltaError> {
        let line = self.counts.lines + 1;
        let watermark = self.watermark();
        let offset = i64::try_from(self.counts.lines).unwrap_or(i64::MAX);
        let fixed_bytes = self.fixed_bytes;
        let record = SourceRecord { partition: PARTITION, offset, timestamp_ms, fixed_bytes, value: Some(value) };
        self.arena.clear();
        let fate = self.ingest.record(&record, &mut self.arena);
        let tally = self.ingest.take_tally();
        self.counts.add(&tally);
        if self.ingest.is_full() {
            // Like the end of a transaction. The counts themselves are not needed here.
            let sealed = self.ingest.seal()?;
            self.ingest.committed(sealed);
        }
        Ok(match fate {
            machine::Fate::DeadLetter(rejection) => Outcome {
                line,
                outcome: Fate::DeadLetter,
                reason: Some(rejection.reason),
                login_time: None,
                detail: Some(rejection.detail),
            },
            // `Passed` does not occur: the partition is owned, and the offset is the next one.
            machine::Fate::Output(_) | machine::Fate::Skipped => self.republished(line, &tally, watermark),
        })
    }

    fn watermark(&self) -> Option<i64> {
        self.ingest.watermarks().next().map(|(_, watermark)| watermark)
    }

    fn republished(&self, line: u64, tally: &Tally, watermark: Option<i64>) -> Outcome {
        #[derive(Deserialize)]
        struct Enriched {
            login_time: String,
        }
        let login_time = serde_json::from_slice(&self.arena).ok().map(|Enriched { login_time }| login_time);
        let outcome = match tally {
            Tally { unmerged: 1.., .. } => Fate::Unmerged,
            Tally { late: 1.., .. } => Fate::Late,
            _ => Fate::Processed,
        };
        let time = login_time.as_deref().and_then(|text| text.parse::<Timestamp>().ok()).map(Timestamp::as_second);
        let behind = time.zip(watermark).map(|(time, watermark)| watermark - time);
        let detail = behind.filter(|_| outcome != Fate::Processed).map(|seconds| {
            let counted = match outcome {
                Fate::Unmerged => "by more than aggregation.retention: counted in the window all alone",
                _ => "counted all the same; a window that is closed gets a new revision",
            };
            format!("{seconds} s behind the watermark, {counted}")
        });
        Outcome { line, outcome, reason: None, login_time, detail }
    }
}

#[cfg(test)]
mod tests {
    use crds::{pipeline::LoginPipelineSpec, topics::PipelineId};
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_720_576_825;

    fn trial(limit: usize, fixed_bytes: usize) -> Trial {
        let spec: LoginPipelineSpec =
            serde_json::from_value(json!({"kafka": {"external": {"bootstrapServers": "localhost:9092"}}})).unwrap();
        let id = PipelineId { namespace: "tests".to_owned(), name: "validate".to_owned() };
        Trial::new(&JobConfig::new(id, &spec, 1, String::new()), limit, fixed_bytes)
    }

    fn event(time: i64) -> String {
        format!(r#"{{"user_id":"u","device_type":"iOS","locale":"RI","timestamp":{time}}}"#)
    }

    fn said(trial: &mut Trial, value: &str) -> String {
        trial.next(value.as_bytes(), NOW * 1000).unwrap().to_string()
    }

    #[test]
    fn each_line_says_what_becomes_of_it_and_why() {
        let mut trial = trial(10_000, 0);
        let mut said = |value: &str| said(&mut trial, value);

        assert_eq!(said(&event(NOW)), "     1  processed    2024-07-10T02:00:25Z");
        // The watermark lags the newest event by 30 s.
        assert_eq!(said(&event(NOW - 30)), "     2  processed    2024-07-10T01:59:55Z");
        let late = "     3  late         2024-07-10T01:59:54Z: 1 s behind the watermark, counted all the same; a window that is closed gets a new revision";
        assert_eq!(said(&event(NOW - 31)), late);
        let unmerged = said(&event(NOW - 100 * 86_400));
        assert!(unmerged.contains("unmerged") && unmerged.contains("aggregation.retention"), "{unmerged}");
        let empty = said("");
        assert!(empty.starts_with("     5  dead-letter  malformed: "), "{empty}");
        assert_eq!(said("{}"), "     6  dead-letter  missing-field: user_id is missing");
        assert!(said(&event(NOW + 86_400)).starts_with("     7  dead-letter  future: timestamp lies too far"));

        let counts = trial.counts();
        assert_eq!(counts.lines, 7);
        assert_eq!(counts.processed, 4);
        assert_eq!(counts.late, 2);
        assert_eq!(counts.unmerged, 1);
        assert_eq!(counts.rejected(), 3);
    }

    #[test]
    fn the_output_s_limit_counts() {
        let fits = |limit, fixed_bytes| !said(&mut trial(limit, fixed_bytes), &event(NOW)).contains("dead-letter");
        let large = said(&mut trial(200, 0), &event(NOW));
        assert!(large.contains("dead-letter  too-large: enriched, the record has"), "{large}");
        let least = (200..1000).find(|limit| fits(*limit, 0)).unwrap();
        assert!(fits(least + 100, 100) && !fits(least + 100, 101), "key and headers count byte by byte");
    }

    #[test]
    fn programs_read_the_same() {
        let mut trial = trial(10_000, 0);
        let outcome = trial.next(b"{", 0).unwrap();
        let json = serde_json::to_value(outcome).unwrap();
        assert_eq!(json["line"], 1);
        assert_eq!(json["outcome"], "dead-letter");
        assert_eq!(json["reason"], "malformed");
        assert_eq!(serde_json::to_value(trial.counts()).unwrap()["dead_letters"]["malformed"], 1);
    }

    /// Counts are dropped from time to time, when a replica would commit them.
    #[test]
    fn memory_is_bounded() {
        let mut trial = trial(10_000, 0);
        for number in 0..60_000 {
            let value = format!(r#"{{"user_id":"u","device_type":"d{number}","locale":"RI","timestamp":{NOW}}}"#);
            trial.next(value.as_bytes(), NOW * 1000).unwrap();
            assert!(!trial.ingest.is_full());
        }
    }
}
