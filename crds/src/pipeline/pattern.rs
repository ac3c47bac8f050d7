//! The forms that texts of the resource may have: for the schema as a pattern, for messages in words.

use std::{collections::BTreeMap, sync::LazyLock};

use regex_lite::Regex;

/// A name that Kafka takes for a topic, but for `.` and `..`: `org.apache.kafka.common.internals.Topic`.
pub const TOPIC: &str = "^[a-zA-Z0-9._-]+$";
/// Kubernetes' rule for most names, as far as a pattern needs to have it: a subdomain of RFC 1123.
pub const DNS_NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// Kubernetes' rule for the parts of such names: a label of RFC 1123.
pub const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A listener of a `Kafka` resource.
pub const LISTENER: &str = "^[a-z0-9]+$";
/// A key of a Secret.
pub const SECRET_KEY: &str = "^[-._a-zA-Z0-9]+$";

const WORDS: [(&str, &str); 5] = [
    (TOPIC, "letters, digits, dots, underscores and hyphens"),
    (DNS_NAME, "lower case letters, digits, hyphens and dots, with a letter or digit at both ends"),
    (DNS_LABEL, "lower case letters, digits and hyphens, with a letter or digit at both ends"),
    (LISTENER, "lower case letters and digits"),
    (SECRET_KEY, "letters, digits, hyphens, underscores and dots"),
];

static REGEXES: LazyLock<BTreeMap<&str, Regex>> =
    LazyLock::new(|| WORDS.iter().filter_map(|(pattern, _)| Some((*pattern, Regex::new(pattern).ok()?))).collect());

/// Whether a text has the form of one of these patterns. No text has the form of another pattern, so that one that is
/// missing here shows.
pub fn fits(pattern: &str, text: &str) -> bool {
    REGEXES.get(pattern).is_some_and(|regex| regex.is_match(text))
}

/// Of which characters a text of this form is made.
pub fn words(pattern: &str) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == pattern).map_or("characters", |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_has_words() {
        for (pattern, _) in WORDS {
            assert!(REGEXES.contains_key(pattern) && words(pattern) != "characters", "{pattern}");
        }
    }

    #[test]
    fn a_pattern_is_about_the_whole_text() {
        assert!(fits(DNS_LABEL, "a-1") && fits(DNS_NAME, "a.b") && fits(TOPIC, "A_1.x"));
        for text in ["", "a.b", "-a", "a-", "A", "a b", "a\n"] {
            assert!(!fits(DNS_LABEL, text), "{text:?}");
        }
    }

    #[test]
    fn nothing_fits_an_unknown_pattern() {
        assert!(!fits("^a$", "a"));
    }
}
