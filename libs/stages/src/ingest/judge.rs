//! Decides whether an event is valid. `docs/events.md` lists the rules, which are tried in that order.

use std::{borrow::Cow, net::IpAddr};

use crds::{
    job::Rules,
    pipeline::{Field, IpRule},
    records::dead_letter::{MAX_FIELD_BYTES, Reason},
};

use super::{
    scan::{Malformed, Scanned, Scratch, Value, scan},
    text::unescape,
};

/// The last second that RFC 3339 can express: the end of the year 9999.
pub const LAST_SECOND: i64 = 253_402_300_799;

/// Why an event is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The category, which the dead letter's header and the metrics carry.
    pub reason: Reason,
    /// A sentence for people, without personal data.
    pub detail: String,
}

/// A valid event.
#[derive(Debug)]
pub struct ValidEvent<'a> {
    /// When it happened, Unix seconds.
    pub time: i64,
    /// Where the fields are in the text.
    pub scanned: Scanned<'a>,
}

impl<'a> ValidEvent<'a> {
    /// A text field, unescaped, UTF-8. None if it is absent or null.
    #[must_use]
    pub fn text(&self, field: Field) -> Option<Cow<'a, [u8]>> {
        match self.scanned.fields[field as usize] {
            Some(Value::Text(raw, escaped)) => Some(unescaped(raw, escaped)),
            _ => None,
        }
    }
}

/// The validation rules, prepared for fast checks.
#[derive(Clone, Debug)]
pub struct Judge {
    required: Vec<Field>,
    ip: IpRule,
    max_future_skew_ms: i64,
}

impl Judge {
    /// Prepares the rules of a job config.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        let wanted = &rules.validation.required;
        Self {
            required: Field::ALL.into_iter().filter(|field| wanted.contains(field)).collect(),
            ip: rules.validation.ip,
            max_future_skew_ms: rules.validation.max_future_skew.as_millis(),
        }
    }

    /// Judges a record's value. `timestamp_ms` is the record's Kafka timestamp in Unix milliseconds, negative if it has
    /// none.
    ///
    /// # Errors
    /// If the record is a dead letter, with the reason.
    pub fn judge<'a>(
        &self,
        value: Option<&'a [u8]>,
        timestamp_ms: i64,
        scratch: &mut Scratch,
    ) -> Result<ValidEvent<'a>, Rejection> {
        let value = value.ok_or_else(|| reject(Reason::Malformed, "a tombstone: the record has no value"))?;
        let scanned = scan(value, scratch)
            .map_err(|Malformed { what, at }| reject(Reason::Malformed, format!("{what}, at byte {at}")))?;
        for field in &self.required {
            if matches!(scanned.fields[*field as usize], None | Some(Value::Null)) {
                return Err(reject(Reason::MissingField, format!("{} is missing", field.name())));
            }
        }
        for field in Field::ALL {
            let problem = match scanned.fields[field as usize] {
                None | Some(Value::Null) => None,
                Some(value) if field == Field::Timestamp => timestamp_problem(value),
                Some(value) => self.text_problem(field, value, scanned.delete_character),
            };
            if let Some(problem) = problem {
                return Err(reject(Reason::InvalidField, format!("{} {problem}", field.name())));
            }
        }
        let time = match scanned.fields[Field::Timestamp as usize] {
            Some(Value::Integer(time)) => time,
            _ => timestamp_ms.max(0) / 1000,
        };
        self.refuse_future(time, timestamp_ms)?;
        Ok(ValidEvent { time, scanned })
    }

    fn text_problem(&self, field: Field, value: Value<'_>, delete_character: bool) -> Option<&'static str> {
        let Value::Text(raw, escaped) = value else { return Some("is not a string") };
        if raw.is_empty() {
            return Some("is empty");
        }
        if raw.len() > MAX_FIELD_BYTES {
            return Some("is longer than 256 bytes");
        }
        if !escaped && !delete_character && (field != Field::Ip || self.ip == IpRule::Any) {
            return None;
        }
        let text = unescaped(raw, escaped);
        if text.iter().any(u8::is_ascii_control) {
            return Some("has control characters");
        }
        if field == Field::Ip && self.ip == IpRule::Valid && parse_ip(&text).is_none() {
            return Some("is not an IPv4 or IPv6 address");
        }
        None
    }

    fn refuse_future(&self, time: i64, timestamp_ms: i64) -> Result<(), Rejection> {
        let last_ms = if timestamp_ms < 0 { i64::MAX } else { timestamp_ms.saturating_add(self.max_future_skew_ms) };
        if time <= LAST_SECOND && time * 1000 <= last_ms {
            return Ok(());
        }
        let hint = if time > LAST_SECOND { "; is it in milliseconds? It must be in seconds" } else { "" };
        let detail = format!("timestamp lies too far beyond the Kafka timestamp of the record{hint}");
        Err(reject(Reason::Future, detail))
    }
}

fn timestamp_problem(value: Value<'_>) -> Option<&'static str> {
    match value {
        Value::Integer(_) => None,
        Value::Text(..) => Some("is a string: it must be whole Unix seconds"),
        _ => Some("is not a whole number of Unix seconds from 0 to 9223372036854775807"),
    }
}

fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn unescaped(raw: &[u8], escaped: bool) -> Cow<'_, [u8]> {
    if !escaped {
        return Cow::Borrowed(raw);
    }
    let mut text = Vec::with_capacity(raw.len());
    unescape(raw, &mut text);
    Cow::Owned(text)
}

