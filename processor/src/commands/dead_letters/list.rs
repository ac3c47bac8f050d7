//! Rows and summaries of dead letters.

use std::{collections::BTreeMap, fmt};

use crds::records::dead_letter::Reason;
use jiff::Timestamp;
use serde::Serialize;

use super::{ledger::Ledger, letter::Letter};

/// A dead letter without any content of its event. As JSON it is one object; its field names are stable.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Partition of the dead letter topic.
    pub partition: i32,
    /// Offset in that partition.
    pub offset: i64,
    /// When it was written, RFC 3339; null when the record has no timestamp.
    pub time: Option<String>,
    /// Why it is a dead letter; null when the pipeline did not write it.
    pub reason: Option<Reason>,
    /// The sentence that explains the reason.
    pub detail: Option<String>,
    /// The source record that became this dead letter, `<topic>/<partition>/<offset>`.
    pub source: Option<String>,
    /// The part of the source record that was cut, if any: `value` or `record`.
    pub truncated: Option<String>,
    /// The dead letter that its event replayed, if it was a replay, `<topic>/<partition>/<offset>`.
    pub replay: Option<String>,
    /// When this dead letter was replayed, RFC 3339; null when it was not.
    pub replayed: Option<String>,
}

impl Row {
    /// A row of a dead letter's headers and its entry in the ledger.
    pub fn new(letter: &Letter, ledger: &Ledger) -> Self {
        let source = letter.source();
        Self {
            partition: letter.place.partition,
            offset: letter.place.offset,
            time: time(letter.timestamp),
            reason: letter.reason(),
            detail: letter.detail().map(str::to_owned),
            source: source.as_ref().map(|identity| identity.place.to_string()),
            truncated: letter.truncated().map(str::to_owned),
            replay: letter.replay().map(|place| place.to_string()),
            replayed: source.and_then(|identity| ledger.replayed(&identity)).and_then(time),
        }
    }
}

/// The heading of the rows.
pub const HEADING: &str =
    "PLACE        TIME                      REASON         REPLAYED                  SOURCE, DETAIL";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let place = format!("{}-{}", self.partition, self.offset);
        let (time, replayed) = (or_dash(&self.time), or_dash(&self.replayed));
        let reason = self.reason.map_or("-", Reason::as_str);
        write!(f, "{place:<11}  {time:<24}  {reason:<13}  {replayed:<24}  {}", or_dash(&self.source))?;
        if let Some(replay) = &self.replay {
            write!(f, " (a replay of {replay})")?;
        }
        if let Some(truncated) = &self.truncated {
            write!(f, " (its {truncated} was cut)")?;
        }
        write!(f, ": {}", or_dash(&self.detail))
    }
}

/// Dead letters by reason. As JSON it is one object; its field names are stable.
#[derive(Serialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// By reason; only reasons that occur.
    pub reasons: BTreeMap<Reason, ReasonCounts>,
    /// Records that the pipeline did not write.
    pub others: u64,
}

/// Number of dead letters.
#[derive(Serialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReasonCounts {
    /// All dead letters.
    pub count: u64,
    /// Those of them that were replayed.
    pub replayed: u64,
}

impl Summary {
    pub fn push(&mut self, row: &Row) {
        let Some(reason) = row.reason else {
            self.others += 1;
            return;
        };
        let counts = self.reasons.entry(reason).or_default();
        counts.count += 1;
        counts.replayed += u64::from(row.replayed.is_some());
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16}{:>14}{:>14}", "REASON", "COUNT", "REPLAYED")?;
        for (reason, ReasonCounts { count, replayed }) in &self.reasons {
            write!(f, "\n{:<16}{count:>14}{replayed:>14}", reason.as_str())?;
        }
        if self.others > 0 {
            write!(f, "\n{:<16}{:>14}", "not known", self.others)?;
        }
        Ok(())
    }
}

/// Formats Unix milliseconds as RFC 3339 in UTC; `None` for a negative time, which stands for no timestamp.
pub fn time(millis: i64) -> Option<String> {
    (millis >= 0).then(|| Timestamp::from_millisecond(millis).ok())?.map(|time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::letter::tests::{HEADERS, letter},
        *,
    };

    #[test]
    fn a_row_says_all_but_the_event() {
        let (letter, mut ledger) = (letter(&HEADERS), Ledger::default());
        let row = Row::new(&letter, &ledger);
        assert_eq!(
            row.to_string(),
            "3-17         2024-07-10T02:00:26.000Z  future         -                         user-login/3/4711: timestamp is too far ahead"
        );

        ledger.note(letter.source().unwrap(), 1_720_580_000_456);
        let replayed = Row::new(&letter, &ledger);
        assert_eq!(replayed.replayed.as_deref(), Some("2024-07-10T02:53:20.456Z"));

        let mut summary = Summary::default();
        summary.push(&row);
        summary.push(&replayed);
        summary.push(&Row { reason: None, ..row });
        assert_eq!(summary.reasons[&Reason::Future], ReasonCounts { count: 2, replayed: 1 });
        assert_eq!(summary.others, 1);
        assert_eq!(summary.to_string().lines().count(), 3);
    }
}
