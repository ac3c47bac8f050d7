//! What the audit finds, in any order of records: nothing in clean histories, and exactly the planted faults in others.

use crds::records::dead_letter::{self, Reason, TRUNCATED_BYTES};

use super::history::{History, Owned, PARTITIONS, ROOM, aligned, audit, bounds, check, dead_letter, push};
use ::audit::{Bounds, Difference, Fault, Finding, Origin, PartitionAudit, Place, Report, Stream, conclude};

/// Plants faults into a clean history, and compares all fault counts.
fn check_faults(plant: impl FnOnce(&mut History), expected: &[(Fault, u64)]) -> Report {
    let mut history = History::clean(5, 600, PARTITIONS);
    plant(&mut history);
    history.renumber();
    let report = check(&history);
    for fault in Fault::ALL {
        let count = expected.iter().find(|(other, _)| *other == fault).map_or(0, |(_, count)| *count);
        assert_eq!(report.count(fault), count, "{}\n{report}", fault.as_str());
        assert_eq!(report.examples.get(&fault).map_or(0, Vec::len) as u64, count.min(10), "{}", fault.as_str());
    }
    assert_eq!(report.is_clean(), expected.is_empty());
    report
}

fn output(history: &mut History) -> &mut Vec<Owned> {
    &mut history.streams[Stream::Output as usize][1]
}

fn letters(history: &mut History) -> &mut Vec<Owned> {
    &mut history.streams[Stream::DeadLetters as usize][1]
}

/// Replaces text in a value.
fn edit(record: &mut Owned, from: &str, to: &str) {
    let text = String::from_utf8(record.value.take().unwrap()).unwrap();
    assert!(text.contains(from), "{text}");
    record.value = Some(text.replacen(from, to, 1).into_bytes());
}

fn header<'a>(record: &'a mut Owned, name: &str) -> &'a mut Option<Vec<u8>> {
    record.headers.iter_mut().rfind(|(other, _)| other == name).map(|(_, value)| value).unwrap()
}

#[test]
fn a_clean_history_is_clean() {
    let history = History::clean(5, 2000, PARTITIONS);
    let report = check(&history);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.input, 2000);
    assert_eq!(report.processed, history.count(Stream::Output));
    assert_eq!(report.dead_letters, history.count(Stream::DeadLetters));
    assert_eq!(report.dead_letters, report.dead_letters_by_reason.values().sum::<u64>());
    for reason in [Reason::Malformed, Reason::MissingField, Reason::InvalidField, Reason::Future] {
        assert!(report.dead_letters_by_reason[&reason] > 10, "{report}");
    }
    assert!(report.late > 20, "{report}");
}

#[test]
fn a_loss_is_found() {
    let mut lost = None;
    let plant = |history: &mut History| {
        let record = output(history).remove(30);
        lost = record.with(|record| Origin::of(record, Stream::Output, "logins"));
        letters(history).remove(4);
    };

    let report = check_faults(plant, &[(Fault::Lost, 2)]);
    let finding = Finding { source: lost, found: None, difference: None };
    assert!(report.examples[&Fault::Lost].contains(&finding), "{report}");
    assert_eq!(report.lost_at_end, 0);

    let report = check_faults(
        |history| output(history).truncate(100),
        &[(Fault::Lost, {
            let mut clean = History::clean(5, 600, PARTITIONS);
            output(&mut clean).len() as u64 - 100
        })],
    );
    assert!(report.lost_at_end > 0, "{report}");
    assert!(report.to_string().contains("use --wait"), "{report}");
}

#[test]
fn everything_lost_is_found() {
    let plant = |history: &mut History| history.streams[1..].iter_mut().flatten().for_each(Vec::clear);
    let report = check_faults(plant, &[(Fault::Lost, 600)]);
    assert_eq!(report.lost_at_end, 600);
}

#[test]
fn a_duplicate_is_found() {
    let plant = |history: &mut History| {
        let copy = output(history)[30].clone();
        output(history).insert(31, copy.clone());
        output(history).push(copy);
        let letter = letters(history)[3].clone();
        letters(history).push(letter);
    };
    check_faults(plant, &[(Fault::Duplicated, 3)]);
}

