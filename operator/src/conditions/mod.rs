//! The vocabulary of the status, which every other module may use.

pub(crate) mod condition;
pub(crate) mod reason;
pub(crate) mod reported;
