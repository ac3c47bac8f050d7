//! Writes the enriched value: the source's bytes, followed by a few added members.

use crds::records::enrichment;
use jiff::{ToSpan, civil::Date};

use super::{
    judge::ValidEvent,
    scan::{Scratch, walk},
};

/// Writes enriched values. Caches the date text, which most consecutive events share.
#[derive(Debug)]
pub struct Enricher {
    /// The day of `date`, in days since the epoch.
    day: i64,
    /// For example `2024-07-10T`.
    date: String,
}

impl Default for Enricher {
    fn default() -> Self {
        Self { day: i64::MIN, date: String::new() }
    }
}

impl Enricher {
    /// Appends the enriched value of a valid event to `out`.
    pub fn write(
        &mut self,
        value: &[u8],
        event: &ValidEvent<'_>,
        (partition, offset): (i32, i64),
        late: bool,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        let mut separator = event.scanned.members;
        if event.scanned.reserved {
            separator = write_without_reserved(value, scratch, out);
        } else {
            out.extend_from_slice(&value[..event.scanned.close]);
        }
        if separator {
            out.push(b',');
        }
        let mut number = itoa::Buffer::new();
        member(enrichment::EVENT_ID, out);
        out.push(b'"');
        out.extend_from_slice(number.format(partition).as_bytes());
        out.push(b'-');
        out.extend_from_slice(number.format(offset).as_bytes());
        out.extend_from_slice(b"\",");
        member(enrichment::LOGIN_TIME, out);
        self.time(event.time, out);
        if late {
            out.push(b',');
            member(enrichment::LATE, out);
            out.extend_from_slice(b"true");
        }
        out.push(b'}');
    }

    /// Writes for example `"2024-07-10T02:00:25Z"`. The library computes the date. Plain arithmetic computes the time
    /// of day, because Unix time has no leap seconds.
    fn time(&mut self, time: i64, out: &mut Vec<u8>) {
        const DAY: i64 = 24 * 3600;
        let (day, second) = (time.div_euclid(DAY), time.rem_euclid(DAY));
        if day != self.day {
            let date = Date::constant(1970, 1, 1).saturating_add(day.days());
            self.date = format!("{date}T");
            self.day = day;
        }
        out.push(b'"');
        out.extend_from_slice(self.date.as_bytes());
        for (part, end) in [(second / 3600, b':'), (second / 60 % 60, b':'), (second % 60, b'Z')] {
            // Each part is below 100.
            out.extend([b'0' + (part / 10) as u8, b'0' + (part % 10) as u8, end]);
        }
        out.push(b'"');
    }
}

fn member(name: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends the opening brace and all members except those whose names enrichment uses. Returns whether there were any.
fn write_without_reserved(value: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) -> bool {
    let mut any = false;
    out.push(b'{');
    // The value was scanned before, so this cannot fail halfway.
    let walked = walk(value, scratch, |member| {
        if member.reserved {
            return;
        }
        if any {
            out.push(b',');
        }
        any = true;
        out.extend_from_slice(member.key);
        out.push(b':');
        out.extend_from_slice(member.value);
    });
    debug_assert!(walked.is_ok());
    any
}

#[cfg(test)]
mod tests {
    use crds::job::Rules;

    use super::*;
    use crate::ingest::judge::Judge;

    fn enrich(value: &str, late: bool) -> String {
        let mut rules = Rules::default();
        rules.validation.required = vec![];
        let mut scratch = Scratch::default();
        let event = Judge::new(&rules).judge(Some(value.as_bytes()), 1_720_576_825_000, &mut scratch).unwrap();
        let mut out = Vec::new();
        Enricher::default().write(value.as_bytes(), &event, (12, 345), late, &mut scratch, &mut out);
        String::from_utf8(out).unwrap()
    }

    const ADDED: &str = r#""event_id":"12-345","login_time":"2024-07-10T02:00:25Z""#;

    #[test]
    fn members_are_added_before_the_closing_brace() {
        assert_eq!(enrich("{}", false), format!("{{{ADDED}}}"));
        assert_eq!(enrich(r#" {"a": [1] } "#, false), format!(r#" {{"a": [1] ,{ADDED}}}"#));
        assert_eq!(enrich(r#"{"a":1}"#, true), format!(r#"{{"a":1,{ADDED},"late":true}}"#));
    }

    #[test]
    fn members_of_the_same_names_are_replaced() {
        assert_eq!(
            enrich(r#"{ "late" : 1 , "a" : {"late": 2} ,"login_time":"x", "b":3,"event\u005fid":0}"#, false),
            format!(r#"{{"a":{{"late": 2}},"b":3,{ADDED}}}"#)
        );
        assert_eq!(enrich(r#"{"late":1}"#, true), format!(r#"{{{ADDED},"late":true}}"#));
    }

    #[test]
    fn times_are_rfc_3339() {
        let midnight = Date::constant(1970, 1, 1).at(0, 0, 0, 0);
        for time in
            [0, 59, 86_399, 86_400, 951_782_400, 1_709_210_096, 4_102_444_800, crate::ingest::judge::LAST_SECOND]
        {
            let mut out = Vec::new();
            Enricher::default().time(time, &mut out);
            let expected = midnight.checked_add(time.seconds()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{expected}Z\""));
        }
    }
}
