//! The folder of a run: the job config, which the replicas and other commands read, and the logs of the replicas.

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
    /// Creates the folder, and writes the job config into it.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn new(job: &JobConfig) -> io::Result<Self> {
        let path = env::temp_dir().join(format!("login-pipeline-{:08x}", rand::random::<u32>()));
        // No other user may replace the config.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let folder = Self(path);
        fs::write(folder.job(), serde_json::to_string_pretty(job)?)?;
        Ok(folder)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Path of the job config.
    #[must_use]
    pub fn job(&self) -> PathBuf {
        self.0.join("job.json")
    }

    /// Keeps the folder, and returns its path.
    #[must_use]
    pub fn keep(mut self) -> PathBuf {
        mem::take(&mut self.0)
    }

    pub fn remove(path: &Path) {
        // Whatever is left is removed with the system's other temporary files.
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
