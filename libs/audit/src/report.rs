//! The findings of an audit, and how the findings of all partitions become one report.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

use crds::records::dead_letter::Reason;
use serde::Serialize;

use super::{
    batch::{Kind, Mismatch, Mismatches, Unchecked},
    expected::Difference,
    ranges::Offsets,
    record::{Origin, Stream},
    replays::Replays,
};

/// The kinds of faults.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A source record that became nothing.
    Lost,
    /// An additional record for a source record that has the right one.
    Duplicated,
    /// A record after one whose source record is later.
    OutOfOrder,
    /// A source record that became a record in the wrong topic or partition only.
    Misrouted,
    /// A record in its place with a wrong key, value, headers or reason.
    Altered,
    /// A record that names no source record, or one that does not exist.
    Unexpected,
}

impl Fault {
    /// Every fault, in declaration order.
    pub const ALL: [Self; 6] =
        [Self::Lost, Self::Duplicated, Self::OutOfOrder, Self::Misrouted, Self::Altered, Self::Unexpected];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::OutOfOrder => "out of order",
            Self::Misrouted => "misrouted",
            Self::Altered => "altered",
            Self::Unexpected => "unexpected",
        }
    }
}

/// Where a record was found.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub stream: Stream,
    pub partition: i32,
    pub offset: i64,
}

/// An example of a fault. It gives places, never contents: events are personal data.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The source record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Origin>,
    /// The faulty record, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Place>,
    /// The difference, for an altered record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

/// The number of examples kept for each fault.
const EXAMPLES: usize = 10;

/// Faults, by kind: their number, and the first examples.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(BTreeMap<Fault, (u64, Vec<Finding>)>);

impl Findings {
    pub fn add(&mut self, fault: Fault, finding: Finding) {
        let (total, examples) = self.0.entry(fault).or_default();
        *total += 1;
        if examples.len() < EXAMPLES {
            examples.push(finding);
        }
    }

    fn absorb(&mut self, other: Self) {
        for (fault, (count, findings)) in other.0 {
            let (total, examples) = self.0.entry(fault).or_default();
            *total += count;
            examples.extend(findings);
        }
    }

    pub fn count(&self, fault: Fault) -> u64 {
        self.0.get(&fault).map_or(0, |(count, _)| *count)
    }
}

/// The faults found so far. A missing record may still come, but too late for its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wrong {
    /// Source records that later ones have overtaken.
    pub lost: u64,
    /// Additional records for source records that have the right one.
    pub duplicated: u64,
    /// Records that are out of order, misrouted, altered, or from no source record.
    pub other: u64,
}

impl AddAssign for Wrong {
    fn add_assign(&mut self, Self { lost, duplicated, other }: Self) {
        self.lost += lost;
        self.duplicated += duplicated;
        self.other += other;
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct CorrectRecords {
    pub input: u64,
    pub processed: u64,
    pub dead_letters: BTreeMap<Reason, u64>,
    pub late: u64,
    pub unchecked: u64,
}

/// The findings of one partition. [`conclude`] settles the records that name another partition.
#[derive(Clone, Debug)]
pub struct PartitionReport {
    pub(super) partition: i32,
    /// The audited source offsets are [start, end); `last` is the highest that exists.
    pub(super) start: i64,
    pub(super) end: Option<i64>,
    pub(super) last: Option<i64>,
    /// The highest source offset of a correctly placed record.
    pub(super) seen: Option<i64>,
    pub(super) gaps: Offsets,
    pub(super) lost: Offsets,
    pub(super) counts: CorrectRecords,
    pub(super) findings: Findings,
    pub(super) strays: Vec<(Origin, Place)>,
}

impl PartitionReport {
    /// Settles a record that was found in the wrong partition.
    fn settle_stray(&mut self, origin: Origin, place: Place, findings: &mut Findings) {
        let finding = Finding { source: Some(origin), found: Some(place), difference: None };
        if origin.offset < self.start {
            self.counts.unchecked += 1;
        } else if self.end.is_some_and(|end| origin.offset >= end) {
            // The source record is newer than the audit.
        } else if self.gaps.contains(origin.offset) || self.last.is_none_or(|last| origin.offset > last) {
            findings.add(Fault::Unexpected, finding);
        } else if self.lost.remove(origin.offset) {
            findings.add(Fault::Misrouted, finding);
        } else {
            findings.add(Fault::Duplicated, finding);
        }
    }
}

/// The result of comparing the aggregation's results.
#[derive(Serialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Aggregates {
    /// Aggregates, insights and alerts that differ from the source's, are missing, or should not exist.
    pub aggregate_mismatches: u64,
    /// Mismatches by kind.
    pub mismatches_by_kind: BTreeMap<Kind, u64>,
    /// The number of compared results.
    pub aggregates_checked: u64,
    /// The number of results, or fields of results, that were not compared, by reason.
    pub aggregates_unchecked: BTreeMap<Unchecked, u64>,
    /// Why no result was compared; null when results were compared.
    pub aggregates_skipped: Option<String>,
    /// The first mismatches.
    pub mismatch_examples: Vec<Mismatch>,
}

impl From<Mismatches> for Aggregates {
    fn from(mismatches: Mismatches) -> Self {
        Self {
            aggregate_mismatches: mismatches.count(),
            mismatches_by_kind: mismatches.by_kind,
            aggregates_checked: mismatches.checked,
            aggregates_unchecked: mismatches.unchecked,
            aggregates_skipped: None,
            mismatch_examples: mismatches.examples,
        }
    }
}

/// The findings of an audit. As JSON it is one object; its field names are stable.
#[derive(Serialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Source partitions.
    pub partitions: usize,
    /// Source records. Each is processed, a dead letter, misrouted or lost.
    pub input: u64,
    /// Source records that became a record of the output.
    pub processed: u64,
    /// Source records that became a dead letter.
    pub dead_letters: u64,
    /// Dead letters by reason.
    pub dead_letters_by_reason: BTreeMap<Reason, u64>,
    /// Processed events that are known to be late.
    pub late: u64,
    /// Source records that became nothing.
    pub lost: u64,
    /// Lost records after the last event of their partition that has an outcome: perhaps not processed yet.
    pub lost_at_end: u64,
    /// Additional records for source records that have the right one.
    pub duplicated: u64,
    /// Records after one whose source record is later.
    pub out_of_order: u64,
    /// Source records that became a record in the wrong topic or partition only.
    pub misrouted: u64,
    /// Records in their place that differ from what they should be.
    pub altered: u64,
    /// Records that come from no source record.
    pub unexpected: u64,
    /// Records that were not compared, because the source no longer has their source records.
    pub unchecked: u64,
    /// The first examples of each fault.
    pub examples: BTreeMap<Fault, Vec<Finding>>,
    /// Dead letters that were replayed.
    #[serde(flatten)]
    pub replays: Replays,
    /// The aggregation.
    #[serde(flatten)]
    pub aggregates: Aggregates,
}

