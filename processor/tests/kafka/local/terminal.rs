//! A terminal for `processor local`.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{BOUND, Manifest, summary};

/// `processor local` on its own terminal, which `script` creates. It ends with the test: the terminal hangs up.
pub(super) struct Terminal {
    script: Child,
    log: PathBuf,
    _manifest: Manifest,
}

impl Terminal {
    pub(super) fn start(manifest: Manifest, options: &str) -> Self {
        let log = manifest.folder.path().join("terminal.log");
        let program = env!("CARGO_BIN_EXE_processor");
        // The shell must survive Ctrl-C: some shells end with it, regardless of the program.
        let command =
            format!("trap : INT; {program} local {} {options}; echo status $?; stty -a", manifest.file.display());
        let script = Command::new("script")
            .args(["--quiet", "--flush", "--command", &command])
            .arg("/dev/null")
            .stdin(Stdio::piped())
            .stdout(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { script, log, _manifest: manifest }
    }

    pub(super) fn press(&mut self, keys: &str) {
        self.script.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    pub(super) fn shown(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(super) fn sees(&self, text: &str) {
        let bound = BOUND;
        let mut waited = Duration::ZERO;
        while !self.shown().contains(text) {
            assert!(waited < bound, "{text:?} is not shown:\n{}", self.shown());
            thread::sleep(Duration::from_millis(50));
            waited += Duration::from_millis(50);
        }
    }

    /// Waits for the end, and returns the summary and the final state of the terminal.
    pub(super) fn end(&mut self) -> (Value, String) {
        self.sees("icanon");
        self.script.wait().unwrap();
        let shown = self.shown();
        let (run, terminal) = shown.split_once("status ").unwrap();
        (summary(run.trim_end().as_bytes()), terminal.to_owned())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
        if thread::panicking() {
            eprintln!("{}", self.shown());
        }
    }
}
