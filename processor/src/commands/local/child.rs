//! A replica as a child process: `processor run --supervised` with this program's own executable.

use std::{
    collections::VecDeque,
    env,
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::replica::supervised::{DRAIN, Report};

/// How long a replica may take to stop: slightly more than the time that it takes at most.
const STOP_BOUND: Duration = Duration::from_secs(12);

/// How many lines of the log are shown when a replica fails.
const SHOWN: usize = 12;

/// A replica that runs, or has just ended. Dropping it stops the replica.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    /// Closing it stops the replica.
    stdin: Option<ChildStdin>,
    told: Arc<Mutex<Status>>,
    log: PathBuf,
}

/// What a replica has reported so far.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Where its HTTP server listens.
    pub address: Option<SocketAddr>,
    /// The last status that it reported.
    pub last: Option<Report>,
}

impl Status {
    /// Partitions that the replica has taken up; `None` while it is not ready.
    #[must_use]
    pub const fn active(&self) -> Option<u64> {
        if let Some(Report::Ready(active)) = self.last { Some(active) } else { None }
    }
}

impl Child {
    /// Starts a replica. Its files are in `folder`: `job.json`, and the log to which it appends.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn start(folder: &Path, name: &str) -> io::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let mut process = Command::new(env::current_exe()?)
            .arg("run")
            .arg("--config")
            .arg(folder.join("job.json"))
            .args(["--replica", name, "--listen", "127.0.0.1:0", "--supervised"])
            // Ctrl-C must reach this process only.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log)?)
            .spawn()?;
        let told = Arc::default();
        if let Some(stdout) = process.stdout.take() {
            let told = Arc::clone(&told);
            thread::Builder::new().name(name.to_owned()).spawn(move || listen(stdout, &told))?;
        }
        Ok(Self { stdin: process.stdin.take(), process, told, log })
    }

    #[must_use]
    pub fn status(&self) -> Status {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn signal(&self, signal: Signal) {
        // The process id cannot be reused before the process has been waited for.
        let _ = kill_process(Pid::from_child(&self.process), signal);
    }

    /// Tells the replica to end its stage 1.
    pub fn drain(&mut self) {
        if let Some(stdin) = &mut self.stdin {
            // The write fails only when the replica has ended.
            let _ = writeln!(stdin, "{DRAIN}");
        }
    }

    /// Tells the replica to end. A paused replica is resumed first.
    pub fn stop(&mut self) {
        self.stdin = None;
        self.signal(Signal::CONT);
    }

    /// The exit status; `None` while the replica runs.
    ///
    /// # Errors
    /// When the operating system cannot tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Waits until the replica ends, and kills it when that takes too long. Returns whether it ended by itself.
    pub fn join(&mut self) -> bool {
        self.stop();
        let deadline = Instant::now() + STOP_BOUND;
        while Instant::now() < deadline {
            if self.ended().is_ok_and(|ended| ended.is_some()) {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        false
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_end(&self) -> String {
        let Ok(log) = fs::read(&self.log) else { return String::new() };
        let mut end = VecDeque::with_capacity(SHOWN + 1);
        for line in String::from_utf8_lossy(&log).lines() {
            end.push_back(format!("\n  {line}"));
            if end.len() > SHOWN {
                end.pop_front();
            }
        }
        end.into_iter().collect()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.join();
    }
}

fn listen(stdout: ChildStdout, status: &Mutex<Status>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let Ok(report) = serde_json::from_str(&line) else { continue };
        let mut status = status.lock().unwrap_or_else(PoisonError::into_inner);
        match report {
            Report::Listening(address) => status.address = Some(address),
            report => status.last = Some(report),
        }
    }
}
