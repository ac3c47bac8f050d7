//! What replicas write to Kafka and read back. Each format carries its version; golden files hold its bytes.

pub mod aggregate;
pub mod dead_letter;
pub mod delta;
pub mod offset;
pub mod replay;
pub mod state;

/// Fields that enrichment adds to a valid event, replacing any of the same name.
pub mod enrichment {
    /// `<partition>-<offset>` of the source record.
    pub const EVENT_ID: &str = "event_id";
    /// The event's time, RFC 3339, UTC.
    pub const LOGIN_TIME: &str = "login_time";
    /// `true` where the event came later than allowed; absent elsewhere.
    pub const LATE: &str = "late";
}
