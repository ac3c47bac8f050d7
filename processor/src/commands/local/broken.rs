//! Broken events, which show a person what becomes of one. Pure.

use crate::commands::generate::{GeneratedEvent, Kind};

/// The user of all broken events.
const USER: &str = "00000000-0000-4000-8000-000000000000";

/// A broken event with its description.
#[derive(Debug)]
pub struct Broken {
    pub event: GeneratedEvent,
    /// What is wrong with it, for people.
    pub told: &'static str,
    /// The reason that its dead letter will have.
    pub reason: &'static str,
}

/// Makes broken event `number`; consecutive numbers give different kinds. `now` is the current time, in Unix seconds.
#[must_use]
pub fn broken(number: usize, now: i64) -> Broken {
    let event = |kind, rest: &str| {
        let payload = format!(r#"{{"user_id":"{USER}","app_version":"2.3.0","ip":"192.0.2.1","locale":"RI"{rest}"#);
        GeneratedEvent::new(kind, USER, &payload)
    };
    match number % 4 {
        0 => Broken {
            event: event(Kind::Incomplete, &format!(r#","timestamp":{now}}}"#)),
            told: "without its device_type",
            reason: "missing-field",
        },
        1 => Broken {
            event: event(Kind::Malformed, r#","device_type":"iOS","times"#),
            told: "cut off in the middle",
            reason: "malformed",
        },
        2 => Broken {
            event: event(Kind::Odd, r#","device_type":"iOS","timestamp":"yesterday"}"#),
            told: "whose timestamp is a word",
            reason: "invalid-field",
        },
        _ => Broken {
            event: event(Kind::Future, &format!(r#","device_type":"iOS","timestamp":{}}}"#, now + 86_400)),
            told: "from tomorrow",
            reason: "future",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use audit::{Judge, Record, Verdict};

    #[test]
    fn each_becomes_the_dead_letter_that_is_told() {
        const NOW: i64 = 1_720_576_825;
        let mut judge = Judge::new(crds::job::Rules::default(), 0, 1 << 20, true);
        for number in 0..8 {
            let Broken { event, reason, .. } = broken(number, NOW);
            let value = event.payload();
            let offset = i64::try_from(number).unwrap();
            let record = Record { offset, timestamp: NOW * 1000, key: Some(&event.key), value, headers: &[] };
            let Verdict::DeadLetter(found) = judge.judge(&record) else { panic!("{number} is valid") };
            assert_eq!(found.as_str(), reason, "{number}");
        }
    }
}
