//! A folder that looks like a clone of the repository after `cargo build --release`, and a shell in it.

use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use super::{Command, root};
use crate::process::{Folder, Process, Program};
use crate::{Error, cache};

/// The time limit for a command.
const BOUND: Duration = Duration::from_secs(420);

/// Not linked: the build is the test's own, and the history is not part of the files.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// A reader's terminal does not run below `make`, but the tests do: a nested `make` would print its directory.
const FRESH: &str = "unset MAKEFLAGS MAKELEVEL MFLAGS";

/// The folder: its entries link to those of the repository, except for `target`, where `release/` and `demo/` have the
/// binaries that the test was built with. Commands find the test's programs first.
pub struct Checkout {
    folder: Folder,
    variables: Vec<(OsString, OsString)>,
    replaced: Vec<(String, String)>,
    /// Commands that set variables or functions: they are prepended to later commands.
    definitions: Vec<String>,
    typed: usize,
}

/// The result of a command.
pub struct Typed {
    /// Its exit status.
    pub status: i32,
    /// Its output, of both streams.
    pub said: String,
}

impl Checkout {
    /// Creates a checkout with only the machine's programs.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be created.
    pub fn new() -> Result<Self, Error> {
        let folder = Folder::new("checkout")?;
        link_all(folder.path()).map_err(Error::io("cannot link the repository"))?;
        Ok(Self { folder, variables: Vec::new(), replaced: Vec::new(), definitions: Vec::new(), typed: 0 })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Adds a binary of the project, as `target/release/<name>` and `target/demo/<name>` and, as in its image, by its name
    /// alone.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be linked.
    pub fn built(self, name: &str, binary: impl AsRef<Path>) -> Result<Self, Error> {
        for profile in ["release", "demo"] {
            let linked = symlink(binary.as_ref(), self.path().join("target").join(profile).join(name));
            linked.map_err(Error::io(format!("cannot link {name}")))?;
        }
        self.program(name, binary)
    }

    /// Adds a program that commands find by its name.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be linked.
    pub fn program(self, name: &str, path: impl AsRef<Path>) -> Result<Self, Error> {
        symlink(path.as_ref(), self.programs().join(name)).map_err(Error::io(format!("cannot link {name}")))?;
        Ok(self)
    }

    /// Adds an sh script that plays a program.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn played(self, name: &str, script: &str) -> Result<Self, Error> {
        let path = self.programs().join(name);
        let write = || -> io::Result<()> {
            fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        };
        write().map_err(Error::io(format!("cannot write {name}")))?;
        Ok(self)
    }

