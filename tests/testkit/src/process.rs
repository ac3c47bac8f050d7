//! Processes that end with the test, and folders that are removed with them.
//!
//! Each process runs under a guardian, a small `sh` script that holds a pipe to the test. The guardian forwards
//! signals. When the pipe closes, because the test dropped the [`Process`] or is itself gone, the guardian kills its
//! child. A [`Folder`] has its own guardian, which removes it when its pipe closes; the processes that use the folder
//! hold that pipe too, so it is removed after the last of them. Nothing depends on destructors.
//!
//! A guardian signals only its own child, by process id; that child must end its own children. The guardian has its own
//! process group, so Ctrl-C reaches only the test.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::wait::poll;
use crate::{Error, unique};

/// Arguments: the log file, the command. Standard input: names of signals, one a line. Standard output: the child's
/// process id. Exit status: the child's.
const PROCESS_GUARDIAN: &str = r#"
log=$1
shift
exec 3<&0
exec "$@" </dev/null >>"$log" 2>&1 3<&- &
child=$!
echo "$child"
(
  while read -r signal; do kill -s "$signal" "$child"; done
  kill -s KILL "$child"
) <&3 >/dev/null 2>&1 &
signals=$!
exec 3<&- >/dev/null
wait "$child"
status=$?
kill -s KILL "$signals"
exit "$status"
"#;

/// Argument: the folder. Standard input closes when the folder has no users any more.
const FOLDER_GUARDIAN: &str = r#"
cat >/dev/null
rm -rf "$1"
"#;

/// The length of the log end that an error or a failed test shows, in bytes.
const SHOWN: usize = 8_000;

/// A temporary folder that is removed with the last handle and the last [`Process`] in it.
#[derive(Clone)]
pub struct Folder(Arc<Owned>);

struct Owned {
    path: PathBuf,
    /// Open as long as the folder is used; `None` only during the drop.
    used: Option<PipeWriter>,
    guardian: Child,
}

impl Folder {
    /// Creates an empty folder in the system's temporary folder.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder or its guardian cannot be created.
    pub fn new(name: &str) -> Result<Self, Error> {
        let path = std::env::temp_dir().join(unique(&format!("login-pipeline-{name}")));
        let (ended, used) = std::io::pipe().map_err(Error::io("cannot make a pipe"))?;
        let guardian = shell(FOLDER_GUARDIAN)
            .arg(&path)
            .stdin(ended)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("cannot start sh"))?;
        let folder = Self(Arc::new(Owned { path, used: Some(used), guardian }));
        fs::create_dir(folder.path()).map_err(Error::io(format!("cannot make {}", folder.path().display())))?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Another handle on the folder, for a process.
    pub(crate) fn hold(&self) -> std::io::Result<Stdio> {
        match &self.0.used {
            Some(used) => Ok(used.try_clone()?.into()),
            None => Ok(Stdio::null()),
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        drop(self.used.take());
        // A failure of the guardian cannot be handled here.
        let _ = self.guardian.wait();
    }
}

/// A command to start. Its output goes to the file `<name>.log` in its folder.
pub struct Program {
    name: String,
    command: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
}

impl Program {
    /// The program, by path or by name; `name` appears in errors and names the log file.
    pub fn new(name: impl Into<String>, program: impl AsRef<OsStr>) -> Self {
        Self { name: name.into(), command: vec![program.as_ref().to_owned()], variables: Vec::new() }
    }

    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.push(argument.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args(self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets an environment variable, in addition to those of the test.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts the program in the background.
    ///
    /// # Errors
    /// [`Error::Io`] when its guardian cannot be started. A missing program gives exit status 127, as in a shell, with
    /// the reason in the log.
    pub fn spawn(self, folder: &Folder) -> Result<Process, Error> {
        let log = folder.path().join(format!("{}.log", self.name));
        let doing = || Error::io(format!("cannot start {}", self.name));
        let mut guardian = shell(PROCESS_GUARDIAN)
            .arg(&log)
            .args(&self.command)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(folder.hold().map_err(doing())?)
            .spawn()
            .map_err(doing())?;
        let signals = guardian.stdin.take();
        let mut line = String::new();
        if let Some(output) = guardian.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(doing())?;
        }
        let id = line.trim().parse().map_err(std::io::Error::other).map_err(doing())?;
        Ok(Process { name: self.name, id, log, guardian, signals, _folder: folder.clone() })
    }
}

/// A running process. Dropping it kills it with SIGKILL and waits for its end; if the test fails, the drop prints the
/// end of its log.
pub struct Process {
    name: String,
    id: u32,
    log: PathBuf,
    guardian: Child,
    /// The pipe to the guardian: it takes names of signals; closing it means SIGKILL.
    signals: Option<ChildStdin>,
    /// Last, so that the folder is removed after the process.
    _folder: Folder,
}

impl Process {
    /// The process id of the program itself.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The file with its standard output and standard error.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// The output so far, of both streams.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends a signal by name, such as `TERM`, `STOP` or `CONT`; does nothing if the process has ended.
    pub fn signal(&mut self, name: &str) {
        if let Some(signals) = &mut self.signals {
            // The pipe is broken only when the process has ended.
            let _ = writeln!(signals, "{name}");
        }
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        drop(self.signals.take());
        // The guardian ends as soon as its child does, and SIGKILL always ends the child.
        let _ = self.guardian.wait();
    }

    /// Sends SIGTERM and returns the exit status.
    ///
    /// # Errors
    /// [`Error::Timeout`] when it still runs after `bound`.
    pub fn terminate(&mut self, bound: Duration) -> Result<i32, Error> {
        self.signal("TERM");
        self.wait(bound)
    }

    /// Waits for the end of the process and returns its exit status, as a shell counts it: 128 plus the number of the
    /// signal that ended it.
    ///
    /// # Errors
    /// [`Error::Timeout`] when it still runs after `bound`.
    pub fn wait(&mut self, bound: Duration) -> Result<i32, Error> {
        poll(bound, || self.status()).ok_or_else(|| Error::Timeout {
            what: format!("the end of {}", self.name),
            bound,
            detail: format!("; the end of its log:\n{}", self.shown()),
        })
    }

    /// The exit status, or `None` while it runs.
    pub fn status(&mut self) -> Option<i32> {
        let status = self.guardian.try_wait().ok().flatten()?;
        Some(status.code().unwrap_or(-1))
    }

    /// Fails when the process has ended.
    ///
    /// # Errors
    /// [`Error::Ended`], with the end of its log.
    pub fn check_running(&mut self) -> Result<(), Error> {
        match self.status() {
            None => Ok(()),
            Some(status) => Err(Error::Ended { name: self.name.clone(), status, log: self.shown() }),
        }
    }

    /// The end of the log.
    pub(crate) fn shown(&self) -> String {
        let log = self.log();
        let mut start = log.len().saturating_sub(SHOWN);
        while !log.is_char_boundary(start) {
            start += 1;
        }
        log.get(start..).unwrap_or_default().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- the end of the log of {} (process {}):\n{}---", self.name, self.id, self.shown());
        }
    }
}

/// A guardian, in its own process group.
pub(crate) fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "guardian"]).process_group(0);
    command
}
