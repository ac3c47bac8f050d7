//! The namespaces, the cgroup and the link of a node, held by a guardian process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::{fs, io};

use crate::Error;
use crate::process::{self, Folder, Process, Program};

const KEEPER: &str = include_str!("keeper.sh");
const INSIDE: &str = include_str!("inside.sh");

/// While it lives, programs can be started inside; dropping it ends every process there and removes everything it made.
pub(super) struct Keeper {
    guardian: Child,
    /// The guardian waits for the end of this pipe; `None` only during the drop.
    open: Option<ChildStdin>,
    /// The process id of the first process inside.
    first: u32,
    /// The folder of the programs, as processes inside see it.
    programs: PathBuf,
}

impl Keeper {
    /// Returns when the node's namespaces are ready. Waits until any other node on this machine is gone.
    pub(super) fn start(folder: &Folder, programs: &Path) -> Result<Self, Error> {
        let doing = || Error::io("cannot start the namespaces of a node");
        let mut guardian = process::shell(KEEPER)
            .args([folder.path(), programs])
            .arg(INSIDE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(folder.hold().map_err(doing())?)
            .spawn()
            .map_err(doing())?;
        let open = guardian.stdin.take();
        let mut line = String::new();
        if let Some(output) = guardian.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(doing())?;
        }
        let Ok(first) = line.trim().parse() else {
            let status = guardian.wait().map_err(doing())?.code().unwrap_or(-1);
            let log = fs::read_to_string(folder.path().join("keeper.log")).unwrap_or_default();
            return Err(Error::Ended { name: "the keeper of a node's namespaces".to_owned(), status, log });
        };
        Ok(Self { guardian, open, first, programs: folder.path().join("bin") })
    }

    /// Creates a program of the node, to start inside.
    pub(super) fn program(&self, name: &str) -> Program {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut paths = vec![self.programs.clone()];
        paths.extend(std::env::split_paths(&path));
        let paths = std::env::join_paths(paths).unwrap_or(path);
        Program::new(name, "nsenter").args(self.enter()).arg(self.programs.join(name)).env("PATH", paths)
    }

    /// Creates a command inside, to wait for.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(self.enter()).arg(self.programs.join(name));
        command
    }

    fn enter(&self) -> [String; 6] {
        let target = self.first.to_string();
        ["--target", &target, "--mount", "--net", "--pid", "--"].map(str::to_owned)
    }
}

/// Sends SIGTERM to a program inside. The process itself is `nsenter`, which forwards no signals and ends with its
/// child.
pub(super) fn terminate(process: &Process) -> io::Result<()> {
    let id = process.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    for child in children.split_whitespace() {
        Command::new("sh").args(["-c", r#"kill -s TERM "$1""#, "sh", child]).status()?;
    }
    Ok(())
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.open.take());
        // A failure of the guardian cannot be handled here.
        let _ = self.guardian.wait();
    }
}