#[test]
fn a_swap_is_found() {
    let plant = |history: &mut History| {
        output(history).swap(30, 31);
        letters(history).swap(0, 1);
    };
    check_faults(plant, &[(Fault::OutOfOrder, 2)]);
    let plant = |history: &mut History| {
        let early = output(history).remove(10);
        output(history).insert(50, early);
    };
    let report = check_faults(plant, &[(Fault::OutOfOrder, 1)]);
    let place = report.examples[&Fault::OutOfOrder][0].found;
    assert_eq!(place, Some(Place { stream: Stream::Output, partition: 1, offset: 50 + 50 / 3 }));
}

#[test]
fn a_wrong_topic_is_found() {
    // Unchanged, and as a pipeline with a wrong decision would write it.
    for as_it_is in [true, false] {
        let plant = |history: &mut History| {
            let record = output(history).remove(30);
            let origin = record.with(|record| Origin::of(record, Stream::Output, "logins")).unwrap();
            let mut input = history.streams[0][1].iter();
            let source = input.find(|source| source.offset == origin.offset).unwrap().clone();
            let wrong = if as_it_is { record } else { dead_letter(1, &source, Reason::InvalidField) };
            letters(history).insert(5, wrong);
            let letter = letters(history).remove(2);
            output(history).insert(70, letter);
        };

        check_faults(plant, &[(Fault::Misrouted, 2)]);
    }
}

#[test]
fn a_wrong_partition_is_found() {
    let plant = |history: &mut History| {
        let record = output(history).remove(30);
        history.streams[Stream::Output as usize][2].insert(7, record);
        let letter = letters(history).remove(2);
        history.streams[Stream::DeadLetters as usize][0].push(letter);
    };
    check_faults(plant, &[(Fault::Misrouted, 2)]);
}

#[test]
fn copies_elsewhere_are_duplicates() {
    let plant = |history: &mut History| {
        let record = output(history)[30].clone();
        letters(history).insert(5, record.clone());
        history.streams[Stream::Output as usize][2].insert(7, record);
        let letter = letters(history).remove(3);
        output(history).push(letter.clone());
        output(history).push(letter.clone());
        history.streams[Stream::Output as usize][0].insert(7, letter);
    };
    check_faults(plant, &[(Fault::Duplicated, 4), (Fault::Misrouted, 1)]);

    let plant = |history: &mut History| {
        let letter = letters(history)[3].clone();
        output(history).insert(0, letter.clone());
        output(history).insert(1, letter);
    };
    check_faults(plant, &[(Fault::Duplicated, 2)]);
}

#[test]
fn examples_are_few() {
    let plant = |history: &mut History| {
        let outputs = history.streams[Stream::Output as usize].iter_mut();
        outputs.flat_map(|records| &mut records[..6]).for_each(|record| record.key = Some(b"x".to_vec()));
    };
    check_faults(plant, &[(Fault::Altered, 18)]);
}

#[test]
fn an_alteration_is_found() {
    let differences = |plant: &dyn Fn(&mut History), expected: &[Difference]| {
        let report = check_faults(plant, &[(Fault::Altered, expected.len() as u64)]);
        let found: Vec<_> = report.examples[&Fault::Altered].iter().filter_map(|finding| finding.difference).collect();
        assert_eq!(found, expected);
    };
    use Difference::{Headers, Key, Reason, Truncation, Value};

    differences(&|history| edit(&mut output(history)[30], "\"user_id\":\"", "\"user_id\":\"x"), &[Value]);
    differences(&|history| edit(&mut output(history)[30], "Z\"", "Z\",\"late\":true"), &[Value]);
    differences(&|history| edit(&mut output(history)[30], ",\"login_time\"", ", \"login_time\""), &[Value]);
    let not_late = |history: &mut History| {
        let late = |record: &&mut Owned| record.value.as_ref().unwrap().ends_with(b",\"late\":true}");
        edit(output(history).iter_mut().find(late).unwrap(), ",\"late\":true", "");
    };
    differences(&not_late, &[Value]);
    differences(&|history| output(history)[30].key = None, &[Key]);
    differences(&|history| letters(history)[3].key = Some(vec![]), &[Key]);
    differences(&|history| output(history)[30].headers.push(("x".to_owned(), None)), &[Headers]);
    let missing = |history: &mut History| {
        let with = |record: &&mut Owned| record.headers.len() == 2 && record.headers[0].0 == "trace";
        output(history).iter_mut().find(with).unwrap().headers.remove(1);
    };
    differences(&missing, &[Headers]);
    differences(&|history| *header(&mut letters(history)[3], dead_letter::REASON) = Some(b"odd".to_vec()), &[Reason]);
    differences(&|history| *header(&mut letters(history)[3], dead_letter::DETAIL) = None, &[Headers]);
    differences(
        &|history| *header(&mut letters(history)[3], dead_letter::SOURCE_TIMESTAMP) = Some(b"1".to_vec()),
        &[Headers],
    );
    differences(
        &|history| letters(history)[3].headers.push((dead_letter::TRUNCATED.to_owned(), Some(b"value".to_vec()))),
        &[Truncation],
    );
    let cut = |history: &mut History| {
        let letter =
            letters(history).iter_mut().find(|letter| letter.value.as_ref().is_some_and(|value| value.len() > 9));
        letter.unwrap().value.as_mut().unwrap().pop();
    };
    differences(&cut, &[Value]);
}

