//! Results written by hand next to events; the tests plant each difference, and the comparison must find it.

#![expect(clippy::needless_pass_by_value, reason = "JSON is written where it is taken")]

mod differences;
mod semantics;
mod world;