/// Combines the partitions' reports.
#[must_use]
pub fn conclude(partitions: Vec<PartitionReport>) -> Report {
    let mut findings = Findings::default();
    let mut strays = Vec::new();
    let mut by_partition: BTreeMap<i32, PartitionReport> = BTreeMap::new();
    for mut partition in partitions {
        strays.append(&mut partition.strays);
        findings.absorb(std::mem::take(&mut partition.findings));
        by_partition.insert(partition.partition, partition);
    }
    // Sorted, so that the same one of several copies always counts as the duplicate.
    strays.sort_unstable();
    for (origin, place) in strays {
        match by_partition.get_mut(&origin.partition) {
            Some(partition) => partition.settle_stray(origin, place, &mut findings),
            None => {
                let finding = Finding { source: Some(origin), found: Some(place), difference: None };
                findings.add(Fault::Unexpected, finding);
            }
        }
    }

    let mut report = Report { partitions: by_partition.len(), ..Report::default() };
    for partition in by_partition.into_values() {
        report.add(&partition, &mut findings);
    }
    let count = |fault| findings.count(fault);
    report.duplicated = count(Fault::Duplicated);
    report.out_of_order = count(Fault::OutOfOrder);
    report.misrouted = count(Fault::Misrouted);
    report.altered = count(Fault::Altered);
    report.unexpected = count(Fault::Unexpected);
    for (fault, (_, mut examples)) in findings.0 {
        examples.sort_unstable();
        examples.truncate(EXAMPLES);
        report.examples.insert(fault, examples);
    }
    report
}

impl Report {
    fn add(&mut self, partition: &PartitionReport, findings: &mut Findings) {
        let PartitionReport { counts, lost, .. } = partition;
        self.input += counts.input;
        self.processed += counts.processed;
        for (reason, count) in &counts.dead_letters {
            self.dead_letters += count;
            *self.dead_letters_by_reason.entry(*reason).or_default() += count;
        }
        self.late += counts.late;
        self.unchecked += counts.unchecked;
        self.lost += lost.count();
        self.lost_at_end += partition.seen.map_or(lost.count(), |seen| lost.count_above(seen));
        for offset in lost.iter().take(EXAMPLES) {
            let source = Some(Origin { partition: partition.partition, offset });
            findings.add(Fault::Lost, Finding { source, found: None, difference: None });
        }
    }

    /// The number of faults of a kind.
    #[must_use]
    pub const fn count(&self, fault: Fault) -> u64 {
        match fault {
            Fault::Lost => self.lost,
            Fault::Duplicated => self.duplicated,
            Fault::OutOfOrder => self.out_of_order,
            Fault::Misrouted => self.misrouted,
            Fault::Altered => self.altered,
            Fault::Unexpected => self.unexpected,
        }
    }

    /// Whether there is no fault at all.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        Fault::ALL.into_iter().all(|fault| self.count(fault) == 0)
            && self.replays.replay_faults == 0
            && self.aggregates.aggregate_mismatches == 0
    }
}

