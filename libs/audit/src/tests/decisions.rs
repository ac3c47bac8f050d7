//! What events become, as docs/events.md defines it: inputs next to literal outcomes.

use crds::{
    job::Rules,
    pipeline::{Duration, Field, IpRule},
    records::dead_letter::Reason,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Judge, Late, Login, Record, Verdict, json};

/// 2024-07-10T02:00:25.5Z.
const NOW_MS: i64 = 1_720_576_825_500;

const ROOM: usize = 1_000_000;

fn judge(rules: &Rules, value: Option<&[u8]>, timestamp: i64) -> Result<String, Reason> {
    let record = Record { offset: 42, timestamp, key: Some(b"key"), value, headers: &[] };
    match Judge::new(rules.clone(), 7, ROOM, true).judge(&record) {
        Verdict::Output { value, late, .. } => {
            assert_eq!(late, Late::No, "the first event is never late");
            Ok(String::from_utf8(value).unwrap())
        }
        Verdict::DeadLetter(reason) => Err(reason),
    }
}

fn check(value: &str, expected: Result<&str, Reason>) {
    let found = judge(&Rules::default(), Some(value.as_bytes()), NOW_MS);
    assert_eq!(found, expected.map(str::to_owned), "{value}");
}

/// Checks an event with these members after the required ones.
fn check_members(members: &str, expected: Result<(), Reason>) {
    let event = format!(r#"{{"user_id":"u","device_type":"iOS","locale":"RI","timestamp":1720576825,{members}"#);
    let enriched = format!(r#"{event},"event_id":"7-42","login_time":"2024-07-10T02:00:25Z"}}"#);
    check(&format!("{event}}}"), expected.map(|()| enriched.as_str()));
}

/// Checks an event whose field has this value and that is otherwise valid.
fn check_field(field: &str, value: &str, expected: Option<Reason>) {
    let fields = [("user_id", "\"u\""), ("device_type", "\"iOS\""), ("locale", "\"RI\""), ("timestamp", "1720576825")];
    let mut members: Vec<String> = fields
        .iter()
        .map(|(name, usual)| format!("\"{name}\":{}", if *name == field { value } else { usual }))
        .collect();
    if !fields.iter().any(|(name, _)| *name == field) {
        members.push(format!("\"{field}\":{value}"));
    }
    let text = format!("{{{}}}", members.join(","));
    let found = judge(&Rules::default(), Some(text.as_bytes()), NOW_MS).err();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn what_is_not_one_json_object_is_malformed() {
    let malformed = Err(Reason::Malformed);
    assert_eq!(judge(&Rules::default(), None, NOW_MS), malformed, "a tombstone");
    assert_eq!(judge(&Rules::default(), Some(b"{\"a\":\"\xff\"}"), NOW_MS), malformed, "not UTF-8");
    assert_eq!(judge(&Rules::default(), Some(b"{\"a\":\"\xed\xa0\x80\"}"), NOW_MS), malformed, "a surrogate in UTF-8");

    for text in
        ["", " ", "null", "17", "true", "\"{}\"", "[]", "[{}]", "login failed", "{", "}", "{}{}", "{} x", "\u{feff}{}"]
    {
        check(text, malformed.clone().map(|_: String| ""));
    }

    for members in [
        r#""a":1,"#,
        r#""a":"#,
        r#""a":01"#,
        r#""a":1."#,
        r#""a":.5"#,
        r#""a":+1"#,
        r#""a":NaN"#,
        r#""a":Infinity"#,
        r#""a":'x'"#,
        r#"a:1"#,
        r#"1:1"#,
        r#""a":"\x""#,
        r#""a":"\u00""#,
        r#""a":"\ud800""#,
        r#""a":"\udc00""#,
        r#""a":"\ud800\ud800""#,
        r#""\ud800":1"#,
        r#""a":["\ud800"]"#,
        r#""a":{"b":["c",{"d":"\udfff"}]}"#,
        r#""a":{"\ud83d":1}"#,
        "\"a\":\"\u{1}\"",
        "\"a\":\"\n\"",
        "\"a\":\u{a0}1",
        "\"a\":1 /* one */",
        r#""user_id":"u""#,
        r#""us\u0065r_id":"u""#,
        r#""a":1,"a":1"#,
        r#""a":{"b":1,"\u0062":2}"#,
        r#""a":[0,[{"b":1,"c":{"d":1,"d":1}}]]"#,
        r#""late":true,"late":true"#,
    ] {
        check_members(members, Err(Reason::Malformed));
    }
}

#[test]
fn odd_but_legal_events_are_kept_as_they_are() {
    for members in [
        r#""a":1e999,"b":-1e-999,"c":123456789012345678901234567890123456789012345678901234567890"#,
        r#""a":"\ud83d\ude00 \u0000 \" \\ \/ \b\f\n\r\t","größe":"—""#,
        r#""":{"":{"":null}}"#,
        r#""a":{"b":1},"b":{"a":1}"#,
        r#""a":[{"b":1},{"b":1}]"#,
        r#""x":{"event_id":1,"late":[true]},"y":"\"event_id\":\"0-0\"""#,
        r#""ip":"not an address","app_version":null,"device_id":null"#,
    ] {
        check_members(members, Ok(()));
    }

    let deep = |depth: usize| format!("\"a\":{}{}", "[".repeat(depth), "]".repeat(depth));
    check_members(&deep(63), Ok(()));
    check_members(&deep(64), Err(Reason::Malformed));
    check_members(&deep(100_000), Err(Reason::Malformed));
    let objects = |depth: usize| format!("\"a\":{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    check_members(&objects(63), Ok(()));
    check_members(&objects(64), Err(Reason::Malformed));
}

#[test]
fn a_required_field_must_be_there() {
    let missing = Err(Reason::MissingField);
    check("{}", missing);
    check(r#"{"user_id":"u","device_type":"iOS","locale":"RI"}"#, missing);
    check(r#"{"USER_ID":"u","device_type":"iOS","locale":"RI","timestamp":1}"#, missing);
    check(r#"{"user_id":7,"device_type":"iOS","locale":"RI"}"#, missing);
    for field in ["user_id", "device_type", "locale", "timestamp"] {
        check_field(field, "null", Some(Reason::MissingField));
    }
    check(r#"{"x":{"user_id":"u"},"device_type":"iOS","locale":"RI","timestamp":1}"#, missing);
}

#[test]
fn a_known_field_must_be_what_it_is() {
    let invalid = Some(Reason::InvalidField);
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));

    for field in ["user_id", "app_version", "ip", "locale", "device_id", "device_type"] {
        for value in
            ["7", "true", "{}", "[\"x\"]", "\"\"", "\"a\\u0000\"", "\"\\n\"", "\"\u{7f}\"", "\"\\u007F\"", &long(257)]
        {
            check_field(field, value, invalid);
        }
        for value in ["\" \"", "\"é\u{80}\\u0080\"", "\"\\\"\"", &long(256)] {
            check_field(field, value, None);
        }
        // 256 bytes as written: 43 escapes of six bytes are 258.
        check_field(field, &format!("\"{}\"", "\\u0041".repeat(43)), invalid);
        check_field(field, &format!("\"{}\"", "\\u0041".repeat(42)), None);
    }

    for value in
        ["\"1720576825\"", "1720576825.0", "1.0e9", "1E3", "-1", "-0", "true", "[]", "\"\"", "9223372036854775808"]
    {
        check_field("timestamp", value, invalid);
    }
    check_field("timestamp", "0", None);
    check_field("timestamp", "9223372036854775807", Some(Reason::Future));
}

#[test]
fn an_address_is_judged_where_the_rules_ask_for_it() {
    let mut rules = Rules::default();
    rules.validation.ip = IpRule::Valid;
    let with = |ip: &str| {
        let text = format!(r#"{{"user_id":"u","device_type":"d","locale":"l","timestamp":1,"ip":{ip}}}"#);
        judge(&rules, Some(text.as_bytes()), NOW_MS).err()
    };

    for ip in [r#""1.2.3.4""#, r#""::1""#, r#""2001:db8::42""#, r#""::ffff:1.2.3.4""#, r#""1.2.3\u002e4""#, "null"] {
        assert_eq!(with(ip), None, "{ip}");
    }
    for ip in [r#""1.2.3""#, r#""1.2.3.256""#, r#""1.2.3.04""#, r#"" 1.2.3.4""#, r#""fe80::1%eth0""#, r#""localhost""#]
    {
        assert_eq!(with(ip), Some(Reason::InvalidField), "{ip}");
    }
}

#[test]
fn an_event_lies_not_too_far_ahead_of_its_record() {
    let mut rules = Rules::default();
    rules.validation.max_future_skew = Duration::from_millis(1500);
    let at = |time: i64, timestamp: i64| {
        let text = format!(r#"{{"user_id":"u","device_type":"d","locale":"l","timestamp":{time}}}"#);
        judge(&rules, Some(text.as_bytes()), timestamp).err()
    };
    let future = Some(Reason::Future);

    assert_eq!(at(1_720_576_827, NOW_MS), None);
    assert_eq!(at(1_720_576_828, NOW_MS), future);
    assert_eq!(at(1_720_576_826, NOW_MS - 501), None);
    assert_eq!(at(1_720_576_827, NOW_MS - 501), future);

    let last = 253_402_300_799;
    assert_eq!([at(last, -1), at(last + 1, -1)], [None, future]);
    assert_eq!([at(last, i64::MAX), at(last + 1, i64::MAX), at(i64::MAX, i64::MAX)], [None, future, future]);
    assert_eq!([at(1, 0), at(2, 0)], [None, future]);
}

#[test]
fn an_event_without_time_takes_its_records() {
    let mut rules = Rules::default();
    rules.validation.required = vec![Field::UserId];
    let written = |timestamp: i64| judge(&rules, Some(br#"{"user_id":"u","timestamp":null}"#), timestamp);
    let expected =
        |time: &str| Ok(format!(r#"{{"user_id":"u","timestamp":null,"event_id":"7-42","login_time":"{time}"}}"#));
    assert_eq!(written(NOW_MS), expected("2024-07-10T02:00:25Z"));
    assert_eq!(written(999), expected("1970-01-01T00:00:00Z"));
    assert_eq!(written(-1), expected("1970-01-01T00:00:00Z"));
    assert_eq!(written(i64::MAX), Err(Reason::Future));
}

#[test]
fn enrichment_adds_its_members_and_replaces_those_of_the_source() {
    let mut rules = Rules::default();
    rules.validation.required = vec![];
    let added = r#""event_id":"7-42","login_time":"2024-07-10T02:00:25Z""#;

    for (value, before) in [
        ("{}", ""),
        (" {\n} \r\n", " "),
        (" { \"a\" : 1 } ", " { \"a\" : 1 ,"),
        (r#"{"late":true}"#, ""),
        (r#"{"a":1,"late":true}"#, r#""a":1,"#),
        (
            r#" { "l\u0061te" : {"x":[1, 2]} , "a" : "b" , "event_id":null,"login_time":0, "c" : [ ] } "#,
            r#""a":"b","c":[ ],"#,
        ),
    ] {
        let written = judge(&rules, Some(value.as_bytes()), NOW_MS).unwrap();
        let start = if before.starts_with(' ') { "" } else { "{" };
        let middle = match value {
            " {\n} \r\n" => " {\n".to_owned(),
            _ => format!("{start}{before}"),
        };
        assert_eq!(written, format!("{middle}{added}}}"), "{value}");
    }
}

#[test]
fn what_does_not_fit_is_too_large_and_leaves_no_trace() {
    let event = |time: i64, padding: usize| {
        let text = "x".repeat(padding);
        format!(r#"{{"user_id":"u","device_type":"d","locale":"l","timestamp":{time},"x":"{text}"}}"#)
    };
    let written = r#","event_id":"7-0","login_time":"2024-07-10T02:00:25Z""#.len() + event(1_720_576_825, 0).len();
    let headers = [("trace", Some(&b"12345"[..]))];
    let room = 1000;
    let fitting = room - written - 128 - "key".len() - 10 - "trace12345".len();
    let mut judge = Judge::new(Rules::default(), 7, room, true);
    let mut judge = |time: i64, padding: usize| {
        let text = event(time, padding);
        let value = Some(text.as_bytes());
        judge.judge(&Record { offset: 0, timestamp: NOW_MS, key: Some(b"key"), value, headers: &headers })
    };

    assert_eq!(judge(1_720_576_825, fitting + 1), Verdict::DeadLetter(Reason::TooLarge));
    // If the event above moved the watermark, this event would be late.
    assert!(matches!(judge(1_720_576_700, fitting), Verdict::Output { late: Late::No, .. }));
    assert!(matches!(judge(1_720_576_825, fitting), Verdict::Output { late: Late::No, .. }));
    // As a late event, it is 12 bytes longer.
    assert_eq!(judge(1_720_576_700, fitting - 11), Verdict::DeadLetter(Reason::TooLarge));
    assert!(matches!(judge(1_720_576_700, fitting - 12), Verdict::Output { late: Late::Yes, .. }));
}

#[test]
fn an_event_is_late_behind_its_partitions_newest() {
    use Late::{No, Unknown, Yes};
    let mut rules = Rules::default();
    rules.aggregation.allowed_lateness = Duration::from_millis(30_999);
    let late = |from_the_start: bool, times: &[(i64, &str)]| {
        let mut judge = Judge::new(rules.clone(), 0, ROOM, from_the_start);
        let mut late = |&(time, user): &(i64, &str)| {
            let text = format!(r#"{{"user_id":{user},"device_type":"d","locale":"l","timestamp":{time}}}"#);
            match judge.judge(&Record {
                offset: 0,
                timestamp: -1,
                key: None,
                value: Some(text.as_bytes()),
                headers: &[],
            }) {
                Verdict::Output { late, value, .. } => {
                    assert_eq!(String::from_utf8(value).unwrap().ends_with(r#","late":true}"#), late == Yes);
                    Some(late)
                }
                Verdict::DeadLetter(_) => None,
            }
        };
        times.iter().map(&mut late).collect::<Vec<_>>()
    };

    let u = "\"u\"";
    assert_eq!(
        late(true, &[(1000, u), (970, u), (969, u), (9999, "7"), (970, u), (1001, u), (970, u), (971, u), (1000, u)]),
        [Some(No), Some(No), Some(Yes), None, Some(No), Some(No), Some(Yes), Some(No), Some(No)]
    );
    assert_eq!(late(false, &[(1000, u), (970, u), (969, u)]), [Some(Unknown), Some(Unknown), Some(Yes)]);
}

/// What the aggregation counts of events at these offsets with these members, each with its lateness.
fn logins(judge: &mut Judge, events: &[(i64, &str)]) -> Vec<Option<(Login, Late)>> {
    let login = |(offset, members): &(i64, &str)| {
        let text = format!("{{{members}}}");
        let value = Some(text.as_bytes());
        match judge.judge(&Record { offset: *offset, timestamp: 7_500, key: None, value, headers: &[] }) {
            Verdict::Output { login, late, .. } => Some((login, late)),
            Verdict::DeadLetter(_) => None,
        }
    };
    events.iter().map(login).collect()
}

#[test]
fn an_event_is_counted_by_what_its_text_says() {
    let mut rules = Rules::default();
    rules.validation.required = vec![];
    let mut judge = Judge::new(rules, 0, ROOM, true);
    let members = r#""user_id":"\u0061","locale":"R\u0049","app_version":null,"device_id":"d""#;
    let found = logins(&mut judge, &[(0, members)]);
    let text = |text: &str| Some(text.to_owned());
    let login = Login { time: 7, unmerged: false, user: text("a"), values: [None, text("RI"), None] };
    assert_eq!(found, [Some((login, Late::No))]);
    let values = r#""device_type":"iOS","app_version":"2.3.0","timestamp":5"#;
    let login = Login { time: 5, unmerged: false, user: None, values: [text("iOS"), None, text("2.3.0")] };
    assert_eq!(logins(&mut judge, &[(1, values)]), [Some((login, Late::No))]);
}

#[test]
fn the_rules_of_an_event_are_those_that_held_for_its_offset() {
    let rules = |required: &[Field], lateness: u64, retention: u64| {
        let mut rules = Rules::default();
        rules.validation.required = required.to_vec();
        rules.aggregation.allowed_lateness = Duration::from_secs(lateness);
        rules.aggregation.retention = Duration::from_secs(retention);
        rules.validation.max_future_skew = Duration::from_secs(10_000);
        rules
    };
    let runs = || vec![(10, rules(&[], 10, 5)), (20, rules(&[Field::Locale], 50, 5)), (30, rules(&[], 0, 100))];
    let found = |events: &[(i64, &str)]| -> Vec<Option<(bool, bool)>> {
        let mut judge = Judge::new(rules(&[Field::Ip], 0, 0), 0, ROOM, true).by_runs(runs());
        let found = logins(&mut judge, events);
        found.into_iter().map(|found| found.map(|(login, late)| (late == Late::Yes, login.unmerged))).collect()
    };
    let at = |time: i64| format!(r#""timestamp":{time}"#);

    // Also the events before the first known rules.
    let (first, late, unmerged, higher) = (at(1000), at(989), at(984), at(1010));
    let early = [(9, &*first), (19, &*late), (19, &*unmerged)];
    assert_eq!(found(&early), [Some((false, false)), Some((true, false)), Some((true, true))]);
    assert_eq!(
        found(&[(19, &first), (20, &first), (29, &first), (30, &first)])[1..],
        [None, None, Some((false, false))]
    );

    // The watermark advances, each event with the lateness of its own rules: 990, still 990, then 1010.
    let with_locale = format!(r#""locale":"RI",{higher}"#);
    let (below, at_990, at_1009) = (format!(r#""locale":"RI",{late}"#), at(990), at(1009));
    let events = [(19, &*first), (20, &*with_locale), (21, &*below), (30, &*at_990), (31, &*higher), (32, &*at_1009)];
    let late = [false, false, true, false, false, true];
    assert_eq!(found(&events), late.map(|late| Some((late, false))));

    // Older than the retention of the rules that apply now.
    assert_eq!(
        found(&[(30, &at(1000)), (31, &at(900)), (32, &at(899))])[1..],
        [Some((true, false)), Some((true, true))]
    );
}

/// Any JSON value, as text with random white space and escapes.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]{0,2}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Whether a key occurs twice in some object of a text, found by a reader of events instead of values.
fn has_twice(text: &str) -> bool {
    struct Keys(bool);
    impl<'de> serde::Deserialize<'de> for Keys {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Any;
            impl<'de> serde::de::Visitor<'de> for Any {
                type Value = Keys;
                fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                    f.write_str("anything")
                }
                fn visit_unit<E>(self) -> Result<Keys, E> {
                    Ok(Keys(false))
                }
                fn visit_bool<E>(self, _: bool) -> Result<Keys, E> {
                    Ok(Keys(false))
                }
                fn visit_i64<E>(self, _: i64) -> Result<Keys, E> {
                    Ok(Keys(false))
                }
                fn visit_u64<E>(self, _: u64) -> Result<Keys, E> {
                    Ok(Keys(false))
                }
                fn visit_f64<E>(self, _: f64) -> Result<Keys, E> {
                    Ok(Keys(false))
                }
                fn visit_str<E>(self, _: &str) -> Result<Keys, E> {
                    Ok(Keys(false))
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Keys, A::Error> {
                    let mut twice = false;
                    while let Some(Keys(inner)) = items.next_element()? {
                        twice |= inner;
                    }
                    Ok(Keys(twice))
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    let (mut seen, mut twice) = (std::collections::BTreeSet::new(), false);
                    while let Some((key, Keys(inner))) = map.next_entry::<String, Keys>()? {
                        twice |= inner | !seen.insert(key);
                    }
                    Ok(Keys(twice))
                }
            }
            deserializer.deserialize_any(Any)
        }
    }
    serde_json::from_str::<Keys>(text).is_ok_and(|Keys(twice)| twice)
}

#[test]
fn keys_stand_twice_beside_a_number_of_any_size() {
    let text = r#"{"a":[21000000000000000000,-0.5e3],"ab":null,"ab":0}"#;
    assert!(has_twice(text));
    assert!(json::event(text.as_bytes()).is_none());
}

proptest! {
    /// Joining two objects' members gives duplicate keys at every depth.
    #[test]
    fn the_reader_agrees_with_a_streaming_one(a in any_json(), b in any_json(), damage in any::<Option<(prop::sample::Index, u8)>>()) {
        let mut text = format!(r#"{{"a":{a},"b":{{"a":{b},"ab":{a},"{}":0}}}}"#, if a.is_null() { "ab" } else { "c" });
        if let Some((index, byte)) = damage {
            let mut bytes = text.into_bytes();
            let at = index.index(bytes.len());
            bytes[at] = byte;
            let Ok(damaged) = String::from_utf8(bytes) else { return Ok(()) };
            text = damaged;
        }

        let parsed = serde_json::from_str::<Value>(&text);
        if parsed.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range")) {
            return Ok(());
        }
        let is_object = parsed.is_ok_and(|value| value.is_object());
        prop_assert_eq!(json::event(text.as_bytes()).is_some(), is_object && !has_twice(&text), "{}", text);
    }

    /// serde_json reads the same from an enriched event as from the event, except for the added members.
    #[test]
    fn enrichment_changes_nothing_else(mut event in prop::collection::btree_map("[a-d]|late|event_id|login_time", any_json(), 0..5), pretty: bool) {
        let mut rules = Rules::default();
        rules.validation.required = vec![];
        let text = if pretty { serde_json::to_string_pretty(&event) } else { serde_json::to_string(&event) }.unwrap();
        let written = judge(&rules, Some(text.as_bytes()), NOW_MS).unwrap();
        event.remove("late");
        event.insert("event_id".to_owned(), json!("7-42"));
        event.insert("login_time".to_owned(), json!("2024-07-10T02:00:25Z"));
        prop_assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), json!(event));
        prop_assert!(json::event(written.as_bytes()).is_some());
    }
}