#[test]
fn a_record_without_source_is_found() {
    let plant = |history: &mut History| {
        let last = history.streams[0][1].last().unwrap().offset;
        let gap =
            history.streams[0][1].windows(2).find(|pair| pair[1].offset > pair[0].offset + 1).unwrap()[0].offset + 1;
        for (place, id) in [(5, format!("1-{gap}")), (70, format!("1-{}", last + 1)), (90, "9-0".to_owned())] {
            let mut ghost = output(history)[place].clone();
            ghost.value = Some(format!("{{\"event_id\":\"{id}\",\"login_time\":\"x\"}}").into_bytes());
            output(history).insert(place, ghost.clone());
            if id.ends_with(&gap.to_string()) {
                history.streams[Stream::Output as usize][2].insert(place, ghost);
            }
        }
        let mut ghost = letters(history)[0].clone();
        *header(&mut ghost, dead_letter::SOURCE_TOPIC) = Some(b"other".to_vec());
        ghost.value = None;
        letters(history).push(ghost);
    };

    check_faults(plant, &[(Fault::Unexpected, 5)]);
}

#[test]
fn what_lies_before_the_start_or_behind_the_end_does_not_count() {
    let history = History::clean(5, 600, 1);
    let [input, output, letters] = &history.streams;
    let (start, end) = (input[0][100].offset, input[0][500].offset);
    let mut audit = audit(0, Bounds { start, end: Some(end), ..bounds() });
    let kept: Vec<Owned> = input[0].iter().filter(|record| record.offset >= start).cloned().collect();

    // Without the earlier records, lateness is not what this judge assumes: see the next test.
    aligned(&mut audit, [&kept, &output[0], &letters[0]]);
    let report = conclude(vec![audit.finish()]);

    assert_eq!(report.input, 400);
    assert_eq!(report.unchecked, 100);
    assert_eq!(report.processed + report.dead_letters, 400);
    for fault in [Fault::Lost, Fault::Duplicated, Fault::OutOfOrder, Fault::Misrouted, Fault::Unexpected] {
        assert_eq!(report.count(fault), 0, "{report}");
    }
}

#[test]
fn lateness_that_cannot_be_known_is_not_judged() {
    use ::audit::{Judge, Source};
    let history = History::clean(5, 600, 1);
    let [input, output, letters] = &history.streams;
    let start = input[0][100].offset;
    let kept: Vec<Owned> = input[0].iter().filter(|record| record.offset >= start).cloned().collect();
    let report = |output: &[Owned]| {
        let judge = Judge::new(crds::job::Rules::default(), 0, ROOM, false);
        let source = Source { topic: "logins".to_owned(), partition: 0, max_message_bytes: ROOM };
        let mut audit = PartitionAudit::new(judge, source, Bounds { start, ..bounds() });
        aligned(&mut audit, [&kept, output, &letters[0]]);
        conclude(vec![audit.finish()])
    };

    let clean = report(&output[0]);
    assert!(clean.is_clean(), "{clean}");

    // An event that is certainly late must be marked as late.
    let mut wrong = output[0].clone();
    let late = |record: &&mut Owned| record.value.as_ref().unwrap().ends_with(b",\"late\":true}");
    edit(wrong.iter_mut().rfind(late).unwrap(), ",\"late\":true", "");
    assert_eq!(report(&wrong).altered, 1);
}

