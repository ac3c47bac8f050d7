use proptest::prelude::*;

use super::*;

fn check(text: &str) -> Result<bool, &'static str> {
    scan(text.as_bytes(), &mut Scratch::default()).map(|scanned| scanned.reserved).map_err(|error| error.what)
}

#[test]
fn sees_the_known_fields() {
    let text =
        r#" {"user_id":"a","timestamp":1720576825,"ip":null,"locale":7,"x":{"locale":"RI"},"app_version":"2\n"} "#;
    let mut scratch = Scratch::default();
    let scanned = scan(text.as_bytes(), &mut scratch).unwrap();
    let field = |field: Field| scanned.fields[field as usize];

    assert_eq!(field(Field::UserId), Some(Value::Text(b"a", false)));
    assert_eq!(field(Field::Timestamp), Some(Value::Integer(1_720_576_825)));
    assert_eq!(field(Field::Ip), Some(Value::Null));
    assert_eq!(field(Field::Locale), Some(Value::Integer(7)));
    assert_eq!(field(Field::AppVersion), Some(Value::Text(b"2\\n", true)));
    assert_eq!(field(Field::DeviceType), None);
    assert_eq!(&text[scanned.close..], "} ");
    assert!(scanned.members && !scanned.reserved);
}

#[test]
fn refuses_what_is_no_event() {
    for (text, what) in [
        ("", "no value"),
        ("  ", "no value"),
        ("null", "not an object"),
        ("[]", "not an object"),
        ("{", "expected a key"),
        ("{}{}", "something behind the object"),
        (r#"{"a":1,}"#, "expected a key"),
        (r#"{"a" 1}"#, "expected a colon"),
        (r#"{"a":}"#, "expected a value"),
        (r#"{"a":01}"#, "expected a comma or the closing brace"),
        (r#"{"a":1.}"#, "expected a digit"),
        (r#"{"a":+1}"#, "expected a value"),
        (r#"{"a":nul}"#, "expected a value"),
        (r#"{"a":NaN}"#, "expected a value"),
        (r#"{"a":"x"#, "a string without end"),
        ("{\"a\":\"\n\"}", "a control character in a string"),
        (r#"{"a":"\x"}"#, "an unknown escape"),
        (r#"{"a":"\u12"}"#, "expected four hexadecimal digits"),
        (r#"{"a":"\ud800"}"#, "half a surrogate pair"),
        (r#"{"a":"\udc00"}"#, "half a surrogate pair"),
        (r#"{"a":"\ud800\u0041"}"#, "half a surrogate pair"),
        (r#"{"a":1,"a":2}"#, "a key that stands twice"),
        (r#"{"user_id":"a","user_id":"a"}"#, "a key that stands twice"),
        (r#"{"user_id":null,"us\u0065r_id":null}"#, "a key that stands twice"),
        (r#"{"x":[{"b":1,"c":2,"b":3}]}"#, "a key that stands twice"),
        ("\u{feff}{}", "not an object"),
    ] {
        assert_eq!(check(text), Err(what), "{text}");
    }
    assert_eq!(scan(b"{\"a\":\"\xff\"}", &mut Scratch::default()).unwrap_err().what, "not UTF-8");
}

#[test]
fn accepts_odd_but_legal_events() {
    let many: Vec<String> = (0..500).map(|index| format!("\"k{index}\":{index}")).collect();
    let many = format!("{{{}}}", many.join(","));
    for text in [
        "{}",
        " \t\r\n{ \"a\" : [ ] , \"b\" : { } } \n",
        r#"{"a":-0.5E+999,"b":1e400,"c":123456789012345678901234567890}"#,
        r#"{"a":"\ud83d\ude00 \"\\\/\b\f\n\r\t"}"#,
        r#"{"":1,"a":{"":1}}"#,
        r#"{"a":{"b":1},"b":{"a":1}}"#,
        &many,
    ] {
        assert_eq!(check(text), Ok(false), "{text}");
    }

    assert_eq!(check(r#"{"event_id":1}"#), Ok(true));
    assert_eq!(check(r#"{"l\u0061te":1}"#), Ok(true));
    assert_eq!(check(r#"{"x":{"late":1}}"#), Ok(false));
}

#[test]
fn many_keys_are_compared_too() {
    let keys: Vec<String> = (0..500).chain([123]).map(|index| format!("\"k{index}\":{index}")).collect();
    assert_eq!(check(&format!("{{{}}}", keys.join(","))), Err("a key that stands twice"));
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(check(&nested(MAX_DEPTH)), Ok(false));
    assert_eq!(check(&nested(MAX_DEPTH + 1)), Err("nested too deep"));
    assert_eq!(check(&"[{".repeat(1_000_000)), Err("not an object"));
    assert_eq!(check(&format!("{{\"a\":{}", "[".repeat(1_000_000))), Err("nested too deep"));
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let text = prop_oneof!["[ -~]{0,12}", "\\PC{0,6}", Just("\u{1}\"\\\n".to_owned())];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..5).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    /// The scanner accepts what serde_json writes exactly if it is an object, and rejects what serde_json rejects.
    #[test]
    fn agrees_with_serde_json(value in json(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let text = value.to_string();
        prop_assert_eq!(check(&text).is_ok(), value.is_object());
        let mut damaged = text.into_bytes();
        let at = cut.index(damaged.len());
        damaged[at] = byte;
        if serde_json::from_slice::<&serde_json::value::RawValue>(&damaged).is_err() {
            prop_assert!(scan(&damaged, &mut Scratch::default()).is_err());
        }
    }
}
