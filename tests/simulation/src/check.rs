//! Checks what was committed in a history against the batch code of the audit, against one undisturbed fold of all
//! deltas, and against the promises that are visible in the logs alone.

use std::collections::BTreeMap;

use ::audit::batch::{Batch, Found, Kind, ProcessedEvent};
use crds::{
    job::Rules,
    records::{
        aggregate::{Aggregate, Alert},
        delta::Delta,
        state::{self, Key, Meta, MetaRecords, Position},
    },
};
use stages::aggregate::fold::{Fold, Results};

use super::{
    aggregate::Replicas,
    coverage::Feature,
    frontier::Frontier,
    ingest::MAX_SKEW_MS,
    world::{Name, Record, World},
};

/// The rules that processed the offsets of a source partition, ascending; `None` for lost offsets.
type Ranges = BTreeMap<i32, Vec<(i64, i64, Option<u64>)>>;

/// What the deltas say.
#[derive(Default)]
struct Deltas {
    rules: BTreeMap<u64, Rules>,
    ranges: Ranges,
    /// Partitions that were idle at a time, Unix milliseconds, and their position then.
    idle: Vec<(i32, i64, i64)>,
}

/// Checks a settled history.
pub fn whole(world: &mut World, replicas: &Replicas) -> Result<(), String> {
    let meta = replicas.settled(world).ok_or("nobody emits")?.meta();
    let mut deltas: Vec<(i64, &Record)> =
        world.history(Name::Deltas).into_iter().flat_map(|(_, records)| records).collect();
    deltas.sort_unstable_by_key(|(offset, _)| *offset);
    let mut told = Deltas::default();
    let mut coverage = world.coverage;
    let mut replay = Replay::new(&deltas, &mut told);
    for emission in emissions(world)? {
        replay.emission(&emission)?;
    }
    replay.rest()?;
    let Replay { last, frontier, fold, .. } = replay;
    if fold.meta() != meta {
        return Err(format!("the emitter has {meta:?}, one undisturbed fold {:?}", fold.meta()));
    }
    frontier.cover(&mut coverage);
    batch(world, &meta, &told, &last)?;
    closed(&meta, &last)?;
    idle(world, &told)?;
    for ((kind, key), value) in &last.0 {
        note(&mut coverage, *kind, key, value.as_deref());
    }
    for feature in last.1 {
        coverage.note(feature);
    }
    world.coverage = coverage;
    Ok(())
}

/// One transaction of stage 2.
struct Emission<'a> {
    /// The next delta after it.
    position: i64,
    meta: Option<Meta>,
    /// Aggregates, insights, alerts.
    results: [Vec<&'a Record>; 3],
}

const KINDS: [(Name, Kind); 3] =
    [(Name::Aggregates, Kind::Aggregates), (Name::Insights, Kind::Insights), (Name::Alerts, Kind::Alerts)];

/// The transactions of stage 2, in commit order.
fn emissions(world: &World) -> Result<Vec<Emission<'_>>, String> {
    let mut results =
        KINDS.map(|(name, _)| world.history(name).into_iter().collect::<BTreeMap<usize, Vec<(i64, &Record)>>>());
    let mut emissions = Vec::new();
    for (transaction, records) in world.history(Name::State) {
        let find = |key: Key| {
            let key = key.encode();
            let (_, record) = records.iter().find(|(_, record)| record.key == key)?;
            record.value.as_deref()
        };
        let position: Position = state::decode(find(Key::Position).ok_or("an emission without position")?).unwrap();
        let mut taken: [Vec<&Record>; 3] = Default::default();
        for (taken, results) in taken.iter_mut().zip(&mut results) {
            let records = results.remove(&transaction).unwrap_or_default();
            *taken = records.into_iter().map(|(_, record)| record).collect();
        }
        let mut meta = MetaRecords::default();
        for (offset, record) in &records {
            if let Ok(key @ (Key::Meta | Key::MetaPart(_))) = Key::decode(record.key.as_bytes()) {
                meta.push(*offset, key, record.value.as_deref());
            }
        }
        let meta = meta.meta().unwrap();
        emissions.push(Emission { position: position.offset, meta, results: taken });
    }
    match results.iter().all(BTreeMap::is_empty) {
        true => Ok(emissions),
        false => Err("results without a position".to_owned()),
    }
}

/// The last record of each key, and the features seen.
#[derive(Default)]
struct Last(BTreeMap<(Kind, String), Option<Vec<u8>>>, Vec<Feature>);

/// One undisturbed fold over all deltas.
struct Replay<'a> {
    deltas: std::iter::Peekable<std::slice::Iter<'a, (i64, &'a Record)>>,
    told: &'a mut Deltas,
    fold: Fold,
    frontier: Frontier,
    position: i64,
    frontier_told: Option<i64>,
    last: Last,
}

