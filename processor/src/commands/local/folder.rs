//! The folder of a run: the job config that all replicas and other commands read, and the logs of the replicas.

use std::{
    env, fs, io, mem,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crds::job::JobConfig;

/// A folder in the system's temporary folder. Dropping it removes it.
#[derive(Debug)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// Makes it, and writes the job config into it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new(job: &JobConfig) -> io::Result<Self> {
        let path = env::temp_dir().join(format!("login-pipeline-{:08x}", rand::random::<u32>()));
        // Nobody else is to put another config there.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let folder = Self(path);
        fs::write(folder.job(), serde_json::to_string_pretty(job)?)?;
        Ok(folder)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The job config.
    #[must_use]
    pub fn job(&self) -> PathBuf {
        self.0.join("job.json")
    }

    /// Leaves it where it is.
    #[must_use]
    pub fn keep(mut self) -> PathBuf {
        mem::take(&mut self.0)
    }

    /// Removes a folder.
    pub fn remove(path: &Path) {
        // What is left of it is the system's to remove.
        let _ = fs::remove_dir_all(path);
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            Self::remove(&self.0);
        }
    }
}
