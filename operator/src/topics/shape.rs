//! How a topic differs from what the pipeline needs: which differences matter, and which Strimzi would make. Pure.
//!
//! | topic | must | or else |
//! |---|---|---|
//! | output, dead letters | take the source's messages and keep every record: no compaction | events are cut or lost |
//! | deltas | keep everything until stage 2 trims it | counts are lost |
//! | state | only be compacted, and not too soon | a start finds no snapshot |
//! | aggregates, insights, alerts | be compacted | the last revision of a result expires |
//! | replays | only be compacted | dead letters are replayed twice |
//!
//! The other configs that the pipeline sets on topics that it creates are tuning: topics of others may differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crds::topics::{MAX_GROWTH_BYTES, Role, Topic};

/// The config for the largest record batch that a topic takes.
pub(super) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

const CLEANUP_POLICY: &str = "cleanup.policy";
const COMPACT: &str = "compact";

/// A topic that exists in Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Existing {
    /// Kafka's own identifier.
    pub(super) id: String,
    pub(super) partitions: i32,
    /// Every effective config, whatever its source.
    pub(super) config: BTreeMap<String, String>,
    /// The configs that were set on the topic itself.
    pub(super) dynamic: BTreeSet<String>,
}

/// One difference between a topic and what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The config, or `partitions`.
    pub(super) what: String,
    /// The actual value.
    pub(super) from: String,
    /// The wanted value.
    pub(super) to: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} to {}", self.what, self.from, self.to)
    }
}

/// Changes as a part of a sentence.
pub(super) fn list(changes: &[Change]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The configs of a topic of others with which the pipeline cannot work. `source_bytes` is the largest message of the
/// source. A config that is not given has Kafka's default.
pub(super) fn unmet(topic: &Topic, config: &BTreeMap<String, String>, source_bytes: i64) -> Vec<Change> {
    changes(topic, config, |key, actual, wanted| match (topic.role, key) {
        (Role::Source, _) => true,
        (Role::Output | Role::DeadLetters, MAX_MESSAGE_BYTES) => integer(actual) >= Some(source_bytes),
        (Role::Aggregates | Role::Insights | Role::Alerts, CLEANUP_POLICY) => has(actual, COMPACT),
        (_, CLEANUP_POLICY) | (Role::Deltas, "retention.ms" | "retention.bytes") => actual == wanted,
        (Role::State, "min.compaction.lag.ms") => integer(actual) >= integer(wanted),
        _ => true,
    })
}

/// The configs that the pipeline set when it created the topic, and that are different now.
pub(super) fn drift(topic: &Topic, config: &BTreeMap<String, String>) -> Vec<Change> {
    changes(topic, config, |_, actual, wanted| is_same(actual, wanted))
}

/// What Strimzi would do to an existing topic that gets a new `KafkaTopic` of the pipeline: it resets every config that
/// was set on the topic and is not named there.
pub(super) fn takeover(topic: &Topic, existing: &Existing) -> Vec<Change> {
    let is_named = |key: &str| topic.config.iter().any(|(named, _)| *named == key);
    let reset = existing.dynamic.iter().filter(|key| !is_named(key)).map(|key| Change {
        what: key.clone(),
        from: existing.config.get(key).cloned().unwrap_or_default(),
        to: "the brokers' default".to_owned(),
    });
    let grown = (existing.partitions < topic.partitions).then(|| partitions(existing.partitions, topic.partitions));
    drift(topic, &existing.config).into_iter().chain(reset).chain(grown).collect()
}

/// A change of the number of partitions.
pub(super) fn partitions(from: i32, to: i32) -> Change {
    Change { what: "partitions".to_owned(), from: from.to_string(), to: to.to_string() }
}

pub(super) fn integer(value: &str) -> Option<i64> {
    value.trim().parse().ok()
}

/// The outputs' `max.message.bytes`, given that of the source.
pub(super) fn output_bytes(source_bytes: i64) -> i64 {
    source_bytes.saturating_add(i64::from(MAX_GROWTH_BYTES))
}

fn changes(
    topic: &Topic,
    config: &BTreeMap<String, String>,
    is_fine: impl Fn(&str, &str, &str) -> bool,
) -> Vec<Change> {
    let different = topic.config.iter().filter_map(|(key, wanted)| {
        let actual = config.get(*key).map_or_else(|| default(key), String::as_str);
        let change = || Change { what: (*key).to_owned(), from: actual.to_owned(), to: wanted.clone() };
        (!is_fine(key, actual, wanted)).then(change)
    });
    different.collect()
}

/// Kafka's built-in default. Brokers may have others, which only Kafka itself can tell.
fn default(key: &str) -> &'static str {
    match key {
        CLEANUP_POLICY => "delete",
        MAX_MESSAGE_BYTES => "1048588",
        "message.timestamp.type" => "CreateTime",
        "min.cleanable.dirty.ratio" => "0.5",
        "min.compaction.lag.ms" => "0",
        "retention.bytes" => "-1",
        "retention.ms" => "604800000",
        "segment.bytes" => "1073741824",
        _ => "not set",
    }
}

fn is_same(actual: &str, wanted: &str) -> bool {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    actual == wanted || number(actual).is_some_and(|actual| Some(actual) == number(wanted))
}

fn has(list: &str, entry: &str) -> bool {
    list.split(',').any(|item| item.trim() == entry)
}

/// Whether a source takes the producers' timestamps without a bound on how far they may be ahead. An event from the
/// future is not recognized then.
pub(super) fn takes_any_time(config: &BTreeMap<String, String>) -> bool {
    let value = |key: &str| config.get(key).map(String::as_str);
    let by_broker = value("message.timestamp.type") == Some("LogAppendTime");
    let bound = value("message.timestamp.after.max.ms").and_then(integer);
    !by_broker && bound.is_none_or(|bound| bound == i64::MAX)
}

