//! The audit as a whole: what it decides about events, and what it finds in histories.

mod decisions;
mod histories;
mod history;
mod random;