#[test]
fn a_dead_letter_is_cut_as_far_as_needed_and_no_further() {
    let large = |value: usize, key: usize| Owned {
        offset: 0,
        timestamp: 5,
        key: Some(vec![b'k'; key]),
        value: Some((0..value).map(|index| index as u8).collect()),
        headers: vec![("trace".to_owned(), Some(b"t".to_vec()))],
    };
    let faults = |source: &Owned, cut: &str, kept: usize| {
        let mut letter = dead_letter(0, source, Reason::Malformed);
        if !cut.is_empty() {
            letter.headers.push((dead_letter::TRUNCATED.to_owned(), Some(cut.as_bytes().to_vec())));
        }
        if cut == "record" {
            letter.key = None;
            letter.headers.remove(0);
        }
        letter.value.as_mut().unwrap().truncate(kept);
        let mut audit = audit(0, bounds());
        aligned(&mut audit, [std::slice::from_ref(source), &[], &[letter]]);
        conclude(vec![audit.finish()]).examples.remove(&Fault::Altered).map(|found| found[0].difference.unwrap())
    };
    let room = ROOM - 1024 - 128 - 10 - "tracet".len();
    use Difference::{Headers, Truncation, Value};

    assert_eq!(faults(&large(room - 3, 3), "", usize::MAX), None);
    assert_eq!(faults(&large(room - 3, 3), "value", TRUNCATED_BYTES), Some(Truncation));
    assert_eq!(faults(&large(room - 2, 3), "", usize::MAX), Some(Truncation));
    assert_eq!(faults(&large(room - 2, 3), "value", TRUNCATED_BYTES), None);
    assert_eq!(faults(&large(room - 2, 3), "value", TRUNCATED_BYTES - 1), Some(Truncation));
    assert_eq!(faults(&large(room, room - 100), "value", 100), None);
    assert_eq!(faults(&large(room, room - 100), "value", 101), Some(Truncation));
    assert_eq!(faults(&large(room, room - 100), "record", 100), Some(Truncation));
    assert_eq!(faults(&large(room, room), "record", 100), None);
    assert_eq!(faults(&large(room, room), "record", TRUNCATED_BYTES + 1), Some(Truncation));
    assert_eq!(faults(&large(room, room), "value", 0), Some(Truncation));

    let mut other = dead_letter(0, &large(room, 3), Reason::Malformed);
    other.headers.push((dead_letter::TRUNCATED.to_owned(), Some(b"value".to_vec())));
    other.value = Some(vec![0; TRUNCATED_BYTES]);
    let difference = |letter: Owned| {
        let mut audit = audit(0, bounds());
        aligned(&mut audit, [&[large(room, 3)], &[], &[letter]]);
        conclude(vec![audit.finish()]).examples[&Fault::Altered][0].difference
    };
    assert_eq!(difference(other.clone()), Some(Value));
    other.headers.remove(0);
    assert_eq!(difference(other), Some(Headers));
}

#[test]
fn memory_stays_small_when_streams_are_read_as_wanted() {
    let mut history = History::clean(6, 5000, 1);
    let clean = history.audit(|audit, streams| {
        let held = aligned(audit, streams);
        assert!(held < 40_000, "{held} bytes for a few records, of 16 KB at most");
    });
    assert!(clean.is_clean());
    // One loss in the rarer stream must not make the audit read everything up to the next record there.
    history.streams[Stream::DeadLetters as usize][0].drain(10..300);
    history.audit(|audit, streams| {
        let held = aligned(audit, streams);
        assert!(held < 500_000, "{held} bytes");
    });
}

#[test]
fn a_window_that_is_full_is_an_error_for_who_reads_as_he_likes() {
    let history = History::clean(5, 600, 1);
    let mut audit = audit(0, Bounds { window_bytes: 20_000, ..bounds() });
    let error = history.streams[0][0].iter().find_map(|record| push(&mut audit, Stream::Input, record).err()).unwrap();
    assert!(error.to_string().contains("the input is too far ahead of the others"), "{error}");
}

#[test]
fn what_is_lost_is_given_up_when_the_window_is_full() {
    let mut history = History::clean(5, 3000, 1);
    history.streams[Stream::Output as usize][0].drain(100..2000);
    let mut audit = audit(0, Bounds { window_bytes: 50_000, ..bounds() });
    let held = aligned(&mut audit, Stream::ALL.map(|stream| history.streams[stream as usize][0].as_slice()));
    let report = conclude(vec![audit.finish()]);
    assert!(held <= 50_000, "{held}");
    assert_eq!(report.lost, 1900, "{report}");
    assert_eq!(report.unexpected, 0, "{report}");
    assert_eq!(report.altered, 0, "{report}");
}
