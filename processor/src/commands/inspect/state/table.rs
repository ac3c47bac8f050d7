//! Formats the state as tables.

use std::{collections::BTreeMap, fmt};

use crds::{
    pipeline::{Dimension, Window},
    records::{
        aggregate::Span,
        state::{Key, Meta, Partition, Run},
    },
};

use super::{Content, Entry, State, TotalView, ValuesView};
use crate::commands::inspect::text::{Columns, or_dash, time, time_of_millis};

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries().next().is_none() {
            return writeln!(f, "the state is empty");
        }
        let mut windows: BTreeMap<Span, WindowRow<'_>> = BTreeMap::new();
        for (key, entry) in &self.entries {
            match (key, &entry.content) {
                (_, Ok(Content::Position(position))) => writeln!(f, "position: the next delta is {}", position.offset)?,
                (_, Ok(Content::Meta(meta))) => write_meta(f, meta)?,
                (Key::Total(span), Ok(Content::Total(total))) => {
                    windows.entry(*span).or_default().total = Some(total);
                }
                (Key::Values(span, dimension, chunk), Ok(Content::Values(values))) => {
                    let row = windows.entry(*span).or_default();
                    row.values.entry(*dimension).or_default().insert(*chunk, values);
                }
                _ => {}
            }
        }
        write_windows(f, &windows)?;
        self.entries().filter(|entry| !entry.is_readable()).try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

fn write_meta(f: &mut fmt::Formatter<'_>, meta: &Meta) -> fmt::Result {
    let Meta { offset, source_partitions, first_partitions, .. } = meta;
    writeln!(f, "meta: the next delta is {offset}")?;
    for (name, instant) in [
        ("frontier", meta.frontier),
        ("horizon", meta.horizon),
        ("highest watermark", meta.highest),
        ("latest event", meta.latest),
    ] {
        writeln!(f, "  {name:<18}{}", or_dash(instant, time))?;
    }
    let all_idle = |(watermark, idle)| format!("from {} on, at watermark {}", time_of_millis(idle), time(watermark));
    writeln!(f, "  {:<18}{}", "all idle", or_dash(meta.all_idle, all_idle))?;
    writeln!(f, "  {:<18}{source_partitions}, {first_partitions} at the beginning", "source partitions")?;
    for (size, start) in &meta.first_windows {
        writeln!(f, "  {:<18}{}", format!("first of {size} s"), time(*start))?;
    }
    for pending in &meta.pending {
        let (next, chunks) = (u64::from(pending.next) + 1, pending.chunks);
        writeln!(
            f,
            "  unfinished        {}, sequence {}: chunk {next} of {chunks} comes next",
            pending.producer, pending.sequence
        )?;
    }
    write_revisions(f, meta)?;
    write_partitions(f, &meta.partitions)
}

fn write_revisions(f: &mut fmt::Formatter<'_>, meta: &Meta) -> fmt::Result {
    let mut changes = Columns::new(["governs", "latest event before", "frontier before"]);
    for change in &meta.changes {
        changes.push([change.revision.to_string(), or_dash(change.latest, time), or_dash(change.frontier, time)]);
    }
    let mut rules = Columns::new(["revision", "rules"]);
    for (revision, text) in &meta.rules {
        rules.push([revision.to_string(), text.clone()]);
    }
    write!(f, "\n{changes}\n{rules}")
}

fn write_partitions(f: &mut fmt::Formatter<'_>, partitions: &[Partition]) -> fmt::Result {
    let heading = ["partition", "offsets", "watermark", "effective", "idle", "from:revision/governing"];
    let mut columns = Columns::new(heading);
    for Partition { partition, first, to, watermark, effective, idle, runs } in partitions {
        let run = |Run { from, revision, governing }: &Run| format!("{from}:{revision}/{governing}");
        columns.push([
            partition.to_string(),
            format!("[{first}, {to})"),
            or_dash(*watermark, time),
            or_dash(*effective, time),
            or_dash(*idle, time_of_millis),
            runs.iter().map(run).collect::<Vec<_>>().join(" "),
        ]);
    }
    write!(f, "\n{columns}")
}

