//! The `processor` command.

fn main() {}
