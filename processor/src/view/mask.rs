//! What may be shown of a dead letter: its shape, the names of known fields, and those of their values that are not
//! personal data. Pure.
//!
//! A dead letter can hold anything, so only what is known to be harmless is shown. Text between quotes, and any other
//! text between brackets, commas and colons, becomes `…`.

use std::str::from_utf8;

use crds::pipeline::Field;

/// Replaces what is not shown.
const MASK: &str = "…";

/// How many bytes of a value are inspected.
const LOOKED_AT: usize = 16 * 1024;

/// Returns a readable value without personal data, of at most `limit` characters. The value is read as JSON as far as
/// possible. Brackets, commas, colons, quotes, `true`, `false`, `null` and the names of known fields are kept, and
/// these of their values: an `app_version` of up to three numbers, a `device_type` or `locale` of few letters, a
/// numeric `timestamp`.
#[must_use]
pub fn mask(value: &[u8], limit: usize) -> String {
    let (mut masked, mut length) = (String::new(), 0);
    let mut rest = value.get(..LOOKED_AT).unwrap_or(value);
    let mut is_cut = rest.len() < value.len();
    // The known field to which the next value belongs.
    let mut field = None;
    while let Some((token, behind)) = Token::first(rest) {
        let piece = token.masked(field, behind);
        // Leave one character for the sign that the value was cut.
        if length + piece.chars().count() >= limit {
            is_cut = true;
            break;
        }
        length += piece.chars().count();
        masked.push_str(&piece);
        field = match token {
            Token::Space | Token::Mark(":") => field,
            Token::Text(text) => field_of(text),
            Token::Mark(_) | Token::Word(_) => None,
        };
        rest = behind;
    }
    if is_cut && limit > 0 && !masked.ends_with(MASK) {
        masked.push_str(MASK);
    }
    masked
}

/// A token of text that may be JSON.
#[derive(Clone, Copy)]
enum Token<'a> {
    /// A run of white space.
    Space,
    /// A bracket, comma or colon.
    Mark(&'static str),
    /// The text between quotes, or up to the end if the closing quote is missing.
    Text(&'a [u8]),
    /// Any other text, up to the next token of another kind.
    Word(&'a [u8]),
}

impl<'a> Token<'a> {
    /// Returns the first token, and the text after it.
    fn first(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (first, behind) = text.split_first()?;
        if *first == b'"' {
            let (inside, behind) = quoted(behind);
            return Some((Self::Text(inside), behind));
        }
        if let Some(mark) = mark(*first) {
            return Some((Self::Mark(mark), behind));
        }
        if first.is_ascii_whitespace() {
            return Some((Self::Space, behind.trim_ascii_start()));
        }
        let ends = |byte: &u8| mark(*byte).is_some() || *byte == b'"' || byte.is_ascii_whitespace();
        let (word, behind) = text.split_at(text.iter().position(ends).unwrap_or(text.len()));
        Some((Self::Word(word), behind))
    }

    /// Returns what is shown of the token, which may be the value of `field` or the name of a field.
    fn masked(self, field: Option<Field>, behind: &[u8]) -> String {
        match self {
            Self::Space => " ".to_owned(),
            Self::Mark(mark) => mark.to_owned(),
            Self::Text(text) => {
                let is_name = || field_of(text).is_some() && behind.trim_ascii_start().starts_with(b":");
                let is_shown = |text: &&str| text.is_empty() || is_harmless(field, text) || is_name();
                format!("\"{}\"", from_utf8(text).ok().filter(is_shown).unwrap_or(MASK))
            }
            Self::Word(word) => {
                let is_time = |word: &str| field == Some(Field::Timestamp) && is_number(word);
                let is_shown = |word: &&str| matches!(*word, "true" | "false" | "null") || is_time(word);
                from_utf8(word).ok().filter(is_shown).unwrap_or(MASK).to_owned()
            }
        }
    }
}

const fn mark(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b'{' => "{",
        b'}' => "}",
        b'[' => "[",
        b']' => "]",
        b',' => ",",
        b':' => ":",
        _ => return None,
    })
}

/// Returns the text before the next unescaped quote, and the text after that quote.
fn quoted(text: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    (text, &[])
}

fn field_of(name: &[u8]) -> Option<Field> {
    Field::ALL.into_iter().find(|field| field.name().as_bytes() == name)
}

fn is_harmless(field: Option<Field>, text: &str) -> bool {
    let letters = |most: usize| text.len() <= most && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    match field {
        Some(Field::AppVersion) => is_version(text),
        Some(Field::DeviceType) => letters(16),
        Some(Field::Locale) => letters(2),
        Some(Field::Timestamp) => is_number(text),
        Some(Field::UserId | Field::Ip | Field::DeviceId) | None => false,
    }
}

/// At most three numbers: four may be an IP address.
fn is_version(text: &str) -> bool {
    let is_part = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').count() <= 3 && text.split('.').all(is_part)
}

