//! A machine with kind, and scripts that play docker, cargo, helm and kubectl and record their calls.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use testkit::{install::Checks, process::Folder};

use crate::path;

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

    /// Creates one with both binaries built: programs of this machine stand in for them.
    pub fn built() -> Self {
        let machine = Self::new();
        let release = machine.target().join("release");
        std::fs::create_dir_all(&release).unwrap();
        for name in ["operator", "processor"] {
            std::fs::copy("/bin/true", release.join(name)).unwrap();
        }
        machine
    }

    pub fn kind(&self) -> &Path {
        &self.kind
    }

    /// Variables for the played programs and the scripts.
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

    /// The folder of binaries and images.
    pub fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    /// The calls so far, with their inputs.
    pub fn calls(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("calls")).unwrap()
    }
}
