//! The results of a command: one table for both programs.

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Write as _, stderr},
    iter::successors,
    process::ExitCode,
};

/// The result of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command succeeded, and nothing is wrong.
    Clean,
    /// The command succeeded, and has found something.
    Found,
    /// The command could not be done.
    Failed,
    /// Another operator may lead now.
    LeadershipLost,
}

impl Exit {
    pub const ALL: [Self; 4] = [Self::Clean, Self::Found, Self::Failed, Self::LeadershipLost];

    /// The exit code of the process.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The meaning of the exit code, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Clean => "done, and nothing is wrong",
            Self::Found => "done, and something was found: faults, dead letters, problems, what cannot be read",
            Self::Failed => "could not be done: a wrong option or file, a Kafka or a cluster that does not answer",
            Self::LeadershipLost => "operator run: another one may lead now; to be started anew",
        }
    }

    /// Maps whether something was found to an exit.
    #[must_use]
    pub const fn found(something: bool) -> Self {
        if something { Self::Found } else { Self::Clean }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// The exit codes, as `--help` shows them.
#[must_use]
pub fn table(exits: &[Exit]) -> String {
    let mut text = "Exit codes:".to_owned();
    for exit in exits {
        let _ = write!(text, "\n  {}  {}", exit.code(), exit.meaning());
    }
    text
}

/// Ends a command: an error is one line on stderr. A closed stdout (`| head`) is not an error.
pub fn finish(program: &str, result: Result<Exit, Box<dyn Error>>) -> ExitCode {
    let exit = result.unwrap_or_else(|error| {
        if is_closed_output(error.as_ref()) {
            return Exit::Clean;
        }
        // A closed stderr is not an error.
        let _ = writeln!(stderr(), "{program}: {}", with_causes(error.as_ref()));
        Exit::Failed
    });
    exit.into()
}

fn is_closed_output(error: &(dyn Error + 'static)) -> bool {
    let is_broken_pipe = |error: &&(dyn Error + 'static)| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    successors(Some(error), |&error| error.source()).any(|error| is_broken_pipe(&error))
}

/// An error's text, then those of its causes, outermost first. A cause that the error's text already contains is not
/// repeated.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Nested {
        #[error("connection refused")]
        Refused,
        #[error("client error (Connect)")]
        Connect(#[source] Box<Self>),
        #[error("the API server did not answer: {0}")]
        Said(#[source] Box<Self>),
        #[error(transparent)]
        Transparent(Box<Self>),
        #[error("the result cannot be written: {0}")]
        Output(#[from] io::Error),
    }

    #[test]
    fn every_cause_is_said_once() {
        let connect = || Box::new(Nested::Connect(Box::new(Nested::Refused)));
        assert_eq!(with_causes(&Nested::Refused), "connection refused");
        let expected = "the API server did not answer: client error (Connect): connection refused";
        assert_eq!(with_causes(&Nested::Said(connect())), expected);
        assert_eq!(with_causes(&Nested::Transparent(Box::new(Nested::Said(connect())))), expected);
    }

    #[test]
    fn only_a_reader_that_has_gone_is_no_error() {
        let output = |kind| Nested::Output(io::Error::from(kind));
        assert!(is_closed_output(&Nested::Transparent(Box::new(output(io::ErrorKind::BrokenPipe)))));
        assert!(!is_closed_output(&output(io::ErrorKind::StorageFull)));
        assert!(!is_closed_output(&Nested::Refused));
    }

    #[test]
    fn each_code_is_in_the_table() {
        let table = table(&Exit::ALL);
        assert_eq!(table.lines().count(), 1 + Exit::ALL.len());
        assert!(table.starts_with("Exit codes:\n  0  done, and nothing is wrong\n  1  done"), "{table}");
        assert!(Exit::ALL.iter().zip(0..).all(|(exit, code)| exit.code() == code));
    }
}
