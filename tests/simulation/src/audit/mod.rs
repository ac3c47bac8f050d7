//! The audit over histories of a small pipeline: it passes clean ones, and finds each planted fault, wherever it is.

mod history;

mod histories;
mod random;
