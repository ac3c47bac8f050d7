//! Results written out by hand beside events; then each difference is planted, and must be found.

mod differences;
mod semantics;
mod world;
