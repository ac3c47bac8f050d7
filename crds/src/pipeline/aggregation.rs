//! What is counted: windows, dimensions, and how long an event may take to come.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, Field, Window};

/// What is counted, by window and dimension.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Aggregation {
    /// Window sizes, the smallest first; the others are multiples of it. `all` is one window without end.
    #[serde(default = "windows")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self[0] != 'all' && self.all(w, w == 'all' || duration(w) >= duration(self[0]))")
            .message("aggregation.windows must begin with the smallest finite window, such as 1m"),
        validation = Rule::new("self[0] == 'all' || duration(self[0]) < duration('1s') || self.all(w, w == 'all' || duration(w).getMilliseconds() % duration(self[0]).getMilliseconds() == 0)")
            .message("each of aggregation.windows must be a multiple of the first one, for it is rolled up from it"),
        validation = Rule::new("self.all(w, w == 'all' || (duration(w) >= duration('1s') && duration(w).getMilliseconds() % 1000 == 0))")
            .message("each of aggregation.windows must be whole seconds, for event times are"),
        validation = Rule::new("self.all(w, self.exists_one(other, (w == 'all') == (other == 'all') && (w == 'all' || duration(w) == duration(other))))")
            .message("each of aggregation.windows must be there once: 60s and 1m are the same")
    )]
    pub windows: Vec<Window>,
    /// The fields by whose values logins are counted.
    #[serde(default = "dimensions")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub dimensions: Vec<Dimension>,
    /// How many values of a dimension a window counts. Of more it keeps those that alerts name, then those with the smallest
    /// hash, and sums the rest up as `_other`.
    #[serde(default = "ten_thousand")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_values: i32,
    /// Whether unique users are estimated.
    #[serde(default = "yes")]
    pub unique_users: bool,
    /// How far behind its partition's newest event an event may be before it counts as late.
    #[serde(default = "thirty_seconds")]
    pub allowed_lateness: Duration,
    /// How long a partition without events holds windows back.
    #[serde(default = "ten_seconds")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("aggregation.idleTimeout must be at least 1s"))]
    pub idle_timeout: Duration,
    /// How much later than allowed an event may be and still be merged into finite windows.
    #[serde(default = "one_day")]
    pub retention: Duration,
}

impl Default for Aggregation {
    fn default() -> Self {
        Self {
            windows: windows(),
            dimensions: dimensions(),
            max_values: ten_thousand(),
            unique_users: yes(),
            allowed_lateness: thirty_seconds(),
            idle_timeout: ten_seconds(),
            retention: one_day(),
        }
    }
}

impl Aggregation {
    /// Size of the smallest window in seconds: what stage 1 counts by. None when the first window is not a finite one of
    /// at least a second, which validation refuses.
    #[must_use]
    pub fn smallest_window(&self) -> Option<i64> {
        match self.windows.first() {
            Some(Window::Finite(size)) if size.as_secs() > 0 => Some(size.as_secs()),
            _ => None,
        }
    }

    /// Size of the largest finite window in seconds.
    #[must_use]
    pub fn largest_window(&self) -> i64 {
        let finite = |window: &Window| match window {
            Window::Finite(size) => Some(size.as_secs()),
            Window::All => None,
        };
        self.windows.iter().filter_map(finite).max().unwrap_or_default()
    }
}

fn windows() -> Vec<Window> {
    vec![Window::Finite(Duration::from_secs(60)), Window::Finite(Duration::from_secs(3600)), Window::All]
}

fn dimensions() -> Vec<Dimension> {
    vec![Dimension::DeviceType, Dimension::Locale, Dimension::AppVersion]
}

const fn ten_thousand() -> i32 {
    10_000
}

const fn yes() -> bool {
    true
}

const fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

const fn one_day() -> Duration {
    Duration::from_secs(24 * 3600)
}

/// A field by whose values logins are counted. Fields that identify a person or a device cannot be one.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Kind of device.
    DeviceType,
    /// US state.
    Locale,
    /// Version of the app.
    AppVersion,
}

impl Dimension {
    /// Every dimension, in the order of the declaration.
    pub const ALL: [Self; 3] = [Self::DeviceType, Self::Locale, Self::AppVersion];

    /// The dimension's name in records: that of the event's field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.field().name()
    }

    /// The event's field.
    #[must_use]
    pub const fn field(self) -> Field {
        match self {
            Self::DeviceType => Field::DeviceType,
            Self::Locale => Field::Locale,
            Self::AppVersion => Field::AppVersion,
        }
    }
}
