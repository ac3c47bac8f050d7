//! `processor generate`: sends realistic login events to any Kafka.
//!
//! ```text
//!  Options ──> Events (model: which kind, when) ──> event{kind, key, payload} ──> send (I/O): rate, delivery reports
//!                 │
//!                 ├─ population: users, with their home states and devices
//!                 └─ trouble: malformed and odd payloads
//! ```
//!
//! [`Events`] is pure: the same options give the same events, byte for byte. Only `send` reads a clock.

mod model;
mod population;
pub mod random;
mod send;
mod trouble;

pub use model::{Events, GeneratedEvent, Kind, Options, Shares, SharesError};
pub(crate) use send::{Deliveries, producer_settings, serve};
pub use send::{EventArgs, GenerateArgs, GenerateError, Report, run, send};