/// A table for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, count: u64| writeln!(f, "{name:<16}{count:>14}");
        line("input", self.input)?;
        line("processed", self.processed)?;
        line("  late", self.late)?;
        line("dead letters", self.dead_letters)?;
        for (reason, count) in &self.dead_letters_by_reason {
            line(&format!("  {reason}"), *count)?;
        }
        for fault in Fault::ALL {
            line(fault.as_str(), self.count(fault))?;
        }
        if self.unchecked > 0 {
            line("unchecked", self.unchecked)?;
        }
        for (fault, examples) in &self.examples {
            for Finding { source, found, difference } in examples {
                write!(f, "{}:", fault.as_str())?;
                if let Some(Origin { partition, offset }) = source {
                    write!(f, " source {partition}-{offset}")?;
                }
                if let Some(Place { stream, partition, offset }) = found {
                    write!(f, ", {} {partition}-{offset}", stream.as_str())?;
                }
                if let Some(difference) = difference {
                    write!(f, ", {}", difference.as_str())?;
                }
                writeln!(f)?;
            }
        }
        if self.lost_at_end > 0 {
            writeln!(
                f,
                "{} of the lost events are behind the last one that became something: if the pipeline is still at work, \
                 use --wait, such as --wait 1m",
                self.lost_at_end
            )?;
        }
        write!(f, "{}{}", self.replays, self.aggregates)?;
        match (self.is_clean(), self.aggregates.aggregates_checked) {
            (true, 0) => write!(f, "clean: each event ended exactly once, in its place, as it should"),
            (true, _) => {
                write!(f, "clean: each event ended exactly once, in its place, as it should, and was counted once")
            }
            (false, _) => write!(f, "FAULTS FOUND"),
        }
    }
}

/// Lines of the table.
impl fmt::Display for Aggregates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.aggregates_skipped {
            return writeln!(f, "aggregates, insights and alerts were not checked: {why}");
        }
        if self.aggregates_checked == 0 && self.aggregates_unchecked.is_empty() {
            return Ok(());
        }
        let mut line = |name: &str, count: u64| writeln!(f, "{name:<16}{count:>14}");
        line("aggregates", self.aggregates_checked)?;
        line("  mismatches", self.aggregate_mismatches)?;
        for (why, count) in &self.aggregates_unchecked {
            writeln!(f, "  unchecked{count:>19}  {}", why.as_str())?;
        }
        self.mismatch_examples.iter().try_for_each(|mismatch| writeln!(f, "mismatch: {mismatch}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mismatch() -> Mismatch {
        let (key, field) = ("1m/2024-07-10T02:00:00Z/locale/RI".to_owned(), "count".to_owned());
        Mismatch { kind: Kind::Aggregates, key, field, expected: json!(7), found: json!(null) }
    }

    fn report(aggregates: Aggregates) -> Report {
        Report { input: 3, aggregates, ..Report::default() }
    }

    fn lines(report: &Report) -> Vec<String> {
        report.to_string().lines().skip(10).map(str::to_owned).collect()
    }

    #[test]
    fn mismatches_are_faults_that_a_person_can_follow() {
        let mut report = report(Aggregates {
            aggregate_mismatches: 1,
            aggregates_checked: 12,
            aggregates_unchecked: BTreeMap::from([(Unchecked::RemovedInput, 4)]),
            mismatch_examples: vec![mismatch()],
            ..Aggregates::default()
        });

        assert!(!report.is_clean());
        assert_eq!(
            lines(&report),
            [
                "aggregates                  12",
                "  mismatches                 1",
                "  unchecked                  4  windows whose events the source no longer has",
                "mismatch: aggregate 1m/2024-07-10T02:00:00Z/locale/RI: count should be 7, is nothing",
                "FAULTS FOUND",
            ]
        );

        report.aggregates.aggregate_mismatches = 0;
        assert!(report.is_clean() && report.to_string().ends_with("as it should, and was counted once"));
    }

    #[test]
    fn what_was_not_checked_is_no_fault_and_said() {
        let skipped = Some("the pipeline is still at work".to_owned());
        let report = report(Aggregates { aggregates_skipped: skipped, ..Aggregates::default() });
        assert!(report.is_clean());
        assert_eq!(
            lines(&report),
            [
                "aggregates, insights and alerts were not checked: the pipeline is still at work",
                "clean: each event ended exactly once, in its place, as it should",
            ]
        );
    }

    #[test]
    fn the_names_of_the_fields_are_stable() {
        let mismatches = Mismatches {
            by_kind: BTreeMap::from([(Kind::Insights, 2)]),
            checked: 9,
            unchecked: BTreeMap::from([(Unchecked::EvictedUsers, 1)]),
            examples: vec![mismatch()],
        };
        let value = serde_json::to_value(report(mismatches.into())).unwrap();

        assert_eq!(value["input"], 3);
        assert_eq!(value["aggregate_mismatches"], 2);
        assert_eq!(value["mismatches_by_kind"], json!({"insights": 2}));
        assert_eq!(value["aggregates_checked"], 9);
        assert_eq!(value["aggregates_unchecked"], json!({"evicted-users": 1}));
        assert_eq!(value["aggregates_skipped"], json!(null));
        let example = json!({"kind": "aggregates", "key": "1m/2024-07-10T02:00:00Z/locale/RI", "field": "count",
            "expected": 7, "found": null});
        assert_eq!(value["mismatch_examples"], json!([example]));
    }
}
