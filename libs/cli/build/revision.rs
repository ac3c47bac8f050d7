//! Which revision a build is of. Pure; the crate's tests include this file.

/// What stands for a build whose commits change all the time.
pub const DEVELOPMENT: &str = "dev";

/// What stands for a release without a repository of which nobody has said what it is.
pub const UNKNOWN: &str = "unknown";

/// The revision, shortened to 12 digits: of a release what is given, else what the repository says. A build for development
/// has none, so that a commit does not have everything built anew.
pub fn revision(is_release: bool, given: Option<String>, repository: impl FnOnce() -> Option<String>) -> String {
    if !is_release {
        return DEVELOPMENT.to_owned();
    }
    let is_hash = |text: &String| text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let found = given.filter(is_hash).or_else(repository).filter(is_hash);
    found.map_or_else(|| UNKNOWN.to_owned(), |hash| hash.chars().take(12).collect())
}
