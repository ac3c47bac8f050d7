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
    kind: PathBuf,
}

impl Machine {
    pub fn new() -> Self {
        let folder = Folder::new("kind").unwrap();
        let fakes = path("operator/tests/install/fakes").canonicalize().unwrap();
        let programs = [("docker", "docker"), ("cargo", "cargo"), ("cluster", "helm"), ("cluster", "kubectl")];
        for (fake, program) in programs {
            symlink(fakes.join(fake), folder.path().join(program)).unwrap();
        }
        Self { folder, kind: Checks::find().unwrap().folder().join("kind") }
    }

    /// One on which both binaries are built: programs of this machine in their place.
    pub fn built() -> Self {
        let machine = Self::new();
        let release = machine.target().join("release");
        std::fs::create_dir_all(&release).unwrap();
        for name in ["operator", "processor"] {
            std::fs::copy("/bin/true", release.join(name)).unwrap();
        }
        machine
    }

    /// The program.
    pub fn kind(&self) -> &Path {
        &self.kind
    }

    /// What the played programs and the scripts are told.
    pub fn variables(&self) -> [(&'static str, PathBuf); 4] {
        [
            ("PLAYED", self.folder.path().to_owned()),
            ("CARGO_TARGET_DIR", self.target()),
            ("KUBECONFIG", self.folder.path().join("kubeconfig")),
            ("KIND_REGISTRY_PORT", PathBuf::new()),
        ]
    }

    pub fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Output {
        Command::new(program.as_ref())
            .args(arguments)
            .current_dir(path("."))
            .env("PATH", self.search_path())
            .envs(self.variables())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn search_path(&self) -> String {
        let (kind, rest) = (self.kind.parent().unwrap(), std::env::var("PATH").unwrap());
        format!("{}:{}:{rest}", self.folder.path().display(), kind.display())
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
