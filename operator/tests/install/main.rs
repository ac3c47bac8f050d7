//! The files that install the project and set up its development in a cluster: the tests read them with the real
//! reader, or with one of the same language.

#![expect(clippy::panic, clippy::unwrap_used, reason = "assertions of tests")]

mod machine;

mod archives;
mod dockerfile;
mod documents;
mod kind;
mod tiltfile;

use std::{
    path::{Path, PathBuf},
    process::Output,
};

/// A path of the repository.
fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(relative)
}

/// A file of the repository.
fn read(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// The output of a command that must succeed.
fn said(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
