//! An event as it is counted.

use crds::pipeline::Dimension;

/// A valid event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Partition of its source record.
    pub partition: i32,
    /// Offset of its source record.
    pub offset: i64,
    /// When it happened, Unix seconds.
    pub time: i64,
    /// Whether it came after the watermark of its partition.
    pub late: bool,
    /// Whether it came so late that finite windows do not take it.
    pub unmerged: bool,
    /// Who logged in, unescaped.
    pub user: Option<&'a str>,
    /// Its values in the order of [`Dimension::ALL`], unescaped; none for a field that it does not have.
    pub values: [Option<&'a str>; Dimension::ALL.len()],
}
