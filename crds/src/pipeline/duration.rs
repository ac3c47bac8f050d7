//! Lengths of time as people write them: `100ms`, `30s`, `5m`, `1h30m`.

use std::{borrow::Cow, fmt, str::FromStr, time};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const PATTERN: &str = "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,7}s)?([0-9]{1,9}ms)?$";

/// Whether a pattern of the schema is that of a duration or of a window.
pub(super) fn is_pattern(pattern: &str) -> bool {
    pattern.ends_with(PATTERN)
}

/// Hours, minutes, seconds and milliseconds, in this order and each at most once: a subset of what Kubernetes' CEL
/// function `duration()` reads, so that rules can compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

impl Duration {
    /// A number of seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }

    /// A number of milliseconds.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(time::Duration::from_millis(milliseconds))
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn get(self) -> time::Duration {
        self.0
    }

    /// Whole milliseconds. The written form bounds it far below `i64::MAX`.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub fn as_secs(self) -> i64 {
        i64::try_from(self.0.as_secs()).unwrap_or(i64::MAX)
    }
}

/// Why a text is not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a duration: write hours, minutes, seconds, milliseconds in this order, such as 100ms, 30s or 1h30m"
)]
pub struct DurationError(String);

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || DurationError(text.to_owned());
        let mut rest = text;
        let mut total = 0_u64;
        for (unit, digits, milliseconds) in [("h", 6, 3_600_000), ("m", 6, 60_000), ("s", 7, 1000), ("ms", 9, 1)] {
            let length = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at(length);
            // "5ms" is milliseconds, not minutes followed by an s.
            let Some(after) = after.strip_prefix(unit).filter(|after| unit != "m" || !after.starts_with('s')) else {
                continue;
            };
            if length > digits {
                return Err(error());
            }
            total += number.parse::<u64>().map_err(|_| error())? * milliseconds;
            rest = after;
        }
        if rest.is_empty() && !text.is_empty() { Ok(Self::from_millis(total)) } else { Err(error()) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.as_millis();
        if total == 0 {
            return f.write_str("0s");
        }
        for (unit, milliseconds, modulus) in
            [("h", 3_600_000, i64::MAX), ("m", 60_000, 60), ("s", 1000, 60), ("ms", 1, 1000)]
        {
            let part = total / milliseconds % modulus;
            if part > 0 {
                write!(f, "{part}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 2, "maxLength": 32, "pattern": PATTERN})
    }
}

/// The size of a window: finite, or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// Windows [start, start + size), aligned to the epoch.
    Finite(Duration),
    /// One window without end.
    All,
}

impl Window {
    /// The size of a finite window.
    #[must_use]
    pub const fn finite(self) -> Option<Duration> {
        match self {
            Self::Finite(size) => Some(size),
            Self::All => None,
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finite(size) => size.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Cow::<str>::deserialize(deserializer)?.as_ref() {
            "all" => Ok(Self::All),
            text => text.parse().map(Self::Finite).map_err(de::Error::custom),
        }
    }
}

impl JsonSchema for Window {
    fn schema_name() -> Cow<'static, str> {
        "Window".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = format!("^all$|{PATTERN}");
        json_schema!({"type": "string", "minLength": 2, "maxLength": 32, "pattern": pattern})
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        let millis = |text: &str| text.parse::<Duration>().map(Duration::as_millis);
        assert_eq!(millis("100ms"), Ok(100));
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("5m"), Ok(300_000));
        assert_eq!(millis("1h30m"), Ok(5_400_000));
        assert_eq!(millis("1m500ms"), Ok(60_500));
        assert_eq!(millis("0s"), Ok(0));
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "5", "m", "-5m", "5m1h", "1.5s", "5d", "5 m", "5m5m", "99999999h", "5mss"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(milliseconds in 0_u64..3_000_000_000_000) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}
