//! What a source record should become: docs/events.md once more, written apart from the streaming code and simply.
//!
//! The records of one partition are judged in their order, for lateness depends on those before.

use std::net::IpAddr;

use crds::{
    job::Rules,
    pipeline::{Field, IpRule},
    records::{
        dead_letter::{MAX_FIELD_BYTES, Reason},
        enrichment,
    },
};
use jiff::Timestamp;

use super::{
    json::{self, Member},
    record::{Record, record_bytes},
};

/// The last second of the year 9999: no event is later.
const LAST_SECOND: i64 = 253_402_300_799;

/// Whether an event is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It depends on events that the source no longer has.
    Unknown,
}

/// What a record should become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A record of the output.
    Output {
        /// The enriched value; where [`Late::Unknown`], that of an event in time.
        value: Vec<u8>,
        /// Whether it is late.
        late: Late,
    },
    /// A dead letter.
    DeadLetter(Reason),
}

/// Judges the records of one partition, in their order.
#[derive(Clone, Debug)]
pub struct Judge {
    rules: Rules,
    partition: i32,
    max_message_bytes: usize,
    /// Whether the first record judged is the first that the pipeline saw.
    from_the_start: bool,
    /// The highest time of the valid events so far, Unix seconds.
    latest: Option<i64>,
}

impl Judge {
    /// A judge of a partition. `max_message_bytes` is that of the output topic; `from_the_start` tells whether the first
    /// record is the first that the pipeline saw, without which lateness cannot always be known.
    #[must_use]
    pub const fn new(rules: Rules, partition: i32, max_message_bytes: usize, from_the_start: bool) -> Self {
        Self { rules, partition, max_message_bytes, from_the_start, latest: None }
    }

    /// What the partition's next record should become.
    pub fn judge(&mut self, record: &Record) -> Verdict {
        match self.enriched(record) {
            Ok((value, time, late)) => {
                self.latest = self.latest.max(Some(time));
                Verdict::Output { value, late }
            }
            Err(reason) => Verdict::DeadLetter(reason),
        }
    }

    fn enriched(&self, record: &Record) -> Result<(Vec<u8>, i64, Late), Reason> {
        let bytes = record.value.ok_or(Reason::Malformed)?;
        let members = json::event(bytes).ok_or(Reason::Malformed)?;
        let present = |field: Field| {
            let member = members.iter().find(|member| member.name == field.name())?;
            (member.value != "null").then_some(member.value)
        };

        let required = |field: &Field| self.rules.validation.required.contains(field);
        if Field::ALL.iter().filter(|field| required(field)).any(|field| present(*field).is_none()) {
            return Err(Reason::MissingField);
        }

        let mut timestamp = None;
        for field in Field::ALL {
            let Some(value) = present(field) else { continue };
            if field == Field::Timestamp {
                timestamp = Some(whole_number(value).ok_or(Reason::InvalidField)?);
            } else if !self.is_valid_text(field, value) {
                return Err(Reason::InvalidField);
            }
        }

        let time = timestamp.unwrap_or_else(|| record.timestamp.div_euclid(1000).max(0));
        if time > self.latest_allowed(record.timestamp) {
            return Err(Reason::Future);
        }

        let late = self.is_late(time);
        let value = enrich(bytes, &members, self.partition, record.offset, time, late);
        if record_bytes(record.key, Some(&value), record.headers) > self.max_message_bytes {
            return Err(Reason::TooLarge);
        }
        Ok((value, time, late))
    }

    fn is_valid_text(&self, field: Field, value: &str) -> bool {
        if !value.starts_with('"') || !(1..=MAX_FIELD_BYTES).contains(&value.len().saturating_sub(2)) {
            return false;
        }
        let Some(text) = json::unquote(value) else { return false };
        let address = field == Field::Ip && self.rules.validation.ip == IpRule::Valid;
        !text.contains(|c: char| c.is_ascii_control()) && (!address || text.parse::<IpAddr>().is_ok())
    }

    fn latest_allowed(&self, record_timestamp: i64) -> i64 {
        if record_timestamp < 0 {
            return LAST_SECOND;
        }
        let skew = self.rules.validation.max_future_skew.as_millis();
        record_timestamp.saturating_add(skew).div_euclid(1000).min(LAST_SECOND)
    }

    fn is_late(&self, time: i64) -> Late {
        let lateness = self.rules.aggregation.allowed_lateness.as_secs();
        if self.latest.is_some_and(|latest| time < latest.saturating_sub(lateness)) {
            Late::Yes
        } else if self.from_the_start {
            Late::No
        } else {
            Late::Unknown
        }
    }
}

/// An integer from 0 to `i64::MAX` that is written with digits alone.
fn whole_number(value: &str) -> Option<i64> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok())?
}

fn enrich(bytes: &[u8], members: &[Member], partition: i32, offset: i64, time: i64, late: Late) -> Vec<u8> {
    let replaced = |member: &&Member| {
        matches!(member.name.as_ref(), enrichment::EVENT_ID | enrichment::LOGIN_TIME | enrichment::LATE)
    };
    let kept = members.len() - members.iter().filter(replaced).count();
    let mut value = Vec::with_capacity(bytes.len() + 96);
    if kept == members.len() {
        let end = bytes.iter().rposition(|byte| *byte == b'}').unwrap_or_default();
        value.extend_from_slice(&bytes[..end]);
    } else {
        value.push(b'{');
        for (index, member) in members.iter().filter(|member| !replaced(member)).enumerate() {
            value.extend_from_slice(if index > 0 { b"," } else { b"" });
            value.extend_from_slice(member.key.as_bytes());
            value.push(b':');
            value.extend_from_slice(member.value.as_bytes());
        }
    }
    let comma = if kept > 0 { "," } else { "" };
    let id = enrichment::EVENT_ID;
    let login_time = enrichment::LOGIN_TIME;
    let text = Timestamp::from_second(time).unwrap_or(Timestamp::MAX);
    value.extend_from_slice(format!("{comma}\"{id}\":\"{partition}-{offset}\",\"{login_time}\":\"{text}\"").as_bytes());
    if late == Late::Yes {
        value.extend_from_slice(LATE_MEMBER);
    }
    value.push(b'}');
    value
}

const LATE_MEMBER: &[u8] = b",\"late\":true";

/// Whether `value` is `in_time`, the value of an event in time, but for saying that it is late.
#[must_use]
pub fn is_late_form(value: &[u8], in_time: &[u8]) -> bool {
    let late_form = value.strip_suffix(b"}").and_then(|value| value.strip_suffix(LATE_MEMBER));
    late_form.is_some_and(|value| in_time.strip_suffix(b"}") == Some(value))
}