impl<'a> Replay<'a> {
    fn new(deltas: &'a [(i64, &'a Record)], told: &'a mut Deltas) -> Self {
        Self {
            deltas: deltas.iter().peekable(),
            told,
            fold: Fold::new(),
            frontier: Frontier::default(),
            position: 0,
            frontier_told: None,
            last: Last::default(),
        }
    }

    /// A transaction must emit what the deltas since the last one give.
    fn emission(&mut self, emission: &Emission<'_>) -> Result<(), String> {
        if emission.position < self.position {
            return Err(format!("emitted up to {}, then up to {}", self.position, emission.position));
        }
        self.position = emission.position;
        while let Some((offset, record)) = self.deltas.next_if(|(offset, _)| *offset < emission.position) {
            self.apply(*offset, record)?;
        }
        let Results { aggregates, insights, alerts } = self.fold.take_results();
        for ((emitted, expected), (_, kind)) in emission.results.iter().zip([aggregates, insights, alerts]).zip(KINDS) {
            let mut emitted: Vec<(&str, Option<&[u8]>)> =
                emitted.iter().map(|record| (record.key.as_str(), record.value.as_deref())).collect();
            let mut expected: Vec<(&str, Option<&[u8]>)> =
                expected.iter().map(|record| (record.key.as_str(), record.value.as_deref())).collect();
            for (key, value) in &emitted {
                self.emitted(kind, key, *value)?;
            }
            emitted.sort_unstable();
            expected.sort_unstable();
            if emitted != expected {
                return Err(format!("up to delta {}: {}", emission.position, differ(&emitted, &expected)));
            }
        }
        if let Some(meta) = &emission.meta {
            if meta.frontier < self.frontier_told {
                return Err(format!("the frontier goes back from {:?} to {:?}", self.frontier_told, meta.frontier));
            }
            self.frontier_told = meta.frontier;
        }
        Ok(())
    }

    fn apply(&mut self, offset: i64, record: &Record) -> Result<(), String> {
        let value = record.value.as_deref().unwrap_or_default();
        self.fold.apply(offset, value).map_err(|halt| halt.to_string())?;
        let delta = Delta::decode(value).unwrap();
        self.told.take(&delta);
        self.frontier.delta(offset, &delta, &self.told.rules);
        let (is, should) = (self.fold.stats().frontier, self.frontier.now());
        if is == should { Ok(()) } else { Err(format!("after delta {offset} the frontier is {is:?}, not {should:?}")) }
    }

    fn rest(&mut self) -> Result<(), String> {
        match self.deltas.next() {
            None => Ok(()),
            Some((offset, _)) => Err(format!("delta {offset} is not emitted")),
        }
    }

    /// Checks the order of the records of one key.
    fn emitted(&mut self, kind: Kind, key: &str, value: Option<&[u8]>) -> Result<(), String> {
        let before = self.last.0.insert((kind, key.to_owned()), value.map(<[u8]>::to_vec)).flatten();
        let refuse = |why: &str| {
            let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
            Err(format!("{why}: {key} was {}, then {}", text(before.as_deref()), text(value)))
        };
        if kind == Kind::Aggregates && value.is_none() {
            self.last.1.push(Feature::Displaced);
        }
        let cause = |value: Option<&[u8]>| Some(serde_json::from_slice::<Alert>(value?).unwrap().cause);
        if kind == Kind::Alerts && before.is_some() && cause(before.as_deref()) == cause(value) {
            return refuse("an alert fired twice");
        }
        if kind != Kind::Aggregates || !key.ends_with("/_all") {
            return Ok(());
        }
        let parse = |value: &[u8]| serde_json::from_slice::<Aggregate>(value).unwrap();
        let Some(new) = value.map(parse) else { return refuse("a window is gone") };
        self.frontier.allows(&new)?;
        if let Some(old) = before.as_deref().map(parse) {
            let content = |of: &Aggregate| Aggregate { partial: false, ..of.clone() };
            if new.evicted_at.is_some() {
                return refuse("an evicted record came twice");
            }
            if old.is_final && !new.is_final {
                return refuse("a closed window is open");
            }
            if new.revision < old.revision || new.count < old.count || new.unmerged < old.unmerged {
                return refuse("a count or revision went down");
            }
            if old.is_final && old.revision == new.revision && content(&old) != content(&new) {
                return refuse("a final was emitted twice differently");
            }
        }
        Ok(())
    }
}

impl Deltas {
    fn take(&mut self, delta: &Delta) {
        if let Some(rules) = &delta.rules {
            self.rules.insert(delta.revision, serde_json::from_str(rules).unwrap());
        }
        for range in &delta.ranges {
            self.idle.extend(range.idle.map(|at| (range.partition, range.to, at)));
            let ranges = self.ranges.entry(range.partition).or_default();
            let from = range.lost.map_or(range.from, |(from, to)| {
                ranges.push((from, to, None));
                to
            });
            ranges.push((from, range.to, Some(delta.revision)));
        }
    }
}

