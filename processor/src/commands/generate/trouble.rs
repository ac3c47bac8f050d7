//! Payloads that no app should send and that occur nevertheless: malformed ones and odd ones.
//!
//! Few events are of these kinds, so they are built from strings, without regard to speed.

use std::net::Ipv4Addr;

use super::{
    population::{Login, write_uuid},
    random::Random,
};

/// A login as members of a JSON object: key and value, both as JSON text.
type Members = Vec<(String, String)>;

fn members(login: &Login, timestamp: i64) -> Members {
    let uuid = |uuid| {
        let mut text = Vec::new();
        write_uuid(uuid, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    };
    let text = |name: &str, value: String| (format!("\"{name}\""), format!("\"{value}\""));
    vec![
        text("user_id", uuid(login.user)),
        text("app_version", login.version.to_owned()),
        text("ip", Ipv4Addr::from(login.ip).to_string()),
        text("locale", login.locale.to_owned()),
        text("device_id", uuid(login.device)),
        ("\"timestamp\"".to_owned(), timestamp.to_string()),
        text("device_type", login.device_type.to_owned()),
    ]
}

fn object(members: &Members) -> String {
    let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn set(members: &mut Members, name: &str, value: impl Into<String>) {
    let quoted = format!("\"{name}\"");
    if let Some((_, old)) = members.iter_mut().find(|(key, _)| *key == quoted) {
        *old = value.into();
    }
}

fn add(members: &mut Members, at: usize, key: &str, value: impl Into<String>) {
    members.insert(at.min(members.len()), (format!("\"{key}\""), value.into()));
}

/// Number of different odd payloads.
pub const ODD: u64 = 26;

/// Writes one of the odd payloads: a single JSON object with unique keys, but an unusual one.
pub fn odd(login: &Login, timestamp: i64, random: &mut Random, out: &mut Vec<u8>) {
    let which = random.below(ODD);
    let at = random.below(8) as usize;
    out.extend_from_slice(odd_text(login, timestamp, which, at).as_bytes());
}

fn odd_text(login: &Login, timestamp: i64, which: u64, at: usize) -> String {
    let mut event = members(login, timestamp);
    match which {
        // Unknown fields.
        0 => add(&mut event, at, "session", "{\"id\":7,\"tags\":[\"a\",\"b\"],\"user_id\":null}"),
        1 => add(&mut event, at, "größe", "\"1,5 \u{1F600} — \u{202E}abc\""),
        2 => add(&mut event, at, "note", "\"tab\\t quote\\\" slash\\/ back\\\\ \\ud83d\\ude00 \\u0000\""),
        3 => add(&mut event, at, "deep", format!("{}1{}", "[".repeat(63), "]".repeat(63))),
        4 => add(&mut event, at, "big", format!("-{}.5e+400", "9".repeat(300))),
        5 => add(&mut event, at, "blob", format!("\"{}\"", "x".repeat(16 * 1024))),
        6 => add(&mut event, at, "", "{}"),
        // Fields that the pipeline itself adds.
        7 => add(&mut event, at, "event_id", "\"0-0\""),
        8 => add(&mut event, at, "login_time", "{\"late\":[1,2,{\"event_id\":\"0-0\"}]}"),
        9 => {
            add(&mut event, at, "l\\u0061te", "true");
            add(&mut event, 0, "login_time", "\"1970-01-01T00:00:00Z\"");
            add(&mut event, 9, "event_id", "null");
        }
        10 => add(&mut event, at, "text", "\"\\\"event_id\\\":\\\"0-0\\\",\""),
        // Known fields in an unusual notation.
        11 => return spaced(&event),
        12 => event.rotate_left(at % 7),
        13 => {
            if let Some((key, _)) = event.first_mut() {
                *key = "\"user\\u005fid\"".to_owned();
            }
        }
        14 => set(&mut event, "ip", "\"2001:db8::42\""),
        15 => set(&mut event, "app_version", format!("\"{}\"", "1".repeat(256))),
        16 => set(&mut event, "locale", "\"\\u0052\\u0049\""),
        // Known fields with invalid values.
        17 => set(&mut event, "timestamp", format!("\"{timestamp}\"")),
        18 => set(&mut event, "timestamp", format!("{timestamp}123")),
        19 => set(&mut event, "timestamp", format!("-{timestamp}")),
        20 => set(&mut event, "timestamp", format!("{timestamp}.0")),
        21 => set(&mut event, "timestamp", "99999999999999999999"),
        22 => set(&mut event, "device_type", "null"),
        23 => set(&mut event, "user_id", "\"\""),
        24 => set(&mut event, "locale", "\"R\\nI\""),
        _ => set(&mut event, "app_version", format!("\"{}\"", "1".repeat(257))),
    }
    object(&event)
}

/// The same object, with white space wherever JSON allows it.
fn spaced(members: &Members) -> String {
    let members: Vec<String> = members.iter().map(|(key, value)| format!("\n  {key}\t: {value} ")).collect();
    format!(" {{{}\r\n}} \n", members.join(","))
}

/// Number of different malformed payloads.
pub const MALFORMED: u64 = 18;

/// Writes one of the malformed payloads. Returns true for a tombstone, which has no payload.
pub fn malformed(login: &Login, timestamp: i64, random: &mut Random, out: &mut Vec<u8>) -> bool {
    let which = random.below(MALFORMED);
    let cut = random.below(1000) as usize;
    match malformed_bytes(login, timestamp, which, cut) {
        Some(bytes) => {
            out.extend_from_slice(&bytes);
            false
        }
        None => true,
    }
}

fn malformed_bytes(login: &Login, timestamp: i64, which: u64, cut: usize) -> Option<Vec<u8>> {
    let mut event = members(login, timestamp);
    let whole = object(&event);
    let text = match which {
        0 => return None,
        1 => String::new(),
        2 => whole[..1 + cut % (whole.len() - 1)].to_owned(),
        3 => return Some(whole.bytes().map(|byte| if byte == b'-' { 0xFF } else { byte }).collect()),
        4 => format!("[{whole}]"),
        5 => "null".to_owned(),
        6 => format!("\"{}\"", login.version),
        7 => format!("login from {} failed", login.locale),
        8 => format!("{whole}{whole}"),
        9 => format!("\u{FEFF}{whole}"),
        10 => whole.replace('"', "'"),
        11 => format!("{},}}", &whole[..whole.len() - 1]),
        12 => {
            add(&mut event, 7, "user\\u005fid", "\"x\"");
            object(&event)
        }
        13 => {
            add(&mut event, cut % 8, "session", "{\"id\":1,\"tags\":[{\"a\":1,\"b\":2,\"a\":3}]}");
            object(&event)
        }
        14 => {
            add(&mut event, cut % 8, "deep", format!("{}{}", "[".repeat(64), "]".repeat(64)));
            object(&event)
        }
        15 => {
            set(&mut event, "app_version", "\"\\ud83d\"");
            object(&event)
        }
        16 => {
            set(&mut event, "locale", "\"R\u{1}I\"");
            object(&event)
        }
        _ => {
            set(&mut event, "timestamp", "NaN");
            object(&event)
        }
    };
    Some(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crds::{job::Rules, records::dead_letter::Reason};

    use super::*;
    use crate::commands::generate::{Events, Kind, Options, Shares, population::login};
    use audit::{Judge, Record, Verdict};

    const NOW: i64 = 1_720_576_800;

    fn outcome(value: Option<&[u8]>) -> Option<Reason> {
        let record = Record { offset: 0, timestamp: NOW * 1000, key: None, value, headers: &[] };
        match Judge::new(Rules::default(), 0, 1_000_000, true).judge(&record) {
            Verdict::Output { .. } => None,
            Verdict::DeadLetter(reason) => Some(reason),
        }
    }

    #[test]
    fn every_malformed_payload_is_malformed() {
        let mut random = Random::new(1);
        for cut in 0..300 {
            let login = login(1, 100, &mut random);
            for which in 0..MALFORMED {
                let bytes = malformed_bytes(&login, NOW, which, cut);
                assert_eq!(outcome(bytes.as_deref()), Some(Reason::Malformed), "{which} {cut}");
            }
        }
    }

    #[test]
    fn every_odd_payload_is_an_object() {
        let login = login(1, 100, &mut Random::new(1));
        for at in 0..8 {
            let mut texts = BTreeSet::new();
            for which in 0..ODD {
                let text = odd_text(&login, NOW, which, at);
                let expected = match which {
                    0..=16 => None,
                    18 => Some(Reason::Future),
                    22 => Some(Reason::MissingField),
                    _ => Some(Reason::InvalidField),
                };

                assert_eq!(outcome(Some(text.as_bytes())), expected, "{which}: {text}");
                assert!(texts.insert(text), "{which} is like another one");
            }
        }
    }

    #[test]
    fn kinds_become_what_they_are_called() {
        let outcomes = |kind: Kind| {
            let shares = if kind == Kind::Normal { Shares::NONE } else { Shares::NONE.with(kind, 1.0).unwrap() };
            let events = Events::new(Options { shares, start: NOW, ..Options::default() }).take(500);
            events.map(|event| outcome(event.payload())).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        use Reason::{Future, InvalidField, Malformed, MissingField};

        assert_eq!(outcomes(Kind::Normal), [None]);
        assert_eq!(outcomes(Kind::Late), [None]);
        assert_eq!(outcomes(Kind::Future), [Some(Future)]);
        assert_eq!(outcomes(Kind::Malformed), [Some(Malformed)]);
        assert_eq!(outcomes(Kind::Incomplete), [Some(MissingField)]);
        assert_eq!(outcomes(Kind::Odd), [None, Some(MissingField), Some(InvalidField), Some(Future)]);
        assert_eq!(outcomes(Kind::Repeated), [None]);
    }
}
