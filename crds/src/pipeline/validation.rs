//! Which events are valid: the fields of an event, and what is asked of them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Duration;

/// Which events are valid. All others become dead letters.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Validation {
    /// Fields that an event must have. A field that is `null` counts as missing. If `timestamp` is not required, an
    /// event without one takes the timestamp of its Kafka record. Default: `user_id`, `device_type`, `locale`,
    /// `timestamp`.
    #[serde(default = "required")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub required: Vec<Field>,
    /// How far an event's time may lie after the Kafka timestamp of its record. A duration such as `5m`. Default: `5m`.
    #[serde(default = "five_minutes")]
    pub max_future_skew: Duration,
    /// Which `ip` is valid, where an event has one: `Any` string, or only a `Valid` IPv4 or IPv6 address. Default:
    /// `Any`.
    #[serde(default)]
    pub ip: IpRule,
}

impl Default for Validation {
    fn default() -> Self {
        Self { required: required(), max_future_skew: five_minutes(), ip: IpRule::default() }
    }
}

fn required() -> Vec<Field> {
    vec![Field::UserId, Field::DeviceType, Field::Locale, Field::Timestamp]
}

const fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

/// A field of a login event that the pipeline knows.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Identifies the user.
    UserId,
    /// Version of the app.
    AppVersion,
    /// Address of the device.
    Ip,
    /// US state.
    Locale,
    /// Identifies the device.
    DeviceId,
    /// Event time in Unix seconds.
    Timestamp,
    /// Kind of device.
    DeviceType,
}

impl Field {
    /// Every field, in the order of the declaration.
    pub const ALL: [Self; 7] =
        [Self::UserId, Self::AppVersion, Self::Ip, Self::Locale, Self::DeviceId, Self::Timestamp, Self::DeviceType];

    /// The field's name in an event.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserId => "user_id",
            Self::AppVersion => "app_version",
            Self::Ip => "ip",
            Self::Locale => "locale",
            Self::DeviceId => "device_id",
            Self::Timestamp => "timestamp",
            Self::DeviceType => "device_type",
        }
    }
}

/// Which `ip` is valid, where an event has one.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpRule {
    /// Any string.
    #[default]
    Any,
    /// An IPv4 or IPv6 address.
    Valid,
}
