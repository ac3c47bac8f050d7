//! Input and output that both commands share, so that they behave alike.
//!
//! ```text
//!  arguments ──> logging ──> stderr      what happens, for diagnosis
//!                progress ─> stderr      progress: in place on a terminal, as lines elsewhere
//!                output ───> stdout      the result, for people or programs
//!                exit ─────> exit code   the kind of result
//!
//!  pages: completions, man pages and docs/commands.md, all from the same definition of the command line
//! ```

#![warn(clippy::print_stderr)]

pub mod exit;
pub mod file;
pub mod logging;
pub mod output;
pub mod pages;
pub mod progress;
pub mod text;

pub use exit::Exit;
pub use output::Format;

/// The git revision of the build: 12 digits; `dev` in a development build; `unknown` in a release build without a
/// repository or an explicit revision.
pub const REVISION: &str = env!("BUILD_REVISION");

#[cfg(test)]
#[path = "../build/revision.rs"]
mod revision;

#[cfg(test)]
mod tests {
    use super::revision::revision;

    const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_release_says_its_revision() {
        let hash = || Some(HASH.to_owned());
        let given = || Some("fedcba98765432100000".to_owned());
        assert_eq!(revision(true, None, hash), "0123456789ab");
        assert_eq!(revision(true, given(), hash), "fedcba987654");
        assert_eq!(revision(true, given(), || None), "fedcba987654");
        // An empty build argument.
        assert_eq!(revision(true, Some(String::new()), hash), "0123456789ab");
        assert_eq!(revision(true, Some("unknown".to_owned()), || None), "unknown");
        assert_eq!(revision(true, None, || None), "unknown");
    }

    #[test]
    fn a_build_for_development_looks_at_no_repository() {
        assert_eq!(revision(false, Some(HASH.to_owned()), || unreachable!("asked")), "dev");
        assert_eq!(super::REVISION, "dev", "tests are no release");
    }
}