fn differ(emitted: &[(&str, Option<&[u8]>)], expected: &[(&str, Option<&[u8]>)]) -> String {
    let text = |records: &[(&str, Option<&[u8]>)], others: &[(&str, Option<&[u8]>)]| {
        let only = records.iter().filter(|record| !others.contains(record)).take(3);
        only.map(|(key, value)| format!("{key} {}", String::from_utf8_lossy(value.unwrap_or(b"tombstone"))))
            .collect::<Vec<_>>()
            .join("\n  ")
    };
    format!("emitted is only\n  {}\nexpected is only\n  {}", text(emitted, expected), text(expected, emitted))
}

/// Counts the source again, and compares.
fn batch(world: &World, meta: &Meta, told: &Deltas, last: &Last) -> Result<(), String> {
    let mut batch = Batch::new(meta, true).map_err(|error| error.to_string())?;
    for (partition, source) in (0..).zip(&world.source) {
        // What the source had deleted before the pipeline first saw it was never its own.
        let first = told.ranges.get(&partition).and_then(|ranges| ranges.first()).map_or(0, |(from, ..)| *from);
        let mut next = if source.first_seen.contains(&first) { first } else { 0 };
        let mut watermark: Option<i64> = None;
        for (from, to, revision) in told.ranges.get(&partition).into_iter().flatten().copied() {
            if from != next {
                return Err(format!("partition {partition} was processed up to {next}, then from {from}"));
            }
            next = to;
            let Some(aggregation) = revision.map(|revision| &told.rules[&revision].aggregation) else { continue };
            for (offset, entry) in (from..to).zip(&source.entries[from as usize..to as usize]) {
                let Some(login) = entry.as_ref().and_then(|entry| entry.login.as_ref()) else { continue };
                let retention = aggregation.retention.as_secs();
                batch.event(&ProcessedEvent {
                    partition,
                    offset,
                    time: login.time,
                    late: watermark.is_some_and(|watermark| login.time < watermark),
                    unmerged: watermark.is_some_and(|watermark| login.time < watermark - retention),
                    user: login.user.as_deref(),
                    values: login.values.each_ref().map(Option::as_deref),
                });
                watermark = watermark.max(Some(login.time - aggregation.allowed_lateness.as_secs()));
            }
        }
        if next != source.end() {
            return Err(format!("partition {partition} ends at {}, processed are {next}", source.end()));
        }
    }
    let mut found = Found::default();
    for ((kind, key), value) in &last.0 {
        found.push(*kind, key.as_bytes(), value.as_deref());
    }
    let mismatches = batch.compare(&found);
    let examples: Vec<String> = mismatches.examples.iter().take(5).map(ToString::to_string).collect();
    if mismatches.count() > 0 {
        Err(format!("not what the batch counts, changes {:?}:\n  {}", meta.changes, examples.join("\n  ")))
    } else {
        Ok(())
    }
}

/// An idle partition has processed everything that had come by then.
fn idle(world: &World, told: &Deltas) -> Result<(), String> {
    for (partition, to, at) in &told.idle {
        let mut rest = world.source[*partition as usize].entries.get(*to as usize..).unwrap_or_default().iter();
        if let Some(next) = rest.find_map(Option::as_ref)
            && next.timestamp_ms + MAX_SKEW_MS < *at
        {
            return Err(format!(
                "partition {partition} was idle at {at}, and an event of {} to come",
                next.timestamp_ms
            ));
        }
    }
    Ok(())
}

/// After a long idle time, no finite window is open.
fn closed(meta: &Meta, last: &Last) -> Result<(), String> {
    for ((kind, key), value) in &last.0 {
        let is_open = || value.as_deref().is_some_and(|value| contains(value, "\"final\":false"));
        if *kind == Kind::Aggregates && !key.starts_with("all/") && is_open() {
            return Err(format!("{key} is open, the frontier is {:?}", meta.frontier));
        }
    }
    Ok(())
}

fn contains(value: &[u8], part: &str) -> bool {
    value.windows(part.len()).any(|window| window == part.as_bytes())
}

fn note(coverage: &mut super::Coverage, kind: Kind, key: &str, value: Option<&[u8]>) {
    let has = |part: &str| value.is_some_and(|value| contains(value, part));
    let marks = match kind {
        Kind::Aggregates if !key.ends_with("/_all") => return,
        Kind::Aggregates => vec![
            (Feature::Final, has("\"final\":true")),
            (Feature::Revision, has("\"final\":true") && !has("\"revision\":0")),
            (Feature::Evicted, key.starts_with("evicted/")),
            (Feature::Partial, has("\"partial\":true")),
            (Feature::UniqueUsers, has("\"unique_users\":")),
        ],
        Kind::Insights => vec![(Feature::Truncated, has("\"truncated\":true"))],
        Kind::Alerts => vec![
            (Feature::AlertAbove, has("\"kind\":\"above\"")),
            (Feature::AlertDeviation, has("\"kind\":\"deviation\"")),
        ],
    };
    for (feature, _) in marks.into_iter().filter(|(_, is_there)| *is_there) {
        coverage.note(feature);
    }
}