#[cfg(test)]
mod tests {
    use crds::topics::{PipelineId, topics};

    use super::*;

    const SOURCE_BYTES: i64 = 1_048_588;

    fn topic(role: Role) -> Topic {
        let spec = serde_json::from_str(r#"{"kafka": {"strimzi": {"cluster": "a"}}}"#).unwrap();
        let id = PipelineId { namespace: "streams".to_owned(), name: "logins".to_owned() };
        topics(&id, &spec).into_iter().find(|topic| topic.role == role).unwrap()
    }

    fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[track_caller]
    fn check(role: Role, pairs: &[(&str, &str)], expected: &str) {
        assert_eq!(list(&unmet(&topic(role), &config(pairs), SOURCE_BYTES)), expected, "{role} {pairs:?}");
    }

    #[test]
    fn what_the_pipeline_cannot_work_with_is_named() {
        check(Role::Source, &[("max.message.bytes", "1"), ("cleanup.policy", "compact")], "");
        check(Role::Output, &[], "");
        check(Role::Output, &[("max.message.bytes", "1048588")], "");
        check(Role::Output, &[("max.message.bytes", "1000")], "max.message.bytes from 1000 to 1114124");
        check(Role::DeadLetters, &[("cleanup.policy", "compact")], "cleanup.policy from compact to delete");
        check(
            Role::DeadLetters,
            &[("cleanup.policy", "compact,delete")],
            "cleanup.policy from compact,delete to delete",
        );

        check(Role::Deltas, &[("retention.ms", "-1")], "");
        check(Role::Deltas, &[], "retention.ms from 604800000 to -1");
        check(
            Role::Deltas,
            &[
                ("cleanup.policy", "compact"),
                ("retention.bytes", "5"),
                ("retention.ms", "5"),
                ("max.message.bytes", "5"),
            ],
            "cleanup.policy from compact to delete, retention.bytes from 5 to -1, retention.ms from 5 to -1",
        );

        for role in [Role::Aggregates, Role::Insights, Role::Alerts] {
            check(role, &[], "cleanup.policy from delete to compact");
            check(role, &[("cleanup.policy", "compact")], "");
            check(role, &[("cleanup.policy", "delete, compact")], "");
        }

        check(Role::Replays, &[("cleanup.policy", "compact")], "");
        check(Role::Replays, &[("cleanup.policy", "compact,delete")], "cleanup.policy from compact,delete to compact");
        check(Role::State, &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "700000")], "");
        check(
            Role::State,
            &[("cleanup.policy", "compact,delete"), ("min.compaction.lag.ms", "1")],
            "cleanup.policy from compact,delete to compact, min.compaction.lag.ms from 1 to 600000",
        );
    }

    #[test]
    fn drift_is_whatever_differs_from_what_was_set() {
        let made = |role: Role| topic(role).config.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        for role in Role::ALL {
            let mut config: BTreeMap<String, String> = made(role);
            assert_eq!(drift(&topic(role), &config), [], "{role}");
            config.insert("retention.hours".to_owned(), "1".to_owned());
            assert_eq!(drift(&topic(role), &config), [], "{role}: what others set");
        }

        let mut state: BTreeMap<String, String> = made(Role::State);
        state.insert("min.cleanable.dirty.ratio".to_owned(), "0.10".to_owned());
        assert_eq!(drift(&topic(Role::State), &state), [], "the same number");
        state.insert("segment.bytes".to_owned(), "5".to_owned());
        state.remove("cleanup.policy");
        let expected = "cleanup.policy from delete to compact, segment.bytes from 5 to 67108864";
        assert_eq!(list(&drift(&topic(Role::State), &state)), expected);
    }

    #[test]
    fn strimzi_resets_what_its_kafka_topic_does_not_name() {
        let existing = |pairs: &[(&str, &str)], dynamic: &[&str], partitions: i32| Existing {
            id: "a".to_owned(),
            partitions,
            config: config(pairs),
            dynamic: dynamic.iter().map(|key| (*key).to_owned()).collect(),
        };
        let aggregates = |pairs: &[(&str, &str)], dynamic: &[&str], partitions: i32| {
            list(&takeover(&topic(Role::Aggregates), &existing(pairs, dynamic, partitions)))
        };
        let compact = ("cleanup.policy", "compact");

        assert_eq!(aggregates(&[compact], &["cleanup.policy"], 1), "");
        // A config that comes from the brokers is not reset.
        assert_eq!(aggregates(&[compact, ("retention.ms", "5")], &["cleanup.policy"], 1), "");
        assert_eq!(
            aggregates(&[compact, ("retention.ms", "5")], &["cleanup.policy", "retention.ms"], 1),
            "retention.ms from 5 to the brokers' default"
        );
        assert_eq!(aggregates(&[], &[], 1), "cleanup.policy from delete to compact");
        let source = existing(&[("message.timestamp.type", "LogAppendTime"), ("cleanup.policy", "delete")], &[], 3);
        assert_eq!(list(&takeover(&topic(Role::Source), &source)), "partitions from 3 to 8");
    }

    #[test]
    fn a_source_whose_times_nobody_checks_is_recognized() {
        let takes = |pairs: &[(&str, &str)]| takes_any_time(&config(pairs));
        assert!(takes(&[]));
        assert!(takes(&[("message.timestamp.type", "CreateTime")]));
        assert!(takes(&[("message.timestamp.after.max.ms", "9223372036854775807")]));
        assert!(!takes(&[("message.timestamp.type", "CreateTime"), ("message.timestamp.after.max.ms", "3600000")]));
        assert!(!takes(&[("message.timestamp.type", "LogAppendTime")]));
    }
}