/// The records of one window.
#[derive(Default)]
struct WindowRow<'a> {
    total: Option<&'a TotalView>,
    /// Values by dimension, then by chunk.
    values: BTreeMap<Dimension, BTreeMap<u32, &'a ValuesView>>,
}

fn write_windows(f: &mut fmt::Formatter<'_>, windows: &BTreeMap<Span, WindowRow<'_>>) -> fmt::Result {
    let heading = ["window", "start", "events", "late", "unmerged", "users", "closed", "delta", "values"];
    let mut columns = Columns::new(heading);
    for (span, WindowRow { total, values }) in windows {
        let (size, start) = match span.window {
            Window::Finite(size) => (size.to_string(), time(span.start)),
            Window::All => ("all".to_owned(), String::new()),
        };
        let number = |of: fn(&TotalView) -> u64| or_dash(*total, |total| of(total).to_string());
        let values: Vec<String> =
            values.iter().map(|(dimension, chunks)| format!("{} {}", dimension.name(), describe(chunks))).collect();
        columns.push([
            size,
            start,
            number(|total| total.count),
            number(|total| total.late),
            number(|total| total.unmerged),
            or_dash(total.and_then(|total| total.unique_users), |users| users.to_string()),
            or_dash(*total, closed),
            or_dash(*total, |total| total.modified.to_string()),
            values.join(", "),
        ]);
    }
    write!(f, "\n{columns}")
}

fn closed(total: &TotalView) -> String {
    match (total.is_final, total.revision) {
        (false, _) => "open".to_owned(),
        (true, 0) => "final".to_owned(),
        (true, revision) => format!("revision {revision}"),
    }
}

/// Number of values, and problems with their chunks. The first chunk says how many chunks there are; chunks beyond them
/// are left from an older, larger state.
fn describe(chunks: &BTreeMap<u32, &ValuesView>) -> String {
    let Some(first) = chunks.get(&0) else { return "MISSING CHUNK 0".to_owned() };
    let live = || (0..first.chunks).map(|chunk| chunks.get(&chunk));
    let values: usize = live().flatten().map(|chunk| chunk.values).sum();
    let truncated = if first.truncated.is_some() { " truncated" } else { "" };
    let missing = match live().filter(Option::is_none).count() {
        0 => String::new(),
        missing => format!(" MISSING {missing} OF {} CHUNKS", first.chunks),
    };
    format!("{values}{truncated}{missing}")
}

/// One record as text.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, offset, bytes, content } = self;
        write!(f, "{key}  offset {offset}  {bytes} bytes")?;
        match content {
            Err(error) => write!(f, "  UNREADABLE: {error}"),
            Ok(Content::Position(position)) => write!(f, "\nthe next delta is {}", position.offset),
            Ok(Content::Part(part)) => write!(f, "\na part of the meta whose next delta is {}", part.meta),
            Ok(Content::Meta(meta)) => writeln!(f).and_then(|()| write_meta(f, meta)),
            Ok(Content::Total(total)) => {
                let TotalView { modified, count, late, unmerged, unique_users, previous, .. } = total;
                let number = |number: Option<u64>| or_dash(number, |number| number.to_string());
                write!(f, "\nevents {count}  late {late}  unmerged {unmerged}  users {}", number(*unique_users))?;
                write!(f, "  before {}  {}  delta {modified}", number(*previous), closed(total))
            }
            Ok(Content::Values(values)) => {
                let ValuesView { chunks, total, truncated, counts, .. } = values;
                let truncated = or_dash(*truncated, |revision| format!("under revision {revision}"));
                write!(f, "\nchunks {chunks}  events {total}  truncated {truncated}")?;
                counts.iter().flatten().try_for_each(|(value, count)| write!(f, "\n{count:>12}  {value}"))
            }
        }
    }
}