fn reject(reason: Reason, detail: impl Into<String>) -> Rejection {
    Rejection { reason, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_720_576_825_000;

    fn judge_with(rules: &Rules, value: &str) -> Result<i64, (Reason, String)> {
        let mut scratch = Scratch::default();
        Judge::new(rules)
            .judge(Some(value.as_bytes()), NOW_MS, &mut scratch)
            .map(|event| event.time)
            .map_err(|rejection| (rejection.reason, rejection.detail))
    }

    fn check(member: &str, expected: Result<i64, (Reason, &str)>) {
        let base = r#""user_id":"u","device_type":"iOS","locale":"RI""#;
        let value = format!("{{{base},{member}}}");
        let expected = expected.map_err(|(reason, detail)| (reason, detail.to_owned()));
        assert_eq!(judge_with(&Rules::default(), &value), expected, "{value}");
    }

    #[test]
    fn timestamps() {
        use Reason::{Future, InvalidField, MissingField};
        let number = "timestamp is not a whole number of Unix seconds from 0 to 9223372036854775807";
        check(r#""timestamp":1720576825"#, Ok(1_720_576_825));
        check(r#""timestamp":0"#, Ok(0));
        check(r#""timestamp":1720577125"#, Ok(1_720_577_125));

        let future = "timestamp lies too far beyond the Kafka timestamp of the record";
        check(r#""timestamp":1720577126"#, Err((Future, future)));
        let milliseconds = "timestamp lies too far beyond the Kafka timestamp of the record; is it in milliseconds? It must be in seconds";
        check(r#""timestamp":1720576825000"#, Err((Future, milliseconds)));
        check(r#""timestamp":9223372036854775807"#, Err((Future, milliseconds)));

        check(r#""timestamp":9223372036854775808"#, Err((InvalidField, number)));
        for odd in ["-1", "-0", "1.5", "1e9", "true", "[1720576825]", "{}", "1e999"] {
            check(&format!(r#""timestamp":{odd}"#), Err((InvalidField, number)));
        }
        let string = "timestamp is a string: it must be whole Unix seconds";
        check(r#""timestamp":"1720576825""#, Err((InvalidField, string)));
        check(r#""timestamp":null"#, Err((MissingField, "timestamp is missing")));
        check(r#""x":1"#, Err((MissingField, "timestamp is missing")));
    }

    #[test]
    fn text_fields() {
        let invalid = |detail| Err((Reason::InvalidField, detail));
        let with = |member: &str| format!(r#""timestamp":1,{member}"#);

        check(&with(r#""app_version":"2.3.0""#), Ok(1));
        check(&with(r#""app_version":null"#), Ok(1));
        check(&with(r#""app_version":2"#), invalid("app_version is not a string"));
        check(&with(r#""app_version":"""#), invalid("app_version is empty"));
        check(&with(r#""device_id":"a\u0000b""#), invalid("device_id has control characters"));
        check(&with("\"device_id\":\"\u{7f}\""), invalid("device_id has control characters"));
        check(&with(r#""device_id":"\u00e9\n""#), invalid("device_id has control characters"));
        check(&with(r#""device_id":"\u00e9""#), Ok(1));
        check(&with(&format!(r#""device_id":"{}""#, "a".repeat(256))), Ok(1));
        check(&with(&format!(r#""device_id":"{}""#, "a".repeat(257))), invalid("device_id is longer than 256 bytes"));
        check(&with(r#""ip":"nonsense""#), Ok(1));
    }

    #[test]
    fn the_first_broken_rule_names_the_reason() {
        let judged = judge_with(&Rules::default(), r#"{"user_id":7,"timestamp":"x"}"#);
        assert_eq!(judged, Err((Reason::MissingField, "locale is missing".to_owned())));
    }

    #[test]
    fn rules_can_be_loosened_and_tightened() {
        let mut rules = Rules::default();
        rules.validation.required = vec![];
        assert_eq!(judge_with(&rules, "{}"), Ok(NOW_MS / 1000));
        rules.validation.ip = IpRule::Valid;
        assert_eq!(judge_with(&rules, r#"{"ip":"::1"}"#), Ok(NOW_MS / 1000));
        let problem = "ip is not an IPv4 or IPv6 address".to_owned();
        assert_eq!(judge_with(&rules, r#"{"ip":"1.2.3"}"#), Err((Reason::InvalidField, problem)));
    }

    #[test]
    fn a_tombstone_is_malformed() {
        let judged = Judge::new(&Rules::default()).judge(None, NOW_MS, &mut Scratch::default()).unwrap_err();
        assert_eq!(judged.reason, Reason::Malformed);
    }

    #[test]
    fn without_a_kafka_timestamp_the_year_9999_is_the_limit() {
        let mut scratch = Scratch::default();
        let mut rules = Rules::default();
        rules.validation.required = vec![];
        let judge = Judge::new(&rules);
        let at = |time: i64| format!(r#"{{"timestamp":{time}}}"#).into_bytes();
        assert!(judge.judge(Some(&at(LAST_SECOND)), -1, &mut scratch).is_ok());
        assert!(judge.judge(Some(&at(LAST_SECOND + 1)), -1, &mut scratch).is_err());
        assert_eq!(judge.judge(Some(b"{}"), -1, &mut scratch).unwrap().time, 0);
    }
}
