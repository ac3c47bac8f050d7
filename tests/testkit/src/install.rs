//! Checks of the files that install the project: kind, and readers of the Tiltfile and of Dockerfiles.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{Error, cache};

#[derive(Clone, Debug)]
pub struct Checks {
    folder: PathBuf,
}

impl Checks {
    /// Finds the programs, and builds them if they are missing.
    ///
    /// # Errors
    /// [`Error::Setup`] when they cannot be built.
    pub fn find() -> Result<Self, Error> {
        Ok(Self { folder: cache::install()? })
    }

    /// The folder with the program `kind`, for `PATH`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a Tiltfile in Tilt's language. The output is a JSON list of the calls of Tilt's functions, each with
    /// `function` and `arguments`. It fails where Tilt would reject the syntax, the function or a parameter name.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be run.
    pub fn tiltfile(&self, path: &Path) -> Result<Output, Error> {
        self.run("tiltfile", &[path])
    }

    /// Reads a Dockerfile as `BuildKit` does. The output is JSON with the image's `config` and the `steps` of a
    /// target's build.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be run.
    pub fn dockerfile(&self, path: &Path, target: &str) -> Result<Output, Error> {
        self.run("dockerfile", &[path.as_os_str(), OsStr::new(target)])
    }

    fn run(&self, program: &str, arguments: &[impl AsRef<OsStr>]) -> Result<Output, Error> {
        let run = Command::new(self.folder.join(program)).args(arguments).output();
        run.map_err(Error::io(format!("cannot run {program}")))
    }
}