/// A timestamp in seconds or milliseconds, with or without a fraction.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_part = |part: &str, most| (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    is_part(whole, 13) && is_part(fraction, 6)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::commands::generate::{Events, Kind, Options, Shares};

    const LIMIT: usize = 512;

    #[test]
    fn a_reader_sees_the_shape_and_what_is_harmless() {
        for (value, expected) in [
            (
                r#"{"user_id":"a6397988-3b3c","app_version":"2.3.0","ip":"108.228.145.239","locale":"RI","timestamp":1720576825}"#,
                r#"{"user_id":"…","app_version":"2.3.0","ip":"…","locale":"RI","timestamp":1720576825}"#,
            ),
            (
                r#"{ "device_type" : "iOS", "late":true, "n": [1, null] }"#,
                r#"{ "device_type" : "iOS", "…":true, "…": […, null] }"#,
            ),
            (r#"{"locale":"Ann Smith","timestamp":"108.228.145.239"}"#, r#"{"locale":"…","timestamp":"…"}"#),
            (
                r#"{"app_version":"10.0.0.1","ip":"","timestamp":"1720576825"}"#,
                r#"{"app_version":"…","ip":"","timestamp":"1720576825"}"#,
            ),
            (r#"{"timestamp":-1.5,"timestamp":NaN,"locale":RI}"#, r#"{"timestamp":-1.5,"timestamp":…,"locale":…}"#),
            (r#"login from RI failed: "ip""#, r#"… … … …: "…""#),
            (r#"{"user_id":"a6"#, r#"{"user_id":"…""#),
            (r#"{"locale":"R\"I","locale":"\u0052"}"#, r#"{"locale":"…","locale":"…"}"#),
            ("", ""),
        ] {
            assert_eq!(mask(value.as_bytes(), LIMIT), expected);
        }

        assert_eq!(mask(b"\xff\xfe{\"locale\":\"RI\"}", LIMIT), "…{\"locale\":\"RI\"}");
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!(mask(b"[1,2,3]", 4), "[…,…");
        assert_eq!(mask(b"[[[[[[", 4), "[[[…");
        assert_eq!(mask(b"[]", 0), "");
        let long = format!("{{\"blob\":\"{}\",\"locale\":\"RI\"}}", "x".repeat(LOOKED_AT));
        assert_eq!(mask(long.as_bytes(), LIMIT), "{\"…\":\"…\"…");
    }

    /// The personal data in a payload that is an event: the values of the sensitive fields.
    fn personal(payload: &[u8]) -> Vec<String> {
        let Ok(event) = serde_json::from_slice::<Value>(payload) else { return Vec::new() };
        let texts = ["user_id", "ip", "device_id"].iter().filter_map(|name| event.get(name)?.as_str());
        texts.filter(|text| text.len() > 3).map(str::to_owned).collect()
    }

    /// Whether a text holds only what the mask lets through.
    fn is_clean(masked: &str) -> bool {
        let names = Field::ALL.map(|field| format!("\"{}\"", field.name()));
        let text = names.iter().fold(masked.to_owned(), |text, name| text.replace(name.as_str(), ""));
        let is_word = |char: char| char.is_alphanumeric() || char == '.';
        text.split(|char: char| !is_word(char)).all(|word| {
            let is_letters = word.len() <= 16 && word.chars().all(|char| char.is_ascii_alphabetic());
            word.is_empty() || is_letters || is_version(word) || is_number(word)
        })
    }

    fn events(kind: Kind, seed: u64) -> impl Iterator<Item = Vec<u8>> {
        let shares = if kind == Kind::Normal { Shares::NONE } else { Shares::NONE.with(kind, 1.0).unwrap() };
        let options = Options { shares, seed, ..Options::default() };
        Events::new(options).take(2000).filter_map(|event| event.payload().map(<[u8]>::to_owned))
    }

    #[test]
    fn no_personal_data_of_generated_events_survives() {
        let mut known = Vec::new();
        for kind in Kind::ALL {
            for payload in events(kind, 7) {
                known.extend(personal(&payload));
                let masked = mask(&payload, LIMIT);
                assert!(is_clean(&masked), "{masked} of {}", String::from_utf8_lossy(&payload));
                for text in personal(&payload) {
                    assert!(!masked.contains(&text), "{text} is in {masked}");
                }
            }
        }
        assert!(known.len() > 20_000, "{}", known.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Payloads are cut, joined, and changed in single bytes, as broken senders do.
        #[test]
        fn nor_does_any_of_broken_payloads(
            seed in any::<u64>(),
            kind in prop::sample::select(&Kind::ALL[..]),
            (from, to) in (0..400_usize, 0..400_usize),
            broken in prop::collection::vec((0..400_usize, prop::sample::select(&b"\"\\{}[],:' \n0a\xff"[..])), 0..6),
            limit in 1..600_usize,
        ) {
            let payloads: Vec<Vec<u8>> = events(kind, seed).take(2).collect();
            let whole = payloads.concat();
            let cut = whole.get(from.min(whole.len())..).unwrap_or_default();
            let mut bytes = [cut, whole.get(..to.min(whole.len())).unwrap_or_default()].concat();
            for (at, byte) in broken {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }

            let masked = mask(&bytes, limit);
            prop_assert!(is_clean(&masked), "{} of {}", masked, String::from_utf8_lossy(&bytes));
            prop_assert!(masked.chars().count() <= limit);
            for text in payloads.iter().flat_map(|payload| personal(payload)) {
                for part in text.split('-').filter(|part| part.len() > 4) {
                    prop_assert!(!masked.contains(part), "{part} is in {masked}");
                }
            }
        }

        #[test]
        fn of_anything_only_what_is_harmless_is_shown(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let masked = mask(&bytes, LIMIT);
            prop_assert!(is_clean(&masked), "{masked}");
        }
    }
}
