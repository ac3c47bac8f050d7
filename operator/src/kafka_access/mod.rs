//! How a pipeline authenticates to Kafka: with Secrets that its spec names.
//!
//! ```text
//!   spec.kafka ──refs──> keys of Secrets ──read──> secrets ──judge──> credentials ─┬─job──────> paths in the job config
//!                                                                                  ├─volumes──> volumes of the pods
//!   certificates that Strimzi publishes of the listener ───────────────────────────┤
//!                                                                                  └─settings─> the operator's clients
//! ```
//!
//! `read` alone does I/O. It reads Secrets by name, so that the operator needs no right to list or watch them, and they
//! are kept for one pass. The job config never contains a secret, and the fingerprint of the credentials changes when a
//! Secret is rotated.

mod credentials;
mod job;
mod judge;
mod read;
mod refs;
mod secrets;
mod settings;
mod volumes;

pub use self::{credentials::Credentials, judge::SecretsError, read::ReadError, secrets::Secrets, settings::Settings};
pub(crate) use self::{read::read, refs::has_secrets};

#[cfg(test)]
mod tests;
