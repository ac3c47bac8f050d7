//! Random faults in random histories: the audit counts each of them, regardless of the others and of the order of
//! arrival.

use proptest::prelude::*;

use super::history::{History, Owned, PARTITIONS, Streams, check, mixed};
use ::audit::{Fault, Stream};

/// Where a fault is planted: each one in a separate event.
#[derive(Clone, Copy, Debug)]
enum Plant {
    Lose,
    Duplicate,
    Swap,
    WrongTopic,
    WrongPartition,
    Alter,
}

impl Plant {
    fn apply(self, history: &mut History, stream: Stream, partition: usize, at: usize, other: usize) {
        let wrong = if stream == Stream::Output { Stream::DeadLetters } else { Stream::Output };
        let records = &mut history.streams[stream as usize][partition];
        match self {
            Self::Lose => drop(records.remove(at)),
            Self::Duplicate => {
                let place = at + 1 + other % (records.len() - at);
                records.insert(place, records[at].clone());
            }
            Self::Swap => records.swap(at, at + 1),
            Self::Alter => records[at].key.get_or_insert_default().push(b'x'),
            Self::WrongTopic => {
                let record = records.remove(at);
                let records = &mut history.streams[wrong as usize][partition];
                records.insert(other % (records.len() + 1), record);
            }
            Self::WrongPartition => {
                let record = records.remove(at);
                let records = &mut history.streams[stream as usize][(partition + 1) % PARTITIONS];
                records.insert(other % (records.len() + 1), record);
            }
        }
    }

    const fn fault(self) -> Fault {
        match self {
            Self::Lose => Fault::Lost,
            Self::Duplicate => Fault::Duplicated,
            Self::Swap => Fault::OutOfOrder,
            Self::WrongTopic | Self::WrongPartition => Fault::Misrouted,
            Self::Alter => Fault::Altered,
        }
    }
}

fn plant() -> impl Strategy<Value = Plant> {
    use Plant::{Alter, Duplicate, Lose, Swap, WrongPartition, WrongTopic};
    prop::sample::select(vec![Lose, Duplicate, Swap, WrongTopic, WrongPartition, Alter])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn random_faults_are_counted_exactly(
        seed: u64,
        plants in prop::collection::vec((plant(), any::<usize>()), 0..12),
        choices in prop::collection::vec(any::<u8>(), 1..64),
    ) {
        let clean = History::clean(seed, 600, PARTITIONS);
        let mut history = clean.clone();
        let mut expected = [0; 6];
        for (index, (plant, other)) in plants.into_iter().enumerate() {
            // Each fault has its own record, four records from the next.
            let partition = index % PARTITIONS;
            let stream = [Stream::Output, Stream::DeadLetters][index / PARTITIONS % 2];
            let own = &clean.streams[stream as usize][partition];
            let Some(place) = own.len().checked_sub(4 * (index / PARTITIONS / 2 + 1)) else { continue };
            let records = &history.streams[stream as usize][partition];
            let at = records.iter().position(|record| same(record, &own[place])).unwrap();
            // Another fault's record may have come between the two to swap.
            if records.get(at + 1).is_some_and(|next| same(next, &own[place + 1])) {
                plant.apply(&mut history, stream, partition, at, other);
                expected[plant.fault() as usize] += 1;
            }
        }

        history.renumber();
        let report = check(&history);
        prop_assert_eq!(Fault::ALL.map(|fault| report.count(fault)), expected, "{}", report);
        let as_they_come = history.audit(|audit, streams: Streams| mixed(audit, streams, &choices));
        prop_assert_eq!(as_they_come, report);
    }
}

/// Whether two records are the same, apart from their offsets.
fn same(a: &Owned, b: &Owned) -> bool {
    Owned { offset: 0, ..a.clone() } == Owned { offset: 0, ..b.clone() }
}
