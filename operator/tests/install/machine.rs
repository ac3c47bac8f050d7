//! A machine with kind, on which docker, cargo, helm and kubectl are played: their calls are written down.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use testkit::{install::Checks, process::Folder};

use crate::path;

/// The machine.
pub struct Machine {
    pub folder: Folder,
    path: String,
}

impl Machine {
    pub fn new() -> Self {
        let folder = Folder::new("kind").unwrap();
        let fakes = path("operator/tests/install/fakes").canonicalize().unwrap();
        let programs = [("docker", "docker"), ("cargo", "cargo"), ("cluster", "helm"), ("cluster", "kubectl")];
        for (fake, program) in programs {
            symlink(fakes.join(fake), folder.path().join(program)).unwrap();
        }
        let (kind, rest) = (Checks::find().unwrap(), std::env::var("PATH").unwrap());
        let path = format!("{}:{}:{rest}", folder.path().display(), kind.folder().display());
        Self { folder, path }
    }

    pub fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Output {
        Command::new(program.as_ref())
            .args(arguments)
            .current_dir(path("."))
            .env("PATH", &self.path)
            .env("PLAYED", self.folder.path())
            .env("CARGO_TARGET_DIR", self.target())
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env_remove("KIND_REGISTRY_PORT")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Where binaries and images are.
    pub fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    /// The calls until now, and what they were given.
    pub fn calls(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("calls")).unwrap()
    }
}
