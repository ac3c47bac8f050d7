//! Results written out by hand beside events; then each difference is planted, and must be found.

#![expect(clippy::needless_pass_by_value, reason = "JSON is written where it is taken")]

mod differences;
mod semantics;
mod world;
