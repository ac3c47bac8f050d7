//! What a source record should become: a second implementation of docs/events.md, simple and separate from the
//! streaming code.
//!
//! The judge takes the records of one partition in order, because lateness depends on earlier records.

use std::{borrow::Cow, net::IpAddr};

use crds::{
    job::Rules,
    pipeline::{Dimension, Field, IpRule},
    records::{
        dead_letter::{MAX_FIELD_BYTES, Reason},
        enrichment,
    },
};
use jiff::Timestamp;

use super::{
    batch::ProcessedEvent,
    json::{self, Member},
    record::{Record, record_bytes},
};

/// The last second of the year 9999, the maximum time of an event.
const LAST_SECOND: i64 = 253_402_300_799;

/// Whether an event is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    Yes,
    No,
    /// It depends on events that the source no longer has.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Output {
        /// The enriched value; for [`Late::Unknown`], the value of an event in time.
        value: Vec<u8>,
        late: Late,
        /// What the aggregation counts of it.
        login: Login,
    },
    DeadLetter(Reason),
}

/// What the aggregation counts of a valid event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The event time, Unix seconds.
    pub time: i64,
    /// Whether the event is so late that finite windows skip it; false when that depends on events that the source no
    /// longer has.
    pub unmerged: bool,
    /// The user that logged in, unescaped.
    pub user: Option<String>,
    /// The values in the order of [`Dimension::ALL`], unescaped.
    pub values: [Option<String>; Dimension::ALL.len()],
}

/// Judges the records of one partition in order.
#[derive(Clone, Debug)]
pub struct Judge {
    /// The rules for the first record.
    rules: Rules,
    /// Later rules, each with the first offset that they apply to, in ascending order.
    later_rules: Vec<(i64, Rules)>,
    partition: i32,
    max_message_bytes: usize,
    /// Whether the first judged record is the first that the pipeline saw.
    from_the_start: bool,
    /// The maximum, over the valid events, of the event time minus its allowed lateness, Unix seconds.
    watermark: Option<i64>,
}

impl Login {
    /// The event as the batch takes it; an event of unknown lateness counts as in time.
    #[must_use]
    pub fn event(&self, partition: i32, offset: i64, late: Late) -> ProcessedEvent<'_> {
        let Self { time, unmerged, user, values } = self;
        let values = values.each_ref().map(Option::as_deref);
        let late = late == Late::Yes;
        ProcessedEvent { partition, offset, time: *time, late, unmerged: *unmerged, user: user.as_deref(), values }
    }
}

impl Judge {
    /// Creates a judge of a partition. `max_message_bytes` is that of the output topic; `from_the_start` says whether
    /// the first record is the first that the pipeline saw. Without that, lateness is not always known.
    #[must_use]
    pub const fn new(rules: Rules, partition: i32, max_message_bytes: usize, from_the_start: bool) -> Self {
        Self { rules, later_rules: Vec::new(), partition, max_message_bytes, from_the_start, watermark: None }
    }

    /// Judges by changing rules: each with the first offset that they apply to, in ascending order. The first rules
    /// also apply to all earlier records.
    #[must_use]
    pub fn by_runs(self, mut runs: Vec<(i64, Rules)>) -> Self {
        if runs.is_empty() {
            return self;
        }
        let later_rules = runs.split_off(1);
        let rules = runs.pop().map_or(self.rules, |(_, rules)| rules);
        Self { rules, later_rules, ..self }
    }

    /// What the partition's next record should become.
    pub fn judge(&mut self, record: &Record) -> Verdict {
        let rules = self.rules_of(record.offset);
        match self.enriched(rules, record) {
            Ok((value, login, late)) => {
                let watermark = login.time.saturating_sub(rules.aggregation.allowed_lateness.as_secs());
                self.watermark = self.watermark.max(Some(watermark));
                Verdict::Output { value, late, login }
            }
            Err(reason) => Verdict::DeadLetter(reason),
        }
    }

    fn rules_of(&self, offset: i64) -> &Rules {
        self.later_rules.iter().rfind(|(from, _)| *from <= offset).map_or(&self.rules, |(_, rules)| rules)
    }

    fn enriched(&self, rules: &Rules, record: &Record) -> Result<(Vec<u8>, Login, Late), Reason> {
        let bytes = record.value.ok_or(Reason::Malformed)?;
        let members = json::event(bytes).ok_or(Reason::Malformed)?;
        let present = |field: Field| {
            let member = members.iter().find(|member| member.name == field.name())?;
            (member.value != "null").then_some(member.value)
        };

        let required = |field: &Field| rules.validation.required.contains(field);
        if Field::ALL.iter().filter(|field| required(field)).any(|field| present(*field).is_none()) {
            return Err(Reason::MissingField);
        }

        let mut timestamp = None;
        for field in Field::ALL {
            let Some(value) = present(field) else { continue };
            if field == Field::Timestamp {
                timestamp = Some(whole_number(value).ok_or(Reason::InvalidField)?);
            } else if !is_valid_text(rules, field, value) {
                return Err(Reason::InvalidField);
            }
        }

        let time = timestamp.unwrap_or_else(|| record.timestamp.div_euclid(1000).max(0));
        if time > latest_allowed(rules, record.timestamp) {
            return Err(Reason::Future);
        }

        let late = self.is_late(time);
        let value = enrich(bytes, &members, self.partition, record.offset, time, late);
        if record_bytes(record.key, Some(&value), record.headers) > self.max_message_bytes {
            return Err(Reason::TooLarge);
        }
        let text = |field: Field| present(field).and_then(json::unquote).map(Cow::into_owned);
        let values = Dimension::ALL.map(|dimension| text(dimension.field()));
        Ok((value, Login { time, unmerged: self.is_unmerged(rules, time), user: text(Field::UserId), values }, late))
    }

    fn is_late(&self, time: i64) -> Late {
        if self.watermark.is_some_and(|watermark| time < watermark) {
            Late::Yes
        } else if self.from_the_start {
            Late::No
        } else {
            Late::Unknown
        }
    }

    fn is_unmerged(&self, rules: &Rules, time: i64) -> bool {
        let retention = rules.aggregation.retention.as_secs();
        self.watermark.is_some_and(|watermark| time < watermark.saturating_sub(retention))
    }
}

fn is_valid_text(rules: &Rules, field: Field, value: &str) -> bool {
    if !value.starts_with('"') || !(1..=MAX_FIELD_BYTES).contains(&value.len().saturating_sub(2)) {
        return false;
    }
    let Some(text) = json::unquote(value) else { return false };
    let address = field == Field::Ip && rules.validation.ip == IpRule::Valid;
    !text.contains(|c: char| c.is_ascii_control()) && (!address || text.parse::<IpAddr>().is_ok())
}

fn latest_allowed(rules: &Rules, record_timestamp: i64) -> i64 {
    if record_timestamp < 0 {
        return LAST_SECOND;
    }
    let skew = rules.validation.max_future_skew.as_millis();
    record_timestamp.saturating_add(skew).div_euclid(1000).min(LAST_SECOND)
}

/// An integer from 0 to `i64::MAX`, written with digits only.
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

/// Whether `value` equals `in_time`, the value of an event in time, except that it is marked as late.
#[must_use]
pub fn is_late_form(value: &[u8], in_time: &[u8]) -> bool {
    let late_form = value.strip_suffix(b"}").and_then(|value| value.strip_suffix(LATE_MEMBER));
    late_form.is_some_and(|value| in_time.strip_suffix(b"}") == Some(value))
}
