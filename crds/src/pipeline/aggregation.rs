//! What is counted: windows, dimensions, and how long an event may take to come.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    duration::{Duration, Window},
    rule::{Broken, Rule},
    validation::Field,
};

/// Which counts the pipeline keeps: by time window, and by the values of fields of the event.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Aggregation {
    /// Window sizes: durations in whole seconds, at least `1s`, and `all` for one window that never ends. The smallest
    /// comes first, and every other one is a multiple of it. 1 to 8 windows. Default: `1m`, `1h`, `all`.
    #[serde(default = "windows")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = SMALLEST_FIRST.validation(),
        validation = MULTIPLES.validation(),
        validation = WHOLE_SECONDS.validation(),
        validation = EACH_ONCE.validation()
    )]
    pub windows: Vec<Window>,
    /// Fields of the event by whose values logins are counted. At most 3. Default: `device_type`, `locale`,
    /// `app_version`.
    #[serde(default = "dimensions")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub dimensions: Vec<Dimension>,
    /// How many values of a dimension each window counts separately, 1 to 10000. Beyond that, a window keeps the values
    /// that alerts name and then those with the smallest hash; it sums the others up as `_other`. Default: 10000.
    #[serde(default = "ten_thousand")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_values: i32,
    /// Whether unique users are estimated, with a standard error of 1.6 %. Default: true.
    #[serde(default = "yes")]
    pub unique_users: bool,
    /// How far an event may lie behind the newest event of its partition before it counts as late. A duration such as
    /// `30s`. Default: `30s`.
    #[serde(default = "thirty_seconds")]
    pub allowed_lateness: Duration,
    /// How long a partition may be without events before windows close without waiting for it. A duration, at least
    /// `1s`. Default: `10s`.
    #[serde(default = "ten_seconds")]
    #[x_kube(validation = IDLE_TIMEOUT.validation())]
    pub idle_timeout: Duration,
    /// How much later than `allowedLateness` an event may be and still be added to finite windows. A duration such as
    /// `24h`. Default: `24h`.
    #[serde(default = "one_day")]
    pub retention: Duration,
}

pub(super) const SMALLEST_FIRST: Rule<Vec<Window>> = Rule {
    cel: || "self[0] != 'all' && self.all(w, w == 'all' || duration(w) >= duration(self[0]))".to_owned(),
    message: "must begin with the smallest finite window, such as 1m",
    broken: |windows| {
        let Some(first) = windows.first() else { return Vec::new() };
        let is_smallest = first.finite().is_some_and(|first| finite(windows).all(|window| window >= first));
        Broken::value_if(!is_smallest, first)
    },
};

pub(super) const MULTIPLES: Rule<Vec<Window>> = Rule {
    cel: || {
        "self[0] == 'all' || duration(self[0]) < duration('1s') || self.all(w, w == 'all' || \
         duration(w).getMilliseconds() % duration(self[0]).getMilliseconds() == 0)"
            .to_owned()
    },
    message: "each must be a multiple of the first one, for it is rolled up from it",
    broken: |windows| {
        let first = windows.first().and_then(|window| window.finite()).filter(|first| first.as_millis() >= 1000);
        let Some(first) = first else { return Vec::new() };
        Broken::each(finite(windows).filter(|window| window.as_millis() % first.as_millis() != 0))
    },
};

pub(super) const WHOLE_SECONDS: Rule<Vec<Window>> = Rule {
    cel: || {
        "self.all(w, w == 'all' || (duration(w) >= duration('1s') && duration(w).getMilliseconds() % 1000 == 0))"
            .to_owned()
    },
    message: "each must be whole seconds, at least one, for event times are",
    broken: |windows| {
        Broken::each(finite(windows).filter(|window| window.as_millis() < 1000 || window.as_millis() % 1000 != 0))
    },
};

pub(super) const EACH_ONCE: Rule<Vec<Window>> = Rule {
    cel: || {
        "self.all(w, self.exists_one(other, (w == 'all') == (other == 'all') && (w == 'all' || duration(w) == \
         duration(other))))"
            .to_owned()
    },
    message: "each must be there once: 60s and 1m are the same",
    broken: |windows| {
        let repeated = windows.iter().enumerate().filter(|(index, window)| windows[..*index].contains(window));
        Broken::each(repeated.map(|(_, window)| window))
    },
};

pub(super) const IDLE_TIMEOUT: Rule<Duration> = Rule {
    cel: || "duration(self) >= duration('1s')".to_owned(),
    message: "must be at least 1s",
    broken: |timeout| Broken::value_if(timeout.as_millis() < 1000, timeout),
};

fn finite(windows: &[Window]) -> impl Iterator<Item = Duration> {
    windows.iter().filter_map(|window| window.finite())
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
    /// Size of the smallest window in seconds: what stage 1 counts by. None when the first window is not a finite one
    /// of at least a second, which validation refuses.
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
        finite(&self.windows).map(Duration::as_secs).max().unwrap_or_default()
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

/// A field of the event by whose values logins are counted. An alert that names none counts all events of its window
/// together. Fields that identify a person or a device are not available.
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
