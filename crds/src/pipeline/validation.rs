//! Which events are valid: the fields of an event, and what is asked of them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// Which events are valid; the others become dead letters.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Validation {
    /// Fields that an event must have; one that is `null` is missing. Without `timestamp` here, an event that has none
    /// takes the timestamp of its Kafka record.
    #[serde(default = "required")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub required: Vec<Field>,
    /// How far beyond its record's Kafka timestamp an event's time may lie.
    #[serde(default = "five_minutes")]
    pub max_future_skew: Duration,
    /// What a present `ip` must look like.
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

/// The fields of a login event that the pipeline knows.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Who logged in.
    UserId,
    /// Version of the app.
    AppVersion,
    /// Address of the device.
    Ip,
    /// US state.
    Locale,
    /// Which device.
    DeviceId,
    /// Event time, Unix seconds.
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

/// What a present `ip` must look like.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpRule {
    /// Any string.
    #[default]
    Any,
    /// An IPv4 or IPv6 address.
    Valid,
}
