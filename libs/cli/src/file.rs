//! Files that options name.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

/// Why a file cannot be used. The caller adds the option and the path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there.
    #[error("there is no such file")]
    Missing,
    /// It is a folder.
    #[error("is a folder: name a file in it")]
    Folder,
    /// Nothing is in it.
    #[error("is empty")]
    Empty,
    /// It is not in UTF-8.
    #[error("is not text in UTF-8")]
    NotText,
    /// It may not be read.
    #[error("may not be read by this user: change its owner or mode")]
    Forbidden,
    /// The system refuses for another reason.
    #[error("cannot be read: {0}")]
    Refused(#[source] io::Error),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::IsADirectory => Self::Folder,
            ErrorKind::InvalidData => Self::NotText,
            ErrorKind::PermissionDenied => Self::Forbidden,
            _ => Self::Refused(error),
        }
    }
}

/// Reads the text of a file, which must not be empty.
///
/// # Errors
/// When it cannot be read, or is empty.
pub fn read(path: &Path) -> Result<String, FileError> {
    let text = fs::read_to_string(path)?;
    if text.trim().is_empty() { Err(FileError::Empty) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_says_why() {
        let folder = std::env::temp_dir().join(format!("cli-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let said = |name: &str, content: &[u8]| {
            fs::write(folder.join(name), content).unwrap();
            read(&folder.join(name)).map_err(|error| error.to_string())
        };

        assert_eq!(said("text", b"a\n"), Ok("a\n".to_owned()));
        assert_eq!(said("empty", b" \n"), Err("is empty".to_owned()));
        assert_eq!(said("bytes", b"\xff"), Err("is not text in UTF-8".to_owned()));

        let said = |path: &Path| read(path).unwrap_err().to_string();
        assert_eq!(said(&folder), "is a folder: name a file in it");
        assert_eq!(said(&folder.join("nowhere")), "there is no such file");
        fs::remove_dir_all(&folder).unwrap();
    }
}
