//! An event, as the batch counts it.

use crds::pipeline::Dimension;

#[derive(Clone, Copy, Debug)]
pub struct ProcessedEvent<'a> {
    pub partition: i32,
    pub offset: i64,
    /// The event time, Unix seconds.
    pub time: i64,
    /// Whether the event came after its partition's watermark had passed it.
    pub late: bool,
    /// Whether the event is so late that finite windows skip it.
    pub unmerged: bool,
    /// The user that logged in, unescaped.
    pub user: Option<&'a str>,
    /// The values in the order of [`Dimension::ALL`], unescaped; `None` for a field that the event lacks.
    pub values: [Option<&'a str>; Dimension::ALL.len()],
}
