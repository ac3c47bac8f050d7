//! The revision of a build. Pure; the crate's tests include this file.

/// The revision of a development build, whose commits change all the time.
pub const DEVELOPMENT: &str = "dev";

/// The revision of a release built without a repository or an explicit revision.
pub const UNKNOWN: &str = "unknown";

/// The revision, shortened to 12 digits: for a release the given one, otherwise the repository's. A development build
/// has none, so that a commit does not rebuild everything.
pub fn revision(is_release: bool, given: Option<String>, repository: impl FnOnce() -> Option<String>) -> String {
    if !is_release {
        return DEVELOPMENT.to_owned();
    }
    let is_hash = |text: &String| text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let found = given.filter(is_hash).or_else(repository).filter(is_hash);
    found.map_or_else(|| UNKNOWN.to_owned(), |hash| hash.chars().take(12).collect())
}
