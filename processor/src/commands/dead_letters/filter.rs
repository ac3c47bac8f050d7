//! Selects dead letters.

use std::collections::BTreeSet;

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use cli::text::Moment;
use crds::{pipeline, records::dead_letter::Reason};

use super::letter::{Letter, LetterPlace};
use crate::clock::now_ms;

/// Which dead letters are meant: those for which everything holds that is given.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Only these, each as <partition>-<offset>
    #[arg(value_name = "PLACE")]
    pub places: Vec<LetterPlace>,
    /// Only those with this reason; several with commas between
    #[arg(long, value_delimiter = ',', value_parser = reason())]
    pub reason: Vec<Reason>,
    /// Only those of this partition; several with commas between
    #[arg(long, value_delimiter = ',', value_name = "N")]
    pub partition: Vec<i32>,
    /// Only those written at this time or later: RFC 3339 or Unix time, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<i64>,
    /// Only those written before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<i64>,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

impl Filter {
    /// Whether the filter takes a dead letter; `limit` is not considered.
    pub fn takes(&self, letter: &Letter) -> bool {
        (self.places.is_empty() || self.places.contains(&letter.place))
            && (self.reason.is_empty() || letter.reason().is_some_and(|reason| self.reason.contains(&reason)))
            && self.since.is_none_or(|since| letter.timestamp >= since)
            && self.until.is_none_or(|until| letter.timestamp < until)
    }

    /// Whether the filter may take any dead letter of a partition.
    pub fn takes_partition(&self, partition: i32) -> bool {
        (self.partition.is_empty() || self.partition.contains(&partition))
            && (self.places.is_empty() || self.places.iter().any(|place| place.partition == partition))
    }

    /// The places that were named, in the partitions that the filter takes.
    pub fn named(&self) -> BTreeSet<LetterPlace> {
        self.places.iter().copied().filter(|place| self.takes_partition(place.partition)).collect()
    }

    /// The first and the last offset of a partition between which all dead letters lie that the filter takes.
    pub fn offsets(&self, partition: i32) -> (i64, i64) {
        let named = || self.places.iter().filter(|place| place.partition == partition).map(|place| place.offset);
        (named().min().unwrap_or(0), named().max().unwrap_or(i64::MAX))
    }
}

/// Parses the name of a reason.
fn reason() -> impl TypedValueParser<Value = Reason> {
    let names = PossibleValuesParser::new(Reason::ALL.map(Reason::as_str));
    names.try_map(|name| Reason::ALL.into_iter().find(|reason| reason.as_str() == name).ok_or("no reason"))
}

/// Parses a time, as Unix milliseconds.
fn moment(text: &str) -> Result<i64, String> {
    moment_at(text, now_ms())
}

fn moment_at(text: &str, now: i64) -> Result<i64, String> {
    if let Ok(Moment(time)) = text.parse() {
        return Ok(time);
    }
    let ago: pipeline::Duration = text.parse().map_err(|_| {
        "write a time as RFC 3339, such as 2024-07-10T02:00:00Z, as Unix time, or how long ago, such as 90s, 2h"
            .to_owned()
    })?;
    Ok(now.saturating_sub(ago.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::{
        super::letter::tests::{HEADERS, letter},
        *,
    };

    #[test]
    fn everything_that_is_given_must_hold() {
        let letter = letter(&HEADERS);
        let takes = |filter: Filter| filter.takes(&letter);
        let place = letter.place;
        assert!(takes(Filter::default()));
        assert!(takes(Filter { places: vec![place], reason: vec![Reason::Future], ..Filter::default() }));
        assert!(!takes(Filter { places: vec![LetterPlace { offset: 18, ..place }], ..Filter::default() }));
        assert!(!takes(Filter { places: vec![place], reason: vec![Reason::Malformed], ..Filter::default() }));
        let between = |since, until| takes(Filter { since: Some(since), until: Some(until), ..Filter::default() });
        assert!(between(letter.timestamp, letter.timestamp + 1));
        assert!(!between(letter.timestamp + 1, i64::MAX));
        assert!(!between(0, letter.timestamp));
    }

    #[test]
    fn only_the_offsets_that_are_named_are_read() {
        let at = |partition, offset| LetterPlace { partition, offset };
        let filter = Filter { places: vec![at(3, 17), at(3, 9), at(1, 4)], ..Filter::default() };
        assert_eq!(filter.offsets(3), (9, 17));
        assert_eq!(filter.offsets(1), (4, 4));
        assert_eq!([0, 1, 2, 3].map(|partition| filter.takes_partition(partition)), [false, true, false, true]);
        let filter = Filter { partition: vec![2], ..Filter::default() };
        assert_eq!(filter.offsets(2), (0, i64::MAX));
        assert!(filter.takes_partition(2) && !filter.takes_partition(0));
    }

    #[test]
    fn a_time_is_a_time_or_how_long_ago() {
        assert_eq!(moment_at("2024-07-10T02:00:25Z", 0), Ok(1_720_576_825_000));
        assert_eq!(moment_at("2024-07-10T04:00:25.5+02:00", 0), Ok(1_720_576_825_500));
        assert_eq!(moment_at("1720576825", 0), Ok(1_720_576_825_000));
        assert_eq!(moment_at("2h", 10_000_000), Ok(2_800_000));
        for text in ["", "yesterday", "2024-07-10", "-2h"] {
            assert!(moment_at(text, 0).is_err(), "{text}");
        }
    }
}
