//! The audit over histories of a small pipeline: clean ones are clean, and each planted fault is found, wherever it is planted.

mod history;

mod histories;
mod random;