    /// Adds kubectl and helm, for the cluster of a kubeconfig. Their caches are removed with the folder.
    ///
    /// # Errors
    /// [`Error::Setup`] when they are not available, [`Error::Io`] when they cannot be linked.
    pub fn cluster(self, kubeconfig: &Path) -> Result<Self, Error> {
        let (kubectl, helm) = (cache::kubernetes()?.join("kubectl"), cache::tools()?.join("helm"));
        let remembered = self.path().join("target/remembered");
        let checkout = self.program("kubectl", kubectl)?.program("helm", helm)?.variable("KUBECONFIG", kubeconfig);
        let caches = ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "KUBECACHEDIR"];
        Ok(caches.into_iter().fold(checkout, |checkout, name| checkout.variable(name, &remembered)))
    }

    /// Sets a variable in every command's environment.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Replaces a text in every command, such as the address of a Kafka.
    #[must_use]
    pub fn replace(mut self, text: &str, other: &str) -> Self {
        self.replaced.push((text.to_owned(), other.to_owned()));
        self
    }

    /// Runs a command, and waits for its end.
    ///
    /// # Errors
    /// [`Error::Timeout`] when it does not end, [`Error::Io`] when it cannot be run.
    pub fn type_(&mut self, command: &Command) -> Result<Typed, Error> {
        let mut process = self.start(command)?;
        let status = process.wait(BOUND)?;
        let said = process.log();
        if status == 0 && is_definition(&command.text) {
            self.definitions.push(self.as_typed(command));
        }
        Ok(Typed { status, said })
    }

    /// Runs a command that must succeed. Returns its output.
    ///
    /// # Panics
    /// When it fails.
    #[expect(clippy::panic, reason = "an assertion of tests")]
    pub fn succeed(&mut self, command: &Command) -> String {
        let Command { page, line, text } = command;
        match self.type_(command) {
            Ok(Typed { status: 0, said }) => said,
            Ok(Typed { status, said }) => panic!("{page}:{line}: `{text}` ended with {status}:\n{said}"),
            Err(error) => panic!("{page}:{line}: `{text}`: {error}"),
        }
    }

    /// Starts a command in the background.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be started.
    pub fn start(&mut self, command: &Command) -> Result<Process, Error> {
        self.typed += 1;
        let last = self.as_typed(command);
        // A single command is exec'ed, so that signals reach it.
        let folder = self.path().display();
        let script = if self.definitions.is_empty() {
            format!("{FRESH}\ncd '{folder}' || exit\n{last}")
        } else {
            format!("set -e\n{FRESH}\ncd '{folder}'\n{}\n{last}", self.definitions.join("\n"))
        };
        let program = Program::new(format!("typed-{}", self.typed), "bash").args(["-c", &script]);
        let variables = self.variables.iter();
        let program = variables.fold(program, |program, (name, value)| program.env(name, value));
        program.env("PATH", self.search_path()).spawn(&self.folder)
    }

    fn as_typed(&self, command: &Command) -> String {
        self.replaced.iter().fold(command.text.clone(), |text, (from, to)| text.replace(from, to))
    }

    fn programs(&self) -> PathBuf {
        self.path().join("target/programs")
    }

    /// The `PATH`: the programs of this folder, then those of the machine.
    #[must_use]
    pub fn search_path(&self) -> OsString {
        let mut path = self.programs().into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        path
    }
}

/// Whether a command only sets a variable or a function.
fn is_definition(text: &str) -> bool {
    let name = text.split(['=', '(']).next().unwrap_or_default();
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let rest = text.get(name.len()..).unwrap_or_default();
    is_name && (["() {", "=$(", "=\""].iter().any(|begin| rest.starts_with(begin)) || !rest.contains(' '))
}

fn link_all(folder: &Path) -> io::Result<()> {
    for name in ["target/release", "target/demo", "target/programs"] {
        fs::create_dir_all(folder.join(name))?;
    }
    for entry in fs::read_dir(root())? {
        let name = entry?.file_name();
        if !LEFT_OUT.iter().any(|left_out| name == *left_out) {
            symlink(fs::canonicalize(root().join(&name))?, folder.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Command {
        Command { page: "page".to_owned(), line: 1, text: text.to_owned() }
    }

    #[test]
    fn commands_run_in_a_copy_of_the_repository_and_keep_variables() {
        let played = r#"echo "played $*""#;
        let checkout = Checkout::new().unwrap().played("kubectl", played).unwrap();
        let mut checkout = checkout.replace("localhost:9092", "elsewhere:1").variable("MOOD", "calm");

        assert_eq!(checkout.succeed(&command("ls examples/pipeline.yaml")), "examples/pipeline.yaml\n");
        assert_eq!(checkout.succeed(&command("kubectl get \\\n  localhost:9092 # so")), "played get elsewhere:1\n");
        for definition in ["x=$(kubectl get it)", "y=one", "z=\"a b\"", "f() { echo \"f $1\"; }"] {
            assert_eq!(checkout.succeed(&command(definition)), "");
        }
        assert_eq!(checkout.succeed(&command("echo $x, $y, $z, $MOOD; f 2")), "played get it, one, a b, calm\nf 2\n");
        assert_eq!(checkout.type_(&command("false")).unwrap().status, 1);
        assert_eq!(checkout.type_(&command("exit 7")).unwrap().status, 7);

        let mut checkout = Checkout::new().unwrap().variable("MAKELEVEL", "1").variable("MAKEFLAGS", "w");
        let said = checkout.succeed(&command("make help"));
        assert!(!said.contains("ntering directory"), "{said}");
        for other in ["A=b make e2e", "make a=b", "(a)"] {
            assert!(!is_definition(other), "{other}");
        }
    }
}
