//! How an error shows in a condition and in the metrics. Pure.

use std::fmt::Display;

use super::reason::Reason;

/// An error that a condition reports. Its text becomes the condition's message.
pub(crate) trait Reported: Display {
    /// The reason of the condition that reports it.
    fn reason(&self) -> Reason;

    /// Its label in the metrics.
    fn category(&self) -> &'static str;
}
